"""Creation: arrays in the form of others, and questions about forms, answered from shapes and dtypes alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minimeta.autodiff.array import Array, ArrayLike, Value
from minimeta.autodiff.operations import arithmetic, conversions, logic, operands, reductions
from minimeta.autodiff.operations.movement import broadcast_to
from minimeta.autodiff.protocols import answers
from minimeta.errors import ShapeError

# numpy's layout arguments have no meaning: an operation chooses the layout of its result.


@answers(np.zeros_like, np.empty_like)
def zeros_like(
    a: ArrayLike, dtype: Any = None, order: str = "K", subok: bool = True, shape: Any = None, *, device: Any = None
) -> Value:
    """Zeros in the shape and dtype of an array, or in others that are given."""
    return np.zeros(*_form(a, dtype, shape))


@answers(np.ones_like)
def ones_like(
    a: ArrayLike, dtype: Any = None, order: str = "K", subok: bool = True, shape: Any = None, *, device: Any = None
) -> Value:
    """Ones in the shape and dtype of an array, or in others that are given."""
    return np.ones(*_form(a, dtype, shape))


@answers(np.full_like)
def full_like(
    a: ArrayLike,
    fill_value: ArrayLike,
    dtype: Any = None,
    order: str = "K",
    subok: bool = True,
    shape: Any = None,
    *,
    device: Any = None,
) -> Value:
    """Copies of one value in the shape and dtype of an array, or in others that are given."""
    sides, kind = _form(a, dtype, shape)
    return broadcast_to(conversions.astype(fill_value, kind), sides)


@answers(np.full)
def _full(shape: Any, fill_value: ArrayLike, dtype: Any = None, order: str = "C", **_: Any) -> Value:
    return full_like(fill_value, fill_value, dtype, shape=shape)


def _form(a: ArrayLike, dtype: Any, shape: Any) -> tuple[tuple[int, ...], np.dtype[Any]]:
    sides = operands.shape_of(a) if shape is None else tuple(operands.integers("full", "shape", shape))
    return sides, operands.dtype_of(a) if dtype is None else np.dtype(dtype)


# Created in the presence of an Array (like=): constants


for _function in (np.arange, np.empty, np.eye, np.identity, np.ones, np.tri, np.zeros):
    answers(_function)(_function)


# Forms


@answers(np.ndim)
def ndim(a: ArrayLike) -> int:
    """The number of axes."""
    return len(operands.shape_of(a))


@answers(np.size)
def size(a: ArrayLike, axis: int | Sequence[int] | None = None) -> int:
    """The number of elements, or of those along axes."""
    shape = operands.shape_of(a)
    return int(np.prod([shape[i] for i in operands.axes_of("size", axis, len(shape))], dtype=np.int64))


@answers(np.result_type)
def result_type(*arrays_and_dtypes: Any) -> np.dtype[Any]:
    """The dtype that an operation on these has."""
    return np.result_type(*map(_stand_in, arrays_and_dtypes))


@answers(np.can_cast)
def can_cast(from_: Any, to: Any, casting: Any = "safe") -> bool:
    """Whether a conversion loses nothing, by one of numpy's rules."""
    return np.can_cast(from_.dtype if isinstance(from_, Array) else from_, to, casting)


@answers(np.min_scalar_type)
def min_scalar_type(a: Any) -> np.dtype[Any]:
    """The smallest dtype that holds a number; of an array, its dtype."""
    return a.dtype if isinstance(a, Array) and a.shape else np.min_scalar_type(operands.known("min_scalar_type of", a))


@answers(np.common_type)
def common_type(*arrays: Any) -> Any:
    """The float type that holds all of some arrays."""
    return np.common_type(*map(_stand_in, arrays))


def _stand_in(x: Any) -> Any:
    """An array without elements, or a number, in place of an Array: of the same dtype, and as weak."""
    if not isinstance(x, Array):
        return x
    return x.dtype.type(0).item() if x.weak else np.empty(0, x.dtype)


answers(np.may_share_memory, np.shares_memory)(lambda a, b, max_work=None: a is b)
for _printed in (np.array_repr, np.array_str, np.array2string):
    answers(_printed)(
        lambda a, *rest, _printed=_printed, **options: _printed(operands.known("printing", a), *rest, **options)
    )


# Comparisons of whole arrays


@answers(np.isclose)
def isclose(a: ArrayLike, b: ArrayLike, rtol: Any = 1e-05, atol: Any = 1e-08, equal_nan: bool = False) -> Value:
    """Whether ``|a - b| <= atol + rtol |b|``, where both are finite; otherwise whether they are equal."""
    a, b = (conversions.astype(x, np.float64) if operands.dtype_of(x).kind != "f" else x for x in (a, b))
    bound = arithmetic.add(atol, arithmetic.multiply(rtol, arithmetic.absolute(b)))
    near = logic.less_equal(arithmetic.absolute(arithmetic.subtract(a, b)), bound)
    found = logic.logical_or(logic.logical_and(near, logic.less(arithmetic.absolute(b), np.inf)), logic.equal(a, b))
    if equal_nan:
        found = logic.logical_or(found, logic.logical_and(logic.not_equal(a, a), logic.not_equal(b, b)))
    return found


@answers(np.allclose)
def allclose(a: ArrayLike, b: ArrayLike, rtol: Any = 1e-05, atol: Any = 1e-08, equal_nan: bool = False) -> Value:
    """Whether all elements of two arrays are close, as :func:`isclose` says it."""
    return _all(isclose(a, b, rtol, atol, equal_nan))


@answers(np.array_equal)
def array_equal(a1: ArrayLike, a2: ArrayLike, equal_nan: bool = False) -> Value:
    """Whether two arrays have one shape and equal elements."""
    if operands.shape_of(a1) != operands.shape_of(a2):
        return False
    found = logic.equal(a1, a2)
    if equal_nan:
        found = logic.logical_or(found, logic.logical_and(logic.not_equal(a1, a1), logic.not_equal(a2, a2)))
    return _all(found)


@answers(np.array_equiv)
def array_equiv(a1: ArrayLike, a2: ArrayLike) -> Value:
    """Whether two arrays broadcast to one shape and have equal elements."""
    try:
        found = logic.equal(a1, a2)
    except ShapeError:
        return False
    return _all(found)


def _all(truths: Any) -> Value:
    return logic.equal(reductions.sum(logic.logical_not(truths)), 0)
