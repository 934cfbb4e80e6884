"""What each baseline needs to know."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from minimeta.learners import FineTuning, MetaLearner, NearestNeighbour
from minimeta.optim import Optimiser, adam, by_part, sgd
from minimeta.training.configuration import require
from minimeta.training.presets.experiment import LearnerName, Preset, Problem


@dataclass(frozen=True)
class FineTuningSettings(Preset):
    """Gradient descent from random parameters at the best fixed rate.

    Training finds which rate that is: it leaves the network as it is drawn.
    """

    rates: tuple[float, ...] = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
    """Step sizes to choose from."""
    inner_steps: int = 10
    """After how many steps they are compared."""

    learners: ClassVar[tuple[LearnerName, ...]] = ("finetuning",)

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, names="rates", above=0)
        require(self, names="inner_steps", at_least=1)

    def learner(self, name: LearnerName, problem: Problem) -> MetaLearner:
        """Build fine-tuning from random parameters."""
        return FineTuning(problem.model, problem.loss, self.rates, self.inner_steps, metrics=problem.metrics)

    def optimiser(self) -> Optimiser:
        """Running means of about fifty training steps."""
        return sgd(0.02)


@dataclass(frozen=True)
class PretrainingSettings(Preset):
    """One model for all tasks together, then fine-tuned at the best fixed rate."""

    rates: tuple[float, ...] = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02)
    """Step sizes of fine-tuning to choose from."""
    inner_steps: int = 1
    """After how many steps they are compared."""
    learning_rate: float = 0.001
    """Step size of Adam in training."""

    learners: ClassVar[tuple[LearnerName, ...]] = ("pretraining",)

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, names="rates learning_rate", above=0)
        require(self, names="inner_steps", at_least=1)

    def learner(self, name: LearnerName, problem: Problem) -> MetaLearner:
        """Build joint pre-training with fine-tuning."""
        return FineTuning(
            problem.model, problem.loss, self.rates, self.inner_steps, pretrain=True, metrics=problem.metrics
        )

    def optimiser(self) -> Optimiser:
        """Adam, and running means of about fifty training steps."""
        return by_part(initial=adam(self.learning_rate), losses=sgd(0.02))


@dataclass(frozen=True)
class NearestSettings(Preset):
    """The nearest neighbour on inputs; there is nothing to train."""

    learners: ClassVar[tuple[LearnerName, ...]] = ("nearest",)

    def learner(self, name: LearnerName, problem: Problem) -> MetaLearner:
        """Build the nearest neighbour."""
        return NearestNeighbour(problem.loss, problem.ways, problem.metrics)

    def optimiser(self) -> Optimiser:
        """Of no parameters."""
        return sgd(1.0)
