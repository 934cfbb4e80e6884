"""Passes: make a program shorter, with the same results to the bit.

A program is a list of definitions, ``v = p(a, b, ...)``. Four passes shorten it, and none changes a
number:

    eliminate     drop what no output needs
    fold          compute now what depends on constants alone
    deduplicate   merge equal definitions
    simplify      replace ``v`` by ``a`` where ``p`` changes nothing:  a * 1,  -(-a)
                  write one operation for two:  a + (-b)  as  a - b
                  compute only the rows of a product that are read:  (a b)[rows]  as  a[rows] b

Two more move work: ``hoist`` takes out of a ``vmap`` what is the same for all tasks
(:mod:`minimeta.program.hoist`), and ``fuse`` makes one step of several elementwise ones
(:mod:`minimeta.program.fuse`).

A pass uses only identities that hold for every float, including NaN, infinities and both zeros.
``a + 0`` is not ``a`` (``-0 + 0 = 0``), ``a * 0`` and ``a - a`` are not 0 (if ``a`` is NaN), and no
pass changes the order of a sum.

The body of a step (``rematerialize``, ``vmap``) is shortened as a program of its own. Regions
recompute on purpose, so equal regions are never merged; unused results are dropped. By the time
passes run, a ``custom_vjp`` has been differentiated already, so it is replaced by its body.

When an alias or a copy is replaced by its operand, two outputs may become one value, or an operand.
The executor returns every output in separate memory.
"""

from __future__ import annotations

import collections
import dataclasses
import math
from collections.abc import Callable, Collection, Sequence
from typing import Any, TypeAlias, TypeVar, cast

import numpy as np

from minimeta.autodiff.array import Form
from minimeta.autodiff.calls import CALL
from minimeta.autodiff.exact import exact_type
from minimeta.autodiff.operations.arithmetic import NEGATIVE, SUBTRACT
from minimeta.autodiff.operations.joining import SPLIT
from minimeta.autodiff.operations.linear_algebra import MATMUL
from minimeta.autodiff.operations.movement import SLICE
from minimeta.autodiff.regions import CUSTOM_VJP
from minimeta.autodiff.steps import Program, Step, by_kernel
from minimeta.errors import ConfigurationError
from minimeta.program.fuse import fuse
from minimeta.program.hoist import hoist
from minimeta.program.names import elements_of, named, numbered, opened, program_of, renamed, results_of
from minimeta.program.place import GROUPS, place
from minimeta.program.pool import pool

Pass: TypeAlias = Callable[[Program], Program]
P = TypeVar("P", bound=Program)

#: Bytes of a result that is kept as a constant even where its operands are smaller.
_SMALL = 2**20


def eliminate(program: Program) -> Program:
    """Drop the steps and constants that no output needs; operands stay."""
    constants, steps = named(program)
    needed = set(program.outputs)
    kept: dict[int, Step] = {}
    same: dict[int, int] = {}
    for name, former in reversed(steps.items()):
        places = [place for place, result in enumerate(results_of(name, former)) if result in needed]
        if places:
            step = kept[name] = _narrowed(former, places)
            needed.update(step.operands)
            if step is not former:
                same.update({name + place: name + i for i, place in enumerate(places)})
    constants = {name: value for name, value in constants.items() if name in needed}
    return numbered(program, constants, dict(reversed(kept.items())), same)


def _narrowed(step: Step, places: Sequence[int]) -> Step:
    """Return a step without the other results, and without operands that its body does not use."""
    body = step.body
    if body is None or step.primitive is CUSTOM_VJP:
        return step
    used = {i for inner in body.steps for i in inner.operands} | {body.outputs[place] for place in places}
    operands = [i for i in range(len(body.operands)) if i in used]
    if len(places) == len(body.outputs) and len(operands) == len(body.operands):
        return step
    outputs = [body.outputs[place] for place in places]
    body = program_of({i: body.operands[i] for i in operands}, *named(body), outputs)
    tasks = step.tasks and dataclasses.replace(
        step.tasks,
        mapped=tuple(step.tasks.mapped[i] for i in operands),
        summed=tuple(step.tasks.summed[place] for place in places),
    )
    return step._replace(
        operands=tuple(step.operands[i] for i in operands),
        results=tuple(step.results[place] for place in places),
        body=body,
        tasks=tasks,
    )


def fold(program: Program) -> Program:
    """Compute the steps whose operands are all constants, by their kernels, as an operation outside
    of a trace would.

    A result of more than 1 MiB is folded only if its operands are no smaller: a constant lives as
    long as the program.
    """
    constants, steps = named(program)
    for name, step in list(steps.items()):
        values = [constants[i] for i in step.operands if i in constants]
        if len(values) < len(step.operands) or step.body is not None or step.primitive is CALL:
            continue
        size = sum(math.prod(form.shape) * form.dtype.itemsize for form in step.results)
        if size <= max(_SMALL, sum(value.nbytes for value in values)):
            constants.update(enumerate(by_kernel(step, *values), name))
            del steps[name]
    return numbered(program, constants, steps)


def deduplicate(program: Program) -> Program:
    """Merge equal constants, and steps of equal primitives, operands and parameters."""
    constants, steps = named(program)
    first: dict[Any, int] = {}
    same: dict[int, int] = {}

    def is_new(name: int, count: int, key: Any) -> bool:
        earlier = first.setdefault(key, name)
        if earlier != name:
            same.update({name + place: earlier + place for place in range(count)})
        return earlier == name

    constants = {name: value for name, value in constants.items() if is_new(name, 1, _contents(value))}
    kept = {}
    for name, former in steps.items():
        step = renamed(former, same)
        params = tuple(sorted(step.params.items(), key=lambda item: item[0]))
        key = (step.primitive, step.operands, params, exact_type(params))
        if step.body is not None or is_new(name, len(step.results), key):
            kept[name] = step
    return numbered(program, constants, kept, same)


def simplify(program: Program) -> Program:
    """Replace steps that change nothing by their operands, and two steps by a cheaper form."""
    program = opened(program, (CUSTOM_VJP, SPLIT))
    constants, steps = named(program)
    uses = collections.Counter(i for step in program.steps for i in step.operands)
    uses += collections.Counter(program.outputs)
    forms = program.forms()
    same: dict[int, int] = {}
    kept: dict[int, Step] = {}
    for name, former in steps.items():
        step = _composed(renamed(former, same), kept)
        # If the slice's operand was renamed above, the product may have other readers under its new
        # name.
        if former.primitive is SLICE and step.operands == former.operands and uses[step.operands[0]] == 1:
            step = _traded(step, kept, forms)
        unchanged = _unchanged(step, kept, constants, forms)
        if unchanged is None:
            kept[name] = step
        else:
            same[name] = unchanged
    return numbered(program, constants, kept, same)


#: The passes that are repeated until none of them finds anything, in their order.
_REPEATED: dict[str, Pass] = {
    "eliminate": eliminate,
    "fold": fold,
    "deduplicate": deduplicate,
    "simplify": simplify,
    "hoist": hoist,
}

#: Those that follow, each once: they decide how steps run, and the others do not look inside of
#: what they make.
_LAST: dict[str, Pass] = {"pool": pool, "fuse": fuse, "place": place}

#: The names of all passes.
PASSES = (*_REPEATED, *_LAST)

#: Those that put steps into groups, which one kernel runs or none.
GROUPING = tuple(_LAST)


def optimise(program: P, passes: Collection[str] = PASSES) -> P:
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
        Of the same operands and outputs, and no more steps that are not views, those inside of
        regions included. The passes but the last are repeated until none finds anything: each
        removes values, takes some out of a region, or leaves a chain of movements shorter, so there
        is an end.

    Raises
    ------
    ConfigurationError
        An unknown pass.
    """
    wanted = known(passes)
    found: Program = program
    before = None
    while found is not before:
        before = found
        for name, rewrite in _REPEATED.items():
            if name in wanted:
                found = everywhere(rewrite, found)
    for name, rewrite in _LAST.items():
        if name in wanted:
            found = everywhere(rewrite, found)
    return cast("P", found)


def everywhere(rewrite: Pass, program: Program) -> Program:
    """Return the program rewritten, and before it the bodies of its steps."""
    steps = []
    for step in program.steps:
        if step.body is not None and step.primitive not in GROUPS:
            body = everywhere(rewrite, step.body)
            if body is not step.body:
                step = step._replace(body=body)  # noqa: PLW2901 (the same step)
        steps.append(step)
    if list(map(id, steps)) != list(map(id, program.steps)):
        program = dataclasses.replace(program, steps=tuple(steps))
    return rewrite(program)


def known(passes: Collection[str]) -> tuple[str, ...]:
    """Return these passes in the order in which they run; refuse unknown names."""
    passes = (passes,) if isinstance(passes, str) else passes
    if unknown := sorted(set(passes) - set(PASSES)):
        raise ConfigurationError(f"unknown passes {', '.join(unknown)}; there are {', '.join(PASSES)}")
    return tuple(name for name in PASSES if name in passes)


# Constants


def _contents(value: Any) -> tuple[Any, ...]:
    elements = elements_of(value)
    return value.dtype, value.shape, elements.shape, elements.tobytes()


def _is_everywhere(number: int, wanted: float, constants: dict[int, Any]) -> bool:
    """Return whether a value is a constant with this number in every place."""
    return number in constants and bool(np.all(elements_of(constants[number]) == wanted))


# Identities


def _composed(step: Step, steps: dict[int, Step]) -> Step:
    """Write one step for two: a movement of a movement, or a sum with a negative."""
    name = step.primitive.name
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


def _traded(step: Step, steps: dict[int, Step], forms: list[Form]) -> Step:
    """Exchange a slice of a product for a product of a slice, if nothing else reads the product."""
    name = step.operands[0]
    product = steps.get(name)
    if product is None or product.primitive is not MATMUL:
        return step
    window = list(zip(*(step.params[key] for key in ("starts", "sizes", "steps")), strict=True))
    *batch, rows, columns = (part != (0, size, 1) for part, size in zip(window, product.form.shape, strict=True))
    if any(batch) or rows == columns:
        return step
    if 1 in step.form.shape[-2:] and 1 not in product.form.shape[-2:]:
        return step  # a product by a vector is summed in an order of its own
    # A row of the product is one of x, or a column of x that is transposed; and so for y.
    x, y = product.operands
    factor = x if rows else y
    axis = -1 if product.params["transpose_x" if rows else "transpose_y"] == rows else -2
    whole = [(0, size, 1) for size in forms[factor].shape]
    whole[axis] = window[-2 if rows else -1]
    starts, sizes, strides = zip(*whole, strict=True)
    forms[name] = Form(sizes, step.form.dtype)
    params = {"starts": starts, "sizes": sizes, "steps": strides}
    steps[name] = product._replace(primitive=SLICE, operands=(factor,), params=params, results=(forms[name],))
    return product._replace(operands=(name, y) if rows else (x, name), results=step.results)


def _unchanged(step: Step, steps: dict[int, Step], constants: dict[int, Any], forms: list[Form]) -> int | None:
    """Return the operand that a step's result equals in every bit, or None."""
    operands, params = step.operands, step.params
    match step.primitive.name:
        case "alias" | "copy" | "stop_gradient":
            return operands[0]
        case "reshape" | "broadcast_to" if forms[operands[0]].shape == step.form.shape:
            return operands[0]
        case "slice" | "pad" if forms[operands[0]].shape == step.form.shape and not any(params["starts"]):
            return operands[0]
        case "astype" if forms[operands[0]].dtype == step.form.dtype:
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
