"""batching: products of all tasks' vectors by a shared matrix, as one product of matrices."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from drawing import share
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import minimeta as mm
from minimeta.autodiff.steps import Program
from minimeta.program import trace
from minimeta.testing import check_gradients

SIDE, COUNT = 24, 5
RNG = np.random.default_rng(0)
W = RNG.normal(size=(SIDE, SIDE)) / 5
B = RNG.normal(size=SIDE)

#: Functions of a vector (and of its task's matrix) to a vector, for numpy and for minimeta.
STEPS: dict[str, Callable[[Any, Any], Any]] = {
    "by a matrix": lambda x, m: x @ W,
    "by a transposed matrix": lambda x, m: x @ W.T,
    "of a matrix": lambda x, m: W @ x,
    "as a row": lambda x, m: np.reshape(np.reshape(x, (1, SIDE)) @ W, (SIDE,)),
    "as a column": lambda x, m: np.reshape(W @ np.reshape(x, (SIDE, 1)), (SIDE,)),
    "by the task's matrix": lambda x, m: x @ m,
    "a matrix by a matrix": lambda x, m: np.sum((m * x) @ W, 0),
    "a matrix by a task's": lambda x, m: np.mean(W @ (m * x), 1),
    "tanh": lambda x, m: np.tanh(x),
    "with what is shared": lambda x, m: x * B + np.tanh(B),
    "what is shared alone": lambda x, m: x + np.tanh(W) @ B,
    "reversed": lambda x, m: x[::-1],
    "a part": lambda x, m: np.concatenate([x[3:], x[:3]]),
    "joined with what is shared": lambda x, m: np.concatenate([B[:3], x[3:]]),
    "a slope of what is joined": lambda x, m: mm.grad(lambda x: mm.sum(np.concatenate([B, np.tanh(x)]) ** 2))(x),
    "padded": lambda x, m: np.pad(x, (2, 1))[1 : SIDE + 1],
    "turned": lambda x, m: np.reshape(np.transpose(np.reshape(x, (2, SIDE // 2))), (SIDE,)),
    "repeated": lambda x, m: np.sum(np.broadcast_to(x, (3, SIDE)), 0),
    "spread": lambda x, m: x * np.sum(x),
    "chosen": lambda x, m: np.where(x > 0, x, 0.5 * x),
}


def names(program: Program) -> list[str]:
    return [step.primitive.name for step in program.steps]


@share(0.2)
@given(steps=st.lists(st.sampled_from(sorted(STEPS)), max_size=4), place=st.integers(0, 4))
def test_any_function_with_a_product_by_a_vector_is_that_of_one_task(steps: list[str], place: int) -> None:
    chain = [*steps[:place], "by a matrix", *steps[place:]]

    def function(x: Any, m: Any) -> Any:
        for step in chain:
            x = STEPS[step](x, m)
        return x, B

    def summed(x: Any, m: Any) -> Any:
        return mm.sum(mm.vmap(function)(x, m)[0] ** 2)

    x, m = RNG.normal(size=(COUNT, SIDE)), RNG.normal(size=(COUNT, SIDE, SIDE)) / 5
    found, shared = mm.vmap(function)(x, m)
    assert_allclose(found, [function(*task)[0] for task in zip(x, m, strict=True)], rtol=1e-10, atol=1e-12)
    assert_array_equal(shared, [B] * COUNT)
    gradient = mm.grad(summed)
    assert_array_equal(mm.compile(mm.vmap(function))(x, m)[0], found, strict=True)
    assert_array_equal(mm.compile(gradient)(x, m), gradient(x, m), strict=True)
    one_by_one = mm.grad(lambda x, m: mm.sum(mm.vmap(function, enabled=False)(x, m)[0] ** 2))
    assert_allclose(gradient(x, m), one_by_one(x, m), rtol=1e-9, atol=1e-11)


def test_the_products_of_all_tasks_are_one() -> None:
    x = np.ones((3, SIDE))
    for function in (lambda x: np.tanh(x @ W), lambda x: W @ x, lambda x: W.T @ np.exp(x)):
        program = trace(mm.vmap(function), x)
        assert names(program).count("matmul") == 1 and "vmap" not in names(program)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x @ W[:, :1],  # too small to be worth it
        lambda x: np.outer(x, x) @ W,  # matrices by a matrix are products already
        mm.rematerialize(lambda x: x @ W),
    ],
)
def test_other_functions_run_for_each_task(function: Any) -> None:
    assert "vmap" in names(trace(mm.vmap(function), np.ones((3, SIDE))))


def test_joins_and_the_cuts_that_are_their_slopes_are_of_all_tasks() -> None:
    def slope(x: Any) -> Any:
        return mm.grad(lambda x: mm.sum(np.tanh(np.stack([x, x[::-1]]).reshape(2 * SIDE)[SIDE:] @ W)))(x)

    assert "vmap" not in names(trace(mm.vmap(slope), np.ones((3, SIDE))))


def test_a_sum_over_tasks_runs_for_each_task() -> None:
    assert names(trace(mm.vmap(lambda x: x @ W, out_axes="sum"), np.ones((3, SIDE)))) == ["vmap"]


def test_gradients_through_what_is_batched() -> None:
    def function(w: Any, x: Any) -> Any:
        return mm.vmap(lambda x: np.tanh(np.tanh(x @ w) @ w.T))(x)

    check_gradients(function, W, RNG.normal(size=(2, SIDE)), order=2)
