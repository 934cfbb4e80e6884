"""hoist: what is the same for all tasks, computed once.

The body of a ``vmap`` runs for every task. What it computes of shared operands and constants alone comes out the same
each time; so it moves in front of the ``vmap``, and its result becomes one more shared operand:

    vmap(w, x_1 ... x_n):  y = x exp(w)        v = exp(w);  vmap(v, x_1 ... x_n):  y = x v

A view is nothing to compute, and stays. But the kernel of a product ``x w'`` turns ``w`` first, to have its columns in
rows, and a shared ``w`` it turns for every task. So that is done outside, too, whether the product transposes ``w`` or
a step of its own does. A gradient through a layer whose weights all tasks share (the first step of MAML, every one of a
learned optimiser) has such products.

The same kernels compute the same values, so no bit changes.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

from minimeta.autodiff.array import Form
from minimeta.autodiff.graph import Step, StraightLine
from minimeta.autodiff.operations.linear_algebra import MATMUL
from minimeta.autodiff.operations.movement import TRANSPOSE
from minimeta.program.names import is_region, named, numbered, renamed


def hoist(line: StraightLine) -> StraightLine:
    """Compute before a ``vmap`` what all of its tasks would."""
    constants, steps = named(line)
    fresh = itertools.count(len(line.operands) + len(constants) + len(steps))
    kept: dict[int, Step] = {}
    for name, step in steps.items():
        mapped = "mapped" in step.params and step.params["count"] > 0
        kept[name] = _lightened(step, constants, kept, fresh) if mapped else step
    return numbered(line, constants, kept)


def _lightened(region: Step, constants: dict[int, Any], before: dict[int, Step], fresh: Iterator[int]) -> Step:
    """The ``vmap`` with less to do; what it no longer does joins the constants and the steps before it."""
    body: StraightLine = region.params["line"]
    inner_constants, steps = named(body)
    outside = {i: region.operands[i] for i, is_mapped in enumerate(region.params["mapped"]) if not is_mapped}
    shared = {*outside, *inner_constants}
    forms = [*body.operands, *body.constants, *(step.shape for step in body.steps)]
    inner: dict[int, Step] = {}
    for i, step in steps.items():
        if shared.issuperset(step.operands) and not is_region(step):
            shared.add(i)
        elif _turns(step, shared, forms):
            x, y = step.operands
            form = Form(forms[y].shape[::-1], forms[y].dtype)
            inner.setdefault(~y, Step(TRANSPOSE, (y,), {"axes": (1, 0)}, form, step.line, step.backward))
            shared.add(~y)
            step = step._replace(operands=(x, ~y), params={**step.params, "transpose_y": False})  # noqa: PLW2901
        inner[i] = step

    factors = {step.operands[1] for step in inner.values() if step.primitive is MATMUL}
    costly = {
        i
        for i, step in inner.items()
        if i in shared and (not step.primitive.view or (step.primitive is TRANSPOSE and i in factors))
    }
    needed = set(body.outputs)  # inside, where what is costly comes from outside
    kept: dict[int, Step] = {}
    for i in reversed(inner):
        if i in needed and i not in costly:
            kept[i] = inner[i]
            needed.update(inner[i].operands)
    entering = [i for i in inner if i in needed and i in costly]
    if not entering:
        return region

    wanted = set(entering)
    for i in reversed(inner):
        if i in wanted:
            wanted.update(inner[i].operands)
    for i in (*inner_constants, *inner):
        if i in wanted:
            outside[i] = next(fresh)
            if i in inner:
                before[outside[i]] = renamed(inner[i], outside)
            else:
                constants[outside[i]] = inner_constants[i]

    names = [*range(len(body.operands)), *entering, *inner_constants, *reversed(kept)]
    place = {name: number for number, name in enumerate(names)}
    lighter = StraightLine(
        (*body.operands, *(inner[i].shape for i in entering)),
        body.constants,
        tuple(renamed(kept[i], place) for i in reversed(kept)),
        tuple(place[i] for i in body.outputs),
    )
    mapped = (*region.params["mapped"], *[False] * len(entering))
    operands = (*region.operands, *(outside[i] for i in entering))
    return region._replace(operands=operands, params={**region.params, "line": lighter, "mapped": mapped})


def _turns(step: Step, shared: set[int], forms: Sequence[Any]) -> bool:
    """Whether a step is a product that turns a shared matrix; one row lies as one column does."""
    if step.primitive is not MATMUL or not step.params["transpose_y"] or step.operands[1] not in shared:
        return False
    shape = forms[step.operands[1]].shape
    return len(shape) == 2 and 1 not in shape
