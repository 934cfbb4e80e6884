"""Pooling against loops over windows in numpy."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from drawing import Drawing, drawings, share
from hypothesis import given
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray

import minimeta as mm
from minimeta.autodiff.apply import apply
from minimeta.autodiff.operations import windows
from minimeta.autodiff.primitive import registry
from minimeta.errors import DtypeError, ShapeError

Floats = NDArray[Any]


def pieces(x: Floats, places: Any, params: dict[str, Any]) -> Iterator[tuple[tuple[int, int], Floats]]:
    """For each place, what of the image is under the window: (N, rows, columns, C)."""
    (sy, sx), (above, _, left, _), (kh, kw) = params["strides"], params["padding"], params["window"]
    for u, v in np.ndindex(*places):
        top, start = u * sy - above, v * sx - left
        yield (u, v), x[:, max(top, 0) : top + kh, max(start, 0) : start + kw]


def drawn(drawing: Drawing) -> tuple[Floats, tuple[int, int], dict[str, Any], tuple[Any, ...]]:
    """Images, places, the geometry, and the arguments that say so to the public functions."""
    sides, places, params = windows.sample(drawing, on_image=True)
    x = drawing.array((drawing.integer(0, 2), *sides, drawing.integer(0, 3)))
    above, below, left, right = params["padding"]
    return x, places, params, (params["window"], params["strides"], ((above, below), (left, right)))


@share(0.6)
@given(drawing=drawings())
def test_against_loops(drawing: Drawing) -> None:
    x, places, params, arguments = drawn(drawing)
    largest, average = (np.zeros((x.shape[0], *places, x.shape[3])) for _ in range(2))
    for (u, v), piece in pieces(x, places, params):
        largest[:, u, v] = piece.max((1, 2))
        average[:, u, v] = piece.mean((1, 2))
    assert_array_equal(mm.max_pool(x, *arguments), largest)
    assert_allclose(mm.average_pool(x, *arguments), average, rtol=1e-14, atol=1e-15)
    assert_array_equal(mm.vjp(lambda x: mm.max_pool(x, *arguments), x)[0], largest)
    if x.size:
        shifted = x - 100.0  # below the zeros of any padding
        assert_array_equal(mm.max_pool(shifted, *arguments), largest - 100.0)


@share(0.3)
@given(drawing=drawings())
def test_derivatives(drawing: Drawing) -> None:
    x, places, params, arguments = drawn(drawing)
    g = drawing.array((x.shape[0], *places, x.shape[3]))
    to_maxima, to_averages = np.zeros_like(x), np.zeros_like(x)
    for (u, v), piece in pieces(to_averages, places, params):
        piece += g[:, u, v][:, None, None] / (piece.shape[1] * piece.shape[2])  # noqa: PLW2901 (a view)
    for (u, v), piece in pieces(np.arange(x.size).reshape(x.shape), places, params):
        flat = np.moveaxis(piece, 3, 1).reshape(x.shape[0], x.shape[3], piece.shape[1] * piece.shape[2])
        where = np.take_along_axis(flat, x.reshape(-1)[flat].argmax(-1, keepdims=True), -1)[..., 0]
        np.add.at(to_maxima.reshape(-1), where, g[:, u, v])

    def weighted(pool: Callable[..., Any]) -> Callable[[Any], Any]:
        return lambda x: mm.sum(pool(x, *arguments) * g)

    assert_allclose(mm.grad(weighted(mm.max_pool))(x), to_maxima, rtol=1e-14, atol=1e-14)
    assert_allclose(mm.grad(weighted(mm.average_pool))(x), to_averages, rtol=1e-13, atol=1e-14)
    # The second order: of sum g y**2 / 2, the Hessian along a direction is the transpose of g times the derivative.
    direction = drawing.array(x.shape)
    for pool in (mm.max_pool, mm.average_pool):
        curved = mm.hvp(lambda x, pool=pool: mm.sum(g * pool(x, *arguments) ** 2) / 2.0, (x,), (direction,))[0]
        slope = mm.jvp(lambda x, pool=pool: pool(x, *arguments), (x,), (direction,))[1]
        expected = mm.vjp(lambda x, pool=pool: pool(x, *arguments), x)[1](g * slope)[0]
        assert_allclose(curved, expected, rtol=1e-12, atol=1e-12)


def test_pools_by_hand() -> None:
    x = np.arange(16.0).reshape(1, 4, 4, 1)
    assert_array_equal(mm.max_pool(x)[0, ..., 0], [[5.0, 7.0], [13.0, 15.0]])
    assert_array_equal(mm.average_pool(x)[0, ..., 0], [[2.5, 4.5], [10.5, 12.5]])
    assert_array_equal(mm.max_pool(x, 3, 1)[0, ..., 0], [[10.0, 11.0], [14.0, 15.0]])
    # SAME pads the odd row and column below and right, and does not count them.
    assert_array_equal(mm.average_pool(x[:, :3, :3], padding="SAME")[0, ..., 0], [[2.5, 4.0], [8.5, 10.0]])
    assert_array_equal(mm.max_pool(-x[:, :3, :3], padding="SAME")[0, ..., 0], [[0.0, -2.0], [-8.0, -10.0]])


def test_the_first_of_a_tie_takes_the_derivative() -> None:
    x = np.array([[1.0, 3.0, 0.0, -0.0], [3.0, 3.0, -0.0, 0.0]]).reshape(1, 2, 4, 1)
    gradient = mm.grad(lambda x: mm.sum(mm.max_pool(x) * np.array([2.0, 5.0])[:, None]))(x)
    assert_array_equal(gradient[0, ..., 0], [[0.0, 2.0, 5.0, 0.0], [0.0, 0.0, 0.0, 0.0]])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("channels", [1, 3, 32, 70])
def test_nan_wins_and_the_first_of_them_is_differentiated(dtype: str, channels: int) -> None:
    x = np.random.default_rng(0).normal(size=(2, 4, 4, channels)).astype(dtype)
    x[0, 1, 0] = x[0, 1, 1] = np.nan
    x[1, 3, 3] = np.inf
    x[1, :2, :2] = -np.inf
    y, pullback = mm.vjp(mm.max_pool, x)
    assert_array_equal(y, x.reshape(2, 2, 2, 2, 2, channels).max((2, 4)))
    (gradient,) = pullback(np.ones_like(y))
    assert_array_equal(gradient[0, :2, :2, 0], [[0.0, 0.0], [1.0, 0.0]])
    assert_array_equal(gradient[1, :2, :2, 0], [[1.0, 0.0], [0.0, 0.0]])
    assert gradient.sum() == y.size


def test_padding_is_not_the_maximum_even_of_minus_infinity() -> None:
    x = np.full((1, 3, 3, 1), -np.inf)
    y, pullback = mm.vjp(lambda x: mm.max_pool(x, 2, 2, 1), x)
    assert_array_equal(y, np.full((1, 2, 2, 1), -np.inf))
    expected = np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    assert_array_equal(pullback(np.ones_like(y))[0][0, ..., 0], expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("window", [(16, 16), (16, 17), (20, 21)])
def test_windows_of_many_cells(dtype: str, window: tuple[int, int]) -> None:
    """Numbers above 255 are no bytes; the last cell of the last window is its maximum here."""
    x = np.random.default_rng(0).normal(size=(2, 20, 21, 19)).astype(dtype)
    x[:, -1, -1] = 10.0
    y, pullback = mm.vjp(lambda x: mm.max_pool(x, window, 1), x)
    assert_array_equal(y, np.lib.stride_tricks.sliding_window_view(x, window, (1, 2)).max((4, 5)))
    (gradient,) = pullback(np.ones_like(y))
    assert_array_equal(gradient[:, -1, -1], np.ones((2, 19)))
    assert_array_equal(gradient.sum((1, 2)), np.full((2, 19), y.shape[1] * y.shape[2]))
    assert_allclose((gradient * x).sum((1, 2)), y.sum((1, 2)), rtol=1e-5)


X = np.ones((2, 4, 4, 3))
untyped: Any = mm


@pytest.mark.parametrize("pool", [mm.max_pool, mm.average_pool])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((X[0],), r"images have shape \(N, height, width, channels\), not \(4, 4, 3\)"),
        ((X, 5), "window of 5 x 5 does not fit on an image of 4 x 4"),
        ((X, 2, 2, 2), r"padding \(2, 2, 2, 2\).*must be smaller than the window of 2 x 2"),
        ((X, 2, 1, ((0, 0), (0, 2))), "must be smaller than the window"),
        ((X[:, :0], 3, 1, 2), "image of 0 x 4 not empty"),
        ((X, 0), "window=0 must be a positive integer"),
        ((X, 2, (1, 0)), r"strides=\(1, 0\) must be"),
        ((X, 2, 2, "MIRROR"), "padding='MIRROR' must be"),
    ],
)
def test_what_is_refused(pool: Callable[..., Any], arguments: Any, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        pool(*arguments)


@pytest.mark.parametrize("pool", [mm.max_pool, mm.average_pool])
def test_dtypes(pool: Callable[..., Any]) -> None:
    assert pool(X.astype(np.float32)).dtype == np.float32
    assert pool(X).dtype == np.float64
    with pytest.raises(DtypeError, match=f"{pool.__name__} of dtype int64: it needs float32 or float64"):
        pool(X.astype(np.int64))


GEOMETRY = {"window": (2, 2), "strides": (2, 2), "padding": (0, 0, 0, 0)}
CELL = np.zeros((2, 2, 2, 3), np.uint8)


@pytest.mark.parametrize(
    ("name", "operands", "params", "error", "message"),
    [
        ("sum_pool_input", (CELL + 1.0,), {"size": (6, 4)}, ShapeError, r"images of \(6, 4\) have \(3, 2\) windows"),
        ("pool_put", (CELL + 1.0, CELL), {"size": (6, 4)}, ShapeError, r"pool_put .* have \(3, 2\) windows"),
        ("pool_put", (CELL + 1.0, CELL[:1]), {"size": (4, 4)}, ShapeError, r"pool_put: .*\(2, 2, 2, 3\), not \(1, 2"),
        ("pool_take", (X, CELL[..., :1]), {}, ShapeError, r"pool_take: .*\(2, 2, 2, 3\), not \(2, 2, 2, 1\)"),
        ("pool_take", (X, CELL.astype(int)), {}, DtypeError, r"pool_take: .*\(2, 2\) are uint8, not int64"),
    ],
)
def test_what_the_primitives_refuse(
    name: str, operands: Any, params: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        apply(registry[name], *operands, **GEOMETRY, **params)
