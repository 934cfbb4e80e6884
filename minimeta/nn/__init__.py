"""Networks as pure functions: layers, losses, initialisers, models."""

from minimeta.nn.initialisers import glorot, he, truncated_normal
from minimeta.nn.layers import batch_norm, conv, dense, dropout, layer_norm
from minimeta.nn.losses import accuracy, cross_entropy, mean_squared_error
from minimeta.nn.models import Model, conv4, mlp

__all__ = [
    "Model",
    "accuracy",
    "batch_norm",
    "conv",
    "conv4",
    "cross_entropy",
    "dense",
    "dropout",
    "glorot",
    "he",
    "layer_norm",
    "mean_squared_error",
    "mlp",
    "truncated_normal",
]
