"""Order: one order of derivative, checked.

The function is ``F``, its derivative with cotangents ``v`` is ``J^T v``. Directions are drawn, the oracle is asked for
``J u``, cotangents are drawn of the inverse scales of what it said, and both sides are compared.

A derivative that is right at one point only is not one: what is wrong in it may vanish there, as ``3 (x - x0)`` does in
``cos x + 3 (x - x0)``, and its own derivative is then that of another function. So the same is done at points nearby,
with cotangents of 1 at one of them: the next order is the derivative of something that is right *around* the point, and
as good as one of the function itself. And what is constant, or lost in rounding, at the point and nearby too, has not
been tested.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypedDict

import numpy as np
from numpy.typing import NDArray

from minimeta.autodiff.derivatives import vjp
from minimeta.errors import GradientMismatch, Inconclusive, Nondifferentiable, ShapeError, VacuousCheck
from minimeta.testing.comparison import Compared, Comparison, Tolerance
from minimeta.testing.directions import component, cotangents, directions, power_of_two
from minimeta.testing.explanation import explained
from minimeta.testing.identities import require, same_bits
from minimeta.testing.limits import is_smooth
from minimeta.testing.replay import Kink, kink, nondifferentiable
from minimeta.testing.report import Order, summary
from minimeta.testing.rounding import scatter, spread
from minimeta.testing.subject import Subject

Floats = NDArray[Any]

_LOOKS = 16
"""Along how many directions a kink is looked for, before a derivative is called wrong."""

_NEARBY = (2.0**-3, 2.0**-8)
"""How far away points nearby are, relative to each element."""


class Options(TypedDict, total=False):
    """What every check can be told: see :func:`~minimeta.testing.check_gradients`."""

    rtol: float
    atol: float
    seed: int
    may_be_constant: bool


@dataclass(frozen=True)
class Setting:
    """How a check is made.

    Attributes
    ----------
    called, reproduce
        The function's name, and the statements that make the check again.
    eps
        The unit in the last place of what is computed.
    highest
        The highest order that is checked.
    rtol, atol, seed, may_be_constant
        The :class:`Options`.
    """

    called: str
    reproduce: str
    eps: float
    highest: int = 1
    rtol: float = 0.0
    atol: float = 0.0
    seed: int = 0
    may_be_constant: bool = False


Noise = Callable[[], list[list[Floats]]]
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
        Whether the function depends on its arguments: by a derivative or, where there is no program, by its values.
    row
        For the report.
    """

    given: list[Floats]
    gradient: list[Floats]
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
        The function of this order.
    order
        Its number.
    setting
        How.
    pullbacks
        From the function at a point to what takes a row of cotangents to ``J^T v``; the library's if None.

    Raises
    ------
    GradientMismatch, Nondifferentiable, Inconclusive, VacuousCheck
        As of :func:`~minimeta.testing.check_gradients`.
    """
    rng = np.random.default_rng([setting.seed, order])
    outputs = _values(subject, setting)
    pullbacks = pullbacks or of_library
    look = _look(subject, directions(rng, subject.values), outputs, rng, order, setting, pullbacks)
    moving, varies, lost = look.moving, False, look.lost
    if look.lost or not look.moving or order == 1 or order < setting.highest:
        found: list[_Look] = []
        for number, distance in enumerate(_NEARBY, 1):
            near = subject.moved(rng, distance)
            try:
                others = _values(near, setting)
                found.append(
                    _look(near, directions(rng, near.values, 0), others, rng, order, setting, pullbacks, number)
                )
            except GradientMismatch:
                raise
            except Exception:  # A function may end where it likes, and have kinks, but not at the point.
                continue
            varies = varies or not all(map(same_bits, outputs, others))
        moving = moving.union(*(other.moving for other in found))
        if found and (lost or not look.moving):
            lost = None if any(not other.lost for other in found) else found[0].lost
    if lost and not setting.may_be_constant:
        raise lost
    constant = tuple(name for i, name in enumerate(subject.names) if i not in moving)
    depends = bool(moving) or (varies and subject.line is None)
    return Checked(*look[:4], constant, depends, summary(order, subject.oracle, look.rows))


class _Look(NamedTuple):
    """What one point has shown: as for an order, with the rows, the arguments with derivatives, and if all is lost."""

    given: list[Floats]
    gradient: list[Floats]
    noise: Noise
    derivative: Subject
    rows: list[Compared]
    moving: set[int]
    lost: Inconclusive | None


def _look(
    subject: Subject,
    chosen: list[list[Floats]],
    outputs: list[Floats],
    rng: np.random.Generator,
    order: int,
    setting: Setting,
    pullbacks: Pullbacks,
    nearby: int = 0,
) -> _Look:
    """Compare at the point or one nearby, with cotangents of the inverse scales of the outputs; of 1 at the first."""
    seen = [subject.along(u, order) for u in chosen]
    drawn = cotangents(rng, [found.derivatives for found in seen], outputs)
    given = [np.ones_like(v) for v in drawn] if nearby == 1 else drawn
    gradient = _pulled_back(subject, given, order, setting, pullbacks(subject))
    derivative = subject.derivative(given)

    @functools.cache
    def noise() -> list[list[Floats]]:
        if derivative.line is not None:
            return spread(derivative.line, derivative.values, setting.eps)
        return scatter(lambda point: pullbacks(replace(subject, point=point))(given), subject.point, setting.eps)

    tolerance = Tolerance(setting.rtol, setting.atol)
    comparison = Comparison(subject, given, gradient, noise, order, setting.called, setting.eps, tolerance)
    rows = comparison.rows(chosen, seen)
    if wrong := [row for row in rows if row.wrong]:
        parts = _require_smooth(subject, rng, order)
        worst = max(wrong, key=lambda row: row.bounds)
        raise explained(worst, subject, order, setting.called, setting.reproduce, parts, bool(nearby))
    if not nearby and (unconfirmed := comparison.unconfirmed(rows)):
        raise unconfirmed
    moving = {i for row in rows if row.weight for i, x in enumerate(row.direction) if np.any(x)}
    return _Look(given, gradient, noise, derivative, rows, moving, comparison.undecided(rows))


def _require_smooth(subject: Subject, rng: np.random.Generator, order: int) -> Kink | None:
    """Look for a kink once more, before anything is accused; the first part that has one, where the whole has none.

    No axis need show it: see ``min(max(x, y), 0)`` at 0. And the function may be smooth where its parts are not, as
    ``max(x, min(x, y))`` is where both are equal; there no derivative that is made part by part can be right.
    """
    parts = None
    for _ in range(_LOOKS if subject.line else 0):
        direction = [component(rng, x.shape) * power_of_two(x) for x in subject.values]
        if subject.line and (found := kink(subject.line, subject.values, direction)):
            if not is_smooth(subject.line, subject.values, direction):
                raise nondifferentiable(found, order)
            parts = parts or found
    return parts


def _values(subject: Subject, setting: Setting) -> list[Floats]:
    if not subject.point:
        raise VacuousCheck(f"{setting.called} has no argument that is a float", fault="no floats")
    with np.errstate(all="ignore"):
        outputs = [np.asarray(y) for y in subject.function(*subject.point)]
    if not outputs:
        raise VacuousCheck(f"{setting.called} returns no floats, so there is nothing to test", fault="no floats")
    if not all(np.isfinite(y).all() for y in (*subject.point, *outputs)):
        raise Nondifferentiable(f"{setting.called} or its point is infinite or NaN", fault="not finite")
    return outputs


def of_library(subject: Subject) -> Callable[[list[Any]], Sequence[Any]]:
    """The library's pullback, which begins with the function each time."""

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
