"""Reductions: one number for all elements along some axes.

A reduction's cotangent is repeated along the axes that were reduced and multiplied by the
derivative of the result with respect to each element:

    sum: 1        mean: 1/n        norm: x/|x|        max: 1 where x is the maximum

``axis`` is one axis, a sequence of axes, or None for all; with ``keepdims`` the reduced axes stay
with length 1. The order in which elements are added depends on the shape and the axes alone, never
on the memory layout. All take float32 or float64, and integers and bool by numpy's rules: a sum is
int64 (of unsigned ones uint64), a mean float64. They raise a ShapeError for axes out of range.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from minimeta.autodiff.apply import apply
from minimeta.autodiff.array import Array, ArrayLike, Form, Shape, Value
from minimeta.autodiff.definition import Declare, operation
from minimeta.autodiff.operations import arithmetic, conversions, logic, movement, operands, queries, selections
from minimeta.autodiff.primitive import Draw, Primitive, Rule, Sample
from minimeta.autodiff.promotion import fixed
from minimeta.autodiff.protocols import answers
from minimeta.errors import DtypeError, ShapeError

Axis: TypeAlias = int | Sequence[int] | None


@selections.sums(np.sum)
def sum(x: ArrayLike, axis: Axis = None, *, keepdims: bool = False) -> Value:
    """The sum; 0 of no elements."""
    return apply(SUM, _widened(x), axes=reduced_axes("sum", x, axis), keepdims=keepdims)


@selections.means(np.mean)
def mean(x: ArrayLike, axis: Axis = None, *, keepdims: bool = False) -> Value:
    """The mean; NaN of no elements."""
    return apply(MEAN, queries.as_float(x), axes=reduced_axes("mean", x, axis), keepdims=keepdims)


@selections.extremes(np.max, arithmetic.maximum)
def max(x: ArrayLike, axis: Axis = None, *, keepdims: bool = False) -> Value:
    """The largest element; NaN if one is NaN. Elements that tie for it share its derivative
    equally.

    Raises
    ------
    ShapeError
        There are no elements to choose from.
    """
    return _chosen(MAX, x, axes=reduced_axes("max", x, axis), keepdims=keepdims)


@selections.extremes(np.min, arithmetic.minimum)
def min(x: ArrayLike, axis: Axis = None, *, keepdims: bool = False) -> Value:
    """The smallest element; NaN if one is NaN. Elements that tie for it share its derivative
    equally.

    Raises
    ------
    ShapeError
        There are no elements to choose from.
    """
    return _chosen(MIN, x, axes=reduced_axes("min", x, axis), keepdims=keepdims)


def norm(x: ArrayLike, axis: Axis = None, *, keepdims: bool = False) -> Value:
    """The Euclidean norm ``sqrt(sum(x**2))`` over all named axes, without overflow; its derivative
    at 0 is 0.

    That is a convention: there is a kink. The derivatives of ``norm(x)**2`` are right there, to
    every order; of what is smooth in another way (``cos(norm(x))``), or squared outside of the
    ``vmap`` or ``rematerialize`` that the norm is inside of, the second ones are not: write it with
    ``sum(x**2)``.
    """
    return _norm(queries.as_float(x), axes=reduced_axes("norm", x, axis), keepdims=keepdims)


@answers(np.argmax)
def argmax(x: ArrayLike, axis: int | None = None, *, keepdims: bool = False) -> Value:
    """The position of the first largest element, int64; a constant to every derivative. NaN counts
    as the largest.

    Raises
    ------
    ShapeError
        There are no elements to choose from.
    """
    shape = operands.shape_of(x)
    if axis is None:
        flat = argmax(movement.ravel(x), 0)
        return movement.reshape(flat, (1,) * len(shape)) if keepdims else flat
    return _argmax(
        x if _kind(x) == "b" else _widened(x), axis=operands.axis_of("argmax", axis, len(shape)), keepdims=keepdims
    )


@answers(np.argmin)
def argmin(x: ArrayLike, axis: int | None = None, *, keepdims: bool = False) -> Value:
    """The position of the first smallest element, int64; a constant to every derivative. NaN counts
    as the smallest.

    Raises
    ------
    ShapeError
        There are no elements to choose from.
    """
    if _kind(x) != "f":
        return queries.query(np.argmin, x, axis, keepdims=keepdims)
    _check_elements("argmin", _array(x), reduced_axes("argmin", x, axis))
    return argmax(arithmetic.negative(x), axis, keepdims=keepdims)


# Integers and truth values


def _array(x: Any) -> Any:
    return x if isinstance(x, (Array, np.ndarray)) else fixed(x, False)


def _kind(x: ArrayLike) -> str:
    kind: str = _array(x).dtype.kind
    return kind


def _widened(x: ArrayLike) -> ArrayLike | Value:
    """Integers and truth values of 64 bits."""
    kind = _kind(x)
    wide = np.uint64 if kind == "u" else np.int64
    return x if kind not in "biu" or _array(x).dtype == wide else conversions.astype(x, wide)


def _chosen(primitive: Primitive, x: ArrayLike, **params: Any) -> Value:
    """One of the elements, which has their dtype."""
    wide = _widened(x)
    y = apply(primitive, wide, **params)
    return y if wide is x else conversions.astype(y, _array(x).dtype)


# Shape rules


def reduced_axes(name: str, x: ArrayLike, axis: Axis) -> tuple[int, ...]:
    """Return the axes of an operand that are named, counted from the front."""
    return operands.axes_of(name, axis, len(operands.shape_of(x)))


def check_float(name: str, x: Any) -> None:
    """Refuse what is neither float32 nor float64."""
    if x.dtype.kind != "f":
        raise DtypeError(f"{name} of dtype {x.dtype.name}: it needs float32 or float64; convert with astype")


def _kept(shape: Shape, axes: Shape) -> Shape:
    return tuple([1 if i in axes else side for i, side in enumerate(shape)])


def _reduced(name: str, needs_elements: bool = False) -> Callable[..., Form]:
    def rule(x: Any, axes: Shape, keepdims: bool = False, correction: float = 0.0) -> Form:
        if name not in ("sum", "max", "min") or x.dtype not in (np.int64, np.uint64):
            check_float(name, x)
        if needs_elements:
            _check_elements(name, x, axes)
        shape = _kept(x.shape, axes) if keepdims else tuple([s for i, s in enumerate(x.shape) if i not in axes])
        return Form(shape, x.dtype)

    return rule


def _check_elements(name: str, x: Any, axes: Shape) -> None:
    if any(x.shape[axis] == 0 for axis in axes):
        raise ShapeError(f"{name} of shape {x.shape} over axes {axes}: there are no elements to choose from")


def _position(x: Any, axis: int, keepdims: bool) -> Form:
    if x.dtype.kind in "iu" and x.dtype not in (np.int64, np.uint64):
        raise DtypeError(f"argmax of dtype {x.dtype.name}: it needs floats, int64, uint64 or bool; convert with astype")
    _check_elements("argmax", x, (axis,))
    return Form(_kept(x.shape, (axis,)) if keepdims else x.shape[:axis] + x.shape[axis + 1 :], np.int64)


# Helpers of the references, which are exact in complex numbers too


def _count(shape: Shape, axes: Shape) -> int:
    count = 1
    for axis in axes:
        count *= shape[axis]
    return count


def _choose(x: Any, axes: Shape, keepdims: bool, choose: Any) -> Any:
    """The element whose real part is chosen along the axes."""
    front = np.moveaxis(x, axes, range(len(axes)))
    rest = front.shape[len(axes) :]
    flat = front.reshape((_count(x.shape, axes), *rest))
    chosen = np.take_along_axis(flat, choose(np.real(flat), axis=0)[None], 0)[0]
    return chosen.reshape(_kept(x.shape, axes)) if keepdims else chosen


# Rules


def restored(g: Array, x: Array, axes: Shape, keepdims: bool) -> Value:
    """Return a reduced array with its reduced axes back, at length 1; leading ones come back by broadcasting anyway."""
    return g if keepdims or axes == tuple(range(len(axes))) else movement.reshape(g, _kept(x.shape, axes))


def _spread(g: Array, x: Array, axes: Shape, keepdims: bool) -> Value:
    return apply(movement.BROADCAST_TO, restored(g, x, axes, keepdims), shape=x.shape)


def taken_with(taken: Any, y: Array, x: Array, *, axes: Shape, keepdims: bool, **params: Any) -> Value:
    """Return where elements are taken: all that were reduced, with the result."""
    return _spread(taken, x, axes, keepdims)


def _share(g: Array, y: Array, x: Array, axes: Shape, keepdims: bool) -> Value:
    is_chosen = logic.equal(x, restored(y, x, axes, keepdims))
    ties = sum(conversions.astype(is_chosen, x.dtype), axes, keepdims=True)
    return logic.where(is_chosen, restored(g, x, axes, keepdims) / ties, logic.where(ties > 0.0, 0.0 * ties, np.nan))


def _variance_rule(g: Array, y: Array, x: Array, axes: Shape, keepdims: bool, correction: float) -> Value:
    count = _count(x.shape, axes)
    factor = 2.0 / (count - correction) if count > correction else np.inf if count else 0.0
    return (restored(g, x, axes, keepdims) * factor) * (x - mean(x, axes, keepdims=True))


def _norm_rule(g: Array, y: Array, x: Array, axes: Shape, keepdims: bool) -> Value:
    length = restored(y, x, axes, keepdims)
    zero = logic.equal(length, 0.0)
    # x / |x| first: it is at most 1, where g / |x| and its derivatives leave the range for tiny x.
    direction = logic.where(zero, 0.0, x / logic.where(zero, 1.0, length))
    return restored(g, x, axes, keepdims) * direction


def _mean_rule(g: Array, y: Array, x: Array, axes: Shape, keepdims: bool) -> Value:
    count = _count(x.shape, axes)
    return _spread(g / float(count) if count else g, x, axes, keepdims)


# The primitives


def sample_reduction(least: int = 0, keepdims: bool = True, **params: Any) -> Sample:
    """Sample an array with sides of at least this length, axes, and whether they are kept, with other parameters."""

    def sample(draw: Draw) -> tuple[tuple[NDArray[Any], ...], dict[str, Any]]:
        shape = draw.shape()
        axes = tuple(i for i in range(len(shape)) if draw.integer(0, 1))
        shape = tuple(side + least * (i in axes and side < least) for i, side in enumerate(shape))
        kept = {"keepdims": bool(draw.integer(0, 1))} if keepdims else {}
        return (draw.array(shape),), {"axes": axes, **kept, **params}

    return sample


def _sample_argmax(draw: Draw) -> tuple[tuple[NDArray[Any], ...], dict[str, Any]]:
    shape = draw.shape(1)
    axis = draw.integer(0, len(shape) - 1)
    shape = tuple(side + (i == axis) for i, side in enumerate(shape))
    return (draw.array(shape),), {"axis": axis, "keepdims": bool(draw.integer(0, 1))}


def elements_read(y: Any, x: Any, **params: Any) -> int:
    """Count one floating-point operation for each element that is read."""
    return math.prod(x.shape)


def _is_extreme(g: Array, y: Array, x: Array, axes: Shape, keepdims: bool) -> Value:
    extreme = restored(y, x, axes, keepdims)
    return logic.logical_or(logic.equal(x, extreme), logic.not_equal(extreme, extreme))


def reduction(
    name: str, rule: Rule, choice: bool = False, sampled: Mapping[str, Any] = MappingProxyType({}), **facts: Any
) -> Declare:
    """Declare a reduction by its rule; a choice needs elements, and makes no new number."""
    return operation(
        chosen=(_is_extreme,) if choice else None,
        carried=taken_with,
        name=name,
        rules=(rule,),
        shape=_reduced(name, needs_elements=choice),
        sample=sample_reduction(int(choice), **sampled),
        scalar=True,
        exact=choice,
        flops=elements_read,
        **facts,
    )


@reduction("sum", lambda g, y, x, axes, keepdims: _spread(g, x, axes, keepdims), linear=True)
def _sum(x: Any, *, axes: Shape, keepdims: bool) -> Any:
    return np.sum(x, axes, keepdims=keepdims)


@reduction("mean", _mean_rule, linear=True)
def _mean(x: Any, *, axes: Shape, keepdims: bool) -> Any:
    total = np.sum(x, axes, keepdims=keepdims)
    return total / x.dtype.type(_count(x.shape, axes))


@reduction("max", _share, choice=True)
def _max(x: Any, *, axes: Shape, keepdims: bool) -> Any:
    return _choose(x, axes, keepdims, np.argmax)


@reduction("min", _share, choice=True)
def _min(x: Any, *, axes: Shape, keepdims: bool) -> Any:
    return _choose(x, axes, keepdims, np.argmin)


@reduction("variance", _variance_rule, sampled={"correction": 0.5}, quadratic=True)
def variance(x: Any, *, axes: Shape, keepdims: bool, correction: float) -> Any:
    """Compute what :func:`var` is."""
    count = _count(x.shape, axes)
    deviation = x - np.sum(x, axes, keepdims=True) / x.dtype.type(count)
    total = np.sum(deviation * deviation, axes, keepdims=keepdims)
    return total / x.dtype.type(np.maximum(count - correction, 0))


@reduction("norm", _norm_rule, root=True)
def _norm(x: Any, *, axes: Shape, keepdims: bool) -> Any:
    scale = np.max(np.abs(np.real(x)), axes, keepdims=True, initial=0.0)
    scale = np.where((scale == 0) | ~np.isfinite(scale), 1.0, scale).astype(x.real.dtype)
    return np.sqrt(np.sum((x / scale) ** 2, axes, keepdims=keepdims)) * (scale if keepdims else np.squeeze(scale, axes))


@operation(rules=(), shape=_position, sample=_sample_argmax, scalar=True, flops=elements_read)
def _argmax(x: Any, *, axis: int, keepdims: bool) -> Any:
    return np.argmax(np.real(x), axis, keepdims=keepdims)


SUM, MEAN, MAX, MIN = _sum.primitive, _mean.primitive, _max.primitive, _min.primitive
