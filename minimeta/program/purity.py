"""Whether a function is pure, as far as two runs of it can tell.

A program replays what a function did once. That is the function itself if it would have done the same again, so it is
traced twice on the same shapes, and the two straight lines must be equal: step by step the same primitive, parameters
and operands, constants having equal bits. Numbers drawn while tracing and a counter that is read are found so.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minimeta.autodiff.array import Abstract
from minimeta.autodiff.graph import Step, StraightLine
from minimeta.program.program import Program


def first_difference(one: Program, other: Program) -> str | None:
    """Where two programs differ first, in words and with the user's line; None if they do not."""
    for step, twin in zip(one.line.steps, other.line.steps, strict=False):
        if step.primitive is not twin.primitive or not _equal((step.shape, step.params), (twin.shape, twin.params)):
            return f"{_described(step)}, and then {_described(twin)}"
        for position, (i, j) in enumerate(zip(step.operands, twin.operands, strict=True)):
            if not _equal(_origin(one.line, i), _origin(other.line, j)):
                return f"operand {position} of {_described(step)} is another value the second time"
    lengths = [len(program.line.steps) for program in (one, other)]
    if lengths[0] != lengths[1]:
        longer = max(one, other, key=lambda program: len(program.line.steps))
        beyond = _described(longer.line.steps[min(lengths)])
        return f"{lengths[0]} instructions, and then {lengths[1]}; the first that only one has is {beyond}"
    if one.output != other.output:
        return "it returns trees of two forms"
    for position, (i, j) in enumerate(zip(one.line.outputs, other.line.outputs, strict=True)):
        if not _equal(_origin(one.line, i), _origin(other.line, j)):
            return f"leaf {position} of what it returns is another value the second time"
    return None


def _described(step: Step) -> str:
    return f"{step.primitive.name} of shape {step.shape!r}" + (f" at {step.line}" if step.line else "")


def _origin(line: StraightLine, number: int) -> Any:
    """What a number stands for: a constant's value, or the place of an operand or of a step."""
    operands, first_step = len(line.operands), len(line.operands) + len(line.constants)
    if operands <= number < first_step:
        return line.constants[number - operands]
    return ("operand", number) if number < operands else ("step", number - first_step)


def _equal(x: Any, y: Any) -> bool:
    """Whether two static parameters say the same: arrays by their bits, functions by their code."""
    if type(x) is not type(y):
        return False
    if isinstance(x, (tuple, list)):
        return len(x) == len(y) and all(map(_equal, x, y))
    if isinstance(x, dict):
        return x.keys() == y.keys() and all(_equal(x[key], y[key]) for key in x)
    if isinstance(x, Abstract):
        return (x.shape, x.dtype) == (y.shape, y.dtype)
    if isinstance(x, np.ndarray):
        return (x.shape, x.dtype) == (y.shape, y.dtype) and x.tobytes() == y.tobytes()
    if hasattr(x, "__code__"):
        return bool(x.__code__ == y.__code__)
    return bool(x == y)
