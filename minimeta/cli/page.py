"""The page of all results that are kept: docs/results.md, made of the small files in docs/results/.

``minimeta report RUN... --keep FOLDER`` takes each run as one file of JSON: its result, settings,
curves and machine, but no weights. The page follows from these files alone, so it can be written
again, and checked, without a run. What a person has to say about the runs is in ``notes.md`` in the
same folder, and comes after the table.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from minimeta.cli.comparison import comparison, comparison_over_seeds, times
from minimeta.cli.results import number
from minimeta.cli.tables import markdown
from minimeta.errors import CheckpointError, ConfigurationError
from minimeta.files import write_atomically
from minimeta.storage.sealed import read_json
from minimeta.training import CELLS
from minimeta.training.metrics import LARGER_IS_BETTER

HEAD = ["run", "iterations, time", "steps", "predicted", "published", "here", "verdict"]

HEAD_OVER_SEEDS = ["cell", "seeds", "steps", "predicted", "published", "mean of the seeds", "spread", "verdict"]

OVER_SEEDS = """## Over seeds

The mean of all runs of a cell that differ in their seeds alone, one row for each published number.
The interval is one of 95 % over trainings, by Student's distribution: that of three seeds is 2.5 of
their standard deviations. The spread is the least and the most of the seeds.
"""

INTRODUCTION = """# Results

Written by `minimeta report --keep` from the files in `{folder}/`, one per run; the command
of each run is in its row. *Steps* are those of adaptation, an interval is one of 95 % over 600 test
tasks, and *time* is that of training on the machine with the letter, which did other work as well.
"As good or better" compares the means, "within the intervals" their difference with the sum of both
half-widths. A *short run* has trained for fewer iterations than its cell asks for ("n of N"): its
number says how far it came, and not what the method reaches.
"""


def keep(folder: Path, paths: Sequence[Path], results: Sequence[Mapping[str, Any]]) -> Path:
    """Take results of runs into a folder, write the page next to it and return the page.

    Parameters
    ----------
    folder
        The folder.
    paths, results
        Folders of finished runs of cells, and what is in their ``results.json``; none to write the
        page again.

    Raises
    ------
    ConfigurationError
        If a run belongs to no cell.
    CheckpointError
        If results that are kept are damaged.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for path, found in zip(paths, results, strict=True):
        if not found["cell"]:
            raise ConfigurationError(f"the run in {path} is of no cell: minimeta reproduce makes those that are")
        name = f"{found['cell']}-{found['iterations']}-seed{found['seed']}.json"
        write_atomically(folder / name, json.dumps(_kept(found), indent=1) + "\n")
    written = folder.with_suffix(".md")
    write_atomically(written, page(folder))
    return written


def _kept(found: Mapping[str, Any]) -> dict[str, Any]:
    """What is kept of a run: all but the paths of its machine."""
    environment = {name: value for name, value in found["environment"].items() if name not in ("command", "data")}
    kept = {name: value for name, value in found.items() if name not in ("run", "status")}
    return {**kept, "environment": environment}


def page(folder: Path) -> str:
    """Return the page of all results in a folder."""
    found = [_read(path) for path in sorted(folder.glob("*.json"))]
    order = list(CELLS)
    found.sort(key=lambda each: (order.index(each["cell"]), -each["iterations"], each["seed"]))
    parts = [INTRODUCTION.format(folder=folder.name)]
    machines = {name: chr(ord("A") + n) for n, name in enumerate(dict.fromkeys(map(_machine, found)))}
    if found:
        rows = [row for each in found for row in _rows(each, machines[_machine(each)])]
        parts += [markdown(HEAD, rows), *(f"Machine {letter}: {name}.\n" for name, letter in machines.items())]
    if rows := _rows_over_seeds(found):
        parts += [OVER_SEEDS, markdown(HEAD_OVER_SEEDS, rows)]
    if (notes := folder / "notes.md").exists():
        parts.append(notes.read_text("utf-8"))
    parts += [f"**{cell}**: {said}\n" for cell, said in _remarks(found)]
    parts += [f"![{path.stem}]({folder.name}/{path.name})\n" for path in sorted(folder.glob("*.png"))]
    return "\n".join(parts)


def _read(path: Path) -> dict[str, Any]:
    """Return a kept result, if it has all that the page needs.

    Raises
    ------
    CheckpointError
        If it has not.
    """
    remedy = "Restore it, or take it in again: minimeta report RUN --keep FOLDER"
    found: dict[str, Any] = read_json(path, remedy)
    try:
        _rows(found, _machine(found)), times(found), _best(found)
        if type(found["iterations"]) is int and type(found["seed"]) is int:
            return found
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        reason = f"{type(error).__name__}: {error}"
    else:
        reason = "iterations and seed should be integers"
    raise CheckpointError(f"{path} is not a result that was kept ({reason}). {remedy}")


def _rows(found: Mapping[str, Any], machine: str) -> list[list[str]]:
    """One row for each published number; what they share is in the first."""
    cell = CELLS[found["cell"]]
    done, whole = found["iterations"], cell.preset.run.iterations
    shortened = f" --iterations {done}" if done != whole else ""
    of = f" of {whole:,}" if done < whole else ""
    command = f"`minimeta reproduce {cell.name}{shortened} --seed {found['seed']}`"
    first = [command, f"{done:,}{of} in {found['seconds']:.0f} s, {machine}"]
    return [(first if number == 0 else ["", ""]) + row for number, row in enumerate(comparison(cell, found))]


def _rows_over_seeds(found: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """One row for each published number of a cell with several seeds; what they share is in the first."""
    rows = []
    for (name, iterations), runs in groupby(found, lambda each: (each["cell"], each["iterations"])):
        reports = list(runs)
        if len(reports) > 1:
            cell = CELLS[name]
            short = f", {iterations:,} iterations" if iterations != cell.preset.run.iterations else ""
            first = [name + short, ", ".join(str(each["seed"]) for each in reports)]
            compared = comparison_over_seeds(cell, reports)
            rows += [(first if number == 0 else ["", ""]) + row for number, row in enumerate(compared)]
    return rows


def _remarks(found: Iterable[Mapping[str, Any]]) -> Iterable[tuple[str, str]]:
    """What to say about cells and runs in addition to their numbers."""
    for name in dict.fromkeys(each["cell"] for each in found):
        cell = CELLS[name]
        if said := "; ".join(filter(None, (cell.source, cell.note))):
            yield name, said
    for each in found:
        if said := "; ".join(filter(None, (times(each), _best(each)))):
            yield f"{each['cell']}, seed {each['seed']}", said


def _best(found: Mapping[str, Any]) -> str:
    """Say after how many steps a run does best, if that is clearly better than after those that are published."""
    sign = 1 if found["metric"] in LARGER_IS_BETTER else -1
    measured = {
        steps: (sign * mean, half)
        for steps, mean, half in zip(found["steps"], found["mean"], found["interval"], strict=True)
        if mean is not None and half is not None
    }
    published = [measured[each.steps] for each in CELLS[found["cell"]].published if each.steps in measured]
    if not published:
        return ""
    best = max(measured, key=lambda steps: measured[steps][0])
    mean, half = measured[best]
    if any(mean - half <= other + width for other, width in published):
        return ""
    value, interval = (number(found["metric"], x) for x in (sign * mean, half))
    return f"best after {best} step{'s' * (best != 1)}: {value} ± {interval}"


def _machine(found: Mapping[str, Any]) -> str:
    environment = found["environment"]
    return f"{environment['processor']}, {environment['processors']} processors, kernels {environment['kernels']}"
