"""Comparison: a number of the library against one of an oracle, and the verdict.

With ``g = J^T v`` from the library and ``J u`` from the oracle, they agree if

    | <g, u> - <v, J u> |  <=  8 (e + r),

where ``e`` is the oracle's error and ``r`` the spread that rounding gives to ``<g, u>``
(:mod:`minimeta.testing.rounding`), with that of writing ``g`` down. Roundings of n elements add up
as independent errors do, as the root of n, so that the bound does not drown one wrong element of
many. Both are measured where they are needed: numbers that agree to the last places agree.

Where the two are beyond the bound by less than ten times, or the bound is too wide to decide, a
second oracle is asked, the limit of derivatives next to the point (:mod:`minimeta.testing.limits`).
It counts if its error is smaller and it agrees with the first.

No bound is narrow where the derivative is 0. An exact 0 of the library is right if the oracle
sees every output change by no more than its own rounding, along a direction as long as the point.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minimeta.errors import Inconclusive
from minimeta.testing.curvature import Curvature
from minimeta.testing.differences import Along
from minimeta.testing.directions import described
from minimeta.testing.identities import magnitude, product
from minimeta.testing.replay import steps_of
from minimeta.testing.rounding import DOUBLE, greatest, least, root_mean_square
from minimeta.testing.subject import Subject

Floats = NDArray[Any]

_FACTOR = 8.0
_BAND = 10.0
_CLEARLY = 0.5
"""What part of the bound numbers may be apart that agree before any rounding is measured."""

_UNDECIDED = 0.01
"""A bound that is wider than this part of what is added up decides nothing."""

_REFUTES = 0.125
"""A bound that is wider than this part of it refutes nothing near it: errors are not small, and add up to others."""

_BEYOND = 4.0
"""How many such bounds away is refuted all the same."""

_NOTHING = 64.0
"""So many eps of a number are its rounding: differences do not see an element that is less of the largest."""

_WIDEST = 1000.0
"""The largest power of two that terms add up to, 24 below where they overflow."""


class Tolerance(NamedTuple):
    """What a user allows on top of the derived bound: ``absolute + relative |expected|``."""

    relative: float = 0.0
    absolute: float = 0.0


class Compared(NamedTuple):
    """One direction: what the library and the oracle say of it.

    Attributes
    ----------
    direction
        ``u``.
    found, expected
        ``<g, u>`` and ``<v, J u>``.
    derived, bound
        How far apart they may be by the errors of both, and as the user loosened it.
    weight, floor
        The sum of the magnitudes of what was added up, and what underflow alone may make of it.
    own
        The part of the bound that is due to the library's own rounding.
    still
        Whether the oracle saw nothing change along the direction: differences nothing at all, and a
        replay nothing but rounding.
    wrong
        The verdict.
    arbitrated, undecided
        Whether the second oracle gave it, and whether there is none.
    """

    direction: Sequence[Floats]
    found: float
    expected: float
    derived: float
    bound: float
    weight: float
    floor: float
    own: float = 0.0
    still: bool = False
    wrong: bool = False
    arbitrated: bool = False
    undecided: bool = False

    @property
    def reach(self) -> float:
        """How far the direction goes."""
        return max(float(np.max(np.abs(u), initial=0.0)) for u in self.direction)

    def narrows(self, other: Compared) -> bool:
        """Return whether this oracle's number has a smaller error than another's, and agrees with it."""
        apart = abs(self.expected - other.expected)
        return self.bound < other.bound and not apart > self.derived + other.derived

    @property
    def difference(self) -> float:
        """The distance; infinite if the library's number is none."""
        distance = abs(self.found - self.expected)
        return distance if np.isfinite(distance) else np.inf

    @property
    def bounds(self) -> float:
        """The distance, in bounds."""
        return self.difference / self.bound if np.isfinite(self.difference) else np.inf


@dataclass
class Comparison:
    """What is compared along every direction.

    Attributes
    ----------
    subject, given, gradient
        The function, ``v``, and ``J^T v`` as the library has it.
    noise
        Measures a few differences that rounding makes to the gradient.
    order, called, eps, tolerance
        Of the derivative; the function's name; the unit in the last place; what the user allows.
    """

    subject: Subject
    given: Sequence[Floats]
    gradient: Sequence[Floats]
    noise: Callable[[], Sequence[Sequence[Floats]]]
    order: int
    called: str
    eps: float
    tolerance: Tolerance

    def rows(self, directions: Sequence[Sequence[Floats]], seen: Sequence[Along]) -> list[Compared]:
        """Compare along all directions."""
        quick = [self._along(*pair, []) for pair in zip(directions, seen, strict=True)]
        moves = any(row.weight > 0 for row in quick)
        return [self._decided(row, known, moves) for row, known in zip(quick, seen, strict=True)]

    def undecided(self, rows: Sequence[Compared]) -> Inconclusive | None:
        """Return the error that nothing was decided along any direction, or None."""
        lost = [row for row in rows if row.undecided]
        if not lost or len(lost) < sum(row.weight > 0 for row in rows):
            return None
        return self.inconclusive(max(lost, key=lambda row: row.bound))

    def unconfirmed(self, rows: Sequence[Compared]) -> Inconclusive | None:
        """Return the error that the oracle sees other derivatives, and not one that the library
        has.

        Of a program both errors are measured. A derivative that is itself lost in the library's
        rounding claims nothing, and the report counts it, unless it is farther off than that. Of a
        black box, a derivative of some eps of the largest one may be rounding in place of 0 along a
        direction that changes nothing; and a direction along an element that is itself nothing next
        to others shows nothing, whatever the derivative is.
        """
        if self.undecided(rows):
            return None
        furthest = max((row.reach for row in rows), default=0.0)
        largest = max((abs(row.found) / row.reach for row in rows), default=0.0)
        for row in rows:
            if self.subject.program is not None:
                is_claim = np.isfinite(row.found) and row.own <= min(abs(row.found), row.bound) / 2
                lost = row.undecided and (is_claim or (np.isfinite(row.found) and row.bounds > 1))
            elif row.still:
                lost = row.undecided and abs(row.found) > _FACTOR * self.eps * largest * row.reach
            else:
                hidden = row.reach <= _NOTHING * self.eps * furthest
                lost = row.undecided or (hidden and row.bound == row.derived and not _decides(row))
            if lost:
                return self.inconclusive(row)
        return None

    def inconclusive(self, worst: Compared) -> Inconclusive:
        """Return the error that nothing was decided along a direction."""
        return Inconclusive(
            f"{self.called}, order {self.order}, along {described(worst.direction, self.subject.names)}: the library "
            f"says {worst.found!r} and the {self.subject.oracle} {worst.expected!r}, but rounding and the oracle's "
            f"error alone may make a difference of {worst.bound:.1e}; choose a point where less is lost by "
            "cancellation, or say with atol what is as good as 0",
            fault="precision",
            order=self.order,
            oracle=self.subject.oracle,
        )

    def _decided(self, row: Compared, seen: Along, moves: bool) -> Compared:
        """Return a row with its verdict. Where nothing moves at all, it may be rounding that adds up to 0."""
        direction = row.direction
        if moves and row.bounds <= _CLEARLY and _decides(row):
            return row
        if self.subject.program is not None:
            seen = self.subject.along(direction, self.order, measured=True)
        row = self._along(direction, seen, self.noise())
        if row.bound == row.derived and (1 < row.bounds <= _BAND or not _decides(row)):
            other = self.subject.limit(direction)
            if other is not None and (second := self._along(direction, other, self.noise())).narrows(row):
                row = second._replace(arbitrated=True)
        if self._leaves_range(row):
            return row._replace(undecided=True)
        hides = seen.hides or (row.arbitrated and self._is_partial())
        is_narrow = row.derived <= max(_REFUTES * row.weight, row.floor)
        refutes = (is_narrow or row.bounds > _BEYOND) and not hides
        wrong = row.bounds > 1 and (refutes or not np.isfinite(row.found))
        lost = row.weight > 0 and row.bound == row.derived and not _decides(row)
        if (lost or wrong) and self._is_nothing(row, seen):
            return row._replace(expected=0.0, weight=0.0, wrong=False, still=True)
        return row._replace(wrong=wrong, undecided=(lost or row.bounds > 1) and not wrong)

    def _is_nothing(self, row: Compared, seen: Along) -> bool:
        """Return whether the derivative is exactly 0 in the library, and to the oracle the rounding of the outputs.

        What LAPACK rounds inside of one step, noise on its operands may miss.
        """
        if self.subject.program is None or row.found != 0 or row.own != 0:
            return False
        if row.bounds > 1 and not self._is_partial():
            return False
        outputs = self.subject.outputs(0.0, row.direction)
        return all(
            bool((abs(x) + _FACTOR * error <= _NOTHING * DOUBLE * abs(np.asarray(y, np.float64))).all())
            for x, error, y in zip(seen.derivatives, seen.errors, outputs, strict=True)
        )

    def _is_partial(self) -> bool:
        """Return whether a singular matrix may be nearer than the steps of the second opinion."""
        program = self.subject.program
        return program is not None and any(step.primitive.partial for step in steps_of(program))

    def _leaves_range(self, row: Compared) -> bool:
        """Return whether the library's number is infinite because the derivative itself is too large for its dtype."""
        with np.errstate(over="ignore"):
            return bool(np.isinf(row.found) and np.float64(abs(row.expected)) / row.reach > greatest(self.eps))

    def second(self, u: Sequence[Floats], seen: Curvature) -> Compared:
        """Compare the second derivative along ``u`` with that of the function alone; ``given`` is
        the other direction.

        The gradient is ``(H w, J w)``, and its second part is of first order.
        """
        u, seen = _in_range(self.gradient[: len(u)], u, seen)
        direction = [*u, *(np.zeros(np.shape(v)) for v in self.gradient[len(u) :])]
        numbers = _Numbers(seen.value, abs(seen.value), seen.error)
        row = self._against(direction, numbers, [])
        if row.bounds > _CLEARLY:
            row = self._against(direction, numbers, self.noise())
        decides = row.bound <= max(_UNDECIDED * max(row.weight, seen.slope), row.floor)
        wrong = np.isfinite(row.bound) and row.bounds > 1 and not self._leaves_range(row)
        return row._replace(wrong=wrong, undecided=not (decides or wrong))

    def _along(self, direction: Sequence[Floats], seen: Along, noise: Sequence[Sequence[Floats]]) -> Compared:
        given = [np.asarray(v, np.float64) for v in self.given]
        size, error = magnitude(given, seen.derivatives), magnitude(given, seen.errors)
        numbers = _Numbers(product(given, seen.derivatives), size, error, seen.still)
        return self._against(direction, numbers, noise)

    def _against(self, direction: Sequence[Floats], oracle: _Numbers, noise: Sequence[Sequence[Floats]]) -> Compared:
        gradient = [np.where(u == 0, 0.0, g) for g, u in zip(self.gradient, direction, strict=True)]
        to_round = magnitude(gradient, direction)
        weight = oracle.size + (to_round if np.isfinite(to_round) else 0.0)
        written = norm_of_products(gradient, direction)
        rounding = self.eps * written if np.isfinite(written) else 0.0
        underflow = least(self.eps) * float(sum(np.sum(np.abs(u)) for u in direction))
        floor = _FACTOR * underflow + least(DOUBLE)
        found = product(gradient, direction)
        own = _FACTOR * (rounding + (spread_of(noise, direction) if np.isfinite(found) else 0.0))
        derived = _FACTOR * (oracle.error + DOUBLE * weight) + own + floor
        bound = max(derived, self.tolerance.absolute + self.tolerance.relative * abs(oracle.value))
        return Compared(direction, found, oracle.value, derived, bound, weight, floor, own, oracle.still)


class _Numbers(NamedTuple):
    """What an oracle says along a direction: a number, what was added up to it, its error, and if nothing changed."""

    value: float
    size: float
    error: float
    still: bool = False


def _in_range(gradient: Sequence[Floats], u: Sequence[Floats], seen: Curvature) -> tuple[Sequence[Floats], Curvature]:
    """Shorten a direction, and what was seen along it, where its product with the gradient leaves
    the range.

    At a point of 1e300 both directions are that long. Where the curvature of softmax is 0, its
    rounding is 1e-16 times one direction, and that times the other would be infinite.
    """
    sizes = [np.abs(np.concatenate([np.ravel(x) for x in leaves])) for leaves in (gradient, u)]
    with np.errstate(divide="ignore"):
        terms = np.log2(sizes[0]) + np.log2(sizes[1])
    excess = float(np.max(terms[np.isfinite(terms)], initial=0.0)) + np.log2(max(terms.size, 1)) - _WIDEST
    if excess <= 0:
        return u, seen
    factor = 2.0 ** -np.ceil(excess)
    return [x * factor for x in u], Curvature(*(number * factor for number in seen))


def _decides(row: Compared) -> bool:
    """Return whether the bound is narrow compared with what is added up."""
    return row.bound <= max(_UNDECIDED * row.weight, row.floor)


def spread_of(noise: Sequence[Sequence[Floats]], direction: Sequence[Floats]) -> float:
    """Return the root mean square of what rounding makes of a derivative along a direction; 0 if it is not measured."""
    rows = ([np.where(u == 0, 0.0, x) for x, u in zip(sample, direction, strict=True)] for sample in noise)
    return float(root_mean_square([product(row, direction) for row in rows])) if noise else 0.0


@np.errstate(all="ignore")
def norm_of_products(one: Sequence[Any], other: Sequence[Any]) -> float:
    """Return the Euclidean norm of what an inner product adds up: so independent errors of its terms add up."""
    terms = np.concatenate([np.ravel(np.abs(np.asarray(x, np.float64) * y)) for x, y in zip(one, other, strict=True)])
    largest = float(np.max(terms, initial=0.0))
    return largest * float(np.linalg.norm(terms / largest)) if largest > 0 else 0.0
