"""The order of Arrays that are elements of a numpy array of objects.

numpy finds a maximum, a minimum, their places and a sorted order of objects by Python's ``<`` and ``>=``. All of
these are False of a NaN, so a NaN would be left out where numpy's own arrays hand it on. A comparison that numpy's
code asks for is refused therefore, and so is that of a NaN by anything else but an operator in the user's code, such
as ``elements.argmax()``.
"""

from __future__ import annotations

import dis
import types
from typing import Any

import numpy as np

from minimeta.errors import TracingError

_COMPARE = dis.opmap["COMPARE_OP"]


def check_order(frame: types.FrameType, x: Any, y: Any) -> None:
    """Refuse a comparison by which numpy orders objects.

    Parameters
    ----------
    frame
        That which compares.
    x, y
        What it compares.
    """
    if frame.f_code.co_code[frame.f_lasti] == _COMPARE:
        return
    if str(frame.f_globals.get("__name__")).startswith("numpy.") or _is_nan(x) or _is_nan(y):
        raise TracingError(
            "an order of the elements of a numpy array that holds Arrays, as np.max and np.sort of np.array([x0, x1]) "
            "need it: numpy would compare them in Python, and lose a NaN. Join them, and numbers among them, with "
            "np.stack([x0, x1])"
        )


def _is_nan(x: Any) -> bool:
    value = getattr(x, "value", x)
    return isinstance(value, (float, np.ndarray, np.floating)) and bool(np.any(np.isnan(value)))
