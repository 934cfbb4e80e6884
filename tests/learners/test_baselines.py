"""Baselines against their definitions in numpy."""

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
from minimeta.learners import FineTuning, MetaLearner, NearestNeighbour
from minimeta.tasks import Examples, Sinusoid, Task
from minimeta.training import evaluate, fit


def leaves(x: Any) -> list[Any]:
    return mm.tree.flatten(x)[0]


# A line through the origin, y = s x: a step of size a on one example (1, y) leaves 1 - 2 a of s - y.

LINE = nn.Model(lambda rng: {"slope": rng.standard_normal(1)}, lambda parameters, inputs: parameters["slope"] * inputs)


class Lines:
    """Lines y = s x, known at 1 and judged at 2; s is drawn from a normal distribution."""

    def sample(self, rng: np.random.Generator, count: int) -> Task:
        slopes, ones = rng.standard_normal((count, 1, 1)), np.ones((count, 1, 1))
        return Task(Examples(ones, slopes), Examples(2 * ones, 2 * slopes))


def test_pretraining_minimises_the_loss_of_all_tasks_and_then_adapts() -> None:
    learner = FineTuning(LINE, nn.mean_squared_error, (0.1, 0.9), 2, pretrain=True)
    meta, task = (
        {"initial": {"slope": np.array([3.0])}, "losses": np.zeros(2)},
        Lines().sample(np.random.default_rng(0), 1)[0],
    )
    slope = task.support.targets[0, 0]
    # d/ds (2 s - 2 slope)^2, at the initial parameters
    found = learner.meta_gradient(meta, task).gradient
    assert_allclose(found["initial"]["slope"], [8 * (3 - slope)], rtol=1e-12)
    assert_allclose(found["losses"], [-4 * (3 - slope) ** 2 * left**4 for left in (0.8, -0.8)], rtol=1e-10)
    optimiser = optim.by_part(initial=optim.sgd(0.02), losses=optim.sgd(0.1))
    state = fit(learner, Lines(), optimiser, iterations=400, meta_batch=8, seed=0)
    assert abs(state.meta_parameters["initial"]["slope"][0]) < 0.15  # the mean slope
    result = evaluate(learner, state.meta_parameters, Lines(), metric=nn.mean_squared_error, steps=2, count=50)
    assert_allclose(result.values[:, 2], result.values[:, 0] * 0.8**4, rtol=1e-10)


@share(0.3)
@given(seed=st.integers(0, 10_000), steps=st.integers(1, 4))
def test_fine_tuning_measures_every_rate(seed: int, steps: int) -> None:
    rates = (0.01, 0.3, 0.5, 1e30)
    learner = FineTuning(LINE, nn.mean_squared_error, rates, steps, diverged=1e9)
    meta, task = learner.init(np.random.default_rng(seed)), Lines().sample(np.random.default_rng(seed), 1)[0]
    slope, start = task.support.targets[0, 0], meta["initial"]["slope"][0]
    found = [min(4 * ((start - slope) * (1 - 2 * rate) ** steps) ** 2, 1e9) for rate in rates]
    with np.errstate(over="ignore", invalid="ignore"):
        result = learner.meta_gradient({**meta, "losses": np.array([5.0, 4.0, 6.0, 7.0])}, task)
    assert_allclose(result.gradient["losses"], np.array([5.0, 4.0, 6.0, 7.0]) - found, rtol=1e-9, atol=1e-12)
    assert_array_equal(result.gradient["initial"]["slope"], [0.0])
    assert_allclose(result.loss, found[1], rtol=1e-9, atol=1e-20)  # at the rate that is best so far


def test_fine_tuning_finds_the_best_rate_and_keeps_its_initial_parameters() -> None:
    learner: MetaLearner = FineTuning(LINE, nn.mean_squared_error, (0.02, 0.48, 0.9, 1e6), 3)
    state = fit(learner, Lines(), optim.sgd(0.1), iterations=50, meta_batch=4, seed=3)
    start = learner.init(np.random.default_rng([3, 0, 1]))["initial"]["slope"]
    assert_array_equal(state.meta_parameters["initial"]["slope"], start)
    assert np.argmin(state.meta_parameters["losses"]) == 1
    result = evaluate(learner, state.meta_parameters, Lines(), metric=nn.mean_squared_error, steps=2, count=20)
    assert_allclose(result.values[:, 2], result.values[:, 0] * (1 - 2 * 0.48) ** 4, rtol=1e-9)


def test_losses_that_are_not_numbers_count_as_diverged() -> None:
    learner = FineTuning(nn.mlp((1, 8, 1)), nn.mean_squared_error, (0.01, 1e30), 5)
    task = Sinusoid().sample(np.random.default_rng(0), 1)[0]
    meta = learner.init(np.random.default_rng(0))
    with np.errstate(over="ignore", invalid="ignore"):
        result = learner.meta_gradient(meta, task)
    assert result.gradient["losses"][1] == -1e6 and np.isfinite(result.gradient["losses"][0])
    assert {x.dtype.name for x in leaves((result.gradient["initial"], learner.adapt(meta, task.support, 1)))} == {
        "float32"
    }


@share(0.3)
@given(seed=st.integers(0, 10_000), examples=st.integers(1, 8), queries=st.integers(1, 8), images=st.booleans())
def test_the_nearest_neighbour(seed: int, examples: int, queries: int, images: bool) -> None:
    rng = np.random.default_rng(seed)
    shape = (3, 2, 1) if images else (4,)
    support = Examples(rng.normal(size=(examples, *shape)), rng.integers(0, 3, examples))
    query = rng.normal(size=(queries, *shape))
    learner: MetaLearner = NearestNeighbour(nn.cross_entropy, 3)
    (before, after) = learner.adapt((), support, 1)
    outputs = learner.predict(after, query)
    for x, output in zip(query, outputs, strict=True):
        nearest = support.targets[np.argmin([np.linalg.norm(x - known) for known in support.inputs])]
        assert_array_equal(output, np.eye(3)[nearest])
    assert_array_equal(outputs, learner.predict(before, query))


def test_the_nearest_neighbour_in_regression_has_its_target() -> None:
    learner = NearestNeighbour(nn.mean_squared_error)
    support = Examples(np.array([[0.0], [1.0], [5.0]]), np.array([[7.0], [8.0], [9.0]]))
    assert_array_equal(learner.predict(support, np.array([[0.9], [100.0], [0.5]])), [[8.0], [9.0], [7.0]])


def test_a_known_example_is_its_own_nearest_neighbour() -> None:
    learner = NearestNeighbour(nn.cross_entropy, 5, {"accuracy": nn.accuracy})
    rng = np.random.default_rng(0)
    support = Examples(rng.random((5, 784), np.float32), np.arange(5))
    assert learner.meta_gradient((), Task(support, support)).metrics["accuracy"] == 1.0


@pytest.mark.parametrize(
    ("rates", "steps", "message"),
    [
        ((), 1, r"rates=\(\) must be positive"),
        ((0.1, -1.0), 1, "rates="),
        ((0.1,), 0, "inner_steps=0 must be at least 1"),
    ],
)
def test_settings_are_checked(rates: Any, steps: int, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        FineTuning(LINE, nn.mean_squared_error, rates, steps)
