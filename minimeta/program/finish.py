"""finish: a product, finished in registers by what alone reads it.

    c = x @ y;  d = c + z                finished_product:  d = x @ y + z
    c = x @ y;  d = relu(c + z)                             d = relu(x @ y + z)
    c = x @ y;  d = z - r * c                               d = z - r * (x @ y)
    c = x @ y;  d = relu_slope(h, c);  s = sum(d, 0)        d = relu_slope(h, x @ y), and s
    c = x @ y;  d = c + u @ v                               d = x @ y + (u @ v), in its place

The first two are a layer of a small network, and the third moves its weights along a gradient, by a
rate that is one number. The fourth is the way back through a layer: the cotangent before its relu,
which two products read, and the gradient of its bias. Products of ten examples by layers of 64
numbers take some hundred nanoseconds, and an addition in a kernel of its own a fifth of that. So the
kernel of the product (``csrc/finished_product.hpp``) computes what follows before it stores anything.

A larger product goes on with the same: a layer of a batch, its way back, a step of its weights. It
saves a passage through what the product would have stored, and on several threads a meeting after
it. Only the sum over rows stays a step of its own.

The last is a derivative of a layer, along a direction of its input and of its weights or backwards
again; a second sum, a relu or its slope may follow. Of many rows, the second product would go to
memory and come back. Only such a sum is worth it there: other elementwise steps go on in groups of
their own.

Convolutions with strides go on in the same way (:mod:`minimeta.program.finished_convolutions`). Every
element is computed by the same operations in the same order, so no bit changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from minimeta.autodiff.array import is_float
from minimeta.autodiff.operations.arithmetic import ADD, MULTIPLY, RELU, RELU_SLOPE, SUBTRACT
from minimeta.autodiff.operations.linear_algebra import MATMUL
from minimeta.autodiff.operations.movement import BROADCAST_TO, TRANSPOSE
from minimeta.autodiff.operations.reductions import SUM
from minimeta.autodiff.regions import region, rematerialize_rule
from minimeta.autodiff.steps import Program, Step
from minimeta.program.finished_convolutions import finish_convolutions
from minimeta.program.names import elements_of, fresh_names, named, numbered, program_of, readers
from minimeta.program.split import is_wide

# What csrc/product.hpp decides the tiles of in advance, in one chain for each element: a product on
# one thread, whose second factor stays in a first-level cache.
_MOST_ROWS, _MOST_TERMS, _LEAST_COLUMNS, _MOST_BYTES, _MOST_WORK = 96, 128, 16, 2**15, 2**19

_MOST_SUMS = 2  #: that one kernel takes, as csrc/tile.hpp says: a relu or its slope may follow

# More rows go through in blocks, which the second factor outlives in a cache.
_MOST_BYTES_OF_BLOCKS = 2**16

_MOST_TERMS_OF_LARGE = 2**11  #: one group of chains, which a tile adds in place

#: A product, then what is computed of it and of its other operands.
FINISHED_PRODUCT = region("finished_product", rematerialize_rule)


def finish(program: Program) -> Program:
    """Let small products, and convolutions with strides, compute the sum, the layer or the step that
    alone reads them.
    """
    program = finish_convolutions(program)
    found = _Products(program)
    if not found.following:
        return program
    fresh = fresh_names(program)
    kept: dict[int, Step] = {}
    same: dict[int, int] = {}
    for name, step in found.steps.items():
        if name in found.following:
            results = [name, *found.sums.get(name, ())]
            names = [next(fresh) for _ in results]
            kept[names[0]] = found.written(name, results)
            same.update(zip(results, names, strict=True))
        elif name not in found.inside:
            kept[name] = step
    return numbered(program, found.constants, kept, same)


class _Products:
    """The decisions for a program: values have its numbers.

    Attributes
    ----------
    following
        By the name of the last step, those that come before it in its kernel: a product first.
    sums
        By the name of a slope that is such a last step, its sum over rows, or nothing.
    inside
        The names of all of these steps.
    """

    def __init__(self, program: Program) -> None:
        self.constants, self.steps = named(program)
        self.forms, self.outputs = program.forms(), set(program.outputs)
        self.reading = readers(self.steps)
        self.following: dict[int, list[int]] = {}
        self.sums: dict[int, list[int]] = {}
        self.inside: set[int] = set()
        for name, step in self.steps.items():
            if step.primitive is MATMUL and len(step.form.shape) == 2 and is_float(step.form):
                *before, last = self._chain(name) if self._is_small(step) else self._large(name)
                if before:
                    self.following[last] = before
                    self.sums[last] = self._sums(last) if self._is_small(step) else []
                    self.inside.update(before, [last], self.sums[last])

    def _sides(self, step: Step) -> tuple[int, int, int]:
        """Return the rows, terms and columns of a product."""
        rows, columns = step.form.shape
        return rows, self.forms[step.operands[0]].shape[0 if step.params["transpose_x"] else 1], columns

    def _is_small(self, step: Step) -> bool:
        rows, terms, columns = self._sides(step)
        return (
            1 < rows <= _MOST_ROWS
            and 1 <= terms <= _MOST_TERMS
            and columns >= _LEAST_COLUMNS
            and terms * columns * step.form.dtype.itemsize <= _MOST_BYTES
            and rows * terms * columns <= _MOST_WORK
        )

    def _is_long(self, step: Step) -> bool:
        rows, terms, columns = self._sides(step)
        return (
            rows > _MOST_ROWS
            and 1 <= terms <= _MOST_TERMS
            and columns >= _LEAST_COLUMNS
            and terms * columns * step.form.dtype.itemsize <= _MOST_BYTES_OF_BLOCKS
            and not self._is_turned(step)
            and not is_wide(step, self.forms)
        )

    def _large(self, name: int) -> list[int]:
        """Return a product that is not small, and what its kernel can go on with."""
        rows, terms, columns = self._sides(self.steps[name])
        fits = rows > 1 and 1 <= terms <= _MOST_TERMS_OF_LARGE and columns >= _LEAST_COLUMNS
        found = self._sum(name)
        return self._chain(name) if found == [name] and fits and not is_wide(self.steps[name], self.forms) else found

    def _is_turned(self, step: Step) -> bool:
        """Return whether a product copies its second factor, whose columns do not lie side by side."""
        maker = self.steps.get(step.operands[1])
        return bool(step.params["transpose_y"]) or (maker is not None and maker.primitive is TRANSPOSE)

    def _sum(self, name: int) -> list[int]:
        """Return a long product and its sum with an earlier one that nothing else reads, in whose place it is."""
        sum_ = self._reader(name, ADD)
        if sum_ is None or not self._is_long(self.steps[name]):
            return [name]
        (other,) = (i for i in self.steps[sum_].operands if i != name)
        maker = self.steps.get(other)
        is_product = maker is not None and maker.primitive is MATMUL
        return [name, sum_] if is_product and other < name and self._reader(other, ADD) == sum_ else [name]

    def _chain(self, name: int) -> list[int]:
        """Return a product and the steps that its kernel can go on with, each the only reader of the one before."""
        found = [name]
        is_wide_ = is_wide(self.steps[name], self.forms)  # what follows may compute it, a block of columns at a time
        while len(found) <= (1 if is_wide_ else _MOST_SUMS):
            sum_ = self._reader(found[-1], ADD)
            if sum_ is None or not all(self._has_rows(i) for i in self.steps[sum_].operands if i != found[-1]):
                break
            found.append(sum_)
        slope = self._reader(found[-1], RELU_SLOPE)
        if slope is not None and not is_wide_ and self._is_backwards(slope, found[-1]):
            return [*found, slope]
        if len(found) > 1 and (layer := self._reader(found[-1], RELU)) is not None:
            return [*found, layer]
        while len(found) > 1 and not self._is_stored(found[-1], found[-2]):
            found.pop()
        scaled = self._reader(name, MULTIPLY)
        if scaled is not None and any(self._is_number(i) for i in self.steps[scaled].operands if i != name):
            moved = self._reader(scaled, SUBTRACT)
            if moved is not None:
                z, other = self.steps[moved].operands
                return [name, scaled, moved] if other == scaled and self._has_rows(z) else [name]
        return found

    def _is_backwards(self, slope: int, cotangent: int) -> bool:
        """Return whether a slope of rows in memory masks this cotangent, for a product that reads what is left."""
        h, masked = self.steps[slope].operands
        reading = self.reading.get(slope, ())
        return masked == cotangent and self._has_rows(h) and any(self.steps[i].primitive is MATMUL for i in reading)

    def _is_stored(self, sum_: int, product: int) -> bool:
        """Return whether a sum is of two products, or is read more than once: no group would have it in passing."""
        (other,) = (i for i in self.steps[sum_].operands if i != product)
        maker = self.steps.get(other)
        is_product = maker is not None and maker.primitive is MATMUL and not is_wide(maker, self.forms)
        return is_product or len(self.reading.get(sum_, ())) > 1

    def _sums(self, name: int) -> list[int]:
        """Return the sum of a slope over its rows, if there is one."""
        if self.steps[name].primitive is not RELU_SLOPE:
            return []
        reading = [(i, self.steps[i]) for i in self.reading.get(name, ())]
        return [i for i, step in reading if step.primitive is SUM and tuple(step.params["axes"]) == (0,)][:1]

    def _reader(self, name: int, primitive: Any) -> int | None:
        """Return the only reader of a value, if it is of this primitive and reads the value once."""
        reader, *others = self.reading.get(name, [name])
        step = self.steps[reader]
        is_alone = not others and name not in self.outputs and step.operands.count(name) == 1
        return reader if is_alone and step.primitive is primitive and reader not in self.inside else None

    def _has_rows(self, name: int) -> bool:
        """Return whether a value has rows in memory, or is one that is repeated."""
        step = self.steps.get(name)
        if step is None or step.primitive is not BROADCAST_TO:
            return name not in self.constants or self.constants[name].strides[-1] != 0
        return self.forms[step.operands[0]].shape[-1:] == step.form.shape[-1:]

    def _is_number(self, name: int) -> bool:
        """Return whether one number is repeated everywhere."""
        if name in self.constants:
            return bool(elements_of(self.constants[name]).size == 1)
        step = self.steps.get(name)
        return step is not None and step.primitive is BROADCAST_TO and self.forms[step.operands[0]].size == 1

    def written(self, last: int, results: Sequence[int]) -> Step:
        """Return the step of a product and what follows it: of the factors, then what that reads."""
        inside = {name: self.steps[name] for name in (*self.following[last], *results)}
        operands = dict.fromkeys(i for step in inside.values() for i in step.operands if i not in inside)
        body = program_of({i: self.forms[i] for i in operands}, {}, inside, results)
        forms = tuple(self.forms[i] for i in results)
        return Step(FINISHED_PRODUCT, tuple(operands), {}, forms, self.steps[last].origin, body)


def add_finished(builder: Any, body: Program, operands: Sequence[int]) -> Sequence[int]:
    """Add a finished product to a program in C++, and return the numbers of its results."""
    product, *after = body.steps
    x, y = (operands[i] for i in product.operands)
    turned = product.params["transpose_x"], product.params["transpose_y"]
    sums = [step for step in after if step.primitive is SUM]
    kinds = [step.primitive for step in after if step.primitive is not SUM]
    in_order: Iterable[Step] = after
    if kinds[-1] is SUBTRACT:  # z, then the rate
        finishes, in_order = ["step"], reversed(after)
    elif kinds[-1] is RELU:  # of the sum before it
        finishes = [*["add"] * (len(kinds) - 2), "relu"]
    else:
        finishes = ["mask" if kind is RELU_SLOPE else "add" for kind in kinds]
    others = tuple(operands[i] for step in in_order for i in step.operands if i < body.first)
    keepdims = any(step.params["keepdims"] for step in sums)
    results: Sequence[int] = builder.add_finished_product(
        (x, y), *turned, others, tuple(finishes), bool(sums), keepdims
    )
    return results
