"""What an eager operation costs: one addition of ten floats, recorded, and with its backward pass.

    python benchmarks/overhead.py

Every library does the same work on ten float32 numbers, interleaved in one process, one thread:

- *recorded*: ``z = x + y`` where ``x`` and ``y`` are being differentiated, so that the operation enters the tape;
- *with backward*: ``x`` and ``y`` become differentiable, ``z = x + y``, and the cotangents of both for a given one of
  ``z``. In autograd this is ``make_vjp``; in torch ``detach().requires_grad_()`` and ``torch.autograd.grad``, and, as
  torch can keep its leaves from step to step where the others cannot, also that cheaper form.

Printed are the medians of the rounds in microseconds, and the ratio to minimeta in the same rounds. autograd and torch
are skipped with a line where they are not installed.
"""

from __future__ import annotations

import importlib
import statistics
import sys
import time
from collections.abc import Callable

import numpy as np

import minimeta as mm

CALLS = 2_000
ROUNDS = 25

Case = tuple[str, str, Callable[[], object]]


def minimeta_cases() -> list[Case]:
    from minimeta.autodiff.array import Trace
    from minimeta.autodiff.graph import alias

    x, y, g = (np.ones(10, np.float32) for _ in range(3))
    trace = Trace()  # stays open, as it does while a differentiated function runs
    a, b = alias(x, trace), alias(y, trace)

    def backward() -> object:
        _, pullback = mm.vjp(mm.add, x, y)
        return pullback(g)

    return [("minimeta", "recorded", lambda: a + b), ("minimeta", "with backward", backward)]


def autograd_cases() -> list[Case]:
    anp = importlib.import_module("autograd.numpy")
    core = importlib.import_module("autograd.core")
    tracer = importlib.import_module("autograd.tracer")
    x, y, g = (np.ones(10, np.float32) for _ in range(3))
    stack = tracer.trace_stack
    with stack.new_trace() as level:
        node = core.VJPNode.new_root()
        a, b = tracer.new_box(x, level, node), tracer.new_box(y, level, node)

    def backward() -> object:
        vjp, _ = core.make_vjp(lambda pair: anp.add(pair[0], pair[1]), (x, y))
        return vjp(g)

    return [("autograd", "recorded", lambda: a + b), ("autograd", "with backward", backward)]


def torch_cases() -> list[Case]:
    torch = importlib.import_module("torch")
    torch.set_num_threads(1)
    x, y = (torch.ones(10, requires_grad=True) for _ in range(2))
    g = torch.ones(10)

    def backward() -> object:
        a, b = x.detach().requires_grad_(), y.detach().requires_grad_()
        return torch.autograd.grad(a + b, (a, b), g)

    return [
        ("torch", "recorded", lambda: x + y),
        ("torch", "with backward", backward),
        ("torch", "with backward, leaves kept", lambda: torch.autograd.grad(x + y, (x, y), g)),
    ]


def microseconds(function: Callable[[], object]) -> float:
    begin = time.perf_counter()
    for _ in range(CALLS):
        function()
    return (time.perf_counter() - begin) / CALLS * 1e6


def main() -> None:
    one = np.ones(10, np.float32)
    cases: list[Case] = [("numpy", "plain", lambda: one + one), *minimeta_cases()]
    for name, make in (("autograd", autograd_cases), ("torch", torch_cases)):
        try:
            cases += make()
        except ImportError:
            print(f"{name} is not installed: skipped", file=sys.stderr)
    times: list[list[float]] = [[] for _ in cases]
    for _ in range(ROUNDS):
        for row, (_, _, function) in zip(times, cases, strict=True):
            row.append(microseconds(function))
    ours = {what: row for row, (library, what, _) in zip(times, cases, strict=True) if library == "minimeta"}
    print(f"{'library':10} {'work':28} {'median us':>10} {'least us':>10} {'/ minimeta':>11}")
    for row, (library, what, _) in zip(times, cases, strict=True):
        base = ours.get(what.partition(",")[0])
        ratio = statistics.median(t / b for t, b in zip(row, base, strict=True)) if base else float("nan")
        print(f"{library:10} {what:28} {statistics.median(row):10.2f} {min(row):10.2f} {ratio:11.2f}")


if __name__ == "__main__":
    main()
