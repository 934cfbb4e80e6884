"""How to call every function of the extension: a table for tests that hold for all of them.

``CALLS[name](rng, shape, dtype)`` draws operands about as large as ``shape`` and the other arguments, so that
``getattr(native, name)(*operands, **arguments)`` is a legal call. ``dtype`` is a float's; functions of other dtypes
pick their own.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Shape = tuple[int, ...]
Call = tuple[tuple[Array, ...], dict[str, Any]]
Draw = Callable[[np.random.Generator, Shape, str], Call]


def _floats(rng: np.random.Generator, shape: Shape, dtype: str) -> Array:
    return np.asarray(rng.normal(size=shape)).astype(dtype)


def _booleans(rng: np.random.Generator, shape: Shape) -> Array:
    return np.asarray(rng.integers(0, 2, shape)).astype(bool)


def _elementwise(floats: int, booleans: int = 0) -> Draw:
    def draw(rng: np.random.Generator, shape: Shape, dtype: str) -> Call:
        masks = [_booleans(rng, shape) for _ in range(booleans)]
        return (*masks, *(_floats(rng, shape, dtype) for _ in range(floats))), {}

    return draw


def _whole(rng: np.random.Generator, shape: Shape, dtype: str) -> Call:
    kind = str(rng.choice(["int8", "uint16", "int32", "int64", "uint64"]))
    return tuple(rng.integers(0, 100, shape).astype(kind) for _ in range(2)), {}


def _reduction(keepdims: bool = True, **arguments: Any) -> Draw:
    def draw(rng: np.random.Generator, shape: Shape, dtype: str) -> Call:
        axes = tuple(d for d in range(len(shape)) if shape[d] and rng.integers(2))
        kept = {"keepdims": bool(rng.integers(2))} if keepdims else {}
        return (_floats(rng, shape, dtype),), {"axes": axes, **kept, **arguments}

    return draw


def _argmax(rng: np.random.Generator, shape: Shape, dtype: str) -> Call:
    shape = (3, *shape)
    axis = rng.choice([d for d, side in enumerate(shape) if side > 0])
    return (_floats(rng, shape, dtype),), {"axis": int(axis), "keepdims": bool(rng.integers(2))}


def _searchsorted(rng: np.random.Generator, shape: Shape, dtype: str) -> Call:
    ordered = np.sort(_floats(rng, (int(rng.integers(0, 9)),), dtype))
    return (ordered, _floats(rng, shape, dtype)), {"right": bool(rng.integers(2))}


def _squares(operands: int) -> Draw:
    """Stacks of matrices, the first of which has inverses; a stack of large ones is one of many small ones."""

    def draw(rng: np.random.Generator, shape: Shape, dtype: str) -> Call:
        *batch, n = shape or (3,)
        while n > 16:
            batch, n = [*batch, n // 16 + 1], 16
        well = (3 * np.eye(n)).astype(dtype)[::-1]
        return tuple(_floats(rng, (*batch, n, n), dtype) / max(n, 1) + well for _ in range(operands)), {}

    return draw


def _sequences(**arguments: Any) -> Draw:
    def draw(rng: np.random.Generator, shape: Shape, dtype: str) -> Call:
        x = _floats(rng, shape or (3,), dtype)
        return (x,), {"axis": int(rng.integers(x.ndim)), **arguments}

    return draw


def _fourier(form: str) -> Draw:
    """A call of a Fourier transform, which has no empty sides."""

    def draw(rng: np.random.Generator, shape: Shape, dtype: str) -> Call:
        *batch, n = (max(side, 1) for side in (shape or (3,)))
        axes = tuple(d for d in range(len(batch) + 1) if rng.integers(2))
        forms: dict[str, tuple[Shape, dict[str, Any]]] = {
            "fourier": ((*batch, n, 2), {"axes": axes, "inverse": bool(rng.integers(2))}),
            "of_real": ((*batch, n), {}),
            "to_real": ((*batch, n // 2 + 1, 2), {"n": n}),
        }
        sides, arguments = forms[form]
        return (_floats(rng, sides, dtype),), arguments

    return draw


def _matmul(rng: np.random.Generator, shape: Shape, dtype: str) -> Call:
    *batch, m, k = (3, 4, *shape)[-max(len(shape), 2) :]
    x, y = _floats(rng, (*batch, m, k), dtype), _floats(rng, (*batch, k, m + 1), dtype)
    transpose = bool(rng.integers(2))
    return (x, np.ascontiguousarray(np.swapaxes(y, -1, -2)) if transpose else y), {"transpose_y": transpose}


def _convolution(form: str) -> Draw:
    """A call of ``conv2d`` or of one of its transposes, on images whose sides are those of the last two axes."""

    def draw(rng: np.random.Generator, shape: Shape, dtype: str) -> Call:
        height, width = (max(side, 1) for side in (4, 3, *shape)[-2:])
        size = (int(rng.integers(1, min(height, 4) + 1)), int(rng.integers(1, min(width, 4) + 1)))
        strides, padding = tuple(map(int, rng.integers(1, 4, 2))), tuple(map(int, rng.integers(0, 3, 4)))
        places = (
            (height + padding[0] + padding[1] - size[0]) // strides[0] + 1,
            (width + padding[2] + padding[3] - size[1]) // strides[1] + 1,
        )
        images, channels, filters = (int(n) for n in rng.integers(1, 5, 3))
        x = _floats(rng, (images, height, width, channels), dtype)
        w = _floats(rng, (*size, channels, filters), dtype)
        g = _floats(rng, (images, *places, filters), dtype)
        windows: dict[str, Any] = {"strides": strides, "padding": padding}
        return {
            "conv2d": ((x, w), windows),
            "conv2d_input": ((g, w), {**windows, "size": (height, width)}),
            "conv2d_weight": ((x, g), {**windows, "size": size}),
        }[form]

    return draw


def _pooling(form: str) -> Draw:
    """A call of a function of windows, on images whose sides are those of the last two axes."""

    def draw(rng: np.random.Generator, shape: Shape, dtype: str) -> Call:
        height, width = (max(side, 1) for side in (4, 3, *shape)[-2:])
        window = (int(rng.integers(1, min(height, 3) + 1)), int(rng.integers(1, min(width, 3) + 1)))
        strides = tuple(map(int, rng.integers(1, 4, 2)))
        padding = tuple(int(rng.integers(window[axis])) for axis in (0, 0, 1, 1))
        places = (
            (height + padding[0] + padding[1] - window[0]) // strides[0] + 1,
            (width + padding[2] + padding[3] - window[1]) // strides[1] + 1,
        )
        images, channels = (int(n) for n in rng.integers(1, 5, 2))
        x, g = (_floats(rng, (images, *sides, channels), dtype) for sides in ((height, width), places))
        cell = np.asarray(rng.integers(0, window[0] * window[1], g.shape)).astype(np.uint8)
        windows: dict[str, Any] = {"window": window, "strides": strides, "padding": padding}
        return {
            "max_cell": ((x,), windows),
            "pool_take": ((x, cell), windows),
            "pool_put": ((g, cell), {**windows, "size": (height, width)}),
            "sum_pool": ((x,), windows),
            "sum_pool_input": ((g,), {**windows, "size": (height, width)}),
        }[form]

    return draw


def _indexed(rng: np.random.Generator, shape: Shape) -> tuple[Shape, tuple[Array, ...]]:
    """The shape of an array, none of whose indexed sides is 0, and indices for it."""
    shape = tuple(max(side, 1) for side in (shape or (2,)))
    many = tuple(rng.integers(0, 4, rng.integers(0, 3))) if max(shape) < 100 else (3000,)
    indexed = shape[: rng.integers(1, len(shape) + 1)]
    return shape, tuple(np.asarray(rng.integers(-side, side, many)) for side in indexed)


def _gather(rng: np.random.Generator, shape: Shape, dtype: str) -> Call:
    shape, indices = _indexed(rng, shape)
    return (_floats(rng, shape, dtype), *indices), {}


def _scatter_add(rng: np.random.Generator, shape: Shape, dtype: str) -> Call:
    shape, indices = _indexed(rng, shape)
    return (_floats(rng, indices[0].shape + shape[len(indices) :], dtype), *indices), {"shape": shape}


def _concatenate(rng: np.random.Generator, shape: Shape, dtype: str) -> Call:
    shape = shape or (2,)
    axis = int(rng.integers(len(shape)))
    parts = [(*shape[:axis], int(n), *shape[axis + 1 :]) for n in rng.integers(0, 4, 3)]
    return tuple(_floats(rng, part, dtype) for part in (shape, *parts)), {"axis": axis}


def _windows(rng: np.random.Generator, shape: Shape) -> tuple[Shape, Shape, Shape]:
    """A larger shape, and starts and steps of as many elements as ``shape`` has in it."""
    steps = tuple(int(step) for step in rng.choice([-2, -1, 1, 3], len(shape)))
    spans = [abs(step) * max(n - 1, 0) for n, step in zip(shape, steps, strict=True)]
    starts = tuple(1 if step > 0 else 1 + span for span, step in zip(spans, steps, strict=True))
    return tuple(span + 3 for span in spans), starts, steps


def _pad(rng: np.random.Generator, shape: Shape, dtype: str) -> Call:
    wide, starts, steps = _windows(rng, shape)
    return (_floats(rng, shape, dtype),), {"shape": wide, "starts": starts, "steps": steps}


def _slice(rng: np.random.Generator, shape: Shape, dtype: str) -> Call:
    wide, starts, steps = _windows(rng, shape)
    return (_floats(rng, wide, dtype),), {"starts": starts, "sizes": shape, "steps": steps}


def _with(arguments: Callable[[np.random.Generator, Shape], dict[str, Any]]) -> Draw:
    return lambda rng, shape, dtype: ((_floats(rng, shape, dtype),), arguments(rng, shape))


_UNARY = "negative exp log log1p expm1 sqrt square reciprocal absolute sign sin cos tan tanh erf sigmoid softplus relu"
_ROUNDING = "floor ceil trunc rint"
_BINARY = "add subtract multiply divide power logaddexp floor_divide remainder maximum minimum"
_SLOPES = "relu_slope sigmoid_slope tanh_slope"
_COMPARISONS = "equal not_equal less less_equal greater greater_equal"
_REDUCTIONS = "sum mean max min norm logsumexp"

CALLS: dict[str, Draw] = {
    **dict.fromkeys(f"{_UNARY} {_ROUNDING}".split(), _elementwise(1)),
    **dict.fromkeys(f"{_BINARY} {_SLOPES} {_COMPARISONS}".split(), _elementwise(2)),
    **dict.fromkeys(("logical_and", "logical_or"), _elementwise(0, 2)),
    "logical_not": _elementwise(0, 1),
    **dict.fromkeys(("bitwise_and", "bitwise_or", "bitwise_xor"), _whole),
    "where": _elementwise(2, 1),
    "clip": _elementwise(3),
    **dict.fromkeys(_REDUCTIONS.split(), _reduction()),
    "variance": _reduction(correction=1.0),
    **dict.fromkeys(("softmax", "log_softmax"), _reduction(keepdims=False)),
    "argmax": _argmax,
    "cumsum": _sequences(reverse=True),
    "order": _sequences(),
    "searchsorted": _searchsorted,
    **dict.fromkeys(("inv", "det", "slogdet"), _squares(1)),
    "solve": _squares(2),
    **{name: _fourier(name) for name in ("fourier", "of_real", "to_real")},
    "matmul": _matmul,
    **{name: _convolution(name) for name in ("conv2d", "conv2d_input", "conv2d_weight")},
    **{name: _pooling(name) for name in ("max_cell", "pool_take", "pool_put", "sum_pool", "sum_pool_input")},
    "gather": _gather,
    "scatter_add": _scatter_add,
    "copy": _elementwise(1),
    "astype": _with(lambda rng, shape: {"dtype": str(rng.choice(["float32", "int64", "bool"]))}),
    "concatenate": _concatenate,
    "pad": _pad,
    "broadcast_to": _with(lambda rng, shape: {"shape": (int(rng.integers(0, 3)), *shape)}),
    "transpose": _with(lambda rng, shape: {"axes": tuple(int(axis) for axis in rng.permutation(len(shape)))}),
    "slice": _slice,
    "reshape": _with(lambda rng, shape: {"shape": (1, *reversed(shape))}),
}
"""Every function that computes."""
