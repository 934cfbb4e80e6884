"""Passes: a program made shorter, with the same results to the bit.

A program is a list of definitions, ``v = p(a, b, ...)``. Four rewritings shorten it, and none changes a number:

    eliminate     drop what no output needs
    fold          compute now what is made of constants alone
    deduplicate   give equal definitions one name
    simplify      replace ``v`` by ``a`` where ``p`` changes nothing:  a * 1,  -(-a),  a transposed twice;
                  write one operation for two:  a + (-b)  as  a - b;
                  and compute of a product only the rows that are taken:  (a b)[rows]  as  a[rows] b

A fifth, ``hoist``, takes out of a ``vmap`` what is the same for all tasks (:mod:`minimeta.program.hoist`), and a sixth,
``fuse``, makes one step of elementwise ones (:mod:`minimeta.program.fuse`).

Only identities that hold for every float are used, NaN, infinities and both zeros included. ``a + 0`` is not ``a``
(``-0 + 0 = 0``), ``a * 0`` and ``a - a`` are not 0 (of NaN), and sums are never taken in another order.

A region (``rematerialize``, ``vmap``) is one instruction, and its body a line that is shortened by itself. To compute
again is what a region is for, so two equal ones are two; what nobody takes of it is not computed. But a ``custom_vjp``
has had its derivative when a program is made shorter: it is what it computes.

With an alias or a copy replaced by its operand, two outputs may be one value, or an operand: whoever runs a program
returns outputs in memory of their own.
"""

from __future__ import annotations

import collections
import dataclasses
import itertools
import math
from collections.abc import Callable, Collection
from typing import Any

import numpy as np

from minimeta.autodiff.array import Form
from minimeta.autodiff.graph import Step, StraightLine
from minimeta.autodiff.operations.arithmetic import NEGATIVE, SUBTRACT
from minimeta.autodiff.operations.joining import SPLIT
from minimeta.autodiff.operations.linear_algebra import MATMUL
from minimeta.autodiff.operations.movement import SLICE
from minimeta.autodiff.regions import CUSTOM_VJP, PROJECT, by_kernel
from minimeta.errors import ConfigurationError
from minimeta.program.fuse import FUSED, fuse
from minimeta.program.hoist import hoist
from minimeta.program.names import is_region, named, numbered, renamed
from minimeta.program.program import Program

#: Bytes of a result that is kept as a constant even where its operands are smaller.
_SMALL = 2**20


def eliminate(line: StraightLine) -> StraightLine:
    """Drop the steps and constants that no output needs; operands stay."""
    constants, steps = named(line)
    needed = set(line.outputs)
    for name in reversed(steps):
        if name in needed:
            needed.update(steps[name].operands)
    kept = {name: step for name, step in steps.items() if name in needed}
    taken: dict[int, set[int]] = {}
    for step in kept.values():
        if step.primitive is PROJECT:
            taken.setdefault(step.operands[0], set()).add(step.params["place"])
    order = {name: sorted(places) for name, places in taken.items() if _is_narrowable(kept[name])}
    for name, places in order.items():
        kept[name] = _narrowed(kept[name], places)
    for name, step in kept.items():
        if step.primitive is PROJECT and step.operands[0] in order:
            place = order[step.operands[0]].index(step.params["place"])
            kept[name] = step if place == step.params["place"] else step._replace(params={"place": place})
    return numbered(line, {name: value for name, value in constants.items() if name in needed}, kept)


def _is_narrowable(step: Step) -> bool:
    """Whether a step's results that nobody takes need not be computed."""
    return is_region(step) and "rule" not in step.params


def _narrowed(region: Step, places: list[int]) -> Step:
    """A region of these results alone, without the operands that its body does not use."""
    body: StraightLine = region.params["line"]
    used = {i for step in body.steps for i in step.operands} | {body.outputs[place] for place in places}
    operands = [i for i in range(len(body.operands)) if i in used]
    if len(places) == len(body.outputs) and len(operands) == len(body.operands):
        return region
    first = len(body.operands)
    values = range(first, first + len(body.constants) + len(body.steps))
    number = {old: new for new, old in enumerate((*operands, *values))}
    body = StraightLine(
        tuple(body.operands[i] for i in operands),
        body.constants,
        tuple(renamed(step, number) for step in body.steps),
        tuple(number[body.outputs[place]] for place in places),
    )
    params = {**region.params, "line": body}
    if "mapped" in params:
        params["mapped"] = tuple(params["mapped"][i] for i in operands)
        params["summed"] = tuple(params["summed"][place] for place in places)
    return region._replace(
        operands=tuple(region.operands[i] for i in operands),
        params=params,
        shape=tuple(region.shape[place] for place in places),
    )


def fold(line: StraightLine) -> StraightLine:
    """Compute the steps whose operands are all constants, by their kernels, as an operation outside of a trace would.

    A result of more than 1 MiB is folded only if its operands are no smaller: a constant lives as long as the program.
    """
    constants, steps = named(line)
    for name, step in list(steps.items()):
        values = [constants[i] for i in step.operands if i in constants]
        if len(values) < len(step.operands) or type(step.shape) is tuple:
            continue
        size = math.prod(step.shape.shape) * step.shape.dtype.itemsize
        if size <= max(_SMALL, sum(value.nbytes for value in values)):
            constants[name] = by_kernel(step.primitive, *values, **step.params)
            del steps[name]
    return numbered(line, constants, steps)


def deduplicate(line: StraightLine) -> StraightLine:
    """Let equal constants, and equal primitives of the same operands and parameters, be one value."""
    constants, steps = named(line)
    first: dict[Any, int] = {}
    same: dict[int, int] = {}

    def is_new(name: int, key: Any) -> bool:
        earlier = first.setdefault(key, name)
        if earlier != name:
            same[name] = earlier
        return earlier == name

    constants = {name: value for name, value in constants.items() if is_new(name, _contents(value))}
    kept = {}
    for name, former in steps.items():
        step = renamed(former, same)
        if is_region(step) or is_new(name, (step.primitive, step.operands, tuple(sorted(step.params.items())))):
            kept[name] = step
    return numbered(line, constants, kept, same)


def simplify(line: StraightLine) -> StraightLine:
    """Replace a step that changes nothing by its operand, and two steps by one, or by two smaller ones."""
    line = _opened(line)
    constants, steps = named(line)
    uses = collections.Counter(i for step in line.steps for i in step.operands) + collections.Counter(line.outputs)
    forms: list[Any] = [*line.operands, *line.constants, *(step.shape for step in line.steps)]
    same: dict[int, int] = {}
    kept: dict[int, Step] = {}
    for name, former in steps.items():
        step = _composed(renamed(former, same), kept)
        # What it is taken of by another name, others may have by that name.
        if former.primitive is SLICE and step.operands == former.operands and uses[step.operands[0]] == 1:
            step = _traded(step, kept, forms)
        unchanged = _unchanged(step, kept, constants, forms)
        if unchanged is None:
            kept[name] = step
        else:
            same[name] = unchanged
    return numbered(line, constants, kept, same)


_BY_NAME: dict[str, Callable[[StraightLine], StraightLine]] = {
    "eliminate": eliminate,
    "fold": fold,
    "deduplicate": deduplicate,
    "simplify": simplify,
    "hoist": hoist,
    "fuse": fuse,
}

#: The names of all passes.
PASSES = tuple(_BY_NAME)


def optimise(program: Program, passes: Collection[str] = PASSES) -> Program:
    """Make a program shorter without changing a bit of its results.

    Parameters
    ----------
    program
        A traced function.
    passes
        The names of the passes to use, of :data:`PASSES`.

    Returns
    -------
    Program
        Of the same operands and outputs, and no more steps that are not views, those inside of regions included. The
        passes are repeated until none finds anything: each removes values, takes some out of a region, or leaves a
        chain of movements shorter, so there is an end.

    Raises
    ------
    ConfigurationError
        An unknown pass.
    """
    wanted = known(passes)
    line, before = program.line, None
    while line is not before:
        before = line
        for name in wanted:
            if name != "fuse":
                line = _everywhere(_BY_NAME[name], line)
    if "fuse" in wanted:  # Last, and once: the others do not look inside a group.
        line = _everywhere(fuse, line)
    return dataclasses.replace(program, line=line)


def _everywhere(rewrite: Callable[[StraightLine], StraightLine], line: StraightLine) -> StraightLine:
    """The line rewritten, and before it the bodies of its regions."""
    steps = []
    for step in line.steps:
        if is_region(step) and step.primitive is not FUSED:
            body = _everywhere(rewrite, step.params["line"])
            if body is not step.params["line"]:
                step = step._replace(params={**step.params, "line": body})  # noqa: PLW2901 (the same step)
        steps.append(step)
    if list(map(id, steps)) != list(map(id, line.steps)):
        line = line._replace(steps=tuple(steps))
    return rewrite(line)


def known(passes: Collection[str]) -> tuple[str, ...]:
    """These passes in the order in which they run; a ConfigurationError if there is none of such a name."""
    passes = (passes,) if isinstance(passes, str) else passes
    if unknown := sorted(set(passes) - set(PASSES)):
        raise ConfigurationError(f"unknown passes {', '.join(unknown)}; there are {', '.join(PASSES)}")
    return tuple(name for name in PASSES if name in passes)


# Constants


def _elements(value: Any) -> Any:
    """A constant's elements, those repeated by broadcasting once."""
    return value[tuple(slice(None) if stride else slice(1) for stride in value.strides)]


def _contents(value: Any) -> tuple[Any, ...]:
    elements = _elements(value)
    return value.dtype, value.shape, elements.shape, elements.tobytes()


def _is_everywhere(number: int, wanted: float, constants: dict[int, Any]) -> bool:
    """Whether a value is a constant with this in every place."""
    return number in constants and bool(np.all(_elements(constants[number]) == wanted))


# Identities


def _opened(line: StraightLine) -> StraightLine:
    """The steps of each ``custom_vjp`` in its place."""
    constants, steps = named(line)
    fresh = itertools.count(len(line.operands) + len(constants) + len(steps))
    same: dict[int, int] = {}
    kept: dict[int, Step] = {}
    results: dict[int, list[int]] = {}
    for name, former in steps.items():
        step = renamed(former, same)
        if step.primitive is CUSTOM_VJP:
            body: StraightLine = step.params["line"]
            names = [*step.operands, *itertools.islice(fresh, len(body.constants) + len(body.steps))]
            constants.update(zip(names[len(body.operands) :], body.constants, strict=False))
            inside = [renamed(other, dict(enumerate(names))) for other in body.steps]
            kept.update(zip(names[len(body.operands) + len(body.constants) :], inside, strict=True))
            results[name] = [names[i] for i in body.outputs]
        elif step.primitive is PROJECT and step.operands[0] in results:
            same[name] = results[step.operands[0]][step.params["place"]]
        else:
            kept[name] = step
    return numbered(line, constants, kept, same)


def _composed(step: Step, steps: dict[int, Step]) -> Step:
    """One step for two: a movement of such a movement, a sum with a negative, a part of a split (which is a slice)."""
    name = step.primitive.name
    if step.primitive is PROJECT and (region := steps.get(step.operands[0])) and region.primitive is SPLIT:
        body: StraightLine = region.params["line"]
        part = body.outputs[step.params["place"]] - 1
        return step if part < 0 else body.steps[part]._replace(operands=region.operands)
    if name == "add":
        for x, y in (step.operands, step.operands[::-1]):
            if (opposite := steps.get(y)) and opposite.primitive is NEGATIVE:
                return step._replace(primitive=SUBTRACT, operands=(x, *opposite.operands))
    inner = steps.get(step.operands[0]) if name in ("reshape", "transpose", "broadcast_to") else None
    if inner is None or inner.primitive is not step.primitive:
        return step
    params = step.params
    if name == "transpose":
        params = {"axes": tuple(inner.params["axes"][axis] for axis in params["axes"])}
    return step._replace(operands=inner.operands, params=params)


def _traded(step: Step, steps: dict[int, Step], forms: list[Any]) -> Step:
    """A slice of a product as the product of a slice, which takes the other's place: nobody else has it."""
    name = step.operands[0]
    product = steps.get(name)
    if product is None or product.primitive is not MATMUL:
        return step
    window = list(zip(*(step.params[key] for key in ("starts", "sizes", "steps")), strict=True))
    *batch, rows, columns = (part != (0, size, 1) for part, size in zip(window, product.shape.shape, strict=True))
    if any(batch) or rows == columns:
        return step
    # A row of the product is one of x, or a column of x that is transposed; and so for y.
    x, y = product.operands
    factor = x if rows else y
    axis = -1 if product.params["transpose_x" if rows else "transpose_y"] == rows else -2
    whole = [(0, size, 1) for size in forms[factor].shape]
    whole[axis] = window[-2 if rows else -1]
    starts, sizes, strides = zip(*whole, strict=True)
    forms[name] = Form(sizes, step.shape.dtype)
    params = {"starts": starts, "sizes": sizes, "steps": strides}
    steps[name] = product._replace(primitive=SLICE, operands=(factor,), params=params, shape=forms[name])
    return product._replace(operands=(name, y) if rows else (x, name), shape=step.shape)


def _unchanged(step: Step, steps: dict[int, Step], constants: dict[int, Any], forms: list[Any]) -> int | None:
    """The operand that a step's result equals in every bit, if there is one."""
    operands, params = step.operands, step.params
    match step.primitive.name:
        case "alias" | "copy" | "stop_gradient":
            return operands[0]
        case "reshape" | "broadcast_to" if forms[operands[0]].shape == step.shape.shape:
            return operands[0]
        case "slice" | "pad" if forms[operands[0]].shape == step.shape.shape and not any(params["starts"]):
            return operands[0]
        case "astype" if forms[operands[0]].dtype == step.shape.dtype:
            return operands[0]
        case "transpose" if params["axes"] == tuple(range(len(params["axes"]))):
            return operands[0]
        case "multiply" if _is_everywhere(operands[0], 1, constants):
            return operands[1]
        case "multiply" | "divide" | "power" if _is_everywhere(operands[1], 1, constants):
            return operands[0]
        case "where" if _is_everywhere(operands[0], True, constants):
            return operands[1]
        case "where" if _is_everywhere(operands[0], False, constants):
            return operands[2]
        case "negative" if (inner := steps.get(operands[0])) and inner.primitive is step.primitive:
            return inner.operands[0]
    return None
