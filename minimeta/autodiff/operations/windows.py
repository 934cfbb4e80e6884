"""Windows: the places of a small rectangle on an image, which convolutions and pooling share.

A window of k rows takes steps of s rows over an image of H rows between p rows of padding above and
q below. Its place u begins at row ``u s - p`` of the image, and its last place still ends within
the padding, so that there are

    H' = floor((H + p + q - k) / s) + 1

of them; columns likewise. ``"VALID"`` is no padding. ``"SAME"`` is as much as makes ``H' = ceil(H /
s)``, the odd row below: TensorFlow's convention, and that of the code released with the papers.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np

from minimeta.autodiff.primitive import Draw
from minimeta.errors import ShapeError

Pair: TypeAlias = tuple[int, int]
Margins: TypeAlias = tuple[int, int, int, int]
Padding: TypeAlias = Literal["SAME", "VALID"] | int | Sequence[Sequence[int]]


def pair(name: str, argument: str, value: int | Sequence[int]) -> Pair:
    """One number for rows and columns, or one for each; at least 1.

    Raises
    ------
    ShapeError
        It is neither.
    """
    try:
        rows, columns = map(operator.index, value if isinstance(value, Sequence) else (value, value))
    except (TypeError, ValueError):
        rows = columns = 0
    if rows < 1 or columns < 1:
        raise ShapeError(
            f"{name}: {argument}={value!r} must be a positive integer, or one for rows and one for columns"
        )
    return rows, columns


def margins(name: str, padding: Padding, sides: Sequence[int], window: Pair, strides: Pair) -> Margins:
    """Rows of padding above and below, columns left and right.

    Raises
    ------
    ShapeError
        It is none of ``"SAME"``, ``"VALID"``, a number, and ``((above, below), (left, right))``.
    """
    if padding == "VALID":
        return 0, 0, 0, 0
    if padding == "SAME":
        total = [
            max((-(-side // stride) - 1) * stride + width - side, 0)
            for side, width, stride in zip(sides, window, strides, strict=True)
        ]
        return total[0] // 2, total[0] - total[0] // 2, total[1] // 2, total[1] - total[1] // 2
    try:
        every: Any = ((padding, padding),) * 2 if not isinstance(padding, Sequence) else padding
        (above, below), (left, right) = (map(operator.index, two) for two in every)
        found = (above, below, left, right)
    except (TypeError, ValueError):
        found = (-1, -1, -1, -1)
    if min(found) < 0:
        raise ShapeError(
            f"{name}: padding={padding!r} must be 'SAME', 'VALID', a number, or ((above, below), (left, right))"
        )
    return found


def places(name: str, sides: Sequence[int], window: Pair, strides: Pair, padding: Margins) -> Pair:
    """How many rows and columns of places there are.

    Raises
    ------
    ShapeError
        The window is larger than the padded image.
    """
    above, below, left, right = padding
    height, width = sides[0] + above + below, sides[1] + left + right
    if not (1 <= window[0] <= height and 1 <= window[1] <= width):
        raise ShapeError(
            f"{name}: a window of {window[0]} x {window[1]} does not fit on an image of {height} x {width} (padding "
            f"included); pad it more, or use padding='SAME'. Images have shape (N, height, width, channels)"
        )
    return (height - window[0]) // strides[0] + 1, (width - window[1]) // strides[1] + 1


def pad(x: Any, padding: Margins, value: float = 0) -> Any:
    """Images (N, H, W, C) between their padding, in numpy."""
    above, below, left, right = padding
    return np.pad(x, ((0, 0), (above, below), (left, right), (0, 0)), constant_values=value)


def cells(padded: Any, window: Pair, strides: Pair, places: Pair) -> Iterator[tuple[Pair, Any]]:
    """For each cell of the window, row by row, a view of the elements under it at all places: (N, H', W', C)."""
    for row in range(window[0]):
        for column in range(window[1]):
            rows = slice(row, row + (places[0] - 1) * strides[0] + 1, strides[0])
            columns = slice(column, column + (places[1] - 1) * strides[1] + 1, strides[1])
            yield (row, column), padded[:, rows, columns]


def sample(draw: Draw, on_image: bool = False) -> tuple[Pair, Pair, dict[str, Any]]:
    """Sides of an image, of its results, and the window, strides and padding between them, for the
    property tests.

    With `on_image` no window lies on padding alone.
    """
    window, results, strides = ((draw.integer(1, 3), draw.integer(1, 3)) for _ in range(3))
    sides, padding = [], []
    for width, count, stride in zip(window, results, strides, strict=True):
        whole = (count - 1) * stride + width + draw.integer(0, stride - 1)
        before = draw.integer(0, min(2, whole) if not on_image else width - 1)
        after = draw.integer(0, min(2, whole - before) if not on_image else min(width - 1, whole - before - 1))
        padding += [before, after]
        sides.append(whole - before - after)
    return (sides[0], sides[1]), results, {"window": window, "strides": strides, "padding": tuple(padding)}
