"""Differences: the derivative of a function that can only be evaluated, with a bound of its error.

For ``p(t) = <v, f(x + t u)>`` the central difference has an error that is a series in even powers of the step,

    (p(t) - p(-t)) / 2t = p'(0) + c2 t^2 + c4 t^4 + ...  + rounding of p / t ,

so the differences at ``t, t/2, t/4, ...`` can be combined to cancel one power after the other (Richardson 1911). The
table of combinations also says how good they are: neighbours agree as far as the series has converged and rounding has
not begun, and the entry whose neighbours are closest is taken, their distance being its error (Ridders 1982).

A step has to be shorter than the function's scale, and long enough for its values to change. The scale is nobody's to
know; steps are tried from short ones to long ones, relative to the point and at last of the order of 1. What longer
ones say counts where it is more exact and *agrees with the shorter ones*: beyond a pole, a kink or a step of a
staircase there is another function.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from minimeta.testing.replay import Along
from minimeta.testing.rounding import DOUBLE

Floats: TypeAlias = NDArray[Any]
Path: TypeAlias = Callable[[float], Sequence[Any]]
"""From ``t`` to the outputs at ``x + t u``."""

HALVINGS = 8
"""How many steps of one scale are combined."""

_RELATIVE = (2.0**-14, 2.0**-8, 2.0**-3)
_SHORTEST = 2.0**-21  # for waves that are short beside the point: sin at 1e7
_ABSOLUTE = (2.0**-15, 2.0**-9, 2.0**-3)
_SAFETY = 4.0

_FEWEST = 16
"""In how many steps, each half of the one before, a kink has to stay."""


def lengths(direction: Sequence[Floats]) -> list[float]:
    """The longest step of each scale, the shortest first; the direction has the scale of the point."""
    reach = max((float(np.max(np.abs(u), initial=0.0)) for u in direction), default=0.0)
    further = [step / reach for step in _ABSOLUTE if reach > 0 and step > _RELATIVE[-1] * reach]
    return [*_RELATIVE, *(step for step in further if np.isfinite(step))]


def narrowed(best: Along | None, found: Sequence[tuple[Floats, Floats]]) -> Along:
    """The better of what shorter steps say and what longer ones do, element by element."""
    if best is None:
        return Along([x for x, _ in found], [error for _, error in found])
    rows = []
    for (x, error), known, bound in zip(found, *best, strict=True):
        better = (error < bound) & (np.abs(x - known) <= error + bound)
        rows.append((np.where(better, x, known), np.where(better, error, bound)))
    return Along([x for x, _ in rows], [error for _, error in rows])


@np.errstate(all="ignore")
def central_difference(path: Path, direction: Sequence[Floats] = (np.ones(()),)) -> Along:
    """The derivatives of the outputs at ``t = 0``, and bounds of their errors, element by element.

    Parameters
    ----------
    path
        From ``t`` to a sequence of arrays.
    direction
        What ``t`` is a multiple of.

    Returns
    -------
    Along
        One array for each output. An error is infinite where a value is not finite.
    """
    best: Along | None = None
    for longest in (_SHORTEST, *lengths(direction)):
        try:
            table = [_row(path, longest / 2**i) for i in range(HALVINGS)]
        except Exception:  # A function of somebody else's ends where it likes, but not at the point.
            if best is None:
                raise
            break
        best = narrowed(best, [extrapolated(list(column)) for column in zip(*table, strict=True)])
    assert best is not None
    return best


def _row(path: Path, step: float) -> list[tuple[Floats, Floats]]:
    """For each output the central difference of one step, and what rounding may have made of it.

    The point ``x + t u`` is rounded too, by ``eps |x| / 2``, and ``u`` is of the scale of ``x``.
    """
    found = []
    for above, below in zip(path(step), path(-step), strict=True):
        y, z = np.asarray(above), np.asarray(below)
        eps = np.finfo(y.dtype).eps
        y, z = y.astype(np.float64), z.astype(np.float64)
        slope = (y - z) / (2 * step)
        found.append((slope, (eps * (np.abs(y) + np.abs(z)) / 2 + DOUBLE * np.abs(slope)) / step))
    return found


@np.errstate(all="ignore")
def extrapolated(samples: Sequence[tuple[Floats, Floats]]) -> tuple[Floats, Floats]:
    """Neville's table of what belongs to halved steps, even in them: the entry with the closest neighbours, its error.

    Parameters
    ----------
    samples
        Numbers, and what rounding may have made of them.
    """
    previous: list[Floats] = []
    best = np.zeros_like(samples[0][0])
    smallest = np.full_like(best, np.inf)
    shorter = [*(rounding for _, rounding in samples[1:]), samples[-1][1]]
    for (sample, own), next_one in zip(samples, shorter, strict=True):
        rounding = np.maximum(own, next_one)  # A sample of rounding may be small by chance.
        current = [sample]
        for column, earlier in enumerate(previous, 1):
            factor = 4.0**column
            current.append((factor * current[-1] - earlier) / (factor - 1))
            distance = np.maximum(abs(current[-1] - current[-2]), abs(current[-1] - earlier))
            error = _SAFETY * (distance + rounding)
            better = error < smallest
            best, smallest = np.where(better, current[-1], best), np.where(better, error, smallest)
        previous = current
    return best, smallest


@np.errstate(all="ignore")
def has_kink(path: Callable[[float], float]) -> bool:
    """Whether ``p`` bends at 0: ``|p(t) + p(-t) - 2 p(0)| / t`` tends to the jump of the slope, and not to 0.

    The shortest steps count in which rounding would not hide it: to longer ones a wave is made of kinks.
    """
    start = path(0.0)
    steps = 2.0 ** -np.arange(4, 32)
    above, below = (np.array([path(sign * t) for t in steps]) for sign in (1.0, -1.0))
    bends = np.abs(above + below - 2 * start) / steps
    floor = 64 * np.finfo(np.float64).eps * (np.abs(above) + np.abs(below) + 2 * abs(start)) / steps
    if not np.isfinite(bends).all():
        return True
    slopes = np.maximum(np.abs(above - start), np.abs(below - start)) / steps
    least = 1e-3 * slopes
    seen = max(int(np.sum(np.cumprod(floor <= least))), _FEWEST)
    small, large = slice(seen - 6, seen), slice(seen - _FEWEST, seen - _FEWEST + 6)
    return bool((bends > np.maximum(floor, least))[small].all() and bends[small].min() > 0.25 * bends[large].max())
