"""Models pickle as the call that made them.

The functions of a model close over its settings, and closures do not pickle. But equal settings
make equal models, so we send another process the call, and the place of the function among those it
makes.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

Settings = ParamSpec("Settings")
Functions = TypeVar("Functions", bound=tuple[Any, ...])


class Part:
    """One function of a model, which is called like it."""

    def __init__(
        self,
        function: Callable[..., Any],
        place: int,
        make: Callable[..., Any],
        settings: tuple[Any, ...],
        named: dict[str, Any],
    ) -> None:
        functools.update_wrapper(self, function, updated=())
        self._function = function
        self.recipe = place, make, settings, named

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        """Return the function's value."""
        return self._function(*arguments, **keywords)

    def __reduce__(self) -> Any:
        return _part, self.recipe


def _part(place: int, make: Callable[..., Any], settings: tuple[Any, ...], named: dict[str, Any]) -> Any:
    return make(*settings, **named)[place]


def call_of(function: Any) -> str:
    """Return the call that made the model of a function, as Python; or the function, if no recipe did."""
    if not isinstance(function, Part):
        return repr(function)
    _, make, settings, named = function.recipe
    said = [*map(repr, settings), *(f"{name}={value!r}" for name, value in named.items())]
    return f"{make.__name__}({', '.join(said)})"


def pickled_by_settings(make: Callable[Settings, Functions]) -> Callable[Settings, Functions]:
    """Let the functions in the named tuple that `make` returns pickle as the call that made them."""

    @functools.wraps(make)
    def made(*settings: Settings.args, **named: Settings.kwargs) -> Functions:
        functions = make(*settings, **named)
        parts: list[Any] = [
            Part(function, place, made, settings, named) if callable(function) else function
            for place, function in enumerate(functions)
        ]
        return type(functions)(*parts)

    return made
