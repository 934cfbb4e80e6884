"""How the time and the memory of a meta-step grow, to the largest that fits, beside the peers.

    python benchmarks/scale.py [SERIES ...] [--peers PYTHON] [--memory GB] [--keep FILE] [--figure FILE]

The meta-step is that of W2, second-order MAML on images through four strided convolutions, with two tasks of ten images
of 28 x 28, 64 filters and one inner step. A *series* changes one of these: tasks, filters, inner steps, or the side of
the images. Each contender has its own process (:mod:`worker`), one at a time, with two threads, and may take so much
memory, and so long for its first step and for a later one. The first size that it cannot do ends its series.

Times are **processor seconds** of a step after the first, on all threads, which hardly depend on what else runs: the
least of several turns, each of a tenth of a second or one step. (What a library keeps, it first has to get.) The memory
is the most that the process has had, with its library and the tasks. ``--keep`` adds what is found to a file,
from which the table and the ``--figure`` are made; no measured series is measured again.
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contender import UnavailableError
from contest import Process, worker
from workloads import named

from minimeta.threads import round_trip

BASE = {"meta_batch": 2, "filters": 64, "inner_steps": 1, "side": 28}

SERIES: dict[str, tuple[int, ...]] = {
    "meta_batch": (2, 8, 32, 128, 512, 2048),
    "filters": (32, 64, 128, 256, 512, 1024, 2048),
    "inner_steps": (1, 4, 16, 64, 256),
    "side": (28, 56, 112, 224, 448, 896),
}

TITLES = {"meta_batch": "tasks", "filters": "filters", "inner_steps": "inner steps", "side": "side of the images"}

CONTENDERS = {"minimeta": "minimeta", "jax": "jax map, im2col", "torch": "torch loop"}
"""Of each library the way that takes one task after another. (JAX's shards wait for each other by spinning.)"""


TURNS, TURN = 6, 0.1
"""How many turns of later steps, and their seconds; fewer where the steps are long."""


@dataclass(frozen=True)
class Limits:
    memory: float
    """Bytes."""
    first: int
    """Seconds until the first step is done."""
    step: float
    """Processor seconds of a later step; no turn begins after so many."""


def name_of(series: str, size: int) -> str:
    return " ".join(["W2", *(f"{key}={value}" for key, value in (BASE | {series: size}).items())])


def grown(python: str, library: str, series: str, limits: Limits) -> Iterator[dict[str, float]]:
    """What each size takes, up to the largest that can be done; the last may say why there is no larger one."""
    for size in SERIES[series]:
        with worker(python, library, CONTENDERS[library], name_of(series, size), verbose=False) as process:
            process.limit_memory(int(limits.memory))
            try:
                first = process.ask("first", patience=limits.first)["seconds"]
                seconds, memory = later(process, limits.step)
            except UnavailableError as error:
                print(f"  {library} ends at {TITLES[series]} {size}: {error}", file=sys.stderr, flush=True)
                return
        yield {"size": size, "seconds": seconds, "memory": memory, "first": first}
        if seconds > limits.step:
            return


def later(process: Process, patience: float) -> tuple[float, float]:
    """The processor seconds of a step, the least of several turns, and the memory after them."""
    steps: list[float] = []
    spent = memory = 0.0
    while len(steps) < TURNS and spent <= patience:
        found = process.ask("steps", seconds=TURN)
        steps.append(found["processor"] / len(found["times"]))
        spent, memory = spent + found["processor"], found["memory"]
    return min(steps), memory


def distance() -> float:
    """The nanoseconds of a cache line's way to another core and back, which change on some machines."""
    return min(round_trip() for _ in range(20))


def table(found: dict[str, Any]) -> str:
    """For each series and size: seconds and gigabytes of each library, and minimeta's operations a second."""
    lines = [f"| | | {' | '.join(f'{library}, s | GB' for library in CONTENDERS)} | GF/s of minimeta |"]
    lines.append("|---|---|" + "---|---|" * len(CONTENDERS) + "---|")
    for series, sizes in SERIES.items():
        for size in sizes:
            points = [point_of(found, series, library, size) for library in CONTENDERS]
            if not any(points):
                continue
            cells = [f"{p['seconds']:.3g} | {p['memory'] / 1e9:.2g}" if p else "- | -" for p in points]
            ours = points[0]
            speed = named(name_of(series, size)).operations() / ours["seconds"] / 1e9 if ours else math.nan
            lines.append(f"| {TITLES[series]} | {size} | {' | '.join(cells)} | {speed:.0f} |")
    return "\n".join(lines)


def point_of(found: dict[str, Any], series: str, library: str, size: int) -> dict[str, float] | None:
    points = found.get(series, {}).get(library, [])
    return next((point for point in points if point["size"] == size), None)


def draw(found: dict[str, Any], file: Path) -> None:
    """Seconds above, memory below; a column for each series."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "docs" / "book" / "figures"))
    style = importlib.import_module("style")
    figure, axes = style.new(len(SERIES), 2, width=9.6, height=4.8)
    for column, series in enumerate(SERIES):
        upper, lower = axes[column], axes[column + len(SERIES)]
        for library in CONTENDERS:
            points = found.get(series, {}).get(library, [])
            sizes = [point["size"] for point in points]
            upper.loglog(sizes, [point["seconds"] for point in points], marker="o", markersize=3, label=library)
            lower.loglog(sizes, [point["memory"] / 1e9 for point in points], marker="o", markersize=3)
        upper.set_title(TITLES[series])
        for axis in (upper, lower):
            axis.set_xscale("log", base=2)
            axis.minorticks_off()
    axes[0].set_ylabel("processor seconds a step")
    axes[len(SERIES)].set_ylabel("GB")
    axes[0].legend()
    style.save(figure, file)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("series", nargs="*", metavar="SERIES", help=f"of {', '.join(SERIES)}; all by default")
    parser.add_argument("--peers", metavar="PYTHON", help="the interpreter of the peers' environment")
    parser.add_argument("--memory", type=float, default=20.0, metavar="GB", help="that a process may take")
    parser.add_argument("--first", type=int, default=120, metavar="SECONDS", help="until a first step is done")
    parser.add_argument("--step", type=float, default=20.0, metavar="SECONDS", help="no size after a step so long")
    parser.add_argument("--keep", type=Path, metavar="FILE")
    parser.add_argument("--figure", type=Path, metavar="FILE")
    options = parser.parse_args()
    if unknown := set(options.series) - set(SERIES):
        parser.error(f"no series is named {', '.join(sorted(unknown))}; there are {', '.join(SERIES)}")
    os.environ["OMP_WAIT_POLICY"] = "passive"  # processor seconds of a thread that spins as it waits say nothing
    limits = Limits(options.memory * 1e9, options.first, options.step)
    before = distance()
    found: dict[str, Any] = json.loads(options.keep.read_text()) if options.keep and options.keep.exists() else {}
    for series in options.series or SERIES:
        for library in CONTENDERS:
            python = sys.executable if library == "minimeta" else options.peers
            if python is None or library in found.get(series, {}):
                continue
            found.setdefault(series, {})[library] = points = []
            for point in grown(python, library, series, limits):
                points.append(point)
                print(f"{series} {library}: {point}", file=sys.stderr, flush=True)
            if options.keep:
                options.keep.write_text(json.dumps(found, indent=1))
    print(table(found))
    print(f"\nA cache line goes to another core and back in {before:.0f} ns, and after the series in {distance():.0f}.")
    if options.figure:
        draw(found, options.figure)


if __name__ == "__main__":
    main()
