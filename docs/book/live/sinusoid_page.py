"""The live figure of MAML: a network that has learned to learn sinusoids takes its gradient steps.

The parameters in ``sinusoid.npz`` are those of a run of ``minimeta train maml sinusoid --seed 0``,
and for comparison random ones, as training begins with. The script runs two programs: the gradient
step on five points, and the prediction on a grid.
"""

from __future__ import annotations

import base64
import sys
from pathlib import Path
from typing import Any

import numpy as np
from live_pages import HERE, choice, live, picture, slider
from style import BLUE, GREY, ORANGE, PURPLE, RED, new

import minimeta as mm
from minimeta import nn
from minimeta.program import trace

MODEL = nn.mlp((1, 40, 40, 1))
GRID = np.linspace(-5, 5, 101, dtype=np.float32)
POINTS = np.array([-4, -2.2, -0.4, 1.6, 3.8], np.float32)
PARAMETERS = HERE / "sinusoid.npz"


def gradient_step(parameters: Any, x: Any, y: Any, inner_learning_rate: Any) -> Any:
    """Return the loss on a support set, and the parameters after a step down its gradient."""

    def loss(parameters: Any) -> Any:
        return nn.mean_squared_error(MODEL.apply(parameters, x[:, None]), y[:, None])

    value, gradient = mm.value_and_grad(loss)(parameters)
    return value, mm.tree.map(lambda p, g: p - inner_learning_rate * g, parameters, gradient)


def predict(parameters: Any, x: Any) -> Any:
    """Return the network's values at some places."""
    return MODEL.apply(parameters, x[:, None])[:, 0]


def start(name: str) -> Any:
    """Return the parameters that a learner starts from: ``learned`` or ``random``."""
    like = MODEL.init(np.random.default_rng(0))
    with np.load(PARAMETERS) as file:
        leaves = [file[f"{name}/{path}"] for path in mm.tree.paths(like)]
    return mm.tree.unflatten(mm.tree.flatten(like)[1], leaves)


def page() -> str:
    """Return the page."""
    learned = start("learned")
    leaves = mm.tree.flatten(learned)[0]
    rate = np.float32(0.01)
    programs = {
        "gradient_step": trace(gradient_step, learned, POINTS, POINTS, rate),
        "predict": trace(predict, learned, GRID),
    }
    data = {
        "grid": GRID.astype(float).round(3).tolist(),
        "sizes": [leaf.size for leaf in leaves],
        "start": {name: _in_letters(start(name)) for name in ("learned", "random")},
    }
    rows = "".join(
        f'<tr data-step="{step}"><th>after {step} step{"s" * (step != 1)}</th>'
        f'<td><output data-number="loss-{step}"></output></td></tr>'
        for step in range(11)
    )
    controls = [
        choice("start", "start", {"learned": "meta-learned parameters", "random": "random parameters"}),
        slider("steps", "steps", 0, 10, 1, 3),
        slider("inner_learning_rate", "rate α", 0, 0.05, 0.001, 0.01),
        slider("amplitude", "amplitude", 0.1, 5, 0.1, 3),
        slider("phase", "phase", 0, 3.14, 0.02, 1),
    ]
    said = "Before adaptation, after one step and after three steps on five points of a sinusoid."
    body = f"""<p>MAML has trained a network of 1,761 parameters so that a few gradient steps on five points
fit a whole sinusoid. Drag the points, or move them with the arrow keys, and the steps are taken again, by the
program that the library has printed. Choose random parameters to see what the same steps do without
meta-learning.</p>
{picture(_drawn(), said)}
<div class="live" hidden>
<div class="broad"><svg class="plane" id="sinusoid"></svg>
<p><span class="key grey dashed"></span>sinusoid <span class="key purple"></span>before
<span class="key orange"></span>after one step <span class="key blue"></span>after all steps</p></div>
<div class="controls">{"".join(controls)}
<p>The mean squared error on the five points:</p><table>{rows}</table></div>
</div>
<p>The loss that is minimised is the mean squared error on the points; one step is θ' = θ − α ∇L(θ). What training
has minimised is the loss on <em>other</em> points of the same sinusoid, after one step and after two: that is why the
curve also fits where there are no points.</p>"""
    return live("sinusoid", "A network that has learned to learn sinusoids", body, programs, data)


def _in_letters(parameters: Any) -> str:
    flat = np.concatenate([leaf.ravel() for leaf in mm.tree.flatten(parameters)[0]])
    return base64.b64encode(flat.astype("<f4").tobytes()).decode()


def _drawn() -> Any:
    figure, (axes,) = new()
    y = 3 * np.sin(POINTS - 1)
    axes.plot(GRID, 3 * np.sin(GRID - 1), "--", color=GREY, label="sinusoid")
    parameters = start("learned")
    for step in range(4):
        if step in (0, 1, 3):
            said = {0: "before", 1: "after one step", 3: "after three steps"}[step]
            axes.plot(GRID, predict(parameters, GRID), color={0: PURPLE, 1: ORANGE, 3: BLUE}[step], label=said)
        _, parameters = gradient_step(parameters, POINTS, y, np.float32(0.01))
    axes.plot(POINTS, y, "o", color=RED)
    axes.set(xlabel="x", ylabel="y")
    axes.legend()
    return figure


def keep(run: Path) -> None:
    """Take the parameters from a run's folder."""
    like = MODEL.init(np.random.default_rng(0))
    with np.load(run / "checkpoint.npz") as file:
        learned = {f"learned/{path}": file[f"meta_parameters/{path}"] for path in mm.tree.paths(like)}
    random = {f"random/{path}": leaf for path, leaf in zip(mm.tree.paths(like), mm.tree.flatten(like)[0], strict=True)}
    np.savez_compressed(PARAMETERS, allow_pickle=False, **learned, **random)


if __name__ == "__main__":
    keep(Path(sys.argv[1]))
