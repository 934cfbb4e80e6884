"""Several steps of an optimiser on the data of one batch: the outer step of PPO.

    theta <- optimiser(theta, (g(theta, T_1) + ... + g(theta, T_B)) / B)    n times, with the same T_1, ..., T_B

Episodes cost time, so Schulman et al. 2017 (arXiv:1707.06347) take several steps on them; the
clipped loss (:mod:`minimeta.rl.policy_losses`) has no gradient that leads farther away from the
policies that acted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from minimeta.autodiff import tree
from minimeta.counts import check_counts
from minimeta.optim import Optimiser
from minimeta.program import compile, vmap

if TYPE_CHECKING:
    from minimeta.learners import MetaLearner
    from minimeta.tasks import Task


@dataclass(frozen=True)
class Repeated:
    """Several steps on one batch.

    Parameters
    ----------
    optimiser
        What takes the steps.
    times
        How many, at least 1.

    Raises
    ------
    ConfigurationError
        If it is fewer than one step.
    """

    optimiser: Optimiser
    times: int

    def __post_init__(self) -> None:
        check_counts(self, "times")

    def init(self, parameters: Any) -> Any:
        """Return the optimiser's state."""
        return self.optimiser.init(parameters)

    def make_step(self, learner: MetaLearner, compiled: bool = True) -> Callable[..., tuple[Any, Any, Any, Any]]:
        """Return the whole step, ``step(meta_parameters, state, batch) -> (meta_parameters, state, losses, metrics)``.

        Losses and metrics are those before the first step.
        """
        of_tasks = vmap(
            learner.meta_gradient, (None, 0), {"loss": 0, "metrics": 0, "gradient": "sum"}, enabled=compiled
        )

        def once(meta_parameters: Any, state: Any, batch: Task) -> tuple[Any, Any, Any, Any]:
            losses, metrics, gradient = of_tasks(meta_parameters, batch)
            gradient = tree.map(lambda g: g / float(losses.shape[0]), gradient)
            return *self.optimiser.update(gradient, state, meta_parameters), losses, metrics

        take = compile(once, enabled=compiled, check=True)

        def step(meta_parameters: Any, state: Any, batch: Task) -> tuple[Any, Any, Any, Any]:
            meta_parameters, state, losses, metrics = take(meta_parameters, state, batch)
            for _ in range(self.times - 1):
                meta_parameters, state, _, _ = take(meta_parameters, state, batch)
            return meta_parameters, state, losses, metrics

        return step
