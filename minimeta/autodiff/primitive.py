"""Primitive: one object that holds all that is known of an operation; apply: the one way anything is computed.

For ``y = p(x1, ..., xn)`` and a loss ``L``, the backward pass turns the *cotangent* ``dL/dy`` into the inputs'
cotangents ``dL/dxi = (dL/dy) (dy/dxi)``. A primitive's ``rules`` do that, one function for each input,

    rule(cotangent, y, x1, ..., xn, **params) -> cotangent of that input,

written in the library's own operations: the backward pass is an ordinary computation, can itself be recorded and
differentiated, and so every order of derivative exists.
"""

from __future__ import annotations

import math
import operator
import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from minimeta import kernels
from minimeta.autodiff.array import Array, ArrayLike, Form, Origin, Shape, Trace, Value, moments
from minimeta.errors import (
    DtypeError,
    IndexingError,
    LeakedArrayError,
    ShapeError,
    user_line,
)

Rule: TypeAlias = Callable[..., Any]


class Draw(Protocol):
    """What a primitive's ``sample`` draws legal operands with; implemented by the property tests."""

    def integer(self, low: int, high: int) -> int:
        """An integer in [low, high]."""

    def shape(self, low: int = 0, high: int = 3) -> Shape:
        """A shape of low to high axes with sides 0 to 4."""

    def array(self, shape: Shape, domain: str = "real") -> NDArray[Any]:
        """Floats of a domain, distinct and away from zero."""

    def indices(self, shape: Shape, size: int) -> NDArray[np.int64]:
        """Integers in [-size, size)."""

    def booleans(self, shape: Shape) -> NDArray[np.bool_]:
        """Truth values."""


Sample: TypeAlias = Callable[[Draw], tuple[tuple[NDArray[Any], ...], dict[str, Any]]]


@dataclass(frozen=True, slots=True, eq=False)
class Primitive:
    """All that is known of one operation.

    Attributes
    ----------
    name
        Its name, and its kernel's.
    shape
        Shape rule: operands (anything with ``shape`` and ``dtype``) and params to an :class:`Form` result;
        raises a ShapeError or a DtypeError that says what does not fit.
    reference
        The specification, in numpy, for float32, float64 and (where differentiable) complex128. A choice between
        elements (``max``, ``where x > 0``) is made on real parts, so that the complex step holds.
    rules
        A rule or None (no derivative) for each input, or one function that returns the cotangents of all inputs.
    sample
        Draws legal operands and params, for the property tests.
    kernel
        The C++ implementation; the reference where there is none.
    elementwise
        Whether operands are promoted to one dtype and broadcast to one shape.
    accepts
        Kinds of dtype (numpy's letters) that elementwise operands may be promoted to. Whole numbers and truth values
        become floats where they are not among them.
    differentiable
        Whether it has derivatives; a result that has none is detached from the graph.
    view
        Whether the kernel's result may share memory with its operand.
    through
        Of the cotangent, the ids that need one, and the inputs: pairs of an Array that the inputs were computed from
        and its cotangent, where that is more than the chain rule says; or None.
    """

    name: str
    shape: Callable[..., Any]
    reference: Callable[..., Any]
    rules: tuple[Rule | None, ...] | Rule
    sample: Sample
    kernel: Callable[..., Any]
    elementwise: bool = False
    accepts: str = "f"
    differentiable: bool = True
    view: bool = False
    through: Callable[..., list[tuple[Array, Any]] | None] | None = None

    def __repr__(self) -> str:
        return self.name


#: Every primitive by name. Being here is enough to be tested.
registry: dict[str, Primitive] = {}


def register(name: str, **fields: Any) -> Primitive:
    """Make a primitive, find its kernel, and enter it in the registry.

    Raises
    ------
    ValueError
        The name is taken.
    """
    if name in registry:
        raise ValueError(f"a primitive named {name!r} is registered already")
    if "kernel" not in fields:
        fallback = _contiguous(fields["reference"], fields["shape"])
        fields["kernel"] = getattr(kernels.native, name) if kernels.native else fallback
    registry[name] = Primitive(name, **fields)
    return registry[name]


def _contiguous(reference: Callable[..., Any], shape: Callable[..., Any]) -> Callable[..., NDArray[Any]]:
    """A kernel made of a reference: checked, always a fresh array, silent about NaN and infinity as kernels are."""

    def kernel(*values: Any, **params: Any) -> NDArray[Any]:
        shape(*values, **params)
        if Form in [type(value) for value in values]:
            raise TypeError("a kernel computes with values")
        with np.errstate(all="ignore"):
            return np.array(reference(*values, **params), order="C")

    return kernel


# Which backward passes are running on this thread. Their graphs are finished: an Array of such a graph, or of a
# transformation that ran inside it, is a constant to the rules, unless it also depends on one that is still open.


class Context(threading.local):
    """Per thread: the traces whose graphs are being walked, and what for.

    Attributes
    ----------
    walking
        The traces.
    origin
        Where operations are traced for, if that is not the line that is running.
    mapping
        Whether one task of a vmap is being traced: its Arrays are gone when it is differentiated.
    writing
        The rules of regions that are being written down.
    """

    walking: tuple[Trace, ...] = ()
    origin: Origin | None = None
    mapping: bool = False
    writing: tuple[Any, ...] = ()


context = Context()


def outermost(arrays: Sequence[Any]) -> Trace | None:
    """The oldest open trace that any of the arrays depends on: the one whose graph the result belongs to.

    Raises
    ------
    LeakedArrayError
        An Array outlived its transformation.
    """
    trace: Trace | None = None
    for array in arrays:
        if type(array) is Array and (own := array.transformation) is not trace and own is not None:
            if own.open:
                if trace is None or own.moment < trace.moment:
                    trace = own
            elif type(array.value) is Form:
                raise LeakedArrayError(
                    f"an Array of shape {array.shape} is used after the trace that made it (vmap, compile) has ended: "
                    "it never had a value. Return it from the function instead of storing it. Where the rule of a "
                    "custom_vjp uses it, because it was made after the function was called or because the rule calls "
                    "itself, pass it to the function as an argument"
                )
            elif not any([own.moment >= walked.moment for walked in context.walking]):
                raise LeakedArrayError(
                    f"an Array of shape {array.shape} is used after the transformation that made it (grad, vjp, ...) "
                    "has ended. Return it from the differentiated function (has_aux=True) instead of storing it"
                )
    return trace


_value = operator.attrgetter("value")  # with map, the quickest way through a row of Arrays


def apply(primitive: Primitive, *operands: ArrayLike, **params: Any) -> Value:
    """Compute ``primitive(*operands, **params)``: the only way anything is computed.

    Parameters
    ----------
    primitive
        What to compute.
    *operands
        Arrays, numpy arrays and Python scalars; elementwise ones are promoted and broadcast first, by explicit
        ``astype`` and ``broadcast_to`` primitives.
    **params
        Static parameters, normalised by the operation's public function.

    Returns
    -------
    Array or numpy.ndarray
        A numpy array (fresh, writable, contiguous) if no operand is an Array. Otherwise an Array, recorded if it
        depends on an open transformation and has a derivative, abstract if an operand is abstract.

    Raises
    ------
    ShapeError, DtypeError
        Operands that do not fit.
    LeakedArrayError
        An operand outlived its transformation.
    """
    trace = outermost(operands)
    recording = trace is not None
    if primitive.elementwise:
        arrays = _unify(primitive, operands, recording)
    else:
        arrays = tuple([x if type(x) is Array else constant(x, recording) for x in operands])

    values = list(map(_value, arrays))
    origin: Origin | None = None
    try:
        value = primitive.kernel(*values, **params)
        recording = recording and (primitive.differentiable or type(value) is Form)
    except (ValueError, TypeError, IndexError) as error:
        # A kernel takes values that fit. The shape rule knows the result's form where there are none yet (tracing),
        # and says what does not fit.
        value = primitive.shape(*values, **params)
        if Form not in map(type, values):
            raise IndexingError(str(error)) if type(error) is IndexError else error from None
        origin = context.origin or Origin(user_line())
    if trace is None and Array not in map(type, operands):
        return np.array(value, order="C") if primitive.view else value

    # What is made of Python scalars alone is weak as they are; astype says a dtype and makes it strong.
    weak = arrays[0].weak and primitive.name != "astype" and all([array.weak for array in arrays])
    if recording:
        inputs = lasting(arrays) if context.walking else arrays
        array = Array(value, weak, trace, next(moments), primitive, inputs, params)
        if origin is not None:
            array.origin = origin
        return array
    if primitive.view and primitive.differentiable:  # Of a detached Array: in_place.py asks what it is a view of.
        return Array(value, weak, None, 0, primitive, arrays)
    return Array(value, weak)


# Operands


def lasting(arrays: Sequence[Array]) -> tuple[Array, ...]:
    """Inputs to remember: one that belongs to a finished graph (a pullback is being recorded) is a constant here."""
    return tuple([x if x.transformation is None or x.transformation.open else Array(x.value, x.weak) for x in arrays])


def constant(x: Any, private: bool = False) -> Array:
    """A detached Array of a value that is not one: a numpy array, a Python scalar or a nested sequence of scalars.

    Parameters
    ----------
    x
        The value.
    private
        Whether it enters a recording: a numpy array that somebody could still write to is then copied, so that
        refilling a buffer cannot change a gradient.

    Raises
    ------
    DtypeError
        Elements that are neither floats of 32 or 64 bits, nor integers, nor bool.
    """
    return Array(fixed(x, private), type(x) in _WEAK)


def fixed(x: Any, private: bool) -> NDArray[Any]:
    """The value of :func:`constant`."""
    if type(x) is not np.ndarray:
        if _contains_array(x):
            raise DtypeError(
                "a list or tuple of Arrays where one array is expected; join them with stack or concatenate"
            )
        if isinstance(x, np.ma.MaskedArray):
            raise DtypeError("a masked array: the mask would be lost; fill it (x.filled(0.0)) and pass the mask apart")
        x = np.asarray(x)
    flags = x.flags
    value: NDArray[Any] = x
    if x.dtype not in COMPUTABLE or not flags.aligned:
        value = np.array(x, dtype=_native(x), order="C")
    elif private and (flags.writeable or x.base is not None):
        value = x.copy(order="K")
    return value


#: The dtypes that kernels read, in the machine's byte order.
COMPUTABLE = frozenset(map(np.dtype, ("?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f4", "f8")))


#: What draws random numbers, and is no array.
GENERATORS = (np.random.Generator, np.random.RandomState, np.random.BitGenerator, random.Random)


def _native(x: NDArray[Any]) -> np.dtype[Any]:
    """The dtype of an array in the machine's byte order."""
    native = x.dtype.newbyteorder("=")
    if native in COMPUTABLE:
        return native
    if x.dtype == object and isinstance(x.flat[0] if x.size else None, GENERATORS):
        raise DtypeError(
            "a random generator where an array is expected. Draw from it, outside of a compiled function, and pass the "
            "arrays in: what is drawn while tracing is a constant ever after"
        )
    if x.dtype == object and any(isinstance(element, Array) for element in x.flat):
        raise DtypeError("a numpy array that holds Arrays (dtype object); join them with stack or concatenate")
    raise DtypeError(
        f"an array of dtype {native.name}: float32, float64, integers and bool compute. Convert with astype"
    )


def _contains_array(x: Any) -> bool:
    return isinstance(x, Array) or (isinstance(x, (list, tuple)) and any(_contains_array(child) for child in x))


def _unify(primitive: Primitive, operands: Sequence[Any], private: bool) -> tuple[Array, ...]:
    """Operands as Arrays of one dtype and one shape, by numpy's rules of promotion and broadcasting."""
    first = operands[0]
    if type(first) is Array and (dtype := first.value.dtype).kind in primitive.accepts:
        shape, weak = first.value.shape, first.weak
        for x in operands[1:]:
            if type(x) is not Array or (y := x.value).shape != shape or y.dtype is not dtype or x.weak is not weak:
                break
        else:
            return operands  # type: ignore[return-value]  # Nearly always: all are Arrays and alike.
    arrays = [x if type(x) is Array or type(x) in _WEAK else constant(x, private) for x in operands]
    forms = tuple([(x.value.dtype, x.value.shape, x.weak) if type(x) is Array else _WEAK[type(x)] for x in arrays])
    dtypes, shape = _unified(primitive, forms)
    return tuple([_fit(x, dtype, shape) for x, dtype in zip(arrays, dtypes, strict=True)])


def _fit(x: Any, dtype: np.dtype[Any], shape: Shape) -> Array:
    """An operand in the common dtype and shape; a constant is moved there without an instruction."""
    if type(x) is not Array:
        return Array(_scalar(x, math.copysign(1, x) if type(x) is float else 1, dtype, shape), weak=True)
    value = x.value
    if x.transformation is not None:
        array = x if value.dtype == dtype else apply(registry["astype"], x, dtype=dtype.name)
        array.weak = x.weak
        return array if value.shape == shape else apply(registry["broadcast_to"], array, shape=shape)
    if value.dtype != dtype:
        value = value.astype(dtype)
    if value.shape != shape:
        value = registry["broadcast_to"].kernel(value, shape=shape)
    return Array(value, x.weak)


_WEAK: dict[type, tuple[np.dtype[Any], Shape, bool]] = {kind: (np.dtype(kind), (), True) for kind in (float, int, bool)}


@lru_cache(maxsize=4096)
def _scalar(x: float, sign: float, dtype: np.dtype[Any], shape: Shape) -> Any:
    """A Python scalar as an array of this shape, one element in memory. (0.0 and -0.0 are equal but for their sign.)"""
    try:
        with np.errstate(over="ignore"):
            return registry["broadcast_to"].kernel(np.array(x, dtype), shape=shape)
    except OverflowError:
        raise DtypeError(f"the Python integer {x} does not fit into {dtype.name}") from None


@lru_cache(maxsize=4096)
def _unified(primitive: Primitive, forms: tuple[tuple[np.dtype[Any], Shape, bool], ...]) -> tuple[Any, Shape]:
    """The dtype that each operand takes, and the shape of all."""
    shapes = [shape for _, shape, _ in forms]
    try:
        shape = np.broadcast_shapes(*shapes)
    except ValueError:
        raise ShapeError(
            f"{primitive.name} of shapes {' and '.join(map(str, shapes))}: they do not broadcast. Aligned at the last "
            "axis, sides must be equal or 1"
        ) from None
    if primitive.name == "where":  # The condition selects and keeps its dtype.
        return (forms[0][0], *[_promoted(primitive, forms[1:])] * 2), shape
    return (_promoted(primitive, forms),) * len(forms), shape


_COMPARISONS = frozenset(("equal", "not_equal", "less", "less_equal", "greater", "greater_equal"))
_OF_INT8 = frozenset(("square", "power", "floor_divide", "remainder"))  # what truth values are to these


def _promoted(primitive: Primitive, forms: Sequence[tuple[np.dtype[Any], Shape, bool]]) -> np.dtype[Any]:
    """numpy's common dtype, where Python scalars (weak) adapt to arrays."""
    strong = [dtype for dtype, _, weak in forms if not weak]
    scalars: list[Any] = [{"f": 0.0, "i": 0, "b": False}[dtype.kind] for dtype, _, weak in forms if weak]
    result = np.result_type(*strong, *scalars)
    if result.kind in "iu" and primitive.name in _COMPARISONS:
        # A number is compared with whole numbers of fewer bits, too.
        return result if result == np.uint64 else np.dtype(np.int64)
    if result.kind in primitive.accepts:
        return result
    if result.kind == "b" and primitive.name in _OF_INT8:
        return np.dtype(np.int8)
    if "f" in primitive.accepts and result.kind in "biu" and "i" not in primitive.accepts:
        # numpy's float of as many bits; what that has for bool and int8, float16, no kernel knows.
        as_float = np.result_type(result, np.float16) if strong and primitive.name != "divide" else np.dtype(np.float64)
        if as_float != np.float16:
            return as_float
    names = ", ".join(dtype.name for dtype, _, _ in forms)
    wants = {"b": "truth values", "iu": "integers", "iuf": "numbers"}.get(primitive.accepts, "floats")
    raise DtypeError(f"{primitive.name} of {names}: it needs {wants}; convert with astype, as in x.astype(np.float32)")
