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
from random_programs import programs
from replays import Leaves, assert_replays, bits, compiled, one_by_one

import minimeta as mm
from minimeta import nn
from minimeta.autodiff.apply import apply
from minimeta.autodiff.primitive import Primitive, registry
from minimeta.errors import IndexingError
from minimeta.kernels import native
from minimeta.learners import MAML
from minimeta.program import trace
from minimeta.program.executor import Executable
from minimeta.program.fuse import fuse
from minimeta.tasks.task import Examples, Task

Function = Callable[..., Any]


def contiguous(*arguments: Any) -> Leaves:
    return [np.array(leaf, order="C") for leaf in mm.tree.flatten(arguments)[0]]


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
