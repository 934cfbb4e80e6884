"""A program interpreted in numpy, step by step, by the primitives' references.

This is the specification of what a program computes. It also runs in complex128: with ``x + ih`` in
place of ``x``, the imaginary part of the result divided by ``h`` is the derivative to machine
precision (there is no subtraction, so ``h`` may be 1e-30), for any program whose choices are made
on real parts, as the references' are.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minimeta.autodiff.steps import by_reference
from minimeta.program.program import Traced


def interpret(program: Traced, *arguments: Any) -> Any:
    """Compute the output of a program for these arguments by the numpy references.

    Parameters
    ----------
    program
        A traced function.
    *arguments
        Trees like those it was traced with; leaves may be complex128.

    Returns
    -------
    tree of numpy.ndarray
    """
    with np.errstate(all="ignore"):
        return program.run(by_reference, *arguments)
