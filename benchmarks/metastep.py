"""One whole meta-step, compared with other libraries: from tasks in memory to updated meta-parameters, with Adam.

    python benchmarks/metastep.py --peers PYTHON [--workloads W1 W2 ...]
    python benchmarks/metastep.py --flat | --growth | --profile [--workloads ...]

minimeta runs in this interpreter; PYTHON is the interpreter of an environment with numpy and any of torch, jax
and autograd. A missing library is skipped with a message. :mod:`workloads` has the workloads.

Every contender has its own process (:mod:`worker`) with two threads, and one runs at a time:

1. Each takes a first step, including any compilation, and warms up.
2. Each computes the same meta-gradients. A contender that differs from minimeta by more than 1e-4, relative and in the
   worst leaf, is named and not ranked.
3. All take turns, round by round, so that they see the machine in the same state.

The table has the median and the fastest step; the ratio of medians; the fastest step in per cent of the machine's peak
(the operations that :mod:`workloads` counts, over multiply-adds in registers on two cores; a convolution that needs
fewer operations than its definition may exceed 100); the seconds of the first step; and the most memory that the
process has used up to 2., including its library.
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
