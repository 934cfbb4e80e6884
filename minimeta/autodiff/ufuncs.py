"""Universal functions: the keywords and the methods that every ufunc of numpy's has.

The keywords say where the result is written (``out``), which elements are computed (``where``), in which dtype
(``dtype``, ``casting``), and how the result lies in memory (``order``). The methods apply a function of two operands
over and over:

    reduce        x_1 * x_2 * ... * x_n                of one axis, 0 unless it is named
    accumulate    x_1, x_1 * x_2, ...
    reduceat      the reductions of the parts between given positions
    outer         x_i * y_j                            of all pairs

Sums, products and extremes have operations of their own; any other function is applied step by step, as it is defined.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from minimeta.autodiff.protocols import answer, full_name
from minimeta.autodiff.signatures import check_cast, check_layout
from minimeta.errors import DtypeError, ShapeError, TracingError

if TYPE_CHECKING:
    from minimeta.autodiff.array import Value

_REDUCTIONS: dict[np.ufunc, Callable[..., Any]] = {
    np.add: np.sum,
    np.multiply: np.prod,
    np.maximum: np.max,
    np.minimum: np.min,
    np.logical_and: np.all,
    np.logical_or: np.any,
}
_UPDATES: dict[np.ufunc, str] = {np.add: "add", np.multiply: "multiply", np.maximum: "max", np.minimum: "min"}
_ACCUMULATIONS: dict[np.ufunc, Callable[..., Any]] = {np.add: np.cumsum, np.multiply: np.cumprod}


def apply_method(ufunc: np.ufunc, method: str, inputs: tuple[Any, ...], keywords: dict[str, Any]) -> Value:
    """Compute a method of a ufunc of Arrays.

    Raises
    ------
    TracingError
        An argument cannot be taken as numpy takes it, or the method changes an array in place.
    """
    name = f"{full_name(ufunc)}.{method}"
    if keywords.get("out") is not None:
        raise TracingError(f"{name}(..., out=...): an Array is never written to; drop out=")
    if method == "at":
        update = _UPDATES.get(ufunc)
        remedy = f"x = minimeta.at(x)[indices].{update}(v)" if update else "x = np.where(mask, v, x)"
        raise TracingError(f"{name} changes an array in place, and an Array is never written to. Write {remedy}")
    keywords = {key: value for key, value in keywords.items() if key != "out"}
    return _METHODS[method](ufunc, *inputs, **keywords)


def settled(function: Any, inputs: tuple[Any, ...], keywords: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the inputs in the dtype that is asked for, and the keywords that are left.

    Raises
    ------
    TracingError, DtypeError
        A keyword cannot be taken as numpy takes it, or an input is not cast to the dtype.
    """
    left, name = dict(keywords), full_name(function)
    where, order, dtype = left.pop("where", True), left.pop("order", "K"), left.pop("dtype", None)
    casting = left.pop("casting", "same_kind")
    left.pop("subok", None)
    left.pop("out", None)
    if where is not True:
        raise TracingError(
            f"{name}(..., where=mask) of an Array: elsewhere the result is whatever was in memory. Write "
            f"np.where(mask, {name}(...), 0.0), with what is to be there"
        )
    check_layout(name, order)
    if dtype is not None:
        wanted = _dtypes(function, inputs, np.dtype(dtype), casting)
        inputs = tuple([_cast(x, own) for x, own in zip(inputs, wanted, strict=True)])
    elif casting in ("no", "equiv") and len({x.dtype for x in inputs if hasattr(x, "dtype")}) > 1:
        raise DtypeError(f"{name}(..., casting={casting!r}): the operands are of different dtypes; convert with astype")
    return inputs, left


def _dtypes(function: Any, inputs: tuple[Any, ...], dtype: np.dtype[Any], casting: Any) -> Sequence[np.dtype[Any]]:
    """Return the dtypes that numpy converts the inputs to, for results of this dtype."""
    given = [x.dtype if hasattr(x, "dtype") else type(x) if type(x) in (int, float) else None for x in inputs]
    if not isinstance(function, np.ufunc) or any(each is None for each in given):
        for x in inputs:
            if hasattr(x, "dtype"):
                check_cast(full_name(function), x.dtype, dtype, casting)
        return [dtype] * len(inputs)
    none, results = (None,) * len(inputs), (dtype,) * function.nout
    try:
        found = function.resolve_dtypes((*given, *[None] * function.nout), signature=(*none, *results), casting=casting)
    except TypeError as error:
        raise DtypeError(f"{full_name(function)}(..., dtype={dtype.name}): {error}") from None
    return found[: len(inputs)]


def _cast(x: Any, dtype: np.dtype[Any]) -> Any:
    if not hasattr(x, "dtype"):
        return None if x is None else np.asarray(x).astype(dtype)
    return x if x.dtype == dtype else x.astype(dtype)


def _reduce(ufunc: np.ufunc, x: Any, axis: Any = 0, dtype: Any = None, *, keepdims: bool = False, **rest: Any) -> Value:
    x = _converted(ufunc, x, dtype)
    if ufunc in _REDUCTIONS:
        return answer(_REDUCTIONS[ufunc], (x,), {"axis": axis, "keepdims": keepdims, **rest}).astype(x.dtype)
    x, axis = _along_first(ufunc, x, axis)
    if rest.pop("where", True) is not True:
        raise TracingError(
            f"{full_name(ufunc)}.reduce(..., where=mask) of an Array: only sums, products, extremes have it"
        )
    initial = rest.get("initial", None if len(x) else ufunc.identity)
    parts = [*([] if initial is None else [np.full(x.shape[1:], initial, x.dtype)]), *x]
    if not parts:
        raise ShapeError(f"{full_name(ufunc)}.reduce of no elements along axis {axis}")
    y = functools.reduce(ufunc, parts)
    return np.expand_dims(y, axis) if keepdims else y


def _accumulate(ufunc: np.ufunc, x: Any, axis: int = 0, dtype: Any = None) -> Value:
    x = _converted(ufunc, x, dtype)
    if ufunc in _ACCUMULATIONS:
        return answer(_ACCUMULATIONS[ufunc], (x,), {"axis": axis}).astype(x.dtype)
    rows, axis = _along_first(ufunc, x, axis)
    found: list[Any] = []
    for row in rows:
        found.append(ufunc(found[-1], row) if found else row)
    return np.stack(found, axis) if found else x


def _reduceat(ufunc: np.ufunc, x: Any, indices: Any, axis: int = 0, dtype: Any = None) -> Value:
    rows, axis = _along_first(ufunc, _converted(ufunc, x, dtype), axis)
    starts = [int(i) for i in indices]
    parts = [
        _reduce(ufunc, rows[start:stop], dtype=rows.dtype) if start < stop else rows[start]
        for start, stop in zip(starts, [*starts[1:], len(rows)], strict=True)
    ]
    return np.stack(parts, axis)


def _converted(ufunc: np.ufunc, x: Any, dtype: Any) -> Any:
    """Return the operand in the dtype that numpy computes the method in, which is the dtype of the result, too."""
    if ufunc.nin != 2:  # Its error comes later.
        return x
    asked = None if dtype is None else np.dtype(dtype)
    operands, signature = (None, x.dtype, None), (asked, None, None)
    try:
        wanted = ufunc.resolve_dtypes(operands, signature=signature, casting="unsafe", reduction=True)[0]
    except TypeError as error:
        raise DtypeError(f"{full_name(ufunc)} along an axis of {x.dtype.name}: {error}") from None
    return x if wanted == x.dtype else x.astype(wanted)


def _along_first(ufunc: np.ufunc, x: Any, axis: Any) -> tuple[Any, int]:
    """Return an array with the axis in front, and the axis."""
    if isinstance(axis, (tuple, list)) and len(axis) == 1:
        (axis,) = axis
    if axis is None and x.ndim == 1:
        axis = 0
    if ufunc.nin != 2 or not isinstance(axis, (int, np.integer)):
        raise TracingError(f"{full_name(ufunc)} over axis={axis!r} of an Array: name one axis")
    return np.moveaxis(x, axis, 0), int(axis)


def _outer(ufunc: np.ufunc, x: Any, y: Any, **keywords: Any) -> Value:
    dims = np.ndim(y)
    return ufunc(np.reshape(x, (*np.shape(x), *(1,) * dims)), y, **keywords)


_METHODS: dict[str, Callable[..., Any]] = {
    "reduce": _reduce,
    "accumulate": _accumulate,
    "reduceat": _reduceat,
    "outer": _outer,
}
