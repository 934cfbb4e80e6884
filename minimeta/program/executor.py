"""Replaying a program: its kernels in a row, with no Python in between.

A straight line is run by handing each step to some ``evaluate(primitive, *operands, **params)``. Run on the *numbers*
of values, with an evaluation that writes the step down and answers with its result's number, it tells a builder the
whole program; regions open up into their steps on the way. What comes out is a list of kernels, checked once, whose
values share the memory of one arena (``csrc/program.hpp``), and replaying it is one loop in C++.

Where there are no kernels, or a step's primitive has one of its own, the steps are replayed one by one in Python.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minimeta import kernels
from minimeta.autodiff.graph import StraightLine
from minimeta.autodiff.operations.elementwise import ALIAS, STOP_GRADIENT
from minimeta.autodiff.primitive import Primitive
from minimeta.autodiff.regions import by_kernel
from minimeta.errors import IndexingError
from minimeta.program.program import Program

Values = list[NDArray[Any]]


class Executable:
    """A program made ready to run, on any number of threads at once.

    Parameters
    ----------
    program
        What to run.
    reuse_memory
        Whether values that are never needed at the same time share memory.
    poison
        Whether memory holds NaN before it is written and after its last use: a test of the sharing.
    level
        Whose kernels run, of :mod:`minimeta.kernels`.

    Attributes
    ----------
    native
        Whether it runs without Python.
    instructions
        How many kernels it runs; views are none.
    arena_bytes
        Memory for what is neither operand nor constant nor output, for each run under way.
    """

    def __init__(
        self, program: Program, *, reuse_memory: bool = True, poison: bool = False, level: str = kernels.level
    ) -> None:
        self._line = program.line
        self._replay = _build(program.line, reuse_memory, poison, level)
        self.native = self._replay is not None
        self.instructions: int = self._replay.instructions if self._replay else len(program.line.steps)
        self.arena_bytes: int = self._replay.arena_bytes if self._replay else 0

    def run(self, leaves: Sequence[NDArray[Any]]) -> Values:
        """Compute the outputs.

        Parameters
        ----------
        leaves
            The operands in order: contiguous arrays of the shapes and dtypes that were traced.

        Returns
        -------
        list of numpy.ndarray
            Fresh, writable, contiguous.

        Raises
        ------
        IndexingError
            An index is out of range.
        """
        try:
            if self._replay:
                outputs: Values = self._replay.run(list(leaves))
                return outputs
            return [np.array(y, order="C") for y in self._line.run(leaves, by_kernel)]
        except IndexError as error:
            raise IndexingError(str(error)) from None


class _Foreign(Exception):  # noqa: N818 (it is an answer)
    """A step that the extension has no kernel for."""


def _build(line: StraightLine, reuse_memory: bool, poison: bool, level: str) -> Any:
    """The line as a native program of a level, or None where a step has no native kernel."""
    extension = kernels.load(level)
    if extension is None:
        return None
    builder = extension.Builder()
    constants: dict[int, int] = {}  # by identity

    def number(x: Any) -> int:
        if isinstance(x, int):
            return x
        if id(x) not in constants:
            constants[id(x)] = builder.add_constant(_compact(x))
        return constants[id(x)]

    def write_down(primitive: Primitive, *operands: Any, **params: Any) -> Any:
        if isinstance(params.get("line"), StraightLine):
            return tuple(params["line"].run(operands, write_down))
        if operands and isinstance(operands[0], tuple):  # a region's results, of which one is picked
            return operands[0][params["place"]]
        if primitive in (ALIAS, STOP_GRADIENT):
            return operands[0]
        if primitive.kernel is not getattr(kernels.native, primitive.name, None):
            raise _Foreign
        return builder.add_step(primitive.name, tuple(map(number, operands)), params)

    operands = [builder.add_operand(form.dtype.name, form.shape) for form in line.operands]
    try:
        outputs = line.run(operands, write_down)
    except _Foreign:
        return None
    return builder.build(tuple(map(number, outputs)), reuse_memory, poison)


def _compact(x: NDArray[Any]) -> NDArray[Any]:
    """A copy that nobody else has, with one element in memory along the axes that repeat it."""
    kept = x[tuple(slice(1) if stride == 0 else slice(None) for stride in x.strides)]
    return np.broadcast_to(np.array(kept, order="C"), x.shape)
