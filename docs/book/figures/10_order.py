"""What the order of a sum changes, and what becomes of it.

Left: one element of the sum of 32 meta-gradients, added up in 2,000 random orders. It takes several
values around the exact sum. Right: two trainings that differ in one thing, the second adds up its
tasks from the last to the first. For a hundred steps their parameters agree to seven digits. Then a
unit lies on different sides of its kink in the two runs, and they part. The three lines are three
sequences of tasks.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import style
from matplotlib.figure import Figure
from numpy.typing import NDArray

import minimeta as mm
from minimeta import nn, optim
from minimeta.learners import MAML
from minimeta.tasks import Sinusoid

LEARNER = MAML(nn.mlp((1, 40, 40, 1)), nn.mean_squared_error, inner_learning_rate=0.01)
ADAM, WAVES = optim.adam(0.01), Sinusoid.maml(shots=10, queries=10)
OF_TASKS = mm.vmap(LEARNER.meta_gradient, (None, 0))
BATCH, STEPS = 25, 500


def _sums_of_an_element() -> NDArray[np.float64]:
    """Return its sums in random orders, in units of the last place from the exact one."""
    theta, batch = LEARNER.init(np.random.default_rng(0)), WAVES.sample(np.random.default_rng(1), 32)
    gradient: Any = OF_TASKS(theta, batch).gradient
    element = gradient[1]["weight"][:, 0, 0]
    exact, rng = math.fsum(map(float, element)), np.random.default_rng(2)
    sums = [sum(element[rng.permutation(32)], np.float32(0.0)) for _ in range(2000)]
    place = float(np.spacing(np.float32(abs(exact))))
    return np.array([(float(each) - exact) / place for each in sums])


def _step(order: Sequence[int]) -> Callable[..., Any]:
    """Return a step of training that adds up its tasks in some order."""

    @mm.compile
    def step(parameters: Any, state: Any, batch: Any) -> Any:
        each = OF_TASKS(parameters, batch).gradient
        mean = mm.tree.map(lambda g: sum(g[i] for i in order) / float(BATCH), each)
        return ADAM.update(mean, state, parameters)

    return step


def _path(step: Callable[..., Any], seed: int) -> Iterator[NDArray[Any]]:
    """Yield the parameters after each step."""
    parameters, rng = LEARNER.init(np.random.default_rng(0)), np.random.default_rng(seed)
    state = ADAM.init(parameters)
    for _ in range(STEPS):
        parameters, state = step(parameters, state, WAVES.sample(rng, BATCH))
        yield mm.tree.ravel(parameters)[0]


def draw() -> Figure:
    """Return the figure."""
    figure, (left, right) = style.new(columns=2)
    values, counts = np.unique(_sums_of_an_element(), return_counts=True)
    left.bar(values, counts, width=0.6)
    left.axvline(0.0, color=style.GREY, linestyle=":")
    left.set(xlabel="units in the last place", ylabel="orders")
    forwards, backwards = _step(range(BATCH)), _step(range(BATCH)[::-1])
    for seed in (1, 2, 4):
        pairs = zip(_path(forwards, seed), _path(backwards, seed), strict=True)
        distance = [np.linalg.norm(one - other) / np.linalg.norm(one) for one, other in pairs]
        right.semilogy(np.arange(1, STEPS + 1)[::5], distance[::5], linewidth=1.4)
    right.set(xlabel="steps of training", ylabel="relative distance", ylim=(1e-9, 1))
    right.minorticks_off()
    return figure
