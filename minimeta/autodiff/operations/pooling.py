"""Pooling: one number for each window of an image, channel by channel.

The maximum of a window w is the element at one of its cells, c(w). Which one is piecewise constant
in the image, and what is left is linear: with x(w, k) for what lies under the cell of number k, and
[] for 1 if it holds and 0 if not,

    y(w) = sum_k [k = c(w)] x(w, k)        dL/dx(w, k) += [k = c(w)] dL/dy(w)

which ``max_cell`` (that is c), ``pool_take`` and ``pool_put`` compute. The two sums are each
other's transpose, so every order of derivative is one of them. A sum over windows is linear too,
and its transpose gives every cell the sum over the windows that hold it: ``sum_pool`` and
``sum_pool_input`` close a family of their own. The average divides by the number of cells on the
image. Padding only makes room for windows: it is never the maximum, and is not counted.

Images are NHWC, shape (N, H, W, C).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minimeta.autodiff.apply import apply
from minimeta.autodiff.array import ArrayLike, Form, Shape, Value
from minimeta.autodiff.definition import operation
from minimeta.autodiff.operations import operands, windows
from minimeta.autodiff.operations.windows import Margins, Padding, Pair
from minimeta.autodiff.primitive import Draw, Primitive
from minimeta.errors import DtypeError, ShapeError


def max_pool(
    x: ArrayLike,
    window: int | Sequence[int] = 2,
    strides: int | Sequence[int] | None = None,
    padding: Padding = "VALID",
) -> Value:
    """The largest element of each window; NaN if one is NaN.

    The first of several that tie, row by row, takes the whole derivative (as in TensorFlow and
    PyTorch).

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
    geometry = _geometry("max_pool", x, window, strides, padding)
    return apply(POOL_TAKE, x, apply(MAX_CELL, x, **geometry), **geometry)


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
    return total / apply(SUM_POOL, np.ones((1, *operands.shape_of(x)[1:3], 1), total.dtype), **geometry)


def _geometry(name: str, x: ArrayLike, window: Any, strides: Any, padding: Padding) -> dict[str, Any]:
    window = windows.pair(name, "window", window)
    strides = window if strides is None else windows.pair(name, "strides", strides)
    sides = _sides(name, operands.shape_of(x))
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


def _pooled(name: str) -> Callable[..., Form]:
    def shape(x: Any, window: Pair, strides: Pair, padding: Margins) -> Form:
        results = _places(name, x, _sides(name, x.shape), window, strides, padding)
        return Form((x.shape[0], *results, x.shape[3]), x.dtype)

    return shape


def _spread(name: str) -> Callable[..., Form]:
    def shape(g: Any, window: Pair, strides: Pair, padding: Margins, size: Pair) -> Form:
        expected = _places(name, g, size, window, strides, padding)
        if _sides(name, g.shape) != expected:
            raise ShapeError(f"{name} of shape {g.shape}: images of {size} have {expected} windows")
        return Form((g.shape[0], *size, g.shape[3]), g.dtype)

    return shape


def _number(window: Pair) -> np.dtype[Any]:
    """The dtype of the number of a cell: it counts row by row, and also what lies on the padding."""
    return np.dtype(np.uint8 if window[0] * window[1] <= 256 else np.uint32)


def _maximal(x: Any, window: Pair, strides: Pair, padding: Margins) -> Form:
    return Form(_pooled("max_pool")(x, window, strides, padding).shape, _number(window))


def _taken(x: Any, cell: Any, window: Pair, strides: Pair, padding: Margins) -> Form:
    result = _pooled("pool_take")(x, window, strides, padding)
    _check_cell("pool_take", cell, result.shape, window)
    return result


def _put(g: Any, cell: Any, window: Pair, strides: Pair, padding: Margins, size: Pair) -> Form:
    _check_cell("pool_put", cell, g.shape, window)
    return _spread("pool_put")(g, window, strides, padding, size)


def _check_cell(name: str, cell: Any, shape: Shape, window: Pair) -> None:
    if cell.shape != shape:
        raise ShapeError(f"{name}: one cell for each window is of shape {shape}, not {cell.shape}")
    if cell.dtype != _number(window):
        raise DtypeError(f"{name}: the cells of a window of {window} are {_number(window)}, not {cell.dtype.name}")


# The primitives


def _sample(
    draw: Draw, transposed: bool = False, chosen: bool = False
) -> tuple[tuple[NDArray[Any], ...], dict[str, Any]]:
    sides, results, params = windows.sample(draw, on_image=True)
    count, channels = draw.integer(0, 2), draw.integer(0, 3)
    places, window = (count, *results, channels), params["window"]
    cells = (draw.indices(places, window[0] * window[1]) % (window[0] * window[1])).astype(_number(window))
    if transposed:
        params |= {"size": sides}
    floats = draw.array(places if transposed else (count, *sides, channels))
    return ((floats, cells) if chosen else (floats,)), params


def _flops(places: Any, window: Pair) -> int:
    """One for each cell of each window."""
    return int(math.prod(places.shape) * math.prod(window))


@operation(rules=(), shape=_maximal, sample=_sample, flops=lambda y, x, window, **_: _flops(y, window))
def _max_cell(x: Any, *, window: Pair, strides: Pair, padding: Margins) -> NDArray[Any]:
    """The first maximum (of real parts), or the first NaN."""
    results = windows.places("max_pool", x.shape[1:3], window, strides, padding)

    def under(values: Any, outside: float) -> Any:
        padded = windows.pad(values, padding, outside)
        return np.stack([view for _, view in windows.cells(padded, window, strides, results)])

    values, on_image = under(np.real(x), -np.inf), under(np.ones(x.shape, bool), False)
    largest = (values == values.max(0)) | np.isnan(values)
    return np.asarray(np.argmax(largest & on_image, axis=0), _number(window))


@operation(
    rules=(lambda g, y, x, cell, **geometry: apply(POOL_PUT, g, cell, **geometry, size=x.shape[1:3]), None),
    shape=_taken,
    sample=lambda draw: _sample(draw, chosen=True),
    linear=True,
    exact=True,
)
def _pool_take(x: Any, cell: Any, *, window: Pair, strides: Pair, padding: Margins) -> Any:
    y = np.zeros(cell.shape, x.dtype)
    for number, (_, under) in enumerate(windows.cells(windows.pad(x, padding), window, strides, cell.shape[1:3])):
        np.copyto(y, under, where=cell == number)
    return y


@operation(
    rules=(lambda h, x, g, cell, size, **geometry: apply(POOL_TAKE, h, cell, **geometry), None),
    shape=_put,
    sample=lambda draw: _sample(draw, transposed=True, chosen=True),
    linear=True,
    exact=True,
)
def _pool_put(g: Any, cell: Any, *, window: Pair, strides: Pair, padding: Margins, size: Pair) -> Any:
    above, _, left, _ = padding
    padded = windows.pad(np.zeros((g.shape[0], *size, g.shape[3]), g.dtype), padding)
    for number, (_, under) in enumerate(windows.cells(padded, window, strides, g.shape[1:3])):
        np.add(under, g, out=under, where=cell == number)
    return padded[:, above : above + size[0], left : left + size[1]]


@operation(
    rules=(lambda g, y, x, **geometry: apply(SUM_POOL_INPUT, g, **geometry, size=x.shape[1:3]),),
    shape=_pooled("average_pool"),
    sample=_sample,
    linear=True,
    flops=lambda y, x, window, **_: _flops(y, window),
)
def _sum_pool(x: Any, *, window: Pair, strides: Pair, padding: Margins) -> Any:
    results = windows.places("sum_pool", x.shape[1:3], window, strides, padding)
    y = np.zeros((x.shape[0], *results, x.shape[3]), x.dtype)
    for _, under in windows.cells(windows.pad(x, padding), window, strides, results):
        y += under
    return y


@operation(
    rules=(lambda h, x, g, size, **geometry: apply(SUM_POOL, h, **geometry),),
    shape=_spread("sum_pool_input"),
    sample=lambda draw: _sample(draw, transposed=True),
    linear=True,
    flops=lambda x, g, window, **_: _flops(g, window),
)
def _sum_pool_input(g: Any, *, window: Pair, strides: Pair, padding: Margins, size: Pair) -> Any:
    above, _, left, _ = padding
    padded = windows.pad(np.zeros((g.shape[0], *size, g.shape[3]), g.dtype), padding)
    for _, under in windows.cells(padded, window, strides, g.shape[1:3]):
        under[...] += g
    return padded[:, above : above + size[0], left : left + size[1]]


MAX_CELL: Primitive = _max_cell.primitive
POOL_TAKE: Primitive = _pool_take.primitive
POOL_PUT: Primitive = _pool_put.primitive
SUM_POOL: Primitive = _sum_pool.primitive
SUM_POOL_INPUT: Primitive = _sum_pool_input.primitive
