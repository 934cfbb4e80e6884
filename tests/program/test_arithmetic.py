"""Counts of floating-point operations, against counts by hand."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from drawing import samples, share
from hypothesis import given
from hypothesis import strategies as st

import minimeta as mm
from minimeta import nn
from minimeta.autodiff.apply import apply
from minimeta.autodiff.primitive import registry
from minimeta.learners import MAML
from minimeta.program import PASSES, optimise, trace
from minimeta.program.arithmetic import operations
from minimeta.program.passes import GROUPING
from minimeta.tasks.task import Examples, Task

Function = Callable[..., Any]


def counted(function: Function, *arguments: Any) -> Counter[str]:
    """Without fusion, which computes some values again."""
    program = optimise(trace(function, *arguments), [name for name in PASSES if name not in GROUPING])
    return operations(program)


def test_products() -> None:
    x, w, stack = np.ones((3, 4)), np.ones((4, 5)), np.ones((7, 3, 4))
    assert counted(mm.matmul, x, w) == {"matmul": 2 * 3 * 4 * 5}
    assert counted(mm.matmul, stack, np.ones((7, 4, 2))) == {"matmul": 7 * 2 * 3 * 4 * 2}
    assert counted(mm.matmul, x, np.ones(4)) == {"matmul": 2 * 3 * 4}
    gradients = counted(mm.grad(lambda x, w: mm.sum(x @ w), (0, 1)), x, w)
    assert gradients == {"matmul": 2 * (2 * 3 * 4 * 5)}  # the value itself is not needed


@pytest.mark.parametrize(("strides", "padding", "side"), [(1, 0, 4), (2, 0, 2), (1, 1, 6)])
def test_convolutions(strides: int, padding: int, side: int) -> None:
    x, w = np.ones((2, 6, 6, 3)), np.ones((3, 3, 3, 5))

    def convolved(x: Any, w: Any) -> Any:
        return mm.sum(mm.conv2d(x, w, strides=strides, padding=padding))

    once = 2 * (2 * side * side) * (3 * 3 * 3) * 5
    assert counted(convolved, x, w) == {"conv2d": once, "sum": 2 * side * side * 5}
    assert counted(mm.grad(convolved, (0, 1)), x, w) == {"conv2d_input": once, "conv2d_weight": once}


def test_functions_reductions_and_movements() -> None:
    x, i = np.ones((4, 6)), np.array([1, 0, 1])
    assert counted(lambda x: mm.where(x > 0.0, mm.exp(x), x * 2.0), x) == {
        "greater": 24,
        "exp": 24,
        "multiply": 24,
        "where": 24,
    }
    assert counted(lambda x: (mm.sum(x, 0), mm.softmax(x), mm.max(x), mm.norm(x, 1)), x) == {
        "sum": 24,
        "softmax": 24,
        "max": 24,
        "norm": 24,
    }
    assert not counted(lambda x: (x.T, x.reshape(24), x[1:], mm.pad(x, 1), mm.concatenate([x, x]), x[i]), x)
    assert not counted(lambda x: mm.astype(x, np.float32), x)
    assert counted(lambda x: mm.scatter_add(np.zeros((4, 6)), i, x[:3]), x) == {"add": 24, "scatter_add": 18}
    assert counted(lambda x: mm.average_pool(x, 2), np.ones((1, 4, 6, 2))) == {"sum_pool": 48, "divide": 12}
    assert counted(lambda x: mm.max_pool(x, 2), np.ones((1, 4, 6, 2))) == {"max_cell": 48}


MOVING = {"alias", "astype", "broadcast_to", "concatenate", "copy", "fitted", "gather", "pad", "reshape", "slice"}
MOVING |= {"pool_put", "pool_take", "stop_gradient", "transpose"}


@pytest.mark.parametrize("name", sorted(registry))
@given(data=st.data())
@share(0.1)
def test_every_primitive_is_counted_or_moves_numbers(name: str, data: st.DataObject) -> None:
    operands, params = data.draw(samples(registry[name]))
    program = trace(lambda *x: apply(registry[name], *x, **params), *operands)
    found = operations(program)
    assert set(found) <= {name} and min(found.values(), default=1) > 0
    if name in MOVING:
        assert not found
    elif all(x.size for x in operands):
        assert found


def test_regions_count_what_is_in_them() -> None:
    x, w = np.ones((5, 3, 4)), np.ones((4, 2))

    def body(x: Any) -> Any:
        return mm.exp(x @ w)

    of_one = Counter({"matmul": 2 * 3 * 4 * 2, "exp": 6})
    assert counted(body, x[0]) == counted(mm.rematerialize(body), x[0]) == of_one
    five = Counter({name: 5 * count for name, count in of_one.items()})
    assert counted(mm.vmap(body), x) == five
    assert counted(mm.vmap(body, out_axes="sum"), x) == five + Counter({"vmap": 4 * 6})
    assert counted(mm.vmap(mm.vmap(body)), np.ones((2, 5, 3, 4))) == five + five


def test_a_network() -> None:
    """Ten points through 1-40-40-1: products, biases, activations, and the mean of squares."""
    model, rng = nn.mlp((1, 40, 40, 1)), np.random.default_rng(0)
    x = rng.normal(size=(10, 1)).astype(np.float32)
    parameters = model.init(rng)

    def loss(parameters: Any, x: Any, y: Any) -> Any:
        return nn.mean_squared_error(model.apply(parameters, x), y)

    found = counted(loss, parameters, x, x)
    assert found["matmul"] == 2 * 10 * (1 * 40 + 40 * 40 + 40 * 1)
    assert found["add"] == 10 * (40 + 40 + 1)
    assert found["relu"] == 10 * (40 + 40)
    assert found["subtract"] == found["square"] == found["mean"] == 10
    assert found.total() == 33_600 + 810 + 800 + 30
    # Backwards two products for each forward, except for the cotangent of x.
    assert counted(mm.grad(loss), parameters, x, x)["matmul"] == 3 * found["matmul"] - 2 * 10 * 40


def test_a_second_order_meta_step_of_convolutions() -> None:
    """By hand: how often a convolution of each layer, or one of its transposes, is in MAML's gradient after one step.

    Forward and the cotangent of the weights, on support and query, are 4; each has two cotangents of its own on the
    support, which make 4 more. Where the images are an activation their cotangent is 2, and 2 more on the support; and
    where they are data, nobody asks for a cotangent of theirs, which saves 2 of the 4.
    """
    images = np.random.default_rng(0).normal(size=(2, 2, 16, 16, 1)).astype(np.float32)
    labels = np.array([0, 1])
    task = Task(Examples(images[0], labels), Examples(images[1], labels))
    model = nn.conv4((16, 16, 1), 2, filters=3, downsampling="stride")
    learner = MAML(model, nn.cross_entropy, inner_learning_rate=0.1, inner_steps=1)
    compiled = mm.compile(learner.meta_gradient)
    arguments = learner.init(np.random.default_rng(1)), task
    found = operations(compiled.lower(*arguments))
    first, *others = [
        2 * (2 * side * side) * (3 * 3 * channels) * 3 for side, channels in ((8, 1), (4, 3), (2, 3), (1, 3))
    ]
    assert found["conv2d"] + found["conv2d_input"] + found["conv2d_weight"] == 6 * first + 12 * sum(others)
    assert compiled.stats(*arguments).arithmetic_operations == found.total()
