"""Placement: an array with some elements replaced, since an assignment ``x[i] = v`` cannot be an expression.

    at(x)[i].set(v)        what x would be after x[i] = v
    at(x)[i].add(v)        after np.add.at(x, i, v)
    at(x)[i].multiply(v)   after np.multiply.at(x, i, v); max and min likewise

What a basic index chooses (integers and slices) is a window. The values are laid into zeros there, by ``pad``; to add
is to add that, and to set is to choose between that and the array.

Of another index, let `p` be the positions that it chooses, found by indexing an array of positions. To set them is to
take, for each element, the old or the new one: one gather from both, end to end. To add is a ``scatter_add``. So every
index that numpy knows can be written to, and the derivatives are those of the two: what is overwritten has none.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minimeta.autodiff.apply import apply
from minimeta.autodiff.array import Array, ArrayLike, Value
from minimeta.autodiff.operations import arithmetic, conversions, indexing, joining, logic, operands
from minimeta.autodiff.operations.movement import PAD, broadcast_to, ravel, reshape
from minimeta.autodiff.operations.queries import query
from minimeta.errors import DtypeError, ShapeError


def at(x: ArrayLike) -> _At:
    """Begin an update of an array: ``at(x)[i].set(v)`` is what ``x`` would be after ``x[i] = v``.

    Parameters
    ----------
    x
        The array, which stays as it is.

    Returns
    -------
    object
        Its items have the methods ``set``, ``add``, ``multiply``, ``max`` and ``min``, which return an array of the
        shape and dtype of ``x``. A position that occurs twice is set to the last value; the other methods take
        all values, as :meth:`numpy.ufunc.at` does (by ``x[i] += v`` numpy takes one).

    Examples
    --------
    >>> at(np.zeros(3))[1:].set(5.0)
    array([0., 5., 5.])
    >>> at(np.zeros(3))[[0, 0]].add(1.0)
    array([2., 0., 0.])
    """
    return _At(x)


def scatter_add(x: ArrayLike, indices: Any, updates: ArrayLike) -> Value:
    """``x`` with updates added at positions; a position that occurs twice gets both.

    Parameters
    ----------
    x
        The array, of shape ``(n1, ..., nk, *rest)``.
    indices
        An array of integers for the first axis, or a tuple of k arrays of one shape for the first k.
    updates
        Of shape ``(*shape of the indices, *rest)``.

    Raises
    ------
    ShapeError, IndexingError
        The shapes do not fit; a position is out of bounds, or the indices are of shapes that do not broadcast.
    DtypeError
        Floats are added to integers, or numbers to truth values.
    """
    positions = indexing.same_shape(list(indices) if isinstance(indices, tuple) else [indices])
    dtype, given = operands.dtype_of(x), operands.dtype_of(updates)
    if dtype.kind != "f":
        if given.kind == "f" or (dtype.kind == "b" and given.kind != "b"):
            raise _misfit("scatter_add", dtype, np.result_type(dtype, given))
        return _with_whole_sums(x, positions, updates)
    return x + apply(indexing.SCATTER_ADD, updates, *positions, shape=operands.shape_of(x))


def _with_whole_sums(x: ArrayLike, positions: list[Any], updates: ArrayLike) -> Value:
    """Add integers or truth values at positions: in the order of the positions, each sum is a difference of two."""
    shape, dtype = operands.shape_of(x), operands.dtype_of(x)
    sides, rest = shape[: len(positions)], shape[len(positions) :]
    flat: Any = np.zeros((), np.int64)
    for position, side in zip(positions, sides, strict=True):
        flat = flat * side + position % side
    count = math.prod(operands.shape_of(flat))
    order = query(np.argsort, ravel(flat), kind="stable")
    places, every = indexing.take(ravel(flat), order), np.arange(math.prod(sides))
    rows = indexing.take(reshape(conversions.astype(updates, np.int64), (count, *rest)), order, 0)
    sums = query(np.cumsum, query(np.pad, rows, ((1, 0), *((0, 0) for _ in rest))), axis=0)
    begin, end = (query(np.searchsorted, places, every, side=side) for side in ("left", "right"))
    total = reshape(indexing.take(sums, end, 0) - indexing.take(sums, begin, 0), shape)
    return logic.logical_or(x, total > 0) if dtype.kind == "b" else x + conversions.astype(total, dtype)


class _At:
    """An array that waits for an index."""

    __slots__ = ("_x",)

    def __init__(self, x: ArrayLike) -> None:
        self._x = x

    def __getitem__(self, key: Any) -> _Place:
        return _Place(self._x, key)


class _Place:
    """Elements of an array that are about to be replaced."""

    __slots__ = ("_key", "_x")

    def __init__(self, x: ArrayLike, key: Any) -> None:
        self._x, self._key = x, key

    def set(self, values: ArrayLike) -> Value:
        """Return the array with these elements replaced.

        Raises
        ------
        ShapeError
            The values do not broadcast to the elements.
        """
        if (window := self._window()) is not None:
            laid, mask = self._laid(values, *window)
            return logic.where(mask, laid, conversions.astype(self._x, operands.dtype_of(self._x)))
        positions, new, shape = self._positions(values)
        size = math.prod(shape)
        if isinstance(positions, Array):
            return self._set_at(ravel(positions), ravel(new), shape)
        order = np.arange(size)
        order[positions.ravel()] = size + np.arange(positions.size)
        return reshape(indexing.take(joining.concatenate([ravel(self._x), ravel(new)]), order), shape)

    def _set_at(self, positions: Any, new: Value, shape: tuple[int, ...]) -> Value:
        """Set elements at positions that are not known: each looks for itself among them, in sorted order."""
        if positions.size == 0:
            return conversions.copy(self._x)
        everywhere = np.arange(math.prod(shape))
        order = query(np.argsort, positions, kind="stable")
        ordered = indexing.take(positions, order)
        last = arithmetic.maximum(query(np.searchsorted, ordered, everywhere, side="right") - 1, 0)
        found = logic.equal(indexing.take(ordered, last), everywhere)
        taken = indexing.take(new, indexing.take(order, last))
        return logic.where(reshape(found, shape), reshape(taken, shape), self._x)

    def add(self, values: ArrayLike) -> Value:
        """Return the array with values added to these elements.

        Raises
        ------
        DtypeError
            The sums do not fit into the array, as those of floats into integers; so for the methods below.
        """
        if operands.dtype_of(self._x).kind != "f":
            self._result("add", arithmetic.add, values)
        elif (window := self._window()) is not None:
            return arithmetic.add(self._x, self._laid(values, *window)[0])
        elif (whole := indexing.leading(self._key, operands.shape_of(self._x))) is not None:
            # Whole rows are added as such, without a position for each of their elements.
            rest = operands.shape_of(self._x)[len(whole) :]
            return scatter_add(self._x, tuple(whole), self._fitted(values, (*whole[0].shape, *rest)))
        positions, new, shape = self._positions(values)
        return reshape(scatter_add(ravel(self._x), positions, new), shape)

    def multiply(self, values: ArrayLike) -> Value:
        """Return the array with these elements multiplied."""
        return self._changed("multiply", arithmetic.multiply, values)

    def max(self, values: ArrayLike) -> Value:
        """Return the array with these elements replaced where a value is larger."""
        return self._changed("max", arithmetic.maximum, values)

    def min(self, values: ArrayLike) -> Value:
        """Return the array with these elements replaced where a value is smaller."""
        return self._changed("min", arithmetic.minimum, values)

    def _result(self, name: str, function: Any, values: ArrayLike) -> Value:
        """Return a function of the elements and the values, which must fit into the array, as in ``x[i] += v``."""
        changed = function(indexing.index(self._x, self._key), values)
        own, found = operands.dtype_of(self._x), operands.dtype_of(changed)
        if not np.can_cast(found, own, "same_kind"):
            raise _misfit(f"at(x)[i].{name}(v)", own, found)
        return changed

    def _changed(self, name: str, function: Any, values: ArrayLike) -> Value:
        positions, _, shape = self._positions(values)
        changed = self._result(name, function, values)
        if not isinstance(positions, Array) and len(np.unique(positions)) == positions.size:
            return self.set(changed)
        _, new, _ = self._positions(values, operands.dtype_of(changed))  # As wide as the results.
        # In sorted order, each value takes in those before it at its position: 1, 2, 4, ... at a time.
        order = query(np.argsort, ravel(positions), kind="stable")
        places, new = indexing.take(ravel(positions), order), indexing.take(ravel(new), order)
        step = 1
        while step < new.shape[0]:
            is_same = logic.equal(places[step:], places[:-step])
            taken_in = logic.where(is_same, function(new[:-step], new[step:]), new[step:])
            new, step = joining.concatenate([new[:step], taken_in]), 2 * step
        found = function(indexing.take(ravel(self._x), places), new)
        return self._set_at(places, conversions.astype(found, operands.dtype_of(self._x)), shape)

    def _window(self) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]] | None:
        return indexing.window(self._key, operands.shape_of(self._x))

    def _laid(
        self, values: ArrayLike, starts: tuple[int, ...], sizes: tuple[int, ...], steps: tuple[int, ...]
    ) -> tuple[Value, Value]:
        """The new elements where a window has its places in the array, with zeros around them; and where that is."""
        shape = operands.shape_of(self._x)
        chosen = indexing.index(np.broadcast_to(np.zeros((), np.int8), shape), self._key)
        new = reshape(self._fitted(values, operands.shape_of(chosen)), sizes)
        laid, mask = (
            apply(PAD, each, shape=shape, starts=starts, steps=steps) for each in (new, np.ones(sizes, np.bool_))
        )
        return laid, mask

    def _positions(self, values: ArrayLike, dtype: np.dtype[Any] | None = None) -> tuple[Any, Value, tuple[int, ...]]:
        """The positions in row-major order, the new elements, one for each and as the array's or of this dtype, and
        the shape of the array."""
        shape = operands.shape_of(self._x)
        everywhere = np.arange(math.prod(shape)).reshape(shape)
        positions = indexing.index(everywhere, self._key)
        return positions, self._fitted(values, operands.shape_of(positions), dtype), shape

    def _fitted(self, values: ArrayLike, wanted: tuple[int, ...], dtype: np.dtype[Any] | None = None) -> Value:
        """The new elements, one for each that is chosen, as the array's or of this dtype."""
        new = conversions.astype(values, dtype or operands.dtype_of(self._x))
        given = operands.shape_of(new)
        # numpy lets leading axes of length 1 go.
        while len(given) > len(wanted) and given[0] == 1:
            given = given[1:]
        try:
            return broadcast_to(reshape(new, given), wanted)
        except ShapeError:
            raise ShapeError(
                f"at(x)[i] of shape {operands.shape_of(self._x)}: values of shape {operands.shape_of(new)} do not "
                f"broadcast to the elements, of shape {wanted}"
            ) from None


def _misfit(what: str, own: np.dtype[Any], found: np.dtype[Any]) -> DtypeError:
    return DtypeError(
        f"{what} on dtype {own.name}: the result, of dtype {found.name}, does not fit, as in x[i] += v. Convert x, to "
        f"x.astype({found.name!r}), or the values"
    )
