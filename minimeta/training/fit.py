"""Meta-training: gradient descent on the expected loss after adaptation.

Whatever the learner, one step of training is

    draw tasks T_1, ..., T_B;    theta <- optimiser(theta, (g(theta, T_1) + ... + g(theta, T_B)) / B)

where ``g`` is the learner's meta-gradient for one task. A learner that acts makes the data of its tasks
first (:mod:`minimeta.training.collection`). :func:`make_step` writes it as a pure
function of meta-parameters, optimiser state and a batch of tasks, which can be traced, compiled and
replayed; :func:`fit` is the loop around it.

The seed alone decides a run, and a run that goes on from any of its states has the same bits. The
tasks of step s come from ``default_rng([seed, s])``, the learner's noise for task i from a
generator of seed, s and i (:mod:`minimeta.training.randomness`), and gradients are summed in an
order that does not depend on the number of threads. A learner with random numbers of its own is
found before the first step, by running it twice, and refused.
"""

from __future__ import annotations

import contextlib
import functools
import math
import os
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from minimeta.autodiff import tree
from minimeta.autodiff.operations import divide
from minimeta.counts import whole_number
from minimeta.distributed import Job, Workers, added_up, group_sums, joined, shares, workers_for
from minimeta.errors import ConfigurationError, NonFiniteError
from minimeta.learners import MetaLearner
from minimeta.optim import Optimiser
from minimeta.program import compile, vmap
from minimeta.tasks import Task, TaskDistribution, unstack
from minimeta.training.batches import Drawing, check_batch, check_number
from minimeta.training.collection import collected_batches, collects
from minimeta.training.keeping import Kept
from minimeta.training.randomness import checked_seed, initialisation_generator, training_generator
from minimeta.training.state import TrainingState


class Report(NamedTuple):
    """What a step reports about its tasks.

    Attributes
    ----------
    losses
        Loss on the query set after adaptation, shape ``(meta_batch,)``.
    metrics
        The learner's metrics by name, each of shape ``(meta_batch,)``.
    """

    losses: NDArray[Any]
    metrics: dict[str, NDArray[Any]]


class OuterStep(Protocol):
    """What moves the meta-parameters by more than their mean gradient, as a search along a line does."""

    def init(self, parameters: Any) -> Any:
        """Make the state, a tree of arrays."""

    def make_step(self, learner: Any, compiled: bool = True) -> Callable[..., tuple[Any, Any, Any, Any]]:
        """Return ``step(meta_parameters, state, batch) -> (meta_parameters, state, losses, metrics)``."""


Step = Callable[[Any, Any, Task], tuple[Any, Any, Report]]
Callback = Callable[[TrainingState, Report], None]


def make_step(learner: MetaLearner, optimiser: Optimiser | OuterStep, compiled: bool = True) -> Step:
    """Return one step of training as a pure function.

    Parameters
    ----------
    learner
        Gives the meta-gradient of one task.
    optimiser
        Turns the mean meta-gradient into an update; or takes the whole step, an :class:`OuterStep`.
    compiled
        Whether to trace the step once and replay it, its tasks in parallel. The bits are the same.

    Returns
    -------
    callable
        ``step(meta_parameters, optimiser_state, batch)`` returns the new meta-parameters, the new
        optimiser state and a :class:`Report`. It changes none of its arguments and remembers
        nothing. ``batch.noise`` is the learner's noise for each task, stacked, if the learner draws
        any.

    Raises
    ------
    TracingError
        On the first call, if the learner or the optimiser does not do the same twice
        (:func:`minimeta.compile`).
    ShapeError, ConfigurationError
        On a call, if the batch is not one of tasks.
    """

    if not isinstance(optimiser, Optimiser):
        whole = optimiser.make_step(learner, compiled)

        def outer_step(meta_parameters: Any, state: Any, batch: Task) -> tuple[Any, Any, Report]:
            meta_parameters, state, losses, metrics = whole(meta_parameters, state, batch)
            return meta_parameters, state, Report(losses, dict(metrics))

        return outer_step

    # Gradients are summed, in an order that depends on the number of tasks alone, and never
    # stacked.
    of_tasks = vmap(learner.meta_gradient, (None, 0), {"loss": 0, "metrics": 0, "gradient": "sum"}, enabled=compiled)

    def step(meta_parameters: Any, optimiser_state: Any, batch: Task) -> tuple[Any, Any, Report]:
        if not collects(learner):
            check_batch("make_step", batch)
        losses, metrics, gradient = of_tasks(meta_parameters, batch)
        gradient = tree.map(lambda g: divide(g, float(losses.shape[0])), gradient)
        meta_parameters, optimiser_state = optimiser.update(gradient, optimiser_state, meta_parameters)
        return meta_parameters, optimiser_state, Report(losses, dict(metrics))

    step.__qualname__ = f"a training step of {type(learner).__name__}"
    return compile(step, enabled=compiled, check=True)


def make_shared_step(learner: MetaLearner, optimiser: Optimiser, workers: Workers, compiled: bool = True) -> Step:
    """Return the step of :func:`make_step`, to the bit, whose meta-gradients others compute.

    Parameters
    ----------
    learner, optimiser
        As there.
    workers
        Compute the learner's meta-gradients, a sum for each group of tasks.
    compiled
        Whether to trace meta-gradient and update once and replay them.

    Returns
    -------
    callable
        ``step(meta_parameters, optimiser_state, batch)``, as :func:`make_step` returns.
    """

    def update(gradients: Any, losses: Any, optimiser_state: Any, meta_parameters: Any) -> tuple[Any, Any]:
        mean = tree.map(lambda g: divide(g, float(losses.shape[0])), added_up(gradients))
        updated: tuple[Any, Any] = optimiser.update(mean, optimiser_state, meta_parameters)
        return updated

    update.__qualname__ = "an update of the meta-parameters"
    compiled_update = compile(update, enabled=compiled, check=True)
    job = Job.of(group_sums, learner, compiled)

    def step(meta_parameters: Any, optimiser_state: Any, batch: Task) -> tuple[Any, Any, Report]:
        check_batch("make_shared_step", batch)
        inputs = [(meta_parameters, share) for share in shares(batch, workers.count)]
        sums = workers.compute(job, inputs)
        losses, metrics = joined([(each.losses, each.metrics) for each in sums])
        gradients = [each.gradient for each in sums]
        meta_parameters, optimiser_state = compiled_update(gradients, losses, optimiser_state, meta_parameters)
        return meta_parameters, optimiser_state, Report(losses, metrics)

    return step


def initial_state(learner: MetaLearner, optimiser: Optimiser | OuterStep, seed: int) -> TrainingState:
    """Return the state in which a run with this seed begins.

    Raises
    ------
    ConfigurationError
        If `seed` is out of range.
    """
    meta_parameters = learner.init(initialisation_generator(checked_seed("initial_state", seed)))
    return TrainingState(0, meta_parameters, optimiser.init(meta_parameters))


def fit(
    learner: MetaLearner,
    tasks: TaskDistribution | Callable[[np.random.Generator], Any],
    optimiser: Optimiser | OuterStep,
    *,
    iterations: int,
    meta_batch: int,
    seed: int,
    state: TrainingState | None = None,
    folder: str | os.PathLike[str] | None = None,
    callbacks: Sequence[Callback] = (),
    compiled: bool = True,
    workers: Any = None,
) -> TrainingState:
    """Meta-train until `iterations` steps are done in total.

    Parameters
    ----------
    learner, tasks, optimiser
        What learns, the tasks it learns from, and the optimiser of its meta-parameters. The tasks of
        an agent are a function from a generator to an environment (:mod:`minimeta.rl`).
    iterations
        Steps in total, including those done in `state`: 100 steps and then 100 more equal 200, bit
        for bit.
    meta_batch
        Tasks per step, at least 1.
    seed
        Decides initialisation, tasks and noise, from 0 to 2**32 - 1.
    state
        The state to go on from; by default :func:`initial_state`.
    folder
        A folder that keeps the state, after the first step, every ten seconds and at the end, be it
        an error or Ctrl-C, so that ``minimeta.load(folder, learner)`` finds it. If it holds a state
        of this run already, the training goes on from there. The settings of learner, optimiser and
        tasks must be those it began with (:mod:`minimeta.training.fingerprint`); the code of
        functions is not compared.
    callbacks
        Functions called as ``callback(state, report)`` after every step, with the new state and the
        report of that step. A callback that raises ends the training; the state that it received is
        complete.
    compiled
        Whether to trace a step once and replay it (:func:`minimeta.compile`), its tasks in
        parallel; the bits are the same. A learner that needs values, to branch on them or to call
        numpy, needs False.
    workers
        Who computes the meta-gradients: None for this process alone; a number of processes on this
        machine, of which this is one; a ``concurrent.futures.Executor``; a
        ``dask.distributed.Client``; or an MPI communicator of mpi4py, with the same call of `fit` on
        every rank, `folder` and `callbacks` on rank 0 alone and its `state` on all. The bits are the
        same (:mod:`minimeta.distributed`). This process draws the tasks, so tasks and callbacks
        never leave it.

    Returns
    -------
    TrainingState
        The state after the last step.

    Raises
    ------
    ConfigurationError
        If `iterations` is negative, `meta_batch` below 1, or `seed` out of range; if the learner's
        model draws noise and the learner does not; if the learner's noise changes its form, or is
        not decided by its `rng`; if the run in `folder` has done more steps already.
    CheckpointError
        If `folder` holds a run with other settings, which the message names, or a damaged one.
    ShapeError
        If the distribution does not draw as many tasks as it should.
    TracingError
        If the learner is not pure, for example because it draws random numbers outside of its
        method ``draw``.
    NonFiniteError
        If a loss or a meta-parameter becomes NaN or infinite. The message names step and task,
        counted from 0. The step is discarded, so the last state that the callbacks received is
        good.
    WorkerError
        If a worker ends and cannot be replaced, or the meta-gradient raises on another rank.
    """
    iterations, seed = whole_number("fit", "iterations", iterations, 0), checked_seed("fit", seed)
    meta_batch = whole_number("fit", "meta_batch", meta_batch, 1)
    draw_batch = _batches(learner, tasks, meta_batch, seed, compiled)
    state = initial_state(learner, optimiser, seed) if state is None else state
    begin = functools.partial(_itself, state)
    with contextlib.ExitStack() as stack:
        if folder is not None:
            decisive = {"learner": learner, "optimiser": optimiser, "tasks": tasks}
            kept = Kept(folder, iterations, **decisive, meta_batch=meta_batch, seed=seed)
            begin, callbacks = functools.partial(kept.begin, state), (kept, *callbacks)
            stack.callback(kept.end)
        team = None if workers is None else stack.enter_context(workers_for(workers))
        if team is None:
            take_step = make_step(learner, optimiser, compiled)
        elif collects(learner) or not isinstance(optimiser, Optimiser):
            raise ConfigurationError(
                f"fit: workers compute meta-gradients, and {type(learner).__name__} with {type(optimiser).__name__} "
                "takes steps that need more: leave workers=None"
            )
        else:
            take_step = make_shared_step(learner, optimiser, team, compiled)
        state = begin() if team is None else team.together(begin)
        while state.step < iterations:
            batch = draw_batch(state.meta_parameters, state.step)
            # Infinities are reported below, by step and task, so numpy need not warn about them.
            with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
                meta_parameters, optimiser_state, report = take_step(
                    state.meta_parameters, state.optimiser_state, batch
                )
                _refuse_non_finite(learner, state, batch, report, meta_parameters)
            state = TrainingState(state.step + 1, meta_parameters, optimiser_state)
            follow = functools.partial(_call, callbacks, state, report)
            follow() if team is None else team.together(follow)
    return state


def _itself(state: TrainingState) -> TrainingState:
    return state


def _call(callbacks: Sequence[Callback], state: TrainingState, report: Report) -> None:
    for callback in callbacks:
        callback(state, report)


def _batches(learner: MetaLearner, tasks: Any, count: int, seed: int, compiled: bool) -> Callable[[Any, int], Task]:
    """Return a function from meta-parameters and a step to its batch of tasks."""
    if collects(learner):
        return collected_batches(learner, tasks, count, seed, compiled)
    if not hasattr(tasks, "sample"):
        raise ConfigurationError(
            f"fit: tasks of {type(learner).__name__} come from a distribution with sample(rng, count), such as "
            f"Sinusoid() or FewShot(x, y), and not from {type(tasks).__name__}; for environments, make the learner an "
            "Agent (minimeta.rl)"
        )
    with_noise, is_checked = Drawing(learner, seed), False

    def batch(meta_parameters: Any, step: int) -> Task:
        nonlocal is_checked
        drawn = tasks.sample(training_generator(seed, step), count)
        check_batch("fit", drawn, count)
        if not is_checked:
            check_number("fit", tasks, training_generator(seed, step), count)
            is_checked = True
        return with_noise(drawn, step)

    return batch


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
    # The step keeps only the sum of the gradients, so we compute each again to find the task at
    # fault.
    for index, task in enumerate(unstack(batch)):
        if _first_non_finite(learner.meta_gradient(state.meta_parameters, task).gradient) is not None:
            raise NonFiniteError(f"{where}, task {index}: the loss is finite, but its gradient is not at {path!r}")
    raise NonFiniteError(f"{where}: all gradients are finite, but their update makes the meta-parameter {path!r} not")


def _first_non_finite(parameters: Any) -> str | None:
    """Return the path of the first leaf with a NaN or an infinity."""
    leaves, _ = tree.flatten(parameters)
    for place, leaf in enumerate(leaves):
        # The sum is quicker to check: it is not finite if a term is not. It may also overflow, so
        # check the terms.
        if not math.isfinite(np.add.reduce(leaf, axis=None)) and not np.isfinite(leaf).all():
            return tree.paths(parameters)[place]
    return None
