"""How long a meta-step takes with each limit of fusion (``minimeta/program/fuse.py``) halved and doubled.

    python benchmarks/fusion_limits.py SECONDS [WORKLOAD ...]

All variants of a workload live in this process and take turns, in an order that is drawn for each round, for so many
seconds. The script prints the fastest step of each, and its ratio to the fastest with the limits as they are. These run
twice: the ratio of the second says how far noise goes. Steps run on one thread and are timed by the processor's clock
of this process, so that other programs disturb little. No limit changes a bit of a result.
"""

from __future__ import annotations

import random
import sys
import time

from minimeta_steps import MinimetaStep
from workloads import WORKLOADS, draw

import minimeta as mm
from minimeta.program import fuse

LIMITS = ("_MOST_OPERATIONS", "_MOST_RESULTS", "_CHEAP", "_MOST_SOURCES", "_FAR", "_LONG_SUM")


def variant(name: str, limit: str, factor: float) -> MinimetaStep:
    """A meta-step whose first call compiles it under another limit."""
    before = getattr(fuse, limit)
    setattr(fuse, limit, int(before * factor))
    try:
        step = MinimetaStep(WORKLOADS[name], *draw(WORKLOADS[name]))
        step.step()
    finally:
        setattr(fuse, limit, before)
    return step


def main(seconds_of_each: float, names: list[str]) -> None:
    for name in names:
        steps = {("as it is", 1.0): variant(name, LIMITS[0], 1), ("as it is, again", 1.0): variant(name, LIMITS[0], 1)}
        for limit in LIMITS:
            for factor in (0.5, 2.0):
                steps[limit, factor] = variant(name, limit, factor)
        mm.set_num_threads(1)
        fastest = dict.fromkeys(steps, float("inf"))
        end = time.perf_counter() + seconds_of_each
        while time.perf_counter() < end:
            for key in random.sample(list(steps), len(steps)):
                step = steps[key]
                began = time.process_time()
                step.step()
                fastest[key] = min(fastest[key], time.process_time() - began)
        least = fastest["as it is", 1.0]
        print(f"{name}: {least * 1e3:.3f} ms", flush=True)
        for (limit, factor), seconds in fastest.items():
            print(f"  {limit:18}x {factor:3}  {seconds * 1e3:9.3f} ms {seconds / least:7.3f}")


if __name__ == "__main__":
    main(float(sys.argv[1]), sys.argv[2:] or ["W1", "W2", "W3"])
