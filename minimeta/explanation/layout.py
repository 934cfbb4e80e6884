"""A graph drawn in layers, every arrow leading down, as an SVG that needs no other program.

Four steps (K. Sugiyama, S. Tagawa and M. Toda 1981, "Methods for visual understanding of
hierarchical system structures"):

1.  The layer of a node is the length of the longest path to it. A node without arrows to it stands
    right above its first reader.
2.  An arrow across layers gets a waypoint in each, a node without width.
3.  The nodes of a layer are sorted by the mean place of their neighbours in the layer above, then
    in the layer below, a few times.
4.  A node wants to stand at that mean, ``m_i``. In the order of the layer, with distances ``d_i``
    to the left neighbour that boxes need, the places are

        min sum_i (x_i - m_i)^2   where   x_i - x_(i-1) >= d_i ,

    which is a regression on rising values of ``x_i - (d_1 + ... + d_i)``: neighbours that are out
    of order are pooled, and share their mean.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import NamedTuple

_CHARACTER, _LINE, _GAP, _BETWEEN = 7.3, 16, 18, 34
_SWEEPS = 8


class Node(NamedTuple):
    """A box of a drawing.

    Attributes
    ----------
    name
        Stands in the attribute ``data-name``, by which a script finds it.
    lines
        The text.
    kind
        The class of the box in a style sheet.
    """

    name: str
    lines: tuple[str, ...]
    kind: str

    @property
    def width(self) -> float:
        """In pixels, of a font of 12 with letters of one width."""
        return _CHARACTER * max(map(len, self.lines), default=0) + 16 if self.lines else 0.0

    @property
    def height(self) -> float:
        """In pixels."""
        return _LINE * len(self.lines) + 10 if self.lines else 0.0


def svg(nodes: Sequence[Node], arrows: Iterable[tuple[int, int]], title: str) -> str:
    """Draw a graph without circles.

    Parameters
    ----------
    nodes
        The boxes.
    arrows
        Pairs of numbers of nodes: from, to.
    title
        What the drawing shows, for those who do not see it.

    Returns
    -------
    str
        An ``<svg>`` element. It has classes and no colours, except what a style sheet gives it.
    """
    boxes, paths = [*nodes], [[i, j] for i, j in dict.fromkeys(arrows)]
    layers = _layers(len(nodes), paths)
    for path in paths:
        above, below = path
        between = range(layers[above] + 1, layers[below])
        path[1:1] = range(len(boxes), len(boxes) + len(between))
        boxes += [Node("", (), "")] * len(between)
        layers += between
    rows: list[list[int]] = [[] for _ in range(max(layers, default=-1) + 1)]
    for i, layer in enumerate(layers):
        rows[layer].append(i)
    places = _places(boxes, paths, rows)
    heights = [max(boxes[i].height for i in row) for row in rows]
    tops = [sum(heights[:layer]) + _BETWEEN * layer + 2 for layer in range(len(rows))]
    middle = [tops[layers[i]] + heights[layers[i]] / 2 for i in range(len(boxes))]
    left = min((places[i] - boxes[i].width / 2 for i in range(len(boxes))), default=0) - 2
    places = [x - left for x in places]
    width = max((places[i] + boxes[i].width / 2 for i in range(len(boxes))), default=0) + 2
    height = tops[-1] + heights[-1] + 2 if rows else 0
    head = (
        f'<svg class="graph" role="img" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
        f'height="{height:.0f}" xmlns="http://www.w3.org/2000/svg"><title>{escape(title)}</title>'
    )
    span = {i: (tops[layer], tops[layer] + heights[layer]) for layer, row in enumerate(rows) for i in row}
    lines = [_arrow(path, boxes, places, span) for path in paths]
    return "\n".join([head, *lines, *(_box(boxes[i], places[i], middle[i]) for i in range(len(nodes))), "</svg>"])


def _layers(count: int, arrows: Sequence[Sequence[int]]) -> list[int]:
    above: list[list[int]] = [[] for _ in range(count)]
    below: list[list[int]] = [[] for _ in range(count)]
    for i, j in arrows:
        above[j].append(i)
        below[i].append(j)
    layers = [-1] * count
    waiting = [len(each) for each in above]
    ready = [i for i in range(count) if not above[i]]
    for i in ready:  # It grows as its nodes are placed.
        layers[i] = max((layers[j] + 1 for j in above[i]), default=0)
        for j in below[i]:
            waiting[j] -= 1
            ready += [j] if waiting[j] == 0 else []
    for i in range(count):
        if not above[i] and below[i]:
            layers[i] = min(layers[j] for j in below[i]) - 1
    return layers


def _places(boxes: Sequence[Node], paths: Sequence[Sequence[int]], rows: list[list[int]]) -> list[float]:
    """Sort the nodes of each layer, and return the place of each node along it."""
    above: list[list[int]] = [[] for _ in boxes]
    below: list[list[int]] = [[] for _ in boxes]
    for path in paths:
        for i, j in itertools.pairwise(path):
            above[j].append(i)
            below[i].append(j)
    places = [0.0] * len(boxes)
    for row in rows:
        _spread(row, boxes, places, [0.0] * len(row))
    for sweep in range(2 * _SWEEPS):
        neighbours, order = (above, rows) if sweep % 2 == 0 else (below, rows[::-1])
        for row in order:
            wanted = {i: _mean([places[j] for j in neighbours[i]], places[i]) for i in row}
            if sweep < _SWEEPS:
                row.sort(key=wanted.__getitem__)
            _spread(row, boxes, places, [wanted[i] for i in row])
    return places


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _spread(row: Sequence[int], boxes: Sequence[Node], places: list[float], wanted: Sequence[float]) -> None:
    """Place the nodes of a layer as near as possible to where they want to stand."""
    shift, shifts = 0.0, []
    pools: list[tuple[float, int]] = []  # The mean of x_i - shift_i, and of how many.
    for place, i in enumerate(row):
        if place:
            shift += (boxes[row[place - 1]].width + boxes[i].width) / 2 + _GAP
        shifts.append(shift)
        mean, count = wanted[place] - shift, 1
        while pools and pools[-1][0] > mean:
            other, more = pools.pop()
            mean, count = (mean * count + other * more) / (count + more), count + more
        pools.append((mean, count))
    level = [mean for mean, count in pools for _ in range(count)]
    for i, x, distance in zip(row, level, shifts, strict=True):
        places[i] = x + distance


def _arrow(
    path: Sequence[int], boxes: Sequence[Node], places: Sequence[float], span: Mapping[int, tuple[float, float]]
) -> str:
    """Draw an arrow, straight through the layers that it crosses and curved between them."""
    first, last = path[0], path[-1]
    middle = {i: sum(span[i]) / 2 for i in (first, last)}
    bend = pen = middle[first] + boxes[first].height / 2
    curve = f"M{places[first]:.0f} {bend:.0f}"
    for above, below in itertools.pairwise(path):
        end = span[below][0] if below != last else middle[last] - boxes[last].height / 2 - 5
        x, to_x, half = places[above], places[below], (bend + end) / 2
        if round(x) != round(to_x):  # Else one line leads on, through any number of layers.
            curve += f"V{bend:.0f}" if pen != bend else ""
            curve += f"C{x:.0f} {half:.0f} {to_x:.0f} {half:.0f} {to_x:.0f} {end:.0f}"
            pen = end
        bend = span[below][1] if below != last else end
    curve += f"V{bend:.0f}" if pen != bend else ""
    x, y = places[last], middle[last] - boxes[last].height / 2 - 5
    tip = f"M{x - 4:.0f} {y - 2:.0f}L{x:.0f} {y + 5:.0f}L{x + 4:.0f} {y - 2:.0f}z"
    ends = f'data-from="{escape(boxes[first].name)}" data-to="{escape(boxes[last].name)}"'
    return f'<g class="arrow" {ends}><path class="line" d="{curve}"/><path class="tip" d="{tip}"/></g>'


def _box(box: Node, x: float, y: float) -> str:
    top = y - box.height / 2
    frame = (
        f'<rect x="{x - box.width / 2:.0f}" y="{top:.0f}" width="{box.width:.0f}" height="{box.height:.0f}" rx="5"/>'
    )
    lines = [
        f'<text x="{x:.0f}" y="{top + 17 + _LINE * place:.0f}">{escape(line)}</text>'
        for place, line in enumerate(box.lines)
    ]
    return f'<g class="node {box.kind}" data-name="{escape(box.name)}">{frame}{"".join(lines)}</g>'
