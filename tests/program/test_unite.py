"""unite: a task goes on where the next vmap reads what it made, and no bit changes."""

from collections.abc import Callable
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from numpy.testing import assert_allclose, assert_array_equal

import minimeta as mm
from minimeta.autodiff import tree
from minimeta.autodiff.steps import Program, by_kernel
from minimeta.errors import NonFiniteError
from minimeta.program import optimise, trace
from minimeta.program.passes import GROUPING, PASSES

W = np.random.default_rng(0).normal(size=4)
X = np.random.default_rng(1).normal(size=(3, 4))


def each(function: Callable[..., Any], *arguments: Any, sums: bool = False) -> Any:
    """A vmap over arrays of two axes, which shares those of one."""
    return mm.vmap(function, tuple(0 if x.ndim == 2 else None for x in arguments), "sum" if sums else 0)(*arguments)


def united(function: Callable[..., Any], *arguments: Any) -> list[list[str]]:
    """The steps of each vmap that is left; the program gives what it gave before."""
    program = trace(function, *arguments)
    shorter = optimise(program, ("eliminate", "unite"))
    shorter.check()
    expected, found = (tree.flatten(one.run(by_kernel, *arguments))[0] for one in (program, shorter))
    for a, b in zip(expected, found, strict=True):
        assert_array_equal(a, b, strict=True)
    return [names(step.body) for step in shorter.steps if step.body and step.tasks]


def names(program: Program) -> list[str]:
    return [step.primitive.name for step in program.steps]


def test_a_task_goes_on() -> None:
    def function(w: Any, x: Any) -> Any:
        y = each(lambda w, x: mm.exp(x) * w, w, x)
        z = each(lambda y, x: mm.sin(y) + x, y, x)
        return each(lambda z, y: mm.sum(z * y), z, y, sums=True)

    assert united(function, W, X) == [["exp", "multiply", "sin", "add", "multiply", "sum"]]
    (step,) = (step for step in optimise(trace(function, W, X), ("eliminate", "unite")).steps if step.tasks)
    assert [form.shape for form in step.results] == [()]  # nothing is stacked
    y = np.exp(X) * W
    assert_allclose(mm.compile(function)(W, X), np.sum((np.sin(y) + X) * y))


def test_what_is_read_elsewhere_is_stacked_too() -> None:
    def function(x: Any) -> Any:
        y = each(mm.exp, x)
        return y, mm.tanh(y), each(mm.sin, y)

    assert united(function, X) == [["exp", "sin"]]


def test_what_the_second_needs_comes_before_and_what_follows_the_first_after() -> None:
    def function(w: Any, x: Any) -> Any:
        y = each(mm.exp, x)
        shared, other = mm.cos(w), mm.tanh(y)
        return each(lambda y, w, u: y * w + u, y, shared, w), other

    assert united(function, W, X) == [["exp", "multiply", "add"]]


def test_an_array_may_be_given_whole_and_in_parts() -> None:
    def function(x: Any) -> Any:
        y = mm.vmap(lambda part, whole: part * mm.sum(whole), (0, None))(x, x)
        return mm.vmap(lambda y, whole, part: y + whole[0] - part, (0, None, 0))(y, x, x)

    assert len(united(function, X)) == 1


@pytest.mark.parametrize(
    "between",
    [
        pytest.param(lambda y: each(lambda y: y, y, sums=True), id="a sum over tasks"),
        pytest.param(lambda y: mm.sum(y, 0), id="the stack as one array"),
        pytest.param(lambda y: y[::-1] * 1.5, id="other tasks"),
    ],
)
def test_a_task_cannot_go_on_with_what_all_of_them_make(between: Callable[[Any], Any]) -> None:
    def function(x: Any) -> Any:
        y = each(mm.exp, x)
        z = between(y)
        return each(lambda y, z: y * z, y, z)

    assert len(united(function, X)) == 2


def test_a_stack_that_all_share_is_not_a_tasks_own() -> None:
    def function(x: Any) -> Any:
        y = each(mm.exp, x)
        return mm.vmap(lambda y, whole: y * mm.sum(whole), (0, None))(y, y)

    assert len(united(function, X)) == 2


def test_nothing_that_reads_nothing_of_it_is_joined() -> None:
    assert united(lambda x: (each(mm.exp, x), each(mm.sin, x)), X) == [["exp"], ["sin"]]


def test_what_a_derivative_computes_again_is_computed_once() -> None:
    def function(w: Any, x: Any) -> Any:
        return mm.value_and_grad(lambda w: mm.mean(each(lambda w, x: mm.sum(mm.tanh(x * w)) ** 2, w, x)))(w)

    shorter = optimise(trace(function, W, X), [name for name in PASSES if name not in GROUPING])
    (step,) = (step for step in shorter.steps if step.body)
    assert step.body is not None
    assert names(step.body).count("tanh") == 1
    assert_array_equal(shorter.run(by_kernel, W, X)[0], function(W, X)[0])
    value, gradient = mm.compile(function)(W, X)
    y = np.tanh(X * W)
    assert_allclose(value, np.mean(np.sum(y, 1) ** 2))
    assert_allclose(gradient, np.mean(2.0 * np.sum(y, 1, keepdims=True) * (1.0 - y**2) * X, 0))


def test_what_a_sum_over_tasks_decides_comes_after_it() -> None:
    def function(w: Any, x: Any) -> Any:
        return mm.value_and_grad(lambda w: mm.mean(each(lambda w, x: mm.sum(mm.tanh(x * w)), w, x)) ** 2)(w)

    assert len(united(function, W, X)) == 2


def test_no_task() -> None:
    assert united(lambda x: each(mm.sin, each(mm.exp, x)), X[:0]) == [["exp", "sin"]]


def test_what_goes_wrong_is_still_put_down_to_its_line() -> None:
    def function(x: Any) -> Any:
        return each(lambda y: 2.0 * mm.log(y), each(mm.negative, x))

    message = r"that of log, float64\[4\], in task 0 .*\n.*test_unite.py:\d+, in <lambda>"
    with pytest.raises(NonFiniteError, match=message):
        mm.compile(function, check_finite=True)(np.ones((3, 4)))


@given(
    st.lists(
        st.tuples(st.integers(0, 9), st.integers(0, 9), st.sampled_from(["stack", "sum", "outside"])),
        min_size=2,
        max_size=6,
    )
)
def test_any_chain_of_vmaps(drawn: list[tuple[int, int, str]]) -> None:
    def function(w: Any, x: Any) -> Any:
        values = [w, x]
        for i, j, kind in drawn:
            a, b = values[i % len(values)], values[j % len(values)]
            is_mapped = 2 in (a.ndim, b.ndim)
            if kind == "outside" or not is_mapped:
                values.append(mm.tanh(a) - b)
            else:
                values.append(each(lambda a, b: mm.sin(a) + a * b, a, b, sums=kind == "sum"))
        return values[2:]

    united(function, W, X)
