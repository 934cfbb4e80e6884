"""Operators: Python's, each computed by the operation that stands in for numpy's function of the
same meaning.

``x + y`` is ``np.add(x, y)``, and an operation has declared that it answers for ``np.add``
(:mod:`~minimeta.autodiff.protocols`). So an Array need not know the operations, which are written
on Arrays.
"""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable
from sys import getrefcount
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from minimeta.autodiff import in_place
from minimeta.autodiff.orders import check_order
from minimeta.autodiff.protocols import ANSWERS, answer, of_complex, without_out
from minimeta.autodiff.ufuncs import apply_method, settled
from minimeta.errors import DtypeError

if TYPE_CHECKING:
    from minimeta.autodiff.array import ArrayLike, Value

Unary: TypeAlias = "Callable[[Any], Value]"
Binary: TypeAlias = "Callable[[Any, ArrayLike], Value]"


def _unary(function: Callable[..., Any]) -> Unary:
    def compute(x: Any) -> Value:
        return ANSWERS[function](x)

    return compute


def _binary(function: Callable[..., Any]) -> Binary:
    def compute(x: Any, y: ArrayLike) -> Value:
        try:
            return ANSWERS[function](x, y)
        except DtypeError as error:
            return of_complex(error, function, (x, y), {})

    return compute


_of_powers = _binary(np.power)


def _power(x: Any, y: ArrayLike) -> Value:
    # numpy computes x ** 2 by np.square, which makes int8 of truth values, where np.power makes int64.
    return ANSWERS[np.square](x) if type(y) is int and y == 2 and x.value.dtype.kind == "b" else _of_powers(x, y)


def _reflected(function: Callable[..., Any]) -> Binary:
    """Make ``y + x``, for which Python asks ``x`` where ``y`` is no Array."""

    def compute(x: Any, y: ArrayLike) -> Value:
        try:
            return ANSWERS[function](y, x)
        except DtypeError as error:
            return of_complex(error, function, (y, x), {})

    return compute


def _ordered(function: Callable[..., Any]) -> Binary:
    """Make a comparison, by which numpy must not order elements that are objects (elements.py)."""
    compare = _binary(function)

    def compute(x: Any, y: ArrayLike) -> Value:
        if x.transformation is not None and x.transformation.held:
            check_order(sys._getframe(1), x, y)
        return compare(x, y)

    return compute


def _in_place(operation: Callable[[Any, Any], Value]) -> Binary:
    """Make ``x += y``: the name ``x`` gets the result, unless somebody else sees the old value."""

    def changed(self: Any, other: ArrayLike) -> Value:
        return in_place.assign(getrefcount(self), getrefcount(other), operation, self, other)

    return changed


class Operators:  # noqa: PLW1641 (Arrays have no hash)
    """The operators of an Array, and what numpy asks it for when its own are applied to one."""

    __slots__ = ()

    __add__, __radd__, __iadd__ = _binary(np.add), _reflected(np.add), _in_place(operator.add)
    __sub__, __rsub__, __isub__ = _binary(np.subtract), _reflected(np.subtract), _in_place(operator.sub)
    __mul__, __rmul__, __imul__ = _binary(np.multiply), _reflected(np.multiply), _in_place(operator.mul)
    __truediv__, __rtruediv__, __itruediv__ = _binary(np.divide), _reflected(np.divide), _in_place(operator.truediv)
    __floordiv__, __rfloordiv__ = _binary(np.floor_divide), _reflected(np.floor_divide)
    __ifloordiv__ = _in_place(operator.floordiv)
    __mod__, __rmod__, __imod__ = _binary(np.remainder), _reflected(np.remainder), _in_place(operator.mod)
    __pow__, __rpow__, __ipow__ = _power, _reflected(np.power), _in_place(operator.pow)
    __matmul__, __rmatmul__, __imatmul__ = _binary(np.matmul), _reflected(np.matmul), _in_place(operator.matmul)
    __and__, __rand__, __iand__ = _binary(np.bitwise_and), _reflected(np.bitwise_and), _in_place(operator.and_)
    __or__, __ror__, __ior__ = _binary(np.bitwise_or), _reflected(np.bitwise_or), _in_place(operator.or_)
    __xor__, __rxor__, __ixor__ = _binary(np.bitwise_xor), _reflected(np.bitwise_xor), _in_place(operator.xor)
    __lshift__, __rlshift__ = _binary(np.left_shift), _reflected(np.left_shift)
    __rshift__, __rrshift__ = _binary(np.right_shift), _reflected(np.right_shift)
    __divmod__, __rdivmod__ = _binary(np.divmod), _reflected(np.divmod)

    __neg__, __pos__ = _unary(np.negative), _unary(np.positive)
    __abs__, __invert__ = _unary(np.absolute), _unary(np.invert)
    __lt__, __le__ = _ordered(np.less), _ordered(np.less_equal)
    __gt__, __ge__ = _ordered(np.greater), _ordered(np.greater_equal)

    def __eq__(self, other: Any) -> Value:
        return ANSWERS[np.equal](self, other)

    def __ne__(self, other: Any) -> Value:
        return ANSWERS[np.not_equal](self, other)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **keywords: Any) -> Value:
        if method != "__call__":
            return apply_method(ufunc, method, inputs, keywords)
        if not keywords:
            return answer(ufunc, inputs, keywords)
        if keywords.get("out") is not None:
            return in_place.assign_to_numpy(getrefcount(keywords["out"][0]), ufunc, inputs, keywords)
        return answer(ufunc, *settled(ufunc, inputs, keywords))

    def __array_function__(
        self, function: Callable[..., Any], types: object, arguments: Any, keywords: dict[str, Any]
    ) -> Value:
        return answer(function, arguments, without_out(function, keywords))
