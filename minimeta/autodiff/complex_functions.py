"""Functions of complex numbers, computed of their parts.

    (a + i b) (c + i d) = (a c - b d) + i (a d + b c),        exp(a + i b) = exp(a) (cos b + i sin b),
    |z| = |(a, b)|,        log z = log |z| + i arg z,        sin(a + i b) = sin a cosh b + i cos a sinh b

What moves or adds elements does so with each part. A product is linear in each factor, so it is that of the parts of
one factor after the other. Powers are products where the exponent is a small whole number, and ``exp(w log z)``
otherwise. A result has no part of an operand where numpy's is an array of its own: what changes in place asks who holds
a part (in_place.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minimeta.autodiff.complex_numbers import FUNCTIONS, any_complex, combined, is_complex
from minimeta.autodiff.operations import norm
from minimeta.autodiff.protocols import answers, full_name
from minimeta.autodiff.signatures import names_of
from minimeta.errors import DtypeError, TracingError


def real(val: Any) -> Any:
    """The real part."""
    return val.real if hasattr(val, "real") else np.asarray(val).real


def imag(val: Any) -> Any:
    """The imaginary part; zeros of real numbers."""
    return val.imag if hasattr(val, "imag") else np.asarray(val).imag


def _conj(x: Any) -> Any:
    if is_complex(x):
        return combined(np.copy(real(x)), -imag(x))
    # numpy has no loop for truth values, and takes that for int8.
    return x.astype(np.int8) if getattr(x, "dtype", None) == np.bool_ else np.copy(x)


def _angle(z: Any, deg: bool = False) -> Any:
    angle = np.arctan2(imag(z), real(z))
    return angle * (180 / np.pi) if deg else angle


def _absolute(z: Any) -> Any:
    """The magnitude, with the conventions of a norm: its derivative at 0 is 0."""
    if not is_complex(z):
        return np.absolute(z)
    return np.linalg.norm(np.stack([real(z), imag(z)]), axis=0)


def _add(z: Any, w: Any) -> Any:
    if is_complex(z) and is_complex(w):
        return combined(real(z) + real(w), imag(z) + imag(w))
    z, w = (z, w) if is_complex(z) else (w, z)
    return combined(real(z) + w, np.copy(imag(z)))


def _subtract(z: Any, w: Any) -> Any:
    return _add(z, -w)


def _multilinear(product: Callable[..., Any]) -> Callable[..., Any]:
    """Make a product of complex numbers of one of real numbers: of the parts of one factor after the other."""

    def multiplied(*factors: Any, **keywords: Any) -> Any:
        place = next((i for i, x in enumerate(factors) if is_complex(x)), None)
        if place is None:
            return product(*factors, **keywords)
        z, w = (
            multiplied(*factors[:place], part(factors[place]), *factors[place + 1 :], **keywords)
            for part in (real, imag)
        )
        return combined(real(z) - imag(w), imag(z) + real(w)) if is_complex(z) else combined(z, w)

    return multiplied


_multiply = _multilinear(np.multiply)


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
        return _reciprocal(result) if int(w) < 0 else np.copy(result) if result is z else result
    return _exp(_multiply(w, _log(z)))


def _sine(z: Any) -> Any:
    a, b = real(z), imag(z)
    return combined(np.sin(a) * np.cosh(b), np.cos(a) * np.sinh(b))


def _cosine(z: Any) -> Any:
    a, b = real(z), imag(z)
    return combined(np.cos(a) * np.cosh(b), -np.sin(a) * np.sinh(b))


def _tanh(z: Any) -> Any:
    # Of tanh(a) and tan(b), which stay in range where sinh(z) and cosh(z) do not.
    a, b = np.tanh(real(z)), np.tan(imag(z))
    size = 1.0 + np.square(a * b)
    return combined(a * (1.0 + b * b) / size, b / (np.square(np.cosh(real(z))) * size))


def _turned(z: Any) -> Any:
    """``i z``."""
    return combined(-imag(z), real(z))


def _back(z: Any) -> Any:
    """``-i z``."""
    return combined(imag(z), -real(z))


def _equal(z: Any, w: Any) -> Any:
    return np.logical_and(np.equal(real(z), real(w)), np.equal(imag(z), imag(w)))


def _where(condition: Any, z: Any, w: Any) -> Any:
    condition = _nonzero(condition) if is_complex(condition) else condition
    return combined(np.where(condition, real(z), real(w)), np.where(condition, imag(z), imag(w)))


def _vdot(z: Any, w: Any) -> Any:
    return _multilinear(np.dot)(_conj(np.ravel(z)), np.ravel(w))


def _is_close(z: Any, w: Any, rtol: Any = 1e-05, atol: Any = 1e-08, equal_nan: bool = False) -> Any:
    if equal_nan:
        raise TracingError("isclose of complex numbers with equal_nan=True is not supported; compare their parts")
    return np.logical_or(_absolute(_subtract(z, w)) <= atol + rtol * _absolute(w), _equal(z, w))


def _astype(z: Any, dtype: Any, /, *, copy: bool = True, device: Any = None) -> Any:
    return z.astype(dtype, copy=copy)


def _std(z: Any, *arguments: Any, **keywords: Any) -> Any:
    return np.hypot(np.std(real(z), *arguments, **keywords), np.std(imag(z), *arguments, **keywords))


def _var(z: Any, *arguments: Any, **keywords: Any) -> Any:
    return np.var(real(z), *arguments, **keywords) + np.var(imag(z), *arguments, **keywords)


def _norm(z: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    axes = tuple(range(z.ndim)) if axis is None else tuple(axis) if isinstance(axis, (tuple, list)) else (axis,)
    if ord is None or ord == "fro" or (ord == 2 and len(axes) == 1):
        both = norm(np.stack([real(z), imag(z)]), (0, *(i % z.ndim + 1 for i in axes)), keepdims=keepdims)
        return both[0] if keepdims else both
    if len(axes) == 2 and ord in ("nuc", 2, -2):
        raise TracingError(f"np.linalg.norm(z, {ord!r}) of complex matrices needs their singular values: not supported")
    return np.linalg.norm(_absolute(z), ord, axis, keepdims)


def _likewise(create: Any) -> Callable[..., Any]:
    return lambda z, dtype=None, *_, shape=None, **__: create(z.shape if shape is None else shape, dtype or z.dtype)


def _asked(function: Any, join: Any) -> Callable[..., Any]:
    """Make a question about numbers one about complex numbers, of the answers for both parts."""
    return lambda z: join(function(real(z)), function(imag(z)))


def _of_truths(function: Any) -> Callable[..., Any]:
    return lambda z, *arguments, **keywords: function(_nonzero(z), *arguments, **keywords)


def _nonzero(z: Any) -> Any:
    return np.logical_not(_equal(z, 0))


def _part_by_part(function: Any) -> Callable[..., Any]:
    """Make a function that moves or adds elements one of complex numbers."""

    def parts(x: Any, part: Callable[[Any], Any]) -> Any:
        if x is None:
            return x
        return [parts(each, part) for each in x] if isinstance(x, (tuple, list)) else part(x)

    def moved(x: Any, *arguments: Any, **keywords: Any) -> Any:
        names = [*names_of(function)[1:], *[""] * len(arguments)]
        given = [*zip(names, arguments, strict=False), *keywords.items()]
        if any(any_complex((value,)) for name, value in given if name not in _ELEMENTS):
            raise TracingError(f"{full_name(function)} of complex numbers takes them as elements alone")
        count = len(arguments)

        def of(part: Callable[[Any], Any]) -> Any:
            values = [parts(value, part) if name in _ELEMENTS else value for name, value in given]
            return function(parts(x, part), *values[:count], **dict(zip(keywords, values[count:], strict=True)))

        re, im = of(real), of(imag)
        return [combined(*pair) for pair in zip(re, im, strict=True)] if type(re) in (list, tuple) else combined(re, im)

    return moved


def _pad(array: Any, pad_width: Any, mode: Any = "constant", **keywords: Any) -> Any:
    if mode in ("maximum", "minimum"):
        raise DtypeError(f"np.pad(..., mode={mode!r}) of complex numbers: they have no order; pad z.real and z.imag")
    return _part_by_part(np.pad)(array, pad_width, mode, **keywords)


def _of_numpys(name: str) -> Any:
    return getattr(np, name)


_TRUTHS: tuple[Any, ...] = (np.all, np.any, np.count_nonzero, np.logical_not)

_PRODUCTS = "matmul dot outer inner tensordot kron einsum convolve cross"

#: The arguments that are elements, too, of what moves or adds them.
_ELEMENTS = ("append", "constant_values", "end_values", "initial", "prepend", "to_begin", "to_end", "values")

#: What moves or adds elements.
_MOVES = (
    "sum mean cumsum diff trace diagonal diag tril triu copy reshape ravel transpose swapaxes moveaxis squeeze "
    "expand_dims broadcast_to matrix_transpose atleast_1d atleast_2d concatenate stack hstack vstack dstack block "
    "column_stack append insert ediff1d gradient trapezoid split array_split flip fliplr flipud rot90 roll tile "
    "repeat take take_along_axis delete"
)

_FUNCTIONS: dict[Any, Callable[..., Any]] = {
    np.real: real,
    np.imag: imag,
    np.conj: _conj,
    np.angle: _angle,
    np.absolute: _absolute,
    np.iscomplexobj: lambda x: is_complex(x),  # noqa: PLW0108 (of this page)
    np.isrealobj: lambda x: not is_complex(x),
    np.shape: lambda z: z.shape,
    np.ndim: lambda z: z.ndim,
    np.size: lambda z: z.size,
    np.astype: _astype,
    np.zeros_like: _likewise(np.zeros),
    np.ones_like: _likewise(np.ones),
    np.empty_like: _likewise(np.zeros),
    # arithmetic
    np.add: _add,
    np.subtract: _subtract,
    np.multiply: _multiply,
    np.divide: _divide,
    np.reciprocal: _reciprocal,
    np.negative: lambda z: combined(-real(z), -imag(z)),
    np.positive: np.copy,
    np.square: lambda z: _multiply(z, z),
    np.power: _power,
    # functions
    np.exp: _exp,
    np.log: _log,
    np.log2: lambda z: _log(z) / np.log(2.0),
    np.log10: lambda z: _log(z) / np.log(10.0),
    np.sqrt: _sqrt,
    np.sin: _sine,
    np.cos: _cosine,
    np.tan: lambda z: _back(_tanh(_turned(z))),
    np.sinh: lambda z: _back(_sine(_turned(z))),
    np.cosh: lambda z: _cosine(_turned(z)),
    np.tanh: _tanh,
    # questions
    np.equal: _equal,
    np.not_equal: lambda z, w: np.logical_not(_equal(z, w)),
    np.isclose: _is_close,
    np.allclose: lambda *arguments, **keywords: np.all(_is_close(*arguments, **keywords)),
    np.isnan: _asked(np.isnan, np.logical_or),
    np.isinf: _asked(np.isinf, np.logical_or),
    np.isfinite: _asked(np.isfinite, np.logical_and),
    **{function: _of_truths(function) for function in _TRUTHS},
    np.where: _where,
    # sums and products
    np.std: _std,
    np.var: _var,
    np.linalg.norm: _norm,
    np.vdot: _vdot,
    **{product: _multilinear(product) for product in map(_of_numpys, _PRODUCTS.split())},
    np.pad: _pad,
    # what moves or adds elements
    **{function: _part_by_part(function) for function in map(_of_numpys, _MOVES.split())},
}
FUNCTIONS.update(_FUNCTIONS)
for _function in (np.real, np.imag, np.conj, np.angle, np.iscomplexobj, np.isrealobj):  # of real numbers, too
    answers(_function)(_FUNCTIONS[_function])
