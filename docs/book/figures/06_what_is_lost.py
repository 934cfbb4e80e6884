"""What first-order MAML loses.

Left: two tasks, a flat one whose minimum is at 0 and a steep one whose minimum is at 1. The curve is
their mean loss after one step from theta. Joint training rests near the steep task, MAML at the
minimum of the curve, and first-order MAML between them.

Right: the distance of MAML's meta-gradient, after three steps of logistic regression, from three
expansions in the inner learning rate. That of order 0 and that of first-order MAML have errors in
proportion to the rate, MAML's own has errors in proportion to its square.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

import minimeta as mm

TASKS = (1.0, 0.0), (8.0, 1.0)
"""Of each the curvature and the minimum."""
RATE = 0.1


def _after(theta: Any, steps: int, order: int = 2) -> Any:
    """Return the mean loss of the two tasks after some steps."""
    losses = []
    for h, c in TASKS:
        adapted = theta
        for _ in range(steps):
            gradient = h * (adapted - c)
            adapted = adapted - RATE * (gradient if order == 2 else mm.stop_gradient(gradient))
        losses.append(h * (adapted - c) ** 2 / 2)
    return (losses[0] + losses[1]) / 2


def _rest(objective: Callable[[Any], Any]) -> float:
    """Return where the derivative of a function is zero on [0, 1], by bisection."""
    low, high = 0.0, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if mm.grad(objective)(middle) < 0 else (low, middle)
    return low


def _two_tasks(axes: Axes) -> None:
    theta = np.linspace(-0.2, 1.2, 71)
    axes.plot(theta, [_after(each, 1) for each in theta], color=style.GREY)
    for label, colour, steps, order in (
        ("joint training", style.ORANGE, 0, 2),
        ("first-order MAML", style.GREEN, 1, 1),
        ("MAML", style.BLUE, 1, 2),
    ):
        place = _rest(partial(_after, steps=steps, order=order))
        axes.plot(place, _after(place, 1), "o", color=colour, label=label)
    axes.set(xlabel=r"$\theta$", ylabel="loss after one step", title="two tasks")
    axes.set(xticks=[0.0, 0.5, 1.0], yticks=[0.1, 0.2, 0.3])
    axes.legend()


def _expansions(axes: Axes) -> None:
    rng = np.random.default_rng(0)
    support, query = [(rng.normal(size=(4, 2)), np.array([1.0, -1.0, 1.0, -1.0])) for _ in range(2)]
    theta, steps = np.array([0.5, -1.0]), 3

    def loss(theta: Any, examples: tuple[NDArray[Any], NDArray[Any]]) -> Any:
        inputs, labels = examples
        return mm.mean(mm.softplus(-labels * (inputs @ theta)))

    def objective(theta: Any, rate: float) -> Any:
        for _ in range(steps):
            theta = theta - rate * mm.grad(loss)(theta, support)
        return loss(theta, query)

    g, q = mm.grad(loss)(theta, support), mm.grad(loss)(theta, query)
    (qg,) = mm.hvp(lambda theta: loss(theta, query), (theta,), (g,))
    (hq,) = mm.hvp(lambda theta: loss(theta, support), (theta,), (q,))
    rates = 2.0 ** -np.arange(3, 13)
    exact = np.array([mm.grad(objective)(theta, rate) for rate in rates])
    for label, colour, term in (
        ("$q$", style.ORANGE, 0 * qg),
        (r"$q - \alpha K Q g$", style.GREEN, qg),
        (r"$q - \alpha K (Q g + H q)$", style.BLUE, qg + hq),
    ):
        errors = np.linalg.norm(exact - (q - steps * rates[:, None] * term), axis=1)
        axes.loglog(rates, errors, ".-", color=colour, label=label)
    axes.set(xlabel=r"inner learning rate $\alpha$", ylabel="distance to the meta-gradient", title="expansions")
    axes.set(xticks=[1e-3, 1e-2, 1e-1], yticks=[1e-7, 1e-5, 1e-3, 1e-1])
    axes.minorticks_off()
    axes.legend()


def draw() -> Figure:
    """Draw both halves."""
    figure, (left, right) = style.new(columns=2, width=6.6, height=3.2)
    _two_tasks(left)
    _expansions(right)
    return figure
