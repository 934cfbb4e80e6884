"""One iteration of MAML with TRPO on 2D navigation, compared with JAX and PyTorch.

    python benchmarks/policy_step.py --peers PYTHON

minimeta runs in this interpreter; PYTHON is that of an environment with numpy, jax and torch. :mod:`policy_problem`
says what is computed. Each contender has its own process with two threads, and they take turns. First the
meta-gradients and the new weights are compared: a contender that differs is named, and not ranked.

`work` is the fastest step's time on all processors together, which other processes on the machine do not lengthen as
much as they do the others. The last line is the share of the simulator in minimeta's time; JAX compiles its simulator
into the same program.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import policy_problem
from contender import THREADS
from policy_problem import BOUND, DAMPING, EPISODES, HORIZON, ITERATIONS, RATE, SHRINK, WIDTHS, Problem, split

CONTENDERS = ("minimeta", "jax", "jax shards", "torch")
NEAR = 1e-3
"""By how much meta-gradients may differ, relative to the longest: samples go through 100 steps in float32."""


def build(problem: Problem) -> tuple[Any, Any]:
    """minimeta's contender."""
    import minimeta as mm  # noqa: PLC0415 (the peers' environment need not have it)
    from minimeta import nn  # noqa: PLC0415
    from minimeta.learners import MAML  # noqa: PLC0415
    from minimeta.rl import Agent, Gaussian, TrustRegion  # noqa: PLC0415
    from minimeta.rl.environments import Navigation  # noqa: PLC0415
    from minimeta.rl.policy_losses import estimated, ratio  # noqa: PLC0415

    policy: Any = Gaussian(nn.mlp(WIDTHS), WIDTHS[-1])
    agent = Agent(MAML(policy, estimated(policy), RATE, query_loss=ratio(policy)), EPISODES)
    tasks = [Navigation((float(x), float(y)), HORIZON) for x, y in problem.goals]
    region = TrustRegion(BOUND, ITERATIONS, DAMPING, shrink=SHRINK)
    collect, step = agent.collector(), region.make_step(agent)
    *layers, log_deviation = split(problem.weights)
    mean = [{"weight": w, "bias": b} for w, b in zip(layers[::2], layers[1::2], strict=True)]
    theta = {"mean": mean, "log_deviation": log_deviation}

    def gradient(theta: Any, task: Any) -> Any:
        return agent.learner.meta_gradient(theta, task).gradient

    all_of_them = mm.compile(mm.vmap(gradient, (None, 0), "sum"))

    def flat(tree: Any) -> Any:
        found = [each[name] for each in tree["mean"] for name in ("weight", "bias")]
        return np.concatenate([np.ravel(each) for each in (*found, tree["log_deviation"])])

    def iterate() -> Any:
        batch = collect(theta, tasks, 1, policy_problem.generator)
        reached, _, _, metrics = step(theta, (), batch)
        return float(np.mean(metrics["before"])), float(np.mean(metrics["return"])), flat(reached)

    return iterate, lambda: flat(all_of_them(theta, collect(theta, tasks, 1, policy_problem.generator))) / len(tasks)


def simulator_seconds(problem: Problem) -> float:
    """The time of all steps of both phases in minimeta's simulator, the policy not included."""
    from minimeta.rl import stack  # noqa: PLC0415
    from minimeta.rl.environments import Navigation  # noqa: PLC0415

    together = stack([Navigation((float(x), float(y)), HORIZON) for x, y in problem.goals])
    rngs = [np.random.default_rng(0)] * len(problem.goals)
    state, _ = together.reset(rngs, EPISODES)
    begin = time.perf_counter()
    for noise in problem.noise:
        for t in range(HORIZON):
            state, *_ = together.step(state, Navigation.action.scaled(noise[:, :, t]), rngs)
    return time.perf_counter() - begin


def serve(name: str) -> None:
    """Answer each line of the standard input by one on the standard output."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:THREADS])
    problem = policy_problem.problem()
    library, _, in_shards = name.partition(" ")
    make: Any = build if name == "minimeta" else importlib.import_module(f"peers.{library}_policy").build
    iterate, gradient = make(problem, THREADS) if in_shards else make(problem)
    for request in sys.stdin:
        begin, worked = time.perf_counter(), time.process_time()
        if request.strip() == "gradient":
            found: Any = np.asarray(gradient(), np.float64).tolist()
        elif request.strip() == "simulate":
            found = simulator_seconds(problem)
        else:
            before, after, reached = iterate()
            found = [before, after, np.asarray(reached, np.float64).tolist()]
        took = time.perf_counter() - begin, time.process_time() - worked
        print(json.dumps([took, found]), file=answers, flush=True)


class Contender:
    """A process that serves."""

    def __init__(self, python: str, name: str) -> None:
        command = [python, str(Path(__file__)), "--serve", name]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def ask(self, request: str) -> tuple[tuple[float, float], Any]:
        """Return the seconds that it took, those of all processors together, and the answer."""
        assert self._process.stdin
        assert self._process.stdout
        print(request, file=self._process.stdin, flush=True)
        if not (answer := self._process.stdout.readline()):
            assert self._process.stderr
            raise SystemExit(self._process.stderr.read())
        took, found = json.loads(answer)
        return tuple(took), found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--peers", metavar="PYTHON", help="the interpreter of the peers' environment")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--serve", metavar="NAME", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve)
        return
    pythons = {name: sys.executable if name == "minimeta" else options.peers for name in CONTENDERS}
    contenders = {name: Contender(python, name) for name, python in pythons.items() if python}
    first = {name: each.ask("iterate") for name, each in contenders.items()}
    gradients = {name: np.array(each.ask("gradient")[1]) for name, each in contenders.items()}
    start, ours = policy_problem.problem().weights, gradients["minimeta"]
    times: dict[str, list[float]] = {name: [] for name in contenders}
    works: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(options.rounds):
        for name, each in contenders.items():
            seconds, work = each.ask("iterate")[0]
            times[name].append(seconds)
            works[name].append(work)
    print(f"{'':10}" + "".join(f"{name:>11}{'/ minimeta':>11}" for name in ("median s", "fastest s", "work s")), end="")
    print(f"{'first s':>9}{'before':>10}{'after':>10}{'gradient off':>14}{'step off':>10}")
    moved = {name: np.array(found[2]) - start for name, (_, found) in first.items()}
    for name in contenders:
        (seconds, _), (before, after, _) = first[name]
        off = [
            np.linalg.norm(found[name] - found["minimeta"]) / np.linalg.norm(found["minimeta"])
            for found in (gradients, moved)
        ]
        print(f"{name:10}", end="")
        for of, found in ((median, times), (min, times), (min, works)):
            print(f"{of(found[name]):11.3f}{of(found[name]) / of(found['minimeta']):11.2f}", end="")
        print(f"{seconds:9.1f}{before:10.2f}{after:10.2f}{off[0]:14.0e}{off[1]:10.0e}")
        if off[0] > NEAR:
            print(f"  !! {name} DISAGREES with a meta-gradient of length {np.linalg.norm(ours):.3g}: not ranked")
    share = median(contenders["minimeta"].ask("simulate")[1] for _ in range(3)) / median(times["minimeta"])
    print(f"the simulator takes {100 * share:.0f} % of minimeta's time")


if __name__ == "__main__":
    main()
