"""Products, indexing and pooling against exact arithmetic, numpy and loops."""

import math
from fractions import Fraction
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
    floats,
    lay_out,
    layouts,
    random_values,
    seeds,
    sides,
)
from numpy.testing import assert_array_equal

if TYPE_CHECKING:
    from minimeta import _native


@pytest.fixture(scope="module", autouse=True)
def every_level(native: Any) -> None:
    """Run every test on every level; the stub's name stands for the level's extension."""
    globals()["_native"] = native


def exact_chain(x: Array, y: Array) -> Array:
    """The product by its definition: rationals, rounded once a step. Only for values whose sums never vanish to -0."""
    m, k, n = *x.shape, y.shape[1]
    result = np.zeros((m, n), x.dtype)
    for i in range(m):
        for j in range(n):
            total = Fraction(0)
            for p in range(k):
                total = Fraction(float(round_to(Fraction(float(x[i, p])) * Fraction(float(y[p, j])) + total, x.dtype)))
            result[i, j] = float(total)
    return result


def round_to(value: Fraction, dtype: np.dtype[Any]) -> float:
    """Round a rational to the nearest float of a dtype, ties to even."""
    if value == 0:
        return 0.0
    digits = np.finfo(dtype).nmant
    exponent = math.frexp(float(value))[1] - 1
    unit = Fraction(2) ** (exponent - digits)
    return float(round(value / unit) * unit)


@st.composite
def poolings(draw: st.DrawFn) -> tuple[tuple[int, int], dict[str, tuple[int, ...]]]:
    """Sides of an image and a pooling whose windows each have a cell on it."""
    window, strides = ((draw(st.integers(1, 4)), draw(st.integers(1, 5))) for _ in range(2))
    padding = tuple(draw(st.integers(0, window[side] - 1)) for side in (0, 0, 1, 1))
    least = [max(1, window[side] - padding[2 * side] - padding[2 * side + 1]) for side in (0, 1)]
    sides = (draw(st.integers(least[0], 7)), draw(st.integers(least[1], 7)))
    return sides, {"window": window, "strides": strides, "padding": padding}


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(
    "shape",
    [(2, 3, 4), (6, 5, 17), (2, 9, 2), (3, 30, 9), (7, 11, 33), (9, 2, 24), (10, 2, 12), (3, 2, 40), (6, 2, 20)],
)
def test_an_element_of_a_product_of_matrices_is_one_chain(dtype: str, shape: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(1)
    m, k, n = shape
    x, y = rng.normal(size=(m, k)).astype(dtype), rng.normal(size=(k, n)).astype(dtype)
    assert_same_bits(_native.matmul(x, y), exact_chain(x, y))


# Fewer products than a vector has lanes, and more.
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("products", [5, 21])
@pytest.mark.parametrize("shape", [(2, 2, 2), (3, 3, 3), (4, 1, 5), (2, 8, 3), (3, 2, 1), (1, 7, 2), (1, 3, 9)])
def test_many_small_products_are_the_same_chains(dtype: str, products: int, shape: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(2)
    m, k, n = shape
    x, y = rng.normal(size=(products, m, k)).astype(dtype), rng.normal(size=(products, k, n)).astype(dtype)
    if min(m, n) > 1:
        expected = np.stack([exact_chain(*factors) for factors in zip(x, y, strict=True)])
    else:  # by a vector: eight lanes of a term each, and a tree
        lanes = np.zeros((8, products, m, n), dtype)
        lanes[:k] = np.einsum("qmk,qkn->kqmn", x, y)
        for half in (4, 2, 1):
            lanes = lanes[:half] + lanes[half:]
        expected = lanes[0]
    turned_x, turned_y = (np.ascontiguousarray(np.swapaxes(factor, 1, 2)) for factor in (x, y))
    assert_same_bits(_native.matmul(x, y), expected)
    assert_same_bits(_native.matmul(np.swapaxes(turned_x, 1, 2), np.swapaxes(turned_y, 1, 2)), expected)
    assert_same_bits(_native.matmul(x[::-1], y[::-1])[::-1], expected)
    wide = np.repeat(y, 2, axis=2)[..., ::2]
    assert_same_bits(_native.matmul(np.stack([x, x], 1), np.stack([wide, wide], 1))[:, 1], expected)
    assert_same_bits(_native.matmul(np.broadcast_to(x[:1], x.shape), np.broadcast_to(y[:1], y.shape))[-1], expected[0])


@given(
    m=sides, k=sides, n=sides, batch=st.lists(st.integers(0, 3), max_size=2), dtype=floats, seed=seeds, data=st.data()
)
def test_matmul(m: int, k: int, n: int, batch: list[int], dtype: str, seed: int, data: st.DataObject) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(*batch, m, k)).astype(dtype), rng.normal(size=(*batch, k, n)).astype(dtype)
    expected = _native.matmul(x, y)
    wide = np.matmul(x.astype(np.longdouble), y.astype(np.longdouble))
    assert_close(expected, wide.astype(dtype), ulps=max(k, 1), scale=8)
    layout = st.sampled_from(("contiguous", "transposed", "reversed", "stepped"))
    assert_same_bits(_native.matmul(lay_out(x, data.draw(layout)), lay_out(y, data.draw(layout))), expected)
    swapped = np.ascontiguousarray(np.swapaxes(x, -1, -2)), np.ascontiguousarray(np.swapaxes(y, -1, -2))
    assert_same_bits(_native.matmul(np.swapaxes(swapped[0], -1, -2), np.swapaxes(swapped[1], -1, -2)), expected)
    assert_same_bits(np.swapaxes(_native.matmul(swapped[1], swapped[0]), -1, -2), expected)
    if n > 1:  # A column does not depend on its neighbours; two, since a product by a vector is summed in lanes.
        columns = [_native.matmul(x, y[..., [j, j]])[..., :1] for j in range(n)]
        assert_same_bits(np.concatenate(columns, axis=-1), expected)
    if batch and m and k:
        shared = np.broadcast_to(y[:1], y.shape)
        assert_same_bits(_native.matmul(x, shared), _native.matmul(x, shared.copy()))


@pytest.mark.parametrize("dtype", ["bool", "int64", *FLOATS])
@given(
    shape=st.lists(st.integers(1, 4), min_size=1, max_size=4).map(tuple),
    batch=st.lists(st.integers(0, 4), max_size=2).map(tuple),
    seed=seeds,
    layout=layouts,
    data=st.data(),
)
def test_gather_and_scatter_add(
    dtype: str, shape: tuple[int, ...], batch: tuple[int, ...], seed: int, layout: str, data: st.DataObject
) -> None:
    rng = np.random.default_rng(seed)
    k = data.draw(st.integers(1, len(shape)))
    x = lay_out(random_values(rng, shape, dtype), layout)
    indices = tuple(lay_out(np.asarray(rng.integers(-shape[a], shape[a], batch)), layout) for a in range(k))
    result = _native.gather(x, *indices)
    assert_fresh(result, x)
    assert_array_equal(result, np.asarray(x[indices]), strict=True)
    if dtype in FLOATS:
        updates = lay_out(random_values(rng, result.shape, dtype), layout)
        expected = np.zeros(shape, dtype)
        np.add.at(expected, indices, updates)
        assert_same_bits(_native.scatter_add(updates, *indices, shape=shape), expected)


@pytest.mark.parametrize("dtype", FLOATS)
@given(
    pooling=poolings(),
    images=st.integers(0, 2),
    channels=st.sampled_from([0, 1, 2, 31, 32, 33, 70]),
    seed=seeds,
    layout=layouts,
)
def test_pooling(
    dtype: str,
    pooling: tuple[tuple[int, int], dict[str, tuple[int, ...]]],
    images: int,
    channels: int,
    seed: int,
    layout: str,
) -> None:
    (height, width), params = pooling
    (kh, kw), (sy, sx), (above, below, left, right) = params["window"], params["strides"], params["padding"]
    rng = np.random.default_rng(seed)
    x = random_values(rng, (images, height, width, channels), dtype)
    x[rng.random(x.shape) < 0.05] = np.nan
    x[rng.random(x.shape) < 0.2] = -np.inf
    x = lay_out(x, layout)
    maximal = _native.max_cell(x, **params)
    taken = _native.pool_take(x, maximal, **params)
    sums = _native.sum_pool(x, **params)
    assert_fresh(maximal, x)
    assert_fresh(taken, x, maximal)
    assert_fresh(sums, x)
    places = ((height + above + below - kh) // sy + 1, (width + left + right - kw) // sx + 1)
    assert maximal.shape == taken.shape == sums.shape == (images, *places, channels)
    g = lay_out(random_values(rng, sums.shape, dtype), layout)
    chosen = lay_out(np.asarray(rng.integers(0, kh * kw, sums.shape)).astype(np.uint8), layout)
    spread, put, expected = (np.zeros(shape, dtype) for shape in (x.shape, x.shape, sums.shape))
    for u, v in np.ndindex(*places):
        rows = range(max(u * sy - above, 0), min(u * sy - above + kh, height))
        columns = range(max(v * sx - left, 0), min(v * sx - left + kw, width))
        cells = [(slice(None), row, column) for row in rows for column in columns]
        total = np.zeros((images, channels), dtype)
        for cell in cells:
            total = total + x[cell]
            spread[cell] += g[:, u, v]
        assert_same_bits(sums[:, u, v], total)
        # numpy's argmax is the first of a tie, and the first NaN.
        first = np.argmax([x[cell] for cell in cells], axis=0)
        assert_same_bits(taken[:, u, v], np.take_along_axis(np.array([x[cell] for cell in cells]), first[None], 0)[0])
        numbers = [(row - u * sy + above) * kw + column - v * sx + left for _, row, column in cells]
        assert_array_equal(maximal[:, u, v], np.array(numbers, np.uint8)[first], strict=True)
        for number, cell in zip(numbers, cells, strict=True):
            holds = chosen[:, u, v] == number
            expected[:, u, v][holds] = x[cell][holds]
            put[cell][holds] += g[:, u, v][holds]
    assert_same_bits(_native.pool_take(x, chosen, **params), expected)
    assert_same_bits(_native.pool_put(g, chosen, **params, size=(height, width)), put)
    assert_same_bits(_native.sum_pool_input(g, **params, size=(height, width)), spread)
