"""The result of a run: one JSON object for programs, a table for readers."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from minimeta.training import Evaluation
from minimeta.training.configuration import provenance
from minimeta.training.presets import LearnerName, Preset


@dataclass(frozen=True)
class Result:
    """An evaluation and what was evaluated.

    Attributes
    ----------
    learner, preset
        The run, its evaluation settings included.
    step
        Training steps done.
    metric
        The name of what was measured.
    evaluation
        Its values.
    """

    learner: LearnerName
    preset: Preset
    step: int
    metric: str
    evaluation: Evaluation

    @property
    def title(self) -> str:
        """What the table is about."""
        measured = self.preset.evaluation
        return (
            f"{self.learner} {self.preset.task}, seed {self.preset.seed}, {self.step} training steps: "
            f"{measured.tasks} test tasks, {measured.shots}-shot"
            + ("" if measured.transductive else ", each query predicted alone")
        )

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Return the head and the rows of the table: one row per number of adaptation steps."""
        head = ["adaptation steps", self.metric + (" (%)" if self.metric == "accuracy" else ""), "95 % interval"]
        values = enumerate(zip(self.evaluation.mean, self.evaluation.interval, strict=True))
        return head, [[str(steps), self._number(mean), f"± {self._number(half)}"] for steps, (mean, half) in values]

    @property
    def notes(self) -> list[str]:
        """What is to be read with the table."""
        count, diverged = len(self.evaluation.values), self.evaluation.diverged
        left_out = [f"{diverged} of {count} tasks diverged and are left out"] if diverged else []
        return [*left_out, self.preset.published]

    def _number(self, value: float) -> str:
        if self.metric == "accuracy":
            return f"{100 * value:.2f}"
        return f"{value:.4f}" if value < 1000 else f"{value:.3g}"

    def show(self) -> None:
        """Print the table on standard output."""
        head, body = self.table()
        table = Table(*head)
        for row in body:
            table.add_row(*row)
        console = Console(soft_wrap=True)
        console.print(self.title, highlight=False)
        console.print(table)
        for note in self.notes:
            console.print(note, highlight=False)

    def to_json(self) -> dict[str, Any]:
        """Return everything that a program may want, representable in JSON (what is not finite is null)."""
        return {
            "learner": self.learner,
            "task": self.preset.task,
            "seed": self.preset.seed,
            "step": self.step,
            "iterations": self.preset.iterations,
            "metric": self.metric,
            "evaluation": dataclasses.asdict(self.preset.evaluation),
            "mean": _finite_or_none(self.evaluation.mean.tolist()),
            "interval": _finite_or_none(self.evaluation.interval.tolist()),
            "diverged": self.evaluation.diverged,
            "published": self.preset.published,
        }

    def to_markdown(self) -> str:
        """Return the table, what was published, and every setting with its source."""
        settings = [
            [prefix + field.name, str(getattr(part, field.name)), provenance(field)]
            for prefix, part in (("", self.preset), ("evaluation.", self.preset.evaluation))
            for field in dataclasses.fields(part)
            if not dataclasses.is_dataclass(getattr(part, field.name))
        ]
        return f"# {self.title}\n\n{markdown(*self.table())}\n{self.preset.published}\n\n" + markdown(
            ["setting", "here", "elsewhere"], settings
        )


def markdown(head: list[str], body: list[list[str]]) -> str:
    """Return a table in Markdown."""
    return "".join("| " + " | ".join(line) + " |\n" for line in [head, ["---"] * len(head), *body])


def _finite_or_none(values: list[float]) -> list[float | None]:
    return [value if math.isfinite(value) else None for value in values]
