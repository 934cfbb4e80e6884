"""Strategies of the property tests that are not public in ``minimeta.testing``."""

from typing import Any

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from minimeta.testing import Drawing, samples, spread

__all__ = ["Drawing", "drawings", "layouts", "samples", "share", "spread"]


def share(part: float) -> settings:
    """Return settings with a part of the profile's examples, for a test that is one of many of its kind."""
    return settings(max_examples=max(1, round(settings().max_examples * part)))


@st.composite
def drawings(draw: st.DrawFn) -> Drawing:
    """A drawing, for tests that choose their own operands."""
    return Drawing(draw)


@st.composite
def layouts(draw: st.DrawFn, x: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """The same elements twice: contiguous in memory of their own, and laid out in another way."""
    if x.ndim and x.size and draw(st.booleans()):
        x = np.broadcast_to(x[:1], x.shape)
        other = x
    else:
        axes = draw(st.permutations(range(x.ndim)))
        offset = draw(st.sampled_from([0, 0, 1]))
        buffer = np.zeros(offset + x.itemsize * int(np.prod([2 * side for side in x.shape])), np.uint8)
        wide = buffer[offset:].view(x.dtype).reshape([2 * x.shape[axis] for axis in axes])
        # Of twice as many places, every second one (from either end) or one half (in either order).
        keys: tuple[Any, ...] = tuple(
            draw(st.sampled_from([slice(None, None, 2), slice(None, None, -2), slice(n), slice(None, n - 1, -1)]))
            for n in (x.shape[axis] for axis in axes)
        )
        other = np.asarray(wide[(*keys, ...)]).transpose(np.argsort(axes))
        other[...] = x
    if draw(st.booleans()):
        other = other.view()
        other.flags.writeable = False
    if draw(st.integers(0, 5)) == 0:
        other = other.astype(other.dtype.newbyteorder())
    return np.array(x, order="C"), other
