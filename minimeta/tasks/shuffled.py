"""Tasks whose support examples come in random order.

A few-shot task lists its support set class by class. That is the same to a learner that takes the
set whole, but one that cuts it into mini-batches (:class:`minimeta.learners.Reptile`) would see one
class at a time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from minimeta.tasks.task import Examples, Task, TaskDistribution


@dataclass(frozen=True)
class Shuffled:
    """The tasks of another distribution, with each support set in its own random order.

    Attributes
    ----------
    tasks
        The other distribution.
    """

    tasks: TaskDistribution

    def sample(self, rng: np.random.Generator, count: int) -> Task:
        """Draw the tasks that `tasks` would draw, and then the orders."""
        batch = self.tasks.sample(rng, count)
        inputs, targets = batch.support.inputs, batch.support.targets
        order = rng.permuted(np.tile(np.arange(inputs.shape[1]), (count, 1)), axis=1)
        each = np.arange(count)[:, np.newaxis]
        return Task(Examples(inputs[each, order], targets[each, order]), batch.query)
