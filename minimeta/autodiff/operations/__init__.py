"""What a differentiable computation is made of.

Each page is one family of operations, closed under differentiation: public functions, shape rules,
and the primitives as their numpy references under their derivatives.

A page is imported when it is first asked for: by a name in ``minimeta``, or by a numpy function
that it answers for. So ``import minimeta`` reads only the pages that every program needs.
"""

# ruff: noqa: F403 (a page is imported whole: what is public is in the table)

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from minimeta.autodiff.protocols import answer as answer

#: The public names of every page; it answers for the numpy functions of these names.
PUBLIC: dict[str, str] = {
    "arithmetic": (
        "abs absolute add clip divide divmod floor_divide maximum minimum multiply negative power reciprocal "
        "relu remainder sign sqrt square subtract"
    ),
    "arrangement": (
        "atleast_1d atleast_2d atleast_3d broadcast_arrays fliplr flipud matrix_transpose meshgrid repeat "
        "resize roll rot90 tile"
    ),
    "bessel": "i0",
    "calculus": "choose gradient interp piecewise polyadd polyder polydiv polyint polymul polysub polyval select",
    "contractions": "convolve correlate cross dot einsum inner kron matvec tensordot vdot vecdot vecmat",
    "conversions": "astype copy stop_gradient",
    "convolution": "conv2d conv2d_input conv2d_weight",
    "creation": "allclose array_equal full_like isclose ones_like zeros_like",
    "cumulative": "cumprod cumsum cumulative_prod cumulative_sum diff ediff1d prod trapezoid unwrap",
    "exponential_sums": "log_softmax logsumexp softmax",
    "floats": "copysign degrees fabs float_power fmax fmin fmod frexp heaviside ldexp modf positive radians",
    "grids": "bincount histogram poly sinc vander",
    "indexing": "take take_along_axis",
    "inverses": "arccos arccosh arcsin arcsinh arctan arctan2 arctanh hypot",
    "joining": "concatenate split stack",
    "joints": ("append array_split block column_stack delete dsplit dstack hsplit hstack insert unstack vsplit vstack"),
    "linear_algebra": "matmul outer",
    "logic": (
        "bitwise_and bitwise_not bitwise_or bitwise_xor equal greater greater_equal less less_equal logical_and "
        "logical_not logical_or logical_xor not_equal where"
    ),
    "missing": (
        "nan_to_num nancumprod nancumsum nanmax nanmean nanmedian nanmin nanpercentile nanprod nanquantile "
        "nanstd nansum nanvar"
    ),
    "movement": "broadcast_to expand_dims flip moveaxis ravel reshape squeeze swapaxes transpose",
    "ordering": "median partition percentile quantile searchsorted sort",
    "padding": "pad",
    "placement": "at scatter_add",
    "pooling": "average_pool max_pool",
    "queries": (
        "all any argpartition argsort argwhere bitwise_count count_nonzero digitize flatnonzero "
        "gcd histogram_bin_edges intersect1d iscomplex isfinite isin isinf isnan isneginf isposinf isreal "
        "lcm left_shift lexsort nanargmax nanargmin nextafter nonzero right_shift "
        "setdiff1d setxor1d signbit spacing union1d unique unique_all unique_counts unique_inverse "
        "unique_values"
    ),
    "reductions": "argmax argmin max mean min norm sum",
    "rounding": "ceil fix floor rint round trunc",
    "statistics": "average corrcoef cov ptp std var",
    "transcendental": (
        "cbrt cos cosh exp exp2 expm1 log log10 log1p log2 logaddexp logaddexp2 sigmoid sin sinh softplus tan tanh"
    ),
    "triangles": "diag diagflat diagonal tril triu",
}

#: The names of the other numpy functions that a page answers for.
FURTHER: dict[str, str] = {
    ".complex_functions": "angle conjugate imag iscomplexobj isrealobj real",
    "arrangement": "apply_along_axis apply_over_axes rollaxis sliding_window_view",
    "creation": (
        "arange array2string array_equiv array_repr array_str can_cast common_type empty "
        "empty_like eye full identity may_share_memory min_scalar_type ndim ones "
        "result_type shares_memory size tri zeros"
    ),
    "floats": "deg2rad rad2deg",
    "grids": (
        "amax amin around diag_indices_from geomspace ix_ linspace logspace packbits polyfit "
        "ravel_multi_index tril_indices_from trim_zeros triu_indices_from unpackbits unravel_index"
    ),
    "indexing": "compress extract getitem",
    "joints": "array asanyarray asarray ascontiguousarray asfortranarray require",
    "logic": "invert",
    "operands": "shape",
    "triangles": "trace",
}

#: The modules that answer for the functions of a module of numpy's or scipy's.
MODULES = {"numpy.fft": "minimeta.fft", "numpy.linalg": "minimeta.linalg", "scipy.special": "minimeta.special"}

NAMES = sorted(name for names in PUBLIC.values() for name in names.split())

_PAGES = {name: f".{page}" for pages in (FURTHER, PUBLIC) for page, names in pages.items() for name in names.split()}


def module_of(function: Any) -> str:
    """Return the module that a function is of; scipy's ufuncs do not say so themselves."""
    if isinstance(function, np.ufunc) and (special := sys.modules.get("scipy.special")) is not None:
        return "scipy.special" if getattr(special, function.__name__, None) is function else ""
    return getattr(function, "__module__", None) or ""


def load_pages(function: Any = None) -> None:
    """Import the page that answers for a numpy function, if there is one; without a function, import all of numpy's."""
    page = MODULES.get(module_of(function)) or _PAGES.get(getattr(function, "__name__", ""))
    pages = [*_PAGES.values(), "minimeta.fft", "minimeta.linalg"] if function is None else [page]
    for wanted in pages:
        if wanted:
            import_module(wanted, __name__)


if TYPE_CHECKING:
    from minimeta.autodiff.operations.arithmetic import *
    from minimeta.autodiff.operations.arrangement import *
    from minimeta.autodiff.operations.bessel import *
    from minimeta.autodiff.operations.calculus import *
    from minimeta.autodiff.operations.contractions import *
    from minimeta.autodiff.operations.conversions import *
    from minimeta.autodiff.operations.convolution import *
    from minimeta.autodiff.operations.creation import *
    from minimeta.autodiff.operations.cumulative import *
    from minimeta.autodiff.operations.exponential_sums import *
    from minimeta.autodiff.operations.floats import *
    from minimeta.autodiff.operations.grids import *
    from minimeta.autodiff.operations.indexing import *
    from minimeta.autodiff.operations.inverses import *
    from minimeta.autodiff.operations.joining import *
    from minimeta.autodiff.operations.joints import *
    from minimeta.autodiff.operations.linear_algebra import *
    from minimeta.autodiff.operations.logic import *
    from minimeta.autodiff.operations.missing import *
    from minimeta.autodiff.operations.movement import *
    from minimeta.autodiff.operations.ordering import *
    from minimeta.autodiff.operations.padding import *
    from minimeta.autodiff.operations.placement import *
    from minimeta.autodiff.operations.pooling import *
    from minimeta.autodiff.operations.queries import *
    from minimeta.autodiff.operations.reductions import *
    from minimeta.autodiff.operations.rounding import *
    from minimeta.autodiff.operations.statistics import *
    from minimeta.autodiff.operations.transcendental import *
    from minimeta.autodiff.operations.triangles import *
else:
    __all__ = NAMES  # noqa: PLE0605 (type checkers read the imports above)

    def __getattr__(name):
        if name not in NAMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = operation = getattr(import_module(_PAGES[name], __name__), name)
        return operation
