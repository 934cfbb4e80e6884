"""Sums and products along an axis, and differences, which undo sums.

The derivative of a product with respect to a factor is the product of the others. A division would
find it, but not where a factor is 0; so it is what comes before, times what comes after. For the
products ``y_i = x_1 x_2 ... x_i`` the cotangents of the factors are

    c_i y_(i-1),  where  c_i = g_i + x_(i+1) c_(i+1),

a *linear recurrence*, run backwards. The recurrence ``y_i = a_i y_(i-1) + b_i`` is an operation by
itself, closed under differentiation: the cotangent of ``b`` is another one, backwards, and that of
``a`` is a product with ``y``.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from minimeta.autodiff.apply import apply
from minimeta.autodiff.array import Array, Form, Shape, Value
from minimeta.autodiff.definition import operation
from minimeta.autodiff.operations import (
    arithmetic,
    conversions,
    joining,
    logic,
    movement,
    operands,
    reductions,
)
from minimeta.autodiff.operations.queries import as_array, as_float, differentiable
from minimeta.autodiff.primitive import Draw
from minimeta.errors import ShapeError


@differentiable(np.prod, by_first=True)
def prod(
    x: Any,
    axis: reductions.Axis = None,
    dtype: DTypeLike | None = None,
    *,
    keepdims: bool = False,
    initial: Any = 1,
    where: Any = True,
) -> Value:
    """The product; 1 of no elements. Its derivatives are right where elements are 0, too."""
    x = _in_dtype(x, dtype)
    if where is not True:
        x = logic.where(where, x, 1.0)
    axes = operands.axes_of("prod", axis, x.ndim)
    y = apply(PROD, x, axes=axes, keepdims=keepdims)
    return y if type(initial) is int and initial == 1 else y * conversions.astype(initial, y.dtype)


@differentiable(np.cumsum)
def cumsum(x: Any, axis: int | None = None, dtype: DTypeLike | None = None) -> Value:
    """The sums of the elements up to each one along an axis; of the flattened array where ``axis`` is None."""
    x, place = _along("cumsum", _in_dtype(x, dtype), axis)
    return apply(CUMSUM, x, axis=place, reverse=False)


@differentiable(np.cumprod)
def cumprod(x: Any, axis: int | None = None, dtype: DTypeLike | None = None) -> Value:
    """The products of the elements up to each one along an axis; of the flattened array where ``axis`` is None.

    Its derivatives are right where elements are 0, too.
    """
    x, place = _along("cumprod", _in_dtype(x, dtype), axis)
    return apply(CUMPROD, x, axis=place, reverse=False)


def _cumulative(function: Any, start: float, x: Any, axis: int | None, dtype: Any, include_initial: bool) -> Value:
    x = _in_dtype(x, dtype)
    if axis is None and x.ndim != 1:
        raise ShapeError(f"a cumulative sum or product of shape {x.shape}: name an axis")
    y = function(x, 0 if axis is None else axis)
    if not include_initial:
        return y
    sides = tuple([1 if i == (axis or 0) % x.ndim else side for i, side in enumerate(x.shape)])
    return joining.concatenate([np.full(sides, start, x.dtype), y], axis or 0)


def cumulative_sum(
    x: Any, /, *, axis: int | None = None, dtype: DTypeLike | None = None, include_initial: bool = False
) -> Value:
    """:func:`cumsum` as the array API has it; ``include_initial`` begins with 0."""
    return _cumulative(cumsum, 0.0, x, axis, dtype, include_initial)


def cumulative_prod(
    x: Any, /, *, axis: int | None = None, dtype: DTypeLike | None = None, include_initial: bool = False
) -> Value:
    """:func:`cumprod` as the array API has it; ``include_initial`` begins with 1."""
    return _cumulative(cumprod, 1.0, x, axis, dtype, include_initial)


if hasattr(np, "cumulative_sum"):  # Since numpy 2.1.
    cumulative_sum = differentiable(np.cumulative_sum)(cumulative_sum)
    cumulative_prod = differentiable(np.cumulative_prod)(cumulative_prod)


@differentiable(np.diff)
def diff(x: Any, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> Value:
    """The differences of neighbours along an axis, ``x[i + 1] - x[i]``, ``n`` times over.

    ``prepend`` and ``append`` are joined to ``x`` first: an array, or one number for the whole side.

    Raises
    ------
    ShapeError
        ``n`` is negative, or there is no axis.
    """
    x = as_float(x)
    if n < 0 or x.ndim == 0:
        raise ShapeError(f"diff of shape {x.shape}, {n} times: it needs an axis, and n from 0 on")
    axis = operands.axis_of("diff", axis, x.ndim)
    sides = [_as_side(end, x.shape, axis) for end in (prepend, append)]
    if prepend is not None or append is not None:
        x = joining.concatenate([part for part in (sides[0], x, sides[1]) if part is not None], axis)
    for _ in range(min(n, x.shape[axis])):
        size = max(x.shape[axis] - 1, 0)
        later = apply(movement.SLICE, x, **operands.along(axis, x.shape, min(1, x.shape[axis]), size))
        x = later - apply(movement.SLICE, x, **operands.along(axis, x.shape, 0, size))
    return x


def _as_side(end: Any, shape: Shape, axis: int) -> Any:
    if end is None or operands.shape_of(end):
        return end
    return movement.broadcast_to(end, (*shape[:axis], 1, *shape[axis + 1 :]))


@differentiable(np.ediff1d, by_first=True)
def ediff1d(x: Any, to_end: Any = None, to_begin: Any = None) -> Value:
    """The differences of neighbours in the flattened array, with what is put before and behind them."""
    between = diff(movement.ravel(as_float(x)))
    ends = [
        None if end is None else movement.ravel(conversions.astype(end, between.dtype)) for end in (to_begin, to_end)
    ]
    parts = [part for part in (ends[0], between, ends[1]) if part is not None]
    return joining.concatenate(parts) if len(parts) > 1 else between


@differentiable(np.trapezoid)
def trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Value:
    """The integral of samples along an axis by the trapezoidal rule: at places ``x``, or ``dx`` apart."""
    y = as_array(y)
    axis = operands.axis_of("trapezoid", axis, y.ndim)
    y = movement.moveaxis(y, axis, -1)
    if x is None:
        widths: Any = dx
    elif len(operands.shape_of(x)) == 1:
        widths = diff(as_array(x))
    else:
        widths = diff(movement.moveaxis(as_array(x), axis, -1))
    if x is None and operands.shape_of(dx):
        widths = movement.moveaxis(as_array(dx), axis, -1) if len(operands.shape_of(dx)) > 1 else dx
    return reductions.sum(widths * (y[..., 1:] + y[..., :-1]) / 2.0, -1)


@differentiable(np.unwrap)
def unwrap(p: Any, discont: float | None = None, axis: int = -1, *, period: float = 2 * math.pi) -> Value:
    """Add whole periods, so that no two neighbours along an axis differ by more than half of one (or ``discont``).

    What is added is a constant to every derivative.
    """
    p = as_float(p)
    axis = operands.axis_of("unwrap", axis, p.ndim)
    steps = conversions.stop_gradient(diff(p, axis=axis))
    half = period / 2.0
    wrapped = arithmetic.remainder(steps + half, period) - half
    wrapped = logic.where(logic.equal(wrapped, -half) & (steps > 0), half, wrapped)
    correction = logic.where(arithmetic.absolute(steps) < (half if discont is None else discont), 0.0, wrapped - steps)
    first = np.zeros([1 if i == axis else side for i, side in enumerate(p.shape)], p.dtype)
    return p + joining.concatenate(
        [first[(slice(None),) * axis + (slice(p.shape[axis]),)], cumsum(correction, axis)], axis
    )


# Rules


def _in_dtype(x: Any, dtype: Any) -> Any:
    return as_float(x) if dtype is None else conversions.astype(x, dtype)


def _along(name: str, x: Any, axis: int | None) -> tuple[Any, int]:
    if axis is None:
        return movement.ravel(x), 0
    return x, operands.axis_of(name, axis, x.ndim)


def _shifted(x: Array, axis: int, later: bool, fill: float) -> Value:
    """The elements one place further along an axis, or one place back; what is left open is filled."""
    size = x.shape[axis]
    if size == 0:
        return x
    kept = apply(movement.SLICE, x, **operands.along(axis, x.shape, 0 if later else 1, size - 1))
    end = np.full([1 if i == axis else side for i, side in enumerate(x.shape)], fill, x.dtype)
    return joining.concatenate([end, kept] if later else [kept, end], axis)


def _cumsum_rule(g: Array, y: Array, x: Array, axis: int, reverse: bool) -> Value:
    return apply(CUMSUM, g, axis=axis, reverse=not reverse)


def _taken_before(taken: Any, y: Array, x: Array, *, axis: int, reverse: bool) -> Value:
    """Every element of a result depends on those before it."""
    return _cumsum_rule(taken, y, x, axis, reverse)


def _cumprod_rule(g: Array, y: Array, x: Array, axis: int, reverse: bool) -> Value:
    factors = _shifted(x, axis, reverse, 0.0)
    return apply(RECURRENCE, factors, g, axis=axis, reverse=not reverse) * _shifted(y, axis, not reverse, 1.0)


def _prod_rule(g: Array, y: Array, x: Array, axes: Shape, keepdims: bool) -> Value:
    """``g`` times the product of the other elements: of those before it, and of those behind it."""
    rest = tuple([i for i in range(x.ndim) if i not in axes])
    order = (*rest, *axes)
    turned = movement.transpose(x, order)
    sides = (*(x.shape[i] for i in rest), math.prod(x.shape[i] for i in axes))
    row, last = movement.reshape(turned, sides), len(rest)
    before = _shifted(apply(CUMPROD, row, axis=last, reverse=False), last, True, 1.0)
    behind = _shifted(apply(CUMPROD, row, axis=last, reverse=True), last, False, 1.0)
    others = movement.transpose(movement.reshape(before * behind, turned.shape), np.argsort(order).tolist())
    kept = movement.reshape(g, tuple([1 if i in axes else side for i, side in enumerate(x.shape)]))
    return kept * others


# The primitives


def _check(name: str, x: Any, of_integers: bool) -> None:
    if not (of_integers and x.dtype in (np.int64, np.uint64)):
        reductions.check_float(name, x)


def _same(name: str, of_integers: bool = False) -> Any:
    def rule(x: Any, *others: Any, axis: int, reverse: bool) -> Form:
        _check(name, x, of_integers)
        if any(other.shape != x.shape for other in others):
            raise ShapeError(f"{name} of shapes {x.shape} and {others[0].shape}: they must be equal")
        return Form(x.shape, x.dtype)

    return rule


def _reduced(x: Any, axes: Shape, keepdims: bool) -> Form:
    _check("prod", x, of_integers=True)
    sides = [1 if i in axes else side for i, side in enumerate(x.shape) if keepdims or i not in axes]
    return Form(sides, x.dtype)


def _sample(count: int) -> Any:
    def sample(draw: Draw) -> tuple[tuple[NDArray[Any], ...], dict[str, Any]]:
        shape = draw.shape(1)
        params = {"axis": draw.integer(0, len(shape) - 1), "reverse": bool(draw.integer(0, 1))}
        return tuple(draw.array(shape) for _ in range(count)), params

    return sample


def _sample_prod(draw: Draw) -> tuple[tuple[NDArray[Any], ...], dict[str, Any]]:
    shape = draw.shape()
    axes = tuple(i for i in range(len(shape)) if draw.integer(0, 1))
    return (draw.array(shape),), {"axes": axes, "keepdims": bool(draw.integer(0, 1))}


def _backwards(x: Any, axis: int, reverse: bool) -> Any:
    return np.flip(x, axis) if reverse else x


@operation(
    rules=(_cumsum_rule,),
    shape=_same("cumsum"),
    sample=_sample(1),
    linear=True,
    flops=lambda y, x, **_: math.prod(x.shape),
)
def _cumsum(x: Any, *, axis: int, reverse: bool) -> Any:
    return _backwards(np.cumsum(_backwards(x, axis, reverse), axis), axis, reverse)


@operation(
    rules=(_cumprod_rule,),
    shape=_same("cumprod", of_integers=True),
    sample=_sample(1),
    carried=_taken_before,
    flops=lambda y, x, **_: math.prod(x.shape),
)
def _cumprod(x: Any, *, axis: int, reverse: bool) -> Any:
    return _backwards(np.cumprod(_backwards(x, axis, reverse), axis), axis, reverse)


@operation(
    rules=(_prod_rule,),
    shape=_reduced,
    sample=_sample_prod,
    scalar=True,
    carried=reductions.taken_with,
    flops=lambda y, x, **_: math.prod(x.shape),
)
def _prod(x: Any, *, axes: Shape, keepdims: bool) -> Any:
    return np.prod(x, axes, keepdims=keepdims)


def _recurrence_of_cotangents(g: Array, y: Array, a: Array, b: Array, axis: int, reverse: bool) -> Value:
    return apply(RECURRENCE, _shifted(a, axis, reverse, 0.0), g, axis=axis, reverse=not reverse)


@operation(
    rules=(
        lambda g, y, a, b, axis, reverse: (
            _recurrence_of_cotangents(g, y, a, b, axis, reverse) * _shifted(y, axis, not reverse, 0.0)
        ),
        _recurrence_of_cotangents,
    ),
    shape=_same("recurrence"),
    sample=_sample(2),
    carried=_taken_before,
    flops=lambda y, a, b, **_: 2 * math.prod(a.shape),
)
def _recurrence(a: Any, b: Any, *, axis: int, reverse: bool) -> Any:
    """``y_i = a_i y_(i-1) + b_i`` along an axis, from 0 on; or from its end."""
    factors, terms = (np.moveaxis(_backwards(x, axis, reverse), axis, 0) for x in (a, b))
    y = np.empty(terms.shape, np.result_type(a, b))
    if terms.ndim == 1 and y.dtype.kind == "f":  # Python is faster with its own numbers.
        last = 0.0
        y[...] = [last := factor * last + term for factor, term in zip(factors.tolist(), terms.tolist(), strict=True)]
        return _backwards(y, axis, reverse)
    total = np.zeros(terms.shape[1:], y.dtype)
    for i in range(len(terms)):
        total = factors[i] * total + terms[i]
        y[i] = total
    return _backwards(np.moveaxis(y, 0, axis), axis, reverse)


CUMSUM, CUMPROD, PROD, RECURRENCE = _cumsum.primitive, _cumprod.primitive, _prod.primitive, _recurrence.primitive
