"""The modified Bessel function ``i0``, an average of exponentials.

    i0(x) = 1/pi int from 0 to pi of exp(x cos(t)) dt

Every derivative is such an average again, with one more factor ``cos(t)`` in the integrand; so one
operation has all orders. The integrand is periodic, and the trapezoidal rule converges exponentially.
With ``t`` there is ``pi - t``, whose cosine is the negative: so the exponentials of an odd derivative
are taken together as ``sinh``, and of an even one as ``cosh``, and nothing cancels near 0.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minimeta.autodiff.array import Array, Form, Value
from minimeta.autodiff.definition import operation
from minimeta.autodiff.operations.elementwise import one_each
from minimeta.autodiff.operations.queries import as_float
from minimeta.autodiff.operations.reductions import check_float
from minimeta.autodiff.primitive import Draw
from minimeta.autodiff.protocols import answers


@answers(np.i0)
def i0(x: Any) -> Value:
    """Return the modified Bessel function of the first kind and of order 0."""
    return _i0(as_float(x), order=0)


def _form(x: Any, order: int) -> Form:
    check_float("i0", x)
    return Form(x.shape, x.dtype)


def _sample(draw: Draw) -> Any:
    return (draw.array(draw.shape()),), {"order": draw.integer(0, 2)}


@operation(
    rules=(lambda g, y, x, order: g * _derivative(x, order),), shape=_form, sample=_sample, flops=one_each, costly=True
)
def _i0(x: Any, *, order: int) -> Any:
    """Return the derivative of this order."""
    if order == 0 and not np.iscomplexobj(x):
        return np.i0(x).astype(x.dtype)
    wide = x.astype(np.result_type(x, np.float64))
    largest = np.max(np.abs(np.real(x)), initial=0.0, where=np.isfinite(x))
    count = 32 + 8 * math.isqrt(int(min(largest, 1000.0)) + 1)  # It overflows at 714.
    cosines = np.cos((np.arange(count) + 0.5) * math.pi / count)
    half = np.sinh if order % 2 else np.cosh
    total = sum(cosine**order * half(wide * cosine) for cosine in cosines)
    return (total / count).astype(np.result_type(x, np.float32))


def _derivative(x: Array, order: int) -> Value:
    return _i0(x, order=order + 1)
