"""Level: one order of derivative, checked.

The function at a level is ``F``, its derivative with cotangents ``v`` is ``J^T v``. Directions are drawn, the oracle is
asked for ``J u``, cotangents are drawn of the inverse scales of what it said, and both sides are compared.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypedDict

import numpy as np
from numpy.typing import NDArray

from minimeta.autodiff.derivatives import vjp
from minimeta.errors import GradientMismatch, Nondifferentiable, ShapeError, VacuousCheck
from minimeta.testing.comparison import Comparison, Tolerance
from minimeta.testing.directions import component, cotangents, directions, power_of_two
from minimeta.testing.explanation import explained
from minimeta.testing.identities import require, same_bits
from minimeta.testing.replay import kink
from minimeta.testing.report import Order, summary
from minimeta.testing.rounding import spread
from minimeta.testing.subject import Subject

Floats = NDArray[Any]

_LOOKS = 16
"""Along how many directions a kink is looked for, before a derivative is called wrong."""


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
    rtol, atol, seed, may_be_constant
        The :class:`Options`.
    """

    called: str
    reproduce: str
    eps: float
    rtol: float = 0.0
    atol: float = 0.0
    seed: int = 0
    may_be_constant: bool = False


class Level(NamedTuple):
    """What one order has shown.

    Attributes
    ----------
    given, gradient, noise
        ``v``, ``J^T v``, and a few differences that rounding makes to it.
    derivative
        The next level.
    constant
        Arguments that no output depends on.
    row
        For the report.
    """

    given: list[Floats]
    gradient: list[Floats]
    noise: list[list[Floats]]
    derivative: Subject
    constant: tuple[str, ...]
    row: Order


def check_level(subject: Subject, order: int, setting: Setting, pullback: Callable[..., Any] | None = None) -> Level:
    """Check one order.

    Parameters
    ----------
    subject
        The function of this level.
    order
        Its number.
    setting
        How.
    pullback
        From a row of cotangents to ``J^T v``; the library's if None.

    Raises
    ------
    GradientMismatch, Nondifferentiable, Inconclusive, VacuousCheck
        As of :func:`~minimeta.testing.check_gradients`.
    """
    outputs = _values(subject, setting)
    rng = np.random.default_rng([setting.seed, order])
    chosen = directions(rng, subject.values)
    seen = [subject.along(u, order) for u in chosen]
    given = cotangents(rng, [found.derivatives for found in seen], outputs)
    gradient = _pulled_back(subject, given, order, setting, pullback or of_library(subject))
    derivative = subject.derivative(given)
    noise = [] if derivative.line is None else spread(derivative.line, derivative.values, setting.eps)
    tolerance = Tolerance(setting.rtol, setting.atol)
    comparison = Comparison(subject, given, gradient, noise, order, setting.called, setting.eps, tolerance)
    rows = comparison.rows(chosen, seen)
    if wrong := [row for row in rows if row.wrong]:
        _require_smooth(subject, rng, order)
        worst = max(wrong, key=lambda row: row.bounds)
        raise explained(worst, subject, order, setting.called, setting.reproduce)
    moving = {i for row in rows if row.weight for i, x in enumerate(row.direction) if np.any(x)}
    constant = tuple(name for i, name in enumerate(subject.names) if i not in moving)
    return Level(given, gradient, noise, derivative, constant, summary(order, subject.oracle, rows))


def _require_smooth(subject: Subject, rng: np.random.Generator, order: int) -> None:
    """Look for a kink once more, before anything is accused.

    No axis need show it: see ``min(max(x, y), 0)`` at 0. And the function may be smooth where its parts are not, as
    ``max(x, min(x, y))`` is where both are equal; there no derivative that is made part by part can be right.
    """
    for _ in range(_LOOKS if subject.line else 0):
        direction = [component(rng, x.shape) * power_of_two(x) for x in subject.values]
        if subject.line and (found := kink(subject.line, subject.values, direction, order)):
            raise found


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
