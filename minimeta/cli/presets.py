"""``minimeta presets``: what ``train`` can run, the presets, and what ``reproduce`` can, the cells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from minimeta.cli.comparison import published
from minimeta.cli.options import JsonOption
from minimeta.cli.results import show_table, way_of_predicting
from minimeta.training import CELLS, PRESETS, Cell, Preset
from minimeta.training.configuration import nested


@dataclass(frozen=True)
class PresetsOptions(JsonOption):
    """List the presets, and the cells of the papers' tables that are made of them."""


def presets(options: PresetsOptions) -> int:
    """Print all presets and all cells, and return the exit code."""
    report = {
        "presets": [{**_as_json(preset), "title": preset.title} for preset in PRESETS.values()],
        "cells": [
            {
                "name": cell.name,
                **_as_json(cell.preset),
                "published": [each._asdict() for each in cell.published],
                **{key: getattr(cell, key) for key in ("source", "note", "protocol_only")},
            }
            for cell in CELLS.values()
        ],
    }
    return options.answer(report, _show)


def _show() -> None:
    """Print both as tables."""
    show_table(
        "presets",
        ["learner", "task", "iterations", "experiment"],
        [[*preset.names, f"{preset.run.iterations:,}", preset.title] for preset in PRESETS.values()],
        ["minimeta train LEARNER TASK trains one; with --help it explains every setting", " "],
    )
    show_table(
        "cells of the papers' tables",
        ["cell", "iterations", "published, after steps", "source"],
        [_row(cell) for cell in CELLS.values()],
        ["minimeta reproduce CELL trains one and prints our number next to the paper's; --iterations shortens it"],
    )


def _as_json(preset: Preset) -> dict[str, Any]:
    learner, task = preset.names
    return {"learner": learner, "task": task, "preset": nested(preset.settings)}


def _row(cell: Cell) -> list[str]:
    metric = cell.preset.benchmark.problem().metric_name
    said = [
        f"{each.steps}: {published(metric, each)}" + ("" if each.transductive else f" ({way_of_predicting(False)})")
        for each in cell.published
    ]
    not_run = "protocol only: not run here" if cell.protocol_only else ""
    return [
        cell.name,
        f"{cell.preset.run.iterations:,}",
        "\n".join(said),
        "\n".join(filter(None, (cell.source, cell.note, not_run))),
    ]
