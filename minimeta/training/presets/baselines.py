"""The settings of each baseline, whatever the benchmark."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from minimeta.learners import FineTuning, MetaLearner, NearestNeighbour
from minimeta.optim import Optimiser, adam, by_part, sgd
from minimeta.training.configuration import require
from minimeta.training.presets.parts import LearnerSettings, Problem

_AVERAGED = 0.02
"""Step size towards a measured loss: a running mean over about fifty training steps."""


@dataclass(frozen=True)
class FineTuningSettings(LearnerSettings):
    """Gradient descent from random parameters at the best fixed rate.

    Training finds that rate and leaves the network as it was drawn.

    Raises
    ------
    ConfigurationError
        If a value is out of range.
    """

    rates: tuple[float, ...] = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
    """Step sizes of fine-tuning to choose from."""
    inner_steps: int = 10
    """Number of steps after which the rates are compared."""

    name: ClassVar[str] = "finetuning"

    def __post_init__(self) -> None:
        require(self, names="rates", above=0)
        require(self, names="inner_steps", at_least=1)

    def learner(self, problem: Problem) -> MetaLearner:
        """Build fine-tuning from random parameters."""
        return FineTuning(problem.model, problem.loss, self.rates, self.inner_steps, metrics=problem.metrics)

    def optimiser(self, iterations: int) -> Optimiser:
        """Build the running means of the losses."""
        return sgd(_AVERAGED)


@dataclass(frozen=True)
class PretrainingSettings(LearnerSettings):
    """One model for all tasks together, then fine-tuned at the best fixed rate.

    Raises
    ------
    ConfigurationError
        If a value is out of range.
    """

    rates: tuple[float, ...] = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02)
    """Step sizes of fine-tuning to choose from."""
    inner_steps: int = 1
    """Number of steps after which the rates are compared."""
    learning_rate: float = 0.001
    """Step size of Adam in training."""

    name: ClassVar[str] = "pretraining"

    def __post_init__(self) -> None:
        require(self, names="rates learning_rate", above=0)
        require(self, names="inner_steps", at_least=1)

    def learner(self, problem: Problem) -> MetaLearner:
        """Build joint pre-training with fine-tuning."""
        return FineTuning(
            problem.model, problem.loss, self.rates, self.inner_steps, pretrain=True, metrics=problem.metrics
        )

    def optimiser(self, iterations: int) -> Optimiser:
        """Build Adam for the model and the running means of the losses."""
        return by_part(initial=adam(self.learning_rate), losses=sgd(_AVERAGED))


@dataclass(frozen=True)
class NearestSettings(LearnerSettings):
    """The nearest neighbour among the inputs, which has nothing to train and nothing to set."""

    name: ClassVar[str] = "nearest"

    def learner(self, problem: Problem) -> MetaLearner:
        """Build the nearest neighbour."""
        return NearestNeighbour(problem.loss, problem.ways, problem.metrics)

    def optimiser(self, iterations: int) -> Optimiser:
        """Build an optimiser, of no parameters."""
        return sgd(1.0)
