"""The executor: the bits of the kernels run one by one, whatever memory values share and whatever else runs."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from drawing import samples, share, spread
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from numpy.typing import NDArray
from random_programs import programs

import minimeta as mm
from minimeta import nn
from minimeta.autodiff.apply import apply
from minimeta.autodiff.primitive import Primitive, registry
from minimeta.autodiff.steps import Program, by_kernel, run
from minimeta.errors import IndexingError
from minimeta.kernels import native
from minimeta.learners import MAML
from minimeta.program import PASSES, optimise, trace
from minimeta.program.executor import Executable
from minimeta.program.fuse import fuse
from minimeta.tasks.task import Examples, Task

Function = Callable[..., Any]
Leaves = list[NDArray[Any]]

compiled = pytest.mark.skipif(native is None, reason="there are no kernels")
"""For what only the extension promises."""


def contiguous(*arguments: Any) -> Leaves:
    return [np.array(leaf, order="C") for leaf in mm.tree.flatten(arguments)[0]]


def bits(values: Leaves) -> list[tuple[Any, ...]]:
    return [(y.shape, y.dtype, y.tobytes()) for y in map(np.asarray, values)]


def one_by_one(program: Program, leaves: Leaves) -> list[tuple[Any, ...]]:
    return bits(run(program, leaves, by_kernel))


def executables(program: Program) -> list[Executable]:
    return [
        Executable(program, reuse_memory=reuse, poison=poison) for reuse in (True, False) for poison in (True, False)
    ]


def assert_replays(program: Program, leaves: Leaves) -> None:
    """Replayed in every way, twice, the program gives the bits of its kernels, in memory of its own."""
    before, expected = bits(leaves), one_by_one(program, leaves)
    for executable in executables(program):
        assert executable.native == (native is not None)
        for _ in range(2):
            outputs = executable.run(leaves)
            assert bits(outputs) == expected
            for i, y in enumerate(outputs):
                assert y.flags.writeable and y.flags.c_contiguous and y.flags.owndata
                assert not any(np.shares_memory(y, other) for other in [*leaves, *outputs[:i]])
                y.fill(1)  # what is done to a result is not seen by the next run
    assert bits(leaves) == before


@given(programs(), st.sampled_from(["float32", "float64"]))
def test_a_random_program_keeps_its_bits(function: Function, dtype: str) -> None:
    x = spread(np.random.default_rng(0), (2, 3)).astype(dtype)
    assert_replays(trace(mm.value_and_grad(function), x), [x])


@pytest.mark.parametrize("name", sorted(registry))
@given(data=st.data())
@share(0.2)
def test_every_primitive_has_a_step(name: str, data: st.DataObject) -> None:
    operands, params = data.draw(samples(registry[name]))
    assert_replays(trace(lambda *x: apply(registry[name], *x, **params), *operands), contiguous(operands))


def regression(rng: np.random.Generator) -> tuple[Function, Any]:
    """The sinusoid's meta-loss and its gradient."""
    learner = MAML(nn.mlp((1, 40, 40, 1)), nn.mean_squared_error, inner_learning_rate=0.01, inner_steps=1)
    x = rng.uniform(-5, 5, (2, 10, 1)).astype(np.float32)
    task = Task(Examples(x[0], np.sin(x[0])), Examples(x[1], np.sin(x[1])))
    return learner.meta_gradient, (learner.init(rng), task)


def classification(downsampling: Any) -> Function:
    """The same for images, normalised over the batch."""

    def problem(rng: np.random.Generator) -> tuple[Function, Any]:
        model = nn.conv4((16, 16, 1), 3, filters=4, downsampling=downsampling)
        learner = MAML(model, nn.cross_entropy, inner_learning_rate=0.4, inner_steps=2)
        images = rng.normal(size=(2, 3, 16, 16, 1)).astype(np.float32)
        labels = np.array([2, 0, 1])
        task = Task(Examples(images[0], labels), Examples(images[1], labels))
        return learner.meta_gradient, (learner.init(rng), task)

    return problem


def pooling(rng: np.random.Generator) -> tuple[Function, Any]:
    def loss(x: Any) -> Any:
        return mm.sum(mm.square(mm.max_pool(x, 2)) * mm.average_pool(x, 2))

    return mm.grad(lambda x: mm.sum(mm.sin(mm.grad(loss)(x)))), (rng.normal(size=(2, 5, 6, 3)),)


def indexing(rng: np.random.Generator) -> tuple[Function, Any]:
    def loss(x: Any, rows: Any) -> Any:
        return mm.sum(mm.tanh(x[rows]) * mm.scatter_add(np.zeros(x.shape), rows, x[rows])[rows])

    return mm.value_and_grad(loss), (rng.normal(size=(4, 3)), np.array([3, 0, 0, -1]))


@pytest.mark.parametrize(
    "problem", [regression, classification("stride"), classification("max_pool"), pooling, indexing]
)
def test_a_whole_computation_keeps_its_bits(problem: Function) -> None:
    function, arguments = problem(np.random.default_rng(1))
    assert_replays(trace(function, *arguments), contiguous(*arguments))


# Outputs and memory


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


# Threads


@pytest.fixture
def threads() -> Iterator[Callable[[int], None]]:
    before = mm.get_num_threads()
    yield mm.set_num_threads
    mm.set_num_threads(before)


def test_threads_do_not_change_bits(threads: Callable[[int], None]) -> None:
    x = spread(np.random.default_rng(2), (300, 700))
    executable = Executable(trace(mm.value_and_grad(lambda x: mm.sum(mm.tanh(x @ mm.transpose(x)) ** 2)), x))
    found = []
    for n in (1, 2, 7):
        threads(n)
        found.append(bits(executable.run([x])))
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("poison", [False, True])
def test_one_program_runs_in_several_threads_at_once(poison: bool) -> None:
    function, (parameters, task) = regression(np.random.default_rng(3))
    program = trace(function, parameters, task)
    executable = Executable(program, poison=poison)
    tasks = [mm.tree.map(lambda x, i=i: x + np.float32(i), task) for i in range(8)]
    operands = [contiguous(parameters, each) for each in tasks] * 20
    with ThreadPoolExecutor(7) as pool:
        found = list(pool.map(lambda leaves: bits(executable.run(leaves)), operands))
    assert found == [one_by_one(program, leaves) for leaves in operands]


# What it refuses


def test_an_index_out_of_range_is_the_eager_error() -> None:
    table, rows = np.arange(3.0), np.array([0, 3])
    executable = Executable(trace(lambda x, rows: mm.exp(x)[rows], table, rows))
    with pytest.raises(IndexingError) as eager:
        mm.take(table, rows, 0)
    with pytest.raises(IndexingError) as replayed:
        executable.run([table, rows])
    assert str(replayed.value).splitlines()[0] == str(eager.value).splitlines()[0]
    assert_array_equal(executable.run([table, rows - 1])[0], np.asarray(mm.exp(table))[rows - 1])  # and it runs on


@compiled
@pytest.mark.parametrize(
    ("leaves", "problem"),
    [
        ([], "1 operands, not 0"),
        ([np.zeros((3, 2))], "equal shapes"),
        ([np.zeros((2, 3), np.float32)], "same dtype"),
        ([np.zeros((3, 2)).T], "contiguous"),
        ([[1.0]], "must be a numpy array"),
    ],
)
def test_what_was_not_traced_never_reaches_a_kernel(leaves: Any, problem: str) -> None:
    with pytest.raises((ValueError, TypeError), match=problem):
        Executable(trace(mm.sin, np.zeros((2, 3)))).run(leaves)


def test_a_primitive_without_a_kernel_is_a_call_of_python_in_the_program() -> None:
    sine = registry["sin"]
    own = Primitive("own_sine", sine.shape, np.sin, sine.rules, sine.sample, np.sin, elementwise=True)
    program = trace(lambda x: (apply(own, mm.exp(x) + 1.0) * 2.0 + x, x), np.zeros(3))
    executable, x = Executable(fuse(program)), np.arange(3.0)
    assert executable.native == (native is not None)
    assert "own_sine" in [instruction.name for instruction in executable.instructions]
    found = executable.run([x])
    assert bits(found) == one_by_one(program, [x])
    assert not np.shares_memory(found[1], x)


@pytest.mark.skipif(native is None, reason="Python runs the steps")
@pytest.mark.parametrize("keeps", [True, False])
def test_a_call_has_the_memory_of_the_one_before_it_if_nothing_of_that_was_kept(keeps: bool) -> None:
    kept: list[Any] = []
    places: list[int] = []

    def sine(x: Any) -> Any:
        places.append(x.ctypes.data)
        if keeps:
            kept.append(x[1:])
        x.shape = (1, *x.shape)  # of its own array
        return np.sin(x[0])

    of = registry["sin"]
    own = Primitive("own_sine", of.shape, sine, of.rules, of.sample, sine, elementwise=True)
    executable = Executable(trace(lambda x: apply(own, mm.exp(x)), np.zeros(3)))
    for x in (np.arange(3.0), np.ones(3), np.zeros(3)):
        assert_array_equal(executable.run([x])[0], np.sin(np.exp(x)))
    assert len(set(places)) == (3 if keeps else 1)
    if keeps:
        assert_array_equal(kept, np.exp([[1.0, 2.0], [1.0, 1.0], [0.0, 0.0]]))
