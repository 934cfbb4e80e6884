"""The parts that a preset is composed of, and what a benchmark hands to a learner: a problem and its tasks.

    run           how long to train, on how many tasks a step, from which seed
    learner       a learner's settings: they build the meta-learner and its outer optimiser
    benchmark     a benchmark's settings: they build the :class:`Problem`, which is model and loss, and the tasks
    evaluation    how the result is measured

Each part is a frozen dataclass and knows nothing of the others, so any learner meets any benchmark.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from minimeta.errors import ConfigurationError
from minimeta.learners import MetaLearner
from minimeta.nn import Model
from minimeta.optim import Optimiser
from minimeta.tasks import TaskDistribution
from minimeta.tasks.inputs import Inputs
from minimeta.training.configuration import require
from minimeta.training.fit import OuterStep


class Problem(NamedTuple):
    """What a learner is to learn, without the data that it learns from.

    Attributes
    ----------
    model
        The network.
    last_layer
        The path of its last layer among its parameters.
    loss, metrics
        What training minimises, and what else it reports.
    metric, metric_name
        ``metric(outputs, targets)``, which the evaluation reports, and its name in tables and
        figures.
    ways
        Classes per task; None in regression.
    batch_statistics
        Whether the network normalises by its batch, so that a prediction depends on the rest of the
        batch.
    inputs
        The form of the examples that the network takes; None if that is not known.
    """

    model: Model
    last_layer: str
    loss: Callable[[Any, Any], Any]
    metrics: Mapping[str, Callable[[Any, Any], Any]]
    metric: Callable[[Any, Any], Any]
    metric_name: str
    ways: int | None = None
    batch_statistics: bool = False
    inputs: Inputs | None = None


class Distributions(NamedTuple):
    """The tasks of a problem.

    Attributes
    ----------
    training, evaluation
        The tasks to learn from, and those that judge the result.
    validation
        The tasks that choose a model; None if the data have no part for them.
    """

    training: TaskDistribution
    evaluation: TaskDistribution
    validation: TaskDistribution | None = None


@dataclass(frozen=True)
class RunSettings:
    """How long to train, and from which seed.

    Raises
    ------
    ConfigurationError
        If a value is out of range.
    """

    iterations: int = 1_000
    """Training steps. The baselines without training use theirs to compare rates."""
    meta_batch: int = 1
    """Tasks per training step."""
    seed: int = 0
    """Decides initialisation and training tasks."""

    def __post_init__(self) -> None:
        require(self, names="iterations meta_batch", at_least=1)
        require(self, names="seed", at_least=0, below=2**32)


@dataclass(frozen=True)
class EvaluationSettings:
    """How the result is measured.

    Raises
    ------
    ConfigurationError
        If a value is out of range.
    """

    shots: int = 1
    """Support examples per task (per class in classification)."""
    queries: int = 1
    """Query examples per task (per class in classification)."""
    steps: int = 1
    """The largest number of adaptation steps."""
    every: int = 1
    """Measure after every so many of these steps."""
    tasks: int = 600
    """Number of test tasks."""
    rotations: bool = False
    """Whether test images are turned, class by class, by random multiples of 90 degrees."""
    transductive: bool = True
    """Whether to predict all queries of a task at once, or each alone with the support set."""
    side_by_side: bool = True
    """Whether to measure the other way of predicting too, where batch normalisation makes a difference."""
    validate_every: int = 0
    """Training steps between validations; the model that validates best is the one tested. 0 for no validation."""
    validation_tasks: int = 200
    """Number of validation tasks."""
    seed: int = 0
    """Decides the test tasks. Training never draws one of them, whatever the seeds."""

    def __post_init__(self) -> None:
        require(self, names="shots queries every tasks validation_tasks", at_least=1)
        require(self, names="steps validate_every", at_least=0)
        require(self, names="seed", at_least=0, below=2**32)
        if self.steps % self.every:
            raise ConfigurationError(f"every={self.every} must divide steps={self.steps}: the last one is measured")


class LearnerSettings(ABC):
    """The settings of one learner."""

    name: ClassVar[str]
    """What the command line calls the learner."""

    @abstractmethod
    def learner(self, problem: Problem) -> MetaLearner:
        """Build the meta-learner for a problem."""

    @abstractmethod
    def optimiser(self, iterations: int) -> Optimiser | OuterStep:
        """Build the optimiser of the meta-parameters for a run of so many iterations."""

    @property
    def scheduled(self) -> bool:
        """Whether a training step depends on the total number of iterations."""
        return False

    def presented(self, tasks: TaskDistribution) -> TaskDistribution:
        """Return the tasks in the form that the learner needs."""
        return tasks


class BenchmarkSettings(ABC):
    """The settings of one benchmark."""

    name: ClassVar[str]
    """What the command line calls the task."""

    @property
    def run_name(self) -> str:
        """The benchmark's part of the name of the default run folder."""
        return self.name

    @abstractmethod
    def problem(self) -> Problem:
        """Build model and loss."""

    @abstractmethod
    def tasks(self, evaluation: EvaluationSettings, data: str | os.PathLike[str] | None) -> Distributions:
        """Build the tasks.

        Parameters
        ----------
        evaluation
            Decides the form of the evaluation tasks.
        data
            The folder of the data, for benchmarks that read files.

        Raises
        ------
        MissingDataError, DataError
            If files are missing, or are not what they should be.
        """
