"""Replaying a program: its kernels in a row, with no Python in between.

A builder is given the steps of a program one by one, and numbers their results. A region is opened
into its steps; the body of a vmap becomes a program by itself. The result is a list of kernels,
checked once, whose values share the memory of one arena (``csrc/program.hpp``). Replaying it is one
loop in C++.

Without kernels, the steps are replayed one by one in Python. A step that C++ has no kernel for
calls back into Python.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minimeta import kernels
from minimeta.autodiff import tree
from minimeta.autodiff.array import NOWHERE, Form, Origin
from minimeta.autodiff.graph import ALIAS
from minimeta.autodiff.operations.conversions import STOP_GRADIENT
from minimeta.autodiff.primitive import Primitive
from minimeta.autodiff.steps import Evaluate, Program, Step, Tasks, by_kernel, group_bounds, run
from minimeta.errors import ComputationError, IndexingError, LinearAlgebraError
from minimeta.program.finish import FINISHED_PRODUCT, add_finished
from minimeta.program.finished_convolutions import FINISHED_CONVOLUTION, add_finished_convolution
from minimeta.program.fuse import FUSED
from minimeta.program.fused import add_group
from minimeta.program.fused_products import FUSED_PRODUCTS, add_columns
from minimeta.program.names import elements_of, program_key
from minimeta.program.place import GROUPS
from minimeta.program.pool import MAX_CELL_AND_TAKE
from minimeta.program.turn import Turning, turning
from minimeta.threads import get_num_threads

Values = list[NDArray[Any]]
Call = Callable[[tuple[Any, ...], dict[str, Any]], Any]

# From csrc/fused.hpp: no cache holds so much until it is read.
_FAR_BYTES: int = getattr(kernels.native, "FAR_BYTES", 0)

# Tasks of so much memory, also for each instruction on average, take turns: threads share the instructions then, which
# take so long that to wait for each other 5 % longer is worth half of the memory.
_TURNS_BYTES, _TURNS_INSTRUCTION_BYTES = 1 << 28, 1 << 20


class Instruction(NamedTuple):
    """What a native step is.

    Attributes
    ----------
    name
        The primitive's.
    origin
        The user's line that it came from.
    results
        The forms of its results; none of a copy that nobody wrote down.
    body
        The instructions that run inside of it, for every task.
    """

    name: str
    origin: Origin = NOWHERE
    results: tuple[Form, ...] = ()
    body: tuple[Instruction, ...] = ()

    @classmethod
    def of(cls, step: Step) -> Instruction:
        """Return the instruction of a step that Python runs."""
        return cls(step.primitive.name, step.origin, step.results)


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
    program
        As given.
    native
        Whether it runs without Python.
    instructions
        The kernels it runs, in order; views are none. Where it is not native, its steps.
    arena_bytes
        Memory for what is neither operand nor constant nor output, for each run under way, but that of
        the bodies of maps.
    bodies
        The programs that maps run inside of it.
    """

    def __init__(
        self, program: Program, *, reuse_memory: bool = True, poison: bool = False, level: str = kernels.level
    ) -> None:
        self.program = program
        self._extension: Any = kernels.load(level)
        self._replay: Any = None
        if self._extension is None:
            self.instructions = tuple(map(Instruction.of, program.steps))
        else:
            writer = _Writer(self._extension.Builder(reuse_memory, poison))
            self._replay = writer.builder.build(writer.whole(program))
            self.instructions = tuple(writer.instructions)
        self.bodies = () if self._extension is None else tuple(writer.bodies.values())
        self.native = self._replay is not None
        self.arena_bytes: int = self._replay.arena_bytes if self._replay else 0

    def memory(self) -> int:
        """Return the bytes of the arena, and of those of its bodies, for as many tasks as run at a time."""
        return self.arena_bytes + sum(body.memory() for body in self.bodies)

    def run(self, leaves: Sequence[NDArray[Any]], evaluate: Evaluate = by_kernel) -> Values:
        """Compute the outputs.

        Parameters
        ----------
        leaves
            The operands in order: contiguous arrays of the shapes and dtypes that were traced.
        evaluate
            Computes a step where that is not native.

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
            return [np.array(y, order="C") for y in run(self.program, leaves, evaluate)]
        except IndexError as error:
            raise IndexingError(str(error)) from None

    def call(
        self, arguments: tree.Structure, keywords: tree.Structure, forms: Sequence[Any], output: tree.Structure
    ) -> Call | None:
        """Return a call that C++ answers alone: it takes the arguments apart, runs the kernels, and
        puts the output together.

        Parameters
        ----------
        arguments, keywords
            The structures of the tuple of arguments and of the dict of keywords; their leaves are
            the operands. A part may be ``Structure("static", (value,))``.
        forms
            For each leaf the class of a Python scalar, or anything else for an array.
        output
            The structure whose leaves are the outputs.

        Returns
        -------
        callable or None
            Of arguments and keywords: their output, or ``NotImplemented`` if they are not what was
            given here (a static value is another object), or have to be converted first. None where
            there are no native kernels, or a tree is not of Python's own containers, named tuples
            and dataclasses.
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
            For each instruction its nanoseconds, on all threads together, and the times of its
            body, if it has one.
        path
            With ``check_finite``, where the first result is that is not finite: the number of the
            instruction; for an instruction with a body the index it ran for, and the path inside.
            Empty if there is none.
        """
        try:
            found: tuple[Values, list[Any], list[int]] = self._replay.watch(list(leaves), check_finite)
            return found
        except IndexError as error:
            raise IndexingError(str(error)) from None


def explained(error: Exception, run: Callable[[], object]) -> Exception:
    """Return the error of an index, or of a singular matrix, as an eager run has it.

    A kernel knows a number and an axis. An eager run knows values beforehand, and says what the
    number is: a label, and of how many classes, at which of the user's lines.

    Parameters
    ----------
    error
        The kernel's.
    run
        Does the same eagerly.
    """
    try:
        run()
    except (IndexError, LinearAlgebraError) as eager:
        return eager if isinstance(eager, ComputationError) else error  # numpy knows no more than a kernel
    return error


@dataclass
class _Body:
    """A program that maps run: its number, its memory, what runs in it, and for how many groups of tasks at most."""

    number: int
    arena_bytes: int
    instructions: tuple[Instruction, ...]
    bodies: tuple[_Body, ...]
    groups: int = 0

    @property
    def in_turns(self) -> bool:
        """Whether tasks take turns, one at a time on all threads."""
        return self.arena_bytes >= max(_TURNS_BYTES, len(self.instructions) * _TURNS_INSTRUCTION_BYTES)

    def memory(self) -> int:
        """Return the bytes of as many tasks as run at a time."""
        at_once = 1 if self.in_turns else min(get_num_threads(), self.groups)
        return at_once * (self.arena_bytes + sum(body.memory() for body in self.bodies))


class _Writer:
    """Tells a builder the steps of a program."""

    def __init__(self, builder: Any) -> None:
        self.builder = builder
        self._constants: dict[int, int] = {}  # by identity
        self.bodies: dict[Any, _Body] = {}  # by what they compute
        self._far: dict[int, tuple[int, ...]] = {}  # by the identity of a group: its results that no cache holds
        self._turning: dict[int, Turning] = {}  # by the identity of a product
        self._matrices: dict[int, int] = {}  # that are turned
        self.instructions: list[Instruction] = []

    def whole(self, program: Program, tasks: int = 1) -> tuple[int, ...]:
        """Write down a program that runs so many times, and return the numbers of its outputs."""
        self._far = dict(_far(program, tasks)) if tasks > 1 else {}
        self._turning = turning(program)
        operands = [self.builder.add_operand(form.dtype.name, form.shape) for form in program.operands]
        return self._copied(self._numbers(run(program, operands, self._write)), self.builder.own)

    def _write(self, step: Step, *operands: Any) -> tuple[Any, ...]:
        """Return the builder's numbers of a step's results."""
        primitive, body, builder = step.primitive, step.body, self.builder
        if primitive in (ALIAS, STOP_GRADIENT):
            return operands
        if body is not None and step.tasks is None and primitive not in GROUPS:
            return tuple(run(body, operands, self._write))
        numbers = self._numbers(operands)
        if id(step) in self._turning:
            step, numbers = self._turned(self._turning[id(step)], step, numbers)
            body = step.body
        inside: tuple[Instruction, ...] = ()
        if body is None and (primitive.native or self._is_small(primitive, numbers)):
            results = builder.add_step(primitive.name, numbers, step.params)
        elif body is None:  # Python computes it: a function of numpy's, or a primitive without a kernel in C++.
            forms = tuple((form.dtype.name, form.shape) for form in step.results)
            results = builder.add_call(functools.partial(_called, step), numbers, forms)
        elif step.tasks is not None:
            results, inside = self._map(body, step.tasks, numbers)
        elif primitive is FUSED_PRODUCTS:
            results = add_columns(builder, body, numbers)
        elif primitive is FINISHED_PRODUCT:
            results = add_finished(builder, body, numbers)
        elif primitive is FINISHED_CONVOLUTION:
            results = add_finished_convolution(builder, body, numbers)
        elif primitive is FUSED:
            results = add_group(builder, body, numbers, self._far.get(id(step), ()))
        elif primitive is MAX_CELL_AND_TAKE:
            values = (*numbers, *builder.add_max_cell_and_take(*numbers, body.steps[0].params))
            results = [values[i] for i in body.outputs]
        else:
            results = [builder.concatenate_in_place(numbers, body.steps[0].params["axis"])]
        # A view is no step, and before a group there may be copies of what it reads.
        self.instructions += [Instruction("copy")] * (builder.steps - 1 - len(self.instructions))
        if builder.steps > len(self.instructions):
            self.instructions.append(Instruction(primitive.name, step.origin, step.results, inside))
        return tuple(results)

    def _is_small(self, primitive: Primitive, operands: tuple[int, ...]) -> bool:
        """Return whether a kernel in C++ takes these matrices."""
        return primitive.most_side >= 0 and self.builder.last_side(operands[0]) <= primitive.most_side

    def _turned(self, turning: Turning, step: Step, numbers: tuple[int, ...]) -> tuple[Step, tuple[int, ...]]:
        """Return a product that turns a matrix, and its operands, with the turned one in its place."""
        turned, factor, matrix = turning
        if matrix not in self._matrices:
            y = numbers[factor]
            view = y if turned is step else self.builder.add_step("transpose", (y,), {"axes": (1, 0)})[0]
            self._matrices[matrix] = self.builder.with_contiguous_parts(view, True)
        return turned, (*numbers[:factor], self._matrices[matrix], *numbers[factor + 1 :])

    def _map(
        self, body: Program, tasks: Tasks, operands: tuple[int, ...]
    ) -> tuple[Sequence[int], tuple[Instruction, ...]]:
        """Add a body that runs for every task; return its results and its instructions.

        One that was there before, for as many tasks or others, is the same program, whose runs take
        turns in one memory.
        """
        key = program_key(body), tasks.summed, tuple(far for _, far in _far(body, tasks.count))
        if key not in self.bodies:
            writer = _Writer(type(self.builder)(self.builder.reuse_memory, self.builder.poison))
            outputs = writer.whole(body, tasks.count)
            number, arena_bytes = self.builder.add_body(writer.builder, outputs, tasks.summed)
            self.bodies[key] = _Body(number, arena_bytes, tuple(writer.instructions), tuple(writer.bodies.values()))
        found = self.bodies[key]
        groups = len(group_bounds(tasks.count)) - 1
        found.groups = max(found.groups, groups)
        contiguous = self.builder.with_contiguous_parts
        numbers = self._copied(
            operands, lambda values: [contiguous(x, not part) for x, part in zip(values, tasks.mapped, strict=True)]
        )
        results = self.builder.add_map(
            found.number, numbers, tasks.mapped, tasks.summed, tasks.count, groups, found.in_turns
        )
        return results, found.instructions

    def _copied(self, values: tuple[int, ...], copies: Callable[[tuple[int, ...]], Sequence[int]]) -> tuple[int, ...]:
        """Return the values, or copies of those that do not lie as they must."""
        copied = tuple(copies(values))
        self.instructions += [Instruction("copy") for x, y in zip(values, copied, strict=True) if x != y]
        return copied

    def _numbers(self, values: Sequence[Any]) -> tuple[int, ...]:
        return tuple([x if isinstance(x, int) else self._constant(x) for x in values])

    def _constant(self, x: NDArray[Any]) -> int:
        """Return the number of a constant, which is added once."""
        if id(x) not in self._constants:
            whole = np.broadcast_to(np.array(elements_of(x), order="C"), x.shape)
            self._constants[id(x)] = self.builder.add_constant(whole)
        return self._constants[id(x)]


def _far(body: Program, tasks: int) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Yield the groups with results that only become parts of stacked ones, too long for every cache."""
    outputs = set(body.outputs).difference(*(step.operands for step in body.steps))
    for number, step in body.numbered_steps():
        if step.primitive is FUSED and step.body is not None:
            long = (
                i
                for place, i in enumerate(step.body.outputs)
                if number + place in outputs and step.results[place].nbytes * tasks >= _FAR_BYTES
            )
            yield id(step), tuple(long)


def _called(step: Step, operands: Sequence[NDArray[Any]]) -> tuple[NDArray[Any], ...]:
    """Return the results of a step that Python computes."""
    try:
        return by_kernel(step, *operands)
    except Exception as error:
        if step.origin.line and step.primitive.partial and isinstance(error, ComputationError):
            raise error.moved(step.origin) from None
        if step.origin.line:
            error.add_note(f"  at {step.origin.line}")
        raise
