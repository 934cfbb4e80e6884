import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from minimeta.errors import ConfigurationError, ShapeError, TracingError
from minimeta.learners import MAML
from minimeta.nn import Model, cross_entropy, mean_squared_error, mlp
from minimeta.tasks import Examples, Sinusoid, Task
from minimeta.training import Evaluation, evaluate

LINE = Model(lambda rng: {"slope": rng.standard_normal(1)}, lambda parameters, inputs: parameters["slope"] * inputs)


class Lines:
    """Lines y = s x through the origin, known at x = 1 and judged at x = 2; s is drawn from a normal distribution."""

    def sample(self, rng: np.random.Generator, count: int) -> Task:
        slopes = rng.standard_normal((count, 1, 1))
        ones = np.ones((count, 1, 1))
        return Task(Examples(ones, slopes), Examples(2 * ones, 2 * slopes))


def test_values_are_those_of_gradient_descent_by_hand() -> None:
    # The support loss (p - s)^2 has gradient 2 (p - s): each step of 0.1 leaves 0.8 of p - s; the query error is
    # 4 times its square.
    learner = MAML(LINE, mean_squared_error, inner_learning_rate=0.1)
    slopes = np.array([np.random.default_rng([3, index, 2]).standard_normal() for index in range(7)])

    result = evaluate(learner, {"slope": np.array([5.0])}, Lines(), metric=mean_squared_error, steps=4, count=7, seed=3)

    expected = 4 * np.square((5.0 - slopes)[:, np.newaxis] * 0.8 ** np.arange(5))
    np.testing.assert_allclose(result.values, expected, rtol=1e-12)
    np.testing.assert_allclose(result.mean, expected.mean(axis=0), rtol=1e-12)
    deviation = np.sqrt(np.square(expected - expected.mean(axis=0)).sum(axis=0) / 6)
    np.testing.assert_allclose(result.interval, 1.96 * deviation / math.sqrt(7), rtol=1e-12)
    assert result.diverged == 0


def test_several_metrics_judge_the_same_predictions() -> None:
    learner = MAML(LINE, mean_squared_error, inner_learning_rate=0.1)
    largest = {"largest": lambda outputs, targets: np.max(np.abs(outputs - targets))}
    start = {"slope": np.array([5.0])}
    result = evaluate(learner, start, Lines(), metric=mean_squared_error, also=largest, steps=4, count=20)
    assert list(result.also) == ["largest"] and result.also["largest"].values.shape == (20, 5)
    # One query of one number: its squared error is the square of its largest.
    np.testing.assert_allclose(result.also["largest"].values ** 2, result.values, rtol=1e-12)


def test_judging_now_and_then_gives_the_same_values() -> None:
    learner = MAML(LINE, mean_squared_error, inner_learning_rate=0.1)
    start = {"slope": np.array([5.0])}
    each, third = (
        evaluate(learner, start, Lines(), metric=mean_squared_error, steps=6, every=every, count=5) for every in (1, 3)
    )
    np.testing.assert_array_equal(third.values, each.values[:, [0, 3, 6]])
    assert (each.steps, third.steps) == ([0, 1, 2, 3, 4, 5, 6], [0, 3, 6])
    with pytest.raises(ConfigurationError, match="steps=6 must be a multiple of every=4"):
        evaluate(learner, start, Lines(), metric=mean_squared_error, steps=6, every=4, count=5)


class Blobs:
    """Three classes of the plane, two support and three query examples of each."""

    def sample(self, rng: np.random.Generator, count: int) -> Task:
        centres = rng.normal(size=(count, 3, 1, 2))
        inputs = (centres + 0.3 * rng.normal(size=(count, 3, 5, 2))).astype(np.float32)
        labels = np.tile(np.arange(3), (count, 1))
        return Task(
            Examples(inputs[:, :, :2].reshape(count, 6, 2), labels.repeat(2, axis=1)),
            Examples(inputs[:, :, 2:].reshape(count, 9, 2), labels.repeat(3, axis=1)),
        )


@pytest.mark.parametrize("compiled", [True, False])
def test_each_query_may_be_predicted_alone_with_the_support_set(compiled: bool) -> None:
    learner = MAML(mlp((2, 8, 3), batch_norm=True), cross_entropy, inner_learning_rate=0.5)
    parameters = learner.init(np.random.default_rng(0))

    found, together = (
        evaluate(
            learner, parameters, Blobs(), metric=cross_entropy, steps=1, count=4, transductive=on, compiled=compiled
        ).values
        for on in (False, True)
    )

    task = Blobs().sample(np.random.default_rng([0, 2, 2]), 1)[0]
    for step, adapted in enumerate(learner.adapt(parameters, task.support, 1)):
        batches = [np.concatenate([task.support.inputs, task.query.inputs[i : i + 1]]) for i in range(9)]
        outputs = np.stack([learner.predict(adapted, batch)[-1] for batch in batches])
        np.testing.assert_allclose(found[2, step], cross_entropy(outputs, task.query.targets), rtol=1e-5)
    assert not np.isclose(found, together, rtol=1e-3).any()


def test_without_batch_normalisation_it_makes_no_difference_with_whom_a_query_is_predicted() -> None:
    learner = MAML(mlp((2, 8, 3)), cross_entropy, inner_learning_rate=0.5)
    parameters = learner.init(np.random.default_rng(0))
    one, other = (
        evaluate(learner, parameters, Blobs(), metric=cross_entropy, steps=1, count=4, transductive=on).values
        for on in (False, True)
    )
    np.testing.assert_allclose(one, other, rtol=1e-5)


def test_fewer_tasks_are_the_first_of_more() -> None:
    learner = MAML(mlp((1, 4, 1)), mean_squared_error, inner_learning_rate=0.01)
    parameters = learner.init(np.random.default_rng(0))

    def values(count: int, seed: int) -> NDArray[np.float64]:
        return evaluate(
            learner, parameters, Sinusoid(), metric=mean_squared_error, steps=1, count=count, seed=seed
        ).values

    np.testing.assert_array_equal(values(3, 0), values(5, 0)[:3])
    assert not np.isclose(values(3, 0), values(3, 1)).any()


def test_diverged_tasks_are_counted_and_left_out() -> None:
    # A step of 1e30 overflows the third time for every slope but the one that fits.
    class OneFits(Lines):
        def sample(self, rng: np.random.Generator, count: int) -> Task:
            task = super().sample(rng, count)
            if rng.random() < 0.5:
                task.support.targets[:] = 5.0
                task.query.targets[:] = 10.0
            return task

    learner = MAML(LINE, mean_squared_error, inner_learning_rate=1e100)

    result = evaluate(learner, {"slope": np.array([5.0])}, OneFits(), metric=mean_squared_error, steps=4, count=40)

    fits = result.values[:, 0] == 0
    assert 5 < np.count_nonzero(fits) < 35
    assert result.diverged == 40 - np.count_nonzero(fits)
    np.testing.assert_array_equal(result.mean, np.zeros(5))
    np.testing.assert_array_equal(result.interval, np.zeros(5))


@given(
    arrays(
        np.float64,
        st.tuples(st.integers(1, 8), st.integers(1, 4)),
        elements=st.floats(-1e6, 1e6) | st.sampled_from([math.nan, math.inf, -math.inf]),
    )
)
def test_statistics_of_any_values(values: NDArray[np.float64]) -> None:
    result = Evaluation(values)
    rows = [row for row in values.tolist() if all(map(math.isfinite, row))]

    assert result.diverged == len(values) - len(rows)
    for column in range(values.shape[1]):
        finite = [row[column] for row in rows]
        n = len(finite)
        if n == 0:
            assert math.isnan(result.mean[column]) and math.isnan(result.interval[column])
            continue
        mean = math.fsum(finite) / n
        assert result.mean[column] == pytest.approx(mean, rel=1e-9, abs=1e-6)
        if n == 1:
            assert math.isnan(result.interval[column])
        else:
            variance = math.fsum((value - mean) ** 2 for value in finite) / (n - 1)
            assert result.interval[column] == pytest.approx(1.96 * math.sqrt(variance / n), rel=1e-6, abs=1e-6)


def test_the_interval_holds_the_true_mean_about_95_times_in_100() -> None:
    rng = np.random.default_rng(0)
    results = [Evaluation(rng.exponential(2.0, (600, 1))) for _ in range(400)]

    covered = np.mean([abs(result.mean[0] - 2.0) <= result.interval[0] for result in results])

    assert 0.92 < covered < 0.98


def test_callback_counts_and_may_stop() -> None:
    learner = MAML(LINE, mean_squared_error, inner_learning_rate=0.1)
    counted: list[int] = []

    def callback(done: int) -> None:
        counted.append(done)
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(
            learner,
            {"slope": np.zeros(1)},
            Lines(),
            metric=mean_squared_error,
            steps=0,
            count=9,
            callback=callback,
        )

    assert counted == [1, 2, 3]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"steps": -1}, "steps=-1 must be at least 0"),
        ({"steps": 1.0}, "steps=1.0 must be an integer, at least 0"),
        ({"count": 0}, "count=0 must be at least 1"),
        ({"every": 0}, "every=0 must be at least 1"),
        ({"seed": -1}, "seed=-1 must be from 0 to 4294967295"),
        ({"seed": 2**32}, "seed=4294967296 must be from 0 to 4294967295"),
    ],
)
def test_impossible_settings_are_refused(wrong: dict[str, Any], message: str) -> None:
    learner = MAML(LINE, mean_squared_error, inner_learning_rate=0.1)
    settings: dict[str, Any] = {"steps": 1, "count": 2} | wrong

    with pytest.raises(ConfigurationError, match=f"evaluate: {message}"):
        evaluate(learner, {"slope": np.zeros(1)}, Lines(), metric=mean_squared_error, **settings)


def test_what_is_no_task_is_refused() -> None:
    class WithoutTaskAxis(Lines):
        def sample(self, rng: np.random.Generator, count: int) -> Task:
            return super().sample(rng, 5)[0]

    class TwoAtOnce(Lines):
        def sample(self, rng: np.random.Generator, count: int) -> Task:
            return super().sample(rng, 2)

    learner = MAML(LINE, mean_squared_error, inner_learning_rate=0.1)
    settings: dict[str, Any] = {"metric": mean_squared_error, "steps": 1, "count": 2}
    with pytest.raises(ShapeError, match=r"evaluate: 'support/inputs' has shape \(2, 1, 1\), and not \(1, \.\.\.\)"):
        evaluate(learner, {"slope": np.zeros(1)}, TwoAtOnce(), **settings)
    with pytest.raises(ShapeError, match=r"evaluate: .*sample\(rng, count\) returns a Task whose inputs and targets"):
        evaluate(learner, {"slope": np.zeros(1)}, WithoutTaskAxis(), **settings)


@pytest.mark.parametrize("compiled", [True, False])
def test_what_draws_by_itself_is_refused(compiled: bool) -> None:
    rng = np.random.default_rng(0)
    noisy = Model(LINE.init, lambda parameters, inputs: parameters["slope"] * inputs * rng.random(inputs.shape))
    settings: dict[str, Any] = {"steps": 1, "count": 2, "compiled": compiled}
    start = {"slope": np.ones(1)}
    expected = rf"an evaluation of MAML is not pure.* at {__file__}:\d+, in <lambda> .*learner.* draw\(rng, task\)"
    with pytest.raises(TracingError, match=expected):
        evaluate(MAML(noisy, mean_squared_error, 0.1), start, Lines(), metric=mean_squared_error, **settings)

    def metric(outputs: Any, targets: Any) -> Any:
        return mean_squared_error(outputs, targets + rng.standard_normal(targets.shape))

    with pytest.raises(TracingError, match=rf"not pure.* at {__file__}:\d+, in metric"):
        evaluate(MAML(LINE, mean_squared_error, 0.1), start, Lines(), metric=metric, **settings)


def test_compiled_and_eager_evaluations_have_the_same_bits() -> None:
    learner = MAML(mlp((1, 8, 1)), mean_squared_error, inner_learning_rate=0.01)
    meta_parameters = learner.init(np.random.default_rng(0))
    compiled, eager = (
        evaluate(learner, meta_parameters, Sinusoid(), metric=mean_squared_error, steps=3, count=5, compiled=compiled)
        for compiled in (True, False)
    )
    assert compiled.values.tobytes() == eager.values.tobytes()


def test_a_metric_that_needs_values_is_run_eagerly() -> None:
    def rounded(outputs: Any, targets: Any) -> float:
        return round(float(mean_squared_error(outputs, targets)), 3)

    learner = MAML(LINE, mean_squared_error, inner_learning_rate=0.1)
    settings: dict[str, Any] = {"metric": rounded, "steps": 2, "count": 3}
    with pytest.raises(TracingError, match=r"at .*test_evaluate.py"):
        evaluate(learner, {"slope": np.array([5.0])}, Lines(), **settings)
    result = evaluate(learner, {"slope": np.array([5.0])}, Lines(), **settings, compiled=False)
    assert np.array_equal(result.values, result.values.round(3))
