"""Pooling: one number for each window of an image, channel by channel.

The maximum of a window is the element at one of its positions. Which one is piecewise constant in the image, so

    y = x[positions]        dL/dx[positions] += dL/dy

with the gather and scatter-add of indexing, and every order of derivative is theirs. A sum over windows is linear, and
its transpose gives every cell the sum over the windows that hold it: ``sum_pool`` and ``sum_pool_input`` close a
family. The average divides by the number of cells on the image. Padding only makes room for windows: it is never the
maximum, and is not counted.

Images are NHWC, shape (N, H, W, C).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minimeta.autodiff.array import Abstract, ArrayLike, Value
from minimeta.autodiff.operations import indexing, shaping, windows
from minimeta.autodiff.operations.windows import Margins, Padding, Pair
from minimeta.autodiff.primitive import Draw, Primitive, apply, register
from minimeta.errors import DtypeError, ShapeError


def max_pool(
    x: ArrayLike,
    window: int | Sequence[int] = 2,
    strides: int | Sequence[int] | None = None,
    padding: Padding = "VALID",
) -> Value:
    """The largest element of each window; NaN if one is NaN.

    The first of several that tie, row by row, takes the whole derivative (as in TensorFlow and PyTorch).

    Parameters
    ----------
    x
        Images, of shape ``(N, H, W, C)``.
    window
        Its sides: a number, or one for rows and one for columns.
    strides
        Its steps; None for steps as long as the window.
    padding
        As in :func:`conv2d`, but smaller than the window; never the maximum.

    Returns
    -------
    Array or numpy.ndarray
        Of shape ``(N, H', W', C)``.

    Raises
    ------
    ShapeError
        Not four axes, or a window that lies on padding alone.
    """
    return indexing.take(x, apply(MAX_POSITIONS, x, **_geometry("max_pool", x, window, strides, padding)))


def average_pool(
    x: ArrayLike,
    window: int | Sequence[int] = 2,
    strides: int | Sequence[int] | None = None,
    padding: Padding = "VALID",
) -> Value:
    """The mean of each window's cells on the image; padding is not counted.

    Parameters and errors are those of :func:`max_pool`.
    """
    geometry = _geometry("average_pool", x, window, strides, padding)
    total = apply(SUM_POOL, x, **geometry)
    return total / apply(SUM_POOL, np.ones((1, *shaping.shape_of(x)[1:3], 1), total.dtype), **geometry)


def _geometry(name: str, x: ArrayLike, window: Any, strides: Any, padding: Padding) -> dict[str, Any]:
    window = windows.pair(name, "window", window)
    strides = window if strides is None else windows.pair(name, "strides", strides)
    sides = _sides(name, shaping.shape_of(x))
    return {"window": window, "strides": strides, "padding": windows.margins(name, padding, sides, window, strides)}


# Shape rules


def _sides(name: str, shape: Sequence[int]) -> Pair:
    if len(shape) != 4:
        raise ShapeError(f"{name}: images have shape (N, height, width, channels), not {tuple(shape)}")
    return shape[1], shape[2]


def _places(name: str, x: Any, sides: Pair, window: Pair, strides: Pair, padding: Margins) -> Pair:
    """Rows and columns of results, each of which has a cell on the image."""
    if x.dtype.kind != "f":
        raise DtypeError(f"{name} of dtype {x.dtype.name}: it needs float32 or float64; convert with astype")
    if max(padding[:2]) >= window[0] or max(padding[2:]) >= window[1] or 0 in sides:
        raise ShapeError(
            f"{name}: padding {padding} (above, below, left, right) must be smaller than the window of {window[0]} x "
            f"{window[1]}, and the image of {sides[0]} x {sides[1]} not empty: each window needs a cell on the image"
        )
    return windows.places(name, sides, window, strides, padding)


def _pooled(name: str, dtype: str | None = None) -> Callable[..., Abstract]:
    def shape(x: Any, window: Pair, strides: Pair, padding: Margins) -> Abstract:
        results = _places(name, x, _sides(name, x.shape), window, strides, padding)
        return Abstract((x.shape[0], *results, x.shape[3]), dtype or x.dtype)

    return shape


def _spread(g: Any, window: Pair, strides: Pair, padding: Margins, size: Pair) -> Abstract:
    expected = _places("sum_pool_input", g, size, window, strides, padding)
    if _sides("sum_pool_input", g.shape) != expected:
        raise ShapeError(f"sum_pool_input of shape {g.shape}: images of {size} have {expected} windows")
    return Abstract((g.shape[0], *size, g.shape[3]), g.dtype)


# References


def _max_positions(x: Any, window: Pair, strides: Pair, padding: Margins) -> NDArray[np.int64]:
    """Where in the flattened images the first maximum (of real parts) of each window is."""

    def under(values: Any, outside: float) -> Any:
        padded = windows.pad(values, padding, outside)
        return np.stack([view for _, view in windows.cells(padded, window, strides, results)])

    results = windows.places("max_pool", x.shape[1:3], window, strides, padding)
    positions = under(np.arange(x.size, dtype=np.int64).reshape(x.shape), -1)
    values = under(np.real(x), -np.inf)
    largest = (values == values.max(0)) | np.isnan(values)
    first = np.argmax(largest & (positions >= 0), axis=0)
    return np.asarray(np.take_along_axis(positions, first[None], 0)[0])


def _sum_pool(x: Any, window: Pair, strides: Pair, padding: Margins) -> Any:
    results = windows.places("sum_pool", x.shape[1:3], window, strides, padding)
    y = np.zeros((x.shape[0], *results, x.shape[3]), x.dtype)
    for _, under in windows.cells(windows.pad(x, padding), window, strides, results):
        y += under
    return y


def _sum_pool_input(g: Any, window: Pair, strides: Pair, padding: Margins, size: Pair) -> Any:
    above, _, left, _ = padding
    padded = windows.pad(np.zeros((g.shape[0], *size, g.shape[3]), g.dtype), padding)
    for _, under in windows.cells(padded, window, strides, g.shape[1:3]):
        under[...] += g
    return padded[:, above : above + size[0], left : left + size[1]]


# The primitives


def _sample(draw: Draw, transposed: bool = False) -> tuple[tuple[NDArray[Any], ...], dict[str, Any]]:
    sides, results, params = windows.sample(draw, on_image=True)
    count, channels = draw.integer(0, 2), draw.integer(0, 3)
    if transposed:
        return (draw.array((count, *results, channels)),), params | {"size": sides}
    return (draw.array((count, *sides, channels)),), params


MAX_POSITIONS: Primitive = register(
    "max_positions",
    shape=_pooled("max_pool", "int64"),
    reference=_max_positions,
    rules=(),
    sample=_sample,
    differentiable=False,
)
SUM_POOL: Primitive = register(
    "sum_pool",
    shape=_pooled("average_pool"),
    reference=_sum_pool,
    rules=(lambda g, y, x, **geometry: apply(SUM_POOL_INPUT, g, **geometry, size=x.shape[1:3]),),
    sample=_sample,
)
SUM_POOL_INPUT: Primitive = register(
    "sum_pool_input",
    shape=_spread,
    reference=_sum_pool_input,
    rules=(lambda h, x, g, size, **geometry: apply(SUM_POOL, h, **geometry),),
    sample=lambda draw: _sample(draw, transposed=True),
)
