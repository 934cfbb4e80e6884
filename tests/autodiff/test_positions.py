"""Elements are chosen by position as numpy does."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from drawing import Drawing, drawings, share
from every_way import assert_same
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import minimeta as mm
from minimeta.errors import IndexingError, ShapeError

Floats = NDArray[Any]


Function = Callable[..., Any]


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
