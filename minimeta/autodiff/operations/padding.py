"""Padding: a border around an array, of a constant or of the array's own elements.

Where the border is made of elements (``edge``, ``reflect``, ``symmetric``, ``wrap``) each axis is padded by an index:
numpy pads the positions, and the elements at them are taken, so that the derivative adds up over the places that an
element went to. Other borders are computed from the elements at the edge and joined on. As in numpy, axes are padded
one after the other, and what the later ones see are the borders of the earlier.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable
from typing import Any

import numpy as np

from minimeta.autodiff.apply import apply
from minimeta.autodiff.array import ArrayLike, Value
from minimeta.autodiff.operations import arithmetic, conversions, indexing, joining, logic, operands, reductions
from minimeta.autodiff.operations.movement import PAD, SLICE, broadcast_to
from minimeta.autodiff.protocols import answers
from minimeta.errors import DtypeError, OptionError, ShapeError

Pairs = list[list[Any]]

_INDEXED = ("edge", "reflect", "symmetric", "wrap")
_STATISTICS: dict[str, Callable[..., Any]] = {
    "maximum": reductions.max,
    "mean": reductions.mean,
    "minimum": reductions.min,
}


@answers(np.pad)
def pad(
    array: ArrayLike,
    pad_width: Any,
    mode: Any = "constant",
    *,
    constant_values: Any = 0,
    end_values: Any = 0,
    stat_length: Any = None,
    reflect_type: str = "even",
) -> Value:
    """Add a border.

    Parameters
    ----------
    array
        The array.
    pad_width
        ``((before, after), ...)`` for each axis, one pair for all axes, or one number for all sides; or a dict from
        axes to pairs or numbers.
    mode
        What the border is: ``"constant"``, ``"edge"``, ``"reflect"``, ``"symmetric"``, ``"wrap"``, ``"linear_ramp"``,
        ``"maximum"``, ``"mean"``, ``"minimum"``, or ``"empty"``, which is 0.
    constant_values, end_values
        Of a constant border, its values; of a ramp, those that it ends with. Pairs, as ``pad_width`` has them.
    stat_length
        Of how many elements at the edge the statistic is; None means all.
    reflect_type
        ``"even"``, or ``"odd"``: reflected at the value at the edge, too.

    Raises
    ------
    ShapeError
        A negative width, another number of pairs than axes, or no elements to make a border of.
    OptionError
        Another mode.
    DtypeError
        A mean or a ramp of integers.
    """
    before = operands.shape_of(array)
    widths = [[int(n) for n in pair] for pair in _pairs("pad_width", pad_width, before, int)]
    if any(n < 0 for pair in widths for n in pair):
        raise ShapeError(f"pad of shape {before}: pad_width={pad_width} is negative; cut with a slice instead")
    if callable(mode) or mode not in ("constant", "empty", "linear_ramp", *_INDEXED, *_STATISTICS):
        raise OptionError(
            f"pad with mode={mode!r}: use constant, edge, reflect, symmetric, wrap, linear_ramp, maximum, mean, "
            "minimum or empty; any other border is joined on with concatenate"
        )
    if mode in ("constant", "empty"):
        return _constant(
            array, widths, [[0, 0]] if mode == "empty" else _pairs("constant_values", constant_values, before)
        )
    x: Any = array
    for axis, (low, high) in enumerate(widths):
        if not low and not high:
            continue
        if not operands.shape_of(x)[axis]:
            raise ShapeError(
                f"pad of shape {before} with mode={mode!r}: axis {axis} has no elements to make a border of"
            )
        if mode in _INDEXED:
            x = _indexed(x, axis, low, high, mode, reflect_type)
        elif mode == "linear_ramp":
            x = _ramped(x, axis, low, high, _pairs("end_values", end_values, before)[axis])
        else:
            lengths = [None, None] if stat_length is None else _pairs("stat_length", stat_length, before, int)[axis]
            x = _summarised(x, axis, low, high, mode, lengths)
    return conversions.copy(x) if x is array else x


def _pairs(name: str, given: Any, shape: Any, kind: Any = None) -> Pairs:
    """One pair for each axis."""
    if isinstance(given, dict):
        table = {operands.axis_of("pad", axis, len(shape)): pair for axis, pair in given.items()}
        given = [np.broadcast_to(table.get(axis, 0), 2) for axis in range(len(shape))]
    try:
        pairs: Pairs = np.broadcast_to(np.asarray(given, kind), (len(shape), 2)).tolist()
    except ValueError:
        raise ShapeError(f"pad of shape {shape}: {name}={given} is not a pair for each axis") from None
    return pairs


def _constant(x: ArrayLike, widths: Pairs, values: Pairs) -> Value:
    before, dtype = operands.shape_of(x), operands.dtype_of(x)
    shape = tuple(side + low + high for side, (low, high) in zip(before, widths, strict=True))
    starts = tuple(low for low, _ in widths)
    inner = apply(PAD, x, shape=shape, starts=starts, steps=(1,) * len(shape))
    if not any(value for pair in values for value in pair):
        return inner
    border = np.pad(np.zeros(before, dtype), widths, constant_values=values)
    within = np.pad(np.ones(before, bool), widths)
    return logic.where(within, inner, border)


def _indexed(x: Any, axis: int, low: int, high: int, mode: Any, reflect_type: str) -> Value:
    side = operands.shape_of(x)[axis]
    positions = np.pad(np.arange(side), (low, high), mode=mode)
    if reflect_type == "even" or mode in ("edge", "wrap"):
        return indexing.take(x, positions, axis)
    # Odd: x[edge] twice, less the reflected element, over and over. numpy's own of positions says how often which.
    while low or high:
        shape = operands.shape_of(x)
        period = builtins.max(shape[axis] - (mode == "reflect"), 1)
        first, last = builtins.min(low, period), builtins.min(high, period)
        mirrored = indexing.take(x, np.pad(np.arange(shape[axis]), (first, last), mode=mode), axis)
        parts = [mirrored]
        if first:
            head = _part(mirrored, axis, 0, first)
            parts = [
                arithmetic.subtract(arithmetic.multiply(2, _part(x, axis, 0, 1)), head),
                _part(mirrored, axis, first),
            ]
        if last:
            inner, tail = _part(parts[-1], axis, 0, -last), _part(parts[-1], axis, -last)
            edge = _part(x, axis, -1)
            parts[-1:] = [inner, arithmetic.subtract(arithmetic.multiply(2, edge), tail)]
        x = joining.concatenate(parts, axis)
        low, high = low - first, high - last
    return x


def _part(x: Any, axis: int, start: int, stop: int | None = None) -> Value:
    shape = operands.shape_of(x)
    places = range(shape[axis])[start:stop]
    return apply(SLICE, x, **operands.along(axis, shape, places.start, len(places)))


def _ramped(x: Any, axis: int, low: int, high: int, ends: list[Any]) -> Value:
    _check_float("a ramp", x)
    first, last = _part(x, axis, 0, 1), _part(x, axis, -1)
    shape = [1] * len(operands.shape_of(x))

    def ramp(edge: Any, end: float, count: int, falling: bool) -> Value:
        shape[axis] = count
        weights = np.arange(count) / builtins.max(count, 1)
        weights = (weights[::-1] if falling else weights).reshape(shape).astype(operands.dtype_of(x))
        return arithmetic.add(end, arithmetic.multiply(arithmetic.subtract(edge, end), weights))

    return joining.concatenate([ramp(first, ends[0], low, False), x, ramp(last, ends[1], high, True)], axis)


def _summarised(x: Any, axis: int, low: int, high: int, mode: str, lengths: list[Any]) -> Value:
    if mode == "mean":
        _check_float("a mean", x)
    shape = operands.shape_of(x)
    side = shape[axis]

    def border(count: int, start: int, stop: int) -> Value:
        summary = _STATISTICS[mode](_part(x, axis, start, stop), axis, keepdims=True)
        return broadcast_to(summary, (*shape[:axis], count, *shape[axis + 1 :]))

    before, after = (side if n is None else builtins.min(int(n), side) for n in lengths)
    if not before or not after:
        raise ShapeError(f"pad with mode={mode!r}: stat_length={lengths} is of no elements")
    return joining.concatenate([border(low, 0, before), x, border(high, side - after, side)], axis)


def _check_float(what: str, x: Any) -> None:
    if (dtype := operands.dtype_of(x)).kind != "f":
        raise DtypeError(f"pad of dtype {dtype.name} with {what}: numpy rounds it; convert with astype")
