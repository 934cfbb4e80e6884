"""fused: how a group of elementwise steps is handed to its kernel.

The kernel (``csrc/fused.hpp``) is given the operands, the names of the elementwise functions in order,
and the sums over leading axes. What a pooling puts into its images is one of the elementwise functions,
if windows of ``p x q`` cells lie side by side and fill the images. For then an array of images is one
of windows, which is the same memory with other axes,

    x[n, p u + i, q v + j, c] = x'[n, u, i, v, j, c]

and there a cotangent ``g`` is put into the largest cell of each window by

    put(g, cell)'[n, u, i, v, j, c] = 0 + g[n, u, v, c]  if  cell[n, u, v, c] = q i + j  else  0

with ``g`` and ``cell`` repeated along ``i`` and ``j``. So it is found block by block with what reads
it, and lies in no memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minimeta.autodiff.array import Shape
from minimeta.autodiff.operations.pooling import POOL_PUT
from minimeta.autodiff.operations.reductions import MEAN
from minimeta.autodiff.steps import Program, Step


def fills(step: Step) -> bool:
    """Return whether a step puts into windows that lie side by side and fill the images."""
    if step.primitive is not POOL_PUT:
        return False
    window, size = step.params["window"], step.params["size"]
    is_whole = size[0] % window[0] == size[1] % window[1] == 0 and not any(step.params["padding"])
    return bool(is_whole and step.params["strides"] == window != (1, 1))


def add_group(builder: Any, group: Program, operands: Sequence[int], far: Sequence[int]) -> Sequence[int]:
    """Add a group to a program in C++, and return the numbers of its results.

    Parameters
    ----------
    builder
        Of ``csrc/program.hpp``.
    group
        Elementwise steps, what poolings put into images that :func:`fills` all of the same windows,
        then sums.
    operands
        The builder's numbers of what it reads.
    far
        Results that become parts of arrays that no cache holds.
    """
    puts = [step for step in group.steps if step.primitive is POOL_PUT]
    given = list(_on_windows(builder, group, puts, operands)) if puts else list(operands)
    number = {i: i for i in range(group.first)}
    operations: list[tuple[str, tuple[int, ...]]] = []
    sums: list[tuple[int, int, bool, bool]] = []

    def add(name: str, *values: int) -> int:
        operations.append((name, values))
        return len(given) + len(operations) - 1

    for i, step in group.numbered_steps():
        values = [number[operand] for operand in step.operands]
        if step.primitive is POOL_PUT:
            (g, cell), (cells, zero) = values, range(group.first, len(given))
            number[i] = add("where", add("equal", cell, cells), add("add", zero, g), zero)
        elif step.primitive.elementwise:
            number[i] = add(step.primitive.name, *values)
        else:
            axes = len(step.params["axes"])
            axes = (0, 1, 3, 5, 6)[axes] if puts else axes
            sums.append((values[0], axes, step.primitive is MEAN, step.params["keepdims"]))
    wanted, distant = (tuple(number[i] for i in each if i in number) for each in (group.outputs, far))
    results: Sequence[int] = builder.add_fused(tuple(given), tuple(operations), wanted, tuple(sums), distant)
    if not puts:
        return results
    forms = group.forms()
    return [_moved(builder, "reshape", y, forms[i].shape) for y, i in zip(results, group.outputs, strict=True)]


def _on_windows(builder: Any, group: Program, puts: Sequence[Step], operands: Sequence[int]) -> list[int]:
    """Return the operands on axes of windows, then the numbers of the cells there, and zero."""
    (p, q), (n, height, width, c) = puts[0].params["window"], puts[0].form.shape
    u, v = height // p, width // q
    whole = (n, u, p, v, q, c)
    put = {i for step in puts for i in step.operands}

    def moved(i: int, x: int) -> int:
        if i not in put:
            return _moved(builder, "reshape", x, whole)
        return _moved(builder, "broadcast_to", _moved(builder, "reshape", x, (n, u, 1, v, 1, c)), whole)

    def constant(values: NDArray[Any]) -> int:
        return int(builder.add_constant(np.broadcast_to(values, whole)))

    dtype = group.operands[puts[0].operands[1]].dtype
    row = np.arange(p * q, dtype=dtype).reshape(p, 1, q, 1)
    cells = np.ascontiguousarray(np.broadcast_to(row, whole[2:]))
    return [*map(moved, range(len(operands)), operands), constant(cells), constant(np.zeros((), puts[0].form.dtype))]


def _moved(builder: Any, name: str, x: int, shape: Shape) -> int:
    (result,) = builder.add_step(name, (x,), {"shape": shape})
    return int(result)
