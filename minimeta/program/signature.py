"""Signature: what the program of a function depends on, and how messages describe it.

A call has *static* arguments, whose values the program depends on, and other arguments, of whose
leaves only the forms matter. Two calls of equal signatures run the same program.
"""

from __future__ import annotations

import functools
import inspect
import operator
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from minimeta.autodiff import tree
from minimeta.autodiff.arguments import Function, Place, call_with
from minimeta.autodiff.array import Form
from minimeta.autodiff.exact import exact_type
from minimeta.autodiff.promotion import COMPUTABLE, fixed, generators
from minimeta.errors import ConfigurationError, DtypeError, IntegerError, TracingError

Static: TypeAlias = Place | Sequence[Place]

SCALARS = (float, int, bool)

_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


class Arguments(NamedTuple):
    """A call taken apart.

    Attributes
    ----------
    leaves
        Of the arguments that are not static.
    structure, keyworded, static
        As in a :class:`Signature`.
    """

    leaves: list[Any]
    structure: tree.Structure
    keyworded: bool
    static: tuple[tuple[Place, Any, Any], ...]

    @classmethod
    def of(cls, positional: tuple[Any, ...], keywords: dict[str, Any], static_places: frozenset[Place]) -> Arguments:
        """Take a call apart.

        Raises
        ------
        TracingError
            A static argument that is not hashable, or is a random generator.
        """
        static: tuple[tuple[Place, Any, Any], ...] = ()
        if static_places:
            chosen = chosen_places(positional, keywords, static_places)
            static = tuple([(place, exact_type(_hashable(place, x)), x) for place, x in chosen.items()])
            positional, keywords = without(positional, keywords, chosen)
        leaves, structure = tree.flatten((*positional, keywords) if keywords else positional)
        return cls(leaves, structure, bool(keywords), static)

    def read(self) -> tuple[list[NDArray[Any]], Signature]:
        """Return the leaves as arrays that kernels read (contiguous, aligned, native byte order),
        and the signature.

        Raises
        ------
        DtypeError
            A leaf that is no array of numbers, or a Python integer beyond int64.
        TracingError
            A leaf that is a random generator.
        """
        values, forms = [], []
        for number, x in enumerate(self.leaves):
            if type(x) is np.ndarray and x.dtype in COMPUTABLE and x.flags.carray:  # Nearly always: nothing to do.
                value = x
            else:
                try:
                    value = np.array(x, np.int64) if type(x) is int else np.asarray(fixed(x, False), order="C")
                except OverflowError:
                    raise self._too_large(number) from None
                except DtypeError as error:
                    raise self._explained(number, error) from None
            values.append(value)
            forms.append(type(x) if type(x) in SCALARS else (value.shape, value.dtype))
        return values, Signature(self.structure, self.keyworded, self.static, tuple(forms))

    def _too_large(self, number: int) -> Exception:
        place, x = self._place(number), self.leaves[number]
        return IntegerError(
            f"compile: argument {place!r} is the Python integer {x}, which does not fit into int64. Pass it as a "
            "float, or as an array of a dtype that holds it, as np.uint64"
        )

    def _place(self, number: int) -> str:
        return _leaf_names(self.structure, self.keyworded, len(self.leaves))[number]

    def _explained(self, number: int, error: DtypeError) -> Exception:
        place = self._place(number)
        if isinstance(self.leaves[number], generators()):
            return TracingError(_generator_in(place))
        reason = str(error).partition("\n")[0]
        return DtypeError(
            f"compile: argument {place!r} is {reason}. What is no array, such as a function or a string, can be "
            "declared static"
        )


class Signature(NamedTuple):
    """All that a program depends on.

    Attributes
    ----------
    structure
        Of the arguments, ``None`` in place of the static ones; the keywords, if any, are a dict at
        the end.
    keyworded
        Whether there are keywords.
    static
        The place (position or name), exact type and value of each static argument.
    forms
        For each leaf its class, if it is a Python scalar, and otherwise its shape and dtype.
    """

    structure: tree.Structure
    keyworded: bool
    static: tuple[tuple[Place, Any, Any], ...]
    forms: tuple[Any, ...]

    def trees(self, leaves: Sequence[Any]) -> tuple[Any, ...]:
        """Return the arguments that are not static, with other leaves."""
        arguments: tuple[Any, ...] = tree.unflatten(self.structure, leaves)
        return arguments

    def call_structures(self) -> tuple[tree.Structure, tree.Structure]:
        """Return the structures of the positional arguments and of the keywords, static values
        included.
        """
        static = {place: tree.Structure("static", (value,)) for place, _, value in self.static}
        children = self.structure.children
        keywords = children[-1] if self.keyworded else tree.Structure(dict)
        positional = tuple(static.get(i, child) for i, child in enumerate(children[: len(children) - self.keyworded]))
        named = tuple(static.get(*entry) for entry in zip(keywords.keys, keywords.children, strict=True))
        return tree.Structure(tuple, tuple(range(len(positional))), positional), keywords._replace(children=named)

    def abstract_trees(self) -> tuple[Any, ...]:
        """Return those arguments as they are traced."""
        return self.trees([form() if type(form) is type else Form(*form) for form in self.forms])

    def function_of_trees(self, function: Function) -> Function:
        """Return a function of :meth:`trees`, its static arguments filled in."""
        filled = with_static(function, {place: value for place, _, value in self.static})
        return (lambda *arguments: filled(*arguments[:-1], **arguments[-1])) if self.keyworded else filled


def chosen_places(positional: Sequence[Any], keywords: dict[str, Any], places: Collection[Place]) -> dict[Place, Any]:
    """Return the arguments in these places."""
    everything: list[tuple[Place, Any]] = [*enumerate(positional), *keywords.items()]
    return {place: x for place, x in everything if place in places}


def without(
    positional: Sequence[Any], keywords: dict[str, Any], places: Collection[Place]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the same arguments with ``None``, a tree without leaves, in these places."""
    taken: tuple[tuple[Any, ...], dict[str, Any]] = call_with(
        lambda *row, **named: (row, named), positional, keywords, dict.fromkeys(places)
    )
    return taken


def with_static(function: Function, static: dict[Place, Any]) -> Function:
    """Fill the static arguments into a function, which then takes those of :func:`without`."""

    @functools.wraps(function, updated=())
    def filled(*positional: Any, **keywords: Any) -> Any:
        return call_with(function, positional, keywords, static)

    return filled


def static_places(function: Function, static: Static) -> frozenset[Place]:
    """Return where the static arguments may stand: their positions and their names.

    Raises
    ------
    ConfigurationError
        One of them is no argument of the function.
    """
    if isinstance(static, tuple) and not static:
        return frozenset()
    parameters = list(inspect.signature(function).parameters.values())
    names = [parameter.name for parameter in parameters]
    places: set[Place] = set()
    alone = isinstance(static, str) or not hasattr(static, "__iter__")
    for given in cast(Sequence[Place], (static,) if alone else static):
        position = names.index(given) if given in names else given
        position = operator.index(position) if hasattr(position, "__index__") else position
        if not isinstance(position, int) or not 0 <= position < len(names) or parameters[position].kind in _VARIADIC:
            raise ConfigurationError(f"compile: static={given!r} is none of the arguments {names}")
        places.add(names[position])
        if parameters[position].kind is not inspect.Parameter.KEYWORD_ONLY:
            places.add(position)
    return frozenset(places)


def _hashable(place: Place, x: Any) -> Any:
    if isinstance(x, generators()):
        raise TracingError(_generator_in(place))
    try:
        hash(x)
    except TypeError:
        raise TracingError(
            f"compile: static argument {place!r} is a {type(x).__name__}, which is not hashable, and so cannot say "
            "which program to replay. Pass a tuple, a number or a frozen dataclass; arrays are not static"
        ) from None
    return x


# Messages


def _generator_in(place: Place) -> str:
    return (
        f"compile: argument {place!r} is a random generator. A program draws nothing: what is drawn while tracing "
        "would be a constant ever after. Draw outside, and pass the arrays in"
    )


def _leaf_names(structure: tree.Structure, keyworded: bool, count: int) -> list[str]:
    """Return the names of the leaves for users: ``0/weight`` or ``rate``."""
    names = tree.paths(tree.unflatten(structure, range(count)))
    last = f"{len(structure.children) - 1}/"
    return [name.removeprefix(last) if keyworded else name for name in names]


def difference(one: Signature, other: Signature) -> str:
    """Describe where two signatures first differ."""
    for static, other_static in zip(one.static, other.static, strict=False):
        if static[0] == other_static[0] and static != other_static:
            return f"the static argument {static[0]!r}: {static[2]!r}, and then {other_static[2]!r}"
    if (one.structure, one.keyworded) != (other.structure, other.keyworded):
        return "the form of the arguments' trees"
    names = _leaf_names(one.structure, one.keyworded, len(one.forms))
    for name, form, other_form in zip(names, one.forms, other.forms, strict=True):
        if form != other_form:
            return f"argument {name!r}: {_described(form)}, and then {_described(other_form)}"
    return "which arguments are there"


def _described(form: Any) -> str:
    return f"a Python {form.__name__}" if type(form) is type else repr(Form(*form))
