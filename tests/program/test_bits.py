"""The bits contract, over random programs: however one is run, its results are the same.

NaN is one number here, and the two zeros are two.
"""

import functools
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations, product
from typing import Any

import numpy as np
import pytest
from drawing import share
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray

import minimeta as mm
from minimeta import kernels
from minimeta.autodiff.steps import Program, Step, by_reference, run
from minimeta.errors import TracingError
from minimeta.program import PASSES, interpret, optimise
from minimeta.program.executor import Executable
from minimeta.program.place import GROUPS
from minimeta.testing import Specimen, programs

Values = Sequence[NDArray[Any]]

SUBSETS = [subset for count in range(len(PASSES) + 1) for subset in combinations(PASSES, count)]

specimens = programs() | programs(order=1) | programs(order=2)
"""Programs, and those of their first and second derivatives."""

large = programs(stretch=2**10) | programs(stretch=2**10, order=1)
"""Programs of some thousand elements, in which sums are fused."""


def bits(values: Values) -> list[tuple[Any, ...]]:
    return [(y.shape, y.dtype, (np.where(np.isnan(y), np.nan, y) if is_float(y) else y).tobytes()) for y in values]


def is_float(x: NDArray[Any]) -> bool:
    return bool(x.dtype.kind == "f")


@np.errstate(all="ignore")
def one_by_one(specimen: Specimen) -> list[tuple[Any, ...]]:
    """The bits that a program's kernels give when each runs by itself."""
    return bits(specimen.program.run(alone, *specimen.operands))


def alone(step: Step, *values: Any) -> tuple[Any, ...]:
    """A step by its kernel, a body step by step, and the tasks of a vmap one after another."""
    if step.body is None:
        return (step.primitive.kernel(*values, **step.params),)
    if step.tasks is None:
        return tuple(run(step.body, values, alone))
    rows = []
    for task in range(step.tasks.count):
        mine = [np.asarray(x[task]) if way else x for x, way in zip(values, step.tasks.mapped, strict=True)]
        rows.append(run(step.body, mine, alone))
    if not rows:
        return tuple(np.zeros(form.shape, form.dtype) for form in step.results)
    columns = zip(zip(*rows, strict=True), step.tasks.summed, strict=True)
    return tuple(in_groups(column) if is_sum else np.stack(column) for column, is_sum in columns)


def in_groups(values: Values) -> NDArray[Any]:
    """A sum over neighbours, in sixteen groups at most, and then over the groups."""
    groups = [functools.reduce(np.add, group) for group in np.array_split(np.stack(values), min(len(values), 16))]
    return np.asarray(functools.reduce(np.add, groups))


# However it is run


@share(0.5)
@given(specimen=specimens)
def test_replayed_whatever_memory_values_share(specimen: Specimen) -> None:
    expected = one_by_one(specimen)
    for reuse_memory, poison in product((True, False), repeat=2):
        executable = Executable(specimen.program, reuse_memory=reuse_memory, poison=poison)
        assert executable.native == (kernels.native is not None)
        assert bits(executable.run(specimen.operands)) == expected


@share(1.5)
@given(specimen=specimens, subset=st.sampled_from(SUBSETS))
def test_made_shorter_by_any_passes(specimen: Specimen, subset: tuple[str, ...]) -> None:
    assert_made_shorter(specimen, subset)


@share(0.5)
@given(specimen=large, subset=st.sampled_from(SUBSETS))
def test_made_shorter_where_arrays_are_large(specimen: Specimen, subset: tuple[str, ...]) -> None:
    assert_made_shorter(specimen, subset)


def assert_made_shorter(specimen: Specimen, subset: tuple[str, ...]) -> None:
    expected = one_by_one(specimen)
    for passes in (subset, PASSES):
        shorter = optimise(specimen.program, passes)
        shorter.check()
        # Place writes down copies that a concatenate makes by itself.
        unplaced = optimise(specimen.program, [name for name in passes if name != "place"])
        assert length(unplaced) <= length(specimen.program)
        assert bits(Executable(shorter, poison=True).run(specimen.operands)) == expected


def length(program: Program) -> int:
    """The steps that are no views, inside of regions and out; a group is one."""
    return sum(
        1 + (step.body is not None and step.primitive not in GROUPS and length(step.body))
        for step in program.steps
        if not step.primitive.view
    )


@share(0.5)
@given(specimen=specimens)
def test_compiled_or_run_eagerly(specimen: Specimen) -> None:
    expected = one_by_one(specimen)
    for enabled in (True, False):
        assert bits(mm.compile(specimen.function, enabled=enabled)(*specimen.operands)) == expected


@pytest.fixture(scope="module")
def set_threads() -> Iterator[Callable[[int], None]]:
    before = mm.get_num_threads()
    yield mm.set_num_threads
    mm.set_num_threads(before)


@share(0.2)
@given(specimen=programs(stretch=2**14) | programs(stretch=2**14, order=1))
def test_on_any_number_of_threads(set_threads: Callable[[int], None], specimen: Specimen) -> None:
    executable = Executable(optimise(specimen.program))
    found = []
    for count in (1, 2, 7):
        set_threads(count)
        found.append(bits(executable.run(specimen.operands)))
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("level", [level for level in kernels.built() if level != kernels.level])
@share(0.5)
@given(specimen=specimens)
def test_on_any_level(level: str, specimen: Specimen) -> None:
    executable = Executable(optimise(specimen.program), level=level)
    assert executable.native
    assert bits(executable.run(specimen.operands)) == one_by_one(specimen)


# What it is


@share(0.3)
@given(specimen=specimens)
def test_it_is_well_typed_and_can_be_printed(specimen: Specimen) -> None:
    program = specimen.program
    program.check()
    assert str(program).startswith("program(")
    assert program.to_dot().startswith("digraph program {")


@share(0.5)
@given(specimen=specimens)
def test_it_is_its_references_to_rounding(specimen: Specimen) -> None:
    assert_equal_to_rounding(specimen, specimen.program.run(alone, *specimen.operands))


@share(0.5)
@given(specimen=specimens)
def test_it_is_its_source_to_rounding(specimen: Specimen) -> None:
    namespace: dict[str, Any] = {}
    try:
        exec(specimen.program.to_python(), namespace)
    except TracingError:
        assume(False)  # A primitive may have no expression in numpy.
    assert_equal_to_rounding(specimen, [np.asarray(y) for y in namespace["program"](*specimen.operands)])


@np.errstate(all="ignore")
def assert_equal_to_rounding(specimen: Specimen, values: Values) -> None:
    """Values are those of the references, where these do not depend on rounding."""
    try:
        wanted = interpret(specimen.program, *specimen.operands)
        moved = [specimen.program.run(Perturbed(seed), *specimen.operands) for seed in range(6)]
    except IndexError:
        assume(False)  # An index was computed from what is sensitive to rounding.
    for y, reference, *others in zip(values, wanted, *moved, strict=True):
        assert (y.shape, y.dtype) == (reference.shape, reference.dtype)
        found, expected, around = (np.asarray(x, np.float64) for x in (y, reference, others))
        distance = np.max(np.where(same(around, expected), 0.0, np.abs(around - expected)), axis=0)
        insensitive = distance <= 0.01 * np.abs(expected)
        tolerance = 4 * distance + float(np.finfo(np.float32).tiny)
        assert np.all(same(found, expected) | (np.abs(found - expected) <= tolerance) | ~insensitive)


class Perturbed:
    """Evaluates each step by its reference, moving every float that it takes and gives by many times its rounding.

    What then comes out differently is sensitive to rounding (Parker's Monte Carlo arithmetic), the kernels' as well.
    """

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def __call__(self, step: Step, *values: Any) -> tuple[Any, ...]:
        return tuple(map(self.moved, by_reference(step, *map(self.moved, values))))

    def moved(self, value: Any) -> NDArray[Any]:
        x = np.asarray(value)
        if not is_float(x):
            return x
        noise = 2**10 * np.finfo(x.dtype).eps * self.rng.uniform(-1, 1, x.shape)
        return np.asarray(x * (1 + noise.astype(x.dtype)))


def same(x: NDArray[Any], y: NDArray[Any]) -> Any:
    """Where two arrays are equal, NaN being equal to NaN."""
    return (x == y) | (np.isnan(x) & np.isnan(y))


@share(0.3)
@given(specimen=specimens)
def test_its_references_take_complex_numbers(specimen: Specimen) -> None:
    complexes = [x.astype(np.complex128) if is_float(x) else x for x in specimen.operands]
    expected, found = (interpret(specimen.program, *operands) for operands in (specimen.operands, complexes))
    for one, other in zip(expected, found, strict=True):
        assert one.shape == other.shape
        assert one.dtype == other.dtype or is_float(one)
