"""Convolutions of images, of sequences, in groups, and their transpose.

Over a window of ``k`` cells with stride ``s`` and padding ``p``,

    conv             y[n, u, d] = sum_{i, c} x[n, u s - p + i, c] w[i, c, d]
    in G groups      the same within each group of C / G channels, which leads to D / G features
    conv_transpose   y[n, u s - p + i, d] = sum_c x[n, u, c] w[i, d, c], added up over all u and i

with rows and columns in place of ``u`` and ``i`` for images. All of them are the two products
:func:`minimeta.conv2d` and :func:`minimeta.conv2d_input`: a sequence is an image of one row, a group
is an image of its own, and a transposed convolution is the derivative of a convolution with respect
to its images.

The first axis is that of examples, the last that of features: images are (N, H, W, C).
"""

from __future__ import annotations

from collections.abc import Sequence

from minimeta.autodiff.array import ArrayLike, Value
from minimeta.autodiff.operations import conv2d, conv2d_input, expand_dims, moveaxis, reshape, squeeze
from minimeta.autodiff.operations.operands import shape_of
from minimeta.autodiff.operations.windows import Padding, pair
from minimeta.errors import ConfigurationError, ShapeError
from minimeta.program import vmap


def conv(
    x: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    *,
    strides: int | Sequence[int] = 1,
    padding: Padding = "SAME",
    groups: int = 1,
) -> Value:
    """Return the convolution :func:`minimeta.conv2d` plus a bias.

    Parameters
    ----------
    x
        Images, of shape ``(N, H, W, inputs)``.
    weight
        Of shape ``(kh, kw, inputs / groups, outputs)``.
    bias
        Of shape ``(outputs,)``, or None.
    strides, padding
        As in :func:`minimeta.conv2d`.
    groups
        How many parts the channels fall into, each convolved with its own part of the outputs
        (Krizhevsky et al. 2012); as many as inputs is a depthwise convolution.

    Returns
    -------
    array
        Of shape ``(N, H', W', outputs)``.

    Raises
    ------
    ConfigurationError
        If inputs or outputs are not divisible into so many groups.
    """
    product = conv2d(x, weight, strides, padding) if groups == 1 else _grouped(x, weight, strides, padding, groups)
    return product if bias is None else product + bias


def _grouped(x: ArrayLike, weight: ArrayLike, strides: int | Sequence[int], padding: Padding, groups: int) -> Value:
    images, window = shape_of(x), shape_of(weight)
    if len(images) != 4 or len(window) != 4:
        return conv2d(x, weight, strides, padding)  # which says what is wrong
    inputs, outputs = images[3], window[3]
    if groups < 1 or inputs % groups or outputs % groups:
        raise ConfigurationError(
            f"conv: {inputs} input and {outputs} output channels are not divisible into groups={groups}"
        )
    if window[2] != inputs // groups:
        raise ShapeError(
            f"conv: weight has shape {window}; in {groups} groups of {inputs} channels each output sees "
            f"{inputs // groups}, so it is (height, width, {inputs // groups}, outputs)"
        )
    parts = vmap(lambda x, w: conv2d(x, w, strides, padding), in_axes=(3, 3))(
        reshape(x, (*images[:3], groups, inputs // groups)),
        reshape(weight, (*window[:3], groups, outputs // groups)),
    )
    return reshape(moveaxis(parts, 0, 3), (*parts.shape[1:4], outputs))


def conv1d(
    x: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    *,
    stride: int = 1,
    padding: str | int | tuple[int, int] = "SAME",
    groups: int = 1,
) -> Value:
    """Return the convolution of sequences, images of one row.

    Parameters
    ----------
    x
        Sequences, of shape ``(N, length, inputs)``.
    weight
        Of shape ``(k, inputs / groups, outputs)``.
    bias
        Of shape ``(outputs,)``, or None.
    stride
        The step of the window.
    padding
        ``"SAME"``, ``"VALID"``, a number of zeros on either side, or ``(before, after)``;
        ``(k - 1, 0)`` is a causal convolution, in which no output sees a later input.
    groups
        As in :func:`conv`.

    Returns
    -------
    array
        Of shape ``(N, length', outputs)``.

    Raises
    ------
    ShapeError
        If ``x`` or ``weight`` has not three axes.
    """
    if len(shape_of(x)) != 3 or len(shape_of(weight)) != 3:
        raise ShapeError(
            f"conv1d of shapes {shape_of(x)} and {shape_of(weight)}: x is (N, length, inputs), and weight "
            "(k, inputs, outputs)"
        )
    sides = (padding, padding) if isinstance(padding, int) else padding
    around: Padding = sides if isinstance(sides, str) else ((0, 0), sides)  # type: ignore[assignment]
    rows, window = expand_dims(x, 1), expand_dims(weight, 0)
    return squeeze(conv(rows, window, bias, strides=(1, stride), padding=around, groups=groups), 1)


def conv_transpose(
    x: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    *,
    strides: int | Sequence[int] = 1,
    padding: Padding = "SAME",
    size: int | Sequence[int] | None = None,
) -> Value:
    """Return the transposed convolution :func:`minimeta.conv2d_input` plus a bias: each pixel spreads the window out.

    It leads from the results of :func:`conv` with the same weight, strides and padding back to the
    shape of its images (Zeiler et al. 2010; in Dumoulin and Visin 2016, arXiv:1603.07285, chapter 4).

    Parameters
    ----------
    x
        Images, of shape ``(N, H, W, inputs)``.
    weight
        Of shape ``(kh, kw, outputs, inputs)``, as that of the convolution it transposes.
    bias
        Of shape ``(outputs,)``, or None.
    strides, padding
        Those of the convolution it transposes.
    size
        ``(H', W')`` of the result. Several sizes lead to one of ``x``: None is ``H s`` with
        ``"SAME"``, and otherwise the smallest, ``(H - 1) s + k - p``.

    Returns
    -------
    array
        Of shape ``(N, H', W', outputs)``.

    Raises
    ------
    ShapeError
        If the channels differ, or images of this size would not lead to those of ``x``.
    """
    if size is None and len(shape_of(x)) == len(shape_of(weight)) == 4:
        steps = pair("conv_transpose", "strides", strides)
        size = _smallest(shape_of(x)[1:3], shape_of(weight)[:2], steps, padding)
    product = conv2d_input(x, weight, 1 if size is None else size, strides, padding)
    return product if bias is None else product + bias


def _smallest(places: Sequence[int], window: Sequence[int], strides: Sequence[int], padding: Padding) -> list[int]:
    """Return the sides of the images that lead to so many places."""
    if padding == "SAME":
        return [count * stride for count, stride in zip(places, strides, strict=True)]
    around = [0, 0]
    if padding != "VALID":
        around = [2 * padding] * 2 if isinstance(padding, int) else [sum(each) for each in padding]
    return [
        (count - 1) * stride + width - zeros
        for count, stride, width, zeros in zip(places, strides, window, around, strict=True)
    ]
