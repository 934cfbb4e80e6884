"""Exponentials, logarithms, roots, circular and hyperbolic functions, and the logistic function.

Each is its numpy reference, under its derivative (:mod:`~minimeta.autodiff.operations.arithmetic`
says how to read it). The slopes of ``tanh`` and ``sigmoid`` are operations of their own, closed
under differentiation: written with the results, as ``1 - y**2`` and ``y (1 - y)``, they would have
no digits left where ``y`` is nearly 1.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minimeta.autodiff.apply import apply
from minimeta.autodiff.array import Array, Value
from minimeta.autodiff.operations import logic
from minimeta.autodiff.operations.elementwise import binary, unary
from minimeta.autodiff.primitive import Primitive

_LOG_2, _LOG_10 = math.log(2.0), math.log(10.0)


@unary(lambda g, y, x: g * y, costly=True, answers=np.exp)
def exp(x: Any) -> Any:
    """``e ** x``."""
    return np.exp(x)


@unary(lambda g, y, x: g * exp(x), costly=True, answers=np.expm1)
def expm1(x: Any) -> Any:
    """``e ** x - 1`` without cancellation near 0."""
    return np.expm1(x)


@unary(
    lambda g, y, x: g / x,
    "positive",
    differential=lambda x, u: np.where(x > 0, u / x, np.nan),
    costly=True,
    answers=np.log,
)
def log(x: Any) -> Any:
    """The natural logarithm; NaN below 0, minus infinity at 0."""
    return np.log(x)


# numpy's logarithm of a complex number takes the modulus of 1 + x, in which a small x is lost.
@unary(
    lambda g, y, x: g / (1.0 + x),
    "positive",
    differential=lambda x, u: np.where(x > -1, u / (1 + x), np.nan),
    costly=True,
    answers=np.log1p,
)
def log1p(x: Any) -> Any:
    """``log(1 + x)`` without cancellation near 0."""
    return np.log1p(x)


@unary(lambda g, y, x: g * (y * _LOG_2), costly=True, answers=np.exp2)
def exp2(x: Any) -> Any:
    """``2 ** x``."""
    # 2**(i t) = e**(i t log 2) is near 1: numpy's 2**z rounds the whole product with log 2.
    return np.exp2(x.real) * np.exp(1j * _LOG_2 * x.imag) if np.iscomplexobj(x) else np.exp2(x)


@unary(
    lambda g, y, x: g / (x * _LOG_2),
    "positive",
    differential=lambda x, u: np.where(x > 0, u / x, np.nan) / _LOG_2,
    costly=True,
    answers=np.log2,
)
def log2(x: Any) -> Any:
    """The logarithm to base 2; NaN below 0, minus infinity at 0."""
    return np.log2(x)


@unary(
    lambda g, y, x: g / (x * _LOG_10),
    "positive",
    differential=lambda x, u: np.where(x > 0, u / x, np.nan) / _LOG_10,
    costly=True,
    answers=np.log10,
)
def log10(x: Any) -> Any:
    """The logarithm to base 10; NaN below 0, minus infinity at 0."""
    return np.log10(x)


@unary(lambda g, y, x: g / (3.0 * np.square(y)), "nonzero", costly=True, answers=np.cbrt)
def cbrt(x: Any) -> Any:
    """The cube root, which has the sign of ``x``. Its derivative at 0 is infinite, as it is in the limit."""
    root = np.cbrt(np.real(x))
    # A power of a tiny or huge number has lost digits in its logarithm; one of a number near 1 has not.
    return root * (1 + 1j * np.where(root == 0, np.inf, x.imag / x.real)) ** (1 / 3) if np.iscomplexobj(x) else root


@unary(lambda g, y, x: g * cos(x), costly=True, answers=np.sin)  # type: ignore[has-type]  # It stands below.
def sin(x: Any) -> Any:
    """The sine of an angle in radians."""
    return np.sin(x)


@unary(lambda g, y, x: -(g * sin(x)), costly=True, answers=np.cos)
def cos(x: Any) -> Any:
    """The cosine of an angle in radians."""
    return np.cos(x)


@unary(
    lambda g, y, x: g * (1.0 + np.square(y)),
    "unit",
    # A complex step is too long next to a pole; and beyond 2^53 there is nothing between two poles.
    differential=lambda x, u: np.where(abs(x) < 2.0**53, u / np.square(np.cos(x)), np.nan),
    costly=True,
    answers=np.tan,
)
def tan(x: Any) -> Any:
    """The tangent of an angle in radians."""
    return np.tan(x)


@unary(lambda g, y, x: g * cosh(x), costly=True, answers=np.sinh)  # type: ignore[has-type]  # It stands below.
def sinh(x: Any) -> Any:
    """The hyperbolic sine."""
    return np.sinh(x)


@unary(lambda g, y, x: g * sinh(x), costly=True, answers=np.cosh)
def cosh(x: Any) -> Any:
    """The hyperbolic cosine."""
    return np.cosh(x)


@unary(lambda g, y, x: apply(TANH_SLOPE, x, g), costly=True, answers=np.tanh)
def tanh(x: Any) -> Any:
    """The hyperbolic tangent."""
    return np.tanh(x)


@binary(
    lambda h, z, x, g: h * (z * (-2.0 * tanh(x))),
    lambda h, z, x, g: apply(TANH_SLOPE, x, h),
    differential=lambda x, g, u, v: 4 * _logistic_slope(2 * x) * (v - 2 * g * np.tanh(x) * u),
    costly=True,
)
def _tanh_slope(x: Any, y: Any) -> Any:
    """``y`` times the derivative of ``tanh`` at ``x``."""
    return y * (4.0 * _logistic_slope(2.0 * x))


@unary(lambda g, y, x: apply(SIGMOID_SLOPE, x, g), costly=True)
def sigmoid(x: Any) -> Any:
    """``1 / (1 + e**-x)``, without overflow."""
    decay = np.exp(-_magnitude(x))
    return np.where(np.real(x) >= 0, 1 / (1 + decay), decay / (1 + decay))


# Next to 0 the complex slope has no digits of s' = -s tanh(x / 2) left.
@binary(
    lambda h, z, x, g: h * (z * -tanh(0.5 * x)),
    lambda h, z, x, g: apply(SIGMOID_SLOPE, x, h),
    differential=lambda x, g, u, v: _logistic_slope(x) * (v - g * np.tanh(x / 2) * u),
    costly=True,
)
def _sigmoid_slope(x: Any, y: Any) -> Any:
    """``y`` times the derivative of ``sigmoid`` at ``x``."""
    return y * _logistic_slope(x)


@unary(
    lambda g, y, x: g * sigmoid(x),
    differential=lambda x, u: u * np.where(x > 0, 1.0, np.exp(-_magnitude(x))) / (1 + np.exp(-_magnitude(x))),
    costly=True,
)
def softplus(x: Any) -> Any:
    """``log(1 + e**x)``, without overflow."""
    return np.where(np.real(x) > 0, x, 0) + np.log1p(np.exp(-_magnitude(x)))


@binary(
    lambda g, z, x, y: g * sigmoid(_difference(x, y)),
    lambda g, z, x, y: g * sigmoid(_difference(y, x)),
    shifted=True,
    costly=True,
    answers=np.logaddexp,
)
def logaddexp(x: Any, y: Any) -> Any:
    """``log(e**x + e**y)``, without overflow. Equal infinities share its derivative equally."""
    return _log_of_sum(x, y, 1.0) if np.iscomplexobj(x + y) else np.logaddexp(x, y)


@binary(
    lambda g, z, x, y: g * sigmoid(_LOG_2 * _difference(x, y)),
    lambda g, z, x, y: g * sigmoid(_LOG_2 * _difference(y, x)),
    shifted=True,
    costly=True,
    answers=np.logaddexp2,
)
def logaddexp2(x: Any, y: Any) -> Any:
    """``log2(2**x + 2**y)``, without overflow. Equal infinities share its derivative equally."""
    return _log_of_sum(x, y, _LOG_2) if np.iscomplexobj(x + y) else np.logaddexp2(x, y)


def _difference(x: Array, y: Array) -> Value:
    """``x - y``, and 0 of equal infinities."""
    alike = logic.equal(x, y) & logic.not_equal(x - x, 0.0)
    return logic.where(alike, 0.0, x - y)


def _log_of_sum(x: Any, y: Any, unit: float) -> Any:
    first = np.real(x) >= np.real(y)
    larger, smaller = np.where(first, x, y), np.where(first, y, x)
    return larger + np.log1p(np.exp(unit * (smaller - larger))) / unit


def _magnitude(x: Any) -> Any:
    return np.where(np.real(x) < 0, -x, x) if np.iscomplexobj(x) else np.abs(x)


def _logistic_slope(x: Any) -> Any:
    """``e**-|x| / (1 + e**-|x|)**2``."""
    decay = np.exp(-_magnitude(x))
    return decay / np.square(1.0 + decay)


TANH_SLOPE: Primitive = _tanh_slope.primitive
SIGMOID_SLOPE: Primitive = _sigmoid_slope.primitive
