"""What derivatives cost.

Left: the arithmetic of a function of n variables that multiplies twice by an n x n matrix. Its
gradient takes twice as much and a Hessian-vector product less than four times, for every n. The
Hessian takes n times as much.

Right: how many operations a trace of the k-th derivative of x exp(sin x) has, by nested gradients.
Each order has about 2.4 times as many as the one before.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import minimeta as mm
from minimeta.program import optimise, trace
from minimeta.program.arithmetic import operations


def draw() -> Figure:
    """Draw both halves."""
    figure, (left, right) = style.new(columns=2, width=6.6, height=3.2)
    _by_variables(left)
    _by_order(right)
    return figure


def _by_variables(axes: Axes) -> None:
    sides = 10 * 2 ** np.arange(5)
    rows = np.array([_arithmetic(int(n)) for n in sides])
    for name, row in zip(("function", "gradient", "Hessian-vector product", "Hessian"), rows.T, strict=True):
        axes.loglog(sides, row, ".-", label=name)
    axes.minorticks_off()
    axes.set(
        xlabel="variables $n$",
        ylabel="floating-point operations",
        xticks=[10, 100],
        ylim=(2e2, 3e9),
        yticks=[1e3, 1e5, 1e7],
    )
    axes.legend()


def _arithmetic(n: int) -> list[int]:
    """Return the operations of a function of ``n`` variables, its gradient, an hvp and its Hessian."""
    rng = np.random.default_rng(0)
    matrix, x, u = rng.normal(size=(n, n)), rng.normal(size=n), rng.normal(size=n)

    def function(x: Any) -> Any:
        return mm.sum(mm.tanh(matrix @ mm.tanh(matrix @ x)))

    def hvp(x: Any, u: Any) -> Any:
        return mm.hvp(function, (x,), (u,))[0]

    programs = trace(function, x), trace(mm.grad(function), x), trace(hvp, x, u), trace(mm.hessian(function), x)
    return [operations(optimise(program)).total() for program in programs]


def _by_order(axes: Axes) -> None:
    function: Callable[..., Any] = lambda x: x * mm.exp(mm.sin(x))  # noqa: E731
    counts = []
    for _ in range(7):
        counts.append(len(trace(function, np.array(0.5)).steps))
        function = mm.grad(function)
    axes.semilogy(range(7), counts, ".-", color=style.PURPLE)
    axes.minorticks_off()
    axes.set(xlabel="order $k$ of the derivative", ylabel="operations in the trace", yticks=[1, 10, 100, 1000])
