"""A contender of ``metastep.py``: one way in which one library takes a meta-step."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

from workloads import Tasks, Workload

THREADS = 2
"""That a contender may use."""


class Contender(Protocol):
    """Made from a workload, its initial meta-parameters and its tasks; it carries its own state from step to step."""

    def meta_gradient(self, parameters: Any, tasks: Tasks) -> tuple[float, Any]:
        """The mean query loss and the mean meta-gradient, a tree of numpy arrays, of the same shapes anywhere else."""

    def step(self) -> None:
        """One whole meta-step, from tasks in memory to updated meta-parameters, done when this returns."""


Build: TypeAlias = Callable[[Workload, Any, Tasks], Contender]
"""Raises :class:`UnavailableError` where the library cannot do it."""


class UnavailableError(Exception):
    """Why there is no such contender, in one line."""


def step_times(contender: Contender, seconds: float) -> list[float]:
    """The times of as many steps as fit, of one at least."""
    times: list[float] = []
    while sum(times) < seconds or not times:
        begin = time.perf_counter()
        contender.step()
        times.append(time.perf_counter() - begin)
    return times
