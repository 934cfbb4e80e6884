"""Every public operation against the numpy function it answers to: outside, inside, dispatched from numpy, abstract."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drawing import Drawing, drawings, share, spread
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray

import minimeta as mm
from minimeta.errors import DtypeError, IndexingError, ShapeError
from minimeta.program import interpret, optimise, trace
from minimeta.testing import check_gradients

Floats = NDArray[Any]
Function = Callable[..., Any]


def assert_same(function: Function, expected: Any, *operands: Floats) -> None:
    """The value is as expected outside of all, inside a transformation, and replayed from an abstract run."""
    expected = np.asarray(expected)
    tolerance = 1e-13 * max(1.0, float(np.max(np.abs(expected), initial=0.0)))
    inside, _ = mm.vjp(function, *operands)
    replayed = interpret(trace(function, *operands), *operands)
    for found in (function(*operands), inside, replayed):
        assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
        assert_allclose(found, expected, rtol=1e-13, atol=tolerance)


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
REDUCTIONS: list[tuple[Function, Function]] = [
    (mm.sum, np.sum),
    (mm.mean, np.mean),
    (mm.max, np.max),
    (mm.min, np.min),
    (mm.variance, np.var),
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


@share(0.2)
@given(drawing=drawings(), shapes=hnp.mutually_broadcastable_shapes(num_shapes=3, min_side=0, max_side=3, max_dims=3))
def test_where(drawing: Drawing, shapes: hnp.BroadcastableShapes) -> None:
    condition = drawing.booleans(shapes.input_shapes[0])
    x, y = (drawing.array(shape) for shape in shapes.input_shapes[1:])
    expected = np.where(condition, x, y)
    assert_same(lambda x, y: mm.where(condition, x, y), expected, x, y)
    assert_same(lambda x, y: np.where(condition, x, y), expected, x, y)
    assert_same(lambda x: np.where(x > 0, x, 0.0), np.where(x > 0, x, 0.0), x)


def test_where_of_a_condition_that_is_no_truth_value() -> None:
    with pytest.raises(DtypeError, match="condition of dtype int64: it must be bool"):
        mm.where(np.array([0, 1]), 1.0, 2.0)


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


@pytest.mark.parametrize("target", ["float16", "complex128", "object", "datetime64[s]", "U3"])
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


# Reductions


@st.composite
def axes_of(draw: st.DrawFn, ndim: int) -> int | tuple[int, ...] | None:
    if ndim == 0 or draw(st.integers(0, 3)) == 0:
        return draw(st.sampled_from([None, ()]))
    if draw(st.booleans()):
        return draw(st.integers(-ndim, ndim - 1))
    return tuple(
        axis - ndim * draw(st.integers(0, 1))
        for axis in draw(st.lists(st.integers(0, ndim - 1), unique=True, min_size=1))
    )


@pytest.mark.parametrize(("ours", "theirs"), REDUCTIONS, ids=lambda f: f.__name__)
@share(0.3)
@given(drawing=drawings(), data=st.data())
def test_reductions(ours: Function, theirs: Function, drawing: Drawing, data: st.DataObject) -> None:
    x = drawing.array(tuple(side + 1 for side in drawing.shape()))
    axis, keepdims = data.draw(axes_of(x.ndim)), data.draw(st.booleans())
    expected = theirs(x, axis=axis, keepdims=keepdims)
    assert_same(lambda x: ours(x, axis, keepdims=keepdims), expected, x)
    assert_same(lambda x: theirs(x, axis=axis, keepdims=keepdims), expected, x)
    if isinstance(axis, tuple):
        assert_same(lambda x: ours(x, list(axis), keepdims=keepdims), expected, x)


@share(0.3)
@given(drawing=drawings(), data=st.data())
def test_norm_logsumexp_and_softmax(drawing: Drawing, data: st.DataObject) -> None:
    x = drawing.array(tuple(side + 1 for side in drawing.shape()))
    axis, keepdims = data.draw(axes_of(x.ndim)), data.draw(st.booleans())
    length = np.sqrt(np.sum(x * x, axis, keepdims=keepdims))
    assert_same(lambda x: mm.norm(x, axis, keepdims=keepdims), length, x)
    if isinstance(axis, int) or axis is None:
        assert_same(lambda x: np.linalg.norm(x, axis=axis, keepdims=keepdims), length, x)
    total = np.log(np.sum(np.exp(x), axis, keepdims=keepdims))
    assert_same(lambda x: mm.logsumexp(x, axis, keepdims=keepdims), total, x)
    weights = np.exp(x) / np.sum(np.exp(x), axis, keepdims=True)
    assert_same(lambda x: mm.softmax(x, axis), weights, x)
    assert_same(lambda x: mm.log_softmax(x, axis), np.log(weights), x)


@share(0.1)
@given(drawing=drawings(), ddof=st.sampled_from([0, 1, 0.5]))
def test_variance_with_degrees_of_freedom(drawing: Drawing, ddof: float) -> None:
    x = drawing.array((drawing.integer(2, 5), drawing.integer(1, 3)))
    assert_same(lambda x: mm.variance(x, 0, ddof=ddof), np.var(x, 0, ddof=ddof), x)
    assert_same(lambda x: np.var(x, 0, ddof=ddof), np.var(x, 0, ddof=ddof), x)


@share(0.2)
@given(drawing=drawings(), data=st.data())
def test_argmax_is_the_first_of_several(drawing: Drawing, data: st.DataObject) -> None:
    x = np.round(drawing.array(tuple(side + 1 for side in drawing.shape())))
    axis = data.draw(st.sampled_from([None, *range(-x.ndim, x.ndim)]))
    keepdims = data.draw(st.booleans())
    expected = np.argmax(x, axis, keepdims=keepdims)
    assert_same(lambda x: mm.argmax(x, axis, keepdims=keepdims), expected, x)
    assert_same(lambda x: np.argmax(x, axis, keepdims=keepdims), expected, x)


def test_reductions_of_no_elements() -> None:
    empty = np.zeros((0, 2))
    assert_array_equal(mm.sum(empty, 0), [0.0, 0.0])
    assert_array_equal(mm.mean(empty, 0), [np.nan, np.nan])
    assert_array_equal(mm.variance(empty, 0), [np.nan, np.nan])
    assert_array_equal(mm.norm(empty, 0), [0.0, 0.0])
    assert_array_equal(mm.logsumexp(empty, 0), [-np.inf, -np.inf])
    for function in (mm.max, mm.min, mm.argmax):
        with pytest.raises(ShapeError, match="no elements to choose from"):
            function(empty, 0)


@pytest.mark.parametrize("function", [mm.sum, mm.mean, mm.max, mm.variance, mm.norm, mm.logsumexp, mm.softmax])
def test_axes_that_are_not_there(function: Function) -> None:
    x = np.zeros((2, 3))
    with pytest.raises(
        ShapeError, match=rf"{function.__name__}: axis 2 of an array of 2 axes; it must be in \[-2, 2\)"
    ):
        function(x, 2)
    with pytest.raises(ShapeError, match="names an axis twice"):
        function(x, (0, -2))


@pytest.mark.parametrize("function", [mm.logsumexp, mm.softmax, mm.log_softmax])
@pytest.mark.parametrize("dtype", ["int64", "bool"])
def test_reductions_of_exponentials_say_how_to_convert(function: Function, dtype: str) -> None:
    with pytest.raises(DtypeError, match=f"of dtype {dtype}: it needs float32 or float64; convert with astype"):
        function(np.ones(2, dtype))


def test_numpy_norms_of_another_order_are_refused() -> None:
    # The second argument of np.linalg.norm is the order, not the axis.
    with pytest.raises(TypeError, match="ord=1"):
        mm.grad(lambda x: np.linalg.norm(x, 1))(np.ones((2, 2)))


# Shaping


@share(0.5)
@given(drawing=drawings(), data=st.data())
def test_shaping(drawing: Drawing, data: st.DataObject) -> None:
    x = drawing.array(drawing.shape())
    order = data.draw(st.permutations(range(x.ndim)))
    signed = [axis - x.ndim * data.draw(st.integers(0, 1)) for axis in order]
    assert_same(lambda x: mm.transpose(x, signed), np.transpose(x, order), x)
    assert_same(lambda x: np.transpose(x, order), np.transpose(x, order), x)
    assert_same(mm.transpose, x.T, x)
    assert_same(lambda x: mm.reshape(x, x.shape[::-1]), x.reshape(x.shape[::-1]), x)
    assert_same(lambda x: np.reshape(x, (1, *x.shape)), x[None], x)
    assert_same(mm.ravel, np.ravel(x), x)
    assert_same(np.ravel, np.ravel(x), x)
    assert_same(mm.squeeze, np.squeeze(x), x)
    assert_same(np.squeeze, np.squeeze(x), x)
    axes = data.draw(axes_of(x.ndim))
    assert_same(lambda x: mm.flip(x, axes), np.flip(x, axes), x)
    assert_same(lambda x: np.flip(x, axes), np.flip(x, axes), x)
    place = data.draw(st.integers(-x.ndim - 1, x.ndim))
    assert_same(lambda x: mm.expand_dims(x, place), np.expand_dims(x, place), x)
    assert_same(lambda x: mm.expand_dims(x, (0, -1)), np.expand_dims(x, (0, -1)), x)
    assert_same(lambda x: mm.squeeze(mm.expand_dims(x, place), place), x, x)
    if x.ndim:
        first, second = (data.draw(st.integers(-x.ndim, x.ndim - 1)) for _ in range(2))
        assert_same(lambda x: mm.swapaxes(x, first, second), np.swapaxes(x, first, second), x)
        assert_same(lambda x: np.moveaxis(x, first, second), np.moveaxis(x, first, second), x)


@share(0.2)
@given(shape=hnp.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=4), data=st.data())
def test_reshape_finds_one_side(shape: tuple[int, ...], data: st.DataObject) -> None:
    x = spread(np.random.default_rng(0), shape)
    sides = list(data.draw(st.permutations(shape)))
    sides[data.draw(st.integers(0, len(sides) - 1))] = -1
    assert_same(lambda x: mm.reshape(x, sides), x.reshape(sides), x)


@share(0.3)
@given(drawing=drawings(), shapes=hnp.mutually_broadcastable_shapes(num_shapes=1, base_shape=(2, 3, 1), max_side=3))
def test_broadcast_to(drawing: Drawing, shapes: hnp.BroadcastableShapes) -> None:
    x = drawing.array(shapes.input_shapes[0])
    expected = np.broadcast_to(x, shapes.result_shape)
    assert_same(lambda x: mm.broadcast_to(x, shapes.result_shape), expected, x)
    assert_same(lambda x: np.broadcast_to(x, shapes.result_shape), expected, x)


@share(0.3)
@given(drawing=drawings(), data=st.data())
def test_joining(drawing: Drawing, data: st.DataObject) -> None:
    shape = drawing.shape(1)
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    sides = data.draw(st.lists(st.integers(0, 3), min_size=1, max_size=3))
    place = axis % len(shape)
    parts = [drawing.array((*shape[:place], side, *shape[place + 1 :])) for side in sides]
    expected = np.concatenate(parts, axis)
    assert_same(lambda *xs: mm.concatenate(xs, axis), expected, *parts)
    assert_same(lambda *xs: np.concatenate(xs, axis), expected, *parts)
    assert_same(lambda x: np.concatenate([x, *parts[1:]], axis), expected, parts[0])
    equal = [drawing.array(shape) for _ in sides]
    new = data.draw(st.integers(-len(shape) - 1, len(shape)))
    assert_same(lambda *xs: mm.stack(xs, new), np.stack(equal, new), *equal)
    assert_same(lambda *xs: np.stack(xs, new), np.stack(equal, new), *equal)


@share(0.3)
@given(drawing=drawings(), data=st.data())
def test_splitting(drawing: Drawing, data: st.DataObject) -> None:
    shape = drawing.shape(1)
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    x = drawing.array(shape)
    length = shape[axis]
    cuts = data.draw(st.lists(st.integers(-length - 1, length + 1), max_size=4))
    sections = data.draw(st.sampled_from([n for n in range(1, 5) if length % n == 0]))
    for where in (cuts, tuple(cuts), sections):
        expected = np.split(x, where, axis)
        for split in (mm.split, np.split):
            assert len(mm.split(x, where, axis)) == len(expected)
            for i, part in enumerate(expected):
                assert_same(lambda x, i=i, f=split, w=where: f(x, w, axis)[i], part, x)


@share(0.3)
@given(drawing=drawings(), data=st.data())
def test_derivatives_of_splitting(drawing: Drawing, data: st.DataObject) -> None:
    shape = drawing.shape(1)
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    x, u = drawing.array(shape), drawing.array(shape)
    cuts = data.draw(st.lists(st.integers(-shape[axis] - 1, shape[axis] + 1), max_size=4))
    weights = [drawing.array(part.shape) for part in np.split(x, cuts, axis)]
    used = [data.draw(st.booleans()) for _ in weights]

    def loss(x: Any) -> Any:
        parts = zip(weights, mm.split(x, cuts, axis), used, strict=True)
        return sum((mm.sum(w * part**2) for w, part, is_used in parts if is_used), 0.0 * mm.sum(x))

    def weighted(x: Any) -> Any:  # 2 w x, and so much again where pieces overlap
        total = np.zeros_like(x)
        places, parts = np.split(total, cuts, axis), np.split(x, cuts, axis)
        for place, w, part, is_used in zip(places, weights, parts, used, strict=True):
            place[...] += is_used * 2 * w * part
        return total

    gradient = mm.grad(loss)
    assert_allclose(gradient(x), weighted(x), rtol=1e-13)
    assert_allclose(mm.hvp(loss, (x,), (u,))[0], weighted(u), rtol=1e-13)
    assert_array_equal(mm.compile(gradient)(x), gradient(x))
    shortened = optimise(trace(loss, x))  # Pieces that nobody takes are dropped.
    assert_array_equal(mm.grad(lambda x: shortened.line.run([x])[0])(x), gradient(x))


def test_splitting_to_third_order() -> None:
    def function(x: Any) -> Any:
        a, b, _, c = mm.split(x, (1, 3, 4), 1)
        return mm.sum(mm.sin(a * b) * c)

    assert check_gradients(function, np.linspace(-1.0, 1.0, 12).reshape(2, 6), order=3).oracle == "complex step"


def test_the_derivative_of_splitting_is_one_concatenation() -> None:
    program = trace(mm.grad(lambda x: sum(mm.sum(mm.sin(part)) for part in mm.split(x, 4))), np.ones(8))
    names = [step.primitive.name for step in program.line.steps]
    assert names.count("concatenate") == 1 and not {"pad", "add"} & set(names[names.index("concatenate") :])


@share(0.3)
@given(drawing=drawings(), data=st.data())
def test_padding(drawing: Drawing, data: st.DataObject) -> None:
    x = drawing.array(drawing.shape())
    widths = data.draw(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=x.ndim, max_size=x.ndim))
    for width in (widths, 2, (1, 2)):
        if width == [] or (x.ndim == 0 and width != widths):
            continue
        for constant in (0.0, 2.5):
            expected = np.pad(x, width, constant_values=constant)
            assert_same(lambda x, w=width, c=constant: mm.pad(x, w, constant_values=c), expected, x)
            assert_same(lambda x, w=width, c=constant: np.pad(x, w, "constant", constant_values=c), expected, x)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: mm.reshape(x, (4,)), r"reshape of shape \(2, 3\) to \(4,\): the number of elements differs"),
        (lambda x: mm.reshape(x, (-1, 4)), "-1 cannot be found"),
        (lambda x: mm.reshape(x, (-1, -1)), "-1 cannot be found"),
        (lambda x: mm.reshape(x, (-2, -3)), "the number of elements differs"),
        (lambda x: mm.transpose(x, (0, 0)), "not a permutation"),
        (lambda x: mm.transpose(x, (0,)), "not a permutation"),
        (lambda x: mm.transpose(x, (0, 2)), "axis 2 of an array of 2 axes"),
        (lambda x: mm.swapaxes(x, 0, 2), "axis 2 of an array of 2 axes"),
        (lambda x: mm.moveaxis(x, -3, 0), "axis -3 of an array of 2 axes"),
        (lambda x: mm.expand_dims(x, 3), "axis 3 of an array of 3 axes"),
        (lambda x: mm.squeeze(x, 0), "axis 0 has length 2, not 1"),
        (lambda x: mm.broadcast_to(x, (2, 4)), r"broadcast_to of shape \(2, 3\) to \(2, 4\)"),
        (lambda x: mm.broadcast_to(x, (3,)), r"broadcast_to of shape \(2, 3\) to \(3,\)"),
        (lambda x: mm.concatenate([]), "no arrays"),
        (lambda x: mm.concatenate([x, x.T]), r"concatenate of shapes \(2, 3\), \(3, 2\) along axis 0"),
        (lambda x: mm.concatenate([x, x], 2), "axis 2 of an array of 2 axes"),
        (lambda x: mm.stack([x, x.T]), r"stack of arrays of shapes \[\(2, 3\), \(3, 2\)\]"),
        (lambda x: mm.stack([]), "at least one"),
        (lambda x: mm.split(x, 2, 1), "does not divide into 2 equal sections"),
        (lambda x: mm.split(x, 0), "does not divide into 0 equal sections"),
        (lambda x: mm.pad(x, -1), "negative"),
        (lambda x: mm.pad(x, ((1, 1),) * 3), "not a pair for each axis"),
        (lambda x: mm.pad(x, 1, "edge"), "only 'constant' is supported"),
    ],
)
def test_shapes_that_do_not_fit(call: Function, message: str) -> None:
    x = np.zeros((2, 3))
    with pytest.raises(ShapeError, match=message):
        call(x)
    with pytest.raises(ShapeError, match=message):
        mm.vjp(call, x)
    with pytest.raises(ShapeError, match=message):
        trace(call, x)


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


def test_products_of_integers_and_of_mixed_floats() -> None:
    whole = np.arange(4).reshape(2, 2)
    with pytest.raises(DtypeError, match="matmul of int64 and int64"):
        mm.matmul(whole, whole)
    for dtype in (np.float32, np.float64):
        for other in (np.int64, np.float32, np.int8):
            mixed = mm.matmul(whole.astype(dtype), whole.astype(other))
            assert mixed.dtype == np.matmul(whole.astype(dtype), whole.astype(other)).dtype
            assert_array_equal(mixed, whole @ whole)


def test_dot_of_batches_says_what_to_use() -> None:
    with pytest.raises(ShapeError, match="use matmul"):
        mm.dot(np.zeros((1, 2, 2)), np.zeros((2, 2)))


# Positions


@share(0.5)
@given(drawing=drawings(), data=st.data())
def test_take(drawing: Drawing, data: st.DataObject) -> None:
    x = drawing.array(tuple(side + 1 for side in drawing.shape(1)))
    axis = data.draw(st.sampled_from([None, *range(-x.ndim, x.ndim)]))
    length = x.size if axis is None else x.shape[axis]
    indices = drawing.indices(drawing.shape(0, 2), length).astype(
        data.draw(st.sampled_from(["int64", "int32", "int8"]))
    )
    expected = np.take(x, indices, axis)
    assert_same(lambda x: mm.take(x, indices, axis), expected, x)
    assert_same(lambda x: np.take(x, indices, axis), expected, x)


@share(0.5)
@given(drawing=drawings(), data=st.data())
def test_take_along_axis(drawing: Drawing, data: st.DataObject) -> None:
    x = drawing.array(tuple(side + 1 for side in drawing.shape(1)))
    axis = data.draw(st.integers(-x.ndim, x.ndim - 1))
    sides = list(x.shape)
    sides[axis] = data.draw(st.integers(0, 3))
    indices = drawing.indices(tuple(sides), x.shape[axis])
    expected = np.take_along_axis(x, indices, axis)
    assert_same(lambda x: mm.take_along_axis(x, indices, axis), expected, x)
    assert_same(lambda x: np.take_along_axis(x, indices, axis), expected, x)


@share(0.3)
@given(drawing=drawings())
def test_scatter_add(drawing: Drawing) -> None:
    x = drawing.array(tuple(side + 1 for side in drawing.shape(1)))
    count = drawing.integer(1, x.ndim)
    places = drawing.shape(0, 2)
    positions = tuple(drawing.indices(places, x.shape[i]) for i in range(count))
    updates = drawing.array((*places, *x.shape[count:]))
    expected = x.copy()
    np.add.at(expected, positions, updates)
    assert_same(lambda x, u: mm.scatter_add(x, positions if count > 1 else positions[0], u), expected, x, updates)


def test_positions_that_are_not_there() -> None:
    x = np.zeros((2, 3))
    calls: list[Function] = [
        lambda x: mm.take(x, np.array([2]), 0),
        lambda x: mm.take(x, np.array([-3]), 0),
        lambda x: mm.take_along_axis(x, np.array([[3], [0]]), 1),
        lambda x: mm.scatter_add(x, np.array([2]), np.zeros((1, 3))),
    ]
    for call in calls:
        with pytest.raises(IndexingError, match="out of bounds"):
            call(x)
        with pytest.raises(IndexingError, match="out of bounds"):
            mm.vjp(call, x)
    with pytest.raises(IndexingError, match="must be integers"):
        mm.take(x, np.array([0.0]), 0)
    with pytest.raises(ShapeError, match="sides must be equal"):
        mm.take_along_axis(x, np.zeros((3, 1), np.int64), 1)
    with pytest.raises(ShapeError, match=r"need updates of shape \(1, 3\), got \(3,\)"):
        mm.scatter_add(x, np.array([1]), np.zeros(3))


def test_every_public_operation_has_its_test() -> None:
    files = [
        Path(__file__).with_name(f"test_{name}.py") for name in ("operations", "convolution", "pooling", "integers")
    ]
    source = "".join(file.read_text() for file in files)
    missing = [name for name in mm.operations.__all__ if f"mm.{name}" not in source]
    assert not missing
