"""One transformation inside another: no derivative is mistaken for that of another variable."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import minimeta as mm
from minimeta.testing import check_gradients

Function = Callable[..., Any]


POINT = np.array([0.3, -1.2, 0.7])


MATRIX = np.array([[0.5, -0.2, 1.1], [0.9, 0.4, -0.6]])


def loss(x: Any) -> Any:
    """A scalar function in which everything interacts."""
    h = mm.tanh(MATRIX @ x)
    return mm.logsumexp(h * h) + mm.sum(mm.sin(x)) * mm.norm(x)


# Perturbation confusion


def test_an_inner_derivative_of_an_outer_variable_is_0() -> None:
    assert mm.grad(lambda x: mm.grad(lambda y: x)(x))(3.0) == 0.0
    assert mm.grad(lambda y: y * mm.grad(lambda x: y)(1.0))(3.0) == 0.0

    def function(x: Any) -> Any:
        inner = mm.grad(lambda y: x)(x)
        assert inner == 0.0
        return x * x

    assert mm.grad(function)(3.0) == 6.0


def test_an_inner_derivative_does_not_see_the_outer_one() -> None:
    assert mm.grad(lambda x: x * mm.grad(lambda y: x + y)(1.0))(2.0) == 1.0
    assert mm.grad(lambda x: x * mm.grad(lambda y: x * y)(1.0))(2.0) == 4.0
    assert mm.grad(lambda x: mm.grad(lambda y: x * y * mm.grad(lambda z: x + y + z * z)(x))(x))(2.0) == pytest.approx(
        8.0
    )


def test_an_inner_derivative_at_a_constant_is_differentiated_through_its_closure() -> None:
    assert mm.grad(lambda s: mm.grad(lambda x: s * x * x)(3.0))(2.0) == 6.0
    assert mm.grad(lambda s: mm.grad(lambda x: mm.sin(s * x) * x)(3.0))(2.0) == pytest.approx(
        6 * math.cos(6.0) - 18 * math.sin(6.0)
    )
    assert mm.grad(mm.grad(lambda s: mm.grad(lambda x: (s * x) ** 3)(2.0)))(1.0) == pytest.approx(72.0)


def test_the_same_array_as_outer_and_inner_variable() -> None:
    # d/dx [x * d/dy (x y^2) at y = x] = d/dx [2 x^3]
    assert mm.grad(lambda x: x * mm.grad(lambda y: x * y * y)(x))(2.0) == pytest.approx(24.0)
    assert mm.grad(lambda x: mm.grad(lambda y, z: y * z * x, (0, 1))(x, x)[0])(3.0) == pytest.approx(6.0)


# grad and value_and_grad


def test_derivatives_of_a_function_in_which_everything_interacts() -> None:
    assert check_gradients(loss, POINT, order=3).oracle == "complex step"


# One transformation inside another


def test_every_pair_of_transformations() -> None:
    def function(x: Any) -> Any:
        return mm.sum(mm.sin(x) * x**2)

    f1 = 2 * POINT * np.sin(POINT) + POINT**2 * np.cos(POINT)
    f2 = 2 * np.sin(POINT) + 4 * POINT * np.cos(POINT) - POINT**2 * np.sin(POINT)
    f3 = 6 * np.cos(POINT) - 6 * POINT * np.sin(POINT) - POINT**2 * np.cos(POINT)
    u = np.array([1.0, -0.5, 2.0])
    firsts: list[Function] = [
        mm.grad(function),
        mm.jacobian(function),
        lambda x: mm.vjp(function, x)[1](1.0)[0],
        lambda x: mm.value_and_grad(function)(x)[1],
        lambda x: mm.stack([mm.jvp(function, (x,), (unit,))[1] for unit in np.eye(3)]),
    ]
    for first in firsts:
        assert_allclose(first(POINT), f1, rtol=1e-13)
        assert_allclose(mm.jacobian(first)(POINT), np.diag(f2), rtol=1e-12, atol=1e-13)
        assert_allclose(mm.jvp(first, (POINT,), (u,))[1], f2 * u, rtol=1e-12)
        assert_allclose(mm.vjp(first, POINT)[1](u)[0], f2 * u, rtol=1e-12)
        assert_allclose(mm.hvp(lambda x, f=first: mm.sum(f(x)), (POINT,), (u,))[0], f3 * u, rtol=1e-12)
        twice = mm.grad(lambda x, f=first: mm.sum(mm.grad(lambda y: mm.sum(f(y) * u))(x)))
        assert_allclose(twice(POINT), f3 * u, rtol=1e-12)


def test_a_derivative_of_an_unrolled_loop_of_derivatives() -> None:
    # Newton's method for x^2 = a, differentiated: the root's derivative is 1 / (2 sqrt(a)).
    def root(a: Any) -> Any:
        x = 1.0
        for _ in range(8):
            residual, slope = mm.value_and_grad(lambda x: x * x - a)(x)
            x = x - residual / slope
        return x

    assert_allclose(root(2.0), math.sqrt(2.0), rtol=1e-15)
    assert_allclose(mm.grad(root)(2.0), 1 / (2 * math.sqrt(2.0)), rtol=1e-14)
    assert_allclose(mm.grad(mm.grad(root))(2.0), -1 / (4 * 2.0**1.5), rtol=1e-13)
