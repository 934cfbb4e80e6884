"""Missing values: reductions that leave out what is NaN.

An element that is left out takes the value that changes nothing, so its derivative is 0; where all are left out the
result is numpy's: 0 of a sum, 1 of a product, otherwise NaN.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from minimeta.autodiff.array import Value
from minimeta.autodiff.operations import (
    arithmetic,
    conversions,
    cumulative,
    logic,
    movement,
    ordering,
    queries,
    reductions,
    rounding,
    statistics,
)
from minimeta.autodiff.operations.queries import as_float, differentiable
from minimeta.errors import ShapeError, TracingError

Axis = Any


def _present(x: Any) -> Any:
    return logic.equal(x, x)


def _filled(x: Any, value: float, dtype: Any = None) -> Any:
    x = as_float(x, dtype)
    return logic.where(_present(x), x, value)


@differentiable(np.nansum, by_first=True)
def nansum(x: Any, axis: Axis = None, dtype: DTypeLike | None = None, **keywords: Any) -> Value:
    """:func:`sum` without what is NaN."""
    return reductions.sum(_filled(x, 0.0, dtype), axis, **keywords)


@differentiable(np.nanprod, by_first=True)
def nanprod(x: Any, axis: Axis = None, dtype: DTypeLike | None = None, **keywords: Any) -> Value:
    """:func:`prod` without what is NaN."""
    return cumulative.prod(_filled(x, 1.0, dtype), axis, **keywords)


@differentiable(np.nancumsum)
def nancumsum(x: Any, axis: int | None = None, dtype: DTypeLike | None = None) -> Value:
    """:func:`cumsum` without what is NaN."""
    return cumulative.cumsum(_filled(x, 0.0, dtype), axis)


@differentiable(np.nancumprod)
def nancumprod(x: Any, axis: int | None = None, dtype: DTypeLike | None = None) -> Value:
    """:func:`cumprod` without what is NaN."""
    return cumulative.cumprod(_filled(x, 1.0, dtype), axis)


def _masked(x: Any, dtype: Any, where: Any) -> tuple[Any, Any]:
    x = as_float(x, dtype)
    mask = _present(x)
    return x, mask if where is None else logic.logical_and(mask, where)


@differentiable(np.nanmean)
def nanmean(
    x: Any, axis: Axis = None, dtype: DTypeLike | None = None, *, keepdims: bool = False, where: Any = None
) -> Value:
    """:func:`mean` without what is NaN."""
    x, mask = _masked(x, dtype, where)
    total = reductions.sum(logic.where(mask, x, 0.0), axis, keepdims=keepdims)
    return total / reductions.sum(conversions.astype(mask, x.dtype), axis, keepdims=keepdims)


@differentiable(np.nanvar)
def nanvar(x: Any, axis: Axis = None, dtype: DTypeLike | None = None, *, where: Any = None, **keywords: Any) -> Value:
    """:func:`var` without what is NaN; NaN where no more than ``ddof`` are left."""
    return _spread(statistics.var, x, axis, dtype, where, **keywords)


@differentiable(np.nanstd)
def nanstd(x: Any, axis: Axis = None, dtype: DTypeLike | None = None, *, where: Any = None, **keywords: Any) -> Value:
    """:func:`std` without what is NaN; NaN where no more than ``ddof`` are left."""
    return _spread(statistics.std, x, axis, dtype, where, **keywords)


def _spread(
    function: Any, x: Any, axis: Axis, dtype: Any, where: Any, ddof: float = 0, keepdims: bool = False, **rest: Any
) -> Value:
    x, mask = _masked(x, dtype, where)
    fewer = rest.pop("correction", ddof)
    found = function(x, axis, ddof=fewer, keepdims=keepdims, where=mask, **rest)
    count = reductions.sum(conversions.astype(mask, x.dtype), axis, keepdims=keepdims)
    return logic.where(count > fewer, found, np.nan)


@differentiable(np.nanmax)
def nanmax(x: Any, axis: Axis = None, *, keepdims: bool = False, **keywords: Any) -> Value:
    """:func:`max` of what is not NaN."""
    return _extreme(reductions.max, x, axis, keepdims, -np.inf, **keywords)


@differentiable(np.nanmin)
def nanmin(x: Any, axis: Axis = None, *, keepdims: bool = False, **keywords: Any) -> Value:
    """:func:`min` of what is not NaN."""
    return _extreme(reductions.min, x, axis, keepdims, np.inf, **keywords)


def _extreme(function: Any, x: Any, axis: Axis, keepdims: bool, last: float, **keywords: Any) -> Value:
    x = as_float(x)
    found = function(logic.where(_present(x), x, last), axis, keepdims=keepdims, **keywords)
    if keywords:
        return found
    return logic.where(queries.any(_present(x), axis, keepdims=keepdims), found, np.nan)


@differentiable(np.nanmedian)
def nanmedian(x: Any, axis: Axis = None, *, overwrite_input: bool = False, keepdims: bool = False) -> Value:
    """:func:`median` of what is not NaN."""
    return nanquantile(x, 0.5, axis, keepdims=keepdims)


@differentiable(np.nanquantile)
def nanquantile(
    x: Any,
    q: Any,
    axis: Axis = None,
    *,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: bool = False,
) -> Value:
    """:func:`quantile` of what is not NaN, by the method "linear".

    Raises
    ------
    ShapeError
        Another method.
    """
    if method != "linear":
        raise ShapeError(f"nanquantile by method={method!r}: only 'linear' is there")
    x = as_float(x)
    rows, sides = ordering._rows("nanquantile", x, axis, keepdims)
    q, dtype = ordering._fractions(x, q)
    if rows.shape[-1] == 0:
        return ordering._absent((*q.shape, *sides), dtype)
    y = conversions.astype(ordering._ordered("nanquantile", rows, -1), dtype)
    count = reductions.sum(conversions.astype(_present(rows), dtype), -1, keepdims=True)
    position = movement.ravel(q) * arithmetic.maximum(count - 1.0, 0.0)
    below = conversions.astype(rounding.floor(position), np.int64)
    above = arithmetic.minimum(below + 1, conversions.astype(arithmetic.maximum(count - 1.0, 0.0), np.int64))
    rest = position - conversions.astype(below, dtype)
    found = ordering._mixed(_at(y, below), _at(y, above), rest)
    return movement.reshape(movement.moveaxis(found, -1, 0), (*q.shape, *sides))


def _at(y: Any, positions: Any) -> Value:
    return ordering.taken(y, positions, y.ndim - 1)


@differentiable(np.nanpercentile)
def nanpercentile(x: Any, q: Any, axis: Axis = None, **keywords: Any) -> Value:
    """:func:`nanquantile` of ``q / 100``."""
    return nanquantile(x, ordering._of_hundred(x, q), axis, **keywords)


@differentiable(np.nan_to_num, by_first=True)
def nan_to_num(x: Any, copy: bool = True, nan: Any = 0.0, posinf: Any = None, neginf: Any = None) -> Value:
    """The elements that are finite, and numbers in the places of NaN and of the infinities (the largest, if None).

    Raises
    ------
    TracingError
        ``copy=False``: they would be changed in place.
    """
    if not copy:
        raise TracingError("np.nan_to_num(x, copy=False): an Array is never written to. Write x = np.nan_to_num(x)")
    x = as_float(x)
    largest = float(np.finfo(x.dtype).max)
    nan, posinf, neginf = (
        conversions.astype(value, x.dtype)
        for value in (nan, largest if posinf is None else posinf, -largest if neginf is None else neginf)
    )
    found = logic.where(_present(x), x, nan)
    found = logic.where(logic.equal(x, np.inf), posinf, found)
    return logic.where(logic.equal(x, -np.inf), neginf, found)
