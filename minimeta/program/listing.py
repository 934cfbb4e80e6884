"""A program in print.

    program f(w: float64[3], x: float64[3]):
      # forward at FILE:2, in f
      %2 = multiply(w, x): float64[3]
      %3 = exp(%2): float64[3]
      # backward of FILE:2, in f
      ...
      return %6

A value has one name wherever it is printed. An argument is called by its place in the function's arguments, a constant
that is one number by the number, and anything else by its own number in the line: ``%3`` is the third value, and
``%3:1`` the first inside the body of the region that is the third. What only names a value again (an alias, one result
of a region) is left out, and the body of a region names its operands as they are named outside of it. Of what a vmap
maps, ``x[i]`` is the part of task ``i``, and ``%3.0`` the first of its results.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from minimeta.autodiff.array import Form
from minimeta.autodiff.graph import ALIAS, Step, StraightLine
from minimeta.autodiff.regions import PROJECT
from minimeta.autodiff.tree import Structure

_WIDTH = 120
_FEW = 8


class Literal(str):
    """The name of a constant whose elements are all one number: that number. It knows its form."""

    form: Form

    @classmethod
    def of(cls, value: Any) -> Literal | None:
        """The literal of a constant; None if its elements differ, or there are none."""
        one = value[tuple(slice(1) if stride == 0 else slice(None) for stride in value.strides)]
        if one.size == 0 or one.tobytes() != one.ravel()[:1].tobytes() * one.size:
            return None
        literal = cls(str(one.flat[0]))
        literal.form = Form(value.shape, value.dtype)
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
    def is_vmap(self) -> bool:
        """Whether the body is run for each task."""
        return "mapped" in self.step.params


class Listed(NamedTuple):
    """A line whose values have names.

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


def names_of(line: StraightLine, operands: Sequence[str]) -> Sequence[str]:
    """The names of a line's operands; their numbers, where they have none."""
    return operands or [f"%{i}" for i in range(len(line.operands))]


def listed(line: StraightLine, operands: Sequence[str], prefix: str = "%", depth: int = 0) -> Listed:
    """The rows of a line, given the names of its operands."""
    names: list[Any] = [*operands]
    constants, rows = [], []
    for value in line.constants:
        number = f"{prefix}{len(names)}"
        literal = Literal.of(value)
        names.append(number if literal is None else literal)
        if literal is None:
            constants.append((number, value))
    for step in line.steps:
        number, params = f"{prefix}{len(names)}", step.params
        inputs = tuple(names[i] for i in step.operands)
        if step.primitive is ALIAS:
            names.append(inputs[0])
        elif step.primitive is PROJECT:
            names.append(inputs[0][params["place"]])
        elif "mapped" in params:
            index = index_of(depth)
            parts = [
                f"{x}[{index}]" if is_mapped and not isinstance(x, Literal) else x
                for x, is_mapped in zip(inputs, params["mapped"], strict=True)
            ]
            body = listed(params["line"], parts, f"{number}:", depth + 1)
            names.append(_results(number, step))
            rows.append(Row(number, step, inputs, body, names[-1]))
        elif "line" in params:
            body = listed(params["line"], inputs, f"{number}:", depth)
            names.append(tuple(body.outputs))
            rows.append(Row(number, step, inputs, body))
        elif isinstance(step.shape, tuple):
            names.append(_results(number, step))
            rows.append(Row(number, step, inputs, None, names[-1]))
        else:
            names.append(number)
            rows.append(Row(number, step, inputs))
    return Listed(constants, rows, [names[i] for i in line.outputs])


def _results(number: str, step: Step) -> tuple[str, ...]:
    return tuple(f"{number}.{j}" for j in range(len(step.shape)))


def index_of(depth: int) -> str:
    """What a task is called in a vmap inside of so many others."""
    return "ijklmn"[depth] if depth < 6 else f"i{depth}"


def listing(name: str, line: StraightLine, operands: Sequence[str], outputs: Sequence[str]) -> str:
    """The text of a program.

    Parameters
    ----------
    name
        Of the function.
    line
        Its instructions.
    operands, outputs
        The names of the operands, and of the leaves of what is returned.
    """
    names = names_of(line, operands)
    found = listed(line, names)
    rows = _call(title(name), [f"{x}: {form!r}" for x, form in zip(names, line.operands, strict=True)], ":")
    rows += [f"  {row}" for row in _printed(found, [None], 0)]
    results = [_typed(x) for x in found.outputs]
    if len(results) == 1 and outputs[0] == "":
        return "\n".join([*rows, f"  return {results[0]}"])
    return "\n".join([*rows, "  return", *(f"    {path}: {x}" for path, x in zip(outputs, results, strict=True))])


def title(name: str) -> str:
    """What a program of a function is called."""
    return f"program {name}" if name else "program"


def _call(name: str, operands: Iterable[str], end: str = "") -> list[str]:
    """A name and what it is of, in one row, or, where that is too long, in several."""
    operands = list(operands)
    row = f"{name}({', '.join(operands)}){end}"
    return [row] if len(row) <= _WIDTH else [f"{name}(", *(f"    {x}," for x in operands), f"  ){end}"]


def _printed(lines: Listed, heading: list[Any], depth: int) -> Iterator[str]:
    """The rows of a line and of the bodies in it; ``heading`` holds what stands above the row before."""
    if lines.constants:
        yield "# constants"
        heading[0] = None
        yield from (f"{number} = {constant_of(value)}" for number, value in lines.constants)
    for row in lines.rows:
        step, above = row.step, heading_of(_first(row))
        if above and heading[0] != above:
            heading[0] = above
            yield f"# {above}"
        if row.body is None:
            forms = step.shape if row.results else (step.shape,)
            names, form = ", ".join(row.results or (row.number,)), ", ".join(map(repr, forms))
            yield f"{names} = {_expression(step, row.operands)}: {form}"
        elif row.is_vmap:
            params, index = step.params, index_of(depth)
            yield f"{row.number} = vmap, for each {index} of {params['count']}:"
            yield from (f"  {inner}" for inner in _printed(row.body, heading, depth + 1))
            results = zip(row.results, row.body.outputs, params["summed"], step.shape, strict=True)
            for name, inside, is_sum, form in results:
                yield f"  {name} = {'sum' if is_sum else 'stack'} of {_typed(inside)} over {index}: {form!r}"
            heading[0] = None
        else:
            yield f"{row.number} = {step.primitive.name}:"
            yield from (f"  {inner}" for inner in _printed(row.body, heading, depth))


def _first(row: Row) -> Step:
    """The step that stands first in what is printed for a row, or the vmap itself."""
    return row.step if row.body is None or row.is_vmap or not row.body.rows else _first(row.body.rows[0])


def heading_of(step: Step) -> str:
    """What a user knows a step by: the pass it belongs to, and the line; empty where there is none."""
    return f"{'backward of' if step.backward else 'forward at'} {step.line}" if step.line else ""


def _expression(step: Step, operands: Sequence[str]) -> str:
    """A primitive's name, its operands, and its parameters, but for what is off and what the result's form says."""
    elementwise = step.primitive.elementwise
    parts = [x if elementwise else _typed(x) for x in operands]
    for key, value in step.params.items():
        if key in ("dtype", "forms") or value is None or value is False or isinstance(value, Structure):
            continue
        if key == "shape" and value == step.shape.shape:
            continue
        parts.append(key if value is True else f"{key}={_parameter(value)}")
    return f"{step.primitive.name}({', '.join(parts)})"


def _parameter(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return constant_of(value)
    return str(getattr(value, "__qualname__", value))


def _typed(name: str) -> str:
    """A name that says its form, where nothing else does."""
    return f"{name.form!r}({name})" if isinstance(name, Literal) else name


def constant_of(value: Any) -> str:
    """A constant: what it holds, if that is short, and its form."""
    form = f"{Form(value.shape, value.dtype)!r}"
    if not 0 < value.size <= _FEW:
        return f"constant: {form}"
    return f"{np.array2string(value, separator=', ', floatmode='unique', max_line_width=10**6)}: {form}".replace(
        "\n", ""
    )
