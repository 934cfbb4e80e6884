"""One contender of ``table.py`` in a separate process, so that memory and the first call are measured alone.

    python benchmarks/worker.py LIBRARY                    list a library's contenders by row
    python benchmarks/worker.py LIBRARY CONTENDER ROW      serve one of them

Requests are lines of JSON on the standard input, ``{"do": "steps", "seconds": 0.1}``, answered by one line each on the
standard output: an object, with ``error`` in it if the request failed. The libraries print to the standard error.
It needs numpy and the library; minimeta is imported where it is the contender, and nowhere else.
"""

from __future__ import annotations

import base64
import json
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from contender import THREADS, step_times
from rows import ROWS, Entrant, Row, ways
from workloads import named


def processor_seconds() -> float:
    """Of this process and of those that it started and waited for."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def peak_memory() -> int:
    """The most bytes that this process has had, without what its parent had when it started it."""
    status = Path("/proc/self/status")
    if status.exists():
        return 1024 * int(status.read_text().partition("VmHWM:")[2].split()[0])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


class Server:
    """Answers requests; each public method is one."""

    def __init__(self, row: Row, enter: Callable[[], Entrant]) -> None:
        self._enter = enter
        self._clock = processor_seconds if row.clock == "processor" else time.perf_counter
        self._entrant: Entrant | None = None

    def first(self, patience: int) -> dict[str, Any]:
        """Build the contender and take its first step, compilation included; the process ends if it takes too long."""
        signal.alarm(patience)
        begin = self._clock()
        self._entrant = self._enter()
        self._entrant.contender.step()
        seconds = self._clock() - begin
        signal.alarm(0)
        return {"seconds": seconds}

    def steps(self, seconds: float) -> dict[str, Any]:
        """Steps for so long, one at least: their times, the processor seconds of all of them together, and the most
        memory that the process has had so far, in bytes.
        """
        assert self._entrant
        begin = processor_seconds()
        times = step_times(self._entrant.contender, seconds, self._clock)
        return {"times": times, "processor": processor_seconds() - begin, "memory": peak_memory()}

    def result(self, number: int) -> dict[str, Any]:
        """What is computed for a probe: its arrays one after another, in float64, and their sizes."""
        assert self._entrant
        found = [np.asarray(leaf, np.float64).ravel() for leaf in self._entrant.result(number)]
        encoded = [base64.b64encode(leaf.tobytes()).decode() for leaf in found]
        return {"leaves": encoded}


def listed(library: str) -> dict[str, Any]:
    try:
        return {name: list(ways(library, row)) for name, row in ROWS.items()}
    except ImportError as error:
        return {"error": str(error)}


def main(library: str, *served: str) -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    # Before the library starts its threads, so that it starts no more than it may use.
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:THREADS])

    def answer(found: dict[str, Any]) -> None:
        print(json.dumps(found), file=answers, flush=True)

    if not served:
        return answer(listed(library))
    contender, name = served
    row = ROWS[name] if name in ROWS else named(name)
    server = Server(row, ways(library, row)[contender])
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer(getattr(server, request.pop("do"))(**request))
        except Exception as error:  # Whatever a library raises is why its contender is skipped.
            reason = str(error).strip() or type(error).__name__
            answer({"error": reason.splitlines()[0]})


if __name__ == "__main__":
    main(*sys.argv[1:])
