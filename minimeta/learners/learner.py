"""The contract of a meta-learner.

A task has a support set, to learn from, and a query set, to be judged by. A meta-learner holds *meta-parameters*: what
is the same for all tasks and is learned from many of them. It is written for a single task; whoever runs it averages
the meta-gradients of a batch of tasks and moves the meta-parameters.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

if TYPE_CHECKING:
    from minimeta.tasks.task import Examples, Task


class MetaGradient(NamedTuple):
    """What one task says of the meta-parameters.

    Attributes
    ----------
    loss
        The task's loss after adaptation, a scalar.
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
        """Learn one task: the adapted parameters after 0, 1, ..., ``steps`` steps on its support set."""

    def predict(self, adapted: Any, inputs: Any) -> Any:
        """Outputs of the learner with adapted parameters, for inputs of the same task."""

    def meta_gradient(self, meta_parameters: Any, task: Task) -> MetaGradient:
        """What one task says of the meta-parameters; averaged over tasks by the caller."""
