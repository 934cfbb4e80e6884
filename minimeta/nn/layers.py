"""Layers: functions of parameters and inputs.

    dense       y = x W + b
    batch_norm  y = (x - mean) / sqrt(variance + epsilon) * scale + offset

over a batch whose first axes are examples and whose last axis is the features.
"""

from __future__ import annotations

from minimeta.autodiff.array import ArrayLike, Value
from minimeta.autodiff.operations import mean, sqrt, square
from minimeta.autodiff.operations.shaping import shape_of


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
    axes = tuple(range(len(shape_of(x)) - 1))
    deviation = x - mean(x, axes)
    y = deviation / sqrt(mean(square(deviation), axes) + epsilon)
    if scale is not None:
        y = y * scale
    return y if offset is None else y + offset
