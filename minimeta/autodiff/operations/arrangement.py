"""Arrangement: elements repeated, rolled and turned, and axes added.

All are composed of the moves of :mod:`~minimeta.autodiff.operations.movement`, and so are linear with the transposed
move as their derivative: the cotangents of a repeated element are added, and what was rolled is rolled back.
"""

from __future__ import annotations

import builtins
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from minimeta.autodiff.apply import apply
from minimeta.autodiff.array import Array, ArrayLike, Value
from minimeta.autodiff.operations import conversions, indexing, joining, operands
from minimeta.autodiff.operations.conversions import copy
from minimeta.autodiff.operations.movement import (
    SLICE,
    broadcast_to,
    expand_dims,
    flip,
    moveaxis,
    ravel,
    reshape,
    swapaxes,
    transpose,
)
from minimeta.autodiff.protocols import answers
from minimeta.errors import ShapeError

Axes = int | Sequence[int] | None


@answers(np.tile)
def tile(x: ArrayLike, reps: int | Sequence[int]) -> Value:
    """Repeat the whole array this often along each axis; axes that it lacks are added in front."""
    times = operands.integers("tile", "reps", reps)
    shape = list(operands.shape_of(x))
    times = [1] * (len(shape) - len(times)) + times
    shape = [1] * (len(times) - len(shape)) + shape
    if builtins.any(n < 0 for n in times):
        raise ShapeError(f"tile of shape {tuple(shape)} by {tuple(times)}: there are no negative numbers of copies")
    pairs = [side for pair in zip(times, shape, strict=True) for side in pair]
    apart = reshape(x, [k for side in shape for k in (1, side)])
    return copy(reshape(broadcast_to(apart, pairs), [n * side for n, side in zip(times, shape, strict=True)]))


@answers(np.lib.stride_tricks.sliding_window_view)
def _sliding_window_view(
    x: ArrayLike, window_shape: Any, axis: Axes = None, *, subok: bool = False, writeable: bool = False
) -> Value:
    """All windows of these sides, ``y[i, ..., j] = x[i + j, ...]``; the axes of the windows are the last ones.

    Raises
    ------
    ShapeError
        There are not as many sides as axes, or a side is negative or longer than its axis.
    """
    ndim = len(operands.shape_of(x))
    sides = operands.integers("sliding_window_view", "window_shape", window_shape)
    axes = range(ndim) if axis is None else operands.integers("sliding_window_view", "axis", axis)
    if len(sides) != len(axes):
        raise ShapeError(
            f"sliding_window_view: window_shape={window_shape!r} needs a side for each of {len(axes)} axes"
        )
    places = [operands.axis_of("sliding_window_view", place, ndim) for place in axes]
    for place, side in zip(places, sides, strict=True):
        shape = operands.shape_of(x)
        if not 0 <= side <= shape[place]:
            raise ShapeError(f"sliding_window_view of shape {shape}: a window of {side} on axis {place} does not fit")
        starts = np.arange(shape[place] - side + 1)[:, None]
        windows = indexing.take(moveaxis(x, place, 0), starts + np.arange(side), 0)
        if isinstance(windows, Array):
            windows.shown = True  # In numpy they have the memory of x (sharing.py).
        x = moveaxis(moveaxis(windows, 1, -1), 0, place)
    return x


@answers(np.repeat)
def repeat(x: ArrayLike, repeats: Any, axis: int | None = None) -> Value:
    """Repeat each element, or each slice along an axis, so many times; a number for all, or one for each.

    Raises
    ------
    ShapeError
        There are neither one number nor as many as the axis is long.
    """
    if axis is None:
        return repeat(ravel(x), repeats, 0)
    shape = operands.shape_of(x)
    axis = operands.axis_of("repeat", axis, len(shape))
    counts = np.asarray(operands.known("repeat by", repeats))
    if counts.size == 1 and (n := int(counts.reshape(()))) >= 0:
        apart = expand_dims(x, axis + 1)
        copies = broadcast_to(apart, (*shape[: axis + 1], n, *shape[axis + 1 :]))
        return copy(reshape(copies, (*shape[:axis], n * shape[axis], *shape[axis + 1 :])))
    if counts.shape != (shape[axis],) or (counts < 0).any():
        raise ShapeError(
            f"repeat of shape {shape} along axis {axis}: repeats of shape {counts.shape} are not one number, not "
            f"negative, or one for each of {shape[axis]}"
        )
    return indexing.take(x, np.repeat(np.arange(shape[axis]), counts), axis)


@answers(np.roll)
def roll(x: ArrayLike, shift: Any, axis: Axes = None) -> Value:
    """Move all elements along an axis, those that fall off at its end coming back at its beginning.

    Raises
    ------
    ShapeError
        The numbers of shifts and of axes do not broadcast.
    """
    given, shape = x, operands.shape_of(x)
    if axis is None:
        return reshape(roll(ravel(x), shift, 0), shape)
    shifts, axes = operands.row_of(shift), operands.integers("roll", "axis", axis)
    try:
        pairs = np.broadcast(shifts, axes)
    except ValueError:
        raise ShapeError(f"roll by {shift} along axes {axis}: there is no shift for each axis") from None
    for by, along in pairs:
        place = operands.axis_of("roll", int(along), len(shape))
        if shape[place] and (by := int(by) % shape[place]):
            last, first = (
                operands.along(place, shape, *part) for part in ((shape[place] - by, by), (0, shape[place] - by))
            )
            x = joining.concatenate([apply(SLICE, x, **part) for part in (last, first)], place)
    return copy(x) if x is given else x


def _fresh(x: Any) -> Value:
    """What no operation has touched; a numpy array is copied."""
    return x if isinstance(x, Array) else np.array(x)


@answers(np.rot90)
def rot90(x: ArrayLike, k: int = 1, axes: Sequence[int] = (0, 1)) -> Value:
    """Turn the plane of two axes by `k` right angles, from the first towards the second."""
    first, second = axes
    if first == second or abs(first - second) == np.ndim(x):
        raise ShapeError(f"rot90 with axes={tuple(axes)}: one axis has no plane; name two")
    match k % 4:
        case 0:
            return _fresh(x)
        case 1:
            return swapaxes(flip(x, second), first, second)
        case 2:
            return flip(x, (first, second))
        case _:
            return flip(swapaxes(x, first, second), second)


@answers(np.fliplr)
def fliplr(x: ArrayLike) -> Value:
    """Reverse the order along axis 1."""
    return flip(x, 1)


@answers(np.flipud)
def flipud(x: ArrayLike) -> Value:
    """Reverse the order along axis 0."""
    return flip(x, 0)


@answers(np.rollaxis)
def rollaxis(x: ArrayLike, axis: int, start: int = 0) -> Value:
    """Move an axis to where it lies before the axis `start`; :func:`moveaxis` says the same more plainly."""
    ndim = len(operands.shape_of(x))
    axis = operands.axis_of("rollaxis", axis, ndim)
    place = start + ndim if start < 0 else start
    if not 0 <= place <= ndim:
        raise ShapeError(f"rollaxis: start={start} of an array of {ndim} axes")
    return moveaxis(x, axis, place - (axis < place))


@answers(np.matrix_transpose, np.linalg.matrix_transpose)
def matrix_transpose(x: ArrayLike) -> Value:
    """Exchange the last two axes."""
    if len(operands.shape_of(x)) < 2:
        raise ShapeError(f"matrix_transpose of shape {operands.shape_of(x)}: it needs two axes")
    return swapaxes(x, -1, -2)


# More axes


@answers(np.atleast_1d)
def atleast_1d(*arrays: ArrayLike) -> Value:
    """An array of at least one axis; of several arrays, a tuple of such."""
    return _each(arrays, lambda x, shape: reshape(x, shape or (1,)))


@answers(np.atleast_2d)
def atleast_2d(*arrays: ArrayLike) -> Value:
    """An array of at least two axes, new ones in front; of several arrays, a tuple of such."""
    return _each(arrays, lambda x, shape: reshape(x, (1,) * (2 - len(shape)) + shape))


@answers(np.atleast_3d)
def atleast_3d(*arrays: ArrayLike) -> Value:
    """An array of at least three axes, of a matrix the new one last; of several arrays, a tuple of such."""
    front = {0: (1, 1), 1: (1,)}
    return _each(arrays, lambda x, shape: reshape(x, front.get(len(shape), ()) + shape + (1,) * (len(shape) < 3)))


def _each(arrays: Sequence[ArrayLike], function: Any) -> Value:
    results = tuple(function(x, operands.shape_of(x)) for x in arrays)
    return results[0] if len(results) == 1 else results


@answers(np.broadcast_arrays)
def broadcast_arrays(*arrays: ArrayLike, subok: bool = False) -> Value:
    """Bring arrays to the shape that all broadcast to: a tuple."""
    shapes = [operands.shape_of(x) for x in arrays]
    try:
        shape = np.broadcast_shapes(*shapes)
    except ValueError:
        raise ShapeError(f"broadcast_arrays of shapes {', '.join(map(str, shapes))}: they do not broadcast") from None
    return tuple(broadcast_to(x, shape) for x in arrays)


@answers(np.meshgrid)
def meshgrid(*xi: ArrayLike, copy: bool = True, sparse: bool = False, indexing: str = "xy") -> Value:
    """The coordinates of a grid: for each vector an array that varies along the vector's own axis.

    Parameters
    ----------
    *xi
        Vectors.
    copy
        Whether the arrays are copies, which an in-place operator may change, or views of the vectors.
    sparse
        Whether sides along which nothing varies are left at 1.
    indexing
        ``"ij"``: vector `i` varies along axis `i`; ``"xy"``: the first two axes are exchanged.

    Raises
    ------
    ShapeError
        Another order.
    """
    if indexing not in ("xy", "ij"):
        raise ShapeError(f"meshgrid with indexing={indexing!r}: it is 'xy' or 'ij'")
    vectors = [ravel(x) for x in xi]
    lengths = [operands.shape_of(v)[0] for v in vectors]
    places = list(range(len(vectors)))
    if indexing == "xy" and len(vectors) > 1:
        places[:2] = 1, 0
    grid = [0] * len(vectors)
    for place, length in zip(places, lengths, strict=True):
        grid[place] = length
    thin = [
        reshape(v, [n if i == place else 1 for i in range(len(grid))])
        for v, n, place in zip(vectors, lengths, places, strict=True)
    ]
    found = thin if sparse else [broadcast_to(v, grid) for v in thin]
    return tuple(map(conversions.copy, found) if copy else found)


@answers(np.resize)
def resize(x: ArrayLike, new_shape: int | Sequence[int]) -> Value:
    """An array of this shape with the elements in row-major order, repeated as often as it takes."""
    shape = tuple(operands.integers("resize", "new_shape", new_shape))
    if builtins.any(side < 0 for side in shape):
        raise ShapeError(f"resize to {shape}: there are no negative sides")
    flat, size = ravel(x), math.prod(operands.shape_of(x))
    if not size:
        return np.zeros(shape, operands.dtype_of(x))
    return indexing.take(flat, np.resize(np.arange(size), shape), 0)


@answers(np.apply_along_axis)
def apply_along_axis(func1d: Any, axis: int, arr: ArrayLike, *args: Any, **kwargs: Any) -> Value:
    """Apply a function of vectors to each vector along an axis, one after the other.

    What it returns stands where the axis was. A function that takes an axis of its own is quicker, and so is ``vmap``.

    Raises
    ------
    ShapeError
        There are no vectors.
    """
    shape = operands.shape_of(arr)
    axis = operands.axis_of("apply_along_axis", axis, len(shape))
    rest = (*shape[:axis], *shape[axis + 1 :])
    if 0 in rest:
        raise ShapeError(f"apply_along_axis of shape {shape}: there are no vectors along axis {axis}")
    rows = reshape(moveaxis(arr, axis, -1), (-1, shape[axis]))
    results = joining.stack([func1d(row, *args, **kwargs) for row in rows])
    inner = operands.shape_of(results)[1:]
    whole = reshape(results, (*rest, *inner))
    before, after = range(axis), range(axis, len(rest))
    return transpose(whole, (*before, *range(len(rest), len(rest) + len(inner)), *after))


@answers(np.apply_over_axes)
def apply_over_axes(func: Any, a: ArrayLike, axes: Axes) -> Value:
    """Apply a reduction ``func(x, axis)`` over several axes, one after the other, each left at length 1."""
    ndim = len(operands.shape_of(a))
    for axis in operands.row_of(axes):
        place = operands.axis_of("apply_over_axes", axis, ndim)
        reduced = func(a, place)
        a = reduced if len(operands.shape_of(reduced)) == ndim else expand_dims(reduced, place)
    return a
