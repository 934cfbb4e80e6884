"""Ctrl-C, SIGTERM, SIGHUP and SIGQUIT, honoured between two steps.

The first signal is only noted: the current step is finished, and the next call of the interruption,
a callback of training and evaluation, raises :class:`Interrupted`. The second one raises
KeyboardInterrupt at once, also inside a compiled step: the current step is abandoned, and the last
complete one is saved.

A closed terminal (SIGHUP) and Ctrl-\\ (SIGQUIT) have the same answer, because to end a program is
not to give up its work. Under ``nohup`` SIGHUP remains ignored.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from types import FrameType, TracebackType
from typing import Any, Self

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


class Interrupted(Exception):  # noqa: N818 (not an error: the user asked for it)
    """The user asked to stop; the current step is finished."""


class Interruption:
    """Notes signals inside a ``with`` statement; a call between two steps raises if there was one."""

    def __init__(self) -> None:
        self._noted = False
        self._previous: dict[signal.Signals, Any] = {}

    def __call__(self, *_: object) -> None:
        """Raise Interrupted if a signal has come."""
        if self._noted:
            raise Interrupted

    def __enter__(self) -> Self:
        nohup = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        heard = [number for number in _SIGNALS if not (nohup and number is signal.SIGHUP)]
        self._previous = {number: signal.signal(number, self._note) for number in heard}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._noted:
            raise KeyboardInterrupt
        self._noted = True
        # print is not reentrant, and the signal may have interrupted one. The terminal may be gone.
        with contextlib.suppress(OSError, ValueError):
            os.write(sys.stderr.fileno(), b"\nfinishing this step; Ctrl-C once more stops at once\n")
