"""Linear algebra: numpy.linalg's functions, and some of scipy.linalg's: ``solve_triangular``,
``cho_factor``, ``cho_solve``, ``lu_factor``, ``expm``.

Inside of a transformation numpy's own names answer, too: ``np.linalg.solve(a, b)`` of Arrays is ``linalg.solve(a, b)``.
scipy's functions make numpy arrays of what they get: take them from here.
"""

from minimeta.autodiff.operations.arrangement import matrix_transpose
from minimeta.autodiff.operations.decompositions import cho_factor, cho_solve, cholesky, lu_factor, qr
from minimeta.autodiff.operations.determinants import det, slogdet
from minimeta.autodiff.operations.least_squares import lstsq, matrix_rank, pinv
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
    inv,
    solve,
    solve_triangular,
    tensorinv,
    tensorsolve,
)
from minimeta.autodiff.operations.spectra import eigh, eigvalsh, svd, svdvals

__all__ = [
    "cho_factor",
    "cho_solve",
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
    "lu_factor",
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
