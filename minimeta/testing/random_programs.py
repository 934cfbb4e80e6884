"""Random programs: straight lines drawn from everything that can be computed.

Every primitive of the registry takes part, so a new one is tested by being there. How a program grows from one
instruction to the next is told in :mod:`minimeta.testing.draft`.

A program may be followed by its derivative: with operands ``x``, float outputs ``y`` and their cotangents ``g``,

    (x, g)  ->  (y, J(x)^T g)

is a program again, and so there is one of every order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from minimeta.autodiff import tree
from minimeta.autodiff.apply import apply
from minimeta.autodiff.derivatives import vjp
from minimeta.autodiff.graph import StraightLine
from minimeta.autodiff.primitive import Primitive, registry
from minimeta.program import Program, trace
from minimeta.program.listing import names_of
from minimeta.testing.draft import Draft, Operands, form_of, is_float
from minimeta.testing.strategies import arrays

#: How many primitives, drawn from all of them, a program is made of.
_KINDS = 4


@dataclass(frozen=True, eq=False)
class Specimen:
    """A program, and operands that it can be run on.

    Attributes
    ----------
    program
        Its arguments are a row of arrays, and so is its output.
    operands
        Contiguous arrays, one for each argument. Integers among them may be indices, which other values would put out
        of range.
    """

    program: Program
    operands: Operands

    def function(self, *operands: Any) -> Any:
        """The program as a Python function of its operands, to be called, differentiated, traced or compiled."""
        return self.program.run(apply, *operands)

    def __repr__(self) -> str:
        line = self.program.line
        numbers = [f"%{number}" for number in range(len(line.operands), len(line.operands) + len(line.constants))]
        names = [*names_of(line, self.program.operands), *numbers]
        values = zip(names, (*self.operands, *line.constants), strict=True)
        return "\n".join([str(self.program), *(f"  {name} = {x!r}" for name, x in values)])

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(f"\n{self!r}\n")  # as hypothesis shows an example


@st.composite
def programs(
    draw: st.DrawFn,
    *,
    order: int = 0,
    instructions: int = 8,
    primitives: Sequence[Primitive] | None = None,
    stretch: int = 1,
) -> Specimen:
    """Random well-typed programs, with operands.

    They shrink to fewer instructions, then to smaller shapes, then to simpler values. Values may be NaN or infinite.

    Parameters
    ----------
    order
        How many times the program is followed by its derivative; the cotangents are operands too.
    instructions
        The most that are drawn. Views that make values fit, and derivatives, come on top of that.
    primitives
        What instructions are drawn from, beside regions and vmap; all of the registry if None.
    stretch
        A factor for one side of shapes, where arrays are to be large.

    Returns
    -------
    strategy of Specimen

    Examples
    --------
    >>> import minimeta, numpy
    >>> from hypothesis import given
    >>> @given(programs(order=1))
    ... def test_compiled_is_eager(specimen):
    ...     eager, compiled = specimen.function, minimeta.compile(specimen.function)
    ...     for x, y in zip(eager(*specimen.operands), compiled(*specimen.operands)):
    ...         numpy.testing.assert_array_equal(x, y)
    """
    every = [*(registry.values() if primitives is None else primitives)]
    often = [*every, *[*filter(_joins, every)] * 2]
    # Few kinds in one program, so that it has chains of the same (Groce et al. 2012, "Swarm testing").
    draft = Draft(draw, [draw(st.sampled_from(often)) for _ in range(_KINDS)], stretch)
    draft.grow(instructions)
    line, operands = draft.line(draft.outputs(differentiable=order > 0))
    specimen = Specimen(_of_rows(line), operands)
    for _ in range(order):
        specimen = _differentiated(draw, specimen)
    return specimen


def _joins(primitive: Primitive) -> bool:
    """Whether a primitive makes one value of several, or is a view: these come more often."""
    return primitive.view or (isinstance(primitive.rules, tuple) and len(primitive.rules) > 1)


def _differentiated(draw: st.DrawFn, specimen: Specimen) -> Specimen:
    """A program followed by its derivative, on the same operands and on drawn cotangents."""
    line, operands = specimen.program.line, specimen.operands
    forms = [*line.operands, *map(form_of, line.constants), *(step.shape for step in line.steps)]
    cotangents = [draw(arrays(forms[i].shape, forms[i].dtype)) for i in line.outputs if is_float(forms[i])]

    def derivative(operands: Sequence[Any], cotangents: Sequence[Any]) -> Any:
        def of_floats(*floats: Any) -> Any:
            remaining = iter(floats)
            return specimen.function(*[next(remaining) if is_float(x) else x for x in operands])

        outputs, pullback = vjp(of_floats, *filter(is_float, operands))
        remaining = iter(cotangents)
        return outputs, pullback(tuple(next(remaining) if is_float(y) else y for y in outputs))

    program = trace(derivative, operands, cotangents)
    return Specimen(_of_rows(program.line), (*operands, *cotangents))


def _of_rows(line: StraightLine) -> Program:
    """A line as a program from a row of arrays to another."""
    arguments, output = ((0,) * len(row) for row in (line.operands, line.outputs))
    return Program(line, tree.flatten(arguments)[1], tree.flatten(output)[1])
