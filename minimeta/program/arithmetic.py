"""Arithmetic: how many floating-point operations one run of a program takes.

    product of m x k and k x n            2 m n k
    convolution, and its transposes       2 for each image, place, tap of the window, channel read and channel written
    elementwise function                  1 for each element of the result
    reduction, softmax, scattered sum     1 for each element that is read
    pooling                               1 for each cell of each window
    movement, conversion                  0

A fused multiply-add is two operations, and a function counts as one whatever it takes to compute: the usual way to
count, by which a time becomes a fraction of what the machine can do; a convolution that a kernel computes in fewer
multiplications than its definition has may be above the whole. Windows count whole, where they reach beyond an image
too. A region is what its body is; the body of a vmap counts for every index, and so do sums over indices.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from typing import Any

from minimeta.autodiff.graph import StraightLine


def operations(line: StraightLine) -> Counter[str]:
    """The floating-point operations of one run of a line, by the name of the primitive."""
    forms = [*line.operands, *line.constants, *(step.shape for step in line.steps)]
    found: Counter[str] = Counter()
    for step in line.steps:
        params, name = step.params, step.primitive.name
        if "line" in params:
            count = params.get("count", 1)
            for inner, of_one in operations(params["line"]).items():
                found[inner] += count * of_one
            sums = [form for form, is_sum in zip(step.shape, params.get("summed", ()), strict=False) if is_sum]
            found[name] += max(count - 1, 0) * sum(map(_size, sums))
        elif step.primitive.elementwise:
            found[name] += _size(step.shape)
        elif name in _COUNTS:
            found[name] += _COUNTS[name](step.shape, *(forms[i] for i in step.operands), **params)
    return +found


def _size(form: Any) -> int:
    return math.prod(form.shape)


def _product(y: Any, a: Any, b: Any, transpose_x: bool, transpose_y: bool) -> int:
    return 2 * _size(y) * int(a.shape[-2 if transpose_x else -1])


def _window_of(weight: Any) -> int:
    """What one place of one output channel reads."""
    return math.prod(weight.shape[:-1])


def _read(y: Any, x: Any, *positions: Any, **params: Any) -> int:
    return _size(x)


_COUNTS: dict[str, Callable[..., int]] = {
    "matmul": _product,
    "conv2d": lambda y, x, w, **_: 2 * _size(y) * _window_of(w),
    "conv2d_input": lambda x, g, w, **_: 2 * _size(g) * _window_of(w),
    "conv2d_weight": lambda w, x, g, **_: 2 * _size(g) * _window_of(w),
    "sum_pool": lambda y, x, window, **_: _size(y) * math.prod(window),
    "sum_pool_input": lambda x, y, window, **_: _size(y) * math.prod(window),
    "max_cell": lambda y, x, window, **_: _size(y) * math.prod(window),
    **dict.fromkeys(
        ("sum", "mean", "max", "min", "variance", "norm", "logsumexp", "softmax", "log_softmax", "argmax"), _read
    ),
    "scatter_add": _read,
}
