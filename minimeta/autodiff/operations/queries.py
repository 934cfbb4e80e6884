"""Queries: numpy's functions whose results no derivative passes through.

Where an element stands, whether it is finite, how it is rounded: such a function is constant wherever it is smooth, so
its derivative is 0, and numpy computes it as it stands. Integers and truth values have no derivatives either: of them,
every function of numpy's is a query.

One primitive answers for all. Its operands are the arrays; what else the function was called with is static. What a
result looks like follows from the operands' forms, and is found by calling the function on zeros and ones of these
forms once. Functions whose results have shapes that depend on values (``unique``, ``nonzero``) are answered where the
values are known, which they are not while tracing.
"""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar, cast

import numpy as np
from numpy.typing import DTypeLike, NDArray

from minimeta.autodiff.apply import apply
from minimeta.autodiff.array import Array, ArrayLike, Form, Value
from minimeta.autodiff.definition import operation
from minimeta.autodiff.operations import conversions
from minimeta.autodiff.primitive import Draw
from minimeta.autodiff.promotion import COMPUTABLE, fixed
from minimeta.autodiff.protocols import answers, full_name, is_written
from minimeta.autodiff.signatures import names_of
from minimeta.errors import AxisError, DtypeError, ShapeError, TracingError

Function: TypeAlias = Callable[..., Any]
Operation = TypeVar("Operation", bound=Callable[..., Any])


def has_floats(arguments: Any) -> bool:
    """Return whether a float is among arguments, or in lists among them."""
    for x in arguments:
        if type(x) is float or (hasattr(x, "dtype") and not isinstance(x, type) and x.dtype.kind in "fcO"):
            return True
        if type(x) in (list, tuple) and has_floats(x):
            return True
    return False


def query(function: Function, *arguments: Any, result: int | None = None, **keywords: Any) -> Value:
    """Compute a function of numpy's as a constant.

    Parameters
    ----------
    function
        Of numpy's, and of as many arrays as there are Arrays and numpy arrays among the arguments.
    *arguments, **keywords
        What it is called with. Lists of numbers are arrays; everything else is static.
    result
        Which one of several results.

    Raises
    ------
    ShapeError, DtypeError
        The function does not take such arguments, or its result has a dtype that nothing computes in.
    TracingError
        It is asked to write its result into an array.
    """
    place = _place_of_out(function)
    if len(arguments) > place and arguments[place] is not None:
        raise is_written(function)
    operands: list[Any] = []
    placed = tuple([_placed(x, operands) for x in arguments])
    if "overwrite_input" in (names := names_of(function)):  # A permission that is not used: operands never change.
        keywords.pop("overwrite_input", None)
        if len(placed) > (given := names.index("overwrite_input")):
            placed = (*placed[:given], False, *placed[given + 1 :])
    named = tuple([(name, _placed(x, operands)) for name, x in keywords.items()])
    return apply(QUERY, *operands, function=function, arguments=placed, keywords=named, result=result)


@functools.cache
def _place_of_out(function: Any) -> int:
    """Return where a function takes an array to write to, after its operands if it is a ufunc."""
    if isinstance(function, np.ufunc):
        return int(function.nin)
    names = names_of(function)
    return names.index("out") if "out" in names else sys.maxsize


# No function inside of the other, which would hold itself and the operands: in_place.py counts who holds them.
def _placed(x: Any, operands: list[Any]) -> Any:
    """Return an argument with places for its arrays, which become operands."""
    if type(x) is Array or isinstance(x, (np.ndarray, np.generic)):
        operands.append(x)
        return Place(type(x) is Array and x.weak and x.shape == ())
    if type(x) is list or (type(x) is tuple and any(hasattr(part, "dtype") for part in x)):
        if any(type(part) is Array for part in x):
            return tuple([_placed(part, operands) for part in x])
        operands.append(np.asarray(x))
        return Place(False)
    return x


def differentiable(*functions: Function, results: int = 1, by_first: bool = False) -> Callable[[Operation], Operation]:
    """Declare what answers for functions of numpy's; of integers and truth values alone, numpy's own does, as a query.

    So an operation is written for floats, and takes the arguments of numpy's function by their names.

    Parameters
    ----------
    *functions
        Of numpy's.
    results
        How many arrays they return.
    by_first
        Whether the first argument alone decides, since numpy brings the others to its dtype.
    """

    def declare(operation: Operation) -> Operation:
        @functools.wraps(operation)
        def answered(*arguments: Any, **keywords: Any) -> Any:
            if has_floats(arguments[:1] if by_first else arguments):
                return operation(*arguments, **keywords)
            if keywords and not (by_first and arguments) and has_floats(keywords.values()):
                return operation(*arguments, **keywords)
            if results == 1:
                return query(functions[0], *arguments, **keywords)
            return tuple([query(functions[0], *arguments, result=i, **keywords) for i in range(results)])

        return answers(*functions)(cast("Operation", answered))

    return declare


def as_float(x: ArrayLike, dtype: DTypeLike | None = None) -> Any:
    """Return an Array or a numpy array of floats, by default float64 of integers and truth values.

    Raises
    ------
    DtypeError
        The dtype that is asked for is none of floats.
    """
    found = as_array(x)
    if dtype is not None:
        if np.dtype(dtype).kind in "biu":
            raise DtypeError(f"dtype={np.dtype(dtype).name}: it is computed in floats; convert the result with astype")
        return conversions.astype(found, dtype)
    return found if found.dtype.kind not in "biu" else conversions.astype(found, np.float64)


def as_array(x: ArrayLike) -> Any:
    """Return an Array or a numpy array of its own dtype; that of Python's numbers is numpy's for them."""
    return x if isinstance(x, (Array, np.ndarray)) else fixed(x, False)


def as_floats(*operands: ArrayLike) -> tuple[Any, ...]:
    """Return Arrays or numpy arrays of numpy's common dtype; of integers and truth values alone, float64.

    numpy's functions that are no ufuncs make arrays of Python's numbers first, which so do not adapt.
    """
    arrays = [as_array(x) for x in operands]
    common = np.result_type(*[x.dtype for x in arrays])
    common = common if common.kind == "f" else np.dtype(np.float64)
    return tuple([x if x.dtype == common else conversions.astype(x, common) for x in arrays])


class Place:
    """Where an operand stands among the arguments; a weak one is passed as a Python number."""

    __slots__ = ("weak",)

    def __init__(self, weak: bool) -> None:
        self.weak = weak

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Place) and self.weak == other.weak

    def __hash__(self) -> int:
        return hash((Place, self.weak))

    def __repr__(self) -> str:
        return "..."


def _form(*operands: Any, function: Function, arguments: Any, keywords: Any, result: int | None) -> Form:
    forms = tuple([(x.dtype, x.shape) for x in operands])
    try:
        found = _forms(forms, function, arguments, keywords, result)
    except TypeError as error:
        if "unhashable" not in str(error):
            raise
        found = _forms.__wrapped__(forms, function, arguments, keywords, result)
    return found


@functools.lru_cache(maxsize=4096)
def _forms(forms: Any, function: Function, arguments: Any, keywords: Any, result: int | None) -> Form:
    zeros = [np.zeros(shape, dtype) if dtype.kind != "f" else np.ones(shape, dtype) for dtype, shape in forms]
    try:
        with np.errstate(all="ignore"):
            found = np.asarray(_called(zeros, function, arguments, keywords, result))
    except (ValueError, IndexError, TypeError) as error:
        shapes = " and ".join(f"{dtype.name}{list(shape)}" for dtype, shape in forms)
        is_axis = isinstance(error, np.exceptions.AxisError)
        kind = DtypeError if isinstance(error, TypeError) else AxisError if is_axis else ShapeError
        raise kind(f"{full_name(function)} of {shapes}: {error}") from None
    if found.dtype not in COMPUTABLE:
        names = ", ".join(dtype.name for dtype, _ in forms)
        raise DtypeError(
            f"{full_name(function)} of {names} is {found.dtype.name} in numpy, which nothing here computes in; convert "
            "with astype, as in x.astype(np.float64)"
        )
    return Form(found.shape, found.dtype)


def _called(values: Any, function: Function, arguments: Any, keywords: Any, result: int | None) -> Any:
    """Call a function on values, at their places among the arguments."""
    rest = iter(values)

    def filled(x: Any) -> Any:
        if type(x) is Place:
            value = next(rest)
            return value.item() if x.weak and value.dtype.kind != "c" else value
        return tuple([filled(part) for part in x]) if type(x) is tuple else x

    positional = [filled(x) for x in arguments]
    found = function(*positional, **{name: filled(x) for name, x in keywords})
    return found if result is None else found[result]


def _kernel(*values: Any, function: Function, arguments: Any, keywords: Any, result: int | None) -> NDArray[Any]:
    with np.errstate(all="ignore"):
        found = np.array(_called([np.asarray(x) for x in values], function, arguments, keywords, result), order="C")
    if found.dtype not in COMPUTABLE:
        _form(*values, function=function, arguments=arguments, keywords=keywords, result=result)
    return found


def _sample(draw: Draw) -> tuple[tuple[NDArray[Any], ...], dict[str, Any]]:
    place = Place(False)
    function, arguments = [(np.signbit, (place,)), (np.searchsorted, ((-1.0, 0.5, 1.0), place))][draw.integer(0, 1)]
    params = {"function": function, "arguments": arguments, "keywords": (), "result": None}
    return (draw.array(draw.shape()),), params


def _elements_read(y: Any, *operands: Any, **params: Any) -> int:
    return sum([math.prod(x.shape) for x in operands])


@operation(rules=(), shape=_form, sample=_sample, flops=_elements_read, kernel=_kernel)
def _query(*values: Any, function: Function, arguments: Any, keywords: Any, result: int | None) -> Any:
    return _called(values, function, arguments, keywords, result)


QUERY = _query.primitive


# Functions that are queries, whatever they are called with


def _always(*functions: Any) -> tuple[Function, ...]:
    """Answer for functions of numpy's by queries."""
    return tuple([_query_of(function) for function in functions])


def _query_of(function: Any) -> Function:
    """Answer for a function of numpy's by a query."""

    def ask(*arguments: Any, **keywords: Any) -> Value:
        return query(function, *arguments, **keywords)

    ask.__name__ = ask.__qualname__ = function.__name__
    ask.__doc__ = f"See :func:`numpy.{function.__name__}`. The result is a constant to every derivative."
    return answers(function)(ask)


# The parts of a floating-point number
nextafter, signbit, spacing = _always(np.nextafter, np.signbit, np.spacing)

# Questions
iscomplex, isfinite, isinf = _always(np.iscomplex, np.isfinite, np.isinf)
isnan, isneginf, isposinf, isreal = _always(np.isnan, np.isneginf, np.isposinf, np.isreal)
all, any, count_nonzero = _always(np.all, np.any, np.count_nonzero)
(isin,) = _always(np.isin)

# Places
argpartition, argsort = _always(np.argpartition, np.argsort)
nanargmax, nanargmin = _always(np.nanargmax, np.nanargmin)
digitize, lexsort = _always(np.digitize, np.lexsort)

# Integers
bitwise_count, gcd, lcm = _always(np.bitwise_count, np.gcd, np.lcm)
left_shift, right_shift = _always(np.left_shift, np.right_shift)


# Functions whose results have shapes that depend on values


def _known(*functions: Any) -> tuple[Function, ...]:
    """Answer for functions of numpy's where the values are known."""
    return tuple([_of_values(function) for function in functions])


def _of_values(function: Any) -> Function:

    def ask(*arguments: Any, **keywords: Any) -> Any:
        inside = False

        def value_of(x: Any) -> Any:
            nonlocal inside
            if type(x) is Array:
                inside = True
                if type(x.value) is Form:
                    raise TracingError(
                        f"{function.__name__} of an Array while tracing: how many there are depends on values, and "
                        f"only {x.value!r} is known. Keep the shape with where(mask, x, 0.0), or compute it outside "
                        "and pass the result in"
                    )
                return x.value
            return type(x)(map(value_of, x)) if type(x) in (list, tuple) else x

        values = [value_of(x) for x in arguments]
        found = function(*values, **{name: value_of(x) for name, x in keywords.items()})
        if not inside:
            return found
        if isinstance(found, tuple):
            parts = [Array(fixed(y, False)) for y in found]
            return type(found)(*parts) if hasattr(found, "_fields") else tuple(parts)
        return Array(fixed(found, False))

    ask.__name__ = ask.__qualname__ = function.__name__
    ask.__doc__ = (
        f"See :func:`numpy.{function.__name__}`. The result is a constant to every derivative.\n\n"
        "    Raises\n    ------\n    TracingError\n        While tracing, where no values are known.\n    "
    )
    return answers(function)(ask)


argwhere, flatnonzero, nonzero = _known(np.argwhere, np.flatnonzero, np.nonzero)
intersect1d, setdiff1d, setxor1d, union1d = _known(np.intersect1d, np.setdiff1d, np.setxor1d, np.union1d)
unique, unique_all, unique_counts = _known(np.unique, np.unique_all, np.unique_counts)
unique_inverse, unique_values = _known(np.unique_inverse, np.unique_values)
(histogram_bin_edges,) = _known(np.histogram_bin_edges)
