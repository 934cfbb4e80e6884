"""The time that training takes: over all sessions of a run, without the work between steps."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Stopwatch:
    """A stopwatch that starts when it is made.

    Parameters
    ----------
    seconds
        The time of earlier sessions.
    """

    def __init__(self, seconds: float = 0.0) -> None:
        self._began = time.monotonic() - seconds

    @property
    def seconds(self) -> float:
        """Seconds so far, without pauses."""
        return time.monotonic() - self._began

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave out the time inside the ``with`` statement."""
        began = time.monotonic()
        try:
            yield
        finally:
            self._began += time.monotonic() - began
