"""The record of a run: one line of JSON per step, ``{"step": 0, "loss": 4.1, ...}``, means over the step's tasks.

The loss of step s is that of the meta-parameters the step began with, so step 0 shows the initial ones.
Lines are only ever appended. Going on from a checkpoint first takes back the lines after it, so that no step is
recorded twice: an interrupted and resumed run leaves the same file, byte for byte, as one that was not.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from minimeta.files import write_atomically
from minimeta.training.fit import Report, TrainingState


def means(report: Report) -> dict[str, float]:
    """Return the mean over tasks of the loss and of each metric of a report."""
    # What numpy's mean does, without what it asks before: steps of some 0.2 ms are recorded and shown.
    return {
        name: float(np.add.reduce(values) / len(values))
        for name, values in {"loss": report.losses, **report.metrics}.items()
    }


def read_metrics(path: str | os.PathLike[str]) -> list[dict[str, float]]:
    """Return the complete lines of a record, ignoring one that was being written when the run was killed."""
    text = Path(path).read_text("utf-8") if Path(path).exists() else ""
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def thinned(lines: Sequence[Mapping[str, float]], points: int = 50) -> list[tuple[int, float]]:
    """Return a learning curve of few points from a record: of the accuracy if there is one, else of the loss.

    Returns
    -------
    list of (step, mean)
        For equal parts of the record, the steps done at its end and the mean in it.
    """
    if not lines:
        return []
    name = "accuracy" if "accuracy" in lines[0] else "loss"
    parts = np.array_split([(line["step"] + 1, line[name]) for line in lines], min(points, len(lines)))
    return [(int(part[-1, 0]), float(part[:, 1].mean())) for part in parts]


class MetricsLog:
    """A callback of :func:`~minimeta.training.fit` that records every step.

    Parameters
    ----------
    path
        The file, by convention ``metrics.jsonl``.
    step
        How many steps are done; the lines of later ones are taken back.

    Examples
    --------
    In a run folder, from its first step::

        with MetricsLog(folder / "metrics.jsonl", step=0) as log:
            fit(learner, tasks, optimiser, iterations=100, meta_batch=25, seed=0, callbacks=[log])
    """

    def __init__(self, path: str | os.PathLike[str], step: int) -> None:
        kept = [line for line in read_metrics(path) if line["step"] < step]
        write_atomically(path, "".join(json.dumps(line) + "\n" for line in kept))
        self._file = Path(path).open("a", encoding="utf-8")  # noqa: SIM115 (closed by __exit__)

    def __call__(self, state: TrainingState, report: Report) -> None:
        """Append a line."""
        self._file.write(json.dumps({"step": state.step - 1, **means(report)}) + "\n")

    def flush(self) -> None:
        """Hand all lines to the system, so that they are there when a checkpoint is."""
        self._file.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()
