"""Elementwise functions compute numpy's values, and have the derivatives of ``minimeta.testing``."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from drawing import Drawing, drawings, share
from every_way import assert_same
from hypothesis import given
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_array_equal, assert_array_max_ulp
from numpy.typing import NDArray

import minimeta as mm
from minimeta.errors import DtypeError, TracingError
from minimeta.program import interpret, trace
from minimeta.testing import check_gradients

Floats = NDArray[Any]


Function = Callable[..., Any]


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


UNARY: list[tuple[Function, Function, str]] = [
    (mm.negative, np.negative, "real"),
    (mm.square, np.square, "real"),
    (mm.reciprocal, np.reciprocal, "nonzero"),
    (mm.sqrt, np.sqrt, "positive"),
    (mm.exp, np.exp, "real"),
    (mm.expm1, np.expm1, "real"),
    (mm.log, np.log, "positive"),
    (mm.log1p, np.log1p, "unit"),
    (mm.sin, np.sin, "real"),
    (mm.cos, np.cos, "real"),
    (mm.tan, np.tan, "unit"),
    (mm.tanh, np.tanh, "real"),
    (mm.absolute, np.absolute, "real"),
    (mm.abs, abs, "real"),
    (mm.sign, np.sign, "real"),
    (mm.copy, np.copy, "real"),
]


BINARY: list[tuple[Function, Function, str, str]] = [
    (mm.add, np.add, "real", "real"),
    (mm.subtract, np.subtract, "real", "real"),
    (mm.multiply, np.multiply, "real", "real"),
    (mm.divide, np.divide, "real", "nonzero"),
    (mm.power, np.power, "positive", "real"),
    (mm.maximum, np.maximum, "real", "real"),
    (mm.minimum, np.minimum, "real", "real"),
    (mm.equal, np.equal, "real", "real"),
    (mm.not_equal, np.not_equal, "real", "real"),
    (mm.less, np.less, "real", "real"),
    (mm.less_equal, np.less_equal, "real", "real"),
    (mm.greater, np.greater, "real", "real"),
    (mm.greater_equal, np.greater_equal, "real", "real"),
]


# Elementwise


@pytest.mark.parametrize(("ours", "theirs", "domain"), UNARY, ids=lambda f: getattr(f, "__name__", ""))
@share(0.1)
@given(drawing=drawings())
def test_functions_of_one_array(ours: Function, theirs: Function, domain: str, drawing: Drawing) -> None:
    x = drawing.array(drawing.shape(), domain)
    assert_same(ours, theirs(x), x)
    assert_same(theirs, theirs(x), x)


@pytest.mark.parametrize(("ours", "theirs", "left", "right"), BINARY, ids=lambda f: getattr(f, "__name__", ""))
@share(0.2)
@given(drawing=drawings(), shapes=hnp.mutually_broadcastable_shapes(num_shapes=2, min_side=0, max_side=4, max_dims=3))
def test_functions_of_two_arrays(
    ours: Function,
    theirs: Function,
    left: str,
    right: str,
    drawing: Drawing,
    shapes: hnp.BroadcastableShapes,
) -> None:
    x, y = (drawing.array(s, domain) for s, domain in zip(shapes.input_shapes, (left, right), strict=True))
    if drawing.integer(0, 1) and x.shape == y.shape:
        y = np.where(drawing.booleans(y.shape), x, y)  # ties, for the comparisons
    expected = theirs(x, y)
    assert_same(ours, expected, x, y)
    # Each operand alone may be the one that is differentiated.
    assert_same(lambda x: theirs(x, y), expected, x)
    assert_same(lambda y: theirs(x, y), expected, y)


@pytest.mark.parametrize(
    ("ours", "formula"),
    [
        (mm.sigmoid, sigmoid),
        (mm.softplus, lambda x: np.logaddexp(x, 0.0)),
        (mm.relu, lambda x: np.maximum(x, 0.0)),
        (mm.stop_gradient, lambda x: x),
    ],
    ids=["sigmoid", "softplus", "relu", "stop_gradient"],
)
@share(0.1)
@given(drawing=drawings())
def test_functions_that_numpy_lacks(ours: Function, formula: Function, drawing: Drawing) -> None:
    x = drawing.array(drawing.shape())
    assert_same(ours, formula(x), x)


@share(0.2)
@given(drawing=drawings())
def test_clip(drawing: Drawing) -> None:
    x = drawing.array(drawing.shape())
    for low, high in ((-1.0, 1.0), (None, 0.5), (-0.5, None), (1.0, -1.0)):
        assert_same(lambda x, a=low, b=high: mm.clip(x, a, b), np.clip(x, low, high), x)
        assert_same(lambda x, a=low, b=high: np.clip(x, a, b), np.clip(x, low, high), x)
        assert_same(lambda x, a=low, b=high: np.clip(x, a_min=a, a_max=b), np.clip(x, low, high), x)


def test_clip_without_bounds_is_the_array() -> None:
    x = np.array([1.0, -2.0])
    for clip in (mm.clip, lambda x: np.clip(x, None, None), lambda x: x.clip()):
        assert_array_equal(mm.grad(lambda x, f=clip: mm.sum(x * f(x)))(x), 2.0 * x)
    y = np.arange(3)
    assert_array_equal(mm.clip(y), y)
    assert mm.clip(y) is not y


@pytest.mark.parametrize("bounds", [{"min": 0.0}, {"max": 2.0}])
def test_a_bound_of_clip_has_one_name(bounds: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="forbidden"):
        np.clip(np.ones(2), 0.0, 1.0, **bounds)
    with pytest.raises(TracingError, match="a_min and a_max are other names of min and max; give each bound once"):
        mm.grad(lambda x: np.sum(np.clip(x, 0.0, 1.0, **bounds)))(np.ones(2))


@share(0.2)
@given(drawing=drawings(), shapes=hnp.mutually_broadcastable_shapes(num_shapes=3, min_side=0, max_side=3, max_dims=3))
def test_where(drawing: Drawing, shapes: hnp.BroadcastableShapes) -> None:
    condition = drawing.booleans(shapes.input_shapes[0])
    x, y = (drawing.array(shape) for shape in shapes.input_shapes[1:])
    expected = np.where(condition, x, y)
    assert_same(lambda x, y: mm.where(condition, x, y), expected, x, y)
    assert_same(lambda x, y: np.where(condition, x, y), expected, x, y)
    assert_same(lambda x: np.where(x > 0, x, 0.0), np.where(x > 0, x, 0.0), x)


def test_where_a_number_is_not_0() -> None:
    condition = np.array([0.0, 1.0, -0.0, np.nan])
    assert_same(lambda c: mm.where(c, 1.0, 2.0), np.where(condition, 1.0, 2.0), condition)


def test_where_hides_no_nan_unless_the_argument_is_made_harmless() -> None:
    x = np.array([0.0, 1.0])
    harmless = mm.grad(lambda x: mm.sum(mm.where(x > 0, mm.log(mm.where(x > 0, x, 1.0)), 0.0)))
    assert_array_equal(harmless(x), [0.0, 1.0])


@share(0.1)
@given(drawing=drawings())
def test_logic(drawing: Drawing) -> None:
    shape = drawing.shape()
    a, b = drawing.booleans(shape), drawing.booleans(shape)
    assert_array_equal(mm.logical_and(a, b), a & b)
    assert_array_equal(mm.logical_or(a, b), a | b)
    assert_array_equal(mm.logical_not(a), ~a)
    x = drawing.array(shape)
    low, high = x > -1.0, x < 1.0
    assert_same(lambda x: (x > -1.0) & (x < 1.0), low & high, x)
    assert_same(lambda x: (x > -1.0) | ~(x < 1.0), low | ~high, x)
    assert_same(lambda x: np.logical_and(x > -1.0, x < 1.0), low & high, x)
    assert_same(lambda x: np.logical_or(np.logical_not(x < 1.0), x > -1.0), low | ~high, x)


@pytest.mark.parametrize("target", ["bool", "int8", "uint8", "int32", "int64", "float32", "float64"])
@share(0.1)
@given(drawing=drawings())
def test_astype(target: str, drawing: Drawing) -> None:
    x = drawing.array(drawing.shape(), "positive")
    x[...] = np.float32(x)
    assert_same(lambda x: mm.astype(x, target), x.astype(target), x)
    assert_same(lambda x: np.astype(x, np.dtype(target)), x.astype(target), x)
    assert_array_equal(mm.astype(x.astype(target), np.float64), x.astype(target).astype(np.float64))


@pytest.mark.parametrize("target", ["float16", "object", "datetime64[s]", "U3"])
def test_astype_to_what_does_not_compute(target: str) -> None:
    with pytest.raises(DtypeError, match="astype to"):
        mm.astype(np.zeros(2), target)


def test_the_complex_step_sees_a_conversion_between_floats_alone() -> None:
    x = np.array([0.5, 2.5])
    for target, derivative in (("float32", 1.0), ("int64", 0.0), ("bool", 0.0)):
        program = trace(lambda x, target=target: mm.astype(mm.astype(x, target), np.float64), x)
        stepped = interpret(program, x + 1e-30j)
        assert_array_equal(np.real(stepped), x.astype(target).astype(float))
        assert_array_equal(np.imag(stepped), 1e-30 * derivative)
    lookup = trace(lambda x: mm.take(np.arange(3.0) ** 2, mm.astype(x, np.int64), 0), x)
    assert_array_equal(interpret(lookup, x + 1e-30j), [0.0, 4.0])


@pytest.mark.parametrize("exponent", [3, 4.0, 0.5, -0.5, -1, -2.0])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_simple_powers_are_products_and_roots_within_two_units_in_the_last_place(exponent: float, dtype: Any) -> None:
    largest = float(np.finfo(dtype).max) ** (1 / max(abs(exponent), 1)) * 0.99
    x = np.concatenate([np.geomspace(1 / largest, largest, 1001), [0.0, -0.0, np.inf]]).astype(dtype)
    x = np.concatenate([x, -x]) if exponent % 1 == 0 else x
    with np.errstate(divide="ignore"):
        exact = np.power(x.astype(np.longdouble), exponent)
    found = mm.compile(lambda x: x**exponent)(x)
    assert found.dtype == dtype and "power" not in str(trace(lambda x: x**exponent, x))
    assert_array_max_ulp(found, exact.astype(dtype), 2)
    check_gradients(lambda x: x**exponent, np.array([0.5, 2.0]), order=2)
