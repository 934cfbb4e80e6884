"""Replay: the derivative of a program along a direction, by the complex step, to machine precision.

Computed in complex numbers, an analytic function satisfies

    f(x + i h u) = f(x) + i h f'(x) u + O(h^2)        so that        f'(x) u = Im f(x + i h u) / h + O(h^2).

Nothing is subtracted, so ``h`` may be 1e-150, and ``h^2`` vanishes in any comparison: what is left is rounding
(Squire and Trapp 1998; Lyness and Moler 1967).

A program also makes choices: ``max``, ``abs``, ``x > y``. Here they are made in *lexicographic* order, by the real
parts and, where these are tied, by the imaginary ones. Since ``h`` is smaller than any difference of real parts, the
replay at ``x + i h u`` then computes what the program does just beside ``x``, on the side of ``u``: the one-sided
derivative (Nesterov 2005). So two replays decide exactly whether ``x`` is a kink along ``u``:

    Im f(x + i h u) / h  =  -Im f(x - i h u) / h        if and only if the two sides have one derivative.

``relu`` at 0 has two, ``|x|^3`` at 0 has one; ``max`` of a tie has one if both candidates move alike.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minimeta.autodiff.graph import Step, StraightLine
from minimeta.autodiff.operations.elementwise import STOP_GRADIENT
from minimeta.autodiff.primitive import Primitive, registry
from minimeta.autodiff.regions import PROJECT
from minimeta.errors import Nondifferentiable

Floats = NDArray[Any]

H = 1e-150
"""The complex step: ``h^2`` is still a normal number."""

_NOTHING = 1e-230
"""What a real part may be without being anything: some ``h^2``, times whatever is large."""

_ALIKE = 1e-8
"""Two sides whose derivatives differ by less, relatively, have one derivative."""

HELD = dataclasses.replace(STOP_GRADIENT, name="held")
"""``stop_gradient`` in the function that is checked: a constant on purpose, to the oracle too."""


def held(line: StraightLine) -> StraightLine:
    """A line whose own ``stop_gradient`` are told apart from those that a derivative rule brings in later.

    The first are the user's wish. The others would make a constant of what is none: to the oracle they are
    transparent, and so a rule that is right in its value and wrong in its derivative is found.
    """
    return _exchanged(line, STOP_GRADIENT, HELD)


def released(line: StraightLine) -> StraightLine:
    """The line as it was before :func:`held`."""
    return _exchanged(line, HELD, STOP_GRADIENT)


def _exchanged(line: StraightLine, old: Primitive, new: Primitive) -> StraightLine:
    steps = []
    for step in line.steps:
        params = step.params
        if "line" in params:
            params = {**params, "line": _exchanged(params["line"], old, new)}
        steps.append(step._replace(primitive=new if step.primitive is old else step.primitive, params=params))
    return line._replace(steps=tuple(steps))


def steps_of(line: StraightLine) -> Iterator[Step]:
    """The steps of a line and of all bodies in it."""
    for step in line.steps:
        yield step
        if "line" in step.params:
            yield from steps_of(step.params["line"])


class Replay:
    """Evaluates the steps of a line by their references; bodies step by step, and tasks one after another."""

    def __call__(self, primitive: Primitive, *values: Any, **params: Any) -> Any:
        """The result of one step."""
        if "mapped" in params:
            return self._tasks(*values, **params)
        if "line" in params:
            return tuple(params["line"].run(values, self))
        return self.step(primitive, *values, **params)

    def step(self, primitive: Primitive, *values: Any, **params: Any) -> Any:
        """The result of a step without a body."""
        return primitive.reference(*values, **params)

    def _tasks(
        self, *values: Any, line: StraightLine, mapped: Sequence[bool], summed: Sequence[bool], count: int, keep: bool
    ) -> tuple[Any, ...]:
        """A vmap: its body for each task."""
        tasks = []
        for task in range(count):
            mine = [x[task, ...] if is_mapped else x for x, is_mapped in zip(values, mapped, strict=True)]
            tasks.append(line.run(mine, self))
        if not tasks:
            forms = [*line.operands, *line.constants, *(step.shape for step in line.steps)]
            outputs = [forms[i] for i in line.outputs]
            shapes = [y.shape if is_sum else (0, *y.shape) for y, is_sum in zip(outputs, summed, strict=True)]
            return tuple(np.zeros(shape, y.dtype) for shape, y in zip(shapes, outputs, strict=True))
        columns = zip(zip(*tasks, strict=True), summed, strict=True)
        return tuple(np.sum(np.stack(column), 0) if is_sum else np.stack(column) for column, is_sum in columns)


class Complex(Replay):
    """Evaluates in complex numbers, choosing lexicographically.

    Parameters
    ----------
    through
        Whether to see through the user's own ``stop_gradient`` too: the derivative of the values themselves.
    """

    def __init__(self, through: bool = False) -> None:
        self._through = through

    def step(self, primitive: Primitive, *values: Any, **params: Any) -> Any:
        """The result of a step, by its rule for complex operands."""
        if not any(map(np.iscomplexobj, values)):
            return primitive.reference(*values, **params)
        if primitive is HELD:
            return values[0] if self._through else np.real(values[0])
        return _RULES.get(primitive.name, primitive.reference)(*values, **params)


class Along(NamedTuple):
    """What an oracle says of the derivatives of all outputs along a direction.

    Attributes
    ----------
    derivatives, errors
        One array for each output, and bounds of their errors.
    """

    derivatives: list[Floats]
    errors: list[Floats]


def along(
    line: StraightLine, point: Sequence[Floats], direction: Sequence[Floats], through: bool = False, order: int = 1
) -> Along:
    """Derivatives of the outputs of a line along a direction.

    Parameters
    ----------
    line
        A program of float operands to float outputs.
    point, direction
        One array for each operand.
    through
        As of :class:`Complex`.
    order
        Of the derivative that this is, for the message.

    Raises
    ------
    Nondifferentiable
        The two sides have different derivatives or values, or there is none; the message names the first step.
    """
    evaluate = Complex(through)
    base, above, below = (_outputs(line, _shifted(point, direction, side), evaluate) for side in (0.0, H, -H))
    if not all(map(_smooth, base, above, below)):
        found = kink(line, point, direction, order, through)
        assert found is not None
        raise found
    eps = np.finfo(np.float64).eps
    derivatives = [np.imag(y) / H for y in above]
    return Along(derivatives, [8 * eps * np.abs(d) for d in derivatives])


def _shifted(point: Sequence[Floats], direction: Sequence[Floats], step: float) -> list[Floats]:
    return [np.asarray(x) + 1j * step * np.asarray(u) for x, u in zip(point, direction, strict=True)]


def _outputs(line: StraightLine, operands: Sequence[Any], evaluate: Replay) -> list[Floats]:
    with np.errstate(all="ignore"):
        return [np.asarray(y, np.complex128) for y in line.run(operands, evaluate)]


def _smooth(*sides: Any) -> bool:
    """Whether a value, here and beside here, is one and has one derivative."""
    middle, plus, minus = (np.asarray(y, np.complex128) for y in sides)
    with np.errstate(all="ignore"):
        jumps = np.maximum(abs(np.real(plus - middle)), abs(np.real(minus - middle))) > _ALIKE * abs(middle) + _NOTHING
        right, left = np.imag(plus), -np.imag(minus)
        bends = abs(right - left) > _ALIKE * np.maximum(abs(right), abs(left)) + _NOTHING
        return bool(np.isfinite(plus).all() and not (jumps | bends).any())


def watched(line: StraightLine, operands: Sequence[Any], evaluate: Callable[..., Any]) -> list[Watched]:
    """Run a line, and keep each step with its operands and its result."""
    seen: list[tuple[tuple[Any, ...], Any]] = []

    def watching(primitive: Primitive, *values: Any, **params: Any) -> Any:
        seen.append((values, evaluate(primitive, *values, **params)))
        return seen[-1][1]

    with np.errstate(all="ignore"):
        line.run(operands, watching)
    steps = [step for step in line.steps if step.primitive is not PROJECT]
    return [Watched(step, *found) for step, found in zip(steps, seen, strict=True)]


class Watched(NamedTuple):
    """A step of a run."""

    step: Step
    operands: tuple[Any, ...]
    result: Any


def kink(
    line: StraightLine, point: Sequence[Floats], direction: Sequence[Floats], order: int, through: bool = False
) -> Nondifferentiable | None:
    """The error that names the first step with two sides along a direction, or without a derivative, if there is one.

    The outputs may be smooth where a step is not, as ``|x|^3`` at 0.
    """
    evaluate = Complex(through)
    for sides in zip(*(watched(line, _shifted(point, direction, h), evaluate) for h in (0.0, H, -H)), strict=True):
        step = sides[0].step
        results = [side.result if isinstance(side.result, tuple) else (side.result,) for side in sides]
        if not all(map(_smooth, *results)):
            reason = "has two sides" if all(np.isfinite(y).all() for y in results[1]) else "is singular"
            where = f"\n  {'in the backward pass of' if step.backward else 'at'} {step.line}" if step.line else ""
            return Nondifferentiable(
                f"there is no derivative of order {order} at this point, where {step.primitive.name} {reason}{where}",
                fault="kink",
                order=order,
                oracle="complex step",
                culprit=step.primitive.name,
                line=step.line,
            )
    return None


# Rules for complex operands, where the reference chooses by real parts alone or is not exact enough


def _logarithm_of_1_plus(x: Floats) -> Floats:
    # numpy's own takes the modulus of 1 + x, in which a small x is lost.
    return np.asarray(np.log1p(np.real(x)) + 1j * np.arctan2(np.imag(x), 1 + np.real(x)))


def _absolute(x: Floats) -> Floats:
    return np.where(x < 0, -x, x)


def _softplus(x: Floats) -> Floats:
    return np.where(x > 0, x, 0) + _logarithm_of_1_plus(np.exp(-_absolute(x)))


def _sign(x: Floats) -> Floats:
    return np.where(x > 0, 1.0, np.where(x < 0, -1.0, np.real(x)))


def _power(x: Floats, y: Floats) -> Floats:
    # By the differential: numpy's own turns about the origin, where a whole power of a negative number stays real.
    a, b = np.real(x), np.real(y)
    to_base = np.where(np.imag(x) != 0, b * np.power(a, np.where(b == 0, 1.0, b - 1)) * np.imag(x), 0)
    to_exponent = np.where(np.imag(y) != 0, np.power(a, b) * np.log(np.where(a == 0, 1.0, a)) * np.imag(y), 0)
    singular = _leaves_zero(x) & (b != np.round(b))
    return np.asarray(np.power(a, b) + 1j * np.where(singular, np.nan, to_base + to_exponent))


def _leaves_zero(x: Floats) -> Any:
    """Where an operand is 0 and moves: at a singular point. What grows as the square of a step shows as ``-h^2``."""
    return (np.abs(np.real(x)) <= _NOTHING) & ((np.imag(x) != 0) | (np.real(x) < 0))


def _norm(x: Floats, axes: tuple[int, ...], keepdims: bool) -> Floats:
    y = registry["norm"].reference(x, axes, keepdims)
    vanishes = np.max(np.abs(np.real(x)), axes, keepdims=keepdims, initial=0) <= _NOTHING
    return np.where(vanishes & np.any(np.imag(x) != 0, axes, keepdims=keepdims), complex(0, np.nan), y)


def _first_cell(x: Floats, **geometry: Any) -> Any:
    ranks = np.unique(x, return_inverse=True)[1].reshape(x.shape)
    return registry["max_cell"].reference(ranks.astype(np.float64), **geometry)


# numpy's comparisons and extremes of complex numbers are lexicographic.
_RULES: dict[str, Callable[..., Any]] = {
    "equal": np.equal,
    "not_equal": np.not_equal,
    "less": np.less,
    "less_equal": np.less_equal,
    "greater": np.greater,
    "greater_equal": np.greater_equal,
    "absolute": _absolute,
    "sign": _sign,
    "relu": lambda x: np.where(x > 0, x, 0),
    "gate": lambda x, g: np.where(x > 0, g, 0),
    "maximum": lambda x, y: np.where(x >= y, x, y),
    "minimum": lambda x, y: np.where(x <= y, x, y),
    "clip": lambda x, low, high: _RULES["minimum"](_RULES["maximum"](x, low), high),
    "max": lambda x, axes, keepdims: np.max(x, axes, keepdims=keepdims),
    "min": lambda x, axes, keepdims: np.min(x, axes, keepdims=keepdims),
    "argmax": lambda x, axis, keepdims: np.argmax(x, axis, keepdims=keepdims),
    "max_cell": _first_cell,
    "log1p": _logarithm_of_1_plus,
    "softplus": _softplus,
    "power": _power,
    # In complex numbers they go on where they end in real ones.
    "sqrt": lambda x: np.where(_leaves_zero(x) | (np.real(x) < 0), complex(0, np.nan), np.sqrt(x)),
    "log": lambda x: np.where(np.real(x) > 0, np.log(x), complex(0, np.nan)),
    "norm": _norm,
    "stop_gradient": lambda x: x,
}
