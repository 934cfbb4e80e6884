"""Copies and views against numpy: the same elements at other places."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from native_arrays import (
    DTYPES,
    FLOATS,
    Array,
    assert_fresh,
    lay_out,
    layouts,
    random_values,
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
def windows(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """A shape, and starts, sizes and steps of a slice inside it."""
    shape, starts, sizes, steps = [], [], [], []
    for _ in range(draw(st.integers(0, 4))):
        size, step, n = draw(st.integers(1, 3)), draw(st.sampled_from([-3, -2, -1, 1, 2, 3])), draw(st.integers(0, 4))
        span = abs(step) * max(n - 1, 0) + 1
        low = draw(st.integers(0, 2))
        shape.append(low + span + size - 1)
        starts.append(low if step > 0 else low + span - 1)
        sizes.append(n)
        steps.append(step)
    return tuple(shape), tuple(starts), tuple(sizes), tuple(steps)


def assert_view(view: Array, x: Array) -> None:
    assert type(view) is np.ndarray
    assert not view.flags.writeable
    assert view.base is not None
    if view.size:
        assert np.shares_memory(view, x)


@pytest.mark.parametrize("dtype", DTYPES)
@given(shape=shapes, seed=seeds, layout=layouts)
def test_copy(dtype: str, shape: tuple[int, ...], seed: int, layout: str) -> None:
    x = lay_out(random_values(np.random.default_rng(seed), shape, dtype), layout)
    result = _native.copy(x)
    assert_fresh(result, x)
    assert_array_equal(result, x, strict=True)


# Whole blocks of every width of vectors, and what is left of them.
@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "float64"])
@given(sides=st.tuples(st.integers(1, 3), st.integers(1, 140), st.integers(1, 140)), seed=seeds)
def test_copy_of_turned_planes(dtype: str, sides: tuple[int, int, int], seed: int) -> None:
    x = random_values(np.random.default_rng(seed), sides, dtype)
    assert_array_equal(_native.copy(x.transpose(0, 2, 1)), x.transpose(0, 2, 1), strict=True)
    assert_array_equal(_native.copy(x[:, ::-1].T), x[:, ::-1].T, strict=True)


# Columns of short rows, rows made of columns, and numbers repeated in them: one by one and in vectors.
@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "float64"])
@given(n=st.integers(1, 100), side=st.integers(1, 10), seed=seeds)
def test_short_rows(dtype: str, n: int, side: int, seed: int) -> None:
    x = random_values(np.random.default_rng(seed), (n, side), dtype)
    columns = [_native.copy(x[:, j : j + 1]) for j in range(side)]
    for j, column in enumerate(columns):
        assert_array_equal(column, x[:, j : j + 1], strict=True)
        repeated = np.broadcast_to(column, x.shape)
        assert_array_equal(_native.copy(repeated), repeated, strict=True)
    rows = np.broadcast_to(x[::-1, None], (n, 3, side))
    assert_array_equal(_native.copy(rows), rows, strict=True)
    assert_array_equal(_native.concatenate(*columns, axis=1), x, strict=True)
    assert_array_equal(_native.concatenate(*(column[::-1] for column in columns), axis=1), x[::-1], strict=True)


@pytest.mark.parametrize("dtype", ["bool", "int64", *FLOATS])
@given(
    shape=st.lists(st.integers(0, 4), min_size=1, max_size=3),
    lengths=st.lists(st.integers(0, 4), min_size=1, max_size=4),
    seed=seeds,
    layout=layouts,
    data=st.data(),
)
def test_concatenate(
    dtype: str, shape: list[int], lengths: list[int], seed: int, layout: str, data: st.DataObject
) -> None:
    rng = np.random.default_rng(seed)
    axis = data.draw(st.integers(0, len(shape) - 1))
    parts = [(*shape[:axis], n, *shape[axis + 1 :]) for n in lengths]
    arrays = [lay_out(random_values(rng, part, dtype), layout) for part in parts]
    result = _native.concatenate(*arrays, axis=axis)
    assert_fresh(result, *arrays)
    assert_array_equal(result, np.concatenate(arrays, axis=axis), strict=True)


@pytest.mark.parametrize("dtype", DTYPES)
@given(window=windows(), seed=seeds, layout=layouts)
def test_slice_and_pad(dtype: str, window: tuple[tuple[int, ...], ...], seed: int, layout: str) -> None:
    shape, starts, sizes, steps = window
    rng = np.random.default_rng(seed)
    x = lay_out(random_values(rng, shape, dtype), layout)
    where = np.ix_(*(start + step * np.arange(n) for start, n, step in zip(starts, sizes, steps, strict=True)))
    view = _native.slice(x, starts=starts, sizes=sizes, steps=steps)
    assert_view(view, x)
    assert_array_equal(view, x[where].reshape(sizes), strict=True)
    part = lay_out(random_values(rng, sizes, dtype), layout)
    expected = np.zeros(shape, dtype)
    expected[where] = part
    padded = _native.pad(part, shape=shape, starts=starts, steps=steps)
    assert_fresh(padded, part)
    assert_array_equal(padded, expected, strict=True)


@pytest.mark.parametrize("dtype", DTYPES)
@given(shape=shapes, seed=seeds, layout=layouts, data=st.data())
def test_other_views(dtype: str, shape: tuple[int, ...], seed: int, layout: str, data: st.DataObject) -> None:
    x = lay_out(random_values(np.random.default_rng(seed), shape, dtype), layout)
    axes = tuple(data.draw(st.permutations(range(x.ndim))))
    view = _native.transpose(x, axes=axes)
    assert_view(view, x)
    assert_array_equal(view, np.transpose(x, axes), strict=True)
    wide = (*data.draw(st.lists(st.integers(0, 3), max_size=2)), *(3 if n == 1 else n for n in shape))
    view = _native.broadcast_to(x, shape=wide)
    assert_view(view, x)
    assert_array_equal(view, np.broadcast_to(x, wide), strict=True)
    for new in ((x.size,), (1, x.size, 1), tuple(reversed(shape)), (*shape, 1), (*shape[:-2], math.prod(shape[-2:]))):
        result = _native.reshape(x, shape=new)
        assert_array_equal(result, x.reshape(new), strict=True)
        if x.size and np.shares_memory(x, x.reshape(new)):
            assert_view(result, x)
        elif x.size:
            assert_fresh(result, x)


def test_a_view_keeps_its_memory_alive() -> None:
    view = _native.transpose(np.arange(10000.0).reshape(100, 100), axes=(1, 0))
    np.ones((100, 100))
    assert_array_equal(view, np.arange(10000.0).reshape(100, 100).T)


def test_many_dimensions() -> None:
    x = np.arange(4.0).reshape((1,) * 62 + (2, 2))
    assert_array_equal(_native.add(x, x), 2 * x, strict=True)
    assert_array_equal(_native.sum(x, axes=tuple(range(64)), keepdims=False), np.array(6.0), strict=True)
    assert_array_equal(_native.transpose(x, axes=tuple(reversed(range(64)))), x.T, strict=True)
    with pytest.raises(ValueError, match="64"):
        _native.reshape(np.ones(1), shape=(1,) * 65)
    with pytest.raises(ValueError, match="dimensions"):
        _native.gather(x, np.zeros((1, 1), np.int64))
