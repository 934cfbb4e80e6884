"""What ``metastep.py`` times: one way of one library to take a meta-step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

from workloads import Tasks, Workload

THREADS = 2
"""That every contender may use."""


class Contender(Protocol):
    """Built from a workload, its initial meta-parameters and its tasks; it carries its own state on."""

    def meta_gradient(self) -> tuple[float, Any]:
        """The mean query loss and the mean meta-gradient at the initial meta-parameters, a tree of numpy arrays."""

    def step(self) -> None:
        """One whole meta-step, from tasks in memory to updated meta-parameters, done when this returns."""


Build: TypeAlias = Callable[[Workload, Any, Tasks], Contender]
"""Raises :class:`UnavailableError` where the library cannot do it."""


class UnavailableError(Exception):
    """Why there is no such contender, in one line."""
