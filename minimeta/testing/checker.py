"""check_gradients: a function's derivatives against oracles, order by order.

The ladder, the strongest first:

1. the complex step on the traced program (:mod:`minimeta.testing.replay`), exact to rounding and exact about kinks;
2. the central difference with an error of its own (:mod:`minimeta.testing.differences`), where nothing can be traced;
3. Taylor's remainder, where a bound does not decide (:mod:`minimeta.testing.comparison`);
4. identities, which hold whatever the values (:mod:`minimeta.testing.identities`).

Each order is checked as a function of its own (:mod:`minimeta.testing.subject`), with fresh cotangents and directions
(:mod:`minimeta.testing.directions`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minimeta.autodiff.derivatives import vjp
from minimeta.errors import ConfigurationError, GradientMismatch, Nondifferentiable, ShapeError, VacuousCheck
from minimeta.testing.comparison import Comparison, Tolerance, magnitude, spread_of
from minimeta.testing.directions import component, cotangents, directions, power_of_two
from minimeta.testing.explanation import explained
from minimeta.testing.identities import check, of_second_order
from minimeta.testing.replay import HELD, steps_of
from minimeta.testing.report import Order, Report, summary
from minimeta.testing.rounding import precision, spread
from minimeta.testing.subject import Subject

Floats = NDArray[Any]

_LOOKS = 16
"""Along how many directions a kink is looked for, before a derivative is called wrong."""


def check_gradients(
    function: Callable[..., Any],
    *arguments: Any,
    order: int = 2,
    rtol: float = 0.0,
    atol: float = 0.0,
    seed: int = 0,
    may_be_constant: bool = False,
) -> Report:
    """Check the derivatives of a function at a point, of every order up to ``order``.

    Parameters
    ----------
    function
        Of trees of arrays to a tree of arrays, written in minimeta's operations or in numpy functions that answer to
        its Arrays. Leaves that are no floats are held fixed, and outputs that are none are ignored.
    *arguments
        The point. A leaf may be a :class:`~minimeta.testing.Constrained`.
    order
        The highest order of derivative.
    rtol, atol
        What to allow beside the derived bound. They can only loosen it.
    seed
        Of directions and cotangents.
    may_be_constant
        Whether an output that depends on nothing is as it should be.

    Returns
    -------
    Report

    Raises
    ------
    GradientMismatch
        A derivative is wrong. The message names the primitive or the ``custom_vjp`` at fault, and ends with code that
        reproduces the failure.
    Nondifferentiable
        The point is a kink, a jump or a singular point.
    Inconclusive
        Rounding, or the error of the oracle, leaves nothing to be decided.
    VacuousCheck
        There is nothing to differentiate, or the output is constant and was not declared so.
    ConfigurationError
        An order below 1.

    Examples
    --------
    >>> import numpy as np
    >>> report = check_gradients(lambda x: sum(x**3), np.array([1.0, -2.0]))
    >>> report.oracle, len(report.orders)
    ('complex step', 2)
    """
    if order < 1:
        raise ConfigurationError(f"check_gradients: order={order} must be at least 1")
    called = getattr(function, "__name__", repr(function))
    subject = first = Subject.of(function, arguments)
    if not subject.point:
        raise VacuousCheck(f"{called} has no argument that is a float", fault="no floats")
    eps = precision(subject.line, subject.point)
    setting = _Setting(called, arguments, eps, Tolerance(rtol, atol), seed)
    orders: list[Order] = []
    names: tuple[str, ...] = ()
    constant: tuple[str, ...] = ()
    for number in range(1, order + 1):
        level = _level(subject, number, setting)
        if number == 1:
            constant = level.constant
            if len(constant) == len(subject.point) and not may_be_constant:
                raise VacuousCheck(
                    f"{called} does not depend on its arguments at this point, so nothing was tested; if that is as it "
                    "should be, say may_be_constant=True",
                    fault="constant",
                    order=1,
                )
            names += check(subject, level.given)
        if number == 2:
            names += _second_order(subject, first, level, setting)
        orders.append(level.row)
        subject = level.derivative
    held = sum(step.primitive is HELD for step in steps_of(first.line)) if first.line else 0
    return Report(tuple(orders), names, constant, held, first.reason)


@dataclass(frozen=True)
class _Setting:
    """How a check is made."""

    called: str
    arguments: tuple[Any, ...]
    eps: float
    tolerance: Tolerance
    seed: int


class _Level(NamedTuple):
    """What one order has shown."""

    given: list[Floats]
    gradient: list[Floats]
    noise: list[list[Floats]]
    derivative: Subject
    constant: tuple[str, ...]
    row: Order


def _level(subject: Subject, order: int, setting: _Setting) -> _Level:
    """Check one order."""
    outputs = _values(subject, setting)
    rng = np.random.default_rng([setting.seed, order])
    chosen = directions(rng, subject.values)
    seen = [subject.along(u, order) for u in chosen]
    given = cotangents(rng, [found.derivatives for found in seen], outputs)
    gradient = _pulled_back(subject, given, order, setting)
    derivative = subject.derivative(given)
    noise = [] if derivative.line is None else spread(derivative.line, derivative.values, setting.eps)
    comparison = Comparison(subject, given, gradient, noise, order, setting.called, setting.eps, setting.tolerance)
    rows = comparison.rows(chosen, seen)
    if wrong := [row for row in rows if row.wrong]:
        _require_smooth(subject, rng, order)
        worst = max(wrong, key=lambda row: row.bounds)
        raise explained(worst, subject, order, setting.called, setting.arguments, setting.seed)
    moving = {i for row in rows if row.weight for i, x in enumerate(row.direction) if np.any(x)}
    constant = tuple(name for i, name in enumerate(subject.names) if i not in moving)
    return _Level(given, gradient, noise, derivative, constant, summary(order, subject.oracle, rows))


def _require_smooth(subject: Subject, rng: np.random.Generator, order: int) -> None:
    """Look for a kink that no axis shows, as that of ``min(max(x, y), 0)`` at 0, before anything is accused."""
    for _ in range(_LOOKS):
        subject.along([component(rng, x.shape) * power_of_two(x) for x in subject.values], order)


def _values(subject: Subject, setting: _Setting) -> list[Floats]:
    with np.errstate(all="ignore"):
        outputs = [np.asarray(y) for y in subject.function(*subject.point)]
    if not outputs:
        raise VacuousCheck(f"{setting.called} returns no floats, so there is nothing to test", fault="no floats")
    if not all(np.isfinite(y).all() for y in (*subject.point, *outputs)):
        raise Nondifferentiable(f"{setting.called} or its point is infinite or NaN", fault="not finite")
    return outputs


def _pulled_back(subject: Subject, given: Sequence[Floats], order: int, setting: _Setting) -> list[Floats]:
    """``J^T v`` as the library has it, which is in the shapes and dtypes of the point."""
    try:
        with np.errstate(all="ignore"):
            gradient = vjp(subject.function, *subject.point)[1](list(given))
    except ShapeError as error:  # A rule of the user's own whose cotangent does not fit.
        raise GradientMismatch(str(error), fault="form", order=order) from error
    for name, x, g in zip(subject.names, map(np.asarray, subject.point), gradient, strict=True):
        if (g.shape, g.dtype) != (x.shape, x.dtype):
            raise GradientMismatch(
                f"the derivative of {setting.called} with respect to {name} is {g.dtype}{list(g.shape)}, and {name} is "
                f"{x.dtype}{list(x.shape)}",
                fault="form",
                order=order,
            )
    return [np.asarray(g, np.float64) for g in gradient]


def _second_order(subject: Subject, first: Subject, level: _Level, setting: _Setting) -> tuple[str, ...]:
    """The identities of ``subject``, the derivative of ``first``: its point is ``(x, v)``, its value ``J^T v``."""
    count = len(first.point)
    rng = np.random.default_rng([setting.seed, 0])
    like = [np.asarray(x) for x in first.point]
    other = cotangents(rng, [[np.asarray(w, np.float64) ** -1 for w in level.given]], like)
    with np.errstate(all="ignore"):
        again = vjp(subject.function, *subject.point)[1](list(other))
        gradient = subject.function(*subject.point)

    def allowed(factors: Sequence[Floats]) -> float:
        return 32 * (spread_of(level.noise, factors) + 16 * setting.eps * magnitude(level.gradient, factors))

    return of_second_order((subject.values[count:], gradient), [(level.given, level.gradient), (other, again)], allowed)
