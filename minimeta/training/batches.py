"""What a training step is given: so many tasks, and what the learner drew for each of them.

Every array of a batch has a leading axis over its tasks, or examples would be taken for tasks in silence. Noise is
drawn for task i of step s with a generator of the seed, s and i, and stacked along the same axis.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minimeta.autodiff import tree
from minimeta.errors import ConfigurationError, ShapeError
from minimeta.learners import MetaLearner
from minimeta.nn import Model
from minimeta.tasks import Task, TaskDistribution, unstack
from minimeta.training.randomness import noise_generator

_WANTED = (
    "TaskDistribution.sample(rng, count) returns a Task whose inputs and targets have shape (count, examples, ...)"
)


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


def draw_of(learner: MetaLearner) -> Callable[[np.random.Generator, Task], Any] | None:
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


def drawn_noise(draw: Callable[[np.random.Generator, Task], Any], batch: Task, seed: int, step: int) -> Any:
    """What a learner draws for each task of a step, stacked; None if it draws nothing."""
    drawn = []
    for index, task in enumerate(unstack(batch)):
        drawn.append(draw(noise_generator(seed, step, index), task))
        if not tree.flatten(drawn[0])[0]:
            return None
    return tree.map(lambda *parts: np.stack(parts), *drawn)
