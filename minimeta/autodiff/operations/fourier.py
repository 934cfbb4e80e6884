"""Discrete Fourier transforms.

    y[k] = sum_j x[j] w^(j k),    w = exp(-2 pi i / n)        and with the inverse    w = exp(2 pi i / n)

A complex number is a pair of real ones here, the last axis of an array (:mod:`~minimeta.autodiff.complex_numbers`), and
a transform is a real linear map of such pairs. The matrix ``W[k, j] = w^(j k)`` is symmetric, so that the transpose of
the real map is that of the conjugate of ``W``: the transform in the other direction. Of a real signal the first half of
the frequencies says all, since the others are conjugates; where the sum goes over half of them alone, as in the
transpose, those that stand for two count half. So the transforms of one page are each other's derivatives.

``norm`` says what the sums are multiplied with, as in numpy: ``"backward"`` divides those of the inverse by ``n``,
``"forward"`` the others, ``"ortho"`` all by ``sqrt(n)``. The kernels compute in the dtype of the signal (numpy's, which
are the references, take float32 for float64 where they scale nothing).
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minimeta.autodiff.apply import apply
from minimeta.autodiff.array import Array, Form, Shape, Value
from minimeta.autodiff.complex_functions import imag, real
from minimeta.autodiff.complex_numbers import combined, is_complex
from minimeta.autodiff.definition import operation
from minimeta.autodiff.operations import joining, movement, operands, padding
from minimeta.autodiff.operations.matrices import floats
from minimeta.autodiff.primitive import Draw, Primitive
from minimeta.errors import DtypeError, OptionError, ShapeError

# Pairs


def _paired(x: Any) -> Any:
    """Return complex numbers as pairs of real ones along a last axis."""
    re, im = real(x), imag(x)
    return joining.stack([re, im], -1)


def _unpaired(pairs: Any) -> Any:
    return combined(*(movement.reshape(part, pairs.shape[:-1]) for part in joining.split(pairs, 2, -1)))


def _real_of(name: str, x: Any) -> Any:
    if is_complex(x):
        raise DtypeError(f"{name} of complex numbers: it transforms a real signal; use fft, or x.real")
    return floats(x)


# Along one axis


def fft(a: Any, n: int | None = None, axis: int = -1, norm: str | None = None) -> Any:
    """The transform of complex or real numbers along an axis, which is cut or filled with zeros to ``n`` elements."""
    return _transformed("fft", a, _one_side("fft", n), (axis,), norm, inverse=False)


def ifft(a: Any, n: int | None = None, axis: int = -1, norm: str | None = None) -> Any:
    """The inverse of :func:`fft`."""
    return _transformed("ifft", a, _one_side("ifft", n), (axis,), norm, inverse=True)


def rfft(a: Any, n: int | None = None, axis: int = -1, norm: str | None = None) -> Any:
    """The first ``n // 2 + 1`` frequencies of a real signal: the others are their conjugates."""
    x = _real_of("rfft", a)
    axis = operands.axis_of("rfft", axis, x.ndim)
    x = _resized("rfft", x, axis, x.shape[axis] if n is None else n)
    pairs = apply(OF_REAL, movement.moveaxis(x, axis, -1))
    found = _moved(_unpaired(pairs), -1, axis)
    return _scaled(found, norm, x.shape[axis], inverse=False)


def irfft(a: Any, n: int | None = None, axis: int = -1, norm: str | None = None) -> Value:
    """The real signal of ``n`` elements, by default ``2 (m - 1)``, that has these ``m`` first frequencies."""
    x = a if is_complex(a) else floats(a)
    axis = operands.axis_of("irfft", axis, x.ndim)
    n = 2 * (x.shape[axis] - 1) if n is None else operator.index(n)
    if n < 1:
        raise ShapeError(f"irfft of shape {x.shape}: n={n} must be positive")
    x = _resized("irfft", x, axis, n // 2 + 1)
    found = apply(TO_REAL, _paired(_moved(x, axis, -1)), n=n)
    return _scaled(movement.moveaxis(found, -1, axis), norm, n, inverse=True)


def hfft(a: Any, n: int | None = None, axis: int = -1, norm: str | None = None) -> Value:
    """The real transform of a signal that is the conjugate of itself reversed, of which the first half is given."""
    return irfft(np.conj(a), n, axis, _turned(norm))


def ihfft(a: Any, n: int | None = None, axis: int = -1, norm: str | None = None) -> Any:
    """The inverse of :func:`hfft`."""
    return np.conj(rfft(a, n, axis, _turned(norm)))


# Along several


def fftn(a: Any, s: Any = None, axes: Sequence[int] | None = None, norm: str | None = None) -> Any:
    """The transform along several axes, by default all, which are cut or filled to the sides ``s``."""
    return _transformed("fftn", a, s, axes, norm, inverse=False)


def ifftn(a: Any, s: Any = None, axes: Sequence[int] | None = None, norm: str | None = None) -> Any:
    """The inverse of :func:`fftn`."""
    return _transformed("ifftn", a, s, axes, norm, inverse=True)


def fft2(a: Any, s: Any = None, axes: Sequence[int] = (-2, -1), norm: str | None = None) -> Any:
    """The transform along two axes, by default the last."""
    return fftn(a, s, axes, norm)


def ifft2(a: Any, s: Any = None, axes: Sequence[int] = (-2, -1), norm: str | None = None) -> Any:
    """The inverse of :func:`fft2`."""
    return ifftn(a, s, axes, norm)


def rfftn(a: Any, s: Any = None, axes: Sequence[int] | None = None, norm: str | None = None) -> Any:
    """:func:`rfft` along the last of several axes, then :func:`fftn` along the others."""
    x = _real_of("rfftn", a)
    sides, places = _places("rfftn", x, s, axes)
    found = rfft(x, sides[-1], places[-1], norm)
    return fftn(found, sides[:-1], places[:-1], norm) if len(places) > 1 else found


def irfftn(a: Any, s: Any = None, axes: Sequence[int] | None = None, norm: str | None = None) -> Value:
    """The inverse of :func:`rfftn`; the last side is by default ``2 (m - 1)`` of the ``m`` frequencies there are."""
    x = a if is_complex(a) else floats(a)
    sides, places = _places("irfftn", x, s, axes)
    last = sides[-1] if s is not None else None
    found = ifftn(x, sides[:-1], places[:-1], norm) if len(places) > 1 else x
    return irfft(found, last, places[-1], norm)


def rfft2(a: Any, s: Any = None, axes: Sequence[int] = (-2, -1), norm: str | None = None) -> Any:
    """:func:`rfftn` along two axes, by default the last."""
    return rfftn(a, s, axes, norm)


def irfft2(a: Any, s: Any = None, axes: Sequence[int] = (-2, -1), norm: str | None = None) -> Value:
    """The inverse of :func:`rfft2`."""
    return irfftn(a, s, axes, norm)


def fftshift(x: Any, axes: int | Sequence[int] | None = None) -> Any:
    """Move the frequency 0 from the front to the middle."""
    return _rolled("fftshift", x, axes, lambda side: side // 2)


def ifftshift(x: Any, axes: int | Sequence[int] | None = None) -> Any:
    """The inverse of :func:`fftshift`."""
    return _rolled("ifftshift", x, axes, lambda side: -(side // 2))


# How they are made of the three transforms


def _transformed(name: str, a: Any, s: Any, axes: Any, norm: str | None, *, inverse: bool) -> Any:
    x = a if is_complex(a) else floats(a)
    sides, places = _places(name, x, s, axes)
    for side, axis in zip(sides, places, strict=True):
        x = _resized(name, x, axis, side)
    found = _unpaired(apply(FOURIER, _paired(x), axes=places, inverse=inverse)) if places else x
    return _scaled(found, norm, math.prod(sides), inverse=inverse)


def _places(name: str, x: Any, s: Any, axes: Any) -> tuple[Shape, Shape]:
    """Return the sides and the axes of a transform."""
    if axes is None:
        axes = range(-len(s), 0) if s is not None else range(x.ndim)
    places = tuple(operands.axis_of(name, axis, x.ndim) for axis in axes)
    if s is not None and len(s) != len(places):
        raise ShapeError(f"{name} of shape {x.shape}: s={tuple(s)} has not one side for each of the axes {places}")
    sides = tuple(x.shape[axis] for axis in places) if s is None else tuple(s)
    return tuple(
        x.shape[axis] if side in (None, -1) else side for side, axis in zip(sides, places, strict=True)
    ), places


def _one_side(name: str, n: Any) -> tuple[int] | None:
    """Return ``n`` as the sides of one axis, of which -1 would mean its own."""
    if n is not None and operator.index(n) < 1:
        raise ShapeError(f"{name}: n={n} must be positive")
    return None if n is None else (n,)


def _resized(name: str, x: Any, axis: int, side: Any) -> Any:
    """Cut an axis, or fill it with zeros."""
    side, before = operator.index(side), x.shape[axis]
    if side < 1:
        raise ShapeError(f"{name} of shape {x.shape}: n={side} along axis {axis} must be positive")
    if side <= before:
        return x if side == before else x[(*[slice(None)] * axis, slice(side))]
    widths = [(0, (side - before) * (i == axis)) for i in range(x.ndim)]
    return (
        combined(*(padding.pad(part, widths) for part in (x.real, x.imag))) if is_complex(x) else padding.pad(x, widths)
    )


def _moved(x: Any, source: int, destination: int) -> Any:
    if not is_complex(x):
        return movement.moveaxis(x, source, destination)
    return combined(*(movement.moveaxis(part, source, destination) for part in (x.real, x.imag)))


_FACTORS = {"backward": (0.0, -1.0), "ortho": (-0.5, -0.5), "forward": (-1.0, 0.0)}
"""What power of ``n`` the sums are multiplied with, and those of the inverse."""


def _scaled(x: Any, norm: str | None, n: int, *, inverse: bool) -> Any:
    power = _FACTORS[_checked(norm)][inverse]
    return x * float(n) ** power if power else x


def _checked(norm: str | None) -> str:
    if norm is not None and norm not in _FACTORS:
        raise OptionError(f"fft: norm={norm!r} is none of {', '.join(_FACTORS)}")
    return norm or "backward"


def _turned(norm: str | None) -> str:
    return {"backward": "forward", "forward": "backward"}.get(_checked(norm), "ortho")


def _rolled(name: str, x: Any, axes: Any, shift: Callable[[int], int]) -> Any:
    x = x if is_complex(x) or isinstance(x, (Array, np.ndarray)) else np.asarray(x)
    places = operands.axes_of(name, axes, x.ndim)
    return np.roll(x, [shift(x.shape[axis]) for axis in places], places)


# The transforms


def _linear(transform: Callable[..., Any], x: Any, *arguments: Any) -> Any:
    """A real linear map, of complex numbers part by part."""
    if not np.iscomplexobj(x):
        return transform(x, *arguments)
    return transform(x.real, *arguments) + 1j * transform(x.imag, *arguments)


def _as_numbers(pairs: Any) -> Any:
    """Pairs as complex numbers, in the same memory if it is contiguous."""
    return np.ascontiguousarray(pairs).view(np.result_type(pairs.dtype, np.complex64))[..., 0]


def _as_pairs(numbers: Any) -> Any:
    return np.ascontiguousarray(numbers)[..., None].view(numbers.real.dtype)


def _check(name: str, x: Any, n: int) -> None:
    if x.dtype.kind != "f":
        raise DtypeError(f"{name} of dtype {x.dtype.name}: it needs float32 or float64; convert with astype")
    if n < 1:
        raise ShapeError(f"{name} of shape {x.shape}: an axis of no elements has no transform")


def _same(x: Any, axes: Shape, inverse: bool) -> Form:
    for axis in axes:
        _check("fft", x, x.shape[axis])
    return Form(x.shape, x.dtype)


def _halved(x: Any) -> Form:
    _check("rfft", x, x.shape[-1])
    return Form((*x.shape[:-1], x.shape[-1] // 2 + 1, 2), x.dtype)


def _doubled(x: Any, n: int) -> Form:
    _check("irfft", x, n)
    if x.shape[-2:] != (n // 2 + 1, 2):
        raise ShapeError(f"irfft of pairs of shape {x.shape}: {n} elements have {n // 2 + 1} frequencies")
    return Form((*x.shape[:-2], n), x.dtype)


def _counts(n: int, of_two: float, dtype: Any) -> NDArray[Any]:
    """One number for each pair of the first half: 1, or another where it stands for two frequencies."""
    counts = np.full((n // 2 + 1, 1), of_two, dtype)
    counts[0] = 1
    if n % 2 == 0:
        counts[-1] = 1
    return counts


def _flops(y: Any, x: Any, **params: Any) -> int:
    """Count ``5 n log2 n``, as is usual, of all elements as if they were one signal."""
    n = max(math.prod(y.shape), math.prod(x.shape))
    return int(5 * n * max(math.log2(max(n, 1)), 1))


def _sample_signal(draw: Draw) -> tuple[int, ...]:
    return (*draw.shape(0, 1), draw.integer(1, 5))


def _sample_fourier(draw: Draw) -> tuple[tuple[NDArray[Any], ...], dict[str, Any]]:
    shape = tuple(side + 1 for side in draw.shape(1, 2))
    axes = tuple(i for i in range(len(shape)) if i == 0 or draw.integer(0, 1))
    return (draw.array((*shape, 2)),), {"axes": axes, "inverse": bool(draw.integer(0, 1))}


def _sample_half(draw: Draw) -> tuple[tuple[NDArray[Any], ...], dict[str, Any]]:
    *batch, n = _sample_signal(draw)
    return (draw.array((*batch, n // 2 + 1, 2)),), {"n": n}


@operation(
    rules=(lambda g, y, x, axes, inverse: apply(FOURIER, g, axes=axes, inverse=not inverse),),
    shape=_same,
    sample=_sample_fourier,
    linear=True,
    signed=True,
    flops=_flops,
)
def _fourier(x: Any, *, axes: Shape, inverse: bool) -> Any:
    return _linear(_transform_of_pairs, x, axes, inverse)


def _transform_of_pairs(x: Any, axes: Shape, inverse: bool) -> Any:
    z = _as_numbers(x)
    return _as_pairs(np.fft.ifftn(z, axes=axes, norm="forward") if inverse else np.fft.fftn(z, axes=axes))


@operation(
    rules=(lambda g, y, x: apply(TO_REAL, g * _counts(x.shape[-1], 0.5, x.dtype), n=x.shape[-1]),),
    shape=_halved,
    sample=lambda draw: ((draw.array(_sample_signal(draw)),), {}),
    linear=True,
    signed=True,
    flops=_flops,
)
def _of_real(x: Any) -> Any:
    return _linear(_transform_of_real, x)


def _transform_of_real(x: Any) -> Any:
    return _as_pairs(np.fft.rfft(x))


@operation(
    rules=(lambda g, y, x, n: apply(OF_REAL, g) * _counts(n, 2.0, x.dtype),),
    shape=_doubled,
    sample=_sample_half,
    linear=True,
    signed=True,
    flops=_flops,
)
def _to_real(x: Any, *, n: int) -> Any:
    return _linear(_transform_to_real, x, n)


def _transform_to_real(x: Any, n: int) -> Any:
    return np.fft.irfft(_as_numbers(x), n, norm="forward")


FOURIER: Primitive = _fourier.primitive
OF_REAL: Primitive = _of_real.primitive
TO_REAL: Primitive = _to_real.primitive
