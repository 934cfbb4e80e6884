"""An element of a product is one chain of fused multiply-adds in a known order: matrices and convolutions, to the bit.

The oracle rounds once a term. Factors are whole multiples of 2**-11 below 1, so that a product of two and any sum that
occurs here fit the 64 bits of a long double, and rounding to float32 is the chain's only one.
"""

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

Array = NDArray[Any]

pytestmark = pytest.mark.skipif(
    np.finfo(np.longdouble).nmant < 63,
    reason="long double is no wider than double here, so the oracle would round twice",
)


def factors(rng: np.random.Generator, *shape: int) -> Array:
    return (rng.integers(-(2**11) + 1, 2**11, shape) / 2**11).astype(np.float32)


def chain(a: Array, b: Array) -> Array:
    """``a b``, a term of each element after the other."""
    total = np.zeros((a.shape[0], b.shape[1]), np.float32)
    for p in range(a.shape[1]):
        term = a[:, p, None].astype(np.longdouble) * b[p]
        total = (total + term).astype(np.float32)
    return total


def lay_out(rng: np.random.Generator, x: Array) -> Array:
    """The same values with other strides."""
    axes = rng.permutation(x.ndim)
    memory = np.ascontiguousarray(x.transpose(axes))
    reversed_ = tuple(slice(None, None, int(rng.choice([1, -1]))) for _ in axes)
    return memory[reversed_].copy()[reversed_].transpose(np.argsort(axes))


def windows(x: Array, size: tuple[int, int], strides: tuple[int, int], padding: tuple[int, int, int, int]) -> Array:
    """The windows of padded images, unfolded: ``(N, H', W', kh, kw, I)``."""
    top, bottom, left, right = padding
    padded = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)))
    seen = np.lib.stride_tricks.sliding_window_view(padded, size, (1, 2))
    return np.moveaxis(seen[:, :: strides[0], :: strides[1]], 3, -1)


def chain_to_images(
    g: Array, w: Array, strides: tuple[int, int], padding: tuple[int, int, int, int], size: tuple[int, int]
) -> Array:
    """The images' gradient: of each pixel's taps the last comes first. A position that is none is a term of zero."""
    total = np.zeros((g.shape[0], *size, w.shape[2]), np.float32)
    for down, right in itertools.product(range(w.shape[0])[::-1], range(w.shape[1])[::-1]):
        for o in range(w.shape[3]):
            met = np.zeros((g.shape[0], *size), np.float32)
            for y, x in itertools.product(range(g.shape[1]), range(g.shape[2])):
                pixel = y * strides[0] + down - padding[0], x * strides[1] + right - padding[2]
                if 0 <= pixel[0] < size[0] and 0 <= pixel[1] < size[1]:
                    met[:, pixel[0], pixel[1]] = g[:, y, x, o]
            total = (total + met[..., None].astype(np.longdouble) * w[down, right, :, o]).astype(np.float32)
    return total


seeds = st.integers(0, 2**32 - 1)
sides = st.integers(1, 40)


@given(m=sides, k=st.integers(0, 40), n=sides, batch=st.sampled_from([(), (3,), (2, 2)]), seed=seeds)
def test_products_of_matrices(native: Any, m: int, k: int, n: int, batch: tuple[int, ...], seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = factors(rng, *batch, m, k), factors(rng, *batch, k, n)
    expected = np.empty((*batch, m, n), np.float32)
    for i in np.ndindex(batch):
        expected[i] = chain(x[i], y[i])
    x, y = lay_out(rng, x), lay_out(rng, y)
    assert_array_equal(native.matmul(x, y), expected, strict=True)
    turned = np.swapaxes(x, -1, -2), np.swapaxes(y, -1, -2)
    assert_array_equal(native.matmul(turned[0], y, transpose_x=True), expected, strict=True)
    assert_array_equal(native.matmul(*turned, transpose_x=True, transpose_y=True), expected, strict=True)


# Several blocks of every side, and what is left of them; few rows, few columns, few terms.
@pytest.mark.parametrize("shape", [(100, 600, 500), (5, 784, 256), (300, 3, 300), (257, 300, 5), (1, 700, 490)])
@pytest.mark.parametrize("turn_x", [False, True])
@pytest.mark.parametrize("turn_y", [False, True])
def test_products_of_large_matrices(native: Any, shape: tuple[int, int, int], turn_x: bool, turn_y: bool) -> None:
    rng = np.random.default_rng(0)
    m, k, n = shape
    x, y = factors(rng, m, k), factors(rng, k, n)
    left, right = x.T.copy() if turn_x else x, y.T.copy() if turn_y else y
    result = native.matmul(left, right, transpose_x=turn_x, transpose_y=turn_y)
    assert_array_equal(result, chain(x, y), strict=True)


def check_convolutions(
    native: Any,
    rng: np.random.Generator,
    images: tuple[int, int, int, int],
    kernel: tuple[int, int, int],
    strides: tuple[int, int],
    padding: tuple[int, int, int, int],
) -> None:
    (_, height, width, channels), (kh, kw, filters) = images, kernel
    x, w = factors(rng, *images), factors(rng, kh, kw, channels, filters)
    unfolded = windows(x, (kh, kw), strides, padding)
    places, terms = unfolded.shape[:3], kh * kw * channels
    matrix = unfolded.reshape(math.prod(places), terms)
    g = factors(rng, *places, filters)
    laid_x, laid_w, laid_g = (lay_out(rng, z) for z in (x, w, g))

    forward = native.conv2d(laid_x, laid_w, strides, padding)
    assert_array_equal(forward, chain(matrix, w.reshape(terms, filters)).reshape(*places, filters), strict=True)
    weight = native.conv2d_weight(laid_x, laid_g, strides, padding, (kh, kw))
    assert_array_equal(weight, chain(matrix.T, g.reshape(math.prod(places), filters)).reshape(w.shape), strict=True)
    images_gradient = native.conv2d_input(laid_g, laid_w, strides, padding, (height, width))
    assert_array_equal(images_gradient, chain_to_images(g, w, strides, padding, (height, width)), strict=True)


@given(data=st.data(), seed=seeds)
def test_convolutions(native: Any, data: st.DataObject, seed: int) -> None:
    few, side = st.integers(0, 3), st.integers(1, 9)
    padding = data.draw(st.tuples(few, few, few, few))
    height, width = data.draw(side), data.draw(side)
    kh = data.draw(st.integers(1, min(4, height + padding[0] + padding[1])))
    kw = data.draw(st.integers(1, min(4, width + padding[2] + padding[3])))
    strides = data.draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    images, channels, filters = data.draw(st.tuples(st.integers(0, 3), st.integers(0, 9), st.integers(0, 20)))
    rng = np.random.default_rng(seed)
    check_convolutions(native, rng, (images, height, width, channels), (kh, kw, filters), strides, padding)


# Several pieces of an image, and several images a piece; strides, sides that are left over, first layers.
@pytest.mark.parametrize(
    ("images", "kernel", "strides", "padding"),
    [
        ((2, 28, 28, 40), (3, 4, 24), (1, 1), (1, 1, 1, 2)),
        ((3, 14, 14, 16), (3, 3, 37), (2, 2), (0, 1, 0, 1)),
        ((9, 4, 4, 20), (3, 3, 20), (1, 1), (1, 1, 1, 1)),
        ((2, 28, 28, 1), (3, 3, 64), (2, 2), (1, 1, 1, 1)),
        ((1, 60, 9, 3), (5, 2, 5), (3, 1), (2, 1, 0, 4)),
        ((1, 9, 200, 30), (2, 7, 6), (1, 5), (0, 0, 3, 3)),
    ],
)
def test_large_convolutions(
    native: Any,
    images: tuple[int, int, int, int],
    kernel: tuple[int, int, int],
    strides: tuple[int, int],
    padding: tuple[int, int, int, int],
) -> None:
    check_convolutions(native, np.random.default_rng(0), images, kernel, strides, padding)


def test_a_stride_beyond_the_image_leaves_one_position(native: Any) -> None:
    rng = np.random.default_rng(0)
    x, w = factors(rng, 2, 5, 6, 3), factors(rng, 2, 3, 3, 4)
    for strides in ((9, 11), (2**62, 2**62)):
        y = native.conv2d(x, w, strides, (1, 0, 0, 2))
        assert_array_equal(y, native.conv2d(x, w, (1, 1), (1, 0, 0, 2))[:, :1, :1], strict=True)
        images = native.conv2d_input(y, w, strides, (1, 0, 0, 2), (5, 6))
        assert_array_equal(images, chain_to_images(y, w, (9, 11), (1, 0, 0, 2), (5, 6)), strict=True)


@pytest.mark.parametrize("special", [np.nan, np.inf])
def test_what_is_not_finite_spreads_where_it_is_used(native: Any, special: float) -> None:
    x, w = np.ones((1, 6, 6, 2), np.float32), np.ones((3, 3, 2, 9), np.float32)
    x[0, 2, 4, 1] = special
    y = native.conv2d(x, w, (1, 1), (1, 1, 1, 1))
    touched = np.zeros((6, 6), bool)
    touched[1:4, 3:6] = True
    assert_array_equal(~np.isfinite(y[0]).all(-1), touched)
    assert_array_equal(~np.isfinite(native.matmul(x[0, 2], w[0, 0])).all(-1), np.arange(6) == 4)
