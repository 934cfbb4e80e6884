"""The live figure of numerical derivatives: errors of differences and of the complex step, by step size."""

from __future__ import annotations

from typing import Any

import mpmath  # type: ignore[import-untyped]
import numpy as np
from live_pages import choice, live, numbers, picture, slider
from style import BLUE, GREEN, ORANGE, new

from minimeta.program import trace

#: By name: the function in print, in numpy, and in mpmath; and the place.
FUNCTIONS: dict[str, tuple[str, Any, Any, float]] = {
    "quotient": (
        "eˣ / (sin³x + cos³x) at 1.5",
        lambda x: np.exp(x) / (np.sin(x) ** 3 + np.cos(x) ** 3),
        lambda x: mpmath.exp(x) / (mpmath.sin(x) ** 3 + mpmath.cos(x) ** 3),
        1.5,
    ),
    "sine": ("sin x at 1", np.sin, mpmath.sin, 1.0),
    "power": ("x⁹ at 0.5", lambda x: x**9, lambda x: x**9, 0.5),
}


def estimates(name: str) -> Any:
    """Return a function of a place and a step size to three estimates of the derivative."""
    f = FUNCTIONS[name][1]

    def function(x: Any, h: Any) -> Any:
        return (f(x + h) - f(x)) / h, (f(x + h) - f(x - h)) / (2 * h), np.imag(f(x + 1j * h)) / h

    return function


def exact(name: str) -> float:
    """Return the derivative, computed in 50 digits and rounded once."""
    _, _, f, at = FUNCTIONS[name]
    with mpmath.workdps(50):
        return float(mpmath.diff(f, mpmath.mpf(at)))


def page() -> str:
    """Return the page."""
    programs = {name: trace(estimates(name), at, 1e-8) for name, (_, _, _, at) in FUNCTIONS.items()}
    data = {name: {"at": at, "exact": exact(name)} for name, (_, _, _, at) in FUNCTIONS.items()}
    controls = [
        choice("function", "function", {name: said for name, (said, *_) in FUNCTIONS.items()}),
        slider("power", "log₁₀ h", -20, 0, 0.125, -8).replace('data-number="power"', 'data-number="h"'),
    ]
    table = [("the derivative, rounded", "exact")]
    for name, said in (
        ("forward", "forward difference"),
        ("central", "central difference"),
        ("complex", "complex step"),
    ):
        table += [(said, name), (f"error of the {said}", f"{name}-error")]
    said = "Relative errors of three estimates of a derivative, by the step size."
    body = f"""<p>A difference of two values over a step h has two errors. The one of the formula falls with h: like h
for (f(x + h) − f(x))/h, like h² for (f(x + h) − f(x − h))/2h. The one of rounding grows like 1/h, because f(x + h)
and f(x) agree in ever more digits, which the subtraction loses. The complex step Im f(x + ih)/h subtracts nothing
(W. Squire and G. Trapp 1998, "Using complex variables to estimate derivatives of real functions"). Move the step
size by the slider, or drag the dot below the curves.</p>
{picture(_drawn(), said)}
<div class="live" hidden>
<div class="broad"><svg class="plane" id="errors"></svg>
<p><span class="key orange"></span>forward difference <span class="key blue"></span>central difference
<span class="key green"></span>complex step</p></div>
<div class="controls">{"".join(controls)}{numbers(table)}</div>
</div>
<p>The best step of the forward difference is near 1e-8, of the central one near 1e-5: roots of the unit roundoff
1.1e-16, of order two and three. Below about 1e-16 a step changes nothing, both differences are 0, and the relative
error is 1. The complex step has no best size: below 1e-8 its h² is lost in rounding.</p>"""
    return live("differences", "The step size of a difference quotient", body, programs, data)


def _drawn() -> Any:
    figure, (axes,) = new()
    powers = np.linspace(-20, 0, 161)
    found = np.array([estimates("quotient")(1.5, 10.0**power) for power in powers])
    errors = np.maximum(np.abs(found / exact("quotient") - 1), 1e-17)
    for error, colour, said in zip(
        errors.T, (ORANGE, BLUE, GREEN), ("forward", "central", "complex step"), strict=True
    ):
        axes.loglog(10**powers, error, color=colour, label=said)
    axes.set(xlabel="step size h", ylabel="relative error")
    axes.legend()
    return figure
