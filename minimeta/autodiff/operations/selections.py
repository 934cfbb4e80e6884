"""Reductions of some of the elements: the arguments ``where``, ``initial`` and ``dtype`` of numpy's reductions.

An element that is left out takes the value that changes nothing, 0 in a sum, so its derivative is 0. An ``initial``
value is one element more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from minimeta.autodiff.array import ArrayLike, Value
from minimeta.autodiff.operations import conversions, logic, movement, operands, queries
from minimeta.autodiff.protocols import answers
from minimeta.errors import ShapeError

Reduction = Callable[..., Value]


def sums(function: Any) -> Callable[[Reduction], Reduction]:
    """Give a sum the arguments of numpy's, and answer for it."""

    def declare(core: Reduction) -> Reduction:
        def sum(
            x: ArrayLike,
            axis: Any = None,
            dtype: DTypeLike | None = None,
            *,
            keepdims: bool = False,
            initial: ArrayLike | None = None,
            where: ArrayLike | None = None,
        ) -> Value:
            if dtype is not None:
                x = conversions.astype(x, dtype)
            if where is not None:
                x = logic.where(where, x, 0)
            total = core(x, axis, keepdims=keepdims)
            if dtype is not None and total.dtype != dtype:  # Whole numbers are added as wide ones.
                total = conversions.astype(total, dtype)
            return total if initial is None else total + conversions.astype(initial, total.dtype)

        return _answering(function, core, sum)

    return declare


def extremes(function: Any, choose: Reduction) -> Callable[[Reduction], Reduction]:
    """Give a maximum or minimum the arguments of numpy's, and answer for it."""

    def declare(core: Reduction) -> Reduction:
        def extreme(
            x: ArrayLike,
            axis: Any = None,
            *,
            keepdims: bool = False,
            initial: ArrayLike | None = None,
            where: ArrayLike | None = None,
        ) -> Value:
            if initial is None:
                if where is not None:
                    raise ShapeError(f"{core.__name__} with where= and no initial=: give what no element is less than")
                return core(x, axis, keepdims=keepdims)
            shape, initial = operands.shape_of(x), conversions.astype(initial, operands.dtype_of(x))
            if where is not None:
                x = logic.where(where, x, initial)
            axes = operands.axes_of(core.__name__, axis, len(shape))
            if any(shape[i] == 0 for i in axes):
                sides = [1 if i in axes else side for i, side in enumerate(shape) if keepdims or i not in axes]
                return movement.broadcast_to(initial, sides)
            return choose(core(x, axis, keepdims=keepdims), initial)

        return _answering(function, core, extreme)

    return declare


def means(function: Any) -> Callable[[Reduction], Reduction]:
    """Give a mean the arguments of numpy's, and answer for it."""

    def declare(core: Reduction) -> Reduction:
        def mean(
            x: ArrayLike,
            axis: Any = None,
            dtype: DTypeLike | None = None,
            *,
            keepdims: bool = False,
            where: ArrayLike | None = None,
        ) -> Value:
            if dtype is not None:
                x = queries.as_float(x, dtype)
            if where is None:
                return core(x, axis, keepdims=keepdims)
            mask, found = movement.broadcast_to(where, operands.shape_of(x)), operands.dtype_of(x)
            share = conversions.astype(mask, found if found.kind == "f" else np.float64)
            return core(logic.where(mask, x, 0), axis, keepdims=keepdims) / core(share, axis, keepdims=keepdims)

        return _answering(function, core, mean)

    return declare


def _answering(function: Any, core: Reduction, full: Reduction) -> Reduction:
    full.__name__, full.__qualname__, full.__module__ = core.__name__, core.__qualname__, core.__module__
    full.__doc__ = core.__doc__
    return answers(function)(full)
