"""fused_products: products by wide matrices, computed next to the elementwise steps between them.

    z = x @ y;  v = f(z, a);  p = m @ v;  c = v @ w.T;  s = sum(v, 1)

    fused_products:  for each block J of columns
        z[:, J] = x @ y[:, J];  v[:, J] = f(z, a)[:, J];  p[:, J] = m @ v[:, J];  c += v[:, J] @ w[:, J].T;  s += ...

A product of few terms takes less time than writing it to memory and reading it again. So where only
one elementwise step, or group of them, reads it, that step computes it, a block of columns at a time
(``csrc/fused_products.hpp``): in ``wx @ u + wh @ h + b`` two products are added, a bias follows, and
one array is written in place of three.

So it is with what reads the step's results: products, which have a block of columns of theirs, and
sums over columns, which each block continues. In the derivative of a recurrent cell those read the
cotangents of all gates, one below the other. If nothing else does, these are not written at all.

Every element is computed by the same operations in the same order, so no bit changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minimeta.autodiff.array import is_float
from minimeta.autodiff.operations.joining import CONCATENATE
from minimeta.autodiff.operations.linear_algebra import MATMUL
from minimeta.autodiff.operations.reductions import SUM
from minimeta.autodiff.regions import region, rematerialize_rule
from minimeta.autodiff.steps import Program, Step
from minimeta.program.fuse import FUSED
from minimeta.program.names import alone, fresh_names, named, numbered, program_of, readers, renamed, results_of
from minimeta.program.split import MOST, has_wide, is_wide

_MANY = 2**14  #: columns, whose pieces (csrc/column_sums.hpp) are enough for several threads

#: Products, then elementwise steps of their shape, then what reads those.
FUSED_PRODUCTS = region("fused_products", rematerialize_rule)


def products(program: Program) -> Program:
    """Compute wide products inside of the elementwise step that alone reads them, or that they read."""
    if not has_wide(program):
        return program
    found = _Columns(program)
    kept: dict[int, Step] = {}
    same: dict[int, int] = {}
    for name, step in found.steps.items():
        if name in found.before or name in found.after:
            kept.update(found.views(name))
            kept.update(found.written(name, same))
        elif name not in found.inside and name not in kept:
            kept[name] = step
    return numbered(program, found.constants, kept, same)


class _Columns:
    """The decisions for a program: values have its numbers.

    Attributes
    ----------
    before, after
        The products that an elementwise step reads, by its name; and what reads its results: values
        that are joined, then products, contractions and sums.
    inside
        The names of all of these.
    """

    def __init__(self, program: Program) -> None:
        self.constants, self.steps = named(program)
        self.forms, self.outputs = program.forms(), set(program.outputs)
        self.reading, self._fresh = readers(self.steps), fresh_names(program)
        self.before: dict[int, list[int]] = {}
        self.after: dict[int, list[int]] = {}
        self.inside: set[int] = set()
        for name, step in self.steps.items():
            if self._is_elementwise(step) and (after := self._after(name)):
                self.after[name] = after
                self.inside.update(after)
        for name in self.steps:
            if name not in self.inside and self._is_before(name):
                self.before.setdefault(self.reading[name][0], []).append(name)
                self.inside.add(name)

    def _is_elementwise(self, step: Step) -> bool:
        """Return whether a step is an elementwise one, or a group of them, of one shape and without sums."""
        inner = step.body.steps if step.primitive is FUSED and step.body is not None else (step,)
        shapes = {form.shape for each in inner for form in each.results} | {self.forms[i].shape for i in step.operands}
        return len(shapes) == 1 and all(each.primitive.elementwise and each.primitive.native for each in inner)

    def _after(self, name: int) -> list[int]:
        """Return what is computed with the results of an elementwise step."""
        shape = self.steps[name].results[0].shape
        if len(shape) != 2 or not 2 <= shape[0] <= MOST or shape[1] < _MANY:
            return []
        results = set(results_of(name, self.steps[name]))
        found = {reader for i in results for reader in self._taken(i, name)}
        joined = []
        for whole in sorted({reader for i in results for reader in self.reading.get(i, ())}):
            taken = self._taken(whole, name) if self._is_joined(whole, results) else []
            if taken and taken == self.reading[whole]:
                joined.append(whole)
                found.update(taken)
        sums = {i for i in found if self.steps[i].primitive is SUM}
        contractions = {i for i in found - sums if self.steps[i].operands[0] in (*results, *joined)}
        return [i for kind in (joined, found - sums - contractions, contractions, sums) for i in sorted(kind)]

    def _is_joined(self, name: int, results: set[int]) -> bool:
        """Return whether a step concatenates results, which nothing else needs."""
        step = self.steps[name]
        return (
            step.primitive is CONCATENATE
            and step.params["axis"] == 0
            and len(set(step.operands)) == len(step.operands)
            and results.issuperset(step.operands)
            and step.form.shape[0] <= MOST
            and all(self.reading[i] == [name] and i not in self.outputs for i in step.operands)
            and name not in self.outputs
        )

    def _taken(self, i: int, host: int) -> list[int]:
        """Return which readers of a value are computed with it.

        A product that its own reader can compute is better there, and not written, unless the value
        is not written in its place, which is no shorter.
        """
        taken = [reader for reader in self.reading.get(i, ()) if self._follows(reader, i, host)]
        elsewhere = [name for name in taken if self._is_before(name)]
        is_written = i in self.outputs or len(taken) < len(self.reading.get(i, ()))
        if is_written or sum(self.forms[name].shape[0] for name in elsewhere) > self.forms[i].shape[0]:
            return [name for name in taken if name not in elsewhere]
        return taken

    def _is_before(self, name: int) -> bool:
        """Return whether one elementwise step, or group, alone reads a wide product."""
        reading: Sequence[int] = self.reading.get(name, ())
        is_single = len(reading) == 1 and name not in self.outputs
        return is_single and is_wide(self.steps[name], self.forms) and self._is_elementwise(self.steps[reading[0]])

    def _follows(self, name: int, i: int, host: int) -> bool:
        """Return whether a step can be computed with a value of a host, as its other operand is there."""
        step = self.steps[name]
        if not is_float(self.forms[i]):
            return False
        if step.primitive is SUM:
            return tuple(step.params["axes"]) == (1,)
        if step.primitive is not MATMUL or len(step.form.shape) != 2 or not all(n > 1 for n in step.form.shape):
            return False
        x, y = step.operands
        if x == i:  # a contraction
            return self._is_there(y, host) and not step.params["transpose_x"] and step.form.shape[1] <= MOST
        return self._is_there(x, host) and not step.params["transpose_y"] and step.form.shape[0] <= MOST

    def _is_there(self, i: int, host: int) -> bool:
        """Return whether a value is there before a host, or is a view of one that is."""
        step = self.steps.get(i)
        return i < host or (step is not None and step.primitive.view and self._is_there(step.operands[0], host))

    def views(self, host: int) -> dict[int, Step]:
        """Return the views that a host needs earlier than they are in the program."""
        views: dict[int, Step] = {}
        open_ = [i for name in self.after.get(host, ()) for i in self.steps[name].operands]
        while open_:
            i = open_.pop()
            if i > host and i in self.steps and self.steps[i].primitive.view:
                views[i] = self.steps[i]
                open_ += self.steps[i].operands
        return dict(sorted(views.items()))

    def written(self, name: int, same: dict[int, int]) -> dict[int, Step]:
        """Return the step that an elementwise step becomes, by its name; other names of its results are added."""
        step, after = self.steps[name], self.after.get(name, [])
        own = {i: self.steps[i] for i in self.before.get(name, ())}
        body = step.body or alone(step, (self.forms[i] for i in step.operands))
        names = [*step.operands, *(next(self._fresh) for _ in body.steps)]
        for i, inner in body.numbered_steps():
            own[names[i]] = renamed(inner, dict(enumerate(names)))
        inside = dict(zip(results_of(name, step), (names[i] for i in body.outputs), strict=True))
        for i in after:
            own[i] = renamed(self.steps[i], inside)
        left = [i for i in inside if i in self.outputs or not set(self.reading.get(i, ())) <= set(after)]
        results = left + [i for i in after if self.steps[i].primitive is not CONCATENATE]
        values = [inside.get(i, i) for i in results]
        operands = [i for i in dict.fromkeys(i for inner in own.values() for i in inner.operands) if i not in own]
        body = program_of({i: self.forms[i] for i in operands}, {}, own, values)
        forms = tuple(self.forms[i] for i in results)
        fresh = [next(self._fresh) for _ in results]
        same.update(zip(results, fresh, strict=True))
        return {fresh[0]: Step(FUSED_PRODUCTS, tuple(operands), {}, forms, step.origin, body)}


def add_columns(builder: Any, body: Program, operands: Sequence[int]) -> Sequence[int]:
    """Add the body of a :data:`FUSED_PRODUCTS` to a program in C++, and return the numbers of its results.

    Parameters
    ----------
    builder
        Of ``csrc/program.hpp``.
    body
        Products, elementwise steps, concatenates, products of what was computed, contractions, sums.
    operands
        The builder's numbers of what it reads.
    """
    table: dict[str, list[Any]] = {}
    computed = range(body.first, len(body.forms()))
    for _, step in body.numbered_steps():
        if step.primitive is MATMUL:
            x, y = (i in computed for i in step.operands)
            kind = "contractions" if x else "later" if y else "products"
            row: Any = (*step.operands, step.params["transpose_x"], step.params["transpose_y"])
        elif step.primitive is CONCATENATE:
            kind, row = "joined", step.operands
        elif step.primitive is SUM:
            kind, row = "sums", (step.operands[0], step.params["keepdims"])
        else:
            kind, row = "operations", (step.primitive.name, step.operands)
        table.setdefault(kind, []).append(row)
    end = len(body.forms()) - len(table.get("contractions", ())) - len(table.get("sums", ()))
    values = tuple(i for i in body.outputs if i < end)
    kinds = ("products", "operations", "joined", "later", "contractions", "sums")
    results: Sequence[int] = builder.add_fused_products(
        tuple(operands), *(tuple(table.get(kind, ())) for kind in kinds), values
    )
    return results
