"""The loops of convolutions and pooling: for each image and place, the cells of a window.

A cell that lies on the padding is skipped. A place and a cell say which pixel they meet:

    row = u s - above + r          column = v s' - left + c

Which array has which indices is all that convolutions and their transposes differ in:

    y[n, u, v, o]  +=  x[n, row, column, i] w[r, c, i, o]
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from minimeta.autodiff.steps import Step
from minimeta.program.printing.nests import View

if TYPE_CHECKING:
    from minimeta.program.printing.printer import Printer

#: The indices of a result and of its operands: image n, place u v, cell r c, pixel y x, channels i
#: that are read, and o that are written.
_INDICES = {
    "conv2d": ("nuvo", "nyxi", "rcio"),
    "conv2d_input": ("nyxi", "nuvo", "rcio"),
    "conv2d_weight": ("rcio", "nyxi", "nuvo"),
    "sum_pool": ("nuvi", "nyxi"),
    "sum_pool_input": ("nyxi", "nuvi"),
    "max_cell": ("nuvi", "nyxi"),
    "pool_take": ("nuvi", "nyxi", "nuvi"),
    "pool_put": ("nyxi", "nuvi", "nuvi"),
}


@contextlib.contextmanager
def _cells(
    p: Printer, step: Step, views: tuple[View, ...], window: Any, strides: Any, padding: Any
) -> Iterator[tuple[str, list[Any]]]:
    """Write the loops over images, places, cells and channels; give the number of the cell, and the
    indices of each view.
    """
    text, (above, _, left, _), axes = p.text, padding, _INDICES[step.primitive.name]
    sides = dict(zip("rc", window, strict=False))
    for letters, view in zip(axes, views, strict=True):
        sides.update(zip(letters, view.shape, strict=True))
    with text.nest([sides[axis] for axis in "nuvrc"]) as outer:
        at = dict(zip("nuvrc", outer, strict=True))
        at["y"], at["x"] = text.name("row"), text.name("column")
        text.line(f"{p.language.fixed} {at['y']} = {at['u']} * {strides[0]} + {at['r']} - {above};")
        text.line(f"{p.language.fixed} {at['x']} = {at['v']} * {strides[1]} + {at['c']} - {left};")
        channels = [axis for axis in "io" if axis in sides]
        on_image = f"{at['y']} >= 0 && {at['y']} < {sides['y']} && {at['x']} >= 0 && {at['x']} < {sides['x']}"
        with text.block(f"if ({on_image})"), text.nest([sides[axis] for axis in channels]) as inner:
            at.update(zip(channels, inner, strict=True))
            yield f"{at['r']} * {sides['c']} + {at['c']}", [[at[axis] for axis in letters] for letters in axes]


def _sum(
    p: Printer, step: Step, y: View, *operands: View, strides: Any, padding: Any, window: Any = (), size: Any = ()
) -> None:
    p.fill(y)
    with _cells(p, step, (y, *operands), window, strides, padding) as (cell, (to, *places)):
        first, *others = (x.at(at) for x, at in zip(operands, places, strict=True))
        if step.primitive.name.startswith("conv2d"):
            p.assign(y, to, p.language.multiply_add(y.dtype, first, others[0], y.at(to)))
        elif not others:
            p.assign(y, to, f"{y.at(to)} + {first}")
        else:
            with p.text.block(f"if ({others[0]} == {cell})"):
                p.assign(y, to, first if step.primitive.name == "pool_take" else f"{y.at(to)} + {first}")


def _max_cell(p: Printer, step: Step, y: View, x: View, *, window: Any, strides: Any, padding: Any) -> None:
    largest = p.scratch(x.dtype, y.shape)
    p.fill(y)
    p.fill(largest, p.language.number(x.dtype.type(-np.inf)))
    first = p.scratch(np.dtype(bool), y.shape)  # whether no cell was on the image yet
    p.fill(first, "1")
    with _cells(p, step, (y, x), window, strides, padding) as (cell, (at, pixel)):
        value, best = x.at(pixel), largest.at(at)
        with p.text.block(f"if ({first.at(at)} || ({best} == {best} && !({value} <= {best})))"):
            p.assign(largest, at, value)
            p.assign(y, at, cell)
            p.assign(first, at, "0")


#: What writes each primitive, by its name.
WINDOWS: dict[str, Any] = dict.fromkeys(_INDICES, _sum) | {"max_cell": _max_cell}
