"""Functions of matrices: powers, chains of products, and the exponential; diagonals and products of vectors.

The exponential is a rational function of ``A / 2^s``, squared ``s`` times (Higham, "The scaling and squaring method for
the matrix exponential revisited", 2005). Its derivative is a block of a larger exponential,

    exp [[A, E], [0, A]] = [[exp A, L(A, E)], [0, exp A]] ,

where ``L`` is linear in ``E``, and its transpose is ``L(A^T, G)``. So each order is the exponential again. How often it
is squared depends on ``A`` alone, the ``leading`` block, which is as exact (Al-Mohy and Higham, 2009).
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minimeta.autodiff.apply import apply
from minimeta.autodiff.array import Array, ArrayLike, Form, Value
from minimeta.autodiff.operations import arithmetic, joining, linear_algebra, movement, operands, reductions, triangles
from minimeta.autodiff.operations.linear_algebra import matmul
from minimeta.autodiff.operations.matrices import (
    did_not_converge,
    floats,
    lapack,
    matrices,
    sample_batch,
    transposed,
)
from minimeta.autodiff.operations.solving import inv
from minimeta.autodiff.primitive import Draw, Primitive
from minimeta.autodiff.protocols import answers
from minimeta.errors import ShapeError

# Powers and products


@answers(np.linalg.matrix_power)
def matrix_power(a: ArrayLike, n: int) -> Value:
    """``A @ A @ ... @ A`` of ``n`` square matrices; of negative ``n``, of inverses.

    Raises
    ------
    ShapeError
        They are not square.
    LinearAlgebraError
        ``n`` is negative, and a matrix singular.
    """
    x, n = matrices("matrix_power", a, square=True), operator.index(n)
    if n < 0:
        x, n = inv(x), -n
    result: Any = None
    while n:
        if n & 1:
            result = x if result is None else matmul(result, x)
        n >>= 1
        x = matmul(x, x) if n else x
    if result is None:
        return x * 0.0 + np.eye(x.shape[-1], dtype=x.dtype)
    return np.array(result) if result is a and not isinstance(a, Array) else result


@answers(np.linalg.multi_dot)
def multi_dot(arrays: Sequence[ArrayLike]) -> Value:
    """The product of two or more matrices, in the order that takes the fewest multiplications.

    Parameters
    ----------
    arrays
        Matrices; the first and the last may be vectors.

    Raises
    ------
    ShapeError
        There are fewer than two, one has another number of axes, or their sides differ.
    """
    chain = [floats(x) for x in arrays]
    inner = [x.ndim for x in chain[1:-1]]
    if len(chain) < 2 or any(ndim != 2 for ndim in inner) or not {chain[0].ndim, chain[-1].ndim} <= {1, 2}:
        shapes = ", ".join(str(x.shape) for x in chain)
        raise ShapeError(f"multi_dot of shapes {shapes}: it takes two matrices or more; vectors only at the ends")
    is_row, is_column = chain[0].ndim == 1, chain[-1].ndim == 1
    if is_row:
        chain[0] = movement.expand_dims(chain[0], 0)
    if is_column:
        chain[-1] = movement.expand_dims(chain[-1], 1)
    result = _product_of(chain, _best_splits([chain[0].shape[0], *(x.shape[1] for x in chain)]), 0, len(chain) - 1)
    dropped = (0,) * is_row + (-1,) * is_column
    return (
        movement.reshape(result, ()) if len(dropped) == 2 else movement.squeeze(result, dropped) if dropped else result
    )


def _best_splits(sides: Sequence[int]) -> dict[tuple[int, int], int]:
    """Return where the product of matrices i to j is split, for all of them, by the shortest of all ways."""
    count = len(sides) - 1
    cost: dict[tuple[int, int], int] = {(i, i): 0 for i in range(count)}
    split: dict[tuple[int, int], int] = {}
    for i, j in [(i, i + length) for length in range(1, count) for i in range(count - length)]:
        ways = [(cost[i, k] + cost[k + 1, j] + sides[i] * sides[k + 1] * sides[j + 1], k) for k in range(i, j)]
        cost[i, j], split[i, j] = min(ways)
    return split


def _product_of(chain: Sequence[Any], split: dict[tuple[int, int], int], i: int, j: int) -> Any:
    if i == j:
        return chain[i]
    k = split[i, j]
    return matmul(_product_of(chain, split, i, k), _product_of(chain, split, k + 1, j))


# Diagonals


@answers(np.linalg.diagonal)
def diagonal(x: ArrayLike, /, *, offset: int = 0) -> Value:
    """The elements ``x[..., i, i + offset]`` of matrices ``(..., m, n)``.

    Raises
    ------
    ShapeError
        There are fewer than two axes.
    """
    return triangles.diagonal(x, offset, -2, -1)


@answers(np.linalg.trace)
def trace(x: ArrayLike, /, *, offset: int = 0, dtype: Any = None) -> Value:
    """The sum of a diagonal of matrices ``(..., m, n)``, of shape ``(...)``."""
    return triangles.trace(x, offset, -2, -1, dtype)


# Vectors


@answers(np.linalg.outer)
def outer(x1: ArrayLike, x2: ArrayLike, /) -> Value:
    """``x1[i] x2[j]`` of two vectors.

    Raises
    ------
    ShapeError
        An operand is no vector.
    """
    shapes = operands.shape_of(x1), operands.shape_of(x2)
    if any(len(shape) != 1 for shape in shapes):
        raise ShapeError(f"outer of shapes {shapes[0]} and {shapes[1]}: both must be vectors, of shape (n,)")
    return linear_algebra.outer(x1, x2)


@answers(np.linalg.vecdot)
def vecdot(x1: ArrayLike, x2: ArrayLike, /, *, axis: int = -1) -> Value:
    """``sum(x1 * x2, axis)``, the scalar products of vectors; other axes broadcast.

    Raises
    ------
    ShapeError
        The vectors have different lengths.
    """
    x, y = floats(x1), floats(x2)
    sides = [z.shape[operands.axis_of("vecdot", axis, z.ndim)] for z in (x, y)]
    if sides[0] != sides[1]:
        raise ShapeError(f"vecdot of shapes {x.shape} and {y.shape}: vectors of {sides[0]} and {sides[1]} elements")
    return reductions.sum(arithmetic.multiply(x, y), axis)


@answers(np.linalg.cross)
def cross(x1: ArrayLike, x2: ArrayLike, /, *, axis: int = -1) -> Value:
    """The vector product of vectors of 3 elements along an axis; other axes broadcast.

    Raises
    ------
    ShapeError
        The axis has another length than 3.
    """
    x, y = (movement.moveaxis(z, axis, -1) for z in (x1, x2))
    shapes = operands.shape_of(x), operands.shape_of(y)
    if any(shape[-1:] != (3,) for shape in shapes):
        raise ShapeError(
            f"cross of shapes {operands.shape_of(x1)} and {operands.shape_of(x2)}: vectors have 3 elements"
        )
    return movement.moveaxis(crossed(x, y), -1, axis)


def crossed(x: Any, y: Any) -> Any:
    """The vector products along the last axis, one coordinate after another."""
    (x1, x2, x3), (y1, y2, y3) = ([z[..., i] for i in range(3)] for z in (x, y))
    return joining.stack([x2 * y3 - x3 * y2, x3 * y1 - x1 * y3, x1 * y2 - x2 * y1], -1)


# The exponential


def expm(a: ArrayLike) -> Value:
    """The exponential ``I + A + A^2 / 2 + ...`` of square matrices ``(..., n, n)``.

    Raises
    ------
    ShapeError
        They are not square.
    """
    x = matrices("expm", a, square=True)
    return apply(EXPM, x, leading=x.shape[-1])


def _expm_rule(g: Array, y: Array, a: Array, leading: int) -> Value:
    n = a.shape[-1]
    turned = transposed(a)
    above = joining.concatenate([turned, g], -1)
    below = joining.concatenate([np.zeros(a.shape, a.dtype), turned], -1)
    return apply(EXPM, joining.concatenate([above, below], -2), leading=leading)[..., :n, n:]


#: Numerator of the diagonal approximation of degree 13; the denominator has alternating signs.
_PADE = (
    *(64764752532480000, 32382376266240000, 7771770303897600, 1187353796428800, 129060195264000, 10559470521600),
    *(670442572800, 33522128640, 1323241920, 40840800, 960960, 16380, 182, 1),
)


def _sample_expm(draw: Draw) -> tuple[tuple[NDArray[Any], ...], dict[str, Any]]:
    n = draw.integer(0, 3)
    return (draw.array((*sample_batch(draw), n, n)),), {"leading": n}


@lapack(did_not_converge, (_expm_rule,), lambda a, leading: Form(a.shape, a.dtype), sample=_sample_expm)
def _expm(a: Any, *, leading: int) -> Any:
    y = np.empty_like(a, order="C")
    for place in np.ndindex(a.shape[:-2]):
        y[place] = _expm_of_one(a[place], leading)
    return y


def _expm_of_one(a: Any, leading: int) -> Any:
    # With its derivative, the approximation is exact to rounding up to a column sum of 4.74.
    size = float(np.max(np.sum(np.abs(np.real(a[:leading, :leading])), 0), initial=0.0))
    halvings = max(int(np.ceil(np.log2(size / 4.74))), 0) if 0 < size < np.inf else 0
    a = np.ascontiguousarray(a) / a.dtype.type(2.0**halvings)
    powers = [np.eye(len(a), dtype=a.dtype), a]
    for _ in range(12):
        powers.append(powers[-1] @ a)
    scaled = [power * a.dtype.type(c / _PADE[0]) for c, power in zip(_PADE, powers, strict=True)]
    even, odd = sum(scaled[::2], 0 * a), sum(scaled[1::2], 0 * a)
    y = np.linalg.solve(even - odd, even + odd)
    for _ in range(halvings):
        y = y @ y
    return y


EXPM: Primitive = _expm.primitive


@answers(np.linalg.matmul)
def _matmul(x1: ArrayLike, x2: ArrayLike, /) -> Value:
    return np.matmul(x1, x2)


@answers(np.linalg.tensordot)
def _tensordot(x1: ArrayLike, x2: ArrayLike, /, *, axes: Any = 2) -> Value:
    return np.tensordot(x1, x2, axes)
