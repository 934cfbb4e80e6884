"""The live figure of the meta-gradient: one parameter, two parabolas, and the factor ``(1 - alpha h)^K``."""

from __future__ import annotations

from typing import Any

import numpy as np
from live_pages import live, numbers, picture, slider
from style import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, new

import minimeta as mm
from minimeta.program import trace

START = {"theta": -2.0, "alpha": 0.3, "h": 1.0, "c": 1.0, "d": 2.0}
MOST = 5


def maml(steps: int) -> Any:
    """Return a function of the meta-parameter, the inner learning rate and the two parabolas."""

    def function(theta: Any, alpha: Any, h: Any, c: Any, d: Any) -> Any:
        def support_loss(theta: Any) -> Any:
            return h * (theta - c) ** 2 / 2

        def query_loss(theta: Any) -> Any:
            return (theta - d) ** 2 / 2

        def path(theta: Any) -> Any:
            found = [theta]
            for _ in range(steps):
                found.append(found[-1] - alpha * mm.grad(support_loss)(found[-1]))
            return found[1:]

        adapted = path(theta)[-1]
        return (
            query_loss(adapted),
            mm.grad(lambda theta: query_loss(path(theta)[-1]))(theta),  # MAML's meta-gradient
            mm.grad(query_loss)(adapted),  # first-order MAML's
            mm.grad(lambda theta: path(theta)[-1])(theta),  # the factor between them
            mm.grad(mm.grad(support_loss))(theta),
            *path(theta),
        )

    return function


def page() -> str:
    """Return the page."""
    programs = {f"maml_{steps}": trace(maml(steps), *START.values()) for steps in range(1, MOST + 1)}
    controls = [
        slider("alpha", "rate α", 0, 2.5, 0.05, START["alpha"]),
        slider("h", "curvature h", 0, 2, 0.05, START["h"]),
        slider("steps", "steps K", 1, MOST, 1, 1),
        slider("c", "c", -4, 4, 0.05, START["c"]),
        slider("d", "d", -4, 4, 0.05, START["d"]),
        slider("theta", "θ", -4, 4, 0.05, START["theta"]),
    ]
    table = [
        ("adapted θ<sub>K</sub>", "adapted"),
        ("query loss of θ<sub>K</sub>", "loss"),
        ("its slope at θ<sub>K</sub>: first-order MAML", "first"),
        ("Hessian of the support loss", "hessian"),
        ("dθ<sub>K</sub>/dθ = (1 − αh)<sup>K</sup>", "factor"),
        ("slope times dθ<sub>K</sub>/dθ: MAML's meta-gradient", "gradient"),
    ]
    body = f"""<p>A task has one parameter θ, a support loss h(θ − c)²/2 (blue) and a query loss (θ − d)²/2 (orange).
Adaptation takes K gradient steps down the support loss, θ ← θ − αh(θ − c). So the adapted parameter moves by
(1 − αh)<sup>K</sup> when θ moves by 1, and by the chain rule MAML's meta-gradient is (1 − αh)<sup>K</sup> times the
slope of the query loss where adaptation ends. In more dimensions the factor is the matrix (I − αH)<sup>K</sup>. Drag
the dots, or move them and the sliders with the arrow keys.</p>
{picture(_drawn(), "The losses of a task, and the query loss after one step of adaptation as a function of θ.")}
<div class="live" hidden>
<div class="broad"><svg class="plane" id="losses"></svg>
<p><span class="key blue"></span>support loss <span class="key orange"></span>query loss
<span class="key red"></span>adaptation</p></div>
<div class="broad"><svg class="plane" id="outer"></svg>
<p><span class="key purple"></span>query loss after adaptation, of θ <span class="key green"></span>slope by MAML
<span class="key grey dashed"></span>slope by first-order MAML</p></div>
<div class="controls">{"".join(controls)}</div>
<div>{numbers(table)}</div>
</div>
<p>With αh = 1 one step reaches c from everywhere: the factor is 0, and so is the meta-gradient, whatever first-order
MAML says. With αh &gt; 1 the factor changes its sign at every step, and with αh &gt; 2 adaptation diverges.</p>"""
    return live("quadratic", "A meta-gradient is a product with (1 − αh)", body, programs, {})


def _drawn() -> Any:
    figure, (left, right) = new(2)
    theta, _, h, c, d = START.values()
    grid = np.linspace(-4, 4, 81)
    loss, gradient, first, _, _, adapted = map(float, maml(1)(*START.values()))
    left.plot(grid, h * (grid - c) ** 2 / 2, color=BLUE, label="support loss")
    left.plot(grid, (grid - d) ** 2 / 2, color=ORANGE, label="query loss")
    left.plot([theta, adapted], [h * (x - c) ** 2 / 2 for x in (theta, adapted)], "o-", color=RED, label="adaptation")
    outer = [float(maml(1)(x, *list(START.values())[1:])[0]) for x in grid]
    right.plot(grid, outer, color=PURPLE, label="query loss after adaptation")
    right.plot(grid, loss + gradient * (grid - theta), color=GREEN, label="slope by MAML")
    right.plot(grid, loss + first * (grid - theta), "--", color=GREY, label="by first-order MAML")
    for axes in (left, right):
        axes.set(xlabel="θ", ylim=(-1, 12))
        axes.legend(fontsize="small")
    return figure
