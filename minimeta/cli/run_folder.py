"""The folder of a run: everything it takes to understand it, repeat it and go on with it.

======================  ================================================================================
configuration.toml      every setting, with its source; ``--config`` reads it
environment.json        versions, platform and command, one entry per session (start, resume, ...)
metrics.jsonl           one line per step
checkpoint.npz          the last training state that was saved
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
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from minimeta import __version__, kernels
from minimeta.errors import ConfigurationError
from minimeta.files import write_atomically
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

    def begin(self, learner: LearnerName, preset: Preset, step: int) -> None:
        """Write down the settings, and the environment of a session that begins after `step` steps."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_atomically(self.configuration, to_toml(preset, learner=learner, task=preset.task))
        sessions = json.loads(self.environment.read_text("utf-8")) if self.environment.exists() else []
        session = {"step": step, "time": datetime.now().astimezone().isoformat(timespec="seconds"), **environment()}
        write_atomically(self.environment, json.dumps([*sessions, session], indent=2) + "\n")

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
        "processors": os.cpu_count(),
        "command": shlex.join(sys.argv),
    }
