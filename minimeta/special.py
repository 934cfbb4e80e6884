"""Special functions: those of scipy.special that models are written in.

The kernels are scipy's, which the extra ``scipy`` brings, except that of ``erf``. Nothing of scipy is imported before a
function of scipy's meets an Array, or this page is asked for. Inside of a transformation scipy's own names answer where
they are ufuncs: ``scipy.special.erf(x)`` of an Array is ``special.erf(x)``. ``polygamma``, ``softmax``, ``log_softmax``
and ``logsumexp`` are Python functions that make numpy arrays of what they get: take them from here.

    erf'(x) = 2 / sqrt(pi) exp(-x^2)         gammaln' = digamma = polygamma(0, .)
    ndtr'(x) = exp(-x^2 / 2) / sqrt(2 pi)    polygamma(n, .)' = polygamma(n + 1, .)
    I_v' = (I_(v-1) + I_(v+1)) / 2           (DLMF 7.2, 5.2, 5.15, 10.29)

Derivatives of inverses follow from those of the functions; entropies have those of ``x log x``.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minimeta.autodiff.array import ArrayLike, Form, Value
from minimeta.autodiff.operations.arithmetic import divide, multiply, negative, sign
from minimeta.autodiff.operations.exponential_sums import log_softmax, softmax
from minimeta.autodiff.operations.exponential_sums import logsumexp as _logsumexp
from minimeta.autodiff.operations.logic import equal, logical_and, where
from minimeta.autodiff.operations.reductions import max as largest_of
from minimeta.autodiff.operations.reductions import sum
from minimeta.autodiff.operations.transcendental import exp, expm1, log, log1p, sigmoid, softplus
from minimeta.autodiff.protocols import answers
from minimeta.autodiff.user_primitive import primitive
from minimeta.errors import MissingExtraError

try:
    from scipy import special
except ModuleNotFoundError as error:
    raise MissingExtraError("minimeta.special needs scipy: pip install 'minimeta[scipy]'") from error

__all__ = [
    "beta",
    "betaln",
    "digamma",
    "entr",
    "erf",
    "erfc",
    "erfcx",
    "erfinv",
    "expit",
    "expm1",
    "gamma",
    "gammaln",
    "i0",
    "i0e",
    "i1",
    "i1e",
    "kl_div",
    "log1p",
    "log_expit",
    "log_ndtr",
    "log_softmax",
    "logit",
    "logsumexp",
    "ndtr",
    "ndtri",
    "polygamma",
    "rel_entr",
    "softmax",
    "xlog1py",
    "xlogy",
]

_TWO_OVER_ROOT_PI = 2 / math.sqrt(math.pi)
_ROOT_2_PI = math.sqrt(2 * math.pi)

# The error function and the normal distribution


@primitive(rules=(lambda g, y, x: g * (_TWO_OVER_ROOT_PI * exp(-x * x)),), elementwise=True, answers=special.erf)
def erf(x: Any) -> Any:
    """``2 / sqrt(pi)`` times the integral of ``exp(-t^2)`` from 0 to ``x``."""
    return special.erf(x)


@primitive(rules=(lambda g, y, x: g * (-_TWO_OVER_ROOT_PI * exp(-x * x)),), elementwise=True, answers=special.erfc)
def erfc(x: Any) -> Any:
    """``1 - erf(x)``, without cancellation where it is small."""
    return special.erfc(x)


@primitive(rules=(lambda g, y, x: g * (2.0 * x * y - _TWO_OVER_ROOT_PI),), elementwise=True, answers=special.erfcx)
def erfcx(x: Any) -> Any:
    """``exp(x^2) erfc(x)``."""
    return special.erfcx(x)


@primitive(rules=(lambda g, y, x: g * (exp(y * y) / _TWO_OVER_ROOT_PI),), elementwise=True, answers=special.erfinv)
def erfinv(x: Any) -> Any:
    """The inverse of :func:`erf`, of ``-1 < x < 1``."""
    return special.erfinv(x)


@primitive(rules=(lambda g, y, x: g * (exp(-0.5 * x * x) / _ROOT_2_PI),), elementwise=True, answers=special.ndtr)
def ndtr(x: Any) -> Any:
    """The probability that a normal variable is at most ``x``."""
    return special.ndtr(x)


@primitive(rules=(lambda g, y, x: g * (exp(0.5 * y * y) * _ROOT_2_PI),), elementwise=True, answers=special.ndtri)
def ndtri(x: Any) -> Any:
    """The inverse of :func:`ndtr`, of ``0 < x < 1``."""
    return special.ndtri(x)


@primitive(
    rules=(lambda g, y, x: g * (math.sqrt(2 / math.pi) / erfcx(x * -math.sqrt(0.5))),),
    elementwise=True,
    answers=special.log_ndtr,
)
def log_ndtr(x: Any) -> Any:
    """The logarithm of :func:`ndtr`, which may underflow."""
    return special.log_ndtr(x)


# The gamma function


@primitive(rules=(lambda g, y, x: g * polygamma(0, x),), elementwise=True, answers=special.gammaln)
def gammaln(x: Any) -> Any:
    """The logarithm of the magnitude of :func:`gamma`."""
    return special.gammaln(x)


@primitive(rules=(lambda g, y, x: g * (y * polygamma(0, x)),), elementwise=True, answers=special.gamma)
def gamma(x: Any) -> Any:
    """The gamma function, ``(x - 1)!`` of whole numbers."""
    return special.gamma(x)


@primitive(rules=(lambda g, y, x: g * polygamma(1, x),), elementwise=True, answers=special.psi)
def digamma(x: Any) -> Any:
    """The derivative of :func:`gammaln`."""
    return special.psi(x)


def polygamma(n: int, x: ArrayLike) -> Value:
    """The derivative of order ``n`` of :func:`digamma`; ``n`` is a whole number from 0 on, the same for all."""
    return digamma(x) if n == 0 else _polygamma(x, order=int(n))


def _polygamma_rule(g: Any, y: Any, x: Any, order: int) -> Any:
    return g * polygamma(order + 1, x)


@primitive(rules=(_polygamma_rule,), shape=lambda x, order: Form.of(x), elementwise=True)
def _polygamma(x: Any, *, order: int) -> Any:
    return special.polygamma(order, x).astype(x.dtype)


@primitive(
    rules=(
        lambda g, y, a, b: g * (digamma(a) - digamma(a + b)),
        lambda g, y, a, b: g * (digamma(b) - digamma(a + b)),
    ),
    elementwise=True,
    answers=special.betaln,
)
def betaln(a: Any, b: Any) -> Any:
    """The logarithm of the magnitude of :func:`beta`."""
    return special.betaln(a, b)


@primitive(
    rules=(
        lambda g, y, a, b: g * (y * (digamma(a) - digamma(a + b))),
        lambda g, y, a, b: g * (y * (digamma(b) - digamma(a + b))),
    ),
    elementwise=True,
    answers=special.beta,
)
def beta(a: Any, b: Any) -> Any:
    """``gamma(a) gamma(b) / gamma(a + b)``."""
    return special.beta(a, b)


# The logistic function


@answers(special.expit)
def expit(x: ArrayLike) -> Value:
    """The logistic function ``1 / (1 + exp(-x))``, which is :func:`minimeta.sigmoid`."""
    return sigmoid(x)


@answers(special.log_expit)
def log_expit(x: ArrayLike) -> Value:
    """The logarithm of :func:`expit`, without overflow."""
    return negative(softplus(negative(x)))


@primitive(rules=(lambda g, y, x: g / (x * (1.0 - x)),), elementwise=True, answers=special.logit)
def logit(x: Any) -> Any:
    """``log(x / (1 - x))``, the inverse of :func:`expit`."""
    return special.logit(x)


# Entropies: 0 log 0 is 0


def _ratio(x: Any, y: Any) -> Any:
    """``x / y``, and 0 where both are 0. Where ``x`` alone is 0 the slope ``1 / y`` stays."""
    both = logical_and(equal(x, 0.0), equal(y, 0.0))
    return where(both, 0.0, divide(x, where(both, 1.0, y)))


@primitive(
    rules=(lambda g, z, x, y: g * log(y), lambda g, z, x, y: g * _ratio(x, y)), elementwise=True, answers=special.xlogy
)
def xlogy(x: Any, y: Any) -> Any:
    """``x log(y)``, and 0 where ``x = 0``."""
    return special.xlogy(x, y)


@primitive(
    rules=(lambda g, z, x, y: g * log1p(y), lambda g, z, x, y: g * _ratio(x, 1.0 + y)),
    elementwise=True,
    answers=special.xlog1py,
)
def xlog1py(x: Any, y: Any) -> Any:
    """``x log(1 + y)``, and 0 where ``x = 0``."""
    return special.xlog1py(x, y)


@primitive(rules=(lambda g, y, x: g * (-1.0 - log(x)),), elementwise=True, answers=special.entr)
def entr(x: Any) -> Any:
    """``-x log(x)``, and 0 at 0, where its derivative is infinite."""
    return special.entr(x)


@primitive(
    rules=(lambda g, z, x, y: g * (log(x / y) + 1.0), lambda g, z, x, y: g * -_ratio(x, y)),
    elementwise=True,
    answers=special.rel_entr,
)
def rel_entr(x: Any, y: Any) -> Any:
    """``x log(x / y)``, and 0 where ``x = 0``."""
    return special.rel_entr(x, y)


@primitive(
    rules=(lambda g, z, x, y: g * log(x / y), lambda g, z, x, y: g * (1.0 - _ratio(x, y))),
    elementwise=True,
    answers=special.kl_div,
)
def kl_div(x: Any, y: Any) -> Any:
    """``x log(x / y) - x + y``."""
    return special.kl_div(x, y)


# Modified Bessel functions


def i0(x: ArrayLike) -> Value:
    """The modified Bessel function of order 0."""
    return _bessel(x, order=0)


def i1(x: ArrayLike) -> Value:
    """The modified Bessel function of order 1."""
    return _bessel(x, order=1)


def i0e(x: ArrayLike) -> Value:
    """``exp(-|x|) i0(x)``."""
    return _scaled_bessel(x, order=0)


def i1e(x: ArrayLike) -> Value:
    """``exp(-|x|) i1(x)``."""
    return _scaled_bessel(x, order=1)


for _of_scipy, _function in ((special.i0, i0), (special.i1, i1), (special.i0e, i0e), (special.i1e, i1e)):
    answers(_of_scipy)(_function)


def _neighbours(x: Any, order: int, scaled: bool) -> Any:
    function: Any = _scaled_bessel if scaled else _bessel
    return 0.5 * (function(x, order=abs(order - 1)) + function(x, order=order + 1))


@primitive(
    rules=(lambda g, y, x, order: g * _neighbours(x, order, False),),
    shape=lambda x, order: Form.of(x),
    elementwise=True,
)
def _bessel(x: Any, *, order: int) -> Any:
    return (special.i0, special.i1)[order](x) if order < 2 else special.iv(order, x).astype(x.dtype)


@primitive(
    rules=(lambda g, y, x, order: g * (_neighbours(x, order, True) - sign(x) * y),),
    shape=lambda x, order: Form.of(x),
    elementwise=True,
)
def _scaled_bessel(x: Any, *, order: int) -> Any:
    return (special.i0e, special.i1e)[order](x) if order < 2 else special.ive(order, x).astype(x.dtype)


# What minimeta computes by itself


def logsumexp(a: Any, axis: Any = None, b: Any = None, keepdims: bool = False) -> Value:
    """``log(sum(b exp(a)))`` along axes; the weights ``b``, 1 by default, may have either sign, and NaN is below 0.

    Without weights it is :func:`minimeta.logsumexp`.
    """
    if b is None:
        return _logsumexp(a, axis, keepdims=keepdims)
    shift = np.asarray(0.0) if np.size(a) == 0 else largest_of(a, axis, keepdims=True)
    total = log(sum(multiply(b, exp(a - shift)), axis, keepdims=keepdims))
    return total + (shift if keepdims else np.squeeze(shift, axis))


answers(special.expm1)(expm1)
answers(special.log1p)(log1p)
