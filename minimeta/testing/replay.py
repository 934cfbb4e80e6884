"""Replay: the derivative of a program along a direction, to machine precision, by a complex step in
every step of it.

Computed in complex numbers, an analytic function satisfies

    f(x + i h u) = f(x) + i h f'(x) u + O(h^2)        so that        f'(x) u = Im f(x + i h u) / h + O(h^2)

and nothing is subtracted (Squire and Trapp 1998; Lyness and Moler 1967; book, chapter 5). One ``h``
for a whole program would be too short where values are small, and underflow, or too long next to a
pole. So every step chooses its own: a number ``x + i x'`` is a value with its derivative, and what
is nonlinear is computed at ``x + i h x'`` with ``h |x'|`` about 2^-40 of ``|x|``, whatever the
scale. Values are those of real arithmetic.

A program also makes choices: ``max``, ``abs``, ``x > y``. Here they are made in *lexicographic*
order, by values and, where these are tied, by derivatives: as the program chooses next to ``x``, on
the side of ``u`` (Nesterov 2005). So where a tie has decided, two replays tell whether ``x`` may be
a kink along ``u``: the derivatives along ``u`` and along ``-u`` are opposite if the two sides have
one. Whether it is one, the derivatives next to it say (:mod:`minimeta.testing.limits`); here the
step is found that is to be named.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minimeta.autodiff.array import Shape
from minimeta.autodiff.calls import CALL
from minimeta.autodiff.operations.conversions import STOP_GRADIENT
from minimeta.autodiff.primitive import Primitive
from minimeta.autodiff.steps import Evaluate, Program, Step, as_results, by_reference, run, run_body
from minimeta.errors import Nondifferentiable
from minimeta.testing.choices import CHOICES, differ, sided
from minimeta.testing.differences import Bend, central_difference
from minimeta.testing.directions import power_of_two

Floats = NDArray[Any]

HELD = dataclasses.replace(STOP_GRADIENT, name="held")
"""``stop_gradient`` in the function that is checked: a constant on purpose, to the oracle too."""


def held(program: Program) -> Program:
    """Return the program with its own ``stop_gradient`` marked, unlike those that a derivative rule
    brings in later.

    The first are the user's wish. The others would make a constant of what is none: to the oracle
    they are transparent, and so a rule that is right in its value and wrong in its derivative is
    found.
    """
    return _exchanged(program, STOP_GRADIENT, HELD)


def released(program: Program) -> Program:
    """Return the program as it was before :func:`held`."""
    return _exchanged(program, HELD, STOP_GRADIENT)


def _exchanged(program: Program, old: Primitive, new: Primitive) -> Program:
    steps = []
    for step in program.steps:
        body = step.body and _exchanged(step.body, old, new)
        steps.append(step._replace(primitive=new if step.primitive is old else step.primitive, body=body))
    return dataclasses.replace(program, steps=tuple(steps))


def is_black_box(primitive: Primitive) -> bool:
    """Return whether a primitive is a user's function, of which complex numbers need not give the derivative."""
    return primitive is CALL or not primitive.analytic


def steps_of(program: Program) -> Iterator[Step]:
    """Yield the steps of a program and of all bodies in it."""
    for step in program.steps:
        yield step
        if step.body is not None:
            yield from steps_of(step.body)


class Replay:
    """Evaluates the steps of a program by their references; bodies step by step, and tasks one after another."""

    def __call__(self, step: Step, *values: Any) -> tuple[Any, ...]:
        """Return the results of one step."""
        if step.body is not None:
            return run_body(step.body, step.tasks, values, self)
        return self.step(step, *values)

    def step(self, step: Step, *values: Any) -> tuple[Any, ...]:
        """Return the results of a step without a body."""
        return by_reference(step, *values)


class Complex(Replay):
    """Evaluates values with their derivatives, as complex numbers, choosing lexicographically.

    Parameters
    ----------
    through
        Whether to see through the user's own ``stop_gradient`` too: the derivative of the values
        themselves.
    strict
        Whether a root of 0 is singular also where its operand does not move to first order: at the
        point itself, where it may move as the square does. Next to the point, what is 0 and does
        not move is a constant.

    Attributes
    ----------
    tied
        Whether a choice came out as it does on one side of the point alone.
    errors
        How far off the derivatives of the results of the last black box may be.
    """

    def __init__(self, through: bool = False, strict: bool = False) -> None:
        self._through = through
        self._strict = strict
        self.tied = False
        self.errors: list[Floats] = []

    def step(self, step: Step, *values: Any) -> tuple[Any, ...]:
        """Return the results of a step, of values with derivatives."""
        return as_results(self._result(step.primitive, *values, **step.params))

    def _result(self, primitive: Primitive, /, *values: Any, **params: Any) -> Any:
        name = primitive.name
        if not any(map(np.iscomplexobj, values)):
            return primitive.reference(*values, **params)
        if is_black_box(primitive):
            return self._black_box(primitive, values, params)
        if primitive is HELD:
            return values[0] if self._through else np.real(values[0])
        if choose := CHOICES.get(name):
            result = choose(*values, **params)
            self.tied = self.tied or sided(choose, values, params, result)
            return result
        if primitive.linear:
            return values[0] if name == "stop_gradient" else primitive.reference(*values, **params)
        if not primitive.differentiable:
            return primitive.reference(*map(np.real, values), **params)
        value = primitive.reference(*map(np.real, values), **params)
        if primitive.quadratic:  # The imaginary part is x y' + x' y, whatever the length of the step.
            return pair(value, np.imag(primitive.reference(*values, **params)))
        if primitive.differential is not None:
            derivative = primitive.differential(*map(np.real, values), *map(np.imag, values))
        else:
            ratio = _SHORT_RATIO if primitive.partial else _RATIO
            length = _length(values, primitive.elementwise, primitive.shifted, ratio)
            stepped = [pair(np.real(x), length * np.imag(x)) if np.iscomplexobj(x) else x for x in values]
            moved = primitive.reference(*stepped, **params)
            if type(value) is tuple:
                return tuple(pair(y, np.imag(z) / length) for y, z in zip(value, moved, strict=True))
            derivative = np.imag(moved) / length
        if primitive.root:
            derivative = np.where(self._is_singular(*values, **params), np.nan, derivative)
        return pair(value, derivative)

    def _black_box(self, primitive: Primitive, values: Sequence[Any], params: Any) -> tuple[Any, ...]:
        """Return the results of a black box, with their derivatives by differences.

        Where the complex step agrees it is as good as anywhere. But a black box need not be
        analytic: numpy's ``abs``, ``norm`` and ``eigvalsh`` of complex numbers are other functions.
        """

        def outputs_at(operands: Iterable[Any]) -> list[Floats]:
            return list(map(np.asarray, as_results(primitive.reference(*operands, **params))))

        point, slopes = list(map(np.real, values)), [np.imag(x) for x in values]
        outputs = outputs_at(point)
        is_float = [y.dtype.kind == "f" for y in outputs]
        length = float(np.min([np.min(_reach(x, u), initial=_MOST) for x, u in zip(point, slopes, strict=True)]))
        moves = [length * u for u in slopes]

        def path(t: complex) -> list[Any]:
            moved = outputs_at(x + t * u if u.any() else x for x, u in zip(point, moves, strict=True))
            return [y for y, wanted in zip(moved, is_float, strict=True) if wanted]

        try:
            derivatives, errors, *_ = central_difference(path, moves)
        except Bend:
            derivatives = [np.full(y.shape, np.nan) for y in path(0.0)]
            errors = derivatives
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", np.exceptions.ComplexWarning)
                analytic = [np.imag(y) / _RATIO for y in path(_RATIO * 1j)]
        except Exception:  # Not every function takes complex numbers.
            analytic = [np.full(y.shape, np.nan) for y in derivatives]
        rows = []
        for x, y, error in zip(analytic, derivatives, errors, strict=True):
            agrees = abs(x - y) <= error
            rows.append((np.where(agrees, x, y) / length, np.where(agrees, 0.0, error) / length))
        found = iter(rows)
        pairs = [next(found) if wanted else (None, np.zeros(())) for wanted in is_float]
        self.errors = [error for _, error in pairs]
        return tuple(y if x is None else pair(y, x) for y, (x, _) in zip(outputs, pairs, strict=True))

    def _is_singular(self, x: Any, y: Any = 0.5, axes: Shape | None = None, keepdims: bool = False) -> Any:
        """Return where a root is taken of 0 that moves, or may move; a root of a sum, over axes."""
        size, moves = np.abs(np.real(x)), np.abs(np.imag(x))
        if axes is not None:
            size, moves = (np.max(part, axes, keepdims=keepdims, initial=0) for part in (size, moves))
        whole = np.real(y) == np.round(np.real(y))
        return (size == 0) & ~whole & (self._strict | (moves != 0))


def _reach(x: Floats, slope: Floats) -> Any:
    """Return how many times its derivative an element may move, and stay of its scale."""
    with np.errstate(divide="ignore"):
        return np.where(slope == 0, _MOST, power_of_two(x) / abs(slope))


def pair(value: Any, derivative: Any) -> Any:
    """Values with derivatives as complex numbers; an infinity of one leaves the other alone."""
    z = np.empty(np.broadcast_shapes(np.shape(value), np.shape(derivative)), np.complex128)
    z.real, z.imag = value, derivative
    return z


_RATIO = 2.0**-40
"""How far a complex step goes, relative to its operand: the square of it is nothing."""

_SHORT_RATIO = 2.0**-200
"""The same where a singular matrix may be nearby."""

_LEAST, _MOST = 2.0**-1000, 2.0**1000
"""Between what imaginary parts, and lengths, are kept."""

_NO_FRACTION = 2.0**53
"""Numbers beyond this are whole, and nothing that oscillates or grows on a scale of 1 has a meaning there."""


def _length(values: Sequence[Any], elementwise: bool, shifted: bool = False, ratio: float = _RATIO) -> Any:
    """Return the step that is right for a function of these operands: of each element, or of all, or of a shift."""
    length: Any = _MOST
    for z in values:
        if np.iscomplexobj(z):
            x, slope = np.abs(np.real(z)), np.abs(np.imag(z))
            if not elementwise:
                x, slope = np.max(x, initial=0.0), np.max(slope, initial=0.0)
            scale = np.where((x > 0) & ((x < 1) | (x > _NO_FRACTION)) & (not shifted), x, 1.0)
            length = np.minimum(length, np.maximum(scale * ratio, _LEAST) / slope)
    return np.where(length >= _LEAST, length, _LEAST)


def moving(point: Sequence[Floats], direction: Sequence[Floats], t: float = 0.0) -> list[Any]:
    """Return the point at a distance ``t`` along a direction, with the direction as its derivative."""
    return [pair(x + t * np.asarray(u), u) for x, u in zip(point, direction, strict=True)]


def replayed(program: Program, operands: Sequence[Any], evaluate: Evaluate) -> list[Any]:
    """Return the outputs of a program, as complex numbers."""
    with np.errstate(all="ignore"):
        return [np.asarray(y, np.complex128) for y in run(program, operands, evaluate)]


def watched(program: Program, operands: Sequence[Any], evaluate: Evaluate) -> list[Watched]:
    """Run a program, and keep each step with its operands and its results."""
    seen: list[Watched] = []

    def watching(step: Step, *values: Any) -> tuple[Any, ...]:
        seen.append(Watched(step, values, evaluate(step, *values)))
        return seen[-1].results

    with np.errstate(all="ignore"):
        run(program, operands, watching)
    return seen


class Watched(NamedTuple):
    """A step of a run."""

    step: Step
    operands: tuple[Any, ...]
    results: tuple[Any, ...]


class Kink(NamedTuple):
    """A step of a program that has no derivative where it is.

    Attributes
    ----------
    step
        Which.
    reason
        That it has two sides, or is singular.
    """

    step: Step
    reason: str

    @property
    def where(self) -> str:
        """The user's line, if there is one."""
        return str(self.step.origin)


def kink(program: Program, point: Sequence[Any], direction: Sequence[Floats], through: bool = False) -> Kink | None:
    """Return the first step with two sides along a direction, or without a derivative, if there is
    one.

    The outputs may be smooth where a step is not, as ``|x|^3`` at 0.
    """
    backwards = [-np.asarray(u) for u in direction]
    nowhere = [np.zeros(np.shape(u)) for u in direction]
    runs = (
        watched(program, moving(point, way), Complex(through, strict=way is not nowhere))
        for way in (nowhere, direction, backwards)
    )
    for sides in zip(*runs, strict=True):
        for here, above, below in zip(*(side.results for side in sides), strict=True):
            if np.asarray(above).dtype.kind in "fc" and differ(here, above, below):
                singular = not np.isfinite(above).all()
                return Kink(sides[0].step, "is singular" if singular else "has two sides")
    return None


def nondifferentiable(found: Kink | None, order: int, called: str = "the function") -> Nondifferentiable:
    """Return the error that names a kink."""
    what = f"where {found.step.primitive.name} {found.reason}" if found else f"where {called} has two sides"
    return Nondifferentiable(
        f"there is no derivative of order {order} at this point, {what}"
        + (f"\n  {found.where}" if found and found.where else ""),
        fault="kink",
        order=order,
        oracle="complex step",
        culprit=found.step.primitive.name if found else "",
        line=found.step.origin.line if found else "",
    )
