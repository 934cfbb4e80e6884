"""numpy's grids, fits, counts and positions, on Arrays."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from every_way import assert_as_numpy
from numpy.testing import assert_allclose, assert_array_equal

import minimeta as mm
from minimeta.errors import ShapeError
from minimeta.testing import check_gradients

Function = Callable[..., Any]

X = np.array([0.7, -1.2, 2.5, 0.3])


@pytest.mark.parametrize(
    "function",
    [
        lambda x: np.linspace(x[0], x[2], 5),
        lambda x: np.linspace(x, 2.0, 3, endpoint=False, axis=1),
        lambda x: np.linspace(x, 2.0, 3, retstep=True)[1],
        lambda x: np.linspace(0, x[0], 1),
        lambda x: np.logspace(x[0], x[2], 4, base=2.0),
        lambda x: np.geomspace(x[0], x[2], 4),
        lambda x: np.geomspace(-x[0], -x[2], 4),
        np.vander,
        lambda x: np.vander(x, 2, increasing=True),
        lambda x: np.vander(x, 0),
        np.poly,
        lambda x: np.polyfit(np.arange(4.0), x, 2),
        lambda x: np.polyfit(x, np.stack([x * x, x], 1), 1, w=np.arange(1.0, 5.0)),
        lambda x: np.bincount([3, 0, 3, 1], x, 6),
        lambda x: np.histogram(np.arange(4.0), 3, weights=x)[0],
        lambda x: np.histogram(np.arange(4.0), [0.5, 1.0, 2.5], weights=x, density=True)[0],
        np.sinc,
        lambda x: np.sinc(np.array([0.0, 1e-9, 0.3, 0.4]) * x),
        lambda x: np.amax(x) + np.amin(x) * x,
        lambda x: x[np.ix_([2, 0])],
        lambda x: np.outer(x, x)[np.ix_([2, 0], [True, False, True, True])],
        lambda x: np.outer(x, x)[np.tril_indices_from(np.outer(x, x), -1)],
        lambda x: np.outer(x, x)[np.triu_indices_from(np.outer(x, x))],
        lambda x: np.outer(x, x)[np.diag_indices_from(np.outer(x, x))],
    ],
)
def test_values_are_numpys_and_gradients_are_right(function: Function) -> None:
    assert_as_numpy(function, X)
    check_gradients(function, X, order=1, may_be_constant=True)


def test_counts_and_positions_are_constants() -> None:
    questions: list[Function] = [
        lambda x: np.histogram(x, 3)[0],
        lambda x: np.histogram(x, [-2.0, 0.0, 3.0])[1],
        lambda x: np.bincount((x > 0).astype(np.int64)),
        lambda x: np.ravel_multi_index((np.argsort(x), np.argsort(-x)), (4, 4)),
        lambda x: np.unravel_index(np.argsort(x), (2, 2))[1],
        lambda x: np.packbits(x > 0),
        lambda x: np.unpackbits(np.packbits(x > 0)),
        lambda x: np.around(x, 1),
        lambda x: np.trim_zeros(np.maximum(x, 0.5) - 0.5),
    ]
    for question in questions:
        found = mm.vjp(question, X)[0]
        assert_array_equal(found, question(X))
        assert found.dtype == question(X).dtype


def test_the_cardinal_sine_has_its_derivatives_at_0() -> None:
    function: Function = np.sinc
    for order, exact in enumerate([1.0, 0.0, -(np.pi**2) / 3, 0.0, np.pi**4 / 5, 0.0, -(np.pi**6) / 7]):
        assert_allclose(function(0.0), exact, rtol=1e-13, atol=1e-12, err_msg=str(order))
        function = mm.grad(function) if order else mm.grad(lambda x: np.sinc(x))  # noqa: PLW0108 (np.sinc takes no Array)


def test_shapes_that_do_not_fit_are_named() -> None:
    refused: list[tuple[Function, str]] = [
        (lambda x: np.linspace(x, 1.0, -1), "negative numbers"),
        (lambda x: np.vander(x[None]), "takes a vector"),
        (lambda x: np.poly(x[None]), "a vector of roots"),
        (lambda x: np.trim_zeros(x[None]), "takes a vector"),
    ]
    for function, message in refused:
        with pytest.raises(ShapeError, match=message):
            mm.vjp(function, X)
