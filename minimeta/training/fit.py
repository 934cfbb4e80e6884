"""Meta-training: gradient descent on the expected loss after adaptation.

Whatever the learner, one step of training is

    draw tasks T_1, ..., T_B;    theta <- optimiser(theta, (g(theta, T_1) + ... + g(theta, T_B)) / B)

where ``g`` is the learner's meta-gradient for one task. :func:`make_step` writes it as a pure function of
meta-parameters, optimiser state and a batch of tasks, the unit that can be traced, compiled and replayed; :func:`fit`
is the loop around it. The tasks of step s are drawn from ``default_rng([seed, s])``, what the learner draws for task i
of them from a generator of seed, s and i (:mod:`minimeta.training.randomness`), and their gradients are summed
in one order, whatever the number of threads, so a run is decided by its seed alone, and going on from any state it
passed through gives the same bits. A learner that draws by itself is refused: it is run twice, once, and compared.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minimeta.autodiff import tree
from minimeta.autodiff.operations import divide
from minimeta.errors import ConfigurationError, NonFiniteError, ShapeError
from minimeta.learners import MetaLearner
from minimeta.nn import Model
from minimeta.optim import Optimiser
from minimeta.program import compile, vmap
from minimeta.tasks import Task, TaskDistribution, unstack
from minimeta.training.randomness import (
    checked_seed,
    initialisation_generator,
    noise_generator,
    training_generator,
    whole_number,
)


class Report(NamedTuple):
    """What a step reports of its tasks.

    Attributes
    ----------
    losses
        Loss on the query set after adaptation, shape ``(meta_batch,)``.
    metrics
        The learner's metrics by name, each of shape ``(meta_batch,)``.
    """

    losses: NDArray[Any]
    metrics: dict[str, NDArray[Any]]


@dataclass(frozen=True, eq=False)
class TrainingState:
    """All that is needed to go on with a run.

    Attributes
    ----------
    step
        How many steps are done; the next one is step number `step`, counted from 0.
    meta_parameters
        A tree of arrays.
    optimiser_state
        A tree of arrays.
    """

    step: int
    meta_parameters: Any
    optimiser_state: Any


Step = Callable[[Any, Any, Task], tuple[Any, Any, Report]]
Callback = Callable[[TrainingState, Report], None]


def make_step(learner: MetaLearner, optimiser: Optimiser, compiled: bool = True) -> Step:
    """Write one step of training as a pure function.

    Parameters
    ----------
    learner
        Gives the meta-gradient of one task.
    optimiser
        Turns the mean meta-gradient into an update.
    compiled
        Whether the step is traced once and replayed ever after, its tasks on threads. The bits are the same.

    Returns
    -------
    callable
        ``step(meta_parameters, optimiser_state, batch)`` returns the new meta-parameters, the new optimiser state and a
        :class:`Report`. It changes none of its arguments and remembers nothing. ``batch.noise`` is what the learner
        drew for each task, stacked, if it draws.

    Raises
    ------
    TracingError
        When it is first called: the learner or the optimiser does not do the same twice (:func:`minimeta.compile`).
    ShapeError, ConfigurationError
        When it is called: the batch is none of tasks.
    """

    # The gradients of all tasks are added up in an order that depends on their number alone, and never stacked.
    of_tasks = vmap(learner.meta_gradient, (None, 0), {"loss": 0, "metrics": 0, "gradient": "sum"}, enabled=compiled)

    def step(meta_parameters: Any, optimiser_state: Any, batch: Task) -> tuple[Any, Any, Report]:
        check_batch("make_step", batch)
        losses, metrics, gradient = of_tasks(meta_parameters, batch)
        gradient = tree.map(lambda g: divide(g, float(losses.shape[0])), gradient)
        meta_parameters, optimiser_state = optimiser.update(gradient, optimiser_state, meta_parameters)
        return meta_parameters, optimiser_state, Report(losses, dict(metrics))

    step.__qualname__ = f"a training step of {type(learner).__name__}"
    return compile(step, enabled=compiled, check=True)


def initial_state(learner: MetaLearner, optimiser: Optimiser, seed: int) -> TrainingState:
    """Return the state a run with this seed begins in."""
    meta_parameters = learner.init(initialisation_generator(checked_seed("initial_state", seed)))
    return TrainingState(0, meta_parameters, optimiser.init(meta_parameters))


def fit(
    learner: MetaLearner,
    tasks: TaskDistribution,
    optimiser: Optimiser,
    *,
    iterations: int,
    meta_batch: int,
    seed: int,
    state: TrainingState | None = None,
    callbacks: Sequence[Callback] = (),
    compiled: bool = True,
) -> TrainingState:
    """Meta-train until `iterations` steps are done in all.

    Parameters
    ----------
    learner, tasks, optimiser
        What learns, from what, and how.
    iterations
        Steps in all, those behind `state` included: 100 and then on to 200 equals 200, bit for bit.
    meta_batch
        Tasks per step, at least 1.
    seed
        Decides initialisation, tasks and what the learner draws for them, from 0 to 2**32 - 1.
    state
        Where to go on from; without it, from :func:`initial_state`.
    callbacks
        Each is called as ``callback(state, report)`` after every step, with the new state and the report of the step
        that led to it. A callback that raises ends the training; the state it was given is complete.
    compiled
        Whether a step is traced once and replayed (:func:`minimeta.compile`), its tasks in parallel, the bits the same.
        A learner that needs values, to branch on them or to call numpy, is run eagerly with False.

    Returns
    -------
    TrainingState
        The state after the last step.

    Raises
    ------
    ConfigurationError
        If `iterations` is negative, `meta_batch` below 1, or `seed` out of range, or if a model of the learner's draws,
        and the learner does not.
    ShapeError
        If what is drawn is not so many tasks.
    TracingError
        If the learner is not pure: it draws random numbers other than by its method ``draw``, say.
    NonFiniteError
        If a loss or a meta-parameter becomes NaN or infinite. The message names step and task, counted from 0. That
        step is not accepted, so the last state the callbacks were given is the last good one.
    """
    iterations, seed = whole_number("fit", "iterations", iterations, 0), checked_seed("fit", seed)
    meta_batch = whole_number("fit", "meta_batch", meta_batch, 1)
    draw = _draw_of(learner)
    state = initial_state(learner, optimiser, seed) if state is None else state
    take_step = make_step(learner, optimiser, compiled)
    first = state.step
    while state.step < iterations:
        batch = tasks.sample(training_generator(seed, state.step), meta_batch)
        check_batch("fit", batch, meta_batch)
        if state.step == first:
            check_number("fit", tasks, batch, training_generator(seed, first), meta_batch)
        if draw is not None:
            noise = _noise(draw, batch, seed, state.step)
            batch, draw = (batch, None) if noise is None else (replace(batch, noise=noise), draw)
        # What becomes infinite is reported below, by step and task, and not by a warning of numpy's.
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            meta_parameters, optimiser_state, report = take_step(state.meta_parameters, state.optimiser_state, batch)
            _refuse_non_finite(learner, state, batch, report, meta_parameters)
        state = TrainingState(state.step + 1, meta_parameters, optimiser_state)
        for callback in callbacks:
            callback(state, report)
    return state


def check_batch(caller: str, batch: Task, count: int | None = None) -> None:
    """Refuse what is not a batch of so many tasks: every array of it has a leading axis over tasks.

    Parameters
    ----------
    caller
        For the message.
    batch
        What a task distribution drew.
    count
        How many tasks it was asked for; None for any number from 1 on.

    Raises
    ------
    ShapeError
        An array has another leading axis, or a set has not as many targets as inputs.
    ConfigurationError
        There are no tasks.
    """
    if not (hasattr(batch, "support") and hasattr(batch, "query")):
        raise ConfigurationError(f"{caller}: what was drawn is a {type(batch).__name__}: {_WANTED}")
    shapes = [np.shape(leaf) for leaf in tree.flatten(batch)[0]]
    expected = count if count is not None else shapes[0][0] if shapes and shapes[0] else 1
    for place, shape in enumerate(shapes):
        if shape[:1] != (expected,):
            raise ShapeError(
                f"{caller}: {tree.paths(batch)[place]!r} has shape {shape}, and not ({expected}, ...): {_WANTED}"
            )
    if not expected:
        raise ConfigurationError(f"{caller}: a batch of 0 tasks; there must be at least 1")
    for name in ("support", "query"):
        examples = getattr(batch, name)
        if not (hasattr(examples.inputs, "shape") and hasattr(examples.targets, "shape")):
            continue  # Trees of arrays, of a learner that knows them.
        inputs, targets = examples.inputs.shape, examples.targets.shape
        if len(inputs) < 2 or inputs[1:2] != targets[1:2]:
            raise ShapeError(
                f"{caller}: {name!r} has inputs of shape {inputs} and targets of shape {targets}, which are not as "
                f"many examples of {expected} tasks: {_WANTED}"
            )


def check_number(caller: str, tasks: TaskDistribution, batch: Task, rng: np.random.Generator, count: int) -> None:
    """Refuse a distribution that does not care how many tasks it is asked for, where its batch cannot tell.

    A task whose examples are rows of numbers looks like as many tasks with examples that are numbers. So where they
    would be numbers, one task more is asked for.
    """
    if np.ndim(batch.support.inputs) == 2:
        check_batch(caller, tasks.sample(rng, count + 1), count + 1)


_WANTED = (
    "TaskDistribution.sample(rng, count) returns a Task whose inputs and targets have shape (count, examples, ...)"
)


def _draw_of(learner: MetaLearner) -> Callable[[np.random.Generator, Task], Any] | None:
    """The learner's method ``draw``, if it has one; without it no model of its own may wait for noise."""
    if hasattr(learner, "draw"):
        draw: Callable[[np.random.Generator, Task], Any] = learner.draw
        return draw
    for name, value in {**vars(type(learner)), **getattr(learner, "__dict__", {})}.items():
        if isinstance(value, Model) and value.draw is not None:
            raise ConfigurationError(
                f"fit: {type(learner).__name__}.{name} is a model that draws random numbers, and would be trained "
                "without: give the learner a method draw(rng, task), and the model what it returned, task.noise"
            )
    return None


def _noise(draw: Callable[[np.random.Generator, Task], Any], batch: Task, seed: int, step: int) -> Any:
    """What a learner draws for each task of a step, stacked; None if it draws nothing."""
    drawn = []
    for index, task in enumerate(unstack(batch)):
        drawn.append(draw(noise_generator(seed, step, index), task))
        if not tree.flatten(drawn[0])[0]:
            return None
    return tree.map(lambda *parts: np.stack(parts), *drawn)


def _refuse_non_finite(
    learner: MetaLearner, state: TrainingState, batch: Task, report: Report, meta_parameters: Any
) -> None:
    """Raise a NonFiniteError that names step and task if a loss or a new meta-parameter is not finite."""
    where = f"step {state.step}"
    if not np.isfinite(report.losses).all():
        diverged = np.flatnonzero(~np.isfinite(report.losses))
        raise NonFiniteError(
            f"{where}, task {diverged[0]}: the loss is {report.losses[diverged[0]]} "
            f"({diverged.size} of {report.losses.size} tasks). The usual remedy is a smaller learning rate."
        )
    path = _first_non_finite(meta_parameters)
    if path is None:
        return
    # The step keeps only the sum of the gradients; which task spoilt it is found by asking each once more.
    for index, task in enumerate(unstack(batch)):
        if _first_non_finite(learner.meta_gradient(state.meta_parameters, task).gradient) is not None:
            raise NonFiniteError(f"{where}, task {index}: the loss is finite, but its gradient is not at {path!r}")
    raise NonFiniteError(f"{where}: all gradients are finite, but their update makes the meta-parameter {path!r} not")


def _first_non_finite(parameters: Any) -> str | None:
    """Return the path of the first leaf with a NaN or an infinity."""
    leaves, _ = tree.flatten(parameters)
    for place, leaf in enumerate(leaves):
        # A sum is not finite if a term is not, and is sooner known; it may also be too large.
        if not math.isfinite(np.add.reduce(leaf, axis=None)) and not np.isfinite(leaf).all():
            return tree.paths(parameters)[place]
    return None
