"""check_vjp: a function and derivatives of it that were made elsewhere.

Both are callables on numpy arrays, of another library perhaps: ``f(x, ...) -> y`` and
``vjp(v, x, ...) -> J^T v``. The function is traced if it is written in numpy functions that
minimeta's Arrays answer to, and then the oracle is the complex step; otherwise it is the central
difference of its values. Only the first order is there to be checked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Unpack

from minimeta.autodiff import tree
from minimeta.autodiff.array import is_float
from minimeta.errors import GradientMismatch
from minimeta.testing.checker import require_dependence
from minimeta.testing.identities import of_pullback
from minimeta.testing.order import check_order
from minimeta.testing.report import Report
from minimeta.testing.reproduce import call
from minimeta.testing.rounding import precision
from minimeta.testing.setting import Options, Setting
from minimeta.testing.subject import Subject


def check_vjp(
    function: Callable[..., Any], vjp: Callable[..., Any], *arguments: Any, **options: Unpack[Options]
) -> Report:
    """Check a vector-Jacobian product that was made elsewhere against the function that it belongs
    to.

    Parameters
    ----------
    function
        From numpy arrays to a tree of numpy arrays.
    vjp
        ``vjp(cotangent, *arguments)``: a tuple of cotangents, one for each argument (None for one
        that is no float), or the only one itself. The cotangent is a tree like the function's
        output.
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
    leaves, structure = tree.flatten(function(*arguments))

    of_arguments, arguments_structure = tree.flatten(arguments)

    def at(near: Subject) -> Callable[[list[Any]], list[Any]]:
        floats = iter(near.point)
        row = [next(floats) if is_float(x) else x for x in of_arguments]
        there = arguments if near is subject else tree.unflatten(arguments_structure, row)

        def pullback(given: list[Any]) -> list[Any]:
            remaining = iter(given)
            cotangent = tree.unflatten(structure, [next(remaining) if is_float(y) else y for y in leaves])
            return _rows(vjp(cotangent, *there), there, called)

        return pullback

    eps = precision(subject.program, [*subject.point, *filter(is_float, leaves)])
    setting = Setting(called, call("check_vjp", (function, vjp), arguments, options), eps, **options)
    checked = check_order(subject, 1, setting, at)
    require_dependence(checked, setting)
    identities = of_pullback(at(subject), checked.given, subject.point)
    return Report((checked.row,), identities, checked.constant, reason=subject.reason)


def _rows(answer: Any, arguments: tuple[Any, ...], called: str) -> list[Any]:
    """Return the cotangents of all leaves that are floats."""
    answers = answer if isinstance(answer, tuple) else (answer,)
    if len(answers) != len(arguments):
        raise GradientMismatch(
            f"the VJP of {called} gives {len(answers)} cotangents for {len(arguments)} arguments", fault="form", order=1
        )
    found: list[Any] = []
    for x, cotangent in zip(arguments, answers, strict=True):
        leaves, structure = tree.flatten(x)
        if any(map(is_float, leaves)):
            parts = tree.leaves_like(structure, cotangent)
            found += [g for leaf, g in zip(leaves, parts, strict=True) if is_float(leaf)]
    return found
