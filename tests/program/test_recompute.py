"""recompute: what is kept for long and cheap to compute is computed twice, and no bit changes."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from compiled_functions import bits_of
from hypothesis import given
from hypothesis import strategies as st

import minimeta as mm
from minimeta.autodiff.steps import Program
from minimeta.program import PASSES, optimise, recompute, trace
from minimeta.program.executor import Executable

KEPT = tuple(name for name in PASSES if name != "recompute")


@pytest.fixture(autouse=True, scope="module")
def _short_values() -> Iterator[None]:
    """Arrays of some elements count as long."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recompute, "_LONG", 64)
        patch.setattr(recompute, "_MUCH", 64)
        yield


def names(program: Program) -> Counter[str]:
    return Counter(step.primitive.name for step in program.steps)


def second_order(activation: Any) -> Any:
    """Return the meta-gradient of two steps on a small support set, by the loss of a large query set."""

    def loss(w: Any, x: Any) -> Any:
        return mm.mean(mm.square(mm.max_pool(activation(mm.conv2d(x, w)), 2)))

    def meta_loss(w: Any, support: Any, query: Any) -> Any:
        for _ in range(2):
            w = w - 0.1 * mm.grad(loss)(w, support)
        return loss(w, query)

    return mm.grad(meta_loss)


@pytest.mark.parametrize(
    ("activation", "computed"),
    [(mm.relu, {"conv2d": 2, "relu": 2}), (mm.square, {"conv2d": 2, "pool_put": 2})],
    ids=["relu", "square"],
)
def test_no_inner_step_keeps_its_first_layer(activation: Any, computed: dict[str, int]) -> None:
    rng = np.random.default_rng(0)
    operands = [rng.normal(size=shape) for shape in ((3, 3, 1, 4), (2, 8, 8, 1), (20, 8, 8, 1))]
    traced = trace(second_order(activation), *operands)
    kept, again = optimise(traced, KEPT), optimise(traced)
    again.check()
    assert names(again) - names(kept) == Counter(computed)
    layer = 2 * 8 * 8 * 4 * 8
    assert Executable(kept).arena_bytes - Executable(again).arena_bytes > 1.9 * layer
    assert bits_of(again, operands) == bits_of(kept, operands)


OPERATIONS: list[Any] = [
    mm.maximum,
    mm.subtract,
    lambda x, y: mm.relu(x),
    lambda x, y: mm.sort(x),
    lambda x, y: x.T,
    lambda x, y: mm.reshape(mm.reshape(x, (4, 64)), (16, 16)),
]
draws = st.lists(st.tuples(st.sampled_from(OPERATIONS), st.integers(0, 9), st.integers(0, 9)), min_size=4, max_size=10)


@given(before=draws, after=draws)
def test_random_programs_keep_their_bits(before: list[Any], after: list[Any]) -> None:
    """Among what is read before and after the peak are views, and values that are read by what is computed again."""

    def function(x: Any) -> Any:
        values = [x]

        def add(drawn: list[Any]) -> None:
            for operation, i, j in drawn:
                values.append(operation(values[-1 - i % len(values)], values[-1 - j % len(values)]))

        add(before)
        much = mm.sort(mm.concatenate(8 * [values[-1]]))
        add(after)
        return values[-1], mm.sum(much)

    x = np.random.default_rng(0).normal(size=(16, 16))
    traced = trace(function, x)
    again = optimise(traced, ("recompute",))
    again.check()
    assert bits_of(again, [x]) == bits_of(traced, [x])


def kept_over_much(function: Any) -> Any:
    """Read a value again after a sum over something longer."""

    def whole(x: Any, w: Any) -> Any:
        y = function(x)
        much = mm.sum(mm.sort(mm.concatenate([mm.sort(y) for _ in range(8)]) @ w))
        return mm.sort(y * much)

    return whole


@pytest.mark.parametrize(
    ("function", "is_cheap"),
    [
        (lambda x: mm.maximum(x, x.T), True),
        (lambda x: mm.exp(mm.maximum(x, x.T)), False),  # takes longer than to read it
        (lambda x: x @ x, False),
        (lambda x: mm.sort(x) * mm.sort(x.T), False),  # its operands would be kept
    ],
)
def test_only_what_is_cheap_and_of_little_is_computed_again(function: Any, is_cheap: bool) -> None:
    x, w = np.random.default_rng(0).normal(size=(2, 16, 16))
    traced = trace(kept_over_much(function), x, w)
    kept, again = optimise(traced, KEPT), optimise(traced)
    assert len(again.steps) - len(kept.steps) == is_cheap
    assert bits_of(again, [x, w]) == bits_of(kept, [x, w])


def test_what_is_read_while_much_is_in_use_is_kept() -> None:
    def function(x: Any) -> Any:
        y = mm.maximum(x, x.T)
        long = mm.sort(mm.concatenate([mm.sort(y), x]))
        return mm.sort(long + mm.concatenate([y, y]))

    traced = trace(function, np.random.default_rng(0).normal(size=(16, 16)))
    assert len(optimise(traced).steps) == len(optimise(traced, KEPT).steps)


def test_a_long_chain_of_values_is_computed_again() -> None:
    def loss(w: Any, x: Any) -> Any:
        for _ in range(1_000):
            x = mm.conv2d(x, w)
        return mm.sum(x * x)

    x, w = np.random.default_rng(0).normal(size=(1, 6, 6, 1)), np.full((1, 1, 1, 1), 1.001)
    traced = trace(mm.grad(loss), w, x)
    program = optimise(traced)
    assert names(program)["conv2d"] > 1_400
    power = 2 * 1_000 * 1.001**1_999 * np.sum(x * x)
    np.testing.assert_allclose(Executable(program, poison=True).run([w, x])[0].item(), power, rtol=1e-10)
