"""Identities: a sum of pads that fill the whole is a concatenate, and 0, which makes 0 of -0."""

import itertools
from typing import Any

import numpy as np
import pytest
from compiled_functions import bits_of
from drawing import share
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

import minimeta as mm
from minimeta.autodiff.apply import apply
from minimeta.autodiff.primitive import registry
from minimeta.autodiff.steps import Program, by_kernel
from minimeta.program import optimise, trace

SPECIAL = np.array([-0.0, 0.0, np.nan, -np.inf, 1.5, -2.5, 0.1, -0.0, 5e-324, np.inf, -0.0, 3.0])


def padded(x: Any, size: int, start: int, step: int = 1) -> Any:
    """The rows of x in the rows ``start``, ``start + step``, ... of an array with so many."""
    shape = (size, *x.shape[1:])
    return apply(registry["pad"], x, shape=shape, starts=(start, 0)[: x.ndim], steps=(step, 1)[: x.ndim])


def names(program: Program) -> list[str]:
    return [step.primitive.name for step in program.steps]


@share(0.05)
@given(cuts=st.sets(st.integers(1, 11), min_size=1), ndim=st.integers(1, 2), seed=st.integers(0, 99))
def test_pads_that_fill_the_whole_are_put_together(cuts: set[int], ndim: int, seed: int) -> None:
    x = SPECIAL if ndim == 1 else np.stack([SPECIAL, SPECIAL[::-1]], 1)

    def function(x: Any) -> Any:
        rng = np.random.default_rng(seed)  # the order in which they are added
        sums = [padded(-x[start:stop], 12, start) for start, stop in itertools.pairwise([0, *sorted(cuts), 12])]
        while len(sums) > 1:
            one, other = (sums.pop(rng.integers(len(sums))) for _ in range(2))
            sums.append(one + other)
        return sums[0]

    program = optimise(trace(function, x), ("simplify", "eliminate"))
    assert [name for name in names(program) if name not in ("slice", "negative")] == ["concatenate", "add"]
    for found in (program.run(by_kernel, x), mm.compile(function)(x)):
        assert_array_equal(found, function(x))
        assert not np.any(np.signbit(found) & (found == 0))


@pytest.mark.parametrize(
    "function",
    [
        lambda x: padded(x[:3], 6, 0) + padded(x[2:5], 6, 2),  # a gap at the end
        lambda x: padded(x[:3], 6, 0) + padded(x[:3], 6, 1),  # they overlap, and there is a gap
        lambda x: padded(x[:3], 6, 0, 2) + padded(x[3:], 6, 1, 2),
        lambda x: [same + padded(x[3:], 6, 3) + mm.sin(same) for same in [padded(x[:3], 6, 0)]],
        lambda x: padded(x[:3], 6, 0) + x,
    ],
)
def test_other_sums_of_pads_stay(function: Any) -> None:
    x = SPECIAL[:6]
    program = trace(function, x)
    assert names(optimise(program, ("simplify", "eliminate"))) == names(program)
    assert_array_equal(mm.compile(function)(x), function(x))


def test_the_gradient_of_a_function_of_parts_is_written_in_place() -> None:
    def loss(flat: Any) -> Any:
        w, b = mm.reshape(flat[:8], (4, 2)), flat[8:]
        return mm.sum(mm.tanh(np.ones((3, 4)) @ w + b) ** 2)

    flat = np.linspace(-1, 1, 10)
    gradient = mm.grad(loss)
    program = optimise(trace(gradient, flat))
    assert "concatenate_in_place" in names(program) and "pad" not in names(program)
    assert_array_equal(mm.compile(gradient)(flat), gradient(flat))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_row_of_a_product_by_a_vector_is_not_one_of_two_vectors(dtype: Any) -> None:
    """That would be summed in another order."""
    rng = np.random.default_rng(0)
    functions: list[Any] = [lambda x, y: (x @ y)[2:3], lambda x, y: (y.T @ x.T)[:, 2:3]]
    for terms in (3, 33, 129):
        x, y = rng.normal(size=(5, terms)).astype(dtype), rng.normal(size=(terms, 1)).astype(dtype)
        for function in functions:
            program = trace(function, x, y)
            assert bits_of(optimise(program), [x, y]) == bits_of(program, [x, y])
