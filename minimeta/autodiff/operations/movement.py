"""Movement: the same elements at other places.

Reshaping, permuting axes, broadcasting and slicing move elements without changing them, so each is a linear map
``y = P x`` with a matrix of zeros and ones, and the cotangent of ``x`` is ``P^T g``: the inverse move where ``P`` is a
permutation, a sum where it repeats an element (``broadcast_to``), zeros where it drops one. ``slice`` and ``pad`` are
each other's transpose and close the family:

    slice: y[i] = x[start + i step]        pad: y[start + i step] = x[i], zero elsewhere
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minimeta.autodiff.apply import apply
from minimeta.autodiff.array import Array, ArrayLike, Form, Shape, Value
from minimeta.autodiff.definition import Declare, operation
from minimeta.autodiff.operations import conversions, operands
from minimeta.autodiff.primitive import Draw, Primitive, Rule, Sample, registry
from minimeta.autodiff.protocols import answers
from minimeta.errors import ShapeError, TracingError


@answers(np.reshape)
def reshape(x: ArrayLike, shape: int | Sequence[int], order: str = "C", *, copy: bool | None = None) -> Value:
    """Arrange the elements in another shape, of which one side may be -1.

    Parameters
    ----------
    x
        The elements.
    shape
        The sides.
    order
        ``"C"``: the last index runs fastest, here and there; ``"F"``: the first. ``"A"`` asks numpy
        how the elements lie in memory, of which Arrays know nothing: it is refused where that matters.
    copy
        Whether the result is a copy, which an in-place operator may change though the array is still
        in use.

    Raises
    ------
    ShapeError
        The number of elements differs, or the order is another.
    TracingError
        ``copy=False``: whether numpy could do without one depends on the memory, too.
    """
    if copy is False:
        raise TracingError(
            f"reshape of an array of shape {operands.shape_of(x)} with copy=False: whether numpy could do without a "
            "copy depends on how the elements lie in memory, which is not known of an Array; drop copy="
        )
    if copy:
        return conversions.copy(reshape(x, shape, order))
    if order != "C" and _runs_backwards("reshape", x, order, "CFA"):
        return transpose(reshape(transpose(x), operands.row_of(shape)[::-1]))
    before = operands.shape_of(x)
    sides = operands.integers("reshape", "shape", shape)
    size = int(np.prod(before, dtype=np.int64))
    if -1 in sides:
        known = int(np.prod([side for side in sides if side != -1], dtype=np.int64))
        if sides.count(-1) > 1 or known == 0 or size % known:
            raise ShapeError(f"reshape of shape {before} to {tuple(sides)}: -1 cannot be found")
        sides[sides.index(-1)] = size // known
    if not sides and type(x) is Array and before and size == 1:
        x = apply(RESHAPE, x, shape=(1, *before))  # A slice that is reshaped at once is an element (in_place.py).
    return apply(RESHAPE, x, shape=tuple(sides))


@answers(np.ravel)
def ravel(x: ArrayLike, order: str = "C") -> Value:
    """The elements on one axis, the last index running fastest (``"C"``) or the first (``"F"``)."""
    if order != "C" and _runs_backwards("ravel", x, order, "CFAK"):
        x = transpose(x)
    return reshape(x, -1) if 0 not in operands.shape_of(x) else reshape(x, 0)


def _runs_backwards(name: str, x: ArrayLike, order: str, known: str) -> bool:
    if order not in known:
        raise ShapeError(f"{name} with order={order!r}: it is one of {', '.join(map(repr, known))}")
    if order in "AK" and sum(side != 1 for side in operands.shape_of(x)) > 1:
        raise ShapeError(
            f"{name} of shape {operands.shape_of(x)} with order={order!r}: it depends on how the elements lie in "
            "memory, which is not known of an Array; write order='C' or order='F'"
        )
    return order == "F"


@answers(np.transpose)
def transpose(x: ArrayLike, axes: Sequence[int] | None = None) -> Value:
    """Permute the axes: axis ``i`` of the result is axis ``axes[i]`` of ``x``; None reverses them.

    Raises
    ------
    ShapeError
        ``axes`` is not a permutation.
    """
    ndim = len(operands.shape_of(x))
    order = tuple(range(ndim))[::-1] if axes is None else tuple(operands.axis_of("transpose", a, ndim) for a in axes)
    return apply(TRANSPOSE, x, axes=order)


@answers(np.swapaxes)
def swapaxes(x: ArrayLike, axis1: int, axis2: int) -> Value:
    """Exchange two axes."""
    ndim = len(operands.shape_of(x))
    order = list(range(ndim))
    first, second = operands.axis_of("swapaxes", axis1, ndim), operands.axis_of("swapaxes", axis2, ndim)
    order[first], order[second] = second, first
    return transpose(x, order)


@answers(np.moveaxis)
def moveaxis(x: ArrayLike, source: int | Sequence[int], destination: int | Sequence[int]) -> Value:
    """Move axes to other places, the others keeping their order.

    Raises
    ------
    ShapeError
        An axis is out of range or there twice, or there are not as many places as axes.
    """
    ndim = len(operands.shape_of(x))
    pairs = [[operands.axis_of("moveaxis", a, ndim) for a in operands.row_of(axes)] for axes in (source, destination)]
    if len(pairs[0]) != len(pairs[1]) or any(len(set(axes)) != len(axes) for axes in pairs):
        raise ShapeError(f"moveaxis from {source} to {destination}: it needs one place for each of distinct axes")
    order = [axis for axis in range(ndim) if axis not in pairs[0]]
    for place, axis in sorted(zip(pairs[1], pairs[0], strict=True)):
        order.insert(place, axis)
    return transpose(x, order)


@answers(np.expand_dims)
def expand_dims(x: ArrayLike, axis: int | Sequence[int]) -> Value:
    """Insert axes of length 1 at these places of the result.

    Raises
    ------
    ShapeError
        A place is out of range, or there twice.
    """
    places = operands.row_of(axis)
    before = operands.shape_of(x)
    axes = operands.axes_of("expand_dims", places, len(before) + len(places))
    sides = iter(before)
    return reshape(x, tuple(1 if i in axes else next(sides) for i in range(len(before) + len(places))))


@answers(np.squeeze)
def squeeze(x: ArrayLike, axis: int | Sequence[int] | None = None) -> Value:
    """Drop axes of length 1: these, or all.

    Raises
    ------
    ShapeError
        An axis is longer than 1.
    """
    before = operands.shape_of(x)
    if axis is None:
        axes = tuple(i for i, side in enumerate(before) if side == 1)
    else:
        axes = operands.axes_of("squeeze", axis, len(before))
        for i in axes:
            if before[i] != 1:
                raise ShapeError(f"squeeze of shape {before}: axis {i} has length {before[i]}, not 1")
    return reshape(x, tuple(side for i, side in enumerate(before) if i not in axes))


@answers(np.broadcast_to)
def broadcast_to(x: ArrayLike, shape: int | Sequence[int]) -> Value:
    """Repeat axes of length 1, and add leading axes, to reach a shape.

    Raises
    ------
    ShapeError
        The shape cannot be reached.
    """
    return apply(BROADCAST_TO, x, shape=tuple(operands.integers("broadcast_to", "shape", shape)))


@answers(np.flip)
def flip(x: ArrayLike, axis: int | Sequence[int] | None = None) -> Value:
    """Reverse the order along these axes, or along all."""
    sizes = operands.shape_of(x)
    axes = operands.axes_of("flip", axis, len(sizes))
    starts = tuple(builtins.max(side - 1, 0) if i in axes else 0 for i, side in enumerate(sizes))
    return apply(SLICE, x, starts=starts, sizes=sizes, steps=tuple(-1 if i in axes else 1 for i in range(len(sizes))))


# Shape rules


def _reshaped(x: Any, shape: Shape) -> Form:
    if any(side < 0 for side in shape) or np.prod(shape, dtype=np.int64) != np.prod(x.shape, dtype=np.int64):
        raise ShapeError(f"reshape of shape {x.shape} to {shape}: the number of elements differs")
    return Form(shape, x.dtype)


def _transposed(x: Any, axes: Shape) -> Form:
    if sorted(axes) != list(range(len(x.shape))):
        raise ShapeError(f"transpose of shape {x.shape} with axes {axes}: not a permutation of its {len(x.shape)} axes")
    return Form([x.shape[axis] for axis in axes], x.dtype)


def _broadcast(x: Any, shape: Shape) -> Form:
    lead = len(shape) - len(x.shape)
    if lead < 0 or any(old not in (1, new) for old, new in zip(x.shape, shape[lead:], strict=True)):
        raise ShapeError(
            f"broadcast_to of shape {x.shape} to {shape}: aligned at the last axis, a side must be equal or 1"
        )
    return Form(shape, x.dtype)


def _sliced(x: Any, starts: Shape, sizes: Shape, steps: Shape) -> Form:
    for axis, (side, start, size, step) in enumerate(zip(x.shape, starts, sizes, steps, strict=True)):
        last = start + (size - 1) * step
        if size < 0 or step == 0 or (size > 0 and not (0 <= start < side and 0 <= last < side)):
            raise ShapeError(f"slice of shape {x.shape}: axis {axis} from {start} to {last} is out of bounds")
    return Form(sizes, x.dtype)


def _padded(x: Any, shape: Shape, starts: Shape, steps: Shape) -> Form:
    _sliced(Form(shape, x.dtype), starts, x.shape, steps)
    return Form(shape, x.dtype)


# The primitives


def _window(starts: Shape, sizes: Shape, steps: Shape) -> tuple[Any, ...]:
    """The strided positions of each axis, as an open mesh of indices."""
    return np.ix_(*(start + step * np.arange(size) for start, size, step in zip(starts, sizes, steps, strict=True)))


def _unbroadcast(g: Array, y: Array, x: Array, shape: Shape) -> Value:
    """The sum over the repeated places of each element."""
    lead = len(shape) - len(x.shape)
    if lead:
        g = apply(registry["sum"], g, axes=tuple(range(lead)), keepdims=False)
    within = tuple([i for i, side in enumerate(x.shape) if side == 1 and shape[lead + i] != 1])
    return apply(registry["sum"], g, axes=within, keepdims=True) if within else g


_Sampled = tuple[tuple[NDArray[Any], ...], dict[str, Any]]


def _sample_reshape(draw: Draw) -> _Sampled:
    x = draw.array(draw.shape())
    return (x,), {"shape": (x.size, 1) if draw.integer(0, 1) else x.shape[::-1]}


def _sample_transpose(draw: Draw) -> _Sampled:
    x = draw.array(draw.shape())
    axes = list(range(x.ndim))
    return (x,), {"axes": tuple(axes.pop(draw.integer(0, len(axes) - 1)) for _ in range(x.ndim))}


def _sample_broadcast(draw: Draw) -> _Sampled:
    shape = draw.shape()
    kept = shape[draw.integer(0, len(shape)) :]
    return (draw.array(tuple(1 if draw.integer(0, 1) else side for side in kept)),), {"shape": shape}


def _strided(draw: Draw, sizes: Shape) -> tuple[Shape, Shape, Shape]:
    """An outer shape, starts and steps with room for a window of these sizes."""
    steps = tuple(draw.integer(1, 3) * (1 if draw.integer(0, 1) else -1) for _ in sizes)
    spans = [1 + (builtins.max(size, 1) - 1) * abs(step) for size, step in zip(sizes, steps, strict=True)]
    before = [draw.integer(0, 2) for _ in sizes]
    shape = tuple(low + span + draw.integer(0, 2) for low, span in zip(before, spans, strict=True))
    starts = tuple(low + (span - 1 if step < 0 else 0) for low, span, step in zip(before, spans, steps, strict=True))
    return shape, starts, steps


def _sample_slice(draw: Draw) -> _Sampled:
    sizes = draw.shape()
    shape, starts, steps = _strided(draw, sizes)
    return (draw.array(shape),), {"starts": starts, "sizes": sizes, "steps": steps}


def _sample_pad(draw: Draw) -> _Sampled:
    sizes = draw.shape()
    shape, starts, steps = _strided(draw, sizes)
    return (draw.array(sizes),), {"shape": shape, "starts": starts, "steps": steps}


def _movement(rule: Rule, shape: Callable[..., Form], sample: Sample, view: bool = True, **facts: Any) -> Declare:
    """Declare an operation that moves the elements of one operand, and perhaps looks at its memory."""
    return operation(rules=(rule,), shape=shape, sample=sample, view=view, linear=True, exact=True, **facts)


@_movement(lambda g, y, x, shape: reshape(g, x.shape), _reshaped, _sample_reshape)
def _reshape(x: Any, *, shape: Shape) -> Any:
    return x.reshape(shape)


@_movement(
    lambda g, y, x, axes: transpose(g, tuple(axes.index(i) for i in range(len(axes)))), _transposed, _sample_transpose
)
def _transpose(x: Any, *, axes: Shape) -> Any:
    return x.transpose(axes)


@_movement(_unbroadcast, _broadcast, _sample_broadcast)
def _broadcast_to(x: Any, *, shape: Shape) -> Any:
    return np.broadcast_to(x, shape)


@_movement(
    lambda g, y, x, starts, sizes, steps: apply(PAD, g, shape=x.shape, starts=starts, steps=steps),
    _sliced,
    _sample_slice,
    chosen=(
        lambda g, y, x, starts, sizes, steps: PAD.kernel(
            np.ones(sizes, bool), shape=x.shape, starts=starts, steps=steps
        ),
    ),
)
def _slice(x: Any, *, starts: Shape, sizes: Shape, steps: Shape) -> Any:
    return x[_window(starts, sizes, steps)]


@_movement(
    lambda g, y, x, shape, starts, steps: apply(SLICE, g, starts=starts, sizes=x.shape, steps=steps),
    _padded,
    _sample_pad,
    view=False,
)
def _pad(x: Any, *, shape: Shape, starts: Shape, steps: Shape) -> Any:
    y = np.zeros(shape, x.dtype)
    y[_window(starts, x.shape, steps)] = x
    return y


RESHAPE: Primitive = _reshape.primitive
TRANSPOSE: Primitive = _transpose.primitive
BROADCAST_TO: Primitive = _broadcast_to.primitive
SLICE: Primitive = _slice.primitive
PAD: Primitive = _pad.primitive
