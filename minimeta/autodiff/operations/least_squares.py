"""Least squares: the pseudoinverse, and the rank.

The pseudoinverse ``P`` of ``A`` takes a vector to the shortest of the solutions of the least squares. Singular values
up to a cutoff count as 0; the rest ``R = A - A P A`` has these, and ``C = P P^T`` and ``F = R^T R`` have the squares of
all. As long as no value crosses the cutoff

    dP = -P dA P + W^T P + C (dA^T (I - A P) + (P dA + Q) R^T) ,
    W - C W F = P dA (I - P A) + C dA^T R ,        Q - C Q F = C dA^T R + C P dA F .

The first term moves what is kept, the second the space of the rows that is kept, the third that of the columns.
Without a rest these are the formulas of Golub and Pereyra (SIAM Journal on Numerical Analysis 10, 1973). What follows
for cotangents is the transpose, term by term. The two equations have one solution, since a value
that is dropped is less than one that is kept, and their derivatives are equations of the same kind. A rest that is
nothing but rounding is set to 0.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minimeta.autodiff.apply import apply
from minimeta.autodiff.array import Array, ArrayLike, Form, Value
from minimeta.autodiff.operations import conversions, movement, reductions
from minimeta.autodiff.operations.linear_algebra import matmul
from minimeta.autodiff.operations.matrices import (
    column,
    did_not_converge,
    floats,
    lapack,
    matrices,
    mirrored,
    product,
    sample_batch,
    sample_tall,
    stacked_alike,
    transposed,
)
from minimeta.autodiff.operations.solving import flops_of_system
from minimeta.autodiff.operations.spectra import factors, svdvals
from minimeta.autodiff.primitive import Draw, Primitive
from minimeta.autodiff.protocols import answers
from minimeta.errors import ShapeError


@answers(np.linalg.pinv)
def pinv(a: ArrayLike, rcond: float | None = None, hermitian: bool = False, *, rtol: float | None = None) -> Value:
    """The pseudoinverse of matrices ``(..., m, n)``, of shape ``(..., n, m)``.

    Parameters
    ----------
    a
        The matrices.
    rcond, rtol
        Singular values up to this part of the largest count as 0; by default ``max(m, n)`` times the rounding of the
        dtype (``rtol=None``) or 1e-15 (``rcond=None``), as in numpy.
    hermitian
        Whether ``a`` is symmetric: its lower triangle is read, and the derivative with respect to the other is 0.

    Notes
    -----
    The derivative is that of matrices of which as many singular values are above the cutoff: among others there is
    none, since the pseudoinverse jumps.
    """
    if rcond is None:
        rcond = 1e-15 if rtol is None else rtol
    x = matrices("pinv", a, square=hermitian)
    return apply(PINV, mirrored(x) if hermitian else x, rcond=float(rcond))


def _pinv_rule(g: Array, p: Array, a: Array, rcond: float) -> Value:
    if a.shape[-1] > a.shape[-2]:  # The equations have as many unknowns as the square of the number of columns.
        return transposed(_pinv_rule(transposed(g), transposed(p), transposed(a), rcond))
    rest = apply(TRUNCATED, a, rcond=rcond) * (a - product(a, product(p, a)))
    squares, of_rest = product(p, p, False, True), product(rest, rest, True)
    kept = product(p, g, False, True)  # P G^T
    for_rows = apply(STEIN, squares, of_rest, kept)
    moved = product(product(squares, g), rest)  # C G R
    for_columns = apply(STEIN, squares, of_rest, moved)
    right = product(p, for_rows, True)
    left = product(g, squares, True)
    found = (
        (left - product(a, product(p, left))) + (right - product(product(right, p), a)) - product(p, kept, True, True)
    )
    turned = product(product(rest, for_rows + for_columns, False, True), squares)
    return found + turned + product(p, moved + product(squares, product(for_columns, of_rest)), True)


def _sample_pinv(draw: Draw) -> tuple[tuple[NDArray[Any], ...], dict[str, Any]]:
    a = sample_tall(draw)
    params = {"rcond": 1e-6}
    if draw.integer(0, 1):  # One value is small, and dropped, unless it is the only one.
        a[..., :1], params = a[..., :1] / 64, {"rcond": 0.125}
    return (np.swapaxes(a, -1, -2) if draw.integer(0, 1) else a,), params


def _dropped(s: Any, rcond: float) -> Any:
    """Return which singular values count as 0, as numpy decides it."""
    return s.real <= rcond * np.max(s.real, -1, keepdims=True, initial=0.0)


@lapack(
    did_not_converge,
    (_pinv_rule,),
    lambda a, rcond: Form((*a.shape[:-2], a.shape[-1], a.shape[-2]), a.dtype),
    sample=_sample_pinv,
)
def _pinv(a: Any, *, rcond: float) -> Any:
    return np.linalg.pinv(a, rcond) if not np.iscomplexobj(a) else _analytic_pinv(a, rcond)


def _analytic_pinv(a: Any, rcond: float) -> Any:
    values = np.linalg.svd(a.real, compute_uv=False)
    if _dropped(values, rcond).any():
        u, s, v = factors(a)
        inverses = np.where(_dropped(s, rcond), 0, 1 / s)
        return (v * inverses[..., None, :]) @ np.swapaxes(u, -1, -2)
    turned = np.swapaxes(a, -1, -2)
    if a.shape[-1] > a.shape[-2]:
        return np.swapaxes(_analytic_pinv(turned, rcond), -1, -2)
    # Of [[s I, A], [A^T, 0]] the inverse holds A^+. With the least singular value for s it is as well-conditioned
    # as A is, where A^T A has lost twice the digits (Bjoerck 1967).
    rows = a.shape[-2]
    scale = np.min(values, -1, keepdims=True, initial=np.inf)[..., None]
    above = np.concatenate([np.where(scale < np.inf, scale, 1.0) * np.eye(rows), a], -1)
    below = np.concatenate([turned, np.zeros((*a.shape[:-2], a.shape[-1], a.shape[-1]))], -1)
    return np.linalg.inv(np.concatenate([above, below], -2))[..., rows:, :rows]


@lapack(did_not_converge, (), lambda a, rcond: Form((*a.shape[:-2], 1, 1), a.dtype), sample=_sample_pinv)
def _truncated(a: Any, *, rcond: float) -> Any:
    """1 of matrices of which a singular value is dropped that is more than rounding, and 0 of others."""
    s = np.linalg.svd(np.real(a), compute_uv=False)
    rounding = np.max(s, -1, keepdims=True, initial=0.0) * np.finfo(s.dtype).eps * max(a.shape[-2:])
    return (_dropped(s, rcond) & (s > rounding)).any(-1)[..., None, None].astype(s.dtype)


# Stein's equation: X - C X F = N


def _stein_rules(g: Array, x: Array, c: Array, f: Array, n: Array) -> tuple[Any, Any, Any]:
    to_n = apply(STEIN, transposed(c), transposed(f), g)
    return product(to_n, product(x, f), False, True), product(product(c, x), to_n, True), to_n


def _sample_stein(draw: Draw) -> tuple[tuple[NDArray[Any], ...], dict[str, Any]]:
    batch, n = sample_batch(draw), draw.integer(0, 3)
    c, f = (draw.array((*batch, n, n), "unit") / max(2 * n, 1) for _ in range(2))
    return (c, f, draw.array((*batch, n, n))), {}


@lapack(did_not_converge, _stein_rules, lambda c, f, n: Form(n.shape, n.dtype), sample=_sample_stein)
def _stein(c: Any, f: Any, n: Any) -> Any:
    """The sum of ``C^k N F^k``, twice as many terms at each step (Smith, 1968)."""
    x = np.array(n, np.result_type(c, f, n))
    for place in np.ndindex(x.shape[:-2]):  # Each by itself, so that its bits do not depend on the others.
        if not f[place].any():
            continue
        scale = np.linalg.norm(c[place].real, 2) or 1.0
        left, right = c[place] / scale, f[place] * scale
        for _ in range(64):
            more = x[place] + left @ x[place] @ right
            if np.array_equal(more, x[place]):
                break
            x[place], left, right = more, left @ left, right @ right
    return x


class Lstsq(NamedTuple):
    """What :func:`lstsq` returns."""

    x: Value
    residuals: Value
    rank: Value
    s: Value


@answers(np.linalg.lstsq)
def lstsq(a: ArrayLike, b: ArrayLike, rcond: float | None = None) -> Lstsq:
    """The shortest ``x`` that makes ``|b - a @ x|`` least.

    Parameters
    ----------
    a
        Of shape ``(m, n)``.
    b
        Of shape ``(m,)`` or ``(m, k)``.
    rcond
        Singular values up to this part of the largest count as 0; by default ``max(m, n)`` times the rounding.

    Returns
    -------
    x
        Of shape ``(n,)`` or ``(n, k)``. Its derivative is that of :func:`pinv`.
    residuals
        ``sum((b - a @ x)**2)`` of each column, of shape ``(k,)`` or ``(1,)``; empty where ``m <= n``. (numpy's is empty
        also where the rank is below ``n``, which a traced function cannot know.)
    rank
        The rank of ``a``, of dtype int32.
    s
        The singular values of ``a``.

    Raises
    ------
    ShapeError
        ``a`` is not one matrix, or ``b`` has another number of rows.
    """
    system, given = matrices("lstsq", a), floats(b)
    if system.ndim != 2 or given.ndim not in (1, 2) or given.shape[0] != system.shape[0]:
        raise ShapeError(
            f"lstsq of shapes {system.shape} and {given.shape}: it takes one matrix (m, n), and a vector (m,) "
            "or a matrix (m, k); for stacks of matrices use pinv(a) @ b, or vmap"
        )
    is_vector = given.ndim == 1
    system, given = stacked_alike("lstsq", system, column(given) if is_vector else given)
    m, n = system.shape
    if rcond is None:
        rcond = float(np.finfo(system.dtype).eps) * max(m, n)
    x = apply(LSTSQ, system, given, rcond=float(rcond))
    missed = given - matmul(system, x)
    residuals = reductions.sum(missed * missed, 0)[: None if m > n else 0]
    rank, values = conversions.astype(matrix_rank(system, rtol=rcond), np.int32), svdvals(system)
    return Lstsq(movement.squeeze(x, -1) if is_vector else x, residuals, rank, values)


# X = P B
def _lstsq_rules(g: Array, x: Array, a: Array, b: Array, rcond: float) -> tuple[Any, Any]:
    p = apply(PINV, a, rcond=rcond)
    to_a = None if a.transformation is None else _pinv_rule(product(g, b, False, True), p, a, rcond)
    return to_a, product(p, g, True)


def _sample_lstsq(draw: Draw) -> tuple[tuple[NDArray[Any], ...], dict[str, Any]]:
    a = sample_tall(draw)
    a = a if a.ndim == 2 else a[0]
    return (a, draw.array((a.shape[0], draw.integer(0, 3)))), {"rcond": 1e-6}


@lapack(
    did_not_converge,
    _lstsq_rules,
    lambda a, b, rcond: Form((a.shape[1], b.shape[1]), a.dtype),
    sample=_sample_lstsq,
    flops=flops_of_system,
)
def _lstsq(a: Any, b: Any, *, rcond: float) -> Any:
    if not np.iscomplexobj(a) and not np.iscomplexobj(b):
        return np.linalg.lstsq(a, b, rcond)[0]
    return _analytic_pinv(a, rcond) @ b


@answers(np.linalg.matrix_rank)
def matrix_rank(
    A: ArrayLike,  # noqa: N803 (numpy's)
    tol: float | None = None,
    hermitian: bool = False,
    *,
    rtol: float | None = None,
) -> Value:
    """The number of singular values above a tolerance, an integer of shape ``(...)``; a constant to every derivative.

    Parameters
    ----------
    A
        Matrices ``(..., m, n)``. A vector has rank 1, or 0 where all its elements are 0.
    tol
        The tolerance.
    rtol
        The tolerance as a part of the largest singular value; by default ``max(m, n)`` times the rounding of the dtype.
    hermitian
        Whether ``A`` is symmetric, and its lower triangle is read.
    """
    a = mirrored(matrices("matrix_rank", A, square=True)) if hermitian else floats(A)
    if a.ndim < 2:
        return (a != 0).astype(np.int64).max() if a.size else np.int64(0)
    return apply(MATRIX_RANK, a, tol=None if tol is None else float(tol), rtol=None if rtol is None else float(rtol))


@lapack(
    did_not_converge,
    (),
    lambda a, tol, rtol: Form(a.shape[:-2], np.int64),
    sample=lambda draw: ((sample_tall(draw),), {"tol": None, "rtol": None}),
)
def _matrix_rank(a: Any, *, tol: float | None, rtol: float | None) -> Any:
    return np.asarray(np.linalg.matrix_rank(np.real(a), tol, rtol=rtol))


PINV: Primitive = _pinv.primitive
TRUNCATED: Primitive = _truncated.primitive
STEIN: Primitive = _stein.primitive
LSTSQ: Primitive = _lstsq.primitive
MATRIX_RANK: Primitive = _matrix_rank.primitive
