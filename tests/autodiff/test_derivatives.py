"""The transformations against closed forms, the oracles of ``minimeta.testing``, and each other."""

import math
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from drawing import share, spread
from hypothesis import given, reject
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray
from random_programs import programs

import minimeta as mm
from minimeta.errors import DtypeError, ShapeError
from minimeta.testing import Nondifferentiable, check_gradients

Function = Callable[..., Any]


Floats = NDArray[Any]


POINT = np.array([0.3, -1.2, 0.7])


MATRIX = np.array([[0.5, -0.2, 1.1], [0.9, 0.4, -0.6]])


def nth(function: Function, order: int) -> Function:
    """The derivative of this order of a scalar function."""
    for _ in range(order):
        function = mm.grad(function)
    return function


def loss(x: Any) -> Any:
    """A scalar function in which everything interacts."""
    h = mm.tanh(MATRIX @ x)
    return mm.logsumexp(h * h) + mm.sum(mm.sin(x)) * mm.norm(x)


# Closed forms, to any order


@pytest.mark.parametrize("order", range(8))
def test_derivatives_of_sine(order: int) -> None:
    assert_allclose(nth(mm.sin, order)(0.7), math.sin(0.7 + order * math.pi / 2), rtol=1e-14)


@pytest.mark.parametrize("order", range(7))
def test_derivatives_of_exponential_power_and_reciprocal(order: int) -> None:
    x = 0.8
    assert_allclose(nth(lambda x: mm.exp(3.0 * x), order)(x), 3.0**order * math.exp(3 * x), rtol=1e-13)
    assert_allclose(
        nth(lambda x: x**5, order)(x), math.perm(5, order) * x ** (5 - order) if order <= 5 else 0, rtol=1e-13
    )
    assert_allclose(nth(mm.reciprocal, order)(x), (-1) ** order * math.factorial(order) / x ** (order + 1), rtol=1e-12)
    assert_allclose(nth(mm.square, order)(x), [x * x, 2 * x, 2.0, 0, 0, 0, 0][order], rtol=1e-15)
    expected = math.log(x) if order == 0 else (-1) ** (order - 1) * math.factorial(order - 1) / x**order
    assert_allclose(nth(mm.log, order)(x), expected, rtol=1e-12)


@pytest.mark.parametrize("order", range(6))
def test_derivatives_of_tanh_sigmoid_and_softplus_agree(order: int) -> None:
    # softplus' = sigmoid, and tanh(x) = 2 sigmoid(2x) - 1
    x = 0.4
    assert_allclose(nth(mm.softplus, order + 1)(x), nth(mm.sigmoid, order)(x), rtol=1e-12)
    expected = 2 * 2**order * nth(mm.sigmoid, order)(2 * x) - (1.0 if order == 0 else 0.0)
    assert_allclose(nth(mm.tanh, order)(x), expected, rtol=1e-11)


def test_mixed_partial_derivatives() -> None:
    def function(x: Any, y: Any) -> Any:
        return x**3 * y**4

    assert mm.grad(mm.grad(mm.grad(function, 1), 0), 1)(2.0, 3.0) == pytest.approx(3 * 4 * 12 * 9)
    assert mm.grad(lambda x: mm.grad(lambda y: mm.grad(lambda z: x * y * z * z)(y))(x))(2.0) == pytest.approx(16.0)


def test_value_and_grad() -> None:
    value, gradient = mm.value_and_grad(loss)(POINT)
    assert_allclose(value, loss(POINT), rtol=1e-15)  # numpy's product of the point sums in another order.
    assert value == mm.vjp(loss, POINT)[0]
    assert_array_equal(gradient, mm.grad(loss)(POINT))
    assert type(value) is np.ndarray and value.shape == ()


def test_stop_gradient_of_a_tree() -> None:
    def function(tree: Any) -> Any:
        held = mm.stop_gradient(tree)
        return tree["a"] * held["a"] + tree["b"][0] * held["b"][0]

    assert mm.grad(function)({"a": 2.0, "b": (3.0, None)}) == {"a": 2.0, "b": (3.0, None)}


# vjp


def test_a_pullback_may_be_called_twice_and_later() -> None:
    output, pullback = mm.vjp(lambda x, y: (x * y, mm.sin(x)), POINT, 2.0)
    first = pullback((np.ones(3), np.zeros(3)))
    assert_array_equal(first[0], np.full(3, 2.0))
    assert_allclose(first[1], POINT.sum(), rtol=1e-15)
    second = pullback((np.zeros(3), np.ones(3)))
    assert_allclose(second[0], np.cos(POINT), rtol=1e-15)
    assert second[1] == 0.0
    assert_array_equal(output[0], 2.0 * POINT)
    again = pullback((np.ones(3), np.zeros(3)))
    assert_array_equal(first[0], again[0])
    assert not np.may_share_memory(first[0], again[0])


def test_a_pullback_does_not_see_that_buffers_were_refilled() -> None:
    x, y, weight = POINT.copy(), POINT.copy(), POINT.copy()
    output, pullback = mm.vjp(lambda x: x * y * mm.sin(x * weight), x)
    expected = pullback(np.ones(3))[0].copy()
    value = output.copy()
    for buffer in (x, y, weight):
        buffer[...] = np.nan
    output[...] = np.nan
    assert_array_equal(pullback(np.ones(3))[0], expected)
    assert_array_equal(value, POINT * POINT * np.sin(POINT * POINT))


def test_a_recorded_pullback_does_not_see_that_its_cotangent_was_refilled() -> None:
    def function(scale: Any) -> Any:
        cotangent = np.ones(3)
        _, pullback = mm.vjp(lambda x: x * scale, POINT)
        (gradient,) = pullback(cotangent)
        cotangent[...] = 100.0
        return mm.sum(gradient)

    assert mm.grad(function)(2.0) == 3.0


def test_a_pullback_may_be_called_from_another_thread() -> None:
    _, pullback = mm.vjp(loss, POINT)
    expected = pullback(1.0)[0]
    found: list[Floats] = []
    threads = [threading.Thread(target=lambda: found.append(pullback(1.0)[0])) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    for gradient in found:
        assert_array_equal(gradient, expected)


def test_a_pullback_is_linear_and_can_be_differentiated_on_its_own() -> None:
    _, pullback = mm.vjp(lambda x: mm.tanh(MATRIX @ x), POINT)
    v, c = np.array([0.5, -2.0]), np.array([1.0, 2.0, 3.0])
    jacobian = mm.jacobian(lambda x: mm.tanh(MATRIX @ x))(POINT)
    assert_allclose(mm.grad(lambda v: mm.sum(pullback(v)[0] * c))(v), jacobian @ c, rtol=1e-13)
    hessian = mm.hessian(lambda v: mm.sum(pullback(v)[0] ** 2))(v)
    assert_allclose(hessian, 2 * jacobian @ jacobian.T, rtol=1e-13)


def test_cotangents_must_fit() -> None:
    _, pullback = mm.vjp(lambda x: {"y": x, "z": x[0]}, POINT)
    with pytest.raises(ShapeError, match=r"pullback: output 0 has shape \(3,\), but its cotangent has shape \(2,\)"):
        pullback({"y": np.ones(2), "z": 1.0})
    with pytest.raises(ShapeError, match="trees differ at the root"):
        pullback({"y": np.ones(3)})
    (gradient,) = pullback({"z": 1, "y": [1.0, 2.0, 3.0]})
    assert_array_equal(gradient, [2.0, 2.0, 3.0])


def test_outputs_that_are_no_floats_have_no_cotangent() -> None:
    output, pullback = mm.vjp(lambda x: (mm.argmax(x), x * x, x > 0), POINT)
    assert output[0] == 2
    assert_array_equal(output[2], POINT > 0)
    (gradient,) = pullback((7, np.ones(3), np.ones(3)))
    assert_allclose(gradient, 2 * POINT, rtol=1e-15)


# jvp, jacobian, hessian, hvp


def test_jvp_is_the_derivative_along_a_direction() -> None:
    u = np.array([1.0, -0.5, 2.0])
    value, tangent = mm.jvp(loss, (POINT,), (u,))
    assert_allclose(value, loss(POINT), rtol=1e-15)
    assert_allclose(tangent, mm.grad(loss)(POINT) @ u, rtol=1e-13)


def test_jvp_of_trees_and_of_independent_outputs() -> None:
    def function(p: Any, s: Any) -> Any:
        return {"sum": p["a"] + s, "constant": np.ones(2), "product": (p["b"] * s,)}

    value, tangent = mm.jvp(function, ({"a": POINT, "b": 2.0}, 3.0), ({"a": np.ones(3), "b": 1.0}, 10.0))
    assert_array_equal(value["product"][0], 6.0)
    assert_array_equal(tangent["sum"], np.full(3, 11.0))
    assert_array_equal(tangent["constant"], np.zeros(2))
    assert_array_equal(tangent["product"][0], 23.0)


def test_jvp_of_what_is_no_float_is_refused() -> None:
    with pytest.raises(DtypeError, match="jvp of a function that returns dtype int64"):
        mm.jvp(lambda x: (x, mm.argmax(x)), (POINT,), (POINT,))


def test_jacobian_row_by_row() -> None:
    def function(x: Any) -> Any:
        return mm.tanh(MATRIX @ x)

    expected = (1 - np.tanh(MATRIX @ POINT) ** 2)[:, None] * MATRIX
    assert_allclose(mm.jacobian(function)(POINT), expected, rtol=1e-14)
    stacked = mm.jacobian(lambda a, x: a @ x, 0)(MATRIX, POINT)
    assert stacked.shape == (2, 2, 3)
    assert_allclose(stacked, np.einsum("ij,k->ijk", np.eye(2), POINT), rtol=1e-15)
    assert_allclose(mm.jacobian(lambda a, x: a @ x, -1)(MATRIX, POINT), MATRIX, rtol=1e-15)
    assert mm.jacobian(lambda x: x * 2.0)(3.0) == 2.0


def test_jacobian_of_trees() -> None:
    found = mm.jacobian(lambda p: {"y": p["a"] * p["b"], "empty": p["a"][:0]})({"a": POINT, "b": 2.0})
    assert_array_equal(found["y"]["a"], 2.0 * np.eye(3))
    assert_array_equal(found["y"]["b"], POINT)
    assert found["empty"]["a"].shape == (0, 3) and found["empty"]["b"].shape == (0,)


def test_hessian_of_a_quadratic_is_its_matrix() -> None:
    matrix = np.array([[2.0, -1.0, 0.5], [-1.0, 3.0, 0.0], [0.5, 0.0, 1.0]])
    assert_allclose(mm.hessian(lambda x: 0.5 * (x @ matrix @ x))(POINT), matrix, rtol=1e-14)


def test_the_hessian_is_symmetric_and_the_derivative_of_the_gradient() -> None:
    hessian = mm.hessian(loss)(POINT)
    assert_allclose(hessian, [mm.jvp(mm.grad(loss), (POINT,), (unit,))[1] for unit in np.eye(3)], rtol=1e-12)
    assert_allclose(hessian, hessian.T, rtol=1e-13)


def test_hvp_is_the_hessian_times_the_vector() -> None:
    u = np.array([1.0, -0.5, 2.0])
    (product,) = mm.hvp(loss, (POINT,), (u,))
    assert_allclose(product, mm.hessian(loss)(POINT) @ u, rtol=1e-12)


def test_hvp_of_several_arguments_has_the_mixed_terms() -> None:
    def function(x: Any, y: Any) -> Any:
        return mm.sum(x * x) * y

    products = mm.hvp(function, (POINT, 3.0), (np.ones(3), 2.0))
    assert_allclose(products[0], 2 * 3.0 * np.ones(3) + 2 * POINT * 2.0, rtol=1e-14)
    assert_allclose(products[1], 2 * POINT.sum(), rtol=1e-14)


def test_argnum_of_jacobian_and_hessian_may_be_negative_and_must_be_there() -> None:
    assert_array_equal(mm.hessian(lambda a, x: a * mm.sum(x * x), -1)(3.0, np.ones(2)), 6.0 * np.eye(2))
    for transformation in (mm.jacobian, mm.hessian, mm.grad):
        with pytest.raises(ShapeError, match="called with 1 arguments"):
            transformation(mm.sum, 1)(POINT)


# Random programs


@share(0.25)
@given(function=programs(), seed=st.integers(0, 100))
def test_random_programs(function: Function, seed: int) -> None:
    x = spread(np.random.default_rng([7, seed]), (2, 3), "unit")
    try:
        check_gradients(function, x, may_be_constant=True)
    except Nondifferentiable:
        reject()


@share(0.3)
@given(function=programs())
def test_hessians_of_random_programs_are_symmetric_and_equal_hvp(function: Function) -> None:
    x = spread(np.random.default_rng(3), (2, 3), "unit")
    hessian = mm.hessian(function)(x)
    assert hessian.shape == (2, 3, 2, 3)
    assert_allclose(hessian, np.transpose(hessian, (2, 3, 0, 1)), rtol=1e-9, atol=1e-9)
    unit = np.zeros((2, 3))
    unit[1, 0] = 1.0
    assert_allclose(hessian[1, 0], mm.hvp(function, (x,), (unit,))[0], rtol=1e-9, atol=1e-9)
