"""Environments with a clock: how long the simulator takes, in the midst of all else that a training does.

the time of the simulator = the sum over all calls of ``step``
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from minimeta.rl.environment import Environment, EnvironmentDistribution, stack


@dataclass
class Clock:
    """The seconds that were spent in steps."""

    seconds: float = 0.0


@dataclass(frozen=True)
class _Timed:
    """One environment, or several that are stepped together; all but ``step`` is theirs."""

    environment: Any
    clock: Clock

    def __getattr__(self, name: str) -> Any:
        return getattr(self.environment, name)

    def step(self, *arguments: Any) -> Any:
        began = time.perf_counter()
        found = self.environment.step(*arguments)
        self.clock.seconds += time.perf_counter() - began
        return found

    @staticmethod
    def stack(environments: Sequence[_Timed]) -> _Timed:
        return _Timed(stack([each.environment for each in environments]), environments[0].clock)


def timed(distribution: EnvironmentDistribution, clock: Clock) -> EnvironmentDistribution:
    """Return the distribution of the same tasks, whose steps add their time to a clock.

    Examples
    --------
    >>> import numpy as np
    >>> from minimeta.rl.environments import Clock, random_goal, timed
    >>> clock, rng = Clock(), np.random.default_rng(0)
    >>> task = timed(random_goal, clock)(rng)
    >>> state, _ = task.reset(rng, 10)
    >>> moved = task.step(state, np.zeros((10, 2)), rng)
    >>> clock.seconds > 0
    True
    """

    def draw(rng: np.random.Generator) -> Environment:
        return cast("Environment", _Timed(distribution(rng), clock))

    return draw
