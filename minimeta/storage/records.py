"""What a checkpoint says about the other files of its run folder."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minimeta.errors import CheckpointError
from minimeta.training import ModelSelection


@dataclass(frozen=True)
class Records:
    """The state of the other files at the step of a checkpoint.

    Attributes
    ----------
    configuration
        The text of ``configuration.toml``.
    metrics
        The SHA-256 of the lines of ``metrics.jsonl`` up to that step.
    validations
        The step of each validation, its mean and the half-width of its interval.
    best
        The step of the state in ``best.npz``; None if there should be none.
    """

    configuration: str = ""
    metrics: str = hashlib.sha256().hexdigest()
    validations: tuple[tuple[int, float, float], ...] = ()
    best: int | None = None

    @classmethod
    def of(cls, path: Path, found: Mapping[str, Any]) -> Records:
        """Return the records in a checkpoint.

        Raises
        ------
        CheckpointError
            If it has none: it is not that of a run, or an older version wrote it.
        """
        if found.keys() != {field.name for field in dataclasses.fields(cls)}:
            raise CheckpointError(
                f"{path} does not say what the files next to it should be: it is not the checkpoint of a run, or was "
                "written by an older version of minimeta. minimeta train ... --config configuration.toml trains again"
            )
        return cls(**{**found, "validations": tuple(map(tuple, found["validations"]))})

    def with_validations(self, selection: ModelSelection) -> Records:
        """Return these records with all validations so far."""
        judged = tuple((found.step, found.mean, found.interval) for found in selection.history)
        best = self.best if selection.best is None else selection.best.step
        return dataclasses.replace(self, validations=judged, best=best)
