"""Functions of numpy's that are called on values, with a user's derivative.

The oracle is the complex step through numpy's own function, algebra, and the eager run.
"""

import math
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import minimeta as mm
from minimeta.errors import DtypeError, ShapeError, TracingError
from minimeta.program import interpret, trace
from minimeta.testing import check_gradients

A = np.array([[2.0, 1.0], [0.5, 3.0]])
BATCH = np.stack([A, A.T, 2.0 * A, A @ A])

inverse = mm.custom_vjp(np.linalg.inv, lambda g, y, x: (-(y.T @ g @ y.T),), on_values=True)
again: Any = mm.custom_vjp(np.linalg.inv, lambda g, y, x: (-(again(x).T @ g @ again(x).T),), on_values=True)
determinant = mm.custom_vjp(np.linalg.det, lambda g, y, x: (g * y * inverse(x).T,), on_values=True)

transforms = pytest.mark.parametrize(
    "transform",
    [lambda f: f, mm.compile, lambda f: mm.compile(f, enabled=False)],
    ids=["eager", "compiled", "not compiled"],
)


def loss(x: Any) -> Any:
    return mm.sum(mm.sin(inverse(x)))


def complex_step(x: Any, direction: Any) -> Any:
    return np.sum(np.sin(np.linalg.inv(x + 1e-30j * direction))).imag / 1e-30


@transforms
def test_a_function_of_numpys_has_the_derivative_that_it_was_given(transform: Any) -> None:
    directions = [np.eye(1, 4, i).reshape(2, 2) for i in range(4)]
    expected = [complex_step(A, direction) for direction in directions]
    for f in (loss, lambda x: mm.sum(mm.sin(again(x)))):
        assert_allclose(transform(mm.grad(f))(A).ravel(), expected, rtol=1e-14)
    assert_array_equal(transform(inverse)(A), np.linalg.inv(A))
    assert_allclose(transform(mm.grad(determinant))(A), np.linalg.det(A) * np.linalg.inv(A).T, rtol=1e-15)


@pytest.mark.parametrize("f", [loss, lambda x: mm.sum(again(x) * x), lambda x: determinant(x @ x)])
def test_such_derivatives_are_right_to_second_order(f: Any) -> None:
    check_gradients(f, A, order=2)
    assert_array_equal(mm.compile(mm.hessian(f))(A), mm.hessian(f)(A))


@transforms
@pytest.mark.parametrize("enabled", [True, False])
def test_they_are_called_for_every_task_of_a_vmap(transform: Any, enabled: bool) -> None:
    one_by_one = np.stack([mm.grad(loss)(a) for a in BATCH])
    assert_array_equal(transform(mm.vmap(mm.grad(loss), enabled=enabled))(BATCH), one_by_one)
    outside = mm.grad(lambda x: mm.sum(mm.vmap(loss, enabled=enabled)(x)))
    assert_array_equal(transform(outside)(BATCH), one_by_one)
    nested = mm.vmap(mm.vmap(mm.hessian(loss), enabled=enabled), enabled=enabled)
    expected = np.stack([mm.hessian(loss)(a) for a in BATCH]).reshape(2, 2, 2, 2, 2, 2)
    assert_array_equal(transform(nested)(BATCH.reshape(2, 2, 2, 2)), expected)


def test_outside_of_all_transformations_it_is_the_function_itself() -> None:
    assert_array_equal(inverse(A), np.linalg.inv(A))
    assert type(determinant(A)) is np.float64


def test_the_dtype_is_that_of_the_function() -> None:
    assert mm.compile(mm.grad(loss))(A.astype(np.float32)).dtype == np.float32
    assert mm.compile(inverse)(A.astype(np.float32)).dtype == np.float32


def test_results_may_be_a_tree() -> None:
    def rule(cotangent: Any, output: Any, x: Any) -> Any:
        return (cotangent[1] * inverse(x).T,)

    slogdet = mm.custom_vjp(np.linalg.slogdet, rule, on_values=True)
    gradient = mm.grad(lambda x: slogdet(x).logabsdet)
    for transform, x in ((lambda f: f, A), (mm.compile, A), (lambda f: mm.compile(mm.vmap(f)), BATCH)):
        assert_allclose(transform(gradient)(x), np.swapaxes(np.linalg.inv(x), -1, -2), rtol=1e-14)


def test_its_own_arrays_may_be_kept_and_changed() -> None:
    kept: list[Any] = []

    def greedy(x: Any) -> Any:
        kept.append(x)
        x += 1.0
        return x

    called = mm.custom_vjp(greedy, lambda g, y, x: (g,), on_values=True)
    for f in (mm.grad(lambda x: mm.sum(called(x) * x)), mm.compile(mm.grad(lambda x: mm.sum(called(x) * x)))):
        x = np.array([1.0, 2.0])
        assert_array_equal(f(x), 2 * np.array([1.0, 2.0]) + 1)
        assert_array_equal(x, [1.0, 2.0])
        kept[-1][:] = np.nan
        assert_array_equal(f(x), 2 * x + 1)


def test_what_it_looks_like_may_be_said() -> None:
    def picky(x: Any) -> Any:
        if np.all(x == 1.0):
            raise ValueError("ones")
        return np.cumsum(x)[:2]

    def rule(g: Any, y: Any, x: Any) -> Any:
        return (mm.concatenate([mm.sum(g, keepdims=True), g[1:], np.zeros(1)]),)

    x = np.array([1.0, 2.0, 5.0])
    silent = mm.custom_vjp(picky, rule, on_values=True)
    assert_array_equal(mm.grad(lambda x: silent(x)[0])(x), [1.0, 0.0, 0.0])
    with pytest.raises(
        TracingError, match=r"picky is called once on identity matrices.*ValueError: ones.*like="
    ) as info:
        mm.compile(silent)(x)
    assert isinstance(info.value.__cause__, ValueError)
    stated = mm.custom_vjp(picky, rule, like=lambda x: x[:2])
    assert_array_equal(mm.compile(stated)(x), [1.0, 3.0])
    assert_array_equal(mm.compile(mm.grad(lambda x: stated(x)[1]))(x), [1.0, 1.0, 0.0])


def test_a_shape_that_depends_on_values_is_refused() -> None:
    trimmed = mm.custom_vjp(np.trim_zeros, lambda g, y, x: (x,), on_values=True)
    assert_array_equal(mm.compile(trimmed)(np.ones(3)), np.ones(3))
    with pytest.raises(ShapeError, match=r"trim_zeros returned shapes \[\(2,\)\].*\(3,\)"):
        mm.compile(trimmed)(np.array([0.0, 1.0, 1.0]))


@pytest.mark.parametrize("f", [inverse, mm.grad(loss)])
def test_its_exceptions_arrive_as_they_are(f: Any) -> None:
    for transform in (mm.compile, lambda f: mm.compile(f, enabled=False)):
        with pytest.raises(np.linalg.LinAlgError, match="Singular"):
            transform(f)(np.zeros((2, 2)))
    many = np.stack([A] * 20)
    many[13] = 0.0
    transforms: list[Any] = [mm.vmap, lambda f: mm.compile(mm.vmap(f))]
    for transform in transforms:
        with pytest.raises(np.linalg.LinAlgError, match="Singular"):
            transform(f)(many)
        many[13] = A
        assert transform(f)(many).shape == (20, 2, 2)
        many[13] = 0.0


def test_a_result_that_is_no_array_of_numbers_is_refused() -> None:
    wrong = mm.custom_vjp(lambda x: np.array(["a"]), lambda g, y, x: (x,), on_values=True)
    with pytest.raises(DtypeError):
        mm.grad(lambda x: mm.sum(wrong(x)))(1.0)


def test_operations_of_minimeta_are_not_called_on_values() -> None:
    sine = mm.custom_vjp(np.sin, lambda g, y, x: (g * mm.cos(x),))
    assert "sin" in [step.primitive.name for step in trace(lambda x: mm.sin(sine(x)), 1.0).steps]
    assert "call(" not in str(trace(sine, 1.0))
    assert "call(" in str(trace(inverse, A))


def test_equal_calls_are_one_and_references_take_complex_numbers() -> None:
    twice = mm.compile(lambda x: inverse(x) + inverse(x))
    assert [step.primitive.name for step in twice.lower(A).steps] == ["call", "add"]
    program = trace(loss, A)
    step = interpret(program, A + 1e-30j * np.eye(2)).imag / 1e-30
    assert_allclose(step, complex_step(A, np.eye(2)), rtol=1e-15)
    program.check()


# What it is given, and what it gives


everywhere = pytest.mark.parametrize(
    "transform",
    [
        lambda f: f,
        lambda f: lambda x: mm.vjp(f, x)[0],
        mm.compile,
        lambda f: lambda x: mm.vmap(f)(x[None])[0],
        lambda f: lambda x: mm.vmap(f, enabled=False)(x[None])[0],
        lambda f: lambda x: mm.compile(mm.vmap(f))(x[None])[0],
    ],
    ids=["eager", "vjp", "compiled", "vmapped", "one by one", "vmapped and compiled"],
)
abstract = pytest.mark.parametrize(
    "transform", [mm.compile, lambda f: lambda x: mm.vmap(f)(x[None])[0], lambda f: mm.compile(mm.rematerialize(f))]
)


def rule_of_nothing(g: Any, y: Any, x: Any) -> Any:
    return (0.0 * x,)


@abstract
@pytest.mark.parametrize(
    ("stand_in", "value", "names"),
    [(0, 2.5, "float64, but int64"), (True, 2, "int64, but bool"), (np.int8(1), 0.5, "float64, but int8")],
)
def test_a_dtype_that_depends_on_values_is_not_cut_off(transform: Any, stand_in: Any, value: Any, names: str) -> None:
    f = mm.custom_vjp(lambda x: value if x.max() > 1 else stand_in, rule_of_nothing, on_values=True)
    assert mm.compile(lambda x: f(x) * 1.0, enabled=False)(np.array([2.5, 0.1])) == value
    with pytest.raises(DtypeError, match=rf"returned {names} on its stand-ins.*return one dtype.*like="):
        transform(lambda x: f(x) * 1.0)(np.array([2.5, 0.1]))


@abstract
def test_a_dtype_that_can_hold_the_value_may_differ(transform: Any) -> None:
    f = mm.custom_vjp(lambda x: 2 if x.max() > 1 else 0.5, rule_of_nothing, on_values=True)
    assert transform(lambda x: f(x) * 1.0)(np.array([2.5, 0.1])) == 2.0


@everywhere
def test_complex_results_of_real_arguments_are_refused(transform: Any) -> None:
    for f in (lambda x: x * 1j, lambda x: (x, 1j)):
        turned = mm.custom_vjp(f, rule_of_nothing, on_values=True)
        with pytest.raises(DtypeError, match=r"<lambda> returned complex128 for real arguments.*\.real"):
            transform(turned)(np.ones(2))


def test_a_complex_step_by_hand_goes_through() -> None:
    assert_array_equal(inverse(A + 1e-30j * np.eye(2)), np.linalg.inv(A + 1e-30j * np.eye(2)))


@everywhere
def test_a_function_that_writes_to_its_argument_writes_to_its_own(transform: Any) -> None:
    def greedy(x: Any) -> Any:
        x += 1.0
        return x

    f = mm.custom_vjp(greedy, lambda g, y, x: (g,), on_values=True)
    x = np.array([1.0, 2.0])
    assert_array_equal(transform(f)(x), [2.0, 3.0])
    assert_array_equal(x, [1.0, 2.0])


def test_a_python_number_is_an_array_to_the_function_everywhere() -> None:
    f = mm.custom_vjp(lambda x: x.max() * 2.0, lambda g, y, x: (2.0 * g,), on_values=True)
    assert f(3.0) == mm.compile(f)(3.0) == 6.0
    assert mm.grad(f)(3.0) == 2.0


def test_what_has_no_operation_names_the_way_out() -> None:
    gamma = np.frompyfunc(math.gamma, 1, 1)  # a user's own ufunc

    def rule(g: Any, y: Any, x: Any) -> Any:
        return (g * np.eye(2),)

    def total(a: Any) -> Any:
        return gamma(a).astype(np.float64).sum()

    with pytest.raises(TracingError, match=r"gamma \(vectorized\) of.*custom_vjp\(function, rule, on_values=True\)"):
        mm.grad(mm.custom_vjp(total, rule))(A)
    gradient = mm.grad(mm.custom_vjp(total, rule, on_values=True))(A)
    assert_array_equal(gradient, np.eye(2))
