"""Identities: what holds of every derivative, whatever its value, and needs no other number to
compare with.

For ``f`` with Jacobian ``J``, pullback ``v -> J^T v``, and Hessian ``H_v`` of ``<v, f>``:

    zero cotangent      J^T 0 = 0
    linearity           J^T (c v) = c J^T v           (exact in floating point for c = -2, 2^-20 ... 2^20: only signs
                                                       and exponents change)
    determinism         the same call twice has the same bits
    mutation            neither the arguments nor the cotangent are written to (looked at in every call)
    aliasing            what is returned shares no memory with them
    compiled            the compiled derivative has the bits of the eager one
    threads             many threads give the bits of one
    adjointness         <v, J w> = <J^T v, w>
    symmetry            <u, H_v w> = <w, H_v u>
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minimeta.autodiff.derivatives import vjp
from minimeta.errors import GradientMismatch
from minimeta.program import compile
from minimeta.testing.subject import Subject
from minimeta.threads import get_num_threads, set_num_threads

Floats = NDArray[Any]
Pullback = Callable[[list[Any]], Sequence[Any]]

_MANY_THREADS = 3
_FACTORS = (-2.0, *(2.0**power for power in (-20, -13, -7, 7, 13, 20)))


@np.errstate(all="ignore")
def of_pullback(pullback: Pullback, cotangents: Sequence[Floats], point: Sequence[Any]) -> tuple[str, ...]:
    """Check those identities that hold of any pullback, this library's or another's.

    Returns
    -------
    tuple of str
        Their names.

    Raises
    ------
    GradientMismatch
        One does not hold; ``fault`` is its name.
    """
    given = [v.copy() for v in cotangents]
    gradient = pullback(given)
    others = [x for x in (*point, *given) if isinstance(x, np.ndarray)]
    shared = [
        np.may_share_memory(g, x)
        for i, g in enumerate(gradient)
        for x in (*others, *gradient[:i])
        if isinstance(g, np.ndarray) and isinstance(x, np.ndarray)
    ]
    require("aliasing", [not any(shared)], "a cotangent shares memory with an argument, another one, or what came in")
    first = [np.array(g) for g in gradient]
    again = pullback([v.copy() for v in cotangents])
    require("determinism", map(same_bits, first, again), "the same call has other bits the second time")
    none = pullback([np.zeros_like(v) for v in cotangents])
    require("zero cotangent", [not np.any(g) for g in none], "a cotangent of 0 gives something else than 0")
    for factor in _FACTORS:
        scaled = pullback([np.asarray(factor * v, v.dtype) for v in cotangents])
        linear = (_nearly(d, g, factor) for d, g in zip(scaled, first, strict=True))
        message = f"{factor:g} times the cotangent does not give {factor:g} times the derivative"
        require("linearity", linear, message)
    return "aliasing", "determinism", "zero cotangent", "linearity"


@np.errstate(all="ignore")
def of_bits(subject: Subject, cotangents: Sequence[Floats]) -> tuple[str, ...]:
    """That however the derivative is run, it has the same bits."""

    def both(point: Sequence[Any], cotangents: Sequence[Any]) -> tuple[Any, Any]:
        outputs, pullback = vjp(subject.function, *point)
        return outputs, list(pullback(list(cotangents)))

    compiled = compile(both)
    expected = both(subject.point, cotangents)
    threads = get_num_threads()
    runs = []
    try:
        for count in (1, _MANY_THREADS):
            set_num_threads(count)
            runs.append(compiled(tuple(subject.point), tuple(cotangents)))
    finally:
        set_num_threads(threads)
    require("compiled", map(_same_rows, runs[0], expected), "compiled, the derivative has other bits than run eagerly")
    require("threads", map(_same_rows, *runs), "many threads give other bits than one")
    return "compiled", "threads"


def of_second_order(
    values: tuple[Sequence[Floats], Sequence[Floats]],
    rows: Sequence[tuple[Sequence[Floats], Sequence[Floats]]],
    allowed: Callable[[Sequence[Floats]], float],
) -> tuple[str, ...]:
    """Check what holds of ``J^T v`` and of ``(H_v w, J w)``, for two directions ``w``.

    Parameters
    ----------
    values
        ``v`` and ``J^T v``.
    rows
        For each of two directions, ``w`` and the row ``(*H_v w, *J w)``.
    allowed
        From what such a row is multiplied with to the error that rounding may have made of the
        product.
    """
    cotangents, gradient = values
    count = len(gradient)
    zeros = [np.zeros_like(v) for v in cotangents]

    def agree(one: float, other: float, factors: Sequence[Floats]) -> bool:
        return not abs(one - other) > allowed(factors)  # NaN where the Hessian leaves the range of its dtype.

    for w, row in rows:
        forward, backward = product(cotangents, row[count:]), product(gradient, w)
        factors = [*(np.zeros_like(x) for x in w), *cotangents]
        require("adjointness", [agree(forward, backward, factors)], "<v, J w> is not <J^T v, w>", order=2)
    (u, of_u), (w, of_w) = rows
    one, other = product(u, of_w[:count]), product(w, of_u[:count])
    require("symmetry", [agree(one, other, [*u, *zeros])], "<u, H w> is not <w, H u>", order=2)
    return "adjointness", "symmetry"


@np.errstate(all="ignore")  # A wrong derivative may be infinite.
def product(one: Sequence[Any], other: Sequence[Any]) -> float:
    """Return the inner product of two rows of arrays, in float64."""
    return float(sum(np.sum(np.asarray(x, np.float64) * y) for x, y in zip(one, other, strict=True)))


@np.errstate(all="ignore")
def magnitude(one: Sequence[Any], other: Sequence[Any]) -> float:
    """Return the sum of the magnitudes that an inner product adds up."""
    return float(sum(np.sum(np.abs(np.asarray(x, np.float64) * y)) for x, y in zip(one, other, strict=True)))


def require(fault: str, truths: Iterable[bool], message: str, order: int = 1) -> None:
    """Raise a GradientMismatch unless all of them hold."""
    if not all(truths):
        raise GradientMismatch(f"{fault}: {message}", fault=fault, order=order, oracle="identity")


def same_bits(one: Any, other: Any) -> bool:
    """Return whether two arrays are one, bit for bit; all NaN are one."""
    x, y = np.asarray(one), np.asarray(other)
    if (x.shape, x.dtype) != (y.shape, y.dtype):
        return False
    if x.dtype.kind == "f":
        x, y = (np.where(np.isnan(z), np.asarray(np.nan, z.dtype), z) for z in (x, y))
    return x.tobytes() == y.tobytes()


def _same_rows(one: Sequence[Any], other: Sequence[Any]) -> bool:
    return len(one) == len(other) and all(map(same_bits, one, other))


def _nearly(scaled: Any, one: Any, factor: float) -> bool:
    """Return whether an array is a multiple of another, except where one side alone leaves the range of its format."""
    x, y = np.asarray(scaled), np.asarray(one, np.asarray(scaled).dtype) * np.asarray(factor, np.asarray(scaled).dtype)
    form = np.finfo(x.dtype)
    room = max(abs(factor), 1 / abs(factor)) ** 2
    close = np.isclose(x, y, rtol=8 * form.eps, atol=64 * float(form.tiny) * room, equal_nan=True)
    overflows = ~np.isfinite(x) & (np.abs(np.asarray(one)) > float(form.max) / (64 * room))
    return bool((close | overflows).all())
