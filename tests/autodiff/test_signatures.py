"""numpy's own names and positions of arguments are taken."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from every_way import assert_as_numpy, inside

from minimeta.errors import TracingError

X = np.array([[0.5, 2.0, 3.0], [1.5, -1.0, 0.25]])


@pytest.mark.parametrize(
    "function",
    [
        lambda x: np.sum(a=x),
        lambda x: np.sum(axis=1, a=x, keepdims=True),
        lambda x: np.take(a=x, indices=[0, 2], axis=1),
        lambda x: np.roll(a=x, shift=1),
        lambda x: np.transpose(a=x),
        lambda x: np.tile(A=x, reps=2),
        lambda x: np.moveaxis(a=x, source=0, destination=1),
        lambda x: np.dot(a=x, b=np.ones(3)),
        lambda x: np.clip(a=x, a_min=0.0, a_max=1.0),
        lambda x: np.append(arr=x, values=x, axis=1),
        lambda x: np.gradient(f=x)[0],
        lambda x: np.linalg.norm(x=x, axis=0),
        lambda x: np.var(a=x, ddof=1),
        lambda x: np.sum(x, 0, None, None, True),
        lambda x: np.var(x, 0, None, None, 1),
        lambda x: np.max(x, 1, None, True),
        lambda x: x.sum(1, None, None, True),
        lambda x: np.reshape(x, (3, 2), order="C"),
        lambda x: np.sum(a=x + 1j * x).imag,
    ],
)
def test_numpys_names_and_positions_are_taken(function: Callable[..., Any]) -> None:
    assert_as_numpy(function, X)


def test_what_the_operation_does_not_take_is_refused() -> None:
    with pytest.raises(TracingError, match=r"np\.sort of an Array: missing a required argument: 'x'|'order'"):
        inside(lambda x: np.sort(a=x, order="name"), X)
    with pytest.raises(TracingError, match=r"np\.partition of an Array.*'order'"):
        inside(lambda x: np.partition(a=x, kth=1, order="name"), X)


@pytest.mark.parametrize(
    "function",
    [
        lambda x, out: np.round(x, 0, out[0]),
        lambda x, out: np.around(x, 0, out[0]),
        lambda x, out: np.fix(x, out[0]),
        lambda x, out: np.clip(x, 0.0, 1.0, out[0]),
        lambda x, out: np.sum(x, None, None, out[1]),
        lambda x, out: np.argmax(x, None, out[2]),
        lambda x, out: np.all(x, None, out[3]),
        lambda x, out: np.choose(np.zeros((2, 3), int), [x, x], out[0]),
        lambda x, out: np.isposinf(x, out[0] > 1.0),
        lambda x, out: x.round(0, out[0]),
        lambda x, out: x.round(out=out[0]),
        lambda x, out: x.clip(0.0, 1.0, out=out[0]),
        lambda x, out: x.argmin(out=out[2]),
        lambda x, out: x.any(out=out[3]),
        lambda x, out: x.sum(out=out[1]),
        lambda x, out: x.compress([True], out=out[0]),
        lambda x, out: (x * 1j).any(None, out[3]),
        lambda x, out: np.clip(x, 0.0, 1.0, out=x),
    ],
)
def test_nothing_is_written_to_an_array_that_is_passed_for_the_result(function: Callable[..., Any]) -> None:
    out = np.full((2, 3), 7.0), np.array(7.0), np.array(7), np.array(False)
    with pytest.raises(TracingError, match="out"):
        inside(lambda x: function(x, out), X)
    assert [float(each.max()) for each in out] == [7.0, 7.0, 7.0, 0.0]
