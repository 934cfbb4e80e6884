"""split: the rows of a sum of products apart, where everything reads it a few rows at a time.

    z = w @ x + b;  i, f = z[:n], z[n:]        i = w[:n] @ x + b[:n];  f = w[n:] @ x + b[n:]

The gates of a recurrent cell come from one product and one sum, and are cut apart at once. Each is
computed by itself here, so that all have one shape with what is made of them: one group of
elementwise steps (:mod:`minimeta.program.fuse`), which computes the products too
(:mod:`minimeta.program.fused_products`). Slices of factors are views. Every element is computed by the same
operations in the same order, so no bit changes.
"""

from __future__ import annotations

from collections.abc import Sequence

from minimeta.autodiff.array import Form, is_float
from minimeta.autodiff.operations.linear_algebra import MATMUL
from minimeta.autodiff.operations.movement import SLICE
from minimeta.autodiff.steps import Program, Step
from minimeta.program.names import fresh_names, named, numbered, readers

_LONG = 2**20  #: bytes: a shorter product stays in the second-level cache until it is read
MOST = 128  #: rows, whose block stays in the second-level cache, and terms: more take longer than the memory


def split(program: Program) -> Program:
    """Compute parts of sums of wide products apart, where only slices of rows read them."""
    if not has_wide(program):
        return program
    found = _Sums(program)
    kept: dict[int, Step] = {}
    done: set[int] = set()
    for name, step in found.steps.items():
        if name in found.sums and name not in found.own and (parts := found.parts(name)):
            kept.update(found.written(name, parts))
            done |= {name, *parts}
        elif name not in done:
            kept[name] = step
    return numbered(program, found.constants, found.needed(kept))


def has_wide(program: Program) -> bool:
    """Return whether there is anything to do."""
    forms = program.forms()
    return any(is_wide(step, forms) for step in program.steps if step.primitive is MATMUL)


class _Sums:
    """The decisions for a program: values have its numbers.

    Attributes
    ----------
    wide
        Wide products that one step reads.
    sums
        Elementwise steps that read one of those, or another of these that one step reads.
    own
        Those that only another one of these reads: it computes them.
    """

    def __init__(self, program: Program) -> None:
        self.constants, self.steps = named(program)
        self.forms, self.outputs = program.forms(), set(program.outputs)
        self.reading, self._fresh = readers(self.steps), fresh_names(program)
        self.wide = {i for i, step in self.steps.items() if is_wide(step, self.forms) and self._is_single(i)}
        self.sums: set[int] = set()
        self.own: set[int] = set()
        for name, step in self.steps.items():
            if step.primitive.elementwise and step.primitive.native:
                inner = {i for i in step.operands if i in self.wide or (i in self.sums and self._is_single(i))}
                if inner and all(self.forms[i].shape == step.form.shape for i in step.operands):
                    self.sums.add(name)
                    self.own |= inner

    def _is_single(self, i: int) -> bool:
        return len(self.reading.get(i, ())) == 1 and i not in self.outputs

    def parts(self, name: int) -> dict[int, Step]:
        """Return the slices that read a sum, if nothing else does: long ones of equally many rows, none twice."""
        slices = {i: self.steps[i] for i in self.reading.get(name, ())}
        if name in self.outputs or any(step.primitive is not SLICE for step in slices.values()):
            return {}
        columns = self.forms[name].shape[1]
        starts = {step.params["starts"][0] for step in slices.values()}
        rows = {step.form.shape for step in slices.values()}
        is_cut = len(starts) == len(slices) > 1 and len(rows) == 1
        if not is_cut or any(step.params["steps"] != (1, 1) for step in slices.values()):
            return {}
        count, width = rows.pop()
        is_apart = min(abs(a - b) for a in starts for b in starts if a != b) >= count > 1
        is_long = width == columns and count * width * self.forms[name].dtype.itemsize >= _LONG
        return slices if is_apart and is_long else {}

    def written(self, name: int, parts: dict[int, Step]) -> dict[int, Step]:
        """Return the steps of a sum's parts: factors and products before all else, so that one group can read them."""
        before: dict[int, Step] = {}
        after: dict[int, Step] = {}
        for part, cut in parts.items():
            self._part(part, name, cut, before, after)
        return {**before, **after}

    def _part(self, part: int, name: int, cut: Step, before: dict[int, Step], after: dict[int, Step]) -> None:
        """Add the steps of some rows of a value that nothing else needs whole, under a name."""
        start, rows = cut.params["starts"][0], cut.form.shape[0]
        step = self.steps[name]
        form = Form(cut.form.shape, step.form.dtype)
        operands = [next(self._fresh) for _ in step.operands]
        if name in self.wide:
            x, y = step.operands
            before[operands[0]] = _slice(x, self.forms[x], step.params["transpose_x"], start, rows, step)
            before[part] = step._replace(operands=(operands[0], y), results=(form,))
            return
        for operand, i in zip(operands, step.operands, strict=True):
            if i in self.own:
                self._part(operand, i, cut, before, after)
            else:
                before[operand] = _slice(i, self.forms[i], False, start, rows, cut)
        after[part] = step._replace(operands=tuple(operands), results=(form,))

    def needed(self, steps: dict[int, Step]) -> dict[int, Step]:
        """Return the steps without those that nothing reads any more."""
        needed = set(self.outputs)
        kept: dict[int, Step] = {}
        for name, step in reversed(steps.items()):
            if not needed.isdisjoint(range(name, name + len(step.results))):
                kept[name] = step
                needed.update(step.operands)
        return dict(reversed(kept.items()))


def _slice(name: int, form: Form, turned: bool, start: int, rows: int, like: Step) -> Step:
    """Return the step that takes rows of a matrix, or columns."""
    starts = (0, start) if turned else (start, 0)
    sizes = (form.shape[0], rows) if turned else (rows, form.shape[1])
    params = {"starts": starts, "sizes": sizes, "steps": (1, 1)}
    return Step(SLICE, (name,), params, (Form(sizes, form.dtype),), like.origin)


def is_wide(step: Step, forms: Sequence[Form]) -> bool:
    """Return whether a step is a product of matrices of few terms, with a long result."""
    if step.primitive is not MATMUL:
        return False
    form = step.form
    if form.nbytes < _LONG or len(form.shape) != 2 or not is_float(form):
        return False
    rows, columns = form.shape
    terms = forms[step.operands[0]].shape[0 if step.params["transpose_x"] else 1]
    return 2 <= rows <= MOST and 1 <= terms <= MOST and rows <= columns
