"""Layers of one line: functions of parameters and inputs.

    dense       y = x W + b
    embedding   y = E[i], the row of a table for each index
    leaky_relu  y = x where x > 0, a x elsewhere
    dropout     y = x / (1 - rate) where it is kept, 0 elsewhere
    residual    y = f(x) + x

Convolutions, normalisations, recurrent cells and attention have pages of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minimeta.autodiff.array import Array, ArrayLike, Value
from minimeta.autodiff.operations import greater, take, where
from minimeta.autodiff.operations.operands import dtype_of, shape_of
from minimeta.autodiff.promotion import constant
from minimeta.errors import ConfigurationError, DtypeError, ShapeError


def dense(x: ArrayLike, weight: ArrayLike, bias: ArrayLike | None = None) -> Value:
    """Return ``x W + b``.

    Parameters
    ----------
    x
        Of shape ``(..., inputs)``.
    weight
        Of shape ``(inputs, outputs)``.
    bias
        Of shape ``(outputs,)``, or None.

    Returns
    -------
    array
        Of shape ``(..., outputs)``.
    """
    product = x @ weight  # type: ignore[operator]
    return product if bias is None else product + bias


def embedding(indices: ArrayLike, table: ArrayLike) -> Value:
    """Return the row of the table for each index: ``y[..., :] = table[indices[...], :]``.

    It is ``one_hot(indices) @ table`` without the product. The derivative with respect to a row is
    the sum over the places that chose it; the indices have none.

    Parameters
    ----------
    indices
        Integers in ``[0, count)``, of any shape.
    table
        Of shape ``(count, features)``.

    Returns
    -------
    array
        Of shape ``(*indices.shape, features)``.

    Raises
    ------
    DtypeError
        If the indices are not integers.
    ShapeError
        If the table has not two axes.
    IndexingError
        If an index is out of bounds.
    """
    if (dtype := dtype_of(indices)).kind not in "iu":
        raise DtypeError(f"embedding: indices are of dtype {dtype.name}, and must be integers")
    if len(shape := shape_of(table)) != 2:
        raise ShapeError(f"embedding: the table has shape {shape}, expected (count, features)")
    return take(table, indices, 0)


def leaky_relu(x: ArrayLike, slope: float = 0.1) -> Value:
    """Return ``x`` where it is positive, and ``slope x`` elsewhere (Maas, Hannun and Ng 2013).

    The derivative at 0 is the slope.

    Parameters
    ----------
    x
        Of any shape.
    slope
        0.1 in ResNet-12; other networks take 0.01.
    """
    return where(greater(x, 0), x, slope * x)  # type: ignore[operator]


def residual(function: Callable[..., Any], x: ArrayLike, *others: Any) -> Value:
    """Return ``f(x) + x`` (He et al. 2016, arXiv:1512.03385).

    The derivative is that of ``f`` plus the identity, so a cotangent reaches the first layer of a
    deep network whole.

    Parameters
    ----------
    function
        ``f``, of ``x`` and whatever else is given, to an array of the shape of ``x``.
    x
        Of any shape.

    Raises
    ------
    ShapeError
        If ``f`` changes the shape; then ``x`` needs a projection of its own, as in
        :func:`minimeta.nn.resnet12`.
    """
    y = function(x, *others)
    if shape_of(y) != shape_of(x):
        raise ShapeError(
            f"residual: the function turns shape {shape_of(x)} into {shape_of(y)}; add a projection of x instead"
        )
    return y + x


def dropout(x: ArrayLike, kept: ArrayLike, rate: float) -> Value:
    """Drop a random fraction of the features (Srivastava et al. 2014), and scale up the others.

    ``y = x / (1 - rate)`` where it is kept and 0 elsewhere, so that the mean over all choices is
    ``x``. The choice is an argument, ``kept = rng.random(x.shape) >= rate``, because a compiled
    function draws nothing.

    Parameters
    ----------
    x
        Of any shape.
    kept
        Truth values, of a shape that broadcasts to that of ``x``.
    rate
        The probability that a feature is dropped, in [0, 1).

    Raises
    ------
    ConfigurationError
        If the rate is out of range.
    DtypeError
        If ``kept`` does not hold truth values.
    """
    if not 0 <= rate < 1:
        raise ConfigurationError(f"dropout: rate={rate} must be in [0, 1)")
    dtype = (kept if isinstance(kept, Array) else constant(kept)).dtype
    if dtype.kind != "b":
        raise DtypeError(f"dropout: kept is of dtype {dtype.name}, not of truth values, as rng.random(x.shape) >= rate")
    return where(kept, x / (1 - rate), 0.0)  # type: ignore[operator]
