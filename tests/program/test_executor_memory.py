"""The executor's outputs and memory: results lie apart from everything, and what is dead leaves room."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from drawing import spread
from numpy.testing import assert_array_equal
from replays import assert_replays, compiled, one_by_one

import minimeta as mm
from minimeta.autodiff.apply import apply
from minimeta.autodiff.primitive import registry
from minimeta.kernels import native
from minimeta.program import PASSES, optimise, trace
from minimeta.program.executor import Executable

Function = Callable[..., Any]


def test_an_output_has_memory_of_its_own() -> None:
    table = np.arange(3.0)

    def function(x: Any) -> Any:
        y = mm.sin(x)
        row = mm.broadcast_to(y, (2, 3))
        return x, table, y, y, row, mm.transpose(row), mm.reshape(mm.transpose(row), (2, 3)), mm.stop_gradient(x), 2.0

    assert_replays(trace(function, table), [table + 1])


@pytest.mark.parametrize(
    "view",
    [mm.transpose, lambda y: y[:, ::-1], lambda y: mm.broadcast_to(y, (2, 2, 3)), lambda y: mm.reshape(y[:, :2], (4,))],
)
def test_a_view_is_an_output_in_an_order_of_its_own(view: Function) -> None:
    x = spread(np.random.default_rng(4), (2, 3))
    assert_replays(trace(lambda x: view(mm.sin(x)), x), [x])
    assert_replays(trace(lambda x: (view(mm.sin(x)), mm.sin(x)), x), [x])


def test_nothing_in_and_nothing_out() -> None:
    assert_replays(
        trace(lambda x: (mm.sum(x, 0), mm.exp(x), mm.reshape(x, (3, 0))), np.zeros((0, 3))), [np.zeros((0, 3))]
    )
    assert_replays(trace(lambda x: (), np.zeros(2)), [np.zeros(2)])


def test_a_constant_is_not_seen_to_change() -> None:
    table = np.arange(3.0)
    executable = Executable(trace(lambda x: x + table, table))
    table[:] = np.nan
    assert_array_equal(executable.run([np.ones(3)])[0], [1.0, 2.0, 3.0])


@compiled
def test_values_share_memory_once_they_are_dead() -> None:
    def chain(x: Any) -> Any:
        for _ in range(100):
            x = mm.sin(mm.transpose(mm.stop_gradient(x)))
        return x

    program = trace(chain, np.zeros((4, 4)))
    executable = Executable(program)
    assert len(executable.instructions) == 100  # views are none
    assert executable.arena_bytes == 2 * 16 * 8  # one is read while the other is written
    assert Executable(program, reuse_memory=False).arena_bytes == 99 * 16 * 8  # the last is the output


def test_a_long_output_is_where_its_operand_was() -> None:
    def function(x: Any, w: Any, u: Any, v: Any) -> Any:
        return x @ w + u @ v

    for columns in (512, 513):  # the second has no whole number of cache lines, which a temporary has
        rng = np.random.default_rng(0)
        leaves = [rng.normal(size=shape).astype(np.float32) for shape in ((601, 16), (16, columns)) * 2]
        program = optimise(trace(function, *leaves))
        assert_replays(program, leaves)
        if native is not None:
            assert (Executable(program).arena_bytes == 0) == (columns == 512)


def test_what_a_map_sums_is_where_its_operand_was() -> None:
    def of_one(x: Any, w: Any) -> Any:
        return mm.relu(x @ w + mm.cumsum(x, 0)), mm.cumsum(x, 0)

    rng = np.random.default_rng(0)
    leaves = [rng.normal(size=shape).astype(np.float32) for shape in ((5, 16, 16), (16, 16))]
    program = optimise(trace(mm.vmap(of_one, (0, None), ("sum", 0)), *leaves))
    assert_replays(program, leaves)
    if native is not None:
        (body,) = Executable(program).bodies
        assert body.arena_bytes == 16 * 16 * 4


@compiled
def test_an_output_that_no_cache_holds_is_where_its_operand_was() -> None:
    x = np.linspace(0, 1, 1 << 22, dtype=np.float32).reshape(2, -1)
    program = optimise(trace(lambda x: mm.exp(mm.cumsum(x, 0)) * x, x))
    executable = Executable(program)
    assert executable.arena_bytes == 0
    assert_array_equal(executable.run([x])[0], mm.exp(np.cumsum(x, 0)) * x)


@compiled
def test_maps_of_equal_bodies_share_memory() -> None:
    def repeated(count: int) -> Function:
        def function(x: Any) -> Any:
            for _ in range(count):
                x = x + mm.vmap(lambda row: mm.cumsum(mm.cumsum(mm.tanh(row))))(x)
            return x

        return function

    x = np.random.default_rng(0).normal(size=(4, 1000))
    some, more = (mm.compile(repeated(count)).stats(x).arena_bytes for count in (5, 9))
    assert some == more
    assert_replays(trace(repeated(3), x), [x])


@compiled
def test_maps_for_more_and_for_fewer_tasks_share_memory() -> None:
    each = mm.vmap(lambda row: mm.cumsum(mm.cumsum(mm.tanh(row))))
    x = np.random.default_rng(0).normal(size=(7, 1000))
    one, both = mm.compile(each), mm.compile(lambda x: [each(x[:3]), each(x[3:])])
    assert both.stats(x).arena_bytes == one.stats(x).arena_bytes > 0
    assert_replays(trace(lambda x: [each(x[:3]), each(x[3:])], x), [x])


@compiled
def test_maps_of_bodies_that_only_look_equal_do_not() -> None:
    def function(x: Any) -> Any:
        return [mm.vmap(lambda row: mm.cumsum(row) * factor)(x) for factor in (0.0, -0.0)]  # noqa: B023

    zeros = mm.compile(function)(np.ones((2, 3)))
    assert [bool(np.signbit(y).any()) for y in zeros] == [False, True]


def test_a_long_program_shares_memory_as_well() -> None:
    def function(x: Any) -> Any:  # of values of many sizes, which live for up to fifty others
        values, total = [x], mm.sum(x)
        for i in range(1100):
            values.append(mm.sin(mm.broadcast_to(mm.sum(values[-1 - i * i % min(len(values), 50)]), (1 + i % 17,))))
            total = total + mm.sum(values[-1])
        return total

    x = np.arange(3.0)
    program = trace(function, x)
    assert sum(not step.primitive.view for step in program.steps) > 4096
    shared, apart = (Executable(program, reuse_memory=reuse, poison=True) for reuse in (True, False))
    assert np.array_equal(shared.run([x]), apart.run([x]))
    assert 0 < shared.arena_bytes < apart.arena_bytes / 20


@compiled
def test_parts_are_written_where_they_are_put_together() -> None:
    def joined(x: Any) -> Any:
        parts = [mm.sin(x), mm.cos(x), x]
        return mm.concatenate([mm.exp(mm.concatenate(parts)), mm.concatenate(parts[:2])]), parts[1]

    x = spread(np.random.default_rng(0), (4, 4))
    traced = trace(joined, x)
    program = optimise(traced, ("place",))
    program.check()
    # Copied are x and the part that is an output; what is part of another array already is put together by a kernel.
    done = [instruction.name for instruction in Executable(program).instructions]
    assert done == ["sin", "cos", "copy", "exp", "concatenate", "copy"]
    assert [step.primitive.name for step in program.steps] == [
        "sin", "cos", "copy", "concatenate_in_place", "exp", "concatenate", "concatenate_in_place",
    ]  # fmt: skip
    assert str(program).count("= concatenate_in_place") == 2
    assert_replays(program, [x])
    assert one_by_one(program, [x]) == one_by_one(traced, [x])


@compiled
def test_parts_are_found_in_bodies() -> None:
    def joined(x: Any) -> Any:
        both = mm.rematerialize(lambda x: (mm.sin(x), mm.concatenate([mm.cos(x), mm.exp(x)]), x))
        return mm.concatenate([*both(x), *mm.vmap(lambda x: (mm.tanh(x), mm.square(x)))(x)])

    x = spread(np.random.default_rng(0), (4, 4))
    traced = trace(joined, x)
    program = optimise(traced, ("place",))
    done = [instruction.name for instruction in Executable(program).instructions]
    assert done == ["sin", "cos", "exp", "vmap", "copy"]  # of x alone, which is an operand
    assert_replays(program, [x])
    assert one_by_one(program, [x]) == one_by_one(traced, [x])


@pytest.mark.parametrize(
    "joined",
    [
        lambda x: mm.concatenate([mm.sin(x), mm.cos(x)], 1),  # not one after another
        lambda x: mm.concatenate([x, mm.cos(x[:1])]),  # mostly copies
        lambda x: mm.concatenate([mm.sin(x)] * 2),
        lambda x: mm.concatenate([mm.transpose(mm.sin(x)), mm.cos(x)]),
        lambda x: mm.concatenate([mm.concatenate([mm.sin(x), mm.cos(x)]), mm.exp(x)])[1:3] * 2.0,
        lambda x: [mm.concatenate([y, y * 2.0]) for y in [mm.sin(x)]],
    ],
)
def test_what_is_put_together_in_any_way(joined: Function) -> None:
    x = spread(np.random.default_rng(0), (4, 4))
    traced = trace(joined, x)
    for passes in ((), ("place",), PASSES):
        program = optimise(traced, passes)
        program.check()
        assert_replays(program, [x])
        assert one_by_one(program, [x]) == one_by_one(traced, [x])


@compiled
def test_what_is_taken_of_the_largest_cells_is_taken_when_they_are_found() -> None:
    x = spread(np.random.default_rng(0), (2, 6, 6, 3))
    x[0, 0, 0, 0], x[0, 2:4, 2:4, 1], x[1, 0, 0, 0] = np.nan, -0.0, np.inf
    pooled: Function = lambda x: mm.max_pool(x, 2)  # noqa: E731
    program = optimise(trace(pooled, x))
    assert [i.name for i in Executable(program).instructions] == ["max_cell_and_take"]
    assert "= max_cell_and_take" in str(program)

    def several(x: Any) -> Any:
        window = {"window": (2, 2), "strides": (2, 2), "padding": (0, 0, 0, 0)}
        cell = apply(registry["max_cell"], x, **window)
        other = {**window, "window": (3, 2), "padding": (1, 0, 0, 0)}  # as many windows, of other cells
        taken = [
            apply(registry["pool_take"], y, cell, **params) for y, params in ((x, window), (-x, window), (x, other))
        ]
        return cell, *taken, mm.concatenate([taken[0], taken[1]])

    names = [i.name for i in Executable(optimise(trace(several, x))).instructions]
    assert names.count("max_cell_and_take") == 1 and names.count("pool_take") == 2 and "max_cell" not in names
    for function in (several, mm.grad(lambda x: mm.sum(mm.square(pooled(x))))):
        traced = trace(function, x)
        program = optimise(traced)
        program.check()
        assert_replays(traced, [x])
        assert_replays(program, [x])
        assert one_by_one(program, [x]) == one_by_one(traced, [x])
