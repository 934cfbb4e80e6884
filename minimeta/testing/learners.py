"""check_meta_gradient: the derivative of adaptation, and of what is learned by it.

A learner with meta-parameters ``theta`` adapts to a support set and is judged on a query set:
``L(theta)`` is the loss of one task. Two things are checked:

1. the map ``theta -> L(adapt(theta))`` itself has the derivatives that the library says, to second order;
2. the learner's meta-gradient is the gradient of its loss, and of which:
       second order    dL / dtheta, through every step of adaptation,
       first order     the same with the inner gradients held constant (their ``stop_gradient``),
       direction       neither, as Reptile's, which is no gradient: ``theta - adapt(theta)``.

The second needs no rule of any learner: ``meta_gradient`` is traced as a program of a loss and a
gradient, and the complex step differentiates the loss, once through ``stop_gradient`` and once not.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minimeta.autodiff import tree
from minimeta.autodiff.array import is_float
from minimeta.errors import ConfigurationError, GradientMismatch
from minimeta.testing.checker import check_gradients
from minimeta.testing.comparison import spread_of
from minimeta.testing.differences import Along
from minimeta.testing.directions import directions
from minimeta.testing.identities import magnitude, product
from minimeta.testing.limits import along
from minimeta.testing.report import Report
from minimeta.testing.rounding import precision, spread
from minimeta.testing.subject import Subject

KINDS = ("second order", "first order", "direction")


def check_meta_gradient(
    learner: Any,
    task: Any,
    *,
    meta_parameters: Any = None,
    objective: Callable[[Any, Any], Any] | None = None,
    kind: str | None = None,
    order: int = 2,
    seed: int = 0,
) -> Report:
    """Check a meta-learner's derivatives on a task: a built-in one, or any object with the methods
    of a learner.

    Parameters
    ----------
    learner
        ``init``, ``adapt``, ``predict`` and ``meta_gradient``; and ``loss`` and ``inner_steps``,
        unless ``objective`` is given.
    task
        With a support and a query set.
    meta_parameters
        Where; drawn by ``init`` if None. Floats are converted to float64.
    objective
        ``objective(meta_parameters, task)``, the scalar that the meta-gradient belongs to, if it is
        not the loss on the query set after adaptation.
    kind
        What the meta-gradient has to be: ``"second order"``, ``"first order"`` or ``"direction"``.
        None accepts the first two.
    order
        To which the map from meta-parameters to the objective is checked.
    seed
        Of the drawn meta-parameters and directions.

    Returns
    -------
    Report
        ``kind`` says what the meta-gradient is. Where nothing was held constant the first two are
        one, and it says ``"second order"``.

    Raises
    ------
    GradientMismatch
        The meta-gradient is not the gradient of the objective, of either kind, or not of the kind
        that was asked for.
    Nondifferentiable, Inconclusive, VacuousCheck
        As of :func:`~minimeta.testing.check_gradients`.
    ConfigurationError
        An unknown kind.
    """
    if kind is not None and kind not in KINDS:
        raise ConfigurationError(f"check_meta_gradient: kind={kind!r} is none of {', '.join(KINDS)}")
    drawn = learner.init(np.random.default_rng(seed)) if meta_parameters is None else meta_parameters
    meta_parameters, task = tree.map(_in_double, drawn), tree.map(_in_double, task)

    def query_loss(meta_parameters: Any, task: Any) -> Any:
        adapted = learner.adapt(meta_parameters, task.support, learner.inner_steps)[-1]
        return learner.loss(learner.predict(adapted, task.query.inputs), task.query.targets)

    scalar = objective or query_loss

    def adapted_loss(meta_parameters: Any) -> Any:
        return scalar(meta_parameters, task)

    report = check_gradients(adapted_loss, meta_parameters, order=order, seed=seed)
    found = _kind(learner, task, adapted_loss, meta_parameters, seed)
    accepted = KINDS[:2] if kind is None else (kind,)
    if found not in accepted:
        raise GradientMismatch(
            f"the meta-gradient of {type(learner).__name__} is {_ARTICLES[found]}, and not {' or '.join(accepted)}",
            fault="meta-gradient",
            order=1,
            oracle="complex step",
        )
    return dataclasses.replace(report, kind=found)


_ARTICLES = {
    "second order": "the gradient of its objective through all of adaptation (second order)",
    "first order": "that gradient with the inner gradients held constant (first order)",
    "direction": "not the gradient of its objective, of either order (a direction)",
}


def _in_double(x: Any) -> Any:
    return np.asarray(x, np.float64) if is_float(x) else x


def _kind(learner: Any, task: Any, loss: Callable[[Any], Any], meta_parameters: Any, seed: int) -> str:
    """Return what the learner's meta-gradient is."""
    subject = Subject.of(loss, (meta_parameters,))
    leaves = tree.flatten(learner.meta_gradient(meta_parameters, task).gradient)[0]
    gradient = [np.asarray(g, np.float64) for g in leaves if is_float(g)]
    derivative = subject.derivative([np.ones(())])
    eps = precision(subject.program, subject.point)
    noise = spread(derivative.program, derivative.values, eps) if derivative.program else []
    chosen = directions(np.random.default_rng([seed, 3]), subject.values)

    def agrees(direction: Sequence[Any], seen: Along) -> bool:
        (slope,), (error,), *_ = seen
        weight = magnitude(gradient, direction) + abs(float(slope))
        bound = 8 * (float(error) + spread_of(noise, direction) + eps * weight)
        return abs(product(gradient, direction) - float(slope)) <= bound

    line = subject.program
    if line is None:  # Differences do not see what is held constant.
        return "second order" if all(agrees(u, subject.along(u, 1)) for u in chosen) else "direction"
    for kind, through in (("second order", True), ("first order", False)):
        if all(agrees(u, along(line, subject.values, u, through=through)) for u in chosen):
            return kind
    return "direction"
