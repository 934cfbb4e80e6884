"""The outer step of TRPO: down the surrogate, to a bounded distance from the policies that acted.

Schulman et al. 2015 (arXiv:1502.05477), appendix C, on the meta-objective (Finn et al. 2017,
section 5.3). With ``L(theta)``, the *surrogate*, the mean over tasks of the query loss after
adaptation, ``D(theta)`` that of the divergence from the policies that acted, g the gradient of L
and H the Hessian of D at the current parameters,

    x ~ (H + c I)^{-1} g             by conjugate gradients, from products H v
    s = sqrt(2 b / (x . H x + 1e-8))
    theta' = theta - 0.8^j s x       for the first j = 0, 1, ... with L(theta') < L(theta) and D(theta') <= b

and ``theta' = theta`` if there is none among 15.

**The Hessian needs no third derivative**, although theta passes through adaptation. D is a function
d of the policies' outputs ``y(theta)`` on the states that were met, and with J the Jacobian of y

    H = J^T (Hessian of d at y) J + sum_i (d d / d y_i) (Hessian of y_i)

whose last term alone has third derivatives of the policy's logarithm. At the current parameters the
adapted policies are those that acted, d is at its minimum 0, and its gradient is 0: that term is
gone. With ``theta_i(theta)`` the parameters that adapted to task i, this is

    H = mean over i of J_i^T F_i J_i,    J_i = d theta_i / d theta, which is I - a H_i for one step of adaptation,

and ``F_i`` the Fisher matrix of the adapted policy in its own states. So ``H v`` is a derivative
along v, a product with the small Hessian of d, and a derivative backwards. They share what does not
depend on v, the steps of adaptation and the values of all layers, which is computed once. So does g,
the same derivative backwards of the loss in y, where the learner's meta-gradient is that of L.

    exact       H v = J^T (Hessian of d) J v
    central     H v ~ [grad D(theta + h v) - grad D(theta - h v)] / (2 h),    h = 1e-8 / |theta|
    released    the same with h = 1 / |theta|: what the code released with MAML computes, because it passes
                the number of slices where its optimiser expects the step

The paper takes differences "to avoid third derivatives". Its step is so small that rounding in
float32 leaves nothing of them; the far larger step of the slip repairs that.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from minimeta.autodiff import grad, hvp, tree, vjp
from minimeta.autodiff.operations import astype, concatenate, logical_and, reshape, sqrt, sum, where
from minimeta.counts import check_counts
from minimeta.errors import ConfigurationError, DataError
from minimeta.learners import MAML
from minimeta.program import compile, vmap
from minimeta.rl.agent import Agent, returns
from minimeta.tasks import Task

if TYPE_CHECKING:
    from minimeta.learners import MetaLearner

Curvature = Literal["exact", "central", "released"]
Flat: TypeAlias = Any
"""A vector in float64, an array or one that is traced."""


@dataclass(frozen=True)
class TrustRegion:
    """The outer step of TRPO.

    Parameters
    ----------
    bound
        ``b``, the largest divergence.
    iterations
        Iterations of conjugate gradients.
    damping
        ``c``.
    backtracks
        How many steps to try.
    shrink
        By how much a step is shortened after one that failed.
    curvature
        How products with H are computed.

    Raises
    ------
    ConfigurationError
        If a setting is out of range.
    """

    bound: float = 0.01
    iterations: int = 10
    damping: float = 1e-5
    backtracks: int = 15
    shrink: float = 0.8
    curvature: Curvature = "exact"

    def __post_init__(self) -> None:
        if not 0 < self.bound < math.inf or not 0 < self.shrink < 1 or not 0 <= self.damping < math.inf:
            raise ConfigurationError(
                f"TrustRegion: bound={self.bound} must be positive, damping={self.damping} not negative, and "
                f"shrink={self.shrink} between 0 and 1"
            )
        check_counts(self, "iterations backtracks")
        if self.curvature not in ("exact", "central", "released"):
            raise ConfigurationError(f"TrustRegion: curvature={self.curvature!r} must be exact, central or released")

    def init(self, parameters: Any) -> Any:
        """Return the state: none."""
        return ()

    def make_step(self, learner: MetaLearner, compiled: bool = True) -> Callable[..., tuple[Any, Any, Any, Any]]:
        """Return the whole step, ``step(meta_parameters, state, batch) -> (meta_parameters, state, losses, metrics)``.

        Raises
        ------
        ConfigurationError
            If the learner is no :class:`Agent`.
        DataError
            In the step, if a task of the batch has no step.
        """
        if not isinstance(learner, Agent):
            raise ConfigurationError(
                f"TrustRegion: {type(learner).__name__} has no policy, whose changes bound the step: it needs an Agent"
            )

        # Then the meta-gradient is that of L.
        is_derivative = (
            isinstance(learner.learner, MAML)
            and type(learner.learner).meta_gradient is MAML.meta_gradient
            and learner.learner.step_weights is None
        )

        # Eagerly, too: the walk back through a vmap adds up tasks in an order of its own.
        outputs = vmap(learner.outputs, (None, 0), keep=True)
        judgements = vmap(lambda found, task: learner.judge(found, task.query.targets), 0, "sum", enabled=compiled)
        gradients = vmap(
            lambda at, task: learner.learner.meta_gradient(at, task).gradient, (None, 0), "sum", enabled=compiled
        )
        reports = vmap(returns, enabled=compiled)

        def judge(found: Any, batch: Task) -> tuple[Any, Any]:
            """Return L and D."""
            loss, divergence = judgements(found, batch)
            return loss / _count(batch), divergence / _count(batch)

        def seek(meta_parameters: Any, batch: Task) -> tuple[Any, Any, Any, Any]:
            """Return ``s x``, L, and what a step reports."""
            theta, back = _flattened(meta_parameters)
            acted, pull, along_and_back = products_at_minimum(
                lambda at: outputs(at, batch), lambda found: judge(found, batch)[1], meta_parameters
            )
            slope = grad(lambda at: judge(outputs(at, batch), batch)[1])

            def exact(v: Flat) -> Flat:
                return _flattened(along_and_back(back(v)))[0]

            def differences(v: Flat) -> Flat:
                h = (1.0 if self.curvature == "released" else 1e-8) / (sqrt(sum(theta * theta)) + 1e-8)
                ahead, behind = (_flattened(slope(back(theta + sign * h * v)))[0] for sign in (1.0, -1.0))
                return (ahead - behind) / (2.0 * h)

            times = exact if self.curvature == "exact" else differences
            if is_derivative:  # What it needs has been computed.
                total = pull(grad(lambda found: judgements(found, batch)[0])(acted))[0]
            else:
                total = gradients(meta_parameters, batch)
            downhill = _flattened(total)[0] / _count(batch)
            x, image = conjugate_gradients(lambda v: times(v) + self.damping * v, downhill, self.iterations)
            # Differences are not linear in v: what was summed up along the way is not their product with x.
            curved = sum(x * (image - self.damping * x if times is exact else times(x)))
            is_sound = curved > -1e-8
            longest = where(is_sound, sqrt(2 * self.bound / where(is_sound, curved + 1e-8, 1.0)), 0.0)
            return longest * x, judge(acted, batch)[0], *reports(batch)

        def attempt(meta_parameters: Any, farthest: Flat, share: float, batch: Task) -> tuple[Any, Any, Any]:
            """Return the parameters after a share of ``s x``, L and D."""
            theta, back = _flattened(meta_parameters)
            tried = back(theta - share * farthest)
            return tried, *judge(outputs(tried, batch), batch)

        for function in (seek, attempt):
            function.__qualname__ = f"the outer step of {type(learner.learner).__name__}"
        seek, attempt = (compile(function, enabled=compiled) for function in (seek, attempt))

        def step(meta_parameters: Any, state: Any, batch: Task) -> tuple[Any, Any, Any, Any]:
            _refuse_empty(batch)
            farthest, before, losses, metrics = seek(meta_parameters, batch)
            reached = meta_parameters
            for number in range(self.backtracks):
                tried, loss, divergence = attempt(meta_parameters, farthest, self.shrink**number, batch)
                if loss < before and divergence <= self.bound:
                    reached = tried
                    break
            return reached, state, losses, metrics

        return step


def products_at_minimum(
    outputs: Callable[[Any], Any], distance: Callable[[Any], Any], parameters: Any
) -> tuple[Any, Callable[[Any], tuple[Any]], Callable[[Any], Any]]:
    """Return ``y = outputs(parameters)``, products with its Jacobian J, and products with the Hessian of
    ``distance(outputs(.))``, where y is the minimum of the distance.

    Parameters
    ----------
    outputs
        From parameters to a tree of arrays.
    distance
        From such a tree to a scalar.
    parameters
        A tree of arrays.

    Returns
    -------
    y
        The outputs.
    pull
        ``g -> (J^T g,)`` for a tree g like y.
    times
        ``v -> J^T (Hessian of distance at y) J v`` for a tree v like the parameters. Nothing that
        does not depend on v is computed again.
    """
    y, pull = vjp(outputs, parameters)
    _, push = vjp(pull, tree.map(lambda x: np.zeros(x.shape, x.dtype), y))  # v -> J v: the transpose of g -> J^T g

    def times(v: Any) -> Any:
        (along,) = push((v,))
        (weighted,) = hvp(distance, (y,), (along,))
        return pull(weighted)[0]

    return y, pull, times


def conjugate_gradients(
    times: Callable[[Flat], Flat], target: Flat, iterations: int, enough: float = 1e-10
) -> tuple[Flat, Flat]:
    """Return an approximate solution x of ``A x = target``, from 0 (Hestenes and Stiefel 1952).

    Parameters
    ----------
    times
        ``A v`` of a vector, A symmetric and positive.
    target
        A vector.
    iterations
        How many products to compute.
    enough
        The squared norm of the residual from which on x stays as it is.

    Returns
    -------
    solution, image
        ``x`` and ``A x``.
    """
    x, image = np.zeros(target.shape, target.dtype), np.zeros(target.shape, target.dtype)
    residual = direction = target
    squared = sum(residual * residual)
    for _ in range(iterations):
        product = times(direction)
        curved = sum(direction * product)
        goes_on = logical_and(squared >= enough, curved != 0.0)  # Differences may be lost in rounding altogether.
        size = where(goes_on, squared / where(goes_on, curved, 1.0), 0.0)
        x, image = x + size * direction, image + size * product
        residual = residual - size * product
        before, squared = squared, sum(residual * residual)
        direction = where(goes_on, residual + squared / where(goes_on, before, 1.0) * direction, direction)
    return x, image


def _refuse_empty(batch: Any) -> None:
    """Refuse a task without a single step: its means are 0 / 0, and NaN would be no error, only no step."""
    for phase, examples in enumerate((*batch.support.sets, batch.query)):
        taken = np.any(examples.targets.mask, axis=(-2, -1))
        if not np.all(taken):
            raise DataError(
                f"TrustRegion: task {np.argmin(taken)} of {len(taken)} took no step in phase {phase} (its mask is 0 "
                "everywhere), so it has no loss and no divergence: leave the task out of the batch"
            )


def _count(batch: Task) -> float:
    return float(len(tree.flatten(batch)[0][0]))


def _flattened(parameters: Any) -> tuple[Flat, Callable[[Flat], Any]]:
    """Return all parameters as one vector in float64, and the way back to their shapes and dtypes."""
    leaves, structure = tree.flatten(parameters)
    ends = [0, *itertools.accumulate(math.prod(leaf.shape) for leaf in leaves)]

    def back(vector: Flat) -> Any:
        parts = [vector[begin:end] for begin, end in itertools.pairwise(ends)]
        return tree.unflatten(
            structure, [astype(reshape(x, leaf.shape), leaf.dtype) for x, leaf in zip(parts, leaves, strict=True)]
        )

    return concatenate([astype(reshape(leaf, -1), np.float64) for leaf in leaves]), back
