"""Normalisation: each feature in units of its spread over some set of values.

    y = (x - m) / sqrt(s + epsilon) * scale + offset,    m = mean(x),    s = mean((x - m)**2)

The four differ in the set over which ``m`` and ``s`` are means. Of images (N, H, W, C),

    batch_norm      N, H, W          a mean for each channel, over the batch
    layer_norm      C or H, W, C     a mean for each example
    group_norm      H, W, C / G      a mean for each example and group of channels
    instance_norm   H, W             a mean for each example and channel

Only in the first does the output of an example depend on the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from minimeta.autodiff.array import ArrayLike, Value
from minimeta.autodiff.operations import mean, reciprocal, reshape, sqrt, square, sum
from minimeta.autodiff.operations.operands import shape_of
from minimeta.autodiff.regions import custom_vjp
from minimeta.errors import ConfigurationError, ShapeError

Statistics: TypeAlias = tuple[ArrayLike, ArrayLike]
"""Mean and (biased) variance of each feature, with length 1 along the axes of the average."""


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


def group_norm(
    x: ArrayLike,
    groups: int,
    *,
    offset: ArrayLike | None = None,
    scale: ArrayLike | None = None,
    epsilon: float = 1e-5,
) -> Value:
    """Normalise each group of channels of each example (Wu and He 2018, arXiv:1803.08494).

    Parameters
    ----------
    x
        Of shape ``(N, ..., channels)``; group ``i`` is channels ``i C / G`` to ``(i + 1) C / G``.
    groups
        ``G``, a divisor of the number of channels: 1 is a layer normalisation over all axes but the
        first, and ``channels`` an instance normalisation.
    offset, scale
        Of shape ``(channels,)``, or None for 0 and 1.
    epsilon
        Added to the (biased) variance.

    Raises
    ------
    ConfigurationError
        If the channels are not divisible into so many groups.
    ShapeError
        If there are fewer than two axes.
    """
    shape = shape_of(x)
    if len(shape) < 2:
        raise ShapeError(f"group_norm: x has shape {shape}, expected (N, ..., channels)")
    if groups < 1 or shape[-1] % groups:
        raise ConfigurationError(f"group_norm: {shape[-1]} channels are not divisible into groups={groups}")
    grouped = reshape(x, (*shape[:-1], groups, shape[-1] // groups))
    axes = (*range(1, len(shape) - 1), len(shape))
    return _affine(reshape(_standardised(grouped, axes, epsilon)[0], shape), offset, scale)


def instance_norm(
    x: ArrayLike, *, offset: ArrayLike | None = None, scale: ArrayLike | None = None, epsilon: float = 1e-5
) -> Value:
    """Normalise each channel of each image (Ulyanov, Vedaldi and Lempitsky 2016, arXiv:1607.08022).

    Parameters
    ----------
    x
        Of shape ``(N, ..., channels)``, with axes in between, over which the statistics are.
    offset, scale
        Of shape ``(channels,)``, or None for 0 and 1.
    epsilon
        Added to the (biased) variance.

    Raises
    ------
    ShapeError
        If there are no axes to take the mean over.
    """
    if len(shape := shape_of(x)) < 3:
        raise ShapeError(f"instance_norm: x has shape {shape}, expected (N, ..., channels) with pixels in between")
    return _normalise(x, tuple(range(1, len(shape) - 1)), offset, scale, epsilon, None)[0]


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
    return _affine(y, offset, scale), (centre, spread)


def _affine(y: Value, offset: ArrayLike | None, scale: ArrayLike | None) -> Value:
    y = y if scale is None else y * scale
    return y if offset is None else y + offset


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
