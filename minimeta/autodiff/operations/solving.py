"""Linear systems and inverses.

For ``X = A^-1 B`` a change of the operands changes ``A dX + dA X = dB``, so that the cotangents are

    dL/dB = A^-T G        dL/dA = -(A^-T G) X^T        and of the inverse    -X^T G X^T .

A triangular matrix is solved in blocks of 48 unknowns, each given those before it.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minimeta.autodiff.apply import apply
from minimeta.autodiff.array import Array, ArrayLike, Form, Value
from minimeta.autodiff.operations import movement
from minimeta.autodiff.operations.matrices import (
    column,
    floats,
    lapack,
    lower,
    matrices,
    product,
    sample_batch,
    sample_square,
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


def flops_of_system(x: Any, a: Any, b: Any, **params: Any) -> int:
    """Count the operations of a decomposition, and of its use for each column."""
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


@lapack(singular, _solve_rules, _of_system, sample=_sample_system, flops=flops_of_system, small=True)
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
    flops=flops_of_system,
)
def _solve_triangular(a: Any, b: Any, *, lower: bool) -> Any:
    n, x = a.shape[-1], np.empty(b.shape, np.result_type(a, b))
    for begin in range(0, n, 48) if lower else reversed(range(0, n, 48)):
        end = min(begin + 48, n)
        known = slice(0, begin) if lower else slice(end, n)
        block, left = a[..., begin:end, begin:end], b[..., begin:end, :] - a[..., begin:end, known] @ x[..., known, :]
        # From the last unknown to the first, a lower triangle is an upper one, of which LAPACK exchanges no rows.
        x[..., begin:end, :] = (
            np.linalg.solve(np.triu(block[..., ::-1, ::-1]), left[..., ::-1, :])[..., ::-1, :]
            if lower
            else np.linalg.solve(np.triu(block), left)
        )
    return x


# Inverses


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
    small=True,
)
def _inv(a: Any) -> Any:
    return np.linalg.inv(a)


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
