"""gradients: a function turned into a property-based test of its derivatives.

What hypothesis draws is checked by :func:`~minimeta.testing.check_gradients`. A point without
derivatives is no example: it is drawn again, so that shrinking cannot slip from a fault onto a
kink. If nothing is left to test the test is vacuous, and says so.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import os
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

from minimeta.errors import ConfigurationError, Nondifferentiable, VacuousCheck
from minimeta.testing.checker import check_gradients

PROFILES = {"dev": 20, "ci": 100, "nightly": 2000}
"""How many examples are drawn. Only in ``"nightly"`` are they other ones every time."""


def gradients(
    *,
    order: int = 2,
    profile: str | None = None,
    rtol: float = 0.0,
    atol: float = 0.0,
    may_be_constant: bool = False,
    **strategies: Any,
) -> Callable[[Callable[..., Any]], Callable[[], None]]:
    """Return a decorator that makes a test of a function: its derivatives are checked at points
    that are drawn.

    Parameters
    ----------
    order, rtol, atol, may_be_constant
        As of :func:`~minimeta.testing.check_gradients`.
    profile
        ``"dev"``, ``"ci"`` or ``"nightly"``; None for what the variable MINIMETA_PROFILE of the
        environment says, and else ``"dev"``.
    **strategies
        For each argument of the function, by name, what it is drawn from.

    Returns
    -------
    callable
        From the function to a test without arguments, for pytest to find.

    Raises
    ------
    ConfigurationError
        An unknown profile.

    Examples
    --------
    >>> from minimeta.testing import arrays, gradients
    >>> @gradients(w=arrays((2, 3)), x=arrays((3,), domain="positive"))
    ... def test_loss(w, x):
    ...     return sum(tanh(w @ log(x)))
    >>> test_loss()
    """
    chosen = profile or os.environ.get("MINIMETA_PROFILE", "dev")
    if chosen not in PROFILES:
        raise ConfigurationError(f"gradients: profile={chosen!r} is none of {', '.join(PROFILES)}")

    options = {"order": order, "rtol": rtol, "atol": atol, "may_be_constant": may_be_constant}
    run = _by_hypothesis if find_spec("hypothesis") else _by_seed

    def decorate(function: Callable[..., Any]) -> Callable[[], None]:
        def test() -> None:
            __tracebackhide__ = True
            examples = _Examples(function, options)
            run(examples.check, strategies, chosen)
            examples.require_tested()

        test.__name__, test.__doc__, test.__module__ = function.__name__, function.__doc__, function.__module__
        return test

    return decorate


class _Examples:
    """Checks a function at points, and counts."""

    def __init__(self, function: Callable[..., Any], options: dict[str, Any]) -> None:
        self._function = function
        self._options = options
        self._tested = 0
        self._rejected = 0
        self._vacuous: VacuousCheck | None = None

    def check(self, **arguments: Any) -> bool:
        """Check at a point; whether there is a derivative."""
        __tracebackhide__ = True
        names = [name for name in inspect.signature(self._function).parameters if name in arguments]

        def by_position(*values: Any) -> Any:
            return self._function(**dict(zip(names, values, strict=True)))

        functools.update_wrapper(by_position, self._function)
        try:
            check_gradients(by_position, *(arguments[name] for name in names), **self._options)
            self._tested += 1
        except Nondifferentiable:
            self._rejected += 1
            return False
        except VacuousCheck as vacuous:
            self._vacuous = vacuous
        return True

    def require_tested(self) -> None:
        """Refuse a test that tested nothing, or little."""
        if self._tested == 0 and self._vacuous is not None:
            raise self._vacuous
        if self._rejected > self._tested:
            raise VacuousCheck(
                f"{self._function.__name__}: {self._rejected} of {self._rejected + self._tested} points have no "
                'derivative; draw from another domain, or with ties="forbid"',
                fault="rejected",
            )


def _by_hypothesis(check: Callable[..., bool], strategies: dict[str, Any], profile: str) -> None:
    __tracebackhide__ = True
    from hypothesis import HealthCheck, Phase, given, reject, settings  # noqa: PLC0415 (an extra)
    from hypothesis.errors import Unsatisfiable  # noqa: PLC0415

    def test(**arguments: Any) -> None:
        __tracebackhide__ = True
        if not check(**arguments):
            reject()

    chosen = settings(
        max_examples=PROFILES[profile],
        deadline=None,
        derandomize=profile != "nightly",
        database=None,
        phases=[phase for phase in Phase if phase is not Phase.explain],  # The check names the culprit itself.
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )
    with contextlib.suppress(Unsatisfiable):  # All points were rejected, which has been counted.
        chosen(given(**strategies)(test))()


def _by_seed(check: Callable[..., bool], strategies: dict[str, Any], profile: str) -> None:
    for seed in range(PROFILES[profile]):
        check(**{name: strategy.example(seed) for name, strategy in strategies.items()})
