"""The loops of convolutions and pooling: for each image and place, the cells of a window.

A cell that lies on the padding is skipped. A place and a cell say which pixel they meet:

    row = u s - above + r          column = v s' - left + c
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from minimeta.autodiff.steps import Step
from minimeta.program.printing.nests import View

if TYPE_CHECKING:
    from minimeta.program.printing.printer import Printer


def _cells(p: Printer, places: Any, window: Any, strides: Any, padding: Any, size: Any, visit: Any) -> None:
    """Write the loops over images, places and cells; ``visit`` is given their indices and the pixel's."""
    text, integer = p.text, "const" if p.language.key == "javascript" else "const long"
    (count, rows, columns), (above, _, left, _) = places, padding
    with text.nest((count, rows, columns)) as (image, u, v), text.nest(window) as (r, c):
        row, column = text.name("row"), text.name("column")
        text.line(f"{integer} {row} = {u} * {strides[0]} + {r} - {above};")
        text.line(f"{integer} {column} = {v} * {strides[1]} + {c} - {left};")
        with text.block(f"if ({row} >= 0 && {row} < {size[0]} && {column} >= 0 && {column} < {size[1]})"):
            visit(image, u, v, r, c, row, column)


def _conv2d(p: Printer, step: Step, x: View, w: View, *, strides: Any, padding: Any) -> View:
    y = p.result(step)
    p.fill(y)

    def visit(image: str, u: str, v: str, r: str, c: str, row: str, column: str) -> None:
        with p.text.nest(w.shape[2:]) as (i, o):
            _add_product(p, y, [image, u, v, o], x.at([image, row, column, i]), w.at([r, c, i, o]))

    _cells(p, y.shape[:3], w.shape[:2], strides, padding, x.shape[1:3], visit)
    return y


def _conv2d_input(p: Printer, step: Step, g: View, w: View, *, strides: Any, padding: Any, size: Any) -> View:
    x = p.result(step)
    p.fill(x)

    def visit(image: str, u: str, v: str, r: str, c: str, row: str, column: str) -> None:
        with p.text.nest(w.shape[2:]) as (i, o):
            _add_product(p, x, [image, row, column, i], g.at([image, u, v, o]), w.at([r, c, i, o]))

    _cells(p, g.shape[:3], w.shape[:2], strides, padding, size, visit)
    return x


def _conv2d_weight(p: Printer, step: Step, x: View, g: View, *, strides: Any, padding: Any, size: Any) -> View:
    w = p.result(step)
    p.fill(w)

    def visit(image: str, u: str, v: str, r: str, c: str, row: str, column: str) -> None:
        with p.text.nest(w.shape[2:]) as (i, o):
            _add_product(p, w, [r, c, i, o], x.at([image, row, column, i]), g.at([image, u, v, o]))

    _cells(p, g.shape[:3], size, strides, padding, x.shape[1:3], visit)
    return w


def _add_product(p: Printer, y: View, at: list[str], x: str, w: str) -> None:
    p.assign(y, at, p.language.multiply_add(y.dtype, x, w, y.at(at)))


def _sum_pool(p: Printer, step: Step, x: View, *, window: Any, strides: Any, padding: Any) -> View:
    y = p.result(step)
    p.fill(y)

    def visit(image: str, u: str, v: str, r: str, c: str, row: str, column: str) -> None:
        with p.text.loop(y.shape[3]) as i:
            p.assign(y, [image, u, v, i], f"{y.at([image, u, v, i])} + {x.at([image, row, column, i])}")

    _cells(p, y.shape[:3], window, strides, padding, x.shape[1:3], visit)
    return y


def _sum_pool_input(p: Printer, step: Step, g: View, *, window: Any, strides: Any, padding: Any, size: Any) -> View:
    x = p.result(step)
    p.fill(x)

    def visit(image: str, u: str, v: str, r: str, c: str, row: str, column: str) -> None:
        with p.text.loop(x.shape[3]) as i:
            p.assign(x, [image, row, column, i], f"{x.at([image, row, column, i])} + {g.at([image, u, v, i])}")

    _cells(p, g.shape[:3], window, strides, padding, size, visit)
    return x


def _max_cell(p: Printer, step: Step, x: View, *, window: Any, strides: Any, padding: Any) -> View:
    cell, largest = p.result(step), p.scratch(x.dtype, step.form.shape)
    p.fill(cell)
    p.fill(largest, p.language.number(x.dtype.type(-np.inf)))
    first = p.scratch(np.dtype(bool), step.form.shape)  # whether no cell was on the image yet
    p.fill(first, "1")

    def visit(image: str, u: str, v: str, r: str, c: str, row: str, column: str) -> None:
        with p.text.loop(x.shape[3]) as i:
            at = [image, u, v, i]
            value, best = x.at([image, row, column, i]), largest.at(at)
            with p.text.block(f"if ({first.at(at)} || ({best} == {best} && !({value} <= {best})))"):
                p.assign(largest, at, value)
                p.assign(cell, at, f"{r} * {window[1]} + {c}")
                p.assign(first, at, "0")

    _cells(p, cell.shape[:3], window, strides, padding, x.shape[1:3], visit)
    return cell


def _pool_take(p: Printer, step: Step, x: View, cell: View, *, window: Any, strides: Any, padding: Any) -> View:
    y = p.result(step)
    p.fill(y)

    def visit(image: str, u: str, v: str, r: str, c: str, row: str, column: str) -> None:
        with p.text.loop(y.shape[3]) as i, p.text.block(f"if ({cell.at([image, u, v, i])} == {r} * {window[1]} + {c})"):
            p.assign(y, [image, u, v, i], x.at([image, row, column, i]))

    _cells(p, y.shape[:3], window, strides, padding, x.shape[1:3], visit)
    return y


def _pool_put(
    p: Printer, step: Step, g: View, cell: View, *, window: Any, strides: Any, padding: Any, size: Any
) -> View:
    x = p.result(step)
    p.fill(x)

    def visit(image: str, u: str, v: str, r: str, c: str, row: str, column: str) -> None:
        with p.text.loop(x.shape[3]) as i, p.text.block(f"if ({cell.at([image, u, v, i])} == {r} * {window[1]} + {c})"):
            p.assign(x, [image, row, column, i], f"{x.at([image, row, column, i])} + {g.at([image, u, v, i])}")

    _cells(p, g.shape[:3], window, strides, padding, size, visit)
    return x


#: What writes each primitive, by its name.
WINDOWS: dict[str, Any] = {
    "conv2d": _conv2d,
    "conv2d_input": _conv2d_input,
    "conv2d_weight": _conv2d_weight,
    "sum_pool": _sum_pool,
    "sum_pool_input": _sum_pool_input,
    "max_cell": _max_cell,
    "pool_take": _pool_take,
    "pool_put": _pool_put,
}
