"""A folder that keeps the state of a training, so that it can be used, and go on."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from minimeta.training import checkpoint
from minimeta.training.state import TrainingState

SECONDS_BETWEEN = 10.0


class Kept:
    """The file ``checkpoint.npz`` of a training by :func:`minimeta.training.fit`.

    Parameters
    ----------
    folder
        The folder, which is made.
    learner
        What learns; its class is part of the fingerprint.
    iterations
        The step whose state is saved in any case.
    meta_batch, seed
        What else must be equal for the training to go on.
    """

    def __init__(
        self, folder: str | os.PathLike[str], learner: Any, *, iterations: int, meta_batch: int, seed: int
    ) -> None:
        self._last = iterations
        self._path = Path(folder) / "checkpoint.npz"
        self._fingerprint = {"learner": type(learner).__qualname__, "seed": seed, "meta_batch": meta_batch}
        self._saved = time.monotonic()

    def begin(self, state: TrainingState) -> TrainingState:
        """Return the state to go on from: that of the folder, or the given one if there is none yet.

        Raises
        ------
        CheckpointError
            If the folder holds another run, or a damaged one.
        """
        if self._path.exists():
            return checkpoint.load(self._path, state, self._fingerprint)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        return state

    def __call__(self, state: TrainingState, report: Any) -> None:
        """Save a state if it is the last one, or it is time."""
        if state.step == self._last or time.monotonic() - self._saved >= SECONDS_BETWEEN:
            checkpoint.save(self._path, state, self._fingerprint)
            self._saved = time.monotonic()
