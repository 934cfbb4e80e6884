"""Grids and positions: evenly spaced numbers, powers of a vector, and indices as numpy makes them.

A grid between two ends depends on them, ``y_i = start + (stop - start) t_i`` with ``t_i`` from 0 to 1, and so has
derivatives. Positions are integers, and constants to every derivative.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minimeta.autodiff.array import Array, ArrayLike, Value
from minimeta.autodiff.operations import (
    arithmetic,
    conversions,
    indexing,
    joining,
    logic,
    movement,
    operands,
    placement,
    reductions,
)
from minimeta.autodiff.operations import transcendental as functions
from minimeta.autodiff.operations.creation import result_type
from minimeta.autodiff.promotion import contains_array, fixed
from minimeta.autodiff.protocols import ANSWERS, answers
from minimeta.errors import DtypeError, ShapeError

# numpy's other names for the same functions
answers(np.amax)(np.max)
answers(np.amin)(np.min)
answers(np.around)(np.round)


@answers(np.linspace)
def linspace(
    start: ArrayLike,
    stop: ArrayLike,
    num: int = 50,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: Any = None,
    axis: int = 0,
    *,
    device: Any = None,
) -> Value:
    """``num`` evenly spaced numbers from ``start`` to ``stop``, which ``endpoint`` includes, along a new axis.

    Raises
    ------
    ShapeError
        A negative number of them.
    """
    if num < 0:
        raise ShapeError(f"linspace of {num} numbers: there are no negative numbers of them")
    common = result_type(start, stop)
    start, stop = (conversions.astype(x, common if common.kind == "f" else np.float64) for x in (start, stop))
    length = arithmetic.subtract(stop, start)
    places = np.linspace(0.0, 1.0, num, endpoint).reshape(num, *(1 for _ in operands.shape_of(length)))
    grid = arithmetic.add(start, arithmetic.multiply(length, places.astype(operands.dtype_of(length))))
    grid = movement.moveaxis(grid if dtype is None else conversions.astype(grid, dtype), 0, axis)
    steps = num - 1 if endpoint else num
    return (grid, arithmetic.divide(length, float(steps)) if steps > 0 else np.nan) if retstep else grid


@answers(np.logspace)
def logspace(
    start: ArrayLike,
    stop: ArrayLike,
    num: int = 50,
    endpoint: bool = True,
    base: ArrayLike = 10.0,
    dtype: Any = None,
    axis: int = 0,
) -> Value:
    """``base`` to the power of evenly spaced numbers."""
    grid = arithmetic.power(base, linspace(start, stop, num, endpoint))
    return movement.moveaxis(grid if dtype is None else conversions.astype(grid, dtype), 0, axis)


@answers(np.geomspace)
def geomspace(
    start: ArrayLike, stop: ArrayLike, num: int = 50, endpoint: bool = True, dtype: Any = None, axis: int = 0
) -> Value:
    """``num`` numbers from ``start`` to ``stop``, each a constant multiple of the one before; of one sign."""
    start, stop = (conversions.astype(x, np.float64) for x in (start, stop))  # as numpy has it, of float32, too
    low, high = (functions.log(arithmetic.absolute(x)) for x in (start, stop))
    grid = arithmetic.multiply(arithmetic.sign(start), functions.exp(linspace(low, high, num, endpoint)))
    return movement.moveaxis(grid if dtype is None else conversions.astype(grid, dtype), 0, axis)


@answers(np.vander)
def vander(x: ArrayLike, N: int | None = None, increasing: bool = False) -> Value:  # noqa: N803 (numpy's name)
    """The powers of a vector, as columns: ``x**(N - 1), ..., x, 1``.

    Raises
    ------
    ShapeError
        It is no vector.
    """
    shape = operands.shape_of(x)
    if len(shape) != 1:
        raise ShapeError(f"vander of shape {shape}: it takes a vector")
    dtype = np.promote_types(operands.dtype_of(x), int)  # as numpy has it: float64 of float32, too
    columns: list[Any] = [np.ones(shape, dtype)]
    for _ in range(1, shape[0] if N is None else N):
        columns.append(arithmetic.multiply(columns[-1], x))
    columns = columns[: shape[0] if N is None else N]
    if not columns:
        return np.ones((*shape, 0), dtype)
    return joining.stack(columns if increasing else columns[::-1], 1)


@answers(np.poly)
def poly(seq_of_zeros: ArrayLike) -> Value:
    """The coefficients of the polynomial with these roots, the highest power first.

    Raises
    ------
    ShapeError
        They are no vector; of a matrix, numpy takes its eigenvalues.
    """
    shape = operands.shape_of(seq_of_zeros)
    if len(shape) != 1:
        raise ShapeError(f"poly of shape {shape}: it takes a vector of roots")
    dtype = operands.dtype_of(seq_of_zeros) if shape[0] else np.dtype(np.float64)
    zero = np.zeros(1, dtype if dtype.kind == "f" else np.float64)
    found: Any = np.ones(1, zero.dtype)
    for i in range(shape[0]):
        tail = arithmetic.multiply(found, indexing.index(seq_of_zeros, i))
        found = arithmetic.subtract(joining.concatenate([found, zero]), joining.concatenate([zero, tail]))
    return found


@answers(np.polyfit)
def polyfit(x: ArrayLike, y: ArrayLike, deg: int, rcond: Any = None, full: bool = False, w: Any = None) -> Value:
    """The coefficients of the polynomial that fits samples best, by least squares.

    Raises
    ------
    DtypeError
        ``full``: its rank and singular values are those of ``lstsq``.
    """
    if full:
        raise DtypeError("polyfit with full=True of Arrays: call np.linalg.lstsq(np.vander(x, deg + 1), y)")
    powers = vander(x, deg + 1)
    if w is not None:
        powers = arithmetic.multiply(powers, movement.expand_dims(w, 1))
        y = arithmetic.multiply(y, w if len(operands.shape_of(y)) == 1 else movement.expand_dims(w, 1))
    # Columns of one length are better conditioned, as numpy scales them.
    length = conversions.stop_gradient(_lengths(powers))
    found = ANSWERS[np.linalg.lstsq](arithmetic.divide(powers, length), y, rcond)[0]
    turned = length if len(operands.shape_of(found)) == 1 else movement.expand_dims(length, 1)
    return arithmetic.divide(found, turned)


def _lengths(x: Value) -> Value:
    """The lengths of columns, 1 of those that are 0."""
    length = arithmetic.power(reductions.sum(arithmetic.multiply(x, x), 0), 0.5)
    return logic.where(logic.equal(length, 0.0), 1.0, length)


@answers(np.bincount)
def bincount(x: Any, /, weights: ArrayLike | None = None, minlength: int = 0) -> Value:
    """How often each number from 0 occurs, or the sum of the weights at its places."""
    known = operands.known("bincount of", x)
    if weights is None:
        return _constant(np.bincount(known, None, minlength), x)
    length = len(np.bincount(known, None, minlength))
    weights = conversions.astype(weights, np.float64)
    return placement.scatter_add(np.zeros(length), np.asarray(known, np.int64), weights)


@answers(np.histogram)
def histogram(
    a: Any, bins: Any = 10, range: Any = None, density: Any = None, weights: ArrayLike | None = None
) -> tuple[Value, Value]:
    """How many elements lie between edges, or the sum of their weights; the edges are constants."""
    x, bins = np.ravel(operands.known("histogram of", a)), operands.known("bins from", bins)
    edges = np.histogram_bin_edges(x, bins, range)
    if weights is None:
        counts = _constant(np.histogram(x, edges)[0], a)
    else:
        place = np.where(x == edges[-1], len(edges) - 2, np.searchsorted(edges, x, "right") - 1)
        within = np.flatnonzero((place >= 0) & (place < len(edges) - 1))
        chosen = indexing.take(movement.ravel(weights), within)
        counts = placement.scatter_add(np.zeros(len(edges) - 1, operands.dtype_of(chosen)), place[within], chosen)
    if density:
        counts = arithmetic.divide(counts, arithmetic.multiply(reductions.sum(counts), np.diff(edges)))
    return counts, _constant(edges, a)


# Positions


def _constant(value: Any, x: Any) -> Value:
    """An Array, where one was given."""
    return Array(fixed(np.asarray(value), False)) if contains_array(x) else value


def _of_known(function: Any) -> None:
    """Answer for a function of integers by numpy itself, where they are known."""

    def compute(*arguments: Any, **keywords: Any) -> Any:
        result = function(*operands.known(f"{function.__name__} of", list(arguments)), **keywords)
        return (
            tuple(_constant(x, arguments) for x in result)
            if isinstance(result, tuple)
            else _constant(result, arguments)
        )

    compute.__name__ = compute.__qualname__ = function.__name__
    compute.__doc__ = f"See :func:`numpy.{function.__name__}`. The result is a constant to every derivative."
    answers(function)(compute)


for _function in (np.packbits, np.ravel_multi_index, np.unpackbits, np.unravel_index):
    _of_known(_function)


@answers(np.ix_)
def ix_(*args: Any) -> tuple[Value, ...]:
    """Vectors of positions, each along an axis of its own, so that ``x[ix_(i, j)]`` is ``x[i][:, j]``."""
    vectors = [np.flatnonzero(operands.known("ix_ of", k)) if operands.dtype_of(k).kind == "b" else k for k in args]
    sides = [1] * len(args)
    return tuple(movement.reshape(k, [*sides[:i], -1, *sides[i + 1 :]]) for i, k in enumerate(vectors))


answers(np.diag_indices_from)(lambda arr: np.diag_indices_from(np.empty(arr.shape, bool)))
answers(np.tril_indices_from)(lambda arr, k=0: np.tril_indices(arr.shape[-2], k, arr.shape[-1]))
answers(np.triu_indices_from)(lambda arr, k=0: np.triu_indices(arr.shape[-2], k, arr.shape[-1]))


@answers(np.trim_zeros)
def trim_zeros(filt: ArrayLike, trim: str = "fb", axis: int | Sequence[int] | None = None) -> Value:
    """A vector without the zeros at its front (``"f"``), its back (``"b"``) or both.

    Raises
    ------
    ShapeError
        It is no vector.
    """
    shape = operands.shape_of(filt)
    if len(shape) != 1:
        raise ShapeError(f"trim_zeros of shape {shape}: it takes a vector")
    places = np.flatnonzero(operands.known("trim_zeros of", filt))
    first, last = (places[0], places[-1] + 1) if places.size else (shape[0], shape[0])
    kept = slice(first if "f" in trim.lower() else 0, last if "b" in trim.lower() else shape[0])
    return indexing.index(filt, kept)


# The cardinal sine


@answers(np.sinc)
def sinc(x: ArrayLike) -> Value:
    """``sin(pi x) / (pi x)``, and 1 at 0, where its Taylor series gives the derivatives, to order 6 and more."""
    z = arithmetic.multiply(np.pi, x if operands.dtype_of(x).kind == "f" else conversions.astype(x, np.float64))
    square = arithmetic.multiply(z, z)
    series: Any = 1.0
    for k in range(14, 0, -1):
        series = arithmetic.subtract(1.0, arithmetic.divide(arithmetic.multiply(square, series), 2.0 * k * (2 * k + 1)))
    return logic.where(logic.less(square, 1.0), series, arithmetic.divide(functions.sin(z), z))
