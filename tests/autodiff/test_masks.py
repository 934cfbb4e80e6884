"""A branch that is not taken has no derivative, at any order, though its slope be infinite or NaN."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import minimeta as mm
from minimeta.program import trace

mpmath = pytest.importorskip("mpmath")

Function = Callable[..., Any]

#: A function, where it is taken, what mpmath has for it, and points: the first is one where it is not.
BRANCHES: dict[str, tuple[Function, Function, list[float]]] = {
    "sqrt": (np.sqrt, mpmath.sqrt, [0.0, -1.0, 0.7]),
    "log": (np.log, mpmath.log, [0.0, -1.0, 0.7]),
    "log1p": (lambda x: np.log1p(x - 1.0), mpmath.log, [0.0, -1.0, 0.7]),
    "reciprocal": (np.reciprocal, lambda x: 1 / x, [0.0, 0.7]),
    "divide": (lambda x: (x + 2.0) / x, lambda x: (x + 2) / x, [0.0, 0.7]),
    "power": (lambda x: x**0.3, lambda x: x ** mpmath.mpf(0.3), [0.0, -1.0, 0.7]),
    "power of itself": (lambda x: x**x, lambda x: x**x, [0.0, -1.0, 0.7]),
    "entropy": (lambda x: x * np.log(x), lambda x: x * mpmath.log(x), [0.0, -1.0, 0.7]),
    "bump": (lambda x: np.exp(-1.0 / x), lambda x: mpmath.exp(-1 / x), [0.0, 0.7]),
    "tower": (
        lambda x: np.sin(np.sqrt(np.log(x) + 1.0)),
        lambda x: mpmath.sin(mpmath.sqrt(mpmath.log(x) + 1)),
        [0.0, -1.0, 0.7],
    ),
    "root of a square": (lambda x: np.sqrt(x) ** 2 * x, lambda x: x**2, [-1.0, 0.7]),
    "product": (lambda x: np.prod(np.stack([np.sqrt(x), x, x])), lambda x: x ** mpmath.mpf(2.5), [0.0, -1.0, 0.7]),
    "cumulative product": (
        lambda x: np.cumprod(np.stack([x, np.sqrt(x), x]))[1],
        lambda x: x ** mpmath.mpf(1.5),
        [0.0, -1.0, 0.7],
    ),
    "sum of exponentials": (
        lambda x: mm.logsumexp(np.stack([np.log(x), x])),
        lambda x: mpmath.log(x + mpmath.exp(x)),
        [0.0, -1.0, 0.7],
    ),
    "softmax": (
        lambda x: mm.softmax(np.stack([np.log(x), x]))[0],
        lambda x: x / (x + mpmath.exp(x)),
        [0.0, -1.0, 0.7],
    ),
    "log-softmax": (
        lambda x: mm.log_softmax(np.stack([np.log(x), x]))[1],
        lambda x: x - mpmath.log(x + mpmath.exp(x)),
        [0.0, -1.0, 0.7],
    ),
    "overflow": (
        lambda x: np.tanh(np.exp(1e3 - 2e3 * x)),
        lambda x: mpmath.tanh(mpmath.exp(1000 - 2000 * x)),
        [-1.0, 1.0],
    ),
}

#: Ways to choose between a branch and 3 x**2.
CHOICES: dict[str, Callable[[Function], Function]] = {
    "where": lambda f: lambda x: np.where(x > 0.0, f(x), 3.0 * x * x),
    "where of the other side": lambda f: lambda x: np.where(x <= 0.0, 3.0 * x * x, f(x)),
    "nested": lambda f: lambda x: np.where(x < 9.0, np.where(x > 0.0, f(x), 3.0 * x * x), f(-x)),
    "an index": lambda f: lambda x: np.stack([3.0 * x * x, f(x)])[1 if float(mm.stop_gradient(x)) > 0.0 else 0],
    "a mask": lambda f: lambda x: np.stack([3.0 * x * x, f(x)])[[float(mm.stop_gradient(x)) <= 0.0, x > 0.0]][0],
    "parts": lambda f: (
        lambda x: np.split(np.stack([3.0 * x * x, f(x)]), 2)[1 if float(mm.stop_gradient(x)) > 0.0 else 0][0]
    ),
}


def derivatives(function: Function, x: float, orders: int = 3) -> list[float]:
    found = []
    with np.errstate(all="ignore"):
        for _ in range(orders):
            function = mm.grad(function)
            found.append(float(function(x)))
    return found


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("name", BRANCHES)
def test_derivatives_are_those_of_the_branch_that_is_taken(name: str, choice: str) -> None:
    function, exact, points = BRANCHES[name]
    chosen = CHOICES[choice](function)
    for x in points:
        if x > 0.0:
            with mpmath.workdps(40):
                expected = [float(mpmath.diff(exact, x, order)) for order in (1, 2, 3)]
        else:
            expected = [6.0 * x, 6.0, 0.0]
        assert_allclose(derivatives(chosen, x), expected, rtol=1e-11, atol=1e-300)


@pytest.mark.parametrize("name", BRANCHES)
def test_compiled_and_in_vmap_it_is_the_same(name: str) -> None:
    function, _, points = BRANCHES[name]
    second = mm.grad(mm.grad(CHOICES["where"](function)))
    with np.errstate(all="ignore"):
        expected = [second(x) for x in points]
        assert_array_equal([mm.compile(second)(x) for x in points], expected)
        assert_array_equal(mm.vmap(second)(np.array(points)), expected)
        rows = mm.grad(lambda x: np.sum(mm.vmap(CHOICES["where"](function))(x)))
        assert_allclose(rows(np.array(points)), [derivatives(CHOICES["where"](function), x, 1)[0] for x in points])


@pytest.mark.parametrize(
    ("function", "x", "expected"),
    [
        (lambda x: np.maximum(np.log(x), -2.0) * x, 0.0, [-2.0, 0.0]),
        (lambda x: np.minimum(-np.log(x), 2.0) * x, 0.0, [2.0, 0.0]),
        (lambda x: np.clip(np.log(x), -3.0, 3.0) * x, 0.0, [-3.0, 0.0]),
        (lambda x: np.clip(x, np.log(x - 1.0), 3.0), 1.0, [1.0, 0.0]),
        (lambda x: np.max(np.stack([np.log(x), x])) * x, 0.0, [0.0, 2.0]),
        (lambda x: np.min(np.stack([1.0 / x, x * x])), 0.0, [0.0, 2.0]),
        (lambda x: np.sum(np.where([True, False], np.stack([x, np.sqrt(x - 1.0)]) ** 2, 0.0)), 1.0, [2.0, 2.0]),
        (lambda x: np.sum(np.sqrt(np.stack([x + 1.0, x]))[:1]), 0.0, [0.5, -0.25]),
        (lambda x: np.sum(np.sqrt(np.stack([x + 1.0, x]).reshape(2, 1).T)[0, :1]), 0.0, [0.5, -0.25]),
        (lambda x: np.where(x > 0.0, np.linalg.norm(np.stack([np.nan * x, x])), x * x), -1.0, [-2.0, 2.0]),
    ],
)
def test_choices_of_other_kinds(function: Function, x: float, expected: list[float]) -> None:
    assert_array_equal(derivatives(function, x, 2), expected)


def test_missing_data_under_a_mask_is_no_data() -> None:
    data = np.array([1.0, np.nan, 3.0, np.inf])
    loss: Function = lambda m: np.sum(np.where(np.isfinite(data), (data - m) ** 2, 0.0))  # noqa: E731
    assert derivatives(loss, 1.5, 3) == [-2.0, 4.0, 0.0]
    assert float(mm.compile(mm.grad(loss))(1.5)) == -2.0


def test_what_is_taken_keeps_its_infinity() -> None:
    assert derivatives(lambda x: np.where(x >= 0.0, np.sqrt(x), 0.0), 0.0, 2) == [np.inf, -np.inf]
    assert np.isnan(derivatives(lambda x: np.where(x < 0.0, np.sqrt(x), 0.0), -1.0, 1))
    assert np.isnan(derivatives(lambda x: np.maximum(np.sqrt(x), 0.0), -1.0, 1))


def test_a_zero_that_is_a_limit_is_no_mask() -> None:
    # The derivative is 1, and a convention that 0 times infinity is 0 would call it 0.
    assert np.isnan(derivatives(lambda x: (np.sqrt(x) + 0.0) ** 2, 0.0, 1))
    assert np.isnan(derivatives(lambda x: np.where(x >= 0.0, (np.sqrt(x) + 0.0) ** 2, 0.0), 0.0, 1))


def test_an_array_that_is_also_used_without_a_choice_is_taken() -> None:
    def function(x: Any) -> Any:
        y = np.sqrt(x)
        return np.where(x > 0.0, y, 0.0) + y

    assert derivatives(function, 0.0, 1) == [np.inf]

    def either(x: Any) -> Any:
        y = np.sqrt(np.stack([x, x - 1.0, x]))
        return np.sum(y[:1]) + np.sum(y[2:])

    assert derivatives(either, 1.0, 2) == [1.0, -0.5]


def test_without_a_choice_nothing_is_masked() -> None:
    program = str(trace(mm.grad(lambda x, w: np.sum(np.tanh(mm.relu(x @ w) * 2.0))), np.ones((2, 3)), np.ones((3, 2))))
    assert "where" not in program
    moved = str(trace(mm.grad(lambda x: np.sum((2.0 * x + 1.0)[:2]) - np.sum(x)), np.ones(3)))
    assert "where" not in moved


@pytest.mark.parametrize(
    "loss",
    [
        lambda x, y: np.sum(mm.log_softmax(x)[np.arange(3), y]),
        lambda x, y: np.sum(mm.log_softmax(x)[[2, 0, 1, 0], y[0]]),
        lambda x, y: np.sum(np.take_along_axis(mm.softmax(x), y[:, None], -1)),
        lambda x, y: mm.log_softmax(x[0])[y[0]],
    ],
)
def test_where_an_index_takes_from_every_row_nothing_is_masked(loss: Function) -> None:
    assert "not_equal" not in str(trace(mm.grad(loss), np.ones((3, 4)), np.array([1, 0, 1])))


@pytest.mark.parametrize("rows", [[0, 2], [2, 0, 2]])
def test_rows_from_which_an_index_takes_nothing_have_no_derivative(rows: list[int]) -> None:
    x, y = np.array([[1.0, 4.0], [0.0, -1.0], [9.0, 1.0]]), np.arange(len(rows)) % 2
    with np.errstate(all="ignore"):
        found = mm.compile(mm.grad(lambda x, y: np.sum(mm.log_softmax(np.sqrt(x))[rows, y])))(x, y)
    expected = np.zeros((3, 2))
    for row, column in zip(rows, y, strict=True):
        weights = np.exp(np.sqrt(x[row])) / np.sum(np.exp(np.sqrt(x[row])))
        expected[row] += (np.eye(2)[column] - weights) / (2.0 * np.sqrt(x[row]))
    assert_allclose(found, expected, rtol=1e-13)


def test_a_product_of_matrices_ends_a_mask() -> None:
    w = np.array([[np.nan], [1.0]])
    rows: Function = lambda x: np.sum(np.where([[False], [True]], np.stack([x, x, x, x]).reshape(2, 2) @ w, 0.0))  # noqa: E731
    assert np.isnan(derivatives(rows, 1.0, 1))


def root(x: Any, of: Function = np.sqrt) -> Any:
    return np.where(x > 0.0, of(x), x)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda x: root(x) ** 2, [-2.0, 2.0]),
        (lambda x: root(x) * root(x), [-2.0, 2.0]),
        (lambda x: (y := root(x)) * (3.0 * y), [-6.0, 6.0]),
        (lambda x: np.hypot(root(x), 1.0) ** 2, [-2.0, 2.0]),
        (lambda x: np.select([x > 0.0], [np.sqrt(x)], x) ** 2, [-2.0, 2.0]),
        (lambda x: root(x, lambda x: np.sqrt(np.log(x))) ** 2, [-2.0, 2.0]),
        (lambda x: np.sum(np.sqrt(np.stack([x + 3.0, x]))[[True, False]] ** 2), [1.0, 0.0]),
        (lambda x: np.sum(np.sqrt(np.stack([x + 3.0, x]))[:1] ** 2), [1.0, 0.0]),
        (lambda x: np.sum(mm.at(np.stack([x, x]))[:1].set(np.sqrt(np.stack([x + 3.0, x]))[:1]) ** 2), [-1.0, 2.0]),
    ],
)
def test_a_square_of_what_is_chosen_is_of_that_alone(function: Function, expected: list[float]) -> None:
    assert_allclose(derivatives(function, -1.0, 2), expected, rtol=1e-14)
    assert_array_equal(mm.compile(mm.grad(function))(-1.0), mm.grad(function)(-1.0))
    assert_allclose(mm.vmap(mm.grad(function))(np.array([-1.0])), expected[:1], rtol=1e-14)
    assert np.isnan(derivatives(lambda x: np.sqrt(x) ** 2, -1.0, 1))


def test_a_chain_of_choices_may_be_longer_than_python_can_nest() -> None:
    def function(x: Any) -> Any:
        y = np.sqrt(x)
        for _ in range(2000):
            y = y + np.where(x > 0.0, y, 0.0) * 1e-3
        return np.sum(np.where(x > 0.0, y, 0.0))

    assert_allclose(mm.grad(function)(np.array([0.0, 1.0, 4.0])), 1.001**2000 * np.array([0.0, 0.5, 0.25]), rtol=1e-12)
