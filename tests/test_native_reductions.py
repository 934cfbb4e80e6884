"""Reductions against numpy and against the stated order of a sum."""

import math
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from native_arrays import (
    FLOATS,
    Array,
    assert_close,
    assert_fresh,
    assert_same_bits,
    float_arrays,
    lay_out,
    layouts,
    seeds,
    shapes,
)
from numpy.testing import assert_array_equal

if TYPE_CHECKING:
    from minimeta import _native


@pytest.fixture(scope="module", autouse=True)
def every_level(native: Any) -> None:
    """Run every test on every level; the stub's name stands for the level's extension."""
    globals()["_native"] = native


@st.composite
def arrays_and_axes(draw: st.DrawFn, special: bool = False) -> tuple[Array, tuple[int, ...]]:
    x = draw(float_arrays(special))
    return x, tuple(d for d in range(x.ndim) if draw(st.booleans()))


def logsumexp(x: Array, axes: tuple[int, ...], keepdims: bool) -> Array:
    wide = x.astype(np.longdouble)
    shift = np.max(wide, axis=axes, keepdims=True, initial=-np.inf)
    shift = np.where(np.isfinite(shift), shift, 0)
    total = np.log(np.sum(np.exp(wide - shift), axis=axes, keepdims=True)) + shift
    return np.asarray(total if keepdims else np.squeeze(total, axes)).astype(x.dtype)


@given(pair=arrays_and_axes(), keepdims=st.booleans())
def test_reductions(pair: tuple[Array, tuple[int, ...]], keepdims: bool) -> None:
    x, axes = pair
    wide = x.astype(np.longdouble)
    length = math.prod(x.shape[a] for a in axes)
    where: Any = {"axis": axes, "keepdims": keepdims}
    scale = float(np.abs(wide).sum()) + 1
    assert_close(_native.sum(x, axes=axes, keepdims=keepdims), np.sum(wide, **where).astype(x.dtype), scale=scale)
    assert_close(_native.norm(x, axes=axes, keepdims=keepdims), np.sqrt(np.sum(wide**2, **where)).astype(x.dtype), 16)
    with np.errstate(divide="ignore"):
        assert_close(_native.logsumexp(x, axes=axes, keepdims=keepdims), logsumexp(x, axes, keepdims), 16)
    if length:
        assert_close(_native.mean(x, axes=axes, keepdims=keepdims), np.mean(wide, **where).astype(x.dtype), 16)
        expected = np.var(wide, **where).astype(x.dtype)
        assert_close(_native.variance(x, axes=axes, keepdims=keepdims, correction=0.0), expected, 64)
        assert_array_equal(_native.max(x, axes=axes, keepdims=keepdims), np.max(x, **where), strict=True)
        assert_array_equal(_native.min(x, axes=axes, keepdims=keepdims), np.min(x, **where), strict=True)
    else:
        kept = np.sum(x, **where).shape
        assert_array_equal(_native.mean(x, axes=axes, keepdims=keepdims), np.full(kept, np.nan, x.dtype), strict=True)
        assert_array_equal(
            _native.variance(x, axes=axes, keepdims=keepdims, correction=1.0),
            np.full(kept, np.nan, x.dtype),
            strict=True,
        )


@given(pair=arrays_and_axes(special=True))
def test_reductions_of_special_values(pair: tuple[Array, tuple[int, ...]]) -> None:
    x, axes = pair
    if x.size == 0:
        return
    with np.errstate(all="ignore"):
        assert_array_equal(_native.max(x, axes=axes, keepdims=False), np.max(x, axis=axes))
        assert_array_equal(_native.min(x, axes=axes, keepdims=False), np.min(x, axis=axes))
        total, expected = _native.sum(x, axes=axes, keepdims=False), np.sum(x, axis=axes)
        assert_array_equal(np.isnan(total), np.isnan(expected))
        assert_array_equal(total[np.isinf(expected)], expected[np.isinf(expected)])
        assert_array_equal(
            _native.logsumexp(x, axes=axes, keepdims=False) == np.inf, logsumexp(x, axes, False) == np.inf
        )


@given(pair=arrays_and_axes())
def test_softmax(pair: tuple[Array, tuple[int, ...]]) -> None:
    x, axes = pair
    with np.errstate(divide="ignore"):
        wide = x.astype(np.longdouble) - logsumexp(x.astype(np.longdouble), axes, True)
    for name, expected in (("log_softmax", wide), ("softmax", np.exp(wide))):
        result = getattr(_native, name)(x, axes=axes)
        assert_fresh(result, x)
        assert_close(result, expected.astype(x.dtype), 32)


@pytest.mark.parametrize("dtype", ["bool", "int64", *FLOATS])
@given(shape=shapes, seed=seeds, layout=layouts, keepdims=st.booleans())
def test_argmax(dtype: str, shape: tuple[int, ...], seed: int, layout: str, keepdims: bool) -> None:
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 3, shape).astype(dtype)
    if dtype in FLOATS:
        x[rng.random(shape) < 0.05] = np.nan
    x = lay_out(x, layout)
    for axis in range(x.ndim):
        if x.shape[axis]:
            expected = np.asarray(np.argmax(x, axis=axis, keepdims=keepdims))
            assert_array_equal(_native.argmax(x, axis=axis, keepdims=keepdims), expected, strict=True)


@pytest.mark.parametrize("dtype", FLOATS)
def test_norm_neither_overflows_nor_underflows(dtype: str) -> None:
    info = np.finfo(dtype)
    for value in (info.max / 4, info.tiny, info.smallest_subnormal, 1.0):
        x = np.full(4, value, dtype)
        assert_array_equal(_native.norm(x, axes=(0,), keepdims=False), 2 * x[0])
    assert _native.norm(np.array([np.inf, 1], dtype), axes=(0,), keepdims=False) == np.inf
    assert np.isnan(_native.norm(np.array([np.inf, np.nan], dtype), axes=(0,), keepdims=False))
    assert _native.norm(np.zeros(3, dtype), axes=(0,), keepdims=False) == 0


def test_stated_reductions_of_infinities() -> None:
    inf = np.inf
    x = np.array([[-inf, -inf], [inf, 1], [inf, -inf], [np.nan, inf]])
    assert_array_equal(_native.logsumexp(x, axes=(1,), keepdims=False), [-inf, inf, inf, np.nan])
    assert_array_equal(_native.logsumexp(np.zeros((2, 0)), axes=(1,), keepdims=False), [-inf, -inf])
    assert np.signbit(_native.sum(np.array(-0.0), axes=(), keepdims=False))
    assert not np.signbit(_native.sum(np.zeros(0), axes=(0,), keepdims=False))
    assert _native.variance(np.array([1.0, 2, 4]), axes=(0,), keepdims=False, correction=1.0) == pytest.approx(
        np.var([1, 2, 4], ddof=1)
    )


@given(pair=arrays_and_axes())
def test_the_order_of_a_sum_depends_on_the_sequence_alone(pair: tuple[Array, tuple[int, ...]]) -> None:
    x, axes = pair
    kept = tuple(d for d in range(x.ndim) if d not in axes)
    rows = np.ascontiguousarray(np.transpose(x, kept + axes)).reshape(
        [x.shape[d] for d in kept] + [math.prod(x.shape[d] for d in axes)]
    )
    for name, more in (("sum", {}), ("norm", {}), ("logsumexp", {}), ("variance", {"correction": 1.0})):
        kernel = partial(getattr(_native, name), keepdims=False, **more)
        expected = kernel(rows, axes=(len(kept),))
        for layout in ("contiguous", "transposed", "reversed", "stepped"):
            assert_same_bits(kernel(lay_out(x, layout), axes=axes), expected)


# Short sequences that lie close together, of fewer rows than a vector has lanes and of more than are copied at once.
@pytest.mark.parametrize("rows", [5, 150])
@pytest.mark.parametrize("length", [1, 2, 3, 4, 11])
@pytest.mark.parametrize("width", [1, 2, 3, 5])
@pytest.mark.parametrize("dtype", FLOATS)
def test_the_order_of_short_sums_is_the_stated_one(rows: int, length: int, width: int, dtype: str) -> None:
    x = np.random.default_rng(length).normal(size=(rows, length, width)).astype(dtype)
    lanes = np.full((8, rows, width), -0.0, dtype)
    for k in range(length):
        lanes[k % 8] = lanes[k % 8] + x[:, k]
    for half in (4, 2, 1):
        lanes = lanes[:half] + lanes[half:]
    assert_array_equal(_native.sum(x, axes=(1,), keepdims=False), lanes[0], strict=True)
    alone = np.ascontiguousarray(np.swapaxes(x, 1, 2)).reshape(-1, length)
    for name, more in (("max", {}), ("norm", {}), ("logsumexp", {}), ("variance", {"correction": 0.0})):
        kernel = partial(getattr(_native, name), keepdims=False, **more)
        expected = np.stack([kernel(sequence, axes=(0,)) for sequence in alone]).reshape(rows, width)
        assert_same_bits(kernel(x, axes=(1,)), expected)
        assert_same_bits(kernel(np.stack([x, x], 3)[..., 0], axes=(1,)), expected)


# A few sequences and many, which fill vectors of outputs or not; short ones, and several blocks.
@pytest.mark.parametrize("length", [7, 8, 33, 1024, 1025, 5 * 1024 + 3])
@pytest.mark.parametrize("width", [1, 2, 4, 15, 17, 40, 300])
@pytest.mark.parametrize("dtype", FLOATS)
def test_the_order_of_a_sum_is_the_stated_one(length: int, width: int, dtype: str) -> None:
    def tree(values: list[Array]) -> Array:
        while len(values) > 1:  # lanes: l and l + half
            half = len(values) // 2
            values = [values[i] + values[i + half] for i in range(half)]
        return values[0]

    def pairwise(blocks: list[Array]) -> Array:
        if len(blocks) == 1:
            return blocks[0]
        left = 2 ** ((len(blocks) - 1).bit_length() - 1)
        return pairwise(blocks[:left]) + pairwise(blocks[left:])

    x = np.random.default_rng(length).normal(size=(length, width)).astype(dtype)
    blocks = []
    for start in range(0, length, 1024):
        lanes = [np.full(width, -0.0, dtype)] * 8
        for k, row in enumerate(x[start : start + 1024]):
            lanes[k % 8] = lanes[k % 8] + row
        blocks.append(tree(lanes))
    expected = pairwise(blocks)
    assert_array_equal(_native.sum(x, axes=(0,), keepdims=False), expected, strict=True)
    assert_array_equal(_native.sum(np.ascontiguousarray(x.T), axes=(1,), keepdims=False), expected, strict=True)
    assert_array_equal(_native.sum(x[:, 0].copy(), axes=(0,), keepdims=False), expected[0])
