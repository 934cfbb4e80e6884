"""``minimeta presets``: what ``train`` can run, the presets, and what ``reproduce`` can, the cells.

With names it is a filter, and says how long each would train on this machine: a few steps are
measured (:mod:`minimeta.training.pace`). Validation and evaluation come on top.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import tyro

from minimeta.cli.comparison import published
from minimeta.cli.options import DataOption, JsonOption
from minimeta.cli.progress import Bar
from minimeta.cli.results import way_of_predicting
from minimeta.cli.tables import show_table
from minimeta.errors import ConfigurationError, MissingDataError, MissingExtraError
from minimeta.training import CELLS, PRESETS, Cell, Preset
from minimeta.training.configuration import nested
from minimeta.training.pace import seconds_per_step

MEASURED = 12
"""The largest number of presets and cells whose time is measured by one command."""


@dataclass(frozen=True)
class PresetsOptions(DataOption, JsonOption):
    """List the presets and the cells of the papers' tables, or those of some names, with the minutes they take."""

    names: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    """Names, or words that all are in one, as in: maml omniglot. Few enough hits are timed here."""


def presets(options: PresetsOptions) -> int:
    """Print presets and cells, and return the exit code.

    Raises
    ------
    ConfigurationError
        If no preset and no cell has one of the names.
    """
    found = _found(options.names)
    timed = bool(options.names) and len(found) <= MEASURED
    rows = [_described(each) for each in found]
    if timed:
        rows = [{**row, **time} for row, time in zip(rows, _times(found, options), strict=True)]
    report = {
        "presets": [row for each, row in zip(found, rows, strict=True) if isinstance(each, Preset)],
        "cells": [row for each, row in zip(found, rows, strict=True) if isinstance(each, Cell)],
    }
    return options.answer(report, lambda: _show(report, timed))


def _found(words: tuple[str, ...]) -> list[Preset | Cell]:
    """Return what has all words in its name; of words that are names, or that no name has together, what has any."""
    every: list[Preset | Cell] = [*PRESETS.values(), *CELLS.values()]
    hits = [[_has(each, word) for word in words] for each in every]
    for word, column in zip(words, zip(*hits, strict=True), strict=True):
        if not any(column):
            raise ConfigurationError(f"no preset or cell has the name {word}: see minimeta presets")
    together = CELLS.keys().isdisjoint(words) and any(map(all, hits))
    return [each for each, row in zip(every, hits, strict=True) if (all if together else any)(row)]


def _has(each: Preset | Cell, word: str) -> bool:
    """Whether a word begins a part of a name; fomaml is no maml."""
    name = each.name if isinstance(each, Cell) else " ".join(each.names)
    return re.search(rf"\b{re.escape(word)}", name) is not None


def _described(each: Preset | Cell) -> dict[str, Any]:
    """Return a preset or a cell, representable in JSON."""
    preset = each.preset if isinstance(each, Cell) else each
    learner, task = preset.names
    described = {"learner": learner, "task": task, "preset": nested(preset.settings)}
    if isinstance(each, Preset):
        return {**described, "title": each.title}
    said = {key: getattr(each, key) for key in ("source", "note", "protocol_only")}
    return {"name": each.name, **described, "published": [one._asdict() for one in each.published], **said}


def _times(found: list[Preset | Cell], options: PresetsOptions) -> Iterator[dict[str, Any]]:
    """Measure how long each trains here; where data or an extra are missing, say which."""
    with Bar("measuring", 0, len(found)) as bar:
        for done, each in enumerate(found, start=1):
            preset = each.preset if isinstance(each, Cell) else each
            try:
                seconds = seconds_per_step(preset, preset.experiment(options.data))
                yield {"minutes": preset.run.iterations * seconds / 60}
            except (MissingDataError, MissingExtraError) as error:
                yield {"minutes": None, "missing": str(error)}
            bar.show(done)


def _show(report: dict[str, Any], timed: bool) -> None:
    """Print both as tables."""
    rule = "minutes: iterations times a step measured now on this machine; validation and evaluation come on top"
    few = f"minimeta presets NAME... also measures the minutes of those it names, if they are at most {MEASURED}"
    missing = dict.fromkeys(row["missing"] for rows in report.values() for row in rows if "missing" in row)
    notes = [rule if timed else few, *missing]
    if rows := report["presets"]:
        show_table(
            "presets: minimeta train LEARNER TASK [--help]",
            ["learner", "task", "iterations", "minutes", "experiment"],
            [[row["learner"], row["task"], *_length(row), row["title"]] for row in rows],
            [] if report["cells"] else notes,
        )
    if rows := report["cells"]:
        sources = dict.fromkeys(f"{row['name']}: {said}" for row in rows if (said := _remarks(row)))
        show_table(
            "cells: minimeta reproduce CELL [--help]",
            ["cell", "iterations", "minutes", "published, after steps"],
            [[_name(row), *_length(row), _published(CELLS[row["name"]])] for row in rows],
            [*notes, *(sources if timed else [])],
        )


def _name(row: dict[str, Any]) -> str:
    return f"{row['name']}\n  protocol only" if row["protocol_only"] else f"{row['name']}"


def _length(row: dict[str, Any]) -> list[str]:
    """Return iterations and minutes, as far as they are known."""
    minutes = row.get("minutes")
    if minutes is None:
        said = "?" if "missing" in row else ""
    else:
        said = "under 0.1" if minutes < 0.1 else f"{minutes:.1f}" if minutes < 10 else f"{minutes:,.0f}"
    return [f"{row['preset']['iterations']:,}", said]


def _published(cell: Cell) -> str:
    metric = cell.preset.benchmark.problem().metric_name
    return "\n".join(
        f"{each.steps}: {published(metric, each)}" + ("" if each.transductive else f", {way_of_predicting(False)}")
        for each in cell.published
    )


def _remarks(row: dict[str, Any]) -> str:
    return "; ".join(filter(None, (row["source"], row["note"])))
