"""What decides a training, read off the objects that it is given.

A learner, an optimiser and a distribution of tasks are values: dataclasses, tuples and partial
functions of numbers. Written down by their paths, as in ``learner.inner_learning_rate: 0.01``, they
say whether a training goes on with what it began with, and if not, what differs.

Functions are known by their names and by what they take from around them, not by their code. Private
attributes are left out, because they may hold what an object has computed.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import types
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

#: Elements of an array up to which its values are compared; of a longer one, dtype and shape.
_MOST = 2**22


def settings_of(name: str, value: Any) -> dict[str, Any]:
    """Return all settings in a value, by their paths, representable in JSON.

    Parameters
    ----------
    name
        The path of the value.
    value
        The value; equal ones have equal settings, in every process.
    """
    return dict(_walk(name, value, ()))


def _walk(name: str, value: Any, around: tuple[int, ...]) -> Iterator[tuple[str, Any]]:
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | str):
        yield name, value
    elif isinstance(value, float):
        yield name, repr(value)  # NaN differs from itself, and -0.0 does not from 0.0
    elif isinstance(value, np.ndarray):
        yield name, _array(value)
    elif id(value) in around or isinstance(value, type | types.BuiltinFunctionType | np.ufunc):
        yield name, getattr(value, "__qualname__", type(value).__qualname__)
    else:
        yield name, getattr(value, "__qualname__", type(value).__qualname__)
        for part, each in _parts(value).items():
            yield from _walk(f"{name}.{part}", each, (*around, id(value)))


def _array(value: np.ndarray[Any, Any]) -> str:
    form = f"{value.dtype}{list(value.shape)}"
    if value.size > _MOST or value.dtype.hasobject:
        return form
    return f"{form} {hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()[:16]}"


def _parts(value: Any) -> dict[str, Any]:
    """Return what a value is made of, by name."""
    if isinstance(value, functools.partial):
        return {"function": value.func, **_parts(value.args), **value.keywords}
    if isinstance(value, types.MethodType):
        return {"self": value.__self__}
    if isinstance(value, types.FunctionType):
        cells = zip(value.__code__.co_freevars, value.__closure__ or (), strict=True)
        taken = {name: cell.cell_contents for name, cell in cells if cell != types.CellType()}
        return {**taken, **_parts(value.__defaults__ or ()), **(value.__kwdefaults__ or {})}
    if isinstance(value, Mapping):
        return {str(key): each for key, each in value.items()}
    if isinstance(value, tuple | list):
        return dict(zip(getattr(value, "_fields", map(str, range(len(value)))), value, strict=True))
    if dataclasses.is_dataclass(value):
        fields = [field.name for field in dataclasses.fields(value)]
    else:
        fields = list(getattr(value, "__dict__", {}))
    return {name: getattr(value, name) for name in fields if not name.startswith("_") and hasattr(value, name)}
