"""The flags of a training or an evaluation, and the layers of its settings.

Each layer overrides those before it:

    preset  <  the run's own settings, with --resume  <  --config FILE  <  flags

Flags are read over some default, and the default depends on three of them (``--config``,
``--resume`` and ``--out``), so the same flags are read once per layer.
"""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from minimeta.cli.groups import parse_settings
from minimeta.cli.options import DataOption, JsonOption, SweepOption, Switch, WorkersOption, parse
from minimeta.errors import ConfigurationError
from minimeta.storage.run_folder import RunFolder
from minimeta.training import Cell, cell_of
from minimeta.training.configuration import read_toml
from minimeta.training.presets import PRESETS, Preset
from minimeta.training.presets.preset import PARTS


@dataclass(frozen=True)
class TrainOptions(DataOption, JsonOption, SweepOption):
    """Where a training reads and writes, which does not change what it computes."""

    out: Path | None = None
    """Run folder to write (default: runs/LEARNER-TASK-seedSEED). It must be empty, or new."""
    resume: Switch = False
    """Go on with the run in that folder, with its settings; a larger --iterations goes further."""
    config: Path | None = None
    """TOML file of settings; flags override it. A run's configuration.toml is one."""
    checkpoint_every: int | None = None
    """Steps from one checkpoint to the next (default: as many as take ten seconds)."""


@dataclass(frozen=True)
class ReproduceOptions(DataOption, JsonOption, SweepOption):
    """Train a cell of a paper's table, or go on with it, evaluate, and print our number next to the paper's."""

    iterations: int | None = None
    """Training steps (default: the paper's); fewer make a short run, and its verdict says so."""
    seed: int | None = None
    """Decides initialisation and training tasks."""
    out: Path | None = None
    """Run folder (default: runs/CELL-seedSEED). If it holds this run already, the run goes on."""
    resume: Switch = False
    """Refuse to begin: there must be a run in that folder, which goes on."""


@dataclass(frozen=True)
class Training:
    """A training that is fully decided.

    Attributes
    ----------
    preset
        What to run.
    folder
        Where to write it.
    options
        The rest.
    """

    preset: Preset
    folder: RunFolder
    options: TrainOptions


def parse_training(learner: str, task: str, flags: list[str]) -> Training:
    """Read the flags of ``minimeta train LEARNER TASK``, over all layers of settings.

    Raises
    ------
    ConfigurationError
        If a file holds unknown settings or is for another learner or task, a value is out of range,
        or there is nothing to resume.
    """
    preset = PRESETS[learner, task]

    def over(default: Preset) -> tuple[TrainOptions, dict[str, Any]]:
        title = f"Meta-train {learner} on {task}, evaluate and draw. {default.title}"
        return parse_settings(TrainOptions, f"minimeta train {learner} {task}", flags, default, PARTS, title)

    def layered(default: Preset, path: Path, values: dict[str, Any]) -> Preset:
        given = values.pop("learner", learner), values.pop("task", task)
        if given != (learner, task):
            raise ConfigurationError(f"{path} is for {' '.join(map(str, given))}, not for {learner} {task}")
        return default.replace(values, str(path))

    def with_file(default: Preset, path: Path | None) -> Preset:
        return layered(default, path, read_toml(path)) if path else default

    options, _ = over(preset)
    default = with_file(preset, options.config)
    options, settings = over(default)
    if options.checkpoint_every is not None and options.checkpoint_every < 1:
        raise ConfigurationError(f"--checkpoint-every must be at least 1, not {options.checkpoint_every}")
    whole = default.replace(settings, "flags")
    folder = RunFolder(options.out or Path("runs") / whole.run_name)
    if options.resume:
        folder.require_run()
        default = with_file(layered(preset, folder.configuration, folder.values()), options.config)
        options, settings = over(default)
        whole = default.replace(settings, "flags")
    else:
        folder.require_empty()
    return Training(whole, folder, dataclasses.replace(options, data=options.data or folder.sessions.data))


@dataclass(frozen=True)
class EvaluateOptions(DataOption, JsonOption, WorkersOption):
    """The flags of ``minimeta evaluate`` that are no settings."""

    run: Annotated[Path, tyro.conf.Positional]
    """The run folder."""


def parse_evaluation(flags: list[str]) -> tuple[EvaluateOptions, Preset]:
    """Read the flags of ``minimeta evaluate RUN``, over the settings of the run.

    Raises
    ------
    ConfigurationError
        If there is no such run, or a value is out of range.
    """

    title = "Evaluate a run again, as it was evaluated where no flag says otherwise."
    read = functools.partial(
        parse_settings, EvaluateOptions, "minimeta evaluate", flags, parts=("evaluation",), title=title
    )
    options, _ = read(next(iter(PRESETS.values())), said="(default: the run's)")
    preset = RunFolder(options.run).preset()
    options, settings = read(preset)
    return options, preset.replace(settings, "minimeta evaluate")


def parse_reproduction(cell: Cell, flags: list[str]) -> Training:
    """Read the flags of ``minimeta reproduce CELL``: a training of the cell, or the rest of one that has begun.

    Raises
    ------
    ConfigurationError
        If a value is out of range, or the folder holds something else.
    """
    options = parse(ReproduceOptions, f"minimeta reproduce {cell.name}", flags)
    given = {name: getattr(options, name) for name in ("iterations", "seed") if getattr(options, name) is not None}
    preset = cell.preset.replace(given)
    folder = RunFolder(options.out or Path("runs") / f"{cell.name}-seed{preset.run.seed}")
    if options.resume:
        folder.require_run()
    begun = folder.exists
    if begun:
        found = folder.preset()
        if cell_of(found) is not cell:
            raise ConfigurationError(f"{folder.path} holds another run than {cell.name}; choose another with --out")
        preset = found.replace(given)
    else:
        folder.require_empty()
    data = options.data or folder.sessions.data
    return Training(preset, folder, TrainOptions(resume=begun, data=data, json=options.json, workers=options.workers))
