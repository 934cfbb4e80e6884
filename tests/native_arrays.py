"""Arrays for the tests of kernels: values, layouts, and how results are compared."""

from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

Array = NDArray[Any]


FLOATS = ("float32", "float64")


DTYPES = ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", *FLOATS)


LAYOUTS = ("contiguous", "transposed", "reversed", "stepped", "broadcast", "read-only")


SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 3.0, 88.0, -104.0, 1e30, -1e30, 1e-42, 1e-310, np.inf, -np.inf, np.nan]


def lay_out(values: Array, layout: str) -> Array:
    """The same shape and dtype (and, except for 'broadcast', the same values) in another layout."""
    values = np.asarray(values)
    if values.ndim == 0:
        return values.copy()
    if layout == "transposed":
        return values.T.copy().T
    if layout == "reversed":
        every = (slice(None, None, -1),) * values.ndim
        return values[every].copy()[every]
    if layout == "stepped":
        wide = np.zeros([2 * n for n in values.shape], values.dtype)
        view = wide[(slice(None, None, 2),) * values.ndim]
        view[...] = values
        return view
    if layout == "broadcast" and values.size:
        return np.broadcast_to(values[:1], values.shape)
    fresh = values.copy()
    fresh.flags.writeable = layout != "read-only"
    return fresh


def random_values(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> Array:
    if dtype == "bool":
        return np.asarray(rng.integers(0, 2, shape)).astype(bool)
    if dtype in FLOATS:
        return np.asarray(rng.normal(size=shape)).astype(dtype)
    return np.asarray(rng.integers(0, 100, shape)).astype(dtype)


def bits(x: Array) -> Array:
    return np.ascontiguousarray(x).reshape(-1).view(np.uint8)


def assert_same_bits(x: Array, y: Array) -> None:
    assert x.shape == y.shape
    assert x.dtype == y.dtype
    assert_array_equal(bits(x), bits(y))


def assert_fresh(result: Array, *operands: Array) -> None:
    assert type(result) is np.ndarray
    assert result.flags.c_contiguous
    assert result.flags.writeable
    assert not any(np.shares_memory(result, x) for x in operands)


def assert_close(result: Array, expected: Array, ulps: float = 8, scale: float = 1.0) -> None:
    """Equal to a few ulps of the larger of the value and ``scale``; special values exactly."""
    assert result.shape == expected.shape
    assert result.dtype == expected.dtype
    eps = float(np.finfo(result.dtype).eps)
    np.testing.assert_allclose(result, expected, rtol=ulps * eps, atol=ulps * eps * scale)


shapes = st.one_of(
    st.lists(st.integers(0, 4), max_size=4).map(tuple),
    st.sampled_from([(17,), (33, 5), (5, 33), (2, 40, 9), (1100,), (3, 1030), (1030, 3)]),
)


seeds = st.integers(0, 2**32 - 1)


layouts = st.sampled_from(LAYOUTS)


floats = st.sampled_from(FLOATS)


@st.composite
def float_arrays(draw: st.DrawFn, special: bool = False) -> Array:
    shape, dtype, layout = draw(shapes), draw(floats), draw(layouts)
    rng = np.random.default_rng(draw(seeds))
    values = rng.normal(size=shape) * 3
    if special:
        values = np.where(rng.random(shape) < 0.5, rng.choice(SPECIAL, size=shape), values)
    return lay_out(values.astype(dtype), layout)


sides = st.sampled_from([0, 1, 2, 3, 4, 5, 6, 8, 11, 16, 17, 31, 40])
