"""Reproduce: a call with its arguments, as Python that can be pasted and gives the same bits.

Floats are written in hexadecimal, as ``float.hex`` does, since decimals that are short are not
exact; large arrays are written by their bytes.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

_WRITTEN_OUT = 64
"""Up to how many elements an array is written as numbers."""

_MOST = 4096
"""Beyond how many it is not written at all."""


def call(
    check: str, functions: tuple[Callable[..., Any], ...], arguments: tuple[Any, ...], options: Mapping[str, object]
) -> str:
    """Return the statements that make a check again; a function without a name is called ``function``."""
    given = [_name(function) for function in functions]
    given += [*map(literal, arguments), *(f"{name}={value}" for name, value in options.items())]
    statement = f"{check}({', '.join(given)})"
    names = ["Constrained", check] if "Constrained(" in statement else [check]
    return f"import numpy as np\nfrom minimeta.testing import {', '.join(names)}\n{statement}"


def _name(function: Callable[..., Any]) -> str:
    # What is made from a function (by custom_vjp, grad) has its name, by which the other one would
    # be checked again.
    name = str(getattr(function, "__name__", ""))
    module = sys.modules.get(getattr(function, "__module__", None) or "")
    is_another = hasattr(function, "__wrapped__") and getattr(module, name, None) is not function
    return name if name.isidentifier() and not is_another else "function"


def literal(x: Any) -> str:
    """Return an expression of the same value: trees of arrays and numbers."""
    if isinstance(x, (np.ndarray, np.generic)):
        return _array(np.asarray(x))
    if isinstance(x, float):
        return _float(x)
    if isinstance(x, dict):
        return "{" + ", ".join(f"{key!r}: {literal(value)}" for key, value in x.items()) + "}"
    if isinstance(x, tuple):
        children = ", ".join(map(literal, x))
        return f"{type(x).__name__}({children})" if hasattr(x, "_fields") else f"({children}{',' * (len(x) == 1)})"
    if isinstance(x, list):
        return f"[{', '.join(map(literal, x))}]"
    if dataclasses.is_dataclass(x) and not isinstance(x, type):
        fields = ", ".join(f"{f.name}={literal(getattr(x, f.name))}" for f in dataclasses.fields(x))
        return f"{type(x).__name__}({fields})"
    return repr(x)


def _array(x: np.ndarray[Any, Any]) -> str:
    if x.size > _MOST:
        return f"...  # an array {x.dtype}{list(x.shape)}"
    if x.size > _WRITTEN_OUT:
        return f"np.frombuffer(bytes.fromhex({x.tobytes().hex()!r}), {x.dtype.str!r}).reshape({x.shape})"
    if x.dtype.kind != "f":
        return f"np.array({x.tolist()}, {x.dtype.name!r})"
    return f"np.array([{', '.join(map(_float, x.ravel().tolist()))}], {x.dtype.name!r}).reshape({x.shape})"


def _float(x: float) -> str:
    return f"float.fromhex({x.hex()!r})"
