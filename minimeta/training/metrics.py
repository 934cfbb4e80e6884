"""The record of a run: one line of JSON per step, ``{"step": 0, "loss": 4.1, ...}``, means over the
step's tasks.

The loss of step s is that of the meta-parameters before the step, so step 0 shows the initial ones.
Lines are only ever appended. A run that goes on from a checkpoint first removes the lines after it,
so no step is recorded twice, and an interrupted run leaves the same file, byte for byte, as one
that was not interrupted. The lines before the checkpoint must be those that were written: one for
each step, in order, whose SHA-256 the checkpoint may keep.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from minimeta.errors import CheckpointError
from minimeta.files import write_atomically
from minimeta.training.fit import Report
from minimeta.training.state import TrainingState

LARGER_IS_BETTER = ("accuracy", "return")
"""The metrics of which a larger value is better; of all others a smaller one is."""


def means(report: Report) -> dict[str, float]:
    """Return the mean over tasks of the loss and of each metric of a report."""
    # np.mean without its checks of arguments, which matter when a step takes 0.2 ms.
    return {
        name: float(np.add.reduce(values) / len(values))
        for name, values in {"loss": report.losses, **report.metrics}.items()
    }


FIRST_STEPS = 100
"""How many steps a result keeps the hash of."""


def record(state: TrainingState, report: Report) -> bytes:
    """Return the line of a step: its number, and the means of its loss and metrics to the last bit."""
    return json.dumps({"step": state.step - 1, **means(report)}).encode() + b"\n"


def digest(lines: Sequence[bytes]) -> dict[str, Any]:
    """Return how many lines there are, and their SHA-256: what a result keeps of its first steps."""
    return {"count": len(lines), "sha256": hashlib.sha256(b"".join(lines)).hexdigest()}


def first_steps(path: str | os.PathLike[str], most: int = FIRST_STEPS) -> list[bytes]:
    """Return the lines of the first steps in a record, as bytes.

    Raises
    ------
    CheckpointError
        If one of them is damaged.
    """
    return [line for _, line in _lines(path, None, None)[:most]]


def read_metrics(
    path: str | os.PathLike[str], steps: int | None = None, sha256: str | None = None
) -> list[dict[str, float]]:
    """Return the complete lines of a record.

    Parameters
    ----------
    path
        The file; a missing one has no lines.
    steps
        The number of lines to return; later ones are ignored. By default all whole ones: a killed
        run may leave half a line at the end.
    sha256
        The SHA-256 of these lines (:attr:`MetricsLog.sha256`); None to check no more than their
        form.

    Raises
    ------
    CheckpointError
        If a line is missing, is that of another step, or differs from the one written. The message
        names it if it can.
    """
    return [line for line, _ in _lines(path, steps, sha256)]


def _lines(path: str | os.PathLike[str], steps: int | None, sha256: str | None) -> list[tuple[dict[str, float], bytes]]:
    """Return the lines of a record, parsed and as bytes."""
    content = Path(path).read_bytes() if Path(path).exists() else b""
    *whole, _ = content.split(b"\n")
    if steps is not None and len(whole) < steps:
        raise CheckpointError(f"{path} is damaged: it has {len(whole)} lines, and {steps} steps were recorded")
    found = []
    for step, line in enumerate(whole[:steps]):
        try:
            said = json.loads(line.decode())
        except (ValueError, RecursionError):  # not JSON, or not text
            said = None
        if not isinstance(said, dict) or said.get("step") != step or not all(map(_is_number, said.values())):
            raise CheckpointError(f"{path}, line {step + 1} is damaged: it should be that of step {step}")
        found.append((said, line + b"\n"))
    if sha256 is not None and sha256 != hashlib.sha256(b"".join(line for _, line in found)).hexdigest():
        raise CheckpointError(f"{path} is damaged: its first {len(found)} lines are not those that were written")
    return found


def _is_number(value: object) -> bool:
    return isinstance(value, float) or type(value) is int


def thinned(lines: Sequence[Mapping[str, float]], points: int = 50) -> list[tuple[int, float]]:
    """Return a learning curve of few points from a record: of the accuracy if there is one, else of
    the loss.

    Returns
    -------
    list of (step, mean)
        For equal parts of the record, the steps done at the end of the part and the mean in it.
    """
    if not lines:
        return []
    name = next((name for name in LARGER_IS_BETTER if name in lines[0]), "loss")
    parts = np.array_split([(line["step"] + 1, line[name]) for line in lines], min(points, len(lines)))
    return [(int(part[-1, 0]), float(part[:, 1].mean())) for part in parts]


class MetricsLog:
    """A callback of :func:`~minimeta.training.fit` that records every step.

    Parameters
    ----------
    path
        The file, by convention ``metrics.jsonl``.
    step
        Number of steps done; the lines of later ones are removed.
    sha256
        The SHA-256 of the lines of these steps; None to check no more than their form.

    Raises
    ------
    CheckpointError
        If these lines are missing, or differ from those written.

    Examples
    --------
    In a run folder, from its first step::

        with MetricsLog(folder / "metrics.jsonl", step=0) as log:
            fit(learner, tasks, optimiser, iterations=100, meta_batch=25, seed=0, callbacks=[log])
    """

    def __init__(self, path: str | os.PathLike[str], step: int, sha256: str | None = None) -> None:
        kept = b"".join(line for _, line in _lines(path, step, sha256))
        self._digest = hashlib.sha256(kept)
        write_atomically(path, kept)
        self._file = Path(path).open("ab")  # noqa: SIM115 (closed by __exit__)

    def __call__(self, state: TrainingState, report: Report) -> None:
        """Append a line."""
        line = record(state, report)
        self._file.write(line)
        self._digest.update(line)

    @property
    def sha256(self) -> str:
        """The SHA-256 of all lines so far, in hexadecimal."""
        return self._digest.hexdigest()

    def flush(self) -> None:
        """Write all lines to the disk, so that they are there before the checkpoint is."""
        self._file.flush()
        os.fsync(self._file.fileno())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()
