"""Identities: one step written for two, or none for one, with the same results to the bit.

    a * 1 = a          -(-a) = a           a value is its copy
    a + (-b) = a - b   a movement of a movement is one movement
    (a b)[rows] = a[rows] b                compute only the rows of a product that are read
    pad(a) + pad(b) = concatenate(a, b) + 0    if they fill the whole, and do not overlap
    mask(x) put(g) = put(mask(take(x)) g)  mask the cotangent of a pooling before it is put into images

They hold for every float, including NaN, infinities and both zeros. ``a + 0`` is not ``a``
(``-0 + 0 = 0``), ``a * 0`` and ``a - a`` are not 0 (if ``a`` is NaN), and none changes the order of
a sum.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from minimeta.autodiff.array import Form
from minimeta.autodiff.operations.arithmetic import NEGATIVE, SUBTRACT
from minimeta.autodiff.operations.linear_algebra import MATMUL
from minimeta.autodiff.operations.movement import PAD, SLICE
from minimeta.autodiff.operations.pooling import POOL_PUT
from minimeta.autodiff.steps import Step
from minimeta.program.names import elements_of

#: The primitives that the identities are about.
SIMPLE = frozenset(
    [
        *("add", "alias", "astype", "broadcast_to", "copy", "divide", "multiply", "negative", "pad", "power"),
        *("pool_take", "relu_slope", "reshape", "slice", "stop_gradient", "transpose", "where"),
    ]
)


def composed(step: Step, steps: dict[int, Step]) -> Step:
    """Write one step for two: a movement of a movement, or a sum with a negative."""
    name = step.primitive.name
    if name == "add":
        for x, y in (step.operands, step.operands[::-1]):
            if (opposite := steps.get(y)) and opposite.primitive is NEGATIVE:
                return step._replace(primitive=SUBTRACT, operands=(x, *opposite.operands))
    inner = steps.get(step.operands[0]) if name in ("reshape", "transpose", "broadcast_to") else None
    if inner is None or inner.primitive is not step.primitive:
        return step
    params = step.params
    if name == "transpose":
        params = {"axes": tuple(inner.params["axes"][axis] for axis in params["axes"])}
    return step._replace(operands=inner.operands, params=params)


def traded(step: Step, steps: dict[int, Step], forms: list[Form]) -> Step:
    """Exchange a slice of a product for a product of a slice, if nothing else reads the product."""
    name = step.operands[0]
    product = steps.get(name)
    if product is None or product.primitive is not MATMUL:
        return step
    window = list(zip(*(step.params[key] for key in ("starts", "sizes", "steps")), strict=True))
    *batch, rows, columns = (part != (0, size, 1) for part, size in zip(window, product.form.shape, strict=True))
    if any(batch) or rows == columns:
        return step
    if step.form.shape[-2:].count(1) > product.form.shape[-2:].count(1):
        return step  # a product by a vector is summed in an order of its own, and that of two vectors in another
    # A row of the product is one of x, or a column of x that is transposed; and so for y.
    x, y = product.operands
    factor = x if rows else y
    axis = -1 if product.params["transpose_x" if rows else "transpose_y"] == rows else -2
    whole = [(0, size, 1) for size in forms[factor].shape]
    whole[axis] = window[-2 if rows else -1]
    starts, sizes, strides = zip(*whole, strict=True)
    forms[name] = Form(sizes, step.form.dtype)
    params = {"starts": starts, "sizes": sizes, "steps": strides}
    steps[name] = product._replace(primitive=SLICE, operands=(factor,), params=params, results=(forms[name],))
    return product._replace(operands=(name, y) if rows else (x, name), results=step.results)


def filled(
    step: Step, forms: list[Form], known: Mapping[int, tuple[int, int]], uses: Mapping[int, int]
) -> tuple[int, int] | None:
    """Return the axis along which a pad lies, or a sum of pads that nothing else reads, and how many places it fills.

    The gradient of a function that cuts its argument into parts is such a sum.
    """
    if step.primitive is PAD:
        inner, starts, steps = forms[step.operands[0]].shape, step.params["starts"], step.params["steps"]
        axes = [axis for axis, size in enumerate(step.form.shape) if (starts[axis], inner[axis]) != (0, size)]
        return (axes[0], inner[axes[0]]) if len(axes) == 1 and steps[axes[0]] == 1 else None
    if step.primitive.name != "add":
        return None
    x, y = (known.get(i) if uses[i] == 1 else None for i in step.operands)
    return (x[0], x[1] + y[1]) if x and y and x[0] == y[0] else None


def patches(step: Step, steps: Mapping[int, Step], forms: list[Form], axis: int) -> list[int]:
    """Return what the pads of a sum hold, in order along the axis; nothing if it is not whole."""
    pads, open_ = list[Step](), list(step.operands)
    while open_:
        inner = steps.get(open_.pop())
        if inner is None:
            return []
        if inner.primitive is PAD:
            pads.append(inner)
        else:
            open_ += inner.operands
    end, found = 0, list[int]()
    for pad in sorted(pads, key=lambda pad: pad.params["starts"][axis]):
        if pad.params["starts"][axis] != end:
            return []
        found += pad.operands
        end += forms[pad.operands[0]].shape[axis]
    return found


def windows(step: Step) -> tuple[Any, ...]:
    """Return which cells a pooling takes, or puts: their array, and the windows."""
    return (step.operands[1], *(step.params[key] for key in ("window", "strides", "padding")))


def are_apart(step: Step) -> bool:
    """Return whether each pixel lies under one window of a pooling at most."""
    window, strides = step.params["window"], step.params["strides"]
    return bool(window[0] <= strides[0] and window[1] <= strides[1])


def masked(step: Step, steps: dict[int, Step], takes: dict[tuple[Any, ...], int], forms: list[Form]) -> Step:
    """Exchange the mask of what is put into images for a mask of what was taken from them, if there
    it is, and if nothing else reads the images.

    A pixel that no window chose is 0 either way.
    """
    x, name = step.operands
    put = steps.get(name)
    if put is None or put.primitive is not POOL_PUT or not are_apart(put) or put.form != step.form:
        return step
    g, cell = put.operands
    taken = takes.get((x, cell, *windows(put)), name)
    if taken >= name:
        return step
    forms[name] = forms[g]
    steps[name] = step._replace(operands=(taken, g), results=(forms[g],))
    return put._replace(operands=(name, cell))


def unchanged(step: Step, steps: dict[int, Step], constants: dict[int, Any], forms: list[Form]) -> int | None:
    """Return the operand that a step's result equals in every bit, or None."""
    operands, params = step.operands, step.params
    match step.primitive.name:
        case "alias" | "copy" | "stop_gradient":
            return operands[0]
        case "reshape" | "broadcast_to" if forms[operands[0]].shape == step.form.shape:
            return operands[0]
        case "slice" | "pad" if forms[operands[0]].shape == step.form.shape and not any(params["starts"]):
            return operands[0]
        case "astype" if forms[operands[0]].dtype == step.form.dtype:
            return operands[0]
        case "transpose" if params["axes"] == tuple(range(len(params["axes"]))):
            return operands[0]
        case "multiply" if _is_everywhere(operands[0], 1, constants):
            return operands[1]
        case "multiply" | "divide" | "power" if _is_everywhere(operands[1], 1, constants):
            return operands[0]
        case "where" if _is_everywhere(operands[0], True, constants):
            return operands[1]
        case "where" if _is_everywhere(operands[0], False, constants):
            return operands[2]
        case "negative" if (inner := steps.get(operands[0])) and inner.primitive is step.primitive:
            return inner.operands[0]
    return None


def _is_everywhere(number: int, wanted: float, constants: dict[int, Any]) -> bool:
    """Return whether a value is a constant with this number in every place."""
    return number in constants and bool(np.all(elements_of(constants[number]) == wanted))
