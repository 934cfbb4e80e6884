"""What the property tests draw with: the ``Draw`` that a primitive's ``sample`` asks for, over hypothesis."""

from typing import Any

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from minimeta.autodiff.primitive import Primitive

Shape = tuple[int, ...]
Sample = tuple[tuple[NDArray[Any], ...], dict[str, Any]]

_DOMAINS = {"real": (0.1, 3.0), "nonzero": (0.1, 3.0), "positive": (0.1, 3.0), "unit": (0.05, 0.95)}


def share(part: float) -> settings:
    """Settings with this part of the profile's examples, for a test that is one of many of its kind."""
    return settings(max_examples=max(1, round(settings().max_examples * part)))


def spread(rng: np.random.Generator, shape: Shape, domain: str = "real") -> NDArray[np.float64]:
    """Floats of a domain, in random order: no two are near each other, and none is near 0 or a bound."""
    low, high = _DOMAINS[domain]
    size = int(np.prod(shape, dtype=np.int64))
    magnitudes = low + (high - low) * (np.arange(size) + rng.uniform(0.2, 0.8, size)) / max(size, 1)
    signs = np.ones(size) if domain == "positive" else rng.choice([-1.0, 1.0], size)
    return np.asarray(rng.permutation(signs * magnitudes).reshape(shape))


class Drawing:
    """Draws from one hypothesis example; shapes shrink, and the elements come from a seed."""

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw
        self._drawn = 0

    def rng(self) -> np.random.Generator:
        self._drawn += 1  # Equal seeds, which hypothesis likes, must not mean equal arrays.
        return np.random.default_rng([self._drawn, self._draw(st.integers(0, 2**32 - 1))])

    def integer(self, low: int, high: int) -> int:
        return self._draw(st.integers(low, high))

    def shape(self, low: int = 0, high: int = 3) -> Shape:
        return tuple(self._draw(st.lists(st.integers(0, 4), min_size=low, max_size=high)))

    def array(self, shape: Shape, domain: str = "real") -> NDArray[Any]:
        return spread(self.rng(), shape, domain)

    def indices(self, shape: Shape, size: int) -> NDArray[np.int64]:
        return np.asarray(self.rng().integers(-size, size, shape), np.int64)

    def booleans(self, shape: Shape) -> NDArray[np.bool_]:
        return np.asarray(self.rng().integers(0, 2, shape), np.bool_)


@st.composite
def samples(draw: st.DrawFn, primitive: Primitive) -> Sample:
    """Legal operands and parameters of a primitive."""
    return primitive.sample(Drawing(draw))


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
