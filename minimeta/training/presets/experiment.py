"""What all presets have: a benchmark's problem, a learner for it, a length, and a measurement."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

from minimeta.errors import ConfigurationError
from minimeta.learners import MetaLearner
from minimeta.nn import Model
from minimeta.optim import Optimiser
from minimeta.tasks import TaskDistribution
from minimeta.training.configuration import require, setting

LearnerName = Literal["maml", "fomaml", "reptile", "lstm", "pretraining", "finetuning", "nearest"]


class Problem(NamedTuple):
    """What is to be learned.

    Attributes
    ----------
    model
        The network.
    last_layer
        The path of its last layer among its parameters.
    loss, metrics
        What training minimises, and what else it reports.
    training_tasks, evaluation_tasks
        Where tasks come from, and those the result is judged on.
    metric, metric_name
        ``metric(outputs, targets)``, what the evaluation reports, and its name, for tables and figures.
    ways
        Classes per task; None in regression.
    validation_tasks
        Those a model is chosen by; None where the data have no part for them.
    batch_statistics
        Whether the network normalises by its batch, so that it matters with whom a query is predicted.
    """

    model: Model
    last_layer: str
    loss: Callable[[Any, Any], Any]
    metrics: Mapping[str, Callable[[Any, Any], Any]]
    training_tasks: TaskDistribution
    evaluation_tasks: TaskDistribution
    metric: Callable[[Any, Any], Any]
    metric_name: str
    ways: int | None = None
    validation_tasks: TaskDistribution | None = None
    batch_statistics: bool = False


class Experiment(NamedTuple):
    """What a preset builds.

    Attributes
    ----------
    learner, optimiser
        What learns and how.
    training_tasks, evaluation_tasks, loss, metric, metric_name, validation_tasks, batch_statistics
        Those of the :class:`Problem`.
    """

    learner: MetaLearner
    optimiser: Optimiser
    training_tasks: TaskDistribution
    evaluation_tasks: TaskDistribution
    loss: Callable[[Any, Any], Any]
    metric: Callable[[Any, Any], Any]
    metric_name: str
    validation_tasks: TaskDistribution | None = None
    batch_statistics: bool = False


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
    every: int = 1
    """After how many of them, each time, it is measured."""
    tasks: int = 600
    """How many test tasks."""
    transductive: bool = setting(True, code="MAML: True; Reptile: both are reported")
    """Whether all queries of a task are predicted at once, or each alone with the support set."""
    side_by_side: bool = True
    """Whether the other way of predicting is measured too, where batch normalisation makes a difference."""
    validate_every: int = setting(0, code="MAML: 1,000; Reptile: never")
    """Training steps from one validation to the next; what validated best is then what is tested. 0 is for none."""
    validation_tasks: int = 200
    """How many validation tasks."""
    seed: int = 0
    """Decides the test tasks; no training step draws one of them, whatever the seeds."""

    def __post_init__(self) -> None:
        require(self, names="shots queries every tasks validation_tasks", at_least=1)
        require(self, names="steps validate_every", at_least=0)
        require(self, names="seed", at_least=0, below=2**32)
        if self.steps % self.every:
            raise ConfigurationError(f"every={self.every} must divide steps={self.steps}: the last one is measured")


@dataclass(frozen=True)
class Preset(ABC):
    """An experiment: a benchmark's settings give the problem, a learner's settings the learner and the optimiser.

    The settings of both are classes between this one and a preset, which says what is left: length and measurement, and
    every value for which there is a source.

    Raises
    ------
    ConfigurationError
        If a value is out of range.
    """

    iterations: int
    """Training steps."""
    meta_batch: int
    """Tasks per training step."""
    evaluation: EvaluationSettings
    """How the result is measured."""
    seed: int = 0
    """Decides initialisation and training tasks."""

    task: ClassVar[str]
    learners: ClassVar[tuple[LearnerName, ...]]
    sources: ClassVar[str] = ""
    """The benchmark that the settings' sources speak of, where it is another one."""

    def __post_init__(self) -> None:
        require(self, names="iterations meta_batch", at_least=1)
        require(self, names="seed", at_least=0, below=2**32)

    @property
    def scheduled(self) -> bool:
        """Whether a step depends on how many there will be in all."""
        return False

    @property
    def run_name(self) -> str:
        """Names the default run folder."""
        return self.task

    @abstractmethod
    def problem(self, data: str | os.PathLike[str] | None) -> Problem:
        """Build what is to be learned."""

    @abstractmethod
    def learner(self, name: LearnerName, problem: Problem) -> MetaLearner:
        """Build what learns it."""

    @abstractmethod
    def optimiser(self) -> Optimiser:
        """Build what moves the meta-parameters."""

    def presented(self, tasks: TaskDistribution) -> TaskDistribution:
        """The tasks as the learner needs them."""
        return tasks

    def experiment(self, learner: LearnerName, data: str | os.PathLike[str] | None = None) -> Experiment:
        """Build the experiment.

        Parameters
        ----------
        learner
            One of the preset's `learners`.
        data
            The folder of the data, where they are read and not drawn.

        Raises
        ------
        MissingDataError, DataError
            If files are not there, or not what they should be.
        ConfigurationError
            If there should be validation, and the data have no part for it.
        """
        problem = self.problem(data)
        if self.evaluation.validate_every and problem.validation_tasks is None:
            raise ConfigurationError(
                "evaluation.validate_every is set, but this split of the data has no classes for validation"
            )
        return Experiment(
            learner=self.learner(learner, problem),
            optimiser=self.optimiser(),
            training_tasks=self.presented(problem.training_tasks),
            evaluation_tasks=self.presented(problem.evaluation_tasks),
            loss=problem.loss,
            metric=problem.metric,
            metric_name=problem.metric_name,
            validation_tasks=problem.validation_tasks and self.presented(problem.validation_tasks),
            batch_statistics=problem.batch_statistics,
        )
