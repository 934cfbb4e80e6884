"""Functions that transformations make of functions.

A transformation is a function from a function, and options, to a function. What it makes is called
like what it was made of. It pickles if that does, as the transformation and what it was applied to:
a pool of processes takes it.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np

from minimeta.errors import DtypeError

Transform = TypeVar("Transform", bound=Callable[..., Any])

_NAMES = ("__module__", "__name__", "__qualname__")  # what a transformed function takes over


def transformation(transform: Transform) -> Transform:
    """Let a function answer for itself when it is transformed.

    Parameters
    ----------
    transform
        From a function and options to another function, which takes the same arguments in the same
        places, and perhaps some more by keyword.

    Returns
    -------
    callable
        The same transformation, except that a function with a method ``transformed_by`` makes the
        result itself: ``function.transformed_by(function, transform, *options, **named_options)``.
        Its bound methods do so too, and pass themselves as the first argument.
    """

    @functools.wraps(transform)
    def asked(function: Any = None, *options: Any, **named: Any) -> Any:
        check_function(transform.__name__.lstrip("_"), function)
        options, named = tuple(map(_plain, options)), {name: _plain(option) for name, option in named.items()}
        answer = getattr(function, "transformed_by", None)
        if answer is None:
            again = functools.partial(asked, function, *options, **named)
            return Transformed(transform(function, *options, **named), again)
        return answer(function, asked, *options, **named)

    return cast(Transform, asked)


def check_function(name: str, function: Any) -> None:
    """Refuse to transform what is no function.

    Parameters
    ----------
    name
        The transformation.
    function
        What it was given.

    Raises
    ------
    DtypeError
        It cannot be called.
    """
    if not callable(function):
        given = "nothing" if function is None else f"a value of type {type(function).__name__}"
        raise DtypeError(f"{name} needs a function, and was given {given}: pass f, and not f(x)")


def _plain(option: Any) -> Any:
    """Return an option; a row of numbers as a list, since arrays are neither equal nor hashed."""
    return option.tolist() if isinstance(option, np.ndarray) else option


class Transformed:
    """A function that a transformation made; it has the name of the one it was made of.

    It is given the transformation of that function, too, to be made by it again.
    """

    def __init__(self, call: Callable[..., Any], again: functools.partial[Any]) -> None:
        functools.update_wrapper(self, again.args[0], assigned=_NAMES, updated=())
        self._call = call
        self._again = again

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        """The function's value."""
        return self._call(*arguments, **keywords)

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else functools.partial(self, instance)

    def __repr__(self) -> str:
        function = self._again.args[0]
        return f"<{self._again.func.__name__} of {getattr(function, '__qualname__', repr(function))}>"

    def __reduce__(self) -> Any:
        return self.__qualname__ if namesake(self) is self else (self._again, ())


def namesake(function: Any) -> Any:
    """Return what a function's module has under the function's name, or None."""
    found: Any = sys.modules.get(function.__module__)
    for part in getattr(function, "__qualname__", "").split("."):
        found = getattr(found, part, None)
    return found
