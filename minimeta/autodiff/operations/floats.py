"""Signs, parts and units: what floating-point numbers are made of, and functions that join them.

Whole parts, exponents and signs are constant between their jumps (:mod:`~minimeta.autodiff.operations.queries`), so the
derivative of ``x`` less its whole part is 1, and that of ``x 2^n`` is ``2^n``; at the jumps they are taken so, too.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minimeta.autodiff.apply import apply
from minimeta.autodiff.array import Value
from minimeta.autodiff.operations import arithmetic, conversions, logic, operands, queries, rounding
from minimeta.autodiff.operations.elementwise import binary
from minimeta.autodiff.operations.queries import differentiable, query
from minimeta.autodiff.protocols import answers

# Signs


@differentiable(np.positive)
def positive(x: Any) -> Value:
    """``x``."""
    return conversions.copy(x)


@differentiable(np.fabs)
def fabs(x: Any) -> Value:
    """``|x|`` of floats; integers become floats."""
    return arithmetic.absolute(x)


@answers(np.copysign)
def copysign(x: Any, y: Any) -> Value:
    """``|x|`` with the sign of ``y``. The derivative with respect to ``x`` is 1 or -1; that of ``y`` is 0."""
    same = logic.equal(queries.signbit(x), queries.signbit(y))
    found = _dtype_of(np.copysign, x, y)
    x = x if operands.dtype_of(x) == found else conversions.astype(x, found)
    return logic.where(same, x, -x)


@differentiable(np.heaviside)
def heaviside(x: Any, y: Any) -> Value:
    """0 where ``x < 0``, 1 where ``x > 0``, ``y`` where ``x = 0``; the derivative with respect to ``x`` is 0."""
    found = _dtype_of(np.heaviside, x, y)
    x = conversions.stop_gradient(x)
    step = logic.where(logic.greater(x, 0.0), 1.0, logic.where(logic.less(x, 0.0), 0.0, x))
    return logic.where(logic.equal(x, 0.0), conversions.astype(y, found), conversions.astype(step, found))


def _dtype_of(ufunc: np.ufunc, x: Any, y: Any) -> np.dtype[Any]:
    """Return numpy's dtype of a result; Python's numbers adapt."""
    constants = [z if type(z) in (float, int, bool) else conversions.stop_gradient(z) for z in (x, y)]
    return operands.dtype_of(query(ufunc, *constants))


# Larger and smaller, where one is NaN


@differentiable(np.fmax)
def fmax(x: Any, y: Any) -> Value:
    """The larger of two, and the other one where one is NaN. Where they tie, each takes half of the derivative."""
    return logic.where(queries.isnan(x), y, logic.where(queries.isnan(y), x, arithmetic.maximum(x, y)))


@differentiable(np.fmin)
def fmin(x: Any, y: Any) -> Value:
    """The smaller of two, and the other one where one is NaN. Where they tie, each takes half of the derivative."""
    return logic.where(queries.isnan(x), y, logic.where(queries.isnan(y), x, arithmetic.minimum(x, y)))


# Parts


@answers(np.fmod)
def fmod(x: Any, y: Any) -> Value:
    """``x - y trunc(x / y)``, which has the sign of ``x``; NaN where ``y = 0``, of integers 0.

    The derivatives are 1 and ``-trunc(x / y)``; where the function jumps, too.
    """
    return _fmod(x, y) if queries.has_floats((x, y)) else query(np.fmod, x, y)


@binary(
    lambda g, z, x, y: g,
    lambda g, z, x, y: -(g * rounding.rint(conversions.stop_gradient((x - z) / y))),
    domains=("real", "nonzero"),
    costly=True,
)
def _fmod(x: Any, y: Any) -> Any:
    rest = np.fmod(np.real(x), np.real(y))
    # A quotient that is nearly whole is rounded to the other side, as 1 / 0.1 is.
    return x - y * np.rint((x.real - rest) / y.real) if np.iscomplexobj(x + y) else rest


@differentiable(np.modf, results=2)
def modf(x: Any) -> tuple[Value, Value]:
    """The fractional part, whose derivative is 1, and the whole part, a constant."""
    whole = rounding.trunc(x)
    return logic.where(queries.isinf(x), 0.0, x - whole), whole


@differentiable(np.frexp, results=2)
def frexp(x: Any) -> tuple[Value, Value]:
    """``m`` and ``n`` of ``x = m 2^n``, where ``1/2 <= |m| < 1``; the exponent ``n`` is a constant."""
    exponent = query(np.frexp, x, result=1)
    return logic.where(queries.isfinite(x), ldexp(x, -exponent), x), exponent


@differentiable(np.ldexp, by_first=True)
def ldexp(x: Any, n: Any) -> Value:
    """``x 2^n`` for integers ``n``, which have no derivative."""
    return apply(LDEXP, n, x)


@binary(None, lambda g, y, n, x: ldexp(g, n), domains=("exponent", "real"), unpromoted=1, linear=True)
def _ldexp(x: Any, y: Any) -> Any:
    if np.iscomplexobj(y):
        return np.ldexp(y.real, x) + 1j * np.ldexp(y.imag, x)
    return np.ldexp(y, x)


@answers(np.float_power)
def float_power(x: Any, y: Any) -> Value:
    """``x ** y`` in float64, as :func:`power`."""
    return arithmetic.power(conversions.astype(x, np.float64), conversions.astype(y, np.float64))


# Units


@differentiable(np.degrees, np.rad2deg)
def degrees(x: Any) -> Value:
    """An angle in radians, in degrees."""
    return arithmetic.multiply(x, 180.0 / math.pi)


@differentiable(np.radians, np.deg2rad)
def radians(x: Any) -> Value:
    """An angle in degrees, in radians."""
    return arithmetic.multiply(x, math.pi / 180.0)


LDEXP = _ldexp.primitive
