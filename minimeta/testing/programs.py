"""Random programs: a straight line drawn from everything that can be computed.

A program grows by one instruction at a time. Its primitive draws parameters and operands that it takes, and each of
these is then replaced: by a value that the program has already, of the same form or brought into it by a conversion and
a few views; or by a new operand or constant of the program. An instruction may also be a region, whose body is a small
program, or an earlier one again. Every primitive of the registry takes part, so a new one is tested by being there.

Each value is computed as soon as it is written down, since an index that was computed has to be in range.

A program may be followed by its derivative: with operands ``x``, float outputs ``y`` and their cotangents ``g``,

    (x, g)  ->  (y, J(x)^T g)

is a program again, and so there is one of every order.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st
from numpy.typing import NDArray

from minimeta.autodiff import tree
from minimeta.autodiff.array import Abstract, Shape
from minimeta.autodiff.derivatives import vjp
from minimeta.autodiff.graph import Step, StraightLine
from minimeta.autodiff.operations.elementwise import CONVERTIBLE
from minimeta.autodiff.primitive import Primitive, apply, registry
from minimeta.autodiff.regions import PROJECT, REMATERIALIZE
from minimeta.errors import DtypeError
from minimeta.program import Program, trace
from minimeta.testing.operands import Drawing, arrays

Operands = tuple[NDArray[Any], ...]

#: How many primitives, drawn from all of them, a program is made of.
_KINDS = 4

_FLOATS = ("float64", "float32")
_COMPARABLE = ("bool", "int64", *_FLOATS)

_SPECIAL = (0.0, -0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 1e-40, 1e30)


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
        values = enumerate((*self.operands, *self.program.line.constants))
        return "\n".join([*_rows(self.program.line), *(f"  %{number} = {x!r}" for number, x in values)])

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

    They shrink to fewer instructions, then to smaller shapes, then to simpler values.

    Parameters
    ----------
    order
        How many times the program is followed by its derivative; the cotangents are operands too.
    instructions
        The most that are drawn. Views that make values fit, and derivatives, come on top of that.
    primitives
        What instructions are drawn from, beside regions; all of the registry if None.
    stretch
        A factor for the last side of shapes, where arrays are to be large.

    Returns
    -------
    strategy of Specimen

    Examples
    --------
    >>> from hypothesis import given
    >>> @given(programs(order=1))
    ... def test_a_compiled_function_keeps_its_bits(specimen):
    ...     found = compile(specimen.function)(*specimen.operands)
    """
    every = [*(registry.values() if primitives is None else primitives)]
    often = [*every, *[*filter(_joins, every)] * 2]
    # Few kinds in one program, so that it has chains of the same (Groce et al. 2012, "Swarm testing").
    draft = _Draft(draw, [draw(st.sampled_from(often)) for _ in range(_KINDS)], stretch)
    draft.grow(instructions)
    specimen = draft.specimen(differentiable=order > 0)
    for _ in range(order):
        specimen = _differentiated(draw, specimen)
    return specimen


class _Draft(Drawing):
    """A straight line that grows; primitives draw their operands from it.

    Values are named in the order in which they come, and numbered in the end.
    """

    def __init__(self, draw: st.DrawFn, primitives: Sequence[Primitive], stretch: int, depth: int = 0) -> None:
        super().__init__(draw)
        self._primitives = primitives
        self._stretch = stretch
        self._depth = depth  # of a region's body
        self._most = 64 * max(stretch, 64)  # elements of a value
        self._values: list[Any] = []
        self._forms: list[Any] = []
        self._operands: list[int] = []
        self._constants: list[int] = []
        self._steps: dict[int, Step] = {}

    # What samples draw

    def integer(self, low: int, high: int) -> int:
        """An integer in [low, high]; 0 last and less often, where it may be a side, since little happens then."""
        return self._draw(_sides(high)) if low == 0 and high > 1 else super().integer(low, high)

    def shape(self, low: int = 0, high: int = 3) -> Shape:
        """A shape of sides 0 to 4, the last one stretched; or one that the program has already, mostly."""
        shapes = [x.shape for _, x in self._arrays() if low <= x.ndim <= high and 0 < x.size < self._most]
        known = list(dict.fromkeys(shapes))
        # (Of one thing nothing is drawn; two let an instruction mean the same when those before it are left out.)
        chosen = self._draw(st.sampled_from([None, None, *known, *known[-2:] * 2]))
        if chosen is not None:
            return chosen
        sides = self._draw(st.lists(_sides(4), min_size=low, max_size=high))
        return (*sides[:-1], *(side * self._stretch for side in sides[-1:]))

    def array(self, shape: Shape, domain: str = "real") -> NDArray[Any]:
        """Floats of a domain, repeated where there are many."""
        if _size(shape) > self._most:
            raise _TooLarge
        return super().array(shape, domain) if _size(shape) < 1000 else np.resize(super().array((997,), domain), shape)

    # Growing

    def grow(self, most: int) -> None:
        """Write down one instruction or more; often several of a kind in a row."""
        regions = [REMATERIALIZE] if self._depth < 2 else []
        kinds = ["nothing", *self._primitives, *self._primitives, *regions, "again"]
        previous: list[Any] = []
        for _ in range(most):
            previous = [self._draw(_instructions(self, kinds + previous * 3))]
        assume(self._steps)

    def instruct(self, primitive: Primitive) -> None:
        """Write down an instruction, if its values are not too large."""
        try:
            sampled, params = self._region() if primitive is REMATERIALIZE else self._sampled(primitive)
        except _TooLarge:
            return
        form = primitive.shape(*sampled, **params)
        results = form if isinstance(form, tuple) else (form,)
        if any(_size(x.shape) > self._most for x in results):
            return
        try:
            name = self._compute(primitive, [self._replaced(x) for x in sampled], params)
        except IndexError:  # A computed index is out of range.
            name = self._compute(primitive, [self._give(x) for x in sampled], params)
        if results is form:
            for place in range(len(results)):
                self._compute(PROJECT, [name], {"place": place})

    def repeat(self) -> None:
        """Write down an earlier instruction again."""
        if self._steps:
            step = self._draw(st.sampled_from(list(self._steps.values())))
            self._compute(step.primitive, step.operands, step.params)

    def _compute(self, primitive: Primitive, names: Sequence[int], params: dict[str, Any]) -> int:
        value = primitive.kernel(*[self._values[i] for i in names], **params)
        form = primitive.shape(*[self._forms[i] for i in names], **params)
        self._steps[len(self._values)] = Step(primitive, tuple(names), params, form, "")
        return self._add(value, form)

    def _add(self, value: Any, form: Any) -> int:
        self._values.append(value)
        self._forms.append(form)
        return len(self._values) - 1

    def _arrays(self) -> list[tuple[int, NDArray[Any]]]:
        return [(name, value) for name, value in enumerate(self._values) if type(value) is not tuple]

    def _region(self) -> tuple[Operands, dict[str, Any]]:
        """Operands for a region, and a small program as its body."""
        body = _Draft(self._draw, self._primitives, self._stretch, self._depth + 1)
        body.grow(3)
        specimen = body.specimen()
        return specimen.operands, {"line": specimen.program.line}

    # Operands

    def _sampled(self, primitive: Primitive) -> tuple[Operands, dict[str, Any]]:
        """Operands of a primitive, and parameters; floats are converted to one of the dtypes that it takes."""
        sampled, params = primitive.sample(self)
        takes = [dtype for dtype in (*_FLOATS, *CONVERTIBLE) if _takes(primitive, dtype, sampled, params)]
        recent = [x.dtype.name for _, x in self._arrays() if _is_float(x) and x.dtype.name in takes][-1:]
        return _in_dtype(sampled, self._draw(st.sampled_from(takes + 20 * recent))), params

    def _replaced(self, sampled: NDArray[Any]) -> int:
        """A value for a sampled operand: one that there is, brought into its form, or a new one."""
        known = [(name, x) for name, x in self._arrays() if _convertible(x, sampled.dtype)]
        alike = [name for name, x in known if (x.shape, x.dtype) == (sampled.shape, sampled.dtype)]
        near = alike or [name for name, x in known if _reaches(x, sampled.shape)]
        new = _sources(sampled.dtype.kind)
        often = [*near, *near[-2:] * len(new)]
        source: Any = self._draw(st.sampled_from([*new, *often]))
        if isinstance(source, int):
            return self._fitted(source, sampled.shape, sampled.dtype)
        return self._new(sampled, *source)

    def _fitted(self, name: int, shape: Shape, dtype: np.dtype[Any]) -> int:
        """A value in another dtype and shape."""
        if self._values[name].dtype != dtype:
            name = self._compute(registry["astype"], [name], {"dtype": dtype.name})
        x = self._values[name]
        if x.shape == shape:
            return name
        if _broadcasts(x.shape, shape):
            return self._compute(registry["broadcast_to"], [name], {"shape": shape})
        name = self._compute(registry["reshape"], [name], {"shape": (x.size,)})
        name = self._compute(registry["slice"], [name], {"starts": (0,), "sizes": (_size(shape),), "steps": (1,)})
        return self._compute(registry["reshape"], [name], {"shape": shape})

    def _new(self, sampled: NDArray[Any], elements: Any, constant: bool) -> int:
        """An operand or a constant: one number everywhere, what was sampled, or infinities and their like."""
        x = sampled
        if elements == "special":
            rng = self.rng()
            x = np.where(rng.random(x.shape) < 0.3, rng.choice(_SPECIAL, x.shape).astype(x.dtype), x)
        elif elements != "sampled":
            x = np.broadcast_to(np.array(elements, x.dtype), x.shape)
        return self._give(x, constant)

    def _give(self, value: NDArray[Any], constant: bool = False) -> int:
        name = self._add(value if constant else np.array(value, order="C"), _form(value))
        (self._constants if constant else self._operands).append(name)
        return name

    # The end

    def specimen(self, differentiable: bool = False) -> Specimen:
        """The program, whose outputs are the last value and some others.

        Where it is to be differentiated, the last float that was computed is among them.
        """
        names = [name for name, _ in self._arrays()]
        floats = [name for name, x in self._arrays() if name in self._steps and _is_float(x)]
        chosen = self._draw(st.lists(st.sampled_from(names), max_size=3))
        outputs = [*chosen, *floats[-1:] * differentiable, names[-1]]
        place = {name: i for i, name in enumerate((*self._operands, *self._constants, *self._steps))}
        steps = [step._replace(operands=tuple(place[i] for i in step.operands)) for step in self._steps.values()]
        line = StraightLine(
            tuple(self._forms[i] for i in self._operands),
            tuple(self._values[i] for i in self._constants),
            tuple(steps),
            tuple(place[i] for i in outputs),
        )
        return Specimen(_of_rows(line), tuple(self._values[i] for i in self._operands))


class _TooLarge(Exception):  # noqa: N818 (it is an answer)
    """An instruction whose operands would take too much memory."""


@st.composite
def _instructions(draw: st.DrawFn, draft: _Draft, kinds: Sequence[Any]) -> Any:
    """One more instruction, or nothing, so that an example can shrink; its kind."""
    kind = draw(st.sampled_from(kinds))
    if kind == "again":
        draft.repeat()
    elif isinstance(kind, Primitive):
        draft.instruct(kind)
    return kind


@functools.cache
def _sources(kind: str) -> list[tuple[Any, bool]]:
    """How a value of this kind may come into a program: its elements, and whether it is a constant."""
    if kind == "f":
        numbers, special = [1.0, 1.0, 1.0, 0.0, 0.0, -0.0, -1.0, 0.5], [("special", False)] * 2
    else:
        numbers, special = ([True, False] if kind == "b" else [0]), []
    sampled = [("sampled", False)] * 4 + [("sampled", True)] * 2
    return [(numbers[0], False), *((number, True) for number in numbers), *sampled, *special]


@functools.cache
def _sides(high: int) -> st.SearchStrategy[int]:
    return st.sampled_from([*range(1, high + 1)] * (1 if high == 2 else 2) + [0])


def _joins(primitive: Primitive) -> bool:
    """Whether a primitive makes one value of several, or is a view: these come more often."""
    return primitive.view or (isinstance(primitive.rules, tuple) and len(primitive.rules) > 1)


# Forms


def _form(x: NDArray[Any]) -> Abstract:
    return Abstract(x.shape, x.dtype)


def _size(shape: Shape) -> int:
    return int(np.prod(shape, dtype=np.int64))


def _is_float(x: Any) -> bool:
    return bool(x.dtype.kind == "f")


def _in_dtype(operands: Operands, dtype: str) -> Operands:
    """Operands with their floats converted; to whole numbers by way of int64, where a negative one is no error."""
    whole = np.dtype(dtype).kind in "iu"
    return tuple(
        x if not _is_float(x) else x.astype(np.int64).astype(dtype) if whole else x.astype(dtype) for x in operands
    )


def _takes(primitive: Primitive, dtype: str, operands: Operands, params: dict[str, Any]) -> bool:
    """Whether a primitive takes operands whose floats are converted to this dtype."""
    if primitive.elementwise:
        return dtype in _COMPARABLE and np.dtype(dtype).kind in primitive.accepts
    try:
        primitive.shape(*_in_dtype(operands, dtype), **params)
    except DtypeError:
        return False
    return True


def _convertible(x: NDArray[Any], dtype: np.dtype[Any]) -> bool:
    """Whether every element has a meaning in another dtype."""
    if _is_float(x) and dtype.kind in "iu":
        return bool(np.all((np.iinfo(dtype).min <= x) & (x < np.iinfo(dtype).max)))
    return True


def _reaches(x: NDArray[Any], shape: Shape) -> bool:
    """Whether views lead from an array to a shape."""
    return _broadcasts(x.shape, shape) or x.size >= _size(shape)


def _broadcasts(one: Shape, other: Shape) -> bool:
    lead = len(other) - len(one)
    return lead >= 0 and all(side in (1, wanted) for side, wanted in zip(one, other[lead:], strict=True))


def _rows(line: StraightLine) -> list[str]:
    """A program as it is printed, and the bodies of its regions."""
    rows = str(_of_rows(line)).splitlines()
    first = len(line.operands) + len(line.constants)
    for number, step in enumerate(line.steps, first):
        if "line" in step.params:
            rows += [f"  in %{number}:", *(f"    {row}" for row in _rows(step.params["line"]))]
    return rows


def _of_rows(line: StraightLine) -> Program:
    """A line as a program from a row of arrays to another."""
    arguments, output = ((0,) * len(row) for row in (line.operands, line.outputs))
    return Program(line, tree.flatten(arguments)[1], tree.flatten(output)[1])


# Derivatives


def _differentiated(draw: st.DrawFn, specimen: Specimen) -> Specimen:
    """A program followed by its derivative, on the same operands and on drawn cotangents."""
    line, operands = specimen.program.line, specimen.operands
    forms = [*line.operands, *map(_form, line.constants), *(step.shape for step in line.steps)]
    cotangents = [draw(arrays(forms[i].shape, forms[i].dtype)) for i in line.outputs if _is_float(forms[i])]

    def derivative(operands: Sequence[Any], cotangents: Sequence[Any]) -> Any:
        def of_floats(*floats: Any) -> Any:
            remaining = iter(floats)
            return specimen.function(*[next(remaining) if _is_float(x) else x for x in operands])

        outputs, pullback = vjp(of_floats, *filter(_is_float, operands))
        remaining = iter(cotangents)
        return outputs, pullback(tuple(next(remaining) if _is_float(y) else y for y in outputs))

    program = trace(derivative, operands, cotangents)
    return Specimen(_of_rows(program.line), (*operands, *cotangents))
