"""Choices: what selects among its operands, in the lexicographic order of values with derivatives.

A number ``x + i x'`` stands for ``x + t x'`` with an infinitesimal ``t > 0``. One is before another
if its value is smaller or, where values are tied, its derivative: numpy's order of complex numbers.
Two of the three numbers that a choice then has,

    at the point,  next to it on the side of the direction,  next to it on the other side,

differ only where values are tied and move apart. A choice that comes out alike in all three is no
kink.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minimeta.autodiff.primitive import registry

Choice = Callable[..., Any]

_ALIKE = 1e-8
"""Two sides of a step whose derivatives differ by less, relatively, have one derivative."""


def sided(choose: Choice, values: Sequence[Any], params: Mapping[str, Any], result: Any) -> bool:
    """Return whether a choice comes out otherwise on the other side, or at the point."""
    other = choose(*map(np.conj, values), **params)
    if np.iscomplexobj(result):
        return not np.array_equal(result, np.conj(other), equal_nan=True)
    here = choose(*map(np.real, values), **params)
    return not (np.array_equal(result, other) and np.array_equal(result, here))


@np.errstate(all="ignore")
def differ(*sides: Any) -> bool:
    """Return whether a result, at the point and on both sides of it, has several values or derivatives, or none."""
    middle, above, below = (np.asarray(y, np.complex128) for y in sides)
    if not (np.isfinite(above).all() and np.isfinite(below).all()):
        return True
    steps = np.maximum(abs(above.real - middle.real), abs(below.real - middle.real))
    slopes = np.maximum(abs(above.imag), abs(below.imag))
    jumps, bends = steps > _ALIKE * abs(middle.real), abs(above.imag + below.imag) > _ALIKE * slopes
    return bool((jumps | bends).any())


def _absolute(x: Any) -> Any:
    return np.where(x < 0, -x, x)


def _sign(x: Any) -> Any:
    return np.where(x > 0, 1.0, np.where(x < 0, -1.0, np.real(x)))


def _larger(x: Any, y: Any) -> Any:
    return np.where(x >= y, x, y)


def _smaller(x: Any, y: Any) -> Any:
    return np.where(x <= y, x, y)


def _first_cell(x: NDArray[Any], **geometry: Any) -> Any:
    ranks = np.unique(x, return_inverse=True)[1].reshape(x.shape)
    return registry["max_cell"].reference(ranks.astype(np.float64), **geometry)


# numpy's comparisons and extremes of complex numbers are lexicographic.
CHOICES: dict[str, Choice] = {
    "equal": np.equal,
    "not_equal": np.not_equal,
    "less": np.less,
    "less_equal": np.less_equal,
    "greater": np.greater,
    "greater_equal": np.greater_equal,
    "absolute": _absolute,
    "sign": _sign,
    "relu": lambda x: np.where(x > 0, x, 0),
    "relu_slope": lambda x, g: np.where(x > 0, g, 0),
    "maximum": _larger,
    "minimum": _smaller,
    "clip": lambda x, low, high: _smaller(_larger(x, low), high),
    "max": lambda x, axes, keepdims: np.max(x, axes, keepdims=keepdims),
    "min": lambda x, axes, keepdims: np.min(x, axes, keepdims=keepdims),
    "argmax": lambda x, axis, keepdims: np.argmax(x, axis, keepdims=keepdims),
    "max_cell": _first_cell,
}
