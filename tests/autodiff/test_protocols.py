"""numpy's functions find the operations that stand in for them, or say what to do instead."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from every_way import assert_as_numpy, inside
from numpy.testing import assert_allclose, assert_array_equal

import minimeta as mm
from minimeta.errors import DtypeError, ShapeError, TracingError
from minimeta.program import trace
from minimeta.testing import check_gradients

Function = Callable[..., Any]


# numpy's functions


def test_numpy_functions_find_their_counterpart() -> None:
    x = np.linspace(0.1, 0.9, 6).reshape(2, 3)
    functions: list[Function] = [
        lambda x: np.exp(x) + np.log(x) - np.sqrt(x) * np.tanh(x) / np.power(x, 3),
        lambda x: np.pow(x, 2) + np.abs(-x) + np.negative(x),
        lambda x: np.concatenate([x, np.zeros((1, 3)), x]),
        lambda x: np.concat([x, x], axis=1),
        lambda x: np.stack([np.ones((2, 3)), x], axis=-1),
        lambda x: np.where(x > 0.5, x, np.zeros((2, 3))),
        lambda x: np.permute_dims(x, (1, 0)),
        lambda x: np.take(x, [0, 2, 2], axis=1),
        lambda x: np.maximum(np.full(3, 0.5), x),
        lambda x: np.var(x, axis=1, ddof=1, keepdims=True),
        np.linalg.norm,
        lambda x: np.linalg.norm(x, axis=0, keepdims=True),
        lambda x: x + np.zeros_like(x) + np.ones_like(x),
        lambda x: np.split(x, 3, axis=1)[1],
    ]
    for function in functions:
        assert_as_numpy(function, x)


@pytest.mark.parametrize(
    "call",
    [
        np.linalg.eigvals,
        np.roots,
        np.polyfit,
        lambda x: np.array2string(x),  # noqa: PLW0108
    ],
)
def test_a_numpy_function_without_counterpart_is_a_type_error(call: Function) -> None:
    with pytest.raises(TypeError):
        inside(call, np.eye(2))


def test_the_error_names_the_function_and_a_way_out() -> None:
    with pytest.raises(
        TracingError, match=r"np\.linalg\.eigvals of an Array is not supported: its results are complex.*eigvalsh"
    ):
        inside(np.linalg.eigvals, np.eye(2))
    with pytest.raises(
        TracingError, match=r"np\.add\.at changes an array in place.*x = minimeta\.at\(x\)\[indices\]\.add\(v\)"
    ):
        inside(lambda x: np.add.at(x, [0], 1.0), np.ones(2))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: np.exp(x, where=np.array([True, False])), r"np\.exp\(\.\.\., where=mask\).*np\.where\(mask"),
        (lambda x: np.clip(x, 0, 1, where=np.array([True, False])), r"np\.clip\(\.\.\., where=mask\).*np\.where\(mask"),
        (lambda x: np.clip(x, 0, 1, signature="ddd->d"), r"np\.clip\(\.\.\., signature=\.\.\.\) of an Array"),
        (lambda x: np.exp(x, order="F"), r"np\.exp\(\.\.\., order='F'\).*drop order="),
        (lambda x: np.nanquantile(x, 0.5, weights=x), r"np\.nanquantile of an Array.*'weights'.*by nanquantile\(x"),
        (lambda x: np.sort(x, 0, None, "name"), r"np\.sort of an Array.*unexpected argument 'order'"),
    ],
)
def test_arguments_that_are_not_supported_are_named(call: Function, message: str) -> None:
    with pytest.raises(TracingError, match=message):
        inside(call, np.ones(2))


def test_values_of_arguments_that_are_not_known_are_named() -> None:
    with pytest.raises(ShapeError, match="quantile by method='linear' with weights: only 'inverted_cdf'"):
        inside(lambda x: np.quantile(x, 0.5, weights=x), np.ones(2))
    with pytest.raises(ShapeError, match="reshape with order='K': it is one of 'C', 'F', 'A'"):
        inside(lambda x: x.reshape((2, 1), order="K"), np.ones(2))


def test_casts_that_numpy_refuses_are_refused() -> None:
    with pytest.raises(DtypeError, match=r"np\.add.*Cannot cast .*float64.* with casting rule 'safe'"):
        inside(lambda x: np.add(x, 1, dtype=np.float32, casting="safe"), np.ones(2))
    with pytest.raises(DtypeError, match=r"np\.clip.*casting='same_kind'\): float64 is not cast to it"):
        inside(lambda x: np.clip(x, 0, 1, dtype=int), np.ones(2))
    with pytest.raises(DtypeError, match=r"np\.add.*casting='no'\): the operands are of different dtypes"):
        inside(lambda x: np.add(x, np.float32(1.0), casting="no"), np.ones(2))


@pytest.mark.parametrize(
    "call",
    [
        lambda x: np.asarray(x, dtype=np.float32),
        lambda x: np.array([x, x], float),
        lambda x: memoryview(x),  # noqa: PLW0108
    ],
)
def test_an_array_does_not_become_numbers(call: Function) -> None:
    with pytest.raises(TypeError):
        inside(call, np.ones(2))


def test_the_error_of_conversion_says_why() -> None:
    with pytest.raises(TracingError, match=r"was about to become a numpy array.*has_aux=True"):
        inside(lambda x: np.asarray(x, float), np.ones(2))


HELD: list[Function] = [
    lambda x: np.array([x[0], x[1]]) ** 2,
    lambda x: np.asarray(x) * x,
    lambda x: np.exp(np.array([[x[0], x[1]], [x[1], x[2]]])) @ x[:2],
    lambda x: np.array([[x[0], 1.0], [x[1], x[2]]]) @ np.ones(2),
    lambda x: np.array([x, 2 * x]).mean(0),
    lambda x: np.arctan2(np.asarray(x), 2.0),
    lambda x: np.sin([x[0], x[1]]),
    lambda x: np.concatenate([x, np.array([x[0], 2 * x[1]])]),
    lambda x: np.where(x > 1, np.array([x[0], x[1], x[0]]), 0.0),
    lambda x: np.linalg.norm(np.array([x[0], x[1]])),
    lambda x: np.array(x[0]) * 3.0,
    lambda x: mm.cumsum(np.array([x[2], x[1]])),
]


@pytest.mark.parametrize("function", HELD)
def test_a_numpy_array_of_arrays_keeps_derivatives(function: Function) -> None:
    x = np.array([0.5, 1.5, -2.0])
    expected = function(x)
    weights = np.linspace(1.0, 2.0, np.size(expected)).reshape(np.shape(expected))
    for way in (mm.vjp, lambda f, x: (mm.compile(f)(x),)):
        assert_allclose(way(function, x)[0], expected, rtol=1e-14)
    check_gradients(lambda x: mm.sum(weights * function(x)), x)


def test_what_is_detached_may_become_a_numpy_array() -> None:
    history: list[Any] = []

    def function(x: Any) -> Any:
        history.append(mm.stop_gradient(x))
        found = np.asarray(x > 1.0)
        assert type(found) is np.ndarray and found.dtype == np.bool_
        found[...] = False
        return mm.sum(x * np.asarray(mm.stop_gradient(x), np.float32))

    assert_array_equal(mm.grad(function)(np.array([1.0, 2.0])), [1.0, 2.0])
    assert_array_equal(np.asarray(history), [[1.0, 2.0]])
    with pytest.raises(TracingError, match="was about to become a numpy array"):
        trace(lambda x: np.asarray(mm.stop_gradient(x), float), np.ones(2))


def test_an_array_is_never_an_output() -> None:
    for call in (
        lambda x: np.exp(x, out=np.zeros(2)),
        lambda x: np.exp(np.ones(2), out=x),
        lambda x: np.sum(x, out=np.zeros(())),
        lambda x: np.concatenate([x, x], out=np.zeros(4)),
    ):
        with pytest.raises(TracingError, match="an Array is never written to; drop out="):
            inside(call, np.ones(2))


def test_an_array_is_not_stored_in_a_numpy_array() -> None:
    def store(x: Any) -> Any:
        buffer = np.zeros(2)
        buffer[...] = x
        return buffer

    def store_element(x: Any) -> Any:
        buffer = np.zeros(2)
        buffer[0] = x[0]
        return buffer

    with pytest.raises(
        TracingError, match=r"x\[...\] = v of a numpy array.*collect a list of Arrays.*minimeta\.at\(x\)"
    ):
        inside(store, np.ones(2))
    with pytest.raises(TracingError, match="collect a list"):
        inside(store_element, np.ones(2))


@pytest.mark.parametrize(
    "call",
    [
        lambda x: x.T.ravel(order="K"),
        lambda x: np.ravel(x.T, "A"),
        lambda x: x.T.flatten("K"),
        lambda x: x.reshape(6, order="A"),
    ],
)
def test_an_order_of_memory_is_refused_where_it_matters(call: Function) -> None:
    with pytest.raises(ShapeError, match="depends on how the elements lie in memory"):
        inside(call, np.ones((2, 3)))
    row = np.arange(3.0).reshape(1, 3, 1)
    assert np.array_equal(inside(lambda x: x.T.ravel("K"), row), row.ravel())


@pytest.mark.parametrize("name", ["mean", "var", "std", "nansum", "nanprod", "nancumsum", "nanmean", "nanvar"])
def test_whole_numbers_are_no_dtype_of_what_is_computed_in_floats(name: str) -> None:
    with pytest.raises(DtypeError, match=r"dtype=int64: it is computed in floats; convert the result with astype"):
        inside(lambda x: getattr(np, name)(x, dtype=np.int64), np.ones(3))
    assert inside(lambda x: getattr(np, name)(x, dtype=np.float32), np.ones(3)).dtype == np.float32


@pytest.mark.parametrize(
    "call",
    [
        lambda x: np.maximum.accumulate(x, dtype=np.float32),
        lambda x: np.maximum.accumulate(x, axis=1, dtype=np.int64),
        lambda x: np.subtract.reduce(x, dtype=np.float32),
        lambda x: np.subtract.reduce(x, axis=1, initial=2),
        lambda x: np.subtract.reduce(x[:0], initial=2),
        lambda x: np.logaddexp.reduce(x[:0], axis=0),
        lambda x: np.logaddexp.reduceat(x, [0, 1, 0], dtype=np.float32),
        lambda x: np.bitwise_or.reduce(x > 1.0, initial=0),
        lambda x: np.add.reduce(x.astype(np.int16), dtype=np.uint8),
        lambda x: np.add.reduceat(x.astype(np.int16), [0, 1], dtype=np.int16),
        lambda x: np.multiply.reduce(x, dtype=bool),
        lambda x: np.add.accumulate(x.astype(np.int8), dtype=bool),
        lambda x: np.add.accumulate(x.astype(np.int8)),
        lambda x: np.multiply.accumulate(x, dtype=np.int8),
        np.logical_and.accumulate,
        lambda x: np.divide.accumulate((9 * x).astype(np.int64)),
        lambda x: np.divide.reduce(x[:1].astype(np.int64)),
    ],
)
def test_methods_of_ufuncs_with_a_dtype_and_a_first_element(call: Function) -> None:
    x = np.array([[1.5, -2.5], [0.25, 3.5], [2.0, 1.0]])
    found, expected = mm.compile(call)(x), call(x)
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    assert np.allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("method", ["reduce", "accumulate"])
def test_a_method_of_a_ufunc_without_a_loop_of_its_dtype(method: str) -> None:
    x = np.array([1.5, 0.0])
    for dtype, ufunc in ((np.int64, np.logical_and), (None, np.bitwise_or), (None, np.equal)):
        with pytest.raises(TypeError):
            getattr(ufunc, method)(x, dtype=dtype)
        with pytest.raises(DtypeError, match=f"{ufunc.__name__} along an axis of float64"):
            inside(lambda x, ufunc=ufunc, dtype=dtype: getattr(ufunc, method)(x, dtype=dtype), x)
