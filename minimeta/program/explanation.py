"""A program explained: for each instruction its equation, its phase, and the user's line.

    forward         what the user's function computes
    backward        a cotangent, by the rule of the forward instruction of that line
    second order    what comes from the backward pass of a backward pass

In a second-order meta-gradient, the last are the terms with a Hessian. With an inner step
``w' = w - a dL/dw`` and the outer cotangent ``v`` of ``w'``,

    dM/dw = v - a H v,

``v`` is backward, and ``H v`` is second order. An instruction is of second order if it is the
derivative of a backward instruction, or the cotangent that follows from one.
"""

from __future__ import annotations

import linecache
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from minimeta.autodiff.steps import Program, Step
from minimeta.program.listing import Listed, Row, expression, index_of, listed, names_of, title

PHASES = ("forward", "backward", "second order")

#: A colour for each phase. Black is read well on all three, and the colour-blind tell them apart
#: (M. Okabe and K. Ito 2008, "Color Universal Design").
COLOURS = {"forward": "#56b4e9", "backward": "#e69f00", "second order": "#cc79a7"}

#: An equation for each primitive that has a shorter one than its name and operands.
_EQUATIONS = {
    "add": "{x} + {y}",
    "subtract": "{x} - {y}",
    "multiply": "{x} * {y}",
    "divide": "{x} / {y}",
    "negative": "-{x}",
    "reciprocal": "1 / {x}",
    "square": "{x}^2",
    "power": "{x}^{y}",
    "exp": "e^{x}",
    "relu": "max({x}, 0)",
    "relu_slope": "{y} where {x} > 0, else 0",
    "tanh_slope": "{y} * tanh'({x})",
    "sigmoid_slope": "{y} * sigmoid'({x})",
    "maximum": "max({x}, {y})",
    "minimum": "min({x}, {y})",
    "where": "{y} where {x}, else {z}",
    "equal": "{x} == {y}",
    "not_equal": "{x} != {y}",
    "greater": "{x} > {y}",
    "greater_equal": "{x} >= {y}",
    "less": "{x} < {y}",
    "less_equal": "{x} <= {y}",
}


class Explained(NamedTuple):
    """An instruction, explained.

    Attributes
    ----------
    name
        Of its result, as in print.
    equation
        What the result is.
    step
        The instruction.
    phase
        One of :data:`PHASES`.
    depth
        In how many bodies of a ``vmap`` it is.
    operands
        The names of what it reads.
    """

    name: str
    equation: str
    step: Step
    phase: str
    depth: int
    operands: tuple[str, ...]


def explained(program: Program, operands: Sequence[str] = ()) -> list[Explained]:
    """Return the instructions of a program in order, groups and regions opened.

    Parameters
    ----------
    program
        A traced program.
    operands
        The names of its operands.
    """
    found = listed(program, names_of(program, operands))
    return list(_rows(found, {}, 0))


def phases_of(found: Listed) -> dict[str, str]:
    """Return the phases of the values of a program by their names, those in bodies included."""
    phases: dict[str, str] = {}
    for _ in _rows(found, phases, 0):
        pass
    return phases


def _rows(found: Listed, phases: dict[str, str], depth: int) -> Iterator[Explained]:
    """Yield the instructions; ``phases`` collects those of the values by name."""
    for row in found.rows:
        if row.body is None:
            phase = _phase(row, phases)
            phases.update(dict.fromkeys(row.names, phase))
            yield Explained(", ".join(row.names), equation(row), row.step, phase, depth, row.operands)
        elif row.tasks is None:
            yield from _rows(row.body, phases, depth)
        else:
            index = index_of(depth)
            phases.update({f"{whole}[{index}]": phases.get(whole, "forward") for whole in row.operands})
            yield from _rows(row.body, phases, depth + 1)
            for name, inside, is_sum in zip(row.results, row.body.outputs, row.tasks.summed, strict=True):
                phases[name] = phases.get(inside, "forward")
                together = f"{'sum' if is_sum else 'stack'} of {inside} over {row.tasks.count} {index}"
                yield Explained(name, together, row.step, phases[name], depth, (inside,))


def _phase(row: Row, phases: dict[str, str]) -> str:
    order = int(row.step.origin.backward)
    if order > 1 or (order == 1 and any(phases.get(name) == PHASES[2] for name in row.operands)):
        return PHASES[2]
    return PHASES[max(order, 0)]


def equation(row: Row) -> str:
    """Write what a step computes, in the names of its operands."""
    step, names = row.step, row.operands
    if step.primitive.name == "matmul":
        x, y = (
            f"{name}^T" if step.params[key] else name
            for name, key in zip(names, ("transpose_x", "transpose_y"), strict=True)
        )
        return f"{x} {y}"
    form = _EQUATIONS.get(step.primitive.name)
    return expression(step, names) if form is None else form.format(**dict(zip("xyz", names, strict=False)))


def explanation(name: str, program: Program, operands: Sequence[str]) -> str:
    """Return a program as text, one instruction a line, under headings of a phase and a user's line."""
    rows = explained(program, operands)
    counts = Counter(row.phase for row in rows)
    text = [f"{title(name)}: " + ", ".join(f"{counts[phase]} {phase}" for phase in PHASES if counts[phase])]
    heading = ""
    width = min(max((len(row.name) + len(row.equation) + 2 * row.depth for row in rows), default=0) + 3, 72)
    for row in rows:
        line = row.step.origin.line
        above = f"{row.phase}, {line or 'no line of the user'}"
        if above != heading:
            heading = above
            code = code_at(line)
            text += ["", f"{above}:  {code}" if code else above]
        said = f"{'  ' * row.depth}{row.name} = {row.equation}"
        text.append(f"  {said:{width}}  {', '.join(map(repr, row.step.results))}")
    return "\n".join(text)


def code_at(line: str) -> str:
    """Return the code of a user's line, ``FILE:NUMBER, in FUNCTION``; empty if it is not to be had."""
    file, _, number = line.partition(", in ")[0].rpartition(":")
    return linecache.getline(file, int(number)).strip() if number.isdigit() else ""
