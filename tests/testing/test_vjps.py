"""Derivatives made elsewhere: pairs of numpy functions."""

from typing import Any

import numpy as np
import pytest

from minimeta.testing import GradientMismatch, Inconclusive, Nondifferentiable, VacuousCheck, check_vjp

X = np.array([[0.5, -1.0], [0.25, 2.0]])


def test_what_can_be_traced_is_compared_with_the_complex_step() -> None:
    report = check_vjp(lambda x, y: np.sin(x) @ y, lambda g, x, y: ((g @ y.T) * np.cos(x), np.sin(x).T @ g), X, X + 1)
    assert report.oracle == "complex step"
    assert report.orders[0].error < 1e-15


def test_what_cannot_is_compared_with_central_differences() -> None:
    def inverse(x: Any) -> Any:
        return np.linalg.inv(np.array(x.tolist()))

    def rule(g: Any, x: Any) -> Any:
        y = np.linalg.inv(x)
        return -y.T @ g @ y.T

    report = check_vjp(inverse, rule, X)
    assert report.oracle == "central difference" and report.reason
    with pytest.raises(GradientMismatch) as caught:
        check_vjp(inverse, lambda g, x: rule(g, x) * (1 + 1e-6), X)
    assert caught.value.oracle == "central difference"


def test_trees_and_arguments_without_derivative() -> None:
    def function(parameters: Any, index: Any) -> Any:
        return {"y": parameters["w"] * 2.0, "i": index}

    check_vjp(function, lambda g, parameters, index: ({"w": 2.0 * g["y"]}, None), {"w": X}, np.arange(3))


def test_a_wrong_pair_is_blamed_for_its_number() -> None:
    with pytest.raises(GradientMismatch, match="gives 1 cotangents for 2 arguments"):
        check_vjp(np.multiply, lambda g, x, y: g * y, X, X)
    with pytest.raises(VacuousCheck):
        check_vjp(lambda x: x > 0, lambda g, x: 0 * x, X)
    with pytest.raises(VacuousCheck):
        check_vjp(lambda x: np.ones(2), lambda g, x: 0 * x, X)
    with pytest.raises(Nondifferentiable):
        check_vjp(np.abs, lambda g, x: g * np.sign(x), np.array([0.0, 1.0]))


def sine(x: Any) -> Any:
    return np.sin(np.array(x.tolist()))


@pytest.mark.parametrize("point", [1e3, 1023.9999999, 4095.99999999, 1e5, 1e7, 1e8, 1e10, 1e12])
def test_a_wave_that_is_short_beside_the_point_has_no_kink(point: float) -> None:
    for seed in range(3):
        report = check_vjp(sine, lambda c, x: c * np.cos(x), np.array([point]), seed=seed)
        assert report.oracle == "central difference"
    for factor in (1.001 if point < 1e12 else 1.1, -1.0, 0.0):  # The rule rounds its argument, too.
        with pytest.raises(GradientMismatch):
            check_vjp(sine, lambda c, x, factor=factor: c * np.cos(x) * factor, np.array([point]))


def test_one_wave_of_many() -> None:
    point, rate = np.array([1000.0, 2.0, 3.0]), np.array([1.0, 1e3, 1.0])
    check_vjp(lambda x: sine(rate * x), lambda c, x: c * rate * np.cos(rate * x), point)


@pytest.mark.parametrize("center", [1.0, 1e3, 1e5])
def test_a_kink_far_from_0_is_one(center: float) -> None:
    def bent(x: Any) -> Any:
        return np.abs(np.array((x - center).tolist())) + 1e3

    with pytest.raises(Nondifferentiable):
        check_vjp(bent, lambda c, x: c * np.sign(x - center), np.array([center]))


def test_a_wave_of_which_a_float_is_longer_is_no_kink() -> None:
    with pytest.raises(Inconclusive):
        check_vjp(sine, lambda c, x: c * np.cos(x), np.array([1e16]))


def squares(x: Any) -> Any:
    return np.sum(np.array(x.tolist()) ** 2)


@pytest.mark.parametrize("tiny", [1e-30, 1e-20, 1e-16, 1e-15, 1e-13])
@pytest.mark.parametrize("factor", [-1.0, 0.0, 1.0, 2.0])
def test_an_element_that_differences_cannot_see_does_not_pass(tiny: float, factor: float) -> None:
    point, factors = np.array([tiny, 1.0, 2.0]), np.array([factor, 1.0, 1.0])
    with pytest.raises(Inconclusive):
        check_vjp(squares, lambda c, x: 2 * c * x * factors, point)
    if factor == 1.0:
        check_vjp(squares, lambda c, x: 2 * c * x, point, atol=1e-12)


@pytest.mark.parametrize("slope", [0.0, 1.0, 50.0, 900.0])
def test_a_derivative_below_the_error_of_differences_does_not_pass(slope: float) -> None:
    def function(x: Any) -> Any:  # rounded to 16, so that of 1e3 sin(x) two digits are left
        return np.sum(np.array([1e3, 1e17]) * [np.sin(float(x[0])), float(x[1])])

    with pytest.raises((Inconclusive, GradientMismatch)):
        check_vjp(function, lambda c, x: c * np.array([slope, 1e17]), np.array([0.3, 1.0]))


def test_an_element_that_is_0_is_as_good_as_any() -> None:
    check_vjp(squares, lambda c, x: 2 * c * x, np.array([0.0, 1.0, 2.0]))
    for factor in (-1.0, 0.0, 2.0):
        with pytest.raises(GradientMismatch):
            check_vjp(squares, lambda c, x, f=factor: 2 * c * x * np.array([f, 1, 1]), np.array([0.0, 1.0, 2.0]))


@pytest.mark.parametrize("condition", [1e4, 1e8, 1e10, 1e12])
def test_an_ill_conditioned_function_is_neither_accused_nor_called_a_kink(condition: float) -> None:
    def rule(g: Any, x: Any) -> Any:
        y = np.linalg.inv(x)
        return -y.T @ g @ y.T

    rng = np.random.default_rng(0)
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    for point in (np.array([[1.0, 1.0], [1.0, 1.0 + 1 / condition]]), turn @ np.diag([1.0, 0.5, 1 / condition]) @ turn):
        try:
            check_vjp(np.linalg.inv, rule, point)
        except Inconclusive:
            assert condition > 1e8
        if condition <= 1e8:
            with pytest.raises(GradientMismatch):
                check_vjp(np.linalg.inv, lambda g, x: rule(g, x) * 1.01, point)


def test_rounding_in_place_of_0_is_not_lost() -> None:
    def first(x: Any) -> Any:
        return np.sin(np.array(x.tolist()))[:1] * 3.0

    def rule(c: Any, x: Any) -> Any:
        return 3 * c * np.cos(x) * np.array([1.0, 1e-17, 0.0])

    check_vjp(first, rule, np.array([0.5, 1.0, 2.0]))
