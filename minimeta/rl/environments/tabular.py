"""Tabular environments: finitely many states and actions, and three tables.

    s_0 ~ rho,    s_{t+1} ~ P(. | s_t, a_t),    r_t = R(s_t, a_t),    t = 0, ..., H - 1

An observation is the state as a one-hot vector. So a linear policy without bias is a table of its
own, with a row of logits for each state. Episodes end at the horizon alone.

Whatever can be learned about such an environment by sampling can also be computed: by a chain of
matrix products, or as a sum over all trajectories (:mod:`minimeta.rl.expectations`).

Two distributions of tasks: random tables, and a corridor whose goal is at one of its two ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minimeta.counts import check_counts, whole_number
from minimeta.errors import ConfigurationError
from minimeta.rl.environment import Box, Discrete

_ROUNDING = 1e-9


@dataclass(frozen=True, eq=False)
class Tabular:
    """A Markov decision process given by its tables, in float64.

    Attributes
    ----------
    start
        ``rho``, the probabilities of the first state, shape ``(states,)``.
    transitions
        ``P[s, a, s']``, the probabilities of the next state, shape ``(states, actions, states)``.
    rewards
        ``R[s, a]``, shape ``(states, actions)``.
    horizon
        ``H``, the steps of an episode.
    name
        What errors call it.

    Raises
    ------
    ConfigurationError
        If shapes do not fit, the horizon is below 1, a reward is not finite, or probabilities are
        negative or do not add up to 1.
    """

    start: NDArray[np.float64]
    transitions: NDArray[np.float64]
    rewards: NDArray[np.float64]
    horizon: int
    name: str = "tabular"

    def __post_init__(self) -> None:
        tables = {name: np.array(getattr(self, name), np.float64) for name in ("start", "transitions", "rewards")}
        for name, table in tables.items():
            table.setflags(write=False)
            object.__setattr__(self, name, table)
        shapes = tuple(table.shape for table in tables.values())
        if self.rewards.ndim != 2 or shapes[:2] != (self.rewards.shape[:1], (*self.rewards.shape, len(self.rewards))):
            raise ConfigurationError(
                f"{self.name}: start, transitions and rewards have shapes {', '.join(map(str, shapes))}, and should "
                "have (states,), (states, actions, states) and (states, actions)"
            )
        check_counts(self, "horizon", self.name)
        if not self.rewards.size:
            raise ConfigurationError(f"{self.name}: it needs a state and an action")
        if not np.isfinite(self.rewards).all():
            raise ConfigurationError(f"{self.name}: rewards must be finite")
        for name in ("start", "transitions"):
            if not ((table := tables[name]) >= 0).all() or (abs(table.sum(-1) - 1) > _ROUNDING).any():
                raise ConfigurationError(
                    f"{self.name}: {name} must be probabilities that add up to 1 along the last axis"
                )

    @property
    def states(self) -> int:
        """The number of states."""
        return len(self.rewards)

    @property
    def actions(self) -> int:
        """The number of actions."""
        return int(self.rewards.shape[1])

    @property
    def observation(self) -> Box:
        """One-hot vectors."""
        return Box((0.0,) * self.states, (1.0,) * self.states)

    @property
    def action(self) -> Discrete:
        """The integers below the number of actions."""
        return Discrete(self.actions)

    def reset(self, rng: np.random.Generator, episodes: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Draw first states, integers of shape ``(episodes,)``."""
        state = _drawn(np.broadcast_to(self.start, (episodes, self.states)), rng)
        return state, self._one_hot(state)

    def step(
        self, state: NDArray[np.int64], action: NDArray[Any], rng: np.random.Generator
    ) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
        """Draw next states."""
        following = _drawn(self.transitions[state, action], rng)
        return following, self._one_hot(following), self.rewards[state, action], np.zeros(len(state), np.bool_)

    def _one_hot(self, state: NDArray[np.int64]) -> NDArray[np.float64]:
        return np.eye(self.states)[state]


def _drawn(probabilities: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw an index of each row: the first whose cumulative sum exceeds a uniform number."""
    uniform = rng.random(len(probabilities))
    cumulative = np.cumsum(probabilities, axis=1)
    # Rounding may leave the last sum below 1, and a state of probability 0 has an empty interval.
    drawn: NDArray[np.int64] = (cumulative <= uniform[:, None] * cumulative[:, -1:]).sum(axis=1)
    return drawn


def random_tables(rng: np.random.Generator, states: int = 3, actions: int = 2, horizon: int = 3) -> Tabular:
    """Draw a task: transitions uniform among all, rewards from N(0, 1), any first state.

    Parameters
    ----------
    rng
        Source of randomness.
    states, actions, horizon
        The sizes.
    """
    whole_number("random_tables", "states", states, 1), whole_number("random_tables", "actions", actions, 1)
    transitions = rng.dirichlet(np.ones(states), size=(states, actions))
    rewards = rng.normal(size=(states, actions))
    return Tabular(np.full(states, 1 / states), transitions, rewards, horizon, "random tables")


def corridor(goal: int, length: int = 5, horizon: int = 6, slip: float = 0.1) -> Tabular:
    """Return a corridor of cells, in which an agent walks to the left (0) or to the right (1).

    It begins in the middle. A step goes the other way with probability `slip`, and does not pass
    the ends. The reward is the probability to be at the goal after the step.

    Parameters
    ----------
    goal
        The cell with the reward, from 0 to ``length - 1``.
    length
        The number of cells.
    horizon
        The steps of an episode.
    slip
        The probability of a step the other way.

    Raises
    ------
    ConfigurationError
        If there is no such cell, or `slip` is not a probability.
    """
    whole_number("corridor", "goal", goal, 0, whole_number("corridor", "length", length, 1) - 1)
    cells = np.arange(length)
    left, right = np.eye(length)[np.maximum(cells - 1, 0)], np.eye(length)[np.minimum(cells + 1, length - 1)]
    transitions = np.stack([(1 - slip) * left + slip * right, slip * left + (1 - slip) * right], axis=1)
    return Tabular(np.eye(length)[length // 2], transitions, transitions[:, :, goal], horizon, f"corridor to {goal}")


def random_corridor(rng: np.random.Generator, length: int = 5, horizon: int = 6, slip: float = 0.1) -> Tabular:
    """Draw a task: a corridor with the goal at one of its ends."""
    return corridor(int(rng.integers(2)) * (length - 1), length, horizon, slip)
