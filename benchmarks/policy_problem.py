"""One iteration of MAML on 2D navigation: what ``policy_step.py`` measures, in numpy.

20 tasks, 20 episodes of at most 100 steps, a Gaussian policy of two layers of 100; a step of adaptation by the policy
gradient, 20 episodes of each adapted policy, and a TRPO step with 10 iterations of conjugate gradients: Finn et al.
2017, section 5.3. Every contender begins from the same weights and is handed the same noise, so that all compute the
same numbers, up to rounding. Goals are farther away than an episode can walk, so that all episodes have 100 steps.

A contender is a function ``build(problem)`` that returns two others: ``iterate()``, one iteration from the initial
weights, returns mean returns before and after adaptation and the new weights; ``gradient()`` returns the meta-gradient.
Weights and gradients are flat: three times weight and bias, and the logarithms of the deviations.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

TASKS, EPISODES, HORIZON = 20, 20, 100
WIDTHS = (2, 100, 100, 2)
AWAY = 0.15 * HORIZON  # a step is no longer than 0.1 sqrt(2)
RATE, DISCOUNT = 0.1, 0.99
BOUND, ITERATIONS, DAMPING, BACKTRACKS, SHRINK = 0.01, 10, 1e-5, 15, 0.8
SMALLEST = 1e-6
RIDGE, SMALL = 1e-5, 1e-8

SHAPES = [shape for n, m in pairwise(WIDTHS) for shape in ((n, m), (m,))] + [(WIDTHS[-1],)]


class Problem(NamedTuple):
    """Flat initial weights; goals, shape (tasks, 2); noise of both phases, shape (tasks, episodes, horizon, 2)."""

    weights: NDArray[np.float32]
    goals: NDArray[np.float64]
    noise: tuple[NDArray[np.float32], NDArray[np.float32]]


def generator(task: int, phase: int) -> np.random.Generator:
    """The generator of a task's noise."""
    return np.random.default_rng([1, task, phase])


def problem() -> Problem:
    rng = np.random.default_rng(0)
    layers = [
        rng.uniform(-1, 1, shape) * np.sqrt(6 / sum(shape)) if len(shape) == 2 else np.zeros(shape) for shape in SHAPES
    ]
    shape = (EPISODES, HORIZON, WIDTHS[-1])
    first, second = (
        np.stack([generator(task, phase).standard_normal(shape, np.float32) for task in range(TASKS)])
        for phase in (0, 1)
    )
    weights = np.concatenate([layer.ravel() for layer in layers]).astype(np.float32)
    angles = rng.uniform(0, 2 * np.pi, TASKS)
    return Problem(weights, AWAY * np.stack([np.cos(angles), np.sin(angles)], axis=1), (first, second))


def split(weights: Any) -> list[Any]:
    """The arrays of flat weights."""
    found, begin = [], 0
    for shape in SHAPES:
        size = int(np.prod(shape))
        found.append(weights[begin : begin + size].reshape(shape))
        begin += size
    return found


def times_of_features() -> NDArray[np.float64]:
    """The part of the baseline's features that depends on time alone, shape (horizon, 4)."""
    u = np.arange(HORIZON)[:, None] / 100
    return np.concatenate([u, u**2, u**3, np.ones_like(u)], axis=1)


def discounting() -> NDArray[np.float64]:
    """The matrix whose product sums discounted rewards to come."""
    ahead = np.arange(HORIZON)[:, None] - np.arange(HORIZON)
    return np.where(ahead >= 0, DISCOUNT ** np.maximum(ahead, 0), 0.0)
