"""Complex numbers: pairs of real Arrays.

A function of real numbers may pass through complex ones, as a filter does on its way through frequencies. Here
``z = x + i y`` is the pair of its parts, and what is computed of it is computed of them
(:mod:`~minimeta.autodiff.complex_functions`), so derivatives of any order, compiled programs and the gradient checker
are those of real numbers. numpy's functions and Python's operators take such pairs, alone and together with Arrays and
complex constants. What of numpy's is not there is refused by name; ``z.real`` and ``z.imag`` are Arrays as any.
"""

from __future__ import annotations

import importlib
import operator
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from sys import getrefcount
from typing import Any, NoReturn

import numpy as np
from numpy.typing import DTypeLike

from minimeta.autodiff import sharing
from minimeta.autodiff.array import Array
from minimeta.autodiff.in_place import is_scalar
from minimeta.autodiff.protocols import found, full_name
from minimeta.autodiff.remedies import REMEDIES
from minimeta.autodiff.signatures import by_position, check_cast, check_layout
from minimeta.autodiff.statements import is_stored_where_it_was
from minimeta.autodiff.ufuncs import settled
from minimeta.errors import DtypeError, MissingAttributeError, ShapeError, TracingError

#: Functions of numpy's, of complex numbers.
FUNCTIONS: dict[Any, Callable[..., Any]] = {}

_NO_ORDER = "complex numbers have no order; compare z.real, z.imag or np.abs(z)"


def _operator(function: Any) -> Callable[[Any, Any], Any]:
    return lambda z, other: compute(function, (z, other))


def _reflected(function: Any) -> Callable[[Any, Any], Any]:
    return lambda z, other: compute(function, (other, z))


def _method(function: Any) -> Callable[..., Any]:
    def method(z: Any, *arguments: Any, **keywords: Any) -> Any:
        return compute(function, (z, *arguments), keywords)

    method.__name__ = method.__qualname__ = function.__name__
    method.__doc__ = f"See :func:`numpy.{function.__name__}`."
    return method


def _ordered(symbol: str) -> Callable[[Any, Any], NoReturn]:
    def compare(z: Any, other: Any) -> NoReturn:
        raise DtypeError(f"z {symbol} w: {_NO_ORDER}")

    return compare


def _in_place(symbol: str, operation: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Make ``z += w``: the name ``z`` gets the result, unless somebody else holds the old value (sharing.py)."""

    def changed(z: Any, w: Any) -> Any:
        frame = sys._getframe(1)
        if not z.shape and any(isinstance(part, Array) and is_scalar(part) for part in (z.real, z.imag)):
            return operation(z, w)
        is_seen = getrefcount(z) > (sharing.OWN_TWICE if w is z else sharing.OWN)
        if is_seen or sharing.is_seen_in_parts(z, getrefcount(w), w, frame) or not is_stored_where_it_was(z, frame):
            raise TracingError(
                f"z {symbol}= ... of complex numbers of shape {z.shape}: they are held by something else, too, and "
                f"would change with it in numpy; here nothing is ever written to. Write z = z {symbol} ..."
            )
        result = operation(z, w)
        if result.shape != z.shape:
            raise ShapeError(f"z {symbol}= ... of shape {z.shape}: the result, of shape {result.shape}, does not fit")
        return result.astype(z.dtype)

    return changed


@dataclass(frozen=True, eq=False)
class ComplexArray:
    """Complex numbers inside a transformation.

    Attributes
    ----------
    real, imag
        The parts: Arrays, or numpy arrays, of one shape and dtype.
    """

    real: Any
    imag: Any

    __hash__ = None  # type: ignore[assignment]

    __add__, __radd__ = _operator(np.add), _reflected(np.add)
    __sub__, __rsub__ = _operator(np.subtract), _reflected(np.subtract)
    __mul__, __rmul__ = _operator(np.multiply), _reflected(np.multiply)
    __truediv__, __rtruediv__ = _operator(np.divide), _reflected(np.divide)
    __matmul__, __rmatmul__ = _operator(np.matmul), _reflected(np.matmul)
    __pow__, __rpow__ = _operator(np.power), _reflected(np.power)
    __eq__, __ne__ = _operator(np.equal), _operator(np.not_equal)
    __lt__, __le__, __gt__, __ge__ = _ordered("<"), _ordered("<="), _ordered(">"), _ordered(">=")
    __iadd__, __isub__ = _in_place("+", operator.add), _in_place("-", operator.sub)
    __imul__, __itruediv__ = _in_place("*", operator.mul), _in_place("/", operator.truediv)
    __imatmul__, __ipow__ = _in_place("@", operator.matmul), _in_place("**", operator.pow)
    __neg__, __pos__, __abs__ = _method(np.negative), _method(np.positive), _method(np.absolute)

    all, any = _method(np.all), _method(np.any)
    conj, conjugate = _method(np.conj), _method(np.conj)
    cumsum, mean, std, sum, trace, var = map(_method, (np.cumsum, np.mean, np.std, np.sum, np.trace, np.var))
    copy, diagonal, dot, repeat = map(_method, (np.copy, np.diagonal, np.dot, np.repeat))
    ravel, squeeze, swapaxes, take = map(_method, (np.ravel, np.squeeze, np.swapaxes, np.take))

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the axes."""
        return tuple(self.real.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """complex64 or complex128."""
        return np.result_type(self.real.dtype, np.complex64)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def T(self) -> ComplexArray:  # noqa: N802 (numpy's name)
        """The axes in reverse order."""
        return ComplexArray(self.real.T, self.imag.T)

    @property
    def mT(self) -> ComplexArray:  # noqa: N802 (numpy's name)
        """The last two axes exchanged."""
        return ComplexArray(self.real.mT, self.imag.mT)

    def reshape(self, *shape: Any, **keywords: Any) -> Any:
        """See :func:`numpy.reshape`; the sides may be arguments of their own."""
        return ComplexArray(self.real.reshape(*shape, **keywords), self.imag.reshape(*shape, **keywords))

    def flatten(self, *arguments: Any, **keywords: Any) -> Any:
        """Return a copy of the elements, on one axis."""
        return compute(np.copy, (compute(np.ravel, (self, *arguments), keywords),))

    def transpose(self, *axes: Any) -> Any:
        """See :func:`numpy.transpose`; the axes may be arguments of their own."""
        return ComplexArray(self.real.transpose(*axes), self.imag.transpose(*axes))

    def astype(
        self, dtype: DTypeLike, order: str = "K", casting: Any = "unsafe", subok: bool = True, copy: bool = True
    ) -> ComplexArray:
        """See :func:`numpy.astype`; `order` and `casting` are those of numpy's method.

        Raises
        ------
        DtypeError
            It is not to complex numbers.
        """
        target = np.dtype(dtype)
        check_layout("astype", order)
        check_cast("astype", self.dtype, target, casting)
        if target.kind != "c":
            raise DtypeError(f"astype of complex numbers to {target.name}: write z.real, or np.abs(z)")
        if not copy and target == self.dtype:
            return self
        part = np.finfo(target).dtype
        return ComplexArray(self.real.astype(part), self.imag.astype(part))

    def __len__(self) -> int:
        if not self.shape:
            raise ShapeError("len() of a complex number of shape (): it has no axis to count along")
        return self.shape[0]

    def __iter__(self) -> Iterator[ComplexArray]:
        return iter([self[i] for i in range(len(self))])

    def __getitem__(self, key: Any) -> ComplexArray:
        return ComplexArray(self.real[key], self.imag[key])

    def __setitem__(self, key: Any, value: Any) -> NoReturn:
        raise TracingError(
            "z[...] = w of complex numbers: they are never written to. Write z = np.where(mask, w, z), or put in the "
            "parts: at(z.real)[...].set(w.real) + 1j * at(z.imag)[...].set(w.imag)"
        )

    def __bool__(self) -> bool:
        return bool(compute(np.not_equal, (self, 0)))

    def __complex__(self) -> complex:
        return complex(float(self.real), float(self.imag))

    def __float__(self) -> NoReturn:
        raise DtypeError("float() of a complex number: write z.real, or np.abs(z)")

    __int__ = __float__

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__") or not hasattr(np.ndarray, name):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        remedy = REMEDIES.get(name, "take z.real and z.imag, which are Arrays")
        raise MissingAttributeError(f"complex numbers of shape {self.shape} have no attribute {name!r}: {remedy}")

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        if isinstance(self.real, Array):
            raise DtypeError(
                "complex numbers where an operation needs real ones: numpy's functions take them (np.exp(z), "
                "np.sum(z)), and z.real, z.imag and np.abs(z) are real"
            )
        return np.asarray(self.real + 1j * self.imag, dtype or self.dtype)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **keywords: Any) -> Any:
        if method == "__call__" and keywords.get("out") is not None:
            raise TracingError(
                f"{full_name(ufunc)}(..., out=...) of complex numbers, as in t += z: a numpy array cannot take them "
                "in. Drop out=, or write t = t + z"
            )
        if method != "__call__":
            raise TracingError(f"{full_name(ufunc)}.{method} of complex numbers is not supported; use sum or take")
        return compute(ufunc, *settled(ufunc, inputs, keywords)) if keywords else compute(ufunc, inputs, keywords)

    def __array_function__(self, function: Any, types: object, arguments: Any, keywords: Any) -> Any:
        return compute(function, arguments, keywords)


def is_complex(x: Any) -> bool:
    """Return whether an operand is complex: a pair, a numpy array or a number."""
    if type(x) is ComplexArray or isinstance(x, complex):
        return True
    return isinstance(x, (np.ndarray, np.generic)) and x.dtype.kind == "c"


def any_complex(operands: Any) -> bool:
    """Return whether one of some operands, or of a list of them, is complex."""
    return any(any_complex(x) if isinstance(x, (tuple, list)) else is_complex(x) for x in operands)


def combined(re: Any, im: Any) -> Any:
    """Return complex numbers of their parts: a pair where one is an Array, and numpy's own otherwise."""
    if not isinstance(re, Array) and not isinstance(im, Array):
        return np.asarray(re + 1j * im, np.result_type(re, im, np.complex64))
    # Python's numbers adapt, as the parts of 1j do.
    dtype = np.result_type(*[0.0 if type(part) in (float, int) or _is_weak(part) else part.dtype for part in (re, im)])
    re, im = (part if isinstance(part, Array) else np.asarray(part) for part in (re, im))
    shape = np.broadcast_shapes(re.shape, im.shape)
    return ComplexArray(*(_in_form(part, shape, dtype) for part in (re, im)))


def as_complex(x: Any, dtype: np.dtype[Any]) -> Any:
    """Return real numbers as complex ones."""
    if not isinstance(x, Array):
        return np.asarray(x).astype(dtype)
    part = np.finfo(dtype).dtype
    return ComplexArray(x.astype(part), np.zeros(x.shape, part))


def _is_weak(part: Any) -> bool:
    return isinstance(part, Array) and part.weak


def _in_form(part: Any, shape: tuple[int, ...], dtype: Any) -> Any:
    part = part if part.dtype == dtype else part.astype(dtype)
    if part.shape == shape:
        return part
    return np.broadcast_to(part, shape) if isinstance(part, Array) else np.array(np.broadcast_to(part, shape))


def compute(function: Any, operands: Sequence[Any], keywords: dict[str, Any] | None = None) -> Any:
    """Compute one of numpy's functions of complex numbers.

    Raises
    ------
    TracingError
        It is not among those that take them.
    """
    importlib.import_module("minimeta.autodiff.complex_functions")  # It stands above this page,
    found(function)  # and a page of functions that is imported adds its own.
    operation = FUNCTIONS.get(function)
    if function in _ORDERS:
        raise DtypeError(f"{full_name(function)} of complex numbers: {_NO_ORDER}")
    if operation is None:
        raise TracingError(
            f"{full_name(function)} of complex numbers is not supported. Write it with z.real and z.imag, which are "
            "real, or with what is: +, -, *, /, @, **, exp, log, sqrt, abs, angle, conj, sum, mean, and what moves "
            "elements"
        )
    if keywords:
        operands, keywords = by_position(function, operands, keywords)
    return operation(*operands, **(keywords or {}))


#: What would put complex numbers into an order.
_ORDERED = (
    "less less_equal greater greater_equal maximum minimum sign clip argmax argmin argsort max median min partition "
    "percentile ptp quantile searchsorted sort"
)
_ORDERS: set[Any] = {getattr(np, name) for name in _ORDERED.split()}
