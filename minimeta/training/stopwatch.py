"""How long training has taken, whatever is done between its steps, and over all sessions of a run."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Stopwatch:
    """Runs from its construction on.

    Parameters
    ----------
    seconds
        What earlier sessions took.
    """

    def __init__(self, seconds: float = 0.0) -> None:
        self._began = time.monotonic() - seconds

    @property
    def seconds(self) -> float:
        """Seconds so far, pauses left out."""
        return time.monotonic() - self._began

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave out what is done meanwhile."""
        began = time.monotonic()
        try:
            yield
        finally:
            self._began += time.monotonic() - began
