"""Programs that nobody tuned for, as a user writes them, in minimeta and its peers.

    python benchmarks/untuned.py [--peers PYTHON] [--rounds 12] [CASE ...]

``PYTHON`` is the interpreter of an environment with ``torch==2.13.0 jax==0.10.2 jaxlib==0.10.2``.
Each library runs in a process of its own, on two threads. Results are compared first; then the
libraries take turns, so that a busy machine slows all of them. A ratio is minimeta's time by that
of the best peer, by the fastest steps and by the medians. Rows without peers are what compiling
takes, in processor seconds.
"""

from __future__ import annotations

import argparse
import base64
import itertools
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

THREADS = 2
SECONDS = 0.2  #: that a library steps for, each time it is its turn

#: By case: what to reach, the ratio to the best peer or processor seconds, and the libraries.
GOALS: dict[str, tuple[float, tuple[str, ...]]] = {
    "hessian, 50 of a logistic regression": (0.6, ("jax", "torch")),
    "jacobian, 64 -> 64": (0.6, ("jax", "jax forward", "torch")),
    "hessian, 400 of a network": (0.7, ("jax", "torch")),
    "eager gradient, 3 layers, batch 32": (1.1, ("torch",)),
    "eager chain of 1,000 operations": (0.9, ("torch",)),
    "compile 50 inner steps": (0.3, ()),
    "compile a GRU over 800 steps": (2.0, ()),
    "compile 10,000 products": (2.0, ()),
}


class Minimeta:
    """What the cases need of a library."""

    np: Any
    array: Any
    wait: Any
    compile: Any
    grad: Any
    jacobian: Any
    hessian: Any
    reshape: Any

    def __init__(self, name: str) -> None:
        import minimeta as mm  # noqa: PLC0415 (not in the peers' environment)

        mm.set_num_threads(THREADS)
        self.np, self.array, self.wait, self.compile = np, np.asarray, lambda x: x, mm.compile
        self.grad, self.jacobian, self.hessian = mm.grad, mm.jacobian, mm.hessian
        self.reshape = np.reshape

    def eager_gradient(self, function: Callable[..., Any], *arguments: Any) -> Callable[[], Any]:
        gradient = self.grad(function)
        return lambda: gradient(*arguments)


class Jax(Minimeta):
    def __init__(self, name: str) -> None:
        import jax  # noqa: PLC0415

        self.np, self.array, self.wait, self.compile = jax.numpy, jax.numpy.asarray, jax.block_until_ready, jax.jit
        self.grad, self.jacobian, self.hessian = jax.grad, jax.jacrev, jax.hessian
        self.reshape = jax.numpy.reshape
        if name == "jax forward":
            self.jacobian = jax.jacfwd


class Torch(Minimeta):
    def __init__(self, name: str) -> None:
        import torch  # noqa: PLC0415

        torch.set_num_threads(THREADS)
        self.np, self.array, self.wait, self.compile = torch, torch.as_tensor, lambda x: x, lambda f: f
        self.grad, self.jacobian, self.hessian = torch.func.grad, torch.func.jacrev, torch.func.hessian
        self.reshape = torch.reshape

    def eager_gradient(self, function: Callable[..., Any], *arguments: Any) -> Callable[[], Any]:
        def step() -> list[Any]:
            first = [x.clone().requires_grad_() for x in arguments[0]]
            loss = function(first, *arguments[1:])
            loss.backward()
            return [x.grad for x in first]

        return step


LIBRARIES: dict[str, Callable[[str], Minimeta]] = {
    "minimeta": Minimeta,
    "jax": Jax,
    "jax forward": Jax,
    "torch": Torch,
}


def network(library: Minimeta, sizes: tuple[int, ...], batch: int) -> tuple[list[Any], Any, Any]:
    """Weights and biases in turn, and examples."""
    rng = np.random.default_rng(0)
    shapes = [shape for pair in itertools.pairwise(sizes) for shape in (pair, (pair[1],))]
    arrays = [rng.normal(size=shape).astype(np.float32) / np.float32(shape[0] ** 0.5) for shape in shapes]
    x, y = (rng.normal(size=(batch, size)).astype(np.float32) for size in (sizes[0], sizes[-1]))
    return [library.array(p) for p in arrays], library.array(x), library.array(y)


def predicted(library: Minimeta, parameters: Any, x: Any) -> Any:
    *hidden, last = zip(parameters[::2], parameters[1::2], strict=True)
    for w, b in hidden:
        x = library.np.tanh(x @ w + b)
    return x @ last[0] + last[1]


def logistic_hessian(library: Minimeta) -> Callable[[], Any]:
    rng = np.random.default_rng(0)
    x = library.array(rng.normal(size=(1000, 50)).astype(np.float32))
    sign = library.array(rng.choice([-1.0, 1.0], 1000).astype(np.float32))
    w = library.array(rng.normal(size=50).astype(np.float32) / 10)

    def loss(w: Any) -> Any:
        return library.np.mean(library.np.log(1 + library.np.exp(-sign * (x @ w))))

    compiled = library.compile(library.hessian(loss))
    return lambda: compiled(w)


def network_jacobian(library: Minimeta) -> Callable[[], Any]:
    parameters, x, _ = network(library, (64, 64, 64, 64), 1)
    compiled = library.compile(library.jacobian(lambda x: predicted(library, parameters, x)))
    return lambda: compiled(x[0])


def network_hessian(library: Minimeta) -> Callable[[], Any]:
    parameters, x, y = network(library, (8, 16, 12, 4), 64)
    shapes = [tuple(p.shape) for p in parameters]
    bounds = np.cumsum([0, *map(int, map(np.prod, shapes))]).tolist()
    flat = library.array(np.concatenate([np.asarray(p).ravel() for p in parameters]))

    def loss(flat: Any) -> Any:
        parts = [
            library.reshape(flat[start:stop], shape)
            for start, stop, shape in zip(bounds[:-1], bounds[1:], shapes, strict=True)
        ]
        return library.np.mean((predicted(library, parts, x) - y) ** 2)

    compiled = library.compile(library.hessian(loss))
    return lambda: compiled(flat)


def eager_network(library: Minimeta) -> Callable[[], Any]:
    parameters, x, y = network(library, (64, 64, 64, 10), 32)

    def loss(parameters: Any) -> Any:
        return library.np.mean((predicted(library, parameters, x) - y) ** 2)

    return library.eager_gradient(loss, parameters)


def eager_chain(library: Minimeta) -> Callable[[], Any]:
    def chain(parameters: Any) -> Any:
        (x,) = parameters
        for _ in range(500):
            x = library.np.sin(x) * 1.5
        return x

    return library.eager_gradient(chain, [library.array(np.asarray(0.5, np.float32))])


def inner_steps(library: Minimeta) -> Callable[[], Any]:
    parameters, x, y = network(library, (1, 40, 40, 1), 40)
    x, y = x.reshape(4, 10, 1), y.reshape(4, 10, 1)

    def loss(parameters: Any, x: Any, y: Any) -> Any:
        return np.mean((predicted(library, parameters, x) - y) ** 2)

    def adapted(parameters: Any, x: Any, y: Any) -> Any:
        fast = parameters
        for _ in range(50):
            fast = [p - 0.01 * g for p, g in zip(fast, library.grad(loss)(fast, x, y), strict=True)]
        return loss(fast, x, y)

    def meta_loss(parameters: Any, x: Any, y: Any) -> Any:
        return np.mean(minimeta_vmap()(adapted, in_axes=(None, 0, 0))(parameters, x, y))

    return lambda: library.compile(library.grad(meta_loss)).lower(parameters, x, y).outputs


def gru(library: Minimeta) -> Callable[[], Any]:
    rng = np.random.default_rng(0)
    w = {name: (rng.normal(size=(4, 32)) / 2).astype(np.float32) for name in "zrh"}
    u = {name: (rng.normal(size=(32, 32)) / 6).astype(np.float32) for name in "zrh"}
    x = rng.normal(size=(800, 8, 4)).astype(np.float32)

    def loss(parameters: Any, x: Any) -> Any:
        w, u = parameters
        h = np.zeros((8, 32), np.float32)
        for t in range(800):
            z = 1 / (1 + np.exp(-(x[t] @ w["z"] + h @ u["z"])))
            r = 1 / (1 + np.exp(-(x[t] @ w["r"] + h @ u["r"])))
            h = (1 - z) * h + z * np.tanh(x[t] @ w["h"] + (r * h) @ u["h"])
        return np.mean(h**2)

    return lambda: library.compile(library.grad(loss)).lower((w, u), x).outputs


def products(library: Minimeta) -> Callable[[], Any]:
    w = np.eye(4, dtype=np.float32)

    def chain(w: Any, x: Any) -> Any:
        for _ in range(10_000):
            x = x @ w
        return np.sum(x**2)

    return lambda: library.compile(library.grad(chain)).lower(w, w).outputs


def minimeta_vmap() -> Callable[..., Any]:
    from minimeta import vmap  # noqa: PLC0415

    return vmap


CASES: dict[str, Callable[[Minimeta], Callable[[], Any]]] = dict(
    zip(
        GOALS,
        (logistic_hessian, network_jacobian, network_hessian, eager_network, eager_chain, inner_steps, gru, products),
        strict=True,
    )
)


def serve(name: str, case: str) -> None:
    """Answer each line of the standard input by the times of some steps, the first by the result."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:THREADS])
    library = LIBRARIES[name](name)
    step = CASES[case](library)
    clock = time.perf_counter if GOALS[case][1] else time.process_time
    result = library.wait(step())
    leaves = result if isinstance(result, (list, tuple)) else [result]
    flat = np.concatenate([np.asarray(leaf, np.float32).ravel() for leaf in leaves])
    print(json.dumps(base64.b64encode(flat.tobytes()).decode()), flush=True)
    for _ in sys.stdin:
        times: list[float] = []
        while sum(times) < SECONDS:
            begin = clock()
            library.wait(step())
            times.append(clock() - begin)
        print(json.dumps(times), flush=True)


def measured(case: str, peers: str, rounds: int) -> str:
    """Return the row of a case."""
    goal, names = GOALS[case]
    python = {name: sys.executable if name == "minimeta" else peers for name in ("minimeta", *(names if peers else ()))}
    pipe = subprocess.PIPE
    workers = {
        name: subprocess.Popen([path, __file__, "--serve", name, case], stdin=pipe, stdout=pipe, text=True)
        for name, path in python.items()
    }

    def asked(worker: subprocess.Popen[str]) -> Any:
        assert worker.stdin and worker.stdout
        worker.stdin.write("\n")
        worker.stdin.flush()
        return json.loads(worker.stdout.readline())

    results = {
        name: np.frombuffer(base64.b64decode(json.loads(worker.stdout.readline())), np.float32)  # type: ignore[union-attr]
        for name, worker in workers.items()
    }
    for found in results.values():
        np.testing.assert_allclose(found, results["minimeta"], rtol=1e-3, atol=1e-4 * np.abs(found).max())
    times: dict[str, list[float]] = {name: [] for name in workers}
    for turn in range(rounds if names else 2):
        for name in list(workers)[:: 1 if turn % 2 else -1]:
            times[name] += asked(workers[name])
    for worker in workers.values():
        worker.kill()
    ours, *others = times.values()
    if not others:
        return f"| {case} | {min(ours):.2f} s | {statistics.median(ours):.2f} s | {goal} s |" if not names else ""
    row = [
        f"{min(ours) / min(map(min, others)):.2f}",
        f"{statistics.median(ours) / min(map(statistics.median, others)):.2f}",
    ]
    each = ", ".join(f"{name} {min(found) * 1e6:,.0f}" for name, found in times.items())
    return f"| {case} | {row[0]} | {row[1]} | {goal} | {each} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", help="parts of the names of cases")
    parser.add_argument("--peers", default="", help="the interpreter of the peers' environment")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        return serve(*options.serve)
    peers = str(Path(options.peers).absolute()) if options.peers else ""
    print("| | fastest | median | goal | microseconds |\n|---|---|---|---|---|")
    for case in GOALS:
        if not options.cases or any(part in case for part in options.cases):
            print(measured(case, peers, options.rounds), flush=True)
    return None


if __name__ == "__main__":
    main()
