"""Our number beside the published one: what ``minimeta reproduce`` prints, and what the page of results is made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minimeta.cli.results import number, show_table, way_of_predicting
from minimeta.training import Cell, Validated, time_to
from minimeta.training.cells import Published

ACCURACIES = (0.90, 0.95, 0.98)
"""Of which the time to reach them is told."""

HEAD = ["after steps", "predicted", "published", "here", "verdict"]


def beside(cell: Cell, report: Mapping[str, Any]) -> list[list[str]]:
    """Return a row for each published number; without one, a row for the last step.

    Parameters
    ----------
    cell
        What was run.
    report
        What is in ``results.json`` of the run.
    """
    metric = report["metric"]
    if not cell.published:
        last = report["steps"][-1]
        mean, half = _ours(report, last, report["evaluation"]["transductive"])
        return [[str(last), "", "none", _with_interval(metric, mean, half), ""]]
    rows = []
    for theirs in cell.published:
        mean, half = _ours(report, theirs.steps, theirs.transductive)
        way = way_of_predicting(theirs.transductive) if report["other"] else ""
        ours, verdict = _with_interval(metric, mean, half), _verdict(metric, theirs, mean, half)
        rows.append([str(theirs.steps), way, published(metric, theirs), ours, verdict])
    return rows


def published(metric: str, theirs: Published) -> str:
    """Write a published number as it is printed."""
    interval = f" ± {number(metric, theirs.interval, printed=True)}" if theirs.interval else ""
    return number(metric, theirs.value, printed=True) + interval


def times(report: Mapping[str, Any]) -> str:
    """Say how long it took to reach an accuracy on validation tasks; empty where none was measured."""
    history = [Validated(**found) for found in report["validation"]]
    if report["metric"] != "accuracy" or not history:
        return ""
    reached = zip(ACCURACIES, time_to(ACCURACIES, history), strict=True)
    return f"validation accuracy: {'; '.join(f'{100 * accuracy:.0f} % {_when(found)}' for accuracy, found in reached)}"


def _when(found: Validated | None) -> str:
    if found is None:
        return "not reached"
    return f"at step {found.step}" if found.seconds is None else f"in {found.seconds:.0f} s, step {found.step}"


def show_beside(cell: Cell, report: Mapping[str, Any]) -> None:
    """Print our numbers beside the published ones."""
    protocol = f"{cell.name}: seed {report['seed']}, {report['iterations']} iterations in {report['seconds']:.0f} s"
    show_table(protocol, HEAD, beside(cell, report), [cell.source, cell.note, times(report)])


def _ours(report: Mapping[str, Any], steps: int, transductive: bool) -> tuple[float | None, float | None]:
    """Our mean and interval after so many steps, None where it was not measured or is not finite."""
    found: Mapping[str, Any] | None = report
    if report["evaluation"]["transductive"] != transductive:
        # Where both were to be measured and there is one, they are one: the network does not normalise by its batch.
        found = report["other"] or (report if report["evaluation"]["side_by_side"] else None)
    if found is None or steps not in report["steps"]:
        return None, None
    place = report["steps"].index(steps)
    return found["mean"][place], found["interval"][place]


def _with_interval(metric: str, mean: float | None, half: float | None) -> str:
    if mean is None:
        return "not measured"
    return number(metric, mean) + (f" ± {number(metric, half)}" if half is not None else "")


def _verdict(metric: str, theirs: Published, mean: float | None, half: float | None) -> str:
    """Whether ours is as good, as good as the two intervals can tell, or by how much it falls short."""
    if mean is None or half is None:
        return ""
    short = theirs.value - mean if metric == "accuracy" else mean - theirs.value
    if short <= 0:
        return "as good or better"
    if short > half + theirs.interval:
        return f"short by {number(metric, short)}"
    return "within the intervals" if half < theirs.value else "too uncertain to tell"
