"""Contractions: sums of products over common indices, as Einstein wrote them.

    einsum("bij,bjk->bik", x, y)        z_bik = sum_j x_bij y_bjk

Every contraction of two arrays is a matrix product once the axes are in order: the indices that both have and the
result keeps are a batch, those that both have and the result lacks are summed, and those that one of them has are rows
or columns,

    (batch, rows, summed) @ (batch, summed, columns) -> (batch, rows, columns).

An index that one operand alone has and the result lacks is summed before; one that an operand has twice is its
diagonal. Several arrays are contracted two by two. So a contraction compiles to transposes, reshapes and products.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from minimeta.autodiff.array import Value
from minimeta.autodiff.operations import (
    arithmetic,
    conversions,
    convolution,
    linear_algebra,
    matrix_functions,
    movement,
    operands,
    reductions,
    triangles,
)
from minimeta.autodiff.operations.queries import as_floats, differentiable
from minimeta.errors import DtypeError, ShapeError

_Letters = list[Any]


@differentiable(np.einsum)
def einsum(
    *arguments: Any, optimize: Any = False, dtype: DTypeLike | None = None, casting: Any = "safe", order: str = "K"
) -> Value:
    """The sum of products that subscripts describe: ``einsum("ij,jk->ik", x, y)``, or ``einsum(x, [0, 1], y, [1, 2])``.

    Parameters
    ----------
    *arguments
        The subscripts and the operands, with ``...`` for axes that are not named; without ``->`` the indices that occur
        once are kept, in alphabetical order.
    optimize
        In which order several operands are contracted: False for that in which they stand, True, "greedy", "optimal"
        or a path, as :func:`numpy.einsum_path` finds one.
    dtype, casting
        In which dtype it is computed, and by which of numpy's rules the operands are cast to it.
    order
        Of no meaning: an operation chooses the layout of its result.

    Raises
    ------
    ShapeError
        The subscripts do not fit the operands.
    DtypeError
        An operand cannot be cast.
    """
    terms, output, arrays = _parsed(arguments)
    if dtype is not None:
        for x in arrays:
            if not np.can_cast(x.dtype, dtype, casting):
                raise DtypeError(
                    f"einsum of {x.dtype.name} with dtype={np.dtype(dtype).name}, casting={casting!r}: it is not cast "
                    "to it; convert with astype, or say casting='same_kind'"
                )
        arrays = tuple([conversions.astype(x, dtype) for x in arrays])
    sides = _sides(terms, arrays)
    factors = [_without_repeats(x, term, sides) for x, term in zip(arrays, terms, strict=True)]
    for step in _path(arguments, len(factors), optimize):
        chosen = [factors[i] for i in step]
        factors = [factor for i, factor in enumerate(factors) if i not in step]
        needed = {letter for _, letters in factors for letter in letters} | set(output)
        contracted = chosen[0]
        for other in chosen[1:]:
            waiting = {letter for _, letters in chosen for letter in letters} if len(chosen) > 2 else set()
            contracted = _pair(contracted, other, needed | waiting)
        factors.append(contracted)
    x, letters = factors[0]
    x, letters = _summed(x, letters, set(output))
    if missing := [letter for letter in output if letter not in letters]:
        raise ShapeError(f"einsum: the result has an index {_name(missing[0])!r} that no operand has")
    x = movement.transpose(x, [letters.index(letter) for letter in output]) if letters != output else x
    full = tuple(sides[letter] for letter in output)
    return movement.broadcast_to(x, full) if x.shape != full else x


def _path(arguments: Any, count: int, optimize: Any) -> Sequence[Sequence[int]]:
    if count < 3 or optimize is False:
        return [(count - 1 - i, 0) if i else (0, 1) for i in range(count - 1)]
    if not isinstance(optimize, (bool, str)):
        return list(optimize[1:])
    shapes: list[Any] = [np.broadcast_to(np.zeros(()), x.shape) if hasattr(x, "shape") else x for x in arguments]
    return list(np.einsum_path(*shapes, optimize=optimize)[0][1:])


def _parsed(arguments: Any) -> tuple[list[_Letters], _Letters, tuple[Any, ...]]:
    """The indices of each operand and of the result, and the operands; an index of ``...`` is counted from behind."""
    if isinstance(arguments[0], str):
        text, *given = arguments
        left, arrow, right = text.replace(" ", "").partition("->")
        named = [_letters(term) for term in left.split(",")]
        result = _letters(right) if arrow else None
    else:
        given = list(arguments[: len(arguments) // 2 * 2 : 2])
        named = [list(term) for term in arguments[1 : len(arguments) // 2 * 2 : 2]]
        result = list(arguments[-1]) if len(arguments) % 2 else None
    if len(named) != len(given):
        raise ShapeError(f"einsum: subscripts for {len(named)} operands, and {len(given)} operands")
    arrays = as_floats(*given)
    unnamed = 0
    terms = []
    for x, letters in zip(arrays, named, strict=True):
        rest = x.ndim - len(letters) + (1 if Ellipsis in letters else 0)
        if rest < 0 or (rest and Ellipsis not in letters):
            raise ShapeError(f"einsum: an operand of shape {x.shape} has not as many axes as its subscripts {letters}")
        unnamed = max(unnamed, rest if Ellipsis in letters else 0)
        terms.append(_spelled(letters, rest))
    if result is None:
        flat = [letter for letters in named for letter in letters if letter is not Ellipsis]
        result = [Ellipsis, *sorted(letter for letter in set(flat) if flat.count(letter) == 1)]
    return terms, _spelled(result, unnamed), arrays


def _letters(term: str) -> _Letters:
    before, dots, behind = term.partition("...")
    return [*before, *([Ellipsis] if dots else []), *behind]


def _spelled(letters: _Letters, rest: int) -> _Letters:
    return [name for letter in letters for name in (range(-rest, 0) if letter is Ellipsis else [("index", letter)])]


def _name(letter: Any) -> Any:
    return letter[1] if isinstance(letter, tuple) else "..."


def _sides(terms: list[_Letters], arrays: Sequence[Any]) -> dict[Any, int]:
    sides: dict[Any, int] = {}
    for term, x in zip(terms, arrays, strict=True):
        for letter, side in zip(term, x.shape, strict=True):
            known = sides.setdefault(letter, side)
            if known == 1:
                sides[letter] = side
            elif side not in (1, known):
                raise ShapeError(f"einsum: index {_name(letter)!r} has sides {known} and {side}; they must be equal")
    return sides


def _without_repeats(x: Any, letters: _Letters, sides: dict[Any, int]) -> tuple[Any, _Letters]:
    """An operand with each index once: where one occurs twice, its diagonal. Sides of 1 that broadcast go last."""
    while len(set(letters)) < len(letters):
        letter = next(name for name in letters if letters.count(name) > 1)
        first, second, *_ = [i for i, name in enumerate(letters) if name == letter]
        size = x.shape[second] if x.shape[first] == 1 else x.shape[first]
        square = [size if i in (first, second) else side for i, side in enumerate(x.shape)]
        x = triangles.diagonal(movement.broadcast_to(x, square), 0, first, second)
        letters = [*[name for i, name in enumerate(letters) if i not in (first, second)], letter]
    narrow = [i for i, letter in enumerate(letters) if x.shape[i] == 1 and sides[letter] != 1]
    if narrow:
        x = movement.broadcast_to(x, [sides[letter] for letter in letters])
    return x, letters


def _summed(x: Any, letters: _Letters, needed: set[Any]) -> tuple[Any, _Letters]:
    axes = tuple([i for i, letter in enumerate(letters) if letter not in needed])
    kept = [letter for letter in letters if letter in needed]
    return (reductions.sum(x, axes), kept) if axes else (x, kept)


def _pair(one: tuple[Any, _Letters], other: tuple[Any, _Letters], needed: set[Any]) -> tuple[Any, _Letters]:
    """Contract two operands over the indices that nobody else needs."""
    x, of_x = _summed(*one, needed | set(other[1]))
    y, of_y = _summed(*other, needed | set(of_x))
    batch = [letter for letter in of_x if letter in of_y and letter in needed]
    inner = [letter for letter in of_x if letter in of_y and letter not in needed]
    rows = [letter for letter in of_x if letter not in of_y]
    columns = [letter for letter in of_y if letter not in of_x]
    sides = {**dict(zip(of_x, x.shape, strict=True)), **dict(zip(of_y, y.shape, strict=True))}

    def arranged(x: Any, letters: _Letters, groups: list[_Letters]) -> Any:
        order = [letters.index(letter) for group in (batch, *groups) for letter in group]
        turned = x if order == list(range(len(order))) else movement.transpose(x, order)
        return movement.reshape(
            turned, [*(sides[i] for i in batch), *(math.prod([sides[i] for i in g]) for g in groups)]
        )

    result = [*batch, *rows, *columns]
    shape = [sides[letter] for letter in result]
    if batch and not rows and not columns:  # Many small sums are no products of matrices.
        y = movement.transpose(y, [of_y.index(letter) for letter in of_x])
        return reductions.sum(x * y, tuple([i for i, letter in enumerate(of_x) if letter in inner])), batch
    if not inner:  # An outer product, or one element by element.
        x = movement.expand_dims(arranged(x, of_x, [rows]), -1)
        y = movement.expand_dims(arranged(y, of_y, [columns]), -2)
        return movement.reshape(arithmetic.multiply(x, y), shape), result
    product = linear_algebra.matmul(arranged(x, of_x, [rows, inner]), arranged(y, of_y, [inner, columns]))
    return movement.reshape(product, shape), result


# Contractions that have names


@differentiable(np.tensordot)
def tensordot(x: Any, y: Any, axes: Any = 2) -> Value:
    """The sum of products over the last ``axes`` axes of ``x`` and the first of ``y``, or over pairs of axes.

    Raises
    ------
    ShapeError
        The axes are not as many, or their sides differ.
    """
    x, y = as_floats(x, y)
    if isinstance(axes, (int, np.integer)):
        of_x, of_y = list(range(x.ndim - int(axes), x.ndim)), list(range(int(axes)))
    else:
        of_x, of_y = (operands.integers("tensordot", "axes", part) for part in axes)
    of_x = [operands.axis_of("tensordot", i, x.ndim) for i in of_x]
    of_y = [operands.axis_of("tensordot", i, y.ndim) for i in of_y]
    if [x.shape[i] for i in of_x] != [y.shape[i] for i in of_y]:
        raise ShapeError(f"tensordot of shapes {x.shape} and {y.shape} over axes {of_x} and {of_y}: the sides differ")
    names_of_x: list[Any] = [("x", i) for i in range(x.ndim)]
    names_of_y: list[Any] = [("y", i) for i in range(y.ndim)]
    for i, j in zip(of_x, of_y, strict=True):
        names_of_x[i] = names_of_y[j] = ("both", i)
    kept = {name for name in (*names_of_x, *names_of_y) if name[0] != "both"}
    return _pair((x, names_of_x), (y, names_of_y), kept)[0]


@differentiable(np.dot)
def dot(x: Any, y: Any) -> Value:
    """The sum of products over the last axis of ``x`` and the last but one of ``y``, or its only one.

    Of matrices it is their product; with a number, a multiple.

    Raises
    ------
    ShapeError
        The sides differ.
    """
    x, y = as_floats(x, y)
    if x.ndim == 0 or y.ndim == 0:
        return arithmetic.multiply(x, y)
    if x.ndim <= 2 and y.ndim <= 2:
        return linear_algebra.matmul(x, y)
    return tensordot(x, y, ((x.ndim - 1,), (max(y.ndim - 2, 0),)))


@differentiable(np.inner)
def inner(x: Any, y: Any) -> Value:
    """The sum of products over the last axes; with a number, a multiple.

    Raises
    ------
    ShapeError
        The last sides differ.
    """
    x, y = as_floats(x, y)
    return arithmetic.multiply(x, y) if x.ndim == 0 or y.ndim == 0 else tensordot(x, y, ((x.ndim - 1,), (y.ndim - 1,)))


@differentiable(np.vdot)
def vdot(x: Any, y: Any) -> Value:
    """The sum of products of the elements of two arrays, each taken as one vector."""
    return inner(*map(movement.ravel, as_floats(x, y)))


def vecdot(x: Any, y: Any, axis: int = -1) -> Value:
    """The sum of products along an axis, of vectors that broadcast.

    Raises
    ------
    ShapeError
        The shapes do not broadcast, or the sides differ.
    """
    x, y = (movement.moveaxis(v, operands.axis_of("vecdot", axis, v.ndim), -1) for v in as_floats(x, y))
    if x.shape[-1] != y.shape[-1]:
        raise ShapeError(f"vecdot of shapes {x.shape} and {y.shape}: the sides along the axis differ")
    return reductions.sum(x * y, -1)


def matvec(x: Any, y: Any) -> Value:
    """The product of matrices with vectors, which broadcast: ``(..., m, n)`` and ``(..., n)``."""
    x, y = as_floats(x, y)
    if x.ndim < 2:
        raise ShapeError(f"matvec of shapes {x.shape} and {y.shape}: the first has matrices (..., m, n)")
    return movement.squeeze(linear_algebra.matmul(x, movement.expand_dims(y, -1)), -1)


def vecmat(x: Any, y: Any) -> Value:
    """The product of vectors with matrices, which broadcast: ``(..., m)`` and ``(..., m, n)``."""
    x, y = as_floats(x, y)
    if y.ndim < 2:
        raise ShapeError(f"vecmat of shapes {x.shape} and {y.shape}: the second has matrices (..., m, n)")
    return movement.squeeze(linear_algebra.matmul(movement.expand_dims(x, -2), y), -2)


for _operation in (vecdot, matvec, vecmat):  # Since numpy 2.1 and 2.2.
    if hasattr(np, _operation.__name__):
        globals()[_operation.__name__] = differentiable(getattr(np, _operation.__name__))(_operation)


@differentiable(np.kron)
def kron(x: Any, y: Any) -> Value:
    """The Kronecker product: blocks ``x[i, j] y``; of more axes in the same way."""
    x, y = as_floats(x, y)
    dims = max(x.ndim, y.ndim)
    of_x, of_y = ((1,) * (dims - v.ndim) + v.shape for v in (x, y))
    left = movement.reshape(x, [n for side in of_x for n in (side, 1)])
    right = movement.reshape(y, [n for side in of_y for n in (1, side)])
    return movement.reshape(arithmetic.multiply(left, right), [a * b for a, b in zip(of_x, of_y, strict=True)])


@differentiable(np.cross)
def cross(a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None) -> Value:
    """The cross product of vectors of three elements, which broadcast.

    Raises
    ------
    ShapeError
        The axes have not three elements.
    """
    axisa, axisb, axisc = (axisa, axisb, axisc) if axis is None else (axis, axis, axis)
    x, y = (movement.moveaxis(v, place, -1) for v, place in zip(as_floats(a, b), (axisa, axisb), strict=True))
    if x.shape[-1] != 3 or y.shape[-1] != 3:
        raise ShapeError(f"cross of shapes {operands.shape_of(a)} and {operands.shape_of(b)}: it needs three elements")
    return movement.moveaxis(matrix_functions.crossed(x, y), -1, axisc)


# Convolution of two rows


@differentiable(np.convolve)
def convolve(a: Any, v: Any, mode: str = "full") -> Value:
    """``z[k] = sum_i a[i] v[k - i]``; "full" where one overlaps the other, "same" of the longer's size, "valid"."""
    x, y = _two_rows("convolve", a, v)
    if y.size > x.size:
        x, y = y, x
    return _slid(x, movement.flip(y), mode)


@differentiable(np.correlate)
def correlate(a: Any, v: Any, mode: str = "valid") -> Value:
    """``z[k] = sum_i a[i + k] v[i]``, with the modes of :func:`convolve`."""
    x, y = _two_rows("correlate", a, v)
    if y.size > x.size:  # numpy slides the shorter one, and turns the result.
        return movement.flip(_slid(y, x, mode))
    return _slid(x, y, mode)


def _two_rows(name: str, a: Any, v: Any) -> tuple[Any, Any]:
    rows = [movement.reshape(x, (1,)) if x.shape == () else x for x in as_floats(a, v)]
    if any(x.ndim != 1 or x.size == 0 for x in rows):
        raise ShapeError(f"{name} of shapes {rows[0].shape} and {rows[1].shape}: it needs two rows of elements")
    return rows[0], rows[1]


def _slid(x: Any, y: Any, mode: str) -> Value:
    """The products of a row with the parts of a longer one, a convolution of an image of one column."""
    n = y.size
    margins = {"full": (n - 1, n - 1), "same": (n // 2, (n - 1) // 2), "valid": (0, 0)}
    if mode not in margins:
        raise ShapeError(f"mode={mode!r} is none of 'full', 'same', 'valid'")
    images, weights = movement.reshape(x, (1, x.size, 1, 1)), movement.reshape(y, (n, 1, 1, 1))
    found = convolution.conv2d(images, weights, padding=(margins[mode], (0, 0)))
    return movement.ravel(found)
