"""Meta-steps in minimeta: what ``minimeta.training.fit`` runs, one compiled step with its tasks on threads."""

from __future__ import annotations

from typing import Any

from contender import THREADS, Build, UnavailableError
from workloads import BETA1, BETA2, EPSILON, META_LEARNING_RATE, Perceptron, Tasks, Workload

import minimeta as mm
from minimeta import nn
from minimeta.learners import MAML, MetaLearner
from minimeta.optim import Optimiser, adam
from minimeta.tasks.task import Examples, Task
from minimeta.training.fit import make_step


def contenders(workload: Workload) -> dict[str, Build]:
    """The one way of minimeta to take a meta-step, whatever the workload."""
    return {"minimeta": MinimetaStep}


class MinimetaStep:
    """See :class:`contender.Contender`."""

    def __init__(self, workload: Workload, parameters: Any, tasks: Tasks) -> None:
        mm.set_num_threads(THREADS)
        learner, optimiser = learner_of(workload), adam(META_LEARNING_RATE, BETA1, BETA2, EPSILON)
        # An optimiser that moves nothing and remembers the gradient.
        self._gradient = make_step(learner, Optimiser(lambda p: p, lambda gradient, _, p: (p, gradient)))
        self._step = make_step(learner, optimiser)
        self._batch = batch_of(tasks)
        self.parameters, self._state = parameters, optimiser.init(parameters)

    def meta_gradient(self, parameters: Any, tasks: Tasks) -> tuple[float, Any]:
        _, gradient, report = self._gradient(parameters, parameters, batch_of(tasks))
        return float(report.losses.mean()), gradient

    def step(self) -> None:
        self.parameters, self._state, _ = self._step(self.parameters, self._state, self._batch)

    def profile(self) -> str:
        """Where the time of a step goes."""
        return str(self._step.profile(self.parameters, self._state, self._batch))  # type: ignore[attr-defined]


def learner_of(workload: Workload) -> MetaLearner:
    if workload.learner != "maml":
        raise UnavailableError(f"minimeta's contender for the learner {workload.learner} is not there yet")
    model, loss = model_of(workload), nn.cross_entropy if workload.classifies else nn.mean_squared_error
    return MAML(model, loss, workload.inner_learning_rate, workload.inner_steps, workload.order)


def model_of(workload: Workload) -> nn.Model:
    model = workload.model
    if isinstance(model, Perceptron):
        return nn.mlp(model.sizes, activation=model.activation)
    return nn.conv4(
        model.input_shape, model.outputs, filters=model.filters, downsampling=model.downsampling, readout=model.readout
    )


def batch_of(tasks: Tasks) -> Task:
    return Task(
        Examples(tasks.support_inputs, tasks.support_targets), Examples(tasks.query_inputs, tasks.query_targets)
    )
