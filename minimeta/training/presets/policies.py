"""The settings of learners that act, whatever the environment (Finn et al. 2017, section 5.3).

maml, fomaml    adaptation by policy gradients, on the meta-parameters of TRPO, Adam or PPO
reptile         the same adaptation; the meta-parameters move to where it arrives
pretraining     one policy for all tasks together, then adapted: MAML without steps in training
finetuning      adapted from random parameters, which no training moves
oracle          one policy that sees the task, and does not adapt
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from minimeta.learners import MAML, MetaLearner, Reptile, outer_step
from minimeta.optim import Optimiser, adam, sgd_by_step
from minimeta.rl import Agent, TrustRegion, estimator
from minimeta.rl.policy_losses import clipped, estimated, ratio
from minimeta.rl.repeated import Repeated
from minimeta.training.configuration import require
from minimeta.training.fit import OuterStep
from minimeta.training.presets.parts import LearnerSettings, Problem


@dataclass(frozen=True)
class ActingSettings(LearnerSettings):
    """What all learners that act have.

    Raises
    ------
    ConfigurationError
        If a value is out of range.
    """

    inner_learning_rates: tuple[float, ...] = (0.1,)
    """Step size of the first step of adaptation, of the second, and so on; the last one holds from there on."""
    episodes: int = 20
    """Episodes of each task before each step of adaptation, and after the last."""
    discount: float = 0.99
    """Discount of later rewards, gamma."""
    decay: float = 1.0
    """How far advantages look ahead, lambda of Schulman et al. 2016."""
    estimator: Literal["surrogate", "dice", "lvc"] = "surrogate"
    """What adaptation differentiates: right in the gradient, at every order, or biased and of low variance."""

    def __post_init__(self) -> None:
        require(self, names="inner_learning_rates", above=0)
        require(self, names="episodes", at_least=1)
        require(self, names="discount decay", at_least=0, at_most=1)

    def agent(self, learner: MAML | Reptile) -> Agent:
        """Return a learner that acts."""
        return Agent(learner, self.episodes, self.discount, self.decay)


@dataclass(frozen=True)
class PolicyPretrainingSettings(ActingSettings):
    """One policy for all tasks together, trained by an outer step alone.

    Raises
    ------
    ConfigurationError
        If a value is out of range.
    """

    outer: Literal["trpo", "adam", "ppo"] = "trpo"
    """What moves the meta-parameters: a trust region, Adam, or five steps of Adam on a clipped ratio."""
    bound: float = 0.01
    """Largest divergence of a step of TRPO."""
    curvature: Literal["exact", "central", "released"] = "exact"
    """How TRPO multiplies with the Hessian: exactly, by differences, or by the differences of the released code."""
    learning_rate: float = 0.01
    """Step size of Adam."""

    name: ClassVar[str] = "pretraining"
    order: ClassVar[Literal[1, 2]] = 2
    inner_steps = 0  # no setting, until MAML makes it one

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, names="bound learning_rate", above=0)

    def learner(self, problem: Problem) -> MetaLearner:
        """Build MAML, with as many steps of adaptation as the learner has."""
        policy: Any = problem.model
        learner = MAML(
            policy,
            estimated(policy, estimator(self.estimator)),
            inner_steps=self.inner_steps,
            order=self.order,
            inner_optimiser=sgd_by_step(self.inner_learning_rates),
            query_loss=clipped(policy) if self.outer == "ppo" else ratio(policy),
        )
        return self.agent(learner)

    def optimiser(self, iterations: int) -> Optimiser | OuterStep:
        """Build the outer step."""
        if self.outer == "trpo":
            return TrustRegion(self.bound, curvature=self.curvature)
        return adam(self.learning_rate) if self.outer == "adam" else Repeated(adam(self.learning_rate), 5)


class OracleSettings(PolicyPretrainingSettings):
    """One policy that sees the task."""

    name: ClassVar[str] = "oracle"


@dataclass(frozen=True)
class PolicyMAMLSettings(PolicyPretrainingSettings):
    """MAML for policies.

    Raises
    ------
    ConfigurationError
        If a value is out of range.
    """

    inner_steps: int = 1
    """Adaptation steps in training."""

    name: ClassVar[str] = "maml"

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, names="inner_steps", at_least=1)


class FirstOrderPolicyMAMLSettings(PolicyMAMLSettings):
    """First-order MAML for policies."""

    name: ClassVar[str] = "fomaml"
    order: ClassVar[Literal[1, 2]] = 1


@dataclass(frozen=True)
class PolicyReptileSettings(ActingSettings):
    """Reptile for policies.

    Raises
    ------
    ConfigurationError
        If a value is out of range.
    """

    inner_steps: int = 2
    """Adaptation steps in training."""
    outer_step_size: float = 1.0
    """How far the first outer step moves towards the adapted parameters: 1 for all the way."""
    final_step: float = 0.0
    """Fraction of that step size which is left at the end of a linear decay over all iterations."""

    name: ClassVar[str] = "reptile"

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, names="inner_steps", at_least=1)
        require(self, names="outer_step_size", above=0)
        require(self, names="final_step", at_least=0, at_most=1)

    @property
    def scheduled(self) -> bool:
        """The outer step size decays."""
        return True

    def learner(self, problem: Problem) -> MetaLearner:
        """Build Reptile."""
        policy: Any = problem.model
        loss, optimiser = estimated(policy, estimator(self.estimator)), sgd_by_step(self.inner_learning_rates)
        return self.agent(Reptile(policy, loss, optimiser, self.inner_steps, shared_state=False))

    def optimiser(self, iterations: int) -> Optimiser:
        """Build the outer step."""
        return outer_step(self.outer_step_size, iterations, self.final_step)


class RandomPolicySettings(ActingSettings):
    """A policy that adapts from random parameters."""

    name: ClassVar[str] = "finetuning"

    def learner(self, problem: Problem) -> MetaLearner:
        """Build MAML without steps in training."""
        policy: Any = problem.model
        optimiser = sgd_by_step(self.inner_learning_rates)
        return self.agent(MAML(policy, estimated(policy), inner_steps=0, inner_optimiser=optimiser))

    def optimiser(self, iterations: int) -> Optimiser:
        """Build an optimiser that moves nothing."""
        return Optimiser(_nothing, _still)


def _nothing(parameters: object) -> tuple[()]:
    return ()


def _still(gradient: object, state: object, parameters: object) -> tuple[object, object]:
    return parameters, state
