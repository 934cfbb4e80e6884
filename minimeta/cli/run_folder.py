"""The folder of a run: everything it takes to understand it, repeat it and go on with it.

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

Nothing of a damaged folder goes unnoticed. The checkpoint is whole or refused, and has the *records* of what seed and
settings decide: the settings themselves, the SHA-256 of a line for each step, all validations and which was best. What
machine and hour decide is sealed (:mod:`minimeta.cli.sealed`). Every other file is verified by these before it is used,
or made from them again; a file that is neither is refused by its name and line.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import json
import os
import platform
import shlex
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from minimeta import __version__, kernels
from minimeta.cli.sealed import read_sealed, sealed
from minimeta.errors import CheckpointError, ConfigurationError, StorageError
from minimeta.files import write_atomically
from minimeta.training import ModelSelection, Validated, checkpoint
from minimeta.training.configuration import read_toml, replace, to_toml
from minimeta.training.presets import PRESETS, LearnerName, Preset, fingerprint


@dataclass(frozen=True)
class Records:
    """What a checkpoint says of the files beside it.

    Attributes
    ----------
    configuration
        The text of ``configuration.toml``.
    metrics
        The SHA-256 of the lines of ``metrics.jsonl`` up to its step.
    validations
        The step of each validation, the mean and the half-width of its interval.
    best
        The step of the state in ``best.npz``; None if there should be none.
    """

    configuration: str
    metrics: str = hashlib.sha256().hexdigest()
    validations: tuple[tuple[int, float, float], ...] = ()
    best: int | None = None

    @classmethod
    def of(cls, path: Path, found: Mapping[str, Any]) -> Records:
        """Return those of a checkpoint.

        Raises
        ------
        CheckpointError
            If it has none: it is not that of a run, or an older version wrote it.
        """
        if found.keys() != {field.name for field in dataclasses.fields(cls)}:
            raise CheckpointError(
                f"{path} does not say what the files beside it should be: it is not the checkpoint of a run, or was "
                "written by an older version of minimeta. minimeta train ... --config configuration.toml trains again"
            )
        return cls(**{**found, "validations": tuple(map(tuple, found["validations"]))})

    def with_validations(self, selection: ModelSelection) -> Records:
        """Return these records, and what was validated since."""
        judged = tuple((found.step, found.mean, found.interval) for found in selection.history)
        best = self.best if selection.best is None else selection.best.step
        return dataclasses.replace(self, validations=judged, best=best)


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
        self._sessions: list[dict[str, Any]] = []

    def require_empty(self) -> None:
        """Refuse a folder that holds anything.

        Raises
        ------
        ConfigurationError
            If it does, or is a file.
        """
        if self.path.exists() and not self.path.is_dir():
            raise ConfigurationError(f"{self.path} is a file, not a folder; choose another with --out")
        # Hidden files are those of a process that was killed, or of a file manager.
        if self.path.is_dir() and any(not path.name.startswith(".") for path in self.path.iterdir()):
            go_on = "go on with its run by --resume, or " if self.exists else ""
            raise ConfigurationError(f"{self.path} is not empty: {go_on}choose another folder with --out")

    @property
    def exists(self) -> bool:
        """Whether there is a run: a checkpoint, or the settings of one that was to be begun."""
        return self.checkpoint.is_file() or self.configuration.is_file()

    def require_run(self) -> None:
        """Refuse a folder without a run.

        Raises
        ------
        ConfigurationError
            If there is none.
        """
        if not self.exists:
            raise ConfigurationError(f"there is no run in {self.path}: {self.configuration} is missing")

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from writing the run, while entered.

        The lock is the system's (``flock``): it ends with the process, however that ends. Where a file system has none,
        as some network file systems, nobody is kept from anything.

        Raises
        ------
        StorageError
            If another process writes it.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        path = self.path / ".lock"
        with self._lock(path) as file:
            file.truncate(0)
            with contextlib.suppress(OSError):  # on a full disk the lock has no name
                os.write(file.fileno(), f"process {os.getpid()} on {platform.node()}".encode())
            for left in self.path.glob(".*.npz.*"):  # by a process that was killed while it wrote
                left.unlink(missing_ok=True)
            try:
                yield
            finally:
                path.unlink(missing_ok=True)

    def _lock(self, path: Path) -> TextIO:
        """Return the file that is locked."""
        file = path.open("a+", encoding="utf-8")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            owner = file.read() or "another process"
            file.close()
            raise StorageError(f"{owner} is writing the run in {self.path}: wait for it, or end it") from error
        except OSError:  # there are no locks here
            return file
        if path.exists() and os.path.samestat(path.stat(), os.fstat(file.fileno())):
            return file
        file.close()  # Its owner has just ended, and removed it.
        return self._lock(path)

    def records(self) -> Records:
        """Return what the checkpoint says of the files beside it.

        Raises
        ------
        CheckpointError
            If it is damaged, or has none.
        """
        return Records.of(self.checkpoint, checkpoint.read_header(self.checkpoint).records)

    def values(self) -> dict[str, Any]:
        """Return the settings of the run as TOML has them.

        They are those of the checkpoint: where ``configuration.toml`` says something else, this is told on standard
        error. Where there is no checkpoint the run was never begun, and the file is all there is.

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
            _tell(
                f"{self.configuration}, line {same + 1}, is not what was written; settings are those of the checkpoint"
            )
        return tomllib.loads(kept)

    def _require_own(self, header: checkpoint.Header) -> None:
        """Refuse a configuration that can be read and is that of another run than the checkpoint."""
        try:
            learner, preset = self._preset(read_toml(self.configuration))
        except ConfigurationError:
            return
        try:
            checkpoint.compare(self.checkpoint, header.fingerprint, fingerprint(learner, preset))
        except CheckpointError as error:
            raise CheckpointError(
                f"{error}\nSo says {self.configuration}; if that is wrong, remove it: the checkpoint has all settings"
            ) from error

    def settings(self) -> tuple[LearnerName, Preset]:
        """Return the learner and the settings of the run.

        Raises
        ------
        ConfigurationError
            If there is no run, or its settings are not those of this version of minimeta.
        CheckpointError
            If its checkpoint is damaged, or that of another run.
        """
        return self._preset(self.values())

    def _preset(self, values: dict[str, Any]) -> tuple[LearnerName, Preset]:
        learner, task = values.pop("learner", None), values.pop("task", None)
        if not isinstance(learner, str) or not isinstance(task, str) or (learner, task) not in PRESETS:
            raise ConfigurationError(f"{self.configuration} is for {learner} {task}, which minimeta does not have")
        name: Any = learner
        return name, replace(PRESETS[name, task], values, str(self.configuration))

    def read_results(self) -> dict[str, Any]:
        """Return what the finished run has come to.

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

    def begin(self, learner: LearnerName, preset: Preset, step: int, data: Path | None = None) -> str:
        """Write down settings, and the environment of a session that begins after `step` steps; return the settings."""
        self.path.mkdir(parents=True, exist_ok=True)
        sessions = self.sessions()
        if step and not sessions:
            _tell(f"{self.environment} is missing: times are counted from here on")
        settings = to_toml(preset, preset.sources, learner=learner, task=preset.task)
        write_atomically(self.configuration, settings)
        session = {"step": step, "time": datetime.now().astimezone().isoformat(timespec="seconds"), **environment()}
        if data is not None:
            session["data"] = str(data.absolute())
        self._sessions = [*sessions, session]
        write_atomically(self.environment, sealed(self._sessions))
        return settings

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
        """Return the environments of all sessions.

        Raises
        ------
        CheckpointError
            If the file is damaged.
        """
        if not self.environment.exists():
            return []
        remedy = "Without it the run goes on, and its times are counted anew: remove the file"
        sessions: list[dict[str, Any]] = read_sealed(self.environment, remedy)
        return sessions

    def spent(self, seconds: float, history: Sequence[Validated] = ()) -> None:
        """Write down how long the run has been trained so far, and when it was validated, in the session begun."""
        *before, last = self._sessions
        last["seconds"] = round(seconds - sum(session.get("seconds", 0.0) for session in before), 3)
        if validated := {str(found.step): found.seconds for found in history if found.step > last["step"]}:
            last["validated"] = validated
        write_atomically(self.environment, sealed(self._sessions))

    def validations(self, records: Records) -> list[Validated]:
        """Return all validations, with the seconds after which they were; None where these are lost."""
        seconds = {step: at for session in self.sessions() for step, at in session.get("validated", {}).items()}
        return [Validated(step, seconds.get(str(step)), *judged) for step, *judged in records.validations]

    def write_validations(self, history: Sequence[Validated]) -> None:
        """Write down all validations so far, if there are any."""
        if history or self.validation.exists():
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


def _tell(what: str) -> None:
    print(f"minimeta: {what}", file=sys.stderr)
