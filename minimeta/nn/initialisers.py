"""Initial weights.

A layer ``y = x W`` with ``n`` inputs gives its outputs the variance ``n Var[W] E[x**2]``. Weights
keep that at 1 if

    Var[W] = 1 / (n E[x**2])

which is ``2/n`` after a relu, since a relu halves the second moment: He et al. 2015
(arXiv:1502.01852, section 2.2). For the first layer the second moment is that of the data, which is
1 if they are normalised. This matters: the input of sinusoid regression is in [-5, 5] and has the
second moment 25/3. With ``2/n`` the network would start 4 times too steep, and MAML would learn
several times more slowly, for some seeds not at all.

An initialiser is a function ``(rng, shape, dtype, second_moment) -> weights`` for a shape ``(...,
inputs, outputs)`` and inputs of that second moment.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

from minimeta.errors import ConfigurationError

Initialiser: TypeAlias = Callable[[np.random.Generator, tuple[int, ...], DTypeLike, float], NDArray[Any]]


def he(rng: np.random.Generator, shape: tuple[int, ...], dtype: DTypeLike, second_moment: float = 0.5) -> NDArray[Any]:
    """Draw normal weights of variance ``1 / (inputs * second_moment)`` (He et al. 2015)."""
    return (rng.standard_normal(shape) / math.sqrt(_inputs(shape) * second_moment)).astype(dtype)


def glorot(
    rng: np.random.Generator, shape: tuple[int, ...], dtype: DTypeLike, second_moment: float = 1.0
) -> NDArray[Any]:
    """Draw uniform weights of variance ``2 / (inputs + outputs)`` (Glorot and Bengio 2010)."""
    bound = math.sqrt(6 / (_inputs(shape) + _inputs(shape) // shape[-2] * shape[-1]))
    return rng.uniform(-bound, bound, shape).astype(dtype)


def truncated_normal(standard_deviation: float = 0.01) -> Initialiser:
    """Return a normal initialiser that redraws values beyond two standard deviations; MAML's released code uses 0.01.

    Parameters
    ----------
    standard_deviation
        That of the normal distribution before truncation (afterwards it is 0.88 times as large).
    """

    def initialiser(
        rng: np.random.Generator, shape: tuple[int, ...], dtype: DTypeLike, second_moment: float = 1.0
    ) -> NDArray[Any]:
        weights = rng.standard_normal(shape)
        while (beyond := np.abs(weights) > 2).any():
            weights[beyond] = rng.standard_normal(int(beyond.sum()))
        return (weights * standard_deviation).astype(dtype)

    return initialiser


_NAMED: dict[str, Initialiser] = {"he": he, "glorot": glorot, "truncated_normal": truncated_normal(0.01)}


def initialiser_of(name: str | Initialiser) -> Initialiser:
    """Return an initialiser by name (``he``, ``glorot``, ``truncated_normal``), or the one given.

    Raises
    ------
    ConfigurationError
        If there is none of that name.
    """
    if callable(name):
        return name
    if name not in _NAMED:
        raise ConfigurationError(f"no initialiser is named {name!r}; there are {', '.join(_NAMED)}")
    return _NAMED[name]


def _inputs(shape: tuple[int, ...]) -> int:
    return max(1, math.prod(shape[:-1]))
