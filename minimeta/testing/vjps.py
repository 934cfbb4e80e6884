"""check_vjp: a function and derivatives of it that were made elsewhere.

Both are callables on numpy arrays, of another library perhaps: ``f(x, ...) -> y`` and ``vjp(v, x, ...) -> J^T v``. The
function is traced if it is written in numpy functions that minimeta's Arrays answer to, and then the oracle is the
complex step; otherwise it is the central difference of its values. Only the first order is there to be checked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minimeta.autodiff import tree
from minimeta.errors import GradientMismatch, Nondifferentiable, VacuousCheck
from minimeta.testing.comparison import Comparison, Tolerance
from minimeta.testing.directions import cotangents, directions
from minimeta.testing.explanation import explained
from minimeta.testing.identities import of_pullback
from minimeta.testing.report import Report, summary
from minimeta.testing.rounding import precision, spread
from minimeta.testing.subject import Subject, is_float


def check_vjp(
    function: Callable[..., Any],
    vjp: Callable[..., Any],
    *arguments: Any,
    rtol: float = 0.0,
    atol: float = 0.0,
    seed: int = 0,
    may_be_constant: bool = False,
) -> Report:
    """Check a vector-Jacobian product that was made elsewhere against the function that it belongs to.

    Parameters
    ----------
    function
        From numpy arrays to a tree of numpy arrays.
    vjp
        ``vjp(cotangent, *arguments)``: a tuple of cotangents, one for each argument (None for one that is no float), or
        the only one itself. The cotangent is a tree like the function's output.
    *arguments
        Arrays.
    rtol, atol, seed, may_be_constant
        As of :func:`~minimeta.testing.check_gradients`.

    Returns
    -------
    Report

    Raises
    ------
    GradientMismatch, Nondifferentiable, Inconclusive, VacuousCheck
        As of :func:`~minimeta.testing.check_gradients`.

    Examples
    --------
    >>> check_vjp(np.sin, lambda v, x: v * np.cos(x), np.array([0.5, 1.0])).oracle
    'complex step'
    """
    called = getattr(function, "__name__", repr(function))
    subject = Subject.of(function, arguments)
    output = function(*arguments)
    leaves, structure = tree.flatten(output)
    outputs = [np.asarray(y) for y in leaves if is_float(y)]
    if not subject.point or not outputs:
        raise VacuousCheck(f"{called} is not a function of floats to floats", fault="no floats")
    if not all(np.isfinite(y).all() for y in outputs):
        raise Nondifferentiable(f"{called} is infinite or NaN at this point", fault="not finite")

    def pullback(given: list[Any]) -> list[Any]:
        remaining = iter(given)
        cotangent = tree.unflatten(structure, [next(remaining) if is_float(y) else y for y in leaves])
        return _rows(vjp(cotangent, *arguments), arguments, called)

    rng = np.random.default_rng([seed, 1])
    chosen = directions(rng, subject.values)
    seen = [subject.along(u, 1) for u in chosen]
    given = cotangents(rng, [found.derivatives for found in seen], outputs)
    gradient = [np.array(g, np.float64) for g in pullback([v.copy() for v in given])]
    eps = precision(subject.line, [*subject.point, *outputs])
    noise = []
    if subject.line is not None:
        derivative = subject.derivative(given)
        noise = [] if derivative.line is None else spread(derivative.line, derivative.values, eps)
    comparison = Comparison(subject, given, gradient, noise, 1, called, eps, Tolerance(rtol, atol))
    rows = comparison.rows(chosen, seen)
    names = of_pullback(pullback, given, subject.point)
    if wrong := [row for row in rows if row.wrong]:
        raise explained(max(wrong, key=lambda row: row.bounds), subject, 1, called, arguments, seed)
    if not any(row.weight for row in rows) and not may_be_constant:
        raise VacuousCheck(f"{called} does not depend on its arguments at this point", fault="constant", order=1)
    return Report((summary(1, subject.oracle, rows),), names, reason=subject.reason)


def _rows(answer: Any, arguments: tuple[Any, ...], called: str) -> list[Any]:
    """The cotangents of all leaves that are floats."""
    answers = answer if isinstance(answer, tuple) else (answer,)
    if len(answers) != len(arguments):
        raise GradientMismatch(
            f"the VJP of {called} gives {len(answers)} cotangents for {len(arguments)} arguments", fault="form", order=1
        )
    found: list[NDArray[Any]] = []
    for i, (x, cotangent) in enumerate(zip(arguments, answers, strict=True)):
        leaves, structure = tree.flatten(x)
        floats = [j for j, leaf in enumerate(leaves) if is_float(leaf)]
        if not floats:
            continue
        parts = tree.leaves_like(structure, cotangent)
        for j in floats:
            expected, g = np.asarray(leaves[j]), np.asarray(parts[j])
            if (g.shape, g.dtype) != (expected.shape, expected.dtype):
                raise GradientMismatch(
                    f"the VJP of {called} gives argument {i}, which is {expected.dtype}{list(expected.shape)}, a "
                    f"cotangent that is {g.dtype}{list(g.shape)}",
                    fault="form",
                    order=1,
                )
            found.append(parts[j])
    return found
