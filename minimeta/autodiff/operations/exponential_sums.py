"""Softmax: probabilities of logits, and the logarithm of the sum that divides them.

    logsumexp(x) = log(sum(exp(x)))        softmax(x) = exp(x - logsumexp(x))        log_softmax(x) = x - logsumexp(x)

Adding one number to all logits adds it to ``logsumexp`` and changes no probability. So nothing
overflows where the largest logit is subtracted first, and the cotangents of ``softmax`` and
``log_softmax`` add to zero. The derivative of ``logsumexp`` is ``softmax`` (book, chapter 3).

``axis`` is one axis, a sequence of axes, or None for all. All take float32 or float64, and raise a
DtypeError for anything else, and a ShapeError for axes out of range.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minimeta.autodiff.apply import apply
from minimeta.autodiff.array import Array, ArrayLike, Form, Shape, Value
from minimeta.autodiff.definition import Declare, operation
from minimeta.autodiff.operations import indexing, logic, movement, reductions, transcendental
from minimeta.autodiff.operations.reductions import Axis, sum
from minimeta.autodiff.primitive import Rule


def logsumexp(x: ArrayLike, axis: Axis = None, *, keepdims: bool = False) -> Value:
    """``log(sum(exp(x)))`` without overflow; minus infinity of no elements.

    Its derivative is :func:`softmax`, with infinities too.
    """
    return _logsumexp(x, axes=reductions.reduced_axes("logsumexp", x, axis), keepdims=keepdims)


def softmax(x: ArrayLike, axis: Axis = -1) -> Value:
    """``exp(x) / sum(exp(x))`` without overflow, of the shape of ``x``.

    Elements that are infinite and the largest share 1 equally, as equal ones do.
    """
    return _softmax(x, axes=reductions.reduced_axes("softmax", x, axis))


def log_softmax(x: ArrayLike, axis: Axis = -1) -> Value:
    """``x - logsumexp(x)``, of the shape of ``x``; the logarithm of :func:`softmax`, with infinities too."""
    return _log_softmax(x, axes=reductions.reduced_axes("log_softmax", x, axis))


# Rules


def _adding_to_zero(g: Any, likely: Any, axes: Shape) -> Value:
    """A cotangent whose elements add to zero, as adding one number to all logits changes no
    probability.

    The element of a probability near 1 is a small difference of large numbers. So it is computed as
    minus the sum of the others, where the cotangent of this expression in turn has only differences
    of elements: no order cancels.
    """
    others = logic.where(likely, 0.0, g)
    return logic.where(likely, -sum(others, axes, keepdims=True), others)


def _softmax_rule(g: Array, y: Array, x: Array, axes: Shape) -> Value:
    # One number added to all of g changes nothing. So subtract the g of a probability near 1: where
    # y g is nearly that, y_i (g_i - y g) would lose the digits of the other probabilities.
    likely = logic.greater(y, 0.6)
    d = logic.where(likely, 0.0, g - sum(logic.where(likely, g, 0.0), axes, keepdims=True))
    return _adding_to_zero(y * (d - sum(d * y, axes, keepdims=True)), likely, axes)


def _log_softmax_rule(g: Array, y: Array, x: Array, axes: Shape) -> Value:
    return _adding_to_zero(g - transcendental.exp(y) * sum(g, axes, keepdims=True), logic.greater(y, -0.5), axes)


# The primitives


def _below_largest(x: Any, axes: Shape) -> Any:
    """``x`` less its largest element, which is 0 of equal infinities, too.

    Of complex numbers it is the whole one, with its imaginary part: then no difference of numbers
    that are nearly equal is left in the slope of a probability near 1.
    """
    largest = np.max(np.real(x), axes, keepdims=True, initial=-np.inf)
    is_largest = np.real(x) == largest
    below = np.where(is_largest, 0, np.real(x) - largest)
    if not np.iscomplexobj(x):
        return below
    count = np.maximum(np.sum(is_largest, axes, keepdims=True), 1)  # None is the largest next to NaN.
    return below + 1j * (x.imag - np.sum(np.where(is_largest, x.imag, 0), axes, keepdims=True) / count)


@reductions.reduction(
    "logsumexp",
    lambda g, y, x, axes, keepdims: reductions.restored(g, x, axes, keepdims) * softmax(x, axes),
    shifted=True,
)
def _logsumexp(x: Any, *, axes: Shape, keepdims: bool) -> Any:
    largest = np.max(np.real(x), axes, keepdims=True, initial=-np.inf)
    shift = np.where(np.isfinite(largest), largest, 0)
    total = np.log(np.sum(np.exp(x - shift), axes, keepdims=keepdims))
    return total + (shift if keepdims else np.squeeze(shift, axes))


def _normalisation(name: str, rule: Rule) -> Declare:
    def same_form(x: Any, axes: Shape) -> Form:
        reductions.check_float(name, x)
        return Form(x.shape, x.dtype)

    return operation(
        name=name,
        rules=(rule,),
        shape=same_form,
        sample=reductions.sample_reduction(keepdims=False),
        shifted=True,
        carried=_taken_in_rows,
        flops=reductions.elements_read,
    )


def _taken_in_rows(taken: Any, y: Array, x: Array, *, axes: Shape) -> Value:
    """Every element of a result depends on all in its row."""
    count = _count_by_index(taken, axes)
    return reductions.taken_with(
        sum(taken, axes, keepdims=True) if count is None else count, y, x, axes=axes, keepdims=True
    )


def _count_by_index(taken: Any, axes: Shape) -> Value | None:
    """How many elements of each row an index takes; None where ``taken`` is not what an index takes.

    Where in its row an element lies does not matter, and its other positions are often constants:
    ``x[np.arange(n), i]`` takes one of each row, whatever ``i``. So this may be known where
    ``taken`` is not.
    """
    (is_taken,) = _operands(taken, "astype") or (None,)
    counted, bound = _operands(is_taken, "greater") or (None, None)
    ones, *positions = _operands(counted, "scatter_add") or (None,)
    if not (_is_always(ones, 1.0) and _is_always(bound, 0.0)):
        return None
    row = [1 if i in axes else side for i, side in enumerate(taken.shape)]
    kept = [i for i in range(len(row)) if i not in axes]
    where = [positions[i] for i in kept if i < len(positions)]
    if not where:
        return np.full(row, positions[0].size, taken.dtype)
    whole = [row[i] for i in kept if i >= len(positions)]
    updates = np.ones((*positions[0].shape, *whole), taken.dtype)
    return movement.reshape(apply(indexing.SCATTER_ADD, updates, *where, shape=tuple(row[i] for i in kept)), row)


def _operands(x: Any, name: str) -> tuple[Array, ...]:
    """What ``x`` was computed from, if an operation of this name did."""
    return x.inputs if isinstance(x, Array) and x.primitive is not None and x.primitive.name == name else ()


def _is_always(x: Any, value: float) -> bool:
    """Whether this is a constant whose elements all are this number."""
    return isinstance(x, Array) and isinstance(x.value, np.ndarray) and bool(np.all(x.value == value))


@_normalisation("softmax", _softmax_rule)
def _softmax(x: Any, *, axes: Shape) -> Any:
    weights = np.exp(_below_largest(x, axes))
    return weights / np.sum(weights, axes, keepdims=True)


@_normalisation("log_softmax", _log_softmax_rule)
def _log_softmax(x: Any, *, axes: Shape) -> Any:
    shifted = _below_largest(x, axes)
    largest = np.real(shifted) == 0
    others = np.sum(np.where(largest, np.expm1(shifted), np.exp(shifted)), axes, keepdims=True)
    return shifted - np.log1p(np.sum(largest, axes, x.real.dtype, keepdims=True) - 1 + others)
