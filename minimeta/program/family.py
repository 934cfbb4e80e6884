"""Compiled functions that transformations make of one: ``grad(compile(f)) = compile(grad(f))``.

A transformation asks a compiled function for the result (:mod:`minimeta.autodiff.transformed`), and
is answered with a compiled function of the same settings. Static arguments are taken out before the
transformation sees the function: they are Python values, and nothing is differentiated with respect
to them. A bound method passes its instance as the first argument, and what is made of it is a bound
method again.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection
from typing import Any, NamedTuple

from minimeta.autodiff import tree
from minimeta.autodiff.arguments import Function, Place
from minimeta.program.signature import chosen_places, with_static, without


class Transformation(NamedTuple):
    """One transformation of a compiled function.

    Attributes
    ----------
    transform, options, named
        The result is ``transform(function, *options, **named)``.
    is_method
        Whether a bound method was transformed.
    """

    transform: Callable[..., Function]
    is_method: bool
    options: tuple[Any, ...]
    named: dict[str, Any]

    def key(self) -> tuple[Any, ...]:
        """Return what is equal for equal transformations."""
        leaves, structure = tree.flatten((self.options, self.named))
        return self.transform, self.is_method, tuple(leaves), structure

    def name(self, function: str) -> str:
        """Return the name of the result for users, given that of the function."""
        return f"{self.transform.__name__.lstrip('_')}({function})"

    def of(self, function: Function, static: Collection[Place]) -> Function:
        """Transform a function whose arguments in these places are static."""

        @functools.wraps(function, updated=())
        def transformed(*arguments: Any, **keywords: Any) -> Any:
            chosen = chosen_places(arguments, keywords, static)
            arguments, keywords = without(arguments, keywords, chosen)
            filled = with_static(function, chosen)
            if self.is_method:
                filled, arguments = functools.partial(filled, arguments[0]), arguments[1:]
            return self.transform(filled, *self.options, **self.named)(*arguments, **keywords)

        return transformed


class Method(functools.partial[Any]):
    """A bound method of a compiled function that has another name than the class knows it by.

    Python's own bound methods are pickled by the name of their function, and would not be found
    again.
    """

    @property
    def __self__(self) -> Any:
        return self.args[0]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Method) and other.func is self.func and other.__self__ is self.__self__

    def __hash__(self) -> int:
        return hash((self.func, id(self.__self__)))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.func, name)
