"""Indexing: elements chosen by position.

Choosing elements by an array of integers is linear in the values, ``y[b] = x[i(b)]``; an element chosen twice gets
both cotangents, so the transpose adds up: ``x[i(b)] += g[b]``. ``gather`` and ``scatter_add`` are each other's
derivative. A basic index (integers, slices with steps, ``None``, ``...``) is a ``slice`` and a ``reshape``. The
indices themselves have no derivative.
"""

from __future__ import annotations

import builtins
import itertools
import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minimeta.autodiff.apply import apply
from minimeta.autodiff.array import Array, ArrayLike, Form, Shape, Value
from minimeta.autodiff.definition import operation
from minimeta.autodiff.operations import conversions, movement, operands
from minimeta.autodiff.operations.queries import query
from minimeta.autodiff.primitive import Draw, Primitive
from minimeta.autodiff.protocols import answers
from minimeta.errors import DtypeError, IndexingError, ShapeError


@answers(operator.getitem)
def index(x: ArrayLike, key: Any) -> Value:
    """``x[key]`` for integers, slices with steps, ``None``, ``...``, arrays of integers and masks, as in numpy.

    Parameters
    ----------
    x
        The array.
    key
        The index, or a tuple of them. Arrays of integers broadcast against each other and choose element by element.
        An array of bool chooses where it holds: it stands for the positions of its elements that do.

    Returns
    -------
    Array or numpy.ndarray
        The chosen elements, in a shape by numpy's rules.

    Raises
    ------
    IndexingError
        An index is out of bounds, there are more of them than axes, or a mask has not the shape of its axes.
    TracingError
        A mask that is not known while tracing: the shape of the result would depend on its values.
    """
    shape = operands.shape_of(x)
    keys = _expand(key, shape)
    if any(_is_array(k) or isinstance(k, bool) for k in keys):
        # Next to an array of integers a single integer is an array too: x[0, [1, 2]] chooses x[0, 1] and x[0, 2].
        keys = [np.asarray(k) if isinstance(k, int) and not isinstance(k, bool) else k for k in keys]
    starts, sizes, steps, chosen = [], [], [], []
    result: list[int] = []
    axis = 0
    for k in keys:
        if k is None or isinstance(k, bool):
            if k is not None:
                chosen.append((len(result), np.zeros(int(k), np.int64)))
            result.append(1)
            continue
        side = shape[axis]
        if isinstance(k, builtins.slice):
            start, stop, step = k.indices(side)
            size = len(range(start, stop, step))
            step = step if size > 1 else 1  # it may be any number then
            result.append(size)
        elif isinstance(k, int):
            if not -side <= k < side:
                raise IndexingError(f"index {k} is out of bounds for axis {axis} of an array of shape {shape}")
            start, size, step = k % side, 1, 1
        else:
            chosen.append((len(result), k))
            start, size, step = 0, side, 1
            result.append(side)
        starts.append(start if size else 0)
        sizes.append(size)
        steps.append(step)
        axis += 1
    # A scalar is always cut out, though it be all there is: x[0] is no view of x; x.squeeze() and x[0, ...] are.
    boxed = any(k is Ellipsis for k in (key if isinstance(key, tuple) else (key,)))
    if tuple(sizes) != shape or any(step != 1 for step in steps) or (sizes and not result):
        x = apply(movement.SLICE, x, starts=tuple(starts), sizes=tuple(sizes), steps=tuple(steps))
    if boxed and not result:
        x = movement.reshape(x, ())
    elif tuple(result) != tuple(sizes):
        x = apply(movement.RESHAPE, x, shape=tuple(result))
    if chosen:
        if boxed and len(chosen) == len(result) and not any(operands.shape_of(k) for _, k in chosen):
            return movement.reshape(_choose(movement.expand_dims(x, -1), chosen), ())
        return _choose(x, chosen, apart=isinstance(key, tuple) and _are_apart(key))
    # By an array without axes numpy copies; x[:] of a numpy array is still an array of its own.
    copies = any(isinstance(k, np.ndarray) for k in (key if isinstance(key, tuple) else (key,)))
    if isinstance(x, Array) or tuple(sizes) != shape or tuple(result) != shape:
        return conversions.copy(x) if copies and isinstance(x, Array) else x
    return conversions.copy(x)


def window(key: Any, shape: Shape) -> tuple[Shape, Shape, Shape] | None:
    """Return the starts, sizes and steps of what a basic index within bounds chooses, by axis; None of another."""
    keys = [k for k in _expand(key, shape) if k is not None]
    if any(_is_array(k) or isinstance(k, bool) for k in keys):
        return None
    runs = [
        range(side)[k] if isinstance(k, builtins.slice) else range(k % side, k % side + 1)
        for k, side in zip(keys, shape, strict=True)
    ]
    starts = tuple(run.start if run else 0 for run in runs)
    return starts, tuple(map(len, runs)), tuple(run.step if len(run) > 1 else 1 for run in runs)


def leading(key: Any, shape: Shape) -> list[Any] | None:
    """Return the index arrays of a key that has one for each of the first axes and takes the others whole, as int64
    arrays of one shape; None of another key.
    """
    keys = _expand(key, shape)
    arrays = [*itertools.takewhile(_is_array, keys)]
    rest = keys[len(arrays) :]
    is_whole = all(isinstance(k, builtins.slice) and k == builtins.slice(None) for k in rest)
    return same_shape(arrays) if arrays and is_whole else None


@answers(np.take)
def take(x: ArrayLike, indices: ArrayLike, axis: int | None = None, *, mode: str = "raise") -> Value:
    """Elements of one axis at these positions; of the flattened array where ``axis`` is None.

    Parameters
    ----------
    x
        The array.
    indices
        Integers.
    axis
        The axis to choose along.
    mode
        What a position out of bounds is: ``"raise"`` an error, ``"clip"`` the first or the last one, ``"wrap"`` counted
        around.

    Raises
    ------
    IndexingError
        A position is out of bounds, or the mode is another.
    """
    if axis is None:
        return take(movement.ravel(x), indices, 0, mode=mode)
    shape = operands.shape_of(x)
    axis = operands.axis_of("take", axis, len(shape))
    if mode != "raise":
        indices = within(mode, indices, shape[axis])
    taken = _choose(x, [(axis, indices)])
    return taken if operands.shape_of(indices) or len(shape) == 1 else conversions.copy(taken)  # x[i] is a view.


def within(mode: str, positions: ArrayLike, size: int) -> Value:
    """Return positions brought into bounds, as one of numpy's modes does it."""
    if mode not in ("clip", "wrap"):
        raise IndexingError(f"mode={mode!r} is none of 'raise', 'clip', 'wrap'")
    return query(np.clip, positions, 0, size - 1) if mode == "clip" else query(np.remainder, positions, size)


@answers(np.compress)
def compress(condition: ArrayLike, a: ArrayLike, axis: int | None = None) -> Value:
    """Elements of one axis, or of the flattened array, where a condition holds."""
    if len(shape := operands.shape_of(condition)) != 1:
        raise ShapeError(f"compress by a condition of shape {shape}: it needs one axis; extract takes any")
    return take(a, np.flatnonzero(operands.known("compress by", condition)), axis)


@answers(np.extract)
def extract(condition: ArrayLike, arr: ArrayLike) -> Value:
    """Elements of the flattened array where a condition holds."""
    return compress(movement.ravel(condition), arr)


@answers(np.take_along_axis)
def take_along_axis(x: ArrayLike, indices: ArrayLike, axis: int | None = -1) -> Value:
    """For each line of ``x`` along an axis, the elements at that line's own positions.

    Parameters
    ----------
    x
        The array.
    indices
        Integers, of the number of axes of ``x`` and of its sides (or 1) but at ``axis``.
    axis
        The axis to choose along; None for that of the flattened array, of one row of indices.

    Raises
    ------
    ShapeError
        The shapes do not fit.
    """
    if axis is None:
        x, axis = movement.ravel(x), 0
    shape, wanted = operands.shape_of(x), operands.shape_of(indices)
    axis = operands.axis_of("take_along_axis", axis, len(shape))
    if len(wanted) != len(shape) or any(
        w not in (1, s) for i, (s, w) in enumerate(zip(shape, wanted, strict=True)) if i != axis
    ):
        raise ShapeError(
            f"take_along_axis of shape {shape} with indices of shape {wanted}: sides must be equal but at axis {axis}"
        )
    mesh = list(np.ix_(*(np.arange(side) for side in shape)))
    return _choose(x, [(i, indices if i == axis else mesh[i]) for i in range(len(shape))])


# Keys


def _is_array(key: Any) -> bool:
    return isinstance(key, (Array, np.ndarray))


def _expand(key: Any, shape: Shape) -> list[Any]:
    """The key as one entry an axis, None for each new axis, and a bool for one that is chosen or is not."""
    keys = [_entry(k) for k in (key if isinstance(key, tuple) else (key,))]
    if _how_many(k is Ellipsis for k in keys) > 1:
        raise IndexingError("an index may hold '...' only once")
    used = builtins.sum(map(_axes_used, keys))
    if used > len(shape):
        raise IndexingError(f"{used} indices for an array of shape {shape}, which has {len(shape)} axes")
    rest = [builtins.slice(None)] * (len(shape) - used)
    place = next((i for i, k in enumerate(keys) if k is Ellipsis), None)
    keys = [*keys, *rest] if place is None else [*keys[:place], *rest, *keys[place + 1 :]]
    expanded: list[Any] = []
    axis = 0
    for k in keys:
        if _is_mask(k):
            sides = shape[axis : axis + k.ndim]
            if k.shape != sides:
                raise IndexingError(f"a mask of shape {k.shape} on axes of shape {sides}, of an array of shape {shape}")
            expanded += np.nonzero(k)
        else:
            expanded.append(k)
        axis += _axes_used(k)
    return expanded


def _axes_used(key: Any) -> int:
    """How many axes an entry of a key indexes."""
    if key is None or key is Ellipsis or isinstance(key, bool):
        return 0
    return int(key.ndim) if _is_mask(key) else 1


def _is_mask(key: Any) -> bool:
    return isinstance(key, np.ndarray) and key.dtype.kind == "b"


def _are_apart(key: tuple[Any, ...]) -> bool:
    """Whether a slice, None or '...' stands between index arrays; numpy counts a '...' for no axes, too."""
    places = [i for i, k in enumerate(key) if not (k is None or k is Ellipsis or isinstance(k, builtins.slice))]
    return places[-1] - places[0] >= len(places)


def _how_many(truths: Any) -> int:
    """How many hold."""
    return builtins.sum(1 for truth in truths if truth)


def _entry(key: Any) -> Any:
    if key is None or key is Ellipsis or isinstance(key, builtins.slice):
        return key
    if isinstance(key, (list, tuple)):
        key = np.asarray(key, dtype=np.int64 if len(key) == 0 else None)
    kind = key.dtype.kind if hasattr(key, "dtype") else "b" if isinstance(key, bool) else "i"
    if kind == "b":
        mask = operands.known("x[mask] with", key)
        return np.asarray(mask) if np.ndim(mask) else bool(mask)
    if kind not in "iu":
        raise IndexingError(f"an index of dtype {key.dtype.name}: indices must be integers")
    if _is_array(key):
        return key if key.shape or (isinstance(key, Array) and isinstance(key.value, Form)) else int(key)
    try:
        return operator.index(key)
    except TypeError:
        raise IndexingError(
            f"an index of type {type(key).__name__}: use integers, slices, None, ... or arrays"
        ) from None


def _choose(x: ArrayLike, chosen: Sequence[tuple[int, Any]], apart: bool = False) -> Value:
    """Elements at index arrays on some axes, placed as numpy does: where the axes were, in front if they were apart."""
    axes = [axis for axis, _ in chosen]
    positions = same_shape([k for _, k in chosen])
    ndim = len(operands.shape_of(x))
    if axes != list(range(len(axes))):
        x = movement.transpose(x, (*axes, *(i for i in range(ndim) if i not in axes)))
    y = apply(GATHER, x, *positions)
    first, new = axes[0], len(operands.shape_of(positions[0]))
    if first == 0 or apart:
        return y
    rest = list(range(new, new + ndim - len(axes)))
    return movement.transpose(y, (*rest[:first], *range(new), *rest[first:]))


def same_shape(positions: list[Any]) -> list[Any]:
    """Index arrays as int64 arrays of one shape."""
    try:
        shape = np.broadcast_shapes(*(operands.shape_of(k) for k in positions))
    except ValueError:
        shapes = " and ".join(str(operands.shape_of(k)) for k in positions)
        raise IndexingError(f"index arrays of shapes {shapes} do not broadcast to one shape") from None
    fitted = []
    for k in positions:
        position = k if isinstance(k, Array) else np.asarray(k)
        if position.dtype.kind not in "iu":
            raise IndexingError(f"index arrays of dtype {position.dtype.name}: they must be integers")
        if position.dtype != np.int64:
            position = conversions.astype(position, np.int64)
        fitted.append(movement.broadcast_to(position, shape) if position.shape != shape else position)
    return fitted


# The primitives


def _gathered(x: Any, *positions: Any) -> Form:
    if len(positions) > len(x.shape):
        raise IndexingError(f"gather: {len(positions)} index arrays for an array of shape {x.shape}")
    return Form((*positions[0].shape, *x.shape[len(positions) :]), x.dtype)


def _scattered(updates: Any, *positions: Any, shape: Shape) -> Form:
    expected = (*positions[0].shape, *shape[len(positions) :])
    if updates.shape != expected:
        raise ShapeError(
            f"scatter_add into shape {shape}: {len(positions)} index arrays of shape {positions[0].shape} need updates "
            f"of shape {expected}, got {updates.shape}"
        )
    if updates.dtype.kind != "f":
        raise DtypeError(f"scatter_add of dtype {updates.dtype.name}: it needs float32 or float64; convert with astype")
    return Form(shape, updates.dtype)


def _taken(y: Any, x: Any, *positions: Any) -> Value:
    return apply(SCATTER_ADD, np.ones(y.shape, y.dtype), *positions, shape=x.shape) > 0.0


def _sample_positions(draw: Draw) -> tuple[Shape, list[NDArray[Any]]]:
    shape = tuple(side + 1 for side in draw.shape(1))
    chosen = draw.shape(0, 2)
    return shape, [draw.indices(chosen, shape[i]) for i in range(draw.integer(1, len(shape)))]


def _sample_gather(draw: Draw) -> tuple[tuple[NDArray[Any], ...], dict[str, Any]]:
    shape, positions = _sample_positions(draw)
    return (draw.array(shape), *positions), {}


def _sample_scatter(draw: Draw) -> tuple[tuple[NDArray[Any], ...], dict[str, Any]]:
    shape, positions = _sample_positions(draw)
    return (draw.array((*positions[0].shape, *shape[len(positions) :])), *positions), {"shape": shape}


@operation(
    rules=(lambda g, y, x, *positions: apply(SCATTER_ADD, g, *positions, shape=x.shape),),
    chosen=(lambda g, y, x, *positions: _taken(y, x, *positions),),
    shape=_gathered,
    sample=_sample_gather,
    scalar=True,
    linear=True,
    exact=True,
)
def _gather(x: Any, *positions: Any) -> Any:
    return x[positions]


@operation(
    rules=(lambda g, y, updates, *positions, shape: apply(GATHER, g, *positions),),
    shape=_scattered,
    sample=_sample_scatter,
    linear=True,
    flops=lambda y, updates, *positions, **_: math.prod(updates.shape),
)
def _scatter_add(updates: Any, *positions: Any, shape: Shape) -> Any:
    y = np.zeros(shape, updates.dtype)
    np.add.at(y, positions, updates)
    return y


GATHER: Primitive = _gather.primitive
SCATTER_ADD: Primitive = _scatter_add.primitive
