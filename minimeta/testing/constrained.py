"""Constrained arrays: points of a set that is no box, moved without leaving it.

To perturb one entry of a symmetric matrix gives one that is not symmetric, and a function of
symmetric matrices need not have a derivative there. So what is perturbed is a free parameter ``z``,
and the function sees ``x(z)``:

    symmetric            (z + z^T) / 2
    positive definite    z z^T / n + I
    orthogonal           H_1 ... H_n,    H_i = I - 2 z_i z_i^T / |z_i|^2    (Householder reflections, one a row)
    simplex              exp(z) / sum exp(z)
    one-hot              e_z of a whole number z, which does not move
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minimeta.autodiff.operations.conversions import astype
from minimeta.autodiff.operations.exponential_sums import softmax
from minimeta.autodiff.operations.linear_algebra import outer
from minimeta.autodiff.operations.logic import equal
from minimeta.autodiff.operations.movement import transpose
from minimeta.autodiff.operations.reductions import sum


@dataclass(frozen=True)
class Constrained:
    """A free parameter, and the set that it is a parameter of.

    Attributes
    ----------
    free
        ``z``.
    kind
        A name from the table above.
    size
        The number of classes, of a one-hot vector.
    """

    free: Any
    kind: str = field(metadata={"static": True})
    size: int = field(default=0, metadata={"static": True})

    def value(self) -> Any:
        """``x(z)``."""
        if self.kind == "one-hot":
            return astype(equal(np.asarray(self.free)[..., None], np.arange(self.size)), np.float64)
        return _MAPS[self.kind](self.free)


def realised(x: Any) -> Any:
    """Return a tree of arguments with the points themselves in place of their parameters."""
    if isinstance(x, Constrained):
        return x.value()
    if isinstance(x, dict):
        return {key: realised(value) for key, value in x.items()}
    if isinstance(x, (tuple, list)):
        children = map(realised, x)
        return type(x)(*children) if hasattr(x, "_fields") else type(x)(children)
    return x


def _positive_definite(z: Any) -> Any:
    return z @ transpose(z) / float(z.shape[0]) + np.eye(z.shape[0], dtype=z.dtype)


def _orthogonal(z: Any) -> Any:
    x = np.eye(z.shape[0], dtype=z.dtype)
    for i in range(z.shape[0]):
        x = x - outer(x @ z[i], z[i]) * (2.0 / sum(z[i] * z[i]))
    return x


_MAPS: dict[str, Callable[[Any], Any]] = {
    "symmetric": lambda z: 0.5 * (z + transpose(z)),
    "positive definite": _positive_definite,
    "orthogonal": _orthogonal,
    "simplex": lambda z: softmax(z, -1),
}
