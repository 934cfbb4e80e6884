"""Which support examples matter for a prediction, and how much.

Of a query ``x`` that is given the label ``c``, the support example ``i`` matters by

    I_i = <d log p(c | x) / d x_i,  x_i - mean of x_1, ..., x_n>

where ``p`` is what the learner computes from the whole support set: the derivative goes back
through every step of adaptation. To first order ``I_i`` is how much the log-probability would fall
if the example ``x_i`` faded to the mean of the support set (a gradient times an input minus a
baseline, as in Shrikumar et al. 2017, arXiv:1704.02685). It is positive for what speaks for the
label, and negative for what speaks against it.

In regression it is how much the prediction follows the known value,

    I_i = d f(x) / d y_i,    summed over the numbers of a prediction.

The nearest neighbour has no such derivative: there ``I_i`` is 1 for the nearest example and 0 for
the others.

First-order learners hold inner gradients constant when they are trained. Here nothing is held
constant.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from minimeta.autodiff import grad
from minimeta.autodiff.operations import (
    argmax,
    argmin,
    equal,
    expand_dims,
    log_softmax,
    mean,
    reshape,
    square,
    sum,
    take,
)
from minimeta.learners import MetaLearner, NearestNeighbour
from minimeta.program import vmap
from minimeta.tasks import Examples

Adapt = Callable[[MetaLearner, Any, Examples], Any]
Predict = Callable[[MetaLearner, Any, Any, Any], Any]


def influences(learner: Any, adapt: Adapt, predict: Predict, of_labels: bool) -> Callable[[Any, Examples, Any], Any]:
    """Return the function from meta-parameters, support set and queries to influences, shape ``(queries, support)``.

    Parameters
    ----------
    learner
        The learner.
    adapt
        ``adapt(learner, meta_parameters, support)`` returns what `predict` needs.
    predict
        ``predict(learner, adapted, known, queries)`` returns outputs.
    of_labels
        Whether the targets are labels.
    """
    if isinstance(learner, NearestNeighbour):
        return _nearest
    exact = dataclasses.replace(learner, order=2) if getattr(learner, "order", None) == 1 else learner

    def of_inputs(meta_parameters: Any, support: Examples, query: Any) -> Any:
        def log_probability(inputs: Any) -> Any:
            adapted = adapt(exact, meta_parameters, Examples(inputs, support.targets))
            said = log_softmax(predict(exact, adapted, inputs, expand_dims(query, 0))[0], -1)
            return take(said, argmax(said), 0)

        inputs = support.inputs
        return _by_example(grad(log_probability)(inputs) * (inputs - mean(inputs, 0)))

    def of_targets(meta_parameters: Any, support: Examples, query: Any) -> Any:
        def prediction(targets: Any) -> Any:
            adapted = adapt(exact, meta_parameters, Examples(support.inputs, targets))
            return sum(predict(exact, adapted, support.inputs, expand_dims(query, 0)))

        return _by_example(grad(prediction)(support.targets))

    return vmap(of_inputs if of_labels else of_targets, (None, None, 0))


def _by_example(x: Any) -> Any:
    return sum(reshape(x, (x.shape[0], -1)), -1)


def _nearest(meta_parameters: Any, support: Examples, queries: Any) -> Any:
    count = support.inputs.shape[0]
    known = reshape(support.inputs, (1, count, -1))
    distances = sum(square(reshape(queries, (queries.shape[0], 1, -1)) - known), -1)
    return equal(np.arange(count), expand_dims(argmin(distances, -1), 1)) * 1.0
