"""The cost of an eager operation: one addition of ten floats, recorded, and with its backward pass.

    python benchmarks/overhead.py

Every library does the same work on ten float32 numbers, in turns in one process, on one thread:

- *recorded*: ``z = x + y``, where ``x`` and ``y`` are being differentiated, so that the operation enters the tape;
- *with backward*: the same, and then the walk from ``z`` back to the cotangents of ``x`` and ``y``;
- *numpy to numpy*: a whole transformation, from numpy arrays through a new tape to numpy arrays of gradients
  (``vjp`` here, ``make_vjp`` in autograd, ``from_numpy(x).requires_grad_()`` and ``.numpy()`` in torch).

The table has the median and the least over rounds in microseconds, and the median ratio to minimeta in the same round.
autograd and torch are skipped with a message if they are not installed.
"""

from __future__ import annotations

import importlib
import statistics
import sys
import time
from collections.abc import Callable

import numpy as np

import minimeta as mm
from minimeta.autodiff.array import Array, Trace
from minimeta.autodiff.graph import Recording, alias, backward

CALLS = 2_000
ROUNDS = 25

Case = tuple[str, str, Callable[[], object]]


def minimeta_cases() -> list[Case]:
    x, y, g = (np.ones(10, np.float32) for _ in range(3))
    trace = Trace()  # It stays open, as it does while a differentiated function runs.
    a, b, cotangent = alias(x, trace), alias(y, trace), Array(g)
    leaves = [a, b]

    def walk() -> object:
        z = a + b
        return backward(Recording(trace, leaves, z), (z,), (cotangent,))

    def whole() -> object:
        _, pullback = mm.vjp(mm.add, x, y)
        return pullback(g)

    return [
        ("minimeta", "recorded", lambda: a + b),
        ("minimeta", "with backward", walk),
        ("minimeta", "numpy to numpy", whole),
    ]


def autograd_cases() -> list[Case]:
    anp = importlib.import_module("autograd.numpy")
    core = importlib.import_module("autograd.core")
    tracer = importlib.import_module("autograd.tracer")
    x, y, g = (np.ones(10, np.float32) for _ in range(3))
    with tracer.trace_stack.new_trace() as level:
        roots = [core.VJPNode.new_root() for _ in range(2)]
        a, b = (tracer.new_box(value, level, root) for value, root in zip((x, y), roots, strict=True))

    def walk() -> object:
        return core.backward_pass(g, (a + b)._node)

    def whole() -> object:
        vjp, _ = core.make_vjp(lambda pair: anp.add(pair[0], pair[1]), (x, y))
        return vjp(g)

    return [
        ("autograd", "recorded", lambda: a + b),
        ("autograd", "with backward", walk),
        ("autograd", "numpy to numpy", whole),
    ]


def torch_cases() -> list[Case]:
    torch = importlib.import_module("torch")
    torch.set_num_threads(1)
    x, y, g = (np.ones(10, np.float32) for _ in range(3))
    a, b = (torch.from_numpy(value).requires_grad_() for value in (x, y))
    cotangent = torch.from_numpy(g)

    def whole() -> object:
        a, b = torch.from_numpy(x).requires_grad_(), torch.from_numpy(y).requires_grad_()
        return [d.numpy() for d in torch.autograd.grad(a + b, (a, b), torch.from_numpy(g))]

    return [
        ("torch", "recorded", lambda: a + b),
        ("torch", "with backward", lambda: torch.autograd.grad(a + b, (a, b), cotangent)),
        ("torch", "numpy to numpy", whole),
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
    print(f"{'library':10} {'work':16} {'median us':>10} {'least us':>10} {'/ minimeta':>11}")
    for row, (library, what, _) in zip(times, cases, strict=True):
        ratio = statistics.median(t / b for t, b in zip(row, ours[what], strict=True)) if what in ours else float("nan")
        print(f"{library:10} {what:16} {statistics.median(row):10.2f} {min(row):10.2f} {ratio:11.2f}")


if __name__ == "__main__":
    main()
