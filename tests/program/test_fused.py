"""fused: what is put into images has the bits of its kernel and is not stored; results lie where operands did."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from compiled_functions import bits_of
from drawing import share
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import minimeta as mm
from minimeta.kernels import native
from minimeta.program import optimise, trace
from minimeta.program.executor import Executable

Function = Callable[..., Any]

ACTIVATIONS: list[Function] = [mm.relu, mm.square, lambda x: x]


@pytest.fixture
def all_are_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("minimeta.program.fuse._LONG_IMAGES", 1)


@st.composite
def pooled(draw: st.DrawFn) -> tuple[Function, list[NDArray[Any]]]:
    """A gradient through a maximum over windows, which fill the images or do not, on images of more than one block."""
    window = draw(st.sampled_from([(2, 2), (1, 2), (3, 2), (17, 16)]))
    strides = draw(st.sampled_from([window, tuple(side + 1 for side in window)]))
    padding = draw(st.sampled_from([(0, 0), tuple(side - 1 for side in window)]))
    sides = [side * draw(st.integers(2, 4)) + draw(st.sampled_from([0, 0, 1])) for side in window]
    channels = draw(st.sampled_from([1, 3, 16, 19, 40]))
    images = 2049 // (sides[0] * sides[1] * channels) + draw(st.integers(1, 2))
    dtype = draw(st.sampled_from(["float32", "float64"]))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    x = rng.normal(size=(images, *sides, channels)).astype(dtype)
    scale, offset = (rng.normal(size=channels).astype(dtype) for _ in range(2))
    activation = draw(st.sampled_from(ACTIVATIONS))
    both = draw(st.booleans())

    def loss(x: Any, scale: Any, offset: Any) -> Any:
        activated = activation(x * scale + offset)
        largest = mm.max_pool(activated, window, strides, tuple((side, 0) for side in padding))
        total = mm.sum(mm.tanh(largest) * largest)
        return total + mm.sum(mm.square(mm.max_pool(activated, (1, 2)))) if both else total

    return mm.grad(loss, (0, 1, 2)), [x, scale, offset]


@given(pooled())
@share(0.2)
def test_what_a_pooling_puts_into_images_is_found_block_by_block(drawn: tuple[Function, list[NDArray[Any]]]) -> None:
    function, arrays = drawn
    traced = trace(function, *arrays)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("minimeta.program.fuse._LONG_IMAGES", 1)
        program = optimise(traced)
    program.check()
    assert bits_of(program, arrays) == bits_of(program, arrays, threads=3) == bits_of(traced, arrays)


@pytest.mark.usefixtures("all_are_long")
@pytest.mark.parametrize(("sides", "stored"), [((8, 8), 0), ((8, 9), 1)])
def test_what_fills_images_is_not_stored(sides: tuple[int, int], stored: int) -> None:
    x, scale = np.random.default_rng(0).normal(size=(5, *sides, 5)), np.float64(2)
    program = optimise(trace(mm.grad(lambda x, s: mm.sum(mm.square(mm.max_pool(mm.sin(x) * s, 2))), (0, 1)), x, scale))
    assert [step.primitive.name for step in program.steps].count("pool_put") == stored


@pytest.mark.usefixtures("all_are_long")
def test_what_is_put_into_small_images_keeps_to_groups_of_its_shape() -> None:
    rng = np.random.default_rng(0)
    x, y, z = rng.normal(size=(1, 4, 4, 3)), rng.normal(size=(1, 4, 4, 3)), rng.normal(size=5)

    def loss(x: Any, y: Any, z: Any) -> Any:
        return mm.sum(mm.square(mm.max_pool(mm.relu(x * y), 2))) + mm.sum(mm.sin(z) * z) + mm.sum(mm.tanh(y))

    traced = trace(mm.grad(loss, (0, 1, 2)), x, y, z)
    assert bits_of(optimise(traced), [x, y, z]) == bits_of(traced, [x, y, z])


@pytest.mark.usefixtures("all_are_long")
def test_what_is_put_into_images_may_be_a_result() -> None:
    a, b, c = np.random.default_rng(0).normal(size=(3, 7, 8, 8, 5))
    traced = trace(mm.grad(lambda a, b, c: mm.sum(mm.square(mm.max_pool(a + b * c, 2))), (0, 1, 2)), a, b, c)
    program = optimise(traced)
    assert bits_of(program, [a, b, c]) == bits_of(traced, [a, b, c])


@pytest.mark.skipif(native is None, reason="there are no kernels")
@pytest.mark.usefixtures("all_are_long")
def test_images_that_do_not_lie_as_they_are_written_are_copied() -> None:
    x = np.random.default_rng(0).normal(size=(9, 5, 8, 8))
    scale = np.moveaxis(x, 1, 3)

    def loss(x: Any) -> Any:
        return mm.sum(mm.square(mm.max_pool(mm.sin(mm.transpose(x, (0, 2, 3, 1))) * scale, 2)))

    traced = trace(mm.grad(loss), x)
    program = optimise(traced)
    executable = Executable(program)
    assert bits_of(program, [x]) == bits_of(traced, [x])
    assert len(executable.watch([x], check_finite=False)[1]) == len(executable.instructions)
    assert "copy" in [instruction.name for instruction in executable.instructions]


@pytest.mark.skipif(native is None, reason="there are no kernels")
@pytest.mark.parametrize("again", [False, True])
def test_a_long_result_lies_where_an_operand_was(again: bool) -> None:
    x = (np.arange(2**22) % 5 - 2).astype(np.float32)  # 16 MiB: no cache holds it

    def function(x: Any) -> Any:
        total = np.cumsum(x)
        largest = np.max(np.square(total) - total)
        return largest + np.max(total) if again else largest

    executable = Executable(optimise(trace(function, x)), poison=True)
    assert executable.run([x])[0] == function(x)
    assert executable.arena_bytes // x.nbytes == 1 + again


@pytest.mark.skipif(native is None, reason="there are no kernels")
def test_a_long_result_is_not_written_over_elements_that_are_read_later() -> None:
    """Operand and result are parts of arrays of one size, and do not begin at one place there."""
    count, more = 2**22, 2**12  # 16 MiB: no cache holds it
    x = (np.arange(count + more) % 5 - 2).astype(np.float32)

    def function(x: Any) -> Any:
        total = np.cumsum(x)[:count]
        found = np.square(total) - total
        return np.cumsum(np.concatenate([np.tanh(found[:more]), found]))

    traced = trace(function, x)
    assert bits_of(optimise(traced), [x]) == bits_of(traced, [x])
