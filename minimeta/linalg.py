"""Linear algebra: numpy.linalg's functions, and ``solve_triangular`` and ``expm``.

Inside of a transformation numpy's own names answer, too: ``np.linalg.solve(a, b)`` of Arrays is
``linalg.solve(a, b)``.
"""

from minimeta.autodiff.operations.arrangement import matrix_transpose
from minimeta.autodiff.operations.decompositions import cholesky, eigh, eigvalsh, qr, svd, svdvals
from minimeta.autodiff.operations.matrix_functions import (
    cross,
    diagonal,
    expm,
    matrix_power,
    multi_dot,
    outer,
    trace,
    vecdot,
)
from minimeta.autodiff.operations.matrix_norms import cond, matrix_norm, norm, vector_norm
from minimeta.autodiff.operations.solving import (
    det,
    inv,
    lstsq,
    matrix_rank,
    pinv,
    slogdet,
    solve,
    solve_triangular,
    tensorinv,
    tensorsolve,
)

__all__ = [
    "cholesky",
    "cond",
    "cross",
    "det",
    "diagonal",
    "eigh",
    "eigvalsh",
    "expm",
    "inv",
    "lstsq",
    "matrix_norm",
    "matrix_power",
    "matrix_rank",
    "matrix_transpose",
    "multi_dot",
    "norm",
    "outer",
    "pinv",
    "qr",
    "slogdet",
    "solve",
    "solve_triangular",
    "svd",
    "svdvals",
    "tensorinv",
    "tensorsolve",
    "trace",
    "vecdot",
    "vector_norm",
]
