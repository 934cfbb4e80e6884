"""Optimisers: pairs of pure functions.

    sgd        p <- p - a g
    by step    p <- p - a_t g,  a rate for each step
    momentum   v <- d v + g;                       p <- p - a v
    adam       m <- b1 m + (1 - b1) g;  v <- b2 v + (1 - b2) g**2
               p <- p - a (m / (1 - b1**t)) / (sqrt(v / (1 - b2**t)) + epsilon)

``init(parameters)`` makes the state, a tree of arrays; ``update(gradient, state, parameters)``
returns new parameters and a new state. The number of steps ``t`` is part of the state, an array
like the rest, so that an update can be traced, saved and resumed. Updates end in the library's own
operations, which return arrays even of shape (). Settings are Python floats, because numpy's
float64 would turn float32 into float64. Optimisers pickle.

Four more wrap others:

    clip_global_norm   g <- g min(1, c / |g|), |g| over all parameters together; then any optimiser
    clip_elements      g <- min(max(g, -c), c), element by element; then any optimiser
    linear_decay       p <- p + s (p' - p), where any optimiser proposes p' and s falls linearly from 1
    by_part            one optimiser for each part of the parameters
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from minimeta.autodiff import tree
from minimeta.autodiff.operations import (
    absolute,
    add,
    astype,
    clip,
    divide,
    equal,
    greater,
    max,
    maximum,
    minimum,
    multiply,
    power,
    sqrt,
    square,
    stop_gradient,
    subtract,
    sum,
    where,
)
from minimeta.errors import ConfigurationError, ShapeError


class Optimiser(NamedTuple):
    """A pair of pure functions.

    Attributes
    ----------
    init
        ``init(parameters) -> state``.
    update
        ``update(gradient, state, parameters) -> (parameters, state)``.
    """

    init: Callable[[Any], Any]
    update: Callable[[Any, Any, Any], tuple[Any, Any]]


def sgd(learning_rate: float) -> Optimiser:
    """Return gradient descent.

    Parameters
    ----------
    learning_rate
        ``a``, positive.
    """
    _check("sgd", learning_rate=learning_rate)
    return Optimiser(_nothing, partial(_sgd, float(learning_rate)))


def _sgd(learning_rate: float, gradient: Any, state: Any, parameters: Any) -> tuple[Any, Any]:
    return tree.map(lambda p, g: subtract(p, learning_rate * g), parameters, gradient), state


def sgd_by_step(learning_rates: Sequence[float]) -> Optimiser:
    """Return gradient descent whose step t has the rate ``a_t``; the last one holds from there on.

    Parameters
    ----------
    learning_rates
        ``a_0, a_1, ...``, positive, at least one.
    """
    if not learning_rates:
        raise ConfigurationError("sgd_by_step: learning_rates are empty; there must be at least one")
    for rate in learning_rates:
        _check("sgd_by_step", learning_rate=rate)
    return Optimiser(_count_of_steps, partial(_sgd_by_step, tuple(map(float, learning_rates))))


def _count_of_steps(parameters: Any) -> Any:
    return np.zeros(())


def _sgd_by_step(rates: tuple[float, ...], gradient: Any, state: Any, parameters: Any) -> tuple[Any, Any]:
    rate = sum(where(equal(minimum(state, len(rates) - 1.0), np.arange(len(rates))), np.array(rates), 0.0))
    return tree.map(lambda p, g: subtract(p, astype(rate, p.dtype) * g), parameters, gradient), add(state, 1.0)


def momentum(learning_rate: float, decay: float = 0.9) -> Optimiser:
    """Return gradient descent with a velocity (Polyak 1964).

    Parameters
    ----------
    learning_rate
        ``a``, positive.
    decay
        ``d``, in [0, 1).
    """
    _check("momentum", fractions={"decay": decay}, learning_rate=learning_rate)
    return Optimiser(_zeros, partial(_momentum, float(learning_rate), float(decay)))


def _momentum(learning_rate: float, decay: float, gradient: Any, state: Any, parameters: Any) -> tuple[Any, Any]:
    velocity = tree.map(lambda v, g: add(decay * v, g), state, gradient)
    return tree.map(lambda p, v: subtract(p, learning_rate * v), parameters, velocity), velocity


def adam(learning_rate: float = 1e-3, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8) -> Optimiser:
    """Return Adam (Kingma and Ba 2015, arXiv:1412.6980).

    An update can be differentiated, as a learner with Adam as its inner optimiser does. Where all
    gradients so far are 0, the step is ``a m / epsilon`` to first order, and has that derivative.

    Parameters
    ----------
    learning_rate
        ``a``, positive.
    beta1, beta2
        Decay of the first and second moments, in [0, 1).
    epsilon
        Added to the root of the second moment, positive.
    """
    _check("adam", fractions={"beta1": beta1, "beta2": beta2}, learning_rate=learning_rate, epsilon=epsilon)
    return Optimiser(_adam_state, partial(_adam, *map(float, (learning_rate, beta1, beta2, epsilon))))


def _adam_state(parameters: Any) -> Any:
    return {"step": np.zeros(()), "first_moment": _zeros(parameters), "second_moment": _zeros(parameters)}


def _adam(
    learning_rate: float, beta1: float, beta2: float, epsilon: float, gradient: Any, state: Any, parameters: Any
) -> tuple[Any, Any]:
    step = add(state["step"], 1.0)
    first = tree.map(lambda m, g: add(beta1 * m, (1 - beta1) * g), state["first_moment"], gradient)
    second = tree.map(lambda v, g: add(beta2 * v, (1 - beta2) * square(g)), state["second_moment"], gradient)
    # The same formula with the corrections of both moments in one step size and one epsilon saves
    # two passes.
    root = sqrt(1.0 - power(beta2, step))
    size, shift = learning_rate * root / (1.0 - power(beta1, step)), epsilon * root

    def moved(p: Any, m: Any, v: Any) -> Any:
        # The derivative of sqrt is infinite at 0. With the smallest normal number instead of 0 it
        # is finite, and its product with dv/dg = 0 is 0; the sum with epsilon does not change.
        root_mean_square = sqrt(maximum(v, float(np.finfo(v.dtype).tiny)))
        return subtract(p, astype(size, p.dtype) * m / (root_mean_square + astype(shift, p.dtype)))

    moments = {"step": step, "first_moment": first, "second_moment": second}
    return tree.map(moved, parameters, first, second), moments


def clip_global_norm(optimiser: Optimiser, largest: float) -> Optimiser:
    """Shorten gradients that are too long, without changing their direction (Pascanu et al. 2013,
    arXiv:1211.5063).

    Parameters
    ----------
    optimiser
        The optimiser that receives the shortened gradient.
    largest
        ``c``, the largest norm over all parameters together, positive.
    """
    _check("clip_global_norm", largest=largest)
    return Optimiser(optimiser.init, partial(_clip_global_norm, optimiser, float(largest)))


def _clip_global_norm(
    optimiser: Optimiser, largest: float, gradient: Any, state: Any, parameters: Any
) -> tuple[Any, Any]:
    leaves = [g for g in tree.flatten(gradient)[0] if 0 not in g.shape]
    # |g| = s |g / s| for any s, so s is a constant for every derivative. As it is at least as large
    # as every element and as c, squares stay in range, and it is not 0.
    scale = functools.reduce(maximum, [max(absolute(stop_gradient(g))) for g in leaves], largest)
    squares = [sum(square(divide(g, scale))) for g in leaves]
    root = sqrt(maximum(functools.reduce(add, squares, 0.0), square(divide(largest, scale))))
    too_long = greater(scale, largest)  # if no element alone is larger than c, s is c
    by, bound = where(too_long, scale, 1.0), where(too_long, minimum(scale, largest), 1.0)

    # (g / s) c / (max(|g|, c) / s), in this order because c / s may underflow. A short gradient
    # keeps its bits.
    def shortened(g: Any) -> Any:
        return astype(divide(multiply(divide(g, by), bound), root), g.dtype)

    return optimiser.update(tree.map(shortened, gradient), state, parameters)


def clip_elements(optimiser: Optimiser, largest: float) -> Optimiser:
    """Clip the elements of gradients, as the code released with MAML does on miniImageNet.

    Parameters
    ----------
    optimiser
        The optimiser that receives the clipped gradient.
    largest
        ``c``, positive.
    """
    _check("clip_elements", largest=largest)
    return Optimiser(optimiser.init, partial(_clip_elements, optimiser, float(largest)))


def _clip_elements(optimiser: Optimiser, largest: float, gradient: Any, state: Any, parameters: Any) -> tuple[Any, Any]:
    return optimiser.update(tree.map(lambda g: clip(g, -largest, largest), gradient), state, parameters)


def linear_decay(optimiser: Optimiser, iterations: int, final: float = 0.0) -> Optimiser:
    """Scale the steps of an optimiser by a factor that falls linearly.

        p <- p + s_t (p' - p),    s_t = 1 + (final - 1) min(t / iterations, 1),    t = 0, 1, ...

    Parameters
    ----------
    optimiser
        The optimiser whose update ``p'`` is scaled; for ``sgd`` this scales its learning rate.
    iterations
        Number of updates until the factor is `final`, at least 1.
    final
        The factor from then on, in [0, 1].
    """
    if iterations < 1 or not 0 <= final <= 1:
        raise ConfigurationError(
            f"linear_decay: iterations={iterations} must be at least 1, and final={final} in [0, 1]"
        )
    return Optimiser(partial(_counted, optimiser), partial(_linear_decay, optimiser, iterations, final))


def _counted(optimiser: Optimiser, parameters: Any) -> Any:
    return {"step": np.zeros(()), "optimiser": optimiser.init(parameters)}


def _linear_decay(
    optimiser: Optimiser, iterations: int, final: float, gradient: Any, state: Any, parameters: Any
) -> tuple[Any, Any]:
    proposed, inner = optimiser.update(gradient, state["optimiser"], parameters)
    factor = 1.0 + (final - 1.0) * minimum(state["step"] / iterations, 1.0)
    moved = tree.map(lambda p, q: add(p, astype(factor, p.dtype) * (q - p)), parameters, proposed)
    return moved, {"step": add(state["step"], 1.0), "optimiser": inner}


def by_part(**optimisers: Optimiser) -> Optimiser:
    """Return one optimiser for each entry of a dict of parameters, as in
    ``by_part(initial=adam(), rates=sgd(0.1))``.

    Parameters
    ----------
    **optimisers
        One optimiser for each key.

    Raises
    ------
    ShapeError
        In ``init`` and ``update``, if the parameters are not a dict with these keys.
    """
    return Optimiser(partial(_states_by_part, optimisers), partial(_by_part, optimisers))


def _states_by_part(optimisers: dict[str, Optimiser], parameters: Any) -> Any:
    _check_parts(optimisers, parameters)
    return {key: optimiser.init(parameters[key]) for key, optimiser in optimisers.items()}


def _by_part(optimisers: dict[str, Optimiser], gradient: Any, state: Any, parameters: Any) -> tuple[Any, Any]:
    _check_parts(optimisers, parameters)
    updated = {key: each.update(gradient[key], state[key], parameters[key]) for key, each in optimisers.items()}
    return {key: new for key, (new, _) in updated.items()}, {key: after for key, (_, after) in updated.items()}


def _check_parts(optimisers: dict[str, Optimiser], parameters: Any) -> None:
    if not isinstance(parameters, dict) or parameters.keys() != optimisers.keys():
        found = list(parameters) if isinstance(parameters, dict) else f"a {type(parameters).__name__}"
        raise ShapeError(f"by_part: there are optimisers for {list(optimisers)}, but the parameters are {found}")


def _nothing(parameters: Any) -> tuple[()]:
    return ()


def _zeros(parameters: Any) -> Any:
    return tree.map(lambda p: np.zeros(p.shape, p.dtype), parameters)


def _check(name: str, fractions: dict[str, float] | None = None, **positive: float) -> None:
    for what, value in (fractions or {}).items():
        if not 0 <= value < 1:
            raise ConfigurationError(f"{name}: {what}={value} must be in [0, 1)")
    for what, value in positive.items():
        if not 0 < value < float("inf"):
            raise ConfigurationError(f"{name}: {what}={value} must be positive and finite")
