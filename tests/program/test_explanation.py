"""explain: every instruction with its equation, its phase and the user's line."""

from typing import Any

import numpy as np
import pytest
from traced_functions import TRACED, Example

import minimeta as mm
from minimeta.autodiff.steps import Program
from minimeta.program import Traced, trace
from minimeta.program.explanation import explained

A = np.array([[2.0, 1.0], [1.0, 3.0]])


def loss(w: Any) -> Any:
    return mm.sum(mm.exp(A @ w))


def meta_loss(w: Any) -> Any:
    return mm.sum((w - 0.1 * mm.grad(loss)(w)) ** 2)


def count(program: Program) -> int:
    """The instructions that compute something, those in bodies included."""
    return sum(
        (step.tasks is not None) * len(step.results) + count(step.body) if step.body else step.primitive.name != "alias"
        for step in program.steps
    )


@pytest.mark.parametrize("traced", TRACED, ids=lambda traced: traced.name)
def test_every_instruction_is_there_with_its_line(traced: Example) -> None:
    program = trace(traced.function, *traced.arguments)
    rows = explained(program, program.names)
    assert len(rows) == count(program)
    text = program.explain()
    assert all(f"{row.name} = {row.equation}" in text for row in rows)
    second = {row.step.primitive.name for row in rows if row.phase == "second order"}
    assert bool(second) == ("order 2" in traced.name)


def test_second_order_is_what_a_hessian_needs() -> None:
    """Without the inner gradient's derivative there is none."""
    rows = explained(trace(mm.grad(meta_loss), np.ones(2)))
    phases = [row.phase for row in rows]
    assert phases.index("forward") < phases.index("backward") < phases.index("second order")
    (hessian,) = [row for row in rows if row.phase == "second order"][:1]
    assert hessian.step.origin.backward == 2

    def first_order(w: Any) -> Any:
        return mm.sum((w - 0.1 * mm.stop_gradient(mm.grad(loss)(w))) ** 2)

    assert "second order" not in {row.phase for row in explained(trace(mm.grad(first_order), np.ones(2)))}
    assert "second order" in {row.phase for row in explained(trace(lambda x: mm.hvp(loss, (x,), (x,)), np.ones(2)))}


def test_the_text_shows_equations_lines_and_code() -> None:
    def f(w: Any, x: Any) -> Any:
        return mm.sum(mm.tanh(x @ w) * 2.0)

    text = trace(mm.value_and_grad(f), np.ones((3, 2)), np.ones((4, 3))).explain()
    line = f"{__file__}:{f.__code__.co_firstlineno + 1}, in f:  return mm.sum(mm.tanh(x @ w) * 2.0)"
    assert f"forward, {line}" in text
    assert f"backward, {line}" in text
    assert " = x w " in text
    assert " = x^T %" in text
    assert "tanh'(" in text


def test_the_tasks_of_a_vmap_are_below_it() -> None:
    def of_one(w: Any, x: Any) -> Any:
        return mm.grad(lambda w: mm.sum(mm.square(w * x)))(w)

    program: Traced = trace(mm.vmap(of_one, (None, 0), "sum"), np.ones(3), np.ones((5, 3)))
    rows = explained(program, program.names)
    assert [row.depth for row in rows] == [1] * (len(rows) - 1) + [0]
    assert rows[-1].equation.endswith("over 5 i")
    assert rows[-1].phase == "backward"
    assert "x[i]" in program.explain()
