"""Indexing an Array, as numpy does it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from drawing import Drawing, share
from every_way import assert_as_numpy, inside
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray

import minimeta as mm
from minimeta.errors import IndexingError, MinimetaError, ShapeError
from minimeta.program import trace

Function = Callable[..., Any]


# Indices


def indexed_gradient(x: NDArray[Any], key: Any, cotangent: NDArray[Any]) -> NDArray[Any]:
    expected = np.zeros(x.shape)
    np.add.at(expected, key, cotangent)
    return expected


def assert_indexes(x: NDArray[Any], key: Any, replayed: bool = False) -> None:
    expected = np.asarray(x[key])
    assert_as_numpy(lambda x: x[key], x)
    cotangent = np.linspace(1.0, 2.0, expected.size).reshape(expected.shape)
    (gradient,) = mm.vjp(lambda x: x[key], x)[1](cotangent)
    assert_allclose(gradient, indexed_gradient(x, key, cotangent), rtol=1e-13)
    if replayed:
        weighted = mm.compile(mm.grad(lambda x: mm.sum(x[key] * cotangent)))
        assert_allclose(weighted(x), indexed_gradient(x, key, cotangent), rtol=1e-13)
        assert_array_equal(mm.compile(lambda x: x[key])(x), expected)
        assert_array_equal(mm.vmap(lambda x: x[key])(np.stack([x, -x])), [expected, -expected])


@share(1)
@given(data=st.data(), shape=hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
def test_basic_indices(data: st.DataObject, shape: tuple[int, ...]) -> None:
    x = np.arange(np.prod(shape), dtype=np.float64).reshape(shape)
    assert_indexes(x, data.draw(hnp.basic_indices(shape, allow_newaxis=True)))


@share(1)
@given(data=st.data(), shape=hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=4))
def test_arrays_of_integers_for_all_axes(data: st.DataObject, shape: tuple[int, ...]) -> None:
    x = np.arange(np.prod(shape), dtype=np.float64).reshape(shape)
    key: tuple[Any, ...] = data.draw(hnp.integer_array_indices(shape, result_shape=hnp.array_shapes(min_dims=0)))
    dtype = data.draw(st.sampled_from(["int64", "int16"]))
    assert_indexes(x, tuple(np.asarray(indices, dtype) for indices in key))


@st.composite
def mixed_keys(draw: st.DrawFn, shape: tuple[int, ...]) -> tuple[Any, ...]:
    """Slices, integers, arrays of integers that broadcast, lists, None and one '...' in any order."""
    result = draw(hnp.array_shapes(min_dims=1, max_dims=2, min_side=1, max_side=3))
    drawing = Drawing(draw)
    used = draw(st.integers(0, len(shape)))
    front = draw(st.integers(0, used)) if used < len(shape) else used
    entries: list[Any] = []
    for place in range(used):
        side = shape[place] if place < front else shape[len(shape) - used + place]
        kind = draw(st.sampled_from(["slice", "integer", "array", "array", "list"]))
        if side == 0 or kind == "slice":
            entries.append(draw(st.slices(side)))
        elif kind == "integer":
            entries.append(draw(st.integers(-side, side - 1)))
        else:
            sides = tuple(draw(st.sampled_from([1, n])) for n in result[draw(st.integers(0, 1)) * (len(result) - 1) :])
            indices = drawing.indices(sides, side)
            entries.append(indices.tolist() if kind == "list" else indices)
    if used < len(shape):
        entries.insert(front, ...)
    elif draw(st.booleans()):  # An '...' for no axes.
        entries.insert(draw(st.integers(0, used)), ...)
    for _ in range(draw(st.integers(0, 2))):
        entries.insert(draw(st.integers(0, len(entries))), None)
    return tuple(entries)


@share(1.5)
@given(data=st.data(), shape=hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=4))
def test_arrays_of_integers_mixed_with_everything(data: st.DataObject, shape: tuple[int, ...]) -> None:
    x = np.arange(np.prod(shape), dtype=np.float64).reshape(shape)
    key = data.draw(mixed_keys(shape))
    try:
        x[key]
    except IndexError:
        assume(False)
    assert_indexes(x, key)


@pytest.mark.parametrize(
    "key",
    [
        0,
        -1,
        np.int8(1),
        np.array(1),
        (),
        ...,
        None,
        [],
        [0, 0, 1],
        [[0], [1]],
        (slice(None, None, -1), slice(None, None, -2)),
        (slice(5, 0, -3), 2),
        (slice(1, 1), ...),
        (slice(None, 1, 2**63), slice(2, 1, -(2**70))),
        (..., -1),
        ([0, 1], [2, 0]),
        (0, slice(None), [1, 2]),
        (slice(None), [1, 2], 0),
        ([1, 0], slice(None), [0, 1]),
        ([1, 0], None, [0, 1]),
        (None, [1, 0], ..., None),
        (slice(None), [0, 1], ..., [0, 1]),
        (slice(None), 0, ..., [0, 1]),
        (slice(None), [0, 1], ..., 2),
        (slice(None), [[0], [1]], ..., [0, 1, 2]),
        (slice(None), ..., [0, 1], [0, 1]),
        (0, ..., [0, 1], slice(None)),
        (None, 0, ..., [0, 1], slice(1, 3)),
        np.array([[0, 1]], np.uint8),
    ],
    ids=repr,
)
def test_indices_one_by_one(key: Any) -> None:
    assert_indexes(np.arange(24.0).reshape(2, 3, 4), key, replayed=True)


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (2, r"index 2 is out of bounds for axis 0 of an array of shape \(2, 3\)"),
        ((0, -4), "index -4 is out of bounds for axis 1"),
        ((0, 0, 0), r"3 indices for an array of shape \(2, 3\), which has 2 axes"),
        ((..., ...), r"may hold '\.\.\.' only once"),
        (1.0, "an index of type float"),
        ("a", "an index of type str"),
        (np.array([0.0]), "an index of dtype float64: indices must be integers"),
        ([0.5], "indices must be integers"),
        (np.array([True, False, True]), r"a mask of shape \(3,\) on axes of shape \(2,\)"),
        (np.ones((2, 3, 1), bool), r"3 indices for an array of shape \(2, 3\)"),
        (([0, 1], [0, 1, 2]), "do not broadcast"),
    ],
    ids=repr,
)
def test_indices_that_are_refused(key: Any, message: str) -> None:
    for run in (inside, trace):
        with pytest.raises((IndexingError, ShapeError), match=message):
            run(lambda x: x[key], np.zeros((2, 3)))


def test_positions_out_of_bounds_are_named() -> None:
    with pytest.raises(IndexingError, match="out of bounds") as caught:
        inside(lambda x: x[[0, 2]], np.zeros((2, 3)))
    assert isinstance(caught.value, IndexError)
    assert isinstance(caught.value, MinimetaError)


def test_an_index_may_itself_be_an_array_of_the_computation() -> None:
    x = np.array([[3.0, 1.0, 2.0], [0.0, 5.0, 4.0]])

    def largest(x: Any) -> Any:
        return mm.sum(x[np.arange(2), mm.argmax(x, 1)] ** 2)

    assert_as_numpy(largest, x)
    assert_array_equal(mm.grad(largest)(x), [[6.0, 0.0, 0.0], [0.0, 10.0, 0.0]])
    assert_as_numpy(lambda x: x[mm.argmax(x[0])], np.array([[1.0, 0.0], [3.0, 4.0]]))


def test_index_arrays_that_do_not_broadcast_are_numpys_error() -> None:
    for way in lambda f: f, mm.compile:
        with pytest.raises(IndexError, match="broadcast"):
            way(lambda x: x[[0, 1], [0, 1, 1]])(np.ones((2, 2)))
