"""Products of matrices and vectors are numpy's."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from drawing import Drawing, drawings, share
from every_way import assert_same
from hypothesis import given
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray

import minimeta as mm
from minimeta.errors import DtypeError, ShapeError

Floats = NDArray[Any]


Function = Callable[..., Any]


# Products


@share(0.5)
@given(
    drawing=drawings(), shapes=hnp.mutually_broadcastable_shapes(signature=np.matmul.signature, max_side=3, min_side=0)
)
def test_matmul(drawing: Drawing, shapes: hnp.BroadcastableShapes) -> None:
    x, y = (drawing.array(shape) for shape in shapes.input_shapes)
    expected = np.matmul(x, y)
    assert_same(mm.matmul, expected, x, y)
    assert_same(lambda x: x @ y, expected, x)
    assert_same(lambda y: x @ y, expected, y)
    if x.ndim <= 2 and y.ndim <= 2:
        assert_same(mm.dot, np.dot(x, y), x, y)
        assert_same(lambda x: np.dot(x, y), np.dot(x, y), x)
    cotangent = drawing.array(expected.shape)
    # The transpose of a product is a product: <v, dx @ y> = <v @ y^T, dx>, element by element by a unit dx.
    _, pullback = mm.vjp(mm.matmul, x, y)
    to_x, to_y = pullback(cotangent)
    products: list[tuple[Floats, Floats, Function]] = [(to_x, x, lambda u: u @ y), (to_y, y, lambda u: x @ u)]
    for gradient, operand, product in products:
        expected_gradient = np.zeros(operand.shape)
        for position in np.ndindex(operand.shape):
            unit = np.zeros(operand.shape)
            unit[position] = 1.0
            expected_gradient[position] = np.sum(cotangent * product(unit))
        assert_allclose(gradient, expected_gradient, rtol=1e-12, atol=1e-12)


@share(0.1)
@given(drawing=drawings())
def test_outer(drawing: Drawing) -> None:
    x, y = drawing.array(drawing.shape(0, 2)), drawing.array(drawing.shape(0, 2))
    assert_same(mm.outer, np.outer(x, y), x, y)
    assert_same(lambda x: np.outer(x, y), np.outer(x, y), x)


@pytest.mark.parametrize(
    ("left", "right", "message"),
    [
        ((2, 3), (2, 3), r"matmul of shapes \(2, 3\) and \(2, 3\): the inner sides 3 and 2 differ"),
        ((3,), (2,), "the inner sides 3 and 2 differ"),
        ((), (2,), "a scalar is not a matrix"),
        ((2, 1, 2), (3, 2, 1), "the leading axes do not broadcast"),
    ],
)
def test_products_that_do_not_fit(left: tuple[int, ...], right: tuple[int, ...], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        mm.matmul(np.zeros(left), np.zeros(right))


@pytest.mark.parametrize(
    ("subscripts", "message"),
    [("ij->ik", "an index 'k' that no operand has"), ("ii->i", "index 'i' has sides 2 and 3")],
)
def test_an_index_that_does_not_fit_is_named(subscripts: str, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        mm.vjp(lambda x: np.einsum(subscripts, x), np.zeros((2, 3)))


def test_products_of_integers_and_of_mixed_floats() -> None:
    whole = np.arange(4).reshape(2, 2)
    assert_array_equal(mm.matmul(whole, whole), whole @ whole, strict=True)
    with pytest.raises(DtypeError, match="dtype float16"):
        mm.matmul(whole.astype(np.float16), whole)
    for dtype in (np.float32, np.float64):
        for other in (np.int64, np.float32, np.int8):
            mixed = mm.matmul(whole.astype(dtype), whole.astype(other))
            assert mixed.dtype == np.matmul(whole.astype(dtype), whole.astype(other)).dtype
            assert_array_equal(mixed, whole @ whole)


def test_dot_of_sides_that_differ_says_which() -> None:
    with pytest.raises(ShapeError, match=r"tensordot of shapes \(1, 2, 2\) and \(3, 2\).*the sides differ"):
        mm.dot(np.zeros((1, 2, 2)), np.zeros((3, 2)))
