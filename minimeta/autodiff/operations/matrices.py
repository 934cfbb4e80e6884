"""Matrices: what the pages of linear algebra share.

An operand is a stack of matrices ``(..., m, n)``, and what is computed is computed of each, as numpy's functions do.
The kernels are numpy's own, that is LAPACK: their last bits are those of one machine. Some have a kernel in C++ for
matrices of up to 16 rows, which take less time than a call of LAPACK. Where numpy says "Singular
matrix" and no more, the error here says which matrix, and what to do.

Rules are written for one matrix, with ``A^T`` the transpose of its two axes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minimeta import kernels
from minimeta.autodiff.apply import apply
from minimeta.autodiff.array import Array, ArrayLike, Form
from minimeta.autodiff.definition import Declare, operation
from minimeta.autodiff.operations import conversions, movement, operands
from minimeta.autodiff.operations.linear_algebra import MATMUL
from minimeta.autodiff.primitive import Draw, contiguous
from minimeta.autodiff.promotion import fixed
from minimeta.errors import DtypeError, LinearAlgebraError, ShapeError

Why = Callable[..., str]

#: The most rows of a matrix that kernels in C++ take.
_MOST_SIDE: int = getattr(kernels.native, "MOST_SIDE", -1)


def floats(x: ArrayLike) -> Any:
    """Return an operand as an array of floats; integers and truth values become float64."""
    array = x if isinstance(x, (Array, np.ndarray)) else fixed(x, False)
    return array if array.dtype.kind not in "biu" else conversions.astype(array, np.float64)


def matrices(name: str, x: ArrayLike, square: bool = False) -> Any:
    """Return an operand as a stack of matrices of floats.

    Raises
    ------
    ShapeError
        It has fewer than two axes, or its matrices are not square.
    """
    array = floats(x)
    shape = array.shape
    if len(shape) < 2:
        raise ShapeError(f"{name} of shape {shape}: it needs matrices, of shape (..., m, n)")
    if square and shape[-1] != shape[-2]:
        raise ShapeError(f"{name} of shape {shape}: it needs square matrices, of shape (..., n, n)")
    return array


def transposed(x: Any) -> Any:
    """Return ``A^T``."""
    return movement.swapaxes(x, -1, -2)


def product(x: Any, y: Any, turn_x: bool = False, turn_y: bool = False) -> Any:
    """Return ``A B`` of stacks of one shape, each factor as it is or transposed."""
    return apply(MATMUL, x, y, transpose_x=turn_x, transpose_y=turn_y)


def lower(x: Any, diagonal: float = 1.0) -> Any:
    """Return the lower triangle of a square matrix, its diagonal times a number."""
    ones = np.tril(np.ones(x.shape[-2:], x.dtype), -1)
    return x * (ones + np.asarray(diagonal, x.dtype) * np.eye(x.shape[-1], dtype=x.dtype))


def mirrored(x: Any) -> Any:
    """Return the symmetric matrices whose lower triangle this is."""
    return lower(x) + transposed(lower(x, 0.0))


def as_matrix(x: Any) -> Any:
    """Return numbers as matrices of one element, which broadcast."""
    return movement.expand_dims(x, (-1, -2))


def column(x: Any) -> Any:
    """Return vectors as matrices of one column."""
    return movement.expand_dims(x, -1)


def row(x: Any) -> Any:
    """Return vectors as matrices of one row."""
    return movement.expand_dims(x, -2)


def stacked_alike(name: str, x: Any, y: Any) -> tuple[Any, Any]:
    """Return two stacks of matrices with one dtype, and the same axes before the matrices."""
    x, y = operands.same_dtype(name, x, y)
    before, other = x.shape[:-2], y.shape[:-2]
    if before == other:
        return x, y
    try:
        batch = np.broadcast_shapes(before, other)
    except ValueError:
        raise ShapeError(f"{name} of shapes {x.shape} and {y.shape}: the leading axes do not broadcast") from None
    return tuple(movement.broadcast_to(z, (*batch, *z.shape[-2:])) for z in (x, y))


def check_floats(name: str, *values: Any) -> None:
    """Refuse what LAPACK does not compute with."""
    for x in values:
        if x.dtype.kind != "f":
            raise DtypeError(f"{name} of dtype {x.dtype.name}: it needs float32 or float64; convert with astype")


def lapack(why: Why, rules: Any, shape: Callable[..., Form], *, small: bool = False, **facts: Any) -> Declare:
    """Declare an operation that numpy's LAPACK computes.

    Parameters
    ----------
    why
        Of the operands that numpy refused, to what is wrong with them.
    rules, shape, **facts
        As of :func:`operation`.
    small
        Whether a kernel of its name in C++ computes it for small matrices.
    """

    def decorate(reference: Callable[..., Any]) -> Any:
        name = reference.__name__.strip("_")

        def form(*values: Any, **params: Any) -> Form:
            check_floats(name, *values)
            return shape(*values, **params)

        compute = contiguous(reference, form)
        most = _MOST_SIDE if small else -1

        def kernel(*values: Any, **params: Any) -> NDArray[Any]:
            try:
                if values[0].shape[-1] > most:
                    return compute(*values, **params)
                form(*values, **params)
                found: NDArray[Any] = getattr(kernels.native, name)(*values, **params)
                return found
            except np.linalg.LinAlgError as error:
                if isinstance(error, LinearAlgebraError) and values[0].shape[-1] > most:
                    raise
                message = why(*values, **params)
            raise LinearAlgebraError(f"{name} of shape {values[0].shape}: {message}")

        facts.setdefault("flops", cubic)
        return operation(rules=rules, shape=form, kernel=kernel, most_side=most, partial=True, **facts)(reference)

    return decorate


def cubic(y: Any, x: Any, *others: Any, **params: Any) -> int:
    """Count ``n`` operations for each element of the first operand, of ``n`` columns; one for each result at least."""
    return int(max(math.prod(x.shape) * x.shape[-1], math.prod(y.shape)))


# What LAPACK refuses


def singular(x: Any, *others: Any, **params: Any) -> str:
    """Say which matrix of a stack has no inverse."""
    place = first(x, np.linalg.inv)
    return (
        f"Singular matrix{f' {list(place)}' if place else ''}: it has no inverse. Add a small multiple of the identity "
        "matrix, or use pinv or lstsq, which take the least of many solutions"
    )


def first(x: Any, compute: Callable[[Any], Any]) -> tuple[int, ...]:
    """Return the place of the first matrix of a stack that cannot be computed with."""
    for place in np.ndindex(x.shape[:-2]):
        try:
            compute(x[place])
        except np.linalg.LinAlgError:
            return place
    return ()


def called(place: tuple[int, ...]) -> str:
    """Return how a matrix of a stack is called in an error."""
    return f"matrix {list(place)}" if place else "the matrix"


def did_not_converge(*values: Any, **params: Any) -> str:
    """Say what numpy says when an iteration does not end."""
    finite = all(np.isfinite(x).all() for x in values)
    return "LAPACK's iteration did not converge" + ("" if finite else "; there is a NaN or an infinity in it")


# Samples


def sample_batch(draw: Draw) -> tuple[int, ...]:
    """Draw the axes before a matrix: none, or one."""
    return tuple(draw.integer(1, 2) for _ in range(draw.integer(0, 1)))


def sample_square(draw: Draw, batch: tuple[int, ...], n: int) -> NDArray[Any]:
    """Draw matrices that are far from singular."""
    noise = draw.array((*batch, n, n), "unit") / max(n, 1)
    return np.asarray(noise + 1.5 * np.eye(n)[::-1])


def sample_symmetric(draw: Draw) -> NDArray[Any]:
    """Draw symmetric matrices whose eigenvalues are far from each other and from 0."""
    batch, n = sample_batch(draw), draw.integer(0, 4)
    noise = draw.array((*batch, n, n), "unit") / max(4 * n, 1)
    return np.asarray(noise + np.swapaxes(noise, -1, -2) + np.diag(np.arange(n) + 1.0))


def sample_tall(draw: Draw, least: int = 0) -> NDArray[Any]:
    """Draw matrices with as many rows as columns or more, whose singular values are far from each other and from 0."""
    batch, n, more = sample_batch(draw), draw.integer(least, 3), draw.integer(0, 2)
    noise = draw.array((*batch, n + more, n), "unit") / max(2 * n, 1)
    return np.asarray(noise + np.eye(n + more, n) * (np.arange(n) + 1.5))
