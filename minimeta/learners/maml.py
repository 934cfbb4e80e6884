"""MAML: learn the initial parameters from which a few gradient steps solve a new task.

Finn, Abbeel and Levine 2017 (arXiv:1703.03400), algorithm 1. With ``L_S`` the loss on a task's support set and ``L_Q``
on its query set,

    theta_0 = theta,    theta_{k+1} = theta_k - a grad L_S(theta_k)            (adaptation, equation 1)
    minimise over theta the mean over tasks of L_Q(theta_K)                    (the meta-objective)

The meta-gradient follows the chain rule through the steps,

    d L_Q(theta_K) / d theta = (I - a H_0) (I - a H_1) ... (I - a H_{K-1}) grad L_Q(theta_K),

where ``H_k`` is the Hessian of ``L_S`` at ``theta_k``. Nothing of this is written below: the inner gradient is an
ordinary computation, and differentiating it once more gives these products without ever forming a Hessian.

First-order MAML (section 5.2 of the paper) takes every ``H_k`` as 0: the meta-gradient is ``grad L_Q(theta_K)``. That
is the same code with the inner gradients held constant, ``order=1``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from minimeta.autodiff import grad, tree, value_and_grad
from minimeta.autodiff.operations import stop_gradient, subtract
from minimeta.errors import ConfigurationError
from minimeta.learners.learner import MetaGradient
from minimeta.nn.models import Model

if TYPE_CHECKING:
    from minimeta.tasks.task import Examples, Task


@dataclass(frozen=True)
class MAML:
    """Model-agnostic meta-learning, second order or first.

    The meta-parameters are the model's parameters, and so are the adapted ones.

    Parameters
    ----------
    model
        ``init(rng)`` and ``apply(parameters, inputs)``.
    loss
        ``loss(outputs, targets)``, a scalar.
    inner_learning_rate
        ``a``; it is meaningful only beside the loss's reduction.
    inner_steps
        ``K``, the steps of adaptation during meta-training.
    order
        2 for MAML; 1 for first-order MAML.
    metrics
        Other scalar functions of outputs and targets, by name, measured on the query set after adaptation.

    Raises
    ------
    ConfigurationError
        A setting is out of range.
    """

    model: Model
    loss: Callable[[Any, Any], Any]
    inner_learning_rate: float
    inner_steps: int = 1
    order: int = 2
    metrics: Mapping[str, Callable[[Any, Any], Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.order not in (1, 2):
            raise ConfigurationError(f"MAML: order={self.order} must be 2 (MAML) or 1 (first-order MAML)")
        if self.inner_steps < 0:
            raise ConfigurationError(f"MAML: inner_steps={self.inner_steps} must not be negative")
        if not 0 < self.inner_learning_rate < float("inf"):
            raise ConfigurationError(
                f"MAML: inner_learning_rate={self.inner_learning_rate} must be positive and finite"
            )

    def init(self, rng: np.random.Generator) -> Any:
        """Draw the initial parameters to learn from."""
        return self.model.init(rng)

    def adapt(self, meta_parameters: Any, support: Examples, steps: int) -> tuple[Any, ...]:
        """Parameters after 0, 1, ..., ``steps`` gradient steps on the support set."""
        trajectory = [meta_parameters]
        for _ in range(steps):
            # theta_{k+1} = theta_k - a grad L_S(theta_k)
            parameters = trajectory[-1]
            gradient = grad(self._loss)(stop_gradient(parameters) if self.order == 1 else parameters, support)
            trajectory.append(tree.map(lambda p, g: subtract(p, self.inner_learning_rate * g), parameters, gradient))
        return tuple(trajectory)

    def predict(self, adapted: Any, inputs: Any) -> Any:
        """The model's outputs."""
        return self.model.apply(adapted, inputs)

    def meta_gradient(self, meta_parameters: Any, task: Task) -> MetaGradient:
        """Value and gradient of ``L_Q(theta_K)`` with respect to ``theta``."""

        def query_loss(parameters: Any) -> tuple[Any, dict[str, Any]]:
            adapted = self.adapt(parameters, task.support, self.inner_steps)[-1]
            outputs = self.predict(adapted, task.query.inputs)
            metrics = {name: metric(outputs, task.query.targets) for name, metric in self.metrics.items()}
            return self.loss(outputs, task.query.targets), metrics

        (loss, metrics), gradient = value_and_grad(query_loss, has_aux=True)(meta_parameters)
        return MetaGradient(loss, metrics, gradient)

    def _loss(self, parameters: Any, examples: Examples) -> Any:
        return self.loss(self.predict(parameters, examples.inputs), examples.targets)
