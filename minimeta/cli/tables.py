"""Tables: with lines on a terminal, plain text of at most 80 columns elsewhere, Markdown in files.

Cells break between words. Where not even the longest words fit side by side, as on a narrow terminal,
each row becomes a few lines of ``head: cell``.
"""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table

WIDTH = 80
"""Columns of plain text."""


def show_table(title: str, head: Sequence[str], body: Sequence[Sequence[str]], notes: Iterable[str] = ()) -> None:
    """Print a table on standard output, without empty columns, and below it the notes that are not empty."""
    head, *body = zip(*(column for column in zip(head, *body, strict=True) if any(column[1:])), strict=True)
    # Given a file, rich asks it for its encoding and draws accordingly.
    console = Console(file=sys.stdout, highlight=False, markup=False, emoji=False)
    # rich takes every terminal without escape sequences (TERM=dumb) for 80 columns wide.
    terminal = shutil.get_terminal_size()
    console.size = (terminal.columns if console.is_terminal else WIDTH, terminal.lines)
    with console.capture() as captured:
        console.out(_filled(title, console.width))
        if _least_width([head, *body]) <= console.width:
            console.print(_table(head, body, lines=console.is_terminal))
        else:
            console.out("\n\n".join(_record(head, row, console.width) for row in body))
        for note in filter(None, notes):
            console.out(_filled(note, console.width))
    print("\n".join(line.rstrip() for line in captured.get().splitlines()))


def _filled(text: str, width: int, indent: str = "") -> str:
    """Break lines between words, but no path that is longer than a line."""
    return "\n".join(
        textwrap.fill(line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
        for line in text.splitlines()
    )


def _record(head: Sequence[str], row: Sequence[str], width: int) -> str:
    """Return a row as lines."""
    return "\n".join(
        _filled(f"{name + ':' if place == 0 else ' ' * len(name)} {line}", width, "    ")
        for name, cell in zip(head, row, strict=True)
        for place, line in enumerate(cell.splitlines())
    )


def _table(head: Sequence[str], body: Sequence[Sequence[str]], lines: bool) -> Table:
    table = Table() if lines else Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for word in head:
        table.add_column(word, overflow="fold")
    for row in body:
        table.add_row(*row)
    return table


def _least_width(rows: Sequence[Sequence[str]]) -> int:
    """The width of a table whose cells are broken between all words."""
    columns = zip(*rows, strict=True)
    return 1 + sum(3 + max(len(word) for cell in column for word in [*cell.split(), ""]) for column in columns)


def markdown(head: list[str], body: list[list[str]]) -> str:
    """Return a table in Markdown."""
    return "".join("| " + " | ".join(line) + " |\n" for line in [head, ["---"] * len(head), *body])
