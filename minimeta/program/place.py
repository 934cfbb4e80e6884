"""place: the parts of a concatenate, written where they belong.

A concatenate copies its parts into one array. Where they lie there one after another, the kernel of
a part may as well write to its place in the whole, and nothing is left to do:

    y_1 = f(x);  y_2 = g(x);  y = concatenate(y_1, y_2, z)
    y_1 = f(x);  y_2 = g(x);  c = copy(z);  y = concatenate_in_place(y_1, y_2, c)

A part can be written there if a kernel writes it to memory of its own, and if it is no part of
another array yet. Views, operands and constants are copied, and a concatenate that would be mostly
such copies stays as it is.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from minimeta.autodiff.array import Form
from minimeta.autodiff.graph import ALIAS
from minimeta.autodiff.operations.conversions import COPY, STOP_GRADIENT
from minimeta.autodiff.operations.joining import CONCATENATE
from minimeta.autodiff.operations.movement import RESHAPE
from minimeta.autodiff.regions import region, rematerialize_rule
from minimeta.autodiff.steps import Program, Step
from minimeta.program.finish import FINISHED_PRODUCT
from minimeta.program.finished_convolutions import FINISHED_CONVOLUTION
from minimeta.program.fuse import FUSED
from minimeta.program.fused_products import FUSED_PRODUCTS
from minimeta.program.names import alone, fresh_names, named, numbered
from minimeta.program.pool import MAX_CELL_AND_TAKE

#: A concatenate without a kernel: its operands are results of other kernels, which write to their
#: part of it.
CONCATENATE_IN_PLACE = region("concatenate_in_place", rematerialize_rule)

#: Steps with a body that one kernel runs; an executor opens the others into their steps.
GROUPS = (MAX_CELL_AND_TAKE, FINISHED_PRODUCT, FINISHED_CONVOLUTION, FUSED, FUSED_PRODUCTS, CONCATENATE_IN_PLACE)

#: Where a value is computed: its number and, inside of a body, the number of the value there.
Path = tuple[int, ...]


def place(program: Program) -> Program:
    """Let the parts of a concatenate be written in place, where most of its elements can be."""
    if not any(step.primitive is CONCATENATE for step in program.steps):
        return program
    constants, steps = named(program)
    forms, fresh = program.forms(), fresh_names(program)
    owners = _Owners()
    placed = set(owners.placed(program))
    kept: dict[int, Step] = {}
    for name, step in steps.items():
        parts = _parts(owners, program, step, forms, placed) if step.primitive is CONCATENATE else []
        if not any(parts):
            kept[name] = step
            continue
        placed.update(filter(None, parts))
        operands = list(step.operands)
        for position, part in enumerate(parts):
            if part is None:
                copied, operands[position] = operands[position], next(fresh)
                kept[operands[position]] = Step(COPY, (copied,), {}, (forms[copied],), step.origin)
        body = alone(step, (forms[i] for i in step.operands))
        kept[name] = Step(CONCATENATE_IN_PLACE, tuple(operands), {}, step.results, step.origin, body)
    return numbered(program, constants, kept)


def _parts(
    owners: _Owners, program: Program, step: Step, forms: Sequence[Form], placed: set[Path]
) -> list[Path | None]:
    """Return where the parts of a concatenate are computed (None: copy it), or nothing to leave it
    as it is.
    """
    parts: list[Path | None] = []
    if math.prod(step.form.shape[: step.params["axis"]]) == 1:  # They lie one after another.
        for i in step.operands:
            path = owners.owner(program, i)
            parts.append(None if path in placed or path in parts else path)
    written = sum(forms[i].size for i, part in zip(step.operands, parts, strict=False) if part)
    return parts if 0 < step.form.size <= 2 * written else []


def _is_open(step: Step) -> bool:
    """Return whether the steps of a body run one by one in place of the step."""
    return step.body is not None and step.tasks is None and step.primitive not in GROUPS


class _Owners:
    """Who writes the values of a program, and of the bodies inside of it."""

    def __init__(self) -> None:
        self._writers: dict[int, dict[int, tuple[int, Step]]] = {}  # by the identity of a program

    def owner(self, program: Program, number: int) -> Path | None:
        """Return the value that a kernel writes to its own memory, or None if there is none."""
        found = self._writers_of(program).get(number)
        if found is None:
            return None
        first, step = found
        if step.primitive in (ALIAS, STOP_GRADIENT, RESHAPE):  # What a kernel wrote lies there in any shape.
            return self.owner(program, step.operands[0])
        if step.body is None or not _is_open(step):
            return None if step.primitive.view else (number,)
        inside = self.owner(step.body, step.body.outputs[number - first])
        return None if inside is None else (first, *inside)

    def placed(self, program: Program) -> Iterator[Path]:
        """Yield what is part of another array already, inside of the bodies of steps."""
        for number, step in program.numbered_steps():
            if step.primitive is CONCATENATE_IN_PLACE:
                yield from filter(None, (self.owner(program, i) for i in step.operands))
            elif step.body is not None and _is_open(step):
                yield from ((number, *path) for path in self.placed(step.body))

    def _writers_of(self, program: Program) -> dict[int, tuple[int, Step]]:
        """Return the step of each result, with the number of the step's first result."""
        if id(program) not in self._writers:
            self._writers[id(program)] = {
                number: (first, step)
                for first, step in program.numbered_steps()
                for number in range(first, first + len(step.results))
            }
        return self._writers[id(program)]
