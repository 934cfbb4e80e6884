"""Names: a pass knows values by the numbers they had before it, and numbers them at its end."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from numpy.typing import NDArray

from minimeta.autodiff.array import Form
from minimeta.autodiff.exact import exact_type
from minimeta.autodiff.primitive import Primitive
from minimeta.autodiff.steps import Program, Step

P = TypeVar("P", bound=Program)


def named(program: Program) -> tuple[dict[int, Any], dict[int, Step]]:
    """Return constants by their numbers, and steps by those of their first results."""
    return dict(enumerate(program.constants, len(program.operands))), dict(program.numbered_steps())


def fresh_names(program: Program) -> Iterator[int]:
    """Yield names that no value of a program has."""
    return itertools.count(len(program.forms()))


def numbered(
    program: P, constants: Mapping[int, Any], steps: Mapping[int, Step], same: Mapping[int, int] | None = None
) -> P:
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
    number = _numbers((*range(len(program.operands)), *constants), steps)
    number.update({name: number[other] for name, other in (same or {}).items()})
    return dataclasses.replace(
        program,
        constants=tuple(constants.values()),
        steps=tuple(_renumbered(step, number) for step in steps.values()),
        outputs=tuple(number[name] for name in program.outputs),
    )


def opened(program: P, primitives: Collection[Primitive]) -> P:
    """Replace each step of these primitives by the steps of its body."""
    if not any(step.primitive in primitives for step in program.steps):
        return program
    constants, steps = named(program)
    fresh = fresh_names(program)
    same: dict[int, int] = {}
    kept: dict[int, Step] = {}
    for name, former in steps.items():
        step = renamed(former, same)
        if step.primitive in primitives and step.body is not None:
            inner_constants, inner_steps = named(step.body)
            names = [*step.operands, *itertools.islice(fresh, len(step.body.forms()) - len(step.operands))]
            constants.update({names[i]: value for i, value in inner_constants.items()})
            kept.update({names[i]: renamed(inner, dict(enumerate(names))) for i, inner in inner_steps.items()})
            same.update({name + place: names[i] for place, i in enumerate(step.body.outputs)})
        else:
            kept[name] = step
    return numbered(program, constants, kept, same)


def program_of(
    operands: Mapping[int, Form], constants: Mapping[int, Any], steps: Mapping[int, Step], outputs: Iterable[int]
) -> Program:
    """Return a program of its own, of operands, constants, steps and outputs by name."""
    number = _numbers((*operands, *constants), steps)
    renumbered = tuple(_renumbered(step, number) for step in steps.values())
    return Program(
        tuple(operands.values()), tuple(constants.values()), renumbered, tuple(number[name] for name in outputs)
    )


def alone(step: Step, operands: Iterable[Form]) -> Program:
    """Return the program of one step, of operands of these forms."""
    forms = tuple(operands)
    step = step._replace(operands=tuple(range(len(forms))))
    return Program(forms, (), (step,), tuple(results_of(len(forms), step)))


def _numbers(first: Sequence[int], steps: Mapping[int, Step]) -> dict[int, int]:
    """Return the numbers that values of these names get, in order."""
    names = [*first]
    for name, step in steps.items():
        names += results_of(name, step)
    return dict(zip(names, range(len(names)), strict=True))


def _renumbered(step: Step, number: Mapping[int, int]) -> Step:
    """Return the step with the numbers of its operands; a name that no value has is a KeyError, never another value."""
    operands = tuple(map(number.__getitem__, step.operands))
    return step if operands == step.operands else _reading(step, operands)


def _reading(step: Step, operands: tuple[int, ...]) -> Step:
    """Return the step with other operands; a named tuple's own constructor takes longer."""
    return tuple.__new__(Step, (step[0], operands, *step[2:]))


def constant_key(value: NDArray[Any]) -> Hashable:
    """Return what equal constants have in common."""
    elements = elements_of(value)
    return value.dtype, value.shape, elements.shape, elements.tobytes()


def step_key(step: Step) -> tuple[Any, ...]:
    """Return what equal steps without bodies have in common, the user's line excepted."""
    values = tuple(step.params.values())
    return step.primitive, step.operands, *step.params, values, exact_type(values) if values else None


def program_key(program: Program) -> Hashable:
    """Return what programs have in common that are equal and were traced for the same lines."""
    steps = [
        (step_key(step), step.results, step.origin, step.tasks, step.body and program_key(step.body))
        for step in program.steps
    ]
    return program.operands, tuple(map(constant_key, program.constants)), tuple(steps), program.outputs


def elements_of(constant: NDArray[Any]) -> NDArray[Any]:
    """Return the elements of a constant, those repeated by broadcasting once."""
    return constant[tuple([slice(None) if stride else slice(1) for stride in constant.strides])]


def results_of(name: int, step: Step) -> range:
    """Return the names of a step's results, given the first."""
    return range(name, name + len(step.results))


def readers(steps: Mapping[int, Step]) -> dict[int, list[int]]:
    """Return the names of the steps that read a value, by its name."""
    found: dict[int, list[int]] = {}
    for name, step in steps.items():
        for i in set(step.operands):
            found.setdefault(i, []).append(name)
    return found


def renamed(step: Step, names: Mapping[int, int]) -> Step:
    """Return the step with operands of other names; itself if none has one."""
    if names.keys().isdisjoint(step.operands):
        return step
    operands = tuple(map(names.get, step.operands, step.operands))
    return step if operands == step.operands else _reading(step, operands)
