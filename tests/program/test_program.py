"""Tracing: a function written down on shapes alone, printed, and replayed."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from drawing import share, spread
from hypothesis import given
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray
from random_programs import programs

import minimeta as mm
from minimeta import nn
from minimeta.autodiff.apply import context
from minimeta.autodiff.array import Form
from minimeta.autodiff.steps import Step, by_kernel, by_operation, by_reference
from minimeta.errors import ShapeError, TracingError
from minimeta.learners import MAML
from minimeta.program import interpret, trace
from minimeta.tasks.task import Examples, Task

Function = Callable[..., Any]


def forms_of(x: Any) -> Any:
    return mm.tree.map(lambda leaf: Form(leaf.shape, leaf.dtype), x)


def same_bits(one: Any, other: Any) -> bool:
    ones, others = mm.tree.flatten(one), mm.tree.flatten(other)
    return ones[1] == others[1] and all(
        a.dtype == b.dtype and a.tobytes() == b.tobytes() for a, b in zip(ones[0], others[0], strict=True)
    )


# The steps


def test_arguments_constants_and_outputs_are_numbered_in_order() -> None:
    table = np.arange(3.0)
    program = trace(
        lambda p: {"y": p["a"] @ p["b"], "same": p["b"], "table": table}, {"a": np.ones((2, 3)), "b": np.ones(3)}
    )
    assert program.outputs[1:] == (1, 2)
    found = program.run(by_kernel, {"b": np.ones(3), "a": np.ones((2, 3))})
    assert_array_equal(found["y"], [3.0, 3.0])
    assert_array_equal(found["table"], table)


def test_a_step_reads_earlier_values() -> None:
    program = trace(mm.grad(lambda x: mm.sum(mm.tanh(x) * mm.softmax(x))), np.zeros(3))
    first = len(program.operands) + len(program.constants)
    for number, step in enumerate(program.steps):
        assert all(operand < first + number for operand in step.operands)


def test_an_argument_of_an_inner_gradient_that_is_constant_is_a_constant() -> None:
    inner = mm.value_and_grad(lambda y, x: mm.sum(mm.sin(y) * x))
    program = trace(lambda x: inner(np.ones(3), x), np.arange(3.0))
    assert all(step.operands for step in program.steps)
    assert same_bits(program.run(by_kernel, np.arange(3.0)), inner(np.ones(3), np.arange(3.0)))


def test_what_is_not_used_is_not_written_down() -> None:
    def function(x: Any) -> Any:
        mm.exp(x)
        return mm.sum(x)

    assert [step.primitive.name for step in trace(function, np.zeros(3)).steps] == ["sum"]


def test_steps_name_the_users_line() -> None:
    def function(x: Any) -> Any:
        y = mm.sin(x)
        return mm.sum(y * x)

    program = trace(mm.grad(function), np.zeros(3))
    first = function.__code__.co_firstlineno
    (sine,) = [step for step in trace(function, np.zeros(3)).steps if step.primitive.name == "sin"]
    assert sine.origin.line == f"{__file__}:{first + 1}, in function"
    assert all(step.origin.line for step in program.steps if step.primitive.name != "alias")


# Tracing


def test_tracing_uses_no_values() -> None:
    def function(p: Any) -> Any:
        return mm.sum(mm.log(p["x"]) @ p["w"] / p["s"])

    rng = np.random.default_rng(0)
    arguments = {"x": rng.uniform(1, 2, (2, 3)), "w": rng.uniform(1, 2, (3, 4)).astype(np.float32), "s": 2.0}
    nothing = {"x": np.full((2, 3), np.nan), "w": np.full((3, 4), np.nan, np.float32), "s": 0.0}
    programs = [trace(mm.grad(function), given) for given in (arguments, nothing)]
    programs.append(trace(mm.grad(function), {**forms_of({"x": nothing["x"], "w": nothing["w"]}), "s": 1.0}))
    assert str(programs[0]) == str(programs[1]) == str(programs[2])
    expected = mm.grad(function)(arguments)
    for program in programs:
        found = program.run(by_kernel, arguments)
        assert same_bits(found, expected)


def test_a_python_scalar_is_a_weak_argument() -> None:
    x = np.ones(2, np.float32)
    program = trace(lambda x, s: x * s, x, 2.0)
    assert program.run(by_kernel, x, 5.0).dtype == np.float32
    assert_array_equal(program.run(by_kernel, x, 5.0), [5.0, 5.0])


def test_constants_are_copied_when_they_are_traced() -> None:
    table = np.ones(3)
    program = trace(lambda x: x * table, np.ones(3))
    table[...] = np.nan
    assert_array_equal(interpret(program, np.full(3, 2.0)), [2.0, 2.0, 2.0])


def test_another_form_is_refused() -> None:
    program = trace(lambda x, p: x * p["w"], np.ones(3), {"w": 1.0})
    with pytest.raises(ShapeError, match=r"operand x was traced as float64\[3\]"):
        program.run(by_kernel, np.ones(4), {"w": 1.0})
    with pytest.raises(ShapeError, match=r"operand x was traced as float64\[3\]"):
        program.run(by_kernel, np.ones(3, np.float32), {"w": 1.0})
    with pytest.raises(ShapeError, match="trees differ at 1"):
        program.run(by_kernel, np.ones(3), {"v": 1.0})
    assert program.run(by_kernel, np.ones(3), {"w": 2.0}).shape == (3,)


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (
            lambda x: 1.0 if x > 0 else 2.0,
            r"the truth value of an Array while tracing.*argument; if numpy asked.*np\.stack\n",
        ),
        (lambda x: float(x), r"float\(\) of an Array while tracing"),  # noqa: PLW0108
        (lambda x: [1.0, 2.0][int(x)], r"int\(\) of an Array while tracing"),
        (lambda x: np.asarray(x, np.float64), "was about to become a numpy array"),
        (lambda x: [y for y in np.ones(3) if y > x], "the truth value"),
        (lambda x: list(range(mm.argmax(mm.stack([x, x])))), "while tracing"),
    ],
)
def test_what_needs_a_value_is_named_with_the_users_line(use: Function, message: str) -> None:
    def function(x: Any) -> Any:
        y = x * 2.0
        use(y)
        return y

    for traced in (function, mm.grad(function)):
        with pytest.raises(TracingError, match=message) as caught:
            trace(traced, 1.0)
        assert f"\n  at {__file__}:" in str(caught.value)
        assert context.walking == ()


def test_tracing_inside_a_transformation() -> None:
    def function(s: Any) -> Any:
        return trace(lambda x: x * x, s).run(by_operation, s)

    assert mm.grad(function)(3.0) == 6.0
    with pytest.raises(TracingError, match=r"uses an Array of shape \(\) of an outer transformation; pass it in"):
        mm.grad(lambda s: trace(lambda x: x * s, np.ones(3)).run(by_operation, np.ones(3)))(3.0)


def test_a_program_is_differentiated_like_the_function() -> None:
    def function(x: Any) -> Any:
        return mm.sum(mm.rematerialize(lambda y: mm.sin(y) * y)(x) * mm.softmax(x))

    x = np.array([0.3, -1.2, 0.7])
    program = trace(function, x)
    assert_array_equal(program.run(by_operation, x), function(x))
    assert_array_equal(mm.grad(lambda x: program.run(by_operation, x))(x), mm.grad(function)(x))
    assert_allclose(mm.hessian(lambda x: program.run(by_operation, x))(x), mm.hessian(function)(x), rtol=1e-12)
    slope = trace(mm.grad(function), x)
    assert_allclose(mm.jacobian(lambda x: slope.run(by_operation, x))(x), mm.hessian(function)(x), rtol=1e-12)


def test_a_region_of_plain_numbers_is_run_too() -> None:
    x = np.array([0.3, -1.2, 0.7])
    program = trace(mm.rematerialize(lambda x: (mm.sin(x), mm.sum(x))), x)
    for found, expected in zip(program.run(by_operation, x), (mm.sin(x), mm.sum(x)), strict=True):
        assert_array_equal(found, expected)


def test_shapes_are_checked_while_tracing() -> None:
    def function(x: Any) -> Any:
        return x @ np.ones((4, 2))

    with pytest.raises(ShapeError, match="the inner sides 3 and 4 differ") as caught:
        trace(function, np.ones((2, 3)))
    assert str(caught.value).endswith(f"{__file__}:{function.__code__.co_firstlineno + 1}, in function")


# Replay


@share(0.3)
@given(function=programs())
def test_a_replay_equals_the_eager_run_bit_for_bit(function: Function) -> None:
    x = spread(np.random.default_rng(5), (2, 3), "unit")
    for dtype in (np.float64, np.float32):
        point = x.astype(dtype)
        for traced in (function, mm.value_and_grad(function), mm.grad(lambda x: mm.sum(mm.grad(function)(x) ** 2))):
            assert same_bits(trace(traced, point).run(by_kernel, point), traced(point))


class Checked:
    """Evaluates each step by kernel and by reference on the same operands, and holds them together."""

    def __call__(self, step: Step, *operands: Any) -> tuple[Any, ...]:
        results = by_kernel(step, *operands)
        with np.errstate(all="ignore"):
            expected = by_reference(step, *operands)
        for y, wanted, form in zip(results, expected, step.results, strict=True):
            assert (y.shape, y.dtype) == (wanted.shape, wanted.dtype) == (form.shape, form.dtype)
            if y.dtype.kind == "f":
                scale = float(np.max(np.abs(wanted), initial=1.0))
                tolerance = 64 * float(np.finfo(y.dtype).eps)
                said = f"{step.primitive} {step.params}"
                assert_allclose(y, wanted, rtol=tolerance, atol=tolerance * scale, err_msg=said)
            else:
                assert_array_equal(y, wanted)
        return results


def sinusoid(dtype: Any, order: int) -> tuple[MAML, Task]:
    """The paper's regression: ten points, a network 1-40-40-1, two inner steps."""
    rng = np.random.default_rng(0)
    model = nn.mlp((1, 40, 40, 1), dtype=dtype)
    inputs = rng.uniform(-5, 5, (2, 10, 1)).astype(dtype)
    targets = (2 * np.sin(inputs + 1)).astype(dtype)
    learner = MAML(model, nn.mean_squared_error, inner_learning_rate=0.01, inner_steps=2, order=order)
    return learner, Task(Examples(inputs[0], targets[0]), Examples(inputs[1], targets[1]))


def characters(dtype: Any, order: int) -> tuple[MAML, Task]:
    """5-way 1-shot classification by a network with batch normalisation, small enough for a test."""
    rng = np.random.default_rng(1)
    model = nn.mlp((12, 8, 8, 5), batch_norm=True, dtype=dtype)
    inputs = rng.normal(size=(2, 5, 12)).astype(dtype)
    labels = np.stack([rng.permutation(5), rng.permutation(5)])
    learner = MAML(
        model,
        nn.cross_entropy,
        inner_learning_rate=0.4,
        inner_steps=1,
        order=order,
        metrics={"accuracy": nn.accuracy},
    )
    return learner, Task(Examples(inputs[0], labels[0]), Examples(inputs[1], labels[1]))


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("problem", [sinusoid, characters])
def test_a_whole_meta_gradient_is_one_program(problem: Function, dtype: str, order: int) -> None:
    learner, task = problem(dtype, order)
    parameters = learner.init(np.random.default_rng(2))
    eager = learner.meta_gradient(parameters, task)
    program = trace(learner.meta_gradient, *forms_of((parameters, task)))

    replayed = interpret(program, parameters, task)
    tolerance = 1e-12 if dtype == "float64" else 1e-4
    ours, theirs = (mm.tree.flatten(result)[0] for result in (eager, replayed))
    assert len(ours) > 6
    for one, other in zip(ours, theirs, strict=True):
        assert (one.shape, one.dtype) == (other.shape, other.dtype)
        scale = float(np.max(np.abs(one)))
        assert_allclose(one, other, rtol=tolerance, atol=tolerance * scale)

    # By kernels it is the eager run, bit for bit; and each instruction is its reference.
    assert same_bits(program.run(Checked(), parameters, task), eager)


def test_interpret_gives_numpy_in_the_traced_tree() -> None:
    program = trace(lambda x: {"a": [x, mm.argmax(x)], "b": None}, np.zeros(3))
    found: dict[str, list[NDArray[Any]]] = interpret(program, np.array([1.0, 3.0, 2.0]))
    assert_array_equal(found["a"][0], [1.0, 3.0, 2.0])
    assert found["a"][1] == 1 and found["b"] is None


def test_an_outer_array_is_an_argument_and_not_a_closure() -> None:
    def outer(x: Any) -> Any:
        assert "float64[3]" in str(trace(mm.sin, x))
        with pytest.raises(TracingError, match=r"an Array of shape \(3,\) of an outer transformation; pass it"):
            trace(lambda y: y * mm.sin(x), np.ones(3))
        return mm.sum(x)

    assert_array_equal(mm.grad(outer)(np.ones(3)), np.ones(3))
