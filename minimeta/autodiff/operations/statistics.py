"""Statistics: variances and what is made of them.

    var = sum (x - mean)^2 / (n - d)        std = |x - mean| / sqrt(n - d)        cov = (X - mean)(X - mean)^T / (n - d)

where ``d`` is ``ddof``. The standard deviation is a norm, so its derivative where all elements are equal is 0, and the
derivatives of its square are right there (:mod:`~minimeta.autodiff.operations.magnitudes`).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from minimeta.autodiff.array import Value
from minimeta.autodiff.operations import (
    arithmetic,
    conversions,
    indexing,
    joining,
    linear_algebra,
    logic,
    movement,
    operands,
    reductions,
)
from minimeta.autodiff.operations.queries import as_float, as_floats, differentiable
from minimeta.autodiff.protocols import answers
from minimeta.errors import ShapeError


@answers(np.var)
def var(
    x: Any,
    axis: reductions.Axis = None,
    dtype: DTypeLike | None = None,
    *,
    ddof: float = 0,
    keepdims: bool = False,
    where: Any = None,
    mean: Any = None,
    correction: float | None = None,
) -> Value:
    """``sum((x - mean(x))**2) / max(n - ddof, 0)``; NaN where ``n = 0``. ``correction`` is another name of ``ddof``.

    A ``mean`` that is known already, with its axes kept, need not be computed.
    """
    x = as_float(x, dtype)
    fewer = ddof if correction is None else correction
    if where is None and mean is None:
        axes = operands.axes_of("var", axis, x.ndim)
        return reductions.variance(x, axes=axes, keepdims=keepdims, correction=float(fewer))
    deviation, count = _deviation(x, axis, where, mean)
    total = reductions.sum(arithmetic.square(deviation), axis, keepdims=True)
    return _with_axes(total / arithmetic.maximum(count - fewer, 0.0), axis, keepdims)


@answers(np.std)
def std(
    x: Any,
    axis: reductions.Axis = None,
    dtype: DTypeLike | None = None,
    *,
    ddof: float = 0,
    keepdims: bool = False,
    where: Any = None,
    mean: Any = None,
    correction: float | None = None,
) -> Value:
    """The root of :func:`var`. Its derivative where all elements are equal is 0; its square's is right there."""
    x = as_float(x, dtype)
    fewer = ddof if correction is None else correction
    if where is None and mean is None:
        axes = operands.axes_of("std", axis, x.ndim)
        count: Any = math.prod(x.shape[i] for i in axes)
        length = reductions.norm(x - reductions.mean(x, axis, keepdims=True), axis, keepdims=keepdims)
        return length / (math.sqrt(count - fewer) if count > fewer else 0.0)
    deviation, count = _deviation(x, axis, where, mean)
    length = reductions.norm(deviation, axis, keepdims=True)
    return _with_axes(length / arithmetic.sqrt(arithmetic.maximum(count - fewer, 0.0)), axis, keepdims)


def _deviation(x: Any, axis: Any, where: Any, mean: Any) -> tuple[Value, Value]:
    """From the mean of those that are chosen, 0 elsewhere; and how many they are."""
    mask = movement.broadcast_to(True if where is None else where, x.shape)
    count = reductions.sum(conversions.astype(mask, x.dtype), axis, keepdims=True)
    if mean is None:
        mean = reductions.sum(logic.where(mask, x, 0.0), axis, keepdims=True) / count
    return logic.where(mask, x - conversions.astype(mean, x.dtype), 0.0), count


def _with_axes(x: Value, axis: Any, keepdims: bool) -> Value:
    return x if keepdims else movement.squeeze(x, operands.axes_of("var", axis, x.ndim))


@answers(np.average)
def average(x: Any, axis: Any = None, weights: Any = None, returned: bool = False, *, keepdims: bool = False) -> Value:
    """The mean, or with weights ``sum(w x) / sum(w)``; with ``returned`` also the sum of the weights.

    Weights have the shape of ``x``, or are one row along ``axis``. Where their sum is 0, the mean is infinite or NaN:
    numpy raises ZeroDivisionError.

    Raises
    ------
    ShapeError
        The weights have another shape; or there is no mean, or no element, as numpy refuses it.
    """
    x = as_float(x)
    if weights is None:
        mean = reductions.mean(x, axis, keepdims=keepdims)
        if not mean.size:
            raise ShapeError(f"average of shape {x.shape} over axis {axis}: there is nothing to average; mean takes it")
        return (mean, mean * 0.0 + x.size / mean.size) if returned else mean
    x, weights = as_floats(x, weights)
    if weights.shape != x.shape:
        if axis is None or weights.ndim != len(axes := operands.row_of(axis)):
            raise ShapeError(
                f"average of shape {x.shape} with weights of shape {weights.shape}: they have one shape, or axis= "
                "names the axes that the weights have"
            )
        places = [operands.axis_of("average", i, x.ndim) for i in axes]
        weights = movement.transpose(weights, np.argsort(places).tolist())
        weights = movement.reshape(weights, [side if i in places else 1 for i, side in enumerate(x.shape)])
        weights = movement.broadcast_to(weights, x.shape)
    total = reductions.sum(weights, axis, keepdims=keepdims)
    if not x.size and total.size:
        raise ShapeError(f"average of shape {x.shape} over axis {axis}: no weights add up to 0")
    mean = reductions.sum(x * weights, axis, keepdims=keepdims) / total
    return (mean, total + mean * 0.0) if returned else mean


@answers(np.cov)
def cov(
    m: Any,
    y: Any = None,
    rowvar: bool = True,
    bias: bool = False,
    ddof: float | None = None,
    fweights: Any = None,
    aweights: Any = None,
    *,
    dtype: DTypeLike | None = None,
) -> Value:
    """The covariances of variables, each one row of ``m`` (with ``rowvar=False`` a column) and of ``y``.

    ``fweights`` says how often an observation occurred, ``aweights`` how much it counts, as in numpy.
    """
    x = _variables(m, rowvar, dtype)
    if y is not None:
        x = joining.concatenate([x, _variables(y, rowvar, dtype)], 0)
    fewer = (0.0 if bias else 1.0) if ddof is None else float(ddof)
    weights = None
    for given in (fweights, aweights):
        if given is not None:
            counts = conversions.astype(given, np.float64)
            weights = counts if weights is None else weights * counts
    if weights is None:
        centred = x - reductions.mean(x, 1, keepdims=True)
        count: Any = max(x.shape[1] - fewer, 0.0)
        found = linear_algebra.matmul(centred, movement.transpose(centred)) / count
    else:
        total = reductions.sum(weights)
        lost = total if aweights is None else reductions.sum(weights * aweights)
        centred = x - reductions.sum(x * weights, 1, keepdims=True) / total
        count = total - fewer * (lost / total)
        found = linear_algebra.matmul(centred, movement.transpose(centred * weights)) / count
    return movement.reshape(found, ()) if found.shape == (1, 1) else found


def _variables(m: Any, rowvar: bool, dtype: Any) -> Any:
    """One row for each variable."""
    x = conversions.astype(m, np.float64 if dtype is None else dtype)
    if x.ndim > 2:
        raise ShapeError(f"cov of shape {x.shape}: it needs one row of observations for each variable")
    if x.ndim < 2:
        return movement.reshape(x, (1, x.size))
    return x if rowvar or x.shape[0] == 1 else movement.transpose(x)


@answers(np.corrcoef)
def corrcoef(x: Any, y: Any = None, rowvar: bool = True, *, dtype: DTypeLike | None = None) -> Value:
    """The correlations of variables, ``cov(x, y) / (std(x) std(y))``, as :func:`cov` takes them."""
    c = cov(x, y, rowvar, dtype=dtype)
    if c.ndim == 0:
        return c / c
    places = np.arange(c.shape[0])
    scale = arithmetic.sqrt(indexing.index(c, (places, places)))
    found = c / movement.expand_dims(scale, 1) / movement.expand_dims(scale, 0)
    return arithmetic.clip(found, -1.0, 1.0)


@differentiable(np.ptp)
def ptp(x: Any, axis: Any = None, *, keepdims: bool = False) -> Value:
    """The largest element less the smallest."""
    return reductions.max(x, axis, keepdims=keepdims) - reductions.min(x, axis, keepdims=keepdims)
