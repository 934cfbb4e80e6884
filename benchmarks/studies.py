"""Studies of minimeta's meta-step alone, without its peers.

    python benchmarks/studies.py {flat,profile,processes} [WORKLOAD ...]

flat        1,000 steps in tenths: neither their time nor the memory of the process should grow
profile     where the time of a step goes, by kind of instruction and by line
processes   one process with two threads and two with one each, in turns: their times, and the collective's share
"""

from __future__ import annotations

import argparse
import resource
import statistics
from collections.abc import Callable

from contender import THREADS, step_times
from minimeta_steps import MinimetaStep
from workloads import WORKLOADS, Workload, draw

from minimeta.distributed import workers_for

STEPS = 1000


def flat(workload: Workload) -> None:
    step = MinimetaStep(workload, *draw(workload))
    print(f"{'steps':>12}{'median ms':>12}{'peak memory MB':>16}")
    for begin in range(0, STEPS, STEPS // 10):
        times = [step_times(step, 0.0)[0] for _ in range(STEPS // 10)]
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"{begin + len(times):12}{statistics.median(times) * 1e3:12.3f}{memory:16.1f}", flush=True)


def profile(workload: Workload) -> None:
    print(MinimetaStep(workload, *draw(workload)).profile())


def processes(workload: Workload) -> None:
    with workers_for(THREADS) as workers:
        steps = [MinimetaStep(workload, *draw(workload), each) for each in (None, workers)]
        times: list[list[float]] = [[], []]
        shares = []
        for _ in range(3 * STEPS // 10):
            for step, found in zip(steps, times, strict=True):
                found.extend(step_times(step, 0.0))
            shares.append(1 - workers.last.computing / workers.last.seconds)
    threads, shared = ([statistics.quantiles(found[10:], n=10)[at] * 1e3 for at in (0, 4)] for found in times)
    for name, of_threads, of_processes in zip(("fastest tenth", "median"), threads, shared, strict=True):
        ratio = of_processes / of_threads
        print(f"{name}: {of_threads:.2f} ms by threads, {of_processes:.2f} ms by processes, ratio {ratio:.3f}")
    print(f"sending and waiting: {statistics.median(shares):.1%} of a step's calls")


STUDIES: dict[str, Callable[[Workload], None]] = {"flat": flat, "profile": profile, "processes": processes}


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
