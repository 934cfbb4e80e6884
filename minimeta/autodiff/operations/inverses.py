"""Angles and areas: the inverses of the circular and the hyperbolic functions, and lengths.

Their derivatives are algebraic: 1 over a root of ``1 - x^2``, ``x^2 - 1`` or ``1 + x^2``, the other leg of a triangle
whose legs or hypotenuse are 1 and ``x``. Each is written so that it keeps its digits near the ends of the domain,
``1 - x^2 = (1 - x)(1 + x)``, and stays in the range of floats, ``sqrt(1 + x^2) = hypot(1, x)``.

For a point ``(x, y)`` at the distance ``r`` from the origin

    dr = (x dx + y dy) / r                       hypot
    d(angle) = (x dy - y dx) / r^2               arctan2

A complex step relative to ``x`` is too long next to an end of a domain, so the checker's derivative is written out too.

At the origin ``r`` has a kink, where its derivative is taken as 0, as that of :func:`norm` is; there is no angle there,
and its derivatives are NaN. Where one leg alone is infinite, derivatives are their limits.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minimeta.autodiff.array import Array, Value
from minimeta.autodiff.operations import arithmetic, logic
from minimeta.autodiff.operations.elementwise import binary, unary


@unary(
    lambda g, y, x: g / arithmetic.sqrt((1.0 - x) * (1.0 + x)),
    "unit",
    differential=lambda x, u: u / np.sqrt(1 - x) / np.sqrt(1 + x),
    costly=True,
    answers=np.arcsin,
)
def arcsin(x: Any) -> Any:
    """The angle in [-pi/2, pi/2] whose sine is ``x``; NaN outside of [-1, 1], where the derivative is infinite."""
    return np.arcsin(x)


@unary(
    lambda g, y, x: -(g / arithmetic.sqrt((1.0 - x) * (1.0 + x))),
    "unit",
    differential=lambda x, u: -u / np.sqrt(1 - x) / np.sqrt(1 + x),
    costly=True,
    answers=np.arccos,
)
def arccos(x: Any) -> Any:
    """The angle in [0, pi] whose cosine is ``x``; NaN outside of [-1, 1], where the derivative is infinite."""
    return np.arccos(x)


def _secant_squared(x: Array) -> Value:
    """``1 + x^2``, and a constant where that is infinite: there its slope, infinite too, is times 0."""
    square = 1.0 + x * x
    return logic.where(logic.equal(square, np.inf), np.inf, square)


@unary(lambda g, y, x: g / _secant_squared(x), costly=True, answers=np.arctan)
def arctan(x: Any) -> Any:
    """The angle in (-pi/2, pi/2) whose tangent is ``x``."""
    return np.arctan(x)


@unary(lambda g, y, x: g / hypot(x, 1.0), costly=True, answers=np.arcsinh)  # type: ignore[has-type]  # It stands below.
def arcsinh(x: Any) -> Any:
    """The number whose hyperbolic sine is ``x``."""
    return np.arcsinh(x)


@unary(
    lambda g, y, x: g / (arithmetic.sqrt(x - 1.0) * arithmetic.sqrt(x + 1.0)),
    (1.2, 3.0),
    differential=lambda x, u: u / np.sqrt(x - 1) / np.sqrt(x + 1),
    costly=True,
    answers=np.arccosh,
)
def arccosh(x: Any) -> Any:
    """The positive number whose hyperbolic cosine is ``x``; NaN below 1, where the derivative is infinite."""
    return np.arccosh(x)


@unary(
    lambda g, y, x: g / ((1.0 - x) * (1.0 + x)),
    "unit",
    differential=lambda x, u: np.where(abs(x) < 1, u / (1 - x) + u / (1 + x), np.nan) / 2,
    costly=True,
    answers=np.arctanh,
)
def arctanh(x: Any) -> Any:
    """The number whose hyperbolic tangent is ``x``; infinite at -1 and 1, NaN outside."""
    return np.arctanh(x)


def _cosine(x: Array, length: Any, other: Array) -> Value:
    """``x / length``, which is at most 1; its limit where this leg alone is infinite."""
    alone = logic.equal(abs(x), np.inf) & logic.less(abs(other), np.inf)
    return logic.where(alone, arithmetic.sign(x), x / length)


def _leg(g: Array, length: Array, x: Array, other: Array) -> Value:
    """``g x / length``, and 0 where the length is. What is divided first is at most 1, and leaves no range."""
    zero = logic.equal(length, 0.0)
    return g * logic.where(zero, 0.0, _cosine(x, logic.where(zero, 1.0, length), other))


def _length_along(x: Any, y: Any, u: Any, v: Any) -> Any:
    """The derivative of a length, whose squares may leave the range; at the origin that of one side."""
    length = np.hypot(x, y)
    return np.where(length == 0, np.hypot(u, v), x / length * u + y / length * v)


@binary(
    _leg,
    lambda g, z, x, y: _leg(g, z, y, x),
    domains=("nonzero", "nonzero"),
    differential=_length_along,
    costly=True,
    answers=np.hypot,
)
def hypot(x: Any, y: Any) -> Any:
    """``sqrt(x**2 + y**2)`` without overflow. Its derivative at the origin is 0, and its square is smooth there."""
    return np.sqrt(x * x + y * y) if np.iscomplexobj(x + y) else np.hypot(x, y)


def _turn(g: Array, y: Array, x: Array) -> Value:
    """``g`` times the derivative of the angle with respect to ``y``, ``x / r^2``."""
    length = hypot(x, y)
    return (g * _cosine(x, length, y)) / length


@binary(
    lambda g, z, y, x: _turn(g, y, x),
    lambda g, z, y, x: -_turn(g, x, y),
    domains=("nonzero", "nonzero"),
    costly=True,
    answers=np.arctan2,
)
def arctan2(x: Any, y: Any) -> Any:
    """The angle in [-pi, pi] of a point: of its ordinate ``x``, which is the first operand, and its abscissa ``y``."""
    if not np.iscomplexobj(x + y):
        return np.arctan2(x, y)
    # The angle of the real parts, and the small one that is left when the axes are turned by it.
    length = np.hypot(np.real(x), np.real(y))
    sine, cosine = np.real(x) / length, np.real(y) / length
    return np.arctan2(np.real(x), np.real(y)) + np.arctan((cosine * x - sine * y) / (cosine * y + sine * x))
