"""What the LSTM meta-learner sees of a gradient, and what its first-order meta-gradient loses.

Left: the two numbers that stand for a positive gradient. Down to e^-10 the first one tells its size
and the second its sign; below, the first rests at -1 and the second tells the size. Right: how far
the meta-gradient of order 1 is from that of order 2. With one step the gates and the layer lose
nothing. With more steps every part loses, and the initial parameters most.
"""

from typing import Any

import numpy as np
import style
from matplotlib.figure import Figure

import minimeta as mm
from minimeta import nn
from minimeta.learners import MetaLSTM
from minimeta.learners.lstm import preprocess
from minimeta.tasks import Sinusoid


def _lost(steps: int) -> dict[str, float]:
    """Return the relative error of order 1 for each part of the meta-parameters."""
    model = nn.mlp((1, 8, 1), activation="tanh", dtype=np.float64)
    task = Sinusoid(shots=10, queries=10, dtype=np.float64).sample(np.random.default_rng(0), 1)[0]
    gradients: list[Any] = []
    for order in (1, 2):
        learner = MetaLSTM(model, nn.mean_squared_error, inner_steps=steps, order=order, hidden=5)
        weights = learner.init(np.random.default_rng(1))
        gradients.append(learner.meta_gradient(weights, task).gradient)
    vectors = {part: [mm.tree.ravel(gradient[part])[0] for gradient in gradients] for part in weights}
    return {part: float(np.linalg.norm(one - two) / np.linalg.norm(two)) for part, (one, two) in vectors.items()}


def draw() -> Figure:
    """Return the figure."""
    figure, (left, right) = style.new(columns=2)
    x = np.geomspace(1e-7, 10, 100)
    for number, name in zip(preprocess(x), ("size", "sign"), strict=True):
        left.semilogx(x, number, label=name)
    left.axvline(np.exp(-10), color=style.GREY, linestyle=":")
    left.annotate(r"$e^{-10}$", (np.exp(-10), 0.25), (4, 0), textcoords="offset points")
    left.set(xlabel="gradient $x$", ylabel=r"$\mathrm{pre}(x)$")
    steps = [1, 2, 4, 8, 16]
    lost = [_lost(count) for count in steps]
    for part, name in {"initial": r"$\theta_0$", "layer": "layer", "gates": "gates"}.items():
        right.plot(steps, [each[part] for each in lost], "o-", label=name)
    right.set(xlabel="steps of adaptation", ylabel="relative error of order 1", ylim=(-0.02, None))
    for axes in (left, right):
        axes.minorticks_off()
        axes.legend()
    return figure
