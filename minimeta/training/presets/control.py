"""Reinforcement learning: the environments of Finn et al. 2017, and the policy that acts in them."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np

from minimeta.nn import mlp
from minimeta.rl import Environment, Gaussian, mean_return
from minimeta.rl.environments import (
    Informed,
    informed,
    random_direction,
    random_goal,
    random_velocity,
    released_directions,
    released_goals,
    released_velocities,
)
from minimeta.rl.environments.half_cheetah import check_installed
from minimeta.rl.policy_losses import estimated
from minimeta.training.configuration import require
from minimeta.training.presets.parts import BenchmarkSettings, Distributions, EvaluationSettings, Problem


@dataclass(frozen=True)
class ControlSettings(BenchmarkSettings):
    """A policy.

    Raises
    ------
    ConfigurationError
        If a value is out of range.
    """

    hidden: tuple[int, ...] = (100, 100)
    """Widths of the policy's hidden layers."""
    activation: Literal["relu", "tanh"] = "relu"
    """The function after each of them."""
    last_layer: float = 1.0
    """Factor of the first weights of the last layer: a small one, and the first actions are noise alone."""
    test_tasks: Literal["released", "drawn"] = "released"
    """The forty test tasks of the released code, or ones drawn by the seed of the evaluation."""
    sees_goal: bool = False
    """Whether the policy observes the goal, as an oracle does."""

    features: ClassVar[int]
    goals: ClassVar[int]
    actions: ClassVar[int]

    def __post_init__(self) -> None:
        require(self, names="hidden", at_least=1)
        require(self, names="last_layer", above=0)

    @abstractmethod
    def draw(self, rng: np.random.Generator) -> Environment:
        """Draw a task."""

    @abstractmethod
    def released(self) -> Sequence[Environment]:
        """Return the test tasks of the released code."""

    def problem(self) -> Problem:
        """Build the policy."""
        seen = self.features + self.goals * self.sees_goal
        network = mlp((seen, *self.hidden, self.actions), activation=self.activation, initialiser="glorot")
        policy: Any = Gaussian(network, self.actions, last_layer=self.last_layer)
        return Problem(
            policy,
            last_layer=f"mean/{len(self.hidden)}",
            loss=estimated(policy),
            metrics={},
            metric=mean_return,
            metric_name="return",
        )

    def tasks(self, evaluation: EvaluationSettings, data: str | os.PathLike[str] | None) -> Distributions:
        """Return the environments; they are drawn, so `data` is not used."""
        training: Any = informed(self.draw) if self.sees_goal else self.draw
        released: Any = tuple(Informed(task) if self.sees_goal else task for task in self.released())
        return Distributions(training, released if self.test_tasks == "released" else training, training)


@dataclass(frozen=True)
class NavigationSettings(ControlSettings):
    """A point that walks to a goal.

    Raises
    ------
    ConfigurationError
        If a value is out of range.
    """

    horizon: int = 100
    """Steps of an episode."""

    name: ClassVar[str] = "navigation"
    features: ClassVar[int] = 2
    goals: ClassVar[int] = 2
    actions: ClassVar[int] = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, names="horizon", at_least=1)

    def draw(self, rng: np.random.Generator) -> Environment:
        """Draw a goal."""
        return replace(random_goal(rng), horizon=self.horizon)

    def released(self) -> Sequence[Environment]:
        """Return the forty goals."""
        return tuple(replace(task, horizon=self.horizon) for task in released_goals())


class CheetahSettings(ControlSettings):
    """A cheetah."""

    features: ClassVar[int] = 20
    goals: ClassVar[int] = 1
    actions: ClassVar[int] = 6

    def tasks(self, evaluation: EvaluationSettings, data: str | os.PathLike[str] | None) -> Distributions:
        """Return the environments, if their simulator is installed: a run must not begin without it."""
        check_installed()
        return super().tasks(evaluation, data)


class CheetahDirectionSettings(CheetahSettings):
    """A cheetah that runs forwards or backwards."""

    name: ClassVar[str] = "cheetah-direction"

    def draw(self, rng: np.random.Generator) -> Environment:
        """Draw a direction."""
        return random_direction(rng)

    def released(self) -> Sequence[Environment]:
        """Return the forty directions."""
        return released_directions()


class CheetahVelocitySettings(CheetahSettings):
    """A cheetah that runs at a velocity."""

    name: ClassVar[str] = "cheetah-velocity"

    def draw(self, rng: np.random.Generator) -> Environment:
        """Draw a velocity."""
        return random_velocity(rng)

    def released(self) -> Sequence[Environment]:
        """Return the forty velocities."""
        return released_velocities()
