"""Progress on standard error: a bar on a terminal, and elsewhere a plain line every few seconds."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from minimeta.training import Report, TrainingState
from minimeta.training.metrics import means

SECONDS_BETWEEN_LINES = 10.0
MEMORY = 0.98
"""Weight of the past in the running means: they are over about the last fifty steps."""


class Bar:
    """Progress of one loop of known length.

    Parameters
    ----------
    title
        The name of the loop.
    done, total
        Its first and its last number.
    """

    def __init__(self, title: str, done: int, total: int) -> None:
        self._title, self._first, self._total = title, done, total
        # The first step also compiles, so the rate is that of the steps after it.
        self._rated: tuple[int, float] | None = None
        self._spoke = time.monotonic()
        console = Console(stderr=True)
        self._bar = (
            Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[said]}"),
                console=console,
            )
            if console.is_terminal
            else None
        )
        self._task = self._bar.add_task(title, total=total, completed=done, said="") if self._bar else None

    def show(self, done: int, said: str = "") -> None:
        """Show how many steps are done, and a text about them."""
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=done, said=said)
            return
        now = time.monotonic()
        # Show the first step as a sign of life, one every few seconds, and the last.
        if done in (self._first + 1, self._total) or now - self._spoke >= SECONDS_BETWEEN_LINES:
            words = [f"{self._title} {done}/{self._total}", said, self._rate(done, now)]
            print("  ".join(filter(None, words)), file=sys.stderr, flush=True)
            self._spoke = now
        self._rated = self._rated or (done, now)

    def _rate(self, done: int, now: float) -> str:
        """Return the rate and the time left, in words; nothing before there is a rate."""
        since, began = self._rated or (done, now)
        if done == since or now == began:
            return ""
        rate = (done - since) / (now - began)
        left = f", {_duration((self._total - done) / rate)} left" if done < self._total else ""
        return f"{rate:.3g}/s{left}"

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()


class TrainingBar(Bar):
    """A callback of training that shows running means of the loss and the metrics."""

    _means: dict[str, float] | None = None

    def __call__(self, state: TrainingState, report: Report) -> None:
        """Show a step."""
        new = means(report)
        old = self._means or new
        self._means = {name: MEMORY * old[name] + (1 - MEMORY) * value for name, value in new.items()}
        self.show(state.step, "  ".join(f"{name} {value:.4g}" for name, value in self._means.items()))


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
