"""Winograd's convolution: its identity, its sums to the bit, and how near they are to the exact ones.

Where the kernels take it (3 x 3 taps, stride 1, enough channels and pixels) each product is summed like any other
(test_products.py), between transformations that only add, so that numpy gives the same bits.
"""

import functools
import itertools
from typing import Any

import numpy as np
import pytest
from drawing import share
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from numpy.typing import NDArray
from test_products import factors, lay_out, pieces, seeds, summed, windows

Array = NDArray[Any]
Padding = tuple[int, int, int, int]

A = np.array([[1, 1, -1, 0], [0, 1, 1, -1]])
B = np.array([[1, 0, -1, 0], [0, 1, 1, 0], [0, 1, -1, 0], [0, 1, 0, -1]])
C = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])


def test_four_products_are_six() -> None:
    meet = np.zeros((2, 4, 3))
    for position, tap in itertools.product(range(2), range(3)):
        meet[position, position + tap, tap] = 1
    assert_array_equal(np.einsum("yr,rx,rk->yxk", A, B, C), meet)


def combinations(matrix: Array, x: Array, axis: int) -> Array:
    """``matrix x`` along an axis: of each row first what is added, then what is subtracted."""
    x = np.moveaxis(x, axis, 0)
    rows = []
    for row in matrix:
        terms = [np.float32(abs(c)) * x[k] for sign in (1, -1) for k, c in enumerate(row) if sign * c > 0]
        signs = [sign for sign in (1, -1) for c in row if sign * c > 0]
        total = signs[0] * terms[0]
        for sign, term in zip(signs[1:], terms[1:], strict=True):
            total = total + term if sign > 0 else total - term
        rows.append(total)
    return np.moveaxis(np.stack(rows), 0, axis)


def transform(matrix: Array, x: Array) -> Array:
    """Of squares, ``(..., side, side, channels)``."""
    return combinations(matrix, combinations(matrix, x, -3), -2)


def transform_taps(matrix: Array, w: Array) -> Array:
    """Of squares, ``(side, side, channels in, channels out)``."""
    return transform(matrix, w.reshape(*w.shape[:2], -1)).reshape(len(matrix), len(matrix), *w.shape[2:])


def tiles(x: Array, size: int, places: tuple[int, int], padding: Padding) -> Array:
    """Squares of pixels, two apart: ``(N, rows of tiles, columns of tiles, size, size, channels)``."""
    rows, columns = (-(-n // 2) for n in places)
    top, _, left, _ = padding
    below, right = 2 * rows + size, 2 * columns + size  # more than any tile reaches
    padded = np.pad(x, ((0, 0), (top, below), (left, right), (0, 0)))
    seen = np.lib.stride_tricks.sliding_window_view(padded, (size, size), (1, 2))
    return np.moveaxis(seen[:, : 2 * rows : 2, : 2 * columns : 2], 3, -1)


def sizes(x: Array) -> Array:
    """Of the pixels of images: their largest channels."""
    return np.asarray(np.abs(x).max(-1, keepdims=True))


def mixed(squares: Array) -> Array:
    """Which squares of sizes have a pixel that is far larger than another, zeros apart."""
    squares = squares[..., 0]
    least = np.where(squares > 0, squares, np.inf).min((-2, -1))
    return np.asarray(squares.max((-2, -1)) > 2**8 * least)


def filtered(x: Array, w: Array, places: tuple[int, int], padding: Padding) -> Array:
    """The convolution at so many places: by the definition where a window mixes sizes."""
    read, taps = transform(B, tiles(x, 4, places, padding)), transform_taps(C, w)
    products = np.empty((*read.shape[:5], w.shape[-1]), np.float32)
    for r, q in itertools.product(range(4), range(4)):
        flat = read[..., r, q, :].reshape(-1, w.shape[2])
        products[..., r, q, :] = summed(flat, taps[r, q], [(w.shape[2],)]).reshape(*read.shape[:3], -1)
    y = transform(A, products)
    n, rows, columns = y.shape[:3]
    y = y.transpose(0, 1, 3, 2, 4, 5).reshape(n, 2 * rows, 2 * columns, -1)[:, : places[0], : places[1]]
    seen, judged = (windows(z, (3, 3), (1, 1), padding)[:, : places[0], : places[1]] for z in (x, sizes(x)))
    direct, channels = mixed(judged), w.shape[2]
    y[direct] = summed(seen[direct].reshape(-1, 9 * channels), w.reshape(9 * channels, -1), [(3, 3, channels)])
    return y


def correlated(x: Array, g: Array, padding: Padding) -> Array:
    """The taps' cotangent. What tiles that mix sizes give to it is added by the definition."""
    places = g.shape[1:3]
    around_x, around_g = (4, places, padding), (2, places, (0, 0, 0, 0))
    direct = mixed(tiles(sizes(x), *around_x)) | mixed(tiles(sizes(g), *around_g))
    read, given = transform(B, tiles(x, *around_x)), transform(A.T, tiles(g, *around_g))
    given[direct] = 0
    sums = np.empty((4, 4, x.shape[3], g.shape[3]), np.float32)
    for r, q in itertools.product(range(4), range(4)):
        left, right = read[..., r, q, :].reshape(-1, x.shape[3]).T, given[..., r, q, :].reshape(-1, g.shape[3])
        most = min(128, 640 * 1024 // (64 * (x.shape[3] + g.shape[3])))
        sums[r, q] = summed(left, right, pieces(read.shape[:3], most))
    result = transform_taps(C.T, sums)
    at = [
        (n, i, j)
        for n, row, column in np.argwhere(direct)
        for i in range(2 * row, min(2 * row + 2, places[0]))
        for j in range(2 * column, min(2 * column + 2, places[1]))
    ]
    for first in range(0, len(at), 256):  # a chain
        chosen = tuple(np.transpose(at[first : first + 256]))
        seen = windows(x, (3, 3), (1, 1), padding)[chosen].reshape(len(chosen[0]), -1)
        result = result + summed(seen.T, g[chosen], [(len(seen),)]).reshape(result.shape)
    return result


def check(
    native: Any, rng: np.random.Generator, images: tuple[int, int, int, int], filters: int, padding: Padding, small: int
) -> None:
    """Compare the three convolutions with their sums, on one thread and on several, if so many pixels are small."""
    x, w = factors(rng, *images), factors(rng, 3, 3, images[3], filters)
    places = (images[1] + sum(padding[:2]) - 2, images[2] + sum(padding[2:]) - 2)
    g = factors(rng, images[0], *places, filters)
    for _ in range(small):
        for z in (x, g):
            z[tuple(rng.integers(z.shape[:3]))] *= 2**-12
    laid_x, laid_w, laid_g = (lay_out(rng, z) for z in (x, w, g))
    # A pixel p meets tap k at place p + before - k: a convolution by the taps in reverse, with zeros where it reads on.
    reach = 4
    wide = np.pad(g, ((0, 0), (reach, reach), (reach, reach), (0, 0)))
    cut = wide[:, reach + padding[0] - 2 :, reach + padding[2] - 2 :]
    turned = np.ascontiguousarray(w[::-1, ::-1].swapaxes(2, 3))
    outputs, taps = filtered(x, w, places, padding), correlated(x, g, padding)
    pixels = filtered(cut, turned, images[1:3], (0, 0, 0, 0))
    settings: dict[str, Any] = {"strides": (1, 1), "padding": padding}
    before = native.get_num_threads()
    try:
        for threads in (1, 2, 7):
            native.set_num_threads(threads)
            found = native.conv2d(laid_x, laid_w, **settings)
            assert_array_equal(found, outputs, strict=True)
            found = native.conv2d_weight(laid_x, laid_g, **settings, size=(3, 3))
            assert_array_equal(found, taps, strict=True)
            found = native.conv2d_input(laid_g, laid_w, **settings, size=images[1:3])
            assert_array_equal(found, pixels, strict=True)
    finally:
        native.set_num_threads(before)


@share(0.4)
@given(data=st.data(), seed=seeds)
def test_its_sums(native: Any, data: st.DataObject, seed: int) -> None:
    channels, filters = data.draw(st.integers(16, 40)), data.draw(st.integers(16, 40))
    least = max(4, -(-128 // min(channels, filters)))  # places from which on the kernels take it
    padding = data.draw(st.tuples(*[st.integers(0, 3)] * 4))
    height, width = (
        data.draw(st.integers(max(1, least + 2 - sum(margins)), least + 5)) for margins in (padding[:2], padding[2:])
    )
    images = (data.draw(st.integers(1, 3)), height, width, channels)
    check(native, np.random.default_rng(seed), images, filters, padding, small=0)


# Taps of 2 MB; several pieces of an image, and several images a piece; on so many threads that they are shared.
@pytest.mark.parametrize(
    ("images", "filters", "padding"),
    [
        ((1, 5, 6, 270), 220, (1, 1, 1, 1)),
        ((2, 61, 42, 32), 33, (1, 1, 1, 1)),
        ((30, 7, 7, 64), 40, (1, 1, 1, 1)),
        ((3, 14, 15, 65), 64, (0, 2, 1, 0)),
        ((1, 12, 12, 300), 16, (1, 1, 1, 1)),
        ((130, 16, 16, 16), 16, (1, 1, 1, 1)),
    ],
)
def test_large_ones(native: Any, images: tuple[int, int, int, int], filters: int, padding: Padding) -> None:
    check(native, np.random.default_rng(0), images, filters, padding, small=0)


@share(0.2)
@given(data=st.data(), seed=seeds, small=st.integers(1, 2))
def test_a_few_outputs_are_those_of_the_definition(native: Any, data: st.DataObject, seed: int, small: int) -> None:
    padding = data.draw(st.tuples(*[st.integers(0, 2)] * 4))
    images = (data.draw(st.integers(1, 2)), data.draw(st.integers(18, 20)), data.draw(st.integers(18, 20)), 16)
    check(native, np.random.default_rng(seed), images, 17, padding, small)


@given(seed=seeds, n=st.integers(2, 4), direct=st.sets(st.integers(0, 3)))
def test_an_image_has_the_same_bits_in_any_company(native: Any, seed: int, n: int, direct: set[int]) -> None:
    """Whether it goes this way or, for a pixel that is far larger than its neighbours, the direct way."""
    rng = np.random.default_rng(seed)
    x, w = rng.normal(size=(n, 7, 6, 32)).astype("f4"), rng.normal(size=(3, 3, 32, 32)).astype("f4")
    x[[i for i in direct if i < n], 3, 3] *= 1e4
    for convolution in (native.conv2d, functools.partial(native.conv2d_input, size=(7, 6))):
        together = convolution(x, w, strides=once, padding=around)
        for i in range(n):
            assert_array_equal(together[i : i + 1], convolution(x[i : i + 1], w, strides=once, padding=around))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(5, 14, 14, 64), (5, 42, 42, 32)])
def test_of_normal_numbers_it_is_as_near_to_the_exact_sums_as_the_direct_way(
    native: Any, dtype: type, shape: tuple[int, ...]
) -> None:
    rng = np.random.default_rng(0)
    _, height, width, c = shape
    drawn: list[Array] = [rng.normal(size=size).astype(dtype) for size in (shape, (3, 3, c, c), shape)]
    x, w, g = drawn
    once, padding = (1, 1), (1, 1, 1, 1)
    unfolded = windows(x, (3, 3), once, padding).reshape(-1, 9 * c)
    turned = windows(g, (3, 3), once, padding).reshape(-1, 9 * c)
    flipped = w[::-1, ::-1].swapaxes(2, 3).reshape(9 * c, c)
    forward = functools.partial(native.conv2d, strides=once, padding=padding)
    to_images = functools.partial(native.conv2d_input, strides=once, padding=padding, size=(height, width))
    to_taps = functools.partial(native.conv2d_weight, strides=once, padding=padding, size=(3, 3))
    cases = [
        (forward, x, w, -1, unfolded, w.reshape(9 * c, c)),
        (to_images, g, w, 2, turned, flipped),
        (to_taps, x, g, -1, unfolded.T, g.reshape(-1, c)),
    ]
    for convolve, images, factor, channels, left, right in cases:
        # So few channels at a time go the direct way.
        parts = np.split(factor, c // 8, channels)
        direct = np.concatenate([convolve(images, part) for part in parts], -1)
        exact = left.astype(np.longdouble) @ right.astype(np.longdouble)
        errors = [r.reshape(exact.shape) - exact for r in (convolve(images, factor), direct)]
        rounded = [np.sqrt(np.mean(np.square(error))) for error in errors]
        assert rounded[0] < 1.5 * rounded[1]
        assert rounded[0] < 4 * np.finfo(dtype).eps * np.sqrt(np.mean(np.square(exact)))


@pytest.mark.parametrize("special", [np.nan, np.inf])
def test_what_is_not_finite_spreads_to_its_windows_alone(native: Any, special: float) -> None:
    x, w = np.ones((1, 9, 9, 16), np.float32), np.ones((3, 3, 16, 16), np.float32)
    for row, column in itertools.product(range(9), range(9)):
        x[0, row, column, 5] = special
        touched = np.zeros((9, 9), bool)
        touched[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2] = True
        y = native.conv2d(x, w, strides=(1, 1), padding=(1, 1, 1, 1))
        assert_array_equal(~np.isfinite(y[0]).all(-1), touched)
        assert_array_equal(
            np.isfinite(native.conv2d_input(x, w, strides=(1, 1), padding=(1, 1, 1, 1), size=(9, 9))[0]).all(-1),
            ~touched,
        )
        x[0, row, column, 5] = 1


# Images with a pixel that is much larger than its neighbours


def identity(channels: int, down: int = 1, right: int = 1) -> Array:
    """The taps that give back the images, or their neighbours."""
    w = np.zeros((3, 3, channels, channels), np.float32)
    w[down, right] = np.eye(channels)
    return w


once, around = (1, 1), (1, 1, 1, 1)


@pytest.mark.parametrize("channels", [8, 16, 33])
@pytest.mark.parametrize("large", [1e6, 1e20, 3.4e38])
def test_a_large_pixel_does_not_disturb_its_neighbours(native: Any, channels: int, large: float) -> None:
    for row, column in itertools.product(range(9), range(9)):
        x = np.full((2, 9, 9, channels), 1e-3, np.float32)
        x[0, row, column, 0] = large
        assert_array_equal(native.conv2d(x, identity(channels), strides=once, padding=around), x, strict=True)
        assert_array_equal(
            native.conv2d_input(x, identity(channels), strides=once, padding=around, size=(9, 9)), x, strict=True
        )
        g = np.zeros_like(x)
        g[0, 4, 4, 1] = 1
        weight = native.conv2d_weight(x, g, strides=once, padding=around, size=(3, 3))
        assert_array_equal(weight[..., 1], x[0, 3:6, 3:6], strict=True)
        assert not weight[..., 2:].any()


@given(seed=seeds, exponent=st.integers(0, 30), taps=st.integers(0, 1))
def test_the_error_is_of_the_pixels_under_the_window(native: Any, seed: int, exponent: int, taps: int) -> None:
    rng = np.random.default_rng(seed)
    n, side, c = 2, 9, 16
    x = (rng.normal(size=(n, side, side, c)) * 10.0 ** -rng.integers(0, exponent + 1, (n, side, side, 1))).astype("f4")
    w = rng.normal(size=(3, 3, c, c)).astype("f4") if taps else identity(c, *rng.integers(0, 3, 2))
    seen = windows(x, (3, 3), once, around).astype("g")
    exact, magnitude = (
        f(seen).reshape(n, side, side, -1) @ f(w).reshape(-1, c).astype("g") for f in (np.positive, np.abs)
    )
    largest = np.abs(seen).max(-1)
    smallest = np.where(largest > 0, largest, np.inf).min((-2, -1))
    eps = np.finfo("f4").eps
    bound = 20 * eps * magnitude + 2**8 * 4 * eps * smallest[..., None] * np.abs(w).sum((0, 1, 2)) + 1e-43
    result = native.conv2d(x, w, strides=once, padding=around)
    assert (np.abs(result - exact) <= bound).all()
    for i in range(n):
        assert_array_equal(native.conv2d(x[i : i + 1], w, strides=once, padding=around)[0], result[i])


@given(seed=seeds, small=st.integers(-9, 0), hidden=st.booleans())
def test_the_bound_holds_where_nothing_looks_at_the_sizes(native: Any, seed: int, small: int, hidden: bool) -> None:
    """Either small channels have one large pixel that a large channel hides, or the taps' sizes differ."""
    rng = np.random.default_rng(seed)
    n, side, c = 2, 10, 16
    x, w = rng.uniform(1, 2, (n, side, side, c)).astype("f4"), rng.uniform(1, 2, (3, 3, c, c)).astype("f4")
    drawn = np.array([10.0**small, 1], "f4")
    if hidden:
        x[..., 1:] *= rng.choice(drawn, p=(0.9, 0.1), size=x[..., 1:].shape)
        w[:, :, 0] = 0
    else:
        x *= rng.choice([0, 1], size=(n, side, side, 1)).astype("f4")
        w *= rng.choice(drawn, size=w.shape)
    for convolve, taps in (
        (functools.partial(native.conv2d, strides=once, padding=around), w),
        (
            functools.partial(native.conv2d_input, strides=once, padding=around, size=(side, side)),
            w[::-1, ::-1].swapaxes(2, 3),
        ),
    ):
        seen = windows(x, (3, 3), once, around).astype("f8").reshape(n, side, side, -1)
        exact = seen @ taps.reshape(-1, c).astype("f8")
        largest = windows(np.abs(x), (3, 3), once, around).max((3, 4))
        bound = 16 * (c + 11) * np.finfo("f4").eps / 2 * (largest @ np.abs(taps).sum((0, 1)).astype("f8"))
        assert (np.abs(convolve(x, w) - exact) <= bound).all()


@given(seed=seeds, small=st.integers(-9, 0), hidden=st.booleans())
def test_the_bound_of_the_taps_cotangent(native: Any, seed: int, small: int, hidden: bool) -> None:
    """Sizes differ between channels, or between tiles of images that are each of one size."""
    rng = np.random.default_rng(seed)
    n, side, c = 3, 10, 16
    x, g = (rng.uniform(1, 2, (n, side, side, c)).astype("f4") for _ in range(2))
    drawn = np.array([10.0**small, 1], "f4")
    x, g = (images * rng.choice([-1, 1], size=images.shape).astype("f4") for images in (x, g))
    for images in (x, g):
        part = images[..., 1:] if hidden else images
        part *= rng.choice(drawn, p=(0.9, 0.1), size=part.shape if hidden else (n, 1, 1, c))
    result = native.conv2d_weight(x, g, strides=once, padding=around, size=(3, 3))
    seen = windows(x, (3, 3), once, around).reshape(-1, 9 * c).astype("f8")
    exact = (seen.T @ g.reshape(-1, c).astype("f8")).reshape(result.shape)
    largest = tiles(np.abs(x), 4, (side, side), around).max((3, 4)).reshape(-1, c).astype("f8")
    total = tiles(np.abs(g), 2, (side, side), (0, 0, 0, 0)).sum((3, 4)).reshape(-1, c).astype("f8")
    bound = 16 * (len(largest) + 8) * np.finfo("f4").eps / 2 * (largest.T @ total)
    assert (np.abs(result - exact) <= bound).all()


def test_small_channels_under_large_ones_have_the_error_of_their_largest_pixel(native: Any) -> None:
    x = np.full((1, 8, 8, 16), 1e-3, np.float32)
    x[..., 0] = x[0, 4, 4] = 1e6
    y = native.conv2d(x, identity(16), strides=once, padding=around)
    errors = np.abs(y - x)[..., 1:].max()
    assert 1e-4 < errors <= 16 * (16 + 11) * np.finfo("f4").eps / 2 * 1e6


def test_what_overflows_between_the_transformations_is_computed_directly(native: Any) -> None:
    x = np.full((2, 8, 8, 16), 1e38, np.float32)
    x[1] = 1
    x[0] *= np.random.default_rng(0).choice([-1, 1], size=x[0].shape).astype("f4")
    assert_array_equal(native.conv2d(x, identity(16), strides=once, padding=around), x, strict=True)
    g = np.zeros_like(x)
    g[0, 4, 4, 1] = 1
    assert_array_equal(
        native.conv2d_weight(x, g, strides=once, padding=around, size=(3, 3))[..., 1], x[0, 3:6, 3:6], strict=True
    )


def test_an_infinite_output_is_infinite(native: Any) -> None:
    x = np.ones((1, 9, 9, 16), np.float32)
    x[0, 4, 4] = np.inf
    y = native.conv2d(x, np.ones((3, 3, 16, 16), np.float32), strides=once, padding=around)
    assert_array_equal(y[0, 3:6, 3:6], np.full((3, 3, 16), np.inf, "f4"))
    assert np.isfinite(np.delete(y[0].reshape(81, 16), [r * 9 + q for r in (3, 4, 5) for q in (3, 4, 5)], 0)).all()
