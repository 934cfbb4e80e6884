"""gradients: a function turned into a property-based test of its derivatives.

What hypothesis draws is checked by :func:`~minimeta.testing.check_gradients`. A point without derivatives is no
example: it is drawn again, so that shrinking cannot slip from a fault onto a kink. If nothing is left to test the test
is vacuous, and says so.
"""

from __future__ import annotations

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
    """A decorator that makes a test of a function: its derivatives are checked at points that are drawn.

    Parameters
    ----------
    order, rtol, atol, may_be_constant
        As of :func:`~minimeta.testing.check_gradients`.
    profile
        ``"dev"``, ``"ci"`` or ``"nightly"``; None for what the variable MINIMETA_PROFILE of the environment says,
        and else ``"dev"``.
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

    def decorate(function: Callable[..., Any]) -> Callable[[], None]:
        tally = _Tally()

        def example(**arguments: Any) -> bool:
            """Whether there was a derivative to check."""
            names = list(arguments)

            def by_name(*values: Any) -> Any:
                return function(**dict(zip(names, values, strict=True)))

            by_name.__name__ = function.__name__
            by_name.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]
            try:
                check_gradients(
                    by_name,
                    *arguments.values(),
                    order=order,
                    rtol=rtol,
                    atol=atol,
                    may_be_constant=may_be_constant,
                )
            except Nondifferentiable:
                tally.rejected += 1
                return False
            except VacuousCheck as vacuous:
                tally.vacuous = vacuous
                return True
            tally.tested += 1
            return True

        run = _by_hypothesis if find_spec("hypothesis") else _by_seed

        def test() -> None:
            __tracebackhide__ = True
            tally.__init__()  # type: ignore[misc]
            run(example, strategies, chosen)
            tally.require_tested(function.__name__)

        test.__name__, test.__doc__, test.__module__ = function.__name__, function.__doc__, function.__module__
        return test

    return decorate


class _Tally:
    """How many examples were tested, were rejected, and had nothing to test."""

    def __init__(self) -> None:
        self.tested = 0
        self.rejected = 0
        self.vacuous: VacuousCheck | None = None

    def require_tested(self, name: str) -> None:
        if self.tested == 0 and self.vacuous is not None:
            raise self.vacuous
        if self.rejected > self.tested:
            raise VacuousCheck(
                f"{name}: {self.rejected} of {self.rejected + self.tested} points have no derivative; draw from "
                'another domain, or with ties="forbid"',
                fault="rejected",
            )


def _by_hypothesis(example: Callable[..., bool], strategies: dict[str, Any], profile: str) -> None:
    __tracebackhide__ = True
    from hypothesis import HealthCheck, given, reject, settings  # noqa: PLC0415 (an extra)

    def test(**arguments: Any) -> None:
        __tracebackhide__ = True
        if not example(**arguments):
            reject()

    fixed = {} if profile == "nightly" else {"derandomize": True, "database": None}
    found = settings(
        max_examples=PROFILES[profile],
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        **fixed,  # type: ignore[arg-type]
    )
    found(given(**strategies)(test))()


def _by_seed(example: Callable[..., bool], strategies: dict[str, Any], profile: str) -> None:
    for seed in range(PROFILES[profile]):
        example(**{name: strategy.example(seed) for name, strategy in strategies.items()})
