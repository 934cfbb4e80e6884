"""Batches of tasks whose data are not drawn but made: by an agent, in environments.

    environments E_1, ..., E_B from the task distribution, a function from a generator to an environment
    the batch = collect(theta, E_1, ..., E_B)           (:mod:`minimeta.learners.learner`)

A function draws each environment anew. In evaluation the environments may also be listed: then task i
is the i-th of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minimeta.errors import ConfigurationError
from minimeta.learners import MetaLearner
from minimeta.tasks import Task
from minimeta.training.randomness import evaluation_phase_generator, phase_generator, training_generator


def collects(learner: MetaLearner) -> bool:
    """Return whether a learner makes its own data."""
    return hasattr(learner, "collector")


def collected_batches(learner: Any, draw: Any, count: int, seed: int, compiled: bool) -> Callable[[Any, int], Task]:
    """Return a function from meta-parameters and a step to the batch of tasks that the learner collects.

    Raises
    ------
    ConfigurationError
        If the distribution is no function; in the function, if it returns one environment twice.
    """
    if not callable(draw):
        raise ConfigurationError(
            f"fit: {type(learner).__name__} acts in environments, so its tasks are a function from a generator to an "
            f"environment (minimeta.rl), and not a {type(draw).__name__}"
        )
    collect = learner.collector(compiled)

    def batch(meta_parameters: Any, step: int) -> Task:
        rng = training_generator(seed, step)
        environments = [draw(rng) for _ in range(count)]
        _refuse_repeated(environments, step)
        collected: Task = collect(
            meta_parameters, environments, learner.inner_steps, partial(phase_generator, seed, step)
        )
        return collected

    return batch


def collected_values(
    learner: Any,
    tasks: Any,
    metrics: Sequence[Callable[[Any, Any], Any]],
    steps: int,
    every: int,
    count: int,
    seed: int,
    shots: int | None,
    generator: Callable[[int, int], np.random.Generator],
    compiled: bool,
) -> Callable[[Any, Any], Any]:
    """Return a function of meta-parameters and the numbers of some evaluation tasks to their metrics.

    These have the shape ``(metrics, tasks, judgements)``.

    Raises
    ------
    ConfigurationError
        If fewer environments than `count` are listed.
    """
    if not callable(tasks) and len(tasks) < count:
        raise ConfigurationError(f"evaluate: count={count}, and {len(tasks)} environments are listed")
    collect = learner.collector(compiled)

    def values_of(meta_parameters: Any, indices: Sequence[int]) -> NDArray[np.float64]:
        environments = [tasks(generator(seed, index)) if callable(tasks) else tasks[index] for index in indices]
        batch: Any = collect(
            meta_parameters,
            environments,
            steps,
            lambda place, phase: evaluation_phase_generator(seed, indices[place], phase),
            shots,
        )
        phases = [each.targets for each in (*batch.support.sets, batch.query)][::every]
        return np.array([[metric(each.outputs, each) for each in phases] for metric in metrics]).swapaxes(1, 2)

    return values_of


def _refuse_repeated(environments: Sequence[Any], step: int) -> None:
    first: dict[int, int] = {}
    for task, each in enumerate(environments):
        if id(each) in first:
            raise ConfigurationError(
                f"fit: tasks {first[id(each)]} and {task} of step {step} are one environment ({each.name}): a task "
                "distribution makes a new environment at each call, of what it draws from its generator"
            )
        first[id(each)] = task
