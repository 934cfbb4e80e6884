"""What MAML, first-order MAML and Reptile do to first order in the step size (Nichol et al. 2018, section 5.1).

With ``g_i`` and ``H_i`` the gradient and Hessian at ``theta`` of the loss of mini-batch i, and step size ``a``,

    MAML              g_k - a sum_{j<k} H_k g_j - a sum_{j<k} H_j g_k + O(a^2)
    first-order MAML  g_k - a sum_{j<k} H_k g_j + O(a^2)
    Reptile           sum_i g_i - a sum_i sum_{j<i} H_i g_j + O(a^2)

The losses are cubic polynomials with known derivatives, and the coefficients of ``a`` are measured by differences.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from drawing import share
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

import minimeta as mm
from minimeta import nn, optim
from minimeta.learners import MAML, Reptile
from minimeta.learners.mini_batches import order
from minimeta.tasks import Examples, Task

SIZE = 3


def cubic(outputs: Any, slopes: Any) -> Any:
    """The mean over examples of ``c . theta + theta . A theta / 2 + (u . theta)^3 / 6``."""
    theta, curvatures = outputs
    matrices, directions = curvatures[:, :SIZE], curvatures[:, SIZE]
    linear, along = slopes @ theta, directions @ theta
    quadratic = mm.sum((matrices @ theta) * theta, 1)
    return mm.mean(linear + quadratic / 2.0 + along * along * along / 6.0)


MODEL = nn.Model(lambda rng: rng.normal(size=SIZE), lambda parameters, inputs: (parameters, inputs))


def drawn(rng: np.random.Generator, examples: int) -> Examples:
    matrices = rng.normal(size=(examples, SIZE, SIZE))
    matrices = matrices + matrices.transpose(0, 2, 1)
    return Examples(
        np.concatenate([matrices, rng.normal(size=(examples, 1, SIZE))], 1), rng.normal(size=(examples, SIZE))
    )


def gradient(theta: Any, examples: Examples) -> Any:
    matrices, directions = examples.inputs[:, :SIZE], examples.inputs[:, SIZE]
    along = directions @ theta
    return np.mean(examples.targets + matrices @ theta + along[:, None] ** 2 * directions / 2, axis=0)


def hessian(theta: Any, examples: Examples) -> Any:
    matrices, directions = examples.inputs[:, :SIZE], examples.inputs[:, SIZE]
    outer = directions[:, :, None] * directions[:, None, :]
    return np.mean(matrices + (directions @ theta)[:, None, None] * outer, axis=0)


def coefficient(function: Callable[[float], Any], at_zero: Any) -> Any:
    """The derivative at 0, by two differences and Richardson's extrapolation."""
    step = 1e-4
    whole, half = ((function(a) - at_zero) / a for a in (step, step / 2))
    return 2 * half - whole


@share(0.3)
@given(seed=st.integers(0, 10_000), steps=st.integers(2, 5))
def test_maml_and_first_order_maml(seed: int, steps: int) -> None:
    # The same support loss k - 1 times, then the query loss.
    rng = np.random.default_rng(seed)
    theta, task = MODEL.init(rng), Task(drawn(rng, 2), drawn(rng, 2))
    inner, outer = (gradient(theta, examples) for examples in (task.support, task.query))
    shared = -(steps - 1) * hessian(theta, task.query) @ inner
    second_order = -(steps - 1) * hessian(theta, task.support) @ outer
    for order_, expected in ((2, shared + second_order), (1, shared)):

        def meta_gradient(a: float, order: int = order_) -> Any:
            return MAML(MODEL, cubic, a, steps - 1, order).meta_gradient(theta, task).gradient

        assert_allclose(meta_gradient(1e-12), outer, rtol=1e-9, atol=1e-9)
        assert_allclose(coefficient(meta_gradient, outer), expected, rtol=1e-4, atol=1e-4)


@share(0.3)
@given(seed=st.integers(0, 10_000), steps=st.integers(1, 5))
def test_reptile(seed: int, steps: int) -> None:
    rng = np.random.default_rng(seed)
    theta, support = MODEL.init(rng), drawn(rng, 2 * steps)
    places = order(2 * steps, 2 * steps).reshape(steps, 2)
    batches = [Examples(support.inputs[place], support.targets[place]) for place in places]
    gradients = [gradient(theta, batch) for batch in batches]
    expected = -sum(hessian(theta, batches[i]) @ gradients[j] for i in range(steps) for j in range(i))

    def meta_gradient(a: float) -> Any:
        learner = Reptile(MODEL, cubic, optim.sgd(a), steps, batch_size=2)
        return (
            learner.meta_gradient({"initial": theta, "inner_state": ()}, Task(support, support)).gradient["initial"] / a
        )

    assert_allclose(coefficient(meta_gradient, sum(gradients)), expected + np.zeros(SIZE), rtol=1e-4, atol=1e-4)


@share(0.2)
@given(seed=st.integers(0, 10_000))
def test_reptile_makes_mini_batches_agree(seed: int) -> None:
    # Averaged over both orders of two mini-batches the coefficient is -1/2 of the gradient of g_1 . g_2.
    rng = np.random.default_rng(seed)
    theta, support = MODEL.init(rng), drawn(rng, 2)
    orders = [Examples(support.inputs[place], support.targets[place]) for place in ([0, 1], [1, 0])]

    def mean_gradient(a: float) -> Any:
        learner = Reptile(MODEL, cubic, optim.sgd(a), 2, batch_size=1)
        meta = {"initial": theta, "inner_state": ()}
        return sum(learner.meta_gradient(meta, Task(each, each)).gradient["initial"] for each in orders) / (2 * a)

    def agreement(theta: Any) -> Any:
        one, other = (gradient(theta, Examples(support.inputs[i : i + 1], support.targets[i : i + 1])) for i in (0, 1))
        return one @ other

    differences = np.array([agreement(theta + step) - agreement(theta - step) for step in 1e-5 * np.eye(SIZE)]) / 2e-5
    both = 2 * gradient(theta, support)
    assert_allclose(coefficient(mean_gradient, both), -differences / 2, rtol=1e-4, atol=1e-4)
