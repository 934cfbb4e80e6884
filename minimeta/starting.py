"""Ctrl-C while the command is still importing: one line, and no traceback.

The command spends most of its first second on imports. A KeyboardInterrupt in the middle of an
import is a traceback at best; at worst the importing library catches it and reports that some
module does not load. So until the command begins, Ctrl-C ends the process at once: there is nothing
to save yet. The package imports this module first, since none of our code runs earlier. In a
program that merely imports the package it does nothing.
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
from types import FrameType


def begin() -> None:
    """Restore KeyboardInterrupt as the answer to Ctrl-C, now that the command begins."""
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _end(number: int, frame: FrameType | None) -> None:
    os.write(2, b"\nminimeta: interrupted\n")
    os._exit(130)


def _is_command() -> bool:
    script = os.path.basename(next(iter(sys.argv), ""))  # noqa: PTH119 (pathlib is slow to import)
    return script == "minimeta" or ("-m", "minimeta") in itertools.pairwise(sys.orig_argv)


if _is_command() and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, _end)
