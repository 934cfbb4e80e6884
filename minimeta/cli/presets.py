"""``minimeta presets``: the cells of the papers' tables, and what is published of each."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

from minimeta import cli
from minimeta.cli.beside import published
from minimeta.cli.results import show_table, way_of_predicting
from minimeta.training import CELLS, Cell

if TYPE_CHECKING:
    from minimeta.cli.arguments import PresetsOptions

HEAD = ["cell", "iterations", "published, after steps", "source"]


def presets(options: PresetsOptions) -> int:
    """Print all cells and return the exit code."""
    if options.json:
        print(json.dumps({"status": "complete", "cells": [dataclasses.asdict(cell) for cell in CELLS.values()]}))
    else:
        hint = "minimeta reproduce CELL trains one and prints ours beside it; --iterations shortens"
        show_table("the papers' tables", HEAD, [_row(cell) for cell in CELLS.values()], [hint])
    return cli.DONE


def _row(cell: Cell) -> list[str]:
    metric = "squared error" if cell.preset.task == "sinusoid" else "accuracy"
    said = [
        f"{each.steps}: {published(metric, each)}" + ("" if each.transductive else f" ({way_of_predicting(False)})")
        for each in cell.published
    ]
    return [
        cell.name,
        f"{cell.preset.iterations:,}",
        "\n".join(said),
        "\n".join(filter(None, (cell.source, cell.note))),
    ]
