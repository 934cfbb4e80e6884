"""Operators of Arrays compute what they compute on numpy arrays."""

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from drawing import Drawing, drawings, share
from every_way import assert_as_numpy
from hypothesis import given

Function = Callable[..., Any]


# Operators


@pytest.mark.parametrize(
    "symbol",
    [
        operator.add,
        operator.sub,
        operator.mul,
        operator.truediv,
        operator.pow,
        operator.eq,
        operator.ne,
        operator.lt,
        operator.le,
        operator.gt,
        operator.ge,
    ],
)
@pytest.mark.parametrize(
    "other",
    [2.0, 3, True, np.float64(1.5), np.array(2.5), np.array([0.5, 1.0, 2.0]), np.ones((2, 1)), np.array([1, 2, 3])],
    ids=repr,
)
def test_binary_operators_on_either_side(symbol: Function, other: Any) -> None:
    x = np.array([0.5, 1.0, 3.0])
    assert_as_numpy(lambda x: symbol(x, other), x)
    assert_as_numpy(lambda x: symbol(other, x), x)


@pytest.mark.parametrize("symbol", [operator.neg, operator.pos, operator.abs])
def test_unary_operators(symbol: Function) -> None:
    assert_as_numpy(symbol, np.array([-1.5, 0.0, 2.0]))


def test_products_on_either_side() -> None:
    matrix = np.arange(6.0).reshape(2, 3)
    assert_as_numpy(lambda x: x @ matrix.T, matrix)
    assert_as_numpy(lambda x: matrix.T @ x, matrix)
    assert_as_numpy(lambda x: x @ [1.0, 2.0, 3.0], matrix)
    assert_as_numpy(lambda x: [1.0, 2.0] @ x, matrix)


def test_logical_operators() -> None:
    x = np.array([-1.0, 0.0, 1.0])
    mask = np.array([True, False, True])
    assert_as_numpy(lambda x: (x > 0) & mask, x)
    assert_as_numpy(lambda x: mask & (x > 0), x)
    assert_as_numpy(lambda x: (x > 0) | ~(x < 0), x)
    assert_as_numpy(lambda x: mask | (x > 0), x)


# Both ways of running at once: a method may not know more than its operation


@share(0.3)
@given(drawing=drawings())
def test_expressions_of_many_operators(drawing: Drawing) -> None:
    x = drawing.array((drawing.integer(1, 4), 3))

    def function(x: Any) -> Any:
        centred = x - x.mean(axis=0, keepdims=True)
        scaled = centred / np.sqrt(np.var(x, axis=0) + 1.0)
        product = scaled @ scaled.T
        return (product[0, ::-1] * 2.0 - 1.0).sum() + np.max(np.abs(x))

    assert_as_numpy(function, x)
