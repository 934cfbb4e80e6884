"""scatters: a sum of scattered parts, scattered at once.

A function that reads one array in many places has a derivative that scatters a cotangent from each,
and adds up as many whole arrays, which are mostly 0:

    y = scatter_add(u, i) + scatter_add(v, j) + ...
    y = scatter_add(concatenate(u, v, ...), concatenate(i, j, ...))

A scatter_add adds in the order of its updates, so every element is the same sum as before, where
each part but the first adds to an element once at most (``a + (b + c)`` is not ``(a + b) + c``).
What a sum begins with is 0, so no element is -0, which alone would differ from itself plus 0. The
indices have to be constants, to be known. The updates live until the end of the sum; together they
are no longer than the whole.
"""

from __future__ import annotations

import collections
import itertools
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from minimeta.autodiff.array import Form
from minimeta.autodiff.operations.arithmetic import ADD
from minimeta.autodiff.operations.indexing import SCATTER_ADD
from minimeta.autodiff.operations.joining import CONCATENATE
from minimeta.autodiff.operations.movement import RESHAPE, TRANSPOSE
from minimeta.autodiff.steps import Program, Step
from minimeta.program.names import fresh_names, named, numbered


class _Sum(NamedTuple):
    """Scattered parts, and the step that moves the axes of each, if there is one."""

    parts: tuple[Step, ...]
    moved: Step | None
    length: int  #: elements of all updates
    fits: bool  #: there is one part, which adds to each element once at most
    names: frozenset[int]  #: of the steps that compute it

    def like(self, other: _Sum) -> bool:
        """Return whether the parts lie in arrays of one kind."""
        x, y = self.parts[0], other.parts[0]
        axes = [of.moved and of.moved.params["axes"] for of in (self, other)]
        return x.form == y.form and len(x.operands) == len(y.operands) and axes[0] == axes[1]


def scatters(program: Program) -> Program:
    """Write one scatter_add for a sum of several."""
    if not any(step.primitive is SCATTER_ADD for step in program.steps):
        return program
    constants, steps = named(program)
    fresh = fresh_names(program)
    sums = {name: whole for name, whole in _sums(program, constants, fresh).items() if len(whole.parts) > 1}
    if not sums:
        return program
    replaced = frozenset[int]().union(*(whole.names for whole in sums.values()))
    kept: dict[int, Step] = {}
    for name, step in steps.items():
        if name in sums:
            _join(name, step, sums[name], constants, fresh, kept)
        elif name not in replaced:
            kept[name] = step
    used = {i for step in kept.values() for i in step.operands} | set(program.outputs)
    return numbered(program, {name: value for name, value in constants.items() if name in used}, kept)


def _sums(program: Program, constants: dict[int, Any], fresh: Iterator[int]) -> dict[int, _Sum]:
    """Return the longest sums of scattered parts, by name; a part is one of itself alone."""
    forms = program.forms()
    uses = collections.Counter(itertools.chain(*[step.operands for step in program.steps], program.outputs))
    sums: dict[int, _Sum] = {}
    for name, step in program.numbered_steps():
        found = [sums.get(i) if uses[i] == 1 else None for i in step.operands]
        if step.primitive is SCATTER_ADD and constants.keys() >= set(step.operands[1:]):
            size = forms[step.operands[0]].size
            sums[name] = _Sum((step,), None, size, _are_apart(step, constants), frozenset([name]))
        elif step.primitive is TRANSPOSE and (only := found[0]) and only.moved is None and len(only.parts) == 1:
            sums[name] = only._replace(moved=step, names=only.names | {name})
        elif step.primitive is ADD:
            x, y = found
            if x is None and y is not None and step.operands[0] in constants:
                x = _sum_of_constant(constants, fresh, step.operands[0], y)
            elif y is None and x is not None and step.operands[1] in constants:
                x, y = _sum_of_constant(constants, fresh, step.operands[1], x), x
            if x and y and y.fits and x.like(y) and x.length + y.length <= step.form.size:
                names = x.names | y.names | {name}
                sums[name] = _Sum(x.parts + y.parts, x.moved, x.length + y.length, False, names)
                for i in step.operands:
                    sums.pop(i, None)
    return sums


def _join(
    name: int, step: Step, whole: _Sum, constants: dict[int, Any], fresh: Iterator[int], kept: dict[int, Step]
) -> None:
    """Write the steps of a sum that scatters all of its parts at once."""
    first = whole.parts[0]
    many = len(first.operands) - 1
    item, dtype = first.form.shape[many:], first.form.dtype
    updates, count = list[int](), 0
    for part in whole.parts:
        update, index = part.operands[0], constants[part.operands[1]]
        if index.ndim != 1:
            flat = Form((index.size, *item), dtype)
            update = next(fresh)
            kept[update] = Step(RESHAPE, part.operands[:1], {"shape": flat.shape}, (flat,), part.origin)
        updates.append(update)
        count += index.size
    joined, *indices = itertools.islice(fresh, 1 + many)
    kept[joined] = Step(CONCATENATE, tuple(updates), {"axis": 0}, (Form((count, *item), dtype),), step.origin)
    for axis, index in enumerate(indices, 1):
        constants[index] = np.concatenate([np.ravel(constants[part.operands[axis]]) for part in whole.parts])
    scattered = name if whole.moved is None else next(fresh)
    kept[scattered] = first._replace(operands=(joined, *indices), origin=step.origin)
    if whole.moved is not None:
        kept[name] = whole.moved._replace(operands=(scattered,), origin=step.origin)


def _sum_of_constant(constants: dict[int, Any], fresh: Iterator[int], name: int, like: _Sum) -> _Sum | None:
    """Return a constant as a scattered part of what is not 0 in it: a part may have been folded."""
    first = like.parts[0]
    value = np.asarray(constants[name])
    if like.moved is not None:
        value = value.transpose(np.argsort(like.moved.params["axes"]))
    if (value.shape, value.dtype) != (first.form.shape, first.form.dtype):
        return None
    many = len(first.operands) - 1
    places = np.nonzero(np.any(value != 0, axis=tuple(range(many, value.ndim))))
    updates = value[places]
    if not 0 < updates.size < value.size:
        return None
    names = list(itertools.islice(fresh, 1 + many))
    constants.update(zip(names, (updates, *places), strict=True))
    return _Sum((first._replace(operands=tuple(names)),), like.moved, updates.size, True, frozenset())


def _are_apart(step: Step, constants: Mapping[int, Any]) -> bool:
    """Return whether a scatter_add adds to each element once at most."""
    places: Any = 0
    for i, size in zip(step.operands[1:], step.form.shape, strict=False):
        index = np.asarray(constants[i])
        if np.any((index < -size) | (index >= size)):
            return False
        places = places * size + index % size
    return bool(np.unique(places).size == np.size(places))
