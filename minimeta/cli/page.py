"""``minimeta results``: the page of what was reproduced, made of small files that are kept with it.

A run is taken from its folder as one file of JSON: what it came to, its settings, its curves and its machine; no
weights. The page follows from these files alone, so that it can be written again, and checked, without a run. What a
person has to say of the runs is in ``notes.md`` beside them, and stands after the table.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minimeta import cli
from minimeta.cli.beside import beside, times
from minimeta.cli.results import markdown, number
from minimeta.cli.run_folder import RunFolder
from minimeta.cli.sealed import read_json
from minimeta.errors import CheckpointError, ConfigurationError
from minimeta.files import write_atomically
from minimeta.training import CELLS

if TYPE_CHECKING:
    from minimeta.cli.arguments import ResultsOptions

HEAD = ["run", "iterations, time", "steps", "predicted", "published", "here", "verdict"]

INTRODUCTION = """# Results

Written by `minimeta results` from the files in `{folder}/`, one a run; each run is the command in its row. *Steps* are
those of adaptation, an interval is one of 95 % over 600 test tasks, and *time* is that of training, on the machine that
has the letter, with whatever else it was doing. "As good or better" compares means, "within the intervals" their
difference with the sum of both half-widths.
"""


def results(options: ResultsOptions) -> int:
    """Take runs in, write the page and return the exit code.

    Raises
    ------
    ConfigurationError
        If a run is not finished, or is none of a cell.
    CheckpointError
        If its results, or any that are kept, are damaged.
    """
    options.folder.mkdir(parents=True, exist_ok=True)
    for path in options.runs:
        kept = _kept(path)
        name = f"{kept['cell']}-{kept['iterations']}-seed{kept['seed']}.json"
        write_atomically(options.folder / name, json.dumps(kept, indent=1) + "\n")
    written = options.folder.with_suffix(".md")
    write_atomically(written, page(options.folder))
    print(json.dumps({"status": "complete", "page": str(written)}) if options.json else f"written: {written}")
    return cli.DONE


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
    if (notes := folder / "notes.md").exists():
        parts.append(notes.read_text("utf-8"))
    parts += [f"**{cell}**: {said}\n" for cell, said in _said(found)]
    parts += [f"![{path.stem}]({folder.name}/{path.name})\n" for path in sorted(folder.glob("*.png"))]
    return "\n".join(parts)


def _read(path: Path) -> dict[str, Any]:
    """Return a result that is kept, if all that the page needs of it is there.

    Raises
    ------
    CheckpointError
        If it is not.
    """
    remedy = "Restore it, or take it in again: minimeta results RUN"
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


def _kept(path: Path) -> dict[str, Any]:
    """What is kept of a run: no path of its machine."""
    found = RunFolder(path).read_results()
    if not found["cell"]:
        raise ConfigurationError(f"the run in {path} is of no cell: minimeta reproduce makes those that are")
    del found["environment"]["command"], found["run"], found["status"]
    found["environment"].pop("data", None)
    return found


def _rows(found: Mapping[str, Any], machine: str) -> list[list[str]]:
    """A row for each published number; what they share stands in the first."""
    cell = CELLS[found["cell"]]
    shortened = f" --iterations {found['iterations']}" if found["iterations"] != cell.preset.iterations else ""
    command = f"`minimeta reproduce {cell.name}{shortened} --seed {found['seed']}`"
    first = [command, f"{found['iterations']:,} in {found['seconds']:.0f} s, {machine}"]
    return [(first if number == 0 else ["", ""]) + row for number, row in enumerate(beside(cell, found))]


def _said(found: Iterable[Mapping[str, Any]]) -> Iterable[tuple[str, str]]:
    """What there is to say of cells and runs beside their numbers."""
    for name in dict.fromkeys(each["cell"] for each in found):
        cell = CELLS[name]
        if said := "; ".join(filter(None, (cell.source, cell.note))):
            yield name, said
    for each in found:
        if said := "; ".join(filter(None, (times(each), _best(each)))):
            yield f"{each['cell']}, seed {each['seed']}", said


def _best(found: Mapping[str, Any]) -> str:
    """Say after how many steps a run does best, where that is clearly better than after those that are published."""
    sign = 1 if found["metric"] == "accuracy" else -1
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
