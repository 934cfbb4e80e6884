"""strips: row after row through all steps, where each step treats the rows of an array by themselves.

A layer normalisation reads an array of ``N`` rows for the mean of each, reads it again for the
spread, and once more for the result. An array that no cache holds comes from memory three times, and
so does a softmax written in numpy, or the derivative of either. But no row needs another. So the steps
run for a strip of a few rows, all of them, while it is in the second-level cache, and then for the
next: a ``vmap`` over strips (:mod:`minimeta.program.vmap`), which threads share.

    for each strip s:   y[s] = (x[s] - mean(x[s])) / spread(x[s])

A step treats rows by themselves along the leading axes that its operands and its result have in
common, if it is elementwise, or reduces axes behind those. A maximum over windows treats images by
themselves, so what it looks at, a normalised activation, need never be there for all images. A
smaller operand that is broadcast along them is the same for all strips. Groups are found as in
:mod:`minimeta.program.fuse`, which then runs inside of them: a step joins a group if it reads a
value of it and all else that it needs is there when the group runs. A cheap long value that steps
outside need, too, and that they compute as they read it, is computed again there.

Every element is computed by the same kernels in the same order, so no bit changes.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from minimeta.autodiff.array import Form, Shape
from minimeta.autodiff.operations.movement import BROADCAST_TO, RESHAPE
from minimeta.autodiff.steps import Program, Step, Tasks
from minimeta.program.fuse import fuse
from minimeta.program.names import fresh_names, named, numbered, program_of, readers, results_of
from minimeta.program.vmap import VMAP

# In bytes of one value.
_LONG = 2**20  #: a shorter array stays in the second-level cache by itself
_STRIP = 2**15  #: some eight values are alive in a cache of 512 KiB
_LEAST = 2**12  #: the steps of a smaller strip take longer than its elements

_MOST_STEPS = 48

#: The operations that reduce or normalise along their ``axes``, and those that look at windows of images.
_REDUCING = {"sum", "mean", "max", "min", "variance", "norm", "logsumexp", "softmax", "log_softmax"}
_ALONG = _REDUCING | {"max_cell", "pool_take"}


def fuse_in_strips(program: Program) -> Program:
    """Run steps that treat rows by themselves a strip at a time; fuse, inside and outside."""
    return fuse(_Strips(program).cut())


@dataclass
class _Group:
    """Steps to run together, by the numbers of their results, in the order of the program."""

    anchor: int
    shape: Shape
    kept: int = 0  #: how many leading axes, 0 as long as any number will do
    steps: dict[int, Step] = field(default_factory=dict)
    results: list[int] = field(default_factory=list)


class _Strips:
    """The decisions for a program: values have its numbers, steps those of their results."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.constants, self.steps = named(program)
        self.forms = program.forms()
        self.group: dict[int, _Group] = {}  # by result
        self.groups: list[_Group] = []

    def cut(self) -> Program:
        """Return the program with one step for each group."""
        if not any(self._goes_along(step) and self._is_long(step) for step in self.steps.values()):
            return self.program
        for number, step in self.steps.items():
            if len(step.results) == 1 and (self._goes_along(step) or _is_elementwise(step) or _is_view(step)):
                self._join(number, step)
        groups = {group.anchor: group for group in self.groups if self._is_worthwhile(group)}
        return self._written(groups) if groups else self.program

    # What runs together

    def _goes_along(self, step: Step) -> bool:
        return step.primitive.name in _ALONG and bool(_axes(step))

    def _shape(self, step: Step) -> Shape:
        """Return the shape of what a step reduces, or computes."""
        return (self.forms[step.operands[0]] if self._goes_along(step) else step.form).shape

    def _is_long(self, step: Step) -> bool:
        itemsize = max(form.dtype.itemsize for form in (step.form, *(self.forms[i] for i in step.operands)))
        return math.prod(self._shape(step)) * itemsize >= _LONG

    def _join(self, number: int, step: Step) -> None:
        """Put a step into an earlier group, or begin one."""
        fitting = (group for group in reversed(self.groups[-8:]) if self._fits(step, group))
        group = next(fitting, None)
        if group is None:
            group = _Group(number, self._shape(step))
            if _is_view(step) or not self._is_long(step) or not self._fits(step, group):
                return
            self.groups.append(group)
        for i in step.operands:
            self._takes(i, group, group.steps)
        group.steps[number] = step
        group.results.append(number)
        if self._goes_along(step):
            group.kept = group.kept or _axes(step)[0]
        self.group[number] = group

    def _fits(self, step: Step, group: _Group) -> bool:
        """Return whether a step treats the rows of a group by themselves, and may run where the group does."""
        shape, kept = self._shape(step), group.kept
        read = {i for inner in group.steps.values() for i in inner.operands}
        shares = shape == group.shape and not _is_view(step) and not read.isdisjoint(step.operands)
        if group.steps and not shares and not any(self.group.get(i) is group for i in step.operands):
            return False
        if self._goes_along(step):
            axes = _axes(step)
            kept = kept or axes[0]
            if shape != group.shape or axes[0] < kept or kept == 0:
                return False
        elif (kept == 0 and shape != group.shape) or shape[:kept] != group.shape[:kept]:
            return False
        steps = {**group.steps, -1: step}
        if not all(self._takes(i, group, steps) for i in step.operands) or len(steps) > _MOST_STEPS:
            return False
        return kept == 0 or all(self._keeps_rows(each, group, kept) for each in steps.values())

    def _takes(self, i: int, group: _Group, steps: dict[int, Step]) -> bool:
        """Return whether a group may read a value, and add what it computes again for that.

        It computes again what is broadcast, a cheap long value of another group, and a short one
        that is not there yet.
        """
        if i in steps:
            return True
        step = self.steps.get(i)
        is_there = i < group.anchor and self._is_contiguous(i)
        if step is None:
            return is_there or i in self.constants
        is_cheap = _is_elementwise(step) and (
            not self._is_long(step) or (i in self.group and not step.primitive.costly)
        )
        if step.primitive is BROADCAST_TO or (is_cheap and (self._is_long(step) or not is_there)):
            tried = dict(steps)
            if len(tried) < _MOST_STEPS and all(self._takes(j, group, tried) for j in step.operands):
                steps.update(tried)
                steps[i] = step
                return True
        return is_there

    def _is_contiguous(self, i: int) -> bool:
        """Return whether a value needs no copy to be cut."""
        if i in self.constants:
            return 0 not in self.constants[i].strides
        step = self.steps.get(i)
        if step is not None and step.primitive is RESHAPE:
            return self._is_contiguous(step.operands[0])
        return step is None or not step.primitive.view

    def _keeps_rows(self, step: Step, group: _Group, kept: int) -> bool:
        """Return whether a result's leading axes are the operands', or an operand is the same for all rows."""
        rows = group.shape[:kept]
        return step.form.shape[:kept] == rows and all(self._is_cut(i, step, rows) is not None for i in step.operands)

    def _is_cut(self, i: int, step: Step, rows: Shape) -> bool | None:
        """Return whether an operand of a step is cut into strips, the same for all (False), or neither (None)."""
        shape = self.forms[i].shape
        if step.primitive is BROADCAST_TO:
            aligned = (*(1,) * (len(step.form.shape) - len(shape)), *shape)[: len(rows)]
            if all(side == 1 for side in aligned):
                return False
            return True if aligned == rows == shape[: len(rows)] else None
        return True if shape[: len(rows)] == rows else None

    def _is_worthwhile(self, group: _Group) -> bool:
        long = [step for step in group.steps.values() if self._shape(step) == group.shape and not _is_view(step)]
        if group.kept == 0 or len(long) < 2 or not any(map(self._goes_along, long)):
            return False
        return self._strip(group) is not None

    def _strip(self, group: _Group) -> Shape | None:
        itemsize = max(step.form.dtype.itemsize for step in group.steps.values())
        return _strip(group.shape, group.kept, itemsize)

    # The program of groups

    def _written(self, groups: dict[int, _Group]) -> Program:
        wanted, again = self._wanted(groups)
        fresh = fresh_names(self.program)
        steps: dict[int, Step] = {}
        members = {i for group in groups.values() for i in group.results}
        for number, step in self.steps.items():
            if number in groups:
                results = [i for i in groups[number].results if i in wanted]
                steps.update(self._step(groups[number], results, fresh) if results else {})
            if number not in members or number in again:
                steps[number] = step
        return numbered(self.program, self.constants, _needed(steps, self.program.outputs))

    def _wanted(self, groups: dict[int, _Group]) -> tuple[set[int], set[int]]:
        """Return which values of groups others need as arrays, and which they compute again."""
        inside = {i: group for group in groups.values() for i in group.results}
        reading = readers(self.steps)
        wanted, again = set(self.program.outputs) & inside.keys(), set[int]()
        for group in groups.values():  # whatever a group takes from another is an array
            for step in group.steps.values():
                wanted.update(j for j in step.operands if j in inside and j not in group.steps)

        def is_outside(number: int, i: int) -> bool:
            return number in again or number not in inside or i not in inside[number].steps

        for i in sorted(inside.keys() - wanted, reverse=True):
            step = self.steps[i]
            others = [self.steps[number] for number in reading.get(i, ()) if is_outside(number, i)]
            cheap = _is_elementwise(step) and not step.primitive.costly and self._is_long(step)
            at_once = all(_is_elementwise(other) or _is_leading_sum(other) for other in others)
            if others:
                (again if _is_view(step) or (cheap and at_once) else wanted).add(i)
        return wanted, again

    def _step(self, group: _Group, results: list[int], fresh: Iterable[int]) -> dict[int, Step]:
        """Return the step of a group by its name, between its operands cut into strips and its results put together."""
        names = iter(fresh)
        rows, origin = group.shape[: group.kept], self.steps[group.anchor].origin
        strip = self._strip(group)
        assert strip is not None
        count = math.prod(rows) // math.prod(strip)

        def inside(form: Form) -> Form:
            return Form((*strip, *form.shape[len(rows) :]), form.dtype)

        def cut(form: Form) -> Form:
            return Form((count, *inside(form).shape), form.dtype)

        own = _needed(dict(sorted(group.steps.items())), results)
        mapped: dict[int, bool] = {}
        constants = {}
        for step in own.values():
            for i in step.operands:
                if i in own:
                    continue
                is_cut = bool(self._is_cut(i, step, rows))
                if i in self.constants and is_cut and not any(self.constants[i].strides[: len(rows)]):
                    constants[i] = self.constants[i][tuple(slice(side) for side in strip)]
                else:
                    mapped[i] = is_cut
        steps = {}
        operands = []
        for i, is_cut in mapped.items():
            name = next(names) if is_cut else i
            operands.append(name)
            if is_cut:
                steps[name] = Step(RESHAPE, (i,), {"shape": cut(self.forms[i]).shape}, (cut(self.forms[i]),), origin)
        body = program_of(
            {i: inside(self.forms[i]) if is_cut else self.forms[i] for i, is_cut in mapped.items()},
            constants,
            {i: _inside(step, inside(step.form)) for i, step in own.items()},
            results,
        )
        tasks = Tasks(count, tuple(mapped.values()), (False,) * len(results))
        taken = list(itertools.islice(names, len(results)))
        forms = tuple(cut(self.forms[i]) for i in results)
        steps[taken[0]] = Step(VMAP, tuple(operands), {}, forms, origin, fuse(body), tasks)
        for i, name in zip(results, taken, strict=True):
            steps[i] = Step(RESHAPE, (name,), {"shape": self.forms[i].shape}, (self.forms[i],), self.steps[i].origin)
        return steps


def _axes(step: Step) -> Sequence[int]:
    """Return along which axes a step reduces or normalises; those of windows are an image's."""
    axes: Sequence[int] = step.params.get("axes", (1, 2))
    return axes


def _is_elementwise(step: Step) -> bool:
    return step.primitive.elementwise and step.primitive.native


def _is_view(step: Step) -> bool:
    return step.primitive in (BROADCAST_TO, RESHAPE)


def _is_leading_sum(step: Step) -> bool:
    return step.primitive.name in ("sum", "mean") and step.params["axes"][:1] == (0,)


def _inside(step: Step, form: Form) -> Step:
    """Return a step as it runs on a strip."""
    params = {**step.params, "shape": form.shape} if _is_view(step) else step.params
    return step._replace(params=params, results=(form,))


def _strip(shape: Shape, kept: int, itemsize: int) -> Shape | None:
    """Return the leading sides of a strip: ones, a divisor of a side, and whole sides; None where it would be short."""
    row = math.prod(shape[kept:]) * itemsize
    room = max(1, _STRIP // max(row, 1))
    strip: list[int] = []
    for side in reversed(shape[:kept]):
        most = max(divisor for divisor in range(1, min(side, room) + 1) if side % divisor == 0) if side else 1
        strip.insert(0, most)
        room = room // most if most == side else 1
    return tuple(strip) if row * math.prod(strip) >= _LEAST else None


def _needed(steps: dict[int, Step], outputs: Iterable[int]) -> dict[int, Step]:
    """Return the steps without those that nobody needs any more."""
    needed = set(outputs)
    kept: dict[int, Step] = {}
    for number, step in reversed(steps.items()):
        if not needed.isdisjoint(results_of(number, step)):
            kept[number] = step
            needed.update(step.operands)
    return dict(reversed(kept.items()))
