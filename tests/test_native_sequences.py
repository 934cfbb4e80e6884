"""Running sums and the order of elements along an axis, against numpy."""

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import minimeta as mm


def summed(x: Any, axis: int, reverse: bool) -> Any:
    return np.flip(np.cumsum(np.flip(x, axis), axis), axis) if reverse else np.cumsum(x, axis)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("length", [1, 4095, 4096, 4111, 70_001])
def test_long_sums_of_whole_numbers_are_exact(native: Any, dtype: Any, reverse: bool, length: int) -> None:
    x = np.random.default_rng(length).integers(-100, 100, length).astype(dtype)
    expected = summed(x, 0, reverse)
    for threads in (1, 2):
        before = mm.get_num_threads()
        mm.set_num_threads(threads)
        try:
            assert_array_equal(native.cumsum(x, axis=0, reverse=reverse), expected)
            strided = np.repeat(x, 2)[::2]
            assert_array_equal(native.cumsum(strided[::-1], axis=0, reverse=reverse), summed(x[::-1], 0, reverse))
            rows = native.cumsum(np.stack([x, 2 * x]), axis=1, reverse=reverse)
            assert_array_equal(rows, [expected, 2 * expected])
        finally:
            mm.set_num_threads(before)


def test_infinities_and_nan_spread_as_in_one_chain(native: Any) -> None:
    x = np.ones(5000)
    for values in ([np.inf], [np.nan], [np.inf, -np.inf]):
        x[1000 : 1000 + 2000 * len(values) : 2000] = values
        with np.errstate(invalid="ignore"):
            assert_array_equal(native.cumsum(x, axis=0, reverse=False), np.cumsum(x))


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("shape", [(1,), (0,), (5,), (3, 4), (0, 3), (3, 0), (2, 5, 3), (700, 300)])
def test_every_axis(native: Any, shape: tuple[int, ...], reverse: bool) -> None:
    x = np.random.default_rng(0).integers(-9, 9, shape).astype(np.float32)
    for axis in range(len(shape)):
        turned = np.moveaxis(np.moveaxis(x, axis, 0).copy(), 0, axis)  # the same, laid out in another way
        for laid in (x, turned, np.flip(x).copy()[(slice(None, None, -1),) * x.ndim]):
            assert_array_equal(native.cumsum(laid, axis=axis, reverse=reverse), summed(x, axis, reverse))
            assert_array_equal(native.order(laid, axis=axis), np.argsort(x, axis, kind="stable"))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("length", [0, 1, 2047, 2048, 30_000])
@pytest.mark.parametrize("many", [3, 1_000_000])
def test_order(native: Any, dtype: Any, length: int, many: int) -> None:
    rng = np.random.default_rng(length)
    x = (rng.integers(-many, many, length) / 7).astype(dtype)  # many equal ones, or few
    kinds = np.array([np.nan, -np.nan, np.inf, -np.inf, 0.0, -0.0, 5e-324, -5e-324, np.finfo(dtype).max])
    special = rng.random(length) < 0.1
    x[special] = rng.choice(kinds.astype(dtype), special.sum())
    expected = np.argsort(x, kind="stable")
    assert_array_equal(native.order(x, axis=0), expected)
    assert_array_equal(native.order(np.stack([x, x], 1), axis=0), np.stack([expected, expected], 1))
    assert_array_equal(np.sort(x), mm.sort(x))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("length", [0, 1, 2, 7, 100])
def test_places_in_an_order_are_numpys(dtype: Any, length: int) -> None:
    rng = np.random.default_rng(length)
    ordered = np.sort(rng.integers(0, 9, length)).astype(dtype)
    for numbers in (ordered, np.append(ordered, [np.inf, np.nan, np.nan]).astype(dtype)):
        values = np.append(rng.integers(-1, 10, 40) / 2, [-np.inf, np.inf, np.nan, -0.0]).astype(dtype).reshape(2, 22)
        for side in ("left", "right"):
            expected = np.searchsorted(numbers, values, side)
            found = mm.searchsorted(numbers, values, side=side)
            assert_array_equal(found, expected, strict=True)
            assert_array_equal(mm.searchsorted(numbers[::-1][::-1], values.T, side), expected.T)
