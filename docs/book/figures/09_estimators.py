"""What three estimators of a policy gradient cost MAML, in a corridor where all is exact.

Left: the relative error of the mean meta-gradient against the length of an episode. DiCE has none.
LVC's grows from 0 with the steps, since it does not see that an action decides where the policy
acts later. Right: the error from a finite number of episodes. With few, LVC is closer than DiCE,
whose variance is larger; with many, only DiCE's error goes on falling.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import style
from matplotlib.figure import Figure
from numpy.typing import NDArray

import minimeta as mm
from minimeta.rl import ESTIMATORS, Estimator, every_trajectory, expected_return
from minimeta.rl.environments import corridor

ALPHA, DRAWS = 1.0, 100


class _World:
    """A corridor with episodes of so many steps, a policy, and its exact meta-gradient."""

    def __init__(self, horizon: int) -> None:
        self.environment = corridor(goal=2, length=3, horizon=horizon)
        self.theta = np.random.default_rng(0).normal(size=(3, 2))
        self.every = every_trajectory(self.environment)
        self.chances: NDArray[np.float64] = self.every.probability(mm.softmax(self.theta, axis=1))
        self.to_go = np.cumsum(self.every.reward[:, ::-1], axis=1)[:, ::-1]
        self.wanted = self._meta_gradient(self._value)

    def error(self, estimator: Estimator) -> Callable[[Any], float]:
        """Return the relative error of the meta-gradient, as a function of the trajectories' weights."""

        def estimate(weights: Any) -> Callable[[Any], Any]:
            def value(theta: Any) -> Any:
                log_probability = self.every.of(mm.log_softmax(theta, axis=1))
                return mm.sum(weights * mm.sum(estimator(log_probability, self.to_go), axis=1))

            return value

        found = mm.compile(lambda weights: self._meta_gradient(estimate(weights)))
        return lambda weights: float(np.linalg.norm(found(weights) - self.wanted) / np.linalg.norm(self.wanted))

    def _value(self, theta: Any) -> Any:
        return expected_return(self.environment, mm.softmax(theta, axis=1))

    def _meta_gradient(self, value: Callable[[Any], Any]) -> Any:
        return mm.grad(lambda theta: self._value(theta + ALPHA * mm.grad(value)(theta)))(self.theta)


def draw() -> Figure:
    """Return the figure."""
    figure, (left, right) = style.new(columns=2)
    horizons, numbers = [1, 2, 3, 4, 5], [3, 10, 30, 100, 300, 1000, 3000, 10000]
    worlds = {horizon: _World(horizon) for horizon in horizons}
    world, rng = worlds[4], np.random.default_rng(1)
    samples = {number: rng.multinomial(number, world.chances, DRAWS) / number for number in numbers}
    labels = {"surrogate": "surrogate", "lvc": "LVC", "dice": "DiCE"}
    for (name, label), colour in zip(labels.items(), style.COLOURS, strict=False):
        error = world.error(ESTIMATORS[name])
        biases = [worlds[horizon].error(ESTIMATORS[name])(worlds[horizon].chances) for horizon in horizons]
        left.plot(horizons, biases, ".-", color=colour, label=label)
        means = [float(np.mean([error(weights) for weights in samples[number]])) for number in numbers]
        right.loglog(numbers, means, ".-", color=colour)
        right.axhline(biases[3], color=colour, linestyle="--", linewidth=0.8)
    left.set(xlabel="steps of an episode", ylabel="relative error", xticks=horizons)
    right.set(xlabel="number of episodes", ylim=(3e-3, 2))
    right.minorticks_off()
    left.legend()
    return figure
