"""The derivative of one instruction as an equation, made by tracing its rule.

For ``y = p(x1, ..., xn)`` the rule of ``xi`` gives the share of its cotangent that comes by way of
``y``, in other operations. We trace it on the forms of the operands and put its instructions into
one another:

    y = sin(x)      x' += y' * cos(x)

where ``y'`` is the cotangent of ``y``. What ``y`` itself is in the rule is written ``y``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minimeta.autodiff.array import Form, is_float
from minimeta.autodiff.derivatives import vjp
from minimeta.autodiff.steps import by_operation
from minimeta.program.explanation import Explained, equation
from minimeta.program.listing import Literal, listed
from minimeta.program.program import Traced, trace

#: Around the name of a value whose cotangent is meant.
COTANGENT = "\N{MATHEMATICAL LEFT ANGLE BRACKET}{}\N{MATHEMATICAL RIGHT ANGLE BRACKET}"


def shares(row: Explained, forms: Mapping[str, Form]) -> dict[str, str]:
    """Return what each operand's cotangent gets from this instruction.

    Parameters
    ----------
    row
        An instruction with one result.
    forms
        Those of its operands, by name.

    Returns
    -------
    dict
        By the name of the operand: the share, in which ``COTANGENT`` marks the cotangent of the
        result. Empty for what has no derivative, or a body of its own.
    """
    if row.step.body is not None or len(row.step.results) != 1 or not row.step.primitive.differentiable:
        return {}
    fixed = {i: _value(x) for i, x in enumerate(row.operands) if isinstance(x, Literal)}
    inputs = {i: forms[x] for i, x in enumerate(row.operands) if i not in fixed}
    moving = [i for i, form in inputs.items() if is_float(form)]
    if not moving or not is_float(row.step.form):
        return {}

    def pullback(cotangent: Any, *operands: Any) -> Any:
        given = dict(zip(inputs, operands, strict=True))

        def of(*moved: Any) -> Any:
            values = fixed | given | dict(zip(moving, moved, strict=True))
            (y,) = by_operation(row.step, *[values[i] for i in range(len(values))])
            return y

        return vjp(of, *[given[i] for i in moving])[1](cotangent)

    program = trace(pullback, row.step.form, *inputs.values())
    written = _written(program, row)
    found: dict[str, str] = {}
    for i, share in zip(moving, written, strict=True):
        name = row.operands[i]
        found[name] = f"{found[name]} + {share}" if name in found else share
    return found


def _written(program: Traced, row: Explained) -> list[str]:
    """Write the outputs of a rule's program in the names of the instruction that it belongs to."""
    operands = [x for x in row.operands if not isinstance(x, Literal)]
    found = listed(program, [COTANGENT.format(row.name), *operands], prefix="#")  # Its numbers are not the outer ones.
    known: dict[str, str] = {}
    for each in found.rows:
        if each.step.primitive is row.step.primitive and each.operands == row.operands:
            known[each.number] = row.name
        elif each.body is None:
            said = equation(each._replace(operands=tuple(_inside(x, known) for x in each.operands)))
            known.update({name: said for name in each.names})
        else:
            known.update({name: f"rule of {row.step.primitive.name}" for name in each.names})
    return [known.get(x, x) for x in found.outputs]


def _inside(name: str, known: Mapping[str, str]) -> str:
    """Return an operand of an equation, in parentheses if it is one that could be misread."""
    said = known.get(name)
    if said is None:
        return name
    return f"({said})" if " " in re.sub(r"\([^()]*\)", "", said) or said.startswith("-") else said


def _value(literal: Literal) -> NDArray[Any]:
    one = str(literal) == "True" if literal.form.dtype.kind == "b" else float(literal)
    return np.full(literal.form.shape, one, literal.form.dtype)
