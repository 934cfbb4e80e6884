"""Passes: every subset leaves every bit of a result as it was, and a program that is well typed and no longer."""

import dataclasses
from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from drawing import share, spread
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from random_programs import programs
from traced_functions import TRACED, Example, sinusoid

import minimeta as mm
from minimeta.autodiff.apply import apply
from minimeta.autodiff.primitive import registry
from minimeta.autodiff.steps import Program, by_kernel
from minimeta.errors import ConfigurationError
from minimeta.program import Traced, trace
from minimeta.program.executor import Executable
from minimeta.program.passes import GROUPING, PASSES, deduplicate, eliminate, fold, optimise, simplify
from minimeta.program.place import GROUPS

Function = Callable[..., Any]

EXACT = [name for name in PASSES if name not in GROUPING]  # those that say which operations remain
SUBSETS = [
    (*subset, *groups)
    for count in range(len(EXACT) + 1)
    for subset in combinations(EXACT, count)
    for groups in ((), GROUPING)
]

SPECIAL = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 5e-324, -5e-324, 1.5, -1e300, 1.7976931348623157e308, 1 / 3])
with np.errstate(over="ignore"):
    SPECIALS = [SPECIAL, np.concatenate([SPECIAL.astype(np.float32), np.array([1e-45, 3e38], np.float32)])]


def assert_same_bits(found: Any, expected: Any) -> None:
    (ones, structure), (others, expected_structure) = mm.tree.flatten(found), mm.tree.flatten(expected)
    assert structure == expected_structure
    for one, other in zip(ones, others, strict=True):
        assert (one.shape, one.dtype) == (other.shape, other.dtype)
        same = one == other if one.dtype.kind != "f" else np.where(np.isnan(other), np.isnan(one), one == other)
        assert np.all(same)
        if one.dtype.kind == "f":
            assert np.all((np.signbit(one) == np.signbit(other)) | np.isnan(other))


def names(program: Program) -> list[str]:
    return [step.primitive.name for step in program.steps]


def simplified(function: Function, *arguments: Any) -> Traced:
    """The program of a function, simplified alone and rid of what that left unused."""
    program = optimise(trace(function, *arguments), ("simplify", "eliminate"))
    program.check()
    return program


# Every subset of passes


@share(0.3)
@given(function=programs(), subset=st.sampled_from(SUBSETS))
def test_a_random_program_keeps_its_bits(function: Function, subset: tuple[str, ...]) -> None:
    for dtype in (np.float64, np.float32):
        x = spread(np.random.default_rng(5), (2, 3), "unit").astype(dtype)
        for traced in (function, mm.value_and_grad(function), mm.grad(lambda x: mm.sum(mm.grad(function)(x) ** 2))):
            program = trace(traced, x)
            shorter = optimise(program, subset)
            shorter.check()
            assert length(optimise(program, shortening(subset))) <= length(program)
            for point in (x, x * np.array([np.inf, -0.0, np.nan], dtype)):
                assert_same_bits(shorter.run(by_kernel, point), program.run(by_kernel, point))


def shortening(subset: tuple[str, ...]) -> tuple[str, ...]:
    """The passes but the one that writes down copies, which a concatenate makes by itself."""
    return tuple(name for name in subset if name != "place")


def length(program: Program) -> int:
    """How many steps there are, inside of bodies and out; a group that one kernel runs is one."""
    bodies = [step.body for step in program.steps if step.body is not None and step.primitive not in GROUPS]
    return len(program.steps) + sum(map(length, bodies))


@pytest.mark.parametrize("traced", TRACED, ids=lambda traced: traced.name)
def test_a_function_of_the_library_keeps_its_bits(traced: Example) -> None:
    program = trace(traced.function, *traced.arguments)
    program.check()
    expected = program.run(by_kernel, *traced.arguments)
    assert_same_bits(expected, traced.function(*traced.arguments))
    lengths = {}
    for subset in SUBSETS:
        shorter = optimise(program, subset)
        shorter.check()
        assert_same_bits(shorter.run(by_kernel, *traced.arguments), expected)
        lengths[subset] = length(optimise(program, shortening(subset)))
    for subset in SUBSETS:
        if "fuse" not in subset:  # which puts together what it is given: of less it may make one group more
            assert all(lengths[subset] <= lengths[fewer] for fewer in SUBSETS if set(fewer) <= set(subset))
    assert lengths[PASSES] < lengths[()] == length(program)


@share(0.3)
@given(function=programs(), order=st.permutations([eliminate, fold, deduplicate, simplify] * 2))
def test_each_pass_is_usable_alone_and_in_any_order(function: Function, order: list[Any]) -> None:
    x = spread(np.random.default_rng(5), (2, 3), "unit")
    program = trace(mm.grad(function), x)
    shorter = program
    for single in order:
        shorter = single(shorter)
        shorter.check()
    assert_same_bits(shorter.run(by_kernel, x), program.run(by_kernel, x))


def test_nothing_is_left_to_find() -> None:
    for traced in TRACED[:3]:
        program = optimise(trace(traced.function, *traced.arguments))
        assert optimise(program) is program
        assert [single(program) for single in (eliminate, fold, deduplicate, simplify)] == [program] * 4


def test_a_second_order_step_is_a_short_program() -> None:
    traced = sinusoid(2)
    program = trace(traced.function, *traced.arguments)
    assert len(program.steps) == 127
    assert len(optimise(program, EXACT).steps) == 115
    assert len(optimise(program).steps) < 90


def test_an_unknown_pass_is_named() -> None:
    with pytest.raises(ConfigurationError, match="unknown passes melt; there are eliminate, fold"):
        optimise(trace(mm.sin, 1.0), ("fold", "melt"))


# Eliminate


def test_eliminate_keeps_operands_and_numbers_the_rest_anew() -> None:
    program = trace(lambda x, y, z: [mm.sin(y * np.arange(3.0)), mm.exp(x) + np.ones(3)], *[np.ones(3)] * 3)
    shorter = eliminate(dataclasses.replace(program, outputs=program.outputs[:1]))
    assert len(shorter.operands) == 3
    assert [step.primitive.name for step in shorter.steps] == ["multiply", "sin"]
    (table,) = shorter.constants
    assert np.array_equal(table, np.arange(3.0))
    assert shorter.steps[0].operands == (1, 3)
    assert shorter.outputs == (5,)


# Fold


def _of_constants(function: Function, *constants: Any) -> Program:
    """A program that computes with constants alone, as tracing would not write it."""
    program = trace(function, *constants)
    return dataclasses.replace(program, operands=(), constants=(*constants, *program.constants))


def test_fold_computes_what_is_made_of_constants() -> None:
    x = np.array([1.0, -2.0, np.nan])
    line = _of_constants(lambda x: mm.sum(mm.exp(x) * 2.0), x)
    folded = fold(line)
    assert folded.steps == ()
    assert np.array_equal(eliminate(folded).constants, [mm.sum(mm.exp(x) * 2.0)], equal_nan=True)


def test_fold_makes_no_large_constants() -> None:
    line = _of_constants(lambda x: mm.broadcast_to(x, (1000, 1000)), np.arange(1000.0))
    assert fold(line) is line
    summed = _of_constants(lambda x: mm.exp(mm.sum(x, 0)), np.ones((1000, 1000)))
    assert fold(summed).steps == ()
    squared = _of_constants(mm.square, np.ones((1000, 1000)))
    assert fold(squared).steps == ()


def test_a_region_of_constants_stays() -> None:
    line = _of_constants(mm.rematerialize(mm.sin), np.ones(3))
    assert [step.primitive.name for step in line.steps] == ["rematerialize"]
    assert fold(line) is line


# Deduplicate


def test_equal_steps_and_constants_become_one() -> None:
    def function(x: Any) -> Any:
        return [mm.sin(x) * np.arange(3.0), mm.sin(x) * np.arange(3.0), mm.sum(x, 0), mm.sum(x, 0, keepdims=True)]

    program = optimise(trace(function, np.ones(3)), ("deduplicate",))
    assert names(program) == ["sin", "multiply", "sum", "sum"]
    assert len(program.constants) == 1
    assert program.outputs[0] == program.outputs[1]


def test_constants_that_differ_in_a_bit_stay_two() -> None:
    tables = [np.zeros(2), -np.zeros(2), np.zeros(2, np.float32), np.zeros((2, 1)), np.zeros(2, np.int64), np.zeros(2)]
    program = optimise(trace(lambda x: tables, 1.0), ("deduplicate",))
    assert len(program.constants) == 5


def test_a_region_is_computed_as_often_as_it_is_written() -> None:
    @mm.rematerialize
    def region(x: Any) -> Any:
        return mm.sin(x) * 2.0

    program = optimise(trace(lambda x: [region(x), region(x), mm.sin(x) * 2.0], np.ones(3)), EXACT)
    assert sorted(names(program)) == ["multiply", "rematerialize", "rematerialize", "sin"]
    # Even if it is the very same one.
    first = next(step for step in program.steps if step.primitive.name == "rematerialize")
    twice = Program(program.operands, (), (first, first), (1, 2))
    assert deduplicate(twice) is twice


@pytest.mark.parametrize(("one", "other"), [(0.0, -0.0), (1, 1.0), (0, False), ((1, 2.0), (1.0, 2))])
def test_params_that_python_alone_calls_equal_are_not(one: Any, other: Any) -> None:
    def said(x: Any, k: Any) -> Any:
        return np.array([ord(letter) for letter in repr(k).ljust(20)[:20]], np.float64) * x

    shout = mm.primitive(shape=lambda x, k: mm.Form((20,), x.dtype), rules=())(lambda x, *, k: said(x, k))

    def both(x: Any) -> Any:
        return shout(x, k=one), shout(x, k=other), shout(x, k=one)

    assert_same_bits(mm.compile(both)(2.0), both(2.0))
    assert len(optimise(trace(both, 2.0), ("deduplicate",)).steps) == 2


# Simplify


IDENTITIES: dict[str, Function] = {
    "x * 1": lambda x: x * 1.0,
    "1 * x": lambda x: 1.0 * x,
    "x / 1": lambda x: x / 1.0,
    "x ** 1": lambda x: mm.power(x, 1.0),
    "-(-x)": lambda x: mm.negative(-x),
    "copy": mm.copy,
    "alias": lambda x: apply(registry["alias"], x),
    "stop_gradient": mm.stop_gradient,
    "astype": lambda x: mm.astype(x, x.dtype),
    "where true": lambda x: mm.where(np.ones(x.shape, bool), x, mm.exp(x)),
    "where false": lambda x: mm.where(np.zeros(x.shape, bool), mm.exp(x), x),
    "reshape": lambda x: mm.reshape(mm.reshape(x, (1, x.shape[0])), x.shape),
    "transpose": lambda x: mm.transpose(mm.transpose(mm.reshape(x, (1, x.shape[0]))))[0],
    "broadcast_to": lambda x: apply(registry["broadcast_to"], x, shape=x.shape),
    "pad": lambda x: apply(registry["pad"], x, shape=x.shape, starts=(0,), steps=(1,)),
    "slice": lambda x: apply(registry["slice"], x, starts=(0,), sizes=x.shape, steps=(1,)),
}


@pytest.mark.parametrize("identity", IDENTITIES)
def test_an_identity_is_its_operand_to_the_bit(identity: str) -> None:
    function = IDENTITIES[identity]
    for x in SPECIALS:
        program = simplified(function, x)
        assert len(program.steps) <= (2 if identity == "transpose" else 0)
        assert_same_bits(program.run(by_kernel, x), function(x))
        assert_same_bits(program.run(by_kernel, x), x)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x + 0.0,
        lambda x: x - x,
        lambda x: x * 0.0,
        lambda x: x / x,
        lambda x: x**0.0,
        lambda x: mm.where(x > 0.0, x, x),
        lambda x: (x + 1.0) - 1.0,
        lambda x: x[::-1],
        lambda x: apply(registry["pad"], x, shape=x.shape, starts=(x.shape[0] - 1,), steps=(-1,)),
        lambda x: mm.astype(mm.astype(x, "float32"), "float64"),
    ],
)
def test_what_is_no_identity_stays(function: Function) -> None:
    program = trace(function, SPECIAL)
    assert names(optimise(program, EXACT)) == names(program)


@pytest.mark.parametrize("turned", [(False, False), (True, False), (False, True), (True, True)])
@pytest.mark.parametrize("batch", [(), (3,)])
@pytest.mark.parametrize("part", [np.s_[1:4, :], np.s_[:, 5:2:-2], np.s_[2:4, :], np.s_[:, 5:]])
def test_of_a_product_only_what_is_taken_is_computed(turned: Any, batch: Any, part: Any) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(*batch, 5, 4)), rng.normal(size=(*batch, 4, 7))
    x, y = (np.ascontiguousarray(np.swapaxes(f, -1, -2)) if turn else f for f, turn in zip((x, y), turned, strict=True))

    def function(x: Any, y: Any) -> Any:
        product = apply(registry["matmul"], x, y, transpose_x=turned[0], transpose_y=turned[1])
        return product[(..., *part)]

    program = simplified(function, x, y)
    assert names(program) == ["slice", "matmul"]
    for passes in (EXACT, PASSES):
        assert_same_bits(mm.compile(function, passes=passes)(x, y), function(x, y))


@pytest.mark.parametrize(
    "taken",
    [
        lambda z: (z[1:2], z[2:3]),  # twice
        lambda z: z[1:3, 1:3],  # of both factors
        lambda z: z[1:2],  # a product by a vector is summed in another order
        lambda z: z[:, 3:],
        lambda z: (z[:2], z),
        lambda z: mm.split(z, 2),
        lambda z: [(same[1:2], mm.sin(same)) for same in [z * 1.0]],  # twice, by another name
        lambda z: (z * 1.0)[1:2] + mm.sum(z),
    ],
)
def test_a_product_that_is_taken_otherwise_stays(taken: Function) -> None:
    x, y = np.arange(16.0).reshape(4, 4), np.cos(np.arange(16.0)).reshape(4, 4)

    def function(x: Any, y: Any) -> Any:
        return taken(x @ y)

    program = simplified(function, x, y)
    assert names(program).index("matmul") < names(program).index("slice")
    assert_same_bits(mm.compile(function)(x, y), function(x, y))


def test_a_part_of_a_split_is_a_slice() -> None:
    program = simplified(lambda x: mm.split(x, 3)[1] * 2.0, np.arange(6.0))
    assert names(program) == ["slice", "multiply"]


def test_movements_of_movements_are_one() -> None:
    x = np.arange(24.0).reshape(2, 3, 4)
    movements: list[tuple[Function, str]] = [
        (lambda x: mm.reshape(mm.reshape(mm.reshape(x, (4, 6)), (24,)), (3, 8)), "reshape"),
        (lambda x: mm.transpose(mm.transpose(mm.transpose(x, (1, 2, 0)), (1, 0, 2)), (0, 2, 1)), "transpose"),
        (lambda x: mm.broadcast_to(mm.broadcast_to(x, (5, 2, 3, 4)), (6, 5, 2, 3, 4)), "broadcast_to"),
    ]
    for function, name in movements:
        program = simplified(function, x)
        assert names(program) == [name]
        assert_same_bits(program.run(by_kernel, x), function(x))


def test_a_custom_derivative_is_what_it_computes() -> None:
    @mm.custom_vjp
    def spread(x: Any, y: Any) -> Any:
        return [x - y, mm.square(x - y), 2.0, y]

    @spread.rule
    def _(cotangents: Any, results: Any, x: Any, y: Any) -> Any:
        return cotangents[1] * results[0], None

    free = np.array([1.0, 2.0])

    def function(x: Any) -> Any:
        a, b, c, d = spread(x * free, mm.sin(x))
        return mm.sum(a * c + b) + mm.sum(spread(d, a)[1])

    x = np.array([0.3, -0.7])
    for traced in (function, mm.grad(function), mm.grad(lambda x: mm.sum(mm.grad(function)(x) ** 2))):
        program = simplified(traced, x)
        assert "custom_vjp" in names(trace(traced, x)) and "custom_vjp" not in names(program)
        program.check()
        assert_same_bits(program.run(by_kernel, x), traced(x))
        assert_same_bits(mm.compile(traced)(x), traced(x))


@pytest.mark.parametrize("strides", [2, 1])
def test_a_cotangent_is_masked_before_a_pooling_puts_it_into_images(strides: int) -> None:
    """Where windows overlap, what is put is a sum, which may be 0 with another sign."""
    x = np.random.default_rng(0).normal(size=(2, 6, 7, 3))
    traced = trace(mm.grad(lambda x: mm.sum(mm.square(mm.max_pool(mm.relu(x), 2, strides)))), x)
    program = optimise(traced, EXACT)
    program.check()
    (mask,) = (step for step in program.steps if step.primitive.name == "relu_slope")
    assert mask.form.shape == ((2, 3, 3, 3) if strides == 2 else x.shape)
    assert Executable(program).run([x])[0].tobytes() == Executable(traced).run([x])[0].tobytes()


def test_a_cotangent_is_masked_where_a_pooling_is_written_twice() -> None:
    def loss(x: Any, w: Any) -> Any:
        return mm.sum(mm.sin(mm.max_pool(mm.relu(x), 2)) * w) + mm.sum(mm.sin(mm.max_pool(mm.relu(x), 2)))

    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(1, 4, 4, 2)), rng.normal(size=(1, 2, 2, 2))
    program = optimise(trace(mm.grad(loss), x, w))
    program.check()
    y = np.maximum(x, 0).reshape(1, 2, 2, 2, 2, 2).max((2, 4))
    expected = np.repeat(np.repeat(np.cos(y) * (w + 1), 2, 1), 2, 2)
    expected *= (x == np.repeat(np.repeat(y, 2, 1), 2, 2)) & (x > 0)
    assert_allclose(Executable(program).run([x, w])[0], expected, rtol=1e-13)
