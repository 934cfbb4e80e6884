"""Convolutions of stride 2 or more, finished in registers by what alone reads them.

    c = conv2d(x, w);           d = c + z                finished_convolution:  d, of x, w and z
    c = conv2d_input(g, w);     d = relu_slope(h, c)
    c = conv2d_weight(x, g);    d = w - r * c

The first adds a derivative to another one, for an image or a kernel that is read twice; two sums may
follow each other, and a slope them. The second is the way back through a layer: normalisation reads
the cotangent before its relu twice, and the relu's result would be read along with it each time. The
third moves weights along a gradient, by a rate that is one number. The tile of a convolution
(``csrc/finished_convolution.hpp``) has the sums in registers, and computes what follows before it
stores them.

A convolution of stride 1 may go by Winograd's way, which has tiles of another kind. Every element is
computed by the same operations in the same order, so no bit changes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from minimeta.autodiff.array import is_float
from minimeta.autodiff.operations.arithmetic import ADD, MULTIPLY, RELU_SLOPE, SUBTRACT
from minimeta.autodiff.operations.convolution import CONV2D, CONV2D_INPUT, CONV2D_WEIGHT
from minimeta.autodiff.operations.movement import BROADCAST_TO
from minimeta.autodiff.regions import region, rematerialize_rule
from minimeta.autodiff.steps import Program, Step
from minimeta.program.names import elements_of, fresh_names, named, numbered, program_of, readers

#: A convolution, then what is computed of it and of its other operands.
FINISHED_CONVOLUTION = region("finished_convolution", rematerialize_rule)

_FORMS = (CONV2D, CONV2D_INPUT, CONV2D_WEIGHT)

_MOST_SUMS = 2  #: that one kernel takes, as csrc/tile.hpp says: a slope may follow
_LEAST_CHANNELS = 16  #: of a result: two vectors of float64 at least
_MOST_BYTES = 2**21  #: of weights: larger ones go another way through the caches


def finish_convolutions(program: Program) -> Program:
    """Let convolutions with strides compute the sum, the slope or the step that alone reads them."""
    if not any(step.primitive in _FORMS for step in program.steps):
        return program
    found = _Convolutions(program)
    fresh = fresh_names(program)
    kept: dict[int, Step] = {}
    same: dict[int, int] = {}
    for name, step in found.steps.items():
        if name in found.following:
            same[name] = next(fresh)
            kept[same[name]] = found.written(name)
        elif name not in found.inside:
            kept[name] = step
    return numbered(program, found.constants, kept, same)


class _Convolutions:
    """The decisions for a program: values have its numbers.

    Attributes
    ----------
    following
        By the name of the last step, those that come before it in its kernel: a convolution first.
    inside
        The names of all of these steps.
    """

    def __init__(self, program: Program) -> None:
        self.constants, self.steps = named(program)
        self.forms, self.outputs = program.forms(), set(program.outputs)
        self.reading = readers(self.steps)
        self.following: dict[int, list[int]] = {}
        self.inside: set[int] = set()
        for name, step in self.steps.items():
            if step.primitive in _FORMS and self._fits(step):
                *before, last = self._step(name) or [name, *self._after(name)]
                if before:
                    self.following[last] = before
                    self.inside.update(before, [last])

    def _fits(self, step: Step) -> bool:
        form = step.form
        weights = form if step.primitive is CONV2D_WEIGHT else self.forms[step.operands[1]]
        return (
            min(step.params["strides"]) > 1
            and form.shape[-1] >= _LEAST_CHANNELS
            and form.size > 0
            and weights.nbytes <= _MOST_BYTES
            and is_float(form)
        )

    def _after(self, name: int) -> Iterator[int]:
        """Yield the sums and the slope that a convolution can go on with, each the only reader of the one before."""
        last = name
        for _ in range(_MOST_SUMS):
            sum_ = self._reader(last, ADD)
            if sum_ is None or not all(self._lies(i, name) for i in self.steps[sum_].operands if i != last):
                break
            yield (last := sum_)
        slope = self._reader(last, RELU_SLOPE)
        if slope is not None and self.steps[slope].operands[1] == last and self._lies(self._first(slope), name):
            yield slope

    def _step(self, name: int) -> list[int]:
        """Return a convolution and the step that it takes, or nothing."""
        scaled = self._reader(name, MULTIPLY)
        if scaled is None or not all(self._is_number(i) for i in self.steps[scaled].operands if i != name):
            return []
        moved = self._reader(scaled, SUBTRACT)
        if moved is None or self.steps[moved].operands[1] != scaled or not self._lies(self._first(moved), name):
            return []
        return [name, scaled, moved]

    def _first(self, name: int) -> int:
        return self.steps[name].operands[0]

    def _reader(self, name: int, primitive: Any) -> int | None:
        """Return the only reader of a value, if it is of this primitive and reads the value once."""
        reader, *others = self.reading.get(name, [name])
        step = self.steps[reader]
        is_alone = not others and name not in self.outputs and step.operands.count(name) == 1
        return reader if is_alone and step.primitive is primitive and reader not in self.inside else None

    def _lies(self, name: int, before: int) -> bool:
        """Return whether a value lies in memory, element after element, before a step runs."""
        if name in self.constants:
            return 0 not in self.constants[name].strides
        step = self.steps.get(name)
        return name < before and (step is None or not step.primitive.view)

    def _is_number(self, name: int) -> bool:
        """Return whether one number is repeated everywhere."""
        if name in self.constants:
            return bool(elements_of(self.constants[name]).size == 1)
        step = self.steps.get(name)
        return step is not None and step.primitive is BROADCAST_TO and self.forms[step.operands[0]].size == 1

    def written(self, last: int) -> Step:
        """Return the step of a convolution and what follows it: of its operands, then what that reads."""
        inside = {name: self.steps[name] for name in (*self.following[last], last)}
        operands = dict.fromkeys(i for step in inside.values() for i in step.operands if i not in inside)
        body = program_of({i: self.forms[i] for i in operands}, {}, inside, [last])
        step = self.steps[last]
        return Step(FINISHED_CONVOLUTION, tuple(operands), {}, step.results, step.origin, body)


def add_finished_convolution(builder: Any, body: Program, operands: Sequence[int]) -> Sequence[int]:
    """Add a finished convolution to a program in C++, and return the number of its result."""
    form, *after = body.steps
    names = {ADD: "add", RELU_SLOPE: "mask"}
    is_step = after[-1].primitive is SUBTRACT  # z, then the rate
    finishes = ("step",) if is_step else tuple(names[step.primitive] for step in after)
    in_order = reversed(after) if is_step else after
    factors = tuple(operands[i] for i in form.operands)
    others = tuple(operands[i] for step in in_order for i in step.operands if i < body.first)
    results: Sequence[int] = builder.add_finished_convolution(
        form.primitive.name, factors, form.params, others, finishes
    )
    return results
