"""check_finite: the first result that is not finite, by its primitive, its form, the user's line and the task."""

import inspect
import re
from collections.abc import Callable
from typing import Any

import fresh_python
import numpy as np
import pytest
from drawing import share, spread
from hypothesis import given
from numpy.testing import assert_array_equal
from random_programs import programs

import minimeta as mm
from minimeta import nn
from minimeta.autodiff.apply import apply
from minimeta.autodiff.primitive import Primitive, registry
from minimeta.errors import IndexingError, NonFiniteError
from minimeta.learners import MAML
from minimeta.tasks.task import Examples, Task

Function = Callable[..., Any]

_EXP = registry["exp"]
OWN = Primitive("own_exp", _EXP.shape, np.exp, _EXP.rules, _EXP.sample, lambda x: np.asarray(np.exp(x)))
"""A primitive that has no native kernel, so that a program with it runs step by step in Python."""


def native(x: Any) -> Any:
    return mm.exp(x)


def own(x: Any) -> Any:
    return apply(OWN, x)


both = pytest.mark.parametrize("exp", [native, own])


def line_of(function: Function, text: str) -> str:
    """Where the only line of a function that has this text is, as a message says it."""
    lines, first = inspect.getsourcelines(function)
    (number,) = [first + i for i, line in enumerate(lines) if text in line]
    return f"{__file__}:{number}, in {function.__name__}"


def message(function: Function, *arguments: Any) -> str:
    with np.errstate(all="ignore"), pytest.raises(NonFiniteError) as caught:
        function(*arguments)
    return str(caught.value)


@share(0.2)
@given(function=programs())
def test_where_all_is_finite_the_bits_are_the_same(function: Function) -> None:
    x = spread(np.random.default_rng(5), (2, 3), "unit")
    for whole in (mm.value_and_grad(function), lambda x: mm.vmap(mm.grad(function))(mm.stack([x, -x, 2 * x]))):
        found, expected = (mm.tree.flatten(f(x))[0] for f in (mm.compile(whole, check_finite=True), mm.compile(whole)))
        assert [y.tobytes() for y in found] == [y.tobytes() for y in expected]


@both
def test_the_first_result_is_named(exp: Function) -> None:
    def loss(x: Any, y: Any) -> Any:
        z = mm.tanh(x) * 2.0
        ratio = z / y
        return mm.sum(exp(ratio) + mm.log(-z))

    compiled = mm.compile(loss, check_finite=True)
    x, y = np.full((2, 3), -1.0, np.float32), np.ones((2, 3), np.float32)
    assert compiled(x, y) == loss(x, y)
    y[1, 2] = 0.0
    first = "the first result that is NaN or infinite is that of divide, float32[2, 3]"
    assert message(compiled, x, y) == f"{loss.__qualname__}: {first}\n  at {line_of(loss, 'z / y')}"
    assert message(compiled, -x, y + 1).endswith(f"that of log, float32[2, 3]\n  at {line_of(loss, 'mm.log')}")


@both
def test_arguments_are_named_by_their_path(exp: Function) -> None:
    def f(tree: Any, *, rate: Any) -> Any:
        return exp(tree["w"][1]) * rate

    compiled, w = mm.compile(f, check_finite=True), np.zeros((2, 2))
    w[1, 0] = np.inf
    assert message(lambda: compiled({"w": [w, w]}, rate=1.0)).endswith(": argument 'tree/w/0' is inf at (1, 0)")
    assert message(lambda: compiled({"w": [w * 0 + 1, w]}, rate=1.0)).endswith(": argument 'tree/w/0' is nan at (1, 0)")
    assert message(lambda: compiled({"w": [1, 1.0]}, rate=float("nan"))).endswith(": argument 'rate' is nan")


@both
def test_a_backward_pass_is_named_by_the_forward_line(exp: Function) -> None:
    def loss(x: Any) -> Any:
        y = mm.sqrt(x)
        return mm.sum(exp(y) * 3.0)

    x = np.array([1.0, 0.0])
    for gradient in (
        mm.compile(mm.grad(loss), check_finite=True),
        mm.grad(mm.compile(loss, check_finite=True)),
        mm.compile(mm.grad(mm.rematerialize(loss)), check_finite=True),
        mm.compile(mm.grad(lambda x: mm.sum(mm.grad(loss)(x))), check_finite=True),
    ):
        assert message(gradient, x).endswith(
            f"that of divide, float64[2]\n  in the backward pass of {line_of(loss, 'mm.sqrt')}"
        )


def test_the_lines_of_a_rule_are_its_own() -> None:
    def rule(cotangent: Any, y: Any, x: Any) -> Any:
        return (cotangent / (x - x),)

    root = mm.custom_vjp(mm.sqrt, rule)
    found = message(mm.compile(mm.grad(lambda x: mm.sum(root(x))), check_finite=True), np.ones(2))
    assert found.endswith(f"that of divide, float64[2]\n  in the backward pass of {line_of(rule, 'x - x')}")


def test_a_rule_of_the_library_belongs_to_the_line_that_it_differentiates() -> None:
    def loss(x: Any) -> Any:
        y = nn.batch_norm(x, epsilon=0.0)
        return mm.sum(y * y * y)

    x = np.array([[1e-15], [-1e-15]], np.float32)  # the spread is 1e-30, to the power of -3/2 more than a float32
    assert np.isfinite(mm.compile(loss, check_finite=True)(x))
    found = message(mm.compile(mm.grad(loss), check_finite=True), x)
    assert found.endswith(f"\n  in the backward pass of {line_of(loss, 'nn.batch_norm')}")


@both
def test_the_task_of_a_vmap_is_named(exp: Function) -> None:
    def f(w: Any, x: Any) -> Any:
        root = mm.sqrt(x * w)
        return exp(root)

    x, w = np.ones((3, 20, 2)), np.ones(2)
    x[1, 7, 0] = -1.0
    one = mm.vmap(f, (None, 0))
    mapped, nested = (mm.compile(function, check_finite=True) for function in (one, mm.vmap(one, (None, 0))))
    assert mapped(w, x[0]).shape == (20, 2)
    where = line_of(f, "mm.sqrt")
    assert message(mapped, w, x[1]).endswith(f"that of sqrt, float64[2], in task 7 of vmap\n  at {where}")
    assert message(nested, w, x).endswith(f"that of sqrt, float64[2], in task 1, 7 of vmap\n  at {where}")
    x[1, 7, 0] = 0.0
    gradient = mm.compile(mm.grad(lambda w, x: mm.sum(one(w, x))), check_finite=True)
    assert message(gradient, w, x[1]).endswith(f", in task 7 of vmap\n  in the backward pass of {where}")

    numbers = mm.compile(mm.vmap(lambda x: mm.log(mm.sin(x) * exp(x))), check_finite=True)
    assert ", float64[], in task 2 of vmap" in message(numbers, np.array([1.0, 2.0, 0.0]))


@both
def test_constants_and_sums_over_tasks_are_results_too(exp: Function) -> None:
    constant = mm.compile(lambda x: (exp(x), np.array([1.0, np.nan])), check_finite=True)
    assert "constant" in message(constant, 0.0)
    total = mm.compile(mm.vmap(lambda x: exp(x * 0.0) * x, out_axes="sum"), check_finite=True)
    big = np.full((2, 1), np.finfo(np.float64).max)
    assert "is the sum over its tasks, of vmap" in message(total, big)
    read = mm.compile(lambda x: exp(-mm.vmap(lambda x: exp(x * 0.0) * x, out_axes="sum")(x)), check_finite=True)
    assert "is the sum over its tasks, of vmap" in message(read, big)


@both
def test_other_errors_stay_what_they_are(exp: Function) -> None:
    with pytest.raises(IndexingError, match="out of bounds"):
        mm.compile(lambda x, i: exp(x)[i], check_finite=True)(np.zeros(2), np.array([2]))


def test_what_reads_a_constant_is_named() -> None:
    def f(x: Any) -> Any:
        infinite = mm.grad(lambda y: mm.sum(mm.log(y * 0.0)) + mm.sum(0.0 * x))(np.ones(2))
        return x + infinite

    assert line_of(f, "x + infinite") in message(mm.compile(f, check_finite=True), 1.0)


def diverging(order: int) -> tuple[Function, Any]:
    """MAML whose inner steps overflow for the second of three tasks."""
    learner = MAML(nn.mlp((1, 8, 1)), nn.mean_squared_error, inner_learning_rate=0.1, inner_steps=3, order=order)
    x = np.random.default_rng(0).uniform(-1, 1, (2, 3, 5, 1)).astype(np.float32)
    y = np.sin(x)
    y[0, 1] = 1e25
    return mm.vmap(learner.meta_gradient, (None, 0)), (
        learner.init(np.random.default_rng(1)),
        Task(Examples(x[0], y[0]), Examples(x[1], y[1])),
    )


@pytest.mark.parametrize("order", [1, 2])
def test_a_learner_that_diverges_is_named_by_the_task(order: int) -> None:
    function, arguments = diverging(order)
    found = message(mm.compile(function, check_finite=True), *arguments)
    assert re.search(r"that of \w+, float32\[.*\], in task 1 of vmap\n  (at|in the backward pass of) ", found), found


def test_without_kernels_the_message_is_the_same() -> None:
    program = (
        "import numpy as np, minimeta as mm\n"
        "f = mm.grad(mm.compile(lambda x: mm.sum(mm.vmap(mm.sqrt)(x)), check_finite=True))\n"
        "try:\n"
        "    f(np.array([1.0, 4.0, 0.0]))\n"
        "except mm.errors.NonFiniteError as error:\n"
        "    print(mm.kernels.native is None, error)\n"
    )
    for isa in ("reference", mm.kernels.level):
        done = fresh_python.run(program, MINIMETA_ISA=isa)
        assert done.returncode == 0, done.stderr
        assert done.stdout == (
            f"{isa == 'reference'} grad(<lambda>): the first result that is NaN or infinite is that of divide, "
            "float64[], in task 2 of vmap\n  in the backward pass of <string>:2, in <lambda>\n"
        )


def test_nothing_is_checked_where_nothing_is_asked() -> None:
    assert_array_equal(mm.compile(mm.log)(np.array([0.0, 1.0])), [-np.inf, 0.0])
