"""The types of a program: every value has a shape and a dtype, and every instruction agrees with
them.

An instruction ``%n: t = p(%a, %b, ...)`` is well typed if ``a, b, ... < n`` and the shape rule of
``p`` gives ``t`` for the types of its operands. A program is, if all its instructions are and its
outputs exist; one inside a region too.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from minimeta.autodiff.array import Form
from minimeta.autodiff.primitive import Primitive
from minimeta.autodiff.steps import Program, Step, by_shape
from minimeta.errors import MinimetaError, TracingError


def check(program: Program, asserted: Collection[Primitive] = ()) -> None:
    """Verify that a program is well typed.

    Parameters
    ----------
    program
        What to verify.
    asserted
        Primitives whose results are taken to have the forms that are written, such as those whose
        shape rule computes.

    Raises
    ------
    TracingError
        It is not; the message names the first step that does not fit.
    """
    forms = [*program.operands, *map(Form.of, program.constants)]
    for step in program.steps:
        where = f"%{len(forms)} = {step.primitive.name}"
        if late := [i for i in step.operands if not 0 <= i < len(forms)]:
            raise TracingError(f"program: {where} uses %{late[0]}, which is not computed yet")
        operands = [forms[i] for i in step.operands]
        try:
            found = _results(step, operands, asserted)
        except (MinimetaError, LookupError, AttributeError, TypeError) as error:
            raise TracingError(f"program: {where} does not take {operands}: {error}") from None
        if found != step.results:
            written = ", ".join(map(repr, step.results))
            raise TracingError(
                f"program: {where} of {operands} is {', '.join(map(repr, found))}, and not {written} as is written"
            )
        forms += step.results
    if late := [i for i in program.outputs if not 0 <= i < len(forms)]:
        raise TracingError(f"program: output %{late[0]} does not exist")


def _results(step: Step, operands: Sequence[Form], asserted: Collection[Primitive]) -> tuple[Form, ...]:
    """Return the forms of a step's results by its primitive's rule."""
    if step.primitive.elementwise:
        shapes = {form.shape for form in operands}
        dtypes = {form.dtype for form in operands[step.primitive.unpromoted :]}
        if len(shapes) != 1 or len(dtypes) != 1:
            raise TypeError("elementwise operands have one shape and one dtype")
    if step.body is not None:
        if step.tasks is None and tuple(operands) != step.body.operands:
            raise TypeError(f"the region was written for {list(step.body.operands)}")
        check(step.body, asserted)
    return step.results if step.primitive in asserted else by_shape(step, *operands)
