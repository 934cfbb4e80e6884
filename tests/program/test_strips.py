"""strips: the bits of whole arrays, whatever reads what; and one pass over a long array."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from compiled_functions import bits_of
from drawing import share
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

import minimeta as mm
from minimeta import nn
from minimeta.program import PASSES, interpret, optimise, strips, trace

Function = Callable[..., Any]

UNFUSED = tuple(name for name in PASSES if name != "fuse")


@pytest.fixture(autouse=True, scope="module")
def _short_strips() -> Iterator[None]:
    """Arrays of some dozen elements count as long, and a strip has a few of their rows."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(strips, "_LONG", 64)
        patch.setattr(strips, "_STRIP", 160)
        patch.setattr(strips, "_LEAST", 8)
        yield


@st.composite
def by_rows(draw: st.DrawFn) -> tuple[Function, list[NDArray[Any]]]:
    """Random operations on arrays of one shape, on their rows, across them, and on smaller arrays."""
    shape = draw(st.sampled_from([(12, 7), (30, 3), (7, 11), (4, 6, 5), (2, 3, 4, 5), (6, 40)]))
    kept = draw(st.integers(1, len(shape) - 1))
    axes = tuple(range(kept, len(shape)))
    dtype = draw(st.sampled_from(["float32", "float64"]))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    smaller = [(*shape[:kept], *(1 for _ in axes)), shape[-1:], (*(1 for _ in shape[:-1]), shape[-1]), ()]
    arrays = [rng.normal(size=size).astype(dtype) for size in (shape, shape, *smaller)]
    chosen = draw(
        st.lists(st.tuples(st.integers(0, 11), st.integers(0, 30), st.integers(0, 30)), min_size=3, max_size=14)
    )
    outputs = draw(st.lists(st.integers(0, 30), min_size=1, max_size=3))

    def function(*arguments: Any) -> list[Any]:
        values, long = list(arguments), list(arguments[:2])
        for which, i, j in chosen:
            a, b = long[i % len(long)], values[j % len(values)]
            operations: list[Callable[[Any, Any], Any]] = [
                lambda a, b: a + b,
                lambda a, b: a * b,
                lambda a, b: mm.exp(a * 0.1),
                lambda a, b: a - mm.mean(a, axes, keepdims=True),
                lambda a, b: a * mm.reshape(mm.sum(a, axes), (*shape[:kept], *(1 for _ in axes))),
                lambda a, b: mm.softmax(a, axes),
                lambda a, b: mm.max(a, axes, keepdims=True),
                lambda a, b: mm.var(a, axes, keepdims=True),
                lambda a, b: a + mm.sum(a, 0, keepdims=True),
                lambda a, b: mm.log_softmax(a, -1),
                lambda a, b: mm.transpose(mm.transpose(a) * 2.0),
                lambda a, b: mm.where(a > b, a, 0.0),
            ]
            found = operations[which](a, b)
            values.append(found)
            if found.shape == shape:
                long.append(found)
        last = long[-1]
        return [last, *(values[i % len(values)] * 1.0 for i in outputs), mm.sum(last * long[outputs[0] % len(long)], 0)]

    return function, arrays


@given(by_rows())
@share(0.5)
def test_the_bits_are_those_of_whole_arrays(drawn: tuple[Function, list[NDArray[Any]]]) -> None:
    function, arrays = drawn
    traced = trace(function, *arrays)
    program = optimise(traced)
    program.check()
    expected = bits_of(optimise(traced, UNFUSED), arrays)
    assert bits_of(program, arrays) == expected
    assert bits_of(program, arrays, threads=7) == expected


@given(by_rows())
@share(0.1)
def test_strips_interpret_and_print_as_numpy(drawn: tuple[Function, list[NDArray[Any]]]) -> None:
    function, arrays = drawn
    traced = trace(function, *arrays)
    program = optimise(traced)
    scope: dict[str, Any] = {}
    exec(program.to_python(), scope)
    with np.errstate(all="ignore"):
        written = scope["program"](*arrays)
        for y, other, wanted in zip(interpret(program, *arrays), written, interpret(traced, *arrays), strict=True):
            assert_array_equal(y, wanted)
            assert_array_equal(other, wanted)


def softmax(x: Any) -> Any:
    weights = np.exp(x - np.max(x, -1, keepdims=True))
    return weights / np.sum(weights, -1, keepdims=True)


@pytest.mark.parametrize("function", [nn.layer_norm, softmax, mm.log_softmax])
def test_one_step_reads_a_long_array_and_writes_the_result(function: Function) -> None:
    """A strip is what a step outside reads or writes; the rest of the program is views."""
    x = np.random.default_rng(0).normal(size=(60, 7))
    program = optimise(trace(lambda x: function(x * 2.0), x))
    computing = [step for step in program.steps if not step.primitive.view]
    assert [step.primitive.name for step in computing] == ["vmap"]
    assert bits_of(program, [x]) == bits_of(optimise(trace(lambda x: function(x * 2.0), x), UNFUSED), [x])


def test_a_pooled_activation_is_never_whole() -> None:
    """Each image is activated and pooled before the next one; the derivative computes the activation again."""
    rng = np.random.default_rng(0)
    x, offset = rng.normal(size=(5, 7, 6, 3)), rng.normal(size=3)

    def activated(x: Any, offset: Any) -> Any:
        return mm.max_pool(mm.relu(x + offset), 2)

    computing = [step for step in optimise(trace(activated, x, offset)).steps if not step.primitive.view]
    assert [step.primitive.name for step in computing] == ["vmap"]
    traced = trace(mm.grad(lambda x, offset: mm.sum(mm.square(activated(x, offset))), (0, 1)), x, offset)
    program = optimise(traced)
    program.check()
    stored = [form.size for step in program.steps if not step.primitive.view for form in step.results]
    assert sum(size >= x.size for size in stored) == 1
    assert bits_of(program, [x, offset]) == bits_of(optimise(traced, UNFUSED), [x, offset])


def test_a_derivative_sums_over_rows_from_what_it_reads() -> None:
    """The cotangents of scale and offset are sums over rows, whose terms are computed again and not stored."""
    rng = np.random.default_rng(0)
    x, g, scale, offset = (rng.normal(size=shape) for shape in ((60, 7), (60, 7), (7,), (7,)))

    def loss(x: Any, scale: Any, offset: Any, g: Any) -> Any:
        return mm.sum(nn.layer_norm(x, scale=scale, offset=offset) * g)

    program = optimise(trace(mm.grad(loss, (0, 1, 2)), x, scale, offset, g))
    stored = [form.shape for step in program.steps if not step.primitive.view for form in step.results]
    assert sum(np.prod(shape) == x.size for shape in stored) == 1
    assert bits_of(program, [x, scale, offset, g]) == bits_of(
        optimise(trace(mm.grad(loss, (0, 1, 2)), x, scale, offset, g), UNFUSED), [x, scale, offset, g]
    )


def test_a_strip_computes_nothing_that_nobody_reads() -> None:
    """What is likely of a softmax is asked in the forward strip, and again in the one of the derivative."""
    x = np.random.default_rng(0).normal(size=(60, 7))
    program = optimise(trace(mm.grad(lambda x, w: mm.sum((mm.softmax(x) @ w) ** 2)), x, np.ones((7, 3))))
    bodies = [step.body for step in program.steps if step.primitive.name == "vmap" and step.body]
    assert len(bodies) == 2
    for body in bodies:
        read = {*body.outputs, *(i for step in body.steps for i in step.operands)}
        results = {number + place for number, step in body.numbered_steps() for place in range(len(step.results))}
        assert results <= read


def test_sides_without_divisors_and_short_rows_stay_whole() -> None:
    assert strips._strip((12, 7), 1, 8) == (2,)
    assert strips._strip((2, 3, 4, 5), 3, 8) == (1, 1, 4)
    assert strips._strip((5, 2, 2, 5), 3, 8) == (1, 2, 2)
    assert strips._strip((9973, 4), 1, 1) is None


def test_a_constant_of_one_number_for_each_row_is_cut_into_strips() -> None:
    """Its strips differ, though none of it is written out."""
    x = np.random.default_rng(0).normal(size=(8, 130, 130))
    weights = np.arange(1.0, 9.0)[:, None, None] * np.ones_like(x)
    gradient = mm.compile(mm.grad(lambda x: mm.sum(mm.log_softmax(x, (1, 2)) * weights)))
    likely = np.exp(x) / np.sum(np.exp(x), (1, 2), keepdims=True)
    assert np.allclose(gradient(x), weights - likely * np.sum(weights, (1, 2), keepdims=True), rtol=1e-9, atol=1e-9)
