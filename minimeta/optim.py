"""Optimisers: pairs of pure functions.

    sgd        p <- p - a g
    momentum   v <- d v + g;                       p <- p - a v
    adam       m <- b1 m + (1 - b1) g;  v <- b2 v + (1 - b2) g**2
               p <- p - a (m / (1 - b1**t)) / (sqrt(v / (1 - b2**t)) + epsilon)

``init(parameters)`` makes the state, a tree of arrays; ``update(gradient, state, parameters)`` returns new parameters
and a new state. The number of steps ``t`` is part of the state, and an array like the rest, so that an update can be
traced, saved and resumed. Sums end in the library's own operations, which return arrays even of shape ().
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from minimeta.autodiff import tree
from minimeta.autodiff.operations import add, astype, power, sqrt, square, subtract
from minimeta.errors import ConfigurationError


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
    """Gradient descent.

    Parameters
    ----------
    learning_rate
        ``a``, positive.
    """
    _check("sgd", learning_rate=learning_rate)

    def update(gradient: Any, state: Any, parameters: Any) -> tuple[Any, Any]:
        return tree.map(lambda p, g: subtract(p, learning_rate * g), parameters, gradient), state

    return Optimiser(lambda parameters: (), update)


def momentum(learning_rate: float, decay: float = 0.9) -> Optimiser:
    """Gradient descent with a velocity (Polyak 1964).

    Parameters
    ----------
    learning_rate
        ``a``, positive.
    decay
        ``d``, in [0, 1).
    """
    _check("momentum", fractions={"decay": decay}, learning_rate=learning_rate)

    def update(gradient: Any, state: Any, parameters: Any) -> tuple[Any, Any]:
        velocity = tree.map(lambda v, g: add(decay * v, g), state, gradient)
        return tree.map(lambda p, v: subtract(p, learning_rate * v), parameters, velocity), velocity

    return Optimiser(_zeros, update)


def adam(learning_rate: float = 1e-3, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8) -> Optimiser:
    """Adam (Kingma and Ba 2015, arXiv:1412.6980).

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

    def init(parameters: Any) -> Any:
        return {"step": np.zeros(()), "first_moment": _zeros(parameters), "second_moment": _zeros(parameters)}

    def update(gradient: Any, state: Any, parameters: Any) -> tuple[Any, Any]:
        step = add(state["step"], 1.0)
        first = tree.map(lambda m, g: add(beta1 * m, (1 - beta1) * g), state["first_moment"], gradient)
        second = tree.map(lambda v, g: add(beta2 * v, (1 - beta2) * square(g)), state["second_moment"], gradient)
        # The corrections of both moments as one step size and one epsilon: the same formula, two passes fewer.
        root = sqrt(1.0 - power(beta2, step))
        size, shift = learning_rate * root / (1.0 - power(beta1, step)), epsilon * root

        def moved(p: Any, m: Any, v: Any) -> Any:
            return subtract(p, astype(size, p.dtype) * m / (sqrt(v) + astype(shift, p.dtype)))

        return tree.map(moved, parameters, first, second), {
            "step": step,
            "first_moment": first,
            "second_moment": second,
        }

    return Optimiser(init, update)


def _zeros(parameters: Any) -> Any:
    return tree.map(lambda p: np.zeros(p.shape, p.dtype), parameters)


def _check(name: str, fractions: dict[str, float] | None = None, **positive: float) -> None:
    for what, value in (fractions or {}).items():
        if not 0 <= value < 1:
            raise ConfigurationError(f"{name}: {what}={value} must be in [0, 1)")
    for what, value in positive.items():
        if not 0 < value < float("inf"):
            raise ConfigurationError(f"{name}: {what}={value} must be positive and finite")
