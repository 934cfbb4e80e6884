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
from minimeta.cli.results import number, way_of_predicting
from minimeta.cli.summary import STEPS
from minimeta.cli.tables import show_table
from minimeta.errors import ConfigurationError
from minimeta.storage.run_folder import RunFolder
from minimeta.storage.states import tested_state
from minimeta.training import CELLS


@dataclass(frozen=True)
class ReportOptions(DataOption, JsonOption):
    """Print finished runs in one table; draw them, and keep their results, if asked to."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional] = ()
    """Their folders."""
    figure: Path | None = None
    """Draw the runs together into this .png, .pdf or .svg, and each run's adaptation likewise in its folder."""
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
    results = [{**folder.read_results(), "run": str(folder.path)} for folder in folders]  # It may have been moved.
    figures = _draw(options.figure, options.data, folders, results) if options.figure else []
    written = page.keep(options.keep, options.runs, results) if options.keep else None

    paths = {"figures": [str(path) for path in figures], "page": written and str(written)}
    return options.answer({"runs": results, **paths}, lambda: _show(results, [*figures, *filter(None, [written])]))


def _show(results: list[dict[str, Any]], written: list[Path]) -> None:
    """Print the runs as a table, and the files that were written."""
    head = ["run", "iterations", "training", "after steps", "published"]
    if results:
        title = f"{len(results)} run{'s' * (len(results) > 1)}; 0 steps are before adaptation"
        show_table(title, head, [_row(each) for each in results])
    for path in written:
        print(f"written: {path}")


def _draw(figure: Path, data: Path | None, folders: list[RunFolder], results: list[dict[str, Any]]) -> list[Path]:
    """Draw the runs together, and the adaptation of each in the same format; return the files."""
    curves_figure(figure, results)
    written = [figure]
    for folder in folders:
        preset = folder.preset()
        experiment = preset.experiment(data or folder.sessions.data)
        learned = tested_state(folder, preset, experiment.learner, experiment.optimiser).meta_parameters
        written.append(folder.adaptation_figure.with_suffix(figure.suffix))
        adaptation_figure(written[-1], experiment, learned, preset.evaluation.steps, preset.evaluation.seed)
    return written


def _row(results: Mapping[str, Any]) -> list[str]:
    steps = [step for step in results["steps"] if step in (*STEPS, results["steps"][-1])]
    means, halves = (dict(zip(results["steps"], results[name], strict=True)) for name in ("mean", "interval"))

    def said(mean: float | None, half: float | None) -> str:
        words = ("not finite" if each is None else number(results["metric"], each) for each in (mean, half))
        return " ± ".join(words) + (" %" if results["metric"] == "accuracy" else "")

    reached = [f"{step}: {said(means[step], halves[step])}" for step in steps]
    if other := results["other"]:
        last = said(other["mean"][-1], other["interval"][-1])
        reached.append(f"{way_of_predicting(other['transductive'])}: {steps[-1]}: {last}")
    if results["diverged"]:
        reached.append(f"{results['diverged']} of {results['evaluation']['tasks']} tasks diverged")
    seconds, cell = results.get("seconds"), CELLS[results["cell"]] if results["cell"] else None
    return [
        f"{results['learner']} {results['task']}\nseed {results['seed']}, {results['evaluation']['shots']}-shot",
        f"{results['step']:,}",
        "" if seconds is None else f"{seconds:.0f} s",
        "\n".join(reached),
        "\n".join(f"{each.steps}: {published(results['metric'], each)}" for each in cell.published) if cell else "",
    ]
