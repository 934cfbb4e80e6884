"""check_gradients: a function's derivatives against oracles, order by order.

The ladder, the strongest first:

1. the complex step on the traced program (:mod:`minimeta.testing.replay`), exact to rounding and exact about kinks;
2. the central difference with an error of its own (:mod:`minimeta.testing.differences`), where nothing can be traced;
3. the limit of derivatives next to the point, at kinks and where rounding hides it (:mod:`minimeta.testing.limits`);
4. the second derivative from the function alone, without a rule of the library (:mod:`minimeta.testing.curvature`);
5. identities, which hold whatever the values (:mod:`minimeta.testing.identities`).

Each order is checked as a function of its own (:mod:`minimeta.testing.subject`), with fresh
cotangents and directions (:mod:`minimeta.testing.directions`), and where another one follows also
at points nearby (:mod:`minimeta.testing.order`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray

from minimeta.errors import ConfigurationError, VacuousCheck
from minimeta.testing.comparison import spread_of
from minimeta.testing.directions import cotangents
from minimeta.testing.identities import magnitude, of_bits, of_pullback, of_second_order
from minimeta.testing.order import Checked, check_order, of_library
from minimeta.testing.replay import HELD, steps_of
from minimeta.testing.report import Order, Report
from minimeta.testing.reproduce import call
from minimeta.testing.rounding import precision
from minimeta.testing.setting import Options, Setting
from minimeta.testing.subject import Subject

Floats = NDArray[Any]


def check_gradients(
    function: Callable[..., Any], *arguments: Any, order: int = 2, **options: Unpack[Options]
) -> Report:
    """Check the derivatives of a function at a point, of every order up to ``order``.

    Parameters
    ----------
    function
        Of trees of arrays to a tree of arrays, written in minimeta's operations or in numpy
        functions that answer to its Arrays. Leaves that are no floats are held fixed, and outputs
        that are none are ignored.
    *arguments
        The point. A leaf may be a :class:`~minimeta.testing.Constrained`.
    order
        The highest order of derivative.
    rtol, atol
        What to allow on top of the derived bound, 0 by default. They can only loosen it.
    seed
        Of directions and cotangents, 0 by default.
    may_be_constant
        Whether an output that depends on nothing is as it should be. By default it is not.

    Returns
    -------
    Report

    Raises
    ------
    GradientMismatch
        A derivative is wrong. The message names the primitive or the ``custom_vjp`` at fault, and
        ends with code that reproduces the failure.
    Nondifferentiable
        The point is a kink, a jump or a singular point.
    Inconclusive
        Rounding, or the error of the oracle, leaves nothing to be decided.
    VacuousCheck
        There is nothing to differentiate, or the output is constant, here and nearby, and was not
        declared so.
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
    first = Subject.of(function, arguments)
    reproduce = call("check_gradients", (function,), arguments, {"order": order, **options})
    setting = Setting(called, reproduce, precision(first.program, first.point), order, **options)

    checked = check_order(first, 1, setting)
    constant = checked.constant
    require_dependence(checked, setting)
    names = of_pullback(of_library(first), checked.given, first.point)
    if first.program is not None:
        names += of_bits(first, checked.given)
    orders: list[Order] = [checked.row]
    for number in range(2, order + 1):
        subject = checked.derivative
        checked = check_order(subject, number, setting)
        orders.append(checked.row)
        if number == 2:
            names += _of_second_order(subject, first, checked, setting)
    held = sum(step.primitive is HELD for step in steps_of(first.program)) if first.program else 0
    return Report(tuple(orders), names, constant, held, first.reason)


def require_dependence(checked: Checked, setting: Setting) -> None:
    """Refuse a check of a function that depends on nothing, if it is not declared so."""
    if not checked.depends and not setting.may_be_constant:
        raise VacuousCheck(
            f"{setting.called} does not depend on its arguments, neither at this point nor nearby, so nothing was "
            "tested; if that is as it should be, say may_be_constant=True",
            fault="constant",
            order=1,
        )


def _of_second_order(subject: Subject, first: Subject, checked: Checked, setting: Setting) -> tuple[str, ...]:
    """Check the identities of ``subject``, the derivative of ``first``: of ``(x, v)``, with the value ``J^T v``."""
    count = len(first.point)
    rng = np.random.default_rng([setting.seed, 0])
    like = [np.asarray(x) for x in first.point]
    other = cotangents(rng, [[np.asarray(w, np.float64) ** -1 for w in checked.given]], like)
    with np.errstate(all="ignore"):
        again = of_library(subject)(list(other))
        gradient = subject.function(*subject.point)

    def allowed(factors: Sequence[Floats]) -> float:
        return 32 * (spread_of(checked.noise(), factors) + 16 * setting.eps * magnitude(checked.gradient, factors))

    return of_second_order(
        (subject.values[count:], gradient), [(checked.given, checked.gradient), (other, again)], allowed
    )
