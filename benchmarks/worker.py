"""One contender of ``metastep.py`` in a separate process, so that memory and the first call are measured alone.

    python benchmarks/worker.py MODULE                        list a library's contenders by workload
    python benchmarks/worker.py MODULE CONTENDER WORKLOAD     serve one of them

Requests are lines of JSON on the standard input, ``{"do": "steps", "seconds": 0.1}``, answered by one line each on the
standard output: an object, with ``error`` in it if the request failed. The libraries print to the
standard error.
It needs numpy and the module's library; minimeta is imported where it is the contender, and nowhere else.
"""

from __future__ import annotations

import base64
import importlib
import json
import os
import resource
import signal
import sys
import time
from typing import Any

import numpy as np
from contender import THREADS, Contender, step_times
from workloads import WORKLOADS, Workload, draw, leaves, probe


class Server:
    """Answers requests; each public method is one."""

    def __init__(self, module: str, name: str, workload: Workload) -> None:
        self._build = importlib.import_module(module).contenders(workload)[name]
        self._workload = workload
        self._contender: Contender | None = None

    def first(self, patience: int) -> dict[str, Any]:
        """Build the contender and take its first step, compilation included; the process ends if it takes too long."""
        parameters, tasks = draw(self._workload)
        signal.alarm(patience)
        begin = time.perf_counter()
        self._contender = self._build(self._workload, parameters, tasks)
        self._contender.step()
        seconds = time.perf_counter() - begin
        signal.alarm(0)
        return {"seconds": seconds}

    def steps(self, seconds: float) -> dict[str, Any]:
        """Steps for so long, one at least: their times, and the most memory the process has had so far, in bytes."""
        assert self._contender
        times = step_times(self._contender, seconds)
        unit = 1 if sys.platform == "darwin" else 1024
        return {"times": times, "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit}

    def gradient(self, number: int) -> dict[str, Any]:
        """The meta-gradient of a probe: its leaves one after another, float32."""
        assert self._contender
        loss, gradient = self._contender.meta_gradient(*probe(self._workload, number))
        flat = np.concatenate([np.asarray(leaf, np.float32).ravel() for leaf in leaves(gradient)])
        return {"loss": loss, "leaves": base64.b64encode(flat.tobytes()).decode()}


def contenders(module: str) -> dict[str, Any]:
    try:
        library = importlib.import_module(module)
    except ImportError as error:
        return {"error": str(error)}
    return {name: list(library.contenders(workload)) for name, workload in WORKLOADS.items()}


def main(module: str, *served: str) -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    # Before the library starts its threads, so that it starts no more than it may use.
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:THREADS])

    def answer(found: dict[str, Any]) -> None:
        print(json.dumps(found), file=answers, flush=True)

    if not served:
        return answer(contenders(module))
    name, workload = served
    server = Server(module, name, WORKLOADS[workload])
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer(getattr(server, request.pop("do"))(**request))
        except Exception as error:  # Whatever a library raises is why its contender is skipped.
            reason = str(error).strip() or type(error).__name__
            answer({"error": reason.splitlines()[0]})


if __name__ == "__main__":
    main(*sys.argv[1:])
