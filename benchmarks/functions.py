"""numpy's functions with their gradients, next to PyTorch and JAX: attention by einsum, sort, cumsum and FFT.

    python benchmarks/functions.py [CASE ...]

needs ``torch`` and ``jax`` in the same environment. Every library has two threads. Gradients are
compared first; then the libraries run in turns, and the fastest of all turns counts. The last column
is minimeta's time in units of the better of the two.
"""

from __future__ import annotations

import os

os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=true intra_op_parallelism_threads=2"

import argparse
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import torch

import minimeta as mm

TURNS = 40
SECONDS = 0.05
"""The least time that one library runs in a turn."""

Run = Callable[[], Any]


def attention(einsum: Callable[..., Any], softmax: Callable[..., Any]) -> Callable[..., Any]:
    """Self-attention of several heads, with a library's own softmax."""

    def function(x: Any, w: Any) -> Any:
        q, k, v = (einsum("btf,hfd->bhtd", x, w[i]) for i in range(3))
        weights = softmax(einsum("bhtd,bhsd->bhts", q, k) * 0.25, -1)
        return (einsum("bhts,bhsd->bthd", weights, v) ** 2).sum()

    return function


def cases() -> dict[str, tuple[tuple[Any, ...], Callable[..., Any], Callable[..., Any], Callable[..., Any]]]:
    """Name: arguments, and the function in minimeta, JAX and PyTorch; the gradient is in all arguments."""
    rng = np.random.default_rng(0)

    def draw(*shape: int) -> Any:
        return rng.normal(size=shape).astype(np.float32)

    x, w, long, weight = draw(8, 128, 64), draw(3, 4, 64, 16) / 8, draw(1_000_000), draw(1_000_000)
    distinct = rng.permutation(1_000_000).astype(np.float32)  # of equal elements, which goes first is free
    jnp = jax.numpy
    heavy = torch.tensor(weight)
    return {
        "attention by einsum": (
            (x, w),
            attention(np.einsum, mm.softmax),
            attention(jnp.einsum, jax.nn.softmax),
            attention(torch.einsum, torch.softmax),
        ),
        "sort of 10^6": (
            (distinct,),
            lambda x: np.sum(weight * np.sort(x)),
            lambda x: jnp.sum(weight * jnp.sort(x)),
            lambda x: (heavy * torch.sort(x)[0]).sum(),
        ),
        "cumsum of 10^6": (
            (long,),
            lambda x: np.sum(np.square(np.cumsum(x))),
            lambda x: jnp.sum(jnp.square(jnp.cumsum(x))),
            lambda x: torch.cumsum(x, 0).square().sum(),
        ),
        "fft of 10^6": (
            (long,),
            lambda x: np.sum(np.abs(np.fft.rfft(x)) ** 2),
            lambda x: jnp.sum(jnp.abs(jnp.fft.rfft(x)) ** 2),
            lambda x: (torch.fft.rfft(x).abs() ** 2).sum(),
        ),
    }


def runs(name: str) -> dict[str, Run]:
    """The gradient of a case in each library."""
    arguments, ours, in_jax, in_torch = cases()[name]
    places = tuple(range(len(arguments)))
    compiled = mm.compile(mm.grad(ours, places))
    on_jax, jitted = [jax.numpy.asarray(x) for x in arguments], jax.jit(jax.grad(in_jax, places))
    tensors = [torch.tensor(x, requires_grad=True) for x in arguments]
    return {
        "minimeta": lambda: compiled(*arguments),
        "jax": lambda: jax.block_until_ready(jitted(*on_jax)),
        "torch": lambda: torch.autograd.grad(in_torch(*tensors), tensors),
    }


def compare(found: dict[str, Any]) -> float:
    """Return the largest difference of two libraries' gradients, in units of the largest element."""
    worst = 0.0
    for ours, *theirs in zip(*([np.asarray(g) for g in each] for each in found.values()), strict=True):
        worst = max(worst, *(float(np.abs(ours - g).max() / np.abs(ours).max()) for g in theirs))
    return worst


def seconds(run: Run) -> float:
    """The fastest run within a turn."""
    fastest, start = np.inf, time.perf_counter()
    while time.perf_counter() - start < SECONDS:
        before = time.perf_counter()
        run()
        fastest = min(fastest, time.perf_counter() - before)
    return fastest


def main() -> None:
    """Print a row for each case."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="*", default=list(cases()))
    parser.add_argument("--turns", type=int, default=TURNS)
    given = parser.parse_args()
    mm.set_num_threads(2)
    torch.set_num_threads(2)
    for name in given.cases:
        each = runs(name)
        difference = compare({library: run() for library, run in each.items()})
        assert difference < 1e-3, f"{name}: gradients differ by {difference:.1e}"
        fastest = dict.fromkeys(each, np.inf)
        for _ in range(given.turns):
            for library, run in each.items():
                fastest[library] = min(fastest[library], seconds(run))
        ratio = fastest["minimeta"] / min(fastest["jax"], fastest["torch"])
        times = ", ".join(f"{library} {1e3 * t:.2f} ms" for library, t in fastest.items())
        print(f"{name:22} {times}  gradients within {difference:.0e}  ratio {ratio:.2f}", flush=True)


if __name__ == "__main__":
    main()
