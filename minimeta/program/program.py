"""Program: a function written down once, as a straight line of instructions.

Running a function on *abstract* Arrays (shapes and dtypes without values) records the same graph that a backward pass
would walk. Sorted, it is a program: numbered values, each computed from earlier ones by one primitive. Derivatives
are part of the function, so the program of a meta-gradient holds forward, backward and second order in one line.

    >>> print(trace(grad(lambda x: sum(sin(x))), np.zeros(3)))
    program(%0: float64[3]) -> %4
      %1 = [constant float64[3]]
      %2 = alias(%0)  : float64[3]
      %3 = cos(%2)  : float64[3]
      %4 = multiply(%1, %3)  : float64[3]
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from minimeta.autodiff import tree
from minimeta.autodiff.array import Abstract, Array, Trace, moments
from minimeta.autodiff.graph import StraightLine, free_variables, linearise
from minimeta.autodiff.primitive import constant, outermost
from minimeta.errors import ShapeError, TracingError
from minimeta.program.checking import check
from minimeta.program.drawing import drawing
from minimeta.program.source import source


@dataclass(frozen=True)
class Program:
    """A traced function.

    Attributes
    ----------
    line
        Its instructions.
    arguments, output
        The trees that its operands and outputs are leaves of.
    """

    line: StraightLine
    arguments: tree.Structure
    output: tree.Structure

    def run(self, evaluate: Callable[..., Any], *arguments: Any) -> Any:
        """The output for these arguments, each step computed by ``evaluate(primitive, *operands, **params)``.

        Raises
        ------
        ShapeError
            An argument differs in form, shape or dtype (other than complex) from what was traced.
        """
        leaves = [
            x if isinstance(x, (Array, np.ndarray)) else np.asarray(x)
            for x in tree.leaves_like(self.arguments, arguments)
        ]
        for number, (x, expected) in enumerate(zip(leaves, self.line.operands, strict=True)):
            if x.shape != expected.shape or (x.dtype != expected.dtype and x.dtype.kind != "c"):
                found = _form(x)
                raise ShapeError(
                    f"program: operand %{number} was traced as {expected!r}, not {found!r}; trace it again"
                )
        return tree.unflatten(self.output, self.line.run(leaves, evaluate))

    def check(self) -> None:
        """Verify that each step uses earlier values, in forms that its primitive takes, and has the form it states.

        Raises
        ------
        TracingError
            A step or an output does not; the message names it.
        """
        check(self.line)

    def to_dot(self) -> str:
        """The program as a drawing in Graphviz's language, as in ``dot -Tsvg``."""
        return drawing(self.line)

    def to_python(self) -> str:
        """The program as the source of a Python function ``program(x0, x1, ...)`` that needs numpy alone.

        It takes the leaves of the arguments in order, numpy arrays, and returns the list of the output's leaves.
        """
        return source(self.line)

    def __str__(self) -> str:
        return "\n".join(_rows("program", self.line, ""))


def _rows(name: str, line: StraightLine, indent: str) -> Iterator[str]:
    """A line in print; the body of a region stands below it, with values of its own."""
    operands = ", ".join(f"%{i}: {form!r}" for i, form in enumerate(line.operands))
    yield f"{indent}{name}({operands}) -> {', '.join(f'%{i}' for i in line.outputs)}"
    first = len(line.operands)
    for i, value in enumerate(line.constants, first):
        yield f"{indent}  %{i} = [constant {_form(value)!r}]"
    first += len(line.constants)
    for i, step in enumerate(line.steps, first):
        params = "".join(f" {key}={value}" for key, value in step.params.items())
        inputs = ", ".join(f"%{j}" for j in step.operands)
        yield f"{indent}  %{i} = {step.primitive.name}({inputs}){params}  : {step.shape!r}"
        if isinstance(step.params.get("line"), StraightLine):
            yield from _rows("body", step.params["line"], f"{indent}    ")


def trace(function: Callable[..., Any], *arguments: Any) -> Program:
    """Write down what a function computes, on the shapes and dtypes of its arguments alone.

    Parameters
    ----------
    function
        A pure function of trees of arrays to a tree of arrays.
    *arguments
        Trees of arrays (their values are not used) or of :class:`~minimeta.autodiff.array.Abstract`.

    Returns
    -------
    Program

    Raises
    ------
    TracingError
        The function needs a value (a truth value, a float, a numpy array), or takes an Array of an outer transformation
        by closure.
    """
    found = attempt(function, arguments)
    if isinstance(found, Program):
        return found
    raise TracingError(
        f"trace: the function uses an Array of shape {found[0].shape} of an outer transformation; pass it in"
    )


def attempt(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Program | list[Array]:
    """The program of :func:`trace`, or the Arrays of outer transformations that stand in its way."""
    leaves, structure = tree.flatten(arguments)
    open_trace = Trace()
    operands = [_abstract(leaf, open_trace) for leaf in leaves]
    try:
        output = function(*tree.unflatten(structure, operands))
    finally:
        open_trace.open = False
    outputs, output_structure = tree.flatten(output)
    if free := free_variables(operands, outputs):
        outermost(free)  # What a finished transformation has leaked is nobody's to compute with.
        return free
    return Program(linearise(operands, outputs), structure, output_structure)


def _abstract(x: Any, open_trace: Trace) -> Array:
    weak = type(x) in (float, int, bool)
    form = x if isinstance(x, Abstract) else _form(x.value if isinstance(x, Array) else constant(x).value)
    return Array(form, weak, open_trace, next(moments))


def _form(value: Any) -> Abstract:
    return Abstract(value.shape, value.dtype)
