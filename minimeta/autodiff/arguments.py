"""Arguments of a call: which of them a derivative is with respect to, and whether it can be.

``grad(f, argnums="w")(x, w)`` asks for an argument by its name and passes it by its position, and
``grad(f, 1)(x, w=w)`` does it the other way round: what counts is where an argument stands in the
call.
"""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from minimeta.autodiff import tree
from minimeta.autodiff.array import Array
from minimeta.autodiff.promotion import fixed
from minimeta.errors import DtypeError, ShapeError

Function: TypeAlias = Callable[..., Any]

#: An argument: its position or its name.
Place: TypeAlias = int | str


def place_of(
    name: str, asked_for: Place, function: Function, arguments: Sequence[Any], keywords: dict[str, Any]
) -> Place:
    """Return where an argument stands in a call, a position or a keyword, however it is asked for.

    Parameters
    ----------
    name
        The transformation that asks, for its messages.
    asked_for
        The argument, by its position or its name.
    function, arguments, keywords
        The call.

    Raises
    ------
    DtypeError, ShapeError
        It is neither a position nor a name, or no such argument is passed.
    """
    count = len(arguments)
    if isinstance(asked_for, str):
        if asked_for in keywords:
            return asked_for
        names = positional_names(function)
        if asked_for in names[:count]:
            return names.index(asked_for)
        given = [*names[:count], *keywords]
        raise ShapeError(
            f"{name}: no argument {asked_for!r} is in the call"
            + (f", which passes {', '.join(map(repr, given))}" if len(given) > 0 else "; give its position")
        )
    try:
        number = operator.index(None if isinstance(asked_for, bool) else asked_for)  # type: ignore[arg-type]
    except TypeError:
        raise DtypeError(f"{name}: {asked_for!r} is neither the position nor the name of an argument") from None
    if -count <= number < count:
        return number % count
    names = positional_names(function)
    if count <= number < len(names) and names[number] in keywords:
        return names[number]
    raise ShapeError(f"{name}: argument {number}, but the function was called with {count} arguments")


def positional_names(function: Function) -> list[str]:
    """Return the names of the arguments that may be passed by position, if there is a signature."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # of a function that is written in C
        return []
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [parameter.name for parameter in parameters if parameter.kind in kinds]


def call_with(
    function: Function, arguments: Sequence[Any], keywords: dict[str, Any], replaced: dict[Place, Any]
) -> Any:
    """Return the function's value, some of its arguments replaced."""
    return function(
        *[replaced.get(i, x) for i, x in enumerate(arguments)],
        **{name: replaced.get(name, x) for name, x in keywords.items()},
    )


def check_differentiable(
    leaves: Sequence[Any], arguments: Any, name: str, places: Sequence[Place] | None = None
) -> None:
    """Refuse leaves that are not floats, or that cannot be computed with.

    Parameters
    ----------
    leaves, arguments
        The leaves of a tuple of trees, and the tuple.
    name
        The transformation, for its messages.
    places
        Where the arguments stand in the call; in a row from the first on if this is None.
    """
    for i, leaf in enumerate(leaves):
        value, refusal = leaf, ""
        if type(leaf) is not Array:
            try:
                value = fixed(leaf, False)
            except DtypeError as error:
                refusal = str(error).partition("\n")[0]
        if not refusal and value.dtype.kind == "f":
            continue
        position, _, rest = tree.paths(arguments)[i].partition("/")
        place = f"argument {repr(places[int(position)]) if places else position}" + (f" at {rest!r}" if rest else "")
        if np.iscomplexobj(leaf):
            raise DtypeError(
                f"{name} with respect to {place}, of complex numbers: pass their parts as two arguments, x and y, and "
                "begin with z = x + 1j * y. What is usual as the derivative with respect to z is dx - 1j * dy"
            )
        if refusal:
            raise DtypeError(f"{name} with respect to {place}, which is {refusal}")
        raise DtypeError(
            f"{name} with respect to {place}, of dtype {value.dtype.name}: derivatives are with respect to floats. "
            "Convert it (float(x), x.astype(np.float32)), or leave it out of argnums"
        )
