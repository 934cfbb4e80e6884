"""A folder that keeps the state of a training, so that it can be used, and go on."""

from __future__ import annotations

import math
import os
import time
from pathlib import Path
from typing import Any

from minimeta.errors import ConfigurationError
from minimeta.training import checkpoint
from minimeta.training.fingerprint import settings_of
from minimeta.training.state import TrainingState

SECONDS_BETWEEN = 10.0


class Kept:
    """The file ``checkpoint.npz`` of a training by :func:`minimeta.training.fit`.

    It is saved after the first step, every ten seconds, and at the end, which may be an error or Ctrl-C.

    Parameters
    ----------
    folder
        The folder, which is made.
    iterations
        How many steps the training is to have.
    decisive
        What must be equal for the training to go on, by name: its settings are the fingerprint.
    """

    def __init__(self, folder: str | os.PathLike[str], iterations: int, **decisive: Any) -> None:
        self._last = iterations
        self._path = Path(folder) / "checkpoint.npz"
        settings = (settings_of(name, value) for name, value in decisive.items())
        self._fingerprint = {name: value for each in settings for name, value in each.items()}
        self._time = -math.inf
        self._unsaved: TrainingState | None = None

    def begin(self, state: TrainingState) -> TrainingState:
        """Return the state to go on from: that of the folder, or the given one if there is none yet.

        Raises
        ------
        CheckpointError
            If the folder holds another run, or a damaged one.
        ConfigurationError
            If its run has done more steps already.
        """
        if self._path.exists():
            kept = checkpoint.load(self._path, state, self._fingerprint)
            if kept.step > self._last:
                raise ConfigurationError(
                    f"fit: the run in {self._path.parent} has done {kept.step} steps; iterations={self._last} is fewer"
                )
            return kept
        self._path.parent.mkdir(parents=True, exist_ok=True)
        return state

    def __call__(self, state: TrainingState, report: Any) -> None:
        """Save a state if it is time."""
        self._unsaved = state
        if time.monotonic() - self._time >= SECONDS_BETWEEN:
            self._save(state)

    def end(self) -> None:
        """Save the last state, if it is not saved yet."""
        if self._unsaved is not None:
            self._save(self._unsaved)

    def _save(self, state: TrainingState) -> None:
        checkpoint.save(self._path, state, self._fingerprint)
        self._time, self._unsaved = time.monotonic(), None
