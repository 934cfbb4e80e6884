"""Models: pairs of pure functions.

``init(rng)`` draws parameters, a tree of arrays; ``apply(parameters, inputs)`` computes outputs. A model holds no
state, so that a meta-learner may run it with any parameters: the initial ones, or those it computed from them.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from minimeta.autodiff.array import Value
from minimeta.autodiff.operations import relu, sigmoid, softplus, tanh
from minimeta.autodiff.operations.shaping import shape_of
from minimeta.errors import ConfigurationError, ShapeError
from minimeta.nn.initialisers import Initialiser, initialiser_of
from minimeta.nn.layers import batch_norm as normalise
from minimeta.nn.layers import dense

_ACTIVATIONS: dict[str, Callable[[Any], Any]] = {"relu": relu, "tanh": tanh, "sigmoid": sigmoid, "softplus": softplus}


class Model(NamedTuple):
    """A pair of pure functions.

    Attributes
    ----------
    init
        ``init(rng) -> parameters``.
    apply
        ``apply(parameters, inputs) -> outputs``.
    """

    init: Callable[[np.random.Generator], Any]
    apply: Callable[[Any, Any], Any]


def mlp(
    sizes: Sequence[int],
    *,
    activation: str | Callable[[Any], Any] = "relu",
    initialiser: str | Initialiser = "he",
    batch_norm: bool = False,
    input_second_moment: float = 1.0,
    dtype: DTypeLike = np.float32,
) -> Model:
    """A multi-layer perceptron: ``h <- f(norm(h W + b))`` for each hidden layer, then ``h W + b``.

    Parameters
    ----------
    sizes
        Features of the input, of each hidden layer, and of the output: ``(1, 40, 40, 1)``.
    activation
        ``f``: ``"relu"``, ``"tanh"``, ``"sigmoid"``, ``"softplus"``, or a function.
    initialiser
        Of the weights: a name of :mod:`minimeta.nn.initialisers`, or a function. Biases and offsets begin at 0.
    batch_norm
        Whether hidden layers are normalised by the statistics of the current batch. A layer then has an offset after
        the normalisation (which would cancel a bias before it) and no scale, as in MAML's released code.
    input_second_moment
        The mean square of the inputs' elements, for initialisers that preserve variance; 1 for normalised data.
    dtype
        Of the parameters.

    Returns
    -------
    Model
        Its parameters are a tuple with one dict a layer: ``weight`` and ``bias``, or ``weight`` and ``offset``. Inputs
        have shape ``(..., sizes[0])``, outputs ``(..., sizes[-1])``.

    Raises
    ------
    ConfigurationError
        Fewer than two sizes, one that is not positive, a moment that is not, or an unknown name.
    """
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

    def apply(parameters: Any, inputs: Any) -> Value:
        shape = shape_of(inputs)
        if not shape or shape[-1] != sizes[0]:
            raise ShapeError(f"mlp of sizes {tuple(sizes)}: inputs have shape {shape}, expected (..., {sizes[0]})")
        *hidden, last = parameters
        h = inputs
        for layer in hidden:
            h = dense(h, layer["weight"], layer.get("bias"))
            h = function(normalise(h, offset=layer["offset"]) if batch_norm else h)
        return dense(h, last["weight"], last["bias"])

    return Model(init, apply)
