"""Comparisons, logic and bits, whose results are constants to every derivative, and ``where``, which chooses by one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minimeta.autodiff.array import ArrayLike, Value
from minimeta.autodiff.definition import Binary
from minimeta.autodiff.operations import operands
from minimeta.autodiff.operations.elementwise import binary, elementwise, truth_values, unary
from minimeta.autodiff.protocols import answers
from minimeta.errors import ShapeError


def _comparison(answers: Any) -> Callable[[Callable[[Any, Any], Any]], Binary]:
    # A Python integer may be negative, which numpy knows when it is compared with unsigned ones.
    promotes = {"i": "int64", "u": "int64", "uint64": "uint64"}
    return binary(shape=truth_values, accepts="biuf", promotes=promotes, answers=answers)


@_comparison(np.equal)
def equal(x: Any, y: Any) -> Any:
    """``x == y``."""
    return np.equal(np.real(x), np.real(y))


@_comparison(np.not_equal)
def not_equal(x: Any, y: Any) -> Any:
    """``x != y``."""
    return np.not_equal(np.real(x), np.real(y))


@_comparison(np.less)
def less(x: Any, y: Any) -> Any:
    """``x < y``."""
    return np.less(np.real(x), np.real(y))


@_comparison(np.less_equal)
def less_equal(x: Any, y: Any) -> Any:
    """``x <= y``."""
    return np.less_equal(np.real(x), np.real(y))


@_comparison(np.greater)
def greater(x: Any, y: Any) -> Any:
    """``x > y``."""
    return np.greater(np.real(x), np.real(y))


@_comparison(np.greater_equal)
def greater_equal(x: Any, y: Any) -> Any:
    """``x >= y``."""
    return np.greater_equal(np.real(x), np.real(y))


# Truth values


@answers(np.logical_and)
def logical_and(x: ArrayLike, y: ArrayLike) -> Value:
    """Whether both hold; a number does where it is not 0."""
    return _logical_and(_truth(x), _truth(y))


@answers(np.logical_or)
def logical_or(x: ArrayLike, y: ArrayLike) -> Value:
    """Whether either holds; a number does where it is not 0."""
    return _logical_or(_truth(x), _truth(y))


@answers(np.logical_xor)
def logical_xor(x: ArrayLike, y: ArrayLike) -> Value:
    """Whether one of them holds; a number does where it is not 0."""
    return not_equal(_truth(x), _truth(y))


@answers(np.logical_not)
def logical_not(x: ArrayLike) -> Value:
    """Whether it does not hold; a number holds where it is not 0."""
    return _logical_not(_truth(x))


def _truth(x: ArrayLike) -> ArrayLike | Value:
    return x if operands.are_truths(x) else not_equal(x, 0)


@binary(domains=("bool", "bool"), shape=truth_values, accepts="b")
def _logical_and(x: Any, y: Any) -> Any:
    return np.logical_and(x, y)


@binary(domains=("bool", "bool"), shape=truth_values, accepts="b")
def _logical_or(x: Any, y: Any) -> Any:
    return np.logical_or(x, y)


@unary(None, "bool", shape=truth_values, accepts="b")
def _logical_not(x: Any) -> Any:
    return np.logical_not(x)


# Bits of integers; truth values have one


@answers(np.bitwise_and)
def bitwise_and(x: ArrayLike, y: ArrayLike) -> Value:
    """``x & y`` of integers or truth values."""
    return _logical_and(x, y) if operands.are_truths(x, y) else _bitwise_and(x, y)


@answers(np.bitwise_or)
def bitwise_or(x: ArrayLike, y: ArrayLike) -> Value:
    """``x | y`` of integers or truth values."""
    return _logical_or(x, y) if operands.are_truths(x, y) else _bitwise_or(x, y)


@answers(np.bitwise_xor)
def bitwise_xor(x: ArrayLike, y: ArrayLike) -> Value:
    """``x ^ y`` of integers or truth values."""
    return not_equal(x, y) if operands.are_truths(x, y) else _bitwise_xor(x, y)


@answers(np.invert)
def bitwise_not(x: ArrayLike) -> Value:
    """``~x`` of integers or truth values."""
    if operands.are_truths(x):
        return _logical_not(x)
    dtype = operands.dtype_of(x)
    return bitwise_xor(x, int(np.iinfo(dtype).max) if dtype.kind == "u" else -1)


@binary(domains=("whole", "whole"), accepts="iu")
def _bitwise_and(x: Any, y: Any) -> Any:
    return np.bitwise_and(x, y)


@binary(domains=("whole", "whole"), accepts="iu")
def _bitwise_or(x: Any, y: Any) -> Any:
    return np.bitwise_or(x, y)


@binary(domains=("whole", "whole"), accepts="iu")
def _bitwise_xor(x: Any, y: Any) -> Any:
    return np.bitwise_xor(x, y)


# Choices


@answers(np.where)
def where(condition: ArrayLike, x: ArrayLike | None = None, y: ArrayLike | None = None, /) -> Value:
    """``x`` where the condition holds, otherwise ``y``; without both, the positions where it holds.

    A condition that is no bool holds where it is not 0.

    The side that is not chosen has no derivative, at every order, though its own be infinite or
    NaN: that of ``where(x > 0, log(x), 0)`` is 0 at ``x = 0`` (:mod:`minimeta.autodiff.masks`).
    """
    if x is None and y is None:
        return np.nonzero(operands.known("where(condition) of", condition))
    if x is None or y is None:
        raise ShapeError("where: it takes both x and y, or neither")
    return _where(_truth(condition), x, y)


@elementwise(
    (None, lambda g, z, c, x, y: where(c, g, 0.0), lambda g, z, c, x, y: where(c, 0.0, g)),
    ("bool", "real", "real"),
    accepts="biuf",
    unpromoted=1,
    scalar=False,
    linear=True,
    exact=True,
    chosen=(None, lambda g, z, c, x, y: c, lambda g, z, c, x, y: logical_not(c)),
)
def _where(condition: Any, x: Any, y: Any) -> Any:
    return np.where(condition, x, y)
