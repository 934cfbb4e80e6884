"""fused_products: a product of a small matrix by a wide one, computed where it is read.

    z = x @ y;  v = f(z, a)        fused_products:  z = x @ y;  v = f(z, a)

A product of few terms takes less time than writing it to memory and reading it again. So where only
one elementwise step, or group of them, reads it, that step computes it, a block of columns at a time
(``csrc/fused_products.hpp``): in ``wx @ u + wh @ h + b`` two products are added, a bias follows, and
one array is written in place of three. Every element is computed by the same operations in the same
order, so no bit changes.
"""

from __future__ import annotations

from collections.abc import Sequence

from minimeta.autodiff.array import Form
from minimeta.autodiff.regions import region, rematerialize_rule
from minimeta.autodiff.steps import Program, Step
from minimeta.program.fuse import FUSED
from minimeta.program.names import alone, fresh_names, named, numbered, program_of, readers, renamed
from minimeta.program.split import has_wide, is_wide

#: Products, then elementwise steps of their shape.
FUSED_PRODUCTS = region("fused_products", rematerialize_rule)


def products(program: Program) -> Program:
    """Compute wide products of few terms inside of the only elementwise step that reads them."""
    if not has_wide(program):
        return program
    constants, steps = named(program)
    forms, reading, fresh = program.forms(), readers(steps), fresh_names(program)
    taken: dict[int, list[int]] = {}  # by the reader
    for name, step in steps.items():
        if is_wide(step, forms) and name not in program.outputs:
            reader, *others = reading[name]
            if not others and _is_elementwise(steps[reader], forms):
                taken.setdefault(reader, []).append(name)
    inside = {name for names in taken.values() for name in names}
    kept: dict[int, Step] = {}
    for name, step in steps.items():
        if name in taken:
            own = {i: steps[i] for i in taken[name]}
            body = step.body or alone(step, (forms[i] for i in step.operands))
            names = [*step.operands, *(next(fresh) for _ in body.steps)]
            factors = [i for product in own.values() for i in product.operands]
            operands = [i for i in dict.fromkeys((*step.operands, *factors)) if i not in own]
            for i, inner in body.numbered_steps():
                own[names[i]] = renamed(inner, dict(enumerate(names)))
            body = program_of({i: forms[i] for i in operands}, {}, own, [names[i] for i in body.outputs])
            kept[name] = Step(FUSED_PRODUCTS, tuple(operands), {}, step.results, step.origin, body)
        elif name not in inside:
            kept[name] = step
    return numbered(program, constants, kept)


def _is_elementwise(step: Step, forms: Sequence[Form]) -> bool:
    """Return whether a step is an elementwise one, or a group of them, of one shape and without sums."""
    inner = step.body.steps if step.primitive is FUSED and step.body is not None else (step,)
    shapes = {form.shape for each in inner for form in each.results} | {forms[i].shape for i in step.operands}
    return len(shapes) == 1 and all(each.primitive.elementwise and each.primitive.native for each in inner)
