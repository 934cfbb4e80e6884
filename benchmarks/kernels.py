"""How close the kernels come to the machine's peak, compared with numpy and torch: one thread, float32.

    python benchmarks/kernels.py [name ...]

Names choose groups: products, convolutions, poolings, functions, reductions, movements; by default all.

- The *peak* is measured here: multiply-adds in registers and nothing else, on one core, at each level of instructions
  that this processor runs.
- A *product* of a few microseconds is repeated in one call, as a batch that reads the same two matrices (strides of 0),
  so that the call itself is not measured; numpy and torch compute the same batch. ``call`` rows are single
  calls from Python.
- A *convolution* is 3 x 3 with padding, on a batch of 5 images: forward, the kernel's gradient, the images' gradient.
  We count the operations of its definition, so an algorithm that needs fewer can exceed 100 %. torch uses the
  better of its two memory layouts.
- A *pooling* is 2 x 2 in steps of 2: the largest cell, its element, and the transpose. torch finds cell and
  element at once, in the better of its two memory layouts.
- *Functions* are applied to 16,384 numbers, reductions to the shapes that are printed.

Times are processor time of the calling thread, so that other processes do not count, and the least over rounds in which
the libraries take turns. numpy and torch are limited to one thread; torch is skipped with a message if it is not
installed. "to reach" is this project's target, in per cent of the peak.
"""

from __future__ import annotations

import importlib
import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from minimeta import kernels

ROUNDS = 15
SECONDS = 0.004
"""Of repetitions in one round."""

Run = Callable[[], object]


@dataclass
class Case:
    """One kernel at one shape: its call, its ``work`` in multiply-adds or elements, and the peers' ways by library."""

    name: str
    work: int
    kernel: str
    operands: tuple[NDArray[Any], ...]
    arguments: dict[str, Any] = field(default_factory=dict)
    peers: dict[str, list[Run]] = field(default_factory=dict)
    to_reach: int | None = None

    def run(self, native: ModuleType) -> Run:
        return partial(getattr(native, self.kernel), *self.operands, **self.arguments)


def seconds(function: Run, repetitions: int) -> float:
    begin = time.thread_time()
    for _ in range(repetitions):
        function()
    return (time.thread_time() - begin) / repetitions


def least_times(functions: dict[str, list[Run]]) -> dict[str, float]:
    """The least time of each library's best way, in rounds in which all take turns."""
    ways = [(library, function) for library, functions in functions.items() for function in functions]
    repetitions = [max(1, math.ceil(SECONDS / max(min(seconds(f, 1), seconds(f, 1)), 1e-7))) for _, f in ways]
    least: dict[str, float] = {}
    for _ in range(ROUNDS):
        for (library, function), n in zip(ways, repetitions, strict=True):
            least[library] = min(least.get(library, math.inf), seconds(function, n))
    return least


def peak(native: ModuleType) -> float:
    """Multiply-adds a second, on one core."""
    rounds = 1_000_000
    done = native.multiply_adds("float32", rounds)
    return float(done / min(seconds(lambda: native.multiply_adds("float32", rounds), 1) for _ in range(20)))


def torch_or_none() -> Any:
    try:
        torch = importlib.import_module("torch")
    except ImportError:
        print("torch is not installed: skipped", file=sys.stderr)
        return None
    torch.set_num_threads(1)
    return torch


def numbers(*shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def products(torch: Any) -> list[Case]:
    plain = [
        ((5, 784, 64), 75), ((64, 64, 64), 75), ((10, 40, 40), 65), ((1024, 1024, 1024), 60),
        ((5, 784, 256), None), ((5, 64, 64), None), ((25, 40, 40), None), ((5, 64, 5), None), ((256, 256, 256), None),
    ]  # fmt: skip
    transposed = [((784, 5, 64), True, False), ((40, 10, 40), True, False), ((5, 64, 784), False, True)]
    cases = []
    for (m, k, n), turn_x, turn_y, to_reach in [
        *((shape, False, False, to_reach) for shape, to_reach in plain),
        *((*turned, None) for turned in transposed),
    ]:
        x, y = numbers(*((k, m) if turn_x else (m, k))), numbers(*((n, k) if turn_y else (k, n)))
        name = f"{m} x {k} x {n}" + " x^T" * turn_x + " y^T" * turn_y
        batch = max(1, min(64, 200_000 // (m * n)))
        batches = [(batch, name, to_reach)] + ([(1, f"{name} call", None)] if batch > 1 else [])
        for size, label, asked in batches:
            many = [np.broadcast_to(z, (size, *z.shape)) if size > 1 else z for z in (x, y)]
            turned = [np.swapaxes(z, -1, -2) if turn else z for z, turn in zip(many, (turn_x, turn_y), strict=True)]
            peers: dict[str, list[Run]] = {"numpy": [partial(np.matmul, *turned)]}
            if torch:
                tensors = [torch.from_numpy(z).expand(w.shape) for z, w in zip((x, y), many, strict=True)]
                tensors = [z.mT if turn else z for z, turn in zip(tensors, (turn_x, turn_y), strict=True)]
                peers["torch"] = [partial(torch.matmul, *tensors)]
            flags = {"transpose_x": turn_x, "transpose_y": turn_y}
            cases.append(Case(label, m * k * n * size, "matmul", tuple(many), flags, peers, asked))
    return cases


def convolutions(torch: Any) -> list[Case]:
    asked = {(28, 64), (14, 64), (42, 32), (28, 1), (84, 3)}
    shapes = [
        (28, 64, 64, 1), (14, 64, 64, 1), (42, 32, 32, 1), (28, 64, 64, 2), (14, 64, 64, 2), (28, 1, 64, 1),
        (28, 1, 64, 2), (84, 3, 32, 1), (7, 64, 64, 1), (4, 64, 64, 1), (7, 64, 64, 2), (21, 32, 32, 1),
    ]  # fmt: skip
    cases = []
    for side, channels, filters, stride in shapes:
        places = math.ceil(side / stride)
        total = max(0, (places - 1) * stride + 3 - side)
        padding = (total // 2, total - total // 2)
        x, w, g = (
            numbers(5, side, side, channels),
            numbers(3, 3, channels, filters),
            numbers(5, places, places, filters),
        )
        windows = {"strides": (stride, stride), "padding": padding * 2}
        first = channels in (1, 3)
        forward, gradient = (45, 45) if first else (60, 60) if stride == 2 else (80, 70)
        ways = torch_convolutions(torch, x, w, g, stride, padding) if torch else [{}, {}, {}]
        forms = [
            ("forward", "conv2d", (x, w), windows, forward),
            ("kernel's gradient", "conv2d_weight", (x, g), {**windows, "size": (3, 3)}, gradient),
            (
                "images' gradient",
                "conv2d_input",
                (g, w),
                {**windows, "size": (side, side)},
                None if first else gradient,
            ),
        ]
        name = f"{side}x{side}x{channels} -> {filters}" + ", stride 2" * (stride == 2)
        for (form, kernel, operands, arguments, to_reach), peers in zip(forms, ways, strict=True):
            asks = to_reach if (side, channels) in asked else None
            cases.append(Case(f"{name}: {form}", g.size * 9 * channels, kernel, operands, arguments, peers, asks))
    return cases


def torch_convolutions(
    torch: Any, x: NDArray[Any], w: NDArray[Any], g: NDArray[Any], stride: int, padding: tuple[int, int]
) -> list[dict[str, list[Run]]]:
    """The three forms in both of its layouts; images whose padding is uneven are padded beforehand."""
    even = padding[0] == padding[1]
    if not even:
        x = np.pad(x, ((0, 0), padding, padding, (0, 0)))
    pad = padding[0] if even else 0
    ways: list[list[Run]] = [[], [], []]
    for layout in (torch.contiguous_format, torch.channels_last):
        t, h = (torch.from_numpy(np.moveaxis(z, 3, 1).copy()).contiguous(memory_format=layout) for z in (x, g))
        u = torch.from_numpy(np.transpose(w, (3, 2, 0, 1)).copy()).contiguous(memory_format=layout)
        backward = partial(
            torch.ops.aten.convolution_backward, h, t, u, None, [stride] * 2, [pad] * 2, [1, 1], False, [0, 0], 1
        )
        ways[0].append(partial(torch.nn.functional.conv2d, t, u, None, stride, pad))
        ways[1].append(partial(backward, [False, True, False]))
        ways[2].append(partial(backward, [True, False, False]))
    return [{"torch": way} for way in ways]


def poolings(torch: Any) -> list[Case]:
    window: dict[str, Any] = {"window": (2, 2), "strides": (2, 2), "padding": (0, 0, 0, 0)}
    cases = []
    for shape in ((5, 28, 28, 64), (5, 84, 84, 32), (75, 84, 84, 32)):
        images, side, _, channels = shape
        places = (images, side // 2, side // 2, channels)
        x, g, cell = numbers(*shape), numbers(*places), np.random.default_rng(1).integers(0, 4, places).astype(np.uint8)
        under = x.reshape(images, side // 2, 2, side // 2, 2, channels)
        to_maxima, from_maxima = torch_poolings(torch, x, g) if torch else ({}, {})
        forms: list[tuple[str, tuple[NDArray[Any], ...], dict[str, Any], dict[str, list[Run]]]] = [
            ("max_cell", (x,), {}, to_maxima),
            ("pool_take", (x, cell), {}, {"numpy": [partial(np.max, under, (2, 4))]}),
            ("pool_put", (g, cell), {"size": (side, side)}, from_maxima),
        ]
        for kernel, operands, size, peers in forms:
            cases.append(Case(f"{kernel} {shape}", x.size, kernel, operands, window | size, peers))
    return cases


def torch_poolings(torch: Any, x: NDArray[Any], g: NDArray[Any]) -> list[dict[str, list[Run]]]:
    """There and back, in both of its layouts."""
    ways: list[list[Run]] = [[], []]
    for layout in (torch.contiguous_format, torch.channels_last):
        t, h = (torch.from_numpy(np.moveaxis(z, 3, 1).copy()).contiguous(memory_format=layout) for z in (x, g))
        forward = partial(torch.ops.aten.max_pool2d_with_indices, t, [2, 2])
        backward = torch.ops.aten.max_pool2d_with_indices_backward
        ways[0].append(forward)
        ways[1].append(partial(backward, h, t, [2, 2], [2, 2], [0, 0], [1, 1], False, forward()[1]))
    return [{"torch": way} for way in ways]


def functions(torch: Any) -> list[Case]:
    x = numbers(16_384)
    positive = np.abs(x) + np.float32(0.1)
    cases = []
    for name in ("exp", "log", "log1p", "expm1", "tanh", "sigmoid", "softplus", "sin", "cos", "sqrt", "relu", "add"):
        operands = (x, x) if name == "add" else (positive if name in ("log", "log1p", "sqrt") else x,)
        peers: dict[str, list[Run]] = {}
        if hasattr(np, name):
            peers["numpy"] = [partial(getattr(np, name), *operands)]
        if torch:
            function = getattr(torch, name, None) or getattr(torch.nn.functional, name)
            peers["torch"] = [partial(function, *(torch.from_numpy(z) for z in operands))]
        cases.append(Case(name, x.size, name, operands, {}, peers))
    return cases


def reductions(torch: Any) -> list[Case]:
    shapes = [
        ("sum", (16_384,), (0,)), ("sum", (25, 40), (0,)), ("sum", (1000, 5), (1,)), ("sum", (784, 256), (0,)),
        ("mean", (5, 28, 28, 64), (0, 1, 2)), ("variance", (5, 28, 28, 64), (0, 1, 2)), ("max", (1000, 64), (1,)),
        ("softmax", (25, 5), (1,)), ("softmax", (1000, 20), (1,)), ("log_softmax", (1000, 20), (1,)),
    ]  # fmt: skip
    cases = []
    for name, shape, axes in shapes:
        x = numbers(*shape)
        arguments: dict[str, Any] = {"axes": axes}
        peers: dict[str, list[Run]] = {}
        if "softmax" not in name:
            arguments["keepdims"] = False
            peers["numpy"] = [partial(getattr(np, {"variance": "var"}.get(name, name)), x, axes)]
        extra = {"correction": 0} if name == "variance" else {}
        if torch:
            function = getattr(torch, {"variance": "var", "max": "amax"}.get(name, name))
            axis = axes[0] if "softmax" in name else axes
            peers["torch"] = [partial(function, torch.from_numpy(x), axis, **extra)]
        cases.append(Case(f"{name} {shape} over {axes}", x.size, name, (x,), arguments | extra, peers))
    return cases


def movements(torch: Any) -> list[Case]:
    x, rows = numbers(784, 256), np.random.default_rng(1).integers(0, 784, 500)
    images = numbers(5, 28, 28, 64)
    updates = numbers(500, 256)
    margins = {"shape": (5, 30, 30, 64), "starts": (0, 1, 1, 0), "steps": (1, 1, 1, 1)}

    def numpy_scatter_add() -> object:
        y = np.zeros_like(x)
        np.add.at(y, rows, updates)
        return y

    peers: dict[str, list[Run]] = {
        "copy": [x.copy],
        "transpose, copied": [partial(np.ascontiguousarray, x.T)],
        "take rows": [partial(np.take, x, rows, 0)],
        "scatter_add rows": [numpy_scatter_add],
        "pad images": [partial(np.pad, images, ((0, 0), (1, 1), (1, 1), (0, 0)))],
        "astype float64": [partial(x.astype, np.float64)],
    }
    torch_peers: dict[str, list[Run]] = {}
    if torch:
        t, i, u, v = (torch.from_numpy(z) for z in (x, rows, updates, images))
        torch_peers = {
            "copy": [t.clone],
            "transpose, copied": [t.T.contiguous],
            "take rows": [partial(torch.index_select, t, 0, i)],
            "scatter_add rows": [lambda: torch.zeros_like(t).index_add_(0, i, u)],
            "pad images": [partial(torch.nn.functional.pad, v, (0, 0, 1, 1, 1, 1))],
            "astype float64": [t.double],
        }
    calls: list[tuple[str, str, tuple[NDArray[Any], ...], dict[str, Any]]] = [
        ("copy", "copy", (x,), {}),
        ("transpose, copied", "copy", (x.T,), {}),
        ("take rows", "gather", (x, rows), {}),
        ("scatter_add rows", "scatter_add", (updates, rows), {"shape": x.shape}),
        ("pad images", "pad", (images,), margins),
        ("astype float64", "astype", (x,), {"dtype": "float64"}),
    ]
    return [
        Case(
            name,
            operands[0].size,
            kernel,
            operands,
            arguments,
            {"numpy": peers[name]} | ({"torch": torch_peers[name]} if torch else {}),
        )
        for name, kernel, operands, arguments in calls
    ]


GROUPS: dict[str, Callable[[Any], list[Case]]] = {
    "products": products,
    "convolutions": convolutions,
    "poolings": poolings,
    "functions": functions,
    "reductions": reductions,
    "movements": movements,
}


def print_table(group: str, cases: list[Case], levels: dict[str, ModuleType], peaks: dict[str, float]) -> None:
    of_peak = group in ("products", "convolutions")
    libraries = sorted({library for case in cases for library in case.peers})
    unit = "GF/s" if of_peak else "ns/element"
    columns = [f"{level} {unit}" for level in levels] + [f"{level} %" for level in levels] * of_peak
    columns += ["to reach"] * of_peak + [f"{library} {unit}" for library in libraries]
    print(f"\n{group:42}" + "".join(f"{column:>18}" for column in columns + [f"{lib} time /" for lib in libraries]))
    for case in cases:
        times = least_times({level: [case.run(native)] for level, native in levels.items()} | case.peers)
        speed = {library: (2e-9 * case.work / t if of_peak else 1e9 * t / case.work) for library, t in times.items()}
        cells = [f"{speed[level]:.3g}" for level in levels]
        if of_peak:
            cells += [f"{50e9 * speed[level] / peaks[level]:.0f} %" for level in levels]
            cells.append(f"{case.to_reach} %" if case.to_reach else "")
        cells += [f"{speed[library]:.3g}" if library in speed else "-" for library in libraries]
        best = min(times[level] for level in levels)
        cells += [f"{times[library] / best:.2f}" if library in times else "-" for library in libraries]
        print(f"{case.name:42}" + "".join(f"{cell:>18}" for cell in cells), flush=True)


def main(names: list[str]) -> None:
    if unknown := set(names) - set(GROUPS):
        sys.exit(f"no group is named {', '.join(sorted(unknown))}; there are {', '.join(GROUPS)}")
    levels = {level: native for level in kernels.able() if (native := kernels.load(level))}
    if not levels:
        sys.exit("no kernels are built for this processor")
    with threadpool_limits(1):
        print_tables(names, levels)


def print_tables(names: list[str], levels: dict[str, ModuleType]) -> None:
    peaks = {level: peak(native) for level, native in levels.items()}
    for level, multiply_adds in peaks.items():
        print(f"level {level}: peak {2e-9 * multiply_adds:.1f} GF/s on one core")
    torch = torch_or_none()
    for name in names or GROUPS:
        print_table(name, GROUPS[name](torch), levels, peaks)


if __name__ == "__main__":
    main(sys.argv[1:])
