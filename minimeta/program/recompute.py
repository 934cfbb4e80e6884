"""recompute: long values that are cheap to compute are computed again, and not kept.

The second order of MAML reads the values of the first inner step last. They are kept while all
other steps and the query set are computed, when most memory is in use. But a value needs no memory
between two reads if it is computed for each:

    v = f(u);  a(v);  ...;  b(v)        v = f(u);  a(v);  ...;  v' = f(u);  b(v')

That costs nothing if ``f`` takes about as long as reading ``v`` from memory: elementwise steps, what
a pooling puts into its images, and a convolution of few terms, as that of the first layer, whose
result is ten times as long as its images. It gains memory if ``u`` is kept anyway, is much shorter, or
is computed again in turn, and if much memory is free when ``b`` runs.

The same kernels compute the same values, so no bit changes.
"""

from __future__ import annotations

from collections.abc import Sequence

from minimeta.autodiff.array import Form
from minimeta.autodiff.operations.convolution import CONV2D
from minimeta.autodiff.operations.pooling import POOL_PUT
from minimeta.autodiff.steps import Program, Step
from minimeta.program.fuse import FUSED
from minimeta.program.names import fresh_names, named, numbered, renamed, results_of

_LONG = 2**18  #: bytes of a value: to keep a shorter one is little
_MUCH = 2**25  #: bytes in use at a time: less stays in a cache until it is read again
_MOST_TERMS = 32  #: of an element of a convolution
_MOST_STEPS = 8  #: for an element of a group


def recompute(program: Program) -> Program:
    """Compute cheap long values again that would be kept while most memory is in use."""
    if sum(form.nbytes for step in program.steps for form in step.results) < _MUCH:
        return program
    lives = _Lives(program)
    chosen = lives.chosen()
    if not chosen:
        return program
    fresh = fresh_names(program)
    steps: dict[int, Step] = {}
    again: dict[int, int] = {}

    def after_peak(i: int) -> int:
        """Return the name of a value, computed again if it was chosen, or shows one that was."""
        open_ = [i]
        while open_:
            j = open_[-1]
            is_chosen = lives.whole.get(j, j) in chosen
            if is_chosen and (missing := [k for k in lives.steps[j].operands if k not in again]):
                open_ += missing
                continue
            if is_chosen and j not in again:
                again[j] = next(fresh)
                steps[again[j]] = renamed(lives.steps[j], again)
            again.setdefault(open_.pop(), j)
        return again[i]

    for name, step in lives.steps.items():
        steps[name] = renamed(step, {i: after_peak(i) for i in step.operands}) if name > lives.peak else step
    return numbered(program, lives.constants, steps)


class _Lives:
    """When values are read; the name of a step is its moment.

    Attributes
    ----------
    constants, steps
        Of the program, by name.
    whole
        For each view, the value that it shows.
    peak
        The step that runs when most memory is in use, beside that of operands, constants and
        outputs.
    """

    def __init__(self, program: Program) -> None:
        self.constants, self.steps = named(program)
        self._first = program.first
        self.whole: dict[int, int] = {}
        self._forms = program.forms()
        self._reads: dict[int, list[int]] = {i: [] for i in range(len(self._forms))}
        for name, step in self.steps.items():
            if step.primitive.view:
                self.whole[name] = self._whole(step.operands[0])
            for i in step.operands:
                self._reads[self._whole(i)].append(name)
        self._outputs = set(map(self._whole, program.outputs))
        self._in_use = self._bytes()
        self.peak = max(self._in_use, key=self._in_use.__getitem__)

    def _whole(self, i: int) -> int:
        return self.whole.get(i, i)

    def _bytes(self) -> dict[int, int]:
        """Return the bytes that are in use at each step."""
        found: dict[int, int] = {}
        freed = dict.fromkeys(self.steps, 0)
        now = 0
        for name, step in self.steps.items():
            for i in results_of(name, step):
                if i not in self.whole and i not in self._outputs:
                    now += self._forms[i].nbytes
                    freed[max(self._reads[i], default=name)] += self._forms[i].nbytes
            found[name] = now
            now -= freed[name]
        return found

    def chosen(self) -> set[int]:
        """Return which values to compute again after the peak."""
        most = self._in_use[self.peak]
        found = set[int]()
        if most < _MUCH:
            return found
        cheap = self._cheap()
        for name in reversed(cheap):
            later = min((read for read in self._reads[name] if read >= self.peak), default=self.peak)
            is_free = self._in_use[later] <= most / 2
            if name in found or (is_free and self._forms[name].nbytes >= _LONG):
                found.add(name)
                found.update(i for i in self._sources(name) if i in cheap and not self._is_there(i))
        return found

    def _cheap(self) -> dict[int, int]:
        """Return the values before the peak that can be computed again, and how many bytes would be kept for each."""
        found: dict[int, int] = {}
        for name, step in self.steps.items():
            if name < self.peak and name not in self._outputs and _is_cheap(step, self._forms):
                new = [i for i in self._sources(name) if not self._is_there(i)]
                more = sum(found.get(i, self._forms[i].nbytes) for i in new)
                if more <= step.form.nbytes / 2:
                    found[name] = more
        return found

    def _sources(self, name: int) -> set[int]:
        return {self._whole(i) for i in self.steps[name].operands}

    def _is_there(self, i: int) -> bool:
        """Return whether a value is there after the peak anyway."""
        return i < self._first or i in self._outputs or max(self._reads[i]) > self.peak


def _is_cheap(step: Step, forms: Sequence[Form]) -> bool:
    """Return whether a step has one result, which takes about as long to compute as to read from memory."""
    if step.primitive is CONV2D:
        down, right, channels, _ = forms[step.operands[1]].shape
        return down * right * channels <= _MOST_TERMS
    inner = step.body.steps if step.primitive is FUSED and step.body is not None else (step,)
    return (
        len(step.results) == 1
        and len(inner) <= _MOST_STEPS
        and all(
            (each.primitive.elementwise and not each.primitive.costly) or each.primitive is POOL_PUT for each in inner
        )
    )
