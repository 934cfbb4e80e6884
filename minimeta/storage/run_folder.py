"""The folder of a run: everything that it takes to understand it, repeat it and go on with it.

======================  ================================================================================
configuration.toml      every setting, with its source; ``--config`` reads it
environment.json        versions, platform, command, data and times, one entry per session (start, resume, ...)
metrics.jsonl           one line per step
checkpoint.npz          the last training state that was saved
validation.jsonl        one line per validation                         (with evaluation.validate_every)
best.npz                the training state that validated best          (likewise)
results.json, .md       the evaluation, for programs and for readers
adaptation.png          what adaptation does, on a few test tasks       (with the plot extra)
learning.png            the learning curve                              (with the plot extra)
======================  ================================================================================

No damage goes unnoticed. The checkpoint is whole or refused, and holds the *records*
(:mod:`minimeta.storage.records`) of all that seed and settings decide: the settings themselves, the
SHA-256 of a line for each step, all validations and which was best. What depends on machine and
hour is sealed (:mod:`minimeta.storage.sealed`). Every other file is verified by these before it is
used, or written again from them; a file that fails is refused by its name and line.
"""

from __future__ import annotations

import json
import shlex
import sys
import tomllib
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from minimeta.errors import CheckpointError, ConfigurationError
from minimeta.files import write_atomically
from minimeta.storage.lock import locked
from minimeta.storage.records import Records
from minimeta.storage.sealed import read_sealed
from minimeta.storage.sessions import Sessions
from minimeta.training import Validated, checkpoint
from minimeta.training.configuration import flattened, read_toml, to_toml
from minimeta.training.presets import PRESETS, Preset


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
        self.sessions = Sessions(path / "environment.json")
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
        # Hidden files belong to a process that was killed, or to a file manager.
        if self.path.is_dir() and any(not path.name.startswith(".") for path in self.path.iterdir()):
            go_on = "go on with its run by --resume, or " if self.exists else ""
            raise ConfigurationError(f"{self.path} is not empty: {go_on}choose another folder with --out")

    @property
    def exists(self) -> bool:
        """Whether there is a run: a checkpoint, or the settings of a run that was about to begin."""
        return self.checkpoint.is_file() or self.configuration.is_file()

    def require_run(self) -> None:
        """Refuse a folder without a run.

        Raises
        ------
        ConfigurationError
            If there is none.
        """
        if not self.exists:
            name = self.configuration.name
            inside = sorted([*self.path.glob(f"*/{name}"), *self.path.glob(f"*/*/{name}")])
            hints = [
                f"; it has runs inside, such as {each.parent}: name these, or go on with all of them by --resume and "
                "--seeds or --grid again"
                for each in inside[:1]
            ]
            raise ConfigurationError(f"there is no run in {self.path}: {self.configuration} is missing{''.join(hints)}")

    def locked(self) -> AbstractContextManager[None]:
        """Keep other processes from writing the run inside the ``with`` statement.

        Raises
        ------
        StorageError
            If another process is writing it.
        """
        return locked(self.path)

    def records(self) -> Records:
        """Return what the checkpoint says about the other files.

        Raises
        ------
        CheckpointError
            If it is damaged, or has no records.
        """
        return Records.of(self.checkpoint, checkpoint.read_header(self.checkpoint).records)

    def values(self) -> dict[str, Any]:
        """Return the settings of the run by name, and its learner and task.

        They are those of the checkpoint; a ``configuration.toml`` that differs is reported on
        standard error. Without a checkpoint the run never began, and the file is all there is.

        Raises
        ------
        ConfigurationError
            If there is no run.
        CheckpointError
            If its checkpoint is damaged, or the file is that of another run.
        """
        self.require_run()
        if not self.checkpoint.is_file():
            return read_toml(self.configuration)
        header = checkpoint.read_header(self.checkpoint)
        kept = Records.of(self.checkpoint, header.records).configuration
        found = self.configuration.read_bytes() if self.configuration.is_file() else b""
        if found != kept.encode():
            self._require_own(header)
            lines = zip(found.splitlines(), kept.encode().splitlines(), strict=False)
            same = next((n for n, (here, there) in enumerate(lines) if here != there), len(found.splitlines()))
            print(
                f"minimeta: {self.configuration}, line {same + 1}, is not what was written; "
                "settings are those of the checkpoint",
                file=sys.stderr,
            )
        return flattened(tomllib.loads(kept))

    def _require_own(self, header: checkpoint.Header) -> None:
        """Refuse a configuration that can be read and is that of another run than the checkpoint."""
        try:
            preset = self._preset(read_toml(self.configuration))
        except ConfigurationError:
            return
        try:
            checkpoint.compare(self.checkpoint, header.fingerprint, preset.fingerprint)
        except CheckpointError as error:
            raise CheckpointError(
                f"{error}\nSo says {self.configuration}; if that is wrong, remove it: the checkpoint has all settings"
            ) from error

    def preset(self) -> Preset:
        """Return the preset of the run: its learner, its task and all its settings.

        Raises
        ------
        ConfigurationError
            If there is no run, or its settings are not those of this version of minimeta.
        CheckpointError
            If its checkpoint is damaged, or that of another run.
        """
        return self._preset(self.values())

    def _preset(self, values: dict[str, Any]) -> Preset:
        learner, task = values.pop("learner", None), values.pop("task", None)
        if not isinstance(learner, str) or not isinstance(task, str) or (learner, task) not in PRESETS:
            raise ConfigurationError(f"{self.configuration} is for {learner} {task}, which minimeta does not have")
        return PRESETS[learner, task].replace(values, str(self.configuration))

    def read_results(self) -> dict[str, Any]:
        """Return the results of the finished run.

        Raises
        ------
        ConfigurationError
            If there is no run, or it is not finished.
        CheckpointError
            If the file is damaged.
        """
        self.require_run()
        go_on = f"minimeta train ... --out {self.path} --resume"
        if not self.results.is_file():
            raise ConfigurationError(f"the run in {self.path} is not finished: {go_on} ends it")
        results: dict[str, Any] = read_sealed(self.results, f"It is written again by: {go_on}")
        return results

    def begin(self, preset: Preset, step: int, data: Path | None = None) -> str:
        """Write down the settings and a session that begins after `step` steps; return the text of the settings."""
        self.path.mkdir(parents=True, exist_ok=True)
        learner, task = preset.names
        settings = to_toml({"learner": learner, "task": task, **preset.settings}, preset.sources)
        write_atomically(self.configuration, settings)
        self.sessions.begin(step, data)
        return settings

    def validations(self, records: Records) -> list[Validated]:
        """Return all validations, with the seconds of training before each; None if its time is lost."""
        seconds = self.sessions.moments()
        return [Validated(step, seconds.get(str(step)), *judged) for step, *judged in records.validations]

    def write_validations(self, history: Sequence[Validated]) -> None:
        """Write down all validations so far, if there are any."""
        if history or self.validation.exists():
            write_atomically(self.validation, "".join(json.dumps(found._asdict()) + "\n" for found in history))

    def resume_command(self, preset: Preset, data: Path | None, workers: str | None = None) -> str:
        """Return the command that goes on with the run."""
        words = ["minimeta", "train", *preset.names, "--out", str(self.path), "--resume"]
        words += ["--data", str(data)] if data else []
        return shlex.join([*words, "--workers", workers] if workers else words)
