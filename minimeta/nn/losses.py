"""Losses, which a learner minimises, and metrics, which measure it.

    mean_squared_error   mean (prediction - target)**2
    cross_entropy        -log softmax(logits)[label]
    accuracy             mean [argmax(logits) = label]

The reduction over examples is part of the method, because an inner learning rate has a meaning only
together with it. So each reduction has a name. MAML's released code divides the *sum* over an
``N``-way ``K``-shot support set by ``K``, which is ``N`` times the mean; its inner rate of 0.4 in
5-way classification is a rate of 2.0 on the mean.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np

from minimeta.autodiff.array import Array, ArrayLike, Form, Value
from minimeta.autodiff.operations import (
    argmax,
    astype,
    equal,
    expand_dims,
    less,
    log_softmax,
    mean,
    negative,
    square,
    squeeze,
    subtract,
    sum,
    take_along_axis,
    where,
)
from minimeta.autodiff.operations.operands import shape_of
from minimeta.errors import ConfigurationError, DtypeError, IndexingError, ShapeError

Reduction: TypeAlias = Literal["mean", "sum", "per_shot", "none"]


def mean_squared_error(predictions: ArrayLike, targets: ArrayLike) -> Value:
    """Return the mean of the squared differences over all elements.

    Parameters
    ----------
    predictions, targets
        Arrays of one shape.

    Raises
    ------
    ShapeError
        If the shapes differ. (Broadcasting ``(n, 1)`` with ``(n,)`` would silently compare all
        pairs.)
    """
    if shape_of(predictions) != shape_of(targets):
        raise ShapeError(
            f"mean_squared_error of shapes {shape_of(predictions)} and {shape_of(targets)}: they must be equal"
        )
    return mean(square(subtract(predictions, targets)))


def cross_entropy(logits: ArrayLike, labels: ArrayLike, reduction: Reduction = "mean") -> Value:
    """Return the negative log-likelihood of the labels under ``softmax(logits)``.

    Parameters
    ----------
    logits
        Of shape ``(..., classes)``, before the softmax.
    labels
        Integers in ``[0, classes)``, of shape ``(...)``.
    reduction
        How to reduce over the examples: ``"mean"``, ``"sum"``, ``"none"`` (the loss of each
        example), or ``"per_shot"``, the sum divided by the number of examples per class, which is
        ``classes`` times the mean (MAML's released code).

    Returns
    -------
    array
        A scalar, or of the shape of the labels with ``"none"``.

    Raises
    ------
    DtypeError, ShapeError, IndexingError
        If labels are not integers, have another shape, or are out of range.
    ConfigurationError
        If the reduction is unknown.
    """
    classes = _check_labels("cross_entropy", logits, labels)
    if isinstance(labels, Array) and isinstance(labels.value, Form):
        # A traced label has no value to check. As an index a negative one would count from the end,
        # so replace it by one that is refused when the program runs.
        labels = where(less(labels, 0), classes, labels)
    chosen = take_along_axis(log_softmax(logits, -1), expand_dims(labels, -1), -1)
    losses = negative(squeeze(chosen, -1))
    if reduction == "none":
        return losses
    if reduction == "sum":
        return sum(losses)
    if reduction == "mean":
        return mean(losses)
    if reduction == "per_shot":
        return mean(losses) * float(classes)
    raise ConfigurationError(f"cross_entropy: reduction={reduction!r} is not one of 'mean', 'sum', 'per_shot', 'none'")


def accuracy(logits: ArrayLike, labels: ArrayLike) -> Value:
    """Return the fraction of examples whose largest logit is the label's; of several that tie, the first counts.

    Parameters and errors are those of :func:`cross_entropy`, except that in a compiled function a
    label out of range is a miss.
    """
    _check_labels("accuracy", logits, labels)
    hits = equal(argmax(logits, -1), labels)
    dtype = logits.dtype if isinstance(logits, (Array, np.ndarray)) else np.float64
    return mean(astype(hits, dtype))


def _check_labels(name: str, logits: ArrayLike, labels: ArrayLike) -> int:
    shape = shape_of(logits)
    value = labels.value if isinstance(labels, Array) else np.asarray(labels)
    if value.dtype.kind not in "iu":
        raise DtypeError(
            f"{name} with labels of dtype {value.dtype.name}: labels are integers, the positions of the classes"
        )
    if not shape or value.shape != shape[:-1]:
        raise ShapeError(f"{name} of logits of shape {shape} with labels of shape {value.shape}: expected {shape[:-1]}")
    classes = int(shape[-1])
    if not isinstance(value, Form):
        wrong = value[(value < 0) | (value >= classes)]
        if wrong.size:
            raise IndexingError(f"{name}: label {wrong[0]} is out of range for {classes} classes, 0 to {classes - 1}")
    return classes
