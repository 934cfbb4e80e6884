"""The transformations against closed forms, the oracles of ``minimeta.testing``, and each other."""

import dataclasses
import math
import threading
import tracemalloc
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from drawing import share, spread
from hypothesis import given, reject
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray
from random_programs import programs

import minimeta as mm
from minimeta.autodiff.apply import context
from minimeta.autodiff.array import Array
from minimeta.errors import DtypeError, ShapeError, TracingError
from minimeta.program import interpret, trace
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


def test_value_and_grad() -> None:
    value, gradient = mm.value_and_grad(loss)(POINT)
    assert value == loss(POINT)
    assert_array_equal(gradient, mm.grad(loss)(POINT))
    assert type(value) is np.ndarray and value.shape == ()


@pytest.mark.parametrize(("argnums", "expected"), [(0, 216.0), (1, 432.0), (-1, 432.0), (-2, 216.0)])
def test_argnums_may_count_from_either_end(argnums: int, expected: float) -> None:
    assert mm.grad(lambda x, y: x * x * y**3, argnums)(4.0, 3.0) == pytest.approx(expected)


def named(x: Any, y: Any = 3.0, /, z: Any = 5.0, *, k: Any = 7.0) -> Any:
    return x * y**2 * z**3 * k**4


SLOPES = {"x": 9 * 125 * 2401.0, "y": 2 * 3 * 125 * 2401.0, "z": 9 * 3 * 25 * 2401.0, "k": 9 * 125 * 4 * 343.0}


@pytest.mark.parametrize("wrap", [lambda f: f, mm.compile, lambda f: mm.compile(f, enabled=False)])
@pytest.mark.parametrize(
    "transform", [mm.grad, mm.jacobian, lambda f, n: lambda *a, **k: mm.value_and_grad(f, n)(*a, **k)[1]]
)
def test_arguments_may_be_named(wrap: Any, transform: Any) -> None:
    for how in ("positions", "a keyword"):
        z = {"positions": ((5.0,), {}), "a keyword": ((), {"z": 5.0})}[how]
        for place in ("x", "y", "z", "k", 0, 1, 2, np.int64(2), np.uint8(1)):
            name = place if isinstance(place, str) else "xyz"[place]
            found = transform(wrap(named), place)(1.0, 3.0, *z[0], **z[1], k=7.0)
            assert found == pytest.approx(SLOPES[name], rel=1e-14)


def test_several_arguments_may_be_named() -> None:
    expected = (SLOPES["k"], SLOPES["x"], SLOPES["z"])
    several: Any
    for several in (("k", 0, "z"), ["k", "x", np.int64(2)]):
        for function in (named, mm.compile(named)):
            found = mm.grad(function, several)(1.0, 3.0, z=5.0, k=7.0)
            assert isinstance(found, tuple) and found == pytest.approx(expected, rel=1e-14)
    assert len(mm.grad(named, range(2))(1.0, 2.0)) == 2
    assert mm.hessian(lambda x, y: x * y**3, "y")(2.0, y=3.0) == 36.0
    assert mm.hessian(mm.compile(lambda x, y: x * y**3), "y")(2.0, 3.0) == 36.0

    class Line:
        def at(self, x: Any, w: Any) -> Any:
            return w * x

    assert mm.grad(Line().at, "w")(2.0, 3.0) == 2.0
    assert mm.grad(lambda **named: named["a"] * named["b"], "a")(a=2.0, b=3.0) == 3.0
    assert mm.grad(mm.grad(named, "z"), "y")(1.0, 3.0, 5.0) == pytest.approx(2 * 3 * 3 * 25 * 2401.0)


@pytest.mark.parametrize(
    ("argnums", "error", "message"),
    [
        ("w", ShapeError, "grad: no argument 'w' is in the call, which passes 'x', 'y', 'k'"),
        ("z", ShapeError, "no argument 'z' is in the call, which passes 'x', 'y', 'k'"),
        (("x", 0), ShapeError, "names an argument twice"),
        (("k", "k"), ShapeError, "names an argument twice"),
        (1.0, DtypeError, "1.0 is neither the position nor the name of an argument"),
        (None, DtypeError, "None is neither the position nor the name"),
        (2, ShapeError, "argument 2, but the function was called with 2 arguments"),
    ],
)
def test_names_of_no_argument_are_refused(argnums: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        mm.grad(named, argnums)(1.0, 2.0, k=1.0)


def test_a_named_argument_that_holds_no_floats_is_named() -> None:
    with pytest.raises(DtypeError, match=r"grad with respect to argument .k.*int"):
        mm.grad(named, "k")(1.0, 2.0, k=1)
    with pytest.raises(DtypeError, match="argument 'k' is None"):
        mm.grad(named, "k")(1.0, 2.0, k=None)


def test_several_argnums_give_a_tuple_in_their_order() -> None:
    def function(x: Any, y: Any, z: Any, power: int = 1) -> Any:
        return (x + 2 * y + 3 * z) ** power

    assert mm.grad(function, (2, 0))(1.0, 1.0, 1.0) == (3.0, 1.0)
    assert mm.grad(function, (-1, 1))(1.0, 1.0, 1.0) == (3.0, 2.0)
    assert mm.grad(function, [1])(1.0, 1.0, 1.0) == (2.0,)
    assert mm.grad(function, ())(1.0, 1.0, 1.0) == ()
    assert mm.grad(function, (0,))(1.0, 0.0, 0.0, power=3) == (3.0,)


def test_arguments_that_are_not_differentiated_may_be_anything() -> None:
    def function(x: Any, mode: str, table: dict[str, Any], index: int) -> Any:
        return x[index] * table[mode]

    assert_array_equal(mm.grad(function)(np.ones(2), "a", {"a": 2.0, "b": object()}, 1), [0.0, 2.0])


def test_has_aux_returns_numpy() -> None:
    def function(x: Any) -> tuple[Any, dict[str, Any]]:
        return x * x, {"double": 2.0 * x, "text": "kept", "given": x, "none": None}

    gradient, aux = mm.grad(function, has_aux=True)(3.0)
    assert gradient == 6.0
    (value, same), _ = mm.value_and_grad(function, has_aux=True)(3.0)
    assert value == 9.0
    for found in (aux, same):
        assert found["double"] == 6.0 and found["given"] == 3.0 and found["text"] == "kept" and found["none"] is None
        assert type(found["double"]) is np.ndarray and type(found["given"]) is np.ndarray
    output, pullback, aux = mm.vjp(function, 3.0, has_aux=True)
    assert output == 9.0 and aux["double"] == 6.0 and pullback(1.0) == (6.0,)


def test_has_aux_inside_another_transformation_keeps_the_derivative() -> None:
    def outer(x: Any) -> Any:
        gradient, aux = mm.grad(lambda y: (x * y * y, x * y), has_aux=True)(2.0)
        return gradient * aux

    assert mm.grad(outer)(3.0) == pytest.approx(48.0)  # (4x)(2x) = 8x^2


def test_a_function_that_does_not_depend_on_its_argument() -> None:
    for function in (
        lambda x: 1.0,
        lambda x: np.float64(2.0),
        lambda x: np.array(3.0),
        lambda x: mm.stop_gradient(x[0]),
    ):
        value, gradient = mm.value_and_grad(function)(np.ones(2, np.float32))
        assert type(value) is np.ndarray
        assert_array_equal(gradient, [0.0, 0.0])
        assert gradient.dtype == np.float32 and gradient.flags.writeable


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


# Closures over outer Arrays


@pytest.mark.parametrize("wrap", [lambda f: f, mm.rematerialize], ids=["plain", "rematerialize"])
def test_closures_get_their_gradients(wrap: Function) -> None:
    def outer(a: Any, b: Any) -> Any:
        held = mm.sin(a)
        region = wrap(lambda x: held * x * b + mm.grad(lambda z: z * z * a)(x))
        return region(b) * held

    # (sin(a) b^2 + 2ab) sin(a)
    a, b = 0.7, 1.3
    to_a, to_b = mm.grad(outer, (0, 1))(a, b)
    assert_allclose(to_a, 2 * math.sin(a) * math.cos(a) * b**2 + 2 * b * (math.sin(a) + a * math.cos(a)), rtol=1e-14)
    assert_allclose(to_b, (2 * math.sin(a) * b + 2 * a) * math.sin(a), rtol=1e-14)
    second = mm.hessian(lambda p: outer(p[0], p[1]))(np.array([a, b]))
    plain = mm.hessian(lambda p: (mm.sin(p[0]) * p[1] ** 2 + 2 * p[0] * p[1]) * mm.sin(p[0]))(np.array([a, b]))
    assert_allclose(second, plain, rtol=1e-13)


def test_a_region_may_return_an_outer_array_or_a_constant() -> None:
    def outer(a: Any) -> Any:
        region = mm.rematerialize(lambda x: (a, x, np.ones(2), 3.0, a * 2.0))
        first, second, third, fourth, fifth = region(a * a)
        return first * 2.0 + second + mm.sum(third) * a + fourth * a + fifth

    assert mm.grad(outer)(5.0) == pytest.approx(2 + 10 + 2 + 3 + 2)


@pytest.mark.parametrize("wrap", [mm.rematerialize, lambda f: mm.custom_vjp(f, lambda g, y, x: (g[1],))])
def test_a_region_may_return_an_outer_array_that_it_does_not_use(wrap: Function) -> None:
    def outer(a: Any) -> Any:
        first, second = wrap(lambda x: (a, x * 1.0))(a * a)
        return first * 3.0 + second

    assert mm.grad(outer)(5.0) == 13.0


@pytest.mark.parametrize("wrap", [mm.rematerialize, lambda f: mm.custom_vjp(f, lambda g, y, x, b: (g * b, None))])
def test_a_region_does_not_see_that_its_constant_arguments_were_refilled(wrap: Function) -> None:
    buffer = np.full(3, 2.0)

    def function(x: Any) -> Any:
        y = wrap(lambda x, b: x * b)(x, buffer)
        buffer[...] = np.nan
        return mm.sum(y)

    assert_array_equal(mm.grad(function)(POINT), [2.0, 2.0, 2.0])


def test_a_pullback_with_a_closure() -> None:
    def outer(s: Any) -> Any:
        _, pullback = mm.vjp(lambda x: s * x * x, 3.0)
        (gradient,) = pullback(1.0)
        return gradient * gradient  # (6s)^2

    assert mm.grad(outer)(2.0) == pytest.approx(144.0)


# rematerialize


def layered(wrap: Function, x: Any) -> Any:
    for _ in range(3):
        x = wrap(lambda x, w: mm.tanh(w @ mm.softmax(x)) + 0.5 * x)(x, np.eye(3) - 0.3)
    return mm.sum(x * x)


def test_rematerialize_equals_plain_to_third_order() -> None:
    def plain(x: Any) -> Any:
        return layered(lambda f: f, x)

    def again(x: Any) -> Any:
        return layered(mm.rematerialize, x)

    assert_array_equal(again(POINT), plain(POINT))
    assert_array_equal(mm.grad(again)(POINT), mm.grad(plain)(POINT))
    assert_allclose(mm.hessian(again)(POINT), mm.hessian(plain)(POINT), rtol=1e-12, atol=1e-14)
    third, expected = (mm.grad(lambda x, f=f: mm.sum(mm.hessian(f)(x) ** 2))(POINT) for f in (again, plain))
    assert_allclose(third, expected, rtol=1e-11)


def test_rematerialize_of_trees_and_inside_itself() -> None:
    inner = mm.rematerialize(lambda p: {"y": p["a"] * mm.sin(p["b"]), "z": p["a"]})
    outer = mm.rematerialize(lambda p: inner({"a": p[0], "b": p[1]})["y"] + inner({"b": p[0], "a": p[1]})["z"])
    found = mm.grad(lambda a, b: outer((a, b)), (0, 1))(2.0, 0.5)
    assert_allclose(found, (math.sin(0.5), 2.0 * math.cos(0.5) + 1.0), rtol=1e-15)
    replayed = interpret(trace(mm.grad(lambda a: outer((a, a))), 2.0), 2.0)
    assert_allclose(replayed, math.sin(2.0) + 2.0 * math.cos(2.0) + 1.0, rtol=1e-14)


def test_rematerialize_keeps_python_scalars_weak() -> None:
    x = np.ones(2, np.float32)
    assert mm.vjp(lambda s: mm.rematerialize(mm.sin)(s) * x, 2.0)[0].dtype == np.float32
    for scalar in (3.0, 3, True):
        region = mm.rematerialize(lambda x, s: x * s)
        assert mm.vjp(lambda x, r=region, s=scalar: r(x, s), x)[0].dtype == np.float32


def test_rematerialize_outside_is_the_function() -> None:
    result = mm.rematerialize(lambda x: [x, mm.sin(x)])(POINT)
    assert result[0] is POINT
    assert_array_equal(result[1], np.sin(POINT))


def test_rematerialize_reduces_the_peak_of_memory() -> None:
    x = np.linspace(-1.0, 1.0, 20_000)

    def block(x: Any) -> Any:
        for _ in range(10):
            x = mm.sin(x)
        return x

    def peak(wrap: Function) -> int:
        def chain(x: Any) -> Any:
            for _ in range(10):
                x = wrap(block)(x)
            return mm.sum(x)

        mm.grad(chain)(x)  # warm caches
        tracemalloc.start()
        try:
            mm.grad(chain)(x)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    plain, again = peak(lambda f: f), peak(mm.rematerialize)
    assert plain > 100 * x.nbytes
    assert again < 0.5 * plain


# custom_vjp


def test_the_rule_is_used_and_the_function_is_not() -> None:
    @mm.custom_vjp
    def function(x: Any, y: Any) -> Any:
        return x * y

    @function.rule
    def _(cotangent: Any, output: Any, x: Any, y: Any) -> tuple[Any, Any]:
        return cotangent * 100.0 + output, cotangent * x * 1000.0

    assert function(2.0, 3.0) == 6.0
    assert mm.grad(function, (0, 1))(2.0, 3.0) == (106.0, 2000.0)
    assert mm.grad(lambda x: function(x, 3.0))(2.0) == 106.0
    assert mm.grad(lambda y: function(2.0, y))(3.0) == 2000.0


def test_the_rule_is_differentiated_for_higher_orders() -> None:
    cube = mm.custom_vjp(lambda x: x**3, lambda g, y, x: (g * 3.0 * x**2,))
    for order in range(5):
        assert_allclose(nth(cube, order)(2.0), [8.0, 12.0, 12.0, 6.0, 0.0][order], rtol=1e-14)
    # also with a derivative inside the rule itself
    indirect = mm.custom_vjp(lambda x: x**3, lambda g, y, x: (g * mm.grad(lambda z: z**3)(x),))
    for order in range(5):
        assert_allclose(nth(indirect, order)(2.0), [8.0, 12.0, 12.0, 6.0, 0.0][order], rtol=1e-14)


def test_a_closure_of_a_custom_vjp_keeps_its_ordinary_derivative() -> None:
    def outer(a: Any, x: Any) -> Any:
        scaled = mm.custom_vjp(lambda x: a * a * x, lambda g, y, x: (g * 7.0,))
        return scaled(x)

    assert mm.grad(outer, (0, 1))(3.0, 5.0) == (30.0, 7.0)
    assert mm.grad(mm.grad(outer))(3.0, 5.0) == 10.0


def test_trees_and_unused_outputs_of_a_custom_vjp() -> None:
    @mm.custom_vjp
    def function(p: Any, n: Any) -> Any:
        return {"y": p["a"] * 2.0, "unused": p["b"] * n}

    seen: list[Any] = []

    @function.rule
    def _(cotangent: Any, output: Any, p: Any, n: Any) -> tuple[Any, Any]:
        seen.append(cotangent["unused"].value)
        return {"b": output["y"], "a": cotangent["y"]}, None

    gradient = mm.grad(lambda p: function(p, 4.0)["y"])({"a": 1.5, "b": np.float64(2.0)})
    assert gradient == {"a": 1.0, "b": 3.0}
    assert_array_equal(seen, [0.0])


def test_a_custom_vjp_is_validated() -> None:
    with pytest.raises(TracingError, match="has no rule yet"):
        mm.custom_vjp(lambda x: x)(1.0)
    wrong: list[tuple[Function, str]] = [
        (lambda g, y, x: g, "must return a tuple of 1 cotangents"),
        (lambda g, y, x: (g, g), "must return a tuple of 1 cotangents"),
        (lambda g, y, x: (mm.sum(g),), r"argument 0, of shape \(3,\), a cotangent of shape \(\)"),
    ]
    for rule, message in wrong:
        function = mm.custom_vjp(lambda x: x * 1.0, rule)
        with pytest.raises((ShapeError, DtypeError), match=message):
            mm.grad(lambda x, f=function: mm.sum(f(x)))(POINT)
        assert context.walking == ()


def test_a_custom_vjp_may_hold_a_decision_on_values() -> None:
    clipped = mm.custom_vjp(lambda x: x, lambda g, y, x: (mm.clip(g, -1.0, 1.0),))
    assert_array_equal(mm.grad(lambda x: mm.sum(clipped(x) * np.array([5.0, 0.5, -3.0])))(POINT), [1.0, 0.5, -1.0])
    program = trace(mm.grad(lambda x: mm.sum(clipped(x) * np.array([5.0, 0.5, -3.0]))), POINT)
    assert_array_equal(interpret(program, POINT), [1.0, 0.5, -1.0])


def test_a_rule_may_return_numpy() -> None:
    function = mm.custom_vjp(mm.sum, lambda g, y, x: (np.arange(3),))
    gradient = mm.grad(function)(POINT.astype(np.float32))
    assert_array_equal(gradient, [0.0, 1.0, 2.0])
    assert gradient.dtype == np.float32


# Trees


class Pair(NamedTuple):
    left: Any
    right: Any


@dataclasses.dataclass(frozen=True)
class Layer:
    weight: Any
    bias: Any
    name: str = dataclasses.field(default="layer", metadata={"static": True})


def test_gradients_are_trees_like_the_arguments() -> None:
    tree: dict[str, Any] = {
        "layers": [Layer(MATRIX, POINT[:2], "first"), Layer(POINT, None, "second")],
        "pair": Pair(2.0, (np.float32(0.5),)),
        "empty": {},
        "none": None,
        "ordered": OrderedDict(b=np.ones(2), a=np.ones(1)),
    }

    def function(tree: Any) -> Any:
        first, second = tree["layers"]
        assert isinstance(tree["pair"], Pair) and isinstance(first, Layer) and first.name == "first"
        hidden = first.weight @ second.weight + first.bias
        return mm.sum(hidden * hidden) * tree["pair"].left * tree["pair"].right[0] + mm.sum(tree["ordered"]["b"])

    gradient = mm.grad(function)(tree)
    hidden = MATRIX @ POINT + POINT[:2]
    assert list(gradient) == list(tree)
    assert isinstance(gradient["layers"][0], Layer) and gradient["layers"][0].name == "first"
    assert_allclose(gradient["layers"][0].weight, 2 * np.outer(hidden, POINT), rtol=1e-14)
    assert_allclose(gradient["layers"][0].bias, 2 * hidden, rtol=1e-14)
    assert_allclose(gradient["layers"][1].weight, 2 * MATRIX.T @ hidden, rtol=1e-14)
    assert gradient["layers"][1].bias is None and gradient["none"] is None and gradient["empty"] == {}
    assert isinstance(gradient["pair"], Pair)
    assert_allclose(gradient["pair"].left, np.sum(hidden**2) * 0.5, rtol=1e-6)
    assert gradient["pair"].right[0].dtype == np.float32
    assert type(gradient["ordered"]) is OrderedDict and list(gradient["ordered"]) == ["b", "a"]
    assert_array_equal(gradient["ordered"]["b"], [1.0, 1.0])
    assert_array_equal(gradient["ordered"]["a"], [0.0])


# Results


def test_results_share_no_memory() -> None:
    x, y = POINT.copy(), POINT.copy()

    def function(x: Any, y: Any) -> Any:
        return x, y, x, mm.reshape(x, (3, 1)), x[::-1]

    output, pullback = mm.vjp(function, x, y)
    cotangents = tuple(np.ones(part.shape) for part in output)
    gradients = pullback(cotangents)
    value, gradient = mm.value_and_grad(lambda x, y: mm.sum(x) + mm.sum(y), (0, 1))(x, y)
    arrays = [x, y, *output, *cotangents, *gradients, value, *gradient, *mm.jvp(lambda x: x, (x,), (y,))]
    for i, one in enumerate(arrays):
        assert type(one) is np.ndarray and one.flags.writeable and one.flags.c_contiguous
        assert not any(np.may_share_memory(one, other) for other in arrays[:i])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gradients_have_the_dtype_of_their_argument(dtype: str) -> None:
    x = POINT.astype(dtype)
    other = np.ones(3, "float64" if dtype == "float32" else "float32")
    for function in (lambda x: mm.sum(x * x), lambda x: mm.sum(x * other), lambda x: mm.sum(mm.astype(x, other.dtype))):
        assert mm.grad(function)(x).dtype == dtype
        assert mm.hessian(function)(x).dtype == dtype


# Errors


@pytest.mark.parametrize(
    ("arguments", "argnums", "message"),
    [
        ((1,), 0, "argument 0, of dtype int64"),
        ((True,), 0, "argument 0, of dtype bool"),
        ((1.0, np.arange(3)), 1, "argument 1, of dtype int64"),
        ((1.0, {"a": [1.0, np.zeros(2, np.uint8)]}), (0, 1), "argument 1 at 'a/1', of dtype uint8"),
        (([Layer(1.0, 2)],), -1, "argument 0 at '0/bias', of dtype int64"),
        ((1j,), 0, "argument 0: a complex is not"),
        ((np.zeros(2, complex),), 0, "complex128"),
        ((np.zeros(2, np.float16),), 0, "float16"),
        (("text",), 0, "argument 0: a str is not an array of floats"),
    ],
    ids=repr,
)
def test_arguments_that_are_no_floats_are_named(arguments: Any, argnums: Any, message: str) -> None:
    with pytest.raises(DtypeError, match=message):
        mm.grad(lambda *xs: 1.0, argnums)(*arguments)


def test_integers_in_vjp_are_named() -> None:
    with pytest.raises(DtypeError, match="vjp with respect to argument 1 at '0', of dtype int64: derivatives are with"):
        mm.vjp(lambda x, y: x, 1.0, (2,))


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: x, r"returns shape \(3,\): it must return a scalar, of shape \(\). Reduce it with sum or mean"),
        (lambda x: mm.sum(x, keepdims=True), r"returns shape \(1,\)"),
        (lambda x: (mm.sum(x), 1.0), "returns a tuple.*has_aux=True"),
        (lambda x: {"loss": mm.sum(x)}, "returns a dict"),
        (lambda x: None, "returns a None"),
    ],
)
def test_a_gradient_needs_a_scalar(function: Function, message: str) -> None:
    for run in (lambda: mm.grad(function)(POINT), lambda: trace(mm.grad(function), POINT)):
        with pytest.raises(ShapeError, match=message):
            run()


def test_a_gradient_needs_a_float() -> None:
    with pytest.raises(DtypeError, match="returns dtype int64: it must return a float; convert with astype"):
        mm.grad(mm.argmax)(POINT)
    with pytest.raises(DtypeError, match="returns dtype bool"):
        mm.grad(lambda x: x > 0)(1.0)


def test_has_aux_needs_a_pair() -> None:
    for function in (mm.sum, lambda x: (mm.sum(x), 1, 2), lambda x: [mm.sum(x), 1]):
        with pytest.raises(ShapeError, match="must return a pair"):
            mm.grad(function, has_aux=True)(POINT)


@pytest.mark.parametrize("argnums", [(0, 0), (0, -2), (1, 0, 1)])
def test_an_argument_named_twice_is_refused(argnums: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match="names an argument twice"):
        mm.grad(lambda x, y: x * y, argnums)(1.0, 2.0)


def test_errors_end_with_the_users_line() -> None:
    def function(x: Any) -> Any:
        return mm.grad(lambda y: y)(x)

    with pytest.raises(ShapeError) as caught:
        mm.grad(function)(POINT)
    line = function.__code__.co_firstlineno + 1
    assert str(caught.value).endswith(f"\n  at {__file__}:{line}, in function")


def test_an_exception_leaves_no_trace_behind() -> None:
    def fail(*_: Any) -> Any:
        raise KeyError

    failing = mm.custom_vjp(lambda x: x * 1.0, fail)
    calls: list[Function] = [
        mm.grad(fail),
        mm.grad(lambda x: mm.grad(fail)(x)),  # noqa: PLW0108
        mm.grad(failing),
        mm.grad(lambda x: mm.grad(failing)(x) * x),
        lambda x: trace(fail, x),
        lambda x: trace(mm.grad(failing), x),
        mm.grad(mm.rematerialize(fail)),
        lambda x: mm.jvp(failing, (x,), (x,)),
    ]
    for call in calls:
        with pytest.raises(KeyError):
            call(1.0)
        assert context.walking == ()
        assert type(mm.sin(1.0)) is np.ndarray
        assert mm.grad(mm.grad(lambda x: x**3))(2.0) == 12.0


def test_a_caught_exception_inside_a_function_does_no_harm() -> None:
    def function(x: Any) -> Any:
        try:
            mm.grad(lambda y: y + np.zeros(2))(x)
        except ShapeError:
            return x * x
        raise AssertionError

    assert mm.grad(mm.grad(function))(3.0) == 2.0


def test_names_and_documentation_of_functions_are_kept() -> None:
    assert mm.grad(loss).__name__ == "loss"
    assert mm.rematerialize(loss).__doc__ == loss.__doc__
    assert mm.custom_vjp(loss, loss).__name__ == "loss"  # type: ignore[attr-defined]


# Threads


def test_threads_compute_what_one_thread_computes() -> None:
    def work(seed: int) -> list[Floats]:
        rng = np.random.default_rng(seed)
        weight, x = rng.normal(size=(5, 5)), rng.normal(size=5)

        def function(x: Any) -> Any:
            for _ in range(5):
                x = mm.tanh(weight @ x) + mm.grad(lambda y: mm.sum(mm.sin(y) * y))(x)
            return mm.sum(x * x)

        return [g for _ in range(5) for g in (mm.grad(function)(x), mm.hvp(function, (x,), (x,))[0])]

    expected = [work(seed) for seed in range(6)]
    found: dict[int, list[Floats]] = {}
    start = threading.Barrier(6)

    def run(seed: int) -> None:
        start.wait()
        found[seed] = work(seed)

    threads = [threading.Thread(target=run, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed, gradients in enumerate(expected):
        for ours, theirs in zip(found[seed], gradients, strict=True):
            assert ours.tobytes() == theirs.tobytes()


# Random programs


@share(0.5)
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


def test_inside_is_an_array_and_outside_is_numpy() -> None:
    seen: list[type] = []

    def function(x: Any) -> Any:
        inner = mm.grad(lambda y: y * x)(1.0)
        constant = mm.grad(lambda y: y * y)(1.0)
        seen.extend([type(x), type(inner), type(constant)])
        return inner * constant

    assert type(mm.grad(function)(2.0)) is np.ndarray
    assert seen == [Array, Array, np.ndarray]
