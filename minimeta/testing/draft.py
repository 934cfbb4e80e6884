"""A program that grows: written down by one drawn instruction after another.

A primitive draws parameters and operands that it takes, and each of these is then replaced: by a
value that the program has already, of the same form or brought into it by a conversion and a few
views; or by a new operand or constant. An instruction may also be a region or a vmap, whose body is
a small program, or an earlier one again.

Each value is computed as soon as it is written down, since an index that was computed has to be in
range.

An example shrinks by leaving choices out and by taking the first of several. So the first kind of
instruction is none, the first shape is new and has sides of 1, and the first source of an operand
is a new one, of ones; what an instruction draws depends as little as may be on those before it,
which can therefore be left out.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st
from numpy.typing import NDArray

from minimeta.autodiff.array import Form, Shape, is_float
from minimeta.autodiff.operations.conversions import CONVERTIBLE
from minimeta.autodiff.primitive import Primitive, registry
from minimeta.autodiff.regions import REMATERIALIZE
from minimeta.autodiff.steps import Program, Step, Tasks, as_results
from minimeta.errors import DtypeError
from minimeta.program.names import renamed, results_of
from minimeta.program.vmap import VMAP
from minimeta.testing.operands import Domain, Drawing

Operands = tuple[NDArray[Any], ...]

_FLOATS = ("float64", "float32")
_COMPARABLE = ("bool", "int64", *_FLOATS)
_SPECIAL = (0.0, -0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 1e-40, 1e30)


class Draft(Drawing):
    """A program that grows; samples draw from it.

    Values are named in the order in which they come, and numbered in the end.

    Parameters
    ----------
    draw
        Hypothesis's.
    primitives
        What instructions are drawn from, besides regions.
    stretch
        A factor for one side of new shapes.
    depth
        How many bodies it is inside of.
    """

    def __init__(self, draw: st.DrawFn, primitives: Sequence[Primitive], stretch: int, depth: int = 0) -> None:
        super().__init__(draw)
        self._primitives = primitives
        self._stretch = stretch
        self._depth = depth
        self._most = 64 * max(stretch, 64)  # elements of a value
        self._values: list[Any] = []
        self._forms: list[Any] = []
        self._operands: list[int] = []
        self._constants: list[int] = []
        self._steps: dict[int, Step] = {}

    # What samples draw

    def integer(self, low: int, high: int) -> int:
        """Draw an integer in [low, high]; 0 last and less often, where it may be a side: little happens then."""
        return self._draw(_sides(high)) if low == 0 and high > 1 else super().integer(low, high)

    def shape(self, low: int = 0, high: int = 3) -> Shape:
        """Draw a shape of sides 0 to 4, one of them stretched; or one that the program has already, mostly."""
        shapes = [x.shape for _, x in self._arrays() if low <= x.ndim <= high and 0 < x.size < self._most]
        known = list(dict.fromkeys(shapes))
        # Two `None`s, because hypothesis draws nothing from a list of one element, and an instruction
        # must draw as often when those before it are left out.
        chosen: Shape | None = self._draw(_one_of(None, None, *known, *known[-2:] * 2))
        if chosen is not None:
            return chosen
        sides = self._draw(st.lists(_sides(4), min_size=low, max_size=high))
        if sides and self._stretch > 1:
            sides[self._draw(st.integers(0, len(sides) - 1))] *= self._stretch
        return tuple(sides)

    def array(self, shape: Shape, domain: Domain = "real") -> NDArray[Any]:
        """Draw floats of a domain, repeated where there are many."""
        self._limit(shape)
        return super().array(shape, domain) if _size(shape) < 1000 else np.resize(super().array((997,), domain), shape)

    # Growing

    def grow(self, most: int) -> None:
        """Write down one instruction or more; often several of a kind in a row."""
        bodies = [REMATERIALIZE, VMAP] if self._depth < 2 else []
        kinds = ["nothing", *self._primitives, *self._primitives, *bodies, "again"]
        previous: list[Any] = []
        for _ in range(most):
            previous = [self._draw(_instructions(self, kinds + previous * 3))]
        assume(self._steps)

    def instruct(self, primitive: Primitive) -> None:
        """Write down an instruction, unless its values are too large or a computed index is out of range."""
        draws = {REMATERIALIZE: self._region, VMAP: self._map}.get(primitive, lambda: self._sampled(primitive))
        try:
            sampled, params = draws()
            for x in (*sampled, *as_results(primitive.shape(*sampled, **params))):
                self._limit(x.shape)
            self._compute(primitive, [self._replaced(x) for x in sampled], params)
        except (_TooLarge, IndexError):
            return

    def repeat(self) -> None:
        """Write down an earlier instruction again."""
        if self._steps:
            step = self._draw(st.sampled_from(list(self._steps.values())))
            self._compute(step.primitive, step.operands, step.keywords)

    def _compute(self, primitive: Primitive, names: Sequence[int], keywords: dict[str, Any]) -> int:
        """Return the name of the first result of an instruction; those of the others follow."""
        values = as_results(primitive.kernel(*[self._values[i] for i in names], **keywords))
        forms = as_results(primitive.shape(*[self._forms[i] for i in names], **keywords))
        first = len(self._values)
        self._steps[first] = Step.of(primitive, tuple(names), keywords, forms)
        self._values += values
        self._forms += forms
        return first

    def _arrays(self) -> list[tuple[int, NDArray[Any]]]:
        return [*enumerate(self._values)]

    def _limit(self, shape: Shape) -> None:
        if _size(shape) > self._most:
            raise _TooLarge

    def _region(self) -> tuple[Operands, dict[str, Any]]:
        """Operands for a region, and a small program as its body."""
        body = Draft(self._draw, self._primitives, self._stretch, self._depth + 1)
        body.grow(3)
        program, operands = body.program(body.outputs())
        return operands, {"body": program}

    def _map(self) -> tuple[Operands, dict[str, Any]]:
        """Operands for a vmap, mapped and shared ones, and a small program as its body."""
        operands, params = self._region()
        body: Program = params["body"]
        count = self._draw(_one_of(1, 2, 3, 20, 0))
        mapped = tuple(self._draw(st.booleans()) for _ in operands)
        forms = body.forms()
        summed = tuple(is_float(forms[i]) and self._draw(st.booleans()) for i in body.outputs)
        batch = [_batch(x, count) if is_mapped else x for x, is_mapped in zip(operands, mapped, strict=True)]
        keep = self._draw(st.booleans())
        return tuple(batch), {"body": body, "tasks": Tasks(count, mapped, summed, keep)}

    # Operands

    def _sampled(self, primitive: Primitive) -> tuple[Operands, dict[str, Any]]:
        """Operands of a primitive, and parameters; floats are converted to one of the dtypes that it takes."""
        sampled, params = primitive.sample(self)
        takes = [dtype for dtype in (*_FLOATS, *CONVERTIBLE) if _takes(primitive, dtype, sampled, params)]
        recent = [x.dtype.name for _, x in self._arrays() if is_float(x) and x.dtype.name in takes][-1:]
        return _in_dtype(sampled, self._draw(_one_of(*takes, *20 * recent))), params

    def _replaced(self, sampled: NDArray[Any]) -> int:
        """Return a value for a sampled operand: one that there is, brought into its form, or a new one."""
        known = [(name, x) for name, x in self._arrays() if _convertible(x, sampled.dtype)]
        alike = [name for name, x in known if (x.shape, x.dtype) == (sampled.shape, sampled.dtype)]
        near = alike or [name for name, x in known if _reaches(x, sampled.shape)]
        new = _sources(sampled.dtype.kind)
        given = {*self._operands, *self._constants}
        results = [name for name in near if name not in given]
        often = [*near, *(results or near)[-2:] * len(new)]
        source: Any = self._draw(_one_of(*new, *often))
        if isinstance(source, int):
            return self._fitted(source, sampled.shape, sampled.dtype)
        return self._new(sampled, *source)

    def _fitted(self, name: int, shape: Shape, dtype: np.dtype[Any]) -> int:
        """Return a value in another dtype and shape."""
        if self._values[name].dtype != dtype:
            name = self._compute(registry["astype"], [name], {"dtype": dtype.name})
        x = self._values[name]
        if x.shape == shape:
            return name
        if _broadcasts(x.shape, shape):
            return self._compute(registry["broadcast_to"], [name], {"shape": shape})
        name = self._compute(registry["reshape"], [name], {"shape": (x.size,)})
        name = self._compute(registry["slice"], [name], {"starts": (0,), "sizes": (_size(shape),), "steps": (1,)})
        return self._compute(registry["reshape"], [name], {"shape": shape})

    def _new(self, sampled: NDArray[Any], elements: Any, constant: bool) -> int:
        """Return an operand or a constant: one number everywhere, what was sampled, or infinities and their like."""
        x = sampled
        if elements == "special":
            rng = self.rng()
            x = np.where(rng.random(x.shape) < 0.3, rng.choice(_SPECIAL, x.shape).astype(x.dtype), x)
        elif elements != "sampled":
            x = np.broadcast_to(np.array(elements, x.dtype), x.shape)
        return self._give(x, constant)

    def _give(self, value: NDArray[Any], constant: bool = False) -> int:
        name = len(self._values)
        self._values.append(value if constant else np.array(value, order="C"))
        self._forms.append(Form.of(value))
        (self._constants if constant else self._operands).append(name)
        return name

    # The end

    def outputs(self, differentiable: bool = False) -> list[int]:
        """Return the last value and some others, and the last float that was computed if it is to be differentiated."""
        names = [name for name, _ in self._arrays()]
        given = {*self._operands, *self._constants}
        floats = [name for name, x in self._arrays() if name not in given and is_float(x)]
        chosen = self._draw(st.lists(_one_of(*names), max_size=3))
        return [*chosen, *floats[-1:] * differentiable, names[-1]]

    def program(self, outputs: Sequence[int]) -> tuple[Program, Operands]:
        """Return the program with these outputs, and what its operands are."""
        results = (i for name, step in self._steps.items() for i in results_of(name, step))
        number = {name: i for i, name in enumerate((*self._operands, *self._constants, *results))}
        program = Program(
            tuple(self._forms[i] for i in self._operands),
            tuple(self._values[i] for i in self._constants),
            tuple(renamed(step, number) for step in self._steps.values()),
            tuple(number[i] for i in outputs),
        )
        return program, tuple(self._values[i] for i in self._operands)


class _TooLarge(Exception):  # noqa: N818 (it is an answer)
    """An instruction whose values would take too much memory."""


@st.composite
def _instructions(draw: st.DrawFn, draft: Draft, kinds: Sequence[Any]) -> Any:
    """One more instruction, or nothing, so that an example can shrink; its kind."""
    kind = draw(_one_of(*kinds))
    if kind == "again":
        draft.repeat()
    elif isinstance(kind, Primitive):
        draft.instruct(kind)
    return kind


@functools.cache
def _sources(kind: str) -> list[tuple[Any, bool]]:
    """Return how a value of this kind may come into a program: its elements, and whether it is a constant."""
    if kind == "f":
        numbers, special = [1.0, 1.0, 1.0, 0.0, 0.0, -0.0, -1.0, 0.5], [("special", False)] * 2
    else:
        numbers, special = ([True, False] if kind == "b" else [0]), []
    sampled = [("sampled", False)] * 4 + [("sampled", True)] * 2
    return [(numbers[0], False), *((number, True) for number in numbers), *sampled, *special]


@functools.lru_cache(4096)
def _one_of(*choices: Any) -> st.SearchStrategy[Any]:
    """Return one strategy for the same choices: hypothesis takes longer to make one than to draw from it."""
    return st.sampled_from(choices)


@functools.cache
def _sides(high: int) -> st.SearchStrategy[int]:
    return st.sampled_from([*range(1, high + 1)] * (1 if high == 2 else 2) + [0])


def _batch(x: NDArray[Any], count: int) -> NDArray[Any]:
    """Return an operand for each of so many tasks: floats differ."""
    tasks = [x * x.dtype.type(1 + task) if is_float(x) else x for task in range(count)]
    return np.stack(tasks) if tasks else np.zeros((0, *x.shape), x.dtype)


# Forms


def _size(shape: Shape) -> int:
    return int(np.prod(shape, dtype=np.int64))


def _in_dtype(operands: Operands, dtype: str) -> Operands:
    """Operands with their floats converted; to whole numbers by way of int64, where a negative one is no error."""
    whole = np.dtype(dtype).kind in "iu"
    return tuple(
        x if not is_float(x) else x.astype(np.int64).astype(dtype) if whole else x.astype(dtype) for x in operands
    )


def _takes(primitive: Primitive, dtype: str, operands: Operands, params: dict[str, Any]) -> bool:
    """Return whether a primitive takes operands whose floats are converted to this dtype, whatever their values."""
    if not primitive.elementwise:
        try:
            primitive.shape(*(Form(x.shape, dtype if is_float(x) else x.dtype) for x in operands), **params)
        except DtypeError:
            return False
        return True
    if dtype not in _COMPARABLE or np.dtype(dtype).kind not in primitive.accepts:
        return False
    try:  # An integer has no integer power to a negative exponent.
        primitive.kernel(*_in_dtype(tuple(np.full((), -1).astype(x.dtype) for x in operands), dtype), **params)
    except ValueError:
        return False
    return True


def _convertible(x: NDArray[Any], dtype: np.dtype[Any]) -> bool:
    """Return whether every element has a meaning in another dtype."""
    if is_float(x) and dtype.kind in "iu":
        return bool(np.all((np.iinfo(dtype).min <= x) & (x < np.iinfo(dtype).max)))
    return True


def _reaches(x: NDArray[Any], shape: Shape) -> bool:
    """Return whether views lead from an array to a shape."""
    return _broadcasts(x.shape, shape) or x.size >= _size(shape)


def _broadcasts(one: Shape, other: Shape) -> bool:
    lead = len(other) - len(one)
    return lead >= 0 and all(side in (1, wanted) for side, wanted in zip(one, other[lead:], strict=True))
