"""Check that a function is pure, as far as two runs of it can tell.

A program replays what a function did once. That is right if the function would do the same again.
So the function is traced twice on the same shapes, and the two programs must be equal: each step
has the same primitive, parameters and operands, constants have equal bits, and the same holds
inside regions. This finds random numbers that are drawn while tracing, and counters that are read.
A function that is not traced is run twice, and its results must have equal bits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minimeta.autodiff import tree
from minimeta.autodiff.steps import Program, Step
from minimeta.errors import TracingError
from minimeta.program.program import Traced, attempt

_REMEDY = (
    "Draw random numbers and read what changes outside, and pass them in as arguments; a learner of minimeta.learners "
    "draws in its method draw(rng, task), and a model in draw(rng, inputs)"
)


def impure(name: str, difference: str) -> TracingError:
    """Return the error of a function that did two things when it was traced twice."""
    return TracingError(
        f"compile(check=True): {name} is not pure, since traced twice on the same shapes it did two things: "
        f"{difference}. {_REMEDY}"
    )


def refuse_two_results(
    name: str, one: Any, other: Any, function: Callable[..., Any], arguments: tuple[Any, ...]
) -> None:
    """Raise the error of a function that was run twice on the same values, and returned two trees.

    Parameters
    ----------
    name
        What a user calls the function.
    one, other
        What it returned.
    function, arguments
        Are traced twice to say which line it was, where they can be.
    """
    (leaves, structure), (others, other_structure) = tree.flatten(one), tree.flatten(other)
    if structure == other_structure and all(map(_equal, leaves, others)):
        return
    if difference := _of_traces(function, arguments):
        raise impure(name, difference)
    unequal = [path for path, x, y in zip(tree.paths(one), leaves, others, strict=False) if not _equal(x, y)]
    what = f"leaf {unequal[0]!r} of what it returns differs" if unequal else "it returns trees of two forms"
    raise TracingError(
        f"compile(check=True): {name} is not pure, since run twice on the same values it did two things: {what}. "
        f"{_REMEDY}"
    )


def _of_traces(function: Callable[..., Any], arguments: tuple[Any, ...]) -> str | None:
    try:
        one, other = attempt(function, arguments), attempt(function, arguments)
    except Exception:  # It may need values, and is run for that reason.
        return None
    return first_difference(one, other) if isinstance(one, Traced) and isinstance(other, Traced) else None


def first_difference(one: Traced, other: Traced) -> str | None:
    """Describe where two programs first differ, with the user's line; None if they are equal."""
    if found := _of_steps(one, other):
        return found
    if one.output != other.output:
        return "it returns trees of two forms"
    place = _of_outputs(one, other)
    return None if place is None else f"leaf {place} of what it returns is another value the second time"


def _of_steps(one: Program, other: Program) -> str | None:
    for step, twin in zip(one.steps, other.steps, strict=False):
        said, others = ((each.results, each.params, each.tasks) for each in (step, twin))
        if step.primitive is not twin.primitive or not _equal(said, others):
            return f"{_described(step)}, and then {_described(twin)}"
        if step.body is not None and twin.body is not None:
            if found := _of_steps(step.body, twin.body):
                return found
            if (place := _of_outputs(step.body, twin.body)) is not None:
                return f"result {place} of {_described(step)} is another value the second time"
        for position, (i, j) in enumerate(zip(step.operands, twin.operands, strict=True)):
            if not _equal(_meant(one, i), _meant(other, j)):
                return f"operand {position} of {_described(step)} is another value the second time"
    lengths = [len(program.steps) for program in (one, other)]
    if lengths[0] != lengths[1]:
        longer = max(one, other, key=lambda program: len(program.steps))
        beyond = _described(longer.steps[min(lengths)])
        return f"{lengths[0]} instructions, and then {lengths[1]}; the first that only one has is {beyond}"
    return None


def _of_outputs(one: Program, other: Program) -> int | None:
    """Return the place of the first output that differs."""
    for position, (i, j) in enumerate(zip(one.outputs, other.outputs, strict=True)):
        if not _equal(_meant(one, i), _meant(other, j)):
            return position
    return None


def _described(step: Step) -> str:
    forms = ", ".join(map(repr, step.results))
    return f"{step.primitive.name} of shape {forms}" + (f" at {step.origin.line}" if step.origin.line else "")


def _meant(program: Program, number: int) -> Any:
    """Return what a number stands for: a constant, or the place of an operand or of a result."""
    operands = len(program.operands)
    if operands <= number < program.first:
        return program.constants[number - operands]
    return ("operand", number) if number < operands else ("result", number - program.first)


def _equal(x: Any, y: Any) -> bool:
    """Return whether two parameters are equal: arrays by their bits, functions by their code."""
    if x is y:
        return True
    if type(x) is not type(y):
        return False
    if isinstance(x, (tuple, list)):
        return len(x) == len(y) and all(map(_equal, x, y))
    if isinstance(x, dict):
        return x.keys() == y.keys() and all(_equal(x[key], y[key]) for key in x)
    if isinstance(x, Program):
        return _of_steps(x, y) is None and _of_outputs(x, y) is None
    if isinstance(x, np.ndarray):
        return (x.shape, x.dtype) == (y.shape, y.dtype) and x.tobytes() == y.tobytes()
    if hasattr(x, "__code__"):
        return bool(x.__code__ == y.__code__)
    own_equality: Any = type(x).__eq__
    if own_equality is object.__eq__:
        return True  # An object that nobody can compare; what it computes is compared where it does.
    return bool(x == y)
