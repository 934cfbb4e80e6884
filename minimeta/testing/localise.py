"""Localise: the instruction at fault, and the smallest program that is still wrong.

The chain rule makes a derivative of the derivatives of single instructions, each at the values that it meets. So each
is checked alone, at those values, as a program of one instruction: the first that is wrong is the culprit. Where every
one is right, they are put together wrongly, as when a value is used twice and one contribution is lost; then the
program is cut at its end, to the first value whose derivative is wrong, and at its beginning, as far as it stays so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minimeta.autodiff.array import Form
from minimeta.autodiff.derivatives import vjp
from minimeta.autodiff.graph import Step, StraightLine
from minimeta.autodiff.regions import PROJECT, by_kernel
from minimeta.errors import Nondifferentiable
from minimeta.program.passes import eliminate
from minimeta.testing.comparison import norm_of_products
from minimeta.testing.directions import component, directions
from minimeta.testing.identities import product
from minimeta.testing.limits import along
from minimeta.testing.replay import watched

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
    line, operands
        The smallest failing program, and what it was run on.
    found, expected
        A derivative of it as the library has it, and as it should be.
    """

    step: Step | None
    line: StraightLine
    operands: tuple[Any, ...]
    found: float
    expected: float


def culprit(line: StraightLine, point: Sequence[Any], cut: bool = True) -> Culprit | None:
    """What is wrong in a program at a point; None if nothing is seen to be.

    Parameters
    ----------
    line, point
        The program and its operands.
    cut
        Whether to look for the shortest stretch that is wrong, where every instruction is right alone.
    """
    steps = watched(line, [np.asarray(x) for x in point], by_kernel)
    suspects = []
    for step, operands, _ in steps:
        alone = _alone(step, operands)
        if gap := _gap(alone, operands):
            suspects.append((gap.error, Culprit(step, alone, operands, gap.found, gap.expected)))
    if suspects:
        worst = max(error for error, _ in suspects)
        first = next(found for error, found in suspects if error >= _LIKE * worst)
        return _inside(first) or first
    return _smallest(line, point) if cut else None


def _inside(found: Culprit) -> Culprit | None:
    """The culprit within a body, where there is one whose derivative the library makes."""
    step = found.step
    assert step is not None
    if "line" not in step.params or "rule" in step.params:
        return None
    mapped = step.params.get("mapped", (False,) * len(found.operands))
    for task in range(step.params.get("count", 1)):
        mine = [x[task] if is_mapped else x for x, is_mapped in zip(found.operands, mapped, strict=True)]
        if inner := culprit(step.params["line"], mine):
            return inner
    return None


class _Gap(NamedTuple):
    """Two numbers for one derivative, and how far apart they are relative to what is added up (its Euclidean norm)."""

    error: float
    found: float
    expected: float


def _gap(line: StraightLine, operands: Sequence[Any]) -> _Gap | None:
    """The largest disagreement of the library and the complex step about a program, if it counts."""
    chosen = [i for i, x in enumerate(operands) if np.asarray(x).dtype.kind == "f"]
    point = [np.asarray(operands[i]) for i in chosen]
    forms = [*line.operands, *line.constants, *(step.shape for step in line.steps)]
    floats = line._replace(outputs=tuple(i for i in line.outputs if _is_float(forms[i])))
    if not point or not floats.outputs:
        return None

    def row(values: Sequence[Any]) -> list[Any]:
        replaced = dict(zip(chosen, values, strict=True))
        return [replaced.get(i, x) for i, x in enumerate(operands)]

    alone = _of_floats(floats, operands, chosen)
    rng = np.random.default_rng(0)
    gaps = []
    with np.errstate(all="ignore"):
        outputs, pullback = vjp(lambda *values: floats.run(row(values)), *point)
        given = [component(rng, y.shape) for y in outputs]
        gradient = pullback(given)
        for direction in directions(rng, [x.astype(np.float64) for x in point]):
            try:
                seen = along(alone, [x.astype(np.float64) for x in point], direction, measured=False).derivatives
            except Nondifferentiable:
                continue
            found, expected = product(gradient, direction), product(given, seen)
            size = max(norm_of_products(gradient, direction), norm_of_products(given, seen))
            error = abs(found - expected) / (size if np.isfinite(size) and size else 1.0)
            gaps.append(_Gap(error if np.isfinite(error) else np.inf, found, expected))
    eps = max(float(np.finfo(x.dtype).eps) for x in (*point, *outputs))
    worst = max(gaps, default=_Gap(0.0, 0.0, 0.0))
    return worst if worst.error > _RIGHT * eps else None


def _of_floats(line: StraightLine, operands: Sequence[Any], chosen: Sequence[int]) -> StraightLine:
    """The program of its float operands alone, the others being constants."""
    others = [i for i in range(len(operands)) if i not in chosen]
    order = [*chosen, *others]
    place = {old: new for new, old in enumerate(order)}
    return StraightLine(
        tuple(line.operands[i] for i in chosen),
        (*(np.asarray(operands[i]) for i in others), *line.constants),
        tuple(step._replace(operands=tuple(place.get(i, i) for i in step.operands)) for step in line.steps),
        tuple(place.get(i, i) for i in line.outputs),
    )


def _alone(step: Step, operands: Sequence[Any]) -> StraightLine:
    """A program of one instruction."""
    count = len(operands)
    forms = tuple(Form(x.shape, x.dtype) for x in map(np.asarray, operands))
    only = step._replace(operands=tuple(range(count)))
    if not isinstance(step.shape, tuple):
        return StraightLine(forms, (), (only,), (count,))
    picks = tuple(Step(PROJECT, (count,), {"place": i}, form, step.line) for i, form in enumerate(step.shape))
    return StraightLine(forms, (), (only, *picks), tuple(range(count + 1, count + 1 + len(picks))))


# Cutting


def _smallest(line: StraightLine, point: Sequence[Any]) -> Culprit | None:
    """The shortest stretch of a program whose derivative is wrong, its beginning being given as operands."""
    values = _values(line, point)
    for end in range(1, len(line.steps) + 1):
        if not _is_float(line.steps[end - 1].shape):
            continue
        if _gap(*_stretch(line, values, 0, end)):
            start = next(s for s in reversed(range(end)) if _gap(*_stretch(line, values, s, end)))
            shortest, operands = _stretch(line, values, start, end)
            gap = _gap(shortest, operands)
            assert gap is not None
            return Culprit(None, shortest, tuple(operands), gap.found, gap.expected)
    return None


def _values(line: StraightLine, point: Sequence[Any]) -> list[Any]:
    values: list[Any] = [*map(np.asarray, point), *line.constants]
    for step in line.steps:
        operands = [values[i] for i in step.operands]
        with np.errstate(all="ignore"):
            values.append(by_kernel(step.primitive, *operands, **step.params))
    return values


def _stretch(line: StraightLine, values: Sequence[Any], start: int, end: int) -> tuple[StraightLine, list[Any]]:
    """Instructions ``start`` to ``end`` as a program: what they take from before are its operands."""
    first = len(line.operands) + len(line.constants)
    steps = line.steps[start:end]
    given = sorted({i for step in steps for i in step.operands if i < first + start})
    while any(isinstance(values[i], tuple) for i in given):  # A region goes with its projections.
        start -= 1
        steps = line.steps[start:end]
        given = sorted({i for step in steps for i in step.operands if i < first + start})
    place = {name: i for i, name in enumerate((*given, *range(first + start, first + end)))}
    forms = tuple(Form(values[i].shape, values[i].dtype) for i in given)
    renamed = tuple(step._replace(operands=tuple(place[i] for i in step.operands)) for step in steps)
    return eliminate(StraightLine(forms, (), renamed, (place[first + end - 1],))), [values[i] for i in given]


def _is_float(form: Any) -> bool:
    return not isinstance(form, tuple) and form.dtype.kind == "f"
