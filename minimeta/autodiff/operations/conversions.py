"""Conversions between dtypes, copies, and identities that mark what a derivative sees."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from minimeta.autodiff import tree
from minimeta.autodiff.apply import apply
from minimeta.autodiff.array import Array, ArrayLike, Form, Value
from minimeta.autodiff.definition import operation
from minimeta.autodiff.operations.elementwise import draw, same_form
from minimeta.autodiff.primitive import Draw
from minimeta.autodiff.promotion import does_not_fit
from minimeta.autodiff.protocols import answers
from minimeta.autodiff.signatures import check_layout
from minimeta.errors import DtypeError

CONVERTIBLE = (
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float32", "float64"),
)


def astype(x: ArrayLike, dtype: DTypeLike) -> Value:
    """Convert to another dtype: bool, an integer, float32, float64, complex64 or complex128.

    The derivative of a conversion between floats is 1; integers and bool have none.

    Raises
    ------
    DtypeError
        A dtype of another kind, or a Python integer that does not fit into this one. (The elements of an
        array wrap around, as numpy's do.)
    """
    target = np.dtype(dtype)
    if target.kind == "c":
        from minimeta.autodiff.complex_numbers import as_complex  # noqa: PLC0415 (few programs have them)

        return as_complex(x, target)
    if target.name not in CONVERTIBLE:
        raise DtypeError(f"astype to {target.name}: it converts to bool, integers, floats and complex numbers")
    is_python_integer = type(x) is int or (type(x) is Array and x.weak and x.value.dtype.kind == "i")
    return (_fitted if is_python_integer and target.kind in "iu" else _astype)(x, dtype=target.name)


@answers(np.astype)
def _numpy_astype(x: ArrayLike, dtype: DTypeLike, /, *, copy: bool = True, device: Any = None) -> Value:
    """:func:`astype`; without a copy the array itself, if it has the dtype."""
    return x if not copy and type(x) is Array and x.dtype == np.dtype(dtype) else astype(x, dtype)


def _sample_conversion(draw: Draw) -> tuple[tuple[NDArray[Any], ...], dict[str, Any]]:
    return (draw.array(draw.shape()),), {"dtype": "float64"}


@operation(
    rules=(lambda g, y, x, dtype: astype(g, x.dtype) if x.dtype.kind == "f" else None,),
    shape=lambda x, dtype: Form(x.shape, dtype),
    sample=_sample_conversion,
    strong=True,
    linear=True,
)
def _astype(x: Any, *, dtype: str) -> Any:
    if not np.iscomplexobj(x):
        return x.astype(dtype)
    return x.astype(np.result_type(dtype, x.dtype)) if np.dtype(dtype).kind == "f" else np.real(x).astype(dtype)


def _sample_integer(draw: Draw) -> tuple[tuple[NDArray[Any], ...], dict[str, Any]]:
    return (np.array(draw.integer(-128, 127)),), {"dtype": "int8"}


@operation(rules=(), shape=lambda x, dtype: Form(x.shape, dtype), sample=_sample_integer, strong=True, partial=True)
def _fitted(x: Any, *, dtype: str) -> Any:
    """A Python integer in the dtype of what it meets; it has no dtype of its own, whose values could wrap around."""
    limits = np.iinfo(dtype)
    if np.any((x < limits.min) | (x > limits.max)):
        raise does_not_fit(x, dtype)
    return x.astype(dtype)


@operation(rules=(lambda g, y, x: g,), shape=same_form, sample=draw("real"), linear=True, exact=True)
def copy(x: Any) -> Any:
    """The same value in memory of its own."""
    return x.copy()


@answers(np.copy)
def _numpy_copy(x: ArrayLike, order: Any = "K", subok: bool = False) -> Value:
    """:func:`copy`; the elements of every Array lie in one order."""
    check_layout("copy", order)
    return copy(x)


def stop_gradient(x: Any) -> Any:
    """The same value, as a constant of every derivative; leaf by leaf for a tree."""
    return tree.map(lambda leaf: apply(STOP_GRADIENT, leaf), x)


# The complex step does not see through it either.
@operation(rules=(), shape=same_form, sample=draw("real"), kernel=lambda x: x, view=True, linear=True, exact=True)
def _stop_gradient(x: Any) -> Any:
    return np.real(x)


COPY, STOP_GRADIENT = copy.primitive, _stop_gradient.primitive
