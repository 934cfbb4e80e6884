"""Progress on standard error: a bar on a terminal, and elsewhere a plain line every few seconds."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from minimeta.training import Report, TrainingState
from minimeta.training.metrics import means

SECONDS_BETWEEN_LINES, SECONDS_TO_RATE = 10.0, 1.0
WIDE = 60
"""Columns of a terminal that has room for a bar."""
MEMORY, PARTS = 50, 20
"""Running means are over about so many steps, or over this part of a shorter training."""


class Bar:
    """Progress of one loop of known length.

    The first step also compiles, so the time that is left follows from the steps after it. Nothing is
    said before there are some, unless the first one alone takes long: then its time is a bound.

    Parameters
    ----------
    title
        The name of the loop.
    done, total
        Its first and its last number.
    """

    def __init__(self, title: str, done: int, total: int) -> None:
        self._title, self._total = title, total
        self._began = time.monotonic()
        self._first: tuple[int, float] | None = None
        self._spoke: float | None = None
        console = Console(stderr=True)
        self._bar: Progress | None = None
        if console.is_terminal:
            words = [TextColumn(f"{{task.{name}}}") for name in ("description", "fields[left]", "fields[said]")]
            bar = [BarColumn(bar_width=10)] if console.width >= WIDE else []
            self._bar = Progress(words[0], *bar, MofNCompleteColumn(), *words[1:], console=console)
            self._task = self._bar.add_task(title, total=total, completed=done, left="", said="")

    def show(self, done: int, said: str = "") -> None:
        """Show how many steps are done, and a text about them."""
        now = time.monotonic()
        self._first = self._first or (done, now)
        if self._bar is not None:
            self._bar.update(self._task, completed=done, left=self._left(done, now), said=said)
        elif self._is_time(done, now):
            words = [f"{self._title} {done}/{self._total}", said, self._rate(done, now), self._left(done, now)]
            print("  ".join(filter(None, words)), file=sys.stderr, flush=True)
            self._spoke = now

    def _is_time(self, done: int, now: float) -> bool:
        """Whether to print a line: the first as soon as it can say what is left, one every few seconds, the last."""
        assert self._first is not None
        if done == self._total or (self._spoke is not None and now - self._spoke >= SECONDS_BETWEEN_LINES):
            return True
        first, when = self._first
        enough = now - self._began >= SECONDS_BETWEEN_LINES if done == first else now - when >= SECONDS_TO_RATE
        return self._spoke is None and enough

    def _rate(self, done: int, now: float) -> str:
        """Return the steps per second after the first one; nothing if they were too short to tell."""
        assert self._first is not None
        first, when = self._first
        if now - when < SECONDS_TO_RATE:
            return ""
        rate = (done - first) / (now - when)
        return f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.2g}/s"

    def _left(self, done: int, now: float) -> str:
        """Return the time that is left, in words; at most so long, if only the first step is done."""
        assert self._first is not None
        first, when = self._first
        if done == self._total:
            return ""
        if done == first:
            return f"at most {duration((self._total - done) * (now - self._began))} left"
        if now - when < SECONDS_TO_RATE:  # Tasks that are evaluated together are shown one after another.
            return ""
        return f"{duration((self._total - done) * (now - when) / (done - first))} left"

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
        weight = 1 / min(MEMORY, max(1, self._total // PARTS))
        self._means = {name: old[name] + weight * (value - old[name]) for name, value in new.items()}
        self.show(state.step, "  ".join(f"{name} {value:.4g}" for name, value in self._means.items()))


def duration(seconds: float) -> str:
    """Return a time in words."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
