"""Loop nests over views: where an element lies, and which loops visit it.

A *view* is an array under an index map,

    element (i, j, ...)  =  name[base + terms + i s + j t + ...],

so that a transpose, a slice and a broadcast are other strides and no instructions. A nest has a
loop for each axis that is longer than 1. Neighbouring axes that every view walks in one step are
one loop: a chain of elementwise operations on matrices is one loop over all elements.
"""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from minimeta.autodiff.array import Shape


@dataclass(frozen=True)
class View:
    """An array as a program sees it.

    Attributes
    ----------
    name
        Of the array that holds the elements.
    dtype, shape
        Of what is seen.
    strides
        In elements.
    base, terms
        Where the first element lies: a number, and expressions.
    """

    name: str
    dtype: np.dtype[Any]
    shape: Shape
    strides: Shape
    base: int = 0
    terms: tuple[str, ...] = ()

    @classmethod
    def whole(cls, name: str, dtype: Any, shape: Shape) -> View:
        """Return a view of a whole array in rows."""
        return cls(name, np.dtype(dtype), tuple(shape), row_strides(shape))

    @property
    def size(self) -> int:
        """The number of elements that are seen."""
        return math.prod(self.shape)

    @property
    def is_whole(self) -> bool:
        """Whether the elements lie in rows, one after another."""
        rows = row_strides(self.shape)
        return all(s == r or n == 1 for s, r, n in zip(self.strides, rows, self.shape, strict=True))

    def place(self, indices: Sequence[str]) -> str:
        """Return the place of an element in the array, as an expression."""
        parts = list(self.terms)
        for index, stride in zip(indices, self.strides, strict=True):
            if index != "0" and stride:
                index = index if index.isidentifier() or index.isdigit() else f"({index})"  # noqa: PLW2901
                parts.append(index if stride == 1 else f"{index} * {stride}")
        if self.base or not parts:
            parts.append(str(self.base))
        return " + ".join(parts).replace("+ -", "- ")

    def at(self, indices: Sequence[str]) -> str:
        """Return an element as an expression."""
        return f"{self.name}[{self.place(indices)}]"

    def turned(self, axes: Sequence[int]) -> View:
        """Return a view with its axes in another order."""
        return replace(self, shape=tuple(self.shape[i] for i in axes), strides=tuple(self.strides[i] for i in axes))

    def part(self, starts: Sequence[int], sizes: Shape, steps: Sequence[int]) -> View:
        """Return a view of the elements at ``start + step i`` of each axis."""
        base = self.base + sum(start * stride for start, stride in zip(starts, self.strides, strict=True) if self.size)
        strides = tuple(step * stride for step, stride in zip(steps, self.strides, strict=True))
        return replace(self, shape=tuple(sizes), strides=strides, base=base)

    def repeated(self, shape: Shape) -> View:
        """Return a view that repeats its axes of length 1, and has new ones in front."""
        lead = len(shape) - len(self.shape)
        strides = [0 if n == 1 else s for n, s in zip(self.shape, self.strides, strict=True)]
        return replace(self, shape=tuple(shape), strides=(0,) * lead + tuple(strides))

    def task(self, index: str) -> View:
        """Return the part of one task along the first axis."""
        term = () if self.strides[0] == 0 or index == "0" else (f"{index} * {self.strides[0]}",)
        return replace(self, shape=self.shape[1:], strides=self.strides[1:], terms=(*self.terms, *term))


@dataclass(frozen=True)
class Number(View):
    """One number in every place, whose name is the number as it is written.

    Attributes
    ----------
    value
        The number.
    """

    value: Any = None

    def at(self, indices: Sequence[str]) -> str:
        """Return the number."""
        return f"({self.name})" if self.name.startswith("-") else self.name


def row_strides(shape: Sequence[int]) -> Shape:
    """Return the strides of an array in rows."""
    return tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))


def merged(views: Sequence[View]) -> list[View]:
    """Return views of one shape with as few axes as visit the same elements in the same order."""
    shape = views[0].shape
    kept: list[tuple[int, list[int]]] = []
    for axis, side in enumerate(shape):
        strides = [view.strides[axis] for view in views]
        if side == 1:
            continue
        if kept and all(outer == side * inner for outer, inner in zip(kept[-1][1], strides, strict=True)):
            kept[-1] = (kept[-1][0] * side, strides)
        else:
            kept.append((side, strides))
    return [
        replace(view, shape=tuple(side for side, _ in kept), strides=tuple(strides[i] for _, strides in kept))
        for i, view in enumerate(views)
    ]


@dataclass
class Text:
    """Statements written so far, indented by the blocks around them."""

    integer: str
    rows: list[str] = field(default_factory=list)
    depth: int = 1
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def line(self, row: str) -> None:
        """Write a statement."""
        self.rows.append("  " * self.depth + row)

    def name(self, letter: str) -> str:
        """Return a name that no other variable has."""
        return f"{letter}{next(self._numbers)}"

    @contextlib.contextmanager
    def block(self, head: str) -> Iterator[None]:
        """Write what is written inside as a block."""
        self.line(f"{head} {{")
        self.depth += 1
        yield
        self.depth -= 1
        self.line("}")

    @contextlib.contextmanager
    def loop(self, count: int | str, first: str = "0") -> Iterator[str]:
        """Repeat what is written inside; give the index, which is ``"0"`` where there is one run."""
        if count == 1 and first == "0":
            yield "0"
            return
        index = self.name("i")
        with self.block(f"for ({self.integer} {index} = {first}; {index} < {count}; {index}++)"):
            yield index

    @contextlib.contextmanager
    def nest(self, shape: Sequence[int]) -> Iterator[list[str]]:
        """Repeat what is written inside for every index of a shape; give the indices."""
        with contextlib.ExitStack() as stack:
            yield [stack.enter_context(self.loop(side)) for side in shape]
