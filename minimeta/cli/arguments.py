"""Flags: frozen dataclasses, turned into a command line by tyro.

The settings of a training are layered, each layer over the one before:

    preset  <  the run's own settings, with --resume  <  --config FILE  <  flags

The flags can only be read over some default, and what the default is depends on three of them (``--config``,
``--resume`` and ``--out``), so the same flags are read once per layer.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import tyro

from minimeta import cli
from minimeta.cli.groups import Grouped, in_full, optional
from minimeta.cli.run_folder import RunFolder
from minimeta.errors import ConfigurationError
from minimeta.tasks.image_splits import MINI_IMAGENET
from minimeta.training import Cell, cell_of
from minimeta.training.configuration import read_toml, replace
from minimeta.training.presets import PRESETS, ImageEvaluationSettings, LearnerName, Preset

Options = TypeVar("Options")
Switch = tyro.conf.FlagCreatePairsOff[bool]
"""Of which there is only the flag that turns it on."""
if TYPE_CHECKING:
    Changes = ImageEvaluationSettings
else:
    Changes = optional(ImageEvaluationSettings)


@dataclass(frozen=True)
class TrainOptions:
    """What decides where a training reads and writes, and not what it computes."""

    out: Path | None = None
    """Run folder to write (default: runs/LEARNER-TASK-seedSEED). It must be empty, or new."""
    resume: Switch = False
    """Go on with the run in that folder, with its settings; a larger --iterations goes further."""
    config: Path | None = None
    """TOML file of settings; flags override it. A run's configuration.toml is one."""
    data: Path | None = None
    """Folder of the data, or the images (default: those of the run, $MINIMETA_DATA, or the user's cache)."""
    checkpoint_every: int | None = None
    """Steps from one checkpoint to the next (default: as many as take ten seconds)."""
    json: Switch = False
    """Print one JSON object on standard output and nothing else."""


@dataclass(frozen=True)
class EvaluateOptions:
    """Evaluate a run again from its checkpoint, by default as it was evaluated; --steps is --evaluation.steps."""

    run: Annotated[Path, tyro.conf.Positional]
    """The run folder."""
    evaluation: Annotated[Changes, tyro.conf.arg(help="As the run has them, where they are not given.")]
    data: Path | None = None
    """Folder of the data, or the images (default: those of the run, $MINIMETA_DATA, or the user's cache)."""
    json: Switch = False
    """Print one JSON object on standard output and nothing else."""


@dataclass(frozen=True)
class ReproduceOptions:
    """Train a cell of a paper's table, or go on with it, evaluate, and print our number beside the paper's."""

    iterations: int | None = None
    """Training steps (default: the paper's); fewer are sooner there."""
    seed: int | None = None
    """Decides initialisation and training tasks."""
    out: Path | None = None
    """Run folder (default: runs/CELL-seedSEED). Where it holds this run already, the run goes on."""
    data: Path | None = None
    """Folder of the data, or the images (default: those of the run, $MINIMETA_DATA, or the user's cache)."""
    json: Switch = False
    """Print one JSON object on standard output and nothing else."""


@dataclass(frozen=True)
class PresetsOptions:
    """List the cells of the papers' tables that can be reproduced."""

    json: Switch = False
    """Print one JSON object on standard output and nothing else."""


@dataclass(frozen=True)
class CompareOptions:
    """Print one table over finished runs."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional] = ()
    """Their folders."""
    json: Switch = False
    """Print one JSON object on standard output and nothing else."""


@dataclass(frozen=True)
class PlotOptions:
    """Draw runs in one figure, learning curves and values against adaptation steps, and each run's adaptation anew."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional] = ()
    """Their folders."""
    out: Path = Path("curves.png")
    """The file to write: a .png, .pdf or .svg."""
    data: Path | None = None
    """Folder of the data, or the images (default: those of the run, $MINIMETA_DATA, or the user's cache)."""
    json: Switch = False
    """Print one JSON object on standard output and nothing else."""


@dataclass(frozen=True)
class ResultsOptions:
    """Take the results of reproduced cells into a folder of small files, and write the page made of all there."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional] = ()
    """Folders of runs of minimeta reproduce; none to write the page again."""
    folder: Path = Path("docs/results")
    """The folder; the page is beside it, as in docs/results.md."""
    json: Switch = False
    """Print one JSON object on standard output and nothing else."""


@dataclass(frozen=True)
class DataOptions:
    """Get Omniglot, 16 MB, from where it is published or from files at hand, and keep it at 28 x 28."""

    source: Annotated[tuple[Path, ...], tyro.conf.arg(name="from")] = ()
    """A folder with images_background and images_evaluation (.zip, as published, or .npz), or these two files."""
    data: Path | None = None
    """Folder to keep it in (default: $MINIMETA_DATA, or the user's cache)."""
    json: Switch = False
    """Print one JSON object on standard output and nothing else."""


@dataclass(frozen=True)
class SplitOptions:
    """Split images of one's own by class, and write train.csv, val.csv and test.csv beside them."""

    source: Annotated[Path, tyro.conf.Positional]
    """A folder of class folders, or an .npz."""
    fractions: tuple[float, float, float] = MINI_IMAGENET
    """Which of the classes are for training, validation and testing, or how many: 64 16 20."""
    seed: int = 0
    """Decides which classes they are."""
    ways: int = 5
    """The classes of a task: each part must have as many, or none (validation)."""
    json: Switch = False
    """Print one JSON object on standard output and nothing else."""


@dataclass(frozen=True)
class InfoOptions:
    """Say what is installed and which data is found."""

    data: Path | None = None
    """Folder of the data (default: $MINIMETA_DATA, or the user's cache)."""
    json: Switch = False
    """Print one JSON object on standard output and nothing else."""


@dataclass(frozen=True)
class GradcheckOptions:
    """Check the derivatives of operations, to second order, on drawn operands."""

    primitives: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    """Their names (default: all of them)."""
    examples: int = 8
    """On how many operands each."""
    seed: int = 0
    """Decides the operands."""
    json: Switch = False
    """Print one JSON object on standard output and nothing else."""


@dataclass(frozen=True)
class Training:
    """A training that is fully decided.

    Attributes
    ----------
    learner, preset
        What to run.
    folder
        Where to.
    options
        The rest.
    """

    learner: LearnerName
    preset: Preset
    folder: RunFolder
    options: TrainOptions


def parse(kind: type[Options], program: str, flags: list[str], default: Any = tyro.MISSING_NONPROP) -> Options:
    """Read flags into a dataclass; exits with code 2, and a suggestion, for flags that are wrong.

    Raises
    ------
    ConfigurationError
        Instead, where an answer in JSON was asked for.
    """
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said) if cli.in_json(flags) else contextlib.nullcontext():
            parsed: Options = tyro.cli(kind, prog=program, args=flags, default=default)
            return parsed
    except SystemExit as end:
        if not end.code or not cli.in_json(flags):
            raise
        words = re.sub(r"[\u2500-\u257f]+|[|+-]{3,}|^\||\|$", " ", said.getvalue(), flags=re.MULTILINE).split()
        raise ConfigurationError(" ".join(words)) from None


def parse_evaluation(flags: list[str]) -> EvaluateOptions:
    """Read the flags of ``minimeta evaluate``."""
    return parse(EvaluateOptions, "minimeta evaluate", in_full(flags, ImageEvaluationSettings))


def parse_training(learner: LearnerName, task: str, flags: list[str]) -> Training:
    """Read the flags of ``minimeta train LEARNER TASK``, over all layers of settings.

    Raises
    ------
    ConfigurationError
        If a file holds unknown settings or is for another learner or task, a value is out of range, or there is
        nothing to resume.
    """
    preset = PRESETS[learner, task]
    title = f"Meta-train {learner} on {task}, evaluate and draw. {type(preset).__doc__}".partition("\n")[0]
    groups = Grouped(title, TrainOptions, type(preset))

    def over(default: Preset) -> tuple[TrainOptions, Preset]:
        program = f"minimeta train {learner} {task}"
        parsed: Any = parse(groups.kind, program, flags, groups.taken_apart(TrainOptions(), default))
        return groups.put_together(parsed, default)

    def layered(default: Preset, path: Path | None, values: dict[str, Any]) -> Preset:
        expected = {"learner": learner, "task": task}
        given = {name: values.pop(name, value) for name, value in expected.items()}
        if given != expected:
            raise ConfigurationError(f"{path} is for {' '.join(map(str, given.values()))}, not for {learner} {task}")
        return replace(default, values, str(path))

    def with_file(default: Preset, path: Path | None) -> Preset:
        return layered(default, path, read_toml(path)) if path else default

    options, _ = over(preset)
    options, settings = over(with_file(preset, options.config))
    if options.checkpoint_every is not None and options.checkpoint_every < 1:
        raise ConfigurationError(f"--checkpoint-every must be at least 1, not {options.checkpoint_every}")
    folder = RunFolder(options.out or Path("runs") / f"{learner}-{settings.run_name}-seed{settings.seed}")
    if options.resume:
        folder.require_run()
        own = layered(preset, folder.configuration, folder.values())
        options, settings = over(with_file(own, options.config))
    else:
        folder.require_empty()
    return Training(learner, settings, folder, dataclasses.replace(options, data=options.data or folder.data))


def parse_reproduction(cell: Cell, flags: list[str]) -> Training:
    """Read the flags of ``minimeta reproduce CELL``: a training of the cell, or the rest of one that is there.

    Raises
    ------
    ConfigurationError
        If a value is out of range, or the folder holds something else.
    """
    options = parse(ReproduceOptions, f"minimeta reproduce {cell.name}", flags)
    given = {name: getattr(options, name) for name in ("iterations", "seed") if getattr(options, name) is not None}
    preset = dataclasses.replace(cell.preset, **given)
    folder = RunFolder(options.out or Path("runs") / f"{cell.name}-seed{preset.seed}")
    there = folder.exists
    if there:
        learner, found = folder.settings()
        if cell_of(learner, found) is not cell:
            raise ConfigurationError(f"{folder.path} holds another run than {cell.name}; choose another with --out")
        preset = dataclasses.replace(found, **given)
    else:
        folder.require_empty()
    data = options.data or folder.data
    return Training(cell.learner, preset, folder, TrainOptions(resume=there, data=data, json=options.json))
