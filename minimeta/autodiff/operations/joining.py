"""Joining arrays end to end, and cutting them apart: each is the other's transpose."""

from __future__ import annotations

import builtins
import itertools
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minimeta.autodiff import calls, regions
from minimeta.autodiff.apply import apply
from minimeta.autodiff.array import Array, ArrayLike, Form, Shape, Value
from minimeta.autodiff.definition import operation
from minimeta.autodiff.operations import conversions, operands
from minimeta.autodiff.operations.movement import SLICE, expand_dims, ravel
from minimeta.autodiff.primitive import Draw
from minimeta.autodiff.protocols import answers
from minimeta.autodiff.steps import Program, Step
from minimeta.errors import DtypeError, ShapeError


@answers(np.concatenate)
def concatenate(
    arrays: Sequence[ArrayLike], axis: int | None = 0, *, dtype: Any = None, casting: str = "same_kind"
) -> Value:
    """Join arrays along an existing axis, or end to end if it is None.

    Parameters
    ----------
    arrays
        The arrays; one array stands for its rows.
    axis
        The axis.
    dtype
        Of the result; None means the arrays' common one.
    casting
        Which conversions to ``dtype`` are allowed, as numpy says it.

    Raises
    ------
    ShapeError
        There are none, or their other sides differ.
    DtypeError
        A conversion that ``casting`` does not allow.
    """
    if len(arrays) == 0:
        raise ShapeError("concatenate of no arrays: give at least one")
    if axis is None:
        return concatenate([ravel(x) for x in arrays], dtype=dtype, casting=casting)
    found = [operands.dtype_of(x) for x in arrays]
    if dtype is None:
        dtype = np.result_type(*found)
    elif not all(np.can_cast(own, dtype, casting) for own in found):  # type: ignore[arg-type]
        raise DtypeError(f"concatenate to dtype {np.dtype(dtype).name} with casting={casting!r}: not of {found}")
    same = [x if getattr(x, "dtype", None) == dtype else conversions.astype(x, dtype) for x in arrays]
    return apply(CONCATENATE, *same, axis=operands.axis_of("concatenate", axis, len(operands.shape_of(arrays[0]))))


@answers(np.stack)
def stack(arrays: Sequence[ArrayLike], axis: int = 0, *, dtype: Any = None, casting: str = "same_kind") -> Value:
    """Join arrays of one shape along a new axis.

    Raises
    ------
    ShapeError
        There are none, or their shapes differ.
    """
    shapes = {operands.shape_of(x) for x in arrays}
    if len(shapes) != 1:
        raise ShapeError(f"stack of arrays of shapes {sorted(shapes)}: it needs at least one, all of the same shape")
    return concatenate([expand_dims(x, axis) for x in arrays], axis, dtype=dtype, casting=casting)


@answers(np.split)
def split(x: ArrayLike, sections: int | Sequence[int], axis: int = 0) -> list[Value]:
    """Cut an axis into equal sections, or before each of the given positions.

    Raises
    ------
    ShapeError
        The axis does not divide into this many sections.
    """
    before = operands.shape_of(x)
    axis = operands.axis_of("split", axis, len(before))
    length = before[axis]
    if isinstance(sections, (int, np.integer)):
        sections = int(sections)
        if sections < 1 or length % sections:
            raise ShapeError(f"split of shape {before}: axis {axis} does not divide into {sections} equal sections")
        cuts = list(range(0, length + 1, length // sections)) if length else [0] * (sections + 1)
    else:
        cuts = [0, *(builtins.slice(None, cut).indices(length)[1] for cut in sections), length]
    if type(x) is Array and x.transformation is not None and cuts == sorted(cuts):
        pieces = apply(SPLIT, x, body=_pieces(before, x.dtype, axis, tuple(cuts)), axis=axis)
        return [calls.pick(pieces, place) for place in range(len(cuts) - 1)]
    return [
        apply(SLICE, x, **operands.along(axis, before, start, builtins.max(stop - start, 0)))
        for start, stop in itertools.pairwise(cuts)
    ]


@lru_cache(maxsize=1024)
def _pieces(shape: Shape, dtype: np.dtype[Any], axis: int, cuts: Shape) -> Program:
    """The slices between neighbouring cuts."""
    x = Form(shape, dtype)
    slices = [operands.along(axis, shape, start, stop - start) for start, stop in itertools.pairwise(cuts)]
    steps = tuple(Step(SLICE, (0,), params, (SLICE.shape(x, **params),)) for params in slices)
    return Program((x,), (), steps, tuple(range(1, 1 + len(steps))))


# The primitives


def _joined(*arrays: Any, axis: int) -> Form:
    first = arrays[0].shape
    for x in arrays:
        if len(x.shape) != len(first) or any(
            a != b for i, (a, b) in enumerate(zip(x.shape, first, strict=True)) if i != axis
        ):
            shapes = ", ".join(str(array.shape) for array in arrays)
            raise ShapeError(f"concatenate of shapes {shapes} along axis {axis}: the other sides must be equal")
    total = sum(x.shape[axis] for x in arrays)
    return Form((*first[:axis], total, *first[axis + 1 :]), arrays[0].dtype)


def _cut_apart(g: Array, y: Array, *arrays: Array, axis: int) -> list[Value]:
    cuts = np.cumsum([x.shape[axis] for x in arrays])[:-1].tolist()
    parts: list[Value] = split(g, cuts, axis)
    return parts


def _joined_again(
    cotangents: Sequence[Any], pieces: Array, x: Array, body: Program, axis: int
) -> Sequence[Value | None]:
    """One concatenation, and not a sum of as many padded arrays that are mostly zeros."""
    forms = pieces.value
    if builtins.sum(form.shape[axis] for form in forms) < x.shape[axis]:  # A pass has dropped what nobody takes.
        return regions.rematerialize_rule(cotangents, pieces, x, body=body)
    parts = [np.zeros(y.shape, y.dtype) if g is None else g for g, y in zip(cotangents, forms, strict=True)]
    return [concatenate(parts, axis)]


def _pieces_taken(cotangents: Sequence[Any], pieces: Array, x: Array, body: Program, axis: int) -> Any:
    """Of a piece that nothing depends on, no element is taken."""
    forms = pieces.value
    taken = [np.full(y.shape, g is not None) for g, y in zip(cotangents, forms, strict=True)]
    return np.concatenate(taken, axis) if builtins.sum(y.shape[axis] for y in forms) == x.shape[axis] else None


def _sample_concatenate(draw: Draw) -> tuple[tuple[NDArray[Any], ...], dict[str, Any]]:
    shape = draw.shape(1)
    axis = draw.integer(0, len(shape) - 1)
    shapes = [(*shape[:axis], draw.integer(0, 3), *shape[axis + 1 :]) for _ in range(draw.integer(1, 3))]
    return tuple(draw.array(s) for s in shapes), {"axis": axis}


@operation(rules=_cut_apart, shape=_joined, sample=_sample_concatenate, linear=True, exact=True)
def _concatenate(*arrays: Any, axis: int) -> Any:
    return np.concatenate(arrays, axis)


CONCATENATE = _concatenate.primitive
SPLIT = regions.region("split", _joined_again, chosen=(_pieces_taken,))
