"""The loop is checked on a learner whose every number is known, and on MAML for what only the real thing shows."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import minimeta as mm
from minimeta.autodiff import tree
from minimeta.errors import ConfigurationError, IndexingError, NonFiniteError, ShapeError, TracingError
from minimeta.learners import MAML, MetaGradient
from minimeta.nn import Model, cross_entropy, mean_squared_error, mlp
from minimeta.optim import Optimiser, adam, momentum, sgd
from minimeta.program import interpret, trace
from minimeta.tasks import Examples, Sinusoid, Task
from minimeta.training import Report, TrainingState, evaluate, fit, initial_state, make_step


class Centre:
    """Learns the mean of all query targets: loss |c - t|^2 / 2, gradient c - t, nothing to adapt."""

    def init(self, rng: np.random.Generator) -> Any:
        return {"centre": rng.standard_normal(3)}

    def adapt(self, meta_parameters: Any, support: Examples, steps: int) -> tuple[Any, ...]:
        return (meta_parameters,) * (steps + 1)

    def predict(self, adapted: Any, inputs: Any) -> Any:
        return adapted["centre"]

    def meta_gradient(self, meta_parameters: Any, task: Task) -> MetaGradient:
        difference = meta_parameters["centre"] - task.query.targets
        return MetaGradient(mm.sum(mm.square(difference)) / 2, {"first": difference[0]}, {"centre": difference})


class Branching(Centre):
    """The same, looking at values on the way."""

    def meta_gradient(self, meta_parameters: Any, task: Task) -> MetaGradient:
        result = super().meta_gradient(meta_parameters, task)
        return result._replace(metrics={"large": np.asarray(float(result.loss) > 1)})


class Points:
    """Tasks that are points in space, and that remember what was asked of them."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def sample(self, rng: np.random.Generator, count: int) -> Task:
        self.asked.append(count)
        points = Examples(np.zeros((count, 3)), rng.standard_normal((count, 3)))
        return Task(points, points)


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
    with pytest.raises(TracingError, match=r"at .*test_fit\.py"):
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


# What is refused before the first step


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"meta_batch": 0}, "meta_batch=0 must be at least 1"),
        ({"meta_batch": 2.5}, "meta_batch=2.5 must be an integer, at least 1"),
        ({"meta_batch": True}, "meta_batch=True must be an integer, at least 1"),
        ({"iterations": True}, "iterations=True must be an integer, at least 0"),
        ({"seed": False}, "seed=False must be an integer, from 0"),
        ({"iterations": -1}, "iterations=-1 must be at least 0"),
        ({"seed": 2**32}, "seed=4294967296 must be from 0 to 4294967295"),
        ({"seed": -1}, "seed=-1 must be from 0 to 4294967295"),
    ],
)
def test_impossible_settings_are_refused(wrong: dict[str, Any], message: str) -> None:
    settings: dict[str, Any] = {"iterations": 1, "meta_batch": 2, "seed": 0} | wrong
    with pytest.raises(ConfigurationError, match=f"fit: {message}"):
        fit(Centre(), Points(), sgd(0.1), **settings)
    with pytest.raises(ConfigurationError, match="initial_state: seed=-1"):
        initial_state(Centre(), sgd(0.1), -1)


def one_wave(examples: int) -> Task:
    return Sinusoid(shots=examples, queries=examples).sample(np.random.default_rng(0), 1)[0]


@dataclass
class Always:
    """A distribution that returns the same, whatever it is asked for."""

    batch: Any

    def sample(self, rng: np.random.Generator, count: int) -> Task:
        found: Task = self.batch
        return found


def of_shapes(inputs: tuple[int, ...], targets: tuple[int, ...]) -> Task:
    return Task(Examples(np.zeros((3, 5, 1)), np.zeros((3, 5, 1))), Examples(np.zeros(inputs), np.zeros(targets)))


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (one_wave(10), r"'support/inputs' has shape \(10, 1\), and not \(3, \.\.\.\)"),
        (one_wave(3), r"'support/inputs' has shape \(3, 1\), and not \(4, \.\.\.\)"),
        (of_shapes((3, 5, 1), (2, 5, 1)), r"'query/targets' has shape \(2, 5, 1\), and not \(3, \.\.\.\)"),
        (of_shapes((3, 5, 1), ()), r"'query/targets' has shape \(\), and not \(3, \.\.\.\)"),
        (of_shapes((3, 5, 1), (3, 4, 1)), r"'query' has inputs of shape \(3, 5, 1\) and targets of shape \(3, 4, 1\)"),
        (of_shapes((3, 28, 28, 1), (3,)), r"'query' has inputs of shape \(3, 28, 28, 1\) and targets of shape \(3,\)"),
        (of_shapes((3,), (3,)), r"'query' has inputs of shape \(3,\) and targets of shape \(3,\)"),
    ],
)
@pytest.mark.parametrize("compiled", [True, False])
def test_a_batch_that_is_none_of_tasks_is_refused(batch: Task, message: str, compiled: bool) -> None:
    learner = MAML(mlp((1, 8, 1)), mean_squared_error, 0.01)
    wanted = r".*TaskDistribution\.sample\(rng, count\) returns a Task whose inputs and targets have shape \(count, ex"
    with pytest.raises(ShapeError, match=f"fit: {message}{wanted}"):
        fit(learner, Always(batch), adam(), iterations=2, meta_batch=3, seed=0, compiled=compiled)


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("examples", [(3, 7, 2), (3, 7), (3, 2, 2, 1)], ids=["sequences", "rows", "images"])
def test_one_task_of_as_many_examples_is_no_batch(examples: tuple[int, ...], compiled: bool) -> None:
    # Three examples of one task have the shapes of three tasks; only one task more can tell.
    one = Examples(np.zeros(examples), np.zeros(examples[:2]))
    with pytest.raises(ShapeError, match=rf"fit: 'support/inputs' has shape \({examples[0]}, .*, and not \(4, \.\.\."):
        fit(Centre(), Always(Task(one, one)), sgd(0.1), iterations=1, meta_batch=3, seed=0, compiled=compiled)


def test_to_ask_for_one_task_more_changes_no_task() -> None:
    seen: list[Any] = []

    class Sequences:
        def sample(self, rng: np.random.Generator, count: int) -> Task:
            inputs = rng.normal(size=(count, 3, 7, 2))
            seen.append(inputs)
            return Task(Examples(inputs, inputs[..., 0]), Examples(inputs, inputs[..., 0]))

    learner = MAML(Model(lambda rng: {"w": np.ones(2)}, lambda p, x: x @ p["w"]), mean_squared_error, 0.1)
    fit(learner, Sequences(), sgd(0.1), iterations=2, meta_batch=3, seed=4)
    assert [len(each) for each in seen] == [3, 4, 3]
    for step, inputs in enumerate((seen[0], seen[2])):
        np.testing.assert_array_equal(inputs, np.random.default_rng([4, step]).normal(size=(3, 3, 7, 2)))


def test_a_batch_that_is_no_task_is_refused() -> None:
    points = Examples(np.zeros((2, 3)), np.zeros((2, 3)))
    with pytest.raises(ConfigurationError, match=r"fit: what was drawn is a tuple: .*returns a Task"):
        fit(Centre(), Always((points, points)), sgd(0.1), iterations=1, meta_batch=2, seed=0)


def test_a_step_of_no_tasks_is_refused() -> None:
    empty = Examples(np.zeros((0, 3)), np.zeros((0, 3)))
    for compiled in (True, False):
        with pytest.raises(ConfigurationError, match="make_step: a batch of 0 tasks"):
            make_step(Centre(), sgd(0.1), compiled)({"centre": np.zeros(3)}, (), Task(empty, empty))


# Learners that are not pure


def with_apply(apply: Callable[[Any, Any], Any]) -> MAML:
    return MAML(mlp((1, 8, 1))._replace(apply=apply), mean_squared_error, 0.01)


def drops(rng: np.random.Generator) -> Callable[[Any, Any], Any]:
    def apply(parameters: Any, inputs: Any) -> Any:
        h = mm.relu(inputs @ parameters[0]["weight"])
        kept = rng.random(h.shape) < 0.9
        h = mm.where(kept, h, 0.0)
        return h @ parameters[1]["weight"]

    return apply


def counts() -> Callable[[Any, Any], Any]:
    calls: list[int] = []

    def apply(parameters: Any, inputs: Any) -> Any:
        calls.append(1)
        return inputs @ parameters[0]["weight"] @ parameters[1]["weight"] / len(calls)

    return apply


def draws_from_the_global_state(parameters: Any, inputs: Any) -> Any:
    noise = np.random.standard_normal(inputs.shape)  # noqa: NPY002 (a user's)
    return (inputs + noise.astype(np.float32)) @ parameters[0]["weight"] @ parameters[1]["weight"]


@pytest.mark.parametrize(
    "apply",
    [drops(np.random.default_rng(0)), counts(), draws_from_the_global_state],
    ids=["draws", "counts", "draws from the global state"],
)
@pytest.mark.parametrize("compiled", [True, False])
def test_a_learner_that_does_not_do_the_same_twice_is_refused(apply: Callable[..., Any], compiled: bool) -> None:
    # By file, line and function, with the remedy; and no state is reached.
    reached: list[TrainingState] = []
    settings: dict[str, Any] = {"iterations": 2, "meta_batch": 2, "seed": 0, "compiled": compiled}
    where = rf" at {__file__}:\d+, in {apply.__name__} .*a learner .* draws in its method draw\(rng, task\)"
    with pytest.raises(TracingError, match=rf"a training step of MAML is not pure.*{where}"):
        fit(
            with_apply(apply),
            Sinusoid(),
            adam(),
            callbacks=[lambda state, report: reached.append(state)],
            **settings,
        )
    assert not reached


def test_an_optimiser_with_a_counter_of_its_own_is_refused() -> None:
    steps: list[int] = []

    def update(gradient: Any, state: Any, parameters: Any) -> tuple[Any, Any]:
        steps.append(1)
        return tree.map(lambda p, g: p - 0.1 / len(steps) * g, parameters, gradient), state

    for compiled in (True, False):
        with pytest.raises(TracingError, match=r"a training step of Centre is not pure.* in <lambda>"):
            optimiser = Optimiser(lambda p: (), update)
            fit(Centre(), Points(), optimiser, iterations=2, meta_batch=2, seed=0, compiled=compiled)


def test_a_learner_that_needs_values_and_draws_is_refused_by_the_leaf() -> None:
    class Drawing(Branching):
        rng = np.random.default_rng(0)

        def meta_gradient(self, meta_parameters: Any, task: Task) -> MetaGradient:
            result = super().meta_gradient(meta_parameters, task)
            return result._replace(metrics={"first": np.asarray(self.rng.random() + 0 * float(result.loss))})

    with pytest.raises(TracingError, match=r"run twice on the same values it did two things: leaf '2/metrics/first'"):
        fit(Drawing(), Points(), sgd(0.1), iterations=1, meta_batch=2, seed=0, compiled=False)
