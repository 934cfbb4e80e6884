"""Random programs: drawn from everything that can be computed.

Every primitive of the registry that takes all values takes part, so a new one is tested by being
there. How a program grows from one instruction to the next is described in
:mod:`minimeta.testing.draft`.

A program may be followed by its derivative: with operands ``x``, float outputs ``y`` and their
cotangents ``g``,

    (x, g)  ->  (y, J(x)^T g)

is a program again, and so there is one of every order.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from minimeta.autodiff import operations, tree
from minimeta.autodiff.array import is_float
from minimeta.autodiff.derivatives import vjp
from minimeta.autodiff.primitive import Primitive, registry
from minimeta.autodiff.steps import Program, by_operation
from minimeta.program import Traced, trace
from minimeta.program.listing import names_of
from minimeta.testing.draft import Draft, Operands
from minimeta.testing.strategies import arrays

_load = functools.cache(operations.load_pages)

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
        Contiguous arrays, one for each argument. Integers among them may be indices, which other
        values would put out of range.
    """

    program: Traced
    operands: Operands

    def function(self, *operands: Any) -> Any:
        """Return the program as a Python function of its operands, to be called, differentiated, traced or compiled."""
        return self.program.run(by_operation, *operands)

    def __repr__(self) -> str:
        program = self.program
        numbers = [f"%{number}" for number in range(len(program.operands), program.first)]
        names = [*names_of(program, program.names), *numbers]
        values = zip(names, (*self.operands, *program.constants), strict=True)
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

    They shrink to fewer instructions, then to smaller shapes, then to simpler values. Values may be
    NaN or infinite.

    Parameters
    ----------
    order
        How many times the program is followed by its derivative; the cotangents are operands too.
    instructions
        The most that are drawn. Views that make values fit, and derivatives, come on top of that.
    primitives
        What instructions are drawn from, besides regions and vmap; all of the registry that take
        all values if None.
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
    _load()
    every = [p for p in registry.values() if not p.partial] if primitives is None else [*primitives]
    often = [*every, *[*filter(_joins, every)] * 2]
    kinds = st.sampled_from(often)
    # Few kinds in one program, so that it has chains of the same (Groce et al. 2012, "Swarm
    # testing").
    draft = Draft(draw, [draw(kinds) for _ in range(_KINDS)], stretch)
    draft.grow(instructions)
    program, operands = draft.program(draft.outputs(differentiable=order > 0))
    specimen = Specimen(_of_rows(program), operands)
    for _ in range(order):
        specimen = _differentiated(draw, specimen)
    return specimen


def _joins(primitive: Primitive) -> bool:
    """Return whether a primitive makes one value of several, or is a view: these come more often."""
    return primitive.view or (isinstance(primitive.rules, tuple) and len(primitive.rules) > 1)


def _differentiated(draw: st.DrawFn, specimen: Specimen) -> Specimen:
    """Return a program followed by its derivative, on the same operands and on drawn cotangents."""
    program, operands = specimen.program, specimen.operands
    forms = program.forms()
    cotangents = [draw(arrays(forms[i].shape, forms[i].dtype)) for i in program.outputs if is_float(forms[i])]

    def derivative(operands: Sequence[Any], cotangents: Sequence[Any]) -> Any:
        def of_floats(*floats: Any) -> Any:
            remaining = iter(floats)
            return specimen.function(*[next(remaining) if is_float(x) else x for x in operands])

        outputs, pullback = vjp(of_floats, *filter(is_float, operands))
        remaining = iter(cotangents)
        return outputs, pullback(tuple(next(remaining) if is_float(y) else y for y in outputs))

    return Specimen(_of_rows(trace(derivative, operands, cotangents)), (*operands, *cotangents))


def _of_rows(program: Program) -> Traced:
    """Return a program from a row of arrays to another."""
    arguments, output = (tree.flatten((0,) * len(row))[1] for row in (program.operands, program.outputs))
    return Traced.of(program, arguments, output)
