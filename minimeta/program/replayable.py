"""What replays a function for one signature: traced, made shorter, and built."""

from __future__ import annotations

import contextlib
import gc
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from minimeta.autodiff.arguments import Function
from minimeta.program.arithmetic import operations
from minimeta.program.executor import Call, Executable, Instruction
from minimeta.program.passes import optimise
from minimeta.program.program import Traced, attempt
from minimeta.program.purity import first_difference, impure
from minimeta.program.signature import Signature


@dataclass(frozen=True)
class Stats:
    """What it took to compile one signature.

    Attributes
    ----------
    trace_seconds, pass_seconds, build_seconds
        Time to run the function on abstract Arrays; to make the program shorter; to check its
        kernels and plan memory.
    instructions
        How many kernels run; views are none. Those of the body of a ``vmap`` count once, and not
        for every task.
    arena_bytes
        Memory for intermediate values, those of the bodies of ``vmap`` for as many tasks as run at
        a time.
    arithmetic_operations
        Floating-point operations of one run, as :mod:`minimeta.program.arithmetic` counts them.
    """

    trace_seconds: float
    pass_seconds: float
    build_seconds: float
    instructions: int
    arena_bytes: int
    arithmetic_operations: int


@contextlib.contextmanager
def _without_collector() -> Iterator[None]:
    """Put off the search for cycles, which looks again and again at a long graph that has none."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


class Replayable(NamedTuple):
    """The program for a signature, ready to run, how a call in Python runs it, and the seconds that
    tracing, passes and building took.
    """

    program: Traced
    executable: Executable
    call: Call | None
    seconds: tuple[float, float, float]

    @classmethod
    @_without_collector()
    def of(
        cls, function: Function, name: str, signature: Signature, passes: Collection[str], check: bool
    ) -> Replayable | None:
        """Make what replays a function; None if it takes an Array of an outer transformation by
        closure.

        Parameters
        ----------
        function, name
            The function, and what a user calls it.
        signature
            Of its arguments.
        passes
            The names of the passes that make the program shorter.
        check
            Whether to trace it twice, and refuse a function whose two programs differ.

        Raises
        ------
        TracingError
            The function needs a value, or is not pure.
        """
        of_trees, arguments = signature.function_of_trees(function), signature.abstract_trees()
        began = time.perf_counter()
        traced = attempt(of_trees, arguments, function, signature.keyworded)
        if not isinstance(traced, Traced):
            return None
        trace_seconds = time.perf_counter() - began
        if check:
            again = attempt(of_trees, arguments)
            if isinstance(again, Traced) and (impurity := first_difference(traced, again)):
                raise impure(name, impurity)
        began = time.perf_counter()
        program = optimise(traced, passes)
        shortened = time.perf_counter()
        executable = Executable(program)
        built = time.perf_counter()
        seconds = trace_seconds, shortened - began, built - shortened
        call = executable.call(*signature.call_structures(), signature.forms, program.output)
        return cls(program, executable, call, seconds)

    @property
    def stats(self) -> Stats:
        """What it took to compile, and what it takes to run."""
        executable = self.executable
        instructions, arithmetic = _count(executable.instructions), operations(self.program).total()
        return Stats(*self.seconds, instructions, executable.memory(), arithmetic)


def _count(instructions: Sequence[Instruction]) -> int:
    """Count instructions, and those inside of them."""
    return sum(1 + _count(instruction.body) for instruction in instructions)
