"""Functions that programs call on values: they need not be analytic, and are checked all the same."""

import math
import warnings
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
    report = check_gradients(lambda x: whole(x, right), point, order=order)
    assert report.oracle == "complex step and central difference"
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


def test_what_takes_no_complex_number_warns_of_nothing() -> None:
    def scalar(x: Any) -> Any:
        return np.array([math.sinh(y) for y in np.asarray(x, float)])  # which drops the imaginary part, and warns

    box = boxed(scalar, lambda g, y, x: (g * mm.sqrt(1 + y * y),), X)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        report = check_gradients(lambda x: mm.sum(box(x)), X, order=1)
    assert not seen
    assert report.oracle == "complex step and central difference"


# Operations of a user's own


def operation(reference: Callable[..., Any], *rules: Any) -> Any:
    return mm.primitive(elementwise=True, rules=rules)(reference)


def size_times(x: Any) -> Any:
    return np.abs(x) * x


def tanh_of_real(x: Any) -> Any:
    return np.tanh(np.real(x))


def logarithm_of_sum(a: Any, b: Any) -> Any:
    return np.logaddexp(a, b)


def cube_root(x: Any) -> Any:
    return np.cbrt(x)


def angle(a: Any, b: Any) -> Any:
    return np.arctan2(a, b)


def length(x: Any) -> Any:
    return np.linalg.norm(x)


def in_two_parts(x: Any) -> Any:
    return np.where(np.real(x) > 0, np.sin(x), np.square(x))


REAL_ONLY: list[tuple[Callable[..., Any], tuple[Any, ...], int]] = [
    (logarithm_of_sum, (lambda g, y, a, b: g * mm.exp(a - y), lambda g, y, a, b: g * mm.exp(b - y)), 2),
    (cube_root, (lambda g, y, x: g / (3 * y * y),), 2),
    (
        angle,
        (lambda g, y, a, b: g * b / (a * a + b * b), lambda g, y, a, b: -g * a / (a * a + b * b)),
        2,
    ),
    (size_times, (lambda g, y, x: 2 * g * mm.absolute(x),), 2),
    (tanh_of_real, (lambda g, y, x: g * (1 - y * y),), 2),
    (in_two_parts, (lambda g, y, x: g * mm.where(x > 0, mm.cos(x), 2 * x),), 2),
]


@pytest.mark.parametrize(("reference", "rules", "order"), REAL_ONLY)
def test_an_operation_need_not_be_analytic(reference: Any, rules: Any, order: int) -> None:
    points = [X, np.array([0.7, 1.1, -2.0])][: len(rules)]
    right = operation(reference, *rules)
    check_gradients(lambda *x: mm.sum(mm.sin(right(*(1.0 * y for y in x)))), *points, order=order)
    wrong = operation(reference, *(lambda g, *rest, rule=rule: (1.0 + 1e-7) * rule(g, *rest) for rule in rules))
    with pytest.raises(GradientMismatch):
        check_gradients(wrong, *points, order=1)


def test_a_rule_that_fits_the_complex_function_alone_is_wrong() -> None:
    with pytest.raises(GradientMismatch):
        check_gradients(operation(size_times, lambda g, y, x: g * mm.absolute(x)), X, order=1)


def test_a_norm_may_be_an_operation() -> None:
    norm = mm.primitive(shape=lambda x: mm.Form((), x.dtype), rules=(lambda g, y, x: g * x / y,))(length)
    check_gradients(norm, X)
