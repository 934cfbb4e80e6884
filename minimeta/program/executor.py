"""Replaying a program: its kernels in a row, with no Python in between.

A builder is told the steps of a line one by one, and numbers their results; regions open up into their steps on the
way, and the body of a vmap becomes a program of its own. What comes out is a list of kernels, checked once, whose
values share the memory of one arena (``csrc/program.hpp``), and replaying it is one loop in C++.

Where there are no kernels, or a step's primitive has one of its own, the steps are replayed one by one in Python.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minimeta import kernels
from minimeta.autodiff import tree
from minimeta.autodiff.calls import CALL
from minimeta.autodiff.graph import ALIAS, Step, StraightLine
from minimeta.autodiff.operations.conversions import STOP_GRADIENT
from minimeta.autodiff.operations.reductions import MEAN
from minimeta.autodiff.regions import PROJECT, by_kernel
from minimeta.errors import IndexingError
from minimeta.program.fuse import FUSED

Values = list[NDArray[Any]]
Call = Callable[[tuple[Any, ...], dict[str, Any]], Any]


class Instruction(NamedTuple):
    """What a native step is.

    Attributes
    ----------
    name
        The primitive's.
    line
        The user's line that it came from.
    body
        The instructions that run inside of it, for every index.
    backward
        Whether it belongs to the backward pass of that line.
    form
        Of its result; None of a copy that nobody wrote down.
    """

    name: str
    line: str
    body: tuple[Instruction, ...] = ()
    backward: bool = False
    form: Any = None

    @classmethod
    def of(cls, step: Step, body: tuple[Instruction, ...] = ()) -> Instruction:
        """The instruction of a step."""
        return cls(step.primitive.name, step.line, body, step.backward, step.shape)


class Executable:
    """A program made ready to run, on any number of threads at once.

    Parameters
    ----------
    line
        What to run.
    reuse_memory
        Whether values that are never needed at the same time share memory.
    poison
        Whether memory holds NaN before it is written and after its last use: a test of the sharing.
    level
        Whose kernels run, of :mod:`minimeta.kernels`.

    Attributes
    ----------
    line
        As given.
    native
        Whether it runs without Python.
    instructions
        The kernels it runs, in order; views are none. Where it is not native, its steps.
    arena_bytes
        Memory for what is neither operand nor constant nor output, for each run under way.
    """

    def __init__(
        self, line: StraightLine, *, reuse_memory: bool = True, poison: bool = False, level: str = kernels.level
    ) -> None:
        self.line = line
        self._extension: Any = kernels.load(level)
        self._replay, self.instructions = _build(line, self._extension, reuse_memory, poison)
        self.native = self._replay is not None
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
            return [np.array(y, order="C") for y in self.line.run(leaves, by_kernel)]
        except IndexError as error:
            raise IndexingError(str(error)) from None

    def call(
        self, arguments: tree.Structure, keywords: tree.Structure, forms: Sequence[Any], output: tree.Structure
    ) -> Call | None:
        """A compiled call without Python: the arguments are taken apart, the kernels run, the output is put together.

        Parameters
        ----------
        arguments, keywords
            The structures of the tuple of arguments and of the dict of keywords; their leaves are the operands. A part
            may be ``Structure("static", (value,))``.
        forms
            For each leaf the class of a Python scalar, or anything else for an array.
        output
            The structure whose leaves are the outputs.

        Returns
        -------
        callable or None
            Of arguments and keywords: their output, or ``NotImplemented`` if they are not what was given here (a static
            value is another object), or have to be converted first. None where there are no native kernels, or a tree
            is not of Python's own containers, named tuples and dataclasses.
        """
        if self._replay is None:
            return None
        classes = tuple(form if type(form) is type else None for form in forms)
        call = self._extension.Call(self._replay, arguments, keywords, classes, output)
        return call if call.is_native else None

    def watch(self, leaves: Sequence[NDArray[Any]], check_finite: bool) -> tuple[Values, list[Any], list[int]]:
        """Compute the outputs as :meth:`run` does, and watch each instruction.

        Returns
        -------
        outputs
            As of :meth:`run`; none, where a result was not finite.
        times
            For each instruction its nanoseconds, on all threads together, and the times of its body, if it has one.
        path
            With ``check_finite``, where the first result is that is not finite: the number of the instruction; for an
            instruction with a body the index it ran for, and the path inside. Empty if there is none.
        """
        try:
            found: tuple[Values, list[Any], list[int]] = self._replay.watch(list(leaves), check_finite)
            return found
        except IndexError as error:
            raise IndexingError(str(error)) from None


def explained(error: IndexError, run: Callable[[], object]) -> IndexError:
    """The error of an index as an eager run has it.

    A kernel knows a number and an axis. An eager run knows values beforehand, and says what the number is: a label, and
    of how many classes, at which of the user's lines.

    Parameters
    ----------
    error
        The kernel's.
    run
        Does the same eagerly.
    """
    try:
        run()
    except IndexError as eager:
        return eager if isinstance(eager, IndexingError) else error  # numpy knows no more than a kernel
    return error


def _build(line: StraightLine, extension: Any, reuse_memory: bool, poison: bool) -> tuple[Any, tuple[Instruction, ...]]:
    """The line as a native program, or None where a step has no native kernel, and its instructions."""
    if extension is not None:
        writer = _Writer(extension.Builder(reuse_memory, poison))
        replay = writer.builder.build(writer.whole(line))
        return replay, writer.instructions(replay.instructions)
    return None, tuple(map(Instruction.of, line.steps))


class _Writer:
    """Tells a builder the steps of a line."""

    def __init__(self, builder: Any) -> None:
        self.builder = builder
        self._constants: dict[int, int] = {}  # by identity
        self._instructions: list[Instruction] = []

    def whole(self, line: StraightLine) -> tuple[int, ...]:
        """Write down a program, and return the numbers of its outputs."""
        operands = [self.builder.add_operand(form.dtype.name, form.shape) for form in line.operands]
        outputs = self._written(line, operands)
        return self._numbers(outputs)

    def instructions(self, count: int) -> tuple[Instruction, ...]:
        """All there are; those that nobody wrote down are copies, of outputs that have no memory of their own."""
        return (*self._instructions, *[Instruction("copy", "")] * (count - len(self._instructions)))

    def _written(self, line: StraightLine, operands: Sequence[Any]) -> list[Any]:
        values = [*operands, *line.constants]
        for step in line.steps:
            values.append(self._result(step, [values[i] for i in step.operands]))
        return [values[i] for i in line.outputs]

    def _result(self, step: Step, operands: list[Any]) -> Any:
        """What stands for a step's result: its number, or a tuple of those of a region."""
        primitive, params = step.primitive, step.params
        if "mapped" in params:
            return self._map(step, operands)
        if primitive is FUSED:
            return self._fused(step, operands)
        if "line" in params:
            return tuple(self._written(params["line"], operands))
        if primitive is PROJECT:
            return operands[0][params["place"]]
        if primitive is CALL:
            return self._call(step, operands)
        if primitive in (ALIAS, STOP_GRADIENT):
            return operands[0]
        if not primitive.native:
            return self._call(step, operands)[0]
        result = self.builder.add_step(primitive.name, self._numbers(operands), params)
        self._label(Instruction.of(step))
        return result

    def _call(self, step: Step, operands: list[Any]) -> Any:
        """A step that Python computes: a function of numpy's, or a primitive without a kernel in C++."""
        results = step.shape if type(step.shape) is tuple else (step.shape,)
        forms = tuple((form.dtype.name, form.shape) for form in results)
        results = self.builder.add_call(functools.partial(_called, step), self._numbers(operands), forms)
        self._label(Instruction.of(step))
        return results

    def _fused(self, step: Step, operands: list[Any]) -> Any:
        line: StraightLine = step.params["line"]
        operations = tuple(
            (inner.primitive.name, inner.operands) for inner in line.steps if inner.primitive.elementwise
        )
        first_sum = len(line.operands) + len(operations)
        sums = tuple(
            (inner.operands[0], len(inner.params["axes"]), inner.primitive is MEAN, inner.params["keepdims"])
            for inner in line.steps[len(operations) :]
        )
        values = tuple(i for i in line.outputs if i < first_sum)
        results = self.builder.add_fused(self._numbers(operands), operations, values, sums)
        self._label(Instruction(step.primitive.name, step.line))
        return results

    def _map(self, step: Step, operands: list[Any]) -> Any:
        params, count = step.params, step.params["count"]
        body = _Writer(type(self.builder)(self.builder.reuse_memory, self.builder.poison))
        outputs = body.whole(params["line"])
        numbers, ways = self._numbers(operands), (params["mapped"], params["summed"])
        results, steps = self.builder.add_map(body.builder, outputs, numbers, *ways, count, group_count(count))
        self._label(Instruction.of(step, body.instructions(steps)))
        return results

    def _numbers(self, values: Sequence[Any]) -> tuple[int, ...]:
        for x in values:
            if not isinstance(x, int) and id(x) not in self._constants:
                self._constants[id(x)] = self.builder.add_constant(_compact(x))
        return tuple([x if isinstance(x, int) else self._constants[id(x)] for x in values])

    def _label(self, instruction: Instruction) -> None:
        """Name the builder's last step, if one was added since the one before; those in between are copies."""
        added = self.builder.steps - len(self._instructions)
        self._instructions += [*[Instruction("copy", "")] * (added - 1), instruction][-added:] if added else []


def _called(step: Step, operands: Sequence[NDArray[Any]]) -> tuple[NDArray[Any], ...]:
    """The results of a step that Python computes."""
    try:
        results: Any = by_kernel(step.primitive, *operands, **step.params)
    except Exception as error:
        if step.line:
            error.add_note(f"  at {step.line}")
        raise
    return results if type(results) is tuple else (results,)


def group_count(count: int) -> int:
    """Into how many groups so many neighbouring tasks are dealt; each is added up before their sums are."""
    return min(count, 16)


def group_bounds(count: int) -> tuple[int, ...]:
    """Where each of these groups begins, and the end: of one size, but that the first ones may have a task more."""
    groups = group_count(count)
    size, larger = divmod(count, groups) if groups else (0, 0)
    return tuple(group * size + min(group, larger) for group in range(groups + 1))


def _compact(x: NDArray[Any]) -> NDArray[Any]:
    """A copy that nobody else has, with one element in memory along the axes that repeat it."""
    kept = x[tuple(slice(1) if stride == 0 else slice(None) for stride in x.strides)]
    return np.broadcast_to(np.array(kept, order="C"), x.shape)
