"""Directions and cotangents: along which a Jacobian is looked at, so that nothing in it can hide.

A Jacobian ``J`` is seen through numbers ``<v, J u>``. A wrong entry ``J_ij`` shows as ``v_i u_j``,
so no factor may be near 0, no two entries may cancel by their signs, and no row or column may be
drowned by another's scale. Therefore

- along all coordinates, one by one, where there are few; else along dense directions, array by array;
- components are of random sign and of magnitude 1/2 to 3/2, with all their digits, so that rounding them shows;
- a component of ``u`` has the scale of the element that it moves, and one of ``v`` the inverse scale of the row of
  ``J`` that it weighs: powers of two.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minimeta.autodiff.array import Shape

Floats = NDArray[Any]

FEW = 64
"""Up to how many elements each is a direction."""

DENSE = 2
"""How many dense directions an array has otherwise."""

_DIGITS = 2.0**7
"""One over the last binary digit of a dense direction: of few digits, so that steps along it are exact."""

_WIDEST = 60
"""The largest power of two, or of 1/2, that a scale is brought to."""


def directions(rng: np.random.Generator, point: Sequence[Floats], few: int = FEW) -> list[list[Floats]]:
    """Directions that show every element of a point.

    Parameters
    ----------
    rng
        For signs and magnitudes.
    point
        The arrays.
    few
        Up to how many elements each is a direction.

    Returns
    -------
    list
        Of rows of arrays like the point.
    """
    scales = [power_of_two(x) for x in point]
    found = []
    one_by_one = sum(x.size for x in point) <= few
    for place, scale in enumerate(scales):
        zeros = [np.zeros(x.shape) for x in point]
        if one_by_one:
            for position in np.ndindex(scale.shape):
                row = [x.copy() for x in zeros]
                row[place][position] = scale[position]
                found.append(row)
        elif scale.size:
            for _ in range(DENSE):
                found.append([*zeros[:place], short(rng, scale.shape) * scale, *zeros[place + 1 :]])
    return found


def cotangents(
    rng: np.random.Generator, rows: Sequence[Sequence[Floats]], like: Sequence[NDArray[Any]]
) -> list[Floats]:
    """One cotangent for each output, in its dtype, of the inverse scale of what the output was seen
    to change by.

    Parameters
    ----------
    rng
        For signs and magnitudes.
    rows
        For each direction, the derivatives of all outputs along it.
    like
        The outputs.
    """
    found = []
    for place, y in enumerate(like):
        largest = np.max([np.abs(row[place]) for row in rows], axis=0) if rows else np.ones(y.shape)
        scale = power_of_two(np.asarray(largest), _WIDEST if y.dtype == np.float64 else _WIDEST // 3)
        found.append((component(rng, y.shape) / scale).astype(y.dtype))
    return found


def described(direction: Sequence[Any], names: Sequence[str]) -> str:
    """Return what moves along a direction: ``w[0, 1]``, or all elements of some arguments."""
    moving = [(name, np.asarray(u)) for name, u in zip(names, direction, strict=True) if np.any(u)]
    if len(moving) == 1 and np.count_nonzero(moving[0][1]) == 1:
        name, u = moving[0]
        position = ", ".join(str(int(i[0])) for i in np.nonzero(np.atleast_1d(u)))
        return f"{name}[{position}]" if u.ndim else name
    return f"all elements of {', '.join(name for name, _ in moving)}"


def component(rng: np.random.Generator, shape: Shape) -> Floats:
    """Draw numbers of random sign, of magnitude 1/2 to 3/2."""
    return np.asarray(rng.choice([-1.0, 1.0], shape) * rng.uniform(0.5, 1.5, shape))


def short(rng: np.random.Generator, shape: Shape) -> Floats:
    """Draw such numbers, rounded to few digits."""
    return np.asarray(np.round(component(rng, shape) * _DIGITS) / _DIGITS)


def power_of_two(x: Floats, widest: int = 1000) -> Floats:
    """Return the power of two below each magnitude; 1 for what is 0 or not finite."""
    x = np.abs(np.asarray(x, np.float64))
    usual = np.isfinite(x) & (x > 0)
    exponents = np.floor(np.log2(np.where(usual, x, 1.0)))
    return np.asarray(np.exp2(np.clip(exponents, -widest, widest)))
