"""Initial weights.

A layer ``y = x W`` with ``n`` inputs keeps the variance of its signal if ``n Var[W] E[x**2] = Var[y]``: with inputs of
unit second moment the weights need variance ``1/n``, and after a relu, which halves the second moment, ``2/n``. That
is the derivation of He et al. 2015 (arXiv:1502.01852, section 2.2), by which the factor 2 belongs to the layers whose
inputs are rectified, and not to the first one. It matters here: with one input and a factor of 2 too many, a network
for sinusoid regression begins so steep that MAML learns several times more slowly.

An initialiser is a function ``(rng, shape, dtype, rectified) -> weights`` for a shape ``(..., inputs, outputs)``;
``rectified`` says whether the inputs come out of a relu.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

from minimeta.errors import ConfigurationError

Initialiser: TypeAlias = Callable[[np.random.Generator, tuple[int, ...], DTypeLike, bool], NDArray[Any]]


def he(rng: np.random.Generator, shape: tuple[int, ...], dtype: DTypeLike, rectified: bool = True) -> NDArray[Any]:
    """Normal with variance ``2 / inputs`` where the inputs are rectified, otherwise ``1 / inputs``: He et al. 2015."""
    return (rng.standard_normal(shape) * math.sqrt((2 if rectified else 1) / _inputs(shape))).astype(dtype)


def glorot(rng: np.random.Generator, shape: tuple[int, ...], dtype: DTypeLike, rectified: bool = False) -> NDArray[Any]:
    """Uniform with variance ``2 / (inputs + outputs)``, rectified or not: Glorot and Bengio 2010, for tanh networks."""
    bound = math.sqrt(6 / (_inputs(shape) + _inputs(shape) // shape[-2] * shape[-1]))
    return rng.uniform(-bound, bound, shape).astype(dtype)


def truncated_normal(standard_deviation: float = 0.01) -> Initialiser:
    """Normal, drawn again where it falls beyond two standard deviations; MAML's released code uses 0.01.

    Parameters
    ----------
    standard_deviation
        Of the normal distribution before it is cut (afterwards it is 0.88 times that).
    """

    def initialiser(
        rng: np.random.Generator, shape: tuple[int, ...], dtype: DTypeLike, rectified: bool = False
    ) -> NDArray[Any]:
        weights = rng.standard_normal(shape)
        while (beyond := np.abs(weights) > 2).any():
            weights[beyond] = rng.standard_normal(int(beyond.sum()))
        return (weights * standard_deviation).astype(dtype)

    return initialiser


_NAMED: dict[str, Initialiser] = {"he": he, "glorot": glorot, "truncated_normal": truncated_normal(0.01)}


def initialiser_of(name: str | Initialiser) -> Initialiser:
    """An initialiser by name (``he``, ``glorot``, ``truncated_normal``), or the one given.

    Raises
    ------
    ConfigurationError
        There is none of that name.
    """
    if callable(name):
        return name
    if name not in _NAMED:
        raise ConfigurationError(f"no initialiser is named {name!r}; there are {', '.join(_NAMED)}")
    return _NAMED[name]


def _inputs(shape: tuple[int, ...]) -> int:
    return max(1, math.prod(shape[:-1]))
