"""One whole meta-step of minimeta beside other libraries: tasks in memory to updated meta-parameters, Adam included.

    python benchmarks/metastep.py --peers PYTHON [--workloads W1 W2 ...]
    python benchmarks/metastep.py --flat | --growth | --profile [--workloads ...]

minimeta runs in this interpreter; PYTHON is the interpreter of an environment with numpy and whichever of the peers are
to take part: torch, jax, autograd. What is missing is skipped with a line. :mod:`workloads` has the workloads.

Every contender lives in a process of its own (:mod:`worker`), with two threads, and one runs at a time:

1. each takes a first step, compiles what it compiles, and warms up;
2. each computes the same meta-gradients; who differs from minimeta by more than 1e-4, relative and in the worst leaf,
   is named and not ranked;
3. all take turns, round by round, so that all see the machine in the same state.

Printed are the median and the fastest step; the ratio of medians; what the fastest step reaches of the machine's peak
(multiply-adds in registers on two cores, beside the operations that :mod:`workloads` counts, a convolution by its
definition: who takes fewer may be above 100); the seconds of the first step; and the most memory the process has had up
to 2., its library included.
"""

from __future__ import annotations

import argparse
import itertools
import json
from dataclasses import asdict
from operator import attrgetter
from pathlib import Path

import numpy as np
import studies
from contender import THREADS
from contest import Contest, Row
from kernels import peak
from workloads import WORKLOADS, Workload

from minimeta.kernels import native


def print_table(workload: Workload, rows: list[Row], machine: float) -> None:
    heads = ("median ms", "fastest ms", "/ minimeta", "% of peak", "first s", "memory MB", "difference")
    print(f"{'':22}" + "".join(f"{head:>12}" for head in heads))
    ours = next((row for row in rows if row.name == "minimeta"), None)
    for row in sorted(rows, key=lambda row: row.median):
        cells = (
            f"{row.median * 1e3:.3f}",
            f"{row.fastest * 1e3:.3f}",
            f"{row.median / ours.median:.2f}" if ours else "-",
            f"{100 * workload.operations() / row.fastest / machine:.1f}",
            f"{row.first_seconds:.2f}",
            f"{row.memory / 1e6:.0f}",
            f"{row.difference:.0e}" if row is not rows[0] else "-",
        )
        print(f"{row.name:22}" + "".join(f"{cell:>12}" for cell in cells), flush=True)
    for row in rows:
        if not row.agrees:
            print(f"  !! {row.name} DISAGREES: its meta-gradient differs by {row.difference:.1e}, so it is not ranked")
    peers = [row for row in rows if row.agrees and row is not ours]
    if ours and peers:
        ratios = []
        for measure in ("median", "fastest"):
            best = min(peers, key=attrgetter(measure))
            ratio = getattr(ours, measure) / getattr(best, measure)
            ratios.append(f"{ratio:.3f} by {measure} ({best.name})")
        print(f"{workload.name}: minimeta / best peer is {', '.join(ratios)}; goal {workload.goal:.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--workloads", nargs="+", choices=WORKLOADS, metavar="NAME", help="all of them by default")
    parser.add_argument("--peers", metavar="PYTHON", help="the interpreter of the peers' environment")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument(
        "--seconds", type=float, default=0.2, help="of steps in one turn, of which there is at least one"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write all that was measured")
    parser.add_argument("--verbose", action="store_true", help="show what the libraries print")
    for name, study in studies.STUDIES.items():
        parser.add_argument(f"--{name}", action="store_true", help=study.__doc__)
    options = parser.parse_args()
    workloads = [WORKLOADS[name] for name in options.workloads or WORKLOADS]
    asked = [study for name, study in studies.STUDIES.items() if getattr(options, name)]
    for study, workload in itertools.product(asked, workloads):
        print(f"\n{workload.name}: {workload.title}")
        study(workload)
    if asked:
        return
    machine = 2 * THREADS * peak(native) if native else np.nan
    print(f"peak of {THREADS} cores: {machine / 1e9:.0f} GF/s")
    contest = Contest(options.peers, options.rounds, options.seconds, options.verbose)
    found = {}
    for workload in workloads:
        print(f"\n{workload.name}: {workload.title}; {workload.operations() / 1e9:.3g} GFLOP", flush=True)
        if rows := contest.run(workload):
            print_table(workload, rows, machine)
            found[workload.name] = [asdict(row) for row in rows]
    if options.json:
        options.json.write_text(json.dumps({"peak": machine, "workloads": found}, indent=1))


if __name__ == "__main__":
    main()
