"""Shaping moves elements as numpy does, and refuses shapes that do not fit."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from drawing import Drawing, drawings, share, spread
from every_way import assert_same, axes_of
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray

import minimeta as mm
from minimeta.autodiff.steps import by_operation
from minimeta.errors import ShapeError
from minimeta.program import optimise, trace
from minimeta.testing import check_gradients

Floats = NDArray[Any]


Function = Callable[..., Any]


# Reductions


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
    shortened = optimise(trace(loss, x), ["eliminate"])  # Pieces that nobody takes are dropped.
    assert_array_equal(mm.grad(lambda x: shortened.run(by_operation, x))(x), gradient(x))


def test_splitting_to_third_order() -> None:
    def function(x: Any) -> Any:
        a, b, _, c = mm.split(x, (1, 3, 4), 1)
        return mm.sum(mm.sin(a * b) * c)

    assert check_gradients(function, np.linspace(-1.0, 1.0, 12).reshape(2, 6), order=3).oracle == "complex step"


def test_the_derivative_of_splitting_is_one_concatenation() -> None:
    program = trace(mm.grad(lambda x: sum(mm.sum(mm.sin(part)) for part in mm.split(x, 4))), np.ones(8))
    names = [step.primitive.name for step in program.steps]
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
