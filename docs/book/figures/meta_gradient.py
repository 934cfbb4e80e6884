"""Write docs/book/meta-gradient.md and its drawing: every instruction of one meta-gradient, annotated.

    python docs/book/figures/meta_gradient.py

What an instruction is for is not found by looking at the program. It is the quantity of the
derivation by hand (meta_gradient_by_hand.py) whose value it has: each instruction must be exactly
one of them, and each of them one instruction.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from meta_gradient_by_hand import Derivation, Quantity
from meta_gradient_drawing import Node, drawing

from minimeta.autodiff.steps import by_kernel
from minimeta.program import Traced
from minimeta.program.explanation import COLOURS, PHASES, explained
from minimeta.program.listing import expression, listed

FIGURES = Path(__file__).parent
PAGE, PICTURE = FIGURES.parent / "meta-gradient.md", FIGURES / "meta_gradient.svg"
#: A square in the colour of each phase, as Markdown and as a file next to this one.
SQUARES = {phase: f"![{phase}](figures/{phase.replace(' ', '_')}.svg)" for phase in PHASES}


class Annotated(NamedTuple):
    """An instruction, and what there is to say about it.

    Attributes
    ----------
    name, operation, form, phase, line
        As the program has them: ``%34``, ``matmul(%33, theta/w2)``, ``10 × 40``, ``forward``, ``6``.
    operands, readers
        The names of the instructions that it reads, and of those that read it.
    quantity
        What it is.
    """

    name: str
    operation: str
    form: str
    phase: str
    line: str
    operands: list[str]
    readers: list[str]
    quantity: Quantity


def run(text: str) -> tuple[Traced, list[dict[str, Any]]]:
    """Run the Python blocks of the page; return the program, and the arguments of the function."""
    names: dict[str, Any] = {}
    for block in re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)[:2]:
        exec(compile(block, PAGE.name, "exec"), names)
    return names["program"], [names[name] for name in ("theta", "support", "query")]


def annotated(program: Traced, arguments: list[dict[str, Any]]) -> list[Annotated]:
    """Return the instructions, each with the quantity that it is.

    Raises
    ------
    ValueError
        An instruction is no quantity or several, or a quantity is no instruction.
    """
    values = [leaf for tree in arguments for leaf in tree.values()] + [*program.constants]
    for step in program.steps:
        values += by_kernel(step, *[values[i] for i in step.operands])
    left = Derivation(*arguments).found
    rows = listed(program, program.names).rows
    names = {row.number for row in rows}
    found = []
    for row, explanation in zip(rows, explained(program, program.names), strict=True):
        value = values[int(row.number[1:])]
        equal = [q for q in left if q.value.shape == value.shape and np.allclose(q.value, value, 1e-9, 1e-15)]
        if len(equal) != 1:
            raise ValueError(f"{row.number} is {[q.formula for q in equal] or 'no quantity of the derivation'}")
        left = [q for q in left if q is not equal[0]]
        found.append(
            Annotated(
                row.number,
                expression(row.step, row.operands),
                " × ".join(map(str, row.step.form.shape)),
                explanation.phase,
                row.step.origin.line.partition(":")[2].partition(",")[0],
                [name for name in dict.fromkeys(row.operands) if name in names],
                [other.number for other in rows if row.number in other.operands],
                equal[0],
            )
        )
    if left:
        raise ValueError(f"no instruction computes {[q.formula for q in left]}")
    return found


def tables(found: list[Annotated], program: Traced) -> dict[str, str]:
    """Return the table of each part, by what stands for it in the page."""
    returned = dict(zip(listed(program, program.names).outputs, program.output_names(), strict=True))
    made = {}
    for part in sorted({x.quantity.part for x in found}):
        rows = ["| | instruction | shape | what it is | line | read by |", "|---|---|---|---|---|---|"]
        for x in found:
            if x.quantity.part == part:
                readers = f"returned as `{returned[x.name]}`" if x.name in returned else ", ".join(x.readers)
                cells = (
                    SQUARES[x.phase],
                    f"`{x.name} = {x.operation}`",
                    x.form,
                    f"${x.quantity.formula}$",
                    x.line,
                    readers,
                )
                rows.append(f"| {' | '.join(cells)} |")
        made[str(part)] = "\n".join(rows)
    return made


def page(text: str) -> str:
    """Return the page with its tables made anew; its prose and its blocks stay as they are."""
    program, arguments = run(text)
    made = tables(annotated(program, arguments), program)
    return re.sub(
        r"^(## (\d+)\. [^\n]*\n.*?\n\n)\| .*?(?=\n\n|\Z)",
        lambda found: found[1] + made[found[2]],
        text,
        flags=re.MULTILINE | re.DOTALL,
    )


def picture(text: str) -> str:
    """Return the drawing."""
    program, arguments = run(text)
    found = annotated(program, arguments)
    nodes = [
        Node(
            x.name,
            x.operation.partition("(")[0],
            f"{x.name} = {x.operation}: {x.form}, line {x.line}, {x.phase}: {x.quantity.formula}",
            x.phase,
            x.quantity.part,
            x.quantity.layer,
            x.operands,
        )
        for x in found
    ]
    titles = re.findall(r"^## \d+\. (.*)$", text, re.MULTILINE)
    return drawing(
        nodes, titles, ("layer 1, line 5", "layer 2, line 6", "layer 3, line 7", "loss, line 11"), (2, 5, 6, 8, 9)
    )


def square(phase: str) -> str:
    """Return the square of a phase."""
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" width="14" height="14">'
        f'<rect width="14" height="14" rx="3" fill="{COLOURS[phase]}"/></svg>\n'
    )


if __name__ == "__main__":
    text = page(PAGE.read_text(encoding="utf-8"))
    PAGE.write_text(text, encoding="utf-8")
    PICTURE.write_text(picture(text), encoding="utf-8")
    for phase in PHASES:
        (FIGURES / f"{phase.replace(' ', '_')}.svg").write_text(square(phase), encoding="utf-8")
