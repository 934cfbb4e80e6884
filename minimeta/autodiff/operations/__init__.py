"""What a differentiable computation is made of.

Each page is one family of operations, closed under differentiation: public functions, shape rules, and the primitives
as their numpy references under their derivatives.
"""

# ruff: noqa: F403, F405 (pages are imported whole: this list of public names is the only one)

from minimeta.autodiff.operations import fourier as fourier  # It answers for numpy.fft.
from minimeta.autodiff.operations import matrix_functions as matrix_functions  # It answers for numpy.linalg.
from minimeta.autodiff.operations import matrix_norms as matrix_norms
from minimeta.autodiff.operations.arithmetic import *
from minimeta.autodiff.operations.arrangement import *
from minimeta.autodiff.operations.conversions import *
from minimeta.autodiff.operations.convolution import *
from minimeta.autodiff.operations.creation import *
from minimeta.autodiff.operations.indexing import *
from minimeta.autodiff.operations.joining import *
from minimeta.autodiff.operations.joints import *
from minimeta.autodiff.operations.linear_algebra import *
from minimeta.autodiff.operations.logic import *
from minimeta.autodiff.operations.movement import *
from minimeta.autodiff.operations.padding import *
from minimeta.autodiff.operations.placement import *
from minimeta.autodiff.operations.pooling import *
from minimeta.autodiff.operations.reductions import *
from minimeta.autodiff.operations.softmax import *
from minimeta.autodiff.operations.transcendental import *
from minimeta.autodiff.operations.triangles import *
from minimeta.autodiff.protocols import answer as answer

abs = absolute

__all__ = [
    "abs",
    "absolute",
    "add",
    "allclose",
    "append",
    "argmax",
    "array_equal",
    "array_split",
    "astype",
    "at",
    "atleast_1d",
    "atleast_2d",
    "atleast_3d",
    "average_pool",
    "bitwise_and",
    "bitwise_not",
    "bitwise_or",
    "bitwise_xor",
    "block",
    "broadcast_arrays",
    "broadcast_to",
    "clip",
    "column_stack",
    "concatenate",
    "conv2d",
    "conv2d_input",
    "conv2d_weight",
    "copy",
    "cos",
    "delete",
    "diag",
    "diagflat",
    "diagonal",
    "divide",
    "divmod",
    "dot",
    "dsplit",
    "dstack",
    "equal",
    "exp",
    "expand_dims",
    "expm1",
    "flip",
    "fliplr",
    "flipud",
    "floor_divide",
    "full_like",
    "greater",
    "greater_equal",
    "hsplit",
    "hstack",
    "insert",
    "isclose",
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
    "matrix_transpose",
    "max",
    "max_pool",
    "maximum",
    "mean",
    "meshgrid",
    "min",
    "minimum",
    "moveaxis",
    "multiply",
    "negative",
    "norm",
    "not_equal",
    "ones_like",
    "outer",
    "pad",
    "power",
    "ravel",
    "reciprocal",
    "relu",
    "remainder",
    "repeat",
    "reshape",
    "resize",
    "roll",
    "rot90",
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
    "tile",
    "transpose",
    "tril",
    "triu",
    "unstack",
    "variance",
    "vsplit",
    "vstack",
    "where",
    "zeros_like",
]
