"""What tells apart values that Python calls equal.

A program depends on its static values, and is found again by them, but Python's ``==`` is too
generous to be what finds it: ``1 == True == 1.0``, ``0.0 == -0.0``, and two objects are equal if
their parts are. The *exact type* of a value is its class and, part by part, those of what it is
made of; where a class says by ``repr`` more than by ``==`` does, it is what ``repr`` says, too
(``0.0`` and ``-0.0``, ``Decimal("1.0")`` and ``Decimal("1.00")``). Two values are the same for
every program if they are equal, and their exact types are.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Iterable
from typing import Any

#: Classes whose equals are the same.
_PLAIN = frozenset({bool, int, str, bytes, types.MethodType, types.BuiltinFunctionType, types.MethodWrapperType})


def exact_type(x: Any) -> Any:
    """Return what tells apart values that Python calls equal.

    Parameters
    ----------
    x
        Any value. What it is made of are the elements of a tuple, a list, a set or a dict, the
        fields of a dataclass that it is compared by, and the attributes of an object that has an
        ``==`` of its own.

    Returns
    -------
    object
        Hashable.

    Examples
    --------
    >>> exact_type((1, 0.0)) == exact_type((True, 0.0)), exact_type((1, 0.0)) == exact_type((1, -0.0))
    (False, False)
    """
    kind: Any = type(x)
    return kind if kind in _PLAIN or kind.__eq__ is object.__eq__ else _described(x, ())


def _described(x: Any, outer: tuple[int, ...]) -> Any:
    """Return the same for a value inside of others, given their identities."""
    kind: Any = type(x)
    if kind in _PLAIN or kind.__eq__ is object.__eq__ or id(x) in outer:
        return kind

    def each(parts: Iterable[Any]) -> tuple[Any, ...]:
        return tuple([_described(part, (*outer, id(x))) for part in parts])

    if isinstance(x, (tuple, list)):
        kinds = tuple(map(type, x))
        return kind, kinds if _PLAIN.issuperset(kinds) else each(x)
    if isinstance(x, (set, frozenset)):
        return kind, frozenset(zip(x, each(x), strict=True))
    if isinstance(x, dict):
        return kind, frozenset(zip(x, each(x), each(x.values()), strict=True))
    if dataclasses.is_dataclass(x):
        return kind, each(getattr(x, field.name) for field in dataclasses.fields(x) if field.compare)
    if isinstance(x, float):
        return kind, float.__repr__(x)
    if isinstance(kind.__repr__, types.WrapperDescriptorType) and kind.__repr__ is not object.__repr__:
        return kind, repr(x)  # of a class written in C, which knows its value alone
    state = object.__getstate__(x)  # (attributes, slots), or attributes, or None
    parts = state if type(state) is tuple else (state,)
    attributes = {name: value for part in parts for name, value in (part or {}).items()}
    return kind, *sorted(zip(attributes, each(attributes.values()), strict=True), key=lambda pair: pair[0])
