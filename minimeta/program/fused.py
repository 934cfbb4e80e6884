"""fused: how a group of elementwise steps is handed to its kernel.

The kernel (``csrc/fused.hpp``) is given the operands, the names of the elementwise functions in order,
and the sums over leading axes. What a pooling puts into its images counts as elementwise, if windows
of ``p x q`` cells lie side by side and fill the images. For then a cotangent ``g`` is put into the
largest cell of each window by

    put(g, cell)[n, y, x, c] = 0 + g[n, u, v, c]  if  cell[n, u, v, c] = q (y - p u) + x - q v  else  0

with ``u = y // p`` and ``v = x // q``. So it is found block by block with what reads it, and lies in no
memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

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
        Elementwise steps, what poolings put into images that :func:`fills` all, then sums.
    operands
        The builder's numbers of what it reads.
    far
        Results that become parts of arrays that no cache holds.
    """
    put = {i: step for i, step in group.numbered_steps() if step.primitive is POOL_PUT}
    images = {i for step in put.values() for i in step.operands}
    given = [builder.with_contiguous_parts(x, True) if i in images else x for i, x in enumerate(operands)]
    number = {i: i for i in range(group.first)} | {i: group.first + place for place, i in enumerate(put)}
    operations: list[tuple[str, tuple[int, ...]]] = []
    sums: list[tuple[int, int, bool, bool]] = []
    for i, step in group.numbered_steps():
        values = tuple([number[operand] for operand in step.operands])
        if step.primitive.elementwise:
            number[i] = group.first + len(put) + len(operations)
            operations.append((step.primitive.name, values))
        elif i not in put:
            sums.append((values[0], len(step.params["axes"]), step.primitive is MEAN, step.params["keepdims"]))
    wanted, distant = (tuple(number[i] for i in each if i in number) for each in (group.outputs, far))
    puts = tuple((*step.operands, *step.params["window"]) for step in put.values())
    results: Sequence[int] = builder.add_fused(tuple(given), tuple(operations), wanted, tuple(sums), distant, puts)
    return results
