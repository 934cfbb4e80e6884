"""The time of a meta-step on several machines, and a model of it: ``T(n) = C / n + a n + (n out + back) / B``.

    sudo python benchmarks/network.py [--steps 20] [--rates 1000 100]
    sudo python benchmarks/network.py --cut 10

The machines are network namespaces of this one, joined by a bridge, and ``tc`` limits the rate of every link. In
one of them are Dask's scheduler and the process that trains, in the others one worker each, with one thread. (So two
workers are as many as two cores can serve.)

The model has the terms of docs/scaling.md: ``C`` is a step of one process with one thread, ``a`` what one call of one
worker costs in Dask, ``out`` the bytes of the parameters and of a worker's tasks, ``back`` those of the sums of
groups, and ``B`` the bytes a second of the caller's link. ``C`` is measured without workers, ``a`` with workers
that return nothing, and the bytes are counted as they are pickled. What is left is compared: the measured step on
links of two rates.

With ``--cut`` the links of all workers are down for so many seconds in the middle of a training, whose state at its
end is compared with that of one process.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import os
import pickle
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

ADDRESS = "10.99.0.{}"
PORT = 8786


def run(*command: str) -> None:
    """Run a command, and raise what it says if it fails."""
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    if found.returncode:
        sys.exit(f"{' '.join(command)}: {found.stderr.strip()}; it needs root and Linux")


@contextmanager
def machines(count: int, megabits: int | None) -> Iterator[list[str]]:
    """Namespaces on one bridge, whose links send at a rate."""
    names = [f"minimeta{number}" for number in range(count)]
    with ExitStack() as stack:
        run("ip", "link", "add", "minimeta-bridge", "type", "bridge")
        stack.callback(run, "ip", "link", "del", "minimeta-bridge")
        run("ip", "link", "set", "minimeta-bridge", "up")
        for number, name in enumerate(names):
            run("ip", "netns", "add", name)
            stack.callback(run, "ip", "netns", "del", name)
            inside, outside = f"mm-in{number}", f"mm-out{number}"
            run("ip", "link", "add", inside, "type", "veth", "peer", "name", outside)
            stack.callback(run, "ip", "link", "del", outside)  # a namespace takes its time
            run("ip", "link", "set", inside, "netns", name)
            run("ip", "link", "set", outside, "master", "minimeta-bridge", "up")
            run("ip", "-n", name, "addr", "add", f"{ADDRESS.format(number + 1)}/24", "dev", inside)
            for device in (inside, "lo"):
                run("ip", "-n", name, "link", "set", device, "up")
            if megabits is not None:
                shape = ["root", "tbf", "rate", f"{megabits}mbit", "burst", "128kb", "latency", "200ms"]
                run("tc", "-n", name, "qdisc", "add", "dev", inside, *shape)
                run("tc", "qdisc", "add", "dev", outside, *shape)
        yield names


@contextmanager
def cluster(names: list[str]) -> Iterator[None]:
    """Dask's scheduler on the first machine and a worker of one thread on each other."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": environment}
    scheduler = f"tcp://{ADDRESS.format(1)}:{PORT}"
    python = [sys.executable, "-m", "distributed.cli"]
    commands = [
        [
            *python[:2],
            "distributed.cli.dask_scheduler",
            "--host",
            ADDRESS.format(1),
            "--port",
            str(PORT),
            "--no-dashboard",
        ]
    ]
    commands += [
        [*python[:2], "distributed.cli.dask_worker", scheduler, "--nthreads", "1", "--no-dashboard", "--no-nanny",
         "--host", ADDRESS.format(number + 1), "--local-directory", "/tmp"]
        for number in range(1, len(names))
    ]  # fmt: skip
    begun = [
        subprocess.Popen(["ip", "netns", "exec", name, *command], **quiet)
        for name, command in zip(names, commands, strict=True)
    ]
    try:
        yield
    finally:
        for process in begun:
            process.kill()
            process.wait()


# What the training process does, on the first machine or alone


def learning(name: str) -> tuple[Any, Any, dict[str, Any]]:
    """The learner, its tasks and settings: small parameters, or those of the images' network."""
    import numpy as np  # noqa: PLC0415

    from minimeta import nn  # noqa: PLC0415
    from minimeta.learners import MAML  # noqa: PLC0415
    from minimeta.tasks import Examples, Sinusoid, Task  # noqa: PLC0415

    if name == "sinusoid":
        return MAML(nn.mlp((1, 40, 40, 1)), nn.mean_squared_error, 0.01), Sinusoid(), {"meta_batch": 32}

    class Images:
        def sample(self, rng: np.random.Generator, count: int) -> Task:
            def examples() -> Examples:
                labels = np.tile(np.arange(5), (count, 1))
                return Examples(rng.random((count, 5, 28, 28, 1), np.float32), labels)

            return Task(examples(), examples())

    return MAML(nn.conv4((28, 28, 1), 5), nn.cross_entropy, 0.4), Images(), {"meta_batch": 32}


def train(name: str, workers: int, steps: int) -> None:
    """Print each step, and at the end as JSON its seconds, the bytes that are sent, what a call costs, and a hash."""
    import minimeta as mm  # noqa: PLC0415
    from minimeta import optim  # noqa: PLC0415
    from minimeta.training import fit  # noqa: PLC0415

    mm.set_num_threads(1)
    learner, tasks, settings = learning(name)
    ends: list[float] = []
    call = 0.0
    with ExitStack() as stack:
        client: Any = None
        if workers:
            import distributed  # noqa: PLC0415 (needs the extra dask)

            new: Any = distributed.Client  # its types are not complete
            client = stack.enter_context(new(f"tcp://{ADDRESS.format(1)}:{PORT}"))
            client.wait_for_workers(workers)
            calls = []
            for number in range(50):
                begin = time.perf_counter()
                client.gather([client.submit(abs, -number - each / 7, pure=False) for each in range(workers)])
                calls.append((time.perf_counter() - begin) / workers)
            call = statistics.median(calls)

        def count(state: Any, report: Any) -> None:
            ends.append(time.perf_counter())
            print(state.step, flush=True)

        state = fit(
            learner, tasks, optim.adam(), iterations=steps + 5, seed=0, workers=client, callbacks=[count], **settings
        )
    import numpy as np  # noqa: PLC0415

    parameters = len(pickle.dumps(learner.init(np.random.default_rng(0)), 5))
    batch = len(pickle.dumps(tasks.sample(np.random.default_rng(0), settings["meta_batch"]), 5))
    seconds = [after - before for before, after in itertools.pairwise(ends[5:])]
    sha = hashlib.sha256(b"".join(leaf.tobytes() for leaf in mm.tree.flatten(state.meta_parameters)[0])).hexdigest()
    print(json.dumps({"seconds": seconds, "parameters": parameters, "batch": batch, "call": call, "sha256": sha}))


def asked(
    name: str, workers: int, steps: int, *inside: str, after: Callable[[int], None] = lambda step: None
) -> dict[str, Any]:
    """The answer of :func:`train` in a process, on the first machine if it has workers; `after` hears of each step."""
    command = [*inside, sys.executable, __file__, "--train", name, str(workers), "--steps", str(steps)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        last = ""
        for last in process.stdout:
            if last.strip().isdecimal():
                after(int(last))
    if process.returncode:
        sys.exit(process.returncode)
    answer: dict[str, Any] = json.loads(last)
    return answer


def lose(seconds: int, steps: int) -> None:
    """Cut the links of two workers after ten steps, and say what became of the training."""
    alone = asked("images", 0, steps)["sha256"]

    def cut(step: int) -> None:
        if step == 10:
            for state in "down", "up":
                for number in (1, 2):
                    run("ip", "link", "set", f"mm-out{number}", state)
                time.sleep(seconds if state == "down" else 0)

    with machines(3, None) as names, cluster(names):
        found = asked("images", 2, steps, "ip", "netns", "exec", names[0], after=cut)
    print(f"{len(found['seconds'])} steps, of which the longest took {max(found['seconds']):.1f} s")
    print(f"SHA-256 {found['sha256'][:16]}, that of one process {alone[:16]}")
    if found["sha256"] != alone:
        sys.exit("they differ")


def main() -> None:
    """Measure, and compare with the model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rates", type=int, nargs="+", default=[1000, 100], help="megabits a second")
    parser.add_argument("--cut", type=int, metavar="SECONDS", help="take the links of all workers down for so long")
    parser.add_argument("--train", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.train:
        train(options.train[0], int(options.train[1]), options.steps)
        return
    if options.cut:
        lose(options.cut, options.steps)
        return
    print("| parameters | link, Mbit/s | workers | measured, ms | model, ms | measured / model |")
    print("|---|---|---|---|---|---|")
    groups = 16
    for name in ("sinusoid", "images"):
        alone = asked(name, 0, options.steps)
        computed = min(alone["seconds"])
        for rate in (None, *options.rates):
            for workers in (1, 2):
                with machines(workers + 1, rate) as names, cluster(names):
                    found = asked(name, workers, options.steps, "ip", "netns", "exec", names[0])
                sums = groups - groups // workers + 1  # The first worker adds up its own.
                sent = workers * found["parameters"] + found["batch"] + sums * found["parameters"]
                model = computed / workers + workers * found["call"] + (sent * 8 / (rate * 1e6) if rate else 0)
                measured = statistics.median(found["seconds"])
                numbers = f"{1e3 * measured:.1f} | {1e3 * model:.1f} | {measured / model:.2f}"
                size = f"{found['parameters'] / 1e3:.0f} kB"
                print(f"| {name}, {size} | {rate or 'not limited'} | {workers} | {numbers} |", flush=True)


if __name__ == "__main__":
    main()
