"""In-place operators of arrays of no axes, which are shared, and of scalars, which are not."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import minimeta as mm
from minimeta.errors import TracingError

Function = Callable[..., Any]


def triple(v: Any) -> Any:
    """A helper that changes its argument."""
    v *= 3.0
    return v


def viewed(view: Function) -> Function:
    def function(x: Any) -> Any:
        y = x * 1.0
        z = view(y)
        z *= 2.0
        return np.sum(y)

    return function


def test_an_element_is_a_scalar_and_what_is_squeezed_to_one_is_a_view() -> None:
    def changed(take: Function) -> Function:
        def function(x: Any) -> Any:
            y = x * 1.0
            z = take(y)
            z += 1.0
            return np.sum(y * y) + z * z

        return function

    for run in (mm.grad, lambda function: mm.compile(mm.grad(function))):
        for view in (np.squeeze, lambda y: y.reshape(()), lambda y: y.squeeze(0)):
            with pytest.raises(TracingError, match="y sees it, too"):
                run(changed(view))(np.array([2.0]))
        assert_array_equal(run(changed(lambda y: y[0]))(np.array([2.0])), [10.0])
        assert_array_equal(run(changed(lambda y: y[1, -1]))(np.ones((2, 2))), [[2.0, 2.0], [2.0, 6.0]])


# Arrays of no axes, and scalars

PAIR = np.array([0.5, 2.0])


def squeezed(y: Any) -> Any:
    return np.squeeze(y[:1])


@pytest.mark.parametrize(
    "take",
    [
        lambda y: np.where(y[0] < 1.0, 0.5 * y[0] ** 2, y[0] - 0.5),
        lambda y: np.copy(y[0]),
        lambda y: np.where(True, y[0], 0.0).copy(),
        lambda y: np.where(True, y[0], 0.0).astype(np.float32),
        lambda y: np.broadcast_to(y[0] * 1.0, ()).copy(),
        lambda y: (y[0] * y[1])[...],
        lambda y: triple(np.where(True, y[0], 0.0)),
        squeezed,
        lambda y: y[:1].reshape(()),
        lambda y: y[0, ...],
    ],
)
def test_an_array_of_no_axes_is_shared_as_others(take: Function) -> None:
    def named(x: Any) -> Any:
        y = x * 1.0
        total = take(y)
        loss = total
        total += y[1]
        return total * loss

    def alone(x: Any) -> Any:
        total = take(x * 1.0)
        total += x[1]
        total *= 2.0
        return total * total

    runs: list[Function] = [lambda f: mm.vjp(f, PAIR)[0], lambda f: mm.compile(lambda x: mm.vjp(f, x)[0])(PAIR)]
    for run in runs:
        with pytest.raises(TracingError, match=r"total .*sees? it, too"):
            run(named)
        assert_allclose(run(alone), alone(PAIR), rtol=1e-6)


@pytest.mark.parametrize("view", [squeezed, lambda y: y[:1].reshape(()), lambda y: y[0, ...]])
def test_a_view_of_no_axes_changes_what_it_is_a_view_of(view: Function) -> None:
    for run in (mm.grad(viewed(view)), mm.compile(mm.grad(viewed(view)))):
        with pytest.raises(TracingError, match="y sees it, too"):
            run(PAIR)


def test_a_running_total_of_no_axes_is_not_rebound_where_a_list_holds_it() -> None:
    def function(x: Any) -> Any:
        total, history = np.zeros(()), []
        for v in x:
            total += v
            history.append(total)
        return history[0] * history[1]

    with pytest.raises(TracingError, match=r"total \+= ... on an Array of shape \(\): history sees it, too"):
        mm.grad(function)(PAIR)


@pytest.mark.parametrize(
    "take",
    [
        np.sum,
        np.mean,
        np.max,
        np.min,
        np.var,
        np.linalg.norm,
        lambda y: y @ y,
        lambda y: np.dot(y, y),
        lambda y: y[0],
        lambda y: y[-1].astype(np.float32),
        lambda y: y[np.argmax(y)],
        lambda y: y[0] * 2.0,
        lambda y: np.maximum(y[0], y[1]),
    ],
)
def test_scalars_are_rebound_though_others_hold_them(take: Function) -> None:
    def function(x: Any) -> Any:
        loss = take(x)
        first = loss
        loss += x[0]
        return loss * first

    for found in (mm.vjp(function, PAIR)[0], mm.compile(lambda x: mm.vjp(function, x)[0])(PAIR)):
        assert_allclose(found, function(PAIR), rtol=1e-6)


def test_a_python_number_is_rebound_and_a_custom_rules_scalar_too() -> None:
    square = mm.custom_vjp(lambda v: mm.sum(v * v), lambda g, y, v: (2.0 * g * v,))

    def function(x: Any, number: Any) -> Any:
        loss, before = square(x), number
        first = loss
        loss += 1.0
        number += 1.0
        return loss * first * number * before

    s = float(np.sum(PAIR * PAIR))
    assert_allclose(mm.vjp(function, PAIR, 3.0)[0], (s + 1.0) * s * 12.0, rtol=1e-12)


def test_a_row_at_a_place_that_is_not_known_yet_is_a_view() -> None:
    def function(x: Any) -> Any:
        y = np.stack([x, 2.0 * x])
        z = y[np.argmax(y[:, 0])]
        z *= 3.0
        return np.sum(y)

    for run in (mm.grad(function), mm.compile(mm.grad(function))):
        with pytest.raises(TracingError, match="y sees it, too"):
            run(PAIR)
