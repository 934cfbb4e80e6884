"""Studies of minimeta's meta-step alone, without its peers.

    python benchmarks/studies.py {flat,growth,profile} [WORKLOAD ...]

flat      1,000 steps in tenths: neither their time nor the memory of the process should grow
growth    how the time of a step grows with tasks, inner steps and width, compared with its arithmetic
profile   where the time of a step goes, by kind of instruction and by line
"""

from __future__ import annotations

import argparse
import resource
import statistics
from collections.abc import Callable
from dataclasses import replace

from contender import step_times
from minimeta_steps import MinimetaStep
from workloads import WORKLOADS, Workload, draw

STEPS = 1000


def flat(workload: Workload) -> None:
    step = MinimetaStep(workload, *draw(workload))
    print(f"{'steps':>12}{'median ms':>12}{'peak memory MB':>16}")
    for begin in range(0, STEPS, STEPS // 10):
        times = [step_times(step, 0.0)[0] for _ in range(STEPS // 10)]
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"{begin + len(times):12}{statistics.median(times) * 1e3:12.3f}{memory:16.1f}", flush=True)


def growth(workload: Workload) -> None:
    print(f"{'':24}{'median ms':>12}{'times':>8}{'GFLOP':>12}{'times':>8}")
    for name, vary in VARIATIONS.items():
        first = None
        for factor in (1, 2, 4, 8):
            varied = vary(workload, factor)
            step = MinimetaStep(varied, *draw(varied))
            step.step()
            found = (statistics.median(step_times(step, 0.5)) * 1e3, varied.operations() / 1e9)
            first = first or found
            cells = f"{found[0]:12.3f}{found[0] / first[0]:8.2f}{found[1]:12.4g}{found[1] / first[1]:8.2f}"
            print(f"{name + f' x {factor}':24}{cells}", flush=True)


def profile(workload: Workload) -> None:
    print(MinimetaStep(workload, *draw(workload)).profile())


VARIATIONS: dict[str, Callable[[Workload, int], Workload]] = {
    "tasks": lambda workload, factor: replace(workload, meta_batch=factor * workload.meta_batch),
    "inner steps": lambda workload, factor: replace(workload, inner_steps=factor * workload.inner_steps),
    "width": lambda workload, factor: replace(workload, model=workload.model.widened(factor)),
}

STUDIES: dict[str, Callable[[Workload], None]] = {"flat": flat, "growth": growth, "profile": profile}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", choices=STUDIES)
    parser.add_argument("workloads", nargs="*", default=["W1", "W2"], metavar="WORKLOAD")
    options = parser.parse_args()
    for name in options.workloads:
        print(f"\n{name}: {WORKLOADS[name].title}")
        STUDIES[options.study](WORKLOADS[name])


if __name__ == "__main__":
    main()
