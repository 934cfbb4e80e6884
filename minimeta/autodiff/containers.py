"""Containers: how an object is taken apart into children, and put together from others.

    children, what is not a child = parts(container)        container = made(what is not a child, children)

dicts, lists, tuples, dataclasses and the user's classes of these come back as what they were. None of
their code runs: a constructor that scales its weights would scale them at every update. Any other
class is a leaf until it is registered, with two functions of its own.
"""

import dataclasses
import functools
import types
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

from minimeta.autodiff.exact import exact_type
from minimeta.errors import ShapeError

Parts = tuple[Any, tuple[Any, ...], Iterable[Any], tuple[Any, ...]]


def _parts(kind: Any) -> Callable[[Any], Parts] | None:
    """Return what takes a container of this class apart; None for a leaf."""
    if kind in REGISTERED:
        return _registered(kind)
    if kind is dict:
        return lambda tree: (dict, tuple(tree), tree.values(), ())
    if kind is tuple or kind is list:
        return lambda tree: (kind, positions(len(tree)), tree, ())
    if issubclass(kind, dict):
        items, static = _of_python(kind, "items"), ("default_factory",) if issubclass(kind, defaultdict) else ()

        def entries(tree: Any) -> Parts:
            pairs = dict(items(tree))
            return kind, tuple(pairs), pairs.values(), _attributes(tree, (), static)

        return entries
    if issubclass(kind, (tuple, list)):
        fields, iterate = getattr(kind, "_fields", None), _of_python(kind, "__iter__")

        def row(tree: Any) -> Parts:
            children = tuple(iterate(tree))
            return kind, fields or positions(len(children)), children, _attributes(tree)

        return row
    if not dataclasses.is_dataclass(kind):
        return None
    declared = dataclasses.fields(kind)
    names = tuple(field.name for field in declared if not field.metadata.get("static"))
    fixed = tuple(field.name for field in declared if field.metadata.get("static"))
    return lambda tree: (kind, names, [getattr(tree, name) for name in names], _attributes(tree, names, fixed))


#: How classes that were registered are taken apart and put together.
REGISTERED: dict[Any, tuple[Callable[[Any], Any], Callable[[Any, list[Any]], Any]]] = {}
_STATIC = "what is not a child"


def register(
    kind: type,
    take_apart: Callable[[Any], tuple[Iterable[Any], Any]],
    put_together: Callable[[Any, list[Any]], Any],
) -> type:
    """Make the instances of a class trees.

    Parameters
    ----------
    kind
        The class. Its subclasses are not registered with it.
    take_apart
        From an instance to its children, trees in turn, and whatever else it takes to make another
        like it: hashable, and part of the structure.
    put_together
        From that and a list of other children to an instance. The children may be anything, Arrays
        and arrays among them, so it should assign them and compute nothing.

    Returns
    -------
    type
        The class.

    Raises
    ------
    ShapeError
        It is registered already, or one of Python's own containers.

    Examples
    --------
    >>> class Interval:
    ...     def __init__(self, low, high):
    ...         self.low, self.high = low, high
    >>> _ = register(Interval, lambda x: ((x.low, x.high), None), lambda static, ends: Interval(*ends))
    >>> import minimeta as mm
    >>> mm.tree.map(lambda x: 2 * x, Interval(1.0, 2.0)).high
    4.0
    """
    if kind in REGISTERED or kind in (tuple, list, dict, type(None)):
        raise ShapeError(f"register: a {kind.__name__} is a tree already")
    REGISTERED[kind] = take_apart, put_together
    parts_of.cache_clear()  # type: ignore[attr-defined]  # It may have been a leaf until now.
    return kind


def _registered(kind: Any) -> Callable[[Any], Parts]:
    take_apart, _ = REGISTERED[kind]

    def parts(tree: Any) -> Parts:
        children, static = take_apart(tree)
        children = tuple(children)
        return kind, positions(len(children)), children, ((_STATIC, static, exact_type(static)),)

    return parts


parts_of: Callable[[Any], Callable[[Any], Parts] | None] = functools.cache(_parts)


def _attributes(tree: Any, fields: tuple[str, ...] = (), static: tuple[str, ...] = ()) -> tuple[Any, ...]:
    """Return the static part of a container's attributes.

    Raises
    ------
    ShapeError
        It has an attribute that a new one would lack.
    """
    kind = type(tree)
    own = tree.__dict__ if kind.__dictoffset__ else ()
    if own is tree:  # A dict whose attributes are its entries.
        static = (*static, "__dict__")
    elif len(own) > len(fields) + len(static):
        surplus = [name for name in own if name not in fields and name not in static and not _is_cache(kind, name)]
        if surplus:
            raise ShapeError(
                f"a {kind.__name__} has the attribute {surplus[0]!r}, and is rebuilt, with other arrays, from its "
                f"{'fields' if dataclasses.is_dataclass(kind) else 'entries'} alone, without its constructor. Make it "
                f"a property, or a dataclass's field; one that holds no arrays is static, as in {surplus[0]}: Any = "
                'field(init=False, metadata={"static": True})'
            )
    if not static:
        return ()
    values = [(name, None if name == "__dict__" else getattr(tree, name)) for name in static]
    return tuple([(name, value, exact_type(value)) for name, value in values])


def _is_cache(kind: Any, name: str) -> bool:
    """Return whether a missing attribute is computed again, or is Python's own."""
    return name.startswith("__") or isinstance(getattr(kind, name, None), functools.cached_property)


@functools.cache
def positions(length: int) -> tuple[int, ...]:
    """Return the keys of a row of children."""
    return tuple(range(length))


def _maker(kind: Any) -> Callable[[tuple[Any, ...], list[Any]], Any]:
    """Return what puts a container of this class together without running code of the class."""
    new = _of_python(kind, "__new__")
    if issubclass(kind, tuple):
        return lambda keys, children: new(kind, children)
    fill = object.__setattr__
    if issubclass(kind, list):
        extend = _of_python(kind, "extend")
    elif issubclass(kind, dict):
        fill = _of_python(kind, "__setitem__")

    def made(keys: tuple[Any, ...], children: list[Any]) -> Any:
        tree = new(kind)
        if issubclass(kind, list):
            extend(tree, children)
            return tree
        for key, child in zip(keys, children, strict=True):
            fill(tree, key, child)
        return tree

    return made


maker_of: Callable[[Any], Callable[[tuple[Any, ...], list[Any]], Any]] = functools.cache(_maker)


def _of_python(kind: Any, name: str) -> Any:
    """Return a method as Python's own class behind this one has it."""
    native = (types.BuiltinFunctionType, types.WrapperDescriptorType, types.MethodDescriptorType)
    return next(vars(base)[name] for base in kind.__mro__ if isinstance(vars(base).get(name), native))
