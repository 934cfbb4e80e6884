"""MAML on small networks in float64: sinusoids, characters and images."""

from typing import Any

import numpy as np
import pytest

import minimeta as mm
from minimeta import nn
from minimeta.learners import MAML
from minimeta.tasks.task import Examples, Task


def leaves(x: Any) -> list[Any]:
    return mm.tree.flatten(x)[0]


def sinusoid_task(rng: np.random.Generator) -> Task:
    inputs = rng.uniform(-5, 5, (2, 6, 1))
    targets = 1.5 * np.sin(inputs + 0.7)
    return Task(Examples(inputs[0], targets[0]), Examples(inputs[1], targets[1]))


def character_task(rng: np.random.Generator) -> Task:
    inputs = rng.normal(size=(2, 6, 3))
    return Task(Examples(inputs[0], np.arange(6) % 3), Examples(inputs[1], rng.permutation(6) % 3))


def image_task(rng: np.random.Generator) -> Task:
    inputs = rng.normal(size=(2, 6, 9, 8, 2))
    return Task(Examples(inputs[0], np.arange(6) % 3), Examples(inputs[1], rng.permutation(6) % 3))


def problem(kind: str, order: int, steps: int) -> tuple[MAML, Any, Task]:
    rng = np.random.default_rng(11)
    if kind == "sinusoid":
        model = nn.mlp((1, 4, 3, 1), activation="tanh", dtype=np.float64)
        learner = MAML(model, nn.mean_squared_error, 0.05, steps, order)
        return learner, learner.init(rng), sinusoid_task(rng)
    if kind == "images":
        model = nn.conv4((9, 8, 2), 3, filters=2, dtype=np.float64)
        learner = MAML(model, nn.cross_entropy, 0.1, steps, order, {"accuracy": nn.accuracy})
        return learner, learner.init(rng), image_task(rng)
    model = nn.mlp((3, 4, 3), batch_norm=True, dtype=np.float64)
    learner = MAML(model, nn.cross_entropy, 0.4, steps, order, {"accuracy": nn.accuracy})
    return learner, learner.init(rng), character_task(rng)


each_problem = pytest.mark.parametrize("kind", ["sinusoid", "characters", "images"])
