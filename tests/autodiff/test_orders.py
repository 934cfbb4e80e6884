"""Elements that are objects are never put into an order that loses a NaN."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import minimeta as mm
from minimeta.errors import TracingError
from minimeta.program import trace

Function = Callable[..., Any]

X = np.array([0.5, 2.0, 3.0])


@pytest.mark.parametrize(
    "function",
    [
        lambda x: np.max(np.array([x[0], np.nan, x[1]])),
        lambda x: np.min(np.array([np.nan, 1.0, x[0]])),
        lambda x: np.array([np.nan, 1.0, x[0]]).max(),
        lambda x: x[np.argmax(np.array([x[0], np.nan, x[1]]))],
        lambda x: x[np.array([x[0], x[1], np.nan]).argmin()],
        lambda x: np.maximum.reduce(np.array([x[0], np.nan, x[1]])),
        lambda x: np.sort(np.array([x[1], x[0]])),
        lambda x: np.median(np.array([x[1], x[0]])),
        lambda x: np.clip(np.array([x[1] * np.nan, x[0]]), 0.0, 1.0),
    ],
)
def test_an_order_that_numpy_finds_in_python_is_refused(function: Function) -> None:
    with pytest.raises(TracingError, match=r"an order of the elements.*lose a NaN.*np\.stack"):
        mm.vjp(function, X)
    with pytest.raises(TracingError, match=r"np\.stack"):
        trace(function, X)


def test_the_remedy_hands_a_nan_on() -> None:
    assert np.isnan(mm.vjp(lambda x: np.max(np.stack([x[0], np.nan, x[1]])), X)[0])


def test_comparisons_of_the_users_are_taken() -> None:
    def function(x: Any) -> Any:
        a, b = np.array([x[0], x[1]])
        assert a < b <= 2.0 and not b * np.nan > a
        return max(a, b) * sorted([b, a])[0]

    assert_array_equal(mm.grad(function)(X), [2.0, 0.5, 0.0])
