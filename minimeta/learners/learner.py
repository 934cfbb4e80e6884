"""The contract of a meta-learner.

A task has a support set, to learn from, and a query set, to be judged by. A meta-learner holds *meta-parameters*: what
is the same for all tasks and is learned from many of them. It is written for a single task; whoever runs it averages
the meta-gradients of a batch of tasks and moves the meta-parameters.

All four methods but ``init`` are pure functions of arrays, so that they can be traced, compiled and run for many tasks
at once. What lasts from task to task is therefore part of the meta-parameters, whether it is learned by a gradient or
not: an entry ``s`` that should become ``s'`` has the "gradient" ``s - s'`` and an optimiser that takes it whole,
``sgd(1.0)``. Over a batch of tasks it becomes the mean of the ``s'``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

if TYPE_CHECKING:
    from minimeta.tasks.task import Examples, Task

Judgement = Callable[[Any, Any], Any]
"""A scalar function of outputs and targets."""


class MetaGradient(NamedTuple):
    """What one task says of the meta-parameters.

    Attributes
    ----------
    loss
        The task's loss on its query set after adaptation, a scalar.
    metrics
        Other scalars by name.
    gradient
        A tree like the meta-parameters: the direction whose negative improves them.
    """

    loss: Any
    metrics: Mapping[str, Any]
    gradient: Any


class MetaLearner(Protocol):
    """Four methods; whatever has them can be trained, evaluated and saved."""

    def init(self, rng: np.random.Generator) -> Any:
        """Draw meta-parameters, a tree of float arrays."""

    def adapt(self, meta_parameters: Any, support: Examples, steps: int) -> tuple[Any, ...]:
        """Learn one task: what ``predict`` needs after 0, 1, ..., ``steps`` steps on its support set."""

    def predict(self, adapted: Any, inputs: Any) -> Any:
        """Outputs of the learner as adapted, for inputs of the same task."""

    def meta_gradient(self, meta_parameters: Any, task: Task) -> MetaGradient:
        """What one task says of the meta-parameters; averaged over tasks by the caller."""


def judge(loss: Judgement, metrics: Mapping[str, Judgement], outputs: Any, targets: Any) -> tuple[Any, dict[str, Any]]:
    """The loss and the metrics of some outputs."""
    return loss(outputs, targets), {name: metric(outputs, targets) for name, metric in metrics.items()}
