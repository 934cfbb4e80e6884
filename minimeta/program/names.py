"""Names and numbers: a pass calls values by the numbers they had before it; in the end they are numbered anew."""

from __future__ import annotations

from typing import Any

from minimeta.autodiff.graph import Step, StraightLine


def named(line: StraightLine) -> tuple[dict[int, Any], dict[int, Step]]:
    """Constants and steps by their numbers."""
    first = len(line.operands)
    constants = dict(enumerate(line.constants, first))
    return constants, dict(enumerate(line.steps, first + len(constants)))


def numbered(
    line: StraightLine, constants: dict[int, Any], steps: dict[int, Step], same: dict[int, int] | None = None
) -> StraightLine:
    """The line of these constants and steps; itself if they are those it has."""
    if list(map(id, (*constants.values(), *steps.values()))) == list(map(id, (*line.constants, *line.steps))):
        return line
    place = {name: number for number, name in enumerate((*range(len(line.operands)), *constants, *steps))}
    place.update({name: place[other] for name, other in (same or {}).items()})
    return StraightLine(
        line.operands,
        tuple(constants.values()),
        tuple(renamed(step, place) for step in steps.values()),
        tuple(place[name] for name in line.outputs),
    )


def renamed(step: Step, names: dict[int, int]) -> Step:
    """The step with operands of other names; itself if none has one."""
    operands = tuple([names.get(i, i) for i in step.operands])
    return step if operands == step.operands else step._replace(operands=operands)


def is_region(step: Step) -> bool:
    """Whether a step runs a line of its own."""
    return "line" in step.params
