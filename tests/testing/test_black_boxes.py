"""Functions that programs call on values: they need not be analytic, and are checked all the same."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minimeta as mm
from minimeta.testing import GradientMismatch, Nondifferentiable, check_gradients


def one_by_one(x: Any) -> Any:
    return np.array([np.sin(float(y)) for y in x])


def largest_eigenvalue(x: Any) -> Any:
    return np.linalg.eigvalsh(x + x.T)[-1]


def slope_of_eigenvalue(g: Any, y: Any, x: Any) -> Any:
    vector = mm.custom_vjp(lambda x: np.linalg.eigh(x + x.T)[1][:, -1], lambda g, y, x: (None,), on_values=True)(x)
    return (2 * g * vector[:, None] * vector,)


X, MATRIX = np.array([3.0, -4.0, 0.5]), np.array([[2.0, 1.0], [0.3, 1.5]])

BLACK_BOXES: list[tuple[Callable[..., Any], Callable[..., Any], Any, int]] = [
    (np.linalg.norm, lambda g, y, x: (g * x / y,), X, 2),
    (np.abs, lambda g, y, x: (g * mm.sign(x),), X, 2),
    (one_by_one, lambda g, y, x: (g * mm.cos(x),), X, 2),
    (np.linalg.inv, lambda g, y, x: (-(y.T @ g @ y.T),), MATRIX, 2),
    (largest_eigenvalue, slope_of_eigenvalue, MATRIX, 1),
    (lambda x: (np.sort(np.abs(x)), np.abs(x).sum()), lambda g, y, x: (mm.sign(x) * (g[0][[1, 2, 0]] + g[1]),), X, 2),
]


def boxed(function: Callable[..., Any], rule: Callable[..., Any], like: Any) -> Any:
    return mm.custom_vjp(function, rule, on_values=True, like=lambda x: mm.tree.map(np.asarray, function(like)))


@pytest.mark.parametrize(("function", "rule", "point", "order"), BLACK_BOXES)
def test_a_right_rule_is_not_accused_and_a_wrong_one_is(function: Any, rule: Any, point: Any, order: int) -> None:
    def whole(x: Any, box: Any) -> Any:
        return sum(mm.sum(mm.sin(y)) for y in mm.tree.flatten(box(1.0 * x))[0])

    right = boxed(function, rule, point)
    assert check_gradients(lambda x: whole(x, right), point, order=order).oracle == "complex step"
    for factor in (1.0 + 1e-7, 0.0):
        wrong = boxed(function, lambda g, y, x, f=factor: (f * rule(g, y, x)[0],), point)
        with pytest.raises(GradientMismatch) as caught:
            check_gradients(lambda x, wrong=wrong: whole(x, wrong) + mm.sum(x), point, order=order)
        assert caught.value.culprit == "custom_vjp"


def test_a_kink_is_one() -> None:
    box = boxed(np.abs, lambda g, y, x: (g * mm.sign(x),), X)
    with pytest.raises(Nondifferentiable):
        check_gradients(lambda x: mm.sum(box(x)), np.array([0.0, 1.0, 2.0]))


def test_results_that_are_no_floats_have_no_derivative() -> None:
    def ranked(x: Any) -> Any:
        return np.sort(x), np.argsort(x)

    def rule(g: Any, y: Any, x: Any) -> Any:
        return (g[0][[2, 0, 1]],)

    box = boxed(ranked, rule, X)
    check_gradients(lambda x: mm.sum(mm.sin(box(x)[0]) * np.arange(3.0)) + mm.sum(x[box(x)[1]] ** 2), X, order=1)


def test_a_black_box_that_fails_says_so() -> None:
    box = boxed(np.linalg.inv, lambda g, y, x: (g,), MATRIX)
    with pytest.raises(np.linalg.LinAlgError):
        check_gradients(lambda x: mm.sum(box(x)), np.ones((2, 2)))
