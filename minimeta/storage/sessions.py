"""The sessions of a run, one per start or resumption: machine, versions, command, and time spent.

Nothing in a checkpoint can vouch for them, so their file is sealed
(:mod:`minimeta.storage.sealed`).
"""

from __future__ import annotations

import os
import platform
import shlex
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from minimeta import __version__, kernels
from minimeta.files import write_atomically
from minimeta.storage.sealed import read_sealed, sealed
from minimeta.training import Validated


class Sessions:
    """The file ``environment.json`` of a run.

    Parameters
    ----------
    path
        The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._begun: list[dict[str, Any]] = []

    def read(self) -> list[dict[str, Any]]:
        """Return all sessions.

        Raises
        ------
        CheckpointError
            If the file is damaged.
        """
        if not self.path.exists():
            return []
        remedy = "Without it the run goes on, and counts its time from 0 again: remove the file"
        sessions: list[dict[str, Any]] = read_sealed(self.path, remedy)
        return sessions

    @property
    def data(self) -> Path | None:
        """The last `data` that a session was given; None if there was none."""
        given = [session["data"] for session in self.read() if "data" in session]
        return Path(given[-1]) if given else None

    @property
    def seconds(self) -> float:
        """How long the run has been trained so far, over all sessions."""
        return float(sum(session.get("seconds", 0.0) for session in self.read()))

    def moments(self) -> dict[str, float]:
        """Return the seconds of training until each validation, by its step."""
        return {step: at for session in self.read() for step, at in session.get("validated", {}).items()}

    def begin(self, step: int, data: Path | None) -> None:
        """Write down a session that begins after `step` steps."""
        sessions = self.read()
        if step and not sessions:
            print(f"minimeta: {self.path} is missing: times are counted from here on", file=sys.stderr)
        session = {"step": step, "time": datetime.now().astimezone().isoformat(timespec="seconds"), **environment()}
        if data is not None:
            session["data"] = str(data.absolute())
        self._begun = [*sessions, session]
        write_atomically(self.path, sealed(self._begun))

    def spent(
        self, seconds: float, history: Sequence[Validated] = (), collective: Mapping[str, Any] | None = None
    ) -> None:
        """Write down in the session begun how long the run has been trained so far, when validated, and by whom."""
        *before, last = self._begun
        last["seconds"] = round(seconds - sum(session.get("seconds", 0.0) for session in before), 3)
        if validated := {str(found.step): found.seconds for found in history if found.step > last["step"]}:
            last["validated"] = validated
        if collective:
            last["collective"] = dict(collective)
        write_atomically(self.path, sealed(self._begun))


def environment() -> dict[str, Any]:
    """Return what a result may depend on besides its settings."""
    return {
        "minimeta": __version__,
        "kernels": kernels.level,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "platform": platform.platform(),
        "processor": _processor(),
        "processors": os.cpu_count(),
        "command": shlex.join(sys.argv),
    }


def _processor() -> str:
    """Return the name of the processor, if Linux or Python knows it."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
