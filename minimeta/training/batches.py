"""What a training step works on: a batch of tasks, and the learner's noise for each of them.

Every array of a batch has a leading axis over its tasks. The axis is checked, because examples
would otherwise pass for tasks without a word. Noise for task i of step s comes from a generator of
the seed, s and i, and is stacked along the same axis.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from minimeta.autodiff import tree
from minimeta.errors import ConfigurationError, ShapeError
from minimeta.learners import MAML, FineTuning, MetaLearner, MetaLSTM, Reptile
from minimeta.nn import Model
from minimeta.tasks import Task, TaskDistribution, unstack
from minimeta.training.randomness import noise_generator

_WANTED = (
    "TaskDistribution.sample(rng, count) returns a Task whose inputs and targets have shape (count, examples, ...)"
)

_FOR_THE_MODEL = (FineTuning.draw, MAML.draw, MetaLSTM.draw, Reptile.draw)
"""Methods that draw what the learner's model needs: nothing, if the model has no ``draw``."""


def check_batch(caller: str, batch: Task, count: int | None = None) -> None:
    """Refuse a batch whose arrays have no leading axis over the right number of tasks.

    Parameters
    ----------
    caller
        The caller, for the message.
    batch
        The batch that a task distribution drew.
    count
        The number of tasks it should have; None for any number from 1 on.

    Raises
    ------
    ShapeError
        If an array has another leading axis, or a set has fewer or more targets than inputs.
    ConfigurationError
        If there are no tasks.
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
            continue  # trees of arrays, for a learner that takes them
        inputs, targets = examples.inputs.shape, examples.targets.shape
        if len(inputs) < 2 or inputs[1:2] != targets[1:2]:
            raise ShapeError(
                f"{caller}: {name!r} has inputs of shape {inputs} and targets of shape {targets}, which are not as "
                f"many examples of {expected} tasks: {_WANTED}"
            )


def check_number(caller: str, tasks: TaskDistribution, rng: np.random.Generator, count: int) -> None:
    """Refuse a distribution that ignores the number of tasks.

    One batch cannot show it: a task of three examples has the shapes of three tasks. So we ask for
    one task more, once per run.
    """
    check_batch(caller, tasks.sample(rng, count + 1), count + 1)


def draw_of(learner: MetaLearner) -> Callable[[np.random.Generator, Task], Any] | None:
    """Return the learner's method ``draw``; without one, refuse a learner whose model needs noise."""
    if hasattr(learner, "draw"):
        draw: Callable[[np.random.Generator, Task], Any] = learner.draw
        # To ask them for every task takes longer than a small step, so skip those that have nothing
        # to draw.
        is_ours = getattr(draw, "__func__", None) in _FOR_THE_MODEL
        return None if is_ours and getattr(getattr(learner, "model", None), "draw", None) is None else draw
    for name, value in {**vars(type(learner)), **getattr(learner, "__dict__", {})}.items():
        if isinstance(value, Model) and value.draw is not None:
            raise ConfigurationError(
                f"fit: {type(learner).__name__}.{name} is a model that draws random numbers, and would be trained "
                "without: give the learner a method draw(rng, task), and the model what it returned, task.noise"
            )
    return None


class Drawing:
    """The noise that a learner draws for the tasks of each step, by its method ``draw``.

    Shapes decide a program, so noise has one form for all tasks of a step, and is None always or
    never. The seed decides a run, so in the first step we draw twice for each task, and compare.
    """

    def __init__(self, learner: MetaLearner, seed: int) -> None:
        self._draw, self._seed, self._name = draw_of(learner), seed, f"{type(learner).__name__}.draw"
        self._first: Any = None

    def __call__(self, batch: Task, step: int) -> Task:
        """Return the batch with the noise of its tasks, stacked.

        Raises
        ------
        ConfigurationError
            If the noise has several forms, or is not decided by the generator.
        """
        if self._draw is None:
            return batch
        drawn = []
        is_first_step = self._first is None
        for index, task in enumerate(unstack(batch)):
            noise = self._drawn(task, step, index)
            if is_first_step and not _same(noise, self._drawn(task, step, index)):
                raise ConfigurationError(
                    f"fit: {self._name} was called twice for task {index} of step {step}, with equal generators, and "
                    "drew two different things: a run is decided by its seed, so draw(rng, task) takes every random "
                    "number from its rng, and none from np.random or from a generator that it keeps"
                )
            drawn.append(noise)
            self._refuse_other_forms(drawn, step)
        if _is_nothing(drawn[0]):
            return batch
        return replace(batch, noise=tree.map(lambda *parts: np.stack(parts), *drawn))

    def _drawn(self, task: Task, step: int, index: int) -> Any:
        """Return a copy of the noise for one task: the learner may fill the same array for the next one."""
        noise = self._draw and self._draw(noise_generator(self._seed, step, index), task)
        return tree.map(np.array, noise)

    def _refuse_other_forms(self, drawn: list[Any], step: int) -> None:
        """Refuse noise of another form than that of the step's first task, or None after noise."""
        noise, place = drawn[-1], f"task {len(drawn) - 1} of step {step}"
        self._first = self._first or (noise, place)
        if _is_nothing(noise) != _is_nothing(self._first[0]):
            other, where = self._first
        elif not _is_nothing(noise) and _forms(noise) != _forms(drawn[0]):
            other, where = drawn[0], f"task 0 of step {step}"
        else:
            return
        raise ConfigurationError(
            f"fit: {self._name} returned {_described(noise, other)} for {place}, and {_described(other, noise)} for "
            f"{where}: draw(rng, task) must always return the same tree of arrays, of the same shapes and dtypes, "
            "which decide the program of a step; or None, always"
        )


def _is_nothing(noise: Any) -> bool:
    return not tree.flatten(noise)[0]


def _forms(noise: Any) -> tuple[tree.Structure, list[str]]:
    """Return the structure of a tree of numpy arrays, and dtype and shape of each array by its path."""
    leaves, structure = tree.flatten(noise)
    paths = tree.paths(noise)
    return structure, [f"{at or 'itself'}: {x.dtype}{list(x.shape)}" for at, x in zip(paths, leaves, strict=True)]


def _same(one: Any, other: Any) -> bool:
    """Return whether two trees of numpy arrays have the same bits."""
    pairs = zip(tree.flatten(one)[0], tree.flatten(other)[0], strict=False)
    return _forms(one) == _forms(other) and all(x.tobytes() == y.tobytes() for x, y in pairs)


def _described(noise: Any, other: Any) -> str:
    """Describe noise by what differs from the other."""
    if _is_nothing(noise):
        return "None"
    forms = _forms(noise)[1]
    differing = [form for form in forms if form not in _forms(other)[1]] or forms
    return (
        f"a {type(noise).__name__} ({', '.join(differing[:4])}{', ...' if len(forms) > min(4, len(differing)) else ''})"
    )
