"""A program in print: everything has one name, is defined before it is used, and stands under the user's line."""

from typing import Any

import numpy as np
import pytest
from drawing import share
from hypothesis import given
from printed import Printed, arguments_of, returned, rows_of
from traced_functions import TRACED, Example

import minimeta as mm
from minimeta import nn, optim
from minimeta.autodiff.array import Form
from minimeta.autodiff.calls import no_sample
from minimeta.autodiff.operations.transcendental import sin
from minimeta.autodiff.primitive import Primitive
from minimeta.autodiff.steps import Program, Step
from minimeta.learners import MAML
from minimeta.program import PASSES, Traced, optimise, trace
from minimeta.tasks import Sinusoid
from minimeta.testing import Specimen, programs
from minimeta.training import make_step


def computed(program: Program) -> list[str]:
    """The primitives of a program, and of those inside of it, in order, except those that compute nothing."""
    found = []
    for step in program.steps:
        if step.primitive.name != "alias":
            found.append(step.primitive.name)
        if step.body is not None:
            found += computed(step.body)
    return found


def bare(name: str) -> str:
    """What a part of a batch is a part of."""
    return name.partition("[")[0]


def assert_readable(program: Traced, arguments: list[str] | None = None) -> list[Printed]:
    text = str(program)
    names, rows = arguments_of(text), list(rows_of(text))
    assert len(names) == len(program.operands)
    known = set(names)
    for row in rows:
        assert all(bare(x) in known or "](" in x for x in row.uses), row
        if row.name:
            assert row.name not in known  # once
            known.add(row.name)
    assert all(x in known or "(" in x for x in returned(text))
    assert len(returned(text)) == len(program.outputs)
    operations = [row.operation for row in rows if row.operation not in ("constant", "stack")]
    expected = computed(program)
    # A sum over tasks is no step.
    if "vmap" not in expected:
        assert operations == expected
    return rows


@share(0.3)
@given(specimen=programs() | programs(order=1) | programs(order=2))
def test_each_operand_is_defined_above(specimen: Specimen) -> None:
    assert_readable(specimen.program)
    assert_readable(optimise(specimen.program))


@pytest.mark.parametrize("traced", TRACED, ids=lambda traced: traced.name)
@pytest.mark.parametrize("passes", [(), PASSES], ids=["as traced", "optimised"])
def test_whole_gradients_are_readable(traced: Example, passes: Any) -> None:
    program = trace(traced.function, *traced.arguments)
    rows = assert_readable(optimise(program, passes))
    headings = {row.heading.partition(" ")[0] for row in rows}
    assert {"forward", "backward"} <= headings <= {"forward", "backward", "constants", ""}


def test_an_example_of_everything() -> None:
    def f(w: Any, x: Any) -> Any:
        y = mm.sin(w["a"]) * 2.0 + np.array([1.0, 2.0, 4.0])
        return {"y": mm.sum(y * x), "zero": np.zeros(2)}

    line = f.__code__.co_firstlineno
    program = trace(f, {"a": np.ones(3, np.float32), "b": [1.0]}, np.ones(3, np.float32))
    assert str(program).splitlines() == [
        "program f(w/a: float32[3], w/b/0: float64[], x: float32[3]):",
        "  # constants",
        "  %4 = [1., 2., 4.]: float64[3]",
        f"  # forward at {__file__}:{line + 1}, in f",
        "  %6 = sin(w/a): float32[3]",
        "  %7 = multiply(%6, 2.0): float32[3]",
        "  %8 = astype(%7): float64[3]",
        "  %9 = add(%8, %4): float64[3]",
        f"  # forward at {__file__}:{line + 2}, in f",
        "  %10 = astype(x): float64[3]",
        "  %11 = multiply(%9, %10): float64[3]",
        "  %12 = sum(%11, axes=(0,)): float64[]",
        "  return",
        "    y: %12",
        "    zero: float64[2](0.0)",
    ]
    assert repr(program) == "<program f(w, x), 7 steps>"


def test_both_passes_have_headings() -> None:
    def f(x: Any) -> Any:
        return mm.sum(mm.exp(x))

    place = f"{__file__}:{f.__code__.co_firstlineno + 1}, in f"
    assert str(trace(mm.value_and_grad(f), np.zeros(3))).splitlines() == [
        "program f(x: float64[3]):",
        f"  # forward at {place}",
        "  %3 = exp(x): float64[3]",
        "  %4 = sum(%3, axes=(0,)): float64[]",
        f"  # backward of {place}",
        "  %5 = multiply(1.0, %3): float64[3]",
        "  return",
        "    0: %4",
        "    1: %5",
    ]


def test_the_tasks_of_a_vmap_stand_below_it() -> None:
    def f(w: Any, x: Any) -> Any:
        return mm.vmap(lambda x, w: (x * w, w), (0, None), (0, "sum"))(x, w)

    program = trace(f, np.ones(3), np.ones((5, 3)))
    place = f"{__file__}:{f.__code__.co_firstlineno + 1}"
    assert str(program).splitlines() == [
        "program f(w: float64[3], x: float64[5, 3]):",
        f"  # forward at {place}, in f",
        "  %2 = vmap, for each i of 5:",
        f"    # forward at {place}, in <lambda>",
        "    %2:2 = multiply(x[i], w): float64[3]",
        "    %2.0 = stack of %2:2 over i: float64[5, 3]",
        "    %2.1 = sum of w over i: float64[3]",
        "  return",
        "    0: %2.0",
        "    1: %2.1",
    ]
    nested = trace(mm.vmap(lambda x: mm.vmap(lambda y: y * x[0])(x)), np.ones((5, 3)))
    assert "multiply(x[i][j]," in str(nested)
    assert_readable(nested)


def test_the_body_of_a_region_uses_the_names_around_it() -> None:
    def f(x: Any, y: Any) -> Any:
        return mm.rematerialize(lambda x: mm.sin(x) * y)(x)

    program = trace(mm.value_and_grad(lambda x, y: mm.sum(f(x, y))), np.ones(3), np.ones(3))
    text = str(program)
    assert "%4 = rematerialize:\n" in text and "multiply(%4:2, y): float64[3]" in text
    assert_readable(program)
    fused = mm.compile(lambda x: mm.sum(mm.exp(mm.sin(x))), check=True).lower(np.ones(10_000))
    assert "fused:" in str(fused)
    assert_readable(fused)


def test_a_step_of_several_results_defines_each() -> None:
    form = Form((2,), "float64")
    two = Primitive("call", lambda *_, **__: (form, form), np.sin, (), no_sample, np.sin)
    call = Step(two, (0,), {"function": np.polyfit, "arguments": mm.tree.LEAF, "forms": ()}, (form, form))
    steps = (call, Step(sin.primitive, (2,), {}, (form,)))
    program = Traced.of(Program((form,), (), steps, (3,)), mm.tree.flatten((0.0,))[1], mm.tree.flatten(0.0)[1])
    assert str(program).splitlines()[1:] == [
        "  %1.0, %1.1 = call(%0, function=polyfit): float64[2], float64[2]",
        "  %3 = sin(%1.1): float64[2]",
        "  return %3",
    ]
    assert "  v0 -> v1;\n  v1 -> v2;" in program.to_dot(folded=False)


@pytest.mark.parametrize("order", [1, 2])
def test_a_compiled_training_step_is_readable(order: int) -> None:
    learner, optimiser = MAML(nn.mlp((1, 4, 1)), nn.mean_squared_error, 0.01, order=order), optim.adam()
    parameters = learner.init(np.random.default_rng(0))
    batch = Sinusoid().sample(np.random.default_rng(0), 4)
    program = make_step(learner, optimiser).lower(parameters, optimiser.init(parameters), batch)  # type: ignore[attr-defined]
    assert_readable(program)
    text = str(program)
    assert arguments_of(text)[:2] == ["meta_parameters/0/weight", "meta_parameters/0/bias"]
    assert arguments_of(text)[-1] == "batch/query/targets"
    assert "vmap, for each i of 4:" in text and "batch/support/inputs[i]" in text
    assert repr(program).startswith("<program step(meta_parameters, optimiser_state, batch), ")


class WithoutSignature:
    __signature__ = "none"

    def __call__(self, x: Any, p: Any) -> Any:
        return x * p["w"]


@pytest.mark.parametrize(
    ("program", "names"),
    [
        (trace(lambda *xs: xs[0] + xs[1], 1.0, 2.0), ["xs/0", "xs/1"]),
        (trace(lambda x, *xs: x + xs[0]["w"], 1.0, {"w": 2.0}), ["x", "xs/0/w"]),
        (trace(WithoutSignature(), np.ones(2), {"w": np.ones(2)}), ["0", "1/w"]),
        (mm.compile(lambda x, *, rate, p: x * rate).lower(1.0, rate=2.0, p={"w": 1.0}), ["x", "rate", "p/w"]),
        (mm.compile(lambda n, x: x * n, static="n").lower(3, np.ones(2)), ["x"]),
        (mm.grad(mm.compile(lambda w, x: w * x)).lower(1.0, 2.0), ["w", "x"]),  # type: ignore[attr-defined]
        (mm.compile(mm.vmap(lambda w, x: w * x)).lower(np.ones(2), np.ones(2)), ["w", "x"]),
    ],
)
def test_arguments_have_the_names_of_the_signature(program: Traced, names: list[str]) -> None:
    assert list(program.names) == names == arguments_of(str(program))


def test_programs_that_nobody_named_are_numbered() -> None:
    traced = trace(mm.sin, np.ones(3))
    program = Traced.of(traced, traced.arguments, traced.output)
    assert str(program) == "program(%0: float64[3]):\n" + "\n".join(str(traced).splitlines()[1:]).replace("(x)", "(%0)")
    assert repr(program) == "<program(), 1 steps>"


@pytest.mark.parametrize(
    ("constant", "expected"),
    [
        (np.array([0.1, 0.2], np.float32), "%1 = [0.1, 0.2]: float32[2]"),
        (np.array([[1], [2]]), "%1 = [[1], [2]]: int64[2, 1]"),
        (np.arange(9.0), "%1 = constant: float64[9]"),
        (np.array([0.0, -0.0]), "%1 = [ 0., -0.]: float64[2]"),
        (np.full((30, 40), np.float32(0.1)), "return float32[30, 40](0.1)"),
        (np.broadcast_to(np.float64(np.nan), (2,)), "return float64[2](nan)"),
        (np.zeros((0, 2)), "%1 = constant: float64[0, 2]"),
    ],
)
def test_constants_are_said_where_they_are_short(constant: Any, expected: str) -> None:
    assert f"  {expected}" in str(trace(lambda x: constant, 1.0)).splitlines()


def test_the_rule_of_a_user_stands_in_the_backward_pass() -> None:
    @mm.custom_vjp
    def cut(x: Any) -> Any:
        return mm.sin(x)

    @cut.rule
    def _(g: Any, y: Any, x: Any) -> Any:
        return (mm.minimum(g, y),)

    for function in (cut, mm.vmap(cut)):
        program = str(trace(mm.grad(lambda x, function=function: mm.sum(function(x))), np.zeros(3)))
        heading, step = [row.strip() for row in program.splitlines() if "minimum" in row or "in _" in row]
        assert heading.startswith("# backward of ") and "minimum(" in step
