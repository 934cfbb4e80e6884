"""Our number next to the published one: what ``minimeta reproduce`` prints, and the rows of the page of results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from minimeta.cli.results import number, way_of_predicting
from minimeta.cli.summary import mean_and_interval
from minimeta.cli.tables import show_table
from minimeta.training import CELLS, Cell, Validated, time_to
from minimeta.training.cells import Published
from minimeta.training.metrics import LARGER_IS_BETTER

ACCURACIES = (0.90, 0.95, 0.98)
"""The accuracies whose times are reported."""

HEAD = ["after steps", "predicted", "published", "here", "verdict"]


def comparison(cell: Cell, report: Mapping[str, Any]) -> list[list[str]]:
    """Return a row for each published number; if there is none, a row for the last step.

    Parameters
    ----------
    cell
        What was run.
    report
        The ``results.json`` of the run.
    """
    return [[*row[:4], row[5]] for row in comparison_over_seeds(cell, [report])]


def comparison_over_seeds(cell: Cell, reports: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Return a row for each published number as `comparison` does, and how far the seeds spread before the verdict.

    The interval of several seeds is one over trainings (`minimeta.cli.summary`), that of a single one is over its test
    tasks.

    Parameters
    ----------
    cell
        What was run.
    reports
        The ``results.json`` of runs that differ in their seeds alone, at least one.
    """
    report = reports[0]
    metric, is_short_run = report["metric"], report["iterations"] < cell.preset.run.iterations
    rows = []
    for theirs in cell.published or [None]:
        steps = theirs.steps if theirs else report["steps"][-1]
        transductive = theirs.transductive if theirs else report["evaluation"]["transductive"]
        found = [_ours(each, steps, transductive) for each in reports]
        mean, half = found[0] if len(found) == 1 else mean_and_interval([mean for mean, _ in found])
        means = [mean for mean, _ in found if mean is not None]
        spread = f"{number(metric, min(means))} to {number(metric, max(means))}" if mean is not None else ""
        ours = _with_interval(metric, mean, half)
        if theirs:
            way = way_of_predicting(transductive) if report["other"] else ""
            verdict = _verdict(metric, theirs, mean, half, is_short_run)
            rows.append([str(steps), way, published(metric, theirs), ours, spread, verdict])
        else:
            rows.append([str(steps), "", "none", ours, spread, ""])
    return rows


def published(metric: str, theirs: Published) -> str:
    """Return a published number as it is printed."""
    interval = f" ± {number(metric, theirs.interval, printed=True)}" if theirs.interval else ""
    return number(metric, theirs.value, printed=True) + interval


def times(report: Mapping[str, Any]) -> str:
    """Return how long it took to reach accuracies on validation tasks; empty if none was measured."""
    history = [Validated(**found) for found in report["validation"]]
    if report["metric"] != "accuracy" or not history:
        return ""
    reached = zip(ACCURACIES, time_to(ACCURACIES, history), strict=True)
    return f"validation accuracy: {'; '.join(f'{100 * accuracy:.0f} % {_when(found)}' for accuracy, found in reached)}"


def _when(found: Validated | None) -> str:
    if found is None:
        return "not reached"
    return f"at step {found.step}" if found.seconds is None else f"in {found.seconds:.0f} s, step {found.step}"


def show_comparison(cell: Cell, report: Mapping[str, Any]) -> None:
    """Print our numbers next to the published ones."""
    protocol = f"{cell.name}: seed {report['seed']}, {report['iterations']} iterations in {report['seconds']:.0f} s"
    show_table(protocol, HEAD, comparison(cell, report), [cell.source, cell.note, times(report)])


def show_over_seeds(reports: Sequence[Mapping[str, Any]]) -> None:
    """Print the mean of a cell's seeds next to the published numbers, and when each seed reached some accuracies.

    Runs whose settings are no longer those of a cell print nothing.
    """
    if not reports or not reports[0]["cell"]:
        return
    cell = CELLS[reports[0]["cell"]]
    head = ["after steps", "predicted", "published", "mean of the seeds", "spread", "verdict"]
    reached = [f"seed {each['seed']}: {times(each)}" for each in reports if times(each)]
    title = f"{cell.name}: {len(reports)} seeds, {reports[0]['iterations']} iterations"
    show_table(title, head, comparison_over_seeds(cell, reports), [cell.source, cell.note, *reached])


def _ours(report: Mapping[str, Any], steps: int, transductive: bool) -> tuple[float | None, float | None]:
    """Our mean and interval after so many steps; None if it was not measured or is not finite."""
    found: Mapping[str, Any] | None = report
    if report["evaluation"]["transductive"] != transductive:
        # If both were asked for and only one is there, the network does not normalise by its batch:
        # both are equal.
        found = report["other"] or (report if report["evaluation"]["side_by_side"] else None)
    if found is None or steps not in report["steps"]:
        return None, None
    place = report["steps"].index(steps)
    return found["mean"][place], found["interval"][place]


def _with_interval(metric: str, mean: float | None, half: float | None) -> str:
    if mean is None:
        return "not measured"
    return number(metric, mean) + (f" ± {number(metric, half)}" if half is not None else "")


def _verdict(metric: str, theirs: Published, mean: float | None, half: float | None, is_short_run: bool) -> str:
    """Say whether ours is as good, as good as the two intervals can tell, or by how much it falls short."""
    if mean is None or half is None:
        return ""
    short = theirs.value - mean if metric in LARGER_IS_BETTER else mean - theirs.value
    if short <= 0:
        return "as good or better"
    if short > half + theirs.interval:
        return (
            f"short run: still {number(metric, short)} short" if is_short_run else f"short by {number(metric, short)}"
        )
    return "within the intervals" if half < abs(theirs.value) else "too uncertain to tell"
