"""hoist: compute once what is the same for all tasks.

The body of a ``vmap`` runs for every task. What it computes from shared operands and constants
alone is the same each time. So it moves in front of the ``vmap``, and its result becomes another
shared operand:

    vmap(w, x_1 ... x_n):  y = x exp(w)        v = exp(w);  vmap(v, x_1 ... x_n):  y = x v

A view costs nothing and stays, with one exception: the kernel of a product ``x w'`` first turns
``w``, so that its columns lie in rows, and would turn a shared ``w`` for every task. So the turning
moves out too, whether the product transposes ``w`` or a step before it does. A gradient through a
layer whose weights all tasks share has such products: the first step of MAML, and every step of a
learned optimiser. So does ``conv2d_input``, whose kernel exchanges the channels of its weights: a
task reads the exchanged ones through a view that exchanges them back. And ``y tanh'(x)`` is one
step; if all tasks share ``x``, as the walks of a Hessian do, ``tanh'(x) = 1 tanh'(x)`` moves out,
and ``y`` times it stays.

The same kernels compute the same values, so no bit changes.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from minimeta.autodiff.array import Form, Shape
from minimeta.autodiff.operations.arithmetic import MULTIPLY
from minimeta.autodiff.operations.convolution import CONV2D_INPUT
from minimeta.autodiff.operations.linear_algebra import MATMUL
from minimeta.autodiff.operations.movement import TRANSPOSE
from minimeta.autodiff.operations.transcendental import SIGMOID_SLOPE, TANH_SLOPE
from minimeta.autodiff.steps import Program, Step
from minimeta.program.names import fresh_names, named, numbered, program_of, renamed, results_of

_CHANNELS_EXCHANGED = (0, 1, 3, 2)
_MOST_BYTES = 2**21  # of weights: larger ones are read as they lie (large, in csrc/windows.hpp)


def hoist(program: Program) -> Program:
    """Compute before a ``vmap`` what all of its tasks would."""
    if not any(step.tasks for step in program.steps):
        return program
    constants, steps = named(program)
    fresh = fresh_names(program)
    kept: dict[int, Step] = {}
    for name, step in steps.items():
        has_tasks = step.tasks is not None and step.tasks.count > 0
        kept[name] = _lightened(step, constants, kept, fresh) if has_tasks else step
    return numbered(program, constants, kept)


def _lightened(vmap: Step, constants: dict[int, Any], before: dict[int, Step], fresh: Iterator[int]) -> Step:
    """Return the ``vmap`` with less to do; constants and steps that it no longer needs move out."""
    body, tasks = vmap.body, vmap.tasks
    assert body is not None and tasks is not None
    inner_constants, steps = named(body)
    outside = {i: vmap.operands[i] for i, is_mapped in enumerate(tasks.mapped) if not is_mapped}
    inner, shared = _apart(steps, inner_constants, set(outside), body)
    factors = {step.operands[1] for step in inner.values() if step.primitive is MATMUL}
    factors |= {step.operands[0] for step in inner.values() if _exchanges(step)}
    costly = {
        i: step
        for i, step in inner.items()
        if i in shared and (not step.primitive.view or (step.primitive is TRANSPOSE and i in factors))
    }
    if not costly:
        return vmap

    # Outside, everything shared is there; what nobody reads goes away with `eliminate`.
    for i, value in inner_constants.items():
        outside[i] = next(fresh)
        constants[outside[i]] = value
    for i, step in inner.items():
        if i in shared:
            outside.update(zip(results_of(i, step), fresh, strict=False))
            before[outside[i]] = renamed(step, outside)

    results = [zip(results_of(i, step), step.results, strict=True) for i, step in costly.items()]
    entering = dict(itertools.chain(*results))
    kept = {i: step for i, step in inner.items() if i not in costly}
    return vmap._replace(
        operands=(*vmap.operands, *(outside[i] for i in entering)),
        body=program_of(dict(enumerate(body.operands)) | entering, inner_constants, kept, body.outputs),
        tasks=dataclasses.replace(tasks, mapped=(*tasks.mapped, *[False] * len(entering))),
    )


def _apart(
    steps: dict[int, Step], constants: dict[int, Any], shared: set[int], body: Program
) -> tuple[dict[int, Step], set[int]]:
    """Return the steps of a body, with those apart that parts of a step need of shared operands alone, and all that
    is shared; constants are added.
    """
    forms, fresh = body.forms(), fresh_names(body)
    shared.update(constants)
    inner: dict[int, Step] = {}
    parts: dict[tuple[Any, int], int] = {}  # by primitive and operand

    def part(step: Step) -> int:
        key = step.primitive, step.operands[0]
        if key not in parts:
            parts[key] = next(fresh)
            inner[parts[key]] = step
            shared.add(parts[key])
        return parts[key]

    for i, step in steps.items():
        if shared.issuperset(step.operands) and step.body is None:
            shared.update(results_of(i, step))
        elif _turns(step, shared, forms):
            x, y = step.operands
            form = Form(forms[y].shape[::-1], forms[y].dtype)
            turned = part(Step(TRANSPOSE, (y,), {"axes": (1, 0)}, (form,), step.origin))
            step = step._replace(operands=(x, turned), params={**step.params, "transpose_y": False})  # noqa: PLW2901
        elif _exchanges_weights(step, shared, forms, inner):
            g, w = step.operands
            kernel = forms[w].shape
            turn = Step(TRANSPOSE, (w,), {"axes": _CHANNELS_EXCHANGED}, (Form(_exchanged(kernel), forms[w].dtype),))
            turned, back = part(turn._replace(origin=step.origin)), next(fresh)
            inner[back] = turn._replace(operands=(turned,), results=(forms[w],), origin=step.origin)
            step = step._replace(operands=(g, back))  # noqa: PLW2901
        elif step.primitive in (TANH_SLOPE, SIGMOID_SLOPE) and step.operands[0] in shared:
            x, y = step.operands
            one = next(fresh)
            constants[one] = np.broadcast_to(np.ones((), step.form.dtype), step.form.shape)
            shared.add(one)
            step = step._replace(primitive=MULTIPLY, operands=(y, part(step._replace(operands=(x, one)))))  # noqa: PLW2901
        inner[i] = step
    return inner, shared


def _turns(step: Step, shared: set[int], forms: Sequence[Form]) -> bool:
    """Return whether a product turns a shared matrix; one row lies as one column does."""
    if step.primitive is not MATMUL or not step.params["transpose_y"] or step.operands[1] not in shared:
        return False
    shape = forms[step.operands[1]].shape
    return len(shape) == 2 and 1 not in shape


def _exchanges(step: Step) -> bool:
    return step.primitive is TRANSPOSE and step.params["axes"] == _CHANNELS_EXCHANGED


def _exchanged(shape: Shape) -> Shape:
    return (*shape[:2], shape[3], shape[2])


def _exchanges_weights(step: Step, shared: set[int], forms: Sequence[Form], inner: dict[int, Step]) -> bool:
    """Return whether a convolution exchanges the channels of shared weights, which it does not find exchanged."""
    if step.primitive is not CONV2D_INPUT or step.operands[1] not in shared:
        return False
    w = step.operands[1]
    maker = inner.get(w)
    return (maker is None or not _exchanges(maker)) and w < len(forms) and forms[w].nbytes <= _MOST_BYTES
