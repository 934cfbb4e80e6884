"""The first result that is not finite, and the user's line that it belongs to.

One NaN makes NaN of nearly everything after it, so the first result that is not finite is the one
to look at. A program knows the user's line of each of its instructions; those of a backward pass
have the line of the forward operation whose derivative they compute.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minimeta.autodiff.array import is_float
from minimeta.autodiff.steps import Step, by_kernel, run
from minimeta.errors import NonFiniteError
from minimeta.program.executor import Executable, Instruction, Values


def run_finite(executable: Executable, leaves: Sequence[NDArray[Any]], function: str, names: Sequence[str]) -> Values:
    """Compute the outputs of a program whose operands and results must all be finite.

    Parameters
    ----------
    executable, leaves
        What to run, and its operands.
    function, names
        What a user calls the function and the operands.

    Raises
    ------
    NonFiniteError
        Something is NaN or infinite. The message names the first: the operand; or the primitive,
        the form of its result, the user's line, and the task of a vmap in which it ran.
    """
    for name, leaf in zip(names, leaves, strict=True):
        if not _is_finite(leaf):
            place = tuple(map(int, np.argwhere(~np.isfinite(leaf))[0]))
            raise NonFiniteError(f"{function}: argument {name!r} is {leaf[place]}" + (f" at {place}" if place else ""))
    try:
        outputs = _watched(executable, leaves) if executable.native else executable.run(leaves, _looked_at)
    except _Found as found:
        raise NonFiniteError(f"{function}: {found}") from None
    for y in outputs:
        if not _is_finite(y):
            raise NonFiniteError(f"{function}: an output of shape {y.shape} is NaN or infinite: it is a constant")
    return outputs


class _Found(Exception):  # noqa: N818 (it is an answer)
    """The first result that is not finite."""

    def __init__(self, instruction: Instruction, tasks: tuple[int, ...]) -> None:
        self.instruction = instruction
        self.tasks = tasks

    def __str__(self) -> str:
        name, origin, results, _ = self.instruction
        # What a vmap stacks was seen inside of it.
        sums = "the sum over its tasks, of "
        forms = ", ".join(map(repr, results))
        what = f"{sums if name == 'vmap' else 'that of '}{name}, {forms}" if results else "a constant"
        task = f", in task {', '.join(map(str, self.tasks))} of vmap" if self.tasks else ""
        where = f"\n  {origin}" if origin.line else ""
        return f"the first result that is NaN or infinite is {what}{task}{where}"


def _is_finite(x: Any) -> bool:
    return not is_float(x) or bool(np.isfinite(x).all())


def _watched(executable: Executable, leaves: Sequence[NDArray[Any]]) -> Values:
    outputs, _, path = executable.watch(leaves, check_finite=True)
    if path:
        *around, last = path
        instructions = executable.instructions
        for number in around[::2]:
            instructions = instructions[number].body
        raise _Found(instructions[last], tuple(around[1::2]))
    return outputs


def _looked_at(step: Step, *operands: Any) -> tuple[Any, ...]:
    """Return the results of a step if they are finite; look into each run of its body first."""
    if step.body is not None:
        for task, given in enumerate(step.runs(operands)):
            try:
                run(step.body, given, _looked_at)
            except _Found as found:
                raise _Found(found.instruction, (task, *found.tasks) if step.tasks else found.tasks) from None
    results = by_kernel(step, *operands)
    if not step.primitive.view and not all(map(_is_finite, results)):
        raise _Found(Instruction.of(step), ())
    return results
