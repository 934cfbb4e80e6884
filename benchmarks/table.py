"""Every row of the table of speed: minimeta beside the best peer, the goal, and the machine's limit.

    python benchmarks/table.py [ROW ...] [--peers PYTHON] [--before PYTHON] [--keep FILE]

A ROW is the name of one, or a pattern as in `'W2*'`; `--list` lists them. minimeta runs in this interpreter. PYTHON is
the interpreter of an environment with torch 2.13.0, jax 0.10.2 and autograd 1.9.1, of which any may be missing
(``python -m venv peers; peers/bin/pip install torch==2.13.0 jax==0.10.2 autograd==1.9.1``); of ``--before`` it is one
with an older build of minimeta, for rows whose goal is not to become slower.

Every contender has its own process (:mod:`worker`) with two threads, and one runs at a time:

1. Each takes a first step, including any compilation, and warms up.
2. Each computes the same results. A contender that differs from minimeta by more than 1e-4, relative and in the worst
   array, is named and not ranked.
3. All take turns, round by round, so that they see the machine in the same state.

A **ratio** is minimeta's time to that of the best peer, by the fastest steps and by the medians. The **limit** is the
time that the row's arithmetic takes at the rate of multiply-adds in registers, or its traffic at the rate of a copy of
large arrays, both measured here on two cores; a convolution that needs fewer operations than its definition may be
faster. A **memory** is the most that minimeta's process has used up to 2., with numpy and what it computes with.

``--keep FILE`` adds what was found to a file, and prints all that is in it: rows can be measured in parts. ``--page
docs/performance.md`` puts what is printed between the two comments there.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import os
import platform
import sys
import threading
import time
from dataclasses import asdict
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
from contender import THREADS
from contest import Contest, Found
from rows import MODULES, ROWS, Row

from minimeta.kernels import native
from minimeta.threads import round_trip

HEADS = ("row", "", "fastest", "median", "best peer", "its fastest", "ratio", "medians", "goal", "limit", "of it", "MB")


class Machine:
    """What two cores can do: operations a second by dtype, bytes a second from and to memory, and how far they are from
    each other, which changes on some machines (:func:`minimeta.threads.round_trip`).
    """

    def __init__(self) -> None:
        self.operations = {dtype: 2 * THREADS * multiply_adds(dtype) for dtype in ("float32", "float64")}
        self.bandwidth = bandwidth()
        self.round_trip = min(round_trip() for _ in range(20))

    def __str__(self) -> str:
        rates = ", ".join(f"{rate / 1e9:.0f} GF/s in {dtype}" for dtype, rate in self.operations.items())
        load = ", ".join(f"{load:.1f}" for load in os.getloadavg())
        return (
            f"{processor()}, {THREADS} of {os.cpu_count()} cores: {rates}; {self.bandwidth / 1e9:.0f} GB/s; "
            f"a cache line goes to the other core and back in {self.round_trip:.0f} ns. "
            f"Load before the first row (1, 5, 15 minutes): {load}."
        )

    def limit(self, row: Row) -> tuple[float, str] | None:
        """The least seconds, and what takes them; None if the row says neither."""
        by = {"arithmetic": row.operations() / self.operations[row.dtype], "memory": row.traffic / self.bandwidth}
        what = max(by, key=lambda each: by[each])
        return (by[what], what) if by[what] else None


def multiply_adds(dtype: str) -> float:
    """Multiply-adds a second in registers, on one core."""
    assert native, "no kernels are built for this processor"
    times = []
    for _ in range(20):
        begin = time.thread_time()
        done = native.multiply_adds(dtype, 1_000_000)
        times.append(time.thread_time() - begin)
    return float(done / min(times))


def bandwidth(size: int = 2**26) -> float:
    """Bytes a second that all threads read and write as they copy large arrays."""
    arrays = [(np.ones(size, np.uint8), np.ones(size, np.uint8)) for _ in range(THREADS)]
    times = []
    for _ in range(40):
        threads = [threading.Thread(target=np.copyto, args=pair) for pair in arrays]
        begin = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        times.append(time.perf_counter() - begin)
    return 2 * size * THREADS / min(times)


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(": ")[2] for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"


def cells(row: Row, found: list[Found], machine: Machine) -> dict[str, str]:
    """What the table says about a row, by head; empty if minimeta did not answer."""
    ours = next((each for each in found if each.name == "minimeta"), None)
    if ours is None:
        return {}
    said = {"row": row.name, "": row.title, "fastest": milliseconds(ours.fastest), "median": milliseconds(ours.median)}
    rivals = [each for each in found if each.agrees and each is not ours and each.name != "before"]
    if rivals:
        best = {by: min(rivals, key=attrgetter(by)) for by in ("fastest", "median")}
        said |= {"best peer": best["fastest"].name, "its fastest": milliseconds(best["fastest"].fastest)}
        said |= {"ratio": f"{ours.fastest / best['fastest'].fastest:.2f}"}
        said |= {"medians": f"{ours.median / best['median'].median:.2f}"}
    said["goal"] = f"{row.goal:.3g} s" if row.clock == "processor" else f"{row.goal:.2f}"
    if row.against == "before":
        before = [each for each in found if each.name == "before"]
        said["goal"] += f" of before{f': {ours.fastest / before[0].fastest:.2f}' if before else ''}"
    if limit := machine.limit(row):
        said |= {"limit": f"{milliseconds(limit[0])} ({limit[1]})", "of it": f"{100 * limit[0] / ours.fastest:.0f} %"}
    if ours.memory:
        said["MB"] = f"{ours.memory / 1e6:.0f}" + (f" (goal {row.memory_goal:.0f})" if row.memory_goal else "")
    return said


def line(said: dict[str, str]) -> str:
    return "| " + " | ".join(said.get(head, "") for head in HEADS) + " |"


def details(found: list[Found]) -> str:
    """All contenders of a row, fastest first."""
    ranked = sorted(found, key=attrgetter("fastest"))
    return "; ".join(
        f"{each.name} {milliseconds(each.fastest)} ({milliseconds(each.median)}; first {each.first_seconds:.1f} s, "
        f"{each.memory / 1e6:.0f} MB" + ("" if each.agrees else f"; DIFFERS by {each.difference}, not ranked") + ")"
        for each in ranked
    )


def whole(said: dict[str, Any]) -> str:
    """The machine, and the table of all rows that were measured."""
    lines = [line(dict(zip(HEADS, HEADS, strict=True))), f"|{'---|' * len(HEADS)}"]
    lines += [line(said[name]["cells"]) for name in ROWS if name in said]
    return "\n".join([said["machine"], "", *lines])


def put(text: str, page: Path) -> None:
    """Replace what is between the page's comments."""
    before, begin, rest = page.read_text(encoding="utf-8").partition("<!-- benchmarks/table.py -->\n")
    _, end, after = rest.partition("\n<!-- its end -->")
    assert end, f"{page} has no place for a table"
    page.write_text(before + begin + text + end + after, encoding="utf-8")


def kept(file: Path | None) -> dict[str, Any]:
    return json.loads(file.read_text()) if file and file.exists() else {}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", metavar="ROW", default=["*"], help="names or patterns; all by default")
    parser.add_argument("--peers", metavar="PYTHON", help="the interpreter of the peers' environment")
    parser.add_argument("--before", metavar="PYTHON", help="the interpreter of an environment with an older minimeta")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="add what is found to this file, and print all of it")
    parser.add_argument("--page", type=Path, metavar="FILE", help="put what is printed into this page")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument(
        "--seconds", type=float, default=0.2, help="of steps in one turn, of which there is at least one"
    )
    parser.add_argument("--patience", type=int, help="seconds to wait for a first step; each row has its own")
    parser.add_argument("--list", action="store_true", help="print the names of the rows, and their titles")
    parser.add_argument("--verbose", action="store_true", help="show what the libraries print")
    options = parser.parse_args()
    if unknown := [asked for asked in options.rows if not fnmatch.filter(ROWS, asked)]:
        parser.error(f"no row is named {', '.join(unknown)}: --list lists them")
    rows = [row for name, row in ROWS.items() if any(fnmatch.fnmatchcase(name, asked) for asked in options.rows)]
    if options.list:
        print("\n".join(f"{row.name:24}{row.title}" for row in rows))
        return
    machine = Machine()
    print(machine, file=sys.stderr)
    peers = dict.fromkeys((library for library in MODULES if library != "minimeta"), options.peers)
    asked = {"minimeta": sys.executable, "before": options.before, **peers}
    pythons = {library: python for library, python in asked.items() if python}
    contest = Contest(pythons, options.rounds, options.seconds, options.patience, options.verbose)
    said = kept(options.keep)
    for row in rows:
        if row.traffic:  # on a busy machine, some copies are as fast as all can be
            machine.bandwidth = max(machine.bandwidth, bandwidth())
        found = contest.run(row)
        print(f"{row.name}: {details(found)}", file=sys.stderr, flush=True)
        said[row.name] = {"cells": cells(row, found, machine), "found": [asdict(each) for each in found]}
        said["machine"] = str(machine)
        if options.keep:
            options.keep.write_text(json.dumps(said, indent=1))
    print(whole(said))
    if options.page:
        put(whole(said), options.page)


if __name__ == "__main__":
    main()
