"""Differences: the derivative of a function that can only be evaluated, with a bound of its error.

For a function ``p(t)`` of one number the central difference has an error that is a series in even
powers of the step,

    (p(t) - p(-t)) / 2t = p'(0) + c2 t^2 + c4 t^4 + ...  + noise of p / t ,

so the differences at ``t, t/2, t/4, ...`` can be combined to cancel one power after the other
(Richardson 1911). The table of combinations also measures itself: neighbours agree as far as the
series has converged and noise has not taken over. The entry whose neighbours are closest is taken,
with their distance as its error (Ridders 1982).

Nobody knows the scale on which a function varies, so steps are tried on all of them: every power of
two from the last digits of the point to an eighth of it, and steps of the order of 1 if the point
is small. Longer steps are believed where they are more exact and *agree with the shorter ones*,
because beyond a pole, a kink or a stair there is another function.

Noise is measured too (:func:`noise`), since an inverse of an ill-conditioned matrix has far more of
it than rounding of its result.

The same values show a kink. With ``s(t) = p(t) + p(-t) - 2 p(0)``, doubling the step multiplies
``s`` by 4 where ``p`` is smooth, by 2 at a kink and by 1 at a jump. The shortest steps decide at
which ``s`` is not hidden by noise.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[Any]
Path: TypeAlias = Callable[[float], Sequence[Any]]
"""From ``t`` to the outputs at ``x + t u``."""
Sample: TypeAlias = tuple[Floats, Floats]
"""A number for each element of an output, and what noise may have made of it."""


class Along(NamedTuple):
    """What an oracle says of the derivatives of all outputs along a direction.

    Attributes
    ----------
    derivatives, errors
        One array for each output, and bounds of their errors.
    still
        Whether no output was seen to change at all.
    hides
        Whether noise may hide a variation on a short scale: this may confirm, then, and refutes nothing.
    """

    derivatives: list[Floats]
    errors: list[Floats]
    still: bool = False
    hides: bool = False


HALVINGS = 8
"""How many steps, each half of the one before, are combined."""

_RELATIVE = range(-45, -2)
"""The steps relative to the point, as powers of two."""

_ABSOLUTE = range(-24, -2)
"""The steps where the point is small."""

_SAFETY = 4.0

_NEIGHBOUR = 2.0**-47
"""How far apart, relative to the point, values are whose scatter is noise."""

_STAIR = 2.0**-18
"""The first change of a function that stays the same for short steps: up to this part of its value
it is taken for the last of few digits, and beyond that for a leap of a function that is constant
here."""


def ladders(direction: Sequence[Floats]) -> list[tuple[float, range]]:
    """Return the unit of the steps, and their powers of two, for steps relative to the point and
    for absolute ones.

    The direction has the scale of the point.
    """
    reach = max((float(np.max(np.abs(u), initial=0.0)) for u in direction), default=0.0)
    found = [(1.0, _RELATIVE)]
    if 0 < reach < 1 and np.isfinite(1 / reach):
        longest = max(_ABSOLUTE.start, int(np.log2(reach)) - HALVINGS)
        first = min(longest, _ABSOLUTE.stop - HALVINGS)
        found.append((1 / reach, range(first, _ABSOLUTE.stop)))
    return found


def narrowed(best: Along | None, found: Sequence[Sample]) -> Along:
    """Return the better of what shorter steps say and what longer steps say, element by element."""
    if best is None:
        return Along([x for x, _ in found], [error for _, error in found])
    rows = []
    for (x, error), known, bound in zip(found, best.derivatives, best.errors, strict=True):
        better = (error < bound) & (np.abs(x - known) <= error + bound)
        rows.append((np.where(better, x, known), np.where(better, error, bound)))
    return Along([x for x, _ in rows], [error for _, error in rows])


class Bend(Exception):  # noqa: N818 (it is an answer)
    """The function has a kink, a jump or a singularity at 0."""


@np.errstate(all="ignore")
def central_difference(
    path: Path,
    direction: Sequence[Floats] = (np.ones(()),),
    scatter: float = 0.0,
    enough: float = 0.0,
) -> Along:
    """Compute the derivatives of the outputs at ``t = 0``, and bounds of their errors, element by
    element.

    Parameters
    ----------
    path
        From ``t`` to a sequence of arrays.
    direction
        What ``t`` is a multiple of; it has the scale of the point.
    scatter
        What is known of the noise of the outputs; it is measured, too.
    enough
        A relative error with which longer steps need not be tried.

    Returns
    -------
    Along
        One array for each output. An error is infinite where a value is not finite.

    Raises
    ------
    Bend
        An output has a kink, a jump or a singularity at 0.
    """
    outputs = [_Output(y, np.maximum(size, scatter)) for y, size in zip(path(0.0), noise(path), strict=True)]
    best: Along | None = None
    known: list[Floats] = []
    for unit, powers in ladders(direction):
        rows: deque[list[Sample]] = deque(maxlen=HALVINGS)
        for left, power in zip(reversed(range(len(powers))), powers, strict=True):
            step = unit * 2.0**power
            try:
                sides = zip(path(step), path(-step), strict=True)
            except Exception:  # Functions may end anywhere but at the point itself.
                if best is None:
                    raise
                return best._replace(hides=any(map(_Output.hides, outputs, known)))
            rows.append([y.sample(step, *side) for y, side in zip(outputs, sides, strict=True)])
            if len(rows) == HALVINGS and left % (HALVINGS - 1) == 0:
                found = [extrapolated(column) for column in zip(*reversed(rows), strict=True)]
                if best is None:
                    known = [step * error for _, error in found]
                best = narrowed(best, [y.constant(left == 0) for y in outputs])
                best = narrowed(best, found)
                if _is_within(enough, best):
                    break
        if any(y.bends() for y in outputs):
            raise Bend
        if best is not None and _is_within(enough, best):
            break
    assert best is not None
    errors = [np.where(y.is_unresolved, np.inf, error) for y, error in zip(outputs, best.errors, strict=True)]
    return Along(best.derivatives, errors, all(y.still for y in outputs), any(map(_Output.hides, outputs, known)))


def _is_within(part: float, found: Along) -> bool:
    """Return whether all errors are smaller than a part of the derivatives."""
    return all((error <= part * abs(x)).all() for x, error in zip(found.derivatives, found.errors, strict=True))


@np.errstate(all="ignore")
def noise(path: Path) -> list[Floats]:
    """Measure how much the values of a function scatter from each other, next to the point.

    The values at a few points, some last places apart and all on one side, lie on a smooth curve,
    except for noise. So their fourth differences are noise alone, with ``sqrt(70)`` times the
    standard deviation of the values (Hamming 1973; Moré and Wild 2011).
    """
    largest: list[Floats] = []
    for side in (1, -1):
        values = [path(side * place * _NEIGHBOUR) for place in range(1, 8)]
        columns = [np.stack([np.asarray(y, np.float64) for y in column]) for column in zip(*values, strict=True)]
        sizes = [np.max(abs(np.diff(column, 4, axis=0)), axis=0) / np.sqrt(70.0) for column in columns]
        largest = [np.fmax(x, y) for x, y in zip(largest, sizes, strict=True)] if largest else sizes
    return [np.where(np.isnan(size), np.inf, size) for size in largest]


class _Output:
    """One output of a function, and what is seen of it while steps grow from the shortest to the longest."""

    _USABLE = 64.0
    """How many times its noise ``s`` has to be."""

    _RUN = 8
    """How many steps in a row have to show a kink."""

    _FEW = 3
    """How many of them in a row show a bend; twice as many a peak."""

    def __init__(self, value: Any, scatter: Floats) -> None:
        self._eps = float(np.finfo(np.asarray(value).dtype).eps)
        self._value = np.asarray(value, np.float64)
        self._scatter, self._noise = scatter, scatter
        self._still: Any = np.ones(self._value.shape, bool)  # whether nothing has changed the value yet
        self._reached: Any = np.zeros(self._value.shape)  # the last step that did not
        self._leapt: Any = np.zeros(self._value.shape, bool)  # whether the first change was a leap
        self._first, self._farthest = self._reached, self._reached  # the first change and the largest
        self._step, self._bend = np.inf, self._value  # the last step, and its s, or 0 if it is hidden by noise
        self._run: Any = np.zeros(self._value.shape, int)  # the doublings that looked like a kink; -1 if it is smooth
        self._last = self._bend
        self._level, self._grown = (
            self._run,
            self._run,
        )  # the doublings that left s as it is, and that made it 4 times s
        self._is_lost: Any = np.zeros(self._value.shape, bool)  # whether noise may hide how it varies

    def sample(self, step: float, above: Any, below: Any) -> Sample:
        """Return the central difference of one step, and what noise may have made of it."""
        y, z = np.asarray(above, np.float64), np.asarray(below, np.float64)
        change = np.maximum(abs(y - self._value), abs(z - self._value))
        first = self._still & (change != 0) & (self._reached > 0)
        leaps = first & (change > _STAIR * abs(self._value))
        self._leapt |= leaps
        self._farthest = np.maximum(self._farthest, change)
        if np.isinf(self._step):
            self._first = np.where(change > 4 * self._scatter, change, 0.0)
        self._scatter = np.where(first & ~leaps, np.maximum(self._scatter, change), self._scatter)
        self._still &= change == 0
        self._reached = np.where(self._still, step, self._reached)
        rounding = self._eps * (abs(y) + abs(z)) / 2
        size = self._scatter + rounding
        self._look(step, y + z - 2 * self._value, size + self._eps * abs(self._value))
        self._look_for_a_peak(y + z - 2 * self._value, self._noise + rounding + self._eps * abs(self._value))
        return (y - z) / (2 * step), np.where(self._still, np.inf, size / step)

    def constant(self, at_last: bool) -> Sample:
        """Return the derivative 0 where the value stays the same, at last or up to a leap."""
        error = _SAFETY * (self._scatter + self._eps * abs(self._value)) / self._reached
        return np.zeros_like(self._value), np.where(self._leapt | (self._still & at_last), error, np.inf)

    def _look(self, step: float, bend: Floats, size: Floats) -> None:
        """Compare ``s`` with that of half the step."""
        if step == 2 * self._step:
            ratio = bend / self._bend
            looks = (ratio >= 0.9) & (ratio <= 2.4)
            is_open = (self._bend != 0) & (self._run >= 0) & (self._run < self._RUN)
            self._run = np.where(is_open, np.where(looks, self._run + 1, -1), self._run)
        elif np.isinf(self._step):
            self._run = np.where(np.isfinite(bend), 0, self._RUN)
        self._step, self._bend = step, np.where(abs(bend) > self._USABLE * size, bend, 0.0)

    @property
    def still(self) -> bool:
        """Whether no step, or none up to a leap, changed any element."""
        return bool((self._still | self._leapt).all())

    def _look_for_a_peak(self, bend: Floats, rounding: Floats) -> None:
        """Look whether ``s`` stays the same: the value is off at the point alone, where all steps are too long to see.

        Where ``s`` has grown as that of a bend before, they were not.
        """
        ratio = np.where(abs(bend) > self._USABLE * rounding, bend / self._last, 0.0)
        self._level = np.where(abs(ratio - 1) < 0.25, self._level + 1, 0)
        self._grown = np.where(abs(ratio - 4) < 1, self._grown + 1, np.where(self._grown < self._FEW, 0, self._grown))
        self._last = bend
        self._is_lost |= (self._level >= 2 * self._FEW) & (self._grown < self._FEW)

    def hides(self, error: Floats) -> bool:
        """Return whether noise may hide how a value varies, which the first steps know up to an error.

        A function whose rounding is ``k eps`` of its value may vary on a scale of ``1/k`` of the
        point, and by as small a part of its value. Beyond ``k = eps**-0.5`` that is lost in noise.
        """
        known = np.max(error[np.isfinite(error)], initial=0.0)
        value = np.max(np.maximum(abs(self._value), self._farthest), initial=0.0)
        return bool(known > 16 * np.sqrt(self._eps) * value)  # The first steps take 16 times the noise for their error.

    @property
    def is_unresolved(self) -> Any:
        """Whether all steps are too long: the value is off at the point alone, or the shortest step changes it most."""
        return self._is_lost | ((self._first > 0) & (self._first >= self._farthest / 8))

    def bends(self) -> bool:
        """Return whether any element has a kink."""
        return bool((self._run >= self._RUN).any())


@np.errstate(all="ignore")
def extrapolated(samples: Sequence[Sample]) -> Sample:
    """Build Neville's table of samples at halved steps, even in them; return the entry with the
    closest neighbours.

    Parameters
    ----------
    samples
        Numbers, and what noise may have made of them.

    Returns
    -------
    Sample
        The entry, and its error.
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
