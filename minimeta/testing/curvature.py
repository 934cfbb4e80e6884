"""Curvature: the second derivative of a function, from the function alone.

Order 2 is checked as the derivative of what the library computes as order 1, and says nothing if
order 1 is right at the point alone. Here no rule of the library takes part: for cotangents ``v``
and two directions,

    <v, f''(x)[u, w]>  =  d/dt <v, f'(x + t u) w>  at t = 0.

Of a program the complex step gives ``f' w`` to rounding, and the central difference in ``t`` does
the rest (:mod:`minimeta.testing.differences`). Of a black box, or of a program that calls one,
``p = <v, f>`` has a mixed difference, which is even in ``t`` too:

    (p(tu + tw) - p(tu - tw) - p(-tu + tw) + p(-tu - tw)) / 4t^2  =  p''[u, w] + c2 t^2 + ...  + noise of p / t^2 .
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minimeta.autodiff.steps import Step
from minimeta.testing.differences import (
    HALVINGS,
    Along,
    Bend,
    Sample,
    central_difference,
    extrapolated,
    ladders,
    narrowed,
    noise,
)
from minimeta.testing.identities import magnitude, product
from minimeta.testing.limits import along
from minimeta.testing.replay import HELD, Complex, is_black_box, moving, replayed, steps_of
from minimeta.testing.subject import Subject

Floats = NDArray[Any]

_ENOUGH = 2.0**-20
"""A relative error that longer steps need not improve on."""


class Curvature(NamedTuple):
    """What the function alone says of a second derivative.

    Attributes
    ----------
    value, error
        The number and a bound of its error; infinite if nothing is to be seen.
    slope
        The magnitude of the first derivative along one of the directions, to which a curvature may
        be nothing.
    """

    value: float
    error: float
    slope: float


def curvature(subject: Subject, cotangents: Sequence[Floats], u: Sequence[Floats], w: Sequence[Floats]) -> Curvature:
    """Compute ``<v, f''[u, w]>`` at a subject's point, from values of the function."""
    with np.errstate(all="ignore"):
        try:
            steps = [step.primitive for step in steps_of(subject.program)] if subject.program else []
            # The derivative of each black box is a difference itself.
            if subject.program is None or (any(map(is_black_box, steps)) and HELD not in steps):
                return _of_values(subject, cotangents, u, w)
            return _of_program(subject, cotangents, u, w)
        except Bend:  # of the derivative, next to the point
            return Curvature(0.0, np.inf, 0.0)


def _of_program(subject: Subject, cotangents: Sequence[Floats], u: Sequence[Floats], w: Sequence[Floats]) -> Curvature:
    program, point = subject.program, subject.values
    assert program is not None
    here = _Frozen()
    slope = product(cotangents, [y.imag for y in replayed(program, moving(point, w), here)])
    scatter = magnitude(cotangents, along(program, point, w).errors)

    def path(t: float) -> list[Floats]:
        moved = [x + t * np.asarray(step) for x, step in zip(point, u, strict=True)]
        outputs = replayed(program, moving(moved, w), _Frozen(iter(here.constants)))
        return [np.asarray(product(cotangents, [y.imag for y in outputs]))]

    (value,), (error,), _, hides = central_difference(path, u, scatter, _ENOUGH)
    return Curvature(float(value), np.inf if hides else float(error), abs(slope))


def _of_values(subject: Subject, cotangents: Sequence[Floats], u: Sequence[Floats], w: Sequence[Floats]) -> Curvature:
    def at(t: float, s: float) -> Floats:
        return np.asarray(product(cotangents, subject.outputs(t, u, s, w)))

    here = abs(float(at(0.0, 0.0)))
    (scatter,) = noise(lambda t: [at(t, 0.0)])
    eps = max(float(np.finfo(y.dtype).eps) for y in subject.outputs(0.0, u))
    best: Along | None = None
    for unit, powers in ladders([np.maximum(np.abs(x), np.abs(y)) for x, y in zip(u, w, strict=True)]):
        samples: list[Sample] = []
        for power in powers:
            t = unit * 2.0**power
            corners = [at(t, t), at(-t, -t), at(t, -t), at(-t, t)]
            size = scatter + eps * np.max(np.abs([here, *map(float, corners)]))
            samples.append(((corners[0] + corners[1] - corners[2] - corners[3]) / (4 * t * t), size / (t * t)))
        for last in reversed(range(len(samples), HALVINGS - 1, 1 - HALVINGS)):  # Beyond a pole is another function.
            best = narrowed(best, [extrapolated(samples[last - HALVINGS : last][::-1])])
    assert best is not None
    slope = float(abs(at(0.0, 2.0**-20) - at(0.0, -(2.0**-20)))) * 2.0**19
    return Curvature(float(best.derivatives[0]), float(best.errors[0]), slope)


class _Frozen(Complex):
    """Replays a program at a point nearby, with what the user's own ``stop_gradient`` holds as it
    is at the point.

    Attributes
    ----------
    constants
        What was held.
    """

    def __init__(self, constants: Iterator[Any] | None = None) -> None:
        super().__init__()
        self._given = constants
        self.constants: list[Any] = []

    def step(self, step: Step, *values: Any) -> tuple[Any, ...]:
        """Return the results of a step."""
        if step.primitive is not HELD:
            return super().step(step, *values)
        self.constants.append(np.real(values[0]) if self._given is None else next(self._given))
        return (self.constants[-1],)
