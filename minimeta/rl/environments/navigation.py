"""2D navigation: a point walks to a goal that it does not see (Finn et al. 2017, section 5.3).

    s_0 = (0, 0),    s_{t+1} = s_t + a_t,    |a_t| <= 0.1 in each coordinate,    o_t = s_t
    r_t = -|s_{t+1} - g|,    done when both coordinates are within 0.01 of the goal g,    H = 100

The goal is uniform in the square [-0.5, 0.5]^2. The paper's text has the squared distance as
reward; the released code and the figures have the distance. To stand still returns
``-100 |g|``, which is -38.26 on average.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from minimeta.counts import check_counts
from minimeta.rl.environment import Box, Environment

_NEAR = 0.01


@dataclass(frozen=True)
class Navigation:
    """The task of one goal.

    Attributes
    ----------
    goal
        The point to walk to.
    horizon
        Steps of an episode.

    Raises
    ------
    ConfigurationError
        If the horizon is no integer, or below 1.
    """

    goal: tuple[float, float]
    horizon: int = 100

    name: ClassVar[str] = "navigation"
    observation: ClassVar[Box] = Box((-np.inf, -np.inf), (np.inf, np.inf))
    action: ClassVar[Box] = Box((-0.1, -0.1), (0.1, 0.1))

    def __post_init__(self) -> None:
        check_counts(self, "horizon", self.name)

    def reset(self, rng: np.random.Generator, episodes: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Begin at the origin; state and observation are the position, shape ``(episodes, 2)``."""
        return np.zeros((episodes, 2)), np.zeros((episodes, 2))

    def step(
        self, state: NDArray[np.float64], action: NDArray[np.float64], rng: np.random.Generator
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
        """Walk."""
        return _walk(np.array(self.goal), state, action)

    @staticmethod
    def stack(environments: Sequence[Environment]) -> Goals:
        """Return the tasks of several goals, walked together."""
        return Goals(np.array([each.goal for each in environments if isinstance(each, Navigation)]))


@dataclass(frozen=True, eq=False)
class Goals:
    """The tasks of several goals, of shape ``(tasks, 2)``."""

    goals: NDArray[np.float64]

    def reset(
        self, rngs: Sequence[np.random.Generator], episodes: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Begin at the origin, shape ``(tasks, episodes, 2)``."""
        return np.zeros((len(self.goals), episodes, 2)), np.zeros((len(self.goals), episodes, 2))

    def step(
        self, state: NDArray[np.float64], action: NDArray[np.float64], rngs: Sequence[np.random.Generator]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
        """Walk."""
        return _walk(self.goals[:, None, :], state, action)

    def begin_again(
        self,
        state: NDArray[np.float64],
        observation: NDArray[np.float64],
        ended: NDArray[np.bool_],
        rngs: Sequence[np.random.Generator],
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Go back to the origin where an episode ended."""
        begun = np.where(ended[..., None], 0.0, state)
        return begun, begun


def _walk(
    goal: NDArray[np.float64], position: NDArray[np.float64], action: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    reached = position + np.clip(action, -0.1, 0.1)
    away = reached - goal
    arrived = np.asarray((np.abs(away) < _NEAR).all(-1))
    return reached, reached, -np.hypot(away[..., 0], away[..., 1]), arrived


def random_goal(rng: np.random.Generator) -> Navigation:
    """Draw a task: a goal in the square."""
    x, y = rng.uniform(-0.5, 0.5, 2)
    return Navigation((float(x), float(y)))


def released_goals(count: int = 40) -> tuple[Navigation, ...]:
    """Return the test tasks of the released code: the first goals that numpy's legacy generator draws from seed 1."""
    goals = np.random.RandomState(1).uniform(-0.5, 0.5, (count, 2))
    return tuple(Navigation((float(x), float(y))) for x, y in goals)
