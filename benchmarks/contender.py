"""A contender: one way in which one library computes what a row of the table asks for."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

from workloads import Tasks, Workload

THREADS = 2
"""That a contender may use."""


class Contender(Protocol):
    """Takes steps, and carries its own state from one to the next."""

    def step(self) -> Any:
        """One step, done when this returns; of learning: from tasks in memory to updated meta-parameters."""


class Learning(Contender, Protocol):
    """Made from a workload, its initial meta-parameters and its tasks."""

    def meta_gradient(self, parameters: Any, tasks: Tasks) -> tuple[float, Any]:
        """The mean query loss and the mean meta-gradient, a tree of numpy arrays, of the same shapes anywhere else."""


Build: TypeAlias = Callable[[Workload, Any, Tasks], Learning]
"""Raises :class:`UnavailableError` where the library cannot do it."""


class UnavailableError(Exception):
    """Why there is no such contender, in one line."""


def step_times(contender: Contender, seconds: float, clock: Callable[[], float] = time.perf_counter) -> list[float]:
    """The times of as many steps as fit, of one at least."""
    times: list[float] = []
    while sum(times) < seconds or not times:
        begin = clock()
        contender.step()
        times.append(clock() - begin)
    return times
