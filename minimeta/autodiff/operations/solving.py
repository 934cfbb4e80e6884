"""Linear systems: inverses, determinants, and the least squares.

For ``X = A^-1 B`` a change of the operands changes ``A dX + dA X = dB``, so that the cotangents are

    dL/dB = A^-T G        dL/dA = -(A^-T G) X^T        and of the inverse    -X^T G X^T .

A determinant is the product of what elimination leaves on the diagonal, and by Jacobi's formula ``d log|det A| =
tr(A^-1 dA)``. The pseudoinverse ``P = A^+`` takes a vector to the shortest solution of the least squares; as long as
the rank of ``A`` stays the same (Golub and Pereyra, SIAM J. Numer. Anal. 10, 1973)

    dP = -P dA P + P P^T dA^T (I - A P) + (I - P A) dA^T P^T P .

A triangular matrix is solved in blocks: the first half of the unknowns, then the others, given these.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minimeta.autodiff.apply import apply
from minimeta.autodiff.array import Array, ArrayLike, Form, Value
from minimeta.autodiff.operations import movement, reductions
from minimeta.autodiff.operations.linear_algebra import matmul
from minimeta.autodiff.operations.matrices import (
    as_matrix,
    column,
    did_not_converge,
    floats,
    lapack,
    lower,
    matrices,
    product,
    sample_batch,
    sample_square,
    sample_tall,
    singular,
    stacked_alike,
    transposed,
)
from minimeta.autodiff.primitive import Draw, Primitive
from minimeta.autodiff.protocols import answers
from minimeta.errors import ShapeError

# Systems


@answers(np.linalg.solve)
def solve(a: ArrayLike, b: ArrayLike) -> Value:
    """The solution ``x`` of ``a @ x = b``.

    Parameters
    ----------
    a
        Square matrices, of shape ``(..., n, n)``.
    b
        A vector of shape ``(n,)``, or matrices of shape ``(..., n, k)``. Leading axes broadcast.

    Raises
    ------
    ShapeError
        ``a`` is not square, or ``b`` has another number of rows.
    LinearAlgebraError
        A matrix is singular.
    """
    return _solved("solve", SOLVE, a, b)


def solve_triangular(a: ArrayLike, b: ArrayLike, *, lower: bool = False) -> Value:
    """The solution ``x`` of ``a @ x = b`` for triangular ``a``, of which the other triangle is not looked at.

    Parameters
    ----------
    a, b
        As of :func:`solve`.
    lower
        Whether ``a`` is a lower triangle, and not an upper one.

    Raises
    ------
    ShapeError
        ``a`` is not square, or ``b`` has another number of rows.
    LinearAlgebraError
        A matrix has a zero on its diagonal.
    """
    return _solved("solve_triangular", SOLVE_TRIANGULAR, a, b, lower=bool(lower))


def _solved(name: str, primitive: Primitive, a: ArrayLike, b: ArrayLike, **params: Any) -> Value:
    system, given = matrices(name, a, square=True), floats(b)
    if not given.shape or given.shape[-2 if given.ndim > 1 else 0] != system.shape[-1]:
        raise ShapeError(
            f"{name} of shapes {system.shape} and {given.shape}: the right-hand side needs {system.shape[-1]} rows. It "
            "is one vector (n,), or matrices (..., n, k); a stack of vectors is b[..., None]"
        )
    is_vector = given.ndim == 1
    system, given = stacked_alike(name, system, column(given) if is_vector else given)
    x = apply(primitive, system, given, **params)
    return movement.squeeze(x, -1) if is_vector else x


def _of_system(a: Any, b: Any, **params: Any) -> Form:
    return Form(b.shape, b.dtype)


def _flops_of_system(x: Any, a: Any, b: Any, **params: Any) -> int:
    return int((math.prod(a.shape) + math.prod(b.shape)) * a.shape[-1])


def _sample_system(draw: Draw) -> tuple[tuple[NDArray[Any], ...], dict[str, Any]]:
    batch, n, k = sample_batch(draw), draw.integer(0, 4), draw.integer(0, 3)
    return (sample_square(draw, batch, n), draw.array((*batch, n, k))), {}


def _sample_triangular(draw: Draw) -> tuple[tuple[NDArray[Any], ...], dict[str, Any]]:
    batch, n, k = sample_batch(draw), draw.integer(0, 4), draw.integer(0, 3)
    a = draw.array((*batch, n, n), "unit") / max(n, 1) + 1.5 * np.eye(n)
    return (a, draw.array((*batch, n, k))), {"lower": bool(draw.integer(0, 1))}


def _solve_rules(g: Array, x: Array, a: Array, b: Array) -> tuple[Any, Any]:
    to_b = apply(SOLVE, transposed(a), g)
    return (None if a.transformation is None else -product(to_b, x, False, True)), to_b


@lapack(singular, _solve_rules, _of_system, sample=_sample_system, flops=_flops_of_system)
def _solve(a: Any, b: Any) -> Any:
    return np.linalg.solve(a, b)


def _triangular_rules(g: Array, x: Array, a: Array, b: Array, lower: bool) -> tuple[Any, Any]:
    to_b = apply(SOLVE_TRIANGULAR, transposed(a), g, lower=not lower)
    if a.transformation is None:
        return None, to_b
    return -(
        _lower(product(to_b, x, False, True)) if lower else transposed(_lower(product(x, to_b, False, True)))
    ), to_b


_lower = lower


def _no_diagonal(a: Any, b: Any, lower: bool) -> str:
    places = np.argwhere(np.diagonal(a, axis1=-2, axis2=-1) == 0)
    found = f"; element {[*places[0].tolist(), int(places[0][-1])]} is" if len(places) else ""
    return f"a triangular matrix with a zero on its diagonal has no inverse{found}"


@lapack(
    _no_diagonal,
    _triangular_rules,
    _of_system,
    sample=_sample_triangular,
    flops=_flops_of_system,
)
def _solve_triangular(a: Any, b: Any, *, lower: bool) -> Any:
    if not lower:  # From the last unknown to the first, it is a lower triangle.
        return _forwards(np.ascontiguousarray(a[..., ::-1, ::-1]), b[..., ::-1, :])[..., ::-1, :]
    return _forwards(np.ascontiguousarray(a), b)


def _forwards(a: Any, b: Any) -> Any:
    n = a.shape[-1]
    if n <= 48:
        return np.linalg.solve(np.tril(a), b)
    half = n // 2
    known = _forwards(a[..., :half, :half], b[..., :half, :])
    others = _forwards(a[..., half:, half:], b[..., half:, :] - a[..., half:, :half] @ known)
    return np.concatenate([known, others], -2)


# Inverses and determinants


@answers(np.linalg.inv)
def inv(a: ArrayLike) -> Value:
    """The inverse of square matrices ``(..., n, n)``. To solve a system, :func:`solve` is faster and more exact.

    Raises
    ------
    ShapeError
        They are not square.
    LinearAlgebraError
        A matrix is singular.
    """
    return apply(INV, matrices("inv", a, square=True))


def _of_square(a: Any) -> Form:
    return Form(a.shape, a.dtype)


def _sample_one(draw: Draw) -> tuple[tuple[NDArray[Any], ...], dict[str, Any]]:
    return (sample_square(draw, sample_batch(draw), draw.integer(0, 4)),), {}


@lapack(
    singular,
    (lambda g, y, a: -product(y, product(g, y, False, True), True),),
    _of_square,
    sample=_sample_one,
)
def _inv(a: Any) -> Any:
    return np.linalg.inv(a)


@answers(np.linalg.det)
def det(a: ArrayLike) -> Value:
    """The determinant of square matrices ``(..., n, n)``, of shape ``(...)``.

    Its derivative is ``det(A) A^-T``.

    Raises
    ------
    ShapeError
        They are not square.
    LinearAlgebraError
        (In the derivative.) A matrix is singular.
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


@lapack(
    singular,
    (lambda g, y, a: as_matrix(g * y) * transposed(inv(a)),),
    lambda a: Form(a.shape[:-2], a.dtype),
    sample=_sample_one,
)
def _det(a: Any) -> Any:
    return np.linalg.det(a)


@lapack(
    singular,
    (lambda g, y, a: as_matrix(g[..., 1]) * transposed(inv(a)),),
    lambda a: Form((*a.shape[:-2], 2), a.dtype),
    sample=_sample_one,
)
def _slogdet(a: Any) -> Any:
    sign, logarithm = np.linalg.slogdet(a)
    if np.iscomplexobj(a):
        sign, turned = np.sign(sign.real), sign
        logarithm = logarithm + 1j * np.angle(turned * sign)
    return np.stack([sign, logarithm], -1).astype(a.dtype)


# Least squares


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
    from minimeta.autodiff.operations import decompositions  # noqa: PLC0415 (it stands on this page)

    rank, values = matrix_rank(system, rtol=rcond), decompositions.svdvals(system)
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
    flops=_flops_of_system,
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


# Tensors


@answers(np.linalg.tensorsolve)
def tensorsolve(a: ArrayLike, b: ArrayLike, axes: Sequence[int] | None = None) -> Value:
    """The solution ``x`` of ``tensordot(a, x, x.ndim) = b``.

    Parameters
    ----------
    a
        Of shape ``(*b.shape, *Q)``, with as many elements in ``Q`` as in ``b``.
    b
        Of any shape.
    axes
        Axes of ``a`` that are moved to its end first.

    Returns
    -------
    Array or numpy.ndarray
        Of shape ``Q``.

    Raises
    ------
    ShapeError
        The numbers of elements differ.
    """
    system, given = floats(a), floats(b)
    if axes is not None:
        order = [i for i in range(system.ndim) if i not in axes]
        system = movement.transpose(system, (*order, *axes))
    shape = system.shape[given.ndim :]
    if math.prod(shape) != given.size or system.size != given.size**2:
        raise ShapeError(f"tensorsolve of shapes {system.shape} and {given.shape}: the system is not square")
    return movement.reshape(solve(movement.reshape(system, (given.size, given.size)), movement.ravel(given)), shape)


@answers(np.linalg.tensorinv)
def tensorinv(a: ArrayLike, ind: int = 2) -> Value:
    """The inverse of ``tensordot(a, x, ind)``: of shape ``a.shape[ind:] + a.shape[:ind]``.

    Raises
    ------
    ShapeError
        The sides before and after ``ind`` have different products, or it is not positive.
    """
    x = floats(a)
    before, after = x.shape[: operator.index(ind)], x.shape[operator.index(ind) :]
    if ind <= 0 or math.prod(before) != math.prod(after):
        raise ShapeError(f"tensorinv of shape {x.shape} with ind={ind}: the system is not square")
    n = math.prod(before)
    return movement.reshape(inv(movement.reshape(x, (n, n))), (*after, *before))


SOLVE: Primitive = _solve.primitive
SOLVE_TRIANGULAR: Primitive = _solve_triangular.primitive
INV: Primitive = _inv.primitive
DET: Primitive = _det.primitive
SLOGDET: Primitive = _slogdet.primitive
PINV: Primitive = _pinv.primitive
LSTSQ: Primitive = _lstsq.primitive
MATRIX_RANK: Primitive = _matrix_rank.primitive
