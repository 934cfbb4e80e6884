"""An element of a product is a sum of short chains of fused multiply-adds in a known order: to the bit.

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


def chain_lengths(counts: tuple[int, ...]) -> list[int]:
    """Of a product whose terms are nested loops: whole inner loops of at most 256 terms together, or 256 of one."""
    room = 256
    steps: list[int] = []
    for count in counts[::-1]:
        steps.insert(0, min(max(room, 1), count))
        room //= count
    pieces = [
        [min(step, count - at) for at in range(0, count, step)] for count, step in zip(counts, steps, strict=True)
    ]
    return [math.prod(piece) for piece in itertools.product(*pieces)]


def summed(a: Array, b: Array, products: list[tuple[int, ...]]) -> Array:
    """``a b``, as products of so many terms: their chains are added up, 16 at most, and these groups pairwise."""
    if 0 in a.shape or 0 in b.shape:
        return np.zeros((a.shape[0], b.shape[1]), np.float32)
    groups: list[Array] = []
    first, members = 0, 0
    for counts in products:
        lengths = chain_lengths(counts)
        if not groups or members + len(lengths) > 16:
            groups.append(np.float32(-0.0) * np.ones((a.shape[0], b.shape[1]), np.float32))
            members = 0
        members += len(lengths)
        parts = [groups.pop()]
        for number, length in enumerate(lengths):
            if number > 0 and number % 16 == 0:  # a product of more chains has groups of its own
                parts.append(np.float32(-0.0) * np.ones((a.shape[0], b.shape[1]), np.float32))
            parts[-1] = parts[-1] + chain(a[:, first : first + length], b[first : first + length])
            first += length
        groups.append(pairwise(parts))
    assert first == a.shape[1]
    return pairwise(groups)


def joined(lanes: Array) -> Array:
    """The sum over the first axis: each of the first half and its partner in the second, then half as many."""
    while len(lanes) > 1:
        lanes = lanes[: len(lanes) // 2] + lanes[len(lanes) // 2 :]
    return np.asarray(lanes[0])


def pairwise(blocks: list[Array]) -> Array:
    """The sum of blocks: the largest power of two of them that comes first is a tree, and so is what is left."""
    if len(blocks) == 1:
        return blocks[0]
    half = 2 ** ((len(blocks) - 1).bit_length() - 1)
    return pairwise(blocks[:half]) + pairwise(blocks[half:])


def by_vector(a: Array, x: Array) -> Array:
    """``a x``: blocks of 128 terms, whose lane is their place modulo 8."""
    if x.shape[0] == 0:
        return np.zeros((a.shape[0], 1), np.float32)
    blocks = [
        joined(np.array([chain(a[:, p : p + 128][:, lane::8], x[p : p + 128][lane::8]) for lane in range(8)]))
        for p in range(0, x.shape[0], 128)
    ]
    return pairwise(blocks)


def product(a: Array, b: Array) -> Array:
    """``a b`` of two matrices."""
    if a.shape[0] == b.shape[1] == 1:
        return (a.astype(np.longdouble) @ b).astype(np.float64).astype(np.float32)  # in double nothing is rounded
    if a.shape[0] == 1:
        return by_vector(b.T, a.T).T
    return (
        by_vector(a, b)
        if b.shape[1] == 1
        else summed(a, b, [(min(128, a.shape[1] - p),) for p in range(0, a.shape[1], 128)])
    )


def evenly(n: int, most: int) -> int:
    return -(-n // -(-n // max(most, 1)))


def pieces(places: tuple[int, ...], most: int) -> list[tuple[int, ...]]:
    """Several whole images of at most so many places, or several rows of one."""
    images, rows, columns = places
    group = evenly(images, most // (rows * columns))
    step = rows if group > 1 else evenly(rows, most // columns)
    return [
        (min(group, images - i), min(step, rows - y), columns)
        for i in range(0, images, group)
        for y in range(0, rows, step)
    ]


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
    """The images' gradient, of the pixels of one residue after another: of each pixel's taps the last comes first."""
    top, _, left, _ = padding
    images = np.zeros((g.shape[0], *size, w.shape[2]), np.float32)
    reach = max(w.shape[0], w.shape[1], *size) + max(padding)
    wide = np.pad(g, ((0, 0), (reach, reach), (reach, reach), (0, 0)))
    for down, right in itertools.product(range(min(strides[0], size[0])), range(min(strides[1], size[1]))):
        taps_down = range(w.shape[0])[(down + top) % strides[0] :: strides[0]][::-1]
        taps_right = range(w.shape[1])[(right + left) % strides[1] :: strides[1]][::-1]
        counts = len(taps_down), len(taps_right), w.shape[3]
        rows, columns = np.arange(size[0])[down :: strides[0]], np.arange(size[1])[right :: strides[1]]
        met = np.zeros((g.shape[0], len(rows), len(columns), *counts), np.float32)
        for i, j in np.ndindex(counts[:2]):
            y, x = (rows + top - taps_down[i]) // strides[0], (columns + left - taps_right[j]) // strides[1]
            met[:, :, :, i, j] = wide[:, reach + y[:, None], reach + x]
        taps = w[taps_down][:, taps_right].swapaxes(2, 3).reshape(math.prod(counts), w.shape[2])
        found = summed(met.reshape(math.prod(met.shape[:3]), math.prod(counts)), taps, [counts])
        images[:, down :: strides[0], right :: strides[1]] = found.reshape(*met.shape[:3], w.shape[2])
    return images


seeds = st.integers(0, 2**32 - 1)
sides = st.integers(1, 40) | st.just(1)


@given(m=sides, k=st.integers(0, 150), n=sides, batch=st.sampled_from([(), (3,), (2, 2)]), seed=seeds)
def test_products_of_matrices(native: Any, m: int, k: int, n: int, batch: tuple[int, ...], seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = factors(rng, *batch, m, k), factors(rng, *batch, k, n)
    expected = np.empty((*batch, m, n), np.float32)
    for i in np.ndindex(batch):
        expected[i] = product(x[i], y[i])
    x, y = lay_out(rng, x), lay_out(rng, y)
    assert_array_equal(native.matmul(x, y), expected, strict=True)
    turned = np.swapaxes(x, -1, -2), np.swapaxes(y, -1, -2)
    assert_array_equal(native.matmul(turned[0], y, transpose_x=True), expected, strict=True)
    assert_array_equal(native.matmul(*turned, transpose_x=True, transpose_y=True), expected, strict=True)


# Several blocks of every side, and what is left of them; few rows, few columns, few terms.
@pytest.mark.parametrize(
    "shape", [(100, 600, 500), (5, 784, 256), (300, 3, 300), (257, 300, 5), (1, 700, 490), (490, 300, 1)]
)
@pytest.mark.parametrize("turn_x", [False, True])
@pytest.mark.parametrize("turn_y", [False, True])
def test_products_of_large_matrices(native: Any, shape: tuple[int, int, int], turn_x: bool, turn_y: bool) -> None:
    rng = np.random.default_rng(0)
    m, k, n = shape
    x, y = factors(rng, m, k), factors(rng, k, n)
    left, right = x.T.copy() if turn_x else x, y.T.copy() if turn_y else y
    result = native.matmul(left, right, transpose_x=turn_x, transpose_y=turn_y)
    assert_array_equal(result, product(x, y), strict=True)


# So many terms that there are several groups; c in its place, or turned; few elements, several panels.
@pytest.mark.parametrize(
    "shape", [(1, 40_000, 1), (3, 16_385, 20), (40, 33_000, 2), (50, 17_000, 9), (1, 9_000, 300), (9, 9_000, 1)]
)
def test_products_of_very_many_terms(native: Any, shape: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(0)
    m, k, n = shape
    x, y = factors(rng, m, k), factors(rng, k, n)
    expected = product(x, y)
    assert_array_equal(native.matmul(x, y), expected, strict=True)
    assert_array_equal(native.matmul(np.asfortranarray(x), np.asfortranarray(y)), expected, strict=True)


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

    forward = native.conv2d(laid_x, laid_w, strides=strides, padding=padding)
    taps = w.reshape(terms, filters)
    assert_array_equal(forward, summed(matrix, taps, [(kh, kw * channels)]).reshape(*places, filters), strict=True)
    weight = native.conv2d_weight(laid_x, laid_g, strides=strides, padding=padding, size=(kh, kw))
    by_place = summed(matrix.T, g.reshape(math.prod(places), filters), pieces(places, 168) if places[0] else [])
    assert_array_equal(weight, by_place.reshape(w.shape), strict=True)
    images_gradient = native.conv2d_input(laid_g, laid_w, strides=strides, padding=padding, size=(height, width))
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


# Several pieces of an image, and several images a piece; strides, sides that are left over, first layers; weights of
# 2 MB, which are read where they lie.
@pytest.mark.parametrize(
    ("images", "kernel", "strides", "padding"),
    [
        ((2, 28, 28, 40), (3, 4, 24), (1, 1), (1, 1, 1, 2)),
        ((3, 14, 14, 16), (3, 3, 37), (2, 2), (0, 1, 0, 1)),
        ((9, 4, 4, 20), (3, 3, 20), (1, 1), (1, 1, 1, 1)),
        ((2, 28, 28, 1), (3, 3, 64), (2, 2), (1, 1, 1, 1)),
        ((1, 60, 9, 3), (5, 2, 5), (3, 1), (2, 1, 0, 4)),
        ((1, 9, 200, 30), (2, 7, 6), (1, 5), (0, 0, 3, 3)),
        ((1, 3, 700, 2), (2, 3, 4), (1, 1), (0, 0, 0, 0)),
        ((70, 20, 20, 2), (2, 2, 3), (1, 1), (0, 1, 0, 1)),
        ((1, 7, 7, 300), (3, 2, 5), (1, 1), (0, 0, 0, 0)),
        ((1, 6, 6, 5), (3, 3, 600), (2, 1), (1, 1, 1, 1)),
        ((2, 3, 3, 270), (2, 2, 500), (2, 1), (1, 0, 0, 0)),
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


def test_large_weights_have_the_cotangent_that_their_parts_have_alone(native: Any) -> None:
    rng = np.random.default_rng(0)
    for images in (5, 70):  # some chains, and several groups of chains
        x, g = factors(rng, images, 12, 12, 250), factors(rng, images, 6, 6, 250)
        settings: dict[str, Any] = {"strides": (2, 2), "padding": (0, 1, 0, 1), "size": (3, 3)}
        whole = native.conv2d_weight(x, g, **settings)
        for part in (slice(0, 20), slice(230, 250)):
            assert_array_equal(whole[..., part], native.conv2d_weight(x, g[..., part], **settings), strict=True)


def test_a_stride_beyond_the_image_leaves_one_position(native: Any) -> None:
    rng = np.random.default_rng(0)
    x, w = factors(rng, 2, 5, 6, 3), factors(rng, 2, 3, 3, 4)
    for strides in ((9, 11), (2**62, 2**62)):
        y = native.conv2d(x, w, strides=strides, padding=(1, 0, 0, 2))
        assert_array_equal(y, native.conv2d(x, w, strides=(1, 1), padding=(1, 0, 0, 2))[:, :1, :1], strict=True)
        images = native.conv2d_input(y, w, strides=strides, padding=(1, 0, 0, 2), size=(5, 6))
        assert_array_equal(images, chain_to_images(y, w, (9, 11), (1, 0, 0, 2), (5, 6)), strict=True)


def test_an_image_among_others_has_the_bits_that_it_has_alone(native: Any) -> None:
    # More rows than weights of 2 MB meet at a time.
    rng = np.random.default_rng(0)
    x, w, g = (factors(rng, *shape) for shape in ((50, 6, 6, 250), (3, 3, 250, 250), (50, 3, 3, 250)))
    windows = {"strides": (2, 2), "padding": (0, 1, 0, 1)}
    results = native.conv2d(x, w, **windows), native.conv2d_input(g, w, **windows, size=(6, 6))
    for i in (0, 42, 49):
        alone = native.conv2d(x[i : i + 1], w, **windows), native.conv2d_input(g[i : i + 1], w, **windows, size=(6, 6))
        for among_others, by_itself in zip(results, alone, strict=True):
            assert_array_equal(among_others[i : i + 1], by_itself, strict=True)
    exact = np.einsum("khwi,hwio->ko", x[:, :3, :3].astype("d"), w.astype("d"))
    assert np.max(abs(results[0][:, 0, 0] - exact)) <= 1e-5 * np.max(abs(exact))


@pytest.mark.parametrize("special", [np.nan, np.inf])
def test_what_is_not_finite_spreads_where_it_is_used(native: Any, special: float) -> None:
    x, w = np.ones((1, 6, 6, 2), np.float32), np.ones((3, 3, 2, 9), np.float32)
    x[0, 2, 4, 1] = special
    y = native.conv2d(x, w, strides=(1, 1), padding=(1, 1, 1, 1))
    touched = np.zeros((6, 6), bool)
    touched[1:4, 3:6] = True
    assert_array_equal(~np.isfinite(y[0]).all(-1), touched)
    assert_array_equal(~np.isfinite(native.matmul(x[0, 2], w[0, 0])).all(-1), np.arange(6) == 4)


@pytest.mark.parametrize("special", [np.nan, -np.inf])
@pytest.mark.parametrize("channels", [2, 9])
@pytest.mark.parametrize(
    ("side", "window", "strides", "padding"),
    [
        (4, 3, (2, 2), (0, 1, 0, 1)),
        (7, 3, (2, 2), (1, 1, 1, 1)),
        (5, 4, (1, 3), (2, 0, 1, 2)),
        (1, 3, (1, 1), (1, 1, 1, 1)),  # eight of nine taps meet nothing but zeros
    ],
)
def test_a_zero_around_an_image_is_a_term(
    native: Any,
    special: float,
    channels: int,
    side: int,
    window: int,
    strides: tuple[int, int],
    padding: tuple[int, int, int, int],
) -> None:
    """Its product by what is not finite is NaN, though kernels leave it out."""
    rng = np.random.default_rng(0)
    x, w = factors(rng, 2, side, side, channels), factors(rng, window, window, channels, 3)
    shape = (*windows(x, (window, window), strides, padding).shape[:3], 3)
    for _ in range(8):
        g, odd_w, odd_g = factors(rng, *shape), w.copy(), factors(rng, *shape)
        odd_w[tuple(rng.integers(odd_w.shape))] = odd_g[tuple(rng.integers(odd_g.shape))] = special
        unfolded = windows(x, (window, window), strides, padding).reshape(-1, window * window * channels)
        with np.errstate(invalid="ignore"):
            expected = (
                summed(unfolded, odd_w.reshape(-1, 3), [(window, window * channels)]).reshape(shape),
                summed(unfolded.T, odd_g.reshape(-1, 3), pieces(shape[:3], 168)).reshape(w.shape),
                chain_to_images(g, odd_w, strides, padding, (side, side)),
            )
        settings: dict[str, Any] = {"strides": strides, "padding": padding}
        found = (
            native.conv2d(x, odd_w, **settings),
            native.conv2d_weight(x, odd_g, **settings, size=(window, window)),
            native.conv2d_input(g, odd_w, **settings, size=(side, side)),
        )
        for mine, right in zip(found, expected, strict=True):
            assert_array_equal(mine, right, strict=True)
