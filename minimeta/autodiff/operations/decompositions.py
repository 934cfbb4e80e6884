"""Decompositions: matrices as products of triangular and orthogonal ones.

Differentiated, ``A = F G`` says how the factors change with ``A``, as far as they can: triangular ones stay triangular,
orthogonal ones orthogonal. What follows for cotangents stands above each operation. Where several factors are computed
at once they are the rows of one array, the smallest first, and the public functions take it apart.

The factors are those that LAPACK returns, with its signs, and a derivative is that of these factors: signs stay as they
are. Of a symmetric matrix LAPACK reads one triangle, and so do these functions, as numpy's do: the derivative with
respect to the other triangle is 0, and that with respect to an element read is its share on both sides of the diagonal.
Along symmetric changes it is the same as any other convention's.

Sources: Murray, "Differentiation of the Cholesky decomposition" (arXiv:1602.07527); Walter and Lehmann, "Algorithmic
differentiation of linear algebra functions with application in optimum experimental design" (2010).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minimeta.autodiff.apply import apply
from minimeta.autodiff.array import Array, ArrayLike, Form, Value
from minimeta.autodiff.operations import indexing, joining
from minimeta.autodiff.operations.matrices import (
    called,
    did_not_converge,
    first,
    lapack,
    lower,
    matrices,
    product,
    sample_symmetric,
    sample_tall,
    singular,
    transposed,
)
from minimeta.autodiff.operations.solving import SOLVE_TRIANGULAR, solve_triangular
from minimeta.autodiff.primitive import Draw, Primitive
from minimeta.autodiff.protocols import answers
from minimeta.errors import OptionError

# Cholesky: A = L L^T


@answers(np.linalg.cholesky)
def cholesky(a: ArrayLike, /, *, upper: bool = False) -> Value:
    """The lower triangular ``L`` with a positive diagonal for which ``A = L L^T``.

    Parameters
    ----------
    a
        Positive definite matrices ``(..., n, n)``. One triangle is read: the lower, or the upper if ``upper``. The
        derivative with respect to the other is 0.
    upper
        Whether the upper triangle is read, and ``L^T`` is returned.

    Raises
    ------
    ShapeError
        They are not square.
    LinearAlgebraError
        A matrix is not positive definite. The error says which leading minor is not.
    """
    x = matrices("cholesky", a, square=True)
    return transposed(apply(CHOLESKY, transposed(x))) if upper else apply(CHOLESKY, x)


def _not_positive_definite(a: Any) -> str:
    place = first(a, np.linalg.cholesky)
    one, low, high = a[place], 0, a.shape[-1]
    if not np.isfinite(one).all():
        return f"{called(place)} holds a NaN or an infinity"
    while high - low > 1:  # The leading minor of `low` rows is positive definite, that of `high` rows is not.
        middle = (low + high) // 2
        try:
            np.linalg.cholesky(one[:middle, :middle])
            low = middle
        except np.linalg.LinAlgError:
            high = middle
    if low:
        why = f"its leading minor of {high} rows and columns is not, though that of {low} is"
    else:
        why = "its first element is not positive"
    return (
        f"{called(place)} is not positive definite: {why}. Add a small multiple of the identity matrix, as in "
        "a + 1e-6 * np.eye(n)"
    )


# With h(X) the lower triangle of X with half of its diagonal, M = h(L^T G) and S = L^-T (M + M^T) L^-1, dL/dA = h(S).
# That is one operation, which takes blocks of rows from the last to the first, as the blocked decomposition backwards
# (Murray, section 3.3): a sixth of the arithmetic, because no block sees zeros. Its own derivatives follow from S.
def _cotangent_rules(h: Array, z: Array, y: Array, g: Array) -> tuple[Value, Value]:
    y, g, given, s = lower(y), lower(g), lower(h, 0.5), z + transposed(z)
    half = apply(SOLVE_TRIANGULAR, y, given + transposed(given), lower=True)
    inner = lower(apply(SOLVE_TRIANGULAR, y, transposed(half), lower=True), 0.5)
    return lower(product(g, inner, False, True) - product(s, half, False, True)), product(y, inner)


def _sample_cotangent(draw: Draw) -> tuple[tuple[NDArray[Any], ...], dict[str, Any]]:
    factor = np.linalg.cholesky(sample_symmetric(draw))
    return (factor, np.tril(draw.array(factor.shape))), {}


@lapack(
    singular,
    _cotangent_rules,
    lambda y, g: Form(y.shape, y.dtype),
    sample=_sample_cotangent,
)
def _cholesky_cotangent(y: Any, g: Any) -> Any:
    z, n = np.tril(g).astype(np.result_type(y, g), copy=False), y.shape[-1]
    halved = lower(np.ones((48, 48), z.dtype), 0.5)
    for begin in reversed(range(0, n, 48)):
        end = min(begin + 48, n)
        before, own, after = slice(0, begin), slice(begin, end), slice(end, n)
        to_left, block, below = y[..., own, before], np.tril(y[..., own, own]), y[..., after, own]
        inverse = np.linalg.inv(block)
        z[..., after, own] = z[..., after, own] @ inverse
        turned = np.swapaxes(z[..., after, own], -1, -2)
        z[..., after, before] -= z[..., after, own] @ to_left
        half = halved[: end - begin, : end - begin]
        m = half * (np.swapaxes(block, -1, -2) @ (z[..., own, own] - np.tril(turned @ below)))
        s = half * (np.swapaxes(inverse, -1, -2) @ (m + np.swapaxes(m, -1, -2)) @ inverse)
        z[..., own, own] = s
        z[..., own, before] -= turned @ y[..., after, before] + (s + np.swapaxes(s, -1, -2)) @ to_left
    return z


def _cholesky_rule(g: Array, y: Array, a: Array) -> Value:
    return apply(CHOLESKY_COTANGENT, y, g)


def _sample_positive(draw: Draw) -> tuple[tuple[NDArray[Any], ...], dict[str, Any]]:
    return (sample_symmetric(draw),), {}


@lapack(_not_positive_definite, (_cholesky_rule,), lambda a: Form(a.shape, a.dtype), sample=_sample_positive)
def _cholesky(a: Any) -> Any:
    if not np.iscomplexobj(a):
        return np.linalg.cholesky(a)
    y = np.zeros_like(a)
    for j in range(a.shape[-1]):
        left = a[..., j:, j] - (y[..., j:, :j] @ y[..., j, :j, None])[..., 0]
        y[..., j:, j] = left / np.sqrt(left[..., :1])
    return y


def cho_factor(a: ArrayLike, lower: bool = False) -> tuple[Value, bool]:
    """The factor of :func:`cholesky`, by default the upper one, and which it is: what :func:`cho_solve` takes."""
    return cholesky(a, upper=not lower), lower


def cho_solve(factor: tuple[ArrayLike, bool], b: ArrayLike) -> Value:
    """The solution ``x`` of ``a @ x = b``, given the factor of ``a`` and whether it is a lower triangle.

    Raises
    ------
    ShapeError
        ``b`` has another number of rows.
    """
    x, is_lower = matrices("cho_solve", factor[0], square=True), bool(factor[1])
    turned = transposed(x)
    first, then = (x, turned) if is_lower else (turned, x)
    return solve_triangular(then, solve_triangular(first, b, lower=True), lower=False)


# QR: A = Q R


class QR(NamedTuple):
    """An orthogonal matrix and an upper triangle."""

    Q: Value
    R: Value


@answers(np.linalg.qr)
def qr(a: ArrayLike, mode: str = "reduced") -> Any:
    """``A = Q R`` with orthonormal columns of ``Q`` and an upper triangular ``R``.

    Parameters
    ----------
    a
        Matrices ``(..., m, n)``.
    mode
        ``"reduced"`` for both, of shapes ``(..., m, k)`` and ``(..., k, n)`` with ``k = min(m, n)``; ``"r"`` for the
        triangle alone.

    Raises
    ------
    OptionError
        Another mode: the columns that ``"complete"`` adds can be any, and have no derivative.
    LinearAlgebraError
        (In the derivative.) The first ``k`` columns are linearly dependent.

    Notes
    -----
    Signs are LAPACK's: the diagonal of ``R`` may be negative.
    """
    x = matrices("qr", a)
    m, n = x.shape[-2:]
    if mode not in ("reduced", "r") and not (mode == "complete" and m <= n):
        raise OptionError(
            f"qr with mode={mode!r}: only 'reduced' and 'r' have a derivative; the columns that 'complete' adds can be "
            "any that are orthogonal"
        )
    packed = apply(QR_OF_TALL, x[..., :m])
    triangle, q = packed[..., : min(m, n), :], packed[..., min(m, n) :, :]
    if n > m:  # The other columns follow: Q^T A.
        triangle = joining.concatenate([triangle, product(q, x[..., m:], True)], -1)
    return triangle if mode == "r" else QR(q, triangle)


# With M = R G_R^T - G_Q^T Q, and its lower triangle mirrored upwards: dL/dA = (G_Q + Q mirrored(M)) R^-T.
def _qr_rule(g: Array, y: Array, a: Array) -> Value:
    n = a.shape[-1]
    (r, q), (to_r, to_q) = ((z[..., :n, :], z[..., n:, :]) for z in (y, g))
    to_r = transposed(lower(transposed(to_r)))
    inner = lower(product(r, to_r, False, True) - product(to_q, q, True))
    mirrored = inner + transposed(lower(inner, 0.0))
    return transposed(apply(SOLVE_TRIANGULAR, r, transposed(to_q + product(q, mirrored)), lower=False))


@lapack(
    did_not_converge,
    (_qr_rule,),
    lambda a: Form((*a.shape[:-2], a.shape[-2] + a.shape[-1], a.shape[-1]), a.dtype),
    sample=lambda draw: ((sample_tall(draw),), {}),
)
def _qr_of_tall(a: Any) -> Any:
    q, r = np.linalg.qr(a.real)
    if np.iscomplexobj(a):  # Gram and Schmidt's columns, with the signs that LAPACK gave.
        signs, r = np.sign(np.diagonal(r, axis1=-2, axis2=-1)), np.zeros(r.shape, a.dtype)
        q = a.copy()
        for j in range(a.shape[-1]):
            for i in range(j):
                r[..., i, j] = np.sum(q[..., i] * q[..., j], -1)
                q[..., j] -= q[..., i] * r[..., i, j, None]
            r[..., j, j] = signs[..., j] * np.sqrt(np.sum(q[..., j] ** 2, -1))
            q[..., j] /= r[..., j, j, None]
    return np.concatenate([r, q], -2)


# LU: P A = L U


def lu_factor(a: ArrayLike) -> tuple[Value, Value]:
    """The triangular factors of a matrix whose rows are exchanged, by elimination with partial pivots.

    Parameters
    ----------
    a
        Square matrices ``(..., n, n)``.

    Returns
    -------
    lu
        ``U`` in the upper triangle with the diagonal, and ``L``, whose diagonal is 1, below.
    pivots
        Integers of shape ``(..., n)``: row ``i`` was exchanged with row ``pivots[i]``, one after the other. A constant
        to every derivative.

    Raises
    ------
    ShapeError
        They are not square.
    LinearAlgebraError
        (In the derivative.) A matrix is singular.
    """
    x = matrices("lu_factor", a, square=True)
    found = apply(PIVOTS, x)
    pivots, order = found[..., 0, :], found[..., 1, :]
    return apply(LU, indexing.take_along_axis(x, order[..., None], -2)), pivots


@lapack(
    did_not_converge,
    (),
    lambda a: Form((*a.shape[:-2], 2, a.shape[-1]), np.int64),
    sample=lambda draw: ((sample_symmetric(draw)[..., ::-1, :],), {}),
)
def _pivots(a: Any) -> Any:
    n = a.shape[-1]
    found = np.empty((*a.shape[:-2], 2, n), np.int64)
    for place in np.ndindex(a.shape[:-2]):
        left, order = np.array(a[place].real), np.arange(n)
        for i in range(n):
            pivot = i + int(np.argmax(np.abs(left[i:, i])))
            found[(*place, 0, i)] = pivot
            left[[i, pivot]], order[[i, pivot]] = left[[pivot, i]], order[[pivot, i]]
            if left[i, i] != 0:
                left[i + 1 :, i:] -= left[i + 1 :, i, None] / left[i, i] * left[i, i:]
        found[(*place, 1)] = order
    return found


# With M = the strict lower triangle of L^T G_L, and the upper one of G_U U^T: dL/dA = L^-T M U^-T.
def _lu_rule(g: Array, y: Array, a: Array) -> Value:
    left, right = lower(y, 0.0) + np.eye(a.shape[-1], dtype=a.dtype), transposed(lower(transposed(y)))
    to_left, to_right = lower(g, 0.0), transposed(lower(transposed(g)))
    inner = lower(product(left, to_left, True), 0.0) + transposed(lower(product(right, to_right, False, True)))
    half = apply(SOLVE_TRIANGULAR, transposed(left), inner, lower=False)
    return transposed(apply(SOLVE_TRIANGULAR, right, transposed(half), lower=False))


@lapack(
    did_not_converge, (_lu_rule,), lambda a: Form(a.shape, a.dtype), sample=lambda draw: ((sample_symmetric(draw),), {})
)
def _lu(a: Any) -> Any:
    y = a.copy()
    for i in range(a.shape[-1]):
        pivot = np.where(y[..., i, i] == 0, 1, y[..., i, i])
        y[..., i + 1 :, i] /= pivot[..., None]
        y[..., i + 1 :, i + 1 :] -= y[..., i + 1 :, i, None] * y[..., i, None, i + 1 :]
    return y


CHOLESKY: Primitive = _cholesky.primitive
CHOLESKY_COTANGENT: Primitive = _cholesky_cotangent.primitive
PIVOTS: Primitive = _pivots.primitive
LU: Primitive = _lu.primitive
QR_OF_TALL: Primitive = _qr_of_tall.primitive
