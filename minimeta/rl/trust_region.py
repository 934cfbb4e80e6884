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
gone. So ``H v`` is a derivative along v, a product with the small Hessian of d, and a derivative
backwards.

    exact       H v = J^T (Hessian of d) J v
    central     H v ~ [grad D(theta + h v) - grad D(theta - h v)] / (2 h),    h = 1e-8 / |theta|
    released    the same with h = 1 / |theta|: what the code released with MAML computes, because it passes
                the number of slices where its optimiser expects the step

The paper takes differences "to avoid third derivatives". Its step is so small that rounding in
float32 leaves nothing of them; the far larger step of the slip repairs that.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from minimeta.autodiff import grad, hvp, jvp, tree, vjp
from minimeta.counts import check_counts
from minimeta.errors import ConfigurationError
from minimeta.program import compile, vmap
from minimeta.rl.agent import Agent, returns
from minimeta.tasks import Task

if TYPE_CHECKING:
    from minimeta.learners import MetaLearner

Curvature = Literal["exact", "central", "released"]
Flat = NDArray[np.float64]


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
        """
        if not isinstance(learner, Agent):
            raise ConfigurationError(
                f"TrustRegion: {type(learner).__name__} has no policy, whose changes bound the step: it needs an Agent"
            )

        def mean_over_tasks(function: Callable[..., Any], *shared: None) -> Callable[..., Any]:
            summed = vmap(function, (*shared, None, 0), "sum", enabled=compiled)

            def mean(*arguments: Any) -> Any:
                count = len(tree.flatten(arguments[-1])[0][0])
                return tree.map(lambda x: x / float(count), summed(*arguments))

            mean.__qualname__ = f"the outer step of {type(learner.learner).__name__}"
            return compile(mean, enabled=compiled)

        def judge(parameters: Any, task: Any) -> Any:
            return learner.judge(learner.outputs(parameters, task), task.query.targets)

        def product(vector: Any, parameters: Any, task: Any) -> Any:
            def outputs(at: Any) -> Any:
                return learner.outputs(at, task)

            def distance(outputs: Any) -> Any:
                return learner.judge(outputs, task.query.targets)[1]

            reached, along = jvp(outputs, (parameters,), (vector,))
            (weighted,) = hvp(distance, (reached,), (along,))
            return vjp(outputs, parameters)[1](weighted)[0]

        judge_all = mean_over_tasks(judge)
        gradient_of_distance = mean_over_tasks(grad(lambda parameters, task: judge(parameters, task)[1]))
        curvature = mean_over_tasks(product, None)
        gradient = mean_over_tasks(lambda parameters, task: learner.learner.meta_gradient(parameters, task).gradient)
        judged = compile(vmap(returns, enabled=compiled), enabled=compiled)

        def step(meta_parameters: Any, state: Any, batch: Task) -> tuple[Any, Any, Any, Any]:
            theta, back = _flattened(meta_parameters)

            def times(vector: Flat) -> Flat:
                if self.curvature == "exact":
                    return _flattened(curvature(back(vector), meta_parameters, batch))[0]
                h = (1.0 if self.curvature == "released" else 1e-8) / (float(np.linalg.norm(theta)) + 1e-8)
                ahead, behind = (
                    _flattened(gradient_of_distance(back(theta + sign * h * vector), batch))[0] for sign in (1, -1)
                )
                return (ahead - behind) / (2 * h)

            downhill = _flattened(gradient(meta_parameters, batch))[0]
            direction = conjugate_gradients(lambda v: times(v) + self.damping * v, downhill, self.iterations)
            curved = float(np.sum(direction * times(direction)))
            longest = math.sqrt(2 * self.bound / (curved + 1e-8)) if curved > -1e-8 else 0.0
            before = float(judge_all(meta_parameters, batch)[0])
            reached = meta_parameters
            for number in range(self.backtracks):
                tried = back(theta - self.shrink**number * longest * direction)
                loss, divergence = map(float, judge_all(tried, batch))
                if loss < before and divergence <= self.bound:
                    reached = tried
                    break
            return reached, state, *judged(batch)

        return step


def conjugate_gradients(times: Callable[[Flat], Flat], target: Flat, iterations: int, enough: float = 1e-10) -> Flat:
    """Return an approximate solution x of ``A x = target``, from 0 (Hestenes and Stiefel 1952).

    Parameters
    ----------
    times
        ``A v`` of a vector, A symmetric and positive.
    target
        A vector.
    iterations
        How many products to compute at most.
    enough
        The squared norm of the residual at which to stop.
    """
    x, residual, direction = np.zeros_like(target), target.copy(), target.copy()
    squared = float(np.sum(residual * residual))
    for _ in range(iterations):
        if squared < enough:
            break
        image = times(direction)
        curved = float(np.sum(direction * image))
        if curved == 0:  # Differences may be lost in rounding altogether.
            break
        size = squared / curved
        x = x + size * direction
        residual = residual - size * image
        before, squared = squared, float(np.sum(residual * residual))
        direction = residual + squared / before * direction
    return x


def _flattened(parameters: Any) -> tuple[Flat, Callable[[Flat], Any]]:
    """Return all parameters as one vector in float64, and the way back to their shapes and dtypes."""
    leaves, structure = tree.flatten(parameters)
    ends = np.cumsum([leaf.size for leaf in leaves])[:-1]

    def back(vector: Flat) -> Any:
        parts = np.split(vector, ends)
        return tree.unflatten(
            structure, [part.reshape(leaf.shape).astype(leaf.dtype) for part, leaf in zip(parts, leaves, strict=True)]
        )

    return np.concatenate([leaf.reshape(-1).astype(np.float64) for leaf in leaves]), back
