"""Ctrl-C and SIGTERM, honoured between two steps.

The first signal is only noted: the step at hand is finished, and the next call of the interruption, a callback of
training and evaluation, raises :class:`Interrupted`. From the first signal on the usual handling is back, so a second
one ends the program at once; every file is written atomically, so that too leaves the last checkpoint whole.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType, TracebackType
from typing import Any, Self

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(Exception):  # noqa: N818 (no error: somebody asked for it)
    """The user asked to stop; the step at hand is finished."""


class Interruption:
    """While entered, notes signals; called between two steps, raises if there was one."""

    def __init__(self) -> None:
        self._noted = False
        self._previous: dict[signal.Signals, Any] = {}

    def __call__(self, *_: object) -> None:
        """Raise Interrupted if a signal has come."""
        if self._noted:
            raise Interrupted

    def __enter__(self) -> Self:
        self._previous = {number: signal.signal(number, self._note) for number in _SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._noted = True
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        # Not print: the signal may have come in the middle of one.
        os.write(sys.stderr.fileno(), b"\nfinishing this step; Ctrl-C once more stops at once\n")
