"""ResNet-12, the network of most few-shot papers since 2018.

A block of width ``w`` halves the image and adds its input, projected, to what three convolutions
make of it:

    f(x) = norm(W_3 * lrelu(norm(W_2 * lrelu(norm(W_1 * x)))))
    h    = max_pool(lrelu(f(x) + norm(W_s * x)))

with 3 x 3 windows, a 1 x 1 window for the shortcut ``W_s``, and ``lrelu(x) = max(x, 0.1 x)``. Four
blocks, the mean over the pixels that are left, and a dense layer make the network.

Oreshkin et al. 2018 (TADAM, arXiv:1805.10123) took it to few-shot learning, with widths of 64, 128,
256 and 512; Lee et al. 2019 (MetaOptNet, arXiv:1904.03758, section 4.1) made it 64, 160, 320 and
640, as most papers since. They regularise by dropping blocks of pixels (Ghiasi et al. 2018), which
is not here; ``dropout`` drops features of the last layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import DTypeLike

from minimeta.autodiff.array import Value
from minimeta.autodiff.operations import max_pool, mean, reshape
from minimeta.autodiff.operations.operands import shape_of
from minimeta.errors import ConfigurationError, ShapeError
from minimeta.nn import recipe
from minimeta.nn.convolutions import conv
from minimeta.nn.initialisers import Initialiser, initialiser_of
from minimeta.nn.layers import dense, leaky_relu
from minimeta.nn.layers import dropout as drop
from minimeta.nn.models import Model, check_rate, with_statistics
from minimeta.nn.normalisation import Statistics, batch_norm_and_statistics

BLOCKS = 4
EPSILON = 1e-5
"""Added to the variance, as in the released code of MetaOptNet."""

_WINDOWS = (3, 3, 3, 1)
"""Sides of a block's windows; the last is that of the shortcut."""

_MOMENT = (1 + 0.1**2) / 2
"""The second moment of ``lrelu(x)`` for a normal ``x``."""


@recipe.pickled_by_settings
def resnet12(
    input_shape: Sequence[int] = (84, 84, 3),
    classes: int = 5,
    *,
    widths: Sequence[int] = (64, 160, 320, 640),
    readout: Literal["mean", "flatten"] = "mean",
    dropout: float = 0.0,
    initialiser: str | Initialiser = "he",
    dtype: DTypeLike = np.float32,
) -> Model:
    """Return ResNet-12: four residual blocks of three convolutions, each at half the size, then dense.

    Parameters
    ----------
    input_shape
        ``(height, width, channels)`` of one image.
    classes
        Number of outputs.
    widths
        Channels of each block.
    readout
        What the last layer sees: the mean over the remaining pixels, or all of them.
    dropout
        The probability that training drops a feature that the last layer sees of an example
        (:func:`minimeta.nn.dropout`); the model then has ``draw``.
    initialiser
        That of the weights: a name of :mod:`minimeta.nn.initialisers`, or a function. Offsets and
        the last bias start at 0, scales at 1.
    dtype
        Of the parameters.

    Returns
    -------
    Model
        Its parameters are a tuple of one dict per block, with the ``weight``, ``scale`` and
        ``offset`` of ``first``, ``second``, ``third`` and ``shortcut``, and one of the last layer's
        ``weight`` and ``bias``. Inputs have shape ``(N, *input_shape)``, outputs ``(N, classes)``.
        The statistics are a tuple of four for each block, in the same order. An odd last row is
        not pooled.

    Raises
    ------
    ConfigurationError
        If a size is not positive, there are not four widths, the rate is out of range, images are
        too small to be halved four times, or a name is unknown.
    """
    check_rate("resnet12", dropout)
    height, width, channels = input_shape
    if len(widths) != BLOCKS or min(*widths, height, width, channels, classes) < 1:
        raise ConfigurationError(
            f"resnet12: widths={tuple(widths)} must be four, and they, input_shape={tuple(input_shape)} and "
            f"classes={classes} positive"
        )
    if readout not in ("mean", "flatten"):
        raise ConfigurationError(f"resnet12: readout={readout!r} must be one of 'mean', 'flatten'")
    rows, columns = height >> BLOCKS, width >> BLOCKS
    if min(rows, columns) < 1:
        raise ConfigurationError(f"resnet12: images of {height} x {width} cannot be halved four times")
    features = widths[-1] * (1 if readout == "mean" else rows * columns)
    draw = initialiser_of(initialiser)

    def init(rng: np.random.Generator) -> Any:
        blocks, inputs, moment = [], channels, 1.0
        for outputs in widths:
            parts = {}
            for name, side in zip(("first", "second", "third", "shortcut"), _WINDOWS, strict=True):
                sees = inputs if name in ("first", "shortcut") else outputs
                of = moment if name in ("first", "shortcut") else _MOMENT
                weight = draw(rng, (side, side, sees, outputs), dtype, of)
                parts[name] = {"weight": weight, "scale": np.ones(outputs, dtype), "offset": np.zeros(outputs, dtype)}
            blocks.append(parts)
            inputs, moment = outputs, _MOMENT
        last = {"weight": draw(rng, (features, classes), dtype, _MOMENT), "bias": np.zeros(classes, dtype)}
        return (*blocks, last)

    def draw_noise(rng: np.random.Generator, inputs: Any) -> Any:
        return rng.random((shape_of(inputs)[0], features)) >= dropout

    def apply(
        parameters: Any, inputs: Any, given: Sequence[Statistics] | None, noise: Any = None
    ) -> tuple[Value, tuple[Statistics, ...]]:
        shape = shape_of(inputs)
        if shape[1:] != tuple(input_shape):
            raise ShapeError(f"resnet12: inputs have shape {shape}, expected (N, {', '.join(map(str, input_shape))})")
        *blocks, last = parameters
        h, used = inputs, []
        for number, block in enumerate(blocks):
            h, statistics = _block(block, h, given and given[4 * number : 4 * number + 4])
            used += statistics
        h = mean(h, (1, 2)) if readout == "mean" else reshape(h, (shape[0], features))
        if noise is not None:
            h = drop(h, noise, dropout)
        return dense(h, last["weight"], last["bias"]), tuple(used)

    return with_statistics(init, apply, draw_noise if dropout else None)


def _block(block: Any, x: Value, given: Sequence[Statistics] | None) -> tuple[Value, list[Statistics]]:
    """Return ``max_pool(lrelu(f(x) + norm(W_s * x)))``, and the statistics of its four normalisations."""
    used: list[Statistics] = []

    def normalised(part: Any, h: Value) -> Value:
        statistics = None if given is None else given[len(used)]
        h, own = batch_norm_and_statistics(
            conv(h, part["weight"]), offset=part["offset"], scale=part["scale"], epsilon=EPSILON, statistics=statistics
        )
        used.append(own)
        return h

    h = leaky_relu(normalised(block["first"], x))
    h = leaky_relu(normalised(block["second"], h))
    h = normalised(block["third"], h)
    return max_pool(leaky_relu(h + normalised(block["shortcut"], x)), 2), used
