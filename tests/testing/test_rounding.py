"""Verdicts where rounding leaves few digits: no right rule is accused, and no wrong one passes."""

import contextlib
import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from drawing import share
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import minimeta as mm
from minimeta.testing import (
    GradientMismatch,
    Inconclusive,
    check_gradients,
    check_vjp,
)

Rule = Callable[..., Any]


def own(function: Callable[..., Any], slope: Rule) -> Any:
    """A function with a derivative of its own: the cotangent times a slope."""
    return mm.custom_vjp(function, lambda g, y, x: (g * slope(x),))


def hyperbolic(x: Any) -> Any:
    return mm.log((mm.exp(x) + mm.exp(-x)) / 2)


def series(x: Any) -> Any:
    return -x / 3 + x**3 / 30 - x**5 / 840


CANCELLING: list[tuple[Callable[[Any], Any], Rule, float]] = [
    (hyperbolic, mm.tanh, 1e-4),
    (hyperbolic, mm.tanh, 1e-7),
    (lambda x: mm.sin(x) / x, series, 1e-5),
    (lambda x: mm.sin(x) / x, series, 1e-8),
    (lambda x: (1 - mm.cos(x)) / (x * x), lambda x: -x / 12 + x**3 / 180, 1e-4),
]


@pytest.mark.parametrize(("function", "slope", "point"), CANCELLING)
@pytest.mark.parametrize("seed", range(3))
def test_a_rule_that_is_better_than_the_oracle_is_right_and_one_that_is_worse_is_not(
    function: Any, slope: Any, point: float, seed: int
) -> None:
    check_gradients(own(function, slope), point, seed=seed)
    for factor in (1.02, 10.0, -1.0, 0.0):
        with pytest.raises(GradientMismatch):
            check_gradients(own(function, lambda x, factor=factor: slope(x) * factor), point, order=1, seed=seed)


def small_root(b: Any) -> Any:
    return mm.sqrt(b * b - 4.0) - b


def inverse_of_small_root(b: Any) -> Any:
    root = mm.sqrt(b * b - 4.0)
    return 4.0 / ((b + root) * root)


#: What is left of these derivatives are a few last digits, which may come out alike again and again.
LOST: list[tuple[Callable[[Any], Any], Rule, float, int]] = [
    (small_root, inverse_of_small_root, 1e7, 1),
    (lambda x: (mm.exp(2 * x) - 1) / (mm.exp(2 * x) + 1), lambda x: 1 / mm.cosh(x) ** 2, 15.0, 1),
    (lambda x: mm.log(x + mm.sqrt(x * x + 1)), lambda x: 1 / mm.sqrt(1 + x * x), -3e7, 1),
    (mm.sin, mm.cos, 1e15, 2),
]


@pytest.mark.parametrize(("function", "slope", "point", "order"), LOST)
def test_a_rule_that_nothing_can_judge_is_neither_accused_nor_is_a_wrong_one_passed(
    function: Any, slope: Any, point: float, order: int
) -> None:
    with contextlib.suppress(Inconclusive):
        check_gradients(own(function, slope), point, order=order)
    for factor in (1.3, 0.0):
        with pytest.raises((GradientMismatch, Inconclusive)):
            check_gradients(own(function, lambda x, factor=factor: slope(x) * factor), point, order=1)


# A second derivative that is 0


#: Linear in one element, most of them by way of what is not.
LINEAR: dict[str, Callable[[Any], Any]] = {
    "det": lambda x: np.linalg.det(mm.reshape(x, (1, 1))),
    "det of a transposed matrix": lambda x: np.linalg.det(mm.reshape(3.0 * x, (1, 1)).T),
    "inverse of an inverse": lambda x: np.linalg.inv(np.linalg.inv(mm.reshape(x, (1, 1)))),
    "matmul": lambda x: mm.matmul(mm.reshape(x, (1, 1)), np.array([[0.7]])),
    "trace": lambda x: np.trace(mm.reshape(x, (1, 1))),
    "norm": mm.norm,
    "reciprocal of a reciprocal": lambda x: 1 / (1 / x),
    "product of a quotient": lambda x: x * (x / x),
    "root of a square": lambda x: mm.sqrt(x * x),
    "sum of products": lambda x: mm.sum(x * np.array([0.3, 0.9])),
}


@share(0.3)
@given(st.sampled_from(sorted(LINEAR)), st.floats(0.01, 100.0), st.sampled_from([1.0, -1.0]), st.integers(0, 99))
def test_a_second_derivative_of_0_is_right(name: str, size: float, sign: float, seed: int) -> None:
    check_gradients(LINEAR[name], np.array([sign * size]), seed=seed)


@pytest.mark.parametrize("seed", [0, 1, 2, 4, 5])
def test_a_determinant_of_one_element_says_along_what_nothing_changes(seed: int) -> None:
    order = check_gradients(np.linalg.det, np.array([[1.7]]), seed=seed).orders[1]
    assert order.undecided == 0 and order.still == ("a[0, 0]",)


def test_a_0_that_rounding_hides_has_to_be_right_nearby() -> None:
    def function(x: Any) -> Any:
        return 3 * x + (x - 1.9) ** 4 / 4

    def slope(x: Any) -> Any:
        return 3 / x * x + (x - 1.9) ** 3

    check_gradients(own(function, slope), 1.9)
    with pytest.raises(GradientMismatch, match=r"of order 2 .* at a point nearby"):
        check_gradients(own(function, lambda x: mm.stop_gradient(slope(x))), 1.9)


@pytest.mark.parametrize("part", [1e-9, 1e-12, 1e-13])
def test_a_0_in_place_of_a_small_derivative_does_not_pass(part: float) -> None:
    none = own(lambda x: 3 / x * x + part * x, lambda x: 0.0 * x)
    with pytest.raises((GradientMismatch, Inconclusive)):
        check_gradients(lambda x, y: none(x) + mm.sin(y), 1.9, 0.4, order=1)


def exactly(a: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    """The derivatives of the sum of a 2 x 2 matrix's inverse, and of the logarithm of its determinant."""
    (p, q), (r, s) = [[Fraction(x) for x in row] for row in np.asarray(a).tolist()]
    adjugate, det = [[s, -q], [-r, p]], p * s - q * r
    below, beside = [s - r, p - q], [s - q, p - r]
    total = [[float(-x * y / det**2) for y in beside] for x in below]
    return np.array(total), np.array([[float(adjugate[j][i] / det) for j in range(2)] for i in range(2)])


@pytest.mark.parametrize("gap", [1e-6, 1e-8, 1e-10, 1e-12])
@pytest.mark.parametrize("way", [np.array, lambda a: np.array(np.asarray(a).tolist())], ids=["traced", "values"])
def test_an_exact_rule_of_a_nearly_singular_matrix(gap: float, way: Any) -> None:
    point = np.array([[1.0, 1.0], [1.0, 1.0 + gap]])  # of so few digits that LAPACK rounds alike around it
    for function, place in ((lambda a: np.sum(np.linalg.inv(a)), 0), (lambda a: np.linalg.slogdet(a)[1], 1)):
        with contextlib.suppress(Inconclusive):
            check_vjp(lambda a, f=function: f(way(a)), lambda g, a, i=place: g * exactly(a)[i], point)
        with pytest.raises((GradientMismatch, Inconclusive)):
            check_vjp(lambda a, f=function: f(way(a)), lambda g, a, i=place: 1.3 * g * exactly(a)[i], point)


@pytest.mark.parametrize("factor", [10.0, -1.0, 0.0, 1.01])
def test_a_difference_that_is_lost_near_the_point_is_looked_for_farther_away(factor: float) -> None:
    def sinc(a: Any) -> Any:
        return np.sinc(np.asarray(a, np.float64))  # values alone, so that it is not traced

    def rule(c: Any, a: Any) -> Any:
        return c * (-(math.pi**2) * a / 3)

    assert check_vjp(sinc, rule, np.array([1e-7])).oracle == "central difference"
    with pytest.raises(GradientMismatch):
        check_vjp(sinc, lambda c, a: rule(c, a) * factor, np.array([1e-7]))


@pytest.mark.parametrize("factor", [1.01, 0.99, -1.0, 0.0])
def test_what_float32_cancels_hides_no_wrong_rule_next_to_an_argument_that_is_right(factor: float) -> None:
    def function(x: Any, y: Any, factor: float = factor) -> Any:
        return x * x + (1 - mm.cos(own(lambda v: 1.0 * v, lambda v: factor)(y))) / (y * y)

    point = np.float32(1.3), np.float32(0.05)
    with pytest.raises((GradientMismatch, Inconclusive)):
        check_gradients(function, *point, order=1)
    check_gradients(lambda x, y: function(x, y, 1.0), *point, order=1)


def test_a_staircase_has_the_derivative_0() -> None:
    def stairs(a: Any) -> Any:
        return np.round(np.asarray(a, np.float64), 3) ** 2  # values alone, so that it is not traced

    point = np.array([0.3217, 1.2342])
    assert check_vjp(stairs, lambda c, a: 0 * c * a, point).constant == ("a",)
    with pytest.raises(GradientMismatch):
        check_vjp(stairs, lambda c, a: 2 * c * a, point)


def test_a_tie_of_rounding_is_no_kink() -> None:
    check_gradients(lambda x: x * x * x - 208067.0**3, 208067.0)


@pytest.mark.parametrize("least", [1e-3, 1e-5])
def test_a_rule_that_drops_small_cotangents(least: float) -> None:
    dropping = mm.custom_vjp(mm.sin, lambda g, y, x: (mm.where(abs(g) < least, 0.0 * g, g) * mm.cos(x),))
    with pytest.raises(GradientMismatch) as caught:
        check_gradients(dropping, np.array([0.3, 0.4]))
    assert caught.value.fault == "linearity"


def test_a_rule_that_is_wrong_of_a_cotangent_of_1() -> None:
    ones = mm.custom_vjp(mm.sin, lambda g, y, x: (mm.where(g == 1.0, 0.5, g) * mm.cos(x),))
    with pytest.raises(GradientMismatch):
        check_gradients(ones, np.array([0.3, 0.4]))


SPIKE = np.ones(25_000, np.float32)
SPIKE[11_234] = 1.005  # by random signs as hard to find as 1.01 among 100 000


@pytest.mark.parametrize("whole", [mm.sum, lambda y: y])
def test_one_wrong_entry_of_many_in_float32(whole: Any) -> None:
    point = np.linspace(-1, 1, SPIKE.size, dtype=np.float32)
    check_gradients(lambda x: whole(own(mm.sin, mm.cos)(x)), point, order=1)
    for seed in range(2):
        with pytest.raises(GradientMismatch):
            check_gradients(lambda x: whole(own(mm.sin, lambda x: mm.cos(x) * SPIKE)(x)), point, order=1, seed=seed)
