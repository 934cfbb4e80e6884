"""Functions that are given by samples or coefficients: interpolation, slopes, polynomials.

    interp     f_i + s_i (x - x_i),  where  s_i = (f_(i+1) - f_i) / (x_(i+1) - x_i)
    gradient   (h_s^2 f_+ + (h_d^2 - h_s^2) f - h_d^2 f_-) / (h_s h_d (h_d + h_s))
    polyval    c_0 x^n + c_1 x^(n-1) + ... + c_n, by Horner's rule

At a knot of an interpolation the slope is that of the interval to its right. Beyond the last knots the function is
constant.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minimeta.autodiff.array import Value
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
from minimeta.autodiff.operations.queries import as_float, differentiable, query
from minimeta.errors import ShapeError


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
        place = arithmetic.clip(query(np.searchsorted, xp, x, side="right") - 1, 0, n - 2)
        slopes = (fp[1:] - fp[:-1]) / (xp[1:] - xp[:-1])
        inner = indexing.take(slopes, place) * (x - indexing.take(xp, place)) + indexing.take(fp, place)
    found = logic.where(logic.less(x, xp[0]), fp[0] if left is None else left, inner)
    found = logic.where(logic.greater(x, xp[-1]), fp[-1] if right is None else right, found)
    return logic.where(logic.equal(x, xp[-1]), fp[-1], found) if n == 1 else found


@differentiable(np.gradient)
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
    axes = (
        range(f.ndim) if axis is None else [operands.axis_of("gradient", int(i), f.ndim) for i in operands.row_of(axis)]
    )
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
    return movement.moveaxis(joining.concatenate([ends[0], inner, ends[1]], -1), -1, axis)


def _edge(y0: Any, y1: Any, y2: Any, h1: Any, h2: Any) -> Value:
    """The slope at the first of three samples, of the parabola through them."""
    whole = h1 + h2
    return -(2.0 * h1 + h2) / (h1 * whole) * y0 + whole / (h1 * h2) * y1 - h1 / (h2 * whole) * y2


# Polynomials, by their coefficients from the highest power on


@differentiable(np.polyval)
def polyval(p: Any, x: Any) -> Value:
    """The value at ``x`` of the polynomial whose coefficients are ``p``."""
    p, x = as_float(p), as_float(x)
    y = x * 0.0
    for i in range(p.shape[0]):
        y = y * x + p[i]
    return y


def _aligned(p: Any, q: Any) -> tuple[Any, Any]:
    """Coefficients of as many powers."""
    rows = [movement.reshape(v, (1,)) if v.ndim == 0 else v for v in map(as_float, (p, q))]
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
    """The coefficients of a product of polynomials."""
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


@differentiable(np.polydiv)
def polydiv(u: Any, v: Any) -> tuple[Value, Value]:
    """Return the quotient and the rest of a division of polynomials.

    The leading zeros of the rest stay, since which elements are zero depends on values.
    """
    rest, v = as_float(u), as_float(v)
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
    found: Any = default
    for condition, choice in zip(reversed(condlist), reversed(choicelist), strict=True):
        found = logic.where(condition, choice, found)
    return found


@differentiable(np.piecewise)
def piecewise(x: Any, condlist: Any, funclist: Sequence[Any], *args: Any, **keywords: Any) -> Value:
    """A function that is another one where each condition holds; one more is for the rest, where it is 0 otherwise.

    Every function is computed of all elements, of which :func:`where` takes those that are asked for.

    Raises
    ------
    ShapeError
        There are not as many functions as conditions, or one more.
    """
    x = as_float(x)
    conditions = (
        list(condlist) if isinstance(condlist, (list, tuple)) or operands.shape_of(condlist) != x.shape else [condlist]
    )
    if len(funclist) - len(conditions) not in (0, 1):
        raise ShapeError(f"piecewise of {len(conditions)} conditions and {len(funclist)} functions: give one for each")
    values = [f(x, *args, **keywords) if isinstance(f, Callable) else f for f in funclist]  # type: ignore[arg-type]
    found: Any = values[-1] if len(values) > len(conditions) else 0.0
    for condition, value in zip(conditions, values, strict=False):  # The last condition that holds decides.
        found = logic.where(condition, value, found)
    return conversions.astype(movement.broadcast_to(found, x.shape), x.dtype)


@differentiable(np.choose)
def choose(a: Any, choices: Any, out: None = None, mode: str = "raise") -> Value:
    """The element of ``choices[a]`` at each place, where ``a`` and the choices broadcast.

    Raises
    ------
    IndexError
        There is no such choice, and the mode is not "wrap" or "clip".
    """
    parts = list(choices)
    shape = np.broadcast_shapes(operands.shape_of(a), *(operands.shape_of(part) for part in parts))
    stacked = joining.stack([movement.broadcast_to(part, shape) for part in parts])
    place = movement.broadcast_to(a, shape)
    if mode == "wrap":
        place = arithmetic.remainder(place, len(parts))
    elif mode == "clip":
        place = arithmetic.clip(place, 0, len(parts) - 1)
    rows = [np.arange(side).reshape((-1,) + (1,) * (len(shape) - 1 - i)) for i, side in enumerate(shape)]
    return indexing.index(stacked, (place, *rows))
