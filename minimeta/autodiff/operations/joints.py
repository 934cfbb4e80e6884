"""Joints: arrays side by side, one above the other, and cut apart; numpy's names for one move along one axis.

All are :func:`~minimeta.autodiff.operations.joining.concatenate` of operands that were given axes first, or its inverse
:func:`~minimeta.autodiff.operations.joining.split`. Elements are inserted and deleted by an index that numpy computes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minimeta.autodiff.array import Array, ArrayLike, Shape, Value
from minimeta.autodiff.operations import conversions, indexing, operands
from minimeta.autodiff.operations.arrangement import atleast_1d, atleast_2d, atleast_3d
from minimeta.autodiff.operations.joining import concatenate, split, stack
from minimeta.autodiff.operations.movement import broadcast_to, moveaxis, ravel, reshape, transpose
from minimeta.autodiff.promotion import contains_array
from minimeta.autodiff.protocols import answers
from minimeta.errors import IndexingError, ShapeError


@answers(np.vstack)
def vstack(tup: Sequence[ArrayLike], *, dtype: Any = None, casting: str = "same_kind") -> Value:
    """Join arrays along the first axis; vectors are rows."""
    return concatenate([atleast_2d(x) for x in tup], 0, dtype=dtype, casting=casting)


@answers(np.hstack)
def hstack(tup: Sequence[ArrayLike], *, dtype: Any = None, casting: str = "same_kind") -> Value:
    """Join arrays along the second axis; vectors end to end."""
    arrays = [atleast_1d(x) for x in tup]
    axis = 0 if arrays and len(operands.shape_of(arrays[0])) == 1 else 1
    return concatenate(arrays, axis, dtype=dtype, casting=casting)


@answers(np.dstack)
def dstack(tup: Sequence[ArrayLike]) -> Value:
    """Join arrays along the third axis."""
    return concatenate([atleast_3d(x) for x in tup], 2)


@answers(np.column_stack)
def column_stack(tup: Sequence[ArrayLike]) -> Value:
    """Join arrays along the second axis; vectors are columns."""
    return concatenate([x if len(operands.shape_of(x)) > 1 else transpose(atleast_2d(x)) for x in tup], 1)


@answers(np.block)
def block(arrays: Any) -> Value:
    """Join nested lists of arrays: the innermost along the last axis, the next along the one before.

    Raises
    ------
    ShapeError
        Lists are not nested equally deep, one is empty, or shapes do not fit.
    """
    depth = _depth(arrays)
    ndim = max(depth, _largest_ndim(arrays))

    def joined(part: Any, level: int) -> Value:
        if not isinstance(part, list):
            shape = operands.shape_of(part)
            return reshape(part, (1,) * (ndim - len(shape)) + shape)
        return concatenate([joined(child, level + 1) for child in part], ndim - depth + level)

    whole = joined(arrays, 0)
    return whole if isinstance(arrays, list) else conversions.copy(whole)


def _depth(part: Any) -> int:
    if isinstance(part, tuple):
        raise ShapeError("block of a tuple: nest lists, as in block([[a, b], [c, d]])")
    if not isinstance(part, list):
        return 0
    depths = {_depth(child) for child in part}
    if len(depths) != 1:
        raise ShapeError("block: every list needs an element, and all must be nested equally deep")
    return 1 + depths.pop()


def _largest_ndim(part: Any) -> int:
    return max(map(_largest_ndim, part)) if isinstance(part, list) else len(operands.shape_of(part))


@answers(np.append)
def append(arr: ArrayLike, values: ArrayLike, axis: int | None = None) -> Value:
    """Join two arrays along an axis, or end to end if it is None."""
    return concatenate([arr, values], axis)


# Cut apart


@answers(np.array_split)
def array_split(ary: ArrayLike, indices_or_sections: Any, axis: int = 0) -> list[Value]:
    """Cut an axis into so many sections, the first ones longer by 1 where they cannot be equal; or before positions."""
    if not isinstance(indices_or_sections, (int, np.integer)):
        return split(ary, indices_or_sections, axis)
    sections, shape = int(indices_or_sections), operands.shape_of(ary)
    axis = operands.axis_of("array_split", axis, len(shape))
    if sections < 1:
        raise ShapeError(f"array_split of shape {shape}: there must be sections, not {sections}")
    short, longer = divmod(shape[axis], sections)
    lengths = [short + (i < longer) for i in range(sections)]
    return split(ary, np.cumsum(lengths)[:-1].tolist(), axis)


@answers(np.vsplit)
def vsplit(ary: ArrayLike, indices_or_sections: Any) -> list[Value]:
    """Cut the first axis of an array of two or more."""
    return split(_of_axes("vsplit", ary, 2), indices_or_sections, 0)


@answers(np.hsplit)
def hsplit(ary: ArrayLike, indices_or_sections: Any) -> list[Value]:
    """Cut the second axis; of a vector, its only one."""
    ndim = len(operands.shape_of(_of_axes("hsplit", ary, 1)))
    return split(ary, indices_or_sections, 1 if ndim > 1 else 0)


@answers(np.dsplit)
def dsplit(ary: ArrayLike, indices_or_sections: Any) -> list[Value]:
    """Cut the third axis of an array of three or more."""
    return split(_of_axes("dsplit", ary, 3), indices_or_sections, 2)


def _of_axes(name: str, x: ArrayLike, least: int) -> ArrayLike:
    if len(operands.shape_of(x)) < least:
        raise ShapeError(f"{name} of shape {operands.shape_of(x)}: it needs {least} axes")
    return x


@answers(np.unstack)
def unstack(x: ArrayLike, /, *, axis: int = 0) -> tuple[Value, ...]:
    """Cut an axis into its elements, which lose it: a tuple."""
    shape = operands.shape_of(_of_axes("unstack", x, 1))
    axis = operands.axis_of("unstack", axis, len(shape))
    rest = (*shape[:axis], *shape[axis + 1 :])
    return tuple(reshape(part, rest) for part in split(x, shape[axis], axis)) if shape[axis] else ()


# Elements put in and taken out


@answers(np.delete)
def delete(arr: ArrayLike, obj: Any, axis: int | None = None) -> Value:
    """Leave out the elements, or the slices along an axis, at these positions."""
    x, axis, shape = _along("delete", arr, axis)
    return indexing.take(x, _order(np.delete, shape[axis], operands.known("delete at", obj)), axis)


@answers(np.insert)
def insert(arr: ArrayLike, obj: Any, values: ArrayLike, axis: int | None = None) -> Value:
    """Put elements, or slices along an axis, before these positions; values broadcast to what is missing.

    Raises
    ------
    ShapeError
        The values do not broadcast.
    """
    x, axis, shape = _along("insert", arr, axis)
    obj = operands.known("insert at", obj)
    new = conversions.astype(values, operands.dtype_of(x))
    new = reshape(new, (1,) * (len(shape) - len(operands.shape_of(new))) + operands.shape_of(new))
    if np.ndim(obj) == 0 and not isinstance(obj, slice):
        new = moveaxis(new, 0, axis)
        count = operands.shape_of(new)[axis]
    else:
        positions = np.arange(shape[axis])[obj] if isinstance(obj, slice) else np.asarray(obj)
        count = int(np.count_nonzero(positions)) if positions.dtype == bool else positions.size
        if count == 1:
            count = operands.shape_of(new)[axis]
    new = broadcast_to(new, (*shape[:axis], count, *shape[axis + 1 :]))
    order = _order(np.insert, shape[axis], obj, shape[axis] + np.arange(count))
    return indexing.take(concatenate([x, new], axis), order, axis)


def _along(name: str, x: ArrayLike, axis: int | None) -> tuple[ArrayLike, int, Shape]:
    """An array with the axis to work along; flattened where that is None."""
    if axis is None:
        x, axis = ravel(x), 0
    shape = operands.shape_of(x)
    return x, operands.axis_of(name, axis, len(shape)), shape


def _order(function: Any, length: int, *arguments: Any) -> Any:
    """What numpy's function makes of the positions of an axis."""
    try:
        return function(np.arange(length), *arguments)
    except (IndexError, ValueError) as error:
        raise IndexingError(f"{function.__name__} along an axis of {length} elements: {error}") from None


# Arrays from lists of Arrays, where numpy is asked for one with like=


def _array(
    object: Any,
    dtype: Any = None,
    *,
    copy: bool | None = True,
    order: str = "K",
    subok: bool = False,
    ndmin: int = 0,
    **_: Any,
) -> Value:
    """An array of nested lists of numbers and Arrays."""

    def joined(part: Any) -> Any:
        if isinstance(part, Array) or not contains_array(part):
            return part
        return stack([joined(child) for child in part])

    x = joined(object)
    shape = operands.shape_of(x)
    x = reshape(x, (1,) * (ndmin - len(shape)) + shape)
    return x if dtype is None else conversions.astype(x, dtype)


answers(np.array, np.asarray, np.asanyarray, np.ascontiguousarray, np.asfortranarray, np.require)(_array)
