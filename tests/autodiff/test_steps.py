"""Programs: numbered values, steps of several results, and the order in which tasks are added up."""

import itertools
import operator
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import minimeta as mm
from minimeta.autodiff.steps import Step, by_kernel, group_bounds, run, sum_in_order
from minimeta.program import trace


def two(x: Any) -> Any:
    return mm.vmap(lambda y: (y * 2.0, mm.sum(y)), out_axes=(0, "sum"))(x)


def test_each_result_of_a_step_has_a_number() -> None:
    program = trace(lambda x: mm.sum(two(x)[0]) + two(x)[1], np.ones((3, 2)))
    numbered = list(program.numbered_steps())
    assert numbered[0][0] == program.first
    for (first, step), (following, _) in itertools.pairwise(numbered):
        assert following == first + len(step.results)
    forms = program.forms()
    for first, step in numbered:
        assert tuple(forms[first : first + len(step.results)]) == step.results
        assert all(program.step_of(first + place) is step for place in range(len(step.results)))
    assert program.step_of(0) is None
    assert "project" not in {step.primitive.name for step in program.steps}


def test_a_step_is_made_of_its_keywords() -> None:
    for step in trace(two, np.ones((3, 2))).steps:
        again = Step.of(step.primitive, step.operands, step.keywords, step.results, step.origin)
        assert again == step and (again.body is None) == ("body" not in step.keywords)


def test_running_gives_each_step_and_the_values_that_it_reads() -> None:
    program = trace(lambda x: mm.sin(x) * x, np.ones(2))
    seen = []

    def evaluate(step: Step, *values: Any) -> tuple[Any, ...]:
        seen.append(step)
        assert len(values) == len(step.operands)
        return by_kernel(step, *values)

    (y,) = run(program, [np.array([0.5, 1.0])], evaluate)
    assert seen == list(program.steps)
    assert y.tolist() == (np.sin([0.5, 1.0]) * [0.5, 1.0]).tolist()


@given(st.integers(1, 200))
def test_tasks_are_dealt_to_sixteen_groups_of_neighbours(count: int) -> None:
    bounds = group_bounds(count)
    sizes = np.diff(bounds)
    assert bounds[0] == 0 and bounds[-1] == count and len(sizes) == min(count, 16)
    assert sizes.max() - sizes.min() <= 1 and list(sizes) == sorted(sizes, reverse=True)
    # Text shows in which order values are added up: every task once, in the order of the tasks.
    assert sum_in_order([f"{task} " for task in range(count)], operator.add).split() == list(map(str, range(count)))
    nested = sum_in_order([str(task) for task in range(count)], lambda a, b: f"({a}+{b})")
    assert nested.count("(") == count - 1
