"""From a program to the statements of a function: one walk, for every language.

The walk gives each value a view (:mod:`minimeta.program.printing.nests`). Elementwise steps that
belong together are one loop, whose values in between are variables; other steps write the loops of
their row. The body of a ``vmap`` is a loop over its tasks, with sums in the order of
:func:`minimeta.autodiff.steps.sum_in_order`.

Memory is known beforehand. A value lies in an array from its step to its last reader, and then the
array is free for another value of its dtype: the arrays are as many as the program needs at once.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from minimeta.autodiff.array import Form
from minimeta.autodiff.operations.joining import SPLIT
from minimeta.autodiff.regions import CUSTOM_VJP, REMATERIALIZE
from minimeta.autodiff.steps import Program, Step, group_bounds
from minimeta.errors import TracingError
from minimeta.program.fuse import FUSED
from minimeta.program.listing import Literal, heading_of
from minimeta.program.names import alone, opened, results_of
from minimeta.program.passes import eliminate, everywhere, optimise
from minimeta.program.place import GROUPS
from minimeta.program.printing.elementwise import ROWS
from minimeta.program.printing.languages import Language
from minimeta.program.printing.loops import LOOPS, VIEWS
from minimeta.program.printing.nests import Number, Text, View, merged

_OPENED = (*(group for group in GROUPS if group is not FUSED), REMATERIALIZE, CUSTOM_VJP, SPLIT)


@dataclass
class _Memory:
    """An array, and whether a value lies in it."""

    name: str
    dtype: np.dtype[Any]
    size: int
    used: bool = True


class Printer:
    """Writes a program in a language.

    Attributes
    ----------
    language, text
        The language, and the statements so far.
    step
        The number of the step that is being written, from 1.
    tables
        Declarations of constants.
    """

    def __init__(self, language: Language, tool: str) -> None:
        self.language = language
        self.text = Text(language.integer)
        self.tool = tool
        self.step = 0
        self.tables: list[str] = []
        self._memory: list[_Memory] = []
        self._owned: list[list[str]] = [[]]
        self._heading = ""

    @property
    def arrays(self) -> list[str]:
        """The declarations of the arrays that values lie in."""
        return [self.language.array(m.dtype, m.name, m.size) for m in self._memory]

    def whole(self, program: Program, operands: Sequence[View], outputs: Sequence[View]) -> None:
        """Write a program that reads these arrays and leaves its results in those."""
        program = everywhere(lambda p: opened(p, _OPENED), optimise(program))
        program = everywhere(eliminate, program)  # Of a group, the results that it alone reads.
        found = self._walk(program, operands, dict(zip(program.outputs, outputs, strict=True)))
        for x, y in zip(found, outputs, strict=True):
            if x != y:
                self.copy(x, y)

    # What loops ask for

    def scratch(self, dtype: Any, shape: Sequence[int]) -> View:
        """Return an array of its own, until the step ends."""
        view = View.whole("", dtype, tuple(shape))
        size = max(view.size, 1)
        free = [m for m in self._memory if not m.used and m.dtype == view.dtype]
        fitting = [m for m in free if m.size >= size]
        memory = min(fitting, key=lambda m: m.size) if fitting else max(free, key=lambda m: m.size, default=None)
        if memory is None:
            memory = _Memory(f"m{len(self._memory)}", view.dtype, size)
            self._memory.append(memory)
        memory.used, memory.size = True, max(memory.size, size)
        self._owned[-1].append(memory.name)
        return replace(view, name=memory.name)

    def stored(self, x: View) -> View:
        """Return a view of an array, for a number a table that holds it."""
        if not isinstance(x, Number):
            return x
        return View(self._table(np.array([x.value])), x.dtype, x.shape, (0,) * len(x.shape))

    def assign(self, y: View, at: Sequence[str], expression: str) -> None:
        """Write an assignment to an element."""
        self.text.line(f"{y.at(at)} = {expression};")

    def fill(self, y: View, number: str = "0") -> None:
        """Set every element to a number."""
        if y.size:
            (y,) = merged([y])
            with self.text.nest(y.shape) as at:
                self.assign(y, at, number)

    def copy(self, x: View, y: View) -> None:
        """Copy elements, converted to the dtype of where they go."""
        if y.size:
            x, y = merged([x, y])
            with self.text.nest(y.shape) as at:
                value = x.at(at)
                self.assign(y, at, value if x.dtype == y.dtype else self.language.converted(value, x.dtype, y.dtype))

    def copied(self, x: View) -> View:
        """Return a copy in rows."""
        y = self.scratch(x.dtype, x.shape)
        self.copy(x, y)
        return y

    # The walk

    def _walk(self, program: Program, operands: Sequence[View], wanted: Mapping[int, View]) -> list[View]:
        """Write the steps; return views of the outputs. A wanted value is computed where it is to be."""
        values: dict[int, View] = dict(enumerate(operands))
        for number, value in enumerate(program.constants, len(operands)):
            values[number] = self._constant(value)
        last = {i: len(program.steps) for i in program.outputs}
        for place, step in reversed(list(enumerate(program.steps))):
            for i in step.operands:
                last.setdefault(i, place)
        for place, (number, step) in enumerate(program.numbered_steps()):
            self.step += 1
            self._owned.append([])
            if (heading := heading_of(step)) and heading != self._heading:
                self._heading = heading
                self.text.line(f"// {heading}".replace("\\", "/"))
            targets = [wanted.get(i) for i in results_of(number, step)]
            if step.primitive.name not in VIEWS:
                targets = [
                    target or self.scratch(form.dtype, form.shape)
                    for target, form in zip(targets, step.results, strict=True)
                ]
            inputs = [values[i] for i in step.operands]
            values.update(zip(results_of(number, step), self._written(step, inputs, targets), strict=True))
            used = self._owned.pop()
            self._owned[-1] += used
            self._release({values[i].name for i in values if last.get(i, -1) > place})
        return [values[i] for i in program.outputs]

    def _release(self, needed: set[str]) -> None:
        """Free the arrays of this walk that no value needs any more."""
        for memory in self._memory:
            if memory.name in self._owned[-1] and memory.name not in needed:
                memory.used = False
                self._owned[-1].remove(memory.name)

    def _written(self, step: Step, operands: Sequence[View], targets: Sequence[Any]) -> Sequence[View]:
        """Write one step; return views of its results."""
        name = step.primitive.name
        if step.primitive is FUSED:
            assert step.body is not None
            return self._group(step.body, operands, targets)
        if step.tasks is not None:
            return self._tasks(step, operands, targets)
        if step.primitive.elementwise:
            return self._group(alone(step, map(Form.of, operands)), operands, targets)
        if name in VIEWS:
            return [VIEWS[name](self, step, *operands, **step.params)]
        if name not in LOOPS:
            where = f" (at {step.origin.line})" if step.origin.line else ""
            raise TracingError(
                f"{self.tool}: there is no row for {name}{where}, which stays in Python. Leave it outside of the "
                "function, and pass its result in"
            )
        LOOPS[name](self, step, *targets, *operands, **step.params)
        return targets

    def _constant(self, value: Any) -> View:
        literal = Literal.of(value)
        if literal is not None:
            one = value.flat[0]
            return Number(self.language.number(one), value.dtype, value.shape, (0,) * value.ndim, value=one)
        return View.whole(self._table(value), value.dtype, value.shape)

    def _table(self, value: Any) -> str:
        """Declare an array of constants, and return its name."""
        name = f"c{len(self.tables)}"
        self.tables.append(self.language.table(name, value))
        return name

    # Elementwise steps

    def _group(self, body: Program, operands: Sequence[View], targets: Sequence[View]) -> list[View]:
        """Write a loop for each run of steps of one shape; sums follow."""
        views: dict[int, View] = dict(enumerate(operands))
        targeted = dict(zip(body.outputs, targets, strict=True))
        steps = list(body.numbered_steps())
        readers = {i: number for number, step in steps for i in step.operands}  # the last one
        forms = body.forms()
        kinds = itertools.groupby(steps, lambda entry: (entry[1].primitive.elementwise, entry[1].form.shape))
        runs = [list(run) for _, run in kinds]
        for run in runs:
            inside = {number for number, _ in run}
            if not run[0][1].primitive.elementwise:
                for number, step in run:
                    form = step.form
                    views[number] = targeted[number] if number in targeted else self.scratch(form.dtype, form.shape)
                    inputs = [views[i] for i in step.operands]
                    LOOPS[step.primitive.name](self, step, views[number], *inputs, **step.params)
                continue
            for number in inside:
                if number in targeted:
                    views[number] = targeted[number]
                elif readers.get(number, -1) not in inside:
                    views[number] = self.scratch(forms[number].dtype, forms[number].shape)
            self._loop(run, views)
        return [views[i] for i in body.outputs]

    def _loop(self, run: Sequence[tuple[int, Step]], views: Mapping[int, View]) -> None:
        """Write one loop for elementwise steps of one shape."""
        read = [i for _, step in run for i in step.operands if i in views]
        used = list(dict.fromkeys([*read, *(number for number, _ in run if number in views)]))
        shape = run[0][1].form.shape
        if 0 in shape:
            return
        small = dict(zip(used, merged([views[i] for i in used]), strict=True)) if used else {}
        inner = next(iter(small.values())).shape
        names: dict[int, str] = {}
        with self.text.nest(inner) as at:
            for number, step in run:
                parts = [names[i] if i in names else small[i].at(at) for i in step.operands]
                expression = self._expression(step, parts, views, dict(run))
                if len(run) == 1:
                    self.assign(small[number], at, expression)
                    continue
                names[number] = self.text.name("t")
                self.text.line(self.language.variable(step.form.dtype, names[number], expression))
                if number in small:
                    self.assign(small[number], at, names[number])

    def _expression(self, step: Step, parts: Sequence[str], views: Mapping[int, View], run: Mapping[int, Step]) -> str:
        last = step.operands[-1]
        dtype = views[last].dtype if last in views else run[last].form.dtype
        row = ROWS[dtype.kind].get(step.primitive.name)
        if row is None:
            where = f" (at {step.origin.line})" if step.origin.line else ""
            raise TracingError(
                f"{self.tool}: there is no row for {step.primitive.name} of {dtype.name}{where}; compute it in Python"
            )
        text = self.language.translated(row.text(self.language.key), dtype)
        return text.format(**dict(zip("xyz", parts, strict=False)))

    # The tasks of a vmap

    def _tasks(self, step: Step, operands: Sequence[View], targets: Sequence[View]) -> Sequence[View]:
        body, tasks, text = step.body, step.tasks, self.text
        assert body is not None and tasks is not None
        if tasks.count == 0:
            for y in itertools.compress(targets, tasks.summed):
                self.fill(y)
            return targets
        bounds = group_bounds(tasks.count)
        grouped = tasks.count > len(bounds) - 1 and any(tasks.summed)
        sums = [
            self.scratch(y.dtype, y.shape) if grouped and is_sum else y
            for y, is_sum in zip(targets, tasks.summed, strict=True)
        ]

        def one(task: str, first: str) -> None:
            parts = [x.task(task) if each else x for x, each in zip(operands, tasks.mapped, strict=True)]
            wanted = {
                i: y.task(task) for i, y, is_sum in zip(body.outputs, targets, tasks.summed, strict=True) if not is_sum
            }
            self._owned.append([])
            found = self._walk(body, parts, wanted)
            for x, y, total, is_sum in zip(found, targets, sums, tasks.summed, strict=True):
                if not is_sum:
                    if x != y.task(task):
                        self.copy(x, y.task(task))
                else:
                    self._add(x, total, f"{task} == {first}")
            self._release(set())
            self._owned.pop()

        if not grouped:
            with text.loop(tasks.count) as task:
                one(task, "0")
            return targets
        table = self._table(np.array(bounds, np.int32))
        with text.loop(len(bounds) - 1) as group:
            with text.loop(f"{table}[{group} + 1]", f"{table}[{group}]") as task:
                one(task, f"{table}[{group}]")
            for total, y in itertools.compress(zip(sums, targets, strict=True), tasks.summed):
                self._add(total, y, f"{group} == 0")
        return targets

    def _add(self, x: View, total: View, is_first: str) -> None:
        """Write the sum of a total and what is added to it; the first begins it."""
        if x.size:
            x, total = merged([x, total])
            with self.text.nest(x.shape) as at:
                self.assign(total, at, f"{is_first} ? {x.at(at)} : {total.at(at)} + {x.at(at)}")
