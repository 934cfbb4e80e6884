"""Random programs: well typed, made of everything, connected, and simple once they have shrunk."""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from drawing import share
from fresh_python import run
from hypothesis import HealthCheck, find, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

import minimeta as mm
from minimeta.autodiff.primitive import registry
from minimeta.autodiff.steps import Program, by_kernel
from minimeta.program import trace
from minimeta.testing import Specimen, programs

Predicate = Callable[[Specimen], bool]


def names(program: Program) -> Iterator[str]:
    """The names of all instructions, those in regions too."""
    for step in program.steps:
        yield step.primitive.name
        if step.body is not None:
            yield from names(step.body)


def simplest(predicate: Predicate, *wanted: str, **settled: Any) -> Specimen:
    """What an example with some property shrinks to, in programs of a few primitives."""
    primitives = [registry[name] for name in (*wanted, "add", "reshape")]
    searching = settings(max_examples=5000, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    return find(programs(primitives=primitives, instructions=4, **settled), predicate, settings=searching)


def has(*wanted: str) -> Predicate:
    return lambda specimen: set(wanted) <= set(names(specimen.program))


@share(0.5)
@given(specimen=programs() | programs(order=1) | programs(order=2))
def test_a_specimen_is_a_program_and_operands_that_it_takes(specimen: Specimen) -> None:
    program = specimen.program
    specimen.program.check()
    assert [(x.shape, x.dtype) for x in specimen.operands] == [(form.shape, form.dtype) for form in program.operands]
    assert all(x.flags.c_contiguous for x in specimen.operands)
    found = specimen.program.run(by_kernel, *specimen.operands)
    forms = program.forms()
    assert [(y.shape, y.dtype) for y in found] == [(forms[i].shape, forms[i].dtype) for i in program.outputs]


@pytest.mark.parametrize("name", [name for name, primitive in registry.items() if not primitive.partial])
@share(0.1)
@given(data=st.data())
def test_every_primitive_is_drawn(name: str, data: st.DataObject) -> None:
    strategy = programs(instructions=2, primitives=[registry[name]])
    assert has(name)(data.draw(strategy.filter(has(name))))


def test_programs_are_of_many_kinds_and_connected() -> None:
    seen: Counter[str] = Counter()

    @settings(max_examples=1000)
    @given(specimen=programs())
    def look(specimen: Specimen) -> None:
        program = specimen.program
        given_values, first = len(program.operands), program.first
        seen.update(f"operand {x.dtype}" for x in program.operands)
        seen.update(f"constant {x.dtype}" for x in program.constants)
        seen.update(f"result {form.dtype}" for step in program.steps for form in step.results)
        seen.update("output " + ("operand" if i < given_values else "other") for i in program.outputs)
        seen["output twice"] += len(set(program.outputs)) < len(program.outputs)
        seen["region"] += has("rematerialize")(specimen)
        seen["map"] += has("vmap")(specimen)
        seen["uses"] += sum(len(step.operands) for step in program.steps)
        seen["uses of results"] += sum(i >= first for step in program.steps for i in step.operands)

    look()
    dtypes = ("float32", "float64", "bool", "int64")
    wanted = [f"{what} {dtype}" for what in ("operand", "constant", "result") for dtype in dtypes]
    assert not [what for what in (*wanted, "output operand", "output twice", "region", "map") if not seen[what]]
    assert seen["uses of results"] > 0.5 * seen["uses"]


# Shrinking


@pytest.mark.parametrize("name", ["matmul", "conv2d", "where", "gather", "sum"])
def test_it_shrinks_to_one_instruction_then_to_sides_of_1_then_to_simple_numbers(name: str) -> None:
    specimen = simplest(has(name), name)
    (step,) = specimen.program.steps
    assert step.primitive.name == name
    assert not specimen.program.constants
    for x in specimen.operands:
        assert x.size == 1 or name == "gather"
        assert np.all(x == (1 if x.dtype.kind == "f" else True if x.dtype == bool else 0))


def test_it_shrinks_to_the_instructions_that_matter() -> None:
    specimen = simplest(has("exp", "less"), "exp", "less")
    assert sorted(names(specimen.program)) == ["exp", "less"]


@pytest.mark.parametrize("name", ["rematerialize", "vmap"])
def test_a_region_shrinks_with_its_body(name: str) -> None:
    specimen = simplest(has(name))
    assert [step.primitive.name for step in specimen.program.steps] == [name]
    assert len(list(names(specimen.program))) == 2


def test_shapes_shrink_to_what_matters() -> None:
    def is_wide(specimen: Specimen) -> bool:
        return not has("vmap")(specimen) and any(x.ndim == 2 and x.shape[1] > 2 for x in specimen.operands)

    specimen = simplest(is_wide)
    assert len(specimen.program.steps) == 1
    assert sorted(x.shape for x in specimen.operands)[-1] == (1, 3)


# Derivatives, sizes, printing


def test_a_derivative_is_part_of_the_program() -> None:
    specimen = simplest(has("sin", "cos"), "sin", order=1)
    x, *cotangents = specimen.operands
    *values, gradient = specimen.program.run(by_kernel, *specimen.operands)
    assert len(values) == len(cotangents)
    for y in values:
        assert_array_equal(y, mm.sin(x))
    assert_array_equal(gradient, sum(cotangents) * mm.cos(x))

    twice = simplest(has("sin", "cos", "negative"), "sin", order=2)
    assert len(twice.operands) > len(specimen.operands)


def test_arrays_are_large_where_that_is_asked_for() -> None:
    specimen = simplest(lambda specimen: max((x.size for x in specimen.operands), default=0) >= 2**17, stretch=2**16)
    assert len(specimen.program.steps) == 1
    assert {x.size for x in specimen.operands} == {2**17}


def test_an_example_is_printed_with_its_regions_and_values() -> None:
    x = np.array([0.5, 0.25])
    program = trace(mm.rematerialize(lambda x: mm.sin(x) * np.array([1.0, 2.0])), x)
    printed = re.sub(r" at .*", " at LINE", repr(Specimen(program, (x,))))
    assert printed.splitlines() == [
        "program <lambda>(x: float64[2]):",
        "  # forward at LINE",
        "  %1 = rematerialize:",
        "    # constants",
        "    %1:1 = [1., 2.]: float64[2]",
        "    # forward at LINE",
        "    %1:2 = sin(x): float64[2]",
        "    %1:3 = multiply(%1:2, %1:1): float64[2]",
        "  return %1:3",
        "  x = array([0.5 , 0.25])",
    ]


# What it needs


def test_without_hypothesis_the_extra_is_named() -> None:
    program = (
        "import sys\n"
        "sys.modules['hypothesis'] = None\n"
        "import minimeta.testing\n"
        "try:\n"
        "    minimeta.testing.programs()\n"
        "except minimeta.errors.MissingExtraError as error:\n"
        "    print(error)\n"
    )
    done = run(program)
    assert done.stderr == ""
    assert done.stdout == "minimeta.testing needs hypothesis for this: pip install 'minimeta[test]'\n"
