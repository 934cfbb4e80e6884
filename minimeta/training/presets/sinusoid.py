"""Sinusoid regression, by Finn et al. 2017 (section 5.1) and, with other waves, by Nichol et al. 2018 (section 4)."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from typing import ClassVar, Literal

from minimeta.nn import mean_squared_error, mlp
from minimeta.tasks import Sinusoid
from minimeta.training.configuration import require, setting
from minimeta.training.presets.baselines import FineTuningSettings, NearestSettings, PretrainingSettings
from minimeta.training.presets.experiment import EvaluationSettings, Preset, Problem
from minimeta.training.presets.learners import LSTMSettings, MAMLSettings, ReptileSettings


@dataclass(frozen=True)
class SinusoidSettings(Preset):
    """Waves and the network that learns them."""

    shots: int = setting(10, paper="10", code="10")
    """Support points per training task."""
    queries: int = setting(10, code="as many as shots")
    """Query points per training task."""
    hidden: tuple[int, ...] = setting((40, 40), paper="40 40", code="40 40")
    """Widths of the hidden layers."""
    activation: Literal["relu", "tanh"] = setting("relu", paper="relu", code="relu")
    """What follows each of them."""
    initialiser: Literal["he", "truncated_normal"] = setting("he", code="truncated normal, standard deviation 0.01")
    """Distribution of the initial weights; `he` takes the second moment of the inputs, 25/3, into account."""

    task: ClassVar[str] = "sinusoid"

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, names="shots queries hidden", at_least=1)

    def tasks(self) -> Sinusoid:
        """The waves to train on."""
        return Sinusoid.maml(self.shots, self.queries)

    def problem(self, data: str | os.PathLike[str] | None) -> Problem:
        """Build waves and network; waves are drawn, not read."""
        tasks = self.tasks()
        model = mlp(
            (1, *self.hidden, 1),
            activation=self.activation,
            initialiser=self.initialiser,
            input_second_moment=tasks.input_second_moment(),
        )
        judged = dataclasses.replace(tasks, shots=self.evaluation.shots, queries=self.evaluation.queries)
        return Problem(
            model,
            last_layer=str(len(self.hidden)),
            loss=mean_squared_error,
            metrics={},
            training_tasks=tasks,
            evaluation_tasks=judged,
            metric=mean_squared_error,
            metric_name="squared error",
            validation_tasks=judged,
        )


@dataclass(frozen=True)
class SinusoidPreset(MAMLSettings, SinusoidSettings):
    """Sinusoid regression, Finn et al. 2017, section 5.1: 1-40-40-1 network, ten points a wave.

    The paper trains for the loss after one gradient step alone, and tests after ten. What the later steps do is then
    left to chance: seeds agree after one step, and are a quarter apart after five. Half the loss after a second step
    takes that away, and leaves the first where it is.

    Raises
    ------
    ConfigurationError
        If a value is out of range.
    """

    inner_learning_rate: float = setting(0.01, paper="0.01", code="0.001 by default, and in the documented command")
    """Step size of adaptation."""
    inner_steps: int = setting(2, paper="1", code="1")
    """Adaptation steps in training."""
    step_weights: tuple[float, ...] = setting((0.5, 0.5), paper="the last alone", code="the last alone")
    """Weights of the query losses after each step of adaptation (Antoniou et al. 2019); none for the last one alone."""
    learning_rate: float = setting(0.001, paper="Adam", code="Adam, 0.001")
    """Step size of Adam on the meta-parameters."""
    meta_batch: int = setting(25, code="25")
    """Tasks per training step."""
    iterations: int = setting(70_000, code="70,000")
    """Training steps."""
    evaluation: EvaluationSettings = EvaluationSettings(shots=5, queries=100, steps=10)
    """Finn et al. adapt to 5 points in table 2; more queries narrow the interval and leave the mean where it is."""


@dataclass(frozen=True)
class ReptileSinusoidPreset(ReptileSettings, SinusoidSettings):
    """Sinusoid regression, Nichol et al. 2018: phases of the whole circle, the settings of the author's page of code.

    Raises
    ------
    ConfigurationError
        If a value is out of range.
    """

    shots: int = setting(50, code="all 50 points of the grid")
    """Support points per training task."""
    hidden: tuple[int, ...] = setting((64, 64), paper="64 64", code="64 64")
    """Widths of the hidden layers."""
    activation: Literal["relu", "tanh"] = setting("tanh", paper="relu", code="tanh: slightly better, it says")
    """What follows each of them."""
    initialiser: Literal["he", "truncated_normal"] = setting("he", code="the default of a framework")
    """Distribution of the initial weights; `he` takes the second moment of the inputs, 25/3, into account."""
    grid: int = setting(50, code="50")
    """How many points, evenly spaced, support points are drawn from."""
    inner_optimiser: Literal["sgd", "adam"] = setting("sgd", code="sgd")
    """What takes the steps of adaptation; `adam` is without momentum (beta1 = 0)."""
    inner_learning_rate: float = setting(0.02, code="0.02")
    """Its step size."""
    inner_steps: int = setting(5, code="5: one pass over 50 points in mini-batches of 10")
    """Adaptation steps in training."""
    inner_batch: int = setting(10, code="10")
    """Examples of a mini-batch in training."""
    evaluation_batch: int = setting(10, code="10")
    """Examples of a mini-batch in evaluation."""
    outer_step_size: float = setting(0.1, code="0.1")
    """How far the parameters move towards what the tasks make of them, in the beginning."""
    final_step: float = setting(0.0, code="0")
    """What the outer step falls to, on a straight line over all iterations, as a fraction of what it begins with."""
    meta_batch: int = setting(1, code="1")
    """Tasks per training step."""
    iterations: int = setting(30_000, code="30,000")
    """Training steps."""
    evaluation: EvaluationSettings = EvaluationSettings(shots=10, queries=100, steps=32)
    """The paper adapts to 10 points by 32 steps."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, names="grid", at_least=max(self.shots, self.evaluation.shots))

    def tasks(self) -> Sinusoid:
        """The waves to train on."""
        return Sinusoid.reptile(self.shots, self.queries, self.grid)


@dataclass(frozen=True)
class LSTMSinusoidPreset(LSTMSettings, SinusoidSettings):
    """Sinusoid regression with the LSTM meta-learner, as Huisman et al. have it: 8 steps on the network of Finn et al.

    Raises
    ------
    ConfigurationError
        If a value is out of range.
    """

    inner_steps: int = setting(8, code="8")
    """Adaptation steps in training, each on the whole support set."""
    meta_batch: int = setting(1, paper="1", code="1")
    """Tasks per training step."""
    iterations: int = setting(10_000, code="70,000")
    """Training steps."""
    evaluation: EvaluationSettings = EvaluationSettings(shots=10, queries=100, steps=8)
    """As many points and steps as in training."""


@dataclass(frozen=True)
class PretrainingSinusoidPreset(PretrainingSettings, SinusoidSettings):
    """Joint pre-training on all waves, then fine-tuning: a baseline of Finn et al. 2017.

    Raises
    ------
    ConfigurationError
        If a value is out of range.
    """

    rates: tuple[float, ...] = setting(
        (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02), paper="tuned automatically"
    )
    """Step sizes of fine-tuning to choose from."""
    learning_rate: float = setting(0.001, paper="Adam", code="Adam, 0.001")
    """Step size of Adam in training."""
    meta_batch: int = setting(25, code="25")
    """Tasks per training step."""
    iterations: int = setting(5_000, code="70,000")
    """Training steps."""
    evaluation: EvaluationSettings = EvaluationSettings(shots=5, queries=100, steps=10)
    """Finn et al. adapt to 5 points in table 2; more queries narrow the interval and leave the mean where it is."""


@dataclass(frozen=True)
class FineTuningSinusoidPreset(FineTuningSettings, SinusoidSettings):
    """Each wave learned from random parameters at the best fixed rate.

    Raises
    ------
    ConfigurationError
        If a value is out of range.
    """

    meta_batch: int = 10
    """Tasks per training step."""
    iterations: int = 100
    """Training steps: they measure rates and leave the network alone."""
    evaluation: EvaluationSettings = EvaluationSettings(shots=5, queries=100, steps=10)
    """Finn et al. adapt to 5 points in table 2; more queries narrow the interval and leave the mean where it is."""


@dataclass(frozen=True)
class NearestSinusoidPreset(NearestSettings, SinusoidSettings):
    """Each wave guessed by its nearest known point.

    Raises
    ------
    ConfigurationError
        If a value is out of range.
    """

    meta_batch: int = 1
    """Tasks per training step."""
    iterations: int = 1
    """Training steps; there is nothing to train."""
    evaluation: EvaluationSettings = EvaluationSettings(shots=5, queries=100, steps=0)
    """As for the other learners; it has no steps."""
