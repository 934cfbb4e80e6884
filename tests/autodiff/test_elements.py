"""Numpy arrays that hold Arrays: joined wherever they come out, and explained where numpy cannot compute with them."""

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import minimeta as mm
from minimeta.errors import IndexingError, TracingError
from minimeta.program import trace

Function = Callable[..., Any]

X = np.array([0.5, 2.0, 3.0])


def pair(x: Any) -> Any:
    return np.array([x[0], 2.0 * x[1]])


@pytest.mark.parametrize("way", [lambda f: lambda x: mm.vjp(f, x)[0], mm.compile, mm.rematerialize])
def test_an_output_is_joined_wherever_in_the_tree_it_stands(way: Function) -> None:
    one, found = way(lambda x: (x, {"pair": pair(x), "none": None}))(X)
    assert_array_equal(one, X)
    assert found["none"] is None and found["pair"].dtype == np.float64
    assert_array_equal(found["pair"], [0.5, 4.0])


def test_no_array_leaks_by_a_numpy_array_in_the_auxiliary_output() -> None:
    gradient, aux = mm.grad(lambda x: (x[0] * x[1], [pair(x), "text"]), has_aux=True)(X)
    assert_array_equal(gradient, [2.0, 0.5, 0.0])
    assert aux[0].dtype == np.float64 and aux[1] == "text"
    assert_array_equal(aux[0], [0.5, 4.0])


@pytest.mark.parametrize("enabled", [True, False])
def test_the_output_of_one_task_is_joined(enabled: bool) -> None:
    found = mm.vmap(lambda x: {"pair": pair(x)}, enabled=enabled)(np.stack([X, 2 * X]))
    assert_array_equal(found["pair"], [[0.5, 4.0], [1.0, 8.0]])


def test_the_derivative_of_a_joined_leaf() -> None:
    jacobian = mm.jacobian(lambda x: {"pair": pair(x) ** 2})(X)
    assert_array_equal(jacobian["pair"], [[1.0, 0.0, 0.0], [0.0, 16.0, 0.0]])


@pytest.mark.parametrize(
    "function",
    [
        lambda x: np.exp(np.array([x[0], 1])),
        lambda x: 1 / np.array([x[0], 0]),
        lambda x: np.linalg.det(np.array([[x[0], 1.0], [2.0, x[1]]])),
        lambda x: np.isnan(pair(x)),
        lambda x: np.logaddexp(pair(x), 0.0),
        lambda x: np.fft.fft(pair(x)),
        lambda x: np.interp(0.5, [0.0, 1.0], pair(x)),
        lambda x: pair(x).astype(float),
        lambda x: pair(x).mean(),
        lambda x: np.std(pair(x)),
        lambda x: np.sin(np.r_[x[0], 1.0]),
    ],
)
def test_what_numpy_cannot_compute_of_objects_says_what_to_write(function: Function) -> None:
    for way in (mm.vjp, trace, lambda f, x: mm.hessian(lambda x: np.sum(f(x)))(x)):
        with pytest.raises(TracingError, match=r"np\.stack") as caught:
            way(function, X)
        assert f"{__file__}:{function.__code__.co_firstlineno}, in <lambda>" in str(caught.value)


def test_an_error_of_the_users_stays_what_it_is() -> None:
    def fails(x: Any) -> Any:
        pair(x)
        raise ValueError("of the user's")

    for way in (mm.vjp, trace):
        with pytest.raises(ValueError, match=r"^of the user's$"):
            way(fails, X)
        with pytest.raises(ZeroDivisionError):
            way(lambda x: x / (1 // 0), X)


def test_a_numpy_array_that_cannot_take_an_array_in_says_what_can() -> None:
    def filled(x: Any) -> Any:
        y = np.zeros(2)
        y[0] = x[0]
        return np.sum(y)

    for function in (filled, lambda x: np.sum(np.ones(3), initial=x[0])):
        for way in (mm.vjp, trace):
            with pytest.raises(
                TracingError,
                match=r"float\(\) of an Array.*np\.stack it, or write x = minimeta\.at\(x\).*\n  at ",
            ) as caught:
                way(function, X)
            assert f"in {function.__name__}" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "arguments", "remedy"),
    [
        ("special.logsumexp", lambda x: (x,), r"Write minimeta\.special\.logsumexp"),
        ("special.softmax", lambda x: (x,), r"Write minimeta\.special\.softmax"),
        ("linalg.expm", lambda x: (np.outer(x, x),), r"Write minimeta\.linalg\.expm"),
        ("special.comb", lambda x: (5, x[0]), r"let custom_vjp call scipy\.special\.comb on values"),
    ],
)
@pytest.mark.filterwarnings("ignore:Calling expm with arguments of dtype=object:DeprecationWarning")  # scipy 1.18's
def test_functions_of_scipys_that_convert_are_named(name: str, arguments: Any, remedy: str) -> None:
    scipy = pytest.importorskip("scipy")
    package, _, function = name.partition(".")
    pytest.importorskip(f"scipy.{package}")
    of_scipy = getattr(getattr(scipy, package), function)
    with pytest.raises(
        TracingError, match=rf"(?s)scipy.{name} of an Array makes numpy arrays.*{remedy}.*test_elements"
    ):
        mm.grad(lambda x: np.sum(of_scipy(*arguments(x))))(X)


@pytest.mark.parametrize("as_array", [np.asarray, np.ascontiguousarray, lambda y: np.array(y, copy=None)])
@pytest.mark.parametrize("change", [operator.imul, lambda z, c: operator.setitem(z, 0, c)])
def test_what_is_the_array_itself_in_numpy_cannot_be_changed(as_array: Any, change: Any) -> None:
    def changed(x: Any) -> Any:
        y = x * 1.0
        change(as_array(y), 2.0)
        return mm.sum(y**3)

    for transformed in (mm.grad(changed), mm.compile(changed)):
        with pytest.raises(TracingError, match=r"read-only\. .* Take a copy first, np\.array\(x\)"):
            transformed(np.ones(3))


def test_nor_does_it_change_with_the_array() -> None:
    def changed(x: Any) -> Any:
        y = x * 1.0
        z = np.asarray(y)
        y *= 2.0
        return np.sum(z**3) + np.sum(y)

    with pytest.raises(TracingError, match=r"y \*= \.\.\. .* Write y = y \* "):
        mm.grad(changed)(np.ones(3))


def test_a_copy_may_be_changed() -> None:
    def changed(x: Any) -> Any:
        z = np.array(x)
        z *= 2.0
        z[0] = x[1]
        return np.sum(z**2) + np.sum(x)

    for transformed in (mm.grad(changed), mm.compile(mm.grad(changed))):
        assert_array_equal(transformed(np.ones(3)), [1.0, 11.0, 9.0])


def test_a_numpy_array_indexed_by_an_array_says_what_to_write() -> None:
    knots = np.array([0.0, 1.0, 2.0])

    def below(x: Any) -> Any:
        return np.sum(x * knots[np.searchsorted(knots, x) - 1])

    with pytest.raises(IndexingError, match=r"(?s)minimeta\.take\(x, i, axis=0\) .*test_elements"):
        mm.compile(mm.grad(below))(np.array([0.5, 1.5]))

    def taken(x: Any) -> Any:
        return np.sum(x * mm.take(knots, np.searchsorted(knots, x) - 1, axis=0))

    assert_array_equal(mm.compile(mm.grad(taken))(np.array([0.5, 1.5])), [0.0, 1.0])
