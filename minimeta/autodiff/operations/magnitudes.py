"""Magnitudes: values with a kink, or a pole of the slope, at 0, whose squares have none.

    |x|^2 = x^2        norm(v)^2 = v_1^2 + v_2^2 + ...        sqrt(x)^2 = x

The chain rule takes the derivative of ``y^2`` apart into ``2 y`` and ``dy``. Where ``y = 0`` the first order is right,
since ``2 y`` is 0, but no convention for ``dy`` makes the next order right: the Hessian of ``norm(v)^2`` is ``2 I``,
and that is in no way made of 0 and of the slope at a kink. So the walk backwards hands the cotangent ``c`` of a square
past the magnitude, to what that was computed from:

    of y^2, where y is      it is
    |x|, -x                 c, of x^2
    norm(v)                 c, of each v_i^2
    sqrt(x)                 c, of x
    x z                     c z^2, of x^2, and c x^2, of z^2
    x / z                   c / z^2, of x^2, and -2 c y^2 / z, of z
    a part or a copy of x   what a copy's cotangent is, of x^2
    anything else           2 c y, of y

The value is the square's. What is smooth in another way (``cos(norm(v))``; ``norm(v)^4``, to the fourth order) is not
seen: write it with ``sum(v**2)``.
"""

from __future__ import annotations

from collections.abc import Container
from typing import Any

import numpy as np

from minimeta.autodiff.array import Array
from minimeta.autodiff.operations import elementwise, reductions
from minimeta.autodiff.primitive import Primitive

_MAGNITUDES = {"absolute", "norm", "sqrt"}
_LINKS = {
    *_MAGNITUDES,
    *("negative", "multiply", "divide"),
    # parts and copies
    *("alias", "astype", "broadcast_to", "concatenate", "copy", "gather"),
    *("pad", "reshape", "slice", "transpose", "where"),
}
#: So many steps are looked at between a magnitude and its square.
_STEPS = 8

_Shares = list[tuple[Array, Any]]


def of_square(cotangent: Array, active: Container[int], x: Array) -> _Shares | None:
    """What the cotangent of a square is to those that were computed before it; None where the chain rule is right.

    Parameters
    ----------
    cotangent
        Of ``x**2``.
    active
        The ids of the Arrays that need cotangents.
    x
        What was squared.
    """
    return _shares(cotangent, active, x, _STEPS) if _is_magnitude(x, active, _STEPS) else None


def is_square(x: Any, y: Any) -> bool:
    """Whether two Arrays of one first input are one magnitude, so that their product is a square, and smoother."""
    if x is not y and (x.primitive is not y.primitive or len(x.inputs) > 1):
        return False
    return _is_magnitude(x, None, _STEPS) and x.params == y.params


def _is_magnitude(x: Array, active: Container[int] | None, steps: int) -> bool:
    name = "" if x.primitive is None else x.primitive.name
    if name not in _LINKS or steps == 0 or not (active is None or any([part.id in active for part in x.inputs])):
        return False
    if name in _MAGNITUDES:
        return True
    parts = x.inputs[:1] if name in ("negative", "divide") else x.inputs
    return any([_is_magnitude(part, active, steps - 1) for part in parts])


def _shares(c: Any, active: Container[int], x: Array, steps: int) -> _Shares:
    """The cotangents that follow from that of ``x**2``."""
    if x.id not in active:
        return []
    if not _is_magnitude(x, active, steps):
        return [(x, c * (2.0 * x))]
    assert x.primitive is not None
    first, *others = x.inputs
    match x.primitive.name:
        case "absolute" | "negative":
            return _shares(c, active, first, steps - 1)
        case "norm":
            handed = _handed(reductions.SUM, c, x)
        case "sqrt":  # NaN below 0, as the square is.
            return [(first, elementwise.where(elementwise.equal(x, x), c, np.nan))]
        case "multiply":
            (other,) = others
            handed = [(a, c * elementwise.square(b)) for a, b in ((first, other), (other, first)) if a.id in active]
        case "divide":
            (other,) = others
            found = _shares(c / elementwise.square(other), active, first, steps - 1)
            return [*found, (other, -2.0 * (c * elementwise.square(x)) / other)] if other.id in active else found
        case _:
            handed = _handed(x.primitive, c, x)
    return [share for part, g in handed for share in _shares(g, active, part, steps - 1)]


def _handed(primitive: Primitive, c: Any, x: Array) -> list[tuple[Array, Any]]:
    """What a primitive in the place of an Array's own would hand on."""
    rules, params = primitive.rules, x.params or {}
    if type(rules) is tuple:
        pairs = zip(x.inputs, rules, strict=False)
        return [(part, rule(c, x, *x.inputs, **params)) for part, rule in pairs if rule is not None]
    return list(zip(x.inputs, rules(c, x, *x.inputs, **params), strict=True))  # type: ignore[operator]
