"""How long linear algebra and Fourier transforms take, with their gradients, in minimeta, JAX and PyTorch.

    python benchmarks/linear.py --peers PYTHON

`PYTHON` has jax 0.10.2 and torch 2.13.0 (``pip install jax==0.10.2 torch==2.13.0`` in an environment of its own); the
interpreter that runs this file has minimeta. Each library is a process with two threads. They take turns, and the
fastest of their runs is what counts, in float64:

    likelihood    of 500 observations of a Gaussian process, by Cholesky's factor, with its gradient
    transform     the energy of 10^6 numbers in weighted frequencies (rfft), with its gradient
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

THREADS = "2"
POINTS, LENGTH = 500, 10**6
Run = Callable[[], Any]


def data(case: str) -> tuple[Any, ...]:
    """Return what a case computes with: the variable first."""
    rng = np.random.default_rng(0)
    if case == "transform":
        return rng.normal(size=LENGTH), rng.uniform(size=LENGTH // 2 + 1)
    x = np.sort(rng.uniform(-5, 5, POINTS))
    return np.array([0.1, -0.5, -2.0]), (x[:, None] - x) ** 2, np.sin(x) + 0.1 * rng.normal(size=POINTS)


def energy(library: Any, x: Any, weights: Any) -> Any:
    """The weighted energy of the frequencies of a real signal."""
    y = library.fft.rfft(x)
    return library.sum(weights * (y.real**2 + y.imag**2))


def likelihood(library: Any, triangular: Callable[[Any, Any], Any], p: Any, squares: Any, targets: Any) -> Any:
    """The logarithm of the marginal likelihood of a Gaussian process, up to a constant."""
    k = library.exp(p[0] - 0.5 * squares * library.exp(-2 * p[1])) + library.exp(p[2]) * library.eye(POINTS)
    factor = library.linalg.cholesky(k)
    white = triangular(factor, targets)
    return -0.5 * library.sum(white * white) - library.sum(library.log(library.linalg.diagonal(factor)))


def in_minimeta(case: str) -> Run:
    """Return one run of a case, compiled."""
    import minimeta as mm  # noqa: PLC0415 (each library is imported where it is asked)

    variable, *others = data(case)

    def triangular(a: Any, b: Any) -> Any:
        return mm.linalg.solve_triangular(a, b, lower=True)

    def loss(x: Any, *others: Any) -> Any:
        return energy(np, x, *others) if case == "transform" else likelihood(np, triangular, x, *others)

    compiled = mm.compile(mm.value_and_grad(loss))
    return lambda: compiled(variable, *others)


def in_jax(case: str) -> Run:
    """Return one run of a case, compiled."""
    import jax  # noqa: PLC0415

    jax.config.update("jax_enable_x64", True)
    variable, *others = map(jax.numpy.asarray, data(case))

    def triangular(a: Any, b: Any) -> Any:
        return jax.scipy.linalg.solve_triangular(a, b, lower=True)

    def loss(x: Any, *others: Any) -> Any:
        return energy(jax.numpy, x, *others) if case == "transform" else likelihood(jax.numpy, triangular, x, *others)

    compiled = jax.jit(jax.value_and_grad(loss))
    return lambda: jax.block_until_ready(compiled(variable, *others))


def in_torch(case: str) -> Run:
    """Return one run of a case."""
    import torch  # noqa: PLC0415

    torch.set_num_threads(int(THREADS))
    variable, *others = map(torch.from_numpy, data(case))

    def loss(x: Any) -> Any:
        if case == "transform":
            return energy(torch, x, *others)
        squares, targets = others
        eye = torch.eye(POINTS, dtype=torch.float64)
        k = torch.exp(x[0] - 0.5 * squares * torch.exp(-2 * x[1])) + torch.exp(x[2]) * eye
        factor = torch.linalg.cholesky(k)
        white = torch.linalg.solve_triangular(factor, targets[:, None], upper=False)
        return -0.5 * torch.sum(white * white) - torch.sum(torch.log(torch.diagonal(factor)))

    def run() -> Any:
        x = variable.clone().requires_grad_(True)
        value = loss(x)
        value.backward()
        return value.detach().numpy(), x.grad.numpy()

    return run


LIBRARIES = {"minimeta": in_minimeta, "jax": in_jax, "torch": in_torch}


def serve(library: str, case: str) -> None:
    """Answer each line with the fastest of some runs, in seconds, and with the norm of the gradient."""
    run = LIBRARIES[library](case)
    norm = float(np.linalg.norm(np.asarray(run()[1])))
    run()
    for line in sys.stdin:
        times = []
        for _ in range(int(line)):
            begin = time.perf_counter()
            run()
            times.append(time.perf_counter() - begin)
        print(json.dumps([min(times), norm]), flush=True)


def start(python: str, library: str, case: str) -> subprocess.Popen[str]:
    """Start one library."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    environment = os.environ | dict.fromkeys(names, THREADS)
    command = [python, __file__, "--serve", library, case]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)


def ask(process: subprocess.Popen[str], runs: int) -> tuple[float, float]:
    """Return the fastest of some runs, and the norm of the gradient."""
    assert process.stdin and process.stdout
    process.stdin.write(f"{runs}\n")
    process.stdin.flush()
    seconds, norm = json.loads(process.stdout.readline())
    return seconds, norm


def main() -> None:
    """Print a row for each case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", default=sys.executable, help="a Python with jax and torch")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(*options.serve)
        return
    for case in ("likelihood", "transform"):
        pythons = {name: sys.executable if name == "minimeta" else options.peers for name in LIBRARIES}
        processes = {name: start(python, name, case) for name, python in pythons.items()}
        fastest: dict[str, float] = {}
        norms = {}
        for _ in range(options.rounds):
            for name, process in processes.items():
                seconds, norms[name] = ask(process, 5)
                fastest[name] = min(fastest.get(name, np.inf), seconds)
        for process in processes.values():
            process.terminate()
        assert np.allclose(list(norms.values()), norms["jax"], rtol=1e-8), norms
        best = min(seconds for name, seconds in fastest.items() if name != "minimeta")
        row = "   ".join(f"{name} {1e3 * seconds:8.2f} ms" for name, seconds in fastest.items())
        print(f"{case:10}   {row}   minimeta / best {fastest['minimeta'] / best:.2f}")


if __name__ == "__main__":
    main()
