"""A sum of scattered parts is scattered at once, and no bit of it changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minimeta as mm
from minimeta.program import optimise, trace
from minimeta.program.passes import PASSES

WITHOUT = tuple(name for name in PASSES if name != "scatters")


def scattered(function: Callable[..., Any], *operands: Any) -> int:
    """Return how many scatter_adds a program has, after its bits are found to be those without the pass."""
    found, plain = (optimise(trace(function, *operands), passes) for passes in (PASSES, WITHOUT))
    for x, y in zip(np.atleast_1d(found(*operands)), np.atleast_1d(plain(*operands)), strict=True):
        assert np.asarray(x).tobytes() == np.asarray(y).tobytes()
    return sum(step.primitive.name == "scatter_add" for step in found.steps)


def reader(*indices: Any) -> Callable[[Any], Any]:
    """Return the gradient of a sum of functions of what is read at these indices."""
    return mm.grad(lambda x: sum(np.sum(np.sin(k * x[i])) for k, i in enumerate(indices, 1)))


def test_parts_of_one_array_are_scattered_at_once() -> None:
    x = np.random.default_rng(0).normal(size=(12, 3))
    assert scattered(reader([0, 1], [1, 4], [-1, 1]), x) == 1


def test_axes_that_are_moved_are_moved_once() -> None:
    x = np.random.default_rng(0).normal(size=(3, 6, 5))
    rows, columns = np.array([0, 2, 5]), np.array([4, 4, 1])
    program = reader((slice(None), rows, columns), (slice(None), rows, columns - 1))
    assert scattered(program, x) == 1


@pytest.mark.parametrize("length", [4, 12])
def test_a_part_that_adds_twice_to_an_element_stays_apart(length: int) -> None:
    x = np.random.default_rng(0).normal(size=length)
    assert scattered(reader([0, 1], [1, 1], [2, 1, 1]), x) == 3


def test_indices_that_are_one_place_counted_from_either_end_are_twice_the_same() -> None:
    assert scattered(reader([1, -9], [0, 1]), np.linspace(0.1, 1.0, 10)) == 2


def test_more_updates_than_elements_stay_apart() -> None:
    assert scattered(reader([0, 1, 2], [2, 1, 0]), np.linspace(0.1, 1.0, 4)) == 2


def test_indices_that_are_operands_stay_apart() -> None:
    function = mm.grad(lambda x, i: np.sum(np.sin(x[i])) + np.sum(np.cos(x[i + 1])))
    assert scattered(function, np.linspace(0.1, 1.0, 9), np.array([0, 3])) == 2


@pytest.mark.parametrize("zero", [0.0, -0.0])
def test_a_part_that_is_constant_comes_first(zero: float) -> None:
    base = np.full(9, zero)
    base[4] = 2.0
    function = mm.grad(lambda x: np.sum(base * x) + np.sum(np.sin(x[np.array([4, 6, 7])]) * -zero))
    x = np.linspace(0.1, 1.0, 9)
    assert scattered(function, x) == 1
    assert "add" not in {step.primitive.name for step in optimise(trace(function, x)).steps}
