"""The loops of operations that are not elementwise: movements, products, folds, indices.

Each function of :data:`LOOPS` writes the statements of one step, given views of its result and of
its operands. A movement that only renumbers elements writes nothing: those of :data:`VIEWS` return
a view of the result.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

from minimeta.autodiff.steps import Step
from minimeta.program.printing.nests import View, row_strides
from minimeta.program.printing.windows import WINDOWS

if TYPE_CHECKING:
    from minimeta.program.printing.printer import Printer

Loop: TypeAlias = Callable[..., None]

_WIDTH = 8  # columns of a tile: a register of floats
_CHAIN = 128  # terms that csrc/product.hpp adds to one sum before it begins another

# Movements


def _reshape(p: Printer, step: Step, x: View, *, shape: Any) -> View:
    if not x.is_whole and any(x.strides):
        x = p.copied(x)
    return replace(x, shape=shape, strides=row_strides(shape) if any(x.strides) else (0,) * len(shape))


def _pad(p: Printer, step: Step, y: View, x: View, *, shape: Any, starts: Any, steps: Any) -> None:
    p.fill(y)
    p.copy(x, y.part(starts, x.shape, steps))


def _concatenate(p: Printer, step: Step, y: View, *arrays: View, axis: int) -> None:
    starts = [0] * len(y.shape)
    for x in arrays:
        p.copy(x, y.part(starts, x.shape, [1] * len(y.shape)))
        starts[axis] += x.shape[axis]


# Products


def _matmul(p: Printer, step: Step, z: View, x: View, y: View, *, transpose_x: bool, transpose_y: bool) -> None:
    *batch, m, n = z.shape
    x, y = (_turned(v, turn) for v, turn in ((p.stored(x), transpose_x), (p.stored(y), transpose_y)))
    k = x.shape[-1]
    x, y = x.repeated((*batch, m, k)), y.repeated((*batch, k, n))
    with p.text.nest(batch) as at:
        if k == 0:
            with p.text.nest((m, n)) as inner:
                p.assign(z, [*at, *inner], "0")
        elif m == 1 or n == 1:
            name = p.language.strip("scalar" if m == n else "dot", z.dtype)
            with p.text.nest((m, n)) as (i, j):
                first, second = x.place([*at, i, "0"]), y.place([*at, "0", j])
                p.assign(
                    z,
                    [*at, i, j],
                    f"{name}({x.name}, {first}, {x.strides[-1]}, {y.name}, {second}, {y.strides[-2]}, {k})",
                )
        else:
            if y.strides[-1] != 1:
                y, turned = p.scratch(y.dtype, (k, n)), _task(y, at)
                p.copy(turned, y)
            else:
                y = _task(y, at)
            _rows(p, _task(x, at), y, _task(z, at))


def _task(view: View, indices: Sequence[str]) -> View:
    for index in indices:
        view = view.task(index) if index != "0" else replace(view, shape=view.shape[1:], strides=view.strides[1:])
    return view


def _turned(view: View, turn: bool) -> View:
    axes = list(range(len(view.shape)))
    return view.turned([*axes[:-2], axes[-1], axes[-2]]) if turn else view


def _rows(p: Printer, x: View, y: View, z: View) -> None:
    """Write a product of matrices row by row; each element is one chain in the order of the terms."""
    text, language = p.text, p.language
    (m, k), n = x.shape, z.shape[1]

    def chain(i: str, row: View, at: list[str], first: str, last: int | str) -> None:
        with text.loop(n) as j:
            p.assign(row, [*at, j], f"{x.at([i, first])} * {y.at([first, j])}")
        following = f"{first} + 1" if first != "0" else "1"
        if last == 1:
            return
        with text.loop(last, following) as term:
            factor = text.name("a")
            text.line(language.variable(x.dtype, factor, x.at([i, term])))
            with text.loop(n) as j:
                p.assign(row, [*at, j], language.multiply_add(z.dtype, factor, y.at([term, j]), row.at([*at, j])))

    if k <= _CHAIN and language.tiles and n >= _WIDTH:
        _tiles(p, x, y, z)
        return
    if k <= _CHAIN:
        with text.loop(m) as i:
            chain(i, z, [i], "0", k)
        return
    row = p.scratch(z.dtype, (n,))
    with text.loop(m) as i:
        p.fill(replace(_task(z, [i]), name=z.name))
        with text.loop(math.ceil(k / _CHAIN)) as c:
            first, last = text.name("first"), text.name("last")
            text.line(f"{language.fixed} {first} = {c} * {_CHAIN};")
            text.line(f"{language.fixed} {last} = {k} - {first} < {_CHAIN} ? {k} : {first} + {_CHAIN};")
            chain(i, row, [], first, last)
            with text.loop(n) as j:
                p.assign(z, [i, j], f"{z.at([i, j])} + {row.at([j])}")


def _tiles(p: Printer, x: View, y: View, z: View) -> None:
    """Write a product in tiles, whose sums a compiler keeps in registers, with the same chains."""
    text, language = p.text, p.language
    (m, k), n = x.shape, z.shape[1]
    widths = [(0, n // _WIDTH, _WIDTH), (n - n % _WIDTH, 1, n % _WIDTH)]
    height = next((h for h in (6, 5, 4) if m % h == 0), min(m, 4))
    heights = [(0, m // height, height), (m - m % height, 1, m % height)]
    for top, rows, high in heights if m % height else heights[:1]:
        for left, columns, wide in widths if n % _WIDTH else widths[:1]:
            with text.nest((rows, columns)) as (i, j):
                sums = [text.name("s") for _ in range(high)]
                for name in sums:
                    text.line(language.local(z.dtype, name, wide))

                def at(index: str, size: int, first: int, inner: str) -> str:
                    parts = (
                        inner if inner != "0" else "",
                        f"{index} * {size}" if index != "0" else "",
                        str(first or ""),
                    )
                    return " + ".join(filter(None, parts)) or "0"

                with text.loop(wide) as q:
                    for r, name in enumerate(sums):
                        first = x.at([at(i, high, top + r, "0"), "0"])
                        text.line(f"{name}[{q}] = {first} * {y.at(['0', at(j, wide, left, q)])};")
                if k > 1:
                    with text.loop(k, "1") as term, text.loop(wide) as q:
                        factor = text.name("b")
                        text.line(language.variable(y.dtype, factor, y.at([term, at(j, wide, left, q)])))
                        for r, name in enumerate(sums):
                            other, old = x.at([at(i, high, top + r, "0"), term]), f"{name}[{q}]"
                            text.line(f"{old} = {language.multiply_add(z.dtype, other, factor, old)};")
                with text.loop(wide) as q:
                    for r, name in enumerate(sums):
                        p.assign(z, [at(i, high, top + r, "0"), at(j, wide, left, q)], f"{name}[{q}]")


# Folds, by the functions of strips


def _fold(
    p: Printer, step: Step, y: View, x: View, *, axes: Any, keepdims: bool, correction: float | None = None
) -> None:
    kept = [axis for axis in range(len(x.shape)) if axis not in axes]
    strips = _strips(p, x, kept, axes)
    shown = y.turned(kept) if keepdims else y
    extra = "" if correction is None else f"{p.language.number(y.dtype.type(correction))}, "
    function = p.language.strip(step.primitive.name, x.dtype)
    with p.text.nest(shown.shape) as at:
        place = strips.place([*at, "0"])
        p.assign(shown, at, f"{function}({strips.name}, {place}, {strips.strides[-1]}, {extra}{strips.shape[-1]})")


def _argmax(p: Printer, step: Step, y: View, x: View, *, axis: int, keepdims: bool) -> None:
    _fold(p, step, y, x, axes=(axis,), keepdims=keepdims)


def _strips(p: Printer, x: View, kept: Sequence[int], axes: Sequence[int]) -> View:
    """Return a view of the kept axes and one more, along which the other axes lie."""
    x = p.stored(x).turned([*kept, *axes])
    sides = zip(x.shape[len(kept) :], x.strides[len(kept) :], strict=True)
    n, inner = math.prod(x.shape[len(kept) :]), [(side, stride) for side, stride in sides if side != 1]
    is_one = all(outer[1] == after[0] * after[1] for outer, after in itertools.pairwise(inner))
    if n and not is_one:
        x = p.copied(x)
        inner = [(n, 1)]
    stride = inner[-1][1] if inner else 0
    return replace(x, shape=(*x.shape[: len(kept)], n), strides=(*x.strides[: len(kept)], stride))


def _map_strips(p: Printer, step: Step, y: View, *operands: View, axes: Any, reverse: bool = False) -> None:
    kept = [axis for axis in range(len(y.shape)) if axis not in axes]
    to = y.turned([*kept, *axes])
    sides = [side for side in to.shape[len(kept) :] if side != 1]
    is_one = len(sides) <= 1 or list(axes) == list(range(len(y.shape) - len(axes), len(y.shape)))
    own = to if is_one else p.scratch(y.dtype, to.shape)
    strips = [_strips(p, x, kept, axes) for x in operands]
    strips.append(_strips(p, own, range(len(kept)), range(len(kept), len(y.shape))))
    n = strips[-1].shape[-1]
    function = p.language.strip(step.primitive.name, y.dtype)
    first, sign = (str(n - 1) if n > 1 else "0", -1) if reverse else ("0", 1)
    if y.size:
        with p.text.nest(to.shape[: len(kept)]) as at:
            parts = [f"{x.name}, {x.place([*at, first])}, {sign * x.strides[-1]}" for x in strips]
            p.text.line(f"{function}({', '.join(parts)}, {n});")
    if not is_one:
        p.copy(own, to)


def _running(p: Printer, step: Step, y: View, *operands: View, axis: int, reverse: bool) -> None:
    _map_strips(p, step, y, *operands, axes=(axis,), reverse=reverse)


# Indices


def _index(p: Printer, step: Step, x: View, positions: Sequence[View], at: Sequence[str]) -> list[str]:
    """Declare the indices that arrays of positions hold at a place; refuse those out of range."""
    found = []
    for axis, position in enumerate(positions):
        n, name, value = x.shape[axis], p.text.name("p"), position.at(at)
        whole = value if p.language.key == "javascript" else f"(long){value}"
        wrapped = f"{value} < 0 ? {whole} + {n} : {whole}" if position.dtype.kind == "i" else whole
        p.text.line(f"{p.language.fixed} {name} = {wrapped};")
        p.text.line(
            p.language.refused(f"{name} < 0 || {name} >= {n}", p.step, f"{step.primitive.name}: index out of range")
        )
        found.append(name)
    return found


def _gather(p: Printer, step: Step, y: View, x: View, *positions: View) -> None:
    count = len(positions[0].shape)
    with p.text.nest(y.shape[:count]) as at:
        index = _index(p, step, x, positions, at)
        with p.text.nest(y.shape[count:]) as rest:
            p.assign(y, [*at, *rest], x.at([*index, *rest]))


def _scatter_add(p: Printer, step: Step, y: View, updates: View, *positions: View, shape: Any) -> None:
    p.fill(y)
    count = len(positions[0].shape)
    with p.text.nest(updates.shape[:count]) as at:
        index = _index(p, step, y, positions, at)
        with p.text.nest(updates.shape[count:]) as rest:
            p.assign(y, [*index, *rest], f"{y.at([*index, *rest])} + {updates.at([*at, *rest])}")


#: What gives the view that a primitive is, by its name.
VIEWS: dict[str, Callable[..., View]] = {
    **dict.fromkeys(("alias", "copy", "stop_gradient"), lambda p, step, x: x),
    "reshape": _reshape,
    "transpose": lambda p, step, x, axes: x.turned(axes),
    "broadcast_to": lambda p, step, x, shape: x.repeated(shape),
    "slice": lambda p, step, x, starts, sizes, steps: x.part(starts, sizes, steps),
}

#: What writes each primitive, by its name.
LOOPS: dict[str, Loop] = {
    "pad": _pad,
    "concatenate": _concatenate,
    "astype": lambda p, step, y, x, dtype: p.copy(x, y),
    "matmul": _matmul,
    **dict.fromkeys(("sum", "mean", "prod", "max", "min", "norm", "variance", "logsumexp"), _fold),
    "argmax": _argmax,
    **dict.fromkeys(("softmax", "log_softmax"), _map_strips),
    **dict.fromkeys(("cumsum", "cumprod", "recurrence"), _running),
    "gather": _gather,
    "scatter_add": _scatter_add,
    **WINDOWS,
}
