"""A task, and a distribution of tasks.

Meta-learning draws *tasks* as ordinary learning draws examples. A task

    T = (support, query),    support = {(x_1, y_1), ..., (x_S, y_S)},    query = {(x'_1, y'_1), ..., (x'_Q, y'_Q)}

holds the few examples that a learner may adapt to, and the examples that judge the adapted learner.
A *task distribution* draws a batch of tasks at once, and every array has a leading axis of length
``count``. A batch is therefore itself a :class:`Task` of plain arrays: it can be passed to a pure
function, traced, or split among threads.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from minimeta.autodiff import tree


@dataclass(frozen=True, eq=False)
class Examples:
    """Inputs and their targets.

    Attributes
    ----------
    inputs
        Shape ``(examples, ...)``; in a batch of tasks ``(count, examples, ...)``.
    targets
        Shape ``(examples, ...)`` for regression, integer labels of shape ``(examples,)`` for
        classification; in a batch of tasks with the same leading axis as `inputs`.
    """

    inputs: NDArray[Any]
    targets: NDArray[Any]

    def __getitem__(self, index: int) -> Examples:
        """Return the examples of task `index` of a batch."""
        return Examples(self.inputs[index], self.targets[index])


@dataclass(frozen=True, eq=False)
class Task:
    """The examples to adapt to, and those that judge the adapted learner.

    Attributes
    ----------
    support
        The examples that the learner adapts to.
    query
        Other examples of the same task, which judge the adapted learner.
    noise
        The random numbers that the learner needs for this task, a tree of arrays that its method
        ``draw`` returned in meta-training (:mod:`minimeta.learners.learner`). None for none, as in
        evaluation.
    """

    support: Examples
    query: Examples
    noise: Any = field(default=None, kw_only=True)

    def __getitem__(self, index: int) -> Task:
        """Return task `index` of a batch (views, not copies)."""
        return Task(self.support[index], self.query[index], noise=tree.map(lambda x: x[index], self.noise))


def unstack(batch: Task) -> Iterator[Task]:
    """Iterate over the tasks of a batch, in order.

    Parameters
    ----------
    batch
        A task whose arrays carry a leading axis over tasks.

    Yields
    ------
    Task
        Views of the batch's arrays without that axis.
    """
    for index in range(tree.flatten(batch)[0][0].shape[0]):
        yield batch[index]


class TaskDistribution(Protocol):
    """An object that draws tasks."""

    def sample(self, rng: np.random.Generator, count: int) -> Task:
        """Draw `count` independent tasks.

        Parameters
        ----------
        rng
            The only source of randomness: equal generators give equal tasks, bit for bit.
        count
            Number of tasks, at least 1.

        Returns
        -------
        Task
            Newly allocated arrays, each with a leading axis of length `count`.
        """
        ...
