"""Meta-steps in autograd: perceptrons alone, for which it has all operations.

It has no ``vmap``, and pays for every operation in Python. So the tasks are batched by hand: parameters are repeated
for each task, a layer is a batch of products, and the gradient of the sum of all tasks' losses holds each task's own.
"""

from __future__ import annotations

from typing import Any

import autograd.numpy as np
from autograd import grad, value_and_grad
from contender import Build, UnavailableError
from workloads import (
    BETA1,
    BETA2,
    EPSILON,
    META_LEARNING_RATE,
    REPTILE_RATE,
    Perceptron,
    Tasks,
    Workload,
    leaves,
    with_leaves,
)


def contenders(workload: Workload) -> dict[str, Build]:
    """The ways of autograd to take a meta-step of this workload, by name."""
    return {"autograd": AutogradStep} if workload.learner != "lstm" and not workload.classifies else {}


class AutogradStep:
    """Tasks batched by hand; see :class:`contender.Learning`."""

    def __init__(self, workload: Workload, parameters: Any, tasks: Tasks) -> None:
        if not isinstance(workload.model, Perceptron):
            raise UnavailableError("autograd has no fast convolution")
        self._workload = workload
        self._activation = np.tanh if workload.model.activation == "tanh" else relu
        self._parameters = leaves(parameters)
        self._tasks = tasks
        self._time = 0
        self._first, self._second = ([np.zeros_like(p) for p in self._parameters] for _ in range(2))

    def meta_gradient(self, parameters: Any, tasks: Tasks) -> tuple[float, Any]:
        loss, gradient = self._gradient(leaves(parameters), tasks)
        return float(loss), with_leaves(parameters, gradient)

    def step(self) -> None:
        _, gradient = self._gradient(self._parameters, self._tasks)
        if self._workload.learner == "reptile":
            self._parameters = [p - REPTILE_RATE * g for p, g in zip(self._parameters, gradient, strict=True)]
            return
        self._time += 1
        root = (1 - BETA2**self._time) ** 0.5
        size, shift = META_LEARNING_RATE * root / (1 - BETA1**self._time), EPSILON * root
        self._first = [BETA1 * m + (1 - BETA1) * g for m, g in zip(self._first, gradient, strict=True)]
        self._second = [BETA2 * v + (1 - BETA2) * g * g for v, g in zip(self._second, gradient, strict=True)]
        moments = zip(self._parameters, self._first, self._second, strict=True)
        self._parameters = [p - size * m / (np.sqrt(v) + shift) for p, m, v in moments]

    def _gradient(self, parameters: list[Any], tasks: Tasks) -> tuple[Any, list[Any]]:
        start = repeated(parameters, tasks)
        if self._workload.order == 2:
            loss, gradient = value_and_grad(lambda p: self._query_loss(self._adapted(p, tasks), tasks))(start)
        else:
            adapted = self._adapted(start, tasks)
            loss, gradient = value_and_grad(self._query_loss)(adapted, tasks)
            if self._workload.learner == "reptile":
                gradient = [(p - q) / len(p) for p, q in zip(start, adapted, strict=True)]
        return loss, [np.sum(g, 0).reshape(p.shape) for g, p in zip(gradient, parameters, strict=True)]

    def _adapted(self, parameters: list[Any], tasks: Tasks) -> list[Any]:
        w = self._workload
        size = w.support // w.inner_steps if w.learner == "reptile" else w.support
        for step in range(w.inner_steps):
            start = step * size % w.support
            inputs, targets = (x[:, start : start + size] for x in (tasks.support_inputs, tasks.support_targets))
            gradient = grad(self._loss)(parameters, inputs, targets)
            parameters = [p - w.inner_learning_rate * g for p, g in zip(parameters, gradient, strict=True)]
        return parameters

    def _query_loss(self, parameters: list[Any], tasks: Tasks) -> Any:
        return self._loss(parameters, tasks.query_inputs, tasks.query_targets) / len(tasks.query_inputs)

    def _loss(self, parameters: list[Any], x: Any, targets: Any) -> Any:
        """The sum over tasks of their mean losses."""
        *hidden, shift, weight = parameters
        for b, w in zip(hidden[::2], hidden[1::2], strict=True):
            x = self._activation(np.matmul(x, w) + b)
        return np.sum((np.matmul(x, weight) + shift - targets) ** 2) / targets.shape[1]


def relu(x: Any) -> Any:
    return np.where(x > 0, x, 0.0)


def repeated(parameters: list[Any], tasks: Tasks) -> list[Any]:
    """For each task its own, as matrices."""
    ones = np.ones((len(tasks.query_inputs), 1, 1), np.float32)
    return [ones * np.reshape(p, (1, -1, p.shape[-1])) for p in parameters]
