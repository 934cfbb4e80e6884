"""What is checked: a function of rows of floats, and its derivatives of every order as functions
again.

Whatever the trees of its arguments and output, a function ``f`` is seen as ``F_0`` from a row of
float arrays to a row of float arrays; all else is held fixed. With cotangents ``v_k`` of the
outputs of ``F_k``, drawn for each order,

    F_{k+1}(x_k, v_k) = J_k(x_k)^T v_k,        x_{k+1} = (x_k, v_k),

is again such a function: the one that the library computes as the derivative of ``F_k``. Order
``k + 1`` of ``f`` is right if ``F_{k+1}`` is the derivative of ``F_k``. No derivative is ever
approximated by differences of differences, and no direction of one order has to do with those of
another.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minimeta.autodiff import tree
from minimeta.autodiff.array import is_float
from minimeta.autodiff.derivatives import vjp
from minimeta.autodiff.elements import holds_arrays, joined
from minimeta.autodiff.steps import Program, by_operation, run
from minimeta.errors import Nondifferentiable
from minimeta.program import trace
from minimeta.testing.constrained import realised
from minimeta.testing.differences import Along, Bend, central_difference
from minimeta.testing.directions import component, power_of_two
from minimeta.testing.limits import along, limit
from minimeta.testing.replay import held, is_black_box, steps_of

Floats = NDArray[Any]
Row = Sequence[Any]
Function = Callable[..., Any]


@dataclass(frozen=True)
class Subject:
    """A function of a row of floats, at a point.

    Attributes
    ----------
    function
        From float arrays to a list of float arrays.
    point
        One leaf for each of its arguments; Python floats stay such.
    names
        What the user calls them.
    program
        Of the function; None where it cannot be traced.
    reason
        Why it cannot.
    parent
        The function that this is the derivative of, if it is one.
    """

    function: Function
    point: Row
    names: Sequence[str]
    program: Program | None
    reason: str = ""
    parent: Subject | None = None

    @classmethod
    def of(cls, function: Function, arguments: tuple[Any, ...]) -> Subject:
        """Return a user's function at its arguments."""
        leaves, structure = tree.flatten(arguments)
        names = _names(function, arguments)
        chosen = [i for i, x in enumerate(leaves) if is_float(x)]

        def of_floats(*floats: Any) -> list[Any]:
            replaced = dict(zip(chosen, floats, strict=True))
            every = [replaced.get(i, x) for i, x in enumerate(leaves)]
            outputs = tree.flatten(function(*realised(tree.unflatten(structure, every))))[0]
            outputs = [joined(y) if holds_arrays(y) else y for y in outputs]
            return [y for y in outputs if is_float(y)]

        point = [leaves[i] for i in chosen]
        program, reason = _traced(of_floats, point)
        return cls(of_floats, point, [names[i] for i in chosen], program and held(program), reason)

    def derivative(self, cotangents: Row) -> Subject:
        """Return its derivative with these cotangents, as a function of the point and of them."""
        program, reason = self.program, self.reason
        point = [*self.point, *cotangents]
        if program is not None:
            replayed = functools.partial(_replayed, program)
            program, reason = _traced(_transposed(replayed, len(self.point)), point)
        names = [*self.names, *(f"cotangent {i}" for i in range(len(cotangents)))]
        return Subject(_transposed(self.function, len(self.point)), point, names, program, reason, self)

    @property
    def values(self) -> list[Floats]:
        """The point in float64."""
        return [np.asarray(x, np.float64) for x in self.point]

    @property
    def oracle(self) -> str:
        """What its derivatives are compared with."""
        if self.program is None:
            return "central difference"
        boxes = any(is_black_box(step.primitive) for step in steps_of(self.program))
        return "complex step and central difference" if boxes else "complex step"

    def along(self, direction: Sequence[Floats], order: int, measured: bool = False) -> Along:
        """Return the oracle's derivatives of all outputs along a direction, with rounding if it is
        measured.

        Raises
        ------
        Nondifferentiable
            There are none.
        """
        if self.program is not None:
            return along(self.program, self.values, direction, order=order, measured=measured)
        try:
            return central_difference(lambda t: self.outputs(t, direction), direction)
        except Bend:
            raise Nondifferentiable(
                f"there is no derivative of order {order} at this point: the function has a kink or a jump here",
                fault="kink",
                order=order,
                oracle=self.oracle,
            ) from None

    def limit(self, direction: Sequence[Floats]) -> Along | None:
        """Return a second opinion: the limits of the oracle's derivatives next to the point."""
        return limit(self.program, self.values, direction) if self.program is not None else None

    def moved(self, rng: np.random.Generator, distance: float, absolute: bool = False) -> Subject:
        """Return the same function at a point nearby, whose elements are moved by a part of themselves, or of 1."""
        scales = [np.ones(x.shape) if absolute else power_of_two(x) for x in self.values]
        point = [
            np.asarray(x + distance * component(rng, x.shape) * scale, np.asarray(leaf).dtype)
            for leaf, x, scale in zip(self.point, self.values, scales, strict=True)
        ]
        return dataclasses.replace(self, point=point)

    def outputs(
        self, t: float, direction: Sequence[Floats], s: float = 0.0, other: Sequence[Floats] | None = None
    ) -> list[Floats]:
        """Return the function's values at a distance ``t`` along a direction, and ``s`` along another."""
        with np.errstate(all="ignore"):
            moved = [x + t * u for x, u in zip(self.values, direction, strict=True)]
            if other is not None:
                moved = [x + s * u for x, u in zip(moved, other, strict=True)]
            return [np.asarray(y) for y in self.function(*moved)]


def _names(function: Function, arguments: tuple[Any, ...]) -> list[str]:
    """Return what the user calls the leaves: ``w`` or ``parameters/0/weight``."""
    try:
        parameters = list(inspect.signature(function).parameters)
    except (TypeError, ValueError):  # Not every callable has one.
        parameters = []
    names = []
    for path in tree.paths(arguments):
        number, slash, rest = path.partition("/")
        names.append((parameters[int(number)] if int(number) < len(parameters) else number) + slash + rest)
    return names


def _transposed(function: Function, count: int) -> Function:
    """``(x, v) -> J(x)^T v``."""

    def transposed(*operands: Any) -> list[Any]:
        return list(vjp(function, *operands[:count])[1](list(operands[count:])))

    return transposed


def _replayed(program: Program, *operands: Any) -> list[Any]:
    return run(program, operands, by_operation)


def _traced(function: Function, point: Row) -> tuple[Program | None, str]:
    try:
        return trace(function, *point), ""
    except Exception as error:  # Whatever a user's function does with a value that is not known.
        return None, str(error).partition("\n")[0]
