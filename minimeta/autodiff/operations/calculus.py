"""Functions that are given by samples or coefficients: interpolation, slopes, polynomials.

    interp     f_i + s_i (x - x_i),  where  s_i = (f_(i+1) - f_i) / (x_(i+1) - x_i)
    gradient   (h_s^2 f_+ + (h_d^2 - h_s^2) f - h_d^2 f_-) / (h_s h_d (h_d + h_s))
    polyval    c_0 x^n + c_1 x^(n-1) + ... + c_n, by Horner's rule

At a knot of an interpolation the slope is that of the interval to its right. Beyond the last knots the function is
constant.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minimeta.autodiff import tree
from minimeta.autodiff.array import Array, Form, Value
from minimeta.autodiff.graph import dependents, record
from minimeta.autodiff.operations import (
    arithmetic,
    contractions,
    conversions,
    indexing,
    joining,
    logic,
    movement,
    operands,
    padding,
)
from minimeta.autodiff.operations.creation import result_type
from minimeta.autodiff.operations.placement import at
from minimeta.autodiff.operations.queries import as_array, as_float, as_floats, differentiable, query
from minimeta.autodiff.protocols import answers
from minimeta.errors import ShapeError, TracingError


@differentiable(np.interp)
def interp(
    x: Any,
    xp: Any,
    fp: Any,
    left: Any = None,
    right: Any = None,
    period: float | None = None,
) -> Value:
    """The function that is linear between the knots ``(xp, fp)``, at ``x``; float64.

    Parameters
    ----------
    x
        Where.
    xp, fp
        Of one shape ``(n,)``; ``xp`` increases, unless there is a period.
    left, right
        The values before the first knot and behind the last; those of these knots, if None.
    period
        Of ``x`` and ``xp``.

    Raises
    ------
    ShapeError
        There are no knots, or not as many values as knots.
    """
    x, xp, fp = (conversions.astype(v, np.float64) for v in (x, xp, fp))
    if xp.ndim != 1 or fp.shape != xp.shape or xp.size == 0:
        raise ShapeError(
            f"interp of knots of shape {xp.shape} and values of shape {fp.shape}: it needs one row of each"
        )
    if period is not None:
        x, xp = arithmetic.remainder(x, float(abs(period))), arithmetic.remainder(xp, float(abs(period)))
        order = query(np.argsort, xp, kind="stable")
        xp, fp = indexing.take(xp, order), indexing.take(fp, order)
        xp = joining.concatenate([xp[-1:] - abs(period), xp, xp[:1] + abs(period)])
        fp = joining.concatenate([fp[-1:], fp, fp[:1]])
        left = right = None
    n = xp.shape[0]
    if n == 1:
        inner = fp[0] + 0.0 * x
    else:
        knot = arithmetic.clip(query(np.searchsorted, xp, x, side="right") - 1, 0, n - 1)
        widths = xp[1:] - xp[:-1]
        apart = logic.greater(widths, 0.0)  # Of knots at one place, the last one holds there.
        slopes = logic.where(apart, (fp[1:] - fp[:-1]) / logic.where(apart, widths, 1.0), 0.0)
        slope = indexing.take(slopes, arithmetic.minimum(knot, n - 2))
        inner = slope * (x - indexing.take(xp, knot)) + indexing.take(fp, knot)
    found = logic.where(logic.less(x, xp[0]), fp[0] if left is None else left, inner)
    found = logic.where(logic.greater(x, xp[-1]), fp[-1] if right is None else right, found)
    return logic.where(logic.equal(x, xp[-1]), fp[-1], found) if n == 1 else found


@answers(np.gradient)
def gradient(f: Any, *varargs: Any, axis: Any = None, edge_order: int = 1) -> Value:
    """The slopes of samples, by central differences inside and one-sided ones at the edges.

    Parameters
    ----------
    f
        The samples.
    *varargs
        The distance of neighbours, or the places of all samples along an axis: one for all axes, or one for each.
    axis
        The axes; None for all.
    edge_order
        1 or 2: of the error at the edges.

    Returns
    -------
    Array, numpy.ndarray or tuple
        Of the shape of ``f``; one for each of several axes.

    Raises
    ------
    ShapeError
        An axis has fewer than ``edge_order + 1`` samples, or there are not as many distances as axes.
    """
    f = as_float(f)
    axes = range(f.ndim) if axis is None else [operands.axis_of("gradient", i, f.ndim) for i in operands.row_of(axis)]
    steps = list(varargs) or [1.0]
    if len(steps) == 1 and not operands.shape_of(steps[0]):
        steps *= len(axes)
    if len(steps) != len(axes):
        raise ShapeError(f"gradient of shape {f.shape} along {len(axes)} axes, with {len(steps)} distances")
    if edge_order not in (1, 2) or any(f.shape[i] <= edge_order for i in axes):
        raise ShapeError(
            f"gradient of shape {f.shape} with edge_order={edge_order}: it needs more samples along an axis"
        )
    found = [_slopes(f, step, i, edge_order) for i, step in zip(axes, steps, strict=True)]
    return found[0] if len(found) == 1 else tuple(found)


def _slopes(f: Any, step: Any, axis: int, edge_order: int) -> Value:
    y = movement.moveaxis(f, axis, -1)
    n = y.shape[-1]
    if operands.shape_of(step):
        places = as_float(step)
        if places.shape != (n,):
            raise ShapeError(f"gradient: places of shape {places.shape} for {n} samples along axis {axis}")
        widths = places[1:] - places[:-1]
    else:
        widths = movement.broadcast_to(
            step if isinstance(step, (float, int)) is False else np.asarray(step, y.dtype), (n - 1,)
        )
    before, behind = widths[:-1], widths[1:]
    inner = (before**2 * y[..., 2:] + (behind**2 - before**2) * y[..., 1:-1] - behind**2 * y[..., :-2]) / (
        before * behind * (behind + before)
    )
    if edge_order == 1:
        first, last = (y[..., 1] - y[..., 0]) / widths[0], (y[..., -1] - y[..., -2]) / widths[-1]
    else:
        first = _edge(y[..., 0], y[..., 1], y[..., 2], widths[0], widths[1])
        last = -_edge(y[..., -1], y[..., -2], y[..., -3], widths[-1], widths[-2])
    ends = [movement.expand_dims(end, -1) for end in (first, last)]
    found = movement.moveaxis(joining.concatenate([ends[0], inner, ends[1]], -1), -1, axis)
    return conversions.astype(found, f.dtype)


def _edge(y0: Any, y1: Any, y2: Any, h1: Any, h2: Any) -> Value:
    """The slope at the first of three samples, of the parabola through them."""
    whole = h1 + h2
    return -(2.0 * h1 + h2) / (h1 * whole) * y0 + whole / (h1 * h2) * y1 - h1 / (h2 * whole) * y2


# Polynomials, by their coefficients from the highest power on


@differentiable(np.polyval)
def polyval(p: Any, x: Any) -> Value:
    """The value at ``x`` of the polynomial whose coefficients are ``p``."""
    p, x = as_floats(p, x)
    y = x * 0.0
    for i in range(p.shape[0]):
        y = y * x + p[i]
    return y


def _aligned(p: Any, q: Any) -> tuple[Any, Any]:
    """Coefficients of as many powers."""
    rows = [movement.reshape(v, (1,)) if v.ndim == 0 else v for v in as_floats(p, q)]
    n = max(v.shape[0] for v in rows)
    padded = [padding.pad(v, ((n - v.shape[0], 0),)) for v in rows]
    return padded[0], padded[1]


@differentiable(np.polyadd)
def polyadd(p: Any, q: Any) -> Value:
    """The coefficients of a sum of polynomials."""
    p, q = _aligned(p, q)
    return p + q


@differentiable(np.polysub)
def polysub(p: Any, q: Any) -> Value:
    """The coefficients of a difference of polynomials."""
    p, q = _aligned(p, q)
    return p - q


@differentiable(np.polymul)
def polymul(p: Any, q: Any) -> Value:
    """The coefficients of a product of polynomials. Leading zeros stay: which elements are zero depends on values."""
    return contractions.convolve(p, q)


@differentiable(np.polyder)
def polyder(p: Any, m: int = 1) -> Value:
    """The coefficients of the ``m``-th derivative of a polynomial."""
    p = as_float(p)
    for _ in range(m):
        n = p.shape[0] - 1
        p = p[: max(n, 0)] * np.arange(n, 0, -1)
    return p


@differentiable(np.polyint)
def polyint(p: Any, m: int = 1, k: Any = None) -> Value:
    """The coefficients of the ``m``-th integral of a polynomial, with constants ``k`` (0, if None)."""
    p = as_float(p)
    constants = [0.0] * m if k is None else list(operands.row_of(k)) * (m if len(operands.row_of(k)) == 1 else 1)
    for i in range(m):
        rest = p / np.arange(p.shape[0], 0, -1)
        p = joining.concatenate([rest, movement.reshape(conversions.astype(constants[i], rest.dtype), (1,))])
    return p


@answers(np.polydiv)
def polydiv(u: Any, v: Any) -> tuple[Value, Value]:
    """Return the quotient and the rest of a division of polynomials.

    The leading zeros of the rest stay, since which elements are zero depends on values.
    """
    rest, v = as_floats(as_array(u) + 0.0, as_array(v) + 0.0)  # Even small integers are float64 then.
    steps = max(rest.shape[0] - v.shape[0] + 1, 0)
    quotient = []
    for i in range(steps):
        factor = rest[i] / v[0]
        quotient.append(factor)
        taken = joining.concatenate([np.zeros(i, v.dtype), factor * v, np.zeros(steps - 1 - i, v.dtype)])
        rest = rest - taken
    return joining.stack(quotient) if quotient else np.zeros(1, v.dtype), rest[steps:]


# Choices


@differentiable(np.select)
def select(condlist: Sequence[Any], choicelist: Sequence[Any], default: Any = 0) -> Value:
    """The element of the first choice whose condition holds, or the default.

    Raises
    ------
    ShapeError
        There are not as many conditions as choices, or none.
    """
    if len(condlist) != len(choicelist) or not len(condlist):
        raise ShapeError(f"select of {len(condlist)} conditions and {len(choicelist)} choices: it needs one for each")
    common = result_type(*choicelist, default)
    found: Any = conversions.astype(default, common)
    choices = [conversions.astype(choice, common) for choice in choicelist]
    for condition, choice in zip(reversed(condlist), reversed(choices), strict=True):
        found = logic.where(condition, choice, found)
    return found


@answers(np.piecewise)
def piecewise(x: Any, condlist: Any, funclist: Sequence[Any], *args: Any, **keywords: Any) -> Value:
    """A function that is another one where each condition holds; one more is for the rest, where it is 0 otherwise.

    A function that is elementwise is computed of all elements, of which :func:`where` takes those that are asked for.
    One that mixes elements (``lambda v: v - v.mean()``) gets those alone where its condition holds.

    Parameters
    ----------
    x
        The elements, whose dtype the result has.
    condlist
        One condition, or a list of them, each of the shape of ``x``; the last one that holds decides.
    funclist
        Numbers, or functions of an array; each is called with ``*args`` and ``**keywords``, too.

    Raises
    ------
    ShapeError
        There are not as many functions as conditions, or one more.
    TracingError
        A function mixes elements, and a condition is not known while tracing.
    """
    x = as_array(x)
    conditions = (
        list(condlist) if isinstance(condlist, (list, tuple)) or operands.shape_of(condlist) != x.shape else [condlist]
    )
    if len(funclist) - len(conditions) not in (0, 1):
        raise ShapeError(f"piecewise of {len(conditions)} conditions and {len(funclist)} functions: give one for each")
    if len(funclist) > len(conditions):
        rest: Any = functools.reduce(logic.logical_or, conditions)
        conditions.append(logic.logical_not(rest))
    found = np.zeros(x.shape, x.dtype)
    for condition, f in zip(conditions, funclist, strict=True):
        found = _piece(x, condition, found, functools.partial(_value, f, args, keywords))
    return found


def _value(function: Any, arguments: Any, keywords: Any, x: Any) -> Any:
    return function(x, *arguments, **keywords) if callable(function) else function


def _piece(x: Any, condition: Any, rest: Any, function: Callable[[Any], Any]) -> Value:
    """The values of a function where a condition holds, and the rest."""
    if _is_elementwise(function, x):
        return logic.where(condition, conversions.astype(function(x), x.dtype), rest)
    mask = np.broadcast_to(operands.known("piecewise, of a function that mixes elements, where", condition), x.shape)
    return at(rest)[mask].set(function(indexing.index(x, mask)))


def _is_elementwise(function: Callable[[Any], Any], x: Any) -> bool:
    """Whether a function's value at a place depends on the element there alone."""
    try:  # Of a form without values, so that questions about the elements are recorded, too.
        recording = record(function, *tree.flatten((Array(Form.of(x)),)))
    except TracingError:
        return False
    y, (start,) = recording.output, recording.aliases
    if isinstance(y, Array) and y.shape not in ((), x.shape):
        return False
    order, _ = dependents([y], [start])
    return all(
        (primitive := step.primitive).elementwise
        or primitive.name in ("astype", "copy")
        or (primitive.name == "query" and isinstance(step.params["function"], np.ufunc))
        for step in order
    ) and (not order or y.shape == x.shape)


@differentiable(np.choose)
def choose(a: Any, choices: Any, *, mode: str = "raise") -> Value:
    """The element of ``choices[a]`` at each place, where ``a`` and the choices broadcast.

    Raises
    ------
    IndexError
        There is no such choice, and the mode is not "wrap" or "clip".
    """
    common = result_type(*choices)
    parts = [conversions.astype(part, common) for part in choices]
    shape = np.broadcast_shapes(operands.shape_of(a), *(operands.shape_of(part) for part in parts))
    stacked = joining.stack([movement.broadcast_to(part, shape) for part in parts])
    place = movement.broadcast_to(a, shape)
    if mode != "raise":
        place = indexing.within(mode, place, len(parts))
    rows = [np.arange(side).reshape((-1,) + (1,) * (len(shape) - 1 - i)) for i, side in enumerate(shape)]
    return indexing.index(stacked, (place, *rows))
