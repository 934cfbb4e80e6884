"""Strategies: what the arguments of a property-based test are drawn from.

Each is written once, as a function of a :class:`~minimeta.testing.Drawing`. With hypothesis
installed it is a strategy like any other, which shrinks and composes; without, a
:class:`SeededStrategy` that gives one example for each seed.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from minimeta.autodiff import tree
from minimeta.autodiff.array import Shape
from minimeta.autodiff.primitive import Primitive
from minimeta.testing.constrained import Constrained
from minimeta.testing.operands import Domain, Drawing, Seeded, Ties, laid_out, spread, tied


class SeededStrategy:
    """One example for each seed."""

    def __init__(self, make: Callable[[Drawing], Any]) -> None:
        self._make = make

    def example(self, seed: int = 0) -> Any:
        """Return the example of a seed."""
        return self._make(Seeded(seed))


def drawn(make: Callable[[Drawing], Any]) -> Any:
    """Return a strategy from a function of a drawing to a value.

    Returns
    -------
    hypothesis.strategies.SearchStrategy, or SeededStrategy without hypothesis
    """
    if find_spec("hypothesis") is None:
        return SeededStrategy(make)
    from hypothesis import strategies as st  # noqa: PLC0415 (an extra)

    return st.composite(lambda draw: make(Drawing(draw)))()


def arrays(
    shape: Shape | None,
    dtype: DTypeLike = "float64",
    domain: Domain = "real",
    ties: Ties = "forbid",
    layout: bool = False,
) -> Any:
    """Draw floats of a domain.

    Parameters
    ----------
    shape
        A shape; None for any of up to three axes with sides 0 to 4.
    dtype
        float32 or float64.
    domain
        ``"real"`` and ``"nonzero"``, of magnitudes in (0.1, 3) and either sign; ``"positive"``;
        ``"unit"``, of magnitudes in (0.05, 0.95); or two bounds. No element is near 0 or a bound.
    ties
        Whether elements are equal: ``"forbid"``, ``"any"`` or ``"force"``. Without ties no two are
        near each other.
    layout
        Whether the buffer may be strided, reversed, transposed or read-only.
    """

    def make(drawing: Drawing) -> NDArray[Any]:
        chosen = drawing.shape() if shape is None else shape
        rng = drawing.rng()
        x = tied(rng, spread(rng, chosen, domain), ties).astype(dtype)
        return laid_out(rng, x) if layout else x

    return drawn(make)


def broadcastable(count: int = 2, dtype: DTypeLike = "float64", domain: Domain = "real") -> Any:
    """Tuples of arrays whose shapes broadcast to one: leading axes may be missing, and sides be 1.

    Parameters
    ----------
    count
        How many arrays.
    dtype, domain
        As of :func:`arrays`.
    """

    def make(drawing: Drawing) -> tuple[NDArray[Any], ...]:
        whole = drawing.shape()
        shapes = []
        for _ in range(count):
            kept = whole[drawing.integer(0, len(whole)) :]
            shapes.append(tuple(1 if drawing.integer(0, 1) else side for side in kept))
        return tuple(drawing.array(shape, domain).astype(dtype) for shape in shapes)

    return drawn(make)


def like(template: Any, domain: Domain = "real") -> Any:
    """Trees like a template: the same containers, shapes and dtypes, and new floats; other leaves
    are kept.

    Parameters
    ----------
    template
        Nested parameters.
    domain
        As of :func:`arrays`.
    """

    def make(drawing: Drawing) -> Any:
        rng = drawing.rng()

        def leaf(x: Any) -> Any:
            value = np.asarray(x)
            return spread(rng, value.shape, domain).astype(value.dtype) if value.dtype.kind == "f" else x

        return tree.map(leaf, template)

    return drawn(make)


def symmetric(size: int) -> Any:
    """Symmetric matrices."""
    return _constrained("symmetric", (size, size))


def positive_definite(size: int) -> Any:
    """Symmetric matrices whose eigenvalues are 1 at least."""
    return _constrained("positive definite", (size, size))


def orthogonal(size: int) -> Any:
    """Orthogonal matrices."""
    return _constrained("orthogonal", (size, size))


def simplex(size: int) -> Any:
    """Vectors of positive numbers whose sum is 1."""
    return _constrained("simplex", (size,))


def one_hot(classes: int, count: int | None = None) -> Any:
    """One-hot vectors: one, or a row of as many as ``count``."""
    shape = () if count is None else (count,)
    return drawn(lambda drawing: Constrained(drawing.indices(shape, classes) % classes, "one-hot", classes))


def _constrained(kind: str, shape: Shape) -> Any:
    return drawn(lambda drawing: Constrained(drawing.array(shape), kind))


def samples(primitive: Primitive) -> Any:
    """Operands that a primitive takes, and parameters: a tuple of arrays and a dict."""
    return drawn(primitive.sample)
