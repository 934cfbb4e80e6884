"""Decompositions: matrices as products of simpler ones.

Differentiated, ``A = F G`` says how the factors change with ``A``, as far as they can: triangular ones stay triangular,
orthogonal ones orthogonal. What follows for cotangents stands above each operation. Where several factors are computed
at once they are the rows of one array, the smallest first, and the public functions take it apart.

The factors are those that LAPACK returns, with its signs, and a derivative is that of these factors: signs stay as they
are. Of a symmetric matrix LAPACK reads the lower triangle alone. The public functions give it the symmetric part, which
is the matrix itself where that is symmetric: so a derivative is a symmetric matrix, too.

Eigenvectors that belong to the same eigenvalue can be any basis of a plane, which has no derivative. To first order
they turn by ``M[i, j] / (w[j] - w[i])``, and :data:`OVER_GAPS`, which computes that, raises an error where a gap is 0
and what stands above it is not. So derivatives of what does not depend on the choice of one vector are right.

Sources: Murray, "Differentiation of the Cholesky decomposition" (arXiv:1602.07527); Walter and Lehmann, "Algorithmic
differentiation of linear algebra functions with application in optimum experimental design" (2010); Giles, "Collected
matrix derivative results for forward and reverse mode" (2008); Townsend, "Differentiating the singular value
decomposition" (2016).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minimeta.autodiff.apply import apply
from minimeta.autodiff.array import Array, ArrayLike, Form, Value
from minimeta.autodiff.operations import joining
from minimeta.autodiff.operations.matrices import (
    called,
    column,
    did_not_converge,
    first,
    lapack,
    lower,
    matrices,
    product,
    row,
    sample_batch,
    sample_symmetric,
    sample_tall,
    symmetric,
    transposed,
)
from minimeta.autodiff.operations.solving import SOLVE_TRIANGULAR
from minimeta.autodiff.primitive import Draw, Primitive
from minimeta.autodiff.protocols import answers
from minimeta.errors import ConfigurationError

# Cholesky: A = L L^T


@answers(np.linalg.cholesky)
def cholesky(a: ArrayLike, /, *, upper: bool = False) -> Value:
    """The lower triangular ``L`` with a positive diagonal for which ``A = L L^T``.

    Parameters
    ----------
    a
        Positive definite matrices ``(..., n, n)``. Their symmetric part is taken, and not one triangle.
    upper
        Whether ``L^T`` is returned.

    Raises
    ------
    ShapeError
        They are not square.
    LinearAlgebraError
        A matrix is not positive definite. The error says which leading minor is not.
    """
    found = apply(CHOLESKY, symmetric(matrices("cholesky", a, square=True)))
    return transposed(found) if upper else found


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
    return (
        f"{called(place)} is not positive definite: its leading minor of {high} rows and columns is not, though that "
        f"of {low} is. Add a small multiple of the identity matrix, as in a + 1e-6 * np.eye(n)"
    )


# With S = L^-T (M + M^T) L^-1, where M is the lower triangle of L^T G with half of its diagonal: dL/dA is the lower
# triangle of S, with half of its diagonal.
def _cholesky_rule(g: Array, y: Array, a: Array) -> Value:
    inner = lower(product(y, g, True), 0.5)
    turned = transposed(y)
    half = apply(SOLVE_TRIANGULAR, turned, inner + transposed(inner), lower=False)
    return lower(apply(SOLVE_TRIANGULAR, turned, transposed(half), lower=False), 0.5)


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
    ConfigurationError
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
        raise ConfigurationError(
            f"qr with mode={mode!r}: only 'reduced' and 'r' have x derivative; the columns that 'complete' adds can be "
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


# Gaps: y[i, j] = M[i, j] / (w[j] - v[i])


def _gap_rules(g: Array, y: Array, v: Array, w: Array, m: Array) -> tuple[Any, Any, Any]:
    to_gap = apply(OVER_GAPS, v, w, g * y)
    return to_gap.sum(-1), -to_gap.sum(-2), apply(OVER_GAPS, v, w, g)


def _tied(v: Any, w: Any, m: Any) -> str:
    ties = _ties(v, w) & (m != 0)
    *place, i, j = (int(index) for index in np.argwhere(ties)[0])
    values = f"{w[(*place, j)]:.6g}"
    return (
        f"the vectors of {called(tuple(place))} that belong to its values number {i} and {j} have no derivative: both "
        f"are {values}, so that the vectors can be any basis of a plane. Differentiate what does not depend on them "
        "(eigvalsh, svdvals), or take the values apart: a + np.diag(distinct small numbers)"
    )


def _ties(v: Any, w: Any) -> Any:
    v, w = np.real(v), np.real(w)
    largest = np.max(np.abs(np.concatenate([v, w], -1)), -1, initial=0.0, keepdims=True)[..., None]
    rounding = np.finfo(w.dtype).eps * max(v.shape[-1], w.shape[-1], 1)
    return np.abs(w[..., None, :] - v[..., :, None]) <= rounding * largest


def _sample_gaps(draw: Draw) -> tuple[tuple[NDArray[Any], ...], dict[str, Any]]:
    batch, m, n = sample_batch(draw), draw.integer(0, 3), draw.integer(0, 3)
    return (draw.array((*batch, m), "positive"), -draw.array((*batch, n), "positive"), draw.array((*batch, m, n))), {}


@lapack(
    _tied,
    _gap_rules,
    lambda v, w, m: Form(m.shape, m.dtype),
    sample=_sample_gaps,
    flops=lambda y, *operands: 2 * math.prod(y.shape),
)
def _over_gaps(v: Any, w: Any, m: Any) -> Any:
    tied, empty = _ties(v, w), m == 0
    if np.any(tied & ~empty):
        raise np.linalg.LinAlgError("values are repeated")
    gaps = w[..., None, :] - v[..., :, None]
    return np.where(empty & tied, 0, m / np.where(tied, 1, gaps)).astype(m.dtype)


# Eigenvectors of symmetric matrices: A V = V diag(w)


class Eigh(NamedTuple):
    """Eigenvalues in ascending order, and the eigenvectors in columns."""

    eigenvalues: Value
    eigenvectors: Value


@answers(np.linalg.eigh)
def eigh(a: ArrayLike, UPLO: str = "L") -> Eigh:  # noqa: N803 (numpy's)
    """The eigenvalues of symmetric matrices, in ascending order, and orthonormal eigenvectors.

    Parameters
    ----------
    a
        Of shape ``(..., n, n)``. Their symmetric part is taken, and not one triangle.
    UPLO
        ``"L"`` or ``"U"``, which makes no difference.

    Returns
    -------
    eigenvalues, eigenvectors
        Of shapes ``(..., n)`` and ``(..., n, n)``, a vector in each column.

    Raises
    ------
    ShapeError
        They are not square.
    ConfigurationError
        ``UPLO`` is neither.
    LinearAlgebraError
        (In the derivative.) An eigenvalue is repeated, to rounding, and the result depends on its eigenvectors.

    Notes
    -----
    The sign of each eigenvector is LAPACK's, and in the derivative it stays.
    """
    x = matrices("eigh", a, square=True)
    if str(UPLO).upper() not in ("L", "U"):
        raise ConfigurationError(f"eigh with UPLO={UPLO!r}: it must be 'L' or 'U'")
    packed = apply(EIGH, symmetric(x))
    return Eigh(packed[..., 0, :], packed[..., 1:, :])


@answers(np.linalg.eigvalsh)
def eigvalsh(a: ArrayLike, UPLO: str = "L") -> Value:  # noqa: N803 (numpy's)
    """The eigenvalues alone of :func:`eigh`, which have a derivative where they are repeated, too.

    It is that of LAPACK's eigenvectors: among equal eigenvalues there are many derivatives.
    """
    return eigh(a, UPLO)[0]


# With S = V (diag(g_w) + E) V^T, where E[i, j] = (V^T G_V)[i, j] / (w[j] - w[i]) off the diagonal, dL/dA is the lower
# triangle of S + S^T, with half of its diagonal.
def _eigh_rule(g: Array, y: Array, a: Array) -> Value:
    n = a.shape[-1]
    values, vectors = y[..., 0, :], y[..., 1:, :]
    inner = _turns(values, product(vectors, g[..., 1:, :], True)) + row(g[..., 0, :]) * np.eye(n, dtype=a.dtype)
    found = product(product(vectors, inner), vectors, False, True)
    return lower(found + transposed(found), 0.5)


def _turns(w: Any, m: Any) -> Any:
    """Return ``m[i, j] / (w[j] - w[i])`` off the diagonal, and 0 on it."""
    off = 1 - np.eye(w.shape[-1], dtype=w.dtype)
    return apply(OVER_GAPS, w, w, m * off) * off


@lapack(
    did_not_converge,
    (_eigh_rule,),
    lambda a: Form((*a.shape[:-2], a.shape[-1] + 1, a.shape[-1]), a.dtype),
    sample=lambda draw: ((sample_symmetric(draw),), {}),
)
def _eigh(a: Any) -> Any:
    values, vectors = np.linalg.eigh(a.real)
    if np.iscomplexobj(a):
        values, vectors = _rotated(np.tril(a) + np.swapaxes(np.tril(a, -1), -1, -2), vectors)
    return np.concatenate([values[..., None, :], vectors], -2)


def _rotated(a: Any, vectors: Any) -> tuple[Any, Any]:
    """Jacobi's rotations, which are analytic, of a complex symmetric matrix that is nearly diagonal in a basis."""
    inner = np.swapaxes(vectors, -1, -2) @ a @ vectors
    n = a.shape[-1]
    places = [(i, j) for i in range(n) for j in range(i + 1, n)]
    for i, j in places + places:
        ratio = 2 * inner[..., i, j] / (inner[..., j, j] - inner[..., i, i])
        tangent = ratio / (1 + np.sqrt(1 + ratio**2))
        cosine = 1 / np.sqrt(1 + tangent**2)
        turn = np.broadcast_to(np.eye(n, dtype=a.dtype), a.shape).copy()
        turn[..., i, i] = turn[..., j, j] = cosine
        turn[..., i, j], turn[..., j, i] = tangent * cosine, -tangent * cosine
        inner, vectors = np.swapaxes(turn, -1, -2) @ inner @ turn, vectors @ turn
    return np.diagonal(inner, axis1=-2, axis2=-1), vectors


# Singular values: A = U diag(s) V^T


class SVD(NamedTuple):
    """Left singular vectors in columns, singular values in descending order, right singular vectors in rows."""

    U: Value
    S: Value
    Vh: Value


@answers(np.linalg.svd)
def svd(a: ArrayLike, full_matrices: bool = True, compute_uv: bool = True) -> Any:
    """The singular value decomposition ``A = U diag(S) Vh``.

    Parameters
    ----------
    a
        Matrices ``(..., m, n)``.
    full_matrices
        Only False, unless they are square: the further columns can be any, and have no derivative.
    compute_uv
        Whether all three are returned, and not ``S`` alone.

    Returns
    -------
    U, S, Vh
        Of shapes ``(..., m, k)``, ``(..., k)`` and ``(..., k, n)``, where ``k = min(m, n)``.

    Raises
    ------
    ConfigurationError
        ``full_matrices`` of matrices that are not square.
    LinearAlgebraError
        (In the derivative.) A singular value is repeated, or 0 in a matrix that is not square, to rounding, and the
        result depends on its vectors.

    Notes
    -----
    The signs of the vectors are LAPACK's, and in the derivative they stay.
    """
    x = matrices("svd", a)
    m, n = x.shape[-2:]
    if compute_uv and full_matrices and m != n:
        raise ConfigurationError(
            f"svd of shape {x.shape} with full_matrices=True, numpy's default: the further columns can be any that are "
            "orthogonal, and have no derivative. Write svd(x, full_matrices=False)"
        )
    packed = apply(SVD_OF_ALL, x)
    if not compute_uv:
        return packed[..., 0, :]
    return SVD(packed[..., 1 : m + 1, :], packed[..., 0, :], transposed(packed[..., m + 1 :, :]))


@answers(np.linalg.svdvals)
def svdvals(x: ArrayLike, /) -> Value:
    """The singular values of matrices ``(..., m, n)``, in descending order, of shape ``(..., min(m, n))``.

    Where they are repeated the derivative is that of LAPACK's vectors: there are many.
    """
    return svd(x, compute_uv=False)


# U (diag(g_s) + E) V^T, and what turns the vectors out of the plane that they span: (I - U U^T) G_U diag(s)^-1 V^T and
# its like for V. With H = U^T G_U and K = V^T G_V it is E = (F * (H - H^T)) S + S (F * (K - K^T)), where
# F[i, j] = 1 / (s[j]^2 - s[i]^2).
def _svd_rule(g: Array, y: Array, a: Array) -> Value:
    m, n = a.shape[-2:]
    (s, u, v), (to_s, to_u, to_v) = ((z[..., 0, :], z[..., 1 : m + 1, :], z[..., m + 1 :, :]) for z in (y, g))
    sums = column(s) + row(s)
    sums = sums + (sums == 0).astype(a.dtype)  # Two values that are 0 are tied: nothing but 0 is divided.

    def turned(x: Any, to_x: Any) -> Any:
        inner = product(x, to_x, True)
        return _turns(s, inner - transposed(inner)) / sums

    inner = turned(u, to_u) * row(s) + column(s) * turned(v, to_v) + row(to_s) * np.eye(s.shape[-1], dtype=a.dtype)
    result = product(product(u, inner), v, False, True)

    def outwards(x: Any, to_x: Any) -> Any:
        outside = to_x - product(x, product(x, to_x, True))
        return apply(OVER_GAPS, np.zeros(x.shape[:-1], a.dtype), s, outside)

    if m > n:
        result = result + product(outwards(u, to_u), v, False, True)
    if n > m:
        result = result + product(u, outwards(v, to_v), False, True)
    return result


def _sample_svd(draw: Draw) -> tuple[tuple[NDArray[Any], ...], dict[str, Any]]:
    a = sample_tall(draw)
    return (np.swapaxes(a, -1, -2) if draw.integer(0, 1) else a,), {}


@lapack(
    did_not_converge,
    (_svd_rule,),
    lambda a: Form((*a.shape[:-2], 1 + a.shape[-2] + a.shape[-1], min(a.shape[-2:])), a.dtype),
    sample=_sample_svd,
)
def _svd_of_all(a: Any) -> Any:
    u, s, v = np.linalg.svd(a.real, full_matrices=False)
    v = np.swapaxes(v, -1, -2)
    if np.iscomplexobj(a):  # Of the two squares A^T A and A A^T, the smaller.
        turned = np.swapaxes(a, -1, -2)
        if a.shape[-2] >= a.shape[-1]:
            squares, v = _rotated(turned @ a, v)
            s = np.sqrt(squares)
            u = a @ v / s[..., None, :]
        else:
            squares, u = _rotated(a @ turned, u)
            s = np.sqrt(squares)
            v = turned @ u / s[..., None, :]
    return np.concatenate([s[..., None, :], u, v], -2)


CHOLESKY: Primitive = _cholesky.primitive
QR_OF_TALL: Primitive = _qr_of_tall.primitive
OVER_GAPS: Primitive = _over_gaps.primitive
EIGH: Primitive = _eigh.primitive
SVD_OF_ALL: Primitive = _svd_of_all.primitive
