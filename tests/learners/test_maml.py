"""MAML against closed forms, and its meta-gradients against the oracles of ``minimeta.testing``."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from drawing import share
from hypothesis import given
from hypothesis import strategies as st
from maml_problems import each_problem, leaves, problem, sinusoid_task
from numpy.testing import assert_allclose, assert_array_equal

import minimeta as mm
from minimeta import nn
from minimeta.learners import MAML
from minimeta.program import trace
from minimeta.tasks.task import Examples, Task
from minimeta.testing import check_meta_gradient
from minimeta.testing.limits import along

# On a quadratic loss 1/2 (theta - c)^T A (theta - c) everything is known:
#   theta_k - c = (I - a A)^k (theta - c),    d L_Q(theta_k) / d theta = (I - a A)^k A_q (theta_k - c_q).


def quadratic(outputs: Any, centre: Any) -> Any:
    parameters, matrix = outputs
    deviation = parameters - centre
    return 0.5 * (deviation @ matrix @ deviation)


QUADRATIC = nn.Model(lambda rng: rng.normal(size=3), lambda parameters, matrix: (parameters, matrix))


def symmetric(rng: np.random.Generator, size: int) -> Any:
    """A symmetric matrix with eigenvalues in [0.1, 1.5]."""
    rotation = np.linalg.qr(rng.normal(size=(size, size)))[0]
    return rotation @ np.diag(rng.uniform(0.1, 1.5, size)) @ rotation.T


@share(1)
@given(
    size=st.integers(1, 5),
    steps=st.integers(0, 6),
    rate=st.sampled_from([0.01, 0.1, 0.5, 1.0]),
    order=st.sampled_from([1, 2]),
    seed=st.integers(0, 10_000),
)
def test_the_meta_gradient_of_a_quadratic(size: int, steps: int, rate: float, order: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    support, query = symmetric(rng, size), symmetric(rng, size)
    centre, goal, start = rng.normal(size=(3, size))
    learner = MAML(QUADRATIC, quadratic, rate, inner_steps=steps, order=order)
    result = learner.meta_gradient(start, Task(Examples(support, centre), Examples(query, goal)))

    contraction = np.linalg.matrix_power(np.eye(size) - rate * support, steps)
    adapted = centre + contraction @ (start - centre)
    expected = query @ (adapted - goal)
    loss = 0.5 * (adapted - goal) @ expected
    if order == 2:
        expected = contraction @ expected
    assert_allclose(result.gradient, expected, rtol=1e-12, atol=1e-12)
    assert_allclose(result.loss, loss, rtol=1e-12, atol=1e-12)
    trajectory = learner.adapt(start, Examples(support, centre), steps)
    assert_allclose(trajectory[-1], adapted, rtol=1e-12, atol=1e-12)


@share(0.2)
@given(seed=st.integers(0, 10_000), steps=st.integers(1, 4))
def test_the_derivative_of_the_meta_gradient_of_a_quadratic(seed: int, steps: int) -> None:
    # One order higher: the meta-Hessian is (I - aA)^k A_q (I - aA)^k.
    rng = np.random.default_rng(seed)
    support, query = symmetric(rng, 3), symmetric(rng, 3)
    centre, goal, start = rng.normal(size=(3, 3))
    learner = MAML(QUADRATIC, quadratic, 0.3, inner_steps=steps)
    task = Task(Examples(support, centre), Examples(query, goal))
    hessian = mm.jacobian(lambda theta: learner.meta_gradient(theta, task).gradient)(start)
    contraction = np.linalg.matrix_power(np.eye(3) - 0.3 * support, steps)
    assert_allclose(hessian, contraction @ query @ contraction, rtol=1e-11, atol=1e-12)


def test_both_orders_agree_where_the_support_loss_has_no_curvature() -> None:
    model = nn.Model(lambda rng: rng.normal(size=3), lambda parameters, inputs: inputs @ parameters)
    rng = np.random.default_rng(0)
    task = Task(Examples(rng.normal(size=(4, 3)), np.zeros(4)), Examples(rng.normal(size=(4, 3)), np.zeros(4)))
    start = rng.normal(size=3)

    def loss(outputs: Any, targets: Any) -> Any:
        return mm.mean(outputs - targets)

    first, second = (MAML(model, loss, 0.1, 3, order=order).meta_gradient(start, task) for order in (1, 2))
    assert_allclose(first.gradient, second.gradient, rtol=1e-14)


# On networks


@pytest.mark.parametrize(
    ("kind", "order", "steps"),
    [
        ("sinusoid", 2, 2),
        ("sinusoid", 1, 2),
        ("characters", 2, 2),
        ("characters", 1, 2),
        ("images", 2, 2),
        ("images", 1, 2),
    ],
)
def test_the_meta_gradient_is_that_of_the_meta_loss(kind: str, order: int, steps: int) -> None:
    # Two steps take all that more do. One and many are compared with closed forms above.
    learner, parameters, task = problem(kind, order, steps)
    expected = {1: "first order", 2: "second order"}[order]
    highest = 1 if kind == "images" else 2
    report = check_meta_gradient(learner, task, meta_parameters=parameters, kind=expected, order=highest)
    assert (report.oracle, report.kind) == ("complex step", expected)


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("settings", [{"learned_rates": True}, {"adapts": ("2",)}], ids=str)
def test_variations_have_the_gradients_of_their_meta_losses(settings: dict[str, Any], order: int) -> None:
    learner, _, task = problem("sinusoid", order, 2)
    kind = {1: "first order", 2: "second order"}[order]
    check_meta_gradient(dataclasses.replace(learner, **settings), task, kind=kind)


def test_the_meta_gradient_of_the_papers_network_on_omniglot() -> None:
    rng = np.random.default_rng(0)
    ink = rng.random((2, 5, 28, 28, 1)) * (rng.random((2, 5, 28, 28, 1)) < 0.3)
    task = Task(Examples(ink[0], np.arange(5)), Examples(ink[1], np.arange(5)))
    model = nn.conv4((28, 28, 1), 5, initialiser="glorot", dtype=np.float64)
    first, second = (MAML(model, nn.cross_entropy, 0.4, 1, order) for order in (1, 2))
    parameters = second.init(rng)
    gradients = [leaves(learner.meta_gradient(parameters, task).gradient) for learner in (first, second)]

    def loss(parameters: Any) -> Any:
        adapted = second.adapt(parameters, task.support, 1)[-1]
        return nn.cross_entropy(second.predict(adapted, task.query.inputs), task.query.targets)

    # All directions of so many parameters would take long; one sees every entry.
    program = trace(loss, parameters)
    direction = mm.tree.map(lambda p: rng.normal(size=p.shape) * (np.std(p) or 1.0), parameters)
    (slope,) = along(program, leaves(parameters), leaves(direction)).derivatives
    one, two = (sum(float(np.sum(g * u)) for g, u in zip(gs, leaves(direction), strict=True)) for gs in gradients)
    assert_allclose(two, slope, rtol=1e-9)
    assert abs(one - slope) > 0.01


@each_problem
@pytest.mark.parametrize("steps", [0, 1, 3])
def test_the_first_order_meta_gradient_is_the_gradient_at_the_adapted_parameters(kind: str, steps: int) -> None:
    learner, parameters, task = problem(kind, 1, steps)
    result = learner.meta_gradient(parameters, task)
    adapted = learner.adapt(parameters, task.support, steps)[-1]

    def loss(parameters: Any) -> Any:
        return learner.loss(learner.predict(parameters, task.query.inputs), task.query.targets)

    value, gradient = mm.value_and_grad(loss)(adapted)
    assert_array_equal(result.loss, value)
    for one, other in zip(leaves(result.gradient), leaves(gradient), strict=True):
        assert_array_equal(one, other)


@each_problem
def test_orders_differ_and_agree_in_what_does_not_depend_on_them(kind: str) -> None:
    (first, parameters, task), (second, _, _) = problem(kind, 1, 2), problem(kind, 2, 2)
    one, other = first.meta_gradient(parameters, task), second.meta_gradient(parameters, task)
    assert_allclose(one.loss, other.loss, rtol=1e-15)
    assert any(
        not np.allclose(a, b, rtol=1e-3) for a, b in zip(leaves(one.gradient), leaves(other.gradient), strict=True)
    )
    for a, b in zip(*(leaves(x.adapt(parameters, task.support, 3)) for x in (first, second)), strict=True):
        assert_array_equal(a, b)


@each_problem
@pytest.mark.parametrize("order", [1, 2])
def test_adaptation_is_gradient_descent_and_has_all_its_steps(kind: str, order: int) -> None:
    learner, parameters, task = problem(kind, order, 1)
    trajectory = learner.adapt(parameters, task.support, 4)
    assert isinstance(trajectory, tuple)
    assert len(trajectory) == 5

    def loss(parameters: Any) -> Any:
        return learner.loss(learner.predict(parameters, task.support.inputs), task.support.targets)

    expected = parameters
    for place in trajectory:
        for a, b in zip(leaves(place), leaves(expected), strict=True):
            assert isinstance(a, np.ndarray)
            assert_allclose(a, b, rtol=1e-12, atol=1e-14)
        expected = mm.tree.map(lambda p, g: p - learner.inner_learning_rate * g, expected, mm.grad(loss)(expected))
    assert loss(trajectory[4]) < loss(trajectory[0])
    for steps in range(4):
        for one, other in zip(learner.adapt(parameters, task.support, steps), trajectory, strict=False):
            for a, b in zip(leaves(one), leaves(other), strict=True):
                assert_array_equal(a, b)


@each_problem
@pytest.mark.parametrize("order", [1, 2])
def test_results_are_numpy_and_nothing_is_changed(kind: str, order: int) -> None:
    learner, parameters, task = problem(kind, order, 2)
    inputs = leaves((parameters, task))
    before = [x.copy() for x in inputs]
    result = learner.meta_gradient(parameters, task)
    assert mm.tree.flatten(result.gradient)[1] == mm.tree.flatten(parameters)[1]
    assert set(result.metrics) == set(learner.metrics)
    arrays = [result.loss, *result.metrics.values(), *leaves(result.gradient)]
    for i, array in enumerate(arrays):
        assert type(array) is np.ndarray and array.flags.writeable and array.flags.c_contiguous
        assert not any(np.may_share_memory(array, other) for other in (*inputs, *arrays[:i]))
    for x, y in zip(inputs, before, strict=True):
        assert_array_equal(x, y)


def test_metrics_are_measured_on_the_query_set_after_adaptation() -> None:
    learner, parameters, task = problem("characters", 2, 2)
    adapted = learner.adapt(parameters, task.support, 2)[-1]
    hits = learner.predict(adapted, task.query.inputs).argmax(-1) == task.query.targets
    assert_allclose(learner.meta_gradient(parameters, task).metrics["accuracy"], hits.mean(), rtol=1e-15)


def test_float32_stays_float32() -> None:
    model = nn.mlp((1, 4, 1))
    learner = MAML(model, nn.mean_squared_error, 0.01, 2)
    task = mm.tree.map(lambda x: x.astype(np.float32), sinusoid_task(np.random.default_rng(0)))
    result = learner.meta_gradient(learner.init(np.random.default_rng(0)), task)
    assert {x.dtype.name for x in (result.loss, *leaves(result.gradient))} == {"float32"}
