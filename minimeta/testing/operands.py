"""Random operands: arrays of a domain, and what a primitive's own ``sample`` draws with.

Every primitive says how to draw operands that it takes, in terms of a few draws
(:class:`minimeta.autodiff.primitive.Draw`). Here these draws are hypothesis's. Shapes are drawn side by side, and
shrink; the elements of an array come from one drawn seed, since they are to be far from each other and from zero, where
functions have kinks and poles.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import DTypeLike, NDArray

from minimeta.autodiff.array import Shape
from minimeta.autodiff.primitive import Primitive

_DOMAINS = {"real": (0.1, 3.0), "nonzero": (0.1, 3.0), "positive": (0.1, 3.0), "unit": (0.05, 0.95)}

_SEEDS = st.integers(0, 2**32 - 1)


def spread(rng: np.random.Generator, shape: Shape, domain: str = "real") -> NDArray[np.float64]:
    """Floats of a domain, in random order: no two are near each other, and none is near 0 or a bound.

    Parameters
    ----------
    rng
        Where they come from.
    shape
        Any shape.
    domain
        ``"real"`` and ``"nonzero"``, of magnitudes in (0.1, 3) and either sign; ``"positive"``; ``"unit"``, of
        magnitudes in (0.05, 0.95).
    """
    low, high = _DOMAINS[domain]
    size = int(np.prod(shape, dtype=np.int64))
    magnitudes = low + (high - low) * (np.arange(size) + rng.uniform(0.2, 0.8, size)) / max(size, 1)
    signs = np.ones(size) if domain == "positive" else rng.choice([-1.0, 1.0], size)
    return np.asarray(rng.permutation(signs * magnitudes).reshape(shape))


def arrays(shape: Shape, dtype: DTypeLike = "float64", domain: str = "real") -> st.SearchStrategy[NDArray[Any]]:
    """Floats of a domain, as :func:`spread` draws them.

    Parameters
    ----------
    shape, domain
        As of :func:`spread`.
    dtype
        float32 or float64.
    """
    return _SEEDS.map(lambda seed: spread(np.random.default_rng(seed), shape, domain).astype(dtype))


class Drawing:
    """Draws from one hypothesis example, as a primitive's ``sample`` asks for them."""

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw
        self._drawn = 0

    def rng(self) -> np.random.Generator:
        """A generator of a drawn seed, another one at each call."""
        self._drawn += 1  # Equal seeds, which hypothesis likes, must not mean equal arrays.
        return np.random.default_rng([self._drawn, self._draw(_SEEDS)])

    def integer(self, low: int, high: int) -> int:
        """An integer in [low, high]."""
        return self._draw(st.integers(low, high))

    def shape(self, low: int = 0, high: int = 3) -> Shape:
        """A shape of low to high axes with sides 0 to 4."""
        return tuple(self._draw(st.lists(st.integers(0, 4), min_size=low, max_size=high)))

    def array(self, shape: Shape, domain: str = "real") -> NDArray[Any]:
        """Floats of a domain, distinct and away from zero."""
        return spread(self.rng(), shape, domain)

    def indices(self, shape: Shape, size: int) -> NDArray[np.int64]:
        """Integers in [-size, size)."""
        return np.asarray(self.rng().integers(-size, size, shape), np.int64)

    def booleans(self, shape: Shape) -> NDArray[np.bool_]:
        """Truth values."""
        return np.asarray(self.rng().integers(0, 2, shape), np.bool_)


@st.composite
def samples(draw: st.DrawFn, primitive: Primitive) -> tuple[tuple[NDArray[Any], ...], dict[str, Any]]:
    """Operands that a primitive takes, and parameters.

    Parameters
    ----------
    primitive
        One of the registry.
    """
    return primitive.sample(Drawing(draw))
