"""Layers: functions of parameters and inputs.

    dense       y = x W + b
    conv        y = x * W + b, a convolution of images
    batch_norm  y = (x - mean) / sqrt(variance + epsilon) * scale + offset    over all axes but the last
    layer_norm  the same                                                      over axes of one example
    dropout     y = x / (1 - rate) where it is kept, 0 elsewhere

The first axis is that of examples, the last that of features: images are (N, H, W, C).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from minimeta.autodiff.array import Array, ArrayLike, Value
from minimeta.autodiff.operations import conv2d, mean, reciprocal, reshape, sqrt, square, sum, where
from minimeta.autodiff.operations.operands import shape_of
from minimeta.autodiff.operations.windows import Padding
from minimeta.autodiff.promotion import constant
from minimeta.autodiff.regions import custom_vjp
from minimeta.errors import ConfigurationError, DtypeError

Statistics: TypeAlias = tuple[ArrayLike, ArrayLike]
"""Mean and (biased) variance of each feature, with length 1 along the axes of the average."""


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


def conv(
    x: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    *,
    strides: int | Sequence[int] = 1,
    padding: Padding = "SAME",
) -> Value:
    """Return the convolution :func:`minimeta.conv2d` plus a bias.

    Parameters
    ----------
    x
        Images, of shape ``(N, H, W, inputs)``.
    weight
        Of shape ``(kh, kw, inputs, outputs)``.
    bias
        Of shape ``(outputs,)``, or None.
    strides, padding
        As in :func:`minimeta.conv2d`.

    Returns
    -------
    array
        Of shape ``(N, H', W', outputs)``.
    """
    product = conv2d(x, weight, strides, padding)
    return product if bias is None else product + bias


def batch_norm(
    x: ArrayLike,
    *,
    offset: ArrayLike | None = None,
    scale: ArrayLike | None = None,
    epsilon: float = 1e-3,
    statistics: Statistics | None = None,
) -> Value:
    """Normalise each feature by the statistics of the current batch (Ioffe and Szegedy 2015, arXiv:1502.03167).

    There are no running averages: unless statistics are given, the current batch decides, in
    training and in testing. If the query set is the batch, each prediction therefore depends on the
    other queries (the transductive setting of MAML's released code).

    Parameters
    ----------
    x
        Of shape ``(..., features)``; the statistics are over all axes except the last.
    offset, scale
        Of shape ``(features,)``, or None for 0 and 1.
    epsilon
        Added to the (biased) variance; 1e-3 as in the released code.
    statistics
        Mean and variance to use instead of the batch's.
    """
    return batch_norm_and_statistics(x, offset=offset, scale=scale, epsilon=epsilon, statistics=statistics)[0]


def batch_norm_and_statistics(
    x: ArrayLike,
    *,
    offset: ArrayLike | None = None,
    scale: ArrayLike | None = None,
    epsilon: float = 1e-3,
    statistics: Statistics | None = None,
) -> tuple[Value, Statistics]:
    """Return :func:`batch_norm` and the statistics it used, for a caller that averages them over batches."""
    return _normalise(x, tuple(range(len(shape_of(x)) - 1)), offset, scale, epsilon, statistics)


def layer_norm(
    x: ArrayLike,
    *,
    offset: ArrayLike | None = None,
    scale: ArrayLike | None = None,
    axes: int | Sequence[int] = -1,
    epsilon: float = 1e-5,
) -> Value:
    """Normalise each example by its own statistics (Ba, Kiros and Hinton 2016, arXiv:1607.06450).

    Nothing depends on the other examples: the prediction for a query is the same alone or among
    others.

    Parameters
    ----------
    x
        Of shape ``(..., features)``.
    offset, scale
        Of a shape that broadcasts to that of ``x``, usually ``(features,)``, or None for 0 and 1.
    axes
        The axes of the statistics: by default the features; for images ``(-3, -2, -1)`` is a whole
        layer.
    epsilon
        Added to the (biased) variance.

    Raises
    ------
    ShapeError
        If an axis is out of range, or named twice.
    """
    return _normalise(x, axes, offset, scale, epsilon, None)[0]


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


def _normalise(
    x: ArrayLike,
    axes: int | Sequence[int],
    offset: ArrayLike | None,
    scale: ArrayLike | None,
    epsilon: float,
    statistics: Statistics | None,
) -> tuple[Value, Statistics]:
    if statistics is None:
        y, centre, spread = _standardised(x, axes, epsilon)
    else:
        centre, spread = statistics
        y = (x - centre) * _factor(spread, epsilon)  # type: ignore[operator]
    y = y if scale is None else y * scale
    return y if offset is None else y + offset, (centre, spread)


def _factor(spread: ArrayLike, epsilon: float) -> Value:
    # Divide once per feature instead of once per element; no derivative brings a division per
    # element back.
    return reciprocal(sqrt(spread + float(epsilon)))  # type: ignore[operator]


def _standardised(x: ArrayLike, axes: int | Sequence[int], epsilon: float) -> tuple[Value, Value, Value]:
    """Return the deviations from the mean in units of their spread, the mean, and the spread.

        y = d f    d = x - m    m = mean(x)    f = (s + epsilon)**-1/2    s = mean(d**2)

    The derivative of these operations would sum ``d``, which is always zero, in a separate pass
    over the data. Without that sum, two sums of the cotangents ``g`` of ``y`` are enough:

        n dx = n f g + d (2 gs - f**3 sum(g d)) + gm - f sum(g)

    It holds to every order, because ``m``, ``s`` and everything made of them are functions of ``x``
    in it.
    """

    @custom_vjp
    def standardised(x: Value) -> tuple[Value, Value, Value]:
        centre = mean(x, axes, keepdims=True)
        deviation = x - centre
        spread = mean(square(deviation), axes, keepdims=True)
        return deviation * _factor(spread, epsilon), centre, spread

    @standardised.rule
    def _(cotangents: tuple[Value, ...], outputs: tuple[Value, ...], x: Value) -> tuple[Value]:
        (g, g_centre, g_spread), (_, centre, spread) = cotangents, outputs
        deviation, factor, share = x - centre, _factor(spread, epsilon), centre.size / max(x.size, 1)
        total = reshape(sum(g, axes), centre.shape)  # also the derivative with respect to an offset
        slope = 2 * g_spread - factor * square(factor) * sum(g * deviation, axes, keepdims=True)
        return (g * factor + (deviation * (slope * share) + (g_centre - factor * total) * share),)

    y, centre, spread = standardised(x)
    return y, centre, spread
