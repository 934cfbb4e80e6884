"""Ctrl-C while the command is still importing: a word, and no traceback.

Most of the first second of ``minimeta`` are imports, and KeyboardInterrupt in the middle of one is a traceback at best;
at worst it is caught there, and told as a library that does not load. So until the command begins, the signal ends the
process at once: there is nothing to save yet. This is the first module that the package imports, for nothing of ours
runs earlier, and it does nothing where a program imports the package.
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
from types import FrameType


def begin() -> None:
    """Answer Ctrl-C by KeyboardInterrupt again: the command begins."""
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _end(number: int, frame: FrameType | None) -> None:
    os.write(2, b"\nminimeta: interrupted\n")
    os._exit(130)


def _is_command() -> bool:
    script = os.path.basename(next(iter(sys.argv), ""))  # noqa: PTH119 (pathlib takes its time)
    return script == "minimeta" or ("-m", "minimeta") in itertools.pairwise(sys.orig_argv)


if _is_command() and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, _end)
