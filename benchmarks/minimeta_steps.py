"""Meta-steps in minimeta: what ``minimeta.training.fit`` runs, one compiled step with its tasks on threads."""

from __future__ import annotations

from typing import Any

import numpy as np
from contender import THREADS, Build
from workloads import BETA1, BETA2, EPSILON, HIDDEN, META_LEARNING_RATE, REPTILE_RATE, Perceptron, Tasks, Workload

import minimeta as mm
from minimeta import nn
from minimeta.learners import MAML, MetaLearner, MetaLSTM, Reptile
from minimeta.learners.mini_batches import order
from minimeta.optim import Optimiser, adam, sgd
from minimeta.tasks.task import Examples, Task
from minimeta.training.fit import make_step


def contenders(workload: Workload) -> dict[str, Build]:
    """The one way of minimeta to take a meta-step, whatever the workload."""
    return {"minimeta": MinimetaStep}


class MinimetaStep:
    """See :class:`contender.Contender`."""

    def __init__(self, workload: Workload, parameters: Any, tasks: Tasks) -> None:
        mm.set_num_threads(THREADS)
        self._workload, learner = workload, learner_of(workload)
        optimiser = (
            sgd(REPTILE_RATE) if workload.learner == "reptile" else adam(META_LEARNING_RATE, BETA1, BETA2, EPSILON)
        )
        # An optimiser that moves nothing and remembers the gradient.
        self._gradient = make_step(learner, Optimiser(lambda p: p, lambda gradient, _, p: (p, gradient)))
        self._step = make_step(learner, optimiser)
        self._batch = batch_of(workload, tasks)
        self._parameters = meta_parameters_of(workload, parameters)
        self._state = optimiser.init(self._parameters)

    def meta_gradient(self, parameters: Any, tasks: Tasks) -> tuple[float, Any]:
        given = meta_parameters_of(self._workload, parameters)
        _, gradient, report = self._gradient(given, given, batch_of(self._workload, tasks))
        return float(report.losses.mean()), gradient["initial"] if self._workload.learner == "reptile" else gradient

    def step(self) -> None:
        self._parameters, self._state, _ = self._step(self._parameters, self._state, self._batch)

    def profile(self) -> str:
        """Where the time of a step goes."""
        return str(self._step.profile(self._parameters, self._state, self._batch))  # type: ignore[attr-defined]


def learner_of(workload: Workload) -> MetaLearner:
    model, loss = model_of(workload), nn.cross_entropy if workload.classifies else nn.mean_squared_error
    if workload.learner == "reptile":
        batch_size = workload.support // workload.inner_steps
        return Reptile(model, loss, sgd(workload.inner_learning_rate), workload.inner_steps, batch_size)
    if workload.learner == "lstm":
        return MetaLSTM(model, loss, workload.inner_steps, workload.order, HIDDEN)
    return MAML(model, loss, workload.inner_learning_rate, workload.inner_steps, workload.order)


def meta_parameters_of(workload: Workload, parameters: Any) -> Any:
    return {"initial": parameters, "inner_state": ()} if workload.learner == "reptile" else parameters


def model_of(workload: Workload) -> nn.Model:
    model = workload.model
    if isinstance(model, Perceptron):
        return nn.mlp(model.sizes, activation=model.activation)
    return nn.conv4(
        model.input_shape, model.outputs, filters=model.filters, downsampling=model.downsampling, readout=model.readout
    )


def batch_of(workload: Workload, tasks: Tasks) -> Task:
    support = tasks.support_inputs, tasks.support_targets
    if workload.learner == "reptile":
        # Examples where Reptile's own order puts them back into that of the other libraries.
        places = np.argsort(order(workload.support, workload.support))
        support = tasks.support_inputs[:, places], tasks.support_targets[:, places]
    return Task(Examples(*support), Examples(tasks.query_inputs, tasks.query_targets))
