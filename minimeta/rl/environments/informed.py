"""Tasks whose goal the agent sees: what the papers call an oracle.

    o'_t = (o_t, g),    g the goal of the task

An agent that sees the goal needs no adaptation, so its return is what adaptation can reach at best.
Environments are those that have a ``goal``: navigation, and both kinds of the half-cheetah.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minimeta.errors import ConfigurationError
from minimeta.rl.environment import Box, Discrete, Environment, EnvironmentDistribution, Environments, stack


@dataclass(frozen=True)
class Informed:
    """An environment whose observations end with its goal.

    Attributes
    ----------
    environment
        One with an attribute ``goal``, a number or several.

    Raises
    ------
    ConfigurationError
        If it has none.
    """

    environment: Environment

    def __post_init__(self) -> None:
        if not hasattr(self.environment, "goal"):
            raise ConfigurationError(f"Informed: {self.environment.name} has no attribute goal that could be observed")

    @property
    def goal(self) -> NDArray[np.float64]:
        """The goal as a vector."""
        return np.array(getattr(self.environment, "goal"), np.float64).reshape(-1)  # noqa: B009 (not in the protocol)

    @property
    def name(self) -> str:
        """What errors call it."""
        return f"{self.environment.name}, informed"

    @property
    def horizon(self) -> int:
        """Steps of an episode."""
        return self.environment.horizon

    @property
    def observation(self) -> Box:
        """The environment's box, and the goal, whose range is not known."""
        seen, free = self.environment.observation, (np.inf,) * len(self.goal)
        return Box((*seen.low, *(-bound for bound in free)), (*seen.high, *free))

    @property
    def action(self) -> Box | Discrete:
        """The environment's."""
        return self.environment.action

    def reset(self, rng: np.random.Generator, episodes: int) -> tuple[Any, NDArray[Any]]:
        """Begin episodes."""
        state, observation = self.environment.reset(rng, episodes)
        return state, _joined(observation, self.goal)

    def step(
        self, state: Any, action: NDArray[Any], rng: np.random.Generator
    ) -> tuple[Any, NDArray[Any], NDArray[Any], NDArray[np.bool_]]:
        """Take one step of every episode."""
        state, observation, reward, done = self.environment.step(state, action, rng)
        return state, _joined(observation, self.goal), reward, done

    @staticmethod
    def stack(environments: Sequence[Environment]) -> _Stacked:
        """Return several tasks, stepped together as the environments themselves are."""
        tasks = [each for each in environments if isinstance(each, Informed)]
        return _Stacked(stack([each.environment for each in tasks]), np.stack([each.goal for each in tasks])[:, None])


@dataclass(frozen=True, eq=False)
class _Stacked:
    """Several tasks, with goals of shape ``(tasks, 1, n)``."""

    environments: Environments
    goals: NDArray[np.float64]

    def reset(self, rngs: Sequence[np.random.Generator], episodes: int) -> tuple[Any, NDArray[Any]]:
        state, observation = self.environments.reset(rngs, episodes)
        return state, _joined(observation, self.goals)

    def step(
        self, state: Any, action: NDArray[Any], rngs: Sequence[np.random.Generator]
    ) -> tuple[Any, NDArray[Any], NDArray[Any], NDArray[np.bool_]]:
        state, observation, reward, done = self.environments.step(state, action, rngs)
        return state, _joined(observation, self.goals), reward, done

    def begin_again(
        self, state: Any, observation: NDArray[Any], ended: NDArray[np.bool_], rngs: Sequence[np.random.Generator]
    ) -> tuple[Any, NDArray[Any]]:
        seen = observation[..., : -self.goals.shape[-1]]
        state, observation = self.environments.begin_again(state, seen, ended, rngs)
        return state, _joined(observation, self.goals)


def _joined(observation: NDArray[Any], goal: NDArray[np.float64]) -> NDArray[Any]:
    return np.concatenate([observation, np.broadcast_to(goal, (*observation.shape[:-1], goal.shape[-1]))], axis=-1)


def informed(distribution: EnvironmentDistribution) -> EnvironmentDistribution:
    """Return the distribution of the same tasks, whose goals are observed.

    Examples
    --------
    >>> from minimeta.rl.environments import informed, random_goal
    >>> task = informed(random_goal)(np.random.default_rng(0))
    >>> task.reset(np.random.default_rng(0), 1)[1].round(2)
    array([[ 0.  ,  0.  ,  0.14, -0.23]])
    """
    return lambda rng: Informed(distribution(rng))
