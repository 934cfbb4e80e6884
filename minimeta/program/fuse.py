"""fuse: elementwise instructions, run together a block at a time.

One after another, instructions read and write long arrays whole. Run together, a block of some
hundred elements goes through all of them while it is next to the processor, and only what others
need is written (``csrc/fused.hpp``). What there is to decide is what to write. A value that several
others need may be *stored*, and read by each of them, or *computed again* by each from the long
arrays that it was computed from, its sources. With

    |sources of v that its reader does not read anyway| <= 2

computing again moves no more memory than storing, and arithmetic on a block in cache is nearly
free: a normalised activation is one multiplication away from what was normalised. So such a value
is not stored, unless somebody needs it as an array, or it took a function that is worth keeping (an
exponential, a division). A long one that is needed as an array (an activation that is pooled) is
still not read by a group that reads its sources anyway: to compute it again costs less than to have
it from far away, and to keep it until then. That is true of a long exponential, too. And what is left
with one reader is computed there, and not stored at all.

Stored values, and sums over leading axes of values that are not, are the results of *groups*. A
result joins an earlier group if they share a source and if all that it needs is there when that
group runs; it is then read once for both. Where all are so short that each is one block, they need
not share anything, nor be of one shape: an instruction takes longer than their elements do, and one
that updates six small arrays is done sooner than six.

What a pooling puts into images that no cache holds counts as elementwise, too, where
:mod:`minimeta.program.fused` makes it so: each element is found from two arrays a quarter as long
or less, which count as none. It is the longest value of a backward pass, and lies in no memory.

Elements are computed by the same functions and sums are taken in the same order, so no bit changes.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections import Counter
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, field

from minimeta.autodiff.array import NOWHERE, Shape, is_float
from minimeta.autodiff.operations.linear_algebra import MATMUL
from minimeta.autodiff.operations.movement import BROADCAST_TO
from minimeta.autodiff.operations.reductions import MEAN, SUM
from minimeta.autodiff.regions import region, rematerialize_rule
from minimeta.autodiff.steps import Program, Step
from minimeta.kernels import native
from minimeta.program.fused import fills
from minimeta.program.names import named, numbered, program_of, readers, renamed, results_of
from minimeta.program.split import is_wide

# The limits of the kernel, from csrc/fused.hpp, which says where they come from: the elements of a
# block, the outputs of a sum, the values of a group. Without kernels a group runs step by step, and
# any limits will do.
_BLOCK, _WIDEST, _MOST_VALUES = (
    (native.FUSED_BLOCK, native.FUSED_WIDTH, native.FUSED_VALUES) if native else (2048, 256, 128)
)

# The limits of a group. They keep its buffers (2 KiB for a block of so many float32 values) in a
# first-level cache of 32 KiB: of 32 values seldom more than 12 are alive at a time.
_MOST_OPERATIONS, _MOST_RESULTS = 32, 12
_MOST_OPERANDS = min(24, _MOST_VALUES - _MOST_OPERATIONS)

# When to compute a value again, in place of storing it. `python benchmarks/fusion_limits.py` times
# meta-steps with each of these halved and doubled.
_CHEAP = 12  #: operations, each about as long as moving an element within the first-level cache
_MOST_SOURCES = 4  #: long arrays that one group reads for a value
_FAR = 2**18  #: elements: 1 MiB of float32, which has left the second-level cache when it is read again

# To find what is put into images again takes longer than to read it from a cache, and not as long as
# to write it to memory: from 16 MiB on, where no cache holds them.
_LONG_IMAGES = 2**24

# A sum of more than a block is worth sharing in chunks of 1024 terms only from so many elements on.
_LONG_SUM = 4096

#: A group: elementwise steps, then sums over leading axes; its results are some of the former and
#: all of the latter.
FUSED = region("fused", rematerialize_rule)


def fuse(program: Program) -> Program:
    """Run elementwise steps of one shape, or all short, with sums over their leading axes."""
    return _Grouping(_numbers_first(program)).fused()


def _numbers_first(program: Program) -> Program:
    """Compute numbers that need no array before all else, so that any group can read them.

    The step sizes of an optimiser are then there before the moments that they scale, and one group
    takes both in one passage.
    """
    constants, steps = named(program)
    numbers = {i for i, form in enumerate(program.forms()[: program.first]) if form.size == 1}
    first: dict[int, Step] = {}
    for name, step in steps.items():
        is_known = numbers.issuperset(step.operands) and step.body is None and step.primitive.native
        if is_known and [form.size for form in step.results] == [1]:
            first[name] = step
            numbers.add(name)
    return numbered(program, constants, {**first, **steps})


@dataclass
class _Group:
    """Steps to run together, by their numbers.

    Attributes
    ----------
    anchor
        The first result, where the group stands.
    results, steps, operands
        What it gives, computes and reads.
    again
        Stored values that it computes for itself.
    shapes, axes
        Of the elements that results are computed from; how many axes its sums take.
    are_short
        Whether each result is one block by itself.
    """

    anchor: int
    results: dict[int, None] = field(default_factory=dict)
    steps: set[int] = field(default_factory=set)
    operands: set[int] = field(default_factory=set)
    again: set[int] = field(default_factory=set)
    shapes: set[Shape] = field(default_factory=set)
    axes: set[int] = field(default_factory=set)
    are_short: bool = True


class _Grouping:
    """The decisions for a program: values have its numbers, steps those of their first results."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.steps = dict(program.numbered_steps())
        self.forms = program.forms()
        self.elementwise = {i for i, step in self.steps.items() if step.primitive.elementwise and step.primitive.native}
        self.puts = {i for i, step in self.steps.items() if fills(step) and step.form.nbytes >= _LONG_IMAGES}
        self.elementwise |= self.puts
        self.outputs = set(program.outputs)
        self.readers = readers(self.steps)
        self.sums: set[int] = {number for number, step in self.steps.items() if self._is_sum(step)}
        self.needed = self.elementwise & self._needed()
        self.stored = set(self.needed)
        self.wide = {i for i, step in self.steps.items() if step.primitive is MATMUL and is_wide(step, self.forms)}
        self.repeated = set(self._repeated())
        self.sources: dict[int, set[int]] = {}
        self.weight: dict[int, int] = {}
        for number in self.steps:
            if number in self.elementwise or number in self.sums:
                self._decide(number)
        self.groups: list[_Group] = []
        # When a value is there: its step, or the first of its group; -1 for the start.
        self.moments = dict.fromkeys(range(program.first), -1)
        for number, step in self.steps.items():
            if number in self.stored or number in self.sums:
                self.moments[number] = self._join(number).anchor
            elif step.primitive is BROADCAST_TO:
                self.moments[number] = self.moments[step.operands[0]]
            else:
                self.moments.update(dict.fromkeys(results_of(number, step), number))
        self.reads = Counter(itertools.chain(*[group.operands for group in self.groups]))
        self.far = {number for number in self.stored if self.forms[number].size >= _FAR}
        for group in reversed(self.groups):  # Its readers have been seen.
            self._spare(group)

    # What a value is

    def _is_sum(self, step: Step) -> bool:
        """Return whether a step is a sum, or mean, over leading axes that is worth fusing."""
        if step.primitive not in (SUM, MEAN) or step.operands[0] not in self.elementwise:
            return False
        if not is_float(step.form):
            return False
        shape, axes = self.forms[step.operands[0]].shape, step.params["axes"]
        left = math.prod(shape[len(axes) :])
        size = math.prod(shape)
        return bool(
            axes == tuple(range(len(axes))) and (0 < size <= _BLOCK or size >= _LONG_SUM) and 0 < left <= _WIDEST
        )

    def _needed(self) -> set[int]:
        """Return the values that are needed as arrays."""
        computed = (self.elementwise | self.sums) - self.puts
        return self.outputs.union(*[step.operands for i, step in self.steps.items() if i not in computed])

    def _repeated(self) -> Iterator[int]:
        """Yield the values of which broadcasting repeats a smaller one: nothing long is read for them."""
        for i, value in enumerate(self.program.constants, len(self.program.operands)):
            if 0 in value.strides:
                yield i
        for i, step in self.steps.items():
            if step.primitive is BROADCAST_TO:
                yield i

    # What to store

    def _decide(self, number: int) -> None:
        """Decide which operands of a value are read, and which are computed again."""
        read = () if number in self.puts else self.steps[number].operands
        shared: list[int] = []
        sources, weight = set[int](), 1
        for i in dict.fromkeys(read):
            if i in self.repeated:
                continue
            if i in self.elementwise and len(self.readers[i]) > 1:
                shared.append(i)
            elif i in self.elementwise and i not in self.stored:
                sources |= self.sources[i]
                weight += self.weight[i]
            else:
                sources.add(i)
        for i in shared:
            extra = self.sources[i] - sources
            if self.weight[i] > _CHEAP or len(extra) > (0 if i in self.stored else 2):
                self.stored.add(i)
            if i in self.stored:
                sources.add(i)
            else:
                sources |= extra
                weight += self.weight[i]
        if len(sources) > _MOST_SOURCES or weight > _MOST_OPERATIONS // 2:
            # Too much for one pass: start again from the operands.
            sources, weight = set(read) - self.repeated, 1
            self.stored |= sources & self.elementwise
        self.sources[number] = sources
        self.weight[number] = weight + (_CHEAP if self.steps[number].primitive.costly else 0)

    # What to run together

    def _needs(self, number: int, again: Container[int] = ()) -> tuple[set[int], set[int]]:
        """Return the steps that compute a result from stored values, and the operands they read."""
        steps, operands, open_ = set[int](), set[int](), [number]
        while open_:
            step = open_.pop()
            if step in steps:
                continue
            steps.add(step)
            for i in self.steps[step].operands:
                if i in self.elementwise and (i not in self.stored or i in again):
                    open_.append(i)
                else:
                    operands.add(i)
        return steps, operands

    def _shape(self, number: int) -> Shape:
        """Return the shape of the elements that a result is computed from."""
        return self.forms[self.steps[number].operands[0] if number in self.sums else number].shape

    def _join(self, number: int) -> _Group:
        """Put a result into an earlier group, or into one of its own."""
        steps, operands = self._needs(number)
        last = max(operands, key=self.moments.__getitem__, default=-1)
        latest = self.moments.get(last, -1)
        shape, is_sum = self._shape(number), number in self.sums
        axes = {len(self.steps[number].params["axes"])} if is_sum else set[int]()
        is_short = not is_sum and 0 < math.prod(shape) <= _BLOCK and steps.isdisjoint(self.puts)
        for group in reversed(self.groups[-8:]):
            if latest >= group.anchor and last not in group.results:
                continue  # as most do
            are_short = is_short and group.are_short
            if (
                (are_short or group.shapes == {shape})
                and len(axes | group.axes) <= 1
                and self._fits(steps, operands, group, are_short)
                and all(i in group.results or self.moments[i] < group.anchor for i in operands)
            ):
                break
        else:
            group = _Group(number)
            self.groups.append(group)
            are_short = is_short
        group.steps |= steps
        group.operands = (group.operands | operands).difference(group.results)
        group.results[number] = None
        group.shapes.add(shape)
        group.axes |= axes
        group.are_short = are_short
        return group

    def _fits(self, steps: set[int], operands: set[int], group: _Group, are_short: bool) -> bool:
        """Return whether a group may compute these steps, too."""
        if any(i in self.sums and i in group.results for i in operands):  # A sum is there when the group has run.
            return False
        shared = self._read(operands) & (self._read(group.operands) | group.results.keys())
        if not are_short and all(i not in group.results and i in self.repeated for i in shared):
            return False
        return (
            len(group.steps | steps) <= _MOST_OPERATIONS
            and len(group.operands | operands) <= _MOST_OPERANDS
            and len(group.results) < _MOST_RESULTS
        )

    def _read(self, operands: set[int]) -> set[int]:
        """Return what is read for operands, if wide products are computed where they are read."""
        return operands.union(*[self.steps[i].operands for i in operands & self.wide])

    def _spare(self, group: _Group) -> None:
        """Leave out the results that all readers compute again, and compute long operands again where
        that is cheaper than to read them.
        """
        unread = [i for i in group.results if i in self.stored and i not in self.needed and not self.reads[i]]
        for number in unread:
            del group.results[number]
        if unread:
            self._compute(group, set(unread))
        for number in sorted(group.operands & self.far, reverse=True):
            if self._is_spared(number, group):
                self._compute(group, {number})

    def _is_spared(self, number: int, group: _Group) -> bool:
        """Return whether a group computes an operand from what it reads anyway, or as its only reader
        from no more.
        """
        if any(number in self.steps[i].operands for i in group.steps & self.puts):
            return False  # It is of another shape.
        steps, operands = self._needs(number)
        extra = sum(self.forms[i].size for i in operands - group.operands if i not in self.repeated)
        if number in self.needed:
            is_worthwhile = self.weight[number] <= _CHEAP and not extra
        else:
            room = self.forms[number].size if self.reads[number] == 1 else 0
            is_worthwhile = self.weight[number] <= 2 * _CHEAP and extra <= room
        return (
            is_worthwhile
            and len(group.steps | steps) <= _MOST_OPERATIONS
            and len(group.operands - {number} | operands) <= _MOST_OPERANDS
        )

    def _compute(self, group: _Group, again: set[int]) -> None:
        """Let a group compute these values for itself."""
        group.again |= again
        self.reads.subtract(group.operands)
        needs = [self._needs(number, group.again) for number in group.results]
        group.steps = {i for steps, _ in needs for i in steps}
        group.operands = {i for _, operands in needs for i in operands}.difference(group.results)
        self.reads.update(group.operands)

    # The program of groups

    def fused(self) -> Program:
        """Return the program with one step for each group, after the steps that it needs."""
        self.groups = [group for group in self.groups if group.results]
        if all(len(group.steps) == 1 for group in self.groups):
            return self.program
        # What a group reads is there by the moment of its anchor, if broadcasts follow their
        # sources.
        units = [(group.anchor, group.anchor, *self._written(group)) for group in self.groups]
        units += [
            (self.moments[i], i, step, results_of(i, step))
            for i, step in self.steps.items()
            if i not in self.elementwise and i not in self.sums
        ]
        number = {i: i for i in range(self.program.first)}
        steps: list[Step] = []
        for _, _, step, results in sorted(units, key=lambda unit: unit[:2]):
            steps.append(renamed(step, number))
            for result in results:
                number[result] = len(number)
        return dataclasses.replace(
            self.program, steps=tuple(steps), outputs=tuple(number[i] for i in self.program.outputs)
        )

    def _written(self, group: _Group) -> tuple[Step, Sequence[int]]:
        """Return the step of a group, and its results; a single operation stays what it is."""
        if len(group.steps) == 1:
            (only,) = group.results
            return self.steps[only], (only,)
        operands = sorted(group.operands)
        # Sums last, as the kernel has them; in the order of the program each step comes after those
        # it needs.
        inside = [*sorted(group.steps - self.sums), *sorted(group.steps & self.sums)]
        results = [i for i in inside if i in group.results]
        body = program_of({i: self.forms[i] for i in operands}, {}, {i: self.steps[i] for i in inside}, results)
        forms = tuple(self.forms[i] for i in results)
        origin = next((self.steps[i].origin for i in results if self.steps[i].origin.line), NOWHERE)
        return Step(FUSED, tuple(operands), {}, forms, origin, body), results
