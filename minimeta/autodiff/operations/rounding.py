"""Rounding: the whole numbers next to a number.

Each function is constant between its steps, so its derivative is 0, at the steps too. Integers are whole already, and
numpy's functions answer for them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minimeta.autodiff.array import Value
from minimeta.autodiff.operations.elementwise import unary
from minimeta.autodiff.operations.queries import differentiable, query


@differentiable(np.floor)
def floor(x: Any) -> Value:
    """The largest whole number that is not above ``x``."""
    return _floor(x)


@unary(None)
def _floor(x: Any) -> Any:
    return np.floor(np.real(x))


@differentiable(np.ceil)
def ceil(x: Any) -> Value:
    """The smallest whole number that is not below ``x``."""
    return _ceil(x)


@unary(None)
def _ceil(x: Any) -> Any:
    return np.ceil(np.real(x))


@differentiable(np.trunc)
def trunc(x: Any) -> Value:
    """``x`` without its fractional part."""
    return _trunc(x)


@unary(None)
def _trunc(x: Any) -> Any:
    return np.trunc(np.real(x))


@differentiable(np.fix)
def fix(x: Any) -> Value:
    """``x`` without its fractional part, as :func:`trunc`."""
    return _trunc(x)


@differentiable(np.rint)
def rint(x: Any) -> Value:
    """The nearest whole number; of two that are as near, the even one."""
    return _rint(x)


@unary(None)
def _rint(x: Any) -> Any:
    return np.rint(np.real(x))


@differentiable(np.round)
def round(x: Any, decimals: int = 0, out: None = None) -> Value:
    """The nearest number of so many decimals; of two that are as near, the even one."""
    return _rint(x) if decimals == 0 and out is None else query(np.round, x, decimals, out)
