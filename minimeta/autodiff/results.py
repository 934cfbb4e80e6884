"""Results of a transformation: what a caller receives, and what must be true of it.

Inside a transformation that is still open a result is an Array; otherwise it is a numpy array,
writable, contiguous and of memory that nothing else has.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minimeta.autodiff import tree
from minimeta.autodiff.apply import outermost
from minimeta.autodiff.array import Array, Form
from minimeta.autodiff.promotion import array_of, fixed
from minimeta.errors import DtypeError, ShapeError


def settle(x: Any) -> Any:
    """Return a result as its caller receives it: an Array inside a transformation, else numpy's."""
    if type(x) is Array and type(x.value) is Form:
        outermost((x,))  # It has no value to return, should its transformation have ended.
        return x
    if type(x) is Array and x.transformation is not None and x.transformation.open:
        return x
    return np.array(x.value if type(x) is Array else fixed(x, False), order="C")


def settle_gradients(aliases: Sequence[Array], found: Sequence[Array | None]) -> list[Any]:
    """Return the cotangents of a recording's aliases as their caller receives them."""
    return [np.zeros(x.shape, x.dtype) if g is None else settle(g) for x, g in zip(aliases, found, strict=True)]


def check_scalar(outputs: Sequence[Any], structure: tree.Structure, has_aux: bool) -> None:
    """Refuse what ``grad`` cannot differentiate: outputs that are not one float of shape ``()``."""
    if structure.kind != "leaf":
        hint = "" if has_aux else "; to return something more than the value, use has_aux=True"
        kind = getattr(structure.kind, "__name__", "None")
        raise ShapeError(f"grad of a function that returns a {kind}: it must return one scalar{hint}")
    value = outputs[0] if isinstance(outputs[0], (Array, np.ndarray)) else np.asarray(outputs[0])
    if value.shape != ():
        raise ShapeError(
            f"grad of a function that returns shape {value.shape}: it must return a scalar, of shape (). Reduce it "
            "with sum or mean, or use jacobian or vjp"
        )
    if value.dtype.kind != "f":
        raise DtypeError(
            f"grad of a function that returns dtype {value.dtype.name}: it must return a float; convert with astype"
        )


def cotangents_like(outputs: Sequence[Any], cotangents: Sequence[Any]) -> list[Array | None]:
    """Return cotangents in the dtypes of the outputs that they belong to; None for integers and
    truth values.

    Raises
    ------
    ShapeError
        A cotangent has another shape than its output.
    """
    given: list[Array | None] = []
    for i, (y, g) in enumerate(zip(outputs, cotangents, strict=True)):
        value = y.value if type(y) is Array else np.asarray(y)
        if value.dtype.kind != "f":
            given.append(None)
            continue
        array = array_of(g, value.dtype)
        if array.shape != value.shape:
            raise ShapeError(f"pullback: output {i} has shape {value.shape}, but its cotangent has shape {array.shape}")
        given.append(array)
    return given
