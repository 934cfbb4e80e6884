"""Passes: make a program shorter, with the same results to the bit.

A program is a list of definitions, ``v = p(a, b, ...)``. Four passes shorten it, and none changes a
number:

    eliminate     drop what no output needs
    fold          compute now what depends on constants alone
    deduplicate   merge equal definitions
    simplify      write one definition for two, or none:  a * 1  is  a,  a + (-b)  is  a - b
                  (:mod:`minimeta.program.identities`)

Three more move work: ``hoist`` takes out of a ``vmap`` what is the same for all tasks
(:mod:`minimeta.program.hoist`), ``unite`` lets a task go on where the next ``vmap`` reads what it
made, or computes the same again (:mod:`minimeta.program.unite`), and ``fuse`` makes one step of
several elementwise ones (:mod:`minimeta.program.fuse`), after it has cut long arrays into strips of
rows (:mod:`minimeta.program.strips`). ``products`` lets such a step compute the products that it alone
reads (:mod:`minimeta.program.fused_products`), which ``split`` cuts for it (:mod:`minimeta.program.split`),
and ``finish`` lets a small product, or a convolution with strides, compute what follows before it is
stored (:mod:`minimeta.program.finish`).
``scatters`` writes one scatter_add for a sum of several (:mod:`minimeta.program.scatters`),
``release`` moves what frees memory to where it can run first (:mod:`minimeta.program.release`), and
``recompute`` computes long values twice that would be kept for long (:mod:`minimeta.program.recompute`).

``fold``, ``deduplicate`` and ``simplify`` go through the program together, each definition after
those that it reads, which have been shortened already. So one walk finds nearly everything, and the
time that it takes grows with the length of the program and no faster.

The body of a step (``rematerialize``, ``vmap``) is shortened as a program of its own. Regions
recompute on purpose, so equal regions are never merged; unused results are dropped. By the time
passes run, a ``custom_vjp`` has been differentiated already, so it is replaced by its body.

When an alias or a copy is replaced by its operand, two outputs may become one value, or an operand.
The executor returns every output in separate memory.
"""

from __future__ import annotations

import collections
import dataclasses
import itertools
from collections.abc import Callable, Collection, Container, Sequence
from typing import Any, TypeAlias, TypeVar, cast

import numpy as np

from minimeta.autodiff.calls import CALL
from minimeta.autodiff.operations.arithmetic import RELU_SLOPE
from minimeta.autodiff.operations.joining import CONCATENATE, SPLIT
from minimeta.autodiff.operations.linear_algebra import MATMUL
from minimeta.autodiff.operations.movement import SLICE
from minimeta.autodiff.operations.pooling import POOL_TAKE
from minimeta.autodiff.regions import CUSTOM_VJP
from minimeta.autodiff.steps import Program, Step, by_kernel
from minimeta.errors import ConfigurationError
from minimeta.program.finish import finish
from minimeta.program.fused_products import products
from minimeta.program.hoist import hoist
from minimeta.program.identities import SIMPLE, composed, filled, masked, patches, traded, unchanged, windows
from minimeta.program.names import (
    constant_key,
    fresh_names,
    named,
    numbered,
    opened,
    program_of,
    renamed,
    results_of,
    step_key,
)
from minimeta.program.place import GROUPS, place
from minimeta.program.pool import pool
from minimeta.program.recompute import recompute
from minimeta.program.release import release
from minimeta.program.scatters import scatters
from minimeta.program.split import split
from minimeta.program.strips import fuse_in_strips
from minimeta.program.unite import unite

Pass: TypeAlias = Callable[[Program], Program]
P = TypeVar("P", bound=Program)

#: Bytes of a result that is kept as a constant even where its operands are smaller.
_SMALL = 2**20


def eliminate(program: Program) -> Program:
    """Drop the steps and constants that no output needs; operands stay."""
    return _shorter(program, ("eliminate",))


def fold(program: Program) -> Program:
    """Compute the steps whose operands are all constants, by their kernels, as an operation outside
    of a trace would.

    A result of more than 1 MiB is folded only if its operands are no smaller: a constant lives as
    long as the program.
    """
    return _shorter(program, ("fold",))


def deduplicate(program: Program) -> Program:
    """Merge equal constants, and steps of equal primitives, operands and parameters."""
    return _shorter(program, ("deduplicate",))


def simplify(program: Program) -> Program:
    """Replace steps that change nothing by their operands, and two steps by a cheaper form."""
    return _shorter(program, ("simplify",))


#: The passes that are repeated until none of them finds anything.
_REPEATED = ("eliminate", "fold", "deduplicate", "simplify", "hoist", "unite")

#: Those that follow, each once: they decide how steps run, and the others do not look inside of
#: what they make.
_LAST: dict[str, Pass] = {
    "scatters": scatters,
    "split": split,
    "finish": finish,
    "fuse": fuse_in_strips,
    "products": products,
    "pool": pool,
    "release": release,
    "recompute": recompute,
    "place": place,
}

#: The names of all passes.
PASSES = (*_REPEATED, *_LAST)

#: Those that put steps into groups, which one kernel runs or none.
GROUPING = tuple(_LAST)


def optimise(program: P, passes: Collection[str] = PASSES) -> P:
    """Make a program shorter without changing a bit of its results.

    Parameters
    ----------
    program
        A traced function.
    passes
        The names of the passes to use, of :data:`PASSES`.

    Returns
    -------
    Program
        Of the same operands and outputs, and no more steps that are not views, those inside of
        regions included (but a slope that leaves a ``vmap`` leaves a product there, ``split`` makes
        several steps of one, and ``recompute`` two). The first six passes are repeated until none finds
        anything: each removes values, takes some out of a region, or leaves a chain of movements
        shorter, so there is an end.

    Raises
    ------
    ConfigurationError
        An unknown pass.
    """
    wanted = known(passes)
    found = _repeated(program, wanted, {})
    for name, rewrite in _LAST.items():
        if name in wanted:
            found = everywhere(rewrite, found)
    return cast("P", found)


def _repeated(program: Program, wanted: Collection[str], finished: dict[int, Program]) -> Program:
    """Return the program when no pass finds anything more; by identity, ``finished`` holds those."""
    while id(program) not in finished:
        before = program
        program = _shorter(_with_bodies(program, lambda body: _repeated(body, wanted, finished)), wanted)
        if "hoist" in wanted:
            program = hoist(program)
        if "unite" in wanted:
            program = unite(program)
        if program is before or _is_finished(program, finished):
            finished[id(program)] = program
    return program


def _is_finished(program: Program, finished: Container[int]) -> bool:
    """Return whether another walk would find nothing: each walk leaves nothing but bodies that it
    changed, and a slice that may have become the only reader of a product.
    """
    steps = dict(program.numbered_steps())
    for step in program.steps:
        if step.body is not None and id(step.body) not in finished:
            return False
        if step.primitive is SLICE and (read := steps.get(step.operands[0])) and read.primitive is MATMUL:
            return False
    return True


def everywhere(rewrite: Pass, program: Program) -> Program:
    """Return the program rewritten, and before it the bodies of its steps."""
    return rewrite(_with_bodies(program, lambda body: everywhere(rewrite, body)))


def _with_bodies(program: Program, rewrite: Pass) -> Program:
    """Return the program with the bodies of its steps rewritten, those of groups excepted."""
    changed = {
        i: body
        for i, step in enumerate(program.steps)
        if step.body is not None and step.primitive not in GROUPS and (body := rewrite(step.body)) is not step.body
    }
    if not changed:
        return program
    steps = list(program.steps)
    for i, body in changed.items():
        steps[i] = steps[i]._replace(body=body)
    return dataclasses.replace(program, steps=tuple(steps))


def known(passes: Collection[str]) -> tuple[str, ...]:
    """Return these passes in the order in which they run; refuse unknown names."""
    passes = (passes,) if isinstance(passes, str) else passes
    if unknown := sorted(set(passes) - set(PASSES)):
        raise ConfigurationError(f"unknown passes {', '.join(unknown)}; there are {', '.join(PASSES)}")
    return tuple(name for name in PASSES if name in passes)


# One walk


def _shorter(program: Program, wanted: Collection[str]) -> Program:
    """Use those of the first four passes that are wanted, ``eliminate`` last and backwards."""
    if "simplify" in wanted:
        program = opened(program, (CUSTOM_VJP, SPLIT))
    constants, steps = named(program)
    if not {"fold", "deduplicate", "simplify"}.isdisjoint(wanted):
        walk = _Walk(program, constants, wanted)
        walk.all(steps)
        steps, outputs = walk.steps, tuple([walk.same.get(i, i) for i in program.outputs])
        if outputs != program.outputs:
            program = dataclasses.replace(program, outputs=outputs)
    if "eliminate" not in wanted:
        return numbered(program, constants, steps)
    needed = set(program.outputs)
    kept: dict[int, Step] = {}
    same: dict[int, int] = {}
    for name, step in reversed(steps.items()):
        if needed.isdisjoint(results_of(name, step)):
            continue
        kept[name] = step
        if step.body is not None:
            places = [place for place, i in enumerate(results_of(name, step)) if i in needed]
            kept[name] = _narrowed(step, step.body, places)
            if kept[name] is not step:
                same.update({name + old: name + new for new, old in enumerate(places)})
        needed.update(kept[name].operands)
    constants = {name: value for name, value in constants.items() if name in needed}
    return numbered(program, constants, dict(reversed(kept.items())), same)


class _Walk:
    """One way through a program, forwards.

    Attributes
    ----------
    constants, steps
        What is kept, by name.
    same
        Names of values that are others.
    """

    def __init__(self, program: Program, constants: dict[int, Any], wanted: Collection[str]) -> None:
        self.constants = constants
        self.steps: dict[int, Step] = {}
        self.same: dict[int, int] = {}
        self._first: dict[Any, int] = {}  # the names of those that may be found again, by what they are
        self._filled: dict[int, tuple[int, int]] = {}  # pads and sums of them, as `filled` describes them
        self._takes: dict[tuple[Any, ...], int] = {}  # the names of pool_takes, by what they take
        self._forms = program.forms()
        self._fresh = fresh_names(program)
        self._uses = collections.Counter(itertools.chain(*[step.operands for step in program.steps], program.outputs))
        self._folds, self._merges, self._simplifies = [name in wanted for name in ("fold", "deduplicate", "simplify")]

    def all(self, steps: dict[int, Step]) -> None:
        """Go through these steps."""
        if self._merges:
            for name, value in list(self.constants.items()):
                self._constant(name, value)
        for name, former in steps.items():
            step = renamed(former, self.same)
            if self._simplifies and step.primitive.name in SIMPLE:
                step = self._simplified(name, step)
                if name in self.same:
                    continue
            if self._folds and self.constants.keys() >= set(step.operands) and self._folded(name, step):
                continue
            if not self._merges or step.body is not None or not self._merged(name, step):
                self.steps[name] = step

    def _is(self, name: int, other: int) -> None:
        """Note down that a value is another, which its readers read from now on."""
        self.same[name] = other
        self._uses[other] += self._uses[name]

    def _constant(self, name: int, value: Any) -> None:
        """Keep a constant, unless there is one like it."""
        earlier = self._first.setdefault(constant_key(value), name)
        if earlier != name:
            self._is(name, earlier)
            del self.constants[name]

    def _folded(self, name: int, step: Step) -> bool:
        """Compute a step of constants, if it may be."""
        if step.body is not None or step.primitive is CALL:
            return False
        values = [self.constants[i] for i in step.operands]
        size = sum(form.nbytes for form in step.results)
        if size > max(_SMALL, sum(value.nbytes for value in values)):
            return False
        for result, value in enumerate(by_kernel(step, *values), name):
            self.constants[result] = value
            if self._merges:
                self._constant(result, value)
        return True

    def _simplified(self, name: int, step: Step) -> Step:
        """Return a simpler step, or note down that the result is another value."""
        step = composed(step, self.steps)
        if step.primitive is SLICE and self._uses[step.operands[0]] == 1:
            step = traded(step, self.steps, self._forms)
        if step.primitive is POOL_TAKE:
            self._takes.setdefault((*step.operands, *windows(step)), name)
        if step.primitive is RELU_SLOPE and self._uses[step.operands[1]] == 1:
            step = masked(step, self.steps, self._takes, self._forms)
        same = unchanged(step, self.steps, self.constants, self._forms)
        if same is not None:
            self._is(name, same)
        elif extent := filled(step, self._forms, self._filled, self._uses):
            self._filled[name] = extent
            if extent[1] == step.form.shape[extent[0]]:
                return self._assembled(step, extent[0])
        return step

    def _assembled(self, step: Step, axis: int) -> Step:
        """Concatenate the parts of a sum of pads, and add 0: what is -0 alone is 0 in the sum."""
        parts = patches(step, self.steps, self._forms, axis)
        if not parts:
            return step
        whole, zero = next(self._fresh), next(self._fresh)
        self.steps[whole] = Step(CONCATENATE, tuple(parts), {"axis": axis}, step.results, step.origin)
        self.constants[zero] = np.broadcast_to(np.zeros((), step.form.dtype), step.form.shape)
        return step._replace(operands=(whole, zero))

    def _merged(self, name: int, step: Step) -> bool:
        """Find a step again, if it is there already; a product that was traded for a slice is not."""
        key = step_key(step)
        earlier = self._first.setdefault(key, name)
        if earlier == name or self.steps[earlier].primitive is not step.primitive:
            self._first[key] = name
            return False
        for i in range(len(step.results)):
            self._is(name + i, earlier + i)
        return True


def _narrowed(step: Step, body: Program, places: Sequence[int]) -> Step:
    """Return a step without the other results, and without operands that its body does not use."""
    if step.primitive is CUSTOM_VJP:
        return step
    used = {i for inner in body.steps for i in inner.operands} | {body.outputs[place] for place in places}
    operands = [i for i in range(len(body.operands)) if i in used]
    if len(places) == len(body.outputs) and len(operands) == len(body.operands):
        return step
    outputs = [body.outputs[place] for place in places]
    body = program_of({i: body.operands[i] for i in operands}, *named(body), outputs)
    tasks = step.tasks and dataclasses.replace(
        step.tasks,
        mapped=tuple(step.tasks.mapped[i] for i in operands),
        summed=tuple(step.tasks.summed[place] for place in places),
    )
    return step._replace(
        operands=tuple(step.operands[i] for i in operands),
        results=tuple(step.results[place] for place in places),
        body=body,
        tasks=tasks,
    )
