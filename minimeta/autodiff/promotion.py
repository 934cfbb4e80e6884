"""Promotion: whatever an operation is given, as Arrays of one dtype and one shape, by numpy's
rules.

The dtype of ``x + y`` is the smallest that holds all values of both dtypes, where a Python scalar
(*weak*) takes the dtype of what it meets; the shape is that to which both broadcast. An operand of
another form gets there

- by instructions, ``astype`` and ``broadcast_to``, if it is recorded: they have derivatives, so no rule of an
  elementwise operation needs to think of shapes or dtypes;
- by a conversion of its value, if it is a constant.

Primitives differ in the dtypes that they compute in: their rows say so (``accepts``, ``promotes``,
``unpromoted``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minimeta.autodiff.array import Array, Shape
from minimeta.autodiff.primitive import Primitive, registry
from minimeta.errors import DtypeError, IntegerError, ShapeError

# Constants


def constant(x: Any, private: bool = False, name: str = "") -> Array:
    """Make a detached Array of a numpy array, a Python scalar or a nested sequence of scalars.

    Parameters
    ----------
    x
        The value.
    private
        Whether it enters a recording: a numpy array that somebody could still write to is then
        copied, so that refilling a buffer cannot change a gradient.
    name
        What operation it is an operand of, for errors.

    Raises
    ------
    DtypeError
        Elements that are neither floats of 32 or 64 bits, nor integers, nor bool.
    """
    return Array(fixed(x, private, name), type(x) in _WEAK)


def constants(operands: Sequence[Any], private: bool, name: str) -> tuple[Array, ...]:
    """Return operands, of which those that are no Arrays become constants."""
    for x in operands:
        if type(x) is not Array:
            return tuple([x if type(x) is Array else constant(x, private, name) for x in operands])
    return operands  # type: ignore[return-value]  # Nearly always.


def array_of(x: Any, dtype: np.dtype[Any] | None = None) -> Array:
    """Return an Array as it is, anything else as a private constant; of this dtype, if given."""
    if type(x) is not Array:
        return constant(x if dtype is None else np.asarray(x, dtype), private=True)
    return x if dtype is None or x.value.dtype == dtype else x.astype(dtype)


def fixed(x: Any, private: bool, name: str = "") -> NDArray[Any]:
    """Return the value of :func:`constant`."""
    if type(x) is not np.ndarray:
        if contains_array(x):
            raise _refused(
                name, "a list or tuple of Arrays where one array is expected; join them with stack or concatenate"
            )
        if isinstance(x, np.ma.MaskedArray):
            raise _refused(
                name, "a masked array: the mask would be lost; fill it (x.filled(0.0)) and pass the mask apart"
            )
        x = np.asarray(x)
    flags = x.flags
    value: NDArray[Any] = x
    if x.dtype not in COMPUTABLE or not flags.aligned:
        value = np.array(x, dtype=_native(x, name), order="C")
    elif private and (flags.writeable or x.base is not None):
        value = x.copy(order="K")
    return value


#: The dtypes that kernels read, in the machine's byte order.
COMPUTABLE = frozenset(map(np.dtype, ("?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f4", "f8")))


@lru_cache
def generators() -> tuple[type, ...]:
    """Return the types of what draws random numbers, and is no array."""
    from random import Random  # noqa: PLC0415 (numpy.random and this module are slow to import)

    return np.random.Generator, np.random.RandomState, np.random.BitGenerator, Random


def _native(x: NDArray[Any], name: str) -> np.dtype[Any]:
    """Return the dtype of an array in the machine's byte order."""
    native = x.dtype.newbyteorder("=")
    if native in COMPUTABLE:
        return native
    if x.dtype == object and isinstance(x.flat[0] if x.size else None, generators()):
        raise _refused(
            name,
            "a random generator where an array is expected. Draw from it, outside of a compiled function, and pass the "
            "arrays in: what is drawn while tracing is a constant ever after",
        )
    if x.dtype == object and any(isinstance(element, Array) for element in x.flat):
        raise _refused(
            name, "a numpy array that holds Arrays (dtype object) where one array is expected; join them with stack"
        )
    compute = "float32, float64, integers and bool compute"
    if native.kind in "fc":
        raise _refused(name, f"an array of dtype {native.name}: {compute}. Convert with astype")
    if x.shape:
        what = {"U": "an array of strings", "O": "an array of objects"}.get(native.kind, f"an array of {native.name}")
    else:
        what = "None" if x.item() is None else f"a {type(x.item()).__name__}"
    raise _refused(name, f"{what}, where numbers are expected: {compute}")


def _refused(name: str, message: str) -> DtypeError:
    return DtypeError(f"{name} of {message}" if name else message)


def contains_array(x: Any) -> bool:
    """Return whether an Array is among nested lists and tuples."""
    return isinstance(x, Array) or (isinstance(x, (list, tuple)) and any(contains_array(child) for child in x))


# One form


def unify(
    primitive: Primitive, operands: Sequence[Any], private: bool, apply: Callable[..., Array]
) -> tuple[Array, ...]:
    """Bring the operands of an elementwise primitive to one dtype and one shape.

    Parameters
    ----------
    primitive, operands
        The primitive, and what it was called with.
    private
        Whether constants enter a recording, as for :func:`constant`.
    apply
        What computes the conversions of recorded operands.

    Raises
    ------
    ShapeError, DtypeError
        The shapes do not broadcast, or the primitive does not compute in the common dtype.
    """
    if len(operands) == 2:  # Nearly always: Arrays of one form, or one and a Python float.
        x, y = operands
        if type(x) is Array and type(y) is Array:
            value, other = x.value, y.value
            if (dtype := value.dtype) is other.dtype and value.shape == other.shape and dtype.kind in primitive.accepts:
                return operands  # type: ignore[return-value]
        elif type(y) is float and type(x) is Array and _adapts(primitive, x):
            return x, Array(_scalar(y, y or str(y), x.value.dtype, x.value.shape), True)
        elif type(x) is float and type(y) is Array and _adapts(primitive, y):
            return Array(_scalar(x, x or str(x), y.value.dtype, y.value.shape), True), y
    elif len(operands) == 1 and type(x := operands[0]) is Array and x.value.dtype.kind in primitive.accepts:
        return operands  # type: ignore[return-value]
    arrays, forms = [], []
    for operand in operands:
        x = operand if type(operand) is Array or type(operand) in _WEAK else constant(operand, private, primitive.name)
        arrays.append(x)
        forms.append((x.value.dtype, x.value.shape, x.weak) if type(x) is Array else _WEAK[type(x)])
    dtypes, shape = _unified(primitive, tuple(forms))
    for i, x in enumerate(arrays):
        if type(x) is not Array or (value := x.value).dtype is not dtypes[i] or value.shape != shape:
            arrays[i] = _fit(x, dtypes[i], shape, apply)
    return tuple(arrays)


def _adapts(primitive: Primitive, x: Array) -> bool:
    """Return whether a Python float takes the form of this Array, which meets it."""
    return x.value.dtype.kind == "f" in primitive.accepts and not x.weak and not primitive.unpromoted


def _fit(x: Any, dtype: np.dtype[Any], shape: Shape, apply: Callable[..., Array]) -> Array:
    """Bring an operand to the common dtype and shape; a constant needs no instruction."""
    if type(x) is not Array:
        return Array(_scalar(x, x or str(x), dtype, shape), True)
    value = x.value
    # A Python integer has no dtype of its own, whose values could wrap around.
    conversion = registry["fitted" if x.weak and value.dtype.kind == "i" and dtype.kind in "iu" else "astype"]
    if x.transformation is not None:
        array = x if value.dtype == dtype else apply(conversion, x, dtype=dtype.name)
        array.weak = x.weak
        return array if value.shape == shape else apply(registry["broadcast_to"], array, shape=shape)
    if value.dtype != dtype:
        value = conversion.kernel(value, dtype=dtype.name)
    if value.shape != shape:
        value = registry["broadcast_to"].kernel(value, shape=shape)
    return Array(value, x.weak)


_WEAK: dict[type, tuple[np.dtype[Any], Shape, bool]] = {kind: (np.dtype(kind), (), True) for kind in (float, int, bool)}


@lru_cache(maxsize=4096)
def _scalar(x: float, name: float | str, dtype: np.dtype[Any], shape: Shape) -> Any:
    """Make an array of a Python scalar. (Its name tells 0.0 from -0.0, which are equal, in the
    cache.)
    """
    try:
        with np.errstate(over="ignore"):
            return registry["broadcast_to"].kernel(np.array(x, dtype), shape=shape)
    except OverflowError:
        raise does_not_fit(x, dtype.name) from None


def does_not_fit(x: Any, dtype: str) -> IntegerError:
    """Return the error of a Python integer that meets an array of smaller ones."""
    wide = np.min_scalar_type(x)
    return IntegerError(
        f"the Python integer {x} does not fit into {dtype}, the dtype of what it meets. Convert that with astype, as "
        f"in y.astype(np.{wide.name if wide.kind in 'iu' else 'float64'})"
    )


@lru_cache(maxsize=4096)
def _unified(primitive: Primitive, forms: tuple[tuple[np.dtype[Any], Shape, bool], ...]) -> tuple[Any, Shape]:
    """Return the dtype that each operand takes, and the shape of all."""
    shapes = [shape for _, shape, _ in forms]
    try:
        shape = np.broadcast_shapes(*shapes)
    except ValueError:
        raise ShapeError(
            f"{primitive.name} of shapes {' and '.join(map(str, shapes))}: they do not broadcast. Aligned at the last "
            "axis, sides must be equal or 1"
        ) from None
    kept = forms[: primitive.unpromoted]
    common = _promoted(primitive, forms[len(kept) :])
    return (*[dtype for dtype, _, _ in kept], *[common] * (len(forms) - len(kept))), shape


def _promoted(primitive: Primitive, forms: Sequence[tuple[np.dtype[Any], Shape, bool]]) -> np.dtype[Any]:
    """Return numpy's common dtype, where Python scalars (weak) adapt to arrays."""
    strong = [dtype for dtype, _, weak in forms if not weak]
    scalars: list[Any] = [{"f": 0.0, "i": 0, "b": False}[dtype.kind] for dtype, _, weak in forms if weak]
    result = np.result_type(*strong, *scalars)
    for key in (result.name, result.kind):
        if key in primitive.promotes:
            return np.dtype(primitive.promotes[key])
    if result.kind in primitive.accepts:
        return result
    if "f" in primitive.accepts and result.kind in "biu" and "i" not in primitive.accepts:
        # numpy's float of as many bits. For bool and int8 it is float16, which no kernel computes
        # in.
        as_float = np.result_type(result, np.float16) if strong else np.dtype(np.float64)
        if as_float != np.float16:
            return as_float
    names = ", ".join(dtype.name for dtype, _, _ in forms)
    wants = {"b": "truth values", "iu": "integers", "iuf": "numbers"}.get(primitive.accepts, "floats")
    raise DtypeError(f"{primitive.name} of {names}: it needs {wants}; convert with astype, as in x.astype(np.float32)")
