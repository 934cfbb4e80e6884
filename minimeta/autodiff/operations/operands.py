"""Operands: their shapes, dtypes and axes, as the operations' public functions normalise them."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from minimeta.autodiff.array import Array, ArrayLike, Form, Shape
from minimeta.autodiff.operations import conversions
from minimeta.autodiff.promotion import constant, fixed
from minimeta.autodiff.protocols import answers
from minimeta.errors import AxisError, DtypeError, ShapeError, TracingError


@answers(np.shape)
def shape_of(x: ArrayLike) -> Shape:
    """Shape of an operand that may also be a Python scalar or a nested list."""
    shape: Shape = x.value.shape if type(x) is Array else x.shape if type(x) is np.ndarray else constant(x).shape
    return shape


def row_of(numbers: Any) -> tuple[Any, ...]:
    """One number or a sequence of them, as a tuple."""
    is_row = isinstance(numbers, (tuple, list)) or (isinstance(numbers, np.ndarray) and numbers.ndim > 0)
    return tuple(numbers) if is_row else (numbers,)


def integer(name: str, argument: str, number: Any) -> int:
    """An integer of Python's: a side, a count or an axis that a user gave.

    Raises
    ------
    DtypeError
        It is a float, a truth value or a text, of which ``int`` would make a number in silence.
    """
    if type(number) is int:
        return number
    try:
        if not isinstance(number, bool):
            return operator.index(number)
    except TypeError:
        pass
    raise DtypeError(f"{name} with {argument}={number!r}: an integer is needed, not a {type(number).__name__}")


def integers(name: str, argument: str, numbers: Any) -> list[int]:
    """The integers of one number or of a sequence of them."""
    return [integer(name, argument, number) for number in row_of(numbers)]


def axis_of(name: str, axis: Any, ndim: int) -> int:
    """An axis counted from the front.

    Raises
    ------
    AxisError
        It is out of range.
    DtypeError
        It is no integer.
    """
    place = integer(name, "axis", axis)
    if not -ndim <= place < ndim:
        raise AxisError(f"{name}: axis {place} of an array of {ndim} axes; it must be in [{-ndim}, {ndim})")
    return place % ndim


def axes_of(name: str, axis: int | Sequence[int] | None, ndim: int) -> tuple[int, ...]:
    """Axes counted from the front, in increasing order; None means all.

    Raises
    ------
    ShapeError
        One is out of range, or there twice.
    DtypeError
        One is no integer.
    """
    return _axes_of(name, None if axis is None else tuple(integers(name, "axis", axis)), ndim)


@lru_cache(maxsize=1024)
def _axes_of(name: str, axis: tuple[int, ...] | None, ndim: int) -> tuple[int, ...]:
    if axis is None:
        return tuple(range(ndim))
    axes = sorted(axis_of(name, a, ndim) for a in axis)
    if len(set(axes)) != len(axes):
        raise ShapeError(f"{name}: axis={axis} names an axis twice")
    return tuple(axes)


def along(axis: int, shape: Shape, start: int, size: int, step: int = 1) -> dict[str, Shape]:
    """The parameters of a slice of one axis."""

    def replaced(numbers: Shape, number: int) -> Shape:
        return (*numbers[:axis], number, *numbers[axis + 1 :])

    zeros, ones = (0,) * len(shape), (1,) * len(shape)
    return {"starts": replaced(zeros, start), "sizes": replaced(shape, size), "steps": replaced(ones, step)}


def dtype_of(x: Any) -> np.dtype[Any]:
    """Return the dtype of an operand that may also be a Python scalar or a nested list."""
    return x.value.dtype if type(x) is Array else x.dtype if type(x) is np.ndarray else fixed(x, False).dtype


def are_truths(*operands: Any) -> bool:
    """Return whether all operands are truth values."""
    return all([dtype_of(x).kind == "b" for x in operands])


def same_dtype(name: str, x: ArrayLike, y: ArrayLike) -> tuple[ArrayLike, ArrayLike]:
    """Both factors in numpy's common dtype."""
    first, second = dtype_of(x), dtype_of(y)
    if first is second and first.kind == "f":
        return x, y
    common = np.result_type(first, second)
    if common.kind != "f":
        raise DtypeError(f"{name} of {first.name} and {second.name}: it needs float32 or float64; convert with astype")
    x = x if first == common else conversions.astype(x, common)
    return x, y if second == common else conversions.astype(y, common)


def known(name: str, x: Any) -> Any:
    """The value of an operand that decides on a shape, or has no derivative; a tree of such, too.

    Raises
    ------
    TracingError
        It is not known, since a function is being traced.
    """
    if isinstance(x, (tuple, list)):
        return type(x)(known(name, child) for child in x)
    if not isinstance(x, Array):
        return x
    if isinstance(x.value, Form):
        raise TracingError(
            f"{name} an Array of shape {x.shape} while tracing (vmap, compile): its value is not known, and the "
            "shape of the result would depend on values. Compute it outside and pass it in, or keep the shape by "
            "where(mask, x, 0.0)"
        )
    return x.value
