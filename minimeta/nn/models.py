"""Models: pairs of pure functions.

``init(rng)`` draws parameters, a tree of arrays; ``apply(parameters, inputs)`` computes outputs. A
model holds no state, so that a meta-learner may run it with any parameters: the initial ones, or
those it computed from them.

``apply_with_statistics`` lets batch normalisation use other statistics than those of the current
batch, and returns the batch's own for the caller to average.

A model with dropout is a pure function, too: its random numbers, the *noise*, are an argument.
``draw(rng, inputs)`` draws the noise of one application to such inputs. Without noise nothing is
dropped, as in evaluation.
"""

from __future__ import annotations

import html
import itertools
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from minimeta.autodiff.array import Value
from minimeta.autodiff.operations import max_pool, mean, relu, reshape, sigmoid, softplus, tanh
from minimeta.autodiff.operations.operands import shape_of
from minimeta.errors import ConfigurationError, ShapeError
from minimeta.nn import recipe
from minimeta.nn.convolutions import conv
from minimeta.nn.initialisers import Initialiser, initialiser_of
from minimeta.nn.layers import dense
from minimeta.nn.layers import dropout as drop
from minimeta.nn.normalisation import Statistics, batch_norm_and_statistics, layer_norm

_ACTIVATIONS: dict[str, Callable[[Any], Any]] = {"relu": relu, "tanh": tanh, "sigmoid": sigmoid, "softplus": softplus}


class Model(NamedTuple):
    """A pair of pure functions, and two optional ones.

    Attributes
    ----------
    init
        ``init(rng) -> parameters``.
    apply
        ``apply(parameters, inputs) -> outputs``.
    apply_with_statistics
        ``apply_with_statistics(parameters, inputs, statistics) -> (outputs, statistics)``.
        Statistics are a tree of the mean and variance of each batch normalisation: those to use, or
        None for the batch's own, and those used.
    draw
        ``draw(rng, inputs) -> noise``, a tree of arrays, for a model that is random in training.
        Both kinds of ``apply`` then take ``noise`` as an optional last argument.
    """

    init: Callable[[np.random.Generator], Any]
    apply: Callable[..., Any]
    apply_with_statistics: Callable[..., tuple[Any, Any]] | None = None
    draw: Callable[[np.random.Generator, Any], Any] | None = None

    def _repr_html_(self) -> str:
        return f"<code>{html.escape(recipe.call_of(self.init))}</code>"


def with_statistics(
    init: Callable[[np.random.Generator], Any],
    apply_with_statistics: Callable[..., tuple[Any, tuple[Statistics, ...]]],
    draw: Callable[[np.random.Generator, Any], Any] | None,
) -> Model:
    """Return a model by its ``apply_with_statistics``."""

    def apply(parameters: Any, inputs: Any, noise: Any = None) -> Any:
        return apply_with_statistics(parameters, inputs, None, noise)[0]

    return Model(init, apply, apply_with_statistics, draw)


def check_rate(model: str, rate: float) -> None:
    """Refuse a rate of dropout out of range."""
    if not 0 <= rate < 1:
        raise ConfigurationError(f"{model}: dropout={rate} must be in [0, 1)")


@recipe.pickled_by_settings
def mlp(
    sizes: Sequence[int],
    *,
    activation: str | Callable[[Any], Any] = "relu",
    initialiser: str | Initialiser = "he",
    batch_norm: bool = False,
    input_second_moment: float = 1.0,
    dropout: float = 0.0,
    dtype: DTypeLike = np.float32,
) -> Model:
    """Return a multi-layer perceptron: ``h <- drop(f(norm(h W + b)))`` for each hidden layer, then ``h W + b``.

    Parameters
    ----------
    sizes
        Features of the input, of each hidden layer, and of the output: ``(1, 40, 40, 1)``.
    activation
        ``f``: ``"relu"``, ``"tanh"``, ``"sigmoid"``, ``"softplus"``, or a function.
    initialiser
        That of the weights: a name of :mod:`minimeta.nn.initialisers`, or a function. Biases and
        offsets start at 0.
    batch_norm
        Whether to normalise hidden layers by the statistics of the current batch. A layer then has
        an offset after the normalisation, which would cancel a bias before it, and no scale, as in
        MAML's released code.
    input_second_moment
        The mean square of the inputs' elements, for initialisers that preserve variance; 1 for
        normalised data.
    dropout
        The probability that training drops a hidden feature of an example
        (:func:`minimeta.nn.dropout`); the model then has ``draw``.
    dtype
        The dtype of the parameters.

    Returns
    -------
    Model
        Its parameters are a tuple of one dict per layer: ``weight`` and ``bias``, or ``weight`` and
        ``offset``. Inputs have shape ``(..., sizes[0])``, outputs ``(..., sizes[-1])``.

    Raises
    ------
    ConfigurationError
        If there are fewer than two sizes, a size or the moment is not positive, the rate is out of
        range, or a name is unknown.
    """
    check_rate("mlp", dropout)
    if not 0 < input_second_moment < float("inf"):
        raise ConfigurationError(f"mlp: input_second_moment={input_second_moment} must be positive and finite")
    if len(sizes) < 2 or any(size < 1 for size in sizes):
        raise ConfigurationError(f"mlp: sizes={tuple(sizes)} must be at least two positive numbers of features")
    if isinstance(activation, str) and activation not in _ACTIVATIONS:
        raise ConfigurationError(f"mlp: no activation is named {activation!r}; there are {', '.join(_ACTIVATIONS)}")
    function = _ACTIVATIONS[activation] if isinstance(activation, str) else activation
    draw = initialiser_of(initialiser)
    shapes = list(itertools.pairwise(sizes))

    def init(rng: np.random.Generator) -> Any:
        layers = []
        for number, (inputs, outputs) in enumerate(shapes):
            shift = "offset" if batch_norm and number < len(shapes) - 1 else "bias"
            moment = input_second_moment if number == 0 else 0.5 if function is relu else 1.0
            weight = draw(rng, (inputs, outputs), dtype, moment)
            layers.append({"weight": weight, shift: np.zeros(outputs, dtype)})
        return tuple(layers)

    def draw_noise(rng: np.random.Generator, inputs: Any) -> Any:
        return tuple(rng.random((*shape_of(inputs)[:-1], size)) >= dropout for size in sizes[1:-1])

    def apply(
        parameters: Any, inputs: Any, given: Sequence[Statistics] | None, noise: Any = None
    ) -> tuple[Value, tuple[Statistics, ...]]:
        shape = shape_of(inputs)
        if not shape or shape[-1] != sizes[0]:
            raise ShapeError(f"mlp of sizes {tuple(sizes)}: inputs have shape {shape}, expected (..., {sizes[0]})")
        *hidden, last = parameters
        h, used = inputs, []
        for number, layer in enumerate(hidden):
            h = dense(h, layer["weight"], layer.get("bias"))
            if batch_norm:
                h, statistics = batch_norm_and_statistics(
                    h, offset=layer["offset"], statistics=None if given is None else given[number]
                )
                used.append(statistics)
            h = function(h)
            if noise is not None:
                h = drop(h, noise[number], dropout)
        return dense(h, last["weight"], last["bias"]), tuple(used)

    return with_statistics(init, apply, draw_noise if dropout else None)


Downsampling = Literal["stride", "max_pool"]
Readout = Literal["mean", "flatten"]
Normalisation = Literal["batch", "layer"]

_BLOCKS = 4


@recipe.pickled_by_settings
def conv4(
    input_shape: Sequence[int] = (28, 28, 1),
    classes: int = 5,
    *,
    filters: int = 64,
    downsampling: Downsampling = "stride",
    pool_padding: Literal["SAME", "VALID"] = "VALID",
    readout: Readout = "mean",
    normalisation: Normalisation | None = "batch",
    scale: bool = False,
    dropout: float = 0.0,
    initialiser: str | Initialiser = "he",
    dtype: DTypeLike = np.float32,
) -> Model:
    """Return the few-shot papers' network: four times ``h <- relu(norm(h * W))`` at half the size, then dense.

    Vinyals et al. 2016 (arXiv:1606.04080) introduced it, with pooling; each paper has a variant:

    ==========================  ================  ==============  ===========  =========  =======
    network                     downsampling      pool_padding    readout      filters    scale
    ==========================  ================  ==============  ===========  =========  =======
    MAML, Omniglot              stride                            mean         64         False
    Reptile, Omniglot           stride                            flatten      64         True
    MAML, miniImageNet          max_pool          VALID           flatten      32         False
    Reptile, miniImageNet       max_pool          SAME            flatten      32         True
    LSTM, miniImageNet          max_pool          VALID           flatten      32         True
    ==========================  ================  ==============  ===========  =========  =======

    MAML is Finn et al. 2017 (arXiv:1703.03400), Reptile Nichol et al. 2018 (arXiv:1803.02999), LSTM
    Ravi and Larochelle 2017; where a paper is silent (readout, padding), the row is that of the
    code its authors released.

    Parameters
    ----------
    input_shape
        ``(height, width, channels)`` of one image.
    classes
        Number of outputs.
    filters
        Channels of each block, with 3 x 3 weights.
    downsampling
        ``"stride"``: the convolution has stride 2 and leaves ``ceil(side / 2)``; ``"max_pool"``: it
        has stride 1, and a maximum over 2 x 2 follows the activation.
    pool_padding
        ``"VALID"`` does not pool an odd last row and leaves ``floor(side / 2)``; ``"SAME"`` leaves
        ``ceil(side / 2)``.
    readout
        What the last layer sees: the mean over the remaining pixels, or all of them.
    normalisation
        ``"batch"`` for the statistics of the current batch, as in MAML and Reptile; ``"layer"`` for
        those of one example, over all its pixels and filters; None for none. As in :func:`mlp`, an
        offset follows the normalisation instead of a bias before it.
    scale
        Whether the normalisation is also followed by a factor for each filter, before the offset;
        it starts at 1.
    dropout
        The probability that training drops a feature that the last layer sees of an example
        (:func:`minimeta.nn.dropout`); the model then has ``draw``.
    initialiser
        That of the weights: a name of :mod:`minimeta.nn.initialisers`, or a function. Biases and
        offsets start at 0.
    dtype
        Of the parameters.

    Returns
    -------
    Model
        Its parameters are a tuple of one dict per layer: ``weight`` and ``offset`` (or ``bias``) of
        each block, with ``scale`` if there is one, and ``weight`` and ``bias`` of the last layer.
        Inputs have shape ``(N, *input_shape)``, outputs ``(N, classes)``.

    Raises
    ------
    ConfigurationError
        If a size is not positive, the rate is out of range, images are too small to be halved four
        times, or a name is unknown.
    """
    check_rate("conv4", dropout)
    height, width, channels = input_shape
    if min(height, width, channels, classes, filters) < 1:
        raise ConfigurationError(
            f"conv4: input_shape={tuple(input_shape)}, classes={classes} and filters={filters} must be positive"
        )
    for name, value, known in (
        ("downsampling", downsampling, ("stride", "max_pool")),
        ("pool_padding", pool_padding, ("SAME", "VALID")),
        ("readout", readout, ("mean", "flatten")),
        ("normalisation", normalisation, ("batch", "layer", None)),
    ):
        if value not in known:
            raise ConfigurationError(f"conv4: {name}={value!r} must be one of {', '.join(map(repr, known))}")
    pools = downsampling == "max_pool"
    if scale and normalisation is None:
        raise ConfigurationError("conv4: scale=True needs a normalisation to follow")
    up = 0 if pools and pool_padding == "VALID" else 1
    for _ in range(_BLOCKS):
        height, width = (height + up) // 2, (width + up) // 2
    if min(height, width) < 1:
        raise ConfigurationError(f"conv4: images of {input_shape[0]} x {input_shape[1]} cannot be halved four times")
    features = filters if readout == "mean" else height * width * filters
    shift = "offset" if normalisation else "bias"
    draw = initialiser_of(initialiser)

    def init(rng: np.random.Generator) -> Any:
        layers = []
        for number in range(_BLOCKS):
            shape = (3, 3, filters if number else channels, filters)
            block = {"weight": draw(rng, shape, dtype, 0.5 if number else 1.0), shift: np.zeros(filters, dtype)}
            layers.append({**block, "scale": np.ones(filters, dtype)} if scale else block)
        last = {"weight": draw(rng, (features, classes), dtype, 0.5), "bias": np.zeros(classes, dtype)}
        return (*layers, last)

    def draw_noise(rng: np.random.Generator, inputs: Any) -> Any:
        return rng.random((shape_of(inputs)[0], features)) >= dropout

    def apply(
        parameters: Any, inputs: Any, given: Sequence[Statistics] | None, noise: Any = None
    ) -> tuple[Value, tuple[Statistics, ...]]:
        shape = shape_of(inputs)
        if shape[1:] != tuple(input_shape):
            raise ShapeError(f"conv4: inputs have shape {shape}, expected (N, {', '.join(map(str, input_shape))})")
        *blocks, last = parameters
        h, used = inputs, []
        for number, block in enumerate(blocks):
            h = conv(h, block["weight"], block.get("bias"), strides=1 if pools else 2)
            affine = {"offset": block.get("offset"), "scale": block.get("scale")}
            if normalisation == "batch":
                h, statistics = batch_norm_and_statistics(
                    h, **affine, statistics=None if given is None else given[number]
                )
                used.append(statistics)
            elif normalisation == "layer":
                h = layer_norm(h, **affine, axes=(1, 2, 3))
            h = relu(h)
            if pools:
                h = max_pool(h, 2, padding=pool_padding)
        h = mean(h, (1, 2)) if readout == "mean" else reshape(h, (shape[0], features))
        if noise is not None:
            h = drop(h, noise, dropout)
        return dense(h, last["weight"], last["bias"]), tuple(used)

    return with_statistics(init, apply, draw_noise if dropout else None)
