"""How far a step can be trusted.

Relative errors of the derivatives of exp(x) / (sin(x)^3 + cos(x)^3) at 1.5 against the length of
the step. Differences become better with shorter steps until rounding takes over; the complex step
becomes exact and stays so. Left the first derivative, right the second, where a difference of
differences keeps the fewest digits.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

import minimeta as mm
from minimeta.program import interpret, trace

POINT = np.array(1.5)
STEPS = 10.0 ** -np.arange(0.5, 16)
SMALLEST = 3e-17
"""What no error at all is drawn as."""


def draw() -> Figure:
    """Draw both orders."""
    figure, (first, second) = style.new(columns=2, width=6.6, height=3.6)
    gradient = mm.grad(_function)
    _curves(first, gradient, {"forward": _forward(_function), "central": _central(_function)}, _function)
    differences = {"twice central": _twice, "central of the gradient": _central(gradient)}
    _curves(second, mm.grad(gradient), differences, gradient)
    first.set(title="first derivative", ylabel="relative error")
    second.set(title="second derivative")
    return figure


def _function(x: Any) -> Any:
    return mm.exp(x) / (mm.sin(x) ** 3 + mm.cos(x) ** 3)


def _forward(f: Callable[[Any], Any]) -> Callable[[float], Any]:
    return lambda h: (f(POINT + h) - f(POINT)) / h


def _central(f: Callable[[Any], Any]) -> Callable[[float], Any]:
    return lambda h: (f(POINT + h) - f(POINT - h)) / (2 * h)


def _twice(h: float) -> Any:
    return (_function(POINT + h) - 2 * _function(POINT) + _function(POINT - h)) / h**2


def _curves(
    axes: Axes, derivative: Callable[[Any], NDArray[Any]], ways: dict[str, Callable[[float], Any]], stepped: Any
) -> None:
    exact, program = derivative(POINT), trace(stepped, POINT)

    def complex_step(h: float) -> Any:
        return np.imag(interpret(program, POINT + 1j * h)) / h

    for name, estimate in {**ways, "complex step": complex_step}.items():
        errors = [max(float(abs(estimate(h) - exact) / abs(exact)), SMALLEST) for h in STEPS]
        axes.loglog(STEPS, errors, ".-", label=name)
    axes.minorticks_off()
    axes.set(xlabel="step", ylim=(1e-17, 1e3), xticks=[1e-15, 1e-10, 1e-5], yticks=[1e-15, 1e-10, 1e-5, 1])
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2, fontsize="small", columnspacing=1.0)
