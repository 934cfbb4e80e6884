"""All contenders for a workload: each in a process of its own, their gradients compared, their steps timed in turns."""

from __future__ import annotations

import base64
import functools
import json
import os
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
from workloads import Workload, draw, leaves

LIBRARIES = {
    "minimeta": "minimeta_steps",
    "jax": "peers.jax_steps",
    "torch": "peers.torch_steps",
    "autograd": "peers.autograd_steps",
}
TOLERANCE = 1e-4
PROBES = 12
"""Of which one must agree (:func:`workloads.probe` says why not all)."""
PATIENCE = 600
"""Seconds to wait for a first step."""
PAUSE = 0.02
"""Between turns, in seconds: threads that have nothing to do wait for a while before they sleep."""
HOPELESS, TRIAL = 5, 3
"""Who takes more than so many times the fastest step is timed in so many rounds, and no more."""


@dataclass
class Row:
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
            # What an earlier run compiled would make the first call of this one look short.
            env=os.environ | threads | {"TORCHINDUCTOR_FORCE_DISABLE_CACHES": "1"},
        )

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


Running: TypeAlias = list[tuple[Row, Process]]


@contextmanager
def worker(python: str, *arguments: str, verbose: bool) -> Iterator[Process]:
    process = Process(python, *arguments, verbose=verbose)
    try:
        yield process
    finally:
        process.close()


class Contest:
    """All contenders, and what they are asked."""

    def __init__(self, peers: str | None, rounds: int, seconds: float, verbose: bool) -> None:
        self._pythons = {name: sys.executable if name == "minimeta" else peers for name in LIBRARIES}
        self._rounds, self._seconds = rounds, seconds
        self._worker = functools.partial(worker, verbose=verbose)
        self._names = {library: self._contenders(library) for library in LIBRARIES}

    def _contenders(self, library: str) -> dict[str, list[str]]:
        python = self._pythons[library]
        if python is None:
            print(f"{library} is skipped: --peers names the interpreter that has it")
            return {}
        with self._worker(python, LIBRARIES[library]) as process:
            try:
                return process.answer()
            except UnavailableError as error:
                print(f"{library} is skipped: {error}")
                return {}

    def run(self, workload: Workload) -> list[Row]:
        with ExitStack() as stack:
            running: Running = []
            for library, names in self._names.items():
                for name in names.get(workload.name, ()):
                    python = self._pythons[library] or ""
                    process = stack.enter_context(self._worker(python, LIBRARIES[library], name, workload.name))
                    entry = (Row(name), process)
                    running.append(entry)
                    ask_each(running, [entry], self._begin)
            compare_gradients(workload, running)
            self._take_turns(running)
            return [row for row, _ in running if row.times]

    def _begin(self, row: Row, process: Process) -> None:
        row.first_seconds = process.ask("first", patience=PATIENCE)["seconds"]
        # Before gradients are compared, which some compute by another program, with memory of its own.
        row.memory = process.ask("steps", seconds=self._seconds)["memory"]

    def _take_turns(self, running: Running) -> None:
        for number in range(self._rounds):
            best = min((row.median for row, _ in running if row.times), default=0.0)
            hopeful = [entry for entry in running if number < TRIAL or entry[0].median <= HOPELESS * best]
            ask_each(running, hopeful, self._take_turn)

    def _take_turn(self, row: Row, process: Process) -> None:
        time.sleep(PAUSE)
        row.times += process.ask("steps", seconds=self._seconds)["times"]


def ask_each(running: Running, asked: Running, question: Callable[[Row, Process], None]) -> None:
    """Who fails is named, and runs no more; the contest goes on."""
    for row, process in asked:
        try:
            question(row, process)
        except UnavailableError as error:
            print(f"  {row.name} is skipped: {error}", flush=True)
            running.remove((row, process))


def compare_gradients(workload: Workload, running: Running) -> None:
    """The least difference of each contender to the first one, over as many probes as it takes to agree."""
    if not running:
        return
    (reference, first), *others = running
    reference.difference = 0.0
    for number in range(PROBES):
        doubtful = [entry for entry in others if not entry[0].agrees and entry in running]
        if not doubtful:
            break
        expected = meta_gradient(workload, first, number)

        def compare(row: Row, process: Process, number: int = number, expected: Any = expected) -> None:
            found = difference(meta_gradient(workload, process, number), expected)
            row.difference = min(found, np.inf if row.difference is None else row.difference)

        ask_each(running, doubtful, compare)


def meta_gradient(workload: Workload, process: Process, number: int) -> list[NDArray[np.float32]]:
    flat = np.frombuffer(base64.b64decode(process.ask("gradient", number=number)["leaves"]), np.float32)
    ends = np.cumsum([leaf.size for leaf in leaves(draw(workload)[0])])
    return np.split(flat, ends[:-1])


def difference(found: list[NDArray[np.float32]], expected: list[NDArray[np.float32]]) -> float:
    """The norm of the difference over the norm, of the worst leaf; infinite for what is no number."""
    norm = np.linalg.norm
    relative = [norm(one - other) / norm(other) for one, other in zip(found, expected, strict=True)]
    return float(np.nan_to_num(relative, nan=np.inf).max())
