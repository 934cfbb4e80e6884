"""The array API standard, version 2024.12, on Arrays: what ``x.__array_namespace__()`` returns.

A library written for the standard takes its functions from its operands, and so runs, and is differentiated, on Arrays.
Under each name of the standard is the operation that answers for numpy's function of that name, with the standard's
signature: the table below says which names share one. What it creates are Arrays, too, detached ones.

The standard is the data-apis consortium's: https://data-apis.org/array-api/2024.12. Assignments to parts of an array
are not in it, as Arrays never change: write :func:`minimeta.at`.
"""

from __future__ import annotations

import builtins
import inspect
from collections.abc import Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from minimeta.autodiff.array import Array
from minimeta.autodiff.promotion import fixed
from minimeta.autodiff.protocols import answer
from minimeta.errors import ConfigurationError

__array_api_version__ = "2024.12"

bool, int8, int16, int32, int64 = np.bool, np.int8, np.int16, np.int32, np.int64
uint8, uint16, uint32, uint64 = np.uint8, np.uint16, np.uint32, np.uint64
float32, float64, complex64, complex128 = np.float32, np.float64, np.complex64, np.complex128
e, inf, nan, newaxis, pi = np.e, np.inf, np.nan, None, np.pi
isdtype = np.isdtype

#: The standard's signatures, and the functions that have each, all of which numpy has under the same name.
_SIGNATURES = {
    "x, /": "abs acos acosh asin asinh atan atanh bitwise_invert ceil conj cos cosh exp expm1 floor imag isfinite "
    "isinf isnan log log1p log2 log10 logical_not negative nonzero positive real reciprocal round sign signbit sin "
    "sinh sqrt square tan tanh trunc matrix_transpose unique_all unique_counts unique_inverse unique_values",
    "x1, x2, /": "add atan2 bitwise_and bitwise_left_shift bitwise_or bitwise_right_shift bitwise_xor copysign divide "
    "equal floor_divide greater greater_equal hypot less less_equal logaddexp logical_and logical_or logical_xor "
    "maximum minimum multiply nextafter not_equal pow remainder subtract matmul",
    "x, /, *, axis=None, keepdims=False": "all any argmax argmin count_nonzero max mean min",
    "x, /, *, axis=None, dtype=None, keepdims=False": "prod sum",
    "x, /, *, axis=None, correction=0.0, keepdims=False": "std var",
    "x, /, *, axis=None, dtype=None, include_initial=False": "cumulative_prod cumulative_sum",
    "x, /, min=None, max=None": "clip",
    "x, /, *, axis=-1, n=1, prepend=None, append=None": "diff",
    "x, /, *, axis=None": "flip",
    "x, /, axis": "expand_dims squeeze",
    "x, /, axes": "permute_dims",
    "x, /, shape": "broadcast_to",
    "x, /, shape, *, copy=None": "reshape",
    "x, source, destination, /": "moveaxis",
    "x, repeats, /, *, axis=None": "repeat",
    "x, repetitions, /": "tile",
    "x, /, shift, *, axis=None": "roll",
    "x, /, *, axis=0": "unstack",
    "x, /, *, k=0": "tril triu",
    "x, indices, /, *, axis=None": "take",
    "x, indices, /, *, axis=-1": "take_along_axis",
    "x1, x2, /, *, side='left', sorter=None": "searchsorted",
    "x1, x2, /, *, axes=2": "tensordot",
    "x1, x2, /, *, axis=-1": "vecdot",
    "condition, x1, x2, /": "where",
    "arrays, /, *, axis=0": "concat stack",
    "*arrays": "broadcast_arrays",
    "*arrays, indexing='xy'": "meshgrid",
    "x, dtype, /, *, copy=True, device=None": "astype",
    "x, /, *, dtype=None, device=None": "empty_like ones_like zeros_like",
    "x, /, fill_value, *, dtype=None, device=None": "full_like",
    "from_, to, /": "can_cast",
    "*arrays_and_dtypes": "result_type",
    "x, /, *, axis=-1, descending=False, stable=True": "argsort sort",
    "start, /, stop=None, step=1, *, dtype=None, device=None": "arange",
    "start, stop, /, num, *, dtype=None, device=None, endpoint=True": "linspace",
    "shape, *, dtype=None, device=None": "empty ones zeros",
    "shape, fill_value, *, dtype=None, device=None": "full",
    "n_rows, n_cols=None, /, *, k=0, dtype=None, device=None": "eye",
    "obj, /, *, dtype=None, device=None, copy=None": "asarray",
    "x, /, *, device=None, copy=None": "from_dlpack",
}

_LINEAR_ALGEBRA = {
    "x, /": "det eigvalsh eigh inv matrix_transpose slogdet svdvals",
    "x, /, *, upper=False": "cholesky",
    "x1, x2, /": "matmul outer solve",
    "x1, x2, /, *, axis=-1": "cross vecdot",
    "x, /, *, offset=0": "diagonal",
    "x, /, *, offset=0, dtype=None": "trace",
    "x, /, *, keepdims=False, ord='fro'": "matrix_norm",
    "x, n, /": "matrix_power",
    "x, /, *, rtol=None": "matrix_rank pinv",
    "x, /, *, mode='reduced'": "qr",
    "x, /, *, full_matrices=True": "svd",
    "x1, x2, /, *, axes=2": "tensordot",
    "x, /, *, axis=None, keepdims=False, ord=2": "vector_norm",
}

_FOURIER = {
    "x, /, *, n=None, axis=-1, norm='backward'": "fft ifft rfft irfft hfft ihfft",
    "x, /, *, s=None, axes=None, norm='backward'": "fftn ifftn rfftn irfftn",
    "n, /, *, d=1.0, dtype=None, device=None": "fftfreq rfftfreq",
    "x, /, *, axes=None": "fftshift ifftshift",
}

#: Functions that numpy has without an Array; what they return becomes one.
_CREATED = frozenset(
    ["arange", "asarray", "empty", "eye", "fftfreq", "from_dlpack", "full", "linspace", "ones", "rfftfreq", "zeros"]
)


def _made(result: Any) -> Any:
    """What a function returned, with Arrays in place of numpy's arrays and numbers."""
    if isinstance(result, (np.ndarray, np.generic)):
        return Array(fixed(np.asarray(result), False))
    if isinstance(result, tuple) and hasattr(result, "_fields"):
        return type(result)(*map(_made, result))
    return type(result)(map(_made, result)) if isinstance(result, (tuple, list)) else result


def _check_device(device: Any) -> None:
    if device not in (None, "cpu"):
        raise ConfigurationError(f"device={device!r}: every Array is on the 'cpu'")


def _standard(name: str, signature: str, module: Any) -> Callable[..., Any]:
    """Make a function of the standard's signature that calls what answers for numpy's."""
    parameters = inspect.signature(eval(f"lambda {signature}: None"))
    function = getattr(module, name)
    adapt = _ADAPTED.get(name)

    def call(*arguments: Any, **keywords: Any) -> Any:
        bound = parameters.bind(*arguments, **keywords)
        given = {k: x for k, x in bound.kwargs.items() if x is not None or parameters.parameters[k].default is not None}
        _check_device(given.pop("device", None))
        if adapt is not None:
            return _made(adapt(*bound.args, **given))
        if name in _CREATED:
            return _made(function(*bound.args, **given))
        return _made(answer(function, bound.args, given))

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"See :func:`{module.__name__}.{name}`, and the standard."
    call.__signature__ = parameters  # type: ignore[attr-defined]
    return call


# What there is to know of dtypes


def finfo(type: Any, /) -> Any:
    """Return the limits of a float dtype, or of an array's, as Python's floats."""
    found = np.finfo(type.dtype if isinstance(type, Array) else type)
    limits = {name: float(getattr(found, name)) for name in ("eps", "max", "min", "smallest_normal")}
    return SimpleNamespace(bits=found.bits, dtype=found.dtype, **limits)


def iinfo(type: Any, /) -> Any:
    """Return the limits of an integer dtype, or of an array's."""
    found = np.iinfo(type.dtype if isinstance(type, Array) else type)
    return SimpleNamespace(bits=found.bits, dtype=found.dtype, max=found.max, min=found.min)


# Where the standard's arguments are not numpy's


def _asarray(obj: Any, *, dtype: Any = None, copy: Any = None) -> Any:
    if isinstance(obj, Array):
        return obj if dtype is None or obj.dtype == dtype else answer(np.astype, (obj, dtype), {})
    return (
        answer(np.asarray, (obj,), {} if dtype is None else {"dtype": dtype})
        if _holds_array(obj)
        else np.array(obj, dtype)
    )


def _holds_array(obj: Any) -> Any:
    return isinstance(obj, Array) or (isinstance(obj, (list, tuple)) and builtins.any(map(_holds_array, obj)))


def _sort(x: Any, *, axis: int = -1, descending: Any = False, stable: Any = True) -> Any:
    y = answer(np.sort, (x,), {"axis": axis, "stable": True})
    return answer(np.flip, (y, axis), {}) if descending else y


def _argsort(x: Any, *, axis: int = -1, descending: Any = False, stable: Any = True) -> Any:
    if not descending:
        return answer(np.argsort, (x,), {"axis": axis, "stable": True})
    # Of equal elements the first comes first, too: order the reversed array, and count from its end.
    order = answer(np.argsort, (answer(np.flip, (x, axis), {}),), {"axis": axis, "stable": True})
    return x.shape[axis] - 1 - answer(np.flip, (order, axis), {})


def _deviation(function: Any) -> Callable[..., Any]:
    def compute(x: Any, *, correction: float = 0.0, **keywords: Any) -> Any:
        return answer(function, (x,), {"ddof": correction, **keywords})

    return compute


def _astype(x: Any, dtype: Any, *, copy: Any = True) -> Any:
    return x.astype(dtype, copy=copy)


def _clip(x: Any, min: Any = None, max: Any = None) -> Any:
    if min is None and max is None:
        return x
    found = answer(np.clip, (x, min, max), {})
    return found if found.dtype == x.dtype else found.astype(x.dtype)


def _eye(n_rows: int, n_cols: int | None = None, *, k: int = 0, dtype: Any = None) -> Any:
    return np.eye(n_rows, n_cols, k, dtype or np.float64)


def _as_list(function: Any) -> Callable[..., Any]:
    def compute(*arrays: Any, **keywords: Any) -> Any:
        return list(answer(function, arrays, keywords)) if arrays else []

    return compute


def _reshape(x: Any, shape: Any, *, copy: Any = None) -> Any:
    return answer(np.reshape, (x, shape), {})


def _full(shape: Any, fill_value: Any, *, dtype: Any = None) -> Any:
    return answer(np.full, (shape, fill_value, dtype), {})


def _result_type(*arrays_and_dtypes: Any) -> Any:
    return answer(np.result_type, arrays_and_dtypes, {})


def _from_dlpack(x: Any, *, copy: Any = None) -> Any:
    return np.array(np.from_dlpack(x))


_ADAPTED: dict[str, Callable[..., Any]] = {
    "argsort": _argsort,
    "asarray": _asarray,
    "astype": _astype,
    "broadcast_arrays": _as_list(np.broadcast_arrays),
    "clip": _clip,
    "eye": _eye,
    "from_dlpack": _from_dlpack,
    "full": _full,
    "meshgrid": _as_list(np.meshgrid),
    "reshape": _reshape,
    "result_type": _result_type,
    "sort": _sort,
    "std": _deviation(np.std),
    "var": _deviation(np.var),
}


def _functions(table: dict[str, str], module: Any) -> dict[str, Callable[..., Any]]:
    def home(name: str) -> Any:
        return np if name in ("matmul", "matrix_transpose", "tensordot", "vecdot") else module

    rows = [(name, signature) for signature, names in table.items() for name in names.split()]
    return {name: _standard(name, signature, home(name)) for name, signature in rows}


globals().update(_functions(_SIGNATURES, np))
if TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """Return a function of the table."""


linalg = SimpleNamespace(**_functions(_LINEAR_ALGEBRA, np.linalg))
fft = SimpleNamespace(**_functions(_FOURIER, np.fft))


# What there is


_KINDS = {
    "bool": ("bool",),
    "signed integer": ("int8", "int16", "int32", "int64"),
    "unsigned integer": ("uint8", "uint16", "uint32", "uint64"),
    "real floating": ("float32", "float64"),
    "complex floating": (),  # An Array is of real numbers.
}
_KINDS["integral"] = _KINDS["signed integer"] + _KINDS["unsigned integer"]
_KINDS["numeric"] = _KINDS["integral"] + _KINDS["real floating"] + _KINDS["complex floating"]


class __array_namespace_info__:  # noqa: N801 (the standard's name)
    """What the namespace is capable of."""

    @staticmethod
    def capabilities() -> dict[str, Any]:
        """Say what depends on values: both hold outside of ``compile`` and ``vmap``."""
        return {"boolean indexing": True, "data-dependent shapes": True, "max dimensions": 64}

    @staticmethod
    def default_device() -> str:
        """Return the one device."""
        return "cpu"

    @staticmethod
    def devices() -> list[str]:
        """Return all devices."""
        return ["cpu"]

    @staticmethod
    def default_dtypes(*, device: Any = None) -> dict[str, Any]:
        """Return the dtypes of what is created without one."""
        _check_device(device)
        dtypes = {"real floating": float64, "complex floating": complex128, "integral": int64, "indexing": int64}
        return {kind: np.dtype(dtype) for kind, dtype in dtypes.items()}

    @staticmethod
    def dtypes(*, device: Any = None, kind: Any = None) -> dict[str, Any]:
        """Return all dtypes, or those of a kind, or of kinds, by name."""
        _check_device(device)
        kinds = ("bool", "numeric") if kind is None else (kind,) if isinstance(kind, str) else kind
        return {name: np.dtype(name) for one in kinds for name in _KINDS[one]}
