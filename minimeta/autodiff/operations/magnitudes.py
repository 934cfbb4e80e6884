"""Magnitudes: values with a kink, or a pole of the slope, at 0, whose squares have none.

    |x|^2 = x^2        norm(v)^2 = v_1^2 + v_2^2 + ...        sqrt(x)^2 = x

The chain rule takes the derivative of ``y^2`` apart into ``2 y`` and ``dy``. Where ``y = 0`` the
first order is right, since ``2 y`` is 0, but no convention for ``dy`` makes the next order right:
the Hessian of ``norm(v)^2`` is ``2 I``, and that is in no way made of 0 and of the slope at a kink.
So the walk backwards hands the cotangent ``c`` of a square past the magnitude, to what that was
computed from:

    of y^2, where y is      it is
    |x|, -x                 c, of x^2
    norm(v)                 c, of each v_i^2
    hypot(x, z)             c, of x^2 and of z^2
    sqrt(x)                 c, of x
    x z                     c z^2, of x^2, and c x^2, of z^2
    x / z                   c / z^2, of x^2, and -2 c y^2 / z, of z
    a part or a copy of x   what a copy's cotangent is, of x^2
    anything else           2 c y, of y

The value is the square's. Factors are kept apart from ``c``, since ``z^2`` may be out of range
where ``x z`` is not.

What is smooth in another way (``cos(norm(v))``; ``norm(v)^4``, to the fourth order) is not seen,
nor is a square that has another form (``norm(v) * norm(-v)``, ``(norm(v) - 0.0)**2``, ``y @ y``, a
power 0.5 of a fourth power, ``k y * y`` differentiated by `k` too) or is taken outside of a
``vmap`` or a ``rematerialize`` that the magnitude is inside of: write it with ``sum(v**2)``.

The operations ask this file what a square is, so it computes by operators and numpy's functions,
which find them.
"""

from __future__ import annotations

import operator
from collections.abc import Container
from typing import Any

import numpy as np

from minimeta.autodiff.apply import apply
from minimeta.autodiff.array import Array
from minimeta.autodiff.masks import Handed
from minimeta.autodiff.primitive import registry

_MAGNITUDES = {"absolute", "hypot", "norm", "sqrt"}
_LINKS = {
    *_MAGNITUDES,
    *("negative", "multiply", "divide"),
    # parts and copies
    *("alias", "astype", "broadcast_to", "concatenate", "copy", "gather"),
    *("mean", "pad", "reshape", "slice", "sum", "transpose", "where"),
}
#: So many steps are looked at between a magnitude and its square.
_STEPS = 8

_Path = tuple[Array, ...]
_Shares = list[tuple[Array, Any, _Path]]


def of_square(cotangent: Any, y: Array, active: Container[int]) -> Handed | None:
    """Return what a square's cotangent is to those that were computed before it; None where the
    chain rule is right.

    Parameters
    ----------
    cotangent, y
        The cotangent of the square, and the square.
    active
        The ids of the Arrays that need cotangents.
    """
    (x,) = y.inputs
    return Handed(_shares(cotangent, None, active, (y, x), _STEPS)) if _is_magnitude(x, active, _STEPS) else None


def of_product(cotangent: Any, product: Array, active: Container[int]) -> Handed | None:
    """Do the same for ``x y`` where one is a magnitude and the other a multiple of it: ``k y^2``, `k` needing none."""
    x, y = product.inputs
    for multiple, alone in ((x, y), (y, x)) if x.inputs and y.inputs else ():
        if multiple.primitive is not None and multiple.primitive.name in ("multiply", "divide"):
            part, k = multiple.inputs
            if multiple.primitive.name == "multiply" and k.id in active:
                part, k = k, part
            if k.id not in active and part.inputs and part.inputs[0] is alone.inputs[0] and is_square(part, alone):
                size, path = _size(abs(k)), (product, multiple, part)
                if multiple.primitive.name == "multiply":
                    return Handed(_shares(cotangent * (k / size), np.sqrt(size), active, path, _STEPS))
                return Handed(_shares(cotangent * (size / k), 1.0 / np.sqrt(size), active, path, _STEPS))
    return None


def is_square(x: Any, y: Any) -> bool:
    """Whether two Arrays of one first input are one magnitude, so that their product is a square, and smoother."""
    if x is not y and (x.primitive is not y.primitive or any(map(operator.is_not, x.inputs, y.inputs))):
        return False
    return _is_magnitude(x, None, _STEPS) and x.params == y.params


def _is_magnitude(x: Array, active: Container[int] | None, steps: int) -> bool:
    name = "" if x.primitive is None else x.primitive.name
    if name not in _LINKS or steps == 0 or not (active is None or any([part.id in active for part in x.inputs])):
        return False
    if name in _MAGNITUDES:
        return True
    if name in ("mean", "sum") and x.size != x.inputs[0].size:  # Of one element each they are copies.
        return False
    parts = x.inputs[:1] if name in ("negative", "divide") else x.inputs
    return any([_is_magnitude(part, active, steps - 1) for part in parts])


def _shares(c: Any, k: Any, active: Container[int], path: _Path, steps: int) -> _Shares:
    """The cotangents that follow from that of ``x**2``, where `x` is at the end of a path, which is ``c k**2``.

    A `k` of None is 1. Each comes with its own path from the square, which its mask takes too.

    The square of a factor may leave the range of floats where the factor does not: it is never
    computed.
    """
    x = path[-1]
    if x.id not in active:
        return []
    if not _is_magnitude(x, active, steps):
        slope = c * (2.0 * x) if k is None else (c * (2.0 * (k * x))) * k
        return [(x, slope.astype(x.dtype, copy=False), path)]
    assert x.primitive is not None
    first, *others = x.inputs
    match x.primitive.name:
        case "absolute" | "negative" | "astype":  # What is wide stays so to the end: a factor may not fit before.
            return _shares(c, k, active, (*path, first), steps - 1)
        case "sqrt":  # NaN below 0, as the square is.
            slope = np.where(np.equal(x, x), c if k is None else (c * k) * k, np.nan)
            return [(first, slope.astype(first.dtype, copy=False), (*path, first))]
        case "hypot":
            return [share for part in x.inputs for share in _shares(c, k, active, (*path, part), steps - 1)]
        case "multiply":
            (other,) = others
            found = []
            for part, factor in ((first, other), (other, first)):
                if part.id in active:
                    found += _shares(*_times(c, k, factor, active, steps - 1), active, (*path, part), steps - 1)
            return found
        case "divide":
            (other,) = others
            found = _shares(c, 1.0 / other if k is None else k / other, active, (*path, first), steps - 1)
            if other.id in active:
                slope = -2.0 * (c * np.square(x if k is None else k * x)) / other
                found.append((other, slope.astype(other.dtype, copy=False), (*path, other)))
            return found
        case "broadcast_to" | "gather":  # Of copies, the cotangents are summed.
            c, k = _with_one_factor(c, k)
            return [
                share
                for part, g in x.primitive.pull(c, x, active)
                for factor in [None if k is None else np.broadcast_to(k, part.shape)]
                for share in _shares(g, factor, active, (*path, part), steps - 1)
            ]
        case name:
            primitive = registry["sum"] if name == "norm" else x.primitive
            handed = list(primitive.pull(c, x, active))
            factors = [None] * len(handed) if k is None else [part for _, part in primitive.pull(k, x, active)]
            return [
                share
                for (part, g), factor in zip(handed, factors, strict=True)
                for share in _shares(g, factor, active, (*path, part), steps - 1)
            ]


def _times(c: Any, k: Any, factor: Array, active: Container[int], steps: int) -> tuple[Any, Any]:
    """One more factor. A magnitude is smooth as a square only: as that it goes into `c`, divided by its own size."""
    if _is_magnitude(factor, active, steps):
        size = _size(abs(factor))
        c, factor = c * np.square(factor / size), size
    return c, factor if k is None else k * factor


def _with_one_factor(c: Any, k: Any) -> tuple[Any, Any]:
    """The same ``c k**2`` with one factor, the largest, for all elements."""
    if k is None or 0 in k.shape:
        return c, None
    size = _size(abs(k).max())
    return c * np.square(k / size), size


def _size(x: Any) -> Any:
    """A constant to divide by."""
    x = apply(registry["stop_gradient"], x)
    return np.where((x > 0.0) & (x < np.inf), x, 1.0)
