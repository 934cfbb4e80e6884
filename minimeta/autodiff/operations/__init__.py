"""What a differentiable computation is made of.

Each page is one family of operations, closed under differentiation: public functions, shape rules, and the primitives
as their numpy references under their derivatives.
"""

# ruff: noqa: F403, F405 (pages are imported whole: this list of public names is the only one)

from minimeta.autodiff.operations.arithmetic import *
from minimeta.autodiff.operations.conversions import *
from minimeta.autodiff.operations.convolution import *
from minimeta.autodiff.operations.indexing import *
from minimeta.autodiff.operations.joining import *
from minimeta.autodiff.operations.linear_algebra import *
from minimeta.autodiff.operations.logic import *
from minimeta.autodiff.operations.movement import *
from minimeta.autodiff.operations.pooling import *
from minimeta.autodiff.operations.reductions import *
from minimeta.autodiff.operations.transcendental import *
from minimeta.autodiff.protocols import answer as answer

abs = absolute

__all__ = [
    "abs",
    "absolute",
    "add",
    "argmax",
    "astype",
    "average_pool",
    "bitwise_and",
    "bitwise_not",
    "bitwise_or",
    "bitwise_xor",
    "broadcast_to",
    "clip",
    "concatenate",
    "conv2d",
    "conv2d_input",
    "conv2d_weight",
    "copy",
    "cos",
    "divide",
    "divmod",
    "dot",
    "equal",
    "exp",
    "expand_dims",
    "expm1",
    "flip",
    "floor_divide",
    "greater",
    "greater_equal",
    "less",
    "less_equal",
    "log",
    "log1p",
    "log_softmax",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "logsumexp",
    "matmul",
    "max",
    "max_pool",
    "maximum",
    "mean",
    "min",
    "minimum",
    "moveaxis",
    "multiply",
    "negative",
    "norm",
    "not_equal",
    "outer",
    "pad",
    "power",
    "ravel",
    "reciprocal",
    "relu",
    "remainder",
    "reshape",
    "scatter_add",
    "sigmoid",
    "sign",
    "sin",
    "softmax",
    "softplus",
    "split",
    "sqrt",
    "square",
    "squeeze",
    "stack",
    "stop_gradient",
    "subtract",
    "sum",
    "swapaxes",
    "take",
    "take_along_axis",
    "tan",
    "tanh",
    "transpose",
    "variance",
    "where",
]
