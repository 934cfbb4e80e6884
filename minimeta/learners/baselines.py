"""Baselines of meta-learning: learners that do not learn how to learn.

    joint pre-training      one model for all tasks together, then fine-tuned: it learns what tasks have in common
    fine-tuning             no training before a task: gradient descent from random parameters
    nearest neighbour       no parameters at all: the target of the most similar support example

The first two descend at a fixed rate. All they learn about learning is which rate is best on
average.

They keep the contract of :mod:`minimeta.learners.learner`, so they are trained, evaluated and saved
like the others, on the same tasks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from minimeta.autodiff import grad, tree
from minimeta.autodiff.operations import (
    argmax,
    astype,
    equal,
    negative,
    reshape,
    square,
    stack,
    subtract,
    sum,
    take,
    where,
)
from minimeta.counts import check_counts
from minimeta.errors import ConfigurationError
from minimeta.learners.descent import descent
from minimeta.learners.learner import Judgement, MetaGradient, Noise, given, judge
from minimeta.nn.models import Model
from minimeta.optim import Optimiser

if TYPE_CHECKING:
    from minimeta.tasks.task import Examples, Task


@dataclass(frozen=True)
class FineTuning:
    """Gradient descent from the same parameters for all tasks, at the fixed rate that is best on
    average.

    The meta-parameters are a dict of

    ``initial``
        The parameters. They stay random or, with ``pretrain``, are trained on all tasks together
        without adaptation, by the gradient of ``L_Q(theta)`` (*pretrained* in Finn et al. 2017,
        figures 2 and 3).
    ``losses``
        For each rate the running mean of the query loss that it leads to. If a task has the loss
        ``found``, the gradient is ``losses - found``, that of ``(losses - found)**2 / 2``, for
        ``sgd`` to follow. Evaluation uses the rate with the smallest mean.

    Parameters
    ----------
    model
        ``init(rng)`` and ``apply(parameters, inputs)``.
    loss
        ``loss(outputs, targets)``, a scalar.
    rates
        The rates to choose from.
    inner_steps
        Number of steps after which the rates are compared.
    pretrain
        Whether to train the parameters.
    diverged
        The loss to count for one that is larger, or NaN.
    metrics
        Other scalar functions of outputs and targets, by name, measured on the query set after
        adaptation.

    Raises
    ------
    ConfigurationError
        If a setting is out of range.
    """

    model: Model
    loss: Judgement
    rates: Sequence[float]
    inner_steps: int
    pretrain: bool = False
    diverged: float = 1e6
    metrics: Mapping[str, Judgement] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.rates or not all(0 < rate < math.inf for rate in self.rates):
            raise ConfigurationError(f"FineTuning: rates={tuple(self.rates)} must be positive and finite, at least one")
        check_counts(self, "inner_steps")

    def init(self, rng: np.random.Generator) -> Any:
        """Draw the parameters that every task starts from."""
        return {"initial": self.model.init(rng), "losses": np.zeros(len(self.rates))}

    def draw(self, rng: np.random.Generator, task: Task) -> Noise | None:
        """Draw the model's noise for pre-training on the query set; None for a model without ``draw``."""
        return Noise.drawn(self.model, rng, (), task.query.inputs) if self.pretrain else None

    def adapt(self, meta_parameters: Any, support: Examples, steps: int) -> tuple[Any, ...]:
        """Return the parameters after 0, 1, ..., ``steps`` gradient steps at the best rate."""
        best = equal(np.arange(len(self.rates)), argmax(negative(meta_parameters["losses"])))
        return self._descent(meta_parameters["initial"], support, steps, sum(where(best, np.array(self.rates), 0.0)))

    def predict(self, adapted: Any, inputs: Any) -> Any:
        """Return the model's outputs."""
        return self.model.apply(adapted, inputs)

    def meta_gradient(self, meta_parameters: Any, task: Task) -> MetaGradient:
        """Return what the task says about the parameters and about each rate."""
        initial, losses = meta_parameters["initial"], meta_parameters["losses"]
        found = []
        for rate in self.rates:
            loss = self._loss(self._descent(initial, task.support, self.inner_steps, rate)[-1], task.query)
            # minimum(loss, diverged) would be NaN if the loss is.
            found.append(where(loss < self.diverged, loss, self.diverged))
        noise = Noise.of(task).query
        trained = grad(self._loss)(initial, task.query, noise) if self.pretrain else tree.map(_zeros, initial)
        outputs = self.predict(self.adapt(meta_parameters, task.support, self.inner_steps)[-1], task.query.inputs)
        judged = judge(self.loss, self.metrics, outputs, task.query.targets)
        return MetaGradient(*judged, {"initial": trained, "losses": losses - stack(found)})

    def _loss(self, parameters: Any, examples: Examples, noise: Any = None) -> Any:
        return self.loss(self.model.apply(parameters, examples.inputs, *given(noise)), examples.targets)

    def _descent(self, parameters: Any, support: Examples, steps: int, rate: Any) -> tuple[Any, ...]:
        """Return the parameters after 0, 1, ..., ``steps`` gradient steps at a rate, which may be traced."""

        def update(gradient: Any, state: Any, parameters: Any) -> tuple[Any, Any]:
            return tree.map(lambda p, g: subtract(p, astype(rate, p.dtype) * g), parameters, gradient), state

        at_rate = Optimiser(lambda parameters: (), update)
        trajectory = descent(lambda at, step: grad(self._loss)(at, support), at_rate, parameters, (), steps)
        return tuple(parameters for parameters, _ in trajectory)


def _zeros(x: Any) -> Any:
    return np.zeros(x.shape, x.dtype)


@dataclass(frozen=True)
class NearestNeighbour:
    """Answer with the target of the nearest support example, by the Euclidean distance of inputs.

    For images that is the distance between pixels. There are no meta-parameters, and every step of
    adaptation is the same: it remembers the support set.

    Parameters
    ----------
    loss
        ``loss(outputs, targets)``, which is reported.
    ways
        The number of classes, for labels: an output is then 1 for the class and 0 for the others.
        None for targets that are numbers, which are themselves the outputs.
    metrics
        Other scalar functions of outputs and targets, by name.
    """

    loss: Judgement
    ways: int | None = None
    metrics: Mapping[str, Judgement] = field(default_factory=dict)

    def init(self, rng: np.random.Generator) -> Any:
        """Return no parameters."""
        return ()

    def adapt(self, meta_parameters: Any, support: Examples, steps: int) -> tuple[Any, ...]:
        """Return the support set, ``steps + 1`` times."""
        return (support,) * (steps + 1)

    def predict(self, adapted: Any, inputs: Any) -> Any:
        """Return the targets of the nearest examples; of several that are equally near, the first."""
        known = reshape(adapted.inputs, (1, adapted.inputs.shape[0], -1))
        distances = sum(square(reshape(inputs, (inputs.shape[0], 1, -1)) - known), -1)
        nearest = take(adapted.targets, argmax(negative(distances), 1), 0)
        return nearest if self.ways is None else take(np.eye(self.ways, dtype=adapted.inputs.dtype), nearest, 0)

    def meta_gradient(self, meta_parameters: Any, task: Task) -> MetaGradient:
        """Return the loss; there is nothing to learn."""
        outputs = self.predict(task.support, task.query.inputs)
        return MetaGradient(*judge(self.loss, self.metrics, outputs, task.query.targets), ())
