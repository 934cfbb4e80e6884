"""A learner whose every number is known, with its tasks: it learns the mean of points in space."""

from typing import Any

import numpy as np

import minimeta as mm
from minimeta.learners import MetaGradient
from minimeta.tasks import Examples, Task


class Centre:
    """Learns the mean of all query targets: loss |c - t|^2 / 2, gradient c - t, nothing to adapt."""

    def init(self, rng: np.random.Generator) -> Any:
        return {"centre": rng.standard_normal(3)}

    def adapt(self, meta_parameters: Any, support: Examples, steps: int) -> tuple[Any, ...]:
        return (meta_parameters,) * (steps + 1)

    def predict(self, adapted: Any, inputs: Any) -> Any:
        return adapted["centre"]

    def meta_gradient(self, meta_parameters: Any, task: Task) -> MetaGradient:
        difference = meta_parameters["centre"] - task.query.targets
        return MetaGradient(mm.sum(mm.square(difference)) / 2, {"first": difference[0]}, {"centre": difference})


class Branching(Centre):
    """The same learner with a Python branch on a value."""

    def meta_gradient(self, meta_parameters: Any, task: Task) -> MetaGradient:
        result = super().meta_gradient(meta_parameters, task)
        return result._replace(metrics={"large": np.asarray(float(result.loss) > 1)})


class Points:
    """Tasks that are points in space, and that remember what was asked of them."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def sample(self, rng: np.random.Generator, count: int) -> Task:
        self.asked.append(count)
        points = Examples(np.zeros((count, 3)), rng.standard_normal((count, 3)))
        return Task(points, points)
