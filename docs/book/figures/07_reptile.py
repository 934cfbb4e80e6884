"""What Reptile's step is made of, and where it comes to rest.

Left: the error of the Taylor expansion of a meta-gradient in the inner learning rate. Without the
term of first order (dashed) it falls like the rate, with it like the rate's square. The three
learners have lines of the same slopes. Right: two quadratic tasks, a steep one solved at -1 and a
flat one solved at 1. With one inner step Reptile rests where joint training does, next to the steep
task; with many it rests in the middle. MAML and FOMAML go on to the flat task.
"""

from typing import Any

import numpy as np
import style
from matplotlib.figure import Figure

import minimeta as mm

# The four mini-batches of the chapter.


def _gradient(theta: Any, i: int) -> Any:
    x = np.random.default_rng(0).uniform(-2, 2, size=(4, 3))[i]

    def loss(theta: Any) -> Any:
        a, b, c = theta
        return mm.mean((a * mm.tanh(b * x + c) - 1.5 * np.sin(x + 0.5)) ** 2)

    return mm.grad(loss)(theta)


def _descended(theta: Any, alpha: float, steps: int) -> Any:
    for i in range(steps):
        theta = theta - alpha * _gradient(theta, i)
    return theta


def _maml(theta: Any, alpha: float) -> Any:
    last, pullback = mm.vjp(lambda theta: _descended(theta, alpha, 3), theta)
    return pullback(_gradient(last, 3))[0]


def _fomaml(theta: Any, alpha: float) -> Any:
    return _gradient(_descended(theta, alpha, 3), 3)


def _reptile(theta: Any, alpha: float) -> Any:
    return (theta - _descended(theta, alpha, 4)) / alpha


# The two quadratic tasks.


def _place_of_rest(name: str, steps: int) -> float:
    """Return where the steps of a learner on both tasks add up to 0."""

    def step(curvature: float, centre: float, theta: Any) -> Any:
        def adapted(theta: Any) -> Any:
            for _ in range(steps):
                theta = theta - 0.1 * curvature * (theta - centre)
            return theta

        def query_loss(theta: Any) -> Any:
            return curvature * (theta - centre) ** 2 / 2

        if name == "Reptile":
            return theta - adapted(theta)
        if name == "FOMAML":
            return mm.grad(query_loss)(adapted(theta))
        return mm.grad(lambda theta: query_loss(adapted(theta)))(theta)

    # A step is linear in theta, so two of its values say where it is 0.
    at_zero, at_one = (step(1.0, -1.0, theta) + step(0.1, 1.0, theta) for theta in (0.0, 1.0))
    return float(at_zero / (at_zero - at_one))


def draw() -> Figure:
    """Return the figure."""
    figure, (left, right) = style.new(columns=2)
    theta, rates = np.array([0.8, 0.6, -0.3]), np.geomspace(1e-4, 1e-1, 7)
    counts = np.unique(np.geomspace(1, 500, 14).round().astype(int))
    learners = {"MAML": _maml, "FOMAML": _fomaml, "Reptile": _reptile}
    for (name, learner), colour in zip(learners.items(), style.COLOURS, strict=False):
        ahead, behind = learner(theta, 1e-5), learner(theta, -1e-5)
        at_zero, slope = (ahead + behind) / 2, (ahead - behind) / 2e-5
        found = [learner(theta, alpha) - at_zero for alpha in rates]
        remainders = [each - alpha * slope for each, alpha in zip(found, rates, strict=True)]
        left.loglog(rates, [np.linalg.norm(each) for each in found], "--", color=colour)
        left.loglog(rates, [np.linalg.norm(each) for each in remainders], color=colour, label=name)
        right.semilogx(counts, [_place_of_rest(name, int(count)) for count in counts], color=colour)
    right.axhline((-1.0 + 0.1) / (1.0 + 0.1), color=style.GREY, linestyle=":", label="joint training")
    left.set(xlabel=r"inner learning rate $\alpha$", ylabel="error of the expansion")
    right.set(xlabel="inner steps $K$", ylabel=r"place of rest $\theta$", ylim=(-1, 1.05))
    for axes in (left, right):
        axes.minorticks_off()
        axes.legend(loc="lower right", bbox_to_anchor=(1, 0.05))
    return figure
