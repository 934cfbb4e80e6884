"""Batching: one product of matrices in place of a product by a vector for every task.

Where tasks share a matrix ``w``, the products ``x_i w`` of their vectors are the rows of one:

    x_1 w, ..., x_n w          (x_1; ...; x_n) w

which reads ``w`` once and not ``n`` times. So the function of one task is not run for each of them,
but once for all, by operations that have the tasks along their first axis. What this does to one
step is a *batching rule*:

    elementwise, conversions    as it is; what tasks share is broadcast
    movements, joins, cuts      of the other axes
    x_i w,  w x_i               the rows of all x_i, one after another, in one product
    x_i y_i                     one batched product
    anything else               a ``vmap`` of this step alone

A function is batched if it has a product of a vector by a shared matrix, nothing in it runs a body
of its own, and no output is summed. An element of a product of matrices is summed in another order
than one of a product by a vector, so its last bits may differ from those of one task by itself. All
else is the same to the bit, and so is everything whether it is compiled or not.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

from minimeta.autodiff.apply import apply
from minimeta.autodiff.array import Form
from minimeta.autodiff.operations.joining import CONCATENATE, SPLIT, split
from minimeta.autodiff.operations.linear_algebra import MATMUL
from minimeta.autodiff.operations.movement import BROADCAST_TO, RESHAPE, TRANSPOSE
from minimeta.autodiff.steps import Program, Step, Tasks, by_operation, run
from minimeta.program.names import alone

#: Elements of a shared matrix that are worth it: fewer are multiplied in less than a step takes.
_WORTH = 512

#: Movements whose parameters have an entry for each axis.
_MOVEMENTS = frozenset(("pad", "reshape", "slice"))

#: Conversions, which have a shape only by their operand.
_ALIKE = frozenset(("alias", "astype", "copy", "stop_gradient"))


def is_batched(body: Program, tasks: Tasks) -> bool:
    """Return whether the tasks' products by vectors become products of matrices."""
    runs_bodies = any(step.body is not None and step.primitive is not SPLIT for step in body.steps)
    if any(tasks.summed) or tasks.count < 2 or runs_bodies:
        return False
    mapped = {i for i, is_mapped in enumerate(tasks.mapped) if is_mapped}
    forms, found = body.forms(), False
    for number, step in body.numbered_steps():
        if mapped.isdisjoint(step.operands):
            continue
        mapped.update(range(number, number + len(step.results)))
        if step.primitive is MATMUL and len(step.form.shape) == 2:
            x, y = step.operands
            rows, columns = step.form.shape
            shared = y if rows == 1 and y not in mapped else x if columns == 1 and x not in mapped else None
            found = found or (shared is not None and forms[shared].size >= _WORTH)
    return found


def batched(body: Program, operands: Sequence[Any], tasks: Tasks, vmap: Any) -> list[Any]:
    """Run a body for all tasks at once.

    Parameters
    ----------
    body, operands, tasks
        Of a ``vmap`` for which :func:`is_batched` holds.
    vmap
        Its primitive, for single steps.

    Returns
    -------
    list of Array or numpy.ndarray
        The stacked outputs.
    """
    count = tasks.count
    first = {"shape": count, "sizes": count, "starts": 0, "steps": 1}  # what a movement does with the axis of the tasks

    def stacked(step: Step) -> tuple[Form, ...]:
        return tuple([tasks.form(form, False) for form in step.results])

    def evaluate(step: Step, *values: tuple[Any, bool]) -> tuple[tuple[Any, bool], ...]:
        """Compute a step of values, each with whether it is one for every task."""
        operands = [x for x, _ in values]
        mapped = tuple([is_mapped for _, is_mapped in values])
        if not any(mapped):
            return tuple([(y, False) for y in by_operation(step, *operands)])
        name = step.primitive.name
        if step.primitive.elementwise or name in _ALIKE:
            params = step.params
        elif step.primitive is BROADCAST_TO:
            shape, new = operands[0].shape[1:], step.form.shape
            operands = [_reshaped(operands[0], (count, *[1] * (len(new) - len(shape)), *shape))]
            params = {"shape": (count, *new)}
        elif name in _MOVEMENTS:
            params = {key: (first[key], *sides) for key, sides in step.params.items()}
        elif step.primitive is TRANSPOSE:
            params = {"axes": (0, *(axis + 1 for axis in step.params["axes"]))}
        elif step.primitive is CONCATENATE:
            operands = [_everywhere(x, is_mapped, count) for x, is_mapped in values]
            params = {"axis": step.params["axis"] + 1}
        elif step.primitive is SPLIT:
            axis = step.params["axis"]
            *cuts, _ = itertools.accumulate(form.shape[axis] for form in step.results)
            return tuple([(y, True) for y in split(operands[0], cuts, axis + 1)])
        elif (
            step.primitive is MATMUL
            and len(step.form.shape) == 2
            and (z := _product(step, operands, mapped)) is not None
        ):
            return ((z, True),)
        else:
            return tuple([(y, True) for y in one_by_one(step, operands, mapped)])
        found = by_operation(step._replace(params=params, results=stacked(step)), *operands)
        return tuple([(y, True) for y in found])

    def one_by_one(step: Step, operands: Sequence[Any], mapped: tuple[bool, ...]) -> tuple[Any, ...]:
        """Run a step by itself for each task."""
        forms = [Form(x.shape[is_mapped:], x.dtype) for x, is_mapped in zip(operands, mapped, strict=True)]
        one = Tasks(count, mapped, (False,) * len(step.results))
        every = tuple(range(len(operands)))
        return by_operation(Step(vmap, every, {}, stacked(step), step.origin, alone(step, forms), one), *operands)

    given = [*zip(operands, tasks.mapped, strict=True)]
    constants = [(x, False) for x in body.constants]
    found = run(dataclasses.replace(body, constants=tuple(constants)), given, evaluate)
    return [_everywhere(y, is_mapped, count) for y, is_mapped in found]


def _everywhere(x: Any, is_mapped: bool, count: int) -> Any:
    """Return what there is for every task; of what they share, so many."""
    return x if is_mapped else apply(BROADCAST_TO, x, shape=(count, *x.shape))


def _reshaped(x: Any, shape: tuple[int, ...]) -> Any:
    return x if x.shape == shape else apply(RESHAPE, x, shape=shape)


def _turned(x: Any) -> Any:
    """Exchange the last two of three axes; of a vector that moves nothing."""
    count, rows, columns = x.shape
    if 1 in (rows, columns):
        return _reshaped(x, (count, columns, rows))
    return apply(TRANSPOSE, x, axes=(0, 2, 1))


def _product(step: Step, operands: Sequence[Any], mapped: Sequence[bool]) -> Any:
    """Return the products of all tasks, by one product."""
    (x, y), (turn_x, turn_y) = operands, (step.params["transpose_x"], step.params["transpose_y"])
    if all(mapped):
        return apply(MATMUL, x, y, **step.params)
    # With x z' = (z x')' the mapped factor is always on the left, in rows.
    left, right, turn, turn_right = (x, y, turn_x, turn_y) if mapped[0] else (y, x, not turn_y, not turn_x)
    left = _turned(left) if turn else left
    count, rows, inner = left.shape
    z = apply(MATMUL, _reshaped(left, (count * rows, inner)), right, transpose_x=False, transpose_y=turn_right)
    z = _reshaped(z, (count, rows, z.shape[-1]))
    return z if mapped[0] else _turned(z)
