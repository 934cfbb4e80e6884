"""Rounding: how far apart two correct computations of one number may be, by Monte Carlo arithmetic.

Every operation rounds its result, ``fl(a op b) = (a op b)(1 + d)`` with ``|d| <= eps``, or to
within the least number where it underflows. What that does to the outcome of a program depends on
where it cancels and what it divides by. It is measured, by an error analysis that runs with the
program: each step is given random ``d`` of a few eps, the program is run a few times, and the
spread of an outcome is the error that rounding may have made of it (Parker 1997; Vignes 1993). A
sum rounds after every term, so there the operands are moved too; and so they are in a product,
whose derivative is a sum.

It is done to the program of the gradient, as the library computes it, and to the replay that is its
oracle: there values and derivatives are moved apart. Choices are those of the run without noise: a
comparison that comes out differently is not rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minimeta.autodiff.steps import Program, Step, run
from minimeta.testing.replay import Replay, is_black_box, pair

Floats = NDArray[Any]

DOUBLE = 2.0**-52
"""The unit in the last place of the oracles."""

SAMPLES = 4
"""How many times a program is run with noise."""

_ULPS = 4.0
"""How much noise: kernels and references are within a few units in the last place of each other."""

#: Elementwise, and with a sum of two terms for a derivative.
_PRODUCTS = {"divide", "multiply", "sigmoid_slope", "tanh_slope"}


def precision(program: Program | None, point: Sequence[Any]) -> float:
    """Return the coarsest unit in the last place that a function computes in."""
    forms = [] if program is None else [form for step in program.steps for form in step.results]
    dtypes = [*(form.dtype for form in forms), *(np.asarray(x).dtype for x in point)]
    return max((float(np.finfo(dtype).eps) for dtype in dtypes if dtype.kind == "f"), default=DOUBLE)


def least(eps: float) -> float:
    """Return the least normal number of the format with this unit in the last place."""
    return float(_format(eps).tiny)


def greatest(eps: float) -> float:
    """Return the greatest number of that format."""
    return float(_format(eps).max)


def _format(eps: float) -> Any:
    return np.finfo(np.float64 if eps <= DOUBLE else np.float32)


def spread(program: Program, operands: Sequence[Any], eps: float) -> list[list[Floats]]:
    """Return what rounding does to the outputs of a program: their differences from those without
    noise, a few times.

    Parameters
    ----------
    program
        Of float operands to float outputs.
    operands
        As float64.
    eps
        The unit in the last place.
    """
    return disturbed(program, operands, eps, Replay, SAMPLES)[1]


def scatter(function: Callable[[list[Any]], Sequence[Any]], point: Sequence[Any], eps: float) -> list[list[Floats]]:
    """Return what rounding the point does to the values of a function that is no program, a few
    times.

    An algorithm that is backward stable computes the right value of such a point.
    """
    rng = np.random.default_rng(0)
    with np.errstate(all="ignore"):
        exact = [np.array(y, np.float64) for y in function(list(point))]
        runs = []
        for _ in range(SAMPLES):
            moved = [np.asarray(x * (1 + _ULPS * eps * rng.uniform(-1, 1, np.shape(x))), _dtype(x)) for x in point]
            runs.append([np.array(y, np.float64) for y in function(moved)])
        return [[y - z for y, z in zip(run, exact, strict=True)] for run in runs]


def _dtype(x: Any) -> np.dtype[Any]:
    return np.asarray(x).dtype


def disturbed(
    program: Program, operands: Sequence[Any], eps: float, evaluate: Callable[[], Replay], samples: int
) -> tuple[list[Floats], list[list[Floats]]]:
    """Return the outputs of a program, and their differences from those with noise; ``evaluate`` makes an evaluator."""
    with np.errstate(all="ignore"):
        exact = _Recorded(evaluate())
        outputs = [np.asarray(y) for y in run(program, operands, exact)]
        noisy = (_Noisy(evaluate(), seed, eps, iter(exact.choices)) for seed in range(samples))
        runs = [run(program, operands, each) for each in noisy]
        return outputs, [[np.asarray(y - z) for y, z in zip(found, outputs, strict=True)] for found in runs]


@np.errstate(all="ignore")
def root_mean_square(samples: Sequence[Any]) -> Floats:
    """Return that of a few differences; infinite where rounding has moved one out of a function's domain, to NaN."""
    parts = np.abs(np.asarray(samples, np.float64))
    parts = np.where(np.isnan(parts), np.inf, parts)
    largest = np.max(parts, axis=0)
    usual = np.where((largest > 0) & (largest < np.inf), largest, 1.0)
    return np.asarray(usual * np.sqrt(np.mean((parts / usual) ** 2, axis=0)))


class _Recorded(Replay):
    """Evaluates, and keeps what is no float: choices."""

    def __init__(self, evaluate: Replay) -> None:
        self._evaluate = evaluate
        self.choices: list[Any] = []

    def step(self, step: Step, *values: Any) -> tuple[Any, ...]:
        results = self._evaluate.step(step, *values)
        self.choices += [y for y in results if not _rounds(y)]
        return results


class _Noisy(Replay):
    """Evaluates with noise, and with the same choices."""

    def __init__(self, evaluate: Replay, seed: int, eps: float, choices: Iterator[Any]) -> None:
        self._evaluate = evaluate
        self._rng = np.random.default_rng(seed)
        self._noise = _ULPS * eps
        self._least = least(eps)
        self._choices = choices

    def step(self, step: Step, *values: Any) -> tuple[Any, ...]:
        primitive = step.primitive
        if primitive.name in _PRODUCTS or not (primitive.elementwise or primitive.exact):
            values = tuple(map(self._moved, values))
        results = self._evaluate.step(step, *values)
        errors = getattr(self._evaluate, "errors", None) if is_black_box(primitive) else None
        return tuple(
            next(self._choices) if not _rounds(y) else y if primitive.exact else self._moved(y, error)
            for y, error in zip(results, errors or [0.0] * len(results), strict=True)
        )

    def _moved(self, x: Any, error: Any = 0.0) -> Any:
        if np.iscomplexobj(x):
            value, slope = self._moved(x.real), self._moved(x.imag)
            if np.any(error):
                slope = slope + error * self._rng.uniform(-1, 1, np.shape(x))
            return pair(value, slope)
        if not _rounds(x):
            return x
        relative, absolute = self._rng.uniform(-1, 1, (2, *np.shape(x)))
        return x * (1 + self._noise * relative) + np.where(x == 0, 0.0, self._least * absolute)


def _rounds(x: Any) -> bool:
    return np.asarray(x).dtype.kind in "fc"
