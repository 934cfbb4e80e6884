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
    def asked(function: Callable[..., Any], *options: Any, **named: Any) -> Any:
        options, named = tuple(map(_plain, options)), {name: _plain(option) for name, option in named.items()}
        answer = getattr(function, "transformed_by", None)
        if answer is None:
            return Transformed(transform(function, *options, **named), (asked, function, options, named))
        return answer(function, asked, *options, **named)

    return cast(Transform, asked)


def _plain(option: Any) -> Any:
    """Return an option; a row of numbers as a list, since arrays are neither equal nor hashed."""
    return option.tolist() if isinstance(option, np.ndarray) else option


class Transformed:
    """A function that a transformation made; it has the name of the one it was made of."""

    def __init__(
        self,
        call: Callable[..., Any],
        made_by: tuple[Callable[..., Any], Callable[..., Any], tuple[Any, ...], dict[str, Any]],
    ) -> None:
        functools.update_wrapper(self, made_by[1], assigned=_NAMES, updated=())
        self._call = call
        self._made_by = made_by

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        """The function's value."""
        return self._call(*arguments, **keywords)

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else functools.partial(self, instance)

    def __repr__(self) -> str:
        transform, function, *_ = self._made_by
        return f"<{transform.__name__} of {getattr(function, '__qualname__', repr(function))}>"

    def __reduce__(self) -> Any:
        return self.__qualname__ if namesake(self) is self else (_transformed_again, self._made_by)


def _transformed_again(
    transform: Callable[..., Any], function: Callable[..., Any], options: tuple[Any, ...], named: dict[str, Any]
) -> Any:
    return transform(function, *options, **named)


def namesake(function: Any) -> Any:
    """Return what a function's module has under the function's name, or None."""
    found: Any = sys.modules.get(function.__module__)
    for part in getattr(function, "__qualname__", "").split("."):
        found = getattr(found, part, None)
    return found
