"""Walks on a line, for tests: an environment with random numbers that ends early, and agents that walk in it."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from minimeta.learners import MAML, Reptile
from minimeta.nn import mlp
from minimeta.optim import sgd, sgd_by_step
from minimeta.rl import Agent, Box, Gaussian
from minimeta.rl.policy_losses import estimated, ratio
from minimeta.rl.trajectories import Experience

POLICY = Gaussian(mlp((1, 4, 1), activation="tanh"), 1)


@dataclass(frozen=True)
class Walk:
    """A wind blows at random; a step is rewarded with minus the distance to the goal, and the goal ends it."""

    goal: float
    horizon: int = 6
    bad: tuple[int, str] = (-1, "")

    name: ClassVar[str] = "walk"
    observation: ClassVar[Box] = Box((-np.inf,), (np.inf,))
    action: ClassVar[Box] = Box((-1.0,), (1.0,))

    def reset(self, rng: np.random.Generator, episodes: int) -> tuple[Any, NDArray[Any]]:
        at = rng.normal(size=episodes)
        return (np.zeros(episodes, int), at), at[:, None]

    def step(
        self, state: Any, action: NDArray[Any], rng: np.random.Generator
    ) -> tuple[Any, NDArray[Any], NDArray[Any], NDArray[np.bool_]]:
        t, at = state
        at = at + action[:, 0] + 0.1 * rng.normal(size=len(at))
        reward, seen = -np.abs(at - self.goal), at.copy()
        if t[-1] == self.bad[0]:
            (reward if self.bad[1] == "reward" else seen)[-1] = np.nan
        return (t + 1, at), seen[:, None], reward, np.abs(at - self.goal) < 0.3


def walk(rng: np.random.Generator) -> Walk:
    return Walk(float(rng.uniform(-2, 2)))


def mean_return(found: Experience) -> float:
    """The mean over the episodes of one task, one after another."""
    episodes: dict[tuple[int, int], float] = {}
    for row, t in np.argwhere(found.mask == 1):
        episode = int(row), int(found.begin[row, t])
        episodes[episode] = episodes.get(episode, 0.0) + float(found.rewards[row, t])
    return sum(episodes.values()) / len(episodes)


def maml(order: int = 2, steps: int = 1) -> Agent:
    learner = MAML(
        POLICY,
        estimated(POLICY),
        inner_optimiser=sgd_by_step((0.2, 0.1)),
        inner_steps=steps,
        order=order,
        query_loss=ratio(POLICY),
    )
    return Agent(learner, episodes=5)


def reptile() -> Agent:
    return Agent(Reptile(POLICY, estimated(POLICY), sgd(0.1), 2), episodes=5)
