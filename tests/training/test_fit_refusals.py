"""What ``fit`` refuses before the first step: settings, batches, and learners that do not do the same twice."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from points import Branching, Centre, Points

import minimeta as mm
from minimeta.autodiff import tree
from minimeta.errors import ConfigurationError, ShapeError, TracingError
from minimeta.learners import MAML, MetaGradient
from minimeta.nn import Model, mean_squared_error, mlp
from minimeta.optim import Optimiser, adam, sgd
from minimeta.tasks import Examples, Sinusoid, Task
from minimeta.training import TrainingState, fit, initial_state, make_step


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


def test_tasks_that_cannot_be_drawn_are_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"and not from function; .* make the learner an Agent"):
        fit(Centre(), lambda rng: rng, sgd(0.1), iterations=1, meta_batch=2, seed=0)
