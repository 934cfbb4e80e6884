"""A program as a drawing, in the language of Graphviz: arrows lead from values to their readers.

The names are those of the printed program (:mod:`minimeta.program.listing`). A folded drawing has
one node for consecutive steps of the same line and pass, and one for the arrays of each argument. A
vmap is a box around the nodes of its body. Steps have the colour of their phase: forward, backward
or second order (:mod:`minimeta.program.explanation`).
"""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import PurePath
from typing import Any

from minimeta.autodiff.steps import Program, Step
from minimeta.program.explanation import COLOURS, PHASES, phases_of
from minimeta.program.listing import Listed, Literal, Row, constant_of, heading_of, index_of, listed, names_of

_IN_A_ROW = 4


def drawing(program: Program, operands: Sequence[str], folded: bool) -> str:
    """Return the text of a directed graph. Operands are boxes, constants plain, steps ellipses;
    outputs have a double outline.

    Parameters
    ----------
    program
        Its instructions.
    operands
        The names of its operands; empty for their numbers.
    folded
        Whether steps are drawn by the user's lines.
    """
    names = names_of(program, operands)
    found = listed(program, names)
    drawn = _Drawing(folded, phases_of(found))
    drawn.operands(names, program.operands)
    rows = list(drawn.lines(found, 0))
    labels = [f"  v{node} [label={json.dumps(label)}, shape={shape}];" for node, (label, shape) in drawn.nodes.items()]
    arrows = [f"  v{source} -> v{target}{_label(names)};" for (source, target), names in drawn.arrows.items()]
    outputs = dict.fromkeys(drawn.places[x] for x in found.outputs if x in drawn.places)
    doubled = [f"  v{node} [peripheries=2];" for node in outputs]
    return "\n".join(["digraph program {", *labels, *rows, *arrows, *doubled, "}"]) + "\n"


def _label(names: Sequence[str]) -> str:
    """Label an arrow that stands for several values."""
    return f" [label={len(names)}]" if len(names) > 1 else ""


class _Drawing:
    """The nodes of a drawing and the arrows between them.

    Attributes
    ----------
    nodes
        By their numbers: label and shape.
    places
        The node of each name.
    arrows
        By both ends: the names of the values that they carry.
    """

    def __init__(self, folded: bool, phases: dict[str, str]) -> None:
        self._folded, self._phases = folded, phases
        self.nodes: dict[int, tuple[str, str]] = {}
        self.places: dict[str, int] = {}
        self.arrows: dict[tuple[int, int], list[str]] = {}

    def operands(self, names: Sequence[str], forms: Sequence[Any]) -> None:
        """Draw the operands."""
        groups: dict[str, list[str]] = {}
        for name in names:
            groups.setdefault(name.partition("/")[0] if self._folded else name, []).append(name)
        known = dict(zip(names, forms, strict=True))
        for group, members in groups.items():
            of_many = f"{group}\n{len(members)} arrays"
            self._node(f"{members[0]}\n{known[members[0]]!r}" if len(members) == 1 else of_many, "box", members)

    def lines(self, found: Listed, depth: int) -> Iterator[str]:
        """Draw the steps of a program, and yield the boxes around the bodies in it."""
        rows, constants = _opened(found)
        if not self._folded:
            for name, value in constants:
                self._node(f"{name}\n{constant_of(value)}", "plaintext", [name])

        def group_of(row: Row) -> str:
            return self._heading(row) if self._folded and not row.tasks else row.number

        for _, group in itertools.groupby(rows, group_of):
            first, *others = group
            if first.tasks:
                yield from self._body(first, depth)
            else:
                self._steps([first, *others])

    def _body(self, row: Row, depth: int) -> Iterator[str]:
        """Draw a box around the body of a vmap, and name its results."""
        assert row.body is not None and row.tasks is not None
        index, count = index_of(depth), row.tasks.count
        for name in row.operands:
            if name in self.places:
                self.places[f"{name}[{index}]"] = self.places[name]
        first = len(self.nodes)
        boxes = list(self.lines(row.body, depth + 1))
        inside = " ".join(f"v{node};" for node in range(first, len(self.nodes)))
        label = json.dumps(f"{row.number} = vmap, for each {index} of {count}")
        yield f"  subgraph cluster{row.number.strip('%').replace(':', '_')} {{ label={label}; {inside}"
        yield from boxes
        yield "  }"
        results = zip(row.results, row.body.outputs, strict=True)
        self.places.update({name: self.places[x] for name, x in results if x in self.places})

    def _steps(self, group: Sequence[Row]) -> None:
        """Draw a group of steps as one node, and the arrows to it."""
        first, last = group[0], group[-1]
        if not self._folded:
            label = f"{first.number} = {first.step.primitive.name}\n{', '.join(map(repr, first.step.results))}"
        else:
            numbers = first.number if first is last else f"{first.number} to {last.number}"
            label = "\n".join([self._heading(first), numbers, *_kinds(row.step for row in group)])
        shape, style = ("box", "rounded,filled") if self._folded else ("ellipse", "filled")
        node = self._node(
            label,
            f'{shape}, style="{style}", fillcolor="{COLOURS[self._phase(first)]}"',
            [x for row in group for x in row.names],
        )
        for row in group:
            for name in row.operands:
                source = self.places.get(name, node)
                if not isinstance(name, Literal) and source != node:
                    carried = self.arrows.setdefault((source, node), [])
                    carried += [name] if name not in carried else []

    def _phase(self, row: Row) -> str:
        return self._phases[row.names[0]]

    def _heading(self, row: Row) -> str:
        """Return the phase and the user's line of a step, without the folder of the user's file."""
        if not heading_of(row.step):
            return ""
        file, _, place = row.step.origin.line.rpartition(":")
        phase = self._phase(row)
        return f"{phase} {'at' if phase == PHASES[0] else 'of'} {PurePath(file).name}:{place}"

    def _node(self, label: str, shape: str, names: Sequence[str]) -> int:
        node = len(self.nodes)
        self.nodes[node] = (label, shape)
        self.places.update(dict.fromkeys(names, node))
        return node


def _opened(found: Listed) -> tuple[list[Row], list[tuple[str, Any]]]:
    """Return the rows and constants of a program and of its regions, but not of a vmap's body."""
    rows, constants = [], [*found.constants]
    for row in found.rows:
        if row.body is None or row.tasks:
            rows.append(row)
        else:
            inside = _opened(row.body)
            rows += inside[0]
            constants += inside[1]
    return rows, constants


def _kinds(steps: Iterator[Step]) -> list[str]:
    """Count the steps of each kind, a few kinds to a row."""
    kinds = [f"{n} {name}" if n > 1 else name for name, n in Counter(step.primitive.name for step in steps).items()]
    rows = [", ".join(kinds[i : i + _IN_A_ROW]) for i in range(0, len(kinds), _IN_A_ROW)]
    return [*(f"{row}," for row in rows[:-1]), *rows[-1:]]
