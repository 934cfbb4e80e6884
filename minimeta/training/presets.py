"""Whole experiments: a paper's benchmark, its settings, and what the paper reports.

Each preset is a frozen dataclass whose defaults are the experiment and whose every setting says where it comes from.
Sources: C. Finn, P. Abbeel, S. Levine, *Model-Agnostic Meta-Learning for Fast Adaptation of Deep Networks*, ICML 2017
(sections 5.1 and 5.2, appendix A), and the code its authors released (cbfinn/maml). Where the two differ the preset
follows the paper and the other value is a setting away.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minimeta.learners import MAML, MetaLearner
from minimeta.nn import Model, accuracy, conv4, cross_entropy, mean_squared_error, mlp
from minimeta.optim import Optimiser, adam
from minimeta.tasks import FewShot, Sinusoid, Split, TaskDistribution, omniglot, strokes
from minimeta.training.configuration import require, setting

LearnerName = Literal["maml", "fomaml"]

ORDER: dict[LearnerName, int] = {"maml": 2, "fomaml": 1}
"""The order of derivative in the meta-gradient: first-order MAML is MAML that differentiates once."""


class Experiment(NamedTuple):
    """What a preset builds.

    Attributes
    ----------
    learner, optimiser
        What learns and how.
    training_tasks, evaluation_tasks
        Where its tasks come from, and those it is judged on.
    metric
        ``metric(outputs, targets)``, what the evaluation reports.
    metric_name
        Its name, for tables and figures.
    """

    learner: MetaLearner
    optimiser: Optimiser
    training_tasks: TaskDistribution
    evaluation_tasks: TaskDistribution
    metric: Callable[[Any, Any], Any]
    metric_name: str


def _check_training(preset: Preset) -> None:
    """Check the ranges that all presets share."""
    require(preset, names="shots queries hidden inner_steps meta_batch iterations", at_least=1)
    require(preset, names="inner_learning_rate learning_rate", above=0)
    require(preset, names="seed", at_least=0, below=2**32)


@dataclass(frozen=True)
class EvaluationSettings:
    """How the result is measured.

    Raises
    ------
    ConfigurationError
        If a value is out of range.
    """

    shots: int
    """Support examples per task (per class in classification)."""
    queries: int
    """Query examples per task (per class in classification)."""
    steps: int
    """Up to how many adaptation steps."""
    tasks: int = 600
    """How many test tasks."""
    seed: int = 0
    """Decides the test tasks; no training step draws one of them, whatever the seeds."""

    def __post_init__(self) -> None:
        require(self, names="shots queries tasks", at_least=1)
        require(self, names="steps", at_least=0)
        require(self, names="seed", at_least=0, below=2**32)


@dataclass(frozen=True)
class ImageEvaluationSettings(EvaluationSettings):
    """How the result is measured on images.

    Raises
    ------
    ConfigurationError
        If a value is out of range.
    """

    rotations: bool = setting(True, code="test classes are turned too")
    """Whether test classes are turned by random multiples of 90 degrees."""


@dataclass(frozen=True)
class SinusoidPreset:
    """Sinusoid regression, Finn et al. 2017, section 5.1: 1-40-40-1 network, ten points a wave, one gradient step.

    Raises
    ------
    ConfigurationError
        If a value is out of range.
    """

    shots: int = setting(10, paper="10", code="10")
    """Support points per training task."""
    queries: int = setting(10, code="as many as shots")
    """Query points per training task."""
    hidden: tuple[int, ...] = setting((40, 40), paper="40 40", code="40 40")
    """Widths of the hidden layers, each followed by ReLU."""
    initialiser: Literal["he", "truncated_normal"] = setting("he", code="truncated normal, standard deviation 0.01")
    """Distribution of the initial weights; `he` takes the second moment of the inputs, 25/3, into account."""
    inner_learning_rate: float = setting(0.01, paper="0.01", code="0.001 by default, and in the documented command")
    """Step size of adaptation."""
    inner_steps: int = setting(1, paper="1", code="1")
    """Adaptation steps in training."""
    learning_rate: float = setting(0.001, paper="Adam", code="Adam, 0.001")
    """Step size of Adam on the meta-parameters."""
    meta_batch: int = setting(25, code="25")
    """Tasks per training step."""
    iterations: int = setting(5_000, code="70,000")
    """Training steps."""
    seed: int = 0
    """Decides initialisation and training tasks."""
    evaluation: EvaluationSettings = EvaluationSettings(shots=5, queries=100, steps=10)
    """Table 2 of the paper adapts to 5 points; more query points narrow the interval and leave the mean where it is."""

    task: ClassVar[str] = "sinusoid"
    run_name: ClassVar[str] = task
    published: ClassVar[str] = (
        "Finn et al. 2017, table 2, MAML, 5 shots, 70,000 iterations: 0.67 after 1 step, 0.38 after 5, 0.35 after 10"
    )

    def __post_init__(self) -> None:
        _check_training(self)

    def experiment(self, learner: LearnerName, data: str | os.PathLike[str] | None = None) -> Experiment:
        """Build the experiment.

        Parameters
        ----------
        learner
            ``"maml"`` or ``"fomaml"``.
        data
            Not needed: waves are drawn, not read.
        """
        tasks = Sinusoid.maml(self.shots, self.queries)
        model = mlp((1, *self.hidden, 1), initialiser=self.initialiser, input_second_moment=tasks.input_second_moment())
        return Experiment(
            learner=MAML(
                model,
                mean_squared_error,
                inner_learning_rate=self.inner_learning_rate,
                inner_steps=self.inner_steps,
                order=ORDER[learner],
            ),
            optimiser=adam(self.learning_rate),
            training_tasks=tasks,
            evaluation_tasks=dataclasses.replace(tasks, shots=self.evaluation.shots, queries=self.evaluation.queries),
            metric=mean_squared_error,
            metric_name="squared error",
        )


@dataclass(frozen=True)
class OmniglotPreset:
    """N-way K-shot Omniglot, Finn et al. 2017, section 5.2, with the network of either kind.

    Raises
    ------
    ConfigurationError
        If a value is out of range.
    """

    ways: int = setting(5, paper="5", code="5")
    """Classes per task."""
    shots: int = setting(1, paper="1", code="1")
    """Support images per class of a training task."""
    queries: int = setting(1, code="as many as shots")
    """Query images per class of a training task."""
    rotations: bool = setting(True, paper="multiples of 90 degrees", code="drawn per class and task")
    """Whether training classes are turned by random multiples of 90 degrees."""
    network: Literal["mlp", "conv4"] = setting("mlp", paper="both", code="conv4; mlp with --conv=False")
    """Dense layers on pixels, or four convolutions of stride 2 and the mean over the pixels left, as in the code."""
    hidden: tuple[int, ...] = setting((256, 128, 64, 64), paper="256 128 64 64", code="256 128 64 64")
    """Widths of the hidden layers of mlp, each followed by batch normalisation on current statistics and ReLU."""
    filters: int = setting(64, paper="64", code="64")
    """Filters of each convolution of conv4, followed by the same."""
    initialiser: Literal["released", "he", "glorot", "truncated_normal"] = setting(
        "released", code="mlp: truncated normal, standard deviation 0.01; conv4: Glorot, normal in the last layer"
    )
    """Distribution of the initial weights; `released` is truncated_normal for mlp and glorot for conv4."""
    inner_learning_rate: float = setting(0.4, paper="0.4", code="0.4 of a loss summed over classes: 2.0 of the mean")
    """Step size of adaptation, on the mean cross-entropy."""
    inner_steps: int = setting(1, paper="1", code="1")
    """Adaptation steps in training."""
    learning_rate: float = setting(0.001, code="Adam, 0.001")
    """Step size of Adam on the meta-parameters."""
    meta_batch: int = setting(32, paper="32", code="32")
    """Tasks per training step."""
    iterations: int = setting(1_000, paper="60,000", code="60,000")
    """Training steps."""
    seed: int = 0
    """Decides initialisation and training tasks."""
    evaluation: ImageEvaluationSettings = ImageEvaluationSettings(shots=1, queries=1, steps=3)
    """The paper adapts by 3 steps in testing."""

    task: ClassVar[str] = "omniglot"

    def __post_init__(self) -> None:
        _check_training(self)
        require(self, names="ways", at_least=2)
        require(self, names="filters", at_least=1)

    @property
    def run_name(self) -> str:
        """Names the default run folder."""
        return self.task if self.network == "mlp" else f"{self.task}-{self.network}"

    @property
    def published(self) -> str:
        """What the paper reports for the network."""
        network, one, five = {
            "mlp": ("without", "89.7 ± 1.1", "97.5 ± 0.6"),
            "conv4": ("with", "98.7 ± 0.4", "99.9 ± 0.1"),
        }[self.network]
        return (
            f"Finn et al. 2017, table 1, MAML {network} convolutions, 60,000 iterations, 3 steps: "
            f"{one} % (5-way 1-shot), {five} % (5-way 5-shot)"
        )

    def model(self) -> Model:
        """Build the network."""
        drawn: dict[str, str] = {"mlp": "truncated_normal", "conv4": "glorot"}
        initialiser = drawn[self.network] if self.initialiser == "released" else self.initialiser
        if self.network == "conv4":
            return conv4((28, 28, 1), self.ways, filters=self.filters, initialiser=initialiser)
        return mlp((28 * 28, *self.hidden, self.ways), initialiser=initialiser, batch_norm=True)

    def images(self, data: str | os.PathLike[str] | None) -> Split[NDArray[np.uint8]]:
        """Read the characters."""
        return omniglot.split(omniglot.load(data))

    def experiment(self, learner: LearnerName, data: str | os.PathLike[str] | None = None) -> Experiment:
        """Read Omniglot and build the experiment.

        Parameters
        ----------
        learner
            ``"maml"`` or ``"fomaml"``.
        data
            The folder of the files, see :func:`minimeta.tasks.omniglot.load`.

        Raises
        ------
        MissingDataError, DataError
            If the files are not there, or not what they should be.
        """
        training, _, testing = self.images(data)
        flat = self.network == "mlp"
        measured = self.evaluation
        return Experiment(
            learner=MAML(
                self.model(),
                cross_entropy,
                inner_learning_rate=self.inner_learning_rate,
                inner_steps=self.inner_steps,
                order=ORDER[learner],
                metrics={"accuracy": accuracy},
            ),
            optimiser=adam(self.learning_rate),
            training_tasks=FewShot(training, self.ways, self.shots, self.queries, self.rotations, flat),
            evaluation_tasks=FewShot(testing, self.ways, measured.shots, measured.queries, measured.rotations, flat),
            metric=accuracy,
            metric_name="accuracy",
        )


@dataclass(frozen=True)
class StrokesPreset(OmniglotPreset):
    """N-way K-shot strokes (:mod:`minimeta.tasks.strokes`), by the settings for Omniglot: no data are needed.

    No paper reports it; what the settings say of paper and code, they say of Omniglot.

    Raises
    ------
    ConfigurationError
        If a value is out of range.
    """

    task: ClassVar[str] = "strokes"

    @property
    def published(self) -> str:
        """What there is to compare with."""
        return "no paper: the characters are made up. The nearest neighbour on pixels reaches 56 % (5-way 1-shot)"

    def images(self, data: str | os.PathLike[str] | None) -> Split[NDArray[np.uint8]]:
        """Draw the characters; no data are needed."""
        return strokes.split(strokes.draw())


Preset = SinusoidPreset | OmniglotPreset

PRESETS: dict[str, Preset] = {"sinusoid": SinusoidPreset(), "omniglot": OmniglotPreset(), "strokes": StrokesPreset()}
"""The experiments by name."""


def fingerprint(learner: LearnerName, preset: Preset) -> dict[str, Any]:
    """Return what must be equal for a run to be resumed: all but how long it goes on and how it is measured."""
    settings = dataclasses.asdict(preset)
    del settings["iterations"], settings["evaluation"]
    return {"learner": learner, "task": preset.task} | settings
