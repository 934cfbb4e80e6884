"""Learning as a user of minimeta writes it, from the README and the paper's equations, with nothing from `learners`.

A network is a tuple of dicts, ``minimeta.nn`` applies it, and ``mm.compile`` compiles one step with Adam.

The LSTM meta-learner (Ravi and Larochelle 2017) has the parameters as its cell state ``theta``, a column for each:

    u = [pre(loss), pre(gradient)]
    h, c = LSTM(u, h, c)
    F, I = W [h, theta, (F, I)] + b
    theta = sigmoid(F) theta - sigmoid(I) gradient

where loss and gradient are those of the support set, and constants.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from contender import THREADS, Build
from minimeta_steps import model_of
from workloads import BETA1, BETA2, EPSILON, HIDDEN, META_LEARNING_RATE, PREPROCESSING, Tasks, Workload

import minimeta as mm
from minimeta import nn
from minimeta.optim import adam


class ByHand:
    """A whole step; see :class:`contender.Learning`."""

    def __init__(self, workload: Workload, parameters: Any, tasks: Tasks) -> None:
        mm.set_num_threads(THREADS)
        gradient = mm.value_and_grad(query_loss_of(workload))
        optimiser = adam(META_LEARNING_RATE, BETA1, BETA2, EPSILON)

        def step(parameters: Any, state: Any, *task: Any) -> Any:
            _, slope = gradient(parameters, *task)
            return optimiser.update(slope, state, parameters)

        self._gradient, self._step = mm.compile(gradient), mm.compile(step)
        self._task = [array[0] for array in tasks]
        self.parameters, self._state = parameters, optimiser.init(parameters)

    def meta_gradient(self, parameters: Any, tasks: Tasks) -> tuple[float, Any]:
        loss, gradient = self._gradient(parameters, *(array[0] for array in tasks))
        return float(loss), gradient

    def step(self) -> None:
        self.parameters, self._state = self._step(self.parameters, self._state, *self._task)


def query_loss_of(workload: Workload) -> Any:
    model, judge = model_of(workload), nn.cross_entropy if workload.classifies else nn.mean_squared_error

    def loss(network: Any, x: Any, y: Any) -> Any:
        return judge(model.apply(network, x), y)

    def plain(network: Any, x: Any, y: Any, x_query: Any, y_query: Any) -> Any:
        return loss(network, x_query, y_query)

    def learned(parameters: Any, x: Any, y: Any, x_query: Any, y_query: Any) -> Any:
        leaves, structure = mm.tree.flatten(parameters["initial"])
        ends = np.cumsum([leaf.size for leaf in leaves])

        def network(theta: Any) -> Any:
            parts = np.split(theta, ends[:-1])
            return mm.tree.unflatten(structure, [p.reshape(q.shape) for p, q in zip(parts, leaves, strict=True)])

        def support_loss(theta: Any) -> Any:
            return loss(network(theta), x, y)

        layer, b = parameters["layer"]["weight"], parameters["layer"]["bias"]
        wx, wh = layer[:, :4], layer[:, 4:]
        gates, gates_bias = parameters["gates"]["weight"], parameters["gates"]["bias"]
        theta = np.concatenate([leaf.ravel() for leaf in leaves])
        h = c = np.zeros((HIDDEN, theta.size), np.float32)
        before = np.zeros((2, theta.size), np.float32)
        for _ in range(workload.inner_steps):
            value, gradient = mm.value_and_grad(support_loss)(mm.stop_gradient(theta))
            of_loss = [np.broadcast_to(row, theta.shape) for row in preprocessed(value)]
            u = np.stack([*of_loss, *preprocessed(gradient)])
            i, f, o, candidate = np.split(wx @ u + wh @ h + b[:, None], 4)
            c = mm.sigmoid(f) * c + mm.sigmoid(i) * np.tanh(candidate)
            h = mm.sigmoid(o) * np.tanh(c)
            before = gates[:, :HIDDEN] @ h + gates[:, -2:-1] * theta + gates[:, -1:] * before + gates_bias[:, None]
            forget, write = mm.sigmoid(before)
            theta = forget * theta - write * gradient
        return loss(network(theta), x_query, y_query)

    return learned if workload.learner == "lstm" else plain


def preprocessed(x: Any) -> tuple[Any, Any]:
    """Two in place of one: the magnitude's logarithm and the sign, or -1 and the number enlarged where it is tiny."""
    large = np.abs(x) >= math.exp(-PREPROCESSING)
    magnitude = np.where(large, np.log(np.abs(x)) / PREPROCESSING, -1.0)
    return magnitude, np.where(large, np.sign(x), math.exp(PREPROCESSING) * x)


def contenders(workload: Workload) -> dict[str, Build]:
    """The one way of a user, whatever the workload."""
    return {"minimeta": ByHand}
