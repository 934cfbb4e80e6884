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
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minimeta.autodiff import tree
from minimeta.autodiff.operations import divide
from minimeta.errors import NonFiniteError
from minimeta.learners import MetaLearner
from minimeta.optim import Optimiser
from minimeta.program import compile, vmap
from minimeta.tasks import Task, TaskDistribution, unstack
from minimeta.training.batches import Drawing, check_batch, check_number
from minimeta.training.randomness import checked_seed, initialisation_generator, training_generator, whole_number


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
    """Return the state a run with this seed begins in.

    Raises
    ------
    ConfigurationError
        If `seed` is out of range.
    """
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
        and the learner does not, or if what the learner draws has not one form always, or is not decided by its `rng`.
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
    with_noise = Drawing(learner, seed)
    state = initial_state(learner, optimiser, seed) if state is None else state
    take_step = make_step(learner, optimiser, compiled)
    first = state.step
    while state.step < iterations:
        batch = tasks.sample(training_generator(seed, state.step), meta_batch)
        check_batch("fit", batch, meta_batch)
        if state.step == first:
            check_number("fit", tasks, training_generator(seed, first), meta_batch)
        batch = with_noise(batch, state.step)
        # What becomes infinite is reported below, by step and task, and not by a warning of numpy's.
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            meta_parameters, optimiser_state, report = take_step(state.meta_parameters, state.optimiser_state, batch)
            _refuse_non_finite(learner, state, batch, report, meta_parameters)
        state = TrainingState(state.step + 1, meta_parameters, optimiser_state)
        for callback in callbacks:
            callback(state, report)
    return state


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
