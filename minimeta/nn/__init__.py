"""Networks as pure functions: layers, losses, initialisers, models."""

from minimeta.nn.initialisers import glorot, he, truncated_normal
from minimeta.nn.layers import batch_norm, dense
from minimeta.nn.losses import accuracy, cross_entropy, mean_squared_error
from minimeta.nn.models import Model, mlp

__all__ = [
    "Model",
    "accuracy",
    "batch_norm",
    "cross_entropy",
    "dense",
    "glorot",
    "he",
    "mean_squared_error",
    "mlp",
    "truncated_normal",
]
