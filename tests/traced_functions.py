"""Functions of the library whose programs are worth testing whole: losses, gradients and meta-gradients."""

from typing import Any, NamedTuple

import numpy as np

import minimeta as mm
from minimeta import nn
from minimeta.learners import MAML
from minimeta.tasks.task import Examples, Task


class Example(NamedTuple):
    """A function to trace, and arguments to trace it with and to run it on."""

    name: str
    function: Any
    arguments: tuple[Any, ...]


def _gradient() -> Example:
    rng = np.random.default_rng(0)
    model = nn.mlp((3, 8, 2))
    inputs, targets = rng.normal(size=(5, 3)).astype(np.float32), rng.normal(size=(5, 2)).astype(np.float32)

    def loss(parameters: Any, inputs: Any, targets: Any) -> Any:
        return nn.mean_squared_error(model.apply(parameters, inputs), targets)

    return Example("gradient of an mlp", mm.value_and_grad(loss), (model.init(rng), inputs, targets))


def _meta_gradient(name: str, model: Any, inputs: Any, targets: Any, loss: Any, **settings: Any) -> Example:
    learner = MAML(model, loss, **settings)
    task = Task(Examples(inputs[0], targets[0]), Examples(inputs[1], targets[1]))
    return Example(name, learner.meta_gradient, (learner.init(np.random.default_rng(1)), task))


def sinusoid(order: int, steps: int = 1) -> Example:
    """The paper's regression: ten points, a network 1-40-40-1."""
    inputs = np.random.default_rng(2).uniform(-5, 5, (2, 10, 1)).astype(np.float32)
    settings = {"inner_learning_rate": 0.01, "inner_steps": steps, "order": order}
    model = nn.mlp((1, 40, 40, 1))
    name = f"sinusoid, order {order}, {steps} inner"
    return _meta_gradient(name, model, inputs, np.sin(inputs), nn.mean_squared_error, **settings)


def images() -> Example:
    """Two classes of small images, a network of four convolutions."""
    inputs = np.random.default_rng(3).normal(size=(2, 2, 16, 16, 1)).astype(np.float32)
    labels = np.array([[0, 1], [1, 0]])
    model = nn.conv4((16, 16, 1), 2, filters=3)
    settings = {"inner_learning_rate": 0.1, "inner_steps": 1, "order": 2}
    return _meta_gradient("images, order 2", model, inputs, labels, nn.cross_entropy, **settings)


TRACED = [_gradient(), sinusoid(1), sinusoid(2), sinusoid(2, steps=2), images()]
