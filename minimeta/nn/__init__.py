"""Networks as pure functions: layers, losses, initialisers, models."""

from minimeta.nn.attention import attention, causal_mask, multi_head_attention, padding_mask
from minimeta.nn.convolutions import conv, conv1d, conv_transpose
from minimeta.nn.initialisers import glorot, he, truncated_normal
from minimeta.nn.layers import dense, dropout, embedding, leaky_relu, residual
from minimeta.nn.losses import accuracy, cross_entropy, mean_squared_error
from minimeta.nn.models import Model, conv4, mlp
from minimeta.nn.normalisation import batch_norm, group_norm, instance_norm, layer_norm
from minimeta.nn.recurrent import Cell, LSTMState, gru, lstm, rnn, unroll
from minimeta.nn.resnet import resnet12

__all__ = [
    "Cell",
    "LSTMState",
    "Model",
    "accuracy",
    "attention",
    "batch_norm",
    "causal_mask",
    "conv",
    "conv1d",
    "conv4",
    "conv_transpose",
    "cross_entropy",
    "dense",
    "dropout",
    "embedding",
    "glorot",
    "group_norm",
    "gru",
    "he",
    "instance_norm",
    "layer_norm",
    "leaky_relu",
    "lstm",
    "mean_squared_error",
    "mlp",
    "multi_head_attention",
    "padding_mask",
    "residual",
    "resnet12",
    "rnn",
    "truncated_normal",
    "unroll",
]
