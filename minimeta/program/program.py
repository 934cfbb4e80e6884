"""Traced functions: written down once, as a program.

Running a function on *abstract* Arrays (shapes and dtypes without values) records the same graph
that a backward pass would walk. Sorted, it is a program: numbered values, each computed from
earlier ones by one primitive. Derivatives are part of the function, so the program of a
meta-gradient holds forward, backward and second order in one.

    >>> print(trace(grad(lambda x: sum(sin(x))), np.zeros(3)))  # doctest: +ELLIPSIS
    program <lambda>(x: float64[3]):
      # backward of ..., in <lambda>
      %3 = cos(x): float64[3]
      %4 = multiply(1.0, %3): float64[3]
      return %4
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minimeta.autodiff import tree
from minimeta.autodiff.apply import outermost
from minimeta.autodiff.array import Array, Form, Trace, moments
from minimeta.autodiff.elements import call
from minimeta.autodiff.graph import free_variables
from minimeta.autodiff.promotion import constant
from minimeta.autodiff.results import settle
from minimeta.autodiff.steps import Evaluate, Program, by_operation, linearise, run
from minimeta.autodiff.transformed import check_function
from minimeta.errors import ShapeError, TracingError
from minimeta.program.checking import check
from minimeta.program.listing import listing, names_of, title


@dataclass(frozen=True, eq=False, repr=False)
class Traced(Program):
    """The program of a function, which knows its trees. It prints as a list of instructions, by the
    user's lines.

    Attributes
    ----------
    arguments, output
        The trees that its operands and outputs are leaves of.
    name
        Of the function, if it has one.
    names
        What its operands are called, such as ``parameters/0/weight``; empty for their numbers.
    """

    arguments: tree.Structure
    output: tree.Structure
    name: str = ""
    names: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        program: Program,
        arguments: tree.Structure,
        output: tree.Structure,
        name: str = "",
        names: tuple[str, ...] = (),
    ) -> Traced:
        """Return a program with the trees of what it takes and gives."""
        steps = program.operands, program.constants, program.steps, program.outputs
        return cls(*steps, arguments, output, name, names)

    def run(self, evaluate: Evaluate, *arguments: Any) -> Any:
        """Return the output for these arguments, each step computed as in
        :func:`minimeta.autodiff.steps.run`.

        Raises
        ------
        ShapeError
            An argument differs in form, shape or dtype (other than complex) from what was traced.
        """
        leaves = [
            x if isinstance(x, (Array, np.ndarray)) else np.asarray(x)
            for x in tree.leaves_like(self.arguments, arguments)
        ]
        names = names_of(self, self.names)
        for name, x, expected in zip(names, leaves, self.operands, strict=True):
            if x.shape != expected.shape or (x.dtype != expected.dtype and x.dtype.kind != "c"):
                found = Form.of(x)
                raise ShapeError(f"program: operand {name} was traced as {expected!r}, not {found!r}; trace it again")
        return tree.unflatten(self.output, run(self, leaves, evaluate))

    def __call__(self, *arguments: Any) -> Any:
        """Return the output for these arguments, as the function that was traced does: inside
        transformations, too.

        Raises
        ------
        ShapeError
            As :meth:`run` does.
        """
        return tree.map(settle, self.run(by_operation, *arguments))

    def check(self) -> None:
        """Verify that each step uses earlier values, in forms that its primitive takes, and has the
        form it states.

        Raises
        ------
        TracingError
            A step or an output does not; the message names it.
        """
        check(self)

    def explain(self) -> str:
        """Return the program with, for each instruction, its equation and its phase (forward,
        backward, second order), under the user's lines.

        Examples
        --------
        >>> f = lambda x: sum(x**3)
        >>> print(trace(lambda x: hvp(f, (x,), (x,)), np.ones(2)).explain())  # doctest: +ELLIPSIS
        program <lambda>: ...
        """
        from minimeta.program.explanation import explanation  # noqa: PLC0415 (only programs that are explained need it)

        return explanation(self.name, self, self.names)

    def to_dot(self, folded: bool = True) -> str:
        """Return the program as a drawing in Graphviz's language, as in ``dot -Tsvg``; steps have a
        colour for their phase: forward, backward or second order.

        Parameters
        ----------
        folded
            Whether the steps of a line of the user's are one node, which says how many they are and
            of what kinds, and so are the arrays of an argument. Otherwise each step is a node,
            under its number in print.
        """
        from minimeta.program.drawing import drawing  # noqa: PLC0415 (only programs that are drawn need it)

        return drawing(self, self.names, folded)

    def to_python(self) -> str:
        """Return the program as the source of a Python function ``program(x0, x1, ...)`` that needs
        numpy alone.

        It takes the leaves of the arguments in order, numpy arrays, and returns the list of the
        output's leaves.
        """
        from minimeta.program.source import source  # noqa: PLC0415 (only programs that are written out need it)

        return source(self)

    def to_c(self, name: str = "program") -> str:
        """Return the program as a file of C99, which needs nothing but the standard library.

        Its function takes pointers to the leaves of the arguments and to those of the output, each
        an array in rows, and returns 0, or the number of a step that was given an index out of
        range. It allocates nothing: its values lie in static arrays, so one thread may call it at a
        time. A truth value is a byte.

        Parameters
        ----------
        name
            Of the function.

        Raises
        ------
        TracingError
            A primitive has no row in :mod:`minimeta.program.printing`; the message names it.
        """
        from minimeta.program.printing import c_source  # noqa: PLC0415 (only programs that are written out need it)

        return c_source({name: self})

    def to_javascript(self, name: str = "program") -> str:
        """Return the program as a script of plain JavaScript.

        Its function takes the leaves of the arguments, each a typed array in rows, and returns the
        list of the output's leaves, which are new arrays. Integers of 64 bits and counts are
        numbers in a Float64Array, which are whole up to 2^53.

        Parameters
        ----------
        name
            Of the function.

        Raises
        ------
        TracingError
            As :meth:`to_c` does.
        """
        from minimeta.program.printing import javascript_source  # noqa: PLC0415 (as above)

        return javascript_source({name: self})

    def output_names(self) -> list[str]:
        """Return the names of the output's leaves, such as ``gradient/0/weight``."""
        return tree.paths(tree.unflatten(self.output, [0.0] * len(self.outputs)))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the program to a file, whole or not at all; :func:`minimeta.program.load` reads it.

        The file holds numbers and names, nothing that is run when it is read. What is loaded has
        the same bits and the same derivatives.

        Parameters
        ----------
        path
            The file. Its folder must exist, and what it held is replaced.

        Raises
        ------
        TracingError
            A step calls a function that is not numpy's, or has a parameter that no file can hold.
        OSError
            The file cannot be written.
        """
        from minimeta.program.saving import save  # noqa: PLC0415 (only programs that are saved need it)

        save(self, path)

    def __str__(self) -> str:
        return listing(self.name, self, self.names, self.output_names())

    def _repr_html_(self) -> str:
        from html import escape  # noqa: PLC0415 (only notebooks need it)

        return f"<pre>{escape(str(self))}</pre>"

    def __repr__(self) -> str:
        arguments = dict.fromkeys(name.partition("/")[0] for name in self.names)
        return f"<{title(self.name)}({', '.join(arguments)}), {len(self.steps)} steps>"


def trace(function: Callable[..., Any], *arguments: Any) -> Traced:
    """Write down what a function computes, on the shapes and dtypes of its arguments alone.

    Parameters
    ----------
    function
        A pure function of trees of arrays to a tree of arrays.
    *arguments
        Trees of arrays (their values are not used) or of :class:`~minimeta.autodiff.array.Form`.

    Returns
    -------
    Traced
        The program, with the trees of the function's arguments and output.

    Raises
    ------
    TracingError
        The function needs a value (a truth value, a float, a numpy array), or takes an Array of an
        outer transformation by closure.
    """
    check_function("trace", function)
    found = attempt(function, arguments)
    if isinstance(found, Traced):
        return found
    raise TracingError(
        f"trace: the function uses an Array of shape {found[0].shape} of an outer transformation; pass it in"
    )


def attempt(
    function: Callable[..., Any],
    arguments: tuple[Any, ...],
    named: Callable[..., Any] | None = None,
    keyworded: bool = False,
) -> Traced | list[Array]:
    """Return the program of :func:`trace`, or the Arrays of outer transformations that prevent it.

    Parameters
    ----------
    function, arguments
        As there.
    named
        The function whose arguments these are, if it is another.
    keyworded
        Whether the last of them is a dict of keywords.
    """
    leaves, structure = tree.flatten(arguments)
    open_trace = Trace()
    operands = [_abstract(leaf, open_trace) for leaf in leaves]
    output = call(function, operands, structure, open_trace)
    outputs, output_structure = tree.flatten(output)
    if free := free_variables(operands, outputs):
        outermost(free)  # What a finished transformation has leaked is nobody's to compute with.
        return free
    named = named or function
    name = str(getattr(named, "__name__", ""))
    names = tuple(_operand_names(named, arguments, keyworded))
    return Traced.of(linearise(operands, outputs), structure, output_structure, name, names)


def _operand_names(function: Callable[..., Any], arguments: Sequence[Any], keyworded: bool) -> Iterator[str]:
    """Yield the names of the leaves: ``parameters/0/weight``, or ``0/0/weight`` without a
    signature.
    """
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # It is none of Python's.
        parameters = []
    names = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    rest = next((f"{p.name}/" for p in parameters if p.kind is p.VAR_POSITIONAL), "")
    for place, argument in enumerate(arguments):
        first = names[place] if place < len(names) else f"{rest}{place - len(names) if rest else place}"
        if keyworded and place == len(arguments) - 1:
            first = ""
        for path in tree.paths(argument):
            yield "/".join(filter(None, (first, path)))


def _abstract(x: Any, open_trace: Trace) -> Array:
    weak = type(x) in (float, int, bool)
    form = x if isinstance(x, Form) else Form.of(x if isinstance(x, Array) else constant(x))
    return Array(form, weak, open_trace, next(moments))
