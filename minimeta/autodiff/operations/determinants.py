"""Determinants, and their derivatives, which singular matrices have, too.

A determinant is a polynomial of the elements. Its gradient is the matrix of cofactors ``C(A)``, which is ``det(A)
A^-T`` where there is an inverse. In the basis of the singular vectors, ``A = U S V^T``, the matrix is diagonal, and

    C(A) = det(U) det(V) U C(S) V^T,        C(S)[i, i] = product of s_k, k != i,

needs no inverse. Neither does the second derivative, which is the turn ``T(A, H)`` of the cofactors in a direction,

    T(S, H)[i, j] = -H[j, i] P[i, j],       T(S, H)[i, i] = sum over j of H[j, j] P[i, j],

with the products ``P[i, j]`` of all ``s_k`` but two. It is symmetric, ``<G, T(A, H)> = <H, T(A, G)>``, so the rule of
the cofactors is the turn by their cotangent. The third derivative is computed with the inverse ``K``: for ``h = K H``
and ``q = K G`` it is

    det(A) ((tr h tr q - tr(h q)) K - tr(q) h K - tr(h) q K + h q K + q h K)^T .

By Jacobi's formula ``d log|det A| = tr(A^-1 dA)``, which is infinite where the matrix is singular.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minimeta.autodiff.apply import apply
from minimeta.autodiff.array import Array, ArrayLike, Form, Value
from minimeta.autodiff.operations.matrices import (
    as_matrix,
    did_not_converge,
    lapack,
    matrices,
    product,
    sample_batch,
    sample_square,
    singular,
    transposed,
)
from minimeta.autodiff.operations.solving import inv
from minimeta.autodiff.primitive import Draw, Primitive
from minimeta.autodiff.protocols import answers


@answers(np.linalg.det)
def det(a: ArrayLike) -> Value:
    """The determinant of square matrices ``(..., n, n)``, of shape ``(...)``.

    Its derivatives of the first and the second order are right at singular matrices, too.

    Raises
    ------
    ShapeError
        They are not square.
    LinearAlgebraError
        (In the third derivative.) A matrix is singular.
    """
    return apply(DET, matrices("det", a, square=True))


class Slogdet(NamedTuple):
    """The sign of a determinant, and the logarithm of its magnitude."""

    sign: Value
    logabsdet: Value


@answers(np.linalg.slogdet)
def slogdet(a: ArrayLike) -> Slogdet:
    """The sign and the logarithm of the magnitude of determinants, which themselves may overflow.

    Parameters
    ----------
    a
        Square matrices ``(..., n, n)``.

    Returns
    -------
    sign
        -1, 0 or 1, of shape ``(...)``; its derivative is 0.
    logabsdet
        Of the same shape; minus infinity of a singular matrix. Its derivative is ``A^-T``.

    Raises
    ------
    ShapeError
        They are not square.
    LinearAlgebraError
        (In the derivative.) A matrix is singular.
    """
    both = apply(SLOGDET, matrices("slogdet", a, square=True))
    return Slogdet(both[..., 0], both[..., 1])


# The primitives


def _sample_one(draw: Draw) -> tuple[tuple[NDArray[Any], ...], dict[str, Any]]:
    return (sample_square(draw, sample_batch(draw), draw.integer(0, 4)),), {}


def _sample_two(draw: Draw) -> tuple[tuple[NDArray[Any], ...], dict[str, Any]]:
    batch, n = sample_batch(draw), draw.integer(0, 4)
    return (sample_square(draw, batch, n), draw.array((*batch, n, n))), {}


@lapack(
    did_not_converge,
    (lambda g, y, a: as_matrix(g) * apply(COFACTORS, a),),
    lambda a: Form(a.shape[:-2], a.dtype),
    sample=_sample_one,
    small=True,
)
def _det(a: Any) -> Any:
    return np.linalg.det(a)


@lapack(did_not_converge, (lambda g, y, a: apply(TURN, a, g),), Form.of, sample=_sample_one)
def _cofactors(a: Any) -> Any:
    """``det(A) A^-T``, and its limit where ``A`` is singular."""
    return _one_by_one(_cofactors_by_inverse, _cofactors_by_vectors, a)


def _turn_rules(g: Array, y: Array, a: Array, h: Array) -> tuple[Any, Any]:
    to_direction = apply(TURN, a, g)
    if a.transformation is None:
        return None, to_direction
    k = inv(a)
    one, other = product(k, h), product(k, g)
    traces = [as_matrix(np.trace(x, axis1=-2, axis2=-1)) for x in (one, other, product(one, other))]
    both = product(one, other) + product(other, one) - traces[1] * one - traces[0] * other
    found = (traces[0] * traces[1] - traces[2]) * k + product(both, k)
    return as_matrix(det(a)) * transposed(found), to_direction


@lapack(did_not_converge, _turn_rules, lambda a, h: Form(a.shape, a.dtype), sample=_sample_two)
def _turn(a: Any, h: Any) -> Any:
    """How the cofactors change in a direction."""
    return _one_by_one(_turn_by_inverse, _turn_by_vectors, a, h)


@lapack(
    singular,
    (lambda g, y, a: as_matrix(g[..., 1]) * transposed(inv(a)),),
    lambda a: Form((*a.shape[:-2], 2), a.dtype),
    sample=_sample_one,
    small=True,
)
def _slogdet(a: Any) -> Any:
    sign, logarithm = np.linalg.slogdet(a)
    if np.iscomplexobj(a):
        sign, turned = np.sign(sign.real), sign
        logarithm = logarithm + 1j * np.angle(turned * sign)
    return np.stack([sign, logarithm], -1).astype(a.dtype)


def _one_by_one(by_inverse: Any, by_vectors: Any, a: Any, *others: Any) -> Any:
    """Compute each matrix of a stack, by its inverse if that keeps half of the digits or more."""
    y = np.empty(a.shape, np.result_type(a, *others))
    for place in np.ndindex(a.shape[:-2]):
        x, rest = a[place], [other[place] for other in others]
        try:
            k = np.linalg.inv(x)
        except np.linalg.LinAlgError:
            y[place] = by_vectors(x, *rest)
            continue
        size = np.abs(x).sum(0).max(initial=0.0) * np.abs(k).sum(0).max(initial=0.0)
        near = size > np.finfo(x.real.dtype).eps ** -0.5
        y[place] = by_vectors(x, *rest) if near else by_inverse(x, k, *rest)
    return y


def _cofactors_by_inverse(a: Any, k: Any) -> Any:
    return np.linalg.det(a) * k.T


def _turn_by_inverse(a: Any, k: Any, h: Any) -> Any:
    turned = k @ h
    return np.linalg.det(a) * (np.trace(turned) * k - turned @ k).T


def _cofactors_by_vectors(a: Any) -> Any:
    u, s, v = np.linalg.svd(a)
    return np.linalg.det(u) * np.linalg.det(v) * (np.conj(u) * _others(s)) @ np.conj(v)


def _turn_by_vectors(a: Any, h: Any) -> Any:
    u, s, v = np.linalg.svd(a)
    turned = np.conj(u.T) @ h @ np.conj(v.T)
    pairs = np.array([np.insert(_others(np.delete(s, i)), i, 0.0) for i in range(len(s))])
    inner = np.diag(pairs @ np.diagonal(turned)) - pairs * turned.T
    return np.linalg.det(u) * np.linalg.det(v) * np.conj(u) @ inner @ np.conj(v)


def _others(s: Any) -> Any:
    """The product of all numbers but one, for each."""
    before, behind = (np.cumprod(np.concatenate([[1.0], row]))[:-1] for row in (s, s[::-1]))
    return (before * behind[::-1]).astype(s.dtype)


DET: Primitive = _det.primitive
COFACTORS: Primitive = _cofactors.primitive
TURN: Primitive = _turn.primitive
SLOGDET: Primitive = _slogdet.primitive
