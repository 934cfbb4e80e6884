"""A preset is a whole experiment as a value: a run, a learner, a benchmark and an evaluation.

Its *settings* are the fields of these four parts, by the names that flags and configuration files
have for them: ``inner_steps``, ``shots``, and ``evaluation.shots`` for what only the evaluation
has. A name says by itself which part it belongs to, so values are read and replaced by name:

    PRESETS["maml", "omniglot"].replace({"ways": 20, "inner_steps": 5, "evaluation.steps": 5})
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, get_type_hints

from minimeta.errors import ConfigurationError
from minimeta.learners import MetaLearner
from minimeta.optim import Optimiser
from minimeta.tasks import TaskDistribution
from minimeta.training.configuration import RENAMED, checked, suggestion
from minimeta.training.fit import OuterStep
from minimeta.training.presets.parts import BenchmarkSettings, EvaluationSettings, LearnerSettings, RunSettings

PARTS = ("run", "learner", "benchmark", "evaluation")


class Experiment(NamedTuple):
    """What a preset builds.

    Attributes
    ----------
    learner, optimiser
        The meta-learner, and the optimiser of its meta-parameters.
    training_tasks, evaluation_tasks, validation_tasks
        The :class:`~minimeta.training.presets.parts.Distributions`.
    loss, metric, metric_name, batch_statistics
        Those of the :class:`~minimeta.training.presets.parts.Problem`.
    """

    learner: MetaLearner
    optimiser: Optimiser | OuterStep
    training_tasks: TaskDistribution
    evaluation_tasks: TaskDistribution
    loss: Callable[[Any, Any], Any]
    metric: Callable[[Any, Any], Any]
    metric_name: str
    validation_tasks: TaskDistribution | None = None
    batch_statistics: bool = False


@dataclass(frozen=True)
class Preset:
    """An experiment.

    Attributes
    ----------
    run, learner, benchmark, evaluation
        The parts.
    title
        What the experiment is, in one line.
    sources
        What a paper and its released code say of a setting, by its name.
    """

    run: RunSettings
    learner: LearnerSettings
    benchmark: BenchmarkSettings
    evaluation: EvaluationSettings
    title: str = field(default="", compare=False)
    sources: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)

    @property
    def names(self) -> tuple[str, str]:
        """The names of learner and task."""
        return self.learner.name, self.benchmark.name

    @property
    def run_name(self) -> str:
        """The name of the default run folder."""
        return f"{self.learner.name}-{self.benchmark.run_name}-seed{self.run.seed}"

    @property
    def settings(self) -> dict[str, Any]:
        """The value of every setting by its name."""
        return {name: getattr(getattr(self, part), field) for name, (part, field) in self._places().items()}

    def replace(self, settings: Mapping[str, Any], where: str = "replace") -> Preset:
        """Return the preset with some settings replaced, each checked.

        Parameters
        ----------
        settings
            New values by name.
        where
            Names the source of the values in error messages.

        Raises
        ------
        ConfigurationError
            If a name is unknown (the message suggests one), or a value is of the wrong type or out
            of range.
        """
        places = self._places()
        kinds = {part: get_type_hints(type(getattr(self, part))) for part in PARTS}
        changes: dict[str, dict[str, Any]] = {part: {} for part in PARTS}
        for written, value in settings.items():
            name = RENAMED.get(written, written)
            if name == "evaluation":
                raise ConfigurationError(f"{where}: evaluation should be a table [evaluation], not {value!r}")
            if name not in places:
                raise ConfigurationError(f"{where}: there is no setting {name!r}.{suggestion(name, places)}")
            part, field = places[name]
            changes[part][field] = checked(value, kinds[part][field], f"{where}: {name}")
        replaced: dict[str, Any] = {
            part: dataclasses.replace(getattr(self, part), **values) for part, values in changes.items() if values
        }
        return dataclasses.replace(self, **replaced)

    def _places(self) -> dict[str, tuple[str, str]]:
        """The part and the field of each setting."""
        return {
            f"evaluation.{field.name}" if part == "evaluation" else field.name: (part, field.name)
            for part in PARTS
            for field in dataclasses.fields(getattr(self, part))
        }

    @property
    def fingerprint(self) -> dict[str, Any]:
        """What must be equal for a run to be resumed: all but its length and its measurement.

        The length is part of it where a training step depends on the total number of steps.
        """
        free = () if self.learner.scheduled else ("iterations",)
        settings = {
            name: value for name, value in self.settings.items() if name not in free and "evaluation." not in name
        }
        return {"learner": self.learner.name, "task": self.benchmark.name} | settings

    def experiment(self, data: str | os.PathLike[str] | None = None) -> Experiment:
        """Build the experiment.

        Parameters
        ----------
        data
            The folder of the data, for benchmarks that read files.

        Raises
        ------
        MissingDataError, DataError
            If files are missing, or are not what they should be.
        ConfigurationError
            If the preset asks for validation and the data have no part for it.
        """
        problem, tasks = self.benchmark.problem(), self.benchmark.tasks(self.evaluation, data)
        if self.evaluation.validate_every and tasks.validation is None:
            raise ConfigurationError(
                "evaluation.validate_every is set, but this split of the data has no classes for validation"
            )
        presented = self.learner.presented
        return Experiment(
            learner=self.learner.learner(problem),
            optimiser=self.learner.optimiser(self.run.iterations),
            training_tasks=presented(tasks.training),
            evaluation_tasks=presented(tasks.evaluation),
            loss=problem.loss,
            metric=problem.metric,
            metric_name=problem.metric_name,
            validation_tasks=tasks.validation and presented(tasks.validation),
            batch_statistics=problem.batch_statistics,
        )
