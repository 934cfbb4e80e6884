"""hoist: what all tasks share is computed once, and no bit changes."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

import minimeta as mm
from minimeta import nn
from minimeta.autodiff import tree
from minimeta.autodiff.operations.convolution import conv2d_input
from minimeta.autodiff.steps import Program, by_kernel
from minimeta.errors import IndexingError, NonFiniteError
from minimeta.learners import MAML
from minimeta.program import PASSES, Traced, optimise, trace
from minimeta.tasks import Sinusoid

Array = NDArray[Any]

W = np.random.default_rng(0).normal(size=(3, 4))
X = np.random.default_rng(1).normal(size=(5, 2, 3))
G = np.random.default_rng(2).normal(size=(5, 2, 4))
EXACT = tuple(name for name in PASSES if name != "fuse")


def names(program: Program) -> list[str]:
    return [step.primitive.name for step in program.steps]


def hoisted(
    function: Callable[..., Any], *arguments: Any, passes: tuple[str, ...] = EXACT
) -> tuple[list[str], list[str]]:
    """The steps outside of the program's vmap and those of its body; it gives what it gave before."""
    program = trace(function, *arguments)
    shorter = optimise(program, passes)
    shorter.check()
    check_bits(program, shorter, arguments)
    (body,) = [step.body for step in shorter.steps if step.body and step.tasks]
    return names(shorter), names(body)


def check_bits(program: Traced, shorter: Traced, arguments: Any) -> None:
    expected, found = (tree.flatten(one.run(by_kernel, *arguments))[0] for one in (program, shorter))
    for a, b in zip(expected, found, strict=True):
        assert_array_equal(a, b, strict=True)


def test_what_is_shared_is_computed_once() -> None:
    def function(w: Any, x: Any) -> Any:
        return mm.vmap(lambda w, x: x @ mm.exp(w), (None, 0))(w, x)

    assert hoisted(function, W, X) == (["exp", "vmap"], ["matmul"])
    assert hoisted(function, W, X, passes=()) == (["vmap"], ["exp", "matmul"])


def test_a_convolution_back_to_images_finds_shared_weights_exchanged() -> None:
    rng = np.random.default_rng(0)
    w, g = (rng.normal(size=shape).astype(np.float32) for shape in ((3, 3, 4, 8), (5, 2, 4, 4, 8)))

    def task(w: Any, g: Any) -> Any:
        y = conv2d_input(g, w, 8, 2)
        return conv2d_input(mm.concatenate([y, y], -1), w, 8)

    outside, inside = hoisted(mm.vmap(task, (None, 0)), w, g)
    assert outside == ["transpose", "vmap"]
    assert inside == ["transpose", "conv2d_input", "concatenate", "conv2d_input"]


def test_what_a_task_has_a_part_in_is_not() -> None:
    def function(w: Any, x: Any) -> Any:
        return mm.vmap(lambda w, x: mm.exp(w) * mm.sum(x) + mm.exp(x[0, 0]), (None, 0))(w, x)

    outside, inside = hoisted(function, W, X)
    assert outside == ["exp", "vmap"]
    assert inside.count("exp") == 1


def test_a_chain_leaves_as_a_whole_and_views_stay() -> None:
    def function(w: Any, x: Any) -> Any:
        return mm.vmap(lambda w, x: x * mm.sum(mm.tanh(mm.exp(w.T)[1:]), axis=0)[:, None].T, (None, 0))(w, x)

    outside, inside = hoisted(function, W, X)
    assert {"exp", "tanh", "sum", "vmap"} <= set(outside)
    assert not {"exp", "tanh", "sum"} & set(inside)
    assert "multiply" in inside


@pytest.mark.parametrize(
    "times_turned", [lambda g, w: g @ w.T, lambda g, w: mm.vjp(lambda x: x @ w, np.ones((2, 3)))[1](g)[0]]
)
def test_a_shared_right_factor_is_turned_once(times_turned: Callable[..., Any]) -> None:
    def function(w: Any, g: Any) -> Any:
        return mm.vmap(lambda w, g: (times_turned(g, w), times_turned(mm.sin(g), w)), (None, 0))(w, g)

    assert hoisted(function, W, G) == (["transpose", "vmap"], ["matmul", "sin", "matmul"])
    (body,) = [step.body for step in optimise(trace(function, W, G)).steps if step.body and step.tasks]
    assert not any(step.params.get("transpose_y") for step in body.steps)


@pytest.mark.parametrize("activation", [mm.tanh, mm.sigmoid])
def test_a_shared_slope_is_computed_once(activation: Callable[..., Any]) -> None:
    slope = f"{activation.__name__}_slope"

    def function(w: Any, g: Any) -> Any:
        _, pullback = mm.vjp(activation, w)
        return mm.vmap(lambda g: (pullback(g)[0], pullback(mm.sin(g))[0]))(g)

    w = np.array([-np.inf, -0.5, -0.0, 100.0, np.nan])
    outside, inside = hoisted(function, w, np.stack([w, w[::-1]]))
    assert (outside.count(slope), inside.count(slope), inside.count("multiply")) == (1, 0, 2)

    def of_a_task(w: Any, x: Any) -> Any:
        return mm.vmap(mm.grad(lambda x: mm.sum(activation(x))))(x)

    outside, inside = hoisted(of_a_task, W, X)
    assert (outside.count(slope), inside.count(slope)) == (0, 1)


def test_a_factor_of_a_task_and_one_of_one_row_are_not() -> None:
    def of_a_task(w: Any, g: Any) -> Any:
        return mm.vmap(lambda g: g @ g.T)(g)

    def row(w: Any, g: Any) -> Any:
        return mm.vmap(lambda w, g: mm.vjp(lambda x: x @ w, np.ones((2, 1)))[1](g)[0], (None, 0))(w, g)

    for function, w in ((of_a_task, W), (row, W[:1])):
        outside, inside = hoisted(function, w, G)
        assert outside == ["vmap"]
        assert inside[-1] == "matmul"


def test_constants_are_shared() -> None:
    def function(g: Any) -> Any:
        return mm.vmap(lambda g: g @ W.T + mm.exp(np.ones(3)))(g)

    outside, inside = hoisted(function, G)
    assert "exp" not in inside
    assert "vmap" in outside


def test_an_output_may_be_what_is_shared() -> None:
    def function(w: Any, x: Any) -> Any:
        both = mm.vmap(lambda w, x: (mm.exp(w), mm.tanh(w), mm.sum(x)), (None, 0), (0, "sum", 0))
        return both(w, x)

    assert hoisted(function, W, X) == (["exp", "tanh", "vmap"], ["sum"])


def test_no_task_no_work() -> None:
    def function(w: Any, x: Any) -> Any:
        return mm.vmap(lambda w, x: x @ mm.exp(w), (None, 0))(w, x)

    assert hoisted(function, W, X[:0]) == (["vmap"], ["exp", "matmul"])


def test_through_two_vmaps() -> None:
    def function(w: Any, x: Any) -> Any:
        def inner(w: Any, x: Any) -> Any:
            return mm.vmap(lambda w, x: x * mm.sum(mm.exp(w)), (None, 0))(w, x)

        return mm.vmap(inner, (None, 0))(w, x)

    program = trace(function, W, X)
    shorter = optimise(program, EXACT)
    check_bits(program, shorter, (W, X))
    assert names(shorter) == ["exp", "sum", "vmap"]


def test_what_goes_wrong_is_still_put_down_to_its_line() -> None:
    def taken(w: Any, i: Any, x: Any) -> Any:
        return mm.vmap(lambda w, i, x: x * mm.take(w, i)[0], (None, None, 0))(w, i, x)  # out of range

    def logarithm(w: Any, x: Any) -> Any:
        return mm.vmap(lambda w, x: x * mm.log(w), (None, 0))(w, x)  # of a negative number

    with pytest.raises(
        IndexingError, match=r"index 7 is out of bounds for axis 0 with size 3\n.*test_hoist.py:\d+, in <lambda>"
    ):
        mm.compile(taken)(np.arange(3.0), np.array([7]), np.ones((5, 2)))
    with pytest.raises(NonFiniteError, match=r"that of log, float64\[\]\n.*test_hoist.py:\d+, in <lambda>"):
        mm.compile(logarithm, check_finite=True)(np.array(-1.0), np.ones((5, 2)))


@pytest.mark.parametrize("order", [1, 2])
def test_the_first_step_of_maml_turns_its_weights_once(order: int) -> None:
    model = nn.mlp((1, 8, 8, 1))
    learner = MAML(model, nn.mean_squared_error, 0.1, 1, order)
    batch = Sinusoid.maml(4, 4).sample(np.random.default_rng(0), 3)

    def function(parameters: Any, batch: Any) -> Any:
        results = mm.vmap(learner.meta_gradient, (None, 0), {"loss": 0, "metrics": 0, "gradient": "sum"})
        return results(parameters, batch)

    outside, _ = hoisted(function, learner.init(np.random.default_rng(0)), batch)
    assert outside.count("transpose") == 1  # of the one that has more than a row and a column
