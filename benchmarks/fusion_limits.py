"""How long a meta-step takes with each limit of fusion (``minimeta/program/fuse.py``) halved and doubled.

    python benchmarks/fusion_limits.py [WORKLOAD ...]

All variants of a workload live in this process and take turns, round by round. Printed is the fastest step of each, and
its ratio to the fastest with the limits as they are. No limit changes a bit of a result.
"""

from __future__ import annotations

import sys
import time

from minimeta_steps import MinimetaStep
from workloads import WORKLOADS, draw

from minimeta.program import fuse

LIMITS = ("_MOST_OPERATIONS", "_CHEAP", "_MOST_SOURCES", "_FAR", "_LONG_SUM")
SECONDS = 8.0
"""Of measuring, for each workload."""


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


def main(names: list[str]) -> None:
    for name in names:
        steps = {("as it is", 1.0): variant(name, LIMITS[0], 1)}
        for limit in LIMITS:
            for factor in (0.5, 2.0):
                steps[limit, factor] = variant(name, limit, factor)
        fastest = dict.fromkeys(steps, float("inf"))
        end = time.perf_counter() + SECONDS
        while time.perf_counter() < end:
            for key, step in steps.items():
                began = time.perf_counter()
                step.step()
                fastest[key] = min(fastest[key], time.perf_counter() - began)
        least = fastest["as it is", 1.0]
        print(f"{name}: {least * 1e3:.3f} ms")
        for (limit, factor), seconds in fastest.items():
            print(f"  {limit:18}x {factor:3}  {seconds * 1e3:9.3f} ms {seconds / least:7.3f}")


if __name__ == "__main__":
    main(sys.argv[1:] or ["W1", "W2", "W3"])
