"""The folder of a run: everything it takes to understand it, repeat it and go on with it.

======================  ================================================================================
configuration.toml      every setting, with its source; ``--config`` reads it
environment.json        versions, platform, command and data, one entry per session (start, resume, ...)
metrics.jsonl           one line per step
checkpoint.npz          the last training state that was saved
validation.jsonl        one line per validation                         (with evaluation.validate_every)
best.npz                the training state that validated best          (likewise)
results.json, .md       the evaluation, for programs and for readers
adaptation.png          what adaptation does, on a few test tasks       (with the plot extra)
learning.png            the learning curve                              (with the plot extra)
======================  ================================================================================
"""

from __future__ import annotations

import json
import os
import platform
import shlex
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from minimeta import __version__, kernels
from minimeta.errors import ConfigurationError
from minimeta.files import write_atomically
from minimeta.training import Validated
from minimeta.training.configuration import read_toml, replace, to_toml
from minimeta.training.presets import PRESETS, LearnerName, Preset


class RunFolder:
    """Names the files of a run and guards against mixing two runs.

    Parameters
    ----------
    path
        The folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.configuration = path / "configuration.toml"
        self.environment = path / "environment.json"
        self.metrics = path / "metrics.jsonl"
        self.checkpoint = path / "checkpoint.npz"
        self.validation = path / "validation.jsonl"
        self.best = path / "best.npz"
        self.results = path / "results.json"
        self.table = path / "results.md"
        self.adaptation_figure = path / "adaptation.png"
        self.learning_figure = path / "learning.png"

    def require_empty(self) -> None:
        """Refuse a folder that holds anything.

        Raises
        ------
        ConfigurationError
            If it does, or is a file.
        """
        if self.path.exists() and not self.path.is_dir():
            raise ConfigurationError(f"{self.path} is a file, not a folder; choose another with --out")
        if self.path.is_dir() and any(self.path.iterdir()):
            go_on = "go on with its run by --resume, or " if self.configuration.exists() else ""
            raise ConfigurationError(f"{self.path} is not empty: {go_on}choose another folder with --out")

    def require_run(self) -> None:
        """Refuse a folder without a run.

        Raises
        ------
        ConfigurationError
            If there is none.
        """
        if not self.configuration.is_file():
            raise ConfigurationError(f"there is no run in {self.path}: {self.configuration} is missing")

    def settings(self) -> tuple[LearnerName, Preset]:
        """Return the learner and the settings of the run.

        Raises
        ------
        ConfigurationError
            If there is no run, or its settings are not those of this version of minimeta.
        """
        self.require_run()
        values = read_toml(self.configuration)
        learner, task = values.pop("learner", None), values.pop("task", None)
        if (learner, task) not in PRESETS:
            raise ConfigurationError(f"{self.configuration} is for {learner} {task}, which minimeta does not have")
        return learner, replace(PRESETS[learner, task], values, str(self.configuration))

    def read_results(self) -> dict[str, Any]:
        """Return what the finished run has come to.

        Raises
        ------
        ConfigurationError
            If there is no run, or it is not finished.
        """
        self.require_run()
        if not self.results.is_file():
            raise ConfigurationError(
                f"the run in {self.path} is not finished: minimeta train ... --out {self.path} --resume ends it"
            )
        results: dict[str, Any] = json.loads(self.results.read_text("utf-8"))
        return results

    def begin(self, learner: LearnerName, preset: Preset, step: int, data: Path | None = None) -> None:
        """Write down the settings, and the environment of a session that begins after `step` steps."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_atomically(self.configuration, to_toml(preset, preset.sources, learner=learner, task=preset.task))
        session = {"step": step, "time": datetime.now().astimezone().isoformat(timespec="seconds"), **environment()}
        if data is not None:
            session["data"] = str(data.absolute())
        self._write_sessions([*self.sessions(), session])

    @property
    def data(self) -> Path | None:
        """The data that the last session was given; None if it was given none."""
        given = [session["data"] for session in self.sessions() if "data" in session]
        return Path(given[-1]) if given else None

    @property
    def seconds(self) -> float:
        """How long the run has been trained so far, over all sessions."""
        return float(sum(session.get("seconds", 0.0) for session in self.sessions()))

    def sessions(self) -> list[dict[str, Any]]:
        """Return the environments of all sessions."""
        return list(json.loads(self.environment.read_text("utf-8"))) if self.environment.exists() else []

    def spent(self, seconds: float) -> None:
        """Write down how long the run has been trained so far."""
        *before, last = self.sessions()
        last["seconds"] = round(seconds - sum(session.get("seconds", 0.0) for session in before), 3)
        self._write_sessions([*before, last])

    def _write_sessions(self, sessions: list[dict[str, Any]]) -> None:
        write_atomically(self.environment, json.dumps(sessions, indent=2) + "\n")

    def validations(self, step: int) -> list[Validated]:
        """Return the validations of the first `step` steps."""
        lines = self.validation.read_text("utf-8").splitlines() if self.validation.exists() else []
        return [found for found in (Validated(**json.loads(line)) for line in lines) if found.step <= step]

    def write_validations(self, history: Sequence[Validated]) -> None:
        """Write down all validations so far."""
        write_atomically(self.validation, "".join(json.dumps(found._asdict()) + "\n" for found in history))

    def resume_command(self, learner: LearnerName, preset: Preset, data: Path | None) -> str:
        """Return the command that goes on with the run."""
        words = ["minimeta", "train", learner, preset.task, "--out", str(self.path), "--resume"]
        return shlex.join([*words, "--data", str(data)] if data else words)


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
    """The name of the processor, where Linux or Python knows it."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
