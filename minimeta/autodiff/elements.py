"""Numpy arrays of Arrays: what ``np.array([x0, x1])`` and ``np.asarray(x)`` return inside of a
transformation.

numpy cannot make an Array. But an array of dtype object holds its elements, each an Array of its own
with its place in the graph, so no derivative is lost; numpy computes with it element by element, by
the operators and the methods of the elements. Where such an array meets an Array or an operation,
its elements are joined to one Array:

    np.array([x[0], x[1]]) * x        multiply(join(x[0], x[1]), x)

Conversion to a dtype of numbers needs the numbers themselves, and is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minimeta.autodiff.array import Array


def elements(x: Array) -> NDArray[Any]:
    """Return a numpy array of dtype object that holds the elements of an Array."""
    found = np.empty(max(x.size, 1), object)
    if x.shape == ():
        found[0] = x
    else:
        for place, index in enumerate(np.ndindex(x.shape)):
            found[place] = x[index]
    return found[: x.size].reshape(x.shape)


def holds_arrays(x: Any) -> bool:
    """Return whether something is a numpy array that holds Arrays."""
    return type(x) is np.ndarray and x.dtype == object and any([type(part) is Array for part in x.flat])


def joined(x: NDArray[Any]) -> Any:
    """Return one Array of the elements of a numpy array that holds Arrays."""
    parts = [np.reshape(part, (1,)) if type(part) is Array else np.full(1, part) for part in x.flat]
    return np.reshape(np.concatenate(parts), x.shape)


def all_joined(operands: Sequence[Any]) -> list[Any] | None:
    """Return operands of which those that hold Arrays are joined; None if there are none."""
    if not any([holds_arrays(x) or (type(x) in (list, tuple) and any(map(holds_arrays, x))) for x in operands]):
        return None
    return [
        joined(x)
        if holds_arrays(x)
        else type(x)([joined(part) if holds_arrays(part) else part for part in x])
        if type(x) in (list, tuple)
        else x
        for x in operands
    ]
