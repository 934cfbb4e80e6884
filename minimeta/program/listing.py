"""A program in print.

    program f(w: float64[3], x: float64[3]):
      # forward at FILE:2, in f
      %2 = multiply(w, x): float64[3]
      %3 = exp(%2): float64[3]
      # backward of FILE:2, in f
      ...
      return %6

A value has one name wherever it is printed:

    w, x/0/bias    an argument, by its place in the function's arguments
    2.0            a constant whose elements are all this number
    %3             the value of number 3 of the program
    %3:1           the value of number 1 inside the body of the step that computes %3
    %3.0           the first result of a step that has several
    x[i]           inside a vmap, the part of x that belongs to task i

An alias only renames a value, and is left out. The body of a step uses the names of the operands
outside of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from minimeta.autodiff.array import Form
from minimeta.autodiff.calls import CALL
from minimeta.autodiff.graph import ALIAS
from minimeta.autodiff.steps import Program, Step, Tasks
from minimeta.autodiff.tree import Structure
from minimeta.program.names import elements_of

_WIDTH = 120
_FEW = 8


class Literal(str):
    """The name of a constant whose elements are all one number: that number. It knows its form."""

    form: Form

    @classmethod
    def of(cls, value: Any) -> Literal | None:
        """Return the literal of a constant; None if its elements differ, or it has none."""
        one = elements_of(value)
        if one.size == 0 or one.tobytes() != one.ravel()[:1].tobytes() * one.size:
            return None
        literal = cls(str(one.flat[0]))
        literal.form = Form.of(value)
        return literal


class Row(NamedTuple):
    """A step in print.

    Attributes
    ----------
    number
        What its own names begin with.
    step
        The instruction.
    operands
        The names of its operands.
    body
        What is printed below it, for a region.
    results
        The names of its results, where it has several of its own.
    """

    number: str
    step: Step
    operands: tuple[str, ...]
    body: Listed | None = None
    results: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The names of what it computes."""
        return self.results or (self.number,)

    @property
    def tasks(self) -> Tasks | None:
        """For what tasks the body is run, in a vmap."""
        return self.step.tasks


class Listed(NamedTuple):
    """A program whose values have names.

    Attributes
    ----------
    constants
        Those that have to be said, by name.
    rows
        The steps that compute something.
    outputs
        The names of the outputs.
    """

    constants: list[tuple[str, Any]]
    rows: list[Row]
    outputs: list[str]


def names_of(program: Program, operands: Sequence[str]) -> Sequence[str]:
    """Return the names of a program's operands, or else their numbers."""
    return operands or [f"%{i}" for i in range(len(program.operands))]


def listed(program: Program, operands: Sequence[str], prefix: str = "%", depth: int = 0) -> Listed:
    """Return the rows of a program, given the names of its operands."""
    names: list[str] = [*operands]
    constants, rows = [], []
    for value in program.constants:
        number = f"{prefix}{len(names)}"
        literal = Literal.of(value)
        names.append(number if literal is None else literal)
        if literal is None:
            constants.append((number, value))
    for step in program.steps:
        number = f"{prefix}{len(names)}"
        inputs = tuple(names[i] for i in step.operands)
        several = tuple(f"{number}.{j}" for j in range(len(step.results)))
        if step.primitive is ALIAS:
            names += inputs
        elif step.body is None:
            results = several if len(several) > 1 or step.primitive is CALL else ()
            names += results or [number]
            rows.append(Row(number, step, inputs, None, results))
        elif step.tasks is None:
            body = listed(step.body, inputs, f"{number}:", depth)
            names += body.outputs
            rows.append(Row(number, step, inputs, body))
        else:
            parts = [
                f"{x}[{index_of(depth)}]" if is_mapped and not isinstance(x, Literal) else x
                for x, is_mapped in zip(inputs, step.tasks.mapped, strict=True)
            ]
            body = listed(step.body, parts, f"{number}:", depth + 1)
            names += several
            rows.append(Row(number, step, inputs, body, several))
    return Listed(constants, rows, [names[i] for i in program.outputs])


def index_of(depth: int) -> str:
    """Return the index of a task in a vmap inside of ``depth`` others."""
    return "ijklmn"[depth] if depth < 6 else f"i{depth}"


def listing(name: str, program: Program, operands: Sequence[str], outputs: Sequence[str]) -> str:
    """Return a program as text.

    Parameters
    ----------
    name
        Of the function.
    program
        Its instructions.
    operands, outputs
        The names of the operands, and of the leaves of what is returned.
    """
    names = names_of(program, operands)
    found = listed(program, names)
    rows = _call(title(name), [f"{x}: {form!r}" for x, form in zip(names, program.operands, strict=True)], ":")
    rows += [f"  {row}" for row in _printed(found, [None], 0)]
    results = [_typed(x) for x in found.outputs]
    if len(results) == 1 and outputs[0] == "":
        return "\n".join([*rows, f"  return {results[0]}"])
    return "\n".join([*rows, "  return", *(f"    {path}: {x}" for path, x in zip(outputs, results, strict=True))])


def title(name: str) -> str:
    """Return the title of the program of a function."""
    return f"program {name}" if name else "program"


def _call(name: str, operands: Iterable[str], end: str = "") -> list[str]:
    """Write a name and its operands in one row, or in several if it is too long."""
    operands = list(operands)
    row = f"{name}({', '.join(operands)}){end}"
    return [row] if len(row) <= _WIDTH else [f"{name}(", *(f"    {x}," for x in operands), f"  ){end}"]


def _printed(found: Listed, heading: list[Any], depth: int) -> Iterator[str]:
    """Yield the rows of a program and its bodies; ``heading`` holds the last one printed."""
    if found.constants:
        yield "# constants"
        heading[0] = None
        yield from (f"{number} = {constant_of(value)}" for number, value in found.constants)
    for row in found.rows:
        step, above = row.step, heading_of(_first(row))
        if above and heading[0] != above:
            heading[0] = above
            yield f"# {above}"
        if row.body is None:
            forms = ", ".join(map(repr, step.results))
            yield f"{', '.join(row.names)} = {expression(step, row.operands)}: {forms}"
        elif row.tasks:
            index = index_of(depth)
            yield f"{row.number} = vmap, for each {index} of {row.tasks.count}:"
            yield from (f"  {inner}" for inner in _printed(row.body, heading, depth + 1))
            results = zip(row.results, row.body.outputs, row.tasks.summed, step.results, strict=True)
            for name, inside, is_sum, result in results:
                yield f"  {name} = {'sum' if is_sum else 'stack'} of {_typed(inside)} over {index}: {result!r}"
            heading[0] = None
        else:
            yield f"{row.number} = {step.primitive.name}:"
            yield from (f"  {inner}" for inner in _printed(row.body, heading, depth))


def _first(row: Row) -> Step:
    """Return the step that is printed first for a row; of a vmap, the vmap itself."""
    return row.step if row.body is None or row.tasks or not row.body.rows else _first(row.body.rows[0])


def heading_of(step: Step) -> str:
    """Return the pass and the user's line of a step, or the empty string if it has no line."""
    line, backward, _ = step.origin
    return f"{'backward of' if backward else 'forward at'} {line}" if line else ""


def expression(step: Step, operands: Sequence[str]) -> str:
    """Write a step; parameters that are off, or that the result's form shows, are left out."""
    elementwise = step.primitive.elementwise
    parts = [x if elementwise else _typed(x) for x in operands]
    for key, value in step.params.items():
        if key in ("dtype", "forms") or value is None or value is False or isinstance(value, Structure):
            continue
        if key == "shape" and value == step.form.shape:
            continue
        parts.append(key if value is True else f"{key}={_parameter(value)}")
    return f"{step.primitive.name}({', '.join(parts)})"


def _parameter(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return constant_of(value)
    return str(getattr(value, "__qualname__", value))


def _typed(name: str) -> str:
    """Add its form to the name of a literal, which has no other place to show it."""
    return f"{name.form!r}({name})" if isinstance(name, Literal) else name


def constant_of(value: Any) -> str:
    """Write a constant: its form, and its elements if they are few."""
    form = repr(Form.of(value))
    if not 0 < value.size <= _FEW:
        return f"constant: {form}"
    return f"{np.array2string(value, separator=', ', floatmode='unique', max_line_width=10**6)}: {form}".replace(
        "\n", ""
    )
