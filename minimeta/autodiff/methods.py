"""numpy's methods: its functions, with the array in front.

``x.squeeze(0)`` is ``np.squeeze(x, 0)``, so a method takes the same arguments as the function and
is answered as it is (:mod:`~minimeta.autodiff.protocols`). The attributes that numpy's arrays have
and Arrays lack are refused by an AttributeError that says what to write instead.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike

from minimeta.autodiff.protocols import ANSWERS, answer, without_out
from minimeta.autodiff.remedies import REMEDIES
from minimeta.autodiff.signatures import check_cast, check_layout
from minimeta.errors import ConfigurationError, MissingAttributeError

if TYPE_CHECKING:
    from minimeta.autodiff.array import Value

_LIBRARY = __name__.partition(".")[0]


def _method(function: Any) -> Callable[..., Value]:
    def method(x: Any, *arguments: Any, **keywords: Any) -> Value:
        return answer(function, (x, *arguments), without_out(function, keywords))

    method.__name__ = method.__qualname__ = function.__name__
    method.__doc__ = f"See :func:`numpy.{function.__name__}`."
    return method


class Methods:
    """What numpy's arrays have by name, and Arrays too."""

    __slots__ = ()

    all, any, argmax, argmin, argpartition = map(_method, (np.all, np.any, np.argmax, np.argmin, np.argpartition))
    argsort, choose, clip, cumprod = map(_method, (np.argsort, np.choose, np.clip, np.cumprod))
    cumsum, diagonal, dot, max, mean = map(_method, (np.cumsum, np.diagonal, np.dot, np.max, np.mean))
    min, nonzero, prod, ravel, repeat = map(_method, (np.min, np.nonzero, np.prod, np.ravel, np.repeat))
    round, searchsorted, squeeze, std, sum = map(_method, (np.round, np.searchsorted, np.squeeze, np.std, np.sum))
    swapaxes, take, trace, var = map(_method, (np.swapaxes, np.take, np.trace, np.var))

    def reshape(self, *shape: Any, **keywords: Any) -> Value:
        """See :func:`numpy.reshape`; the sides may be arguments of their own."""
        sides = (shape[0] if len(shape) == 1 else shape,) if shape else ()
        return answer(np.reshape, (self, *sides), keywords)

    def transpose(self, *axes: Any) -> Value:
        """See :func:`numpy.transpose`; the axes may be arguments of their own."""
        return answer(
            np.transpose, (self, *(axes if len(axes) == 1 and not isinstance(axes[0], int) else (axes or None,))), {}
        )

    def flatten(self, *arguments: Any, **keywords: Any) -> Value:
        """Return a copy of the elements, on one axis."""
        return answer(np.copy, (answer(np.ravel, (self, *arguments), keywords),), {})

    def copy(self, order: str = "C") -> Value:
        """See :func:`numpy.copy`."""
        return answer(np.copy, (self, order), {})

    def astype(
        self: Any, dtype: DTypeLike, order: str = "K", casting: Any = "unsafe", subok: bool = True, copy: bool = True
    ) -> Value:
        """See :func:`numpy.astype`; `order` and `casting` are those of numpy's method."""
        check_layout("astype", order)
        check_cast("astype", self.dtype, np.dtype(dtype), casting)
        return answer(np.astype, (self, dtype), {"copy": copy})

    def compress(self, condition: Any, *arguments: Any, **keywords: Any) -> Value:
        """See :func:`numpy.compress`."""
        return answer(np.compress, (condition, self, *arguments), without_out(np.compress, keywords))

    @property
    def flat(self) -> Value:
        """The elements in row-major order, as an Array; what is taken from numpy's iterator is a copy, too."""
        return self.flatten()

    def conj(self) -> Value:
        """Return the array itself, which is real."""
        return self

    conjugate = conj

    @property
    def real(self) -> Value:
        """The array itself, which is real."""
        return self

    @property
    def imag(self) -> Value:
        """Zeros."""
        return answer(np.zeros_like, (self,), {})

    @property
    def T(self) -> Value:  # noqa: N802 (numpy's name)
        """The axes in reverse order."""
        return answer(np.transpose, (self,), {})

    @property
    def mT(self) -> Value:  # noqa: N802 (numpy's name)
        """The last two axes exchanged."""
        return answer(np.swapaxes, (self, -2, -1), {})

    @property
    def itemsize(self: Any) -> int:
        """Bytes of one element."""
        return int(self.dtype.itemsize)

    @property
    def nbytes(self: Any) -> int:
        """Bytes of all elements."""
        return int(self.size * self.dtype.itemsize)

    @property
    def device(self) -> str:
        """Where it is: ``"cpu"``."""
        return "cpu"

    def to_device(self, device: str, /, *, stream: Any = None) -> Value:
        """Return the array itself, which is on the only device there is.

        Raises
        ------
        ConfigurationError
            Another device than ``"cpu"``.
        """
        if device != "cpu" or stream is not None:
            raise ConfigurationError(f"to_device({device!r}): every Array is on the 'cpu'")
        return self

    def __array_namespace__(self, *, api_version: str | None = None) -> Any:
        """Return the array API standard's functions on Arrays.

        Raises
        ------
        ConfigurationError
            Another version than those from 2021.12 to 2024.12.
        """
        if api_version not in (None, "2021.12", "2022.12", "2023.12", "2024.12"):
            raise ConfigurationError(f"version {api_version!r} of the array API standard: it is 2024.12 here")
        return importlib.import_module(f"{_LIBRARY}.array_api")  # It stands on this file, and few ask for it.

    def __round__(self, digits: int = 0) -> Value:
        return answer(np.round, (self, digits), {})


#: What numpy's ufuncs ask the elements of an array of dtype object for (elements.py).
_ASKED = (
    *(np.arccos, np.arccosh, np.arcsin, np.arcsinh, np.arctan, np.arctan2, np.arctanh, np.cbrt, np.ceil, np.cos),
    *(np.cosh, np.deg2rad, np.degrees, np.exp, np.exp2, np.expm1, np.fabs, np.floor, np.hypot, np.log, np.log10),
    *(np.log1p, np.log2, np.logaddexp, np.logaddexp2, np.rad2deg, np.radians, np.rint, np.sin, np.sinh, np.sqrt),
    *(np.square, np.tan, np.tanh, np.trunc),
)
for _function in _ASKED:
    setattr(Methods, _function.__name__, _method(_function))


class _Missing:
    """An attribute that Arrays lack. (A __getattr__ would slow down every access to one.)"""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, x: Any, kind: Any = None) -> Any:
        if x is None:
            return self
        function: Any = getattr(np, self._name, None)
        if function in ANSWERS and not ANSWERS[function].__module__.startswith(_LIBRARY):
            return _method(function).__get__(x)  # A user's operation has come to answer.
        raise MissingAttributeError(
            f"an Array of shape {x.shape} has no attribute {self._name!r}: {REMEDIES[self._name]}"
        )


for _name in REMEDIES:
    if hasattr(np.ndarray, _name):
        setattr(Methods, _name, _Missing(_name))
