"""Comparison: one number of the library beside one of an oracle, and the verdict.

With ``g = J^T v`` from the library and ``J u`` from the oracle, they agree if

    | <g, u> - <v, J u> |  <=  8 (e + r),

where ``e`` is the oracle's error and ``r`` the spread that rounding gives to ``<g, u>``
(:mod:`minimeta.testing.rounding`). Neither grows with the size of an array unless errors do. What is beyond the bound
by less than ten times, and what has a bound too wide to decide, goes to Taylor's remainder: an error of the derivative
is one of slope 1, whatever its size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minimeta.errors import Inconclusive, Nondifferentiable
from minimeta.testing.differences import has_kink, taylor_slope
from minimeta.testing.identities import product
from minimeta.testing.replay import Along
from minimeta.testing.subject import Subject

Floats = NDArray[Any]

_FACTOR = 8.0
_BAND = 10.0
_UNDECIDED = 0.01
"""A bound that is wider than this part of what is added up decides nothing."""
_TINY = 1e-140
"""Below this the imaginary parts of the complex step underflow."""


class Tolerance(NamedTuple):
    """What a user allows beside the derived bound: ``absolute + relative |expected|``."""

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
    weight
        The sum of the magnitudes of what was added up.
    wrong
        The verdict.
    arbitrated, undecided
        Whether Taylor's remainder gave it, and whether there is none.
    """

    direction: Sequence[Floats]
    found: float
    expected: float
    derived: float
    bound: float
    weight: float
    wrong: bool = False
    arbitrated: bool = False
    undecided: bool = False

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
        A few differences that rounding makes to the gradient.
    order, called, eps, tolerance
        Of the derivative; the function's name; the unit in the last place; what the user allows.
    """

    subject: Subject
    given: Sequence[Floats]
    gradient: Sequence[Floats]
    noise: Sequence[Sequence[Floats]]
    order: int
    called: str
    eps: float
    tolerance: Tolerance

    def rows(self, directions: Sequence[Sequence[Floats]], seen: Sequence[Along]) -> list[Compared]:
        """Compare along all directions.

        Raises
        ------
        Nondifferentiable
            The function bends here.
        Inconclusive
            There is no telling, along any of them.
        """
        rows = [self._decided(self._along(*pair)) for pair in zip(directions, seen, strict=True)]
        lost = [row for row in rows if row.undecided]
        if lost and len(lost) == sum(row.weight > 0 for row in rows):
            worst = max(lost, key=lambda row: row.bound)
            raise Inconclusive(
                f"{self.called}, order {self.order}: the library says {worst.found!r} and the {self.subject.oracle} "
                f"{worst.expected!r}, but rounding and the oracle's error alone may make a difference of "
                f"{worst.bound:.1e}; choose a point where less is lost by cancellation",
                fault="precision",
                order=self.order,
                oracle=self.subject.oracle,
            )
        return rows

    def _decided(self, row: Compared) -> Compared:
        """A row with its verdict."""

        def path(t: float) -> float:
            return product(self.given, self.subject.outputs(t, row.direction))

        if self.subject.line is None and has_kink(path):  # The complex step has found kinks already.
            raise Nondifferentiable(
                f"there is no derivative of order {self.order} at this point: {self.called} bends here",
                fault="kink",
                order=self.order,
                oracle="central difference",
            )
        decides = row.bound <= max(_UNDECIDED * row.weight, _TINY)
        if row.bound > row.derived or (row.bounds <= 1 and decides) or not row.bounds <= _BAND:
            return row._replace(wrong=row.bounds > 1)
        slope = taylor_slope(path, row.found)
        if slope >= 1.7:
            return row._replace(arbitrated=True)
        return row._replace(wrong=row.bounds > 1 and slope <= 1.3, undecided=row.bounds <= 1 or not slope <= 1.3)

    def _along(self, direction: Sequence[Floats], seen: Along) -> Compared:
        given = [np.asarray(v, np.float64) for v in self.given]
        found, expected = product(self.gradient, direction), product(given, seen.derivatives)
        to_round = magnitude(self.gradient, direction)
        weight = magnitude(given, seen.derivatives) + (to_round if np.isfinite(to_round) else 0.0)
        error = magnitude(given, seen.errors)
        derived = _FACTOR * (error + self.eps * weight + spread_of(self.noise, direction)) + _TINY
        bound = max(derived, self.tolerance.absolute + self.tolerance.relative * abs(expected))
        return Compared(direction, found, expected, derived, bound, weight)


def spread_of(noise: Sequence[Sequence[Floats]], direction: Sequence[Floats]) -> float:
    """The root mean square of what rounding makes of a derivative along a direction."""
    return float(np.sqrt(np.mean([product(sample, direction) ** 2 for sample in noise]))) if noise else 0.0


@np.errstate(all="ignore")
def magnitude(one: Sequence[Any], other: Sequence[Any]) -> float:
    """The sum of the magnitudes that an inner product adds up."""
    return float(sum(np.sum(np.abs(np.asarray(x, np.float64) * y)) for x, y in zip(one, other, strict=True)))
