"""Meta-steps in minimeta: what ``minimeta.training.fit`` runs, one compiled step with its tasks on threads."""

from __future__ import annotations

from typing import Any

import numpy as np
from contender import THREADS, Build
from workloads import BETA1, BETA2, EPSILON, HIDDEN, META_LEARNING_RATE, REPTILE_RATE, Perceptron, Tasks, Workload

import minimeta as mm
from minimeta import nn
from minimeta.distributed import Workers
from minimeta.learners import MAML, MetaLearner, MetaLSTM, Reptile
from minimeta.learners.mini_batches import order
from minimeta.optim import Optimiser, adam, sgd
from minimeta.tasks.task import Examples, Task
from minimeta.training.fit import make_shared_step, make_step


def contenders(workload: Workload) -> dict[str, Build]:
    """The one way of minimeta to take a meta-step, whatever the workload."""
    return {"minimeta": MinimetaStep}


class MinimetaStep:
    """See :class:`contender.Learning`; workers, if there are any, share the tasks of a step."""

    def __init__(self, workload: Workload, parameters: Any, tasks: Tasks, workers: Workers | None = None) -> None:
        mm.set_num_threads(THREADS)
        self._workload = workload
        self._batch = batch_of(workload, tasks)
        learner = learner_of(workload)
        adaptive = workload.learner != "reptile"
        optimiser = adam(META_LEARNING_RATE, BETA1, BETA2, EPSILON) if adaptive else sgd(REPTILE_RATE)
        self._step = make_shared_step(learner, optimiser, workers) if workers else make_step(learner, optimiser)
        # An optimiser that moves nothing and remembers the gradient.
        self._gradient = make_step(learner, Optimiser(lambda p: p, lambda gradient, _, p: (p, gradient)))
        self.parameters = meta_parameters(workload, parameters)
        self._state = optimiser.init(self.parameters)

    def meta_gradient(self, parameters: Any, tasks: Tasks) -> tuple[float, Any]:
        start = meta_parameters(self._workload, parameters)
        _, gradient, report = self._gradient(start, start, batch_of(self._workload, tasks))
        return float(report.losses.mean()), gradient

    def step(self) -> None:
        self.parameters, self._state, _ = self._step(self.parameters, self._state, self._batch)

    def profile(self) -> str:
        """Where the time of a step goes."""
        return str(self._step.profile(self.parameters, self._state, self._batch))  # type: ignore[attr-defined]


def learner_of(workload: Workload) -> MetaLearner:
    model, loss = model_of(workload), nn.cross_entropy if workload.classifies else nn.mean_squared_error
    steps, rate = workload.inner_steps, workload.inner_learning_rate
    if workload.learner == "reptile":
        return Reptile(model, loss, sgd(rate), steps, batch_size=workload.support // steps, shared_state=False)
    if workload.learner == "lstm":
        return MetaLSTM(model, loss, steps, workload.order, HIDDEN)
    return MAML(model, loss, rate, steps, workload.order)


def model_of(workload: Workload) -> nn.Model:
    model = workload.model
    if isinstance(model, Perceptron):
        return nn.mlp(model.sizes, activation=model.activation)
    return nn.conv4(
        model.input_shape, model.outputs, filters=model.filters, downsampling=model.downsampling, readout=model.readout
    )


def meta_parameters(workload: Workload, parameters: Any) -> Any:
    """The learner's; those of Reptile have a place for what its inner optimiser remembers, here nothing."""
    return {"initial": parameters, "inner_state": ()} if workload.learner == "reptile" else parameters


def batch_of(workload: Workload, tasks: Tasks) -> Task:
    support = Examples(tasks.support_inputs, tasks.support_targets)
    if workload.learner == "reptile":
        # Mini-batches are cut from an order of the learner's own, in which the workload's examples are to be found.
        places = np.argsort(order(workload.support, workload.support))
        support = Examples(support.inputs[:, places], support.targets[:, places])
    return Task(support, Examples(tasks.query_inputs, tasks.query_targets))
