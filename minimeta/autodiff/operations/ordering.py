"""Ordering: sorted arrays, and the medians and quantiles that are read from them.

Sorting permutes, ``y_i = x_p(i)``, and the permutation is constant wherever no two elements are equal. So a sorted
array is a gather by :func:`argsort`, and its derivative a scatter. Equal elements keep their order, which decides whose
derivative is whose.

A quantile is read at a position ``p`` between the ranks 0 and ``n - 1``: between ``y_i`` and ``y_(i+1)``, where ``i``
is the whole part of ``p``, in proportion to the rest of it. Which position belongs to a probability is what numpy's
thirteen methods differ in; it is the same quantile of the ranks themselves, so numpy is asked for that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minimeta.autodiff.apply import apply
from minimeta.autodiff.array import Array, Form, Shape, Value
from minimeta.autodiff.definition import operation
from minimeta.autodiff.operations import (
    arithmetic,
    conversions,
    indexing,
    logic,
    movement,
    operands,
    reductions,
    rounding,
)
from minimeta.autodiff.operations.queries import as_array, as_float, differentiable, query
from minimeta.autodiff.primitive import Draw, Primitive
from minimeta.autodiff.protocols import answers
from minimeta.errors import OptionError, ShapeError, TracingError

Axis = Any


@differentiable(np.sort)
def sort(x: Any, axis: int | None = -1, kind: str | None = None, *, stable: bool | None = None) -> Value:
    """The elements along an axis in increasing order, NaN last; of the flattened array where ``axis`` is None.

    Equal elements keep their order, and so do their derivatives, whatever ``kind`` of sort numpy would use.

    Raises
    ------
    OptionError
        There is no such kind.
    """
    _check_kind("sort", kind, (None, "quicksort", "heapsort", "mergesort", "stable"))
    return _ordered("sort", as_float(x), axis)


def _check_kind(name: str, kind: Any, kinds: Sequence[str | None]) -> None:
    if kind not in kinds:
        raise OptionError(f"{name} with kind={kind!r}: it is none of {', '.join(map(repr, kinds))}")


def _ordered(name: str, x: Any, axis: int | None) -> Value:
    if axis is None:
        x, axis = movement.ravel(x), 0
    axis = operands.axis_of(name, axis, x.ndim)
    order = apply(ORDER, x, axis=axis) if x.dtype.kind == "f" else query(np.argsort, x, axis=axis, kind="stable")
    return taken(x, order, axis)


def taken(x: Any, order: Any, axis: int) -> Value:
    """Elements of each line along an axis at that line's own positions, by one index for each."""
    if x.ndim == 1:
        return indexing.take(x, order, 0)
    if axis != x.ndim - 1:
        return movement.moveaxis(
            taken(movement.moveaxis(x, axis, -1), movement.moveaxis(order, axis, -1), x.ndim - 1), -1, axis
        )
    lines = math.prod(x.shape[:-1])
    starts = np.arange(lines).reshape((*x.shape[:-1], 1)) * x.shape[-1]
    return indexing.take(movement.ravel(x), order + starts, 0)


@differentiable(np.partition)
def partition(x: Any, kth: Any, axis: int | None = -1, kind: str = "introselect") -> Value:
    """The elements along an axis: the ``kth`` at its sorted place, smaller ones before it, larger ones behind.

    Raises
    ------
    OptionError
        There is no such kind.
    """
    _check_kind("partition", kind, ("introselect",))
    x = as_float(x)
    if axis is None:
        x, axis = movement.ravel(x), 0
    axis = operands.axis_of("partition", axis, x.ndim)
    return taken(x, query(np.argpartition, x, kth, axis=axis), axis)


# Medians and quantiles

#: Methods whose quantiles are elements.
_OF_ELEMENTS = ("inverted_cdf", "closest_observation", "lower", "higher", "nearest")


@differentiable(np.median)
def median(x: Any, axis: Axis = None, *, overwrite_input: bool = False, keepdims: bool = False) -> Value:
    """The middle element in sorted order, or the mean of the two in the middle; NaN if one is NaN, or there are none.

    Of equal elements the one in the middle has the derivative, in the order in which they stand.
    """
    x = as_float(x)
    rows, sides = _rows("median", x, axis, keepdims)
    n = rows.shape[-1]
    if n == 0:
        return _absent(sides, x.dtype)
    y = _ordered("median", rows, -1)
    low, high = y[..., (n - 1) // 2], y[..., n // 2]
    middle = low if n % 2 else (low + high) / 2.0
    return movement.reshape(_unless_nan(middle, y[..., -1]), sides)


@differentiable(np.quantile)
def quantile(
    x: Any,
    q: Any,
    axis: Axis = None,
    *,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: bool = False,
    weights: Any = None,
) -> Value:
    """The values below which a fraction ``q`` in [0, 1] of the elements lies, by any of numpy's methods.

    Parameters
    ----------
    x
        The elements.
    q
        Fractions. If they are differentiated, the method is "linear".
    axis
        One axis, several, or None for all.
    method
        As in numpy.
    keepdims
        Whether reduced axes stay with length 1.
    weights
        How much each element counts: of the shape of ``x``, or one row along the axis. The method is "inverted_cdf".

    Returns
    -------
    Array or numpy.ndarray
        Of the shape of ``q``, followed by that of ``x`` without the axes. NaN if an element is NaN, or there are none.

    Raises
    ------
    ValueError
        A fraction is outside of [0, 1], or the method is unknown.
    """
    elements = as_array(x)
    if elements.dtype.kind != "f" and getattr(q, "transformation", None) is None:
        return query(np.quantile, elements, q, axis=axis, method=method, keepdims=keepdims, weights=weights)
    x = as_float(elements)
    rows, sides = _rows("quantile", x, axis, keepdims)
    if weights is not None:
        return _weighed(x, rows, q, axis, method, weights, sides)
    q, dtype = _fractions(x, q)
    dtype = x.dtype if method in _OF_ELEMENTS else dtype
    n = rows.shape[-1]
    if n == 0:
        return _absent((*q.shape, *sides), dtype)
    position = _position(q, n, method)
    y = _ordered("quantile", rows, -1)
    found = _between(conversions.astype(y, dtype), conversions.astype(position, dtype))
    found = movement.moveaxis(_unless_nan(found, y[..., -1:]), -1, 0) if y.ndim > 1 else _unless_nan(found, y[-1])
    return movement.reshape(found, (*q.shape, *sides))


def _weighed(x: Any, rows: Any, q: Any, axis: Axis, method: str, weights: Any, sides: Shape) -> Value:
    """The first element in sorted order up to which the weights sum up to a fraction of all."""
    if method != "inverted_cdf":
        raise ShapeError(f"quantile by method={method!r} with weights: only 'inverted_cdf' takes them")
    weights = conversions.stop_gradient(as_float(weights))
    if weights.shape != x.shape:
        (place,) = operands.axes_of("quantile", axis, x.ndim) if np.ndim(axis) == 0 and axis is not None else (-1,)
        if weights.ndim != 1 or place < 0 or weights.shape[0] != x.shape[place]:
            raise ShapeError(
                f"quantile of shape {x.shape} with weights of shape {weights.shape}: they have one shape, or axis= "
                "names the axis that the weights have"
            )
        weights = movement.reshape(weights, [-1 if i == place else 1 for i in range(x.ndim)])
        weights = movement.broadcast_to(weights, x.shape)
    q = as_float(q)
    order = query(np.argsort, rows, axis=-1)
    sums = query(
        np.cumsum, taken(_rows("quantile", weights, axis, False)[0], order, rows.ndim - 1), axis=-1, dtype=np.float64
    )
    shares = sums / sums[..., -1:]
    below = movement.expand_dims(shares, -2) < movement.reshape(q, (-1, 1))  # For each fraction, the elements before.
    none = logic.equal(movement.expand_dims(shares, -2), 0.0)  # An element of no weight is none's quantile.
    place = reductions.sum(logic.logical_or(below, none), -1)
    last = arithmetic.minimum(place, rows.shape[-1] - 1)
    y = taken(rows, order, rows.ndim - 1)
    found = movement.moveaxis(_unless_nan(taken(y, last, rows.ndim - 1), y[..., -1:]), -1, 0)
    return movement.reshape(found, (*q.shape, *sides))


@differentiable(np.percentile)
def percentile(x: Any, q: Any, axis: Axis = None, **keywords: Any) -> Value:
    """:func:`quantile` of ``q / 100``."""
    return quantile(x, _of_hundred(x, q), axis, **keywords)


def _of_hundred(x: Any, q: Any) -> Any:
    return q / 100.0 if isinstance(q, (int, float)) else as_float(q) / 100.0


def _fractions(x: Any, q: Any) -> tuple[Any, np.dtype[Any]]:
    """Fractions, and numpy's dtype of the result: that of the elements, where there is one fraction, a number."""
    dtype = x.dtype if isinstance(q, (int, float)) else np.result_type(x.dtype, as_float(q).dtype)
    q = as_float(q)
    if q.dtype != dtype:
        q = conversions.astype(q, dtype)
    if type(q) is not Array and not np.all((q >= 0) & (q <= 1)):
        raise ShapeError(f"quantiles of fractions {q}: they must be in [0, 1]")
    return q, np.dtype(dtype)


def _position(q: Any, n: int, method: str) -> Any:
    if type(q) is Array and q.transformation is not None:
        if method != "linear":
            raise TracingError(
                f"quantile by method={method!r} of a q that is being differentiated; use method='linear'"
            )
        return movement.ravel(q) * float(n - 1)
    return query(np.quantile, np.arange(n, dtype=q.dtype), movement.ravel(q), method=method)


def _between(y: Any, position: Any) -> Value:
    """The elements of sorted rows at positions, which lie between them; of shape ``(..., positions)``."""
    n = y.shape[-1]
    below = arithmetic.clip(conversions.astype(rounding.floor(position), np.int64), 0, max(n - 2, 0))
    above = arithmetic.minimum(below + 1, n - 1)
    rest = position - conversions.astype(below, position.dtype)
    low, high = indexing.take(y, below, -1), indexing.take(y, above, -1)
    return _mixed(low, high, rest)


def _mixed(low: Any, high: Any, rest: Any) -> Value:
    """``low (1 - rest) + high rest``; of equal infinities, and at either end, not NaN."""
    inner = (rest > 0.0) & (rest < 1.0)
    mixed = low + (high - low) * logic.where(inner, rest, 0.0)
    mixed = logic.where(inner & logic.not_equal(low, high), mixed, low)
    if type(rest) is Array and rest.transformation is not None:
        return low + (high - low) * rest
    return logic.where(rest >= 1.0, high, mixed)


def _rows(name: str, x: Any, axis: Axis, keepdims: bool) -> tuple[Any, Shape]:
    """The elements that are reduced together in rows, on a last axis; and the shape of the result."""
    axes = operands.axes_of(name, axis, x.ndim)
    rest = [i for i in range(x.ndim) if i not in axes]
    sides = tuple([1 if i in axes else side for i, side in enumerate(x.shape) if keepdims or i not in axes])
    turned = movement.transpose(x, (*rest, *axes))
    count = math.prod([x.shape[i] for i in axes])
    return movement.reshape(turned, (*[x.shape[i] for i in rest], count)), sides


def _unless_nan(found: Any, last: Any) -> Value:
    """NaN where the last element of a sorted row is."""
    return logic.where(logic.equal(last, last), found, last)


def _absent(shape: Shape, dtype: Any) -> Value:
    return movement.broadcast_to(np.full((), np.nan, dtype), shape)


# The order of the elements, which is constant wherever no two are equal


def _positions(x: Any, axis: int) -> Form:
    reductions.check_float("order", x)
    return Form(x.shape, np.int64)


def _sample(draw: Draw) -> tuple[tuple[NDArray[Any], ...], dict[str, Any]]:
    shape = draw.shape(1)
    return (draw.array(shape),), {"axis": draw.integer(0, len(shape) - 1)}


@operation(rules=(), shape=_positions, sample=_sample, flops=lambda y, x, axis: math.prod(x.shape))
def _order(x: Any, *, axis: int) -> Any:
    """The positions of the elements in increasing order, NaN last; equal elements keep theirs."""
    return np.argsort(np.real(x), axis, kind="stable")


# Places in an order, which are constant, too


@answers(np.searchsorted)
def searchsorted(a: Any, v: Any, side: str = "left", sorter: Any = None) -> Value:
    """Where elements ``v`` belong among sorted numbers ``a``: positions, which are constants to every derivative.

    Parameters
    ----------
    a
        In increasing order, of shape ``(n,)``.
    v
        Of any shape.
    side
        Whether an element belongs before (``"left"``) or behind (``"right"``) those equal to it.
    sorter
        Positions that sort ``a``.
    """
    if side in ("left", "right") and sorter is None:
        ordered, values = as_array(a), as_array(v)
        if ordered.dtype == values.dtype and ordered.dtype.kind == "f" and ordered.ndim == 1:
            return apply(SEARCHSORTED, ordered, values, right=side == "right")
    return query(np.searchsorted, a, v, side=side, sorter=sorter)


def _places(x: Any, y: Any, right: bool) -> Form:
    reductions.check_float("searchsorted", x)
    reductions.check_float("searchsorted", y)
    if len(x.shape) != 1:
        raise ShapeError(f"searchsorted among numbers of shape {x.shape}: they need one axis")
    return Form(y.shape, np.int64)


def _sample_places(draw: Draw) -> tuple[tuple[NDArray[Any], ...], dict[str, Any]]:
    ordered = np.sort(draw.array((draw.integer(0, 4),)))
    return (ordered, draw.array(draw.shape())), {"right": bool(draw.integer(0, 1))}


@operation(rules=(), shape=_places, sample=_sample_places, flops=lambda z, x, y, right: math.prod(y.shape))
def _searchsorted(x: Any, y: Any, *, right: bool) -> Any:
    return np.searchsorted(np.real(x), np.real(y), "right" if right else "left")


SEARCHSORTED: Primitive = _searchsorted.primitive
ORDER: Primitive = _order.primitive
