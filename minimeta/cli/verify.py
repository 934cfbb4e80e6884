"""``minimeta verify RUN...``: train the first steps of runs again, and compare their losses to the bit.

A run is decided by its settings and its seed, so a stranger on another processor can check in a
minute what took an hour. A run folder has a line for each step; a kept result
(``docs/results/NAME.json``) has the SHA-256 of the first hundred.

A record may have been cut since: the checkpoint knows how many steps it had. Whole steps that are left
are compared, and it is said how many they are. A record that ends within a line is never verified.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from minimeta import cli
from minimeta.cli.interruption import Interruption
from minimeta.cli.options import DataOption, JsonOption, WorkersOption
from minimeta.cli.progress import Bar
from minimeta.cli.workers import started
from minimeta.distributed import Workers
from minimeta.errors import CheckpointError, ConfigurationError
from minimeta.storage.run_folder import RunFolder
from minimeta.storage.sealed import read_json
from minimeta.training import Report, TrainingState, checkpoint, fit
from minimeta.training.configuration import flattened
from minimeta.training.metrics import FIRST_STEPS, digest, first_steps, record
from minimeta.training.presets import PRESETS, Preset


@dataclass(frozen=True)
class VerifyOptions(DataOption, JsonOption, WorkersOption):
    """Train the first steps of runs again, at most 100, and compare the bits of their losses."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional] = ()
    """Run folders, or kept results: files of docs/results."""


def verify(options: VerifyOptions) -> int:
    """Verify runs one after another; return the exit code, 1 if one has other bits or ends within a step.

    Raises
    ------
    ConfigurationError
        If there are no runs.
    CheckpointError
        If a record is damaged or has no steps, or a result has no hash.
    """
    if not options.runs:
        raise ConfigurationError("verify needs run folders or kept results, as in: minimeta verify runs/*")
    found = []
    with started(options.workers) as workers:
        for path in options.runs:
            found.append(_verified(path, options.data, workers))
            if not options.json and (workers is None or workers.leads):
                print(_said(path, found[-1]), flush=True)
    if workers is None or workers.leads:
        options.answer({"runs": found}, lambda: None)
    return cli.DONE if all(each["same"] and not each["cut"] for each in found) else cli.ERROR


def _verified(path: Path, data: Path | None, workers: Workers | None) -> dict[str, Any]:
    cut, recorded = False, None
    if path.is_file():
        preset, lines, kept = _kept(path)
    else:
        folder = RunFolder(path)
        preset, lines, data = folder.preset(), first_steps(folder.metrics), data or folder.sessions.data
        if not lines and preset.run.iterations:
            raise CheckpointError(f"{path} has no steps to compare: {folder.metrics} is missing or empty")
        kept = digest(lines)
        recorded = min(FIRST_STEPS, checkpoint.read_header(folder.checkpoint).step)
        cut = len(lines) < recorded and not folder.metrics.read_bytes().endswith(b"\n")
    again = _train(preset, data, kept["count"], workers)
    differing = [step for step, pair in enumerate(zip(lines, again, strict=False)) if pair[0] != pair[1]]
    return {
        "run": str(path),
        "same": digest(again) == kept,
        "cut": cut,
        "steps": kept["count"],
        "recorded": kept["count"] if recorded is None else max(recorded, kept["count"]),
        "sha256": kept["sha256"],
        "here": digest(again)["sha256"],
        "first_difference": differing[0] if differing else None,
    }


def _kept(path: Path) -> tuple[Preset, list[bytes], dict[str, Any]]:
    """Return the settings of a kept result, no lines, and the hash of its first steps."""
    remedy = "Restore it, or take it in again: minimeta report RUN --keep FOLDER"
    found = read_json(path, remedy)
    if not isinstance(found, dict) or (found.get("learner"), found.get("task")) not in PRESETS:
        raise CheckpointError(f"{path} is not a result that was kept. {remedy}")
    if not isinstance(found.get("first_steps"), dict) or type(found["first_steps"].get("count")) is not int:
        raise CheckpointError(f"{path} has no hash of its first steps: it was kept before results had one")
    preset = PRESETS[found["learner"], found["task"]].replace(flattened(found["settings"]), str(path))
    return preset, [], found["first_steps"]


def _train(preset: Preset, data: Path | None, steps: int, workers: Workers | None) -> list[bytes]:
    """Train so many steps from the beginning, and return their lines."""
    experiment, lines = preset.experiment(data), []
    with Interruption() as interruption, Bar(f"verifying {' '.join(preset.names)}", 0, steps) as bar:

        def keep(state: TrainingState, report: Report) -> None:
            lines.append(record(state, report))
            bar.show(state.step)

        fit(
            experiment.learner,
            experiment.training_tasks,
            experiment.optimiser,
            iterations=steps,
            meta_batch=preset.run.meta_batch,
            seed=preset.run.seed,
            callbacks=[keep, interruption],
            workers=workers,
        )
    return lines


def _said(path: Path, found: dict[str, Any]) -> str:
    steps, recorded = found["steps"], found["recorded"]
    if found["cut"]:
        bits = "the same" if found["same"] else "other"
        return f"{path}: CUT within the line of step {steps}, of {recorded}; the steps before it have {bits} bits"
    if found["same"]:
        left = f", all that is left of {recorded}" if steps < recorded else ""
        return f"{path}: the same bits after {steps} steps{left} ({found['sha256'][:16]})"
    at = found["first_difference"]
    where = "" if at is None else f", first in step {at}"
    return f"{path}: OTHER BITS{where}: {found['sha256'][:16]} there and {found['here'][:16]} here"
