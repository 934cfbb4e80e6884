"""Functions as anybody writes them, next to PyTorch and JAX at their best.

    python benchmarks/functions.py [CASE ...]

needs ``torch`` and ``jax`` in the same environment. Every library has two threads. Results are
compared first: gradients in all arguments, or values where a case says so. Then the libraries run in
turns, each at least 50 ms in each. The ratios are minimeta's time in units of the better of the two,
by the fastest of all turns and by the median turn; the last column is the goal.
"""

from __future__ import annotations

import os

os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=true intra_op_parallelism_threads=2"

import argparse
import time
from collections.abc import Callable
from typing import Any, NamedTuple

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


class Case(NamedTuple):
    """A function in each library, and the ratio to reach."""

    goal: float
    arguments: tuple[Any, ...]
    minimeta: Callable[..., Any]
    jax: Callable[..., Any]
    torch: Callable[..., Any]
    gradient: bool = True


def layer_norm(mean: Callable[..., Any], sqrt: Callable[..., Any]) -> Callable[..., Any]:
    """Layer normalisation by its equations, times a cotangent."""

    def function(x: Any, scale: Any, offset: Any, cotangent: Any) -> Any:
        deviation = x - mean(x, -1, keepdims=True)
        spread = mean(deviation * deviation, -1, keepdims=True)
        return ((deviation / sqrt(spread + 1e-5) * scale + offset) * cotangent).sum()

    return function


def probabilities(exp: Callable[..., Any], most: Callable[..., Any]) -> Callable[..., Any]:
    """Softmax by its equations."""

    def function(x: Any) -> Any:
        weights = exp(x - most(x))
        return weights / weights.sum(-1, keepdims=True)

    return function


def cases() -> dict[str, Case]:
    """The cases by name."""
    rng = np.random.default_rng(0)

    def draw(*shape: int) -> Any:
        return rng.normal(size=shape).astype(np.float32)

    x, w, long, weight = draw(8, 128, 64), draw(3, 4, 64, 16) / 8, draw(1_000_000), draw(1_000_000)
    distinct = rng.permutation(1_000_000).astype(np.float32)  # of equal elements, which goes first is free
    rows = draw(10_000, 1_000)
    layer = (rows, draw(1_000), draw(1_000), draw(10_000, 1_000))
    jnp, normalised = jax.numpy, torch.nn.functional.layer_norm
    heavy = torch.tensor(weight)
    found = {
        "attention by einsum": Case(
            0.6,
            (x, w),
            attention(np.einsum, mm.softmax),
            attention(jnp.einsum, jax.nn.softmax),
            attention(torch.einsum, torch.softmax),
        ),
        "layer norm of 10^7": Case(
            0.7,
            layer,
            layer_norm(np.mean, np.sqrt),
            layer_norm(jnp.mean, jnp.sqrt),
            lambda x, scale, offset, g: (normalised(x, (1_000,), scale, offset) * g).sum(),
        ),
        "layer norm, values": Case(
            0.7,
            layer[:3],
            lambda x, scale, offset: mm.nn.layer_norm(x, scale=scale, offset=offset),
            lambda x, scale, offset: (
                (x - x.mean(-1, keepdims=True)) / jnp.sqrt(x.var(-1, keepdims=True) + 1e-5) * scale + offset
            ),
            lambda x, scale, offset: normalised(x, (1_000,), scale, offset),
            gradient=False,
        ),
        "softmax by hand": Case(
            0.9,
            (rows,),
            probabilities(np.exp, lambda x: np.max(x, -1, keepdims=True)),
            probabilities(jnp.exp, lambda x: jnp.max(x, -1, keepdims=True)),
            lambda x: torch.softmax(x, -1),
            gradient=False,
        ),
        "sum over axis 0": Case(
            0.9, (rows,), lambda x: np.sum(x, 0), lambda x: jnp.sum(x, 0), lambda x: torch.sum(x, 0), gradient=False
        ),
        "sort of 10^6": Case(
            1.0,
            (distinct,),
            lambda x: np.sum(weight * np.sort(x)),
            lambda x: jnp.sum(weight * jnp.sort(x)),
            lambda x: (heavy * torch.sort(x)[0]).sum(),
        ),
        "cumsum of 10^6": Case(
            1.0,
            (long,),
            lambda x: np.sum(np.square(np.cumsum(x))),
            lambda x: jnp.sum(jnp.square(jnp.cumsum(x))),
            lambda x: torch.cumsum(x, 0).square().sum(),
        ),
        "fft of 10^6": Case(
            1.0,
            (long,),
            lambda x: np.sum(np.abs(np.fft.rfft(x)) ** 2),
            lambda x: jnp.sum(jnp.abs(jnp.fft.rfft(x)) ** 2),
            lambda x: (torch.fft.rfft(x).abs() ** 2).sum(),
        ),
    }
    for shape in ((64, 128, 128), (256, 256), (2048, 2048)):
        for dtype in (np.float32, np.float64):
            factors = (draw(*shape).astype(dtype), draw(*shape).astype(dtype))
            name = f"products {' x '.join(map(str, shape))} {np.dtype(dtype).name}"
            found[name] = Case(
                0.9 if len(shape) == 3 else 1.0, factors, np.matmul, jnp.matmul, torch.matmul, gradient=False
            )
    return found


def runs(case: Case) -> dict[str, Run]:
    """What is measured of a case in each library."""
    arguments = case.arguments
    places = tuple(range(len(arguments)))
    compiled = mm.compile(mm.grad(case.minimeta, places) if case.gradient else case.minimeta)
    on_jax = [jax.numpy.asarray(x) for x in arguments]
    jitted = jax.jit(jax.grad(case.jax, places) if case.gradient else case.jax)
    tensors = [torch.tensor(x, requires_grad=case.gradient) for x in arguments]
    return {
        "minimeta": lambda: compiled(*arguments),
        "jax": lambda: jax.block_until_ready(jitted(*on_jax)),
        "torch": lambda: torch.autograd.grad(case.torch(*tensors), tensors) if case.gradient else case.torch(*tensors),
    }


def compare(found: dict[str, Any]) -> float:
    """Return the largest difference of two libraries' results, in units of the largest element."""
    worst = 0.0
    parts = [each if isinstance(each, (tuple, list)) else (each,) for each in found.values()]
    for ours, *theirs in zip(*([np.asarray(y) for y in each] for each in parts), strict=True):
        worst = max(worst, *(float(np.abs(ours - y).max() / np.abs(ours).max()) for y in theirs))
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
    jax.config.update("jax_enable_x64", True)
    mm.set_num_threads(2)
    torch.set_num_threads(2)
    every = cases()
    for name in given.cases:
        each = runs(every[name])
        difference = compare({library: run() for library, run in each.items()})
        assert difference < 1e-3, f"{name}: results differ by {difference:.1e}"
        times: dict[str, list[float]] = {library: [] for library in each}
        for _ in range(given.turns):
            for library, run in each.items():
                times[library].append(seconds(run))
        fastest, medians = ({library: by(t) for library, t in times.items()} for by in (min, np.median))
        ratios = [t["minimeta"] / min(t["jax"], t["torch"]) for t in (fastest, medians)]
        shown = ", ".join(f"{library} {1e3 * t:.2f}" for library, t in fastest.items())
        print(
            f"{name:34} {shown} ms; within {difference:.0e}; ratio {ratios[0]:.2f}, of medians {ratios[1]:.2f}; "
            f"goal {every[name].goal}",
            flush=True,
        )


if __name__ == "__main__":
    main()
