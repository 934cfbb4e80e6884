"""Norms of vectors and of matrices, and condition numbers.

    of a vector    p:    (sum |x|^p)^(1/p)        inf, -inf: the largest and the smallest |x|     0: how many are not 0
    of a matrix    fro:  of all its elements, the norm 2          1, -1: the largest and the smallest column sum of |A|
                   nuc:  the sum of its singular values           inf, -inf: those of the rows
                   2, -2: the largest and the smallest singular value

At a vector of zeros, where these have kinks, their derivatives are 0, as those of ``|x|`` are. Singular values that tie
for the largest share its derivative equally.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minimeta.autodiff.array import ArrayLike, Value
from minimeta.autodiff.operations import arithmetic, conversions, logic, movement, operands, reductions, solving
from minimeta.autodiff.operations.matrices import floats, matrices
from minimeta.autodiff.operations.reductions import Axis
from minimeta.autodiff.operations.spectra import svdvals
from minimeta.autodiff.protocols import answers
from minimeta.errors import OptionError, ShapeError

_OF_MATRICES = ("fro", "nuc", 1, -1, 2, -2, math.inf, -math.inf)


@answers(np.linalg.norm)
def norm(x: Any, ord: Any = None, axis: Axis = None, keepdims: bool = False) -> Value:
    """A norm of vectors along one axis, or of matrices along two.

    Parameters
    ----------
    x
        The array.
    ord
        None for the root of the sum of squares, or an order of the table on this page.
    axis
        One axis for vectors, two for matrices. None means all of ``x``; with an ``ord``, which must then have one axis
        or two.
    keepdims
        Whether the axes stay, with length 1.

    Raises
    ------
    ShapeError
        There are more axes than two.
    OptionError
        There is no such norm.
    """
    x = floats(x)
    if axis is None and ord is None:
        return reductions.norm(x, keepdims=keepdims)
    axes = tuple(range(x.ndim)) if axis is None else operands.row_of(axis)
    if len(axes) == 1:
        return vector_norm(x, axis=axes[0], keepdims=keepdims, ord=2 if ord is None else ord)
    if len(axes) != 2:
        raise ShapeError(
            f"norm of shape {x.shape} over axes {axes}: it needs one axis, of vectors, or two, of matrices"
        )
    return _of_matrices(x, "fro" if ord is None else ord, axes[0], axes[1], keepdims)


@answers(np.linalg.vector_norm)
def vector_norm(x: Any, /, *, axis: Axis = None, keepdims: bool = False, ord: Any = 2) -> Value:
    """The norm of vectors, whose elements lie along one axis or several; along all of them where ``axis`` is None.

    Raises
    ------
    OptionError
        ``ord`` is not a number.
    """
    x = floats(x)
    if isinstance(ord, str) or ord is None:
        raise OptionError(f"norm of vectors with ord={ord!r}: it must be a number, as 1, 2 or np.inf")
    if ord == 2:
        return reductions.norm(x, axis, keepdims=keepdims)
    if ord == 0:
        return reductions.sum(conversions.astype(logic.not_equal(x, 0.0), x.dtype), axis, keepdims=keepdims)
    size = arithmetic.absolute(x)
    if ord in (math.inf, -math.inf):
        return (_largest if ord > 0 else reductions.min)(size, axis, keepdims=keepdims)
    if ord == 1:
        return reductions.sum(size, axis, keepdims=keepdims)
    total = reductions.sum(arithmetic.power(size, float(ord)), axis, keepdims=keepdims)
    zero = logic.equal(total, 0.0)
    return logic.where(zero, 0.0, arithmetic.power(logic.where(zero, 1.0, total), 1.0 / ord))


@answers(np.linalg.matrix_norm)
def matrix_norm(x: ArrayLike, /, *, keepdims: bool = False, ord: Any = "fro") -> Value:
    """The norm of matrices ``(..., m, n)``.

    Raises
    ------
    OptionError
        There is no such norm.
    """
    return _of_matrices(matrices("matrix_norm", x), ord, -2, -1, keepdims)


def _of_matrices(x: Any, ord: Any, rows: int, columns: int, keepdims: bool) -> Value:
    if ord not in _OF_MATRICES:
        raise OptionError(f"norm of matrices with ord={ord!r}: it is none of {', '.join(map(str, _OF_MATRICES))}")
    rows, columns = (operands.axis_of("norm", axis, x.ndim) for axis in (rows, columns))
    if rows == columns:
        raise ShapeError(f"norm of shape {x.shape}: the axes ({rows}, {columns}) of a matrix are two")
    if ord == "fro":
        return reductions.norm(x, (rows, columns), keepdims=keepdims)
    x = movement.moveaxis(x, (rows, columns), (-2, -1))
    if ord in ("nuc", 2, -2):
        values = svdvals(x)
        total = {"nuc": reductions.sum, 2: _largest, -2: reductions.min}[ord](values, -1)
    else:
        sums = reductions.sum(arithmetic.absolute(x), -2 if ord in (1, -1) else -1)
        total = (_largest if ord > 0 else reductions.min)(sums, -1)
    return movement.expand_dims(total, tuple(sorted((rows, columns)))) if keepdims else total


def _largest(sizes: Any, axis: Axis, *, keepdims: bool = False) -> Value:
    """The largest of numbers that are not negative; 0 of none."""
    return (reductions.max if sizes.size else reductions.sum)(sizes, axis, keepdims=keepdims)


@answers(np.linalg.cond)
def cond(x: Any, p: Any = None) -> Value:
    """The condition number ``|A| |A^-1|`` of matrices, in the norm ``p``; None is 2, which takes any matrix.

    Raises
    ------
    LinearAlgebraError
        A matrix is singular, in another norm than 2 and -2.
    """
    x = matrices("cond", x)
    if p in (None, 2, -2):
        values = svdvals(x)
        largest, smallest = values[..., 0], values[..., -1]
        return smallest / largest if p == -2 else largest / smallest
    return matrix_norm(x, ord=p) * matrix_norm(solving.inv(x), ord=p)
