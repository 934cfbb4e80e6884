"""The types of a program: every value has a shape and a dtype, and every instruction agrees with them.

An instruction ``%n: t = p(%a, %b, ...)`` is well typed if ``a, b, ... < n`` and the shape rule of ``p`` gives ``t`` for
the types of its operands. A program is, if all its instructions are and its outputs exist; one inside a region too.
"""

from __future__ import annotations

from typing import Any

from minimeta.autodiff.array import Form
from minimeta.autodiff.graph import Step, StraightLine
from minimeta.errors import MinimetaError, TracingError


def check(line: StraightLine) -> None:
    """Verify that a line is well typed.

    Raises
    ------
    TracingError
        It is not; the message names the first step that does not fit.
    """
    forms = [*line.operands, *(Form(value.shape, value.dtype) for value in line.constants)]
    for step in line.steps:
        where = f"%{len(forms)} = {step.primitive.name}"
        if late := [i for i in step.operands if not 0 <= i < len(forms)]:
            raise TracingError(f"program: {where} uses %{late[0]}, which is not computed yet")
        operands = [forms[i] for i in step.operands]
        try:
            found = _result(step, operands)
        except (MinimetaError, LookupError, AttributeError, TypeError) as error:
            raise TracingError(f"program: {where} does not take {operands}: {error}") from None
        if repr(found) != repr(step.shape):
            raise TracingError(f"program: {where} of {operands} is {found!r}, and not {step.shape!r} as is written")
        forms.append(step.shape)
    if late := [i for i in line.outputs if not 0 <= i < len(forms)]:
        raise TracingError(f"program: output %{late[0]} does not exist")


def _result(step: Step, operands: list[Any]) -> Any:
    """The form of a step's result by its primitive's rule."""
    if step.primitive.elementwise:
        shapes = {form.shape for form in operands}
        dtypes = {form.dtype for form in operands[step.primitive.unpromoted :]}
        if len(shapes) != 1 or len(dtypes) != 1:
            raise TypeError("elementwise operands have one shape and one dtype")
    if inner := step.params.get("line"):
        if "mapped" not in step.params and repr(operands) != repr(list(inner.operands)):
            raise TypeError(f"the region was written for {inner.operands}")
        check(inner)
    return step.primitive.shape(*operands, **step.params)
