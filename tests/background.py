"""minimeta as a program of its own: started in the background, waited for, and read."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

MINIMETA = [sys.executable, "-m", "minimeta"]
SMALL = ["--hidden", "4", "--meta-batch", "2", "--evaluation.tasks", "2", "--evaluation.steps", "1"]
"""Flags that make a training on sinusoids small."""


def training(folder: Path, *flags: str) -> list[str]:
    """The words of a small training on sinusoids, after ``minimeta``."""
    return ["train", "maml", "sinusoid", "--out", str(folder), *SMALL, *flags]


def start(words: list[str]) -> subprocess.Popen[str]:
    """Start a program that answers signals, even if the tests inherited from a shell to ignore them."""

    def restore() -> None:
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)

    return subprocess.Popen(
        words,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=restore,  # noqa: PLW1509 (it starts no threads)
    )


def start_training(folder: Path, *flags: str) -> subprocess.Popen[str]:
    """Start a small training on sinusoids."""
    return start([*MINIMETA, *training(folder, *flags)])


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Wait until a condition holds, while the process runs."""
    end = time.monotonic() + 60
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.01)


def wait_for_steps(folder: Path, process: subprocess.Popen[str]) -> None:
    """Wait until a training has taken steps."""
    metrics = folder / "metrics.jsonl"
    wait_for(lambda: metrics.exists() and metrics.stat().st_size > 0, process)


def read_until(stream: IO[str] | None, pattern: str) -> None:
    """Read lines until one has the pattern, a regular expression."""
    assert stream is not None
    for line in stream:
        if re.search(pattern, line):
            break
