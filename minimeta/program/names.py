"""Names and numbers: a pass calls values by the numbers they had before it; in the end they are numbered anew."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping
from typing import Any

from minimeta.autodiff.steps import Program, Step


def named(program: Program) -> tuple[dict[int, Any], dict[int, Step]]:
    """Return constants by their numbers, and steps by those of their first results."""
    return dict(enumerate(program.constants, len(program.operands))), dict(program.numbered_steps())


def fresh_names(program: Program) -> Iterator[int]:
    """Yield names that no value of a program has."""
    return itertools.count(len(program.forms()))


def numbered(
    program: Program, constants: Mapping[int, Any], steps: Mapping[int, Step], same: Mapping[int, int] | None = None
) -> Program:
    """Return the program of these constants and steps; itself if they are those it has.

    Parameters
    ----------
    program
        Says the operands and, by name, the outputs.
    constants, steps
        By name. The results of a step have its name and those that follow it.
    same
        Names of values that are to be others.
    """
    if list(map(id, (*constants.values(), *steps.values()))) == list(map(id, (*program.constants, *program.steps))):
        return program
    results = itertools.chain.from_iterable(itertools.starmap(results_of, steps.items()))
    number = {name: i for i, name in enumerate((*range(len(program.operands)), *constants, *results))}
    number.update({name: number[other] for name, other in (same or {}).items()})
    return dataclasses.replace(
        program,
        constants=tuple(constants.values()),
        steps=tuple(renamed(step, number) for step in steps.values()),
        outputs=tuple(number[name] for name in program.outputs),
    )


def results_of(name: int, step: Step) -> range:
    """Return the names of a step's results, given the first."""
    return range(name, name + len(step.results))


def renamed(step: Step, names: Mapping[int, int]) -> Step:
    """Return the step with operands of other names; itself if none has one."""
    operands = tuple([names.get(i, i) for i in step.operands])
    return step if operands == step.operands else step._replace(operands=operands)
