"""Attention: each query takes the mean of the values, weighted by how well their keys fit.

Vaswani et al. 2017 (arXiv:1706.03762, section 3.2). For queries ``Q`` (T, d), keys ``K`` (S, d) and
values ``V`` (S, e),

    attention(Q, K, V) = softmax(Q K^T / sqrt(d)) V                                    (equation 1)

``multi_head_attention`` does that ``H`` times in spaces of ``d = F / H`` features of their own:

    head_i = attention(x W_Q[i] + b_Q[i], c W_K[i] + b_K[i], c W_V[i] + b_V[i])
    y = [head_1, ..., head_H] W_O + b_O

where the context ``c`` is ``x`` itself in self-attention. A mask says which keys a query may see.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from minimeta.autodiff.array import ArrayLike, Value
from minimeta.autodiff.operations import matmul, moveaxis, reshape, softmax, swapaxes, where
from minimeta.autodiff.operations.operands import dtype_of, shape_of
from minimeta.errors import ConfigurationError, DtypeError, ShapeError
from minimeta.nn import recipe
from minimeta.nn.initialisers import Initialiser, initialiser_of
from minimeta.nn.layers import dense
from minimeta.nn.layers import dropout as drop
from minimeta.nn.models import Model, check_rate


def causal_mask(length: int) -> NDArray[np.bool_]:
    """Return the mask of sequences in which no element sees a later one, of shape ``(length, length)``."""
    return np.tril(np.ones((length, length), np.bool_))


def padding_mask(lengths: ArrayLike, length: int) -> NDArray[np.bool_]:
    """Return the mask of sequences that were padded to one length, of shape ``(N, 1, 1, length)``.

    Parameters
    ----------
    lengths
        How many elements each sequence has, of shape ``(N,)``; values, not Arrays.
    length
        To how many it was padded.
    """
    return np.arange(length) < np.asarray(lengths)[:, None, None, None]


def attention(
    queries: ArrayLike,
    keys: ArrayLike,
    values: ArrayLike,
    mask: ArrayLike | None = None,
    *,
    kept: Any = None,
    rate: float = 0.0,
) -> Value:
    """Return ``softmax(Q K^T / sqrt(d)) V``.

    Parameters
    ----------
    queries
        Of shape ``(..., T, d)``.
    keys
        Of shape ``(..., S, d)``.
    values
        Of shape ``(..., S, e)``.
    mask
        Truth values that broadcast to ``(..., T, S)``: True where the query may see the key. A
        query that sees none has the result 0, and no derivative. None for all True.
    kept, rate
        Which weights are kept, of shape ``(..., T, S)``, and the probability that one is dropped, as
        in :func:`minimeta.nn.dropout`; None to keep all.

    Returns
    -------
    array
        Of shape ``(..., T, e)``.

    Raises
    ------
    ShapeError
        If the shapes do not match.
    DtypeError
        If the mask does not hold truth values.
    """
    size = shape_of(queries)[-1]
    scores = matmul(queries / math.sqrt(size), swapaxes(keys, -1, -2))  # type: ignore[operator]
    if mask is None:
        weights = softmax(scores)
    else:
        if (dtype := dtype_of(mask)).kind != "b":
            raise DtypeError(f"attention: the mask is of dtype {dtype.name}, not of truth values; write mask > 0")
        # A finite score in place of minus infinity: of a query that sees nothing the softmax is
        # finite too, and the second `where` makes it 0.
        lowest = float(np.finfo(scores.dtype).min)
        weights = where(mask, softmax(where(mask, scores, lowest)), 0.0)
    if kept is not None:
        weights = drop(weights, kept, rate)
    return matmul(weights, values)


@recipe.pickled_by_settings
def multi_head_attention(
    features: int,
    heads: int,
    *,
    dropout: float = 0.0,
    initialiser: str | Initialiser = "glorot",
    dtype: DTypeLike = np.float32,
) -> Model:
    """Return attention in several subspaces at once.

    Parameters
    ----------
    features
        Of the inputs and the outputs, ``F``.
    heads
        How many subspaces, ``H``, a divisor of the features.
    dropout
        The probability that training drops a weight of the mean; the model then has ``draw``.
    initialiser
        That of the weights: a name of :mod:`minimeta.nn.initialisers`, or a function. Biases start
        at 0.
    dtype
        Of the parameters.

    Returns
    -------
    Model
        Its parameters are four dicts ``query``, ``key``, ``value`` and ``output``, each with
        ``weight`` ``(F, F)`` and ``bias`` ``(F,)``. ``apply(parameters, x, noise=None, *,
        context=None, mask=None)`` takes ``x`` ``(N, T, F)``, a context ``(N, S, F)`` or None for
        ``x`` itself, and a mask that broadcasts to ``(N, H, T, S)``, such as :func:`causal_mask`
        and :func:`padding_mask` or both, joined by ``&``. The result is ``(N, T, F)``. ``draw(rng,
        x, context=None)`` draws the noise.

    Raises
    ------
    ConfigurationError
        If the features are not divisible into so many heads, the rate is out of range, or a name is
        unknown.
    """
    check_rate("multi_head_attention", dropout)
    if min(features, heads) < 1 or features % heads:
        raise ConfigurationError(f"multi_head_attention: features={features} are not divisible into heads={heads}")
    draw = initialiser_of(initialiser)

    def init(rng: np.random.Generator) -> Any:
        return {
            name: {"weight": draw(rng, (features, features), dtype, 1.0), "bias": np.zeros(features, dtype)}
            for name in ("query", "key", "value", "output")
        }

    def draw_noise(rng: np.random.Generator, x: Any, context: Any = None) -> Any:
        count, length, _ = shape_of(x)
        seen = length if context is None else shape_of(context)[1]
        return rng.random((count, heads, length, seen)) >= dropout

    def divided(x: Any, layer: Any) -> Value:
        """Project, and give each head an axis of its own: (N, H, T, F / H)."""
        h = dense(x, layer["weight"], layer["bias"])
        return moveaxis(reshape(h, (*h.shape[:2], heads, features // heads)), 2, 1)

    def apply(parameters: Any, x: Any, noise: Any = None, *, context: Any = None, mask: Any = None) -> Value:
        context = x if context is None else context
        for name, given in (("x", x), ("context", context)):
            if len(shape_of(given)) != 3 or shape_of(given)[2] != features:
                raise ShapeError(
                    f"multi_head_attention: {name} has shape {shape_of(given)}, expected (N, length, {features})"
                )
        queries, keys = divided(x, parameters["query"]), divided(context, parameters["key"])
        y = attention(queries, keys, divided(context, parameters["value"]), mask, kept=noise, rate=dropout)
        joined = reshape(moveaxis(y, 1, 2), shape_of(x))
        return dense(joined, parameters["output"]["weight"], parameters["output"]["bias"])

    return Model(init, apply, draw=draw_noise if dropout else None)
