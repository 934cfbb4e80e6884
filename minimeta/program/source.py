"""A program as Python: one line of numpy for each instruction, with nothing hidden.

Most primitives are one expression. The others are called by their name, and a definition from the table below is
written above the program. What is written computes what the primitives' references compute, in the same order.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from minimeta.autodiff.calls import CALL
from minimeta.autodiff.graph import Step, StraightLine
from minimeta.errors import TracingError
from minimeta.program.executor import group_bounds

_HEADER = "import functools\n\nimport numpy as np\nfrom numpy import inf, nan\n"


def source(line: StraightLine) -> str:
    """The source of ``program(x0, x1, ...)``, a function of the operands that returns the list of outputs.

    Raises
    ------
    TracingError
        A primitive has no expression in numpy; the message names it.
    """
    body = "\n\n".join(_functions("program", line))
    for name, definition in reversed(_DEFINITIONS.items()):  # A definition stands below those that it uses.
        if f"_{name}(" in body:
            body = f"{definition}\n\n{body}"
    return f"{_HEADER}\n\n{body}"


def _functions(name: str, line: StraightLine) -> Iterator[str]:
    """The definitions of a line's regions, then its own."""
    names = [f"x{i}" for i in range(len(line.operands))]
    rows = ['@np.errstate(all="ignore")', f"def {name}({', '.join(names)}):"]
    for value in line.constants:
        names.append(f"c{len(names)}")
        rows.append(f"    {names[-1]} = {_literal(value)}")
    for step in line.steps:
        target = f"v{len(names)}"
        if step.params.get("count") == 0:  # A vmap of no tasks has nothing to stack.
            zeros = [f"np.zeros({form.shape}, {form.dtype.name!r})" for form in step.shape]
            expression = f"[{', '.join(zeros)}]"
        elif "line" in step.params:
            region = f"{name}_{step.primitive.name}_{len(names)}"
            yield from _functions(region, step.params["line"])
            operands = ", ".join(names[i] for i in step.operands)
            expression = f"{region}({operands})"
            if "mapped" in step.params:
                ways = ", ".join(f"{key}={step.params[key]}" for key in ("mapped", "summed"))
                expression = f"_vmap({region}, [{operands}], groups={group_bounds(step.params['count'])}, {ways})"
        elif step.primitive is CALL:
            expression = _call(step.params, [names[i] for i in step.operands])
        else:
            expression = _expression(step, [names[i] for i in step.operands])
        rows.append(f"    {target} = {expression}" + (f"  # {step.line}" if step.line else ""))
        names.append(target)
    rows.append(f"    return [{', '.join(names[i] for i in line.outputs)}]\n")
    yield "\n".join(rows)


def _literal(value: Any) -> str:
    """A constant, written so that it is read back to the bit."""
    if value.size and len(set(value.ravel().view(f"V{value.itemsize}").tolist())) == 1:
        return f"np.full({value.shape}, {value.flat[0].item()}, {value.dtype.name!r})"
    return f"np.array({value.ravel().tolist()}, {value.dtype.name!r}).reshape({value.shape})"


def _expression(step: Step, operands: list[str]) -> str:
    name = step.primitive.name
    params = {key: repr(value) for key, value in step.params.items()}
    if name in _EXPRESSIONS:
        return _EXPRESSIONS[name].format(
            *operands, operands=", ".join(operands), rest=", ".join(operands[1:]), **params
        )
    if name in _DEFINITIONS:
        return f"_{name}({', '.join([*operands, *(f'{key}={value}' for key, value in params.items())])})"
    raise TracingError(f"to_python: {name} has no expression in numpy")


def _call(params: dict[str, Any], operands: list[str]) -> str:
    """A call of a function of numpy's, whose arguments and results are arrays."""
    function, arguments, output = params["function"], params["arguments"], params["output"]
    name = f"{getattr(function, '__module__', 'numpy')}.{getattr(function, '__name__', '')}"
    found: Any = np
    for part in name.split(".")[1:]:
        found = getattr(found, part, None)
    if found is not function or any(child.children for child in (*arguments.children, *output.children)):
        raise TracingError(f"to_python: {name} is called on values, and is not a function of numpy's and arrays alone")
    expression = f"np.{name.partition('.')[2]}({', '.join(operands)})"
    return f"[{expression}]" if output.kind == "leaf" else expression


_FUNCTIONS = (
    *("square", "sqrt", "exp", "expm1", "log", "log1p", "sin", "cos", "tan", "tanh", "sign", "power", "where"),
    *("floor_divide", "remainder", "bitwise_and", "bitwise_or", "bitwise_xor"),
)
_OPERATORS = {
    **{"add": "+", "subtract": "-", "multiply": "*", "divide": "/", "logical_and": "&", "logical_or": "|"},
    **{"equal": "==", "not_equal": "!=", "less": "<", "less_equal": "<=", "greater": ">", "greater_equal": ">="},
}

_EXPRESSIONS = {
    **{name: f"np.{name}({{operands}})" for name in _FUNCTIONS},
    **{name: f"{{0}} {symbol} {{1}}" for name, symbol in _OPERATORS.items()},
    **{name: f"np.{name}({{0}}, {{axes}}, keepdims={{keepdims}})" for name in ("sum", "max", "min")},
    "absolute": "np.abs({0})",
    "alias": "{0}",
    "argmax": "np.argmax({0}, {axis}, keepdims={keepdims})",
    "astype": "{0}.astype({dtype})",
    "broadcast_to": "np.broadcast_to({0}, {shape})",
    "concatenate": "np.concatenate([{operands}], {axis})",
    "copy": "{0}.copy()",
    "gate": "np.where({0} > 0, {1}, 0)",
    "gather": "{0}[({rest},)]",
    "logical_not": "~{0}",
    "negative": "-{0}",
    "project": "{0}[{place}]",
    "reciprocal": "1 / {0}",
    "relu": "np.where(({0} > 0) | np.isnan({0}), {0}, 0)",
    "reshape": "{0}.reshape({shape})",
    "sigmoid_slope": "{1} * (np.exp(-np.abs({0})) / np.square(1 + np.exp(-np.abs({0}))))",
    "stop_gradient": "{0}",
    "tanh_slope": "{1} * (4 * np.exp(-2 * np.abs({0})) / np.square(1 + np.exp(-2 * np.abs({0}))))",
    "transpose": "{0}.transpose({axes})",
}

_DEFINITIONS = {
    "vmap": """\
def _vmap(body, operands, groups, mapped, summed):
    tasks = [body(*(x[i] if each else x for x, each in zip(operands, mapped))) for i in range(groups[-1])]

    def total(values):
        return functools.reduce(np.add, values)

    def grouped(values):
        return [total(values[first:last]) for first, last in zip(groups, groups[1:])]

    return [total(grouped(values)) if add else np.stack(values) for values, add in zip(zip(*tasks), summed)]
""",
    "maximum": """\
def _maximum(x, y):
    return np.where((x >= y) | np.isnan(x), x, y)
""",
    "minimum": """\
def _minimum(x, y):
    return np.where((x <= y) | np.isnan(x), x, y)
""",
    "clip": """\
def _clip(x, low, high):
    return _minimum(_maximum(x, low), high)
""",
    "sigmoid": """\
def _sigmoid(x):
    decay = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + decay), decay / (1 + decay))
""",
    "softplus": """\
def _softplus(x):
    return np.where(x > 0, x, 0) + np.log1p(np.exp(-np.abs(x)))
""",
    "count": """\
def _count(x, axes):
    return int(np.prod([x.shape[axis] for axis in axes]))
""",
    "mean": """\
def _mean(x, axes, keepdims):
    return np.sum(x, axes, keepdims=keepdims) / x.dtype.type(_count(x, axes))
""",
    "variance": """\
def _variance(x, axes, keepdims, correction):
    deviation = x - _mean(x, axes, True)
    total = np.sum(deviation * deviation, axes, keepdims=keepdims)
    return total / x.dtype.type(max(_count(x, axes) - correction, 0))
""",
    "norm": """\
def _norm(x, axes, keepdims):
    scale = np.max(np.abs(x), axes, keepdims=True, initial=0)
    scale = np.where((scale == 0) | ~np.isfinite(scale), 1, scale)
    length = np.sqrt(np.sum((x / scale) ** 2, axes, keepdims=keepdims))
    return length * (scale if keepdims else np.squeeze(scale, axes))
""",
    "logsumexp": """\
def _logsumexp(x, axes, keepdims):
    largest = np.max(x, axes, keepdims=True, initial=-inf)
    shift = np.where(np.isfinite(largest), largest, 0)
    total = np.log(np.sum(np.exp(x - shift), axes, keepdims=keepdims))
    return total + (shift if keepdims else np.squeeze(shift, axes))
""",
    "below_largest": """\
def _below_largest(x, axes):
    largest = np.max(x, axes, keepdims=True, initial=-inf)
    return np.where(x == largest, 0, x - largest)
""",
    "softmax": """\
def _softmax(x, axes):
    weights = np.exp(_below_largest(x, axes))
    return weights / np.sum(weights, axes, keepdims=True)
""",
    "log_softmax": """\
def _log_softmax(x, axes):
    shifted = _below_largest(x, axes)
    return shifted - np.log(np.sum(np.exp(shifted), axes, keepdims=True))
""",
    "places": """\
def _places(starts, sizes, steps):
    return np.ix_(*(start + step * np.arange(size) for start, size, step in zip(starts, sizes, steps)))
""",
    "slice": """\
def _slice(x, starts, sizes, steps):
    return x[_places(starts, sizes, steps)]
""",
    "pad": """\
def _pad(x, shape, starts, steps):
    y = np.zeros(shape, x.dtype)
    y[_places(starts, x.shape, steps)] = x
    return y
""",
    "scatter_add": """\
def _scatter_add(updates, *positions, shape):
    y = np.zeros(shape, updates.dtype)
    np.add.at(y, positions, updates)
    return y
""",
    "matmul": """\
def _matmul(x, y, transpose_x, transpose_y):
    x = np.swapaxes(x, -1, -2) if transpose_x else x
    y = np.swapaxes(y, -1, -2) if transpose_y else y
    return np.matmul(x, y)
""",
    "margins": """\
def _margins(x, padding, value=0):
    above, below, left, right = padding
    return np.pad(x, ((0, 0), (above, below), (left, right), (0, 0)), constant_values=value)
""",
    "cells": """\
def _cells(x, window, strides, rows, columns):
    for i in range(window[0]):
        for j in range(window[1]):
            down = slice(i, i + (rows - 1) * strides[0] + 1, strides[0])
            right = slice(j, j + (columns - 1) * strides[1] + 1, strides[1])
            yield (i, j), x[:, down, right]
""",
    "results": """\
def _results(x, window, strides):
    return tuple((x.shape[1 + i] - window[i]) // strides[i] + 1 for i in range(2))
""",
    "max_cell": """\
def _max_cell(x, window, strides, padding):
    def under(values, outside):
        padded = _margins(values, padding, outside)
        return np.stack([cell for _, cell in _cells(padded, window, strides, *_results(padded, window, strides))])

    values, on_image = under(x, -inf), under(np.ones(x.shape, bool), False)
    largest = (values == values.max(0)) | np.isnan(values)
    return np.argmax(largest & on_image, axis=0).astype(np.uint8 if len(values) <= 256 else np.uint32)
""",
    "pool_take": """\
def _pool_take(x, cell, window, strides, padding):
    y = np.zeros(cell.shape, x.dtype)
    for number, (_, under) in enumerate(_cells(_margins(x, padding), window, strides, *cell.shape[1:3])):
        np.copyto(y, under, where=cell == number)
    return y
""",
    "pool_put": """\
def _pool_put(g, cell, window, strides, padding, size):
    padded = _margins(np.zeros((g.shape[0], *size, g.shape[3]), g.dtype), padding)
    for number, (_, under) in enumerate(_cells(padded, window, strides, *g.shape[1:3])):
        np.add(under, g, out=under, where=cell == number)
    return padded[:, padding[0] : padding[0] + size[0], padding[2] : padding[2] + size[1]]
""",
    "sum_pool": """\
def _sum_pool(x, window, strides, padding):
    padded = _margins(x, padding)
    return sum(cell for _, cell in _cells(padded, window, strides, *_results(padded, window, strides)))
""",
    "sum_pool_input": """\
def _sum_pool_input(g, window, strides, padding, size):
    padded = _margins(np.zeros((g.shape[0], *size, g.shape[3]), g.dtype), padding)
    for _, cell in _cells(padded, window, strides, *g.shape[1:3]):
        cell[...] += g
    return padded[:, padding[0] : padding[0] + size[0], padding[2] : padding[2] + size[1]]
""",
    "conv2d": """\
def _conv2d(x, w, strides, padding):
    padded = _margins(x, padding)
    return sum(cell @ w[i] for i, cell in _cells(padded, w.shape, strides, *_results(padded, w.shape, strides)))
""",
    "conv2d_input": """\
def _conv2d_input(g, w, strides, padding, size):
    down, right = ((w.shape[i] - 1) // strides[i] + 1 for i in range(2))
    g = _margins(g, (down, down, right, right))
    x = np.zeros((len(g), *((g.shape[1 + i] - 1) * strides[i] + w.shape[i] for i in range(2)), w.shape[2]), g.dtype)
    for i, cell in _cells(x, w.shape, strides, *g.shape[1:3]):
        cell[...] += g @ w[i].T
    top, left = padding[0] + down * strides[0], padding[2] + right * strides[1]
    return x[:, top : top + size[0], left : left + size[1]]
""",
    "conv2d_weight": """\
def _conv2d_weight(x, g, strides, padding, size):
    w = np.zeros((*size, x.shape[3], g.shape[3]), x.dtype)
    for i, cell in _cells(_margins(x, padding), size, strides, *g.shape[1:3]):
        w[i] = np.tensordot(cell, g, axes=((0, 1, 2), (0, 1, 2)))
    return w
""",
}
