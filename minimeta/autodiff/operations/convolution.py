"""Convolutions: three products, one trilinear form.

For images x, weights w, a third array g of the shape of the result, and fixed strides s and padding
p, the number

    T(x, w, g) = sum x[n, u s - p + i, v s - p + j, c]  w[i, j, c, d]  g[n, u, v, d]    over all seven indices

(x and g being 0 beyond their sides) is linear in each of the three. Leaving one out gives a product
of the other two:

    conv2d(x, w) = dT/dg        conv2d_input(g, w) = dT/dx        conv2d_weight(x, g) = dT/dw

so that ``T = <conv2d(x, w), g> = <x, conv2d_input(g, w)> = <w, conv2d_weight(x, g)>``. The
cotangent of a factor of any of them is T with two of its three arguments filled in, that is, one of
the other two: the family is closed, and derivatives of every order are again these three products
(book, chapter 3).

Images are NHWC, shape (N, H, W, C): the channels of a pixel lie side by side. Weights are HWIO,
(kh, kw, C, D).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minimeta.autodiff.apply import apply
from minimeta.autodiff.array import ArrayLike, Form, Shape, Value
from minimeta.autodiff.definition import operation
from minimeta.autodiff.operations import operands, windows
from minimeta.autodiff.operations.windows import Margins, Padding, Pair
from minimeta.autodiff.primitive import Draw, Primitive, Sample
from minimeta.errors import DtypeError, ShapeError

_IMAGES = "(N, height, width, channels); from channels first, x.transpose(0, 2, 3, 1)"
_WEIGHTS = "(height, width, channels in, channels out); from channels first, w.transpose(2, 3, 1, 0)"


def conv2d(x: ArrayLike, w: ArrayLike, strides: int | Sequence[int] = 1, padding: Padding = "SAME") -> Value:
    """The convolution of images with weights (as in all of deep learning, a correlation: the
    weights are not flipped).

    ``y[n, u, v, d] = sum x[n, u s - p + i, v s - p + j, c] w[i, j, c, d]`` over i, j and c.

    Parameters
    ----------
    x
        Images, of shape ``(N, H, W, C)``.
    w
        Weights, of shape ``(kh, kw, C, D)``.
    strides
        Steps of the window: a number, or one for rows and one for columns.
    padding
        Zeros around the image: ``"SAME"`` (results of sides ``ceil(H / s)``, the odd row and column
        of zeros at the bottom and the right, as in TensorFlow), ``"VALID"`` (none), a number of
        cells on every side, or ``((above, below), (left, right))``.

    Returns
    -------
    Array or numpy.ndarray
        Of shape ``(N, H', W', D)``.

    Raises
    ------
    ShapeError
        The channels differ, an operand has not four axes, or the weights are larger than the padded
        image.

    Notes
    -----
    The kernels take weights of 3 x 3 with stride 1, from 16 channels on, by Winograd's products of sums: equal to the
    definition up to rounding. The error of an output is at most ``16 (C + 11) u`` times the sum over the ``C`` channels
    of the channel's largest magnitude in the output's window, times the sum of its nine weights' magnitudes (``u`` is
    half the dtype's ``eps``). The definition's error is relative to the sum of the products' magnitudes, which is
    smaller where pixels or weights differ in size. So an output is computed by the definition if pixels of its window
    differ by more than a factor of 256 (in their largest channels, zeros apart), and an image is if more than a quarter
    of its outputs are, or if a result is not finite. Small channels next to large ones of the same pixels, and weights
    of very different sizes, are not looked at: there the bound alone holds. An image has the same bits in a batch as
    alone.
    """
    strides = windows.pair("conv2d", "strides", strides)
    sides, window = _sides("conv2d", "x", operands.shape_of(x)), _sides("conv2d", "w", operands.shape_of(w))
    x, w = operands.same_dtype("conv2d", x, w)
    return apply(CONV2D, x, w, strides=strides, padding=windows.margins("conv2d", padding, sides, window, strides))


def conv2d_input(
    g: ArrayLike, w: ArrayLike, size: int | Sequence[int], strides: int | Sequence[int] = 1, padding: Padding = "SAME"
) -> Value:
    """The transpose of :func:`conv2d` in its images, also called transposed convolution: it spreads
    each pixel out.

    ``x[n, u s - p + i, v s - p + j, c] = sum g[n, u, v, d] w[i, j, c, d]`` over all ways to reach
    that place, and d.

    Parameters
    ----------
    g
        Of shape ``(N, H', W', D)``, as a result of :func:`conv2d`.
    w
        Weights, of shape ``(kh, kw, C, D)``.
    size
        ``(H, W)``: several sizes of images lead to one of results.
    strides, padding
        Those of :func:`conv2d` from ``x`` to ``g``.

    Returns
    -------
    Array or numpy.ndarray
        Of shape ``(N, H, W, C)``.

    Raises
    ------
    ShapeError
        The channels differ, or images of this size would not give results of this one.
    """
    size, strides = windows.pair("conv2d_input", "size", size), windows.pair("conv2d_input", "strides", strides)
    _sides("conv2d_input", "g", operands.shape_of(g))
    found = windows.margins("conv2d_input", padding, size, _sides("conv2d_input", "w", operands.shape_of(w)), strides)
    g, w = operands.same_dtype("conv2d_input", g, w)
    return apply(CONV2D_INPUT, g, w, strides=strides, padding=found, size=size)


def conv2d_weight(
    x: ArrayLike, g: ArrayLike, size: int | Sequence[int], strides: int | Sequence[int] = 1, padding: Padding = "SAME"
) -> Value:
    """The transpose of :func:`conv2d` in its weights: correlations of images with results, for each
    shift.

    ``w[i, j, c, d] = sum x[n, u s - p + i, v s - p + j, c] g[n, u, v, d]`` over n, u and v.

    Parameters
    ----------
    x
        Images, of shape ``(N, H, W, C)``.
    g
        Of shape ``(N, H', W', D)``, as a result of :func:`conv2d`.
    size
        ``(kh, kw)``.
    strides, padding
        Those of :func:`conv2d` from ``x`` to ``g``.

    Returns
    -------
    Array or numpy.ndarray
        Of shape ``(kh, kw, C, D)``.

    Raises
    ------
    ShapeError
        The numbers of images differ, or weights of this size would not give results of this one.

    Notes
    -----
    Where :func:`conv2d` takes Winograd's products, so do the kernels here, and sum them over tiles of 2 x 2 places. The
    error of an element is at most ``16 (s + 8) u`` times the sum over the tiles of the largest magnitude of its channel
    of ``x`` in the 4 x 4 pixels under the tile, times the sum of the magnitudes of its channel of ``g`` in the tile.
    The sum of ``n`` tiles takes ``s = min(n, 272 + log2(n))`` roundings. What tiles give whose pixels, of ``x`` or of
    ``g``, differ by more than a factor of 256 is added by the definition; if they are more than a quarter of all tiles,
    or if the result is not finite, all of it is computed so.
    """
    size, strides = windows.pair("conv2d_weight", "size", size), windows.pair("conv2d_weight", "strides", strides)
    _sides("conv2d_weight", "g", operands.shape_of(g))
    found = windows.margins("conv2d_weight", padding, _sides("conv2d_weight", "x", operands.shape_of(x)), size, strides)
    x, g = operands.same_dtype("conv2d_weight", x, g)
    return apply(CONV2D_WEIGHT, x, g, strides=strides, padding=found, size=size)


# Shape rules


def _sides(name: str, argument: str, shape: Shape) -> Pair:
    """Rows and columns of images, or of weights."""
    if len(shape) != 4:
        layout = _WEIGHTS if argument == "w" else f"{_IMAGES}. One image alone is {argument}[None]"
        raise ShapeError(f"{name}: {argument} has shape {shape}, expected {layout}")
    return (shape[0], shape[1]) if argument == "w" else (shape[1], shape[2])


def _convolved(x: Any, w: Any, strides: Pair, padding: Margins) -> Form:
    sides, window = _sides("conv2d", "x", x.shape), _sides("conv2d", "w", w.shape)
    if x.shape[3] != w.shape[2]:
        raise ShapeError(
            f"conv2d of shapes {x.shape} and {w.shape}: {x.shape[3]} channels do not meet {w.shape[2]}. "
            f"x is {_IMAGES}. w is {_WEIGHTS}"
        )
    _require_same_dtype("conv2d", x, w)
    return Form((x.shape[0], *windows.places("conv2d", sides, window, strides, padding), w.shape[3]), x.dtype)


def _convolved_input(g: Any, w: Any, strides: Pair, padding: Margins, size: Pair) -> Form:
    sides, window = _sides("conv2d_input", "g", g.shape), _sides("conv2d_input", "w", w.shape)
    if g.shape[3] != w.shape[3]:
        raise ShapeError(
            f"conv2d_input of shapes {g.shape} and {w.shape}: {g.shape[3]} channels do not meet {w.shape[3]}. "
            f"w is {_WEIGHTS}"
        )
    expected = windows.places("conv2d_input", size, window, strides, padding)
    _require_places("conv2d_input", sides, "images", size, expected)
    _require_same_dtype("conv2d_input", g, w)
    return Form((g.shape[0], *size, w.shape[2]), g.dtype)


def _convolved_weight(x: Any, g: Any, strides: Pair, padding: Margins, size: Pair) -> Form:
    sides, results = _sides("conv2d_weight", "x", x.shape), _sides("conv2d_weight", "g", g.shape)
    if x.shape[0] != g.shape[0]:
        raise ShapeError(f"conv2d_weight of shapes {x.shape} and {g.shape}: the numbers of images differ")
    expected = windows.places("conv2d_weight", sides, size, strides, padding)
    _require_places("conv2d_weight", results, "weights", size, expected)
    _require_same_dtype("conv2d_weight", x, g)
    return Form((*size, x.shape[3], g.shape[3]), x.dtype)


def _require_places(name: str, found: Pair, argument: str, size: Pair, expected: Pair) -> None:
    if found != expected:
        raise ShapeError(
            f"{name}: g has {found[0]} x {found[1]} places, but {argument} of size {size[0]} x {size[1]} lead to "
            f"{expected[0]} x {expected[1]}; choose another size, or the strides and padding that led to g"
        )


def _require_same_dtype(name: str, x: Any, y: Any) -> None:
    if x.dtype != y.dtype or x.dtype.kind != "f":
        raise DtypeError(f"{name} of {x.dtype.name} and {y.dtype.name}: both must be float32, or both float64")


# The primitives: references are sums over the cells of the window
#
# With x, w and g as in T above and h the cotangent that comes in, in the place of the result.


def _sample(which: str) -> Sample:
    def sample(draw: Draw) -> tuple[tuple[NDArray[Any], ...], dict[str, Any]]:
        sides, results, params = windows.sample(draw)
        window = params.pop("window")
        count, inputs, outputs = (draw.integer(0, 2) for _ in range(3))
        x, w, g = (count, *sides, inputs), (*window, inputs, outputs), (count, *results, outputs)
        if which == "conv2d":
            return (draw.array(x), draw.array(w)), params
        if which == "conv2d_input":
            return (draw.array(g), draw.array(w)), params | {"size": sides}
        return (draw.array(x), draw.array(g)), params | {"size": window}

    return sample


def _flops(places: Any, weight: Any) -> int:
    """Two for each place, tap of the window, channel read and channel written."""
    return int(2 * math.prod(places.shape) * math.prod(weight.shape[:-1]))


@operation(
    rules=(
        lambda h, y, x, w, **geometry: apply(CONV2D_INPUT, h, w, **geometry, size=x.shape[1:3]),
        lambda h, y, x, w, **geometry: apply(CONV2D_WEIGHT, x, h, **geometry, size=w.shape[:2]),
    ),
    shape=_convolved,
    sample=_sample("conv2d"),
    quadratic=True,
    flops=lambda y, x, w, **_: _flops(y, w),
)
def _conv2d(x: Any, w: Any, *, strides: Pair, padding: Margins) -> Any:
    results = windows.places("conv2d", x.shape[1:3], w.shape[:2], strides, padding)
    y = np.zeros((x.shape[0], *results, w.shape[3]), np.result_type(x, w))
    for cell, under in windows.cells(windows.pad(x, padding), w.shape[:2], strides, results):
        y += under @ w[cell]
    return y


@operation(
    rules=(
        lambda h, y, g, w, size, **geometry: apply(CONV2D, h, w, **geometry),
        lambda h, y, g, w, size, **geometry: apply(CONV2D_WEIGHT, h, g, **geometry, size=w.shape[:2]),
    ),
    shape=_convolved_input,
    sample=_sample("conv2d_input"),
    quadratic=True,
    flops=lambda x, g, w, **_: _flops(g, w),
)
def _conv2d_input(g: Any, w: Any, *, strides: Pair, padding: Margins, size: Pair) -> Any:
    # Beyond its places g is 0, and these zeros are terms like those around x: an infinite weight
    # makes NaN of both.
    down, right = ((side - 1) // stride + 1 for side, stride in zip(w.shape[:2], strides, strict=True))
    g = windows.pad(g, (down, down, right, right))
    sides = [(n - 1) * s + k for n, s, k in zip(g.shape[1:3], strides, w.shape[:2], strict=True)]
    x = np.zeros((g.shape[0], *sides, w.shape[2]), np.result_type(g, w))
    for cell, under in windows.cells(x, w.shape[:2], strides, g.shape[1:3]):
        under[...] += g @ w[cell].T
    top, left = padding[0] + down * strides[0], padding[2] + right * strides[1]
    return x[:, top : top + size[0], left : left + size[1]]


@operation(
    rules=(
        lambda h, y, x, g, size, **geometry: apply(CONV2D_INPUT, g, h, **geometry, size=x.shape[1:3]),
        lambda h, y, x, g, size, **geometry: apply(CONV2D, x, h, **geometry),
    ),
    shape=_convolved_weight,
    sample=_sample("conv2d_weight"),
    quadratic=True,
    flops=lambda w, x, g, **_: _flops(g, w),
)
def _conv2d_weight(x: Any, g: Any, *, strides: Pair, padding: Margins, size: Pair) -> Any:
    w = np.zeros((*size, x.shape[3], g.shape[3]), np.result_type(x, g))
    for cell, under in windows.cells(windows.pad(x, padding), size, strides, g.shape[1:3]):
        w[cell] = np.tensordot(under, g, axes=((0, 1, 2), (0, 1, 2)))
    return w


CONV2D: Primitive = _conv2d.primitive
CONV2D_INPUT: Primitive = _conv2d_input.primitive
CONV2D_WEIGHT: Primitive = _conv2d_weight.primitive
