"""Order: one order of derivative, checked.

The function is ``F``, its derivative with cotangents ``v`` is ``J^T v``. Directions are drawn, the
oracle is asked for ``J u``, cotangents are drawn of the inverse scales of what it said, and both
sides are compared.

A derivative that is right at one point only is not one: what is wrong in it may vanish there, as
``3 (x - x0)`` does in ``cos x + 3 (x - x0)``, and its own derivative is then that of another
function. So the same is done at points nearby, with cotangents of 1 at one of them: the next order
is the derivative of something that is right *around* the point, and as good as one of the function
itself. "Nearby" is relative to each element, and where elements are tiny or huge a part of 1 as
well. What is constant, or lost in rounding, at the point and nearby too, has not been tested. A 0
where the oracle sees nothing but rounding has to be right nearby, too, whatever the order.

From order 2 on, the derivative is also compared with a second derivative that takes no rule of the
library (:mod:`minimeta.testing.curvature`); if that sees nothing, the report says so.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minimeta.autodiff.derivatives import vjp
from minimeta.errors import GradientMismatch, Inconclusive, Nondifferentiable, ShapeError, VacuousCheck
from minimeta.testing.comparison import Compared, Comparison, Tolerance
from minimeta.testing.curvature import curvature
from minimeta.testing.directions import component, cotangents, directions, power_of_two, short
from minimeta.testing.explanation import explained
from minimeta.testing.identities import require, same_bits
from minimeta.testing.limits import is_smooth
from minimeta.testing.replay import Kink, kink, nondifferentiable
from minimeta.testing.report import Order, summary
from minimeta.testing.rounding import scatter, spread
from minimeta.testing.setting import Setting
from minimeta.testing.subject import Subject

Floats = NDArray[Any]

_LOOKS = 16
"""Along how many directions a kink is looked for, before a derivative is called wrong."""

_NEARBY = (2.0**-3, 2.0**-8)
"""How far away points nearby are, relative to each element."""

_BESIDE, _SMALL = 2.0**-16, 2.0**-10
"""How far away the points are that tell rounding from a fault, and which part of a derivative that may be."""

_FARTHER = (2.0**-4, 2.0**-10, 2.0**-16)
"""How far away points are in units of 1, each 1/64 of the one before."""

_FALLS = 64.0**-2.5
"""What part of an error is left from one of them to the next, if the second derivative is right."""

_USUAL = 2.0**-4
"""Elements of magnitudes between this and its inverse are of the scale of 1."""


Noise = Callable[[], Sequence[Sequence[Floats]]]
"""Measures a few differences that rounding makes to a gradient."""


class Checked(NamedTuple):
    """What one order has shown.

    Attributes
    ----------
    given, gradient, noise
        ``v``, ``J^T v``, and what measures rounding in it.
    derivative
        The function of the next order.
    constant
        Arguments that no output has a derivative by.
    depends
        Whether the function depends on its arguments: by a derivative or, where there is no
        program, by its values.
    row
        For the report.
    """

    given: list[Floats]
    gradient: Sequence[Floats]
    noise: Noise
    derivative: Subject
    constant: tuple[str, ...]
    depends: bool
    row: Order


Pullbacks = Callable[[Subject], Callable[[list[Any]], Sequence[Any]]]
"""From a function at a point to its pullback there."""


def check_order(subject: Subject, order: int, setting: Setting, pullbacks: Pullbacks | None = None) -> Checked:
    """Check one order.

    Parameters
    ----------
    subject
        The function whose derivative is checked.
    order
        The order of that derivative.
    setting
        How to check.
    pullbacks
        From the function at a point to what takes a row of cotangents to ``J^T v``; the library's
        if None.

    Raises
    ------
    GradientMismatch, Nondifferentiable, Inconclusive, VacuousCheck
        As of :func:`~minimeta.testing.check_gradients`.
    """
    rng = np.random.default_rng([setting.seed, order])
    check = _Check(subject, order, setting, pullbacks or of_library, rng)
    outputs = check.values(subject)
    look = check.look(subject, directions(rng, subject.values), outputs)
    if look.wrong:
        raise check.judged(look)
    if unconfirmed := look.comparison.unconfirmed(look.rows):
        raise unconfirmed
    moving, varies, lost = look.moving, False, look.lost
    only_here = ""
    if look.lost or not look.moving or look.still or order == 1 or order < setting.highest:
        found: list[_Look] = []
        for distance in _NEARBY:
            near = subject.moved(rng, distance)
            if (other := check.attempt(near, ones=distance == _NEARBY[0])) is None:
                continue
            if other.wrong:
                raise check.mismatch(other, nearby=True)
            found.append(other)
            varies = varies or not all(map(same_bits, outputs, other.outputs))
        moving = moving.union(*(other.moving for other in found))
        if found and (lost or not look.moving):
            lost = None if any(not other.lost for other in found) else found[0].lost
        only_here = check.farther()
    if lost and not setting.may_be_constant:
        raise lost
    alone = check.alone()
    constant = tuple(name for i, name in enumerate(subject.names) if i not in moving)
    depends = bool(moving) or (varies and subject.program is None)
    row = summary(order, subject.oracle, look.rows, subject.names, alone, only_here)
    gradient, noise = look.comparison.gradient, look.comparison.noise
    return Checked(look.given, gradient, noise, look.derivative, constant, depends, row)


class _Look(NamedTuple):
    """What one point has shown."""

    subject: Subject
    outputs: list[Floats]
    given: list[Floats]
    derivative: Subject
    comparison: Comparison
    rows: list[Compared]

    @property
    def wrong(self) -> Compared | None:
        """The direction along which the derivative is wrong by the most bounds, if it is."""
        return max((row for row in self.rows if row.wrong), key=lambda row: row.bounds, default=None)

    @property
    def moving(self) -> set[int]:
        """The places of the arguments with derivatives."""
        return {i for row in self.rows if row.weight for i, x in enumerate(row.direction) if np.any(x)}

    @property
    def still(self) -> bool:
        """Whether a derivative passed for 0 because all that the oracle sees is rounding, which may hide another."""
        return self.subject.program is not None and any(row.still for row in self.rows)

    @property
    def lost(self) -> Inconclusive | None:
        """The error that nothing was decided, if nothing was."""
        return self.comparison.undecided(self.rows)

    @property
    def error(self) -> float:
        """How far the derivative is off, by a step of 1."""
        return max((row.difference / row.reach for row in self.rows if row.wrong), default=0.0)


@dataclass
class _Check:
    """Looks at a function's derivative, at its point and nearby."""

    subject: Subject
    order: int
    setting: Setting
    pullbacks: Pullbacks
    rng: np.random.Generator

    def look(self, subject: Subject, chosen: list[list[Floats]], outputs: list[Floats], ones: bool = False) -> _Look:
        """Compare along directions, with cotangents of the inverse scales of the outputs, or of 1."""
        seen = [subject.along(u, self.order) for u in chosen]
        given = cotangents(self.rng, [found.derivatives for found in seen], outputs)
        given = [np.ones_like(v) for v in given] if ones else given
        comparison = self._comparison(subject, given)
        rows = comparison.rows(chosen, seen)
        derivative = subject.derivative(given)
        return _Look(subject, outputs, given, derivative, comparison, rows)

    def _comparison(self, subject: Subject, given: list[Floats]) -> Comparison:
        setting = self.setting
        gradient = _pulled_back(subject, given, self.order, setting, self.pullbacks(subject))

        @functools.cache
        def noise() -> list[list[Floats]]:
            derivative = subject.derivative(given)
            if derivative.program is not None:
                return spread(derivative.program, derivative.values, setting.eps)
            at = functools.partial(replace, subject)
            return scatter(lambda point: self.pullbacks(at(point=point))(given), subject.point, setting.eps)

        tolerance = Tolerance(setting.rtol, setting.atol)
        return Comparison(subject, given, gradient, noise, self.order, setting.called, setting.eps, tolerance)

    def attempt(self, near: Subject, ones: bool = False) -> _Look | None:
        """Look at a point nearby; None if there is nothing to see.

        Functions may end, and have kinks, anywhere but at the point itself.
        """
        try:
            return self.look(near, directions(self.rng, near.values, 0), self.values(near), ones)
        except GradientMismatch:
            raise
        except Exception:
            return None

    def farther(self) -> str:
        """Look at points whose elements are moved by parts of 1, where these are not of the scale
        of 1.

        An error ``e(t)`` at a distance ``t`` that falls no faster than ``t^2.5`` is one of the
        first or second derivative. One that falls faster is that of a series, which ends: the rule
        holds near the point only.

        Returns
        -------
        str
            That it does, or nothing.
        """
        if all(_is_usual(x) for x in self.subject.values):
            return ""
        farther: float | None = None
        ends = ""
        for distance in _FARTHER:
            point = self.subject.moved(self.rng, distance, absolute=True)
            look = self.attempt(point, ones=True)
            error = look.error if look and not look.lost else None
            if look and error and farther is not None and (farther == 0 or error > _FALLS * farther):
                raise self.mismatch(look, nearby=True)
            if error:
                ends = f"the derivative is wrong at a distance of {distance:.1g}: its rule holds near the point only"
            farther = error
        return ends

    def alone(self) -> bool | None:
        """Compare a second derivative with that of the function alone; whether that decided. None at order 1."""
        subject, parent = self.subject, self.subject.parent
        if parent is None:
            return None
        count = len(parent.point)
        cotangent = subject.values[count:]
        usual = [power_of_two(x) for x in parent.values]
        decided = False
        for scales in (usual, [np.maximum(scale, 1.0) for scale in usual]):
            if scales is not usual and all(map(np.array_equal, scales, usual)):
                break
            u, w = ([short(self.rng, scale.shape) * scale for scale in scales] for _ in range(2))
            w = [np.asarray(x, np.asarray(leaf).dtype) for x, leaf in zip(w, parent.point, strict=True)]
            seen = curvature(parent, cotangent, u, w)
            comparison = self._comparison(subject, w)
            row = comparison.second(u, seen)
            if row.wrong:
                _require_smooth(subject, self.rng, self.order)
                near = parent.moved(self.rng, _NEARBY[0], absolute=scales is not usual)
                raise explained(row, subject, self.order, self.setting.called, self.setting.reproduce, blame=near)
            decided = decided or not row.undecided
        return decided

    def judged(self, look: _Look) -> GradientMismatch | Inconclusive:
        """Return the error of what looks wrong at the point.

        Of round numbers a black box may round alike, so that differences see another slope without
        noise. A small fault is one if points next to it have it too.
        """
        assert look.wrong
        if self.subject.program is None and look.wrong.difference <= _SMALL * look.wrong.weight:
            near = self.attempt(self.subject.moved(self.rng, _BESIDE))
            if near and not near.wrong and not near.lost:
                return look.comparison.inconclusive(look.wrong)
        return self.mismatch(look)

    def mismatch(self, look: _Look, nearby: bool = False) -> GradientMismatch:
        """Return the error that says what is wrong."""
        assert look.wrong
        parts = _require_smooth(look.subject, self.rng, self.order)
        called, reproduce = self.setting.called, self.setting.reproduce
        return explained(look.wrong, look.subject, self.order, called, reproduce, parts, nearby)

    def values(self, subject: Subject) -> list[Floats]:
        """Return the function's values, which have to be finite floats, as the point has."""
        called = self.setting.called
        if not subject.point:
            raise VacuousCheck(f"{called} has no argument that is a float", fault="no floats")
        with np.errstate(all="ignore"):
            outputs = [np.asarray(y) for y in subject.function(*subject.point)]
        if not outputs:
            raise VacuousCheck(f"{called} returns no floats, so there is nothing to test", fault="no floats")
        if not all(np.isfinite(y).all() for y in (*subject.point, *outputs)):
            raise Nondifferentiable(f"{called} or its point is infinite or NaN", fault="not finite")
        return outputs


def _is_usual(x: Floats) -> bool:
    """Return whether a part of each element is a part of 1, so that points nearby are both."""
    size = np.abs(x[x != 0])
    return bool(((size >= _USUAL) & (size <= 1 / _USUAL)).all())


def _require_smooth(subject: Subject, rng: np.random.Generator, order: int) -> Kink | None:
    """Look for a kink once more, before anything is accused; the first part that has one, where the
    whole has none.

    No axis need show it: see ``min(max(x, y), 0)`` at 0. And the function may be smooth where its
    parts are not, as ``max(x, min(x, y))`` is where both are equal; there no derivative that is
    made part by part can be right.
    """
    parts = None
    for _ in range(_LOOKS if subject.program else 0):
        direction = [component(rng, x.shape) * power_of_two(x) for x in subject.values]
        if subject.program and (found := kink(subject.program, subject.values, direction)):
            if not is_smooth(subject.program, subject.values, direction):
                raise nondifferentiable(found, order)
            parts = parts or found
    return parts


def of_library(subject: Subject) -> Callable[[list[Any]], Sequence[Any]]:
    """Return the library's pullback, which begins with the function each time."""

    def pullback(given: list[Any]) -> Sequence[Any]:
        found: Sequence[Any] = vjp(subject.function, *subject.point)[1](given)
        return found

    return pullback


def _pulled_back(
    subject: Subject, given: Sequence[Floats], order: int, setting: Setting, pullback: Callable[..., Any]
) -> list[Floats]:
    """``J^T v`` in float64; the shapes and dtypes have to be those of the point."""
    passed = [*subject.point, *(v.copy() for v in given)]
    before = [np.array(x) for x in passed]
    try:
        with np.errstate(all="ignore"):
            gradient = pullback(passed[len(subject.point) :])
    except ShapeError as error:  # A rule of the user's own whose cotangent does not fit.
        raise GradientMismatch(str(error), fault="form", order=order) from error
    require("mutation", map(same_bits, before, passed), "an argument or the cotangent was written to", order)
    for name, x, g in zip(subject.names, map(np.asarray, subject.point), map(np.asarray, gradient), strict=True):
        if (g.shape, g.dtype) != (x.shape, x.dtype):
            raise GradientMismatch(
                f"the derivative of {setting.called} with respect to {name} is {g.dtype}{list(g.shape)}, and {name} is "
                f"{x.dtype}{list(x.shape)}",
                fault="form",
                order=order,
            )
    return [np.array(g, np.float64) for g in gradient]
