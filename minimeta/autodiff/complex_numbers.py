"""Complex numbers: pairs of real Arrays.

A function of real numbers may pass through complex ones, as a filter does on its way through frequencies. Here
``z = x + i y`` is the pair of its parts, and what is computed of it is computed of them,

    (a + i b) (c + i d) = (a c - b d) + i (a d + b c),        |z| = |(x, y)|,        ...

so derivatives of any order, compiled programs and the gradient checker are those of real numbers. numpy's functions
and Python's operators take such pairs, alone and together with Arrays and complex constants. What of numpy's is not
here is refused by name; ``z.real`` and ``z.imag`` are Arrays as any.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minimeta.autodiff.array import Array
from minimeta.autodiff.protocols import answers, found, full_name
from minimeta.autodiff.signatures import by_position
from minimeta.errors import DtypeError, TracingError


@dataclass(frozen=True, eq=False, slots=True)
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

    def __len__(self) -> int:
        return len(self.real)

    def __getitem__(self, key: Any) -> ComplexArray:
        return ComplexArray(self.real[key], self.imag[key])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        if isinstance(self.real, Array):
            raise DtypeError(
                "complex numbers where an operation needs real ones: numpy's functions take them (np.exp(z), "
                "np.sum(z)), and z.real, z.imag and np.abs(z) are real"
            )
        return (self.real + 1j * self.imag).astype(dtype or self.dtype)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **keywords: Any) -> Any:
        if method != "__call__" or keywords.get("out") is not None:
            raise TracingError(f"{full_name(ufunc)}.{method} of complex numbers is not supported; use sum or take")
        return compute(ufunc, inputs, keywords)

    def __array_function__(self, function: Any, types: object, arguments: Any, keywords: Any) -> Any:
        return compute(function, arguments, keywords)

    def __add__(self, other: Any) -> Any:
        return compute(np.add, (self, other))

    def __radd__(self, other: Any) -> Any:
        return compute(np.add, (other, self))

    def __sub__(self, other: Any) -> Any:
        return compute(np.subtract, (self, other))

    def __rsub__(self, other: Any) -> Any:
        return compute(np.subtract, (other, self))

    def __mul__(self, other: Any) -> Any:
        return compute(np.multiply, (self, other))

    def __rmul__(self, other: Any) -> Any:
        return compute(np.multiply, (other, self))

    def __truediv__(self, other: Any) -> Any:
        return compute(np.divide, (self, other))

    def __rtruediv__(self, other: Any) -> Any:
        return compute(np.divide, (other, self))

    def __matmul__(self, other: Any) -> Any:
        return compute(np.matmul, (self, other))

    def __rmatmul__(self, other: Any) -> Any:
        return compute(np.matmul, (other, self))

    def __pow__(self, other: Any) -> Any:
        return compute(np.power, (self, other))

    def __rpow__(self, other: Any) -> Any:
        return compute(np.power, (other, self))

    def __neg__(self) -> ComplexArray:
        return ComplexArray(-self.real, -self.imag)

    def __pos__(self) -> ComplexArray:
        return self

    def __abs__(self) -> Any:
        return _absolute(self)

    def __eq__(self, other: Any) -> Any:
        return compute(np.equal, (self, other))

    def __ne__(self, other: Any) -> Any:
        return compute(np.not_equal, (self, other))

    def conj(self) -> ComplexArray:
        """The conjugate ``x - i y``."""
        return ComplexArray(self.real, -self.imag)

    conjugate = conj

    def sum(self, *arguments: Any, **keywords: Any) -> Any:
        """See :func:`numpy.sum`."""
        return compute(np.sum, (self, *arguments), keywords)

    def mean(self, *arguments: Any, **keywords: Any) -> Any:
        """See :func:`numpy.mean`."""
        return compute(np.mean, (self, *arguments), keywords)

    def reshape(self, *shape: Any) -> Any:
        """See :func:`numpy.reshape`."""
        return ComplexArray(self.real.reshape(*shape), self.imag.reshape(*shape))

    def transpose(self, *axes: Any) -> Any:
        """See :func:`numpy.transpose`."""
        return ComplexArray(self.real.transpose(*axes), self.imag.transpose(*axes))

    def ravel(self) -> Any:
        """See :func:`numpy.ravel`."""
        return self.reshape(-1)


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
    re, im = (part if isinstance(part, Array) else np.asarray(part) for part in (re, im))
    shape, dtype = np.broadcast_shapes(re.shape, im.shape), np.result_type(re.dtype, im.dtype)
    return ComplexArray(*(_in_form(part, shape, dtype) for part in (re, im)))


def _in_form(part: Any, shape: tuple[int, ...], dtype: Any) -> Any:
    part = part if part.dtype == dtype else part.astype(dtype)
    return part if part.shape == shape else np.broadcast_to(part, shape)


def compute(function: Any, operands: Sequence[Any], keywords: dict[str, Any] | None = None) -> Any:
    """Compute one of numpy's functions of complex numbers.

    Raises
    ------
    TracingError
        It is not among those that take them.
    """
    found(function)  # A page that is imported adds its functions.
    operation = FUNCTIONS.get(function)
    if operation is None:
        raise TracingError(
            f"{full_name(function)} of complex numbers is not supported. Write it with z.real and z.imag, which are "
            "real, or with what is: +, -, *, /, @, **, exp, log, sqrt, abs, angle, conj, sum, mean, and what moves "
            "elements"
        )
    if keywords:
        operands, keywords = by_position(function, operands, keywords)
    return operation(*operands, **(keywords or {}))


# Functions of real and of complex numbers


@answers(np.real)
def real(val: Any) -> Any:
    """The real part."""
    return val.real if hasattr(val, "real") else np.asarray(val).real


@answers(np.imag)
def imag(val: Any) -> Any:
    """The imaginary part; zeros of real numbers."""
    return val.imag if hasattr(val, "imag") else np.asarray(val).imag


@answers(np.conj)
def _conj(x: Any) -> Any:
    return x if not is_complex(x) else x.conjugate()


@answers(np.angle)
def _angle(z: Any, deg: bool = False) -> Any:
    angle = np.arctan2(imag(z), real(z))
    return angle * (180 / np.pi) if deg else angle


answers(np.iscomplexobj)(is_complex)
answers(np.isrealobj)(lambda x: not is_complex(x))


def _absolute(z: Any) -> Any:
    """The magnitude, with the conventions of a norm: its derivative at 0 is 0."""
    if not is_complex(z):
        return np.absolute(z)
    return np.linalg.norm(np.stack([real(z), imag(z)]), axis=0)


def _add(z: Any, w: Any) -> Any:
    if not is_complex(w):
        return combined(real(z) + w, imag(z))
    return combined(real(w) + z, imag(w)) if not is_complex(z) else combined(real(z) + real(w), imag(z) + imag(w))


def _subtract(z: Any, w: Any) -> Any:
    return _add(z, -w)


def _bilinear(product: Callable[..., Any]) -> Callable[..., Any]:
    """Make a product of complex numbers of one of real numbers."""

    def multiplied(z: Any, w: Any, *arguments: Any, **keywords: Any) -> Any:
        def times(x: Any, y: Any) -> Any:
            return product(x, y, *arguments, **keywords)

        if not is_complex(w):
            return combined(times(real(z), w), times(imag(z), w))
        if not is_complex(z):
            return combined(times(z, real(w)), times(z, imag(w)))
        (a, b), (c, d) = (real(z), imag(z)), (real(w), imag(w))
        return combined(times(a, c) - times(b, d), times(a, d) + times(b, c))

    return multiplied


_multiply = _bilinear(np.multiply)


def _reciprocal(z: Any) -> Any:
    # Scaled by the larger part, so that no square leaves the range.
    a, b = real(z), imag(z)
    scale = 1.0 / np.maximum(np.absolute(a), np.absolute(b))
    a, b = a * scale, b * scale
    size = (a * a + b * b) / scale
    return combined(a / size, -b / size)


def _divide(z: Any, w: Any) -> Any:
    return combined(real(z) / w, imag(z) / w) if not is_complex(w) else _multiply(z, _reciprocal(w))


def _exp(z: Any) -> Any:
    size = np.exp(real(z))
    return combined(size * np.cos(imag(z)), size * np.sin(imag(z)))


def _log(z: Any) -> Any:
    return combined(np.log(_absolute(z)), _angle(z))


def _sqrt(z: Any) -> Any:
    return _exp(_multiply(0.5, _log(z)))


def _power(z: Any, w: Any) -> Any:
    if isinstance(w, (int, float, np.integer)) and w == int(w) and abs(int(w)) <= 64:
        count, result, square = abs(int(w)), None, z
        while count:
            if count & 1:
                result = square if result is None else _multiply(result, square)
            count >>= 1
            square = _multiply(square, square) if count else square
        result = combined(np.ones_like(real(z)), np.zeros_like(real(z))) if result is None else result
        return _reciprocal(result) if int(w) < 0 else result
    logarithm = _log(z) if is_complex(z) else np.log(z)
    return _exp(_multiply(w, logarithm))


def _sine(z: Any) -> Any:
    a, b = real(z), imag(z)
    growth, decay = np.exp(b), np.exp(-b)
    return combined(np.sin(a) * (growth + decay) / 2, np.cos(a) * (growth - decay) / 2)


def _cosine(z: Any) -> Any:
    return _sine(combined(real(z) + np.pi / 2, imag(z)))


def _equal(z: Any, w: Any) -> Any:
    return np.logical_and(np.equal(real(z), real(w)), np.equal(imag(z), imag(w)))


def _where(condition: Any, z: Any, w: Any) -> Any:
    return combined(np.where(condition, real(z), real(w)), np.where(condition, imag(z), imag(w)))


def _vdot(z: Any, w: Any) -> Any:
    return _bilinear(np.dot)(_conj(np.ravel(z)), np.ravel(w))


def _part_by_part(function: Any) -> Callable[..., Any]:
    """Make a function that moves or adds elements one of complex numbers."""

    def parts(x: Any, part: Callable[[Any], Any]) -> Any:
        return [parts(each, part) for each in x] if isinstance(x, (tuple, list)) else part(x)

    def moved(x: Any, *arguments: Any, **keywords: Any) -> Any:
        re, im = (function(parts(x, part), *arguments, **keywords) for part in (real, imag))
        return [combined(*pair) for pair in zip(re, im, strict=True)] if isinstance(re, list) else combined(re, im)

    return moved


#: Functions of numpy's, of complex numbers.
FUNCTIONS: dict[Any, Callable[..., Any]] = {
    np.real: real,
    np.imag: imag,
    np.conj: _conj,
    np.angle: _angle,
    np.absolute: _absolute,
    np.iscomplexobj: is_complex,
    np.isrealobj: lambda x: not is_complex(x),
    np.add: _add,
    np.subtract: _subtract,
    np.multiply: _multiply,
    np.divide: _divide,
    np.reciprocal: _reciprocal,
    np.negative: lambda z: combined(-real(z), -imag(z)),
    np.positive: lambda z: z,
    np.square: lambda z: _multiply(z, z),
    np.power: _power,
    np.exp: _exp,
    np.log: _log,
    np.sqrt: _sqrt,
    np.sin: _sine,
    np.cos: _cosine,
    np.equal: _equal,
    np.not_equal: lambda z, w: np.logical_not(_equal(z, w)),
    np.where: _where,
    np.vdot: _vdot,
    np.shape: lambda z: z.shape,
    np.ndim: lambda z: z.ndim,
    np.size: lambda z: z.size,
    **{product: _bilinear(product) for product in (np.matmul, np.dot, np.outer, np.inner, np.tensordot, np.kron)},
    **{
        function: _part_by_part(function)
        for function in (
            *(np.sum, np.mean, np.cumsum, np.trace, np.diagonal, np.diag, np.tril, np.triu, np.copy, np.take),
            *(
                np.reshape,
                np.ravel,
                np.transpose,
                np.swapaxes,
                np.moveaxis,
                np.squeeze,
                np.expand_dims,
                np.broadcast_to,
            ),
            *(np.concatenate, np.stack, np.hstack, np.vstack, np.split, np.flip, np.roll, np.tile, np.repeat, np.pad),
        )
    },
}
