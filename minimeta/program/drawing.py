"""A program as a drawing, in the language of Graphviz: values are nodes, and arrows lead from operands to uses."""

from __future__ import annotations

import json

from minimeta.autodiff.array import Abstract
from minimeta.autodiff.graph import StraightLine


def drawing(line: StraightLine) -> str:
    """The text of a directed graph: operands are boxes, constants plain, steps ellipses, outputs drawn twice around."""
    rows = [_node(i, f"%{i}\n{form!r}", "box") for i, form in enumerate(line.operands)]
    for value in line.constants:
        rows.append(_node(len(rows), f"constant\n{Abstract(value.shape, value.dtype)!r}", "plaintext"))
    arrows = []
    for step in line.steps:
        arrows += [f"  v{i} -> v{len(rows)};" for i in step.operands]
        rows.append(_node(len(rows), f"{step.primitive.name}\n{step.shape!r}", "ellipse"))
    outputs = [f"  v{i} [peripheries=2];" for i in dict.fromkeys(line.outputs)]
    return "\n".join(["digraph program {", *rows, *arrows, *outputs, "}"]) + "\n"


def _node(number: int, label: str, shape: str) -> str:
    return f"  v{number} [label={json.dumps(label)}, shape={shape}];"
