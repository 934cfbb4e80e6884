"""The result of a run: a JSON object for programs, a table for readers."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from minimeta.cli.tables import markdown, show_table
from minimeta.training import Evaluation
from minimeta.training.presets import Preset


@dataclass(frozen=True)
class Result:
    """An evaluation, and what was evaluated.

    Attributes
    ----------
    preset
        The run, with its evaluation settings.
    step
        Number of training steps.
    metric
        The name of the metric.
    evaluation
        Its values.
    other
        The values for the other way of predicting, transductive or not, if it makes a difference.
    """

    preset: Preset
    step: int
    metric: str
    evaluation: Evaluation
    other: Evaluation | None = None

    @property
    def title(self) -> str:
        """The title of the table."""
        measured = self.preset.evaluation
        return (
            f"{' '.join(self.preset.names)}, seed {self.preset.run.seed}, {self.step} training steps: "
            f"{measured.tasks} test tasks, {measured.shots}-shot"
            + ("" if measured.transductive else f", {way_of_predicting(False)}")
        )

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Return the head and the rows of the table, one row per number of adaptation steps."""
        name = self.metric + (" (%)" if self.metric == "accuracy" else "")
        head = ["adaptation steps", name]
        rows = [[str(steps), self._cell(self.evaluation, place)] for place, steps in enumerate(self.evaluation.steps)]
        if self.other is not None:
            way = self.preset.evaluation.transductive
            head = [head[0], f"{name}, {way_of_predicting(way)}", way_of_predicting(not way)]
            rows = [[*row, self._cell(self.other, place)] for place, row in enumerate(rows)]
        for name, evaluation in self.evaluation.also.items():
            head = [*head, name]
            rows = [[*row, number(name, evaluation.mean[place])] for place, row in enumerate(rows)]
        return head, rows

    @property
    def notes(self) -> list[str]:
        """Notes to read with the table."""
        count, diverged = len(self.evaluation.values), self.evaluation.diverged
        left_out = [f"{diverged} of {count} tasks diverged and are left out"] if diverged else []
        chosen = [f"step {self.step} was chosen by validation"] if self.step < self.preset.run.iterations else []
        return ["mean ± half-width of its 95 % interval", *left_out, *chosen]

    def _cell(self, evaluation: Evaluation, place: int) -> str:
        return " ± ".join(number(self.metric, values[place]) for values in (evaluation.mean, evaluation.interval))

    def show(self) -> None:
        """Print the table on standard output."""
        show_table(self.title, *self.table(), self.notes)

    def to_json(self) -> dict[str, Any]:
        """Return all results, representable in JSON; values that are not finite are null."""
        learner, task = self.preset.names
        return {
            "learner": learner,
            "task": task,
            "seed": self.preset.run.seed,
            "step": self.step,
            "iterations": self.preset.run.iterations,
            "metric": self.metric,
            "evaluation": dataclasses.asdict(self.preset.evaluation),
            "steps": self.evaluation.steps,
            **_numbers(self.evaluation),
            "diverged": self.evaluation.diverged,
            "also": {name: _numbers(evaluation) for name, evaluation in self.evaluation.also.items()},
            "other": self.other and {"transductive": not self.preset.evaluation.transductive, **_numbers(self.other)},
        }

    def to_markdown(self) -> str:
        """Return the table, and every setting with its source."""
        settings = [
            [name, str(value), self.preset.sources.get(name, "")] for name, value in self.preset.settings.items()
        ]
        return f"# {self.title}\n\n{markdown(*self.table())}\n" + markdown(["setting", "here", "elsewhere"], settings)


def number(metric: str, value: float, printed: bool = False) -> str:
    """Return a value of a metric as text, an accuracy in percent; a `printed` value keeps the digits of its source."""
    if printed:
        return f"{100 * value if metric == 'accuracy' else value:g}"
    if metric == "accuracy":
        return f"{100 * value:.2f}"
    if metric == "return":
        return f"{value:.2f}"
    return f"{value:.4f}" if value < 1000 else f"{value:.3g}"


def way_of_predicting(transductive: bool) -> str:
    """Return the name of a way of predicting."""
    return "all queries at once" if transductive else "each query alone"


def _numbers(evaluation: Evaluation) -> dict[str, list[float | None]]:
    """Return means and intervals, representable in JSON: None where they are not finite."""

    def finite(values: NDArray[Any]) -> list[float | None]:
        return [value if math.isfinite(value) else None for value in values.tolist()]

    return {"mean": finite(evaluation.mean), "interval": finite(evaluation.interval)}
