"""Numpy arrays of Arrays: what ``np.array([x0, x1])`` and ``np.asarray(x)`` return inside of a
transformation.

numpy cannot make an Array. But an array of dtype object holds its elements, each an Array of its own
with its place in the graph, so no derivative is lost; numpy computes with it element by element, by
the operators and the methods of the elements. Where such an array meets an Array or an operation,
its elements are joined to one Array:

    np.array([x[0], x[1]]) * x        multiply(join(x[0], x[1]), x)

Conversion to a dtype of numbers needs the numbers themselves, and is refused. Numbers among the
elements stay Python's, which know no ``exp`` and do not divide by 0: numpy's error about them becomes
one that says what to write, ``np.stack([x[0], 1.0])``. So does an order of the elements (``max``,
``argmax``, ``sort``), which numpy would find by Python's comparisons, and they lose a NaN.
"""

from __future__ import annotations

import contextlib
import importlib
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minimeta.autodiff import tree
from minimeta.autodiff.array import Array, Trace
from minimeta.errors import IndexingError, MinimetaError, TracingError, raising_line

_LIBRARY = __name__.partition(".")[0]

#: How numpy says that it cannot compute with elements that are objects.
_OF_OBJECTS = re.compile(
    r"which has no callable|object arrays are not supported|dtype\('O'\)|not supported for the input types"
    r"|setting an array element with a sequence"
)


def elements(x: Array, own: bool = True) -> NDArray[Any]:
    """Return a numpy array of dtype object that holds the elements of an Array.

    One that is not the caller's own is what ``np.asarray`` returns, which is the Array itself in
    numpy. So it cannot be written to, and it holds the Array, which is not changed in place then.
    """
    if x.transformation is not None:
        x.transformation.held = True
    found = np.empty(max(x.size, 1) + (not own), object)
    if x.shape == ():
        found[0] = x
    else:
        for place, index in enumerate(np.ndindex(x.shape)):
            found[place] = x[index]
    if not own:
        found[-1] = x
        found.flags.writeable = False
    return found[: x.size].reshape(x.shape)


def holds_arrays(x: Any) -> bool:
    """Return whether something is a numpy array that holds Arrays."""
    return type(x) is np.ndarray and x.dtype == object and any([type(part) is Array for part in x.flat])


def joined(x: NDArray[Any]) -> Any:
    """Return one Array of the elements of a numpy array that holds Arrays."""
    parts = [np.reshape(part, (1,)) if type(part) is Array else np.full(1, part) for part in x.flat]
    return np.reshape(np.concatenate(parts), x.shape)


def joined_or_same(x: Any) -> Any:
    """Return a numpy array that holds Arrays as one Array, and anything else as it is."""
    return joined(x) if holds_arrays(x) else x


def joined_leaves(output: Any) -> Any:
    """Return a tree of which the leaves that hold Arrays are joined."""
    if type(output) is Array:
        return output
    leaves, structure = tree.flatten(output)
    return tree.unflatten(structure, list(map(joined_or_same, leaves))) if any(map(holds_arrays, leaves)) else output


def call(function: Callable[..., Any], leaves: Sequence[Array], structure: tree.Structure, trace: Trace) -> Any:
    """Call a user's function on Arrays of a trace, which ends with it.

    Parameters
    ----------
    function
        The function.
    leaves, structure
        Its arguments: their leaves, and the tree of them.
    trace
        That of the leaves.

    Returns
    -------
    object
        The output, whose leaves that hold Arrays are joined. An error of numpy's about objects is explained.
    """
    try:
        return joined_leaves(function(*tree.unflatten(structure, leaves)))
    except (ArithmeticError, IndexError, TypeError, ValueError) as error:
        cause = _explained(error, trace)
        try:
            if cause is not error:
                raise cause from None
            raise
        finally:
            del cause  # This frame, its error and the traceback would hold each other.
    finally:
        trace.open = False


def _explained(error: Exception, trace: Trace) -> Exception:
    """Return what a user's function has raised, or the error that says what numpy's means."""
    if (name := _of_scipys(error)) and (isinstance(error, TracingError) or _OF_OBJECTS.search(str(error))):
        return TracingError(
            f"{name} of an Array makes numpy arrays of what it gets, which would lose its derivative. "
            f"{_in_place_of(name)}",
            raising_line(error),
        )
    if isinstance(error, MinimetaError):
        return error
    if isinstance(error, ValueError) and isinstance(error.__cause__, MinimetaError):
        return error.__cause__  # Of y[i] = x, which numpy hides behind an error of its own.
    if isinstance(error, IndexError) and str(error).startswith("only integers, slices"):
        return IndexingError(
            f"{error}; and numpy knows no values of an Array i here. Where it is the index of a numpy array x, write "
            "minimeta.take(x, i, axis=0) in place of x[i]",
            raising_line(error),
        )
    if trace.held and "read-only" in str(error):
        return TracingError(
            f"{error}. So is np.asarray(x) of an Array x: it is x itself in numpy, and would change with it. "
            "Take a copy first, np.array(x)",
            raising_line(error),
        )
    if not trace.held or not (isinstance(error, ZeroDivisionError) or _OF_OBJECTS.search(str(error))):
        return error
    return TracingError(
        f"numpy cannot compute with elements that are objects, as those of np.array([x0, x1]), np.full(n, x0) and "
        f"np.asarray(x) are where an x is an Array ({type(error).__name__}: {error}). Join them, and numbers among "
        "them, with np.stack([x0, x1]), which is an Array",
        raising_line(error),
    )


def _in_place_of(name: str) -> str:
    """Return what to write for a function of scipy's."""
    _, package, function = name.split(".")
    with contextlib.suppress(ModuleNotFoundError):
        if hasattr(importlib.import_module(f"{_LIBRARY}.{package}"), function):
            return f"Write {_LIBRARY}.{package}.{function}"
    return f"Write it with functions that have derivatives, or let custom_vjp call {name} on values, and give it a rule"


def _of_scipys(error: Exception) -> str:
    """Return the name of the function of scipy's that an error comes from; of others it is empty."""
    name, traceback = "", error.__traceback__
    while traceback is not None:
        frame = traceback.tb_frame
        modules = str(frame.f_globals.get("__name__")).split(".")
        if modules[0] == "scipy":
            public = ".".join(modules[:2])
            if not name and hasattr(sys.modules.get(public), frame.f_code.co_name):
                name = f"{public}.{frame.f_code.co_name}"
        elif modules[0] not in ("numpy", _LIBRARY):
            name = ""  # scipy has called a function of the user's.
        traceback = traceback.tb_next
    return name


def all_joined(operands: Sequence[Any]) -> list[Any] | None:
    """Return operands of which those that hold Arrays are joined; None if there are none."""
    found = [type(x)(map(joined_or_same, x)) if type(x) in (list, tuple) else joined_or_same(x) for x in operands]
    parts = [part for x in operands for part in (x if type(x) in (list, tuple) else (x,))]
    return found if any(map(holds_arrays, parts)) else None
