"""All contenders for a row: each in a process of its own, their results compared, their steps timed in turns."""

from __future__ import annotations

import base64
import functools
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from contender import THREADS, UnavailableError
from numpy.typing import NDArray
from rows import Row

TOLERANCE = 1e-4
PROBES = 12
"""Of which one must agree (:func:`workloads.probe` says why not all)."""
PAUSE = 0.02
"""Between turns, in seconds: threads that have nothing to do wait for a while before they sleep."""
HOPELESS, TRIAL = 5, 3
"""Who takes more than so many times the fastest step is timed in so many rounds, and no more."""


@dataclass
class Found:
    """What is found of one contender."""

    name: str
    first_seconds: float = 0.0
    times: list[float] = field(default_factory=list)
    memory: int = 0
    difference: float | None = None

    @property
    def median(self) -> float:
        return statistics.median(self.times)

    @property
    def fastest(self) -> float:
        return min(self.times)

    @property
    def agrees(self) -> bool:
        return self.difference is not None and self.difference <= TOLERANCE


class Process:
    """A worker and its pipes."""

    def __init__(self, python: str, *arguments: str, verbose: bool) -> None:
        threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(THREADS))
        self._process = subprocess.Popen(
            [python, str(Path(__file__).with_name("worker.py")), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None if verbose else subprocess.DEVNULL,
            text=True,
            # What an earlier run compiled would make the first call of this one look short. Without files of bytecode
            # an import would be the time of Python's compiler.
            env=os.environ | threads | {"TORCHINDUCTOR_FORCE_DISABLE_CACHES": "1", "PYTHONDONTWRITEBYTECODE": ""},
        )

    def limit_memory(self, size: int) -> None:
        """Let it fail where it would take more bytes (on Linux)."""
        resource.prlimit(self._process.pid, resource.RLIMIT_DATA, (size, size))

    def answer(self) -> dict[str, Any]:
        assert self._process.stdout
        line = self._process.stdout.readline()
        found: dict[str, Any] = json.loads(line) if line else {"error": f"ended with code {self._process.wait()}"}
        if "error" in found:
            raise UnavailableError(found["error"])
        return found

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        assert self._process.stdin
        with suppress(BrokenPipeError):  # it has ended: its answer says so
            print(json.dumps({"do": do, **arguments}), file=self._process.stdin, flush=True)
        return self.answer()

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


Running: TypeAlias = list[tuple[Found, Process]]


@contextmanager
def worker(python: str, *arguments: str, verbose: bool) -> Iterator[Process]:
    process = Process(python, *arguments, verbose=verbose)
    try:
        yield process
    finally:
        process.close()


class Contest:
    """All contenders, and what they are asked.

    Parameters
    ----------
    pythons
        The interpreter of each library; ``before`` is an older minimeta.
    rounds, seconds
        Turns of each contender, and how long it takes steps in one.
    patience
        Seconds to wait for a first step, compilation included; None for as long as the row says.
    verbose
        Whether to show what the libraries print.
    """

    def __init__(
        self, pythons: dict[str, str], rounds: int, seconds: float, patience: int | None, verbose: bool
    ) -> None:
        self._pythons, self._rounds, self._seconds, self._patience = pythons, rounds, seconds, patience
        self._worker = functools.partial(worker, verbose=verbose)
        self._names = {library: self._contenders(library) for library in pythons}

    def _arguments(self, library: str, *served: str) -> tuple[str, ...]:
        return (self._pythons[library], "minimeta" if library == "before" else library, *served)

    def _contenders(self, library: str) -> dict[str, list[str]]:
        with self._worker(*self._arguments(library)) as process:
            try:
                return process.answer()
            except UnavailableError as error:
                print(f"{library} is skipped: {error}", file=sys.stderr)
                return {}

    def run(self, row: Row) -> list[Found]:
        """Return what is found of those that answered, minimeta first."""
        with ExitStack() as stack:
            running: Running = []
            for library, names in self._names.items():
                for name in names.get(row.name, ()):
                    process = stack.enter_context(self._worker(*self._arguments(library, name, row.name)))
                    entry = (Found("before" if library == "before" else name), process)
                    running.append(entry)
                    if row.rounds == 0:
                        ask_each(running, [entry], only_first)
                    else:
                        patience = row.patience if self._patience is None else self._patience
                        ask_each(running, [entry], functools.partial(self._begin, patience))
            if row.rounds != 0:
                compare_results(running)
                self._take_turns(running, row.rounds or self._rounds)
            return [found for found, _ in running if found.times]

    def _begin(self, patience: int, found: Found, process: Process) -> None:
        found.first_seconds = process.ask("first", patience=patience)["seconds"]
        # Before results are compared, which some compute by another program, with memory of its own.
        found.memory = process.ask("steps", seconds=self._seconds)["memory"]

    def _take_turns(self, running: Running, rounds: int) -> None:
        for number in range(rounds):
            best = min((found.median for found, _ in running if found.times), default=0.0)
            hopeful = [entry for entry in running if number < TRIAL or entry[0].median <= HOPELESS * best]
            ask_each(running, hopeful[:: -1 if number % 2 else 1], self._take_turn)

    def _take_turn(self, found: Found, process: Process) -> None:
        time.sleep(PAUSE)
        found.times += process.ask("steps", seconds=self._seconds)["times"]


def only_first(found: Found, process: Process) -> None:
    """For a step that starts from nothing each time."""
    found.times = [process.ask("first", patience=0)["seconds"]]


def ask_each(running: Running, asked: Running, question: Callable[[Found, Process], None]) -> None:
    """Who fails is named, and runs no more; the contest goes on."""
    for found, process in asked:
        try:
            question(found, process)
        except UnavailableError as error:
            print(f"  {found.name} is skipped: {error}", file=sys.stderr, flush=True)
            running.remove((found, process))


def compare_results(running: Running) -> None:
    """The least difference of each contender to the first one, over as many probes as it takes to agree."""
    if not running:
        return
    (reference, first), *others = running
    reference.difference = 0.0
    for number in range(PROBES):
        doubtful = [entry for entry in others if not entry[0].agrees and entry in running]
        if not doubtful:
            break
        expected = result(first, number)

        def compare(found: Found, process: Process, number: int = number, expected: Any = expected) -> None:
            apart = difference(result(process, number), expected)
            found.difference = min(apart, np.inf if found.difference is None else found.difference)

        ask_each(running, doubtful, compare)


def result(process: Process, number: int) -> list[NDArray[np.float64]]:
    return [np.frombuffer(base64.b64decode(leaf)) for leaf in process.ask("result", number=number)["leaves"]]


def difference(found: list[NDArray[np.float64]], expected: list[NDArray[np.float64]]) -> float:
    """The norm of the difference over the norm, of the worst leaf; infinite for what is no number."""
    norm, pairs = np.linalg.norm, zip(found, expected, strict=True)
    with np.errstate(divide="ignore"):  # zeros differ from all others
        relative = [norm(one - other) / norm(other) for one, other in pairs if not np.array_equal(one, other)]
    return float(np.nan_to_num(relative, nan=np.inf, posinf=np.inf).max(initial=0.0))
