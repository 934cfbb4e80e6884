"""Limits: the derivative at a point from those next to it.

Where a program is singular or ties at a point, or cancels so much that rounding is all there is to
see, its derivatives ``d(t)`` at ``x + t u`` are as good as they are anywhere. For a smooth function

    (d(t) + d(-t)) / 2 = d(0) + c2 t^2 + c4 t^4 + ...,        d(t) - d(-t) = c1 t + c3 t^3 + ...,

so the first is extrapolated to ``t = 0`` (:mod:`minimeta.testing.differences`), and the second
decides whether there is a derivative at all: at a kink it tends to the jump of the slope, at a pole
to nothing, and otherwise to 0. That is a property of the function, whatever its parts:
``relu(x) - relu(-x)`` is smooth, though made of kinks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minimeta.autodiff.steps import Program
from minimeta.testing.choices import differ
from minimeta.testing.differences import HALVINGS, Along, extrapolated, narrowed
from minimeta.testing.replay import Complex, kink, moving, nondifferentiable, pair, replayed
from minimeta.testing.rounding import DOUBLE, disturbed, root_mean_square

Floats = NDArray[Any]

_RELATIVE, _ABSOLUTE = (2.0**-14, 2.0**-8, 2.0**-3), (2.0**-15, 2.0**-9, 2.0**-3)
"""The longest steps of each scale, relative to the point, and where it is small."""

_RUNS = 3
"""How many times a replay is run with noise."""

_EXACT = 2.0**-46
"""A relative error that longer steps need not improve on."""

_NEAR, _ABOUT = 2.0**-24, 2.0**-12
"""How near, relative to the point, derivatives are about those at it; and what that means, relative to them."""

_STAYS = 0.25
"""What stays more than this part of itself while ``t`` is halved a few times does not vanish."""


def along(
    program: Program,
    point: Sequence[Floats],
    direction: Sequence[Floats],
    through: bool = False,
    order: int = 1,
    measured: bool = True,
) -> Along:
    """Derivatives of the outputs of a program along a direction, and what rounding may have made of
    them.

    Parameters
    ----------
    program
        A program of float operands to float outputs.
    point, direction
        One array for each operand.
    through
        As of :class:`~minimeta.testing.replay.Complex`.
    order
        Of the derivative that this is, for the message.
    measured
        Whether to measure what rounding may have made of them; it is taken for nothing else.

    Raises
    ------
    Nondifferentiable
        The two sides have different derivatives or values, or there is none; the message names the
        first step.
    """
    operands = moving(point, direction)
    evaluate = Complex(through, strict=True)
    above = replayed(program, operands, evaluate)
    if not all(np.isfinite(y).all() for y in above):
        above = replayed(program, operands, Complex(through))
        doubtful = not _continues(program, point, direction, above, through)
    else:
        doubtful = evaluate.tied and _has_sides(program, point, direction, above, through)
    if doubtful:
        if not is_smooth(program, point, direction, through):
            raise nondifferentiable(kink(program, point, direction, through), order)
        return limit(program, point, direction, through)
    if not measured:
        return Along([y.imag for y in above], [np.zeros(y.shape) for y in above])
    _, noise = disturbed(program, operands, DOUBLE, lambda: Complex(through), _RUNS)
    columns = ([np.imag(y) for y in column] for column in zip(*noise, strict=True))
    return Along([y.imag for y in above], list(map(root_mean_square, columns)))


def _has_sides(
    program: Program, point: Sequence[Floats], direction: Sequence[Floats], above: Sequence[Any], through: bool
) -> bool:
    """Return whether the derivatives, or the values, of the two sides of a point differ."""
    nowhere, backwards = ([factor * np.asarray(u) for u in direction] for factor in (0.0, -1.0))
    here = replayed(program, moving(point, nowhere), Complex(through))
    below = replayed(program, moving(point, backwards), Complex(through))
    return any(map(differ, here, above, below))


def _continues(
    program: Program, point: Sequence[Floats], direction: Sequence[Floats], here: Sequence[Any], through: bool
) -> bool:
    """Return whether derivatives very near a point are about those at it: a root is taken of what is 0 and stays 0."""
    if not all(np.isfinite(y).all() for y in here):
        return False
    for t in (_NEAR, -_NEAR):
        for y, z in zip(here, replayed(program, moving(point, direction, t), Complex(through)), strict=True):
            if not (abs(z.imag - y.imag) <= _ABOUT * np.maximum(abs(y.imag), abs(z.imag))).all():
                return False
    return True


def _lengths(direction: Sequence[Floats]) -> list[float]:
    """Return the longest step of each scale, the shortest first; the direction has the scale of the point."""
    reach = max((float(np.max(np.abs(u), initial=0.0)) for u in direction), default=0.0)
    further = [step / reach for step in _ABSOLUTE if reach > 0 and step > _RELATIVE[-1] * reach]
    return [*_RELATIVE, *(step for step in further if np.isfinite(step))]


class _Nearby:
    """The derivatives on both sides of a point, at ``x + t u`` and ``x - t u``; rounding in them,
    where it is measured.

    Attributes
    ----------
    above, below
        Values with derivatives.
    noise
        For each output, how large a difference rounding was seen to make on either side.
    """

    def __init__(
        self, program: Program, point: Sequence[Floats], direction: Sequence[Floats], through: bool, t: float
    ) -> None:
        runs = [
            disturbed(program, moving(point, direction, way * t), DOUBLE, lambda: Complex(through), _RUNS)
            for way in (1.0, -1.0)
        ]
        self.above, self.below = ([np.asarray(y, np.complex128) for y in outputs] for outputs, _ in runs)
        self.noise = [
            pair(np.max(np.abs(np.real(both)), axis=0), np.max(np.abs(np.imag(both)), axis=0))
            for both in zip(*(sample for _, samples in runs for sample in samples), strict=True)
        ]

    def means(self) -> list[tuple[Floats, Floats]]:
        """Return the means of the derivatives, and what rounding made of them."""
        return [
            ((y.imag + z.imag) / 2, size.imag) for y, z, size in zip(self.above, self.below, self.noise, strict=True)
        ]


@np.errstate(all="ignore")
def limit(program: Program, point: Sequence[Floats], direction: Sequence[Floats], through: bool = False) -> Along:
    """Return the limits of the derivatives next to a point, where they exist, and bounds of their errors."""
    best: Along | None = None
    for longest in _lengths(direction):
        rows = [_Nearby(program, point, direction, through, longest / 2**i).means() for i in range(HALVINGS)]
        best = narrowed(best, [extrapolated(column) for column in zip(*rows, strict=True)])
        if all((error <= _EXACT * abs(x)).all() for x, error in zip(best.derivatives, best.errors, strict=True)):
            break
    assert best is not None
    return best


@np.errstate(all="ignore")
def is_smooth(program: Program, point: Sequence[Floats], direction: Sequence[Floats], through: bool = False) -> bool:
    """Return whether values and derivatives on the two sides of a point come together."""
    longest = _lengths(direction)[0]
    far, near = (_Nearby(program, point, direction, through, longest / 2**i) for i in (0, HALVINGS - 1))
    nowhere = [np.zeros(np.shape(u)) for u in direction]
    here = replayed(program, moving(point, nowhere), Complex(through))
    for middle, y, z, above, below, size in zip(
        here, far.above, far.below, near.above, near.below, near.noise, strict=True
    ):
        if not all(np.isfinite(side).all() for side in (middle, y, z, above, below)):
            return False
        noise, jitter = 8 * size.imag, 8 * size.real
        slopes = np.maximum(abs(above.imag), abs(below.imag))
        bend, before = abs(above.imag - below.imag), abs(y.imag - z.imag)
        jump = np.maximum(abs(above.real - middle.real), abs(below.real - middle.real))
        jumped = np.maximum(abs(y.real - middle.real), abs(z.real - middle.real))
        stays = (bend > _STAYS * before) & (bend > noise + 1e-9 * slopes)
        leaps = (jump > _STAYS * jumped) & (jump > jitter)
        grows = (_STAYS * slopes > np.maximum(abs(y.imag), abs(z.imag))) & (slopes > noise)
        if (stays | leaps | grows).any():
            return False
    return True
