"""Random operands: arrays of a domain, and what a primitive's own ``sample`` draws with.

Every primitive says how to draw operands that it takes, in terms of a few draws
(:class:`minimeta.autodiff.primitive.Draw`). Here these draws are hypothesis's, or come from a seed.
Shapes are drawn side by side, and shrink; the elements of an array come from one drawn seed, since
they are to be far from each other and from zero, where functions have kinks and poles.
"""

from __future__ import annotations

import functools
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from minimeta.autodiff.array import Shape
from minimeta.errors import ConfigurationError, MissingExtraError

if TYPE_CHECKING:
    from hypothesis.strategies import DrawFn

Domain: TypeAlias = str | tuple[float, float]
Ties: TypeAlias = Literal["forbid", "any", "force"]

_DOMAINS = {"real": (0.1, 3.0), "nonzero": (0.1, 3.0), "positive": (0.1, 3.0), "unit": (0.05, 0.95)}


def spread(rng: np.random.Generator, shape: Shape, domain: Domain = "real") -> NDArray[np.float64]:
    """Draw floats of a domain, in random order: no two are near each other, and none is near 0 or a
    bound.

    Parameters
    ----------
    rng
        Where they come from.
    shape
        Any shape.
    domain
        ``"real"`` and ``"nonzero"``, of magnitudes in (0.1, 3) and either sign; ``"positive"``;
        ``"unit"``, of magnitudes in (0.05, 0.95); or two bounds.

    Raises
    ------
    ConfigurationError
        Another domain.
    """
    if isinstance(domain, str) and domain not in _DOMAINS:
        raise ConfigurationError(f"domain={domain!r} is none of {', '.join(_DOMAINS)}, nor a pair of bounds")
    low, high = _DOMAINS[domain] if isinstance(domain, str) else domain
    size = int(np.prod(shape, dtype=np.int64))
    magnitudes = low + (high - low) * (np.arange(size) + rng.uniform(0.2, 0.8, size)) / max(size, 1)
    signed = isinstance(domain, str) and domain != "positive"
    signs = rng.choice([-1.0, 1.0], size) if signed else np.ones(size)
    return np.asarray(rng.permutation(signs * magnitudes).reshape(shape))


def tied(rng: np.random.Generator, x: NDArray[Any], ties: Ties) -> NDArray[Any]:
    """Return the array, some of its elements made equal: two at least with ``"force"``, perhaps with ``"any"``."""
    if ties == "forbid" or x.size < 2 or (ties == "any" and rng.integers(2)):
        return x
    chosen = rng.permutation(x.size)[: rng.integers(2, x.size + 1)]
    flat = x.ravel().copy()
    flat[chosen] = flat[chosen[0]]
    return np.asarray(flat.reshape(x.shape))


def laid_out(rng: np.random.Generator, x: NDArray[Any]) -> NDArray[Any]:
    """Return the same elements in a buffer that is strided, reversed, transposed or read-only, or several of these."""
    axes = rng.permutation(x.ndim)
    wide = np.zeros([2 * x.shape[axis] for axis in axes], x.dtype)
    keys: tuple[Any, ...] = tuple(
        (slice(None, None, 2), slice(None, None, -2), slice(n), slice(None, n - 1, -1))[rng.integers(4)]
        for n in (x.shape[axis] for axis in axes)
    )
    other = np.asarray(wide[(*keys, ...)]).transpose(np.argsort(axes))
    other[...] = x
    other.flags.writeable = bool(rng.integers(2))
    return other


class Drawing:
    """Draws from one hypothesis example, as a primitive's ``sample`` asks for them."""

    def __init__(self, draw: DrawFn) -> None:
        self._draw = draw
        self._drawn = 0

    def rng(self) -> np.random.Generator:
        """Return a generator of a drawn seed, another one at each call."""
        self._drawn += 1  # Equal seeds, which hypothesis likes, must not mean equal arrays.
        return np.random.default_rng([self._drawn, self._integer(0, 2**32 - 1)])

    def integer(self, low: int, high: int) -> int:
        """Draw an integer in [low, high]."""
        return self._integer(low, high)

    def _integer(self, low: int, high: int) -> int:
        found: int = self._draw(_integers(low, high))
        return found

    def shape(self, low: int = 0, high: int = 3) -> Shape:
        """Draw a shape of low to high axes with sides 0 to 4."""
        strategies = _strategies()
        return tuple(self._draw(strategies.lists(strategies.integers(0, 4), min_size=low, max_size=high)))

    def array(self, shape: Shape, domain: Domain = "real") -> NDArray[Any]:
        """Draw floats of a domain, distinct and away from zero."""
        return spread(self.rng(), shape, domain)

    def indices(self, shape: Shape, size: int) -> NDArray[np.int64]:
        """Integers in [-size, size)."""
        return np.asarray(self.rng().integers(-size, size, shape), np.int64)

    def booleans(self, shape: Shape) -> NDArray[np.bool_]:
        """Truth values."""
        return np.asarray(self.rng().integers(0, 2, shape), np.bool_)


class Seeded(Drawing):
    """The same draws from a seed, where there is no hypothesis, or no need to shrink."""

    def __init__(self, *seed: int) -> None:
        self._rng = np.random.default_rng(seed)

    def rng(self) -> np.random.Generator:
        """Return the one generator."""
        return self._rng

    def _integer(self, low: int, high: int) -> int:
        return int(self._rng.integers(low, high, endpoint=True))

    def shape(self, low: int = 0, high: int = 3) -> Shape:
        """Draw a shape of low to high axes with sides 0 to 4."""
        return tuple(self._integer(0, 4) for _ in range(self._integer(low, high)))


def require_hypothesis() -> None:
    """Make sure that hypothesis is there.

    Raises
    ------
    MissingExtraError
        It is not.
    """
    if find_spec("hypothesis") is None:
        raise MissingExtraError("minimeta.testing needs hypothesis for this: pip install 'minimeta[test]'")


@functools.lru_cache(4096)
def _integers(low: int, high: int) -> Any:
    return _strategies().integers(low, high)


def _strategies() -> Any:
    require_hypothesis()
    from hypothesis import strategies  # noqa: PLC0415 (an extra)

    return strategies
