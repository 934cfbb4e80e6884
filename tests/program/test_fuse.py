"""fuse: the bits of the instructions one by one, whatever the layout of operands; and few stored values."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from compiled_functions import bits_of
from drawing import share
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from numpy.typing import NDArray
from traced_functions import images

import minimeta as mm
from minimeta.kernels import native
from minimeta.program import PASSES, Traced, interpret, optimise, trace
from minimeta.program.fuse import fuse

Function = Callable[..., Any]

SHAPES = [(3,), (7, 40), (1030,), (33, 5, 40), (2, 70, 64), (5, 14, 14, 64), (2100, 3), (70, 1, 65)]
UNFUSED = tuple(name for name in PASSES if name != "fuse")

ONE: list[Function] = [mm.relu, mm.square, mm.negative, mm.exp, mm.tanh, mm.sqrt, mm.reciprocal, mm.absolute]
TWO: list[Function] = [
    lambda a, b: a + b,
    lambda a, b: a - b,
    lambda a, b: a * b,
    lambda a, b: a / b,
    lambda a, b: mm.where(a > b, a, b),
    lambda a, b: mm.where((a <= b) | (a == b), 0.5, b),
    mm.maximum,
]


def fused_steps(program: Traced) -> list[Any]:
    return [step for step in program.steps if step.primitive.name == "fused"]


@st.composite
def elementwise(draw: st.DrawFn) -> tuple[Function, list[NDArray[Any]]]:
    """Random operations on arrays of one shape and on smaller ones that are broadcast, with sums along the way."""
    shape = draw(
        st.sampled_from([(3,), (7, 40), (1030,), (33, 5, 40), (2, 70, 64), (5, 14, 14, 64), (2100, 3), (70, 1, 65)])
    )
    dtype = draw(st.sampled_from(["float32", "float64"]))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    arrays = [rng.normal(size=shape).astype(dtype) for _ in range(2)]
    for _ in range(draw(st.integers(0, 3))):
        keep = draw(st.lists(st.booleans(), min_size=len(shape), max_size=len(shape)))
        small = tuple(side if kept else 1 for side, kept in zip(shape, keep, strict=True))
        arrays.append(rng.normal(size=small[draw(st.integers(0, len(small))) :]).astype(dtype))
    steps = draw(
        st.lists(
            st.tuples(st.integers(0, len(ONE) + len(TWO) - 1), st.integers(0, 30), st.integers(0, 30)),
            min_size=1,
            max_size=14,
        )
    )
    transposed = draw(st.booleans())
    axes = draw(st.integers(1, len(shape)))

    def function(*arguments: Any) -> list[Any]:
        values = list(arguments)
        if transposed:
            values[1] = mm.transpose(mm.transpose(values[1]) * 1.5)
        long = [values[0]]
        for which, i, j in steps:
            a, b = long[i % len(long)], (long + values)[j % (len(long) + len(values))]
            long.append(ONE[which](a) if which < len(ONE) else TWO[which - len(ONE)](a, b))
        last = long[-1]
        total = mm.sum(last * long[len(long) // 2], tuple(range(axes)))
        return [last, total, mm.mean(mm.square(last - total), tuple(range(axes)), keepdims=True), long[len(long) // 2]]

    return function, arrays


@given(elementwise())
def test_the_bits_are_those_of_single_instructions(drawn: tuple[Function, list[NDArray[Any]]]) -> None:
    function, arrays = drawn
    traced = trace(function, *arrays)
    program = optimise(traced)
    program.check()
    expected = bits_of(optimise(traced, UNFUSED), arrays)
    assert bits_of(program, arrays) == expected
    assert bits_of(program, arrays, threads=7) == expected


@given(elementwise())
@share(0.2)
def test_fused_programs_interpret_and_print_as_numpy(drawn: tuple[Function, list[NDArray[Any]]]) -> None:
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


#: Operations that are computed as one where one of them feeds another, of one operand or two.
SIMPLE = {
    "add": 2, "subtract": 2, "multiply": 2, "relu_slope": 2, "sigmoid_slope": 2, "tanh_slope": 2,
    "negative": 1, "square": 1, "relu": 1, "divide": 2, "exp": 1,
}  # fmt: skip


@pytest.mark.skipif(native is None, reason="there are no kernels")
@pytest.mark.parametrize("outer", SIMPLE)
@pytest.mark.parametrize("inner", SIMPLE)
def test_two_operations_at_once_have_the_bits_of_one_after_the_other(outer: str, inner: str) -> None:
    assert native
    special = np.array([0.0, -0.0, 1.0, -1.5, np.inf, -np.inf, np.nan, 1e-41, 3e38, 0.1], np.float32)
    a, b, c = (x.ravel() for x in np.meshgrid(special, special, special))
    arrays = [np.tile(x, 3)[:2570] for x in (a, b, c)]
    for place in range(SIMPLE[outer]):
        for repeated in (0, 1, 2):  # which operand is one number, or none
            inputs = [x[:1] if i == repeated - 1 else x for i, x in enumerate(arrays)]
            needed = list(range(SIMPLE[inner] + SIMPLE[outer] - 1))
            before, inside = needed[:place], needed[place : place + SIMPLE[inner]]
            after = needed[place + SIMPLE[inner] :]
            operands = (*before, 3, *after)
            results = []
            for wanted in ((4,), (3, 4)):  # what others need too is an operation of its own
                builder = native.Builder(True, False)
                given = [builder.add_operand("float32", x.shape) for x in inputs]
                long = [builder.add_step("broadcast_to", (i,), {"shape": (2570,)})[0] for i in given]
                steps = ((inner, tuple(inside)), (outer, operands))
                values = builder.add_fused(tuple(long), steps, wanted, ())
                results.append(builder.build(builder.own((values[-1],))).run(list(inputs))[0])
            for y in results:
                y[np.isnan(y)] = np.nan  # of two NaNs, which one goes on is open
            assert results[0].tobytes() == results[1].tobytes()


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
def test_a_choice_has_the_bits_of_the_comparison_before_it(dtype: str) -> None:
    """What is compared has a dtype of its own, and any operand may be one number or the statistic of a row."""
    special = np.array([0.0, -0.0, 1.0, -1.5, np.inf, -np.inf, np.nan, 1e-41, 3e38, 0.6], np.float32)
    x, y = (np.tile(each.ravel(), 30)[:2570] for each in np.meshgrid(special, special))
    with np.errstate(invalid="ignore"):
        compared = x.astype(dtype).reshape(257, 10)

    def function(compared: Any, y: Any) -> Any:
        rows = np.max(y, 1, keepdims=True)
        choices = ((1, y, np.float32(0)), (compared[:1], np.float32(0.5), y), (0, rows, y))
        return [-np.where(compared > limit, one, other) for limit, one, other in choices]

    arrays = [compared, np.ascontiguousarray(y.reshape(257, 10))]
    traced = trace(function, *arrays)
    assert fused_steps(optimise(traced))
    found = bits_of(optimise(traced), arrays)
    assert found == bits_of(optimise(traced, UNFUSED), arrays)
    for bits, wanted in zip(found, function(*arrays), strict=True):
        assert_array_equal(np.frombuffer(bits, np.float32).reshape(wanted.shape), wanted)


def normalised(x: Any, offset: Any) -> Any:
    deviation = x - mm.mean(x, (0, 1, 2), keepdims=True)
    return mm.relu(deviation / mm.sqrt(mm.mean(mm.square(deviation), (0, 1, 2), keepdims=True) + 1e-3) + offset)


def test_what_is_cheap_is_computed_again_and_not_stored() -> None:
    """The deviation serves the variance and the result: neither a mean of squares nor a second array is written."""
    x, offset = np.zeros((5, 14, 14, 64), np.float32), np.zeros(64, np.float32)
    program = optimise(trace(normalised, x, offset))
    long = [step for step in fused_steps(program) if step.body.operands[0].shape == x.shape]
    assert [[form.shape for form in step.results] for step in long] == [[(1, 1, 1, 64)], [x.shape]]


@pytest.mark.parametrize("images", [5, 600])
def test_what_is_long_is_not_read_where_its_sources_are(images: int) -> None:
    """An activation is needed as an array, and its derivative needs its sign: a long one is computed again for that."""
    rng = np.random.default_rng(0)
    shapes = [(images, 8, 8, 16), (16,), (16,)]
    arguments = [rng.normal(size=shape).astype(np.float32) for shape in shapes]

    def function(x: Any, scale: Any, offset: Any) -> Any:
        return mm.sum(mm.square(mm.transpose(mm.relu(x * scale + offset))))

    traced = trace(mm.grad(function, argnums=(1, 2)), *arguments)
    program = optimise(traced)
    program.check()
    backward = [step.primitive.name for step in fused_steps(program)[-1].body.steps]
    assert "relu_slope" in backward and ("relu" in backward) == (images == 600)
    assert bits_of(program, arguments) == bits_of(optimise(traced, UNFUSED), arguments)


@pytest.mark.parametrize("rows", [5, 3000])
def test_a_long_exponential_is_not_kept_for_the_derivative(rows: int) -> None:
    """The slopes read the gates' operands anyway; the gates, then left with one reader, are computed where it is."""
    rng = np.random.default_rng(0)
    gate, cell = (rng.normal(size=(rows, 100)).astype(np.float32) for _ in range(2))

    def function(gate: Any, cell: Any) -> Any:
        return mm.sum(mm.square(mm.transpose(mm.sigmoid(gate) * mm.tanh(cell))))

    traced = trace(mm.grad(function, argnums=(0, 1)), gate, cell)
    program = optimise(traced)
    program.check()
    stored = [[step.body.steps[i - 2].primitive.name for i in step.body.outputs] for step in fused_steps(program)[:1]]
    assert stored == [["multiply"] if rows == 3000 else ["sigmoid", "tanh", "multiply"]]
    assert bits_of(program, [gate, cell]) == bits_of(optimise(traced, UNFUSED), [gate, cell])


def test_a_meta_gradient_stores_fewer_long_values() -> None:
    traced = images()
    program = trace(traced.function, *traced.arguments)

    def stored(program: Traced) -> int:
        computed = [step for step in program.steps if step.primitive.elementwise or step.body is not None]
        return sum(form.shape == (2, 8, 8, 3) for step in computed for form in step.results)

    assert stored(optimise(program)) < stored(optimise(program, UNFUSED)) / 2


def test_one_operation_stays_an_instruction() -> None:
    line = trace(lambda x: mm.sum(mm.exp(x)), np.ones(3000))  # more than a block, and too few for several
    assert fuse(line) is line


def test_a_short_sum_joins_what_it_adds_up() -> None:
    x = np.linspace(-1, 1, 12).reshape(4, 3)

    def function(x: Any) -> Any:
        y = mm.exp(x)
        return [y, mm.mean(y, 0, keepdims=True), mm.sum(y)]

    program = optimise(trace(function, x))
    assert [len(step.body.steps) for step in fused_steps(program)] == [2]  # exp, and the mean
    assert bits_of(program, [x]) == bits_of(optimise(trace(function, x), UNFUSED), [x])


@pytest.mark.parametrize("width", [17, 64])
def test_results_that_no_cache_holds_have_the_same_bits(width: int) -> None:
    x = np.random.default_rng(0).normal(size=(4_600_000 // width, width)).astype(np.float32)

    def function(x: Any) -> Any:
        y = mm.exp(x)
        z = y * 2.0 + x
        return [mm.transpose(z)[1], z > y, mm.sum(z * x, 0), mm.sum(mm.transpose(y)), y]

    traced = trace(function, x)
    program = optimise(traced)
    assert max(len(step.results) for step in fused_steps(program)) >= 3
    expected = bits_of(optimise(traced, UNFUSED), [x])
    assert bits_of(program, [x]) == bits_of(program, [x], threads=7) == expected


def test_the_mean_of_no_rows_is_not_a_number() -> None:
    x = np.ones((0, 3), np.float32)
    for function in (
        lambda x: mm.mean(x * 2.0 - 1.0, 0),
        lambda x: (mm.sum(mm.exp(x) * x, 0), mm.mean(x + 1.0, (0, 1))),
    ):
        traced = trace(function, x)
        assert bits_of(optimise(traced), [x]) == bits_of(traced, [x])


@pytest.mark.parametrize("shape", [(1030, 100), (20, 54, 100), (2500, 3), (1100, 7), (700, 256)])
def test_a_result_may_be_summed_too(shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)

    def function(x: Any) -> Any:
        y = mm.relu(x) * 1.5
        return y, mm.sum(y, tuple(range(len(shape) - 1))), mm.sum(y * x, tuple(range(len(shape) - 1)))

    traced = trace(function, x)
    (group,) = optimise(traced).steps
    assert len(group.results) == 3
    fused = optimise(traced)
    assert bits_of(fused, [x]) == bits_of(fused, [x], threads=7) == bits_of(optimise(traced, UNFUSED), [x])


def test_what_reads_a_sum_runs_after_it() -> None:
    def function(x: Any) -> Any:
        y = mm.exp(x)
        return (y - mm.sum(y, 0, keepdims=True)) * y  # of the same shape, where there is one row

    x = np.linspace(-1, 1, 3).reshape(1, 3)
    program = optimise(trace(function, x))
    program.check()
    assert bits_of(program, [x]) == bits_of(optimise(trace(function, x), UNFUSED), [x])


def test_a_result_may_be_an_operand_of_its_group() -> None:
    x = np.linspace(-1, 1, 9000).reshape(-1, 9).astype(np.float32)

    def function(x: Any) -> Any:
        y = mm.exp(x)
        return [y, y * 2.0 + x, mm.sum(y * x, 0), mm.transpose(y)]

    program = optimise(trace(function, x))
    assert len(fused_steps(program)) == 1
    assert bits_of(program, [x]) == bits_of(optimise(trace(function, x), UNFUSED), [x])


def test_what_updates_small_arrays_is_one_step() -> None:
    shapes = [(1, 40), (40,), (40, 40), (1, 12), (), (12, 40), (2049,), (0, 3)]
    arrays = [np.asarray(np.random.default_rng(i).normal(size=shape)) for i, shape in enumerate(shapes)]

    def function(*parameters: Any) -> list[Any]:
        return [p - 0.1 * mm.tanh(p) for p in parameters]

    program = optimise(trace(function, *arrays))
    together = [{y.shape for y in step.results} for step in fused_steps(program)]
    assert {len(shapes) for shapes in together} == {1, 6}  # those of one block at most, but not of none
    assert bits_of(program, arrays) == bits_of(optimise(trace(function, *arrays), UNFUSED), arrays)


def test_a_step_size_is_there_before_the_moments_that_it_scales() -> None:
    p, g, m = np.random.default_rng(0).normal(size=(3, 50, 60))

    def function(p: Any, g: Any, m: Any, t: Any) -> tuple[Any, Any, Any]:
        t, m = t + 1.0, 0.9 * m + 0.1 * g
        return p - m * (0.01 / (1.0 - 0.9**t)), m, t  # written after the moment

    arguments = [p, g, m, np.asarray(3.0)]
    program = optimise(trace(function, *arguments))
    assert [[y.shape for y in step.results] for step in fused_steps(program)] == [[(), ()], [p.shape, p.shape]]
    assert bits_of(program, arguments) == bits_of(optimise(trace(function, *arguments), UNFUSED), arguments)


@st.composite
def short(draw: st.DrawFn) -> tuple[Function, list[NDArray[Any]]]:
    """Random operations on arrays of several shapes, most of them one block at most."""
    shape = st.lists(st.sampled_from([1, 2, 3, 5, 8, 17, 40]), min_size=0, max_size=3)
    shapes = draw(st.lists(shape, min_size=2, max_size=6))
    dtypes = draw(st.lists(st.sampled_from(["float32", "float64"]), min_size=len(shapes), max_size=len(shapes)))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    arrays = [rng.normal(size=size).astype(dtype) for size, dtype in zip(shapes, dtypes, strict=True)]
    chosen = draw(st.lists(st.integers(0, 11), min_size=len(arrays), max_size=len(arrays)))

    def function(*arguments: Any) -> list[Any]:
        results = []
        for which, x in zip(chosen, arguments, strict=True):
            y = ONE[which % len(ONE)](x) * x
            if which % 3 == 0:
                y = mm.transpose(y) + mm.transpose(x) * 0.5
            if which % 4 == 0 and y.ndim > 0:
                y = y - mm.sum(y, 0, keepdims=True)  # is broadcast, and may be a group's sum
            results += [y, y > 0.0] if which % 2 else [y]
        return results

    return function, arrays


@given(short())
def test_short_arrays_of_any_shapes_have_the_bits_of_single_instructions(
    drawn: tuple[Function, list[NDArray[Any]]],
) -> None:
    function, arrays = drawn
    traced = trace(function, *arrays)
    program = optimise(traced)
    program.check()
    assert bits_of(program, arrays) == bits_of(optimise(traced, UNFUSED), arrays)


@pytest.mark.skipif(native is None, reason="there are no kernels")
def test_wrong_groups_are_refused() -> None:
    assert native
    builder = native.Builder(True, False)
    x, y = builder.add_operand("float32", (4, 300)), builder.add_operand("float32", (4, 3))
    with pytest.raises(ValueError, match="must have equal shapes"):
        builder.add_fused((x, y), (("add", (0, 1)),), (2,), ())
    with pytest.raises(ValueError, match="must have equal shapes"):
        builder.add_fused((y, builder.add_operand("float32", (4,))), (("exp", (0,)),), (), ((2, 1, False, False),))
    with pytest.raises(ValueError, match="sum is not elementwise"):
        builder.add_fused((x,), (("sum", (0,)),), (1,), ())
    with pytest.raises(ValueError, match="number of operands"):
        builder.add_fused((x,), (("add", (0,)),), (1,), ())
    with pytest.raises(ValueError, match="at most 256"):
        builder.add_fused((x,), (("exp", (0,)),), (), ((1, 1, False, False),))
    with pytest.raises(ValueError, match="at least one operand"):
        builder.add_fused((), (), (), ())
