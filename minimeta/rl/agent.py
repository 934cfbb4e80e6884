"""An agent: a meta-learner whose model is a policy, and which collects the data that it learns from.

Finn et al. 2017, algorithm 3. For each task of a batch, with K steps of adaptation,

    D_k     episodes of the policy with theta_k,  k = 0, ..., K          (collect)
    theta_{k+1} = theta_k - a grad L(theta_k; D_k)                       (adapt, by the learner)

and the learner's meta-gradient is that of ``L'(theta_K; D_K)``, as a function of ``theta`` and of
data that are fixed. Any learner that adapts by gradients is an agent's: MAML, first-order MAML,
Reptile. Its losses are those of :mod:`minimeta.rl.policy_losses`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import numpy as np

from minimeta.autodiff.operations import astype
from minimeta.counts import check_counts
from minimeta.errors import ConfigurationError
from minimeta.learners import MAML, MetaGradient, Phases, Reptile
from minimeta.program import compile, vmap
from minimeta.rl import policy_losses
from minimeta.rl.advantages import advantages, feature_count
from minimeta.rl.environment import Environment
from minimeta.rl.policies import Policy
from minimeta.rl.trajectories import Experience, check, sample
from minimeta.tasks import Examples, Task

Collect = Callable[..., Task]


@dataclass(frozen=True)
class Agent:
    """A policy that learns to learn.

    The meta-parameters are those of the learner.

    Parameters
    ----------
    learner
        ``MAML`` or ``Reptile``, with the policy as its model.
    episodes
        Episodes of each task at once. In each phase, a task collects as many steps as so many
        episodes have if none ends early (:mod:`minimeta.rl.trajectories`).
    discount, decay
        ``gamma`` and ``lambda`` of the advantages (:mod:`minimeta.rl.advantages`).

    Raises
    ------
    ConfigurationError
        If a setting is out of range.
    """

    learner: MAML | Reptile
    episodes: int = 20
    discount: float = 0.99
    decay: float = 1.0

    def __post_init__(self) -> None:
        learner: Any = self.learner  # of a caller without types, it may be anything
        if not isinstance(learner, MAML | Reptile) or not hasattr(learner.model, "log_probability"):
            raise ConfigurationError(
                "Agent: its learner must be MAML or Reptile with a policy as the model, such as "
                f"Categorical(mlp(...), actions=2), and not {learner!r}"
            )
        check_counts(self, "episodes")
        for name in ("discount", "decay"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigurationError(f"Agent: {name}={getattr(self, name)} must be in [0, 1]")

    @property
    def policy(self) -> Policy:
        """The learner's model."""
        return cast("Policy", self.learner.model)

    @property
    def inner_steps(self) -> int:
        """Steps of adaptation in meta-training."""
        return self.learner.inner_steps

    def init(self, rng: np.random.Generator) -> Any:
        """Draw the learner's meta-parameters."""
        return self.learner.init(rng)

    def adapt(self, meta_parameters: Any, support: Any, steps: int) -> tuple[Any, ...]:
        """Return the parameters after 0, 1, ..., ``steps`` steps, each on its phase."""
        return self.learner.adapt(meta_parameters, support, steps)

    def predict(self, adapted: Any, inputs: Any) -> Any:
        """Return the policy's outputs."""
        return self.learner.predict(adapted, inputs)

    def meta_gradient(self, meta_parameters: Any, task: Task) -> MetaGradient:
        """Return the learner's meta-gradient; the loss is minus the mean return after adaptation."""
        gradient = self.learner.meta_gradient(meta_parameters, task).gradient
        return MetaGradient(*returns(task), gradient)

    def outputs(self, meta_parameters: Any, task: Task) -> Any:
        """Return the outputs of the adapted policy in the states of the query set."""
        adapted = self.adapt(meta_parameters, task.support, self.inner_steps)[-1]
        return self.predict(adapted, task.query.inputs)

    def judge(self, outputs: Any, found: Experience) -> tuple[Any, Any]:
        """Return what an outer step may look at while it searches: the query loss, and the mean of
        ``KL(acted || adapted)``, which says how far the adapted policy is from the one that acted."""
        loss = getattr(self.learner, "query_loss", None) or self.learner.loss
        return loss(outputs, found), policy_losses.divergence(self.policy)(outputs, found)

    def collector(self, compiled: bool = True) -> Collect:
        """Return a function that alternates sampling and adaptation.

        Parameters
        ----------
        compiled
            Whether to trace what is computed outside of the environments, and replay it. The bits
            are the same.

        Returns
        -------
        callable
            ``collect(meta_parameters, environments, steps, generator, episodes)`` returns the batch
            of tasks: the phases 0, ..., ``steps - 1`` as their support sets, and phase ``steps`` as
            their query sets. ``generator(task, phase)`` returns a new generator.
        """

        def act(parameters: Any, observations: Any, noise: Any) -> tuple[Any, Any]:
            outputs = self.predict(parameters, observations)
            return self.policy.act(outputs, noise), outputs

        def judged(observations: Any, rewards: Any, mask: Any, begin: Any) -> Any:
            found = advantages(observations, rewards, mask, begin, self.discount, self.decay)
            return astype(found, np.float32)

        def adapted(meta_parameters: Any, sets: tuple[Examples, ...], task: Any) -> Any:
            return self.adapt(meta_parameters, Phases(sets), len(sets))[-1]

        acts, judges, adapts = (
            compile(vmap(function, axes, enabled=compiled), enabled=compiled)
            for function, axes in ((act, 0), (judged, 0), (adapted, (None, 0, 0)))
        )

        def collect(
            meta_parameters: Any,
            environments: Sequence[Environment],
            steps: int,
            generator: Callable[[int, int], np.random.Generator],
            episodes: int | None = None,
        ) -> Task:
            count = self.episodes if episodes is None else episodes
            check(environments, count)
            self._refuse_too_short(environments[0], count)
            sets: tuple[Examples, ...] = ()
            for phase in range(steps + 1):
                # Before the first phase, the number of tasks is all that is mapped.
                parameters = adapts(meta_parameters, sets, np.zeros(len(environments)))
                rngs = [generator(task, phase) for task in range(len(environments))]
                observations, found = sample(environments, self.policy, partial(acts, parameters), rngs, count)
                better = judges(observations, found["rewards"], found["mask"], found["begin"])
                sets = (*sets, Examples(observations, Experience(**found, advantages=better)))  # type: ignore[arg-type]
            return Task(Phases(sets[:-1]), sets[-1])  # type: ignore[arg-type]

        return collect

    def _refuse_too_short(self, environment: Environment, episodes: int) -> None:
        steps, needed = episodes * environment.horizon, feature_count(*environment.observation.shape)
        if steps <= needed:
            raise ConfigurationError(
                f"{environment.name}: {episodes} episodes of {environment.horizon} steps are {steps} numbers, and the "
                f"baseline fits {needed} features to them: it needs more steps than features"
            )


def returns(task: Any) -> tuple[Any, dict[str, Any]]:
    """Return minus the mean return of a task after adaptation, and the mean returns before and after."""
    before, after = (
        mean_return(None, examples.targets) for examples in ((*task.support.sets, task.query)[0], task.query)
    )
    return -after, {"before": before, "return": after}


def mean_return(outputs: Any, found: Experience) -> Any:
    """Return the mean over episodes of the undiscounted return, a metric."""
    return found.mean_return
