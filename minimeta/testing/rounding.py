"""Rounding: how far apart two correct computations of one number may be, by Monte Carlo arithmetic.

Every operation rounds its result, ``fl(a op b) = (a op b)(1 + d)`` with ``|d| <= eps``. What that does to the outcome
of a program depends on where it cancels and what it divides by. It is measured: each step is given random ``d`` of a
few eps, the program is run a few times, and the spread of an outcome is the error that rounding may have made of it
(Parker 1997; Vignes 1993). A sum rounds after every term, so there the operands are moved too.

Choices are those of the run without noise: a comparison that comes out differently is not rounding.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minimeta.autodiff.graph import StraightLine
from minimeta.autodiff.primitive import Primitive
from minimeta.testing.replay import Replay

Floats = NDArray[Any]

SAMPLES = 4
"""How many times a program is run with noise."""

_ULPS = 4.0
"""How much noise: kernels and references are within a few units in the last place of each other."""

#: What moves elements or chooses among them, and does not round.
_EXACT = frozenset(
    {
        *("alias", "broadcast_to", "concatenate", "copy", "gather", "held", "pad", "reshape", "slice", "stop_gradient"),
        *("absolute", "clip", "gate", "max", "maximum", "min", "minimum", "negative", "pool_take", "relu", "transpose"),
        "where",
    }
)


def precision(line: StraightLine | None, point: Sequence[Any]) -> float:
    """The coarsest unit in the last place that a function computes in."""
    forms = [] if line is None else [form for step in line.steps for form in _forms(step.shape)]
    dtypes = [form.dtype for form in (*forms, *map(np.asarray, point))]
    return max((float(np.finfo(dtype).eps) for dtype in dtypes if dtype.kind == "f"), default=2.0**-52)


def _forms(shape: Any) -> Sequence[Any]:
    return shape if isinstance(shape, tuple) else (shape,)


def spread(line: StraightLine, point: Sequence[Floats], eps: float) -> list[list[Floats]]:
    """What rounding does to the outputs of a line: their differences from those without noise, a few times.

    Parameters
    ----------
    line
        A program of float operands to float outputs.
    point
        Its operands, as float64.
    eps
        The unit in the last place.
    """
    with np.errstate(all="ignore"):
        exact = _Recorded()
        outputs = line.run(list(point), exact)
        runs = [line.run(list(point), _Noisy(seed, eps, iter(exact.choices))) for seed in range(SAMPLES)]
        return [[np.asarray(y - z) for y, z in zip(run, outputs, strict=True)] for run in runs]


class _Recorded(Replay):
    """Evaluates, and keeps what is no float: choices."""

    def __init__(self) -> None:
        self.choices: list[Any] = []

    def step(self, primitive: Primitive, *values: Any, **params: Any) -> Any:
        result = super().step(primitive, *values, **params)
        if not _is_float(result):
            self.choices.append(result)
        return result


class _Noisy(Replay):
    """Evaluates with noise, and with the same choices."""

    def __init__(self, seed: int, eps: float, choices: Iterator[Any]) -> None:
        self._rng = np.random.default_rng(seed)
        self._noise = _ULPS * eps
        self._choices = choices

    def step(self, primitive: Primitive, *values: Any, **params: Any) -> Any:
        if not primitive.elementwise and primitive.name not in _EXACT:
            values = tuple(map(self._moved, values))
        result = super().step(primitive, *values, **params)
        if not _is_float(result):
            return next(self._choices)
        return result if primitive.name in _EXACT else self._moved(result)

    def _moved(self, x: Any) -> Any:
        return x * (1 + self._noise * self._rng.uniform(-1, 1, np.shape(x))) if _is_float(x) else x


def _is_float(x: Any) -> bool:
    return bool(np.asarray(x).dtype.kind == "f")
