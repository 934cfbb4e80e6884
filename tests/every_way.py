"""A function computes one value in every way to run it: outside of all transformations, inside one, and replayed."""

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from numpy.typing import NDArray

import minimeta as mm
from minimeta.program import interpret, trace

Function = Callable[..., Any]


def inside(function: Function, *operands: Any) -> Any:
    """Return the function's value when it is run inside a transformation."""
    return mm.vjp(function, *operands)[0]


def assert_same(function: Function, expected: Any, *operands: NDArray[Any]) -> None:
    """The value is as expected outside of all, inside a transformation, and replayed from an abstract run."""
    expected = np.asarray(expected)
    tolerance = 1e-13 * max(1.0, float(np.max(np.abs(expected), initial=0.0)))
    replayed = interpret(trace(function, *operands), *operands)
    for found in (function(*operands), inside(function, *operands), replayed):
        assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
        assert_allclose(found, expected, rtol=1e-13, atol=tolerance)


def assert_as_numpy(function: Function, x: NDArray[Any]) -> None:
    """An Array and a numpy array give the same; so does an abstract run, replayed."""
    expected = np.asarray(function(x))
    for found in (inside(function, x), interpret(trace(function, x), x)):
        assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
        assert_allclose(found, expected, rtol=1e-13, atol=1e-13)


@st.composite
def axes_of(draw: st.DrawFn, ndim: int) -> int | tuple[int, ...] | None:
    """One axis, several, or all, counted from either end."""
    if ndim == 0 or draw(st.integers(0, 3)) == 0:
        return draw(st.sampled_from([None, ()]))
    if draw(st.booleans()):
        return draw(st.integers(-ndim, ndim - 1))
    return tuple(
        axis - ndim * draw(st.integers(0, 1))
        for axis in draw(st.lists(st.integers(0, ndim - 1), unique=True, min_size=1))
    )
