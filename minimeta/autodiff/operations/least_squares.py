"""Least squares: the pseudoinverse, and the rank.

The pseudoinverse ``P = A^+`` takes a vector to the shortest of the solutions of the least squares. As long as the rank
of ``A`` stays the same (Golub and Pereyra, SIAM Journal on Numerical Analysis 10, 1973)

    dP = -P dA P + P P^T dA^T (I - A P) + (I - P A) dA^T P^T P ,

and what follows for cotangents is the transpose of that, term by term.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minimeta.autodiff.apply import apply
from minimeta.autodiff.array import Array, ArrayLike, Form, Value
from minimeta.autodiff.operations import movement, reductions
from minimeta.autodiff.operations.linear_algebra import matmul
from minimeta.autodiff.operations.matrices import (
    column,
    did_not_converge,
    floats,
    lapack,
    matrices,
    product,
    sample_tall,
    stacked_alike,
    transposed,
)
from minimeta.autodiff.operations.solving import flops_of_system
from minimeta.autodiff.operations.spectra import svdvals
from minimeta.autodiff.primitive import Draw, Primitive
from minimeta.autodiff.protocols import answers
from minimeta.errors import ShapeError


@answers(np.linalg.pinv)
def pinv(a: ArrayLike, rcond: float | None = None, *, rtol: float | None = None) -> Value:
    """The pseudoinverse of matrices ``(..., m, n)``, of shape ``(..., n, m)``.

    Parameters
    ----------
    a
        The matrices.
    rcond, rtol
        Singular values up to this part of the largest count as 0; by default ``max(m, n)`` times the rounding of the
        dtype (``rtol=None``) or 1e-15 (``rcond=None``), as in numpy.

    Notes
    -----
    The derivative is that of matrices of the same rank: among others there is none, since the pseudoinverse jumps.
    """
    if rcond is None:
        rcond = 1e-15 if rtol is None else rtol
    return apply(PINV, matrices("pinv", a), rcond=float(rcond))


def _pinv_rule(g: Array, p: Array, a: Array, rcond: float) -> Value:
    to_p = product(p, product(g, p, False, True), True)  # P^T G P^T
    turned = transposed(g)
    left = product(product(turned, p), p, False, True)  # G^T P P^T
    right = product(product(p, p, True), turned)  # P^T P G^T
    return (left - product(a, product(p, left))) + (right - product(product(right, p), a)) - to_p


def _sample_pinv(draw: Draw) -> tuple[tuple[NDArray[Any], ...], dict[str, Any]]:
    a = sample_tall(draw)
    return (np.swapaxes(a, -1, -2) if draw.integer(0, 1) else a,), {"rcond": 1e-6}


@lapack(
    did_not_converge,
    (_pinv_rule,),
    lambda a, rcond: Form((*a.shape[:-2], a.shape[-1], a.shape[-2]), a.dtype),
    sample=_sample_pinv,
)
def _pinv(a: Any, *, rcond: float) -> Any:
    if not np.iscomplexobj(a):
        return np.linalg.pinv(a, rcond)
    turned = np.swapaxes(a, -1, -2)
    wide = a.shape[-1] > a.shape[-2]
    return turned @ np.linalg.inv(a @ turned) if wide else np.linalg.inv(turned @ a) @ turned


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
        Of shape ``(n,)`` or ``(n, k)``. Its derivative is that of matrices of the same rank.
    residuals
        ``sum((b - a @ x)**2)`` of each column, of shape ``(k,)`` or ``(1,)``; empty where ``m <= n``. (numpy's is empty
        also where the rank is below ``n``, which a traced function cannot know.)
    rank
        The rank of ``a``, an integer.
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
    rank, values = matrix_rank(system, rtol=rcond), svdvals(system)
    return Lstsq(movement.squeeze(x, -1) if is_vector else x, residuals, rank, values)


def _lstsq_rules(g: Array, x: Array, a: Array, b: Array, rcond: float) -> tuple[Any, Any]:
    p = apply(PINV, a, rcond=rcond)
    to_b = product(p, g, True)
    missed = b - product(a, x)
    outside = g - product(a, to_b, True)
    to_a = product(missed, product(p, to_b), False, True) + product(product(p, x, True), outside, False, True)
    return to_a - product(to_b, x, False, True), to_b


def _sample_lstsq(draw: Draw) -> tuple[tuple[NDArray[Any], ...], dict[str, Any]]:
    (a,), params = _sample_pinv(draw)
    a = a if a.ndim == 2 else a[0]
    return (a, draw.array((a.shape[0], draw.integer(0, 3)))), params


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
    wide = a.shape[-1] > a.shape[-2]
    return (a.T @ np.linalg.inv(a @ a.T) if wide else np.linalg.inv(a.T @ a) @ a.T) @ b


@answers(np.linalg.matrix_rank)
def matrix_rank(A: ArrayLike, tol: float | None = None, *, rtol: float | None = None) -> Value:  # noqa: N803 (numpy's)
    """The number of singular values above a tolerance, an integer of shape ``(...)``; a constant to every derivative.

    Parameters
    ----------
    A
        Matrices ``(..., m, n)``. A vector has rank 1, or 0 where all its elements are 0.
    tol
        The tolerance.
    rtol
        The tolerance as a part of the largest singular value; by default ``max(m, n)`` times the rounding of the dtype.
    """
    a = floats(A)
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
LSTSQ: Primitive = _lstsq.primitive
MATRIX_RANK: Primitive = _matrix_rank.primitive
