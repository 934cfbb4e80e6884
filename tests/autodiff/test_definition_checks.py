"""What is wrong with a user's operation: said when it is defined, or when one of its functions has returned."""

import functools
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import minimeta as mm
from minimeta.autodiff.protocols import ANSWERS
from minimeta.errors import ConfigurationError, DtypeError, ShapeError

X = np.array([[0.2, 0.5, -0.4], [0.3, 0.1, 0.6]])


def tanh_by(*rules: Any) -> Any:
    return mm.primitive(elementwise=True, rules=rules)(named(np.tanh, "own_tanh"))


def named(function: Any, name: str) -> Any:
    def called(x: Any) -> Any:
        return function(x)

    called.__name__ = name
    return called


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (lambda g, y, x: mm.sum(g * (1 - y * y)), r"own_tanh: the rule for x, of shape \(3,\), .* of shape \(\)"),
        (lambda g, y, x: mm.stack([g, g]), r"own_tanh: the rule for x, of shape \(3,\), .* of shape \(2, 3\)"),
        (lambda g, y, x: (g,), r"own_tanh: the rule for x returned a tuple; it must return one array"),
    ],
)
def test_a_cotangent_has_the_shape_of_its_operand(rule: Any, message: str) -> None:
    def loss(x: Any) -> Any:
        return mm.sum(operation(x * x) + x)

    operation = tanh_by(rule)
    for differentiated in (mm.grad(loss), mm.compile(mm.grad(loss)), mm.hessian(loss)):
        with pytest.raises(ShapeError, match=message):
            differentiated(X[0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_cotangent_takes_the_dtype_of_its_operand(dtype: Any) -> None:
    x = X[0].astype(dtype)
    for rule in (lambda g, y, x: mm.astype(g, np.float32), lambda g, y, x: np.ones(3, int)):
        operation = tanh_by(rule)
        gradient = mm.grad(lambda x, operation=operation: mm.sum(operation(x)))(x)
        assert_array_equal(gradient, np.ones(3, dtype), strict=True)


def test_one_rule_for_all_returns_as_many_cotangents_as_operands() -> None:
    def total(*xs: Any) -> Any:
        return sum(xs)

    make: Any = mm.primitive
    right = make(elementwise=True, rules=lambda g, z, *xs: [g] * len(xs))(total)
    assert_array_equal(mm.grad(lambda x: mm.sum(right(1.0, x, x)))(X), np.full(X.shape, 2.0))
    for answer, message in (
        ((), "not 0 of them"),
        ((X,) * 3, "not 3 of them"),
        (X, "not a ndarray"),
        (None, "NoneType"),
    ):
        wrong = make(elementwise=True, rules=lambda g, z, *xs, answer=answer: answer)(total)
        with pytest.raises(ShapeError, match=f"total: its rule must return a tuple of 2 cotangents, .*{message}"):
            mm.grad(lambda x, wrong=wrong: mm.sum(wrong(1.0, x)))(X)
    with pytest.raises(ConfigurationError, match="total: it takes any number of operands; give rules= one function"):
        make(elementwise=True, rules=(lambda g, z, *xs: g,))(total)
    with pytest.raises(ConfigurationError, match=r"double: a rule is called with \(cotangent, y, x\), but too many"):
        make(elementwise=True, rules=(lambda g, y: g,))(named(lambda x: x + x, "double"))


def form_of(x: Any) -> mm.Form:
    return mm.Form(x.shape, x.dtype)


@pytest.mark.parametrize(
    ("reference", "shape", "x", "message"),
    [
        (np.sum, form_of, X, r"own: it returned shape \(\), but \(2, 3\)"),
        (lambda x: np.cumsum(x, 0), form_of, X > 0, "own: it returned dtype int64, but bool"),
        (lambda x: None, form_of, X[0, 0], "own: it returned dtype object"),
        (np.copy, lambda x: None, X, "own: its shape= returned None; return minimeta.Form"),
        (np.copy, lambda x: x.shape, X, r"own: its shape= returned \(2, 3\); return minimeta.Form"),
        (np.copy, lambda x: mm.Form((-1,), x.dtype), X, r"own: its shape= returned the shape \(-1,\)"),
        (np.copy, lambda x: mm.Form(x.shape, "c16"), X, "own: its shape= returned the dtype complex128"),
        (lambda x: np.negative(x, out=x), form_of, X.copy(), "read-only"),
    ],
)
def test_a_result_has_the_form_that_was_declared(reference: Any, shape: Any, x: Any, message: str) -> None:
    make: Any = mm.primitive
    operation = make(rules=(), shape=shape)(named(reference, "own"))
    before = x.copy()
    for run in (operation, mm.compile(operation), mm.vmap(operation) if x.ndim else operation):
        with pytest.raises(
            ValueError if message == "read-only" else (ShapeError, DtypeError), match=message.partition(": it")[0]
        ):
            run(x)
    assert_array_equal(x, before)
    with pytest.raises(ShapeError, match=r"own: its shape= returned the shape \(1,\), but it is elementwise"):
        make(rules=(), shape=lambda x: mm.Form((1,), x.dtype), elementwise=True)(named(lambda x: x, "own"))(X)


def test_operands_may_have_any_names_and_defaults_and_be_followed_by_params() -> None:
    make: Any = mm.primitive

    def one(x: Any, *, y: Any) -> Any:
        return x * y

    def two(x: Any, y: Any = 2.0) -> Any:
        return x * y

    def many(*x: Any) -> Any:
        return x[0] * x[1]

    by_param = make(elementwise=True, rules=(lambda g, z, x, y: g * y,))(one)
    by_default = make(elementwise=True, rules=(lambda g, z, x, y: g * y, None))(two)
    by_many = make(elementwise=True, rules=lambda g, z, *x: (g * x[1], None))(many)
    for f in (lambda x: by_param(x, y=2.0), by_default, lambda x: by_default(x=x), lambda x: by_many(x, 2.0)):
        assert_array_equal(f(X), 2 * X)
        assert_array_equal(mm.compile(mm.grad(lambda x, f=f: mm.sum(f(x))))(X), np.full(X.shape, 2.0))


def test_params_are_static() -> None:
    make: Any = mm.primitive

    def scaled(x: Any, *, k: Any) -> Any:
        return x * np.array(k)

    operation = make(elementwise=True, rules=(lambda g, z, x, k: g * np.array(k),))(scaled)
    x = X[0]
    assert_array_equal(mm.compile(lambda x: operation(x, k=(1.0, 2.0, 3.0)))(x), x * [1, 2, 3])
    for transform in (lambda f: f, mm.compile, mm.vmap, lambda f: mm.grad(lambda x: mm.sum(f(x)))):
        with pytest.raises(DtypeError, match="scaled: k is static, and cannot be an array; make it a positional"):
            transform(lambda x: operation(x, k=x))(x)
        with pytest.raises(DtypeError, match="scaled: k is static, so it must be hashable, and a list is not; pass a "):
            transform(lambda x: operation(x, k=[2.0]))(x)


@pytest.mark.parametrize(
    ("arguments", "reference", "message"),
    [
        ({}, np.copy, "rules=None is no tuple of functions"),
        ({"rules": 3}, np.copy, "rules=3 is no tuple of functions"),
        ({"rules": ("abc",)}, np.copy, r"rules=\('abc',\) is no tuple of functions"),
        ({"rules": (), "answers": "np.cbrt"}, np.copy, "answers='np.cbrt' is no function"),
        ({"rules": ()}, functools.partial(np.copy), "has no name or no signature; decorate a function"),
        ({"rules": (), "shape": lambda: None}, named(np.copy, "own"), r"own: shape is called with \(x\), but too many"),
    ],
)
def test_what_is_wrong_is_said_when_it_is_defined(arguments: Any, reference: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        mm.primitive(**{"elementwise": True, **arguments})(reference)


def test_without_parentheses() -> None:
    with pytest.raises(ConfigurationError, match=r"write it with parentheses, @primitive\(rules="):
        mm.primitive(named(np.copy, "own"))


def test_a_numpy_function_is_answered_once_but_a_cell_may_run_again() -> None:
    def cube_root(x: Any) -> Any:
        return np.cbrt(x)

    def another(x: Any) -> Any:
        return np.cbrt(x)

    make = mm.primitive(rules=(lambda g, y, x: g / (3.0 * y * y),), elementwise=True, answers=[np.cbrt])
    with patch.dict(ANSWERS):
        del ANSWERS[np.cbrt]  # The library's.
        make(cube_root)
        again = make(cube_root)
        assert ANSWERS[np.cbrt] is again
        with pytest.raises(ConfigurationError, match=r"another: .*cube_root answers np.cbrt already"):
            make(another)
        assert_allclose(mm.grad(lambda x: mm.sum(np.cbrt(x)))(X), np.cbrt(X) ** -2.0 / 3.0)
