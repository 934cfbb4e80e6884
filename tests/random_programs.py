"""Random scalar functions that use every family of operations, for the tests that hold for all functions."""

from collections.abc import Callable
from typing import Any

import numpy as np
from drawing import spread
from hypothesis import strategies as st

import minimeta as mm

Function = Callable[..., Any]

# Each takes two arrays of shape (2, 3) to another, smooth almost everywhere and of moderate size.
STEPS: list[Function] = [
    lambda a, b: a + b,
    lambda a, b: a - 0.5 * b,
    lambda a, b: a * b,
    lambda a, b: a / (1.5 + b * b),
    lambda a, b: mm.sin(a),
    lambda a, b: mm.tanh(a * b),
    lambda a, b: mm.sigmoid(a) * b,
    lambda a, b: mm.softplus(a),
    lambda a, b: mm.exp(-mm.square(a)),
    lambda a, b: mm.log1p(mm.square(a)),
    lambda a, b: mm.sqrt(1.0 + mm.square(b)),
    lambda a, b: mm.power(1.0 + mm.absolute(a), mm.tanh(b)),
    mm.maximum,
    lambda a, b: mm.where(a > b, a, b * 0.5),
    lambda a, b: mm.relu(a) + b,
    lambda a, b: mm.clip(a, -1.0, mm.absolute(b)),
    lambda a, b: a @ mm.tanh(b.T @ a),
    lambda a, b: mm.softmax(a, 0) * b,
    lambda a, b: mm.log_softmax(a, (0, 1)),
    lambda a, b: a - mm.mean(b, 0, keepdims=True),
    lambda a, b: a / mm.sqrt(mm.var(b, 1, keepdims=True) + 0.5),
    lambda a, b: mm.max(a, 1, keepdims=True) + b,
    lambda a, b: mm.sum(a) * 0.1 + b,
    lambda a, b: mm.norm(a) * mm.tanh(b),
    lambda a, b: mm.logsumexp(a, 1, keepdims=True) - b,
    lambda a, b: a[::-1, [2, 0, 0]] * b,
    lambda a, b: mm.concatenate([a, b], 1)[:, 1:6:2],
    lambda a, b: mm.reshape(mm.transpose(a), (2, 3)) + b,
    lambda a, b: mm.stack([a, b])[np.array([1, 0]), :, np.array([0, 2])] @ b,
    lambda a, b: mm.take_along_axis(a, np.array([[2, 2, 0], [1, 0, 1]]), 1) * b,
    lambda a, b: mm.scatter_add(a, np.array([0, 0]), b),
    lambda a, b: mm.pad(a, 1)[1:-1, :3] + b,
    lambda a, b: mm.rematerialize(lambda a: mm.sin(a) * b)(a),
    lambda a, b: mm.grad(lambda y: mm.sum(mm.tanh(y) * b))(a),
    lambda a, b: mm.jvp(lambda y: mm.sin(y) * a, (b,), (a,))[1],
    lambda a, b: mm.custom_vjp(mm.sin, lambda g, y, x: (g * mm.cos(x),))(a) + b,
]


@st.composite
def programs(draw: st.DrawFn) -> Function:
    """A scalar function of a (2, 3) array, of one to six random steps."""
    steps: list[tuple[Function, int, int]] = []
    for count in range(draw(st.integers(1, 6))):
        steps.append((draw(st.sampled_from(STEPS)), draw(st.integers(0, count + 1)), draw(st.integers(0, count + 1))))
    constant = spread(np.random.default_rng(1), (2, 3))

    def function(x: Any) -> Any:
        values = [x, constant]
        for step, left, right in steps:
            values.append(step(values[left], values[right]))
        return mm.sum(values[-1] * constant) + mm.sum(mm.sin(values[len(values) // 2] * x))

    wrapped: dict[str, Function] = {
        "plain": function,
        "rematerialized": mm.rematerialize(function),
        "slope": lambda x: mm.jvp(function, (x,), (constant,))[1],
        "closure": lambda x: mm.sum(mm.grad(lambda y: function(y) * mm.sum(x))(constant) * x),
    }
    return wrapped[draw(st.sampled_from(list(wrapped)))]
