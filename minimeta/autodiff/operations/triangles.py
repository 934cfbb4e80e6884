"""Diagonals and triangles of matrices.

Diagonal `k` of a matrix are the elements ``x[i, i + k]``; the triangles lie on and below it, or on and above it. In
row-major order, one element of a diagonal is followed by the next after ``columns + 1`` places, so that to write a
vector onto a diagonal is to pad it with steps, and to read one is a slice with steps.
"""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np

from minimeta.autodiff.apply import apply
from minimeta.autodiff.array import ArrayLike, Shape, Value
from minimeta.autodiff.operations import logic, operands, reductions
from minimeta.autodiff.operations.movement import PAD, SLICE, moveaxis, ravel, reshape
from minimeta.autodiff.protocols import answers
from minimeta.errors import ShapeError


@answers(np.diagonal)
def diagonal(x: ArrayLike, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Value:
    """``x[i, i + offset]`` of two axes, which become one, the last.

    Raises
    ------
    ShapeError
        There are fewer than two axes, or both are one.
    """
    shape = operands.shape_of(x)
    if len(shape) < 2:
        raise ShapeError(f"diagonal of shape {shape}: it needs two axes")
    first, second = (operands.axis_of("diagonal", axis, len(shape)) for axis in (axis1, axis2))
    if first == second:
        raise ShapeError(f"diagonal: axis1 and axis2 are both axis {first}")
    if (first, second) != (len(shape) - 2, len(shape) - 1):
        x = moveaxis(x, (first, second), (-2, -1))
    *batch, rows, columns = operands.shape_of(x)
    start, length = _place(rows, columns, offset)
    flat = reshape(x, (*batch, rows * columns))
    if not length:
        start = 0
    step = columns + 1 if length > 1 else 1
    ones = (1,) * len(batch)
    return apply(SLICE, flat, starts=(*(0 for _ in batch), start), sizes=(*batch, length), steps=(*ones, step))


def _place(rows: int, columns: int, offset: int) -> tuple[int, int]:
    """Where a diagonal begins in row-major order, and how long it is."""
    row, column = builtins.max(-offset, 0), builtins.max(offset, 0)
    return row * columns + column, builtins.max(builtins.min(rows - row, columns - column), 0)


@answers(np.trace)
def trace(x: ArrayLike, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None) -> Value:
    """The sum of a diagonal."""
    chosen = diagonal(x, offset, axis1, axis2)
    return reductions.sum(chosen if dtype is None else chosen.astype(dtype), -1)


@answers(np.diag)
def diag(v: ArrayLike, k: int = 0) -> Value:
    """A diagonal of a matrix; of a vector, the matrix that has it there, and zeros elsewhere.

    Raises
    ------
    ShapeError
        There are neither one nor two axes.
    """
    shape = operands.shape_of(v)
    if len(shape) == 2:
        return diagonal(v, k)
    if len(shape) != 1:
        raise ShapeError(f"diag of shape {shape}: it takes a vector or a matrix")
    side = shape[0] + abs(k)
    start, _ = _place(side, side, k)
    if not shape[0]:
        start = 0
    flat = apply(PAD, v, shape=(side * side,), starts=(start,), steps=(side + 1,))
    return reshape(flat, (side, side))


@answers(np.diagflat)
def diagflat(v: ArrayLike, k: int = 0) -> Value:
    """The matrix that has the elements of an array on a diagonal, and zeros elsewhere."""
    return diag(ravel(v), k)


@answers(np.tril)
def tril(x: ArrayLike, k: int = 0) -> Value:
    """The elements on and below a diagonal of the last two axes, and zeros above it."""
    rows, columns = _sides("tril", x)
    return _kept(np.tri(rows, columns, k, dtype=bool), x)


@answers(np.triu)
def triu(x: ArrayLike, k: int = 0) -> Value:
    """The elements on and above a diagonal of the last two axes, and zeros below it."""
    rows, columns = _sides("triu", x)
    return _kept(~np.tri(rows, columns, k - 1, dtype=bool), x)


def _sides(name: str, x: ArrayLike) -> Shape:
    """The last two sides; a vector is every row of a square matrix, as in numpy."""
    shape = operands.shape_of(x)
    if not shape:
        raise ShapeError(f"{name} of a scalar: it takes a matrix")
    return (shape[-2] if len(shape) > 1 else shape[0], shape[-1])


def _kept(mask: Any, x: ArrayLike) -> Value:
    return logic.where(mask, x, np.zeros((), operands.dtype_of(x)))
