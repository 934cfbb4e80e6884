"""A user's rules: the dtypes of their cotangents, and what they take by closure inside of a ``vmap``.

The oracle of a derivative outside of a ``vmap`` is algebra, and the derivative inside of it.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import minimeta as mm
from minimeta import optim
from minimeta.autodiff.apply import apply
from minimeta.autodiff.array import is_float
from minimeta.autodiff.primitive import registry
from minimeta.errors import LeakedArrayError
from minimeta.testing import Seeded

Function = Callable[..., Any]

V, C, D = np.array([1.0, 2.0, 3.0]), np.array([0.1, 0.2, 0.3]), np.array([0.5, -1.0])

transforms = pytest.mark.parametrize("transform", [lambda f: f, mm.compile], ids=["eager", "compiled"])


# Dtypes


def doubled(rule: Function) -> Function:
    return mm.custom_vjp(lambda x: x * 2.0, rule)


@transforms
@pytest.mark.parametrize(
    "rule",
    [
        lambda g, y, x: (g * np.sqrt(2.0) * x,),  # np.float64
        lambda g, y, x: (g * np.full(3, 2.0) * x,),
        lambda g, y, x: (np.ones(3) * np.float64(3.0),),
        lambda g, y, x: (mm.astype(g * x, np.float64),),
        lambda g, y, x: (np.arange(3),),
    ],
)
def test_cotangents_of_a_rule_have_the_dtype_of_the_argument(rule: Function, transform: Any) -> None:
    x = np.array([1.0, 2.0, 3.0], np.float32)
    double, both = doubled(rule), (mm.grad, mm.hessian)
    for wrap in (lambda f: f, mm.rematerialize, lambda f: lambda x: mm.sum(mm.vmap(f)(mm.stack([x, x])))):
        f = wrap(lambda x: mm.sum(double(x)))
        assert all(transform(derivative(f))(x).dtype == np.float32 for derivative in both)
        assert transform(lambda x, f=f: mm.vjp(f, x)[1](np.float32(1.0)))(x)[0].dtype == np.float32
        assert transform(lambda x, f=f: mm.jvp(f, (x,), (x,)))(x)[1].dtype == np.float32


@transforms
def test_a_cast_cotangent_is_differentiated_through_its_cast(transform: Any) -> None:
    square = mm.custom_vjp(lambda x: x * x, lambda g, y, x: (g * np.sqrt(2.0) * x,))
    hessian = transform(mm.hessian(lambda x: mm.sum(square(x))))(np.ones(3, np.float32))
    assert_array_equal(hessian, np.sqrt(np.float32(2.0)) * np.eye(3, dtype=np.float32))


def test_an_integer_argument_has_no_cotangent_whatever_a_rule_says() -> None:
    take = mm.custom_vjp(lambda x, i: x[i], lambda g, y, x, i: (mm.scatter_add(np.zeros(3), i, g), g))
    f: Function = lambda x: take(x * x, np.array(1))  # noqa: E731
    assert_array_equal(mm.grad(f)(V), [0.0, 4.0, 0.0])
    assert_array_equal(mm.grad(lambda x: take(x * x, mm.argmax(x)))(V), [0.0, 0.0, 6.0])


@pytest.mark.parametrize("primitive", [p for p in registry.values() if p.elementwise and p.differentiable], ids=str)
def test_derivatives_of_float32_are_float32(primitive: Any) -> None:
    sampled, _ = primitive.sample(Seeded(0))
    constants = [np.ones(2, x.dtype) for x in sampled if not is_float(x)]
    count = len(sampled) - len(constants)
    x = tuple(np.full(2, 0.5, np.float32) for _ in range(count))

    def f(*x: Any) -> Any:
        return mm.sum(apply(primitive, *constants, *x))

    for gradient in (mm.grad(f, range(count))(*x), mm.hvp(f, x, x)):
        assert [g.dtype for g in gradient] == [np.float32] * count


@pytest.mark.parametrize(
    "optimiser",
    [
        optim.sgd(np.float64(0.1)),
        optim.momentum(np.float64(0.1), np.float64(0.9)),
        optim.adam(*np.array([0.1, 0.9, 0.99, 1e-8])),
        optim.clip_elements(optim.sgd(0.1), np.float64(1.0)),
        optim.clip_global_norm(optim.sgd(0.1), np.float64(1.0)),
        optim.linear_decay(optim.sgd(0.1), 10, np.float64(0.1)),
    ],
)
def test_numbers_of_numpy_in_an_optimiser_leave_parameters_float32(optimiser: Any) -> None:
    x = np.ones(3, np.float32)
    moved, state = optimiser.update(x, optimiser.init(x), x)
    again, _ = optimiser.update(moved, state, moved)
    assert moved.dtype == again.dtype == np.float32


# What a rule takes by closure, where one task was traced


def task(v: Any, c: Any) -> Any:
    scaled = mm.custom_vjp(lambda v: v * v, lambda g, y, v: (g * 3.0 * v * mm.sin(c),))
    return scaled(v)


@transforms
def test_a_rule_that_closes_over_a_mapped_value(transform: Any) -> None:
    gradient = transform(mm.grad(lambda v, c: mm.sum(mm.vmap(task)(v, c)), (0, 1)))
    to_v, to_c = gradient(V, C)
    assert_allclose(to_v, 3 * V * np.sin(C), rtol=1e-15)
    assert_array_equal(to_c, 0.0)
    assert_array_equal(to_v, mm.vmap(mm.grad(task))(V, C))
    second = transform(mm.jacobian(lambda c: gradient(V, c)[0]))(C)
    assert_allclose(second, np.diag(3 * V * np.cos(C)), rtol=1e-15)


@transforms
def test_the_argument_may_be_shared_and_the_closure_mapped(transform: Any) -> None:
    gradient = transform(mm.grad(lambda w: mm.sum(mm.vmap(lambda c: task(w, c))(C))))
    assert_allclose(gradient(2.0), np.sum(6.0 * np.sin(C)), rtol=1e-15)
    summed = transform(mm.grad(lambda w: mm.vmap(lambda c: task(w, c), out_axes="sum")(C)))
    assert_allclose(summed(2.0), np.sum(6.0 * np.sin(C)), rtol=1e-15)


@transforms
@pytest.mark.parametrize("wrap", [lambda f: f, mm.rematerialize, mm.compile], ids=["plain", "rematerialize", "compile"])
def test_a_rule_that_closes_over_values_of_every_level(wrap: Any, transform: Any) -> None:
    x, c = np.arange(1.0, 7.0).reshape(2, 3), np.array([0.3, 0.7])

    def f(x: Any, c: Any, k: Any) -> Any:
        def row(v: Any, c: Any) -> Any:
            e = mm.cos(c)

            def element(v: Any, d: Any) -> Any:
                return wrap(mm.custom_vjp(lambda v: v * v, lambda g, y, v: (g * v * v * mm.sin(e) * d * k,)))(v)

            return mm.sum(mm.vmap(element)(v, V))

        return mm.sum(mm.vmap(row)(x, c))

    gradient = transform(mm.grad(f))
    s = np.sin(np.cos(c))[:, None]
    assert_allclose(gradient(x, c, 2.0), 2.0 * x * x * s * V, rtol=1e-14)
    assert_allclose(transform(mm.jacobian(gradient, 2))(x, c, 2.0), x * x * s * V, rtol=1e-14)
    to_c = transform(mm.grad(lambda c: mm.sum(gradient(x, c, 2.0))))(c)
    assert_allclose(to_c, np.sum(2.0 * x * x * V, 1) * np.cos(np.cos(c)) * -np.sin(c), rtol=1e-14)
    hessian = transform(mm.hessian(f))(x, c, 2.0).reshape(6, 6)
    assert_allclose(hessian, np.diag((4.0 * x * s * V).ravel()), rtol=1e-14)


def test_a_local_of_a_rematerialized_body_to_third_order() -> None:
    @mm.rematerialize
    def body(v: Any) -> Any:
        slope = mm.sin(v)
        return mm.custom_vjp(lambda v: v * 1.0, lambda g, y, v: (g * slope,))(v)

    f: Function = lambda v: mm.sum(mm.vmap(body)(v))  # noqa: E731
    for exact in (np.sin(V), np.cos(V), -np.sin(V)):
        f = lambda v, f=f: mm.sum(mm.grad(f)(v))  # noqa: E731
        assert_allclose(f(V), np.sum(exact), rtol=1e-15)


@transforms
def test_a_rule_inside_of_a_rule(transform: Any) -> None:
    def nested(v: Any, c: Any) -> Any:
        slope = mm.sin(c)
        inner = mm.custom_vjp(lambda v: v * 1.0, lambda g, y, v: (g * slope,))
        return mm.custom_vjp(lambda v: v * 1.0, lambda g, y, v: (g * inner(v),))(v)

    hessian = transform(mm.hessian(lambda v: mm.sum(mm.vmap(nested)(v, C))))(V)
    assert_allclose(hessian, np.diag(np.sin(C)), rtol=1e-15)


def test_a_rule_whose_closure_is_made_too_late_says_what_to_do() -> None:
    def late(v: Any, c: Any) -> Any:
        y = mm.custom_vjp(lambda v: v * v, lambda g, y, v: (g * scale,))(v)
        scale = mm.sin(c)
        return y

    assert_allclose(mm.vmap(mm.grad(late))(V, C), np.sin(C))
    with pytest.raises(LeakedArrayError, match=r"the trace that made it .* has ended(?s:.*)pass it to the function"):
        mm.grad(lambda v: mm.sum(mm.vmap(late)(v, C)))(V)


def test_a_rule_that_cannot_run_without_values_is_not_missed_where_it_is_not_needed() -> None:
    def fails(v: Any) -> Any:
        return mm.custom_vjp(lambda v: v * 2.0, lambda g, y, v: (g * float(v),))(v)

    assert_array_equal(mm.vmap(fails)(V), 2.0 * V)


def self_calling(v: Any, c: Any) -> Any:
    f = mm.custom_vjp(mm.exp, lambda g, y, v: (g * f(v) * mm.sin(c),))
    return f(v)


def self_calling_anew(v: Any, c: Any) -> Any:
    f = mm.custom_vjp(mm.exp, lambda g, y, v: (g * self_calling_anew(v, c) * mm.sin(c),))
    return f(v)


@transforms
@pytest.mark.parametrize("f", [self_calling, self_calling_anew])
def test_a_rule_that_calls_its_own_function_to_third_order(f: Function, transform: Any) -> None:
    derivative: Function = lambda v: mm.sum(mm.vmap(f)(v, C))  # noqa: E731
    for order in (1, 2, 3):
        derivative = lambda v, f=derivative: mm.sum(mm.grad(f)(v))  # noqa: E731
        assert_allclose(transform(derivative)(V), np.sum(np.exp(V) * np.sin(C) ** order), rtol=1e-14)


def test_a_rule_that_calls_itself_says_what_to_do_where_it_ends() -> None:
    f: Function = lambda v: mm.sum(mm.vmap(self_calling)(v, C))  # noqa: E731
    for _ in range(4):
        f = lambda v, f=f: mm.sum(mm.grad(f)(v))  # noqa: E731
    with pytest.raises(LeakedArrayError, match="because the rule calls itself, pass it to the function"):
        f(V)


class Scaled:
    """A function and its rule as methods; the rule calls another one's function."""

    def __init__(self, c: Any, other: Function) -> None:
        self.c, self.other = c, other

    def value(self, v: Any) -> Any:
        return v * 1.0

    def slope(self, g: Any, y: Any, v: Any) -> Any:
        return (g * self.other(v) * mm.sin(self.c),)


def by_factory(c: Any, other: Function) -> Function:
    return mm.custom_vjp(lambda v: v * 1.0, lambda g, y, v: (g * other(v) * mm.sin(c),))


def by_method(c: Any, other: Function) -> Function:
    made = Scaled(c, other)
    return mm.custom_vjp(made.value, made.slope)


@transforms
@pytest.mark.parametrize("make", [by_factory, by_method])
def test_two_rules_of_one_code_are_two(make: Any, transform: Any) -> None:
    def chained(v: Any, c: Any) -> Any:
        return make(c, make(2.0 * c, make(3.0 * c, lambda v: v)))(v)

    s, t, u = np.sin(C), np.sin(2.0 * C), np.sin(3.0 * C)
    derivative: Function = lambda v: mm.sum(mm.vmap(chained)(v, C))  # noqa: E731
    for expected in (V * s, V * s * t, V * s * t * u):
        assert_allclose(transform(mm.grad(derivative))(V), expected, rtol=1e-14)
        derivative = lambda v, f=derivative: mm.sum(mm.grad(f)(v))  # noqa: E731


def test_a_rule_around_a_rule_is_the_outer_one() -> None:
    inner = mm.custom_vjp(lambda v: v * 1.0, lambda g, y, v: (g * 5.0,))
    outer = mm.custom_vjp(inner, lambda g, y, v: (g * 7.0,))
    assert mm.grad(outer)(1.0) == 7.0
    assert mm.grad(mm.custom_vjp(mm.grad(inner), lambda g, y, v: (g * 7.0,)))(1.0) == 7.0


# What a rule takes of its function's own run


def silu(x: Any) -> Any:
    saved: dict[str, Any] = {}

    def forward(a: Any) -> Any:
        saved["s"] = mm.sigmoid(a)
        return saved["s"] * a

    return mm.custom_vjp(forward, lambda g, y, a: (g * (saved["s"] + a * saved["s"] * (1 - saved["s"])),))(x)


def sine(x: Any) -> Any:
    saved: list[Any] = []

    def forward(a: Any) -> Any:
        saved.append(a)
        return mm.sin(a)

    return mm.custom_vjp(forward, lambda g, y, a: (g * mm.cos(saved[0]),))(x)


def square_of_sine(x: Any) -> Any:
    saved: list[Any] = []

    def forward(a: Any) -> Any:
        saved.append(mm.sin(a))
        return saved[0] * saved[0]

    def rule(g: Any, y: Any, a: Any) -> Any:
        return (2.0 * g * saved[0] * mm.cos(a),)

    return mm.custom_vjp(mm.custom_vjp(forward, rule), rule)(x)


def sigmoid(x: Any) -> Any:
    return 1.0 / (1.0 + np.exp(-x))


X = np.array([0.3, -1.0])
S = sigmoid(X)
S1 = S * (1 - S)
S2 = S1 * (1 - 2 * S)


@pytest.mark.parametrize("wrap", [lambda f: f, mm.rematerialize, mm.compile], ids=["plain", "rematerialize", "compile"])
@transforms
@pytest.mark.parametrize(
    ("f", "exact"),
    [
        (silu, (S + X * S1, 2 * S1 + X * S2, 3 * S2 + X * (S2 * (1 - 2 * S) - 2 * S1 * S1))),
        (sine, (np.cos(X), -np.sin(X), -np.cos(X))),
        (square_of_sine, (np.sin(2 * X), 2 * np.cos(2 * X), -4 * np.sin(2 * X))),
    ],
)
def test_a_rule_takes_what_its_function_computed(f: Function, exact: Any, transform: Any, wrap: Any) -> None:
    inside: Function = wrap(f)
    outside: Function = lambda x: mm.sum(mm.vmap(wrap(f))(x))  # noqa: E731
    for expected in exact:
        inside, outside = mm.grad(inside), mm.grad(outside)
        assert_allclose([inside(x) for x in X], expected, rtol=1e-14)
        for enabled in (True, False):
            assert_allclose(transform(mm.vmap(inside, enabled=enabled))(X), expected, rtol=1e-14)
        assert_allclose(transform(mm.vmap(mm.vmap(inside)))(X[None]), expected[None], rtol=1e-14)
        assert_allclose(transform(outside)(X), expected, rtol=1e-14)
        outside = lambda x, f=outside: mm.sum(f(x))  # noqa: E731


def test_the_values_and_gradients_of_the_issue() -> None:
    assert_allclose(mm.vmap(mm.grad(silu))(X), [0.6478, 0.0723], atol=5e-5)


@transforms
def test_what_the_function_computed_of_its_closure_too(transform: Any) -> None:
    def f(x: Any, c: Any) -> Any:
        saved: dict[str, Any] = {}

        def forward(a: Any) -> Any:
            saved["s"], saved["t"] = mm.sin(a) * c, mm.cos(c)
            return saved["s"] * saved["t"]

        return mm.custom_vjp(forward, lambda g, y, a: (g * (2.0 * saved["s"] + saved["t"] * a + y),))(x)

    s, t = np.sin(X) * D, np.cos(D)
    to_x, to_c = transform(mm.vmap(mm.grad(f, (0, 1))))(X, D)
    assert_allclose(to_x, 2.0 * s + t * X + s * t, rtol=1e-14)
    assert_allclose(to_c, np.sin(X) * (t - D * np.sin(D)), rtol=1e-14)
    # Of the rule, y has the rule's derivative to x, and the ordinary one to c.
    second = transform(mm.vmap(mm.grad(mm.grad(f), (0, 1))))(X, D)
    assert_allclose(second[0], 2.0 * np.cos(X) * D + t + to_x, rtol=1e-14)
    assert_allclose(second[1], 2.0 * np.sin(X) - np.sin(D) * X + to_c, rtol=1e-14)
