"""Differences: the derivative of a function that can only be evaluated, with a bound of its error.

For ``p(t) = <v, f(x + t u)>`` the central difference has an error that is a series in even powers of the step,

    (p(t) - p(-t)) / 2t = p'(0) + c2 t^2 + c4 t^4 + ...  + rounding of p / t ,

so the differences at ``t, t/2, t/4, ...`` can be combined to cancel one power after the other (Richardson 1911). The
table of combinations also says how good they are: neighbours agree as far as the series has converged and rounding has
not begun, and the entry whose neighbours are closest is taken, their distance being its error (Ridders 1982).

Where that is not enough to decide, the remainder of Taylor's formula arbitrates. With a number ``d`` for ``p'(0)``,

    |p(t) - p(0) - t d|  shrinks as  t^2  if d is the derivative,  and as  t  if it is not,

whatever the size of the error; the slope on a double logarithmic scale is 2 or 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[Any]
Path: TypeAlias = Callable[[float], Sequence[Any]]
"""From ``t`` to the outputs at ``x + t u``."""

_LARGEST_STEPS = (2.0**-3, 2.0**-8, 2.0**-14)
_ROWS = 8
_SAFETY = 4.0


def central_difference(path: Path) -> tuple[list[Floats], list[Floats]]:
    """The derivatives of the outputs at ``t = 0``, and bounds of their errors, element by element.

    Parameters
    ----------
    path
        From ``t`` to a sequence of arrays.

    Returns
    -------
    derivatives, errors
        One array for each output. An error is infinite where a value is not finite.
    """
    best: list[Floats] = []
    errors: list[Floats] = []
    for largest in _LARGEST_STEPS:
        table = [_row(path, largest / 2**i) for i in range(_ROWS)]
        for place, column in enumerate(zip(*table, strict=True)):
            found, error = _extrapolated(list(column))
            if len(best) <= place:
                best.append(found)
                errors.append(error)
            else:
                better = error < errors[place]
                best[place] = np.where(better, found, best[place])
                errors[place] = np.where(better, error, errors[place])
    return best, errors


def _row(path: Path, step: float) -> list[tuple[Floats, Floats]]:
    """For each output the central difference of one step, and what rounding may have made of it."""
    found = []
    for above, below in zip(path(step), path(-step), strict=True):
        y, z = np.asarray(above), np.asarray(below)
        eps = np.finfo(y.dtype).eps
        y, z = y.astype(np.float64), z.astype(np.float64)
        found.append(((y - z) / (2 * step), eps * (np.abs(y) + np.abs(z)) / (2 * step)))
    return found


def _extrapolated(differences: list[tuple[Floats, Floats]]) -> tuple[Floats, Floats]:
    """Neville's table of differences of halved steps: the entry with the closest neighbours, and its error."""
    with np.errstate(all="ignore"):
        previous: list[Floats] = []
        best = np.zeros_like(differences[0][0])
        smallest = np.full_like(best, np.inf)
        for difference, rounding in differences:
            current = [difference]
            for column, earlier in enumerate(previous, 1):
                factor = 4.0**column
                current.append((factor * current[-1] - earlier) / (factor - 1))
                distance = np.maximum(abs(current[-1] - current[-2]), abs(current[-1] - earlier))
                error = _SAFETY * (distance + rounding)
                better = error < smallest
                best, smallest = np.where(better, current[-1], best), np.where(better, error, smallest)
            previous = current
        return best, smallest


def taylor_slope(path: Callable[[float], float], derivative: float) -> float:
    """The order to which ``p(t) = p(0) + t d`` holds: 2 where ``d`` is the derivative, 1 where it is not.

    Parameters
    ----------
    path
        ``p``, to a scalar.
    derivative
        ``d``.

    Returns
    -------
    float
        The median slope between halvings of the step, the last six that rounding leaves to be seen; infinite if
        ``p`` is linear to rounding; NaN if there are too few to say. What rounding does is what ``p`` does from one
        number to the next.
    """
    start = path(0.0)
    steps = 2.0 ** -np.arange(4, 24)
    values = np.array([path(t) for t in steps])
    remainders = np.abs(values - start - steps * derivative)
    jitter = max(abs(path(i * 2.0**-50) - start) for i in (1, 2, 3, 5))
    floor = 16 * jitter + 64 * 2.0**-52 * (np.abs(values) + abs(start) + np.abs(steps * derivative))
    seen = remainders > floor
    if not seen.any():
        return np.inf
    count = int(np.argmin(seen)) if not seen.all() else len(steps)
    if count < 4:
        return np.nan
    logs = np.log2(remainders[:count])
    return float(np.median(logs[:-1][-6:] - logs[1:][-6:]))


def has_kink(path: Callable[[float], float]) -> bool:
    """Whether ``p`` bends at 0: ``|p(t) + p(-t) - 2 p(0)| / t`` tends to the jump of the slope, and not to 0."""
    start = path(0.0)
    steps = 2.0 ** -np.arange(4, 20)
    with np.errstate(all="ignore"):
        above, below = (np.array([path(sign * t) for t in steps]) for sign in (1.0, -1.0))
        bends = np.abs(above + below - 2 * start) / steps
        floor = 64 * np.finfo(np.float64).eps * (np.abs(above) + np.abs(below) + 2 * abs(start)) / steps
        if not np.isfinite(bends).all():
            return True
        slopes = np.maximum(np.abs(above - start), np.abs(below - start)) / steps
        small, large = bends[-6:], bends[:6]
        return bool((small > np.maximum(floor[-6:], 1e-3 * slopes[-6:])).all() and small.min() > 0.25 * large.max())
