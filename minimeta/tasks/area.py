"""105 x 105 pixels of ink or paper at 28 x 28: an area average that is exact.

Few-shot learners see Omniglot's drawings at 28 x 28 (Vinyals et al. 2016). Since 105 * 4 = 28 * 15,
cutting each pixel in 4 x 4 makes each small pixel exactly 15 x 15 = 225 of these pieces, and its
grey a count

    ink[i, j] = sum over p, q of W[i, p] [pixel (p, q) is ink] W[j, q],    from 0 to 225
    W[i, p] = how many of the quarters 15 i, ..., 15 i + 14 are among 4 p, ..., 4 p + 3

with no filter to choose and nothing to round: the same eight bits on every machine. (The code
released with Finn et al. 2017 uses the Lanczos filter of the Python Imaging Library, that of Nichol
et al. 2018 its default filter.)
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

DRAWN_SIDE = 105
SIDE = 28

FULL_INK = 225
"""The value of a wholly inked pixel."""


def area_average(ink: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Count the inked sixteenths of pixels under each of 28 x 28 pixels.

    Parameters
    ----------
    ink
        Shape ``(..., 105, 105)``, True for ink.

    Returns
    -------
    ndarray
        Shape ``(..., 28, 28)``, uint8, from 0 to 225.
    """
    rows = _shrink(ink.view(np.uint8))
    return _shrink(rows.swapaxes(-1, -2)).swapaxes(-1, -2)


def _shrink(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Multiply the second-last axis by W: (..., 105, columns) to (..., 28, columns).

    W repeats itself: every 15 pixels make 4, in the same way. A pixel that straddles a border gives
    3 + 1 or 2 + 2 of its quarters to the two sides.
    """
    *leading, _, columns = pixels.shape
    p = np.moveaxis(pixels.reshape(*leading, 7, 15, columns), -2, 0)
    small = np.empty((*leading, 7, 4, columns), np.uint8)
    small[..., 0, :] = 4 * (p[0] + p[1] + p[2]) + 3 * p[3]
    small[..., 1, :] = p[3] + 4 * (p[4] + p[5] + p[6]) + 2 * p[7]
    small[..., 2, :] = 2 * p[7] + 4 * (p[8] + p[9] + p[10]) + p[11]
    small[..., 3, :] = 3 * p[11] + 4 * (p[12] + p[13] + p[14])
    return small.reshape(*leading, SIDE, columns)
