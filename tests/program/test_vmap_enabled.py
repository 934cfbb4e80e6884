"""vmap(enabled=False): the function itself runs for each task, with the same bits; and what vmap leaves behind."""

import contextlib
import gc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from drawing import share, spread
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from random_programs import programs

import minimeta as mm
from minimeta.errors import DtypeError, ShapeError

Function = Callable[..., Any]


def interacting(x: Any, w: Any) -> Any:
    """Of operations that numpy computes with other roundings."""
    return mm.sum(np.exp(x @ w) ** 3 / 3) + (x @ x) ** 3 - np.sum(np.tanh(x * 0.3)) / 7.0


@share(0.3)
@given(function=programs(), count=st.integers(1, 20), dtype=st.sampled_from([np.float32, np.float64]))
def test_without_being_enabled_it_has_the_same_bits(function: Function, count: int, dtype: Any) -> None:
    x = spread(np.random.default_rng(count), (count, 2, 3), "unit").astype(dtype)
    for f in (function, mm.grad(function)):
        for out_axes in (0, "sum"):
            expected = mm.vmap(f, out_axes=out_axes)(x)
            assert_array_equal(mm.vmap(f, out_axes=out_axes, enabled=False)(x), expected)
            assert_array_equal(mm.compile(mm.vmap(f, out_axes=out_axes, enabled=False))(x), expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("in_axes", [(0, None), (1, None), (0, 0)])
@pytest.mark.parametrize("out_axes", [0, "sum"])
def test_numpys_operators_do_not_compute_a_task_that_is_looked_at(dtype: Any, in_axes: Any, out_axes: Any) -> None:
    rng = np.random.default_rng(3)
    x, w = rng.normal(size=(19, 19)).astype(dtype), rng.normal(size=(19, 19)).astype(dtype)
    for f in (interacting, lambda x, w: x**3 * (x @ w), mm.grad(interacting), mm.grad(interacting, 1)):
        one, other = (mm.vmap(f, in_axes, out_axes, enabled=enabled) for enabled in (True, False))
        expected = one(x, w)
        assert_array_equal(other(x, w), expected)
        assert other(x, w).dtype == expected.dtype == dtype
        assert_array_equal(mm.compile(other)(x, w), expected)
        assert_array_equal(mm.compile(other, enabled=False)(x, w), expected)

        def total(x: Any, w: Any, mapped: Any) -> Any:
            return mm.sum(mm.sin(mapped(x, w)))

        gradients = [mm.grad(total, (0, 1))(x, w, mapped) for mapped in (one, other)]
        assert_allclose(gradients[1], gradients[0], rtol=1e-3 if dtype == np.float32 else 1e-11, atol=1e-4)


def test_nested_it_has_the_same_bits() -> None:
    x = np.random.default_rng(1).normal(size=(18, 17, 5)).astype(np.float32)
    f: Function = lambda x: interacting(x, x[::-1])  # noqa: E731
    results = [
        mm.vmap(mm.vmap(f, out_axes="sum", enabled=inner), out_axes="sum", enabled=outer)(x)
        for inner in (True, False)
        for outer in (True, False)
    ]
    assert results[0].dtype == np.float32
    assert_array_equal(results, results[0])


def test_a_task_that_is_looked_at_has_values() -> None:
    seen = []

    def f(x: Any, rate: Any) -> Any:
        seen.append(float(x[0]) + float(rate))
        return np.asarray(x) * rate if bool(x[0] > 0) else x * rate

    assert_array_equal(mm.vmap(f, (0, None), enabled=False)(np.array([[1.0], [-2.0]]), 0.5), [[0.5], [-1.0]])
    assert seen == [1.5, -1.5]
    scalars = mm.vmap(lambda x, rate: x * rate, (0, None), enabled=False)(np.ones(2, np.float32), 0.5)
    assert scalars.dtype == np.float32


def broken(x: Any) -> Any:
    mm.tanh(x)
    raise ValueError


@pytest.mark.parametrize(
    "transformed",
    [
        lambda: mm.vmap(mm.tanh),
        lambda: mm.vmap(mm.tanh, enabled=False),
        lambda: mm.grad(lambda x: mm.sum(mm.vmap(mm.tanh)(x))),
        lambda: mm.compile(mm.vmap(lambda x: {"a": mm.sum(x)}, out_axes={"a": "sum"})),
        lambda: mm.vmap(broken),
        lambda: mm.grad(broken),
        lambda: mm.compile(broken),
        lambda: lambda x: mm.vmap(lambda x, i: x[i])(x, np.full(3, 9)),
        lambda: mm.grad(lambda x: mm.sum(mm.rematerialize(broken)(x))),
    ],
)
def test_nothing_is_left_to_the_cycle_collector(transformed: Any) -> None:
    def once() -> None:
        with contextlib.suppress(ValueError, IndexError):
            transformed()(np.ones((3, 4)))

    once()
    gc.collect()
    gc.disable()
    try:
        once()
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_rows_of_options_may_be_arrays_and_truth_values_are_no_axes() -> None:
    x, y = np.array([1.0, 2.0]), np.array([3.0, 4.0])
    numbers: Any = np.array([0, 1])
    for f in (lambda a, b: a * b, mm.compile(lambda a, b: a * b)):
        assert_array_equal(mm.vmap(f, in_axes=np.array([0, 0]))(x, y), x * y)
        assert_array_equal(mm.grad(f, argnums=numbers)(2.0, 3.0), [3.0, 2.0])
        with pytest.raises(ShapeError, match="in_axes has True"):
            mm.vmap(f, in_axes=True)(np.ones((2, 2)), np.ones((2, 2)))
        with pytest.raises(DtypeError, match="True is neither the position nor the name"):
            mm.grad(f, argnums=True)(2.0, 3.0)
