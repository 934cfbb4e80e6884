"""Arguments as numpy names and orders them, for operations that name and order them in another way.

``np.sum(a=x)`` and ``np.sum(x, 0, None, None, True)`` are calls of numpy's signature; the operation that answers is
``sum(x, axis=None, dtype=None, *, keepdims=False, ...)``. What numpy's signature binds goes to the operation by
position as far as the positions agree, and by name from there on; what is numpy's default is left out.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minimeta.errors import DtypeError, TracingError

_BY_POSITION = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_BY_NAME = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)

Call = tuple[list[Any], dict[str, Any]]


def call_for(
    operation: Callable[..., Any], function: Callable[..., Any], arguments: Sequence[Any], keywords: dict[str, Any]
) -> Call:
    """Return the arguments of a call of a numpy function as the operation takes them.

    Parameters
    ----------
    operation
        What answers for the function.
    function, arguments, keywords
        The call of numpy's.

    Raises
    ------
    TypeError
        Nobody takes an argument.
    """
    try:
        signature = inspect.signature(function)
    except ValueError:  # It has none.
        return list(arguments), keywords
    given = signature.bind(*arguments, **keywords).arguments
    taken = inspect.signature(operation).parameters
    positions = [name for name, parameter in taken.items() if parameter.kind in _BY_POSITION]
    names = {name for name, parameter in taken.items() if parameter.kind in _BY_NAME}
    found: Call = [], {}
    for place, (name, parameter) in enumerate(signature.parameters.items()):
        if name not in given or (name not in names and _same(given[name], parameter.default)):
            continue
        if parameter.kind not in (*_BY_POSITION, inspect.Parameter.KEYWORD_ONLY):
            raise TypeError(f"got an unexpected argument {name!r}")
        leads = place == len(found[0]) < len(positions) and parameter.kind in _BY_POSITION
        if leads and (positions[place] == name or name not in names):
            found[0].append(given[name])
        elif name in names:
            found[1][name] = given[name]
        else:
            raise TypeError(f"got an unexpected argument {name!r}")
    return found


def by_position(function: Callable[..., Any], arguments: Sequence[Any], keywords: dict[str, Any]) -> Call:
    """Return the arguments of a call of a numpy function, the leading ones by position."""
    found, left, names = list(arguments), dict(keywords), names_of(function)
    while len(found) < len(names) and names[len(found)] in left:
        found.append(left.pop(names[len(found)]))
    return found, left


def names_of(function: Callable[..., Any]) -> list[str]:
    """Return the names of a function's arguments that have a place, as far as they are known."""
    try:
        parameters = inspect.signature(function).parameters.items()
    except (TypeError, ValueError):  # It has no signature.
        return []
    return [name for name, parameter in parameters if parameter.kind in _BY_POSITION]


def check_layout(name: str, order: Any) -> None:
    """Refuse an order in memory that no Array has."""
    if order not in ("K", "C", "A"):
        raise TracingError(f"{name}(..., order={order!r}) of an Array: its elements lie in order 'C'; drop order=")


def check_cast(name: str, own: np.dtype[Any], dtype: np.dtype[Any], casting: Any) -> None:
    """Refuse a conversion that the rule does not allow."""
    if not np.can_cast(own, dtype, casting):
        raise DtypeError(f"{name}(..., dtype={dtype.name}, casting={casting!r}): {own.name} is not cast to it")


def _same(value: Any, default: Any) -> bool:
    return value is default or (type(value) is type(default) and isinstance(value, (str, bool)) and value == default)
