"""Layers: functions of parameters and inputs.

    dense       y = x W + b
    conv        y = x * W + b, a convolution of images
    batch_norm  y = (x - mean) / sqrt(variance + epsilon) * scale + offset    over all axes but the last
    layer_norm  the same                                                      over axes of one example

The first axis is the examples, the last the features: images are (N, H, W, C).
"""

from __future__ import annotations

from collections.abc import Sequence

from minimeta.autodiff.array import ArrayLike, Value
from minimeta.autodiff.operations import conv2d, mean, reciprocal, sqrt, square
from minimeta.autodiff.operations.shaping import shape_of
from minimeta.autodiff.operations.windows import Padding


def dense(x: ArrayLike, weight: ArrayLike, bias: ArrayLike | None = None) -> Value:
    """``x W + b``.

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
    """The convolution :func:`minimeta.conv2d`, plus a bias.

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
    x: ArrayLike, *, offset: ArrayLike | None = None, scale: ArrayLike | None = None, epsilon: float = 1e-3
) -> Value:
    """Normalise each feature by the statistics of the current batch (Ioffe and Szegedy 2015, arXiv:1502.03167).

    No running averages exist: the batch at hand decides, in training and in testing. When the query set is the batch,
    predictions therefore depend on the other queries (the transductive setting of MAML's released code).

    Parameters
    ----------
    x
        Of shape ``(..., features)``; all axes but the last are averaged over.
    offset, scale
        Of shape ``(features,)``, or None for 0 and 1.
    epsilon
        Added to the (biased) variance; 1e-3 as in the released code.
    """
    return _normalise(x, tuple(range(len(shape_of(x)) - 1)), offset, scale, epsilon)


def layer_norm(
    x: ArrayLike,
    *,
    offset: ArrayLike | None = None,
    scale: ArrayLike | None = None,
    axes: int | Sequence[int] = -1,
    epsilon: float = 1e-5,
) -> Value:
    """Normalise each example by its own statistics (Ba, Kiros and Hinton 2016, arXiv:1607.06450).

    Nothing depends on the other examples: with one query or with many, the prediction for each is the same.

    Parameters
    ----------
    x
        Of shape ``(..., features)``.
    offset, scale
        Of a shape that broadcasts to that of ``x``, mostly ``(features,)``, or None for 0 and 1.
    axes
        What the statistics are taken over: the features; for images ``(-3, -2, -1)`` is a whole layer.
    epsilon
        Added to the (biased) variance.

    Raises
    ------
    ShapeError
        An axis is out of range, or named twice.
    """
    return _normalise(x, axes, offset, scale, epsilon)


def _normalise(
    x: ArrayLike, axes: int | Sequence[int], offset: ArrayLike | None, scale: ArrayLike | None, epsilon: float
) -> Value:
    deviation = x - mean(x, axes, keepdims=True)
    # One division for each feature, and none for each element: in no order of derivative does one come back.
    factor = reciprocal(sqrt(mean(square(deviation), axes, keepdims=True) + epsilon))
    y = deviation * (factor if scale is None else factor * scale)
    return y if offset is None else y + offset
