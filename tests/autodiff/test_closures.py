"""Regions (``rematerialize``, ``custom_vjp``) and closures over the Arrays of an outer function."""

import math
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import minimeta as mm
from minimeta.autodiff.apply import context
from minimeta.errors import DtypeError, ShapeError, TracingError
from minimeta.program import interpret, trace

Function = Callable[..., Any]


POINT = np.array([0.3, -1.2, 0.7])


def nth(function: Function, order: int) -> Function:
    """The derivative of this order of a scalar function."""
    for _ in range(order):
        function = mm.grad(function)
    return function


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
