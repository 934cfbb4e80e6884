"""Spectra: eigenvalues of symmetric matrices, and singular values, with their vectors.

Vectors that belong to the same value can be any basis of a plane, which has no derivative. To first order they turn by
``M[i, j] / (w[j] - w[i])``, and :data:`OVER_GAPS`, which computes that, raises an error where a gap is 0 and
``M[i, j]`` is not. So derivatives of what does not depend on the choice of one vector are right.

The values and the vectors are the rows of one array, and the public functions take it apart. Signs of vectors are
LAPACK's, and in the derivative they stay. Of a symmetric matrix one triangle is read, and the derivative with respect
to the other is 0, as in :mod:`~minimeta.autodiff.operations.decompositions`.

Sources: Giles, "Collected matrix derivative results for forward and reverse mode" (2008); Townsend, "Differentiating
the singular value decomposition" (2016).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minimeta.autodiff.apply import apply
from minimeta.autodiff.array import Array, ArrayLike, Form, Value
from minimeta.autodiff.operations.matrices import (
    called,
    column,
    did_not_converge,
    lapack,
    lower,
    matrices,
    product,
    row,
    sample_batch,
    sample_symmetric,
    sample_tall,
    transposed,
)
from minimeta.autodiff.primitive import Draw, Primitive
from minimeta.autodiff.protocols import answers
from minimeta.errors import OptionError

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
        Of shape ``(..., n, n)``. One triangle is read, and the derivative with respect to the other is 0.
    UPLO
        Which: ``"L"`` for the lower, ``"U"`` for the upper.

    Returns
    -------
    eigenvalues, eigenvectors
        Of shapes ``(..., n)`` and ``(..., n, n)``, a vector in each column.

    Raises
    ------
    ShapeError
        They are not square.
    OptionError
        ``UPLO`` is neither.
    LinearAlgebraError
        (In the derivative.) An eigenvalue is repeated, to rounding, and the result depends on its eigenvectors.

    Notes
    -----
    The sign of each eigenvector is LAPACK's, and in the derivative it stays.
    """
    x = matrices("eigh", a, square=True)
    triangle = str(UPLO).upper()
    if triangle not in ("L", "U"):
        raise OptionError(f"eigh with UPLO={UPLO!r}: it must be 'L' or 'U'")
    packed = apply(EIGH, x, upper=triangle == "U")
    return Eigh(packed[..., 0, :], packed[..., 1:, :])


@answers(np.linalg.eigvalsh)
def eigvalsh(a: ArrayLike, UPLO: str = "L") -> Value:  # noqa: N803 (numpy's)
    """The eigenvalues alone of :func:`eigh`, which have a derivative where they are repeated, too.

    It is that of LAPACK's eigenvectors: among equal eigenvalues there are many derivatives.
    """
    return eigh(a, UPLO)[0]


# With S = V (diag(g_w) + E) V^T, where E[i, j] = (V^T G_V)[i, j] / (w[j] - w[i]) off the diagonal, dL/dA is the lower
# triangle of S + S^T, with half of its diagonal; or the upper one.
def _eigh_rule(g: Array, y: Array, a: Array, upper: bool) -> Value:
    n = a.shape[-1]
    values, vectors = y[..., 0, :], y[..., 1:, :]
    inner = _turns(values, product(vectors, g[..., 1:, :], True)) + row(g[..., 0, :]) * np.eye(n, dtype=a.dtype)
    found = product(product(vectors, inner), vectors, False, True)
    half = lower(found + transposed(found), 0.5)
    return transposed(half) if upper else half


def _turns(w: Any, m: Any) -> Any:
    """Return ``m[i, j] / (w[j] - w[i])`` off the diagonal, and 0 on it."""
    off = 1 - np.eye(w.shape[-1], dtype=w.dtype)
    return apply(OVER_GAPS, w, w, m * off) * off


@lapack(
    did_not_converge,
    (_eigh_rule,),
    lambda a, upper: Form((*a.shape[:-2], a.shape[-1] + 1, a.shape[-1]), a.dtype),
    sample=lambda draw: ((sample_symmetric(draw),), {"upper": bool(draw.integer(0, 1))}),
)
def _eigh(a: Any, *, upper: bool) -> Any:
    values, vectors = np.linalg.eigh(a.real, "U" if upper else "L")
    if np.iscomplexobj(a):
        a = np.swapaxes(a, -1, -2) if upper else a
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
def svd(a: ArrayLike, full_matrices: bool = True, compute_uv: bool = True, hermitian: bool = False) -> Any:
    """The singular value decomposition ``A = U diag(S) Vh``.

    Parameters
    ----------
    a
        Matrices ``(..., m, n)``.
    full_matrices
        Only False, unless they are square: the further columns can be any, and have no derivative.
    compute_uv
        Whether all three are returned, and not ``S`` alone.
    hermitian
        Whether ``a`` is symmetric: it is decomposed by :func:`eigh`, which reads its lower triangle.

    Returns
    -------
    U, S, Vh
        Of shapes ``(..., m, k)``, ``(..., k)`` and ``(..., k, n)``, where ``k = min(m, n)``.

    Raises
    ------
    OptionError
        ``full_matrices`` of matrices that are not square.
    LinearAlgebraError
        (In the derivative.) A singular value is repeated, or 0 in a matrix that is not square, to rounding, and the
        result depends on its vectors.

    Notes
    -----
    The signs of the vectors are LAPACK's, and in the derivative they stay.
    """
    x = matrices("svd", a, square=hermitian)
    if hermitian:
        return _of_symmetric(x, compute_uv)
    m, n = x.shape[-2:]
    if compute_uv and full_matrices and m != n:
        raise OptionError(
            f"svd of shape {x.shape} with full_matrices=True, numpy's default: the further columns can be any that are "
            "orthogonal, and have no derivative. Write svd(x, full_matrices=False)"
        )
    packed = apply(SVD_OF_ALL, x)
    if not compute_uv:
        return packed[..., 0, :]
    return SVD(packed[..., 1 : m + 1, :], packed[..., 0, :], transposed(packed[..., m + 1 :, :]))


def _of_symmetric(a: Value, compute_uv: bool) -> Any:
    values, vectors = eigh(a)
    order = np.flip(np.argsort(np.abs(values)), -1)
    values = np.take_along_axis(values, order, -1)
    if not compute_uv:
        return np.abs(values)
    vectors = np.take_along_axis(vectors, row(order), -1)
    return SVD(vectors, np.abs(values), transposed(vectors * row(np.sign(values))))


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
    u, s, v = factors(a)
    return np.concatenate([s[..., None, :], u, v], -2)


def factors(a: Any) -> tuple[Any, Any, Any]:
    """Return the left vectors, the values and the right vectors, in columns; analytic in complex matrices."""
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
    return u, s, v


OVER_GAPS: Primitive = _over_gaps.primitive
EIGH: Primitive = _eigh.primitive
SVD_OF_ALL: Primitive = _svd_of_all.primitive
