"""How the figures of the book look, and the command that draws them.

    python docs/book/figures/style.py [01_walk ...]

Each file next to this one has a function ``draw`` that returns a figure. The command draws the
named ones, or all, and writes each as an SVG next to its file. There is one file for light pages
and for dark ones: nothing is painted behind a figure, and every colour here has a contrast of
at least three to white and to black.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.figure import Figure

#: Lines and dots that carry the matter, in the order of their use.
BLUE, ORANGE, GREEN, RED, PURPLE = COLOURS = "#3987d6", "#d3761c", "#2f9a62", "#d9505c", "#9570d6"
#: Text and axes; and lines that only help the eye.
GREY, FAINT = "#7d7d7d", "#7d7d7d55"

SETTINGS: dict[Any, Any] = {
    "figure.constrained_layout.use": True,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "axes.edgecolor": GREY,
    "axes.labelcolor": GREY,
    "axes.titlecolor": GREY,
    "axes.titlesize": "medium",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": cycler(color=COLOURS),
    "text.color": GREY,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "grid.color": FAINT,
    "lines.linewidth": 1.8,
    "legend.frameon": False,
    "font.size": 10,
    "mathtext.fontset": "cm",
    "svg.hashsalt": "minimeta",
}


def new(columns: int = 1, rows: int = 1, width: float = 6.4, height: float = 3.2) -> tuple[Figure, Sequence[Axes]]:
    """Return an empty figure in the style of the book, and its axes in a row, row by row."""
    mpl.rcParams.update(SETTINGS)
    figure = Figure(figsize=(width, height))
    return figure, list(figure.subplots(rows, columns, squeeze=False).flat)


def save(figure: Figure, path: Path | str) -> None:
    """Write a figure as an SVG, with the same bytes for the same figure."""
    with mpl.rc_context(SETTINGS):
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})


def drawing(file: Path) -> Figure:
    """Return what ``draw`` of a file returns."""
    specification = importlib.util.spec_from_file_location(f"figure_{file.stem}", file)
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    with mpl.rc_context(SETTINGS):
        figure = module.draw()
    assert isinstance(figure, Figure), f"draw() of {file.name} returns {type(figure).__name__}, not a Figure"
    return figure


if __name__ == "__main__":
    for figure_file in sorted(Path(__file__).parent.glob("[01][0-9]_*.py")):
        if figure_file.stem in (sys.argv[1:] or [figure_file.stem]):
            save(drawing(figure_file), figure_file.with_suffix(".svg"))
            print(figure_file.with_suffix(".svg").name)
