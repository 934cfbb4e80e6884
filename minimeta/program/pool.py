"""pool: the largest cells of windows, taken while they are found.

The maximum over windows is two steps, which cell is the largest and what lies in it, so that its
derivative can put a cotangent into the same cell. Both read the whole image. One kernel does both
in one reading:

    c = max_cell(x);  y = pool_take(x, c)        c, y = max_cell_and_take(x)
"""

from __future__ import annotations

from typing import Any

from minimeta.autodiff.array import Form
from minimeta.autodiff.operations.pooling import MAX_CELL, POOL_TAKE
from minimeta.autodiff.regions import region, rematerialize_rule
from minimeta.autodiff.steps import Program, Step
from minimeta.program.names import fresh_names, named, numbered, renamed

#: One kernel for ``max_cell`` and ``pool_take``; its body is those two steps, and its results are
#: theirs.
MAX_CELL_AND_TAKE = region("max_cell_and_take", rematerialize_rule)


def pool(program: Program) -> Program:
    """Run each ``max_cell`` together with the ``pool_take`` of the same image and windows."""
    if not any(step.primitive is MAX_CELL for step in program.steps):
        return program
    constants, steps = named(program)
    forms, fresh = program.forms(), fresh_names(program)
    takes = {_windows(step): name for name, step in reversed(steps.items()) if step.primitive is POOL_TAKE}
    kept: dict[int, Step] = {}
    same: dict[int, int] = {}
    for name, step in steps.items():
        take = takes.get((name, *_windows(step))) if step.primitive is MAX_CELL else None
        if take is not None:
            same[name], same[take] = next(fresh), next(fresh)
            kept[same[name]] = _together(step, steps[take], forms[step.operands[0]])
        elif name not in same:
            kept[name] = renamed(step, same)
    return numbered(program, constants, kept, same)


def _windows(step: Step) -> tuple[Any, ...]:
    """Return what a step looks at: the cells, where it takes them, the image, and the windows."""
    return (*reversed(step.operands), *(step.params[key] for key in ("window", "strides", "padding")))


def _together(cell: Step, take: Step, image: Form) -> Step:
    body = Program((image,), (), (cell._replace(operands=(0,)), take._replace(operands=(0, 1))), (1, 2))
    return Step(MAX_CELL_AND_TAKE, cell.operands, {}, cell.results + take.results, cell.origin, body)
