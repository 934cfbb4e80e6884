"""Reptile against closed forms, and against its released algorithm in numpy."""

from typing import Any

import numpy as np
import pytest
from drawing import share
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import minimeta as mm
from minimeta import nn, optim
from minimeta.errors import ConfigurationError
from minimeta.learners import MetaLearner, Reptile
from minimeta.learners.mini_batches import order
from minimeta.learners.reptile import outer_step
from minimeta.tasks import Examples, Sinusoid, Task
from minimeta.training import fit, make_step


def leaves(x: Any) -> list[Any]:
    return mm.tree.flatten(x)[0]


MODEL = nn.mlp((1, 5, 1), activation="tanh", dtype=np.float64)


def wave(seed: int, examples: int = 12) -> Task:
    rng = np.random.default_rng([seed, 3])
    inputs = rng.uniform(-2, 2, (2, examples, 1))
    targets = 1.5 * np.sin(inputs + rng.normal())
    return Task(Examples(inputs[0], targets[0]), Examples(inputs[1], targets[1]))


def loss_at(parameters: Any, examples: Examples) -> Any:
    return nn.mean_squared_error(MODEL.apply(parameters, examples.inputs), examples.targets)


# The algorithm


@share(0.2)
@given(seed=st.integers(0, 10_000), rate=st.sampled_from([0.01, 0.3]))
def test_one_step_is_the_joint_gradient(seed: int, rate: float) -> None:
    learner = Reptile(MODEL, nn.mean_squared_error, optim.sgd(rate), 1)
    meta, task = learner.init(np.random.default_rng(seed)), wave(seed)
    found = learner.meta_gradient(meta, task).gradient["initial"]
    for g, expected in zip(leaves(found), leaves(mm.grad(loss_at)(meta["initial"], task.support)), strict=True):
        assert_allclose(g, rate * expected, rtol=1e-11, atol=1e-15)


@share(0.3)
@given(size=st.integers(1, 5), steps=st.integers(1, 6), seed=st.integers(0, 10_000))
def test_the_meta_gradient_on_a_quadratic(size: int, steps: int, seed: int) -> None:
    # On 1/2 (theta - c)^T A (theta - c), phi - c = (I - a A)^k (theta - c).
    rng = np.random.default_rng(seed)
    rotation = np.linalg.qr(rng.normal(size=(size, size)))[0]
    matrix = rotation @ np.diag(rng.uniform(0.1, 1.5, size)) @ rotation.T
    centre, start = rng.normal(size=(2, size))
    model = nn.Model(lambda rng: rng.normal(size=size), lambda parameters, matrix: (parameters, matrix))

    def quadratic(outputs: Any, centre: Any) -> Any:
        deviation = outputs[0] - centre
        return 0.5 * (deviation @ outputs[1] @ deviation)

    learner = Reptile(model, quadratic, optim.sgd(0.3), steps)
    task = Task(Examples(matrix, centre), Examples(matrix, centre))
    found = learner.meta_gradient({"initial": start, "inner_state": ()}, task)
    left = np.linalg.matrix_power(np.eye(size) - 0.3 * matrix, steps) @ (start - centre)
    assert_allclose(found.gradient["initial"], start - centre - left, rtol=1e-11, atol=1e-13)
    assert_allclose(found.loss, 0.5 * left @ matrix @ left, rtol=1e-10, atol=1e-15)


def test_steps_are_on_mini_batches_and_the_loss_is_on_the_query_set() -> None:
    learner = Reptile(
        MODEL, nn.mean_squared_error, optim.sgd(0.1), 4, batch_size=5, metrics={"again": nn.mean_squared_error}
    )
    meta, task = learner.init(np.random.default_rng(0)), wave(0)
    phi = meta["initial"]
    places = order(12, 20).reshape(4, 5)
    for place in places:
        batch = Examples(task.support.inputs[place], task.support.targets[place])
        phi = mm.tree.map(lambda p, g: p - 0.1 * g, phi, mm.grad(loss_at)(phi, batch))
    found = learner.meta_gradient(meta, task)
    for g, start, end in zip(*map(leaves, (found.gradient["initial"], meta["initial"], phi)), strict=True):
        assert_allclose(g, start - end, rtol=1e-10, atol=1e-14)
    assert_allclose(found.loss, loss_at(phi, task.query), rtol=1e-12)
    assert_array_equal(found.metrics["again"], found.loss)


def test_evaluation_has_mini_batches_of_its_own_size() -> None:
    meta, task = MODEL.init(np.random.default_rng(0)), wave(0)
    one = Reptile(MODEL, nn.mean_squared_error, optim.sgd(0.1), 4, batch_size=5, evaluation_batch_size=3)
    other = Reptile(MODEL, nn.mean_squared_error, optim.sgd(0.1), 3, batch_size=3)
    start = {"initial": meta, "inner_state": ()}
    adapted = one.adapt(start, task.support, 3)
    assert len(adapted) == 4
    found = other.meta_gradient(start, task).gradient["initial"]
    for g, before, after in zip(*map(leaves, (found, meta, adapted[-1])), strict=True):
        assert_array_equal(g, before - after)


# The state of the inner optimiser, against the released algorithm: one Adam with beta1 = 0 for all tasks


def descend(theta: Any, second: Any, count: float, task: Task, steps: int) -> tuple[Any, Any, float]:
    for place in order(12, 4 * steps).reshape(steps, 4):
        batch = Examples(task.support.inputs[place], task.support.targets[place])
        gradient = leaves(mm.grad(loss_at)(theta, batch))
        count += 1
        second = [0.99 * v + 0.01 * g**2 for v, g in zip(second, gradient, strict=True)]
        root = np.sqrt(1 - 0.99**count)
        moved = [
            p - 0.02 * root * g / (np.sqrt(v) + 1e-8 * root)
            for p, g, v in zip(leaves(theta), gradient, second, strict=True)
        ]
        theta = mm.tree.unflatten(mm.tree.flatten(theta)[1], moved)
    return theta, second, count


INNER = optim.adam(0.02, beta1=0.0, beta2=0.99)


@pytest.mark.parametrize("tasks", [1, 3])
def test_the_state_lasts_from_task_to_task_and_into_evaluation(tasks: int) -> None:
    learner = Reptile(MODEL, nn.mean_squared_error, INNER, 2, batch_size=4, evaluation_batch_size=4)
    meta = learner.init(np.random.default_rng(0))
    optimiser = outer_step(0.5, iterations=4)
    step, outer_state = make_step(learner, optimiser), optimiser.init(meta)
    theta, second, count = meta["initial"], [np.zeros_like(p) for p in leaves(meta["initial"])], 0.0
    for iteration in range(3):
        batch = [wave(10 * iteration + number) for number in range(tasks)]
        stacked = mm.tree.map(lambda *x: np.stack(x), *batch)
        meta, outer_state, _ = step(meta, outer_state, stacked)
        results = [descend(theta, second, count, task, 2) for task in batch]
        epsilon = 0.5 * (1 - iteration / 4)
        reached = [np.mean([leaves(phi)[i] for phi, _, _ in results], axis=0) for i in range(len(second))]
        moved = [p + epsilon * (phi - p) for p, phi in zip(leaves(theta), reached, strict=True)]
        theta = mm.tree.unflatten(mm.tree.flatten(theta)[1], moved)
        second = [np.mean([v[i] for _, v, _ in results], axis=0) for i in range(len(second))]
        count += 2
        for a, b in zip(leaves(meta["initial"]), moved, strict=True):
            assert_allclose(a, b, rtol=1e-9, atol=1e-12)
        for a, b in zip(leaves(meta["inner_state"]["second_moment"]), second, strict=True):
            assert_allclose(a, b, rtol=1e-9, atol=1e-15)
        assert meta["inner_state"]["step"] == count
    task = wave(99)
    expected, _, _ = descend(theta, second, count, task, 3)
    for a, b in zip(leaves(learner.adapt(meta, task.support, 3)[-1]), leaves(expected), strict=True):
        assert_allclose(a, b, rtol=1e-8, atol=1e-11)


def test_a_state_that_is_not_shared_is_new_for_each_task() -> None:
    learner = Reptile(MODEL, nn.mean_squared_error, INNER, 2, batch_size=4, shared_state=False)
    meta, task = learner.init(np.random.default_rng(0)), wave(1)
    assert meta["inner_state"] == ()
    result = learner.meta_gradient(meta, task)
    zeros = [np.zeros_like(p) for p in leaves(meta["initial"])]
    phi, _, _ = descend(meta["initial"], zeros, 0.0, task, 2)
    for g, start, end in zip(*map(leaves, (result.gradient["initial"], meta["initial"], phi)), strict=True):
        assert_allclose(g, start - end, rtol=1e-8, atol=1e-12)
    assert result.gradient["inner_state"] == ()


def test_second_moments_never_become_negative() -> None:
    # They move by a difference of rounded numbers: large ones fall slowly, and small ones jump.
    learner = Reptile(nn.mlp((1, 8, 1)), nn.mean_squared_error, optim.adam(0.02, beta1=0.0), 5, batch_size=5)
    for batch in (1, 3):
        state = fit(learner, Sinusoid(), outer_step(1.0, 30), iterations=30, meta_batch=batch, seed=0)
        moments = np.concatenate([v.ravel() for v in leaves(state.meta_parameters["inner_state"]["second_moment"])])
        assert moments.dtype == np.float32 and (moments >= 0).all() and (moments > 0).any()


# As a learner


def test_float32_stays_float32_and_results_are_numpy() -> None:
    learner: MetaLearner = Reptile(nn.mlp((2, 4, 3)), nn.cross_entropy, INNER, 3, 4, metrics={"accuracy": nn.accuracy})
    rng = np.random.default_rng(0)
    examples = Examples(rng.normal(size=(6, 2)).astype(np.float32), np.arange(6) % 3)
    meta = learner.init(rng)
    before = [x.copy() for x in leaves((meta, examples))]
    result = learner.meta_gradient(meta, Task(examples, examples))
    arrays = leaves(
        (result.loss, result.metrics, result.gradient["initial"], result.gradient["inner_state"]["second_moment"])
    )
    assert {x.dtype.name for x in arrays} == {"float32"}
    assert all(type(x) is np.ndarray for x in leaves(result))
    assert mm.tree.flatten(result.gradient)[1] == mm.tree.flatten(meta)[1]
    for x, y in zip(leaves((meta, examples)), before, strict=True):
        assert_array_equal(x, y)


@pytest.mark.parametrize("inner", [optim.sgd(0.05), INNER], ids=["sgd", "adam"])
def test_compiled_it_has_the_bits_of_the_eager_one(inner: optim.Optimiser) -> None:
    learner = Reptile(nn.mlp((1, 5, 1)), nn.mean_squared_error, inner, 4, batch_size=5)
    meta = learner.init(np.random.default_rng(0))
    task = mm.tree.map(lambda x: x.astype(np.float32), wave(0))
    results = [mm.compile(learner.meta_gradient, enabled=on, check=True)(meta, task) for on in (True, False)]
    for a, b in zip(*map(leaves, results), strict=True):
        assert a.tobytes() == b.tobytes()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"inner_steps": 0}, "inner_steps=0 must be at least 1"),
        ({"batch_size": 0}, "batch_size=0 must be at least 1"),
        ({"evaluation_batch_size": -1}, "evaluation_batch_size=-1 must be at least 1"),
    ],
)
def test_settings_are_checked(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Reptile(MODEL, nn.mean_squared_error, optim.sgd(0.1), **{"inner_steps": 3, **settings})
