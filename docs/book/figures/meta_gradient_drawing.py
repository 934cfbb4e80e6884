"""The instructions of docs/book/meta-gradient.md as a drawing: a band for each part, a column for each layer.

The layout has a meaning, so it is not left to a program for graphs: the forward pass runs to the
right, the backward pass to the left, and time goes down. Colours are those of the phases.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from typing import NamedTuple

from minimeta.program.explanation import COLOURS

WIDTH, HEIGHT, GAP, ABREAST = 62, 25, 9, 4
MARGIN, COLUMN = 8, ABREAST * (62 + 9) + 16


class Node(NamedTuple):
    """An instruction in the drawing.

    Attributes
    ----------
    number, operation, tip
        What is written on it, and what is shown when it is pointed at.
    phase
        Of the instruction.
    part, layer
        Its band and its column, from 1.
    operands
        The numbers of the instructions that it reads.
    """

    number: str
    operation: str
    tip: str
    phase: str
    part: int
    layer: int
    operands: Sequence[str]


def drawing(nodes: Sequence[Node], titles: Sequence[str], columns: Sequence[str], leftward: Sequence[int]) -> str:
    """Return the drawing as an SVG.

    Parameters
    ----------
    nodes
        The instructions in their order.
    titles, columns
        Of the bands and of the columns.
    leftward
        The bands that run to the left.
    """
    places: dict[str, tuple[float, float]] = {}
    texts, y = [], 34.0
    for part, title in enumerate(titles, 1):
        arrow = "←" if part in leftward else "→"
        texts.append(f'<text x="{MARGIN}" y="{y + 12:g}" class="title">{part}. {escape(title)} {arrow}</text>')
        y += 30
        rows = 1
        for layer in range(1, len(columns) + 1):
            here = [node.number for node in nodes if (node.part, node.layer) == (part, layer)]
            abreast = ABREAST if layer < len(columns) else 2
            for i, number in enumerate(here):
                row, at = divmod(i, abreast)
                if part in leftward:
                    at = min(abreast, len(here)) - 1 - at
                places[number] = MARGIN + (layer - 1) * COLUMN + at * (WIDTH + GAP), y + row * (HEIGHT + 14)
                rows = max(rows, row + 1)
        y += rows * (HEIGHT + 14) + 4
    width = MARGIN + (len(columns) - 1) * COLUMN + 2 * (WIDTH + GAP)
    for layer, column in enumerate(columns):
        texts.append(f'<text x="{MARGIN + layer * COLUMN}" y="16" class="column">{escape(column)}</text>')
    fills = "".join(
        f".{phase.split()[0]}{{fill:{c}}}.of-{phase.split()[0]}{{stroke:{c}}}" for phase, c in COLOURS.items()
    )
    style = (
        "text{font:8px sans-serif;text-anchor:middle}.n{font-weight:bold;font-size:9.5px}"
        ".title,.column{text-anchor:start;font-size:12px;fill:#7d7d7d}.column{font-weight:bold}"
        f"path{{fill:none;stroke-opacity:.55}}{fills}"
    )
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {y:g}" width="{width:g}" height="{y:g}">',
            f"<style>{style}</style>",
            *_edges(nodes, places),
            *texts,
            *(_box(node, *places[node.number]) for node in nodes),
            "</svg>\n",
        ]
    )


def _box(node: Node, x: float, y: float) -> str:
    middle = x + WIDTH / 2
    return (
        f'<g><title>{escape(node.tip)}</title><rect x="{x:g}" y="{y:g}" width="{WIDTH}" height="{HEIGHT}" rx="6" '
        f'class="{node.phase.split()[0]}"/><text x="{middle:g}" y="{y + 10.5:g}" class="n">{node.number}</text>'
        f'<text x="{middle:g}" y="{y + 20.5:g}">{node.operation}</text></g>'
    )


def _edges(nodes: Sequence[Node], places: dict[str, tuple[float, float]]) -> Iterator[str]:
    """Yield the lines from instructions to those that read them, in the colour of what is read."""
    phases = {node.number: node.phase.split()[0] for node in nodes}
    for node in nodes:
        x, y = places[node.number]
        for number in node.operands:
            x0, y0 = places[number]
            if y0 == y:
                start, end = (x0 + WIDTH, x) if x > x0 else (x0, x + WIDTH)
                path = f"M{start:g} {y + 12:g}H{end:g}"
                if abs(x - x0) > WIDTH + GAP + 16:  # over what lies between
                    path = f"M{x0 + WIDTH / 2:g} {y:g}Q{(x0 + x + WIDTH) / 2:g} {y - 22:g} {x + WIDTH / 2:g} {y:g}"
            else:
                start, end = (y0 + HEIGHT, y) if y > y0 else (y0, y + HEIGHT)
                bend = max(-60.0, min(60.0, (end - start) * 0.6))
                a, b = x0 + WIDTH / 2, x + WIDTH / 2
                path = f"M{a:g} {start:g}C{a:g} {start + bend:g} {b:g} {end - bend:g} {b:g} {end:g}"
            yield f'<path d="{path}" class="of-{phases[number]}"/>'
