"""``minimeta report RUN...``: finished runs in one table; also in one figure, and in the page of all results.

The page is docs/results.md (:mod:`minimeta.cli.page`): ``--keep FOLDER`` takes the results of cells
into the folder of its files and writes it again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from minimeta.cli import page
from minimeta.cli.comparison import published
from minimeta.cli.figures import adaptation_figure, curves_figure, require_format
from minimeta.cli.options import DataOption, JsonOption
from minimeta.cli.results import markdown, way_of_predicting
from minimeta.errors import ConfigurationError
from minimeta.storage.run_folder import RunFolder
from minimeta.storage.states import tested_state
from minimeta.training import CELLS

STEPS = (0, 1, 3, 5, 10)
"""The numbers of adaptation steps that papers report; the table also shows the last one of a run."""


@dataclass(frozen=True)
class ReportOptions(DataOption, JsonOption):
    """Print finished runs in one table; draw them, and keep their results, if asked to."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional] = ()
    """Their folders."""
    figure: Path | None = None
    """Draw the runs together into this .png, .pdf or .svg, and each run's adaptation again in its folder."""
    keep: Path | None = None
    """Take results of cells into this folder of small files, and write the page next to it: docs/results."""


def report(options: ReportOptions) -> int:
    """Print, draw and keep results, and return the exit code.

    Raises
    ------
    ConfigurationError
        If there are no runs, one of them is not finished, one to be kept belongs to no cell, or the
        suffix of the figure names no format.
    MinimetaError
        If results are damaged, or what the figures need is missing: data, or the extra ``plot``.
    """
    if not options.runs and (options.figure or not options.keep):
        raise ConfigurationError("report needs the folders of runs, as in: minimeta report runs/*")
    if options.figure:
        require_format(options.figure)
    folders = [RunFolder(path) for path in options.runs]
    results = [folder.read_results() for folder in folders]
    figures = _draw(options.figure, options.data, folders, results) if options.figure else []
    written = page.keep(options.keep, options.runs, results) if options.keep else None

    def text() -> str:
        head = ["run", "iterations", "training", "before adaptation; after n steps", "published"]
        table = [markdown(head, [_row(each) for each in results]).rstrip("\n")] if results else []
        return "\n".join([*table, *(f"written: {path}" for path in (*figures, *([written] if written else [])))])

    paths = {"figures": [str(path) for path in figures], "page": written and str(written)}
    return options.answer({"runs": results, **paths}, text)


def _draw(figure: Path, data: Path | None, folders: list[RunFolder], results: list[dict[str, Any]]) -> list[Path]:
    """Draw the runs together, and the adaptation of each; return the files."""
    curves_figure(figure, results)
    for folder in folders:
        preset = folder.preset()
        experiment = preset.experiment(data or folder.sessions.data)
        learned = tested_state(folder, preset, experiment.learner, experiment.optimiser).meta_parameters
        adaptation_figure(
            folder.adaptation_figure, experiment, learned, preset.evaluation.steps, preset.evaluation.seed
        )
    return [figure, *(folder.adaptation_figure for folder in folders)]


def _row(results: Mapping[str, Any]) -> list[str]:
    steps = [step for step in results["steps"] if step in (*STEPS, results["steps"][-1])]
    means, halves = (dict(zip(results["steps"], results[name], strict=True)) for name in ("mean", "interval"))
    scale, unit, digits = (100, " %", 1) if results["metric"] == "accuracy" else (1, "", 3)

    def number(value: float | None) -> str:
        return "not finite" if value is None else f"{scale * value:.{digits}f}"

    reached = [f"{step}: {number(means[step])} ± {number(halves[step])}{unit}" for step in steps]
    if other := results["other"]:
        last = f"{steps[-1]}: {number(other['mean'][-1])} ± {number(other['interval'][-1])}{unit}"
        reached.append(f"{way_of_predicting(other['transductive'])}: {last}")
    if results["diverged"]:
        reached.append(f"{results['diverged']} of {results['evaluation']['tasks']} tasks diverged")
    seconds, cell = results.get("seconds"), CELLS[results["cell"]] if results["cell"] else None
    return [
        f"`{results['learner']} {results['task']}`, seed {results['seed']}, {results['evaluation']['shots']}-shot",
        f"{results['step']:,}",
        "" if seconds is None else f"{seconds:.0f} s",
        "; ".join(reached),
        "; ".join(f"{each.steps}: {published(results['metric'], each)}" for each in cell.published) if cell else "",
    ]
