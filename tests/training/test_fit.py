"""The loop is checked on a learner whose every number is known, and on MAML for what only the real thing shows."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from points import Branching, Centre, Points

import minimeta as mm
from minimeta.autodiff import tree
from minimeta.errors import IndexingError, NonFiniteError, TracingError
from minimeta.learners import MAML
from minimeta.nn import Model, cross_entropy, mean_squared_error, mlp
from minimeta.optim import Optimiser, adam, momentum, sgd
from minimeta.program import interpret, trace
from minimeta.tasks import Examples, Sinusoid, Task
from minimeta.training import Report, TrainingState, evaluate, fit, initial_state, make_step


def bits(state: TrainingState) -> list[tuple[str, tuple[int, ...], bytes]]:
    leaves, _ = tree.flatten((state.meta_parameters, state.optimiser_state))
    return [(leaf.dtype.str, leaf.shape, leaf.tobytes()) for leaf in leaves]


def test_a_step_is_the_optimiser_on_the_mean_gradient() -> None:
    targets = np.array([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0], [-1.0, 5.0, 2.0]])
    points = Examples(np.zeros((3, 3)), targets)
    centre = np.array([10.0, 20.0, 30.0])

    new, state, report = make_step(Centre(), sgd(0.5))({"centre": centre}, (), Task(points, points))

    np.testing.assert_allclose(new["centre"], centre - 0.5 * (centre - [1.0, 3.0, 2.0]), rtol=1e-15)
    np.testing.assert_allclose(report.losses, np.square(centre - targets).sum(axis=1) / 2, rtol=1e-15)
    np.testing.assert_array_equal(report.metrics["first"], 10 - targets[:, 0])
    np.testing.assert_array_equal(centre, [10.0, 20.0, 30.0])  # pure
    assert tree.flatten(state)[0] == []


def test_a_learner_that_needs_values_is_run_eagerly() -> None:
    with pytest.raises(TracingError, match=r"at .*points\.py"):
        fit(Branching(), Points(), sgd(0.1), iterations=3, meta_batch=2, seed=0)
    state = fit(Branching(), Points(), sgd(0.1), iterations=3, meta_batch=2, seed=0, compiled=False)
    assert bits(state) == bits(fit(Centre(), Points(), sgd(0.1), iterations=3, meta_batch=2, seed=0))


@pytest.mark.parametrize("order", [1, 2])
def test_compiled_training_has_the_bits_of_eager_training(order: int) -> None:
    learner = MAML(mlp((1, 8, 1)), mean_squared_error, 0.01, inner_steps=2, order=order)
    states = [
        fit(learner, Sinusoid(), adam(), iterations=5, meta_batch=3, seed=2, compiled=compiled)
        for compiled in (True, False)
    ]
    assert bits(states[0]) == bits(states[1])


def test_tasks_of_step_s_are_those_of_seed_and_s() -> None:
    states: list[TrainingState] = []
    final = fit(
        Centre(),
        Points(),
        sgd(0.1),
        iterations=5,
        meta_batch=4,
        seed=11,
        callbacks=[lambda state, report: states.append(state)],
    )

    centre = initial_state(Centre(), sgd(0.1), 11).meta_parameters["centre"]
    for step, state in enumerate(states):
        targets = np.random.default_rng([11, step]).standard_normal((4, 3))
        centre = centre - 0.1 * (centre - targets.mean(axis=0))
        np.testing.assert_allclose(state.meta_parameters["centre"], centre, rtol=1e-13)
        assert state.step == step + 1
    assert states[-1] is final and len(states) == 5


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    fit(Centre(), Points(), sgd(0.1), iterations=3, meta_batch=2, seed=0)

    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("optimiser", [sgd(0.01), momentum(0.01), adam(0.001)], ids=["sgd", "momentum", "adam"])
@pytest.mark.parametrize("order", [1, 2])
def test_resumed_equals_uninterrupted(optimiser: Optimiser, order: int) -> None:
    learner = MAML(mlp((1, 8, 1)), mean_squared_error, inner_learning_rate=0.01, order=order)

    def run(iterations: int, state: TrainingState | None = None) -> TrainingState:
        return fit(learner, Sinusoid(), optimiser, iterations=iterations, meta_batch=3, seed=5, state=state)

    half, whole = run(20), run(40)

    assert bits(run(40, half)) == bits(whole)
    assert bits(run(20)) == bits(half)
    assert bits(half) != bits(whole)
    assert run(20, half) is half  # nothing is left to do


def test_two_hundred_iterations_are_a_hundred_and_a_hundred_more() -> None:
    learner = MAML(mlp((1, 10, 1)), mean_squared_error, inner_learning_rate=0.01)
    first = fit(learner, Sinusoid(), adam(), iterations=100, meta_batch=2, seed=1)

    second = fit(learner, Sinusoid(), adam(), iterations=200, meta_batch=2, seed=1, state=first)

    assert bits(second) == bits(fit(learner, Sinusoid(), adam(), iterations=200, meta_batch=2, seed=1))
    assert second.step == 200


def test_maml_learns_to_adapt() -> None:
    waves = Sinusoid(interval=(-2, 2), amplitude=(1, 3))
    learner = MAML(mlp((1, 20, 1), activation="tanh"), mean_squared_error, inner_learning_rate=0.1)

    state = fit(learner, waves, adam(0.02), iterations=100, meta_batch=8, seed=0)

    result = evaluate(learner, state.meta_parameters, waves, metric=mean_squared_error, steps=1, count=100)
    # Without adaptation nothing does better than the mean wave; one step of adaptation does four times better.
    assert result.mean[0] > 0.8 * waves.unadapted_error()
    assert result.mean[1] + result.interval[1] < waves.unadapted_error() / 4


@dataclass
class Poisoned:
    """Sinusoids of which one task of one step holds a NaN."""

    step: int
    task: int
    drawn: int = -1  # fit asks once more in its first step, for one task more

    def sample(self, rng: np.random.Generator, count: int) -> Task:
        batch = Sinusoid().sample(rng, count)
        if self.drawn == self.step:
            batch.query.targets[self.task, 0] = np.nan
        self.drawn += 1
        return batch


def test_a_non_finite_loss_stops_before_the_update() -> None:
    learner = MAML(mlp((1, 8, 1)), mean_squared_error, inner_learning_rate=0.01)
    states: list[TrainingState] = []

    def remember(state: TrainingState, report: Report) -> None:
        states.append(state)

    with pytest.raises(NonFiniteError, match="step 6, task 2: the loss is nan"):
        fit(learner, Poisoned(6, 2), adam(), iterations=10, meta_batch=4, seed=0, callbacks=[remember])

    assert [state.step for state in states] == [1, 2, 3, 4, 5, 6]
    assert bits(states[-1]) == bits(fit(learner, Sinusoid(), adam(), iterations=6, meta_batch=4, seed=0))


@pytest.mark.parametrize("label", [7, -1])
@pytest.mark.parametrize("order", [1, 2])
def test_labels_out_of_range_stop_the_training(label: int, order: int) -> None:
    class Mislabelled:
        def sample(self, rng: np.random.Generator, count: int) -> Task:
            inputs = rng.normal(size=(count, 3, 4)).astype(np.float32)
            mislabelled = Examples(inputs, np.tile([0, 1, label], (count, 1)))
            return Task(mislabelled, Examples(inputs, np.tile([0, 1, 2], (count, 1))))

    learner = MAML(mlp((4, 3)), cross_entropy, inner_learning_rate=0.1, order=order)
    for compiled in (True, False):
        with pytest.raises(IndexingError, match=f"cross_entropy: label {label} is out of range for 3 classes"):
            fit(learner, Mislabelled(), adam(), iterations=1, meta_batch=2, seed=0, compiled=compiled)


def scaled(value: float) -> Model:
    """The model y = p x with one parameter."""
    return Model(lambda rng: {"slope": np.full((1,), value)}, lambda parameters, inputs: parameters["slope"] * inputs)


def test_a_non_finite_gradient_of_a_finite_loss_is_traced_to_its_task() -> None:
    # sqrt has no derivative at 0, where task 1 is predicted perfectly.
    def root_mean_squared_error(predictions: Any, targets: Any) -> Any:
        return mm.sqrt(mm.mean(mm.square(predictions - targets)))

    class Lines:
        def sample(self, rng: np.random.Generator, count: int) -> Task:
            inputs = np.ones((count, 2, 1))
            targets = np.where(np.arange(count)[:, None, None] == 1, 3.0, 4.0) * inputs
            return Task(Examples(inputs, targets), Examples(inputs, targets))

    learner = MAML(scaled(3.0), root_mean_squared_error, inner_learning_rate=0.1, inner_steps=0)

    with pytest.raises(NonFiniteError, match="step 0, task 1: the loss is finite, but its gradient is not at 'slope'"):
        fit(learner, Lines(), sgd(0.1), iterations=1, meta_batch=3, seed=0)


def test_a_non_finite_update_of_finite_gradients_is_named() -> None:
    learner = MAML(scaled(1e10), mean_squared_error, inner_learning_rate=1e-3)

    with pytest.raises(NonFiniteError, match=r"step 0: all gradients are finite, but their update makes .*'slope' not"):
        fit(learner, Sinusoid(dtype=np.float64), sgd(1e300), iterations=1, meta_batch=3, seed=0)


def test_finite_parameters_whose_sum_is_not_are_no_reason_to_stop() -> None:
    largest = np.full((3,), np.finfo(np.float64).max)
    to_largest = Optimiser(lambda p: (), lambda gradient, state, p: ({"centre": largest}, state))
    state = fit(Centre(), Sinusoid(dtype=np.float64), to_largest, iterations=1, meta_batch=2, seed=0)

    with np.errstate(over="ignore"):
        assert np.isinf(np.sum(state.meta_parameters["centre"]))


@pytest.mark.parametrize("failure", [KeyboardInterrupt, ValueError])
def test_a_callback_that_raises_ends_the_training(failure: Callable[[], BaseException]) -> None:
    reached: list[TrainingState] = []

    def callback(state: TrainingState, report: Report) -> None:
        reached.append(state)
        if state.step == 3:
            raise failure()

    with pytest.raises((KeyboardInterrupt, ValueError)):
        fit(Centre(), Points(), sgd(0.1), iterations=9, meta_batch=2, seed=0, callbacks=[callback])

    assert bits(reached[-1]) == bits(fit(Centre(), Points(), sgd(0.1), iterations=3, meta_batch=2, seed=0))


def test_a_whole_step_can_be_traced() -> None:
    # The step is a pure function of arrays: traced on shapes alone and replayed by numpy it computes the same.
    learner = MAML(mlp((1, 6, 1)), mean_squared_error, inner_learning_rate=0.01, metrics={"again": mean_squared_error})
    step = make_step(learner, adam())
    state = fit(learner, Sinusoid(), adam(), iterations=3, meta_batch=2, seed=0)
    arguments = (state.meta_parameters, state.optimiser_state, Sinusoid().sample(np.random.default_rng(0), 3))

    replayed = interpret(trace(step, *arguments), *arguments)

    (leaves, structure), (expected, expected_structure) = tree.flatten(replayed), tree.flatten(step(*arguments))
    assert structure == expected_structure
    for leaf, other in zip(leaves, expected, strict=True):
        assert leaf.dtype == other.dtype
        np.testing.assert_allclose(leaf, other, rtol=1e-4, atol=1e-6)
