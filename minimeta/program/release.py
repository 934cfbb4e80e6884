"""release: a step that frees more memory than it takes runs as soon as it can.

A trace has the order in which a function was written, and its derivative after it. There a derivative
that has two parts is added up at the end, when the parts of all layers are there:

    u_1 = f(x);  v_1 = g(x);  u_2 = ...;  v_2 = ...;  y_1 = u_1 + v_1;  y_2 = u_2 + v_2

But an elementwise step may run as soon as the last of its operands is there. Where nobody else reads
them later, and they take more memory than the result, memory is free from then on. (Two parts are in
use at a time, and not all.) It moves there if the most memory that is in use does not grow.

The same kernels compute the same values, so no bit changes.
"""

from __future__ import annotations

from collections.abc import Sequence

from minimeta.autodiff.steps import Program, Step
from minimeta.program.fuse import FUSED
from minimeta.program.names import named, numbered, results_of

_LONG = 2**18  #: bytes that a step has to free
_MUCH = 2**25  #: bytes of all values: of fewer, no order takes much


def release(program: Program) -> Program:
    """Move elementwise steps that free memory to where their operands are there."""
    if sum(form.nbytes for step in program.steps for form in step.results) < _MUCH:
        return program
    lives = _Lives(program)
    order = lives.order()
    if lives.most(order) > lives.most(list(lives.steps)):
        return program
    return numbered(program, lives.constants, {name: lives.steps[name] for name in order})


class _Lives:
    """What values take, and who reads them; the name of a step is its moment in the order of the program."""

    def __init__(self, program: Program) -> None:
        self.constants, self.steps = named(program)
        forms = program.forms()
        self._whole = list(range(len(forms)))  # of each value the one that it shows, if it is a view
        self._readers: dict[int, set[int]] = {i: set() for i in self._whole}
        self._made: dict[int, list[int]] = {}  # by step: the values that take memory
        for name, step in self.steps.items():
            self._made[name] = list(results_of(name, step))
            if step.primitive.view:
                self._whole[name] = self._whole[step.operands[0]]
                self._made[name] = []
            for i in step.operands:
                self._readers[self._whole[i]].add(name)
        kept = {self._whole[i] for i in program.outputs}
        self._bytes = [form.nbytes for form in forms]
        temporary = set().union(*self._made.values()) - kept
        self._temporary = {i for i in temporary if self._whole[i] == i}

    def order(self) -> list[int]:
        """Return the names of the steps, those that free memory early behind their last operand."""
        moment = {name: name for name in self.steps}  # at which a step runs
        made_at = dict.fromkeys(range(len(self._whole)), -1)
        for name, step in self.steps.items():
            ready = max((made_at[i] for i in step.operands), default=-1)
            if ready < name and _may_move(step):
                dying = {i for i in map(self._whole.__getitem__, step.operands) if i in self._temporary}
                freed = sum(
                    self._bytes[i] for i in dying if all(moment[j] <= ready for j in self._readers[i] if j != name)
                )
                if freed - sum(form.nbytes for form in step.results) >= _LONG:
                    moment[name] = ready
            made_at.update(dict.fromkeys(results_of(name, step), moment[name]))
        return sorted(self.steps, key=lambda name: (moment[name], name))

    def most(self, order: Sequence[int]) -> int:
        """Return the most bytes that are in use at a time, without operands, constants and outputs."""
        place = {name: i for i, name in enumerate(order)}
        freed = dict.fromkeys(order, 0)
        now = most = 0
        for i in self._temporary:
            last = max(self._readers[i], key=place.__getitem__, default=None)
            if last is not None:
                freed[last] += self._bytes[i]
        for name in order:
            now += sum(self._bytes[i] for i in self._made[name] if i in self._temporary and self._readers[i])
            most = max(most, now)
            now -= freed[name]
        return most


def _may_move(step: Step) -> bool:
    inner = step.body.steps if step.primitive is FUSED and step.body is not None else (step,)
    return all(each.primitive.elementwise for each in inner)
