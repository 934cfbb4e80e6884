"""Convolutions against the sum they are, and against each other."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from drawing import Drawing, drawings, share
from hypothesis import given
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray

import minimeta as mm
from minimeta.autodiff import Form
from minimeta.autodiff.apply import apply
from minimeta.autodiff.operations import windows
from minimeta.autodiff.operations.convolution import CONV2D
from minimeta.errors import DtypeError, ShapeError
from minimeta.program import trace

Floats = NDArray[Any]
Explicit = tuple[tuple[int, int], tuple[int, int]]


def terms(x: Any, w: Any, strides: Any, padding: Explicit, places: Any) -> Any:
    """Indices (n, y, x, c), (i, j, c, d), (n, u, v, d) of every term of T(x, w, g) whose pixel is on the image."""
    count, height, width, inputs = x
    for n, u, v, i, j in itertools.product(range(count), *map(range, places), *map(range, w[:2])):
        row, column = u * strides[0] - padding[0][0] + i, v * strides[1] - padding[1][0] + j
        if 0 <= row < height and 0 <= column < width:
            for c, d in itertools.product(range(inputs), range(w[3])):
                yield (n, row, column, c), (i, j, c, d), (n, u, v, d)


@share(0.6)
@given(drawing=drawings())
def test_each_is_its_sum_and_the_three_are_one_form(drawing: Drawing) -> None:
    sides, places, params = windows.sample(drawing)
    window, strides, margins = params["window"], params["strides"], params["padding"]
    padding = ((margins[0], margins[1]), (margins[2], margins[3]))
    count, inputs, outputs = (drawing.integer(0, 2) for _ in range(3))
    x = drawing.array((count, *sides, inputs))
    w = drawing.array((*window, inputs, outputs))
    g = drawing.array((count, *places, outputs))
    y, to_x, to_w = np.zeros_like(g), np.zeros_like(x), np.zeros_like(w)
    for at_x, at_w, at_g in terms(x.shape, w.shape, strides, padding, places):
        y[at_g] += x[at_x] * w[at_w]
        to_x[at_x] += g[at_g] * w[at_w]
        to_w[at_w] += x[at_x] * g[at_g]

    results = [mm.conv2d(x, w, strides, padding), mm.conv2d_weight(x, g, window, strides, padding)]
    if 0 not in sides:  # an image made of padding alone has no size to ask for
        results.append(mm.conv2d_input(g, w, sides, strides, padding))
    for result, expected in zip(results, (y, to_w, to_x), strict=False):
        assert_allclose(result, expected, rtol=1e-13, atol=1e-13)
    form = float(np.sum(y * g))
    scale = float(np.sum(np.abs(y * g))) + 1.0
    for factor, result in zip((g, w, x), results, strict=False):
        assert abs(float(np.sum(factor * result)) - form) <= 1e-13 * scale * 30


def test_a_convolution_by_hand() -> None:
    x = np.arange(9.0).reshape(1, 3, 3, 1)
    w = np.array([[1.0, 10.0], [100.0, 1000.0]]).reshape(2, 2, 1, 1)
    assert_array_equal(mm.conv2d(x, w, padding="VALID")[0, ..., 0], [[4310.0, 5421.0], [7643.0, 8754.0]])
    # SAME: as many results as pixels, the odd row and column of zeros at the bottom and the right.
    same = [[4310.0, 5421.0, 502.0], [7643.0, 8754.0, 805.0], [76.0, 87.0, 8.0]]
    assert_array_equal(mm.conv2d(x, w)[0, ..., 0], same)
    assert_array_equal(mm.conv2d(x, w, 2)[0, ..., 0], [[4310.0, 502.0], [76.0, 8.0]])


@pytest.mark.parametrize("size", range(1, 9))
@pytest.mark.parametrize("window", range(1, 5))
@pytest.mark.parametrize("stride", range(1, 4))
def test_same_and_valid_have_tensorflows_sizes(size: int, window: int, stride: int) -> None:
    x, w = np.ones((1, size, 1, 1)), np.ones((window, 1, 1, 1))
    same = mm.conv2d(x, w, (stride, 1), "SAME")[0, :, 0, 0]
    assert len(same) == -(-size // stride)
    # Every window of ones sums the pixels under it; the first begins total // 2 rows above the image.
    above = max((len(same) - 1) * stride + window - size, 0) // 2
    starts = np.arange(len(same)) * stride - above
    assert_array_equal(same, np.minimum(starts + window, size) - np.maximum(starts, 0))
    if window <= size:
        assert mm.conv2d(x, w, (stride, 1), "VALID").shape[1] == -(-(size - window + 1) // stride)


def test_paddings_that_say_the_same() -> None:
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(2, 5, 6, 3)), rng.normal(size=(3, 3, 3, 4))
    expected = mm.conv2d(np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0))), w, padding="VALID")
    for padding in ("SAME", 1, ((1, 1), (1, 1)), [[1, 1], [1, 1]]):
        assert_allclose(mm.conv2d(x, w, padding=padding), expected, rtol=1e-13, atol=1e-13)
    uneven = mm.conv2d(np.pad(x, ((0, 0), (2, 0), (1, 3), (0, 0))), w, (2, 1), "VALID")
    assert_allclose(mm.conv2d(x, w, (2, 1), ((2, 0), (1, 3))), uneven, rtol=1e-13, atol=1e-13)


def test_a_window_of_one_is_a_product_of_matrices() -> None:
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(2, 4, 5, 3)), rng.normal(size=(1, 1, 3, 6))
    assert_allclose(mm.conv2d(x, w), x @ w[0, 0], rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize(
    ("function", "first", "second"),
    [
        (lambda x, w: mm.conv2d(x, w, 2), (2, 5, 4, 3), (3, 2, 3, 2)),
        (lambda g, w: mm.conv2d_input(g, w, (5, 4), 2), (2, 3, 2, 2), (3, 2, 3, 2)),
        (lambda x, g: mm.conv2d_weight(x, g, (3, 2), 2), (2, 5, 4, 3), (2, 3, 2, 2)),
    ],
)
def test_linear_in_each_operand(function: Callable[..., Any], first: Any, second: Any) -> None:
    rng = np.random.default_rng(0)
    a, b, c, d = (rng.normal(size=shape) for shape in (first, first, second, second))
    assert_allclose(function(a - 2 * b, c), function(a, c) - 2 * function(b, c), rtol=1e-12, atol=1e-12)
    assert_allclose(function(a, c - 2 * d), function(a, c) - 2 * function(a, d), rtol=1e-12, atol=1e-12)
    # Shifted by a linear map's own value, the derivative along a direction is the value at that direction.
    assert_allclose(mm.jvp(function, (a, c), (b, d))[1], function(b, c) + function(a, d), rtol=1e-12, atol=1e-12)


def test_dtypes_are_numpys() -> None:
    x, w = np.ones((1, 2, 2, 1), np.float32), np.ones((1, 1, 1, 1), np.float32)
    assert mm.conv2d(x, w).dtype == np.float32
    for a, b in ((x.astype(float), w), (x, w.astype(float)), (x.astype(np.int64), w)):
        assert mm.conv2d(a, b).dtype == np.float64
    with pytest.raises(DtypeError, match="conv2d of int64 and int64: it needs float32 or float64"):
        mm.conv2d(x.astype(int), w.astype(int))


X, W, G = np.ones((2, 3, 8, 8)), np.ones((3, 3, 3, 4)), np.ones((2, 8, 8, 4))
untyped: Any = mm


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: mm.conv2d(X, W),
            r"\(2, 3, 8, 8\) and \(3, 3, 3, 4\): 8 channels do not meet 3.*x.transpose\(0, 2, 3, 1\)",
        ),
        (
            lambda: mm.conv2d(X[0], W),
            r"conv2d: x has shape \(3, 8, 8\), expected \(N, height.*One image alone is x\[None\]",
        ),
        (lambda: mm.conv2d(X, W[0]), r"conv2d: w has shape .*expected \(height, .*w.transpose\(2, 3, 1, 0\)"),
        (lambda: mm.conv2d(np.ones((1, 2, 2, 3)), W, padding="VALID"), "3 x 3 does not fit on an image of 2 x 2"),
        (lambda: mm.conv2d(np.ones((1, 5, 5, 3)), W[:0]), "window of 0 x 3"),
        (lambda: mm.conv2d_input(G, W, (9, 8)), "g has 8 x 8 places, but images of size 9 x 8 lead to 9 x 8"),
        (lambda: mm.conv2d_input(G[..., :2], W, 8), "conv2d_input of .*: 2 channels do not meet 4"),
        (lambda: mm.conv2d_weight(G, G, 3, 2), "g has 8 x 8 places, but weights of size 3 x 3 lead to 4 x 4"),
        (lambda: mm.conv2d_weight(G[:1], G, 3), "conv2d_weight of .*: the numbers of images differ"),
        (lambda: mm.conv2d(G, G[0][None], 0), "conv2d: strides=0 must be a positive integer, or one for rows"),
        (lambda: mm.conv2d(G, G, (1, 2, 3)), r"strides=\(1, 2, 3\) must be"),
        (lambda: untyped.conv2d(G, G, 1.5), "strides=1.5 must be"),
        (lambda: mm.conv2d_input(G, W, 0), "size=0 must be"),
        (lambda: untyped.conv2d(G, G, 1, "same"), "padding='same' must be 'SAME', 'VALID', a number, or"),
        (lambda: mm.conv2d(G, G, 1, -1), "padding=-1 must be"),
        (lambda: untyped.conv2d(G, G, 1, (1, 1)), r"padding=\(1, 1\) must be"),
    ],
)
def test_what_is_refused(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        call()
    # A differentiated call is refused in the same words.
    with pytest.raises(ShapeError, match=message):
        mm.grad(lambda one: one * mm.sum(call()))(1.0)


def test_the_shape_is_refused_while_tracing_too() -> None:
    def convolve(x: Any, w: Any) -> Any:
        return apply(CONV2D, x, w, strides=(1, 1), padding=(0, 0, 0, 0))

    w = Form(W.shape, W.dtype)
    with pytest.raises(ShapeError, match="8 channels do not meet 3"):
        trace(convolve, Form(X.shape, X.dtype), w)
    with pytest.raises(DtypeError, match="conv2d of float32 and float64: both must be float32, or both float64"):
        trace(convolve, Form((1, 8, 8, 3), "f4"), w)
