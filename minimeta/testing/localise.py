"""Localise: the instruction at fault, and the smallest program that is still wrong.

The chain rule makes a derivative of the derivatives of single instructions, each at the values that
it meets. So each is checked alone, at those values, as a program of one instruction: the first that
is wrong is the culprit. Where every one is right, they are put together wrongly, as when a value is
used twice and one contribution is lost; then the program is cut at its end, to the first value
whose derivative is wrong, and at its beginning, as far as it stays so.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minimeta.autodiff.array import Form, is_float
from minimeta.autodiff.derivatives import vjp
from minimeta.autodiff.regions import CUSTOM_VJP
from minimeta.autodiff.steps import Program, Step, by_kernel, by_operation, run
from minimeta.errors import Nondifferentiable
from minimeta.program.names import renamed, results_of
from minimeta.program.passes import eliminate
from minimeta.testing.comparison import norm_of_products
from minimeta.testing.directions import component, directions
from minimeta.testing.identities import product
from minimeta.testing.limits import along, is_smooth
from minimeta.testing.replay import kink, watched

Floats = NDArray[Any]

_RIGHT = 2.0**6
"""How many units in the last place a derivative may be off and count as right here."""

_LIKE = 0.1
"""What part of the worst error makes an earlier instruction the culprit."""


class Culprit(NamedTuple):
    """What is wrong.

    Attributes
    ----------
    step
        The instruction; None if each is right alone.
    program, operands
        The smallest failing program, and what it was run on.
    found, expected
        A derivative of it as the library has it, and as it should be.
    """

    step: Step | None
    program: Program
    operands: tuple[Any, ...]
    found: float
    expected: float


def culprit(program: Program, point: Sequence[Any], cut: bool = True) -> Culprit | None:
    """Return what is wrong in a program at a point; None if nothing is seen to be.

    Parameters
    ----------
    program, point
        The program and its operands.
    cut
        Whether to look for the shortest stretch that is wrong, where every instruction is right
        alone.
    """
    steps = watched(program, [np.asarray(x) for x in point], by_kernel)
    suspects = []
    for step, operands, _ in steps:
        alone = _alone(step, operands)
        if gap := _gap(alone, operands):
            suspects.append((gap.error, Culprit(step, alone, operands, gap.found, gap.expected)))
    if suspects:
        worst = max(error for error, _ in suspects)
        first = next(found for error, found in suspects if error >= _LIKE * worst)
        return _inside(first) or first
    return _smallest(program, point) if cut else None


def _inside(found: Culprit) -> Culprit | None:
    """Return the culprit within a body, where there is one whose derivative the library makes."""
    step = found.step
    assert step is not None
    if step.body is None or step.primitive is CUSTOM_VJP:
        return None
    return next(filter(None, (culprit(step.body, given) for given in step.runs(found.operands))), None)


class _Gap(NamedTuple):
    """Two numbers for one derivative, and how far apart they are relative to what is added up (its Euclidean norm)."""

    error: float
    found: float
    expected: float


def _gap(program: Program, operands: Sequence[Any]) -> _Gap | None:
    """Return the largest disagreement of the library and the complex step about a program, if it counts."""
    chosen = [i for i, x in enumerate(operands) if is_float(x)]
    point = [np.asarray(operands[i]) for i in chosen]
    forms = program.forms()
    floats = dataclasses.replace(program, outputs=tuple(i for i in program.outputs if is_float(forms[i])))
    if not point or not floats.outputs:
        return None

    def row(values: Sequence[Any]) -> list[Any]:
        replaced = dict(zip(chosen, values, strict=True))
        return [replaced.get(i, x) for i, x in enumerate(operands)]

    alone = _of_floats(floats, operands, chosen)
    rng = np.random.default_rng(0)
    gaps = []
    with np.errstate(all="ignore"):
        outputs, pullback = vjp(lambda *values: run(floats, row(values), by_operation), *point)
        given = [component(rng, y.shape) for y in outputs]
        gradient = pullback(given)
        in_double = [x.astype(np.float64) for x in point]
        for direction in directions(rng, in_double):
            try:
                seen = along(alone, in_double, direction, measured=False).derivatives
            except Nondifferentiable:
                continue
            if kink(alone, in_double, direction) and not is_smooth(alone, in_double, direction):
                continue
            moved = [np.where(u == 0, 0.0, g) for g, u in zip(gradient, direction, strict=True)]
            found, expected = product(moved, direction), product(given, seen)
            size = max(norm_of_products(moved, direction), norm_of_products(given, seen))
            error = abs(found - expected) / (size if np.isfinite(size) and size else 1.0)
            gaps.append(_Gap(error if np.isfinite(error) else np.inf, found, expected))
    eps = max(float(np.finfo(x.dtype).eps) for x in (*point, *outputs))
    worst = max(gaps, default=_Gap(0.0, 0.0, 0.0))
    return worst if worst.error > _RIGHT * eps else None


def _of_floats(program: Program, operands: Sequence[Any], chosen: Sequence[int]) -> Program:
    """Return the program of its float operands alone, the others being constants."""
    others = [i for i in range(len(operands)) if i not in chosen]
    number = {old: new for new, old in enumerate([*chosen, *others])}
    return Program(
        tuple(program.operands[i] for i in chosen),
        (*(np.asarray(operands[i]) for i in others), *program.constants),
        tuple(renamed(step, number) for step in program.steps),
        tuple(number.get(i, i) for i in program.outputs),
    )


def _alone(step: Step, operands: Sequence[Any]) -> Program:
    """Return a program of one instruction."""
    count = len(operands)
    only = step._replace(operands=tuple(range(count)))
    return Program(tuple(map(Form.of, map(np.asarray, operands))), (), (only,), tuple(results_of(count, step)))


# Cutting


def _smallest(program: Program, point: Sequence[Any]) -> Culprit | None:
    """Return the shortest stretch of a program whose derivative is wrong, its beginning being given as operands."""
    seen = watched(program, [np.asarray(x) for x in point], by_kernel)
    values = [*map(np.asarray, point), *program.constants, *(y for step in seen for y in step.results)]
    for end in range(1, len(program.steps) + 1):
        if not any(map(is_float, program.steps[end - 1].results)):
            continue
        if _gap(*_stretch(program, values, 0, end)):
            start = next(s for s in reversed(range(end)) if _gap(*_stretch(program, values, s, end)))
            shortest, operands = _stretch(program, values, start, end)
            gap = _gap(shortest, operands)
            assert gap is not None
            return Culprit(None, shortest, tuple(operands), gap.found, gap.expected)
    return None


def _stretch(program: Program, values: Sequence[Any], start: int, end: int) -> tuple[Program, list[Any]]:
    """Instructions ``start`` to ``end`` as a program: what they take from before are its operands."""
    steps = dict([*program.numbered_steps()][start:end])
    results = [i for first, step in steps.items() for i in results_of(first, step)]
    given = sorted({i for step in steps.values() for i in step.operands}.difference(results))
    number = {name: i for i, name in enumerate((*given, *results))}
    cut = Program(
        tuple(Form.of(values[i]) for i in given),
        (),
        tuple(renamed(step, number) for step in steps.values()),
        tuple(number[i] for i in results[-len(program.steps[end - 1].results) :]),
    )
    return eliminate(cut), [values[i] for i in given]
