"""Jacobians: all rows of a derivative at once.

The Jacobian of ``y = f(x)`` is made of the vectors ``J^T e_1, ..., J^T e_n``, one walk back for each
element of ``y``. The walks differ in their cotangent alone. So there is one walk, by ``vmap``, over
all unit vectors: products by the matrices that they share become products of matrices
(:mod:`minimeta.program.batching`), and what is the same in all walks is computed once.

The Hessian is the Jacobian of the gradient.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minimeta.autodiff import tree
from minimeta.autodiff.arguments import Function, Place, call_with, check_differentiable, place_of
from minimeta.autodiff.derivatives import grad, vjp
from minimeta.autodiff.operations import reshape
from minimeta.autodiff.transformed import transformation
from minimeta.errors import TracingError
from minimeta.program.vmap import vmap


@transformation
def jacobian(function: Function, argnum: Place = 0) -> Function:
    """Make a function that computes the Jacobian matrix, by a walk for all elements of the output.

    Parameters
    ----------
    function
        To a tree of arrays. Rules of its own that need values are run for one element after
        another.
    argnum
        The argument to differentiate with respect to: its position or its name.

    Returns
    -------
    callable
        Of the same arguments, to a tree like the output whose leaves are trees like the argument,
        whose leaves have the shape of the output's leaf followed by that of the argument's.
    """

    def transformed(*arguments: Any, **keywords: Any) -> Any:
        place_of_x = place_of("jacobian", argnum, function, arguments, keywords)
        point = keywords[place_of_x] if isinstance(place_of_x, str) else arguments[place_of_x]
        check_differentiable(tree.flatten(point)[0], (point,), "jacobian", [place_of_x])

        def partial(x: Any) -> Any:
            return call_with(function, arguments, keywords, {place_of_x: x})

        output, pullback = vjp(partial, point)
        outputs, structure = tree.flatten(output)
        zeros = [np.zeros(y.shape, y.dtype) for y in outputs]

        def rows(place: int) -> Any:
            """Return the derivative of one leaf of the output."""
            shape, dtype = zeros[place].shape, zeros[place].dtype
            count = math.prod(shape)
            units = np.eye(count, dtype=dtype).reshape(count, *shape)

            def row(unit: Any) -> Any:
                (gradient,) = pullback(tree.unflatten(structure, [*zeros[:place], unit, *zeros[place + 1 :]]))
                return gradient

            try:
                gradients = vmap(row, enabled=count > 1)(units)
            except TracingError:
                gradients = vmap(row, enabled=False)(units)
            return tree.map(lambda x: reshape(x, (*shape, *x.shape[1:])), gradients)

        return tree.unflatten(structure, [rows(place) for place in range(len(outputs))])

    return transformed


@transformation
def hessian(function: Function, argnum: Place = 0) -> Function:
    """Make a function that computes the Hessian of a scalar function: the Jacobian of its gradient.

    Returns
    -------
    callable
        Of the same arguments, to a tree like the argument of trees like the argument; for one array
        of shape ``s``, an array of shape ``(*s, *s)``.
    """
    return jacobian(grad(function, argnum), argnum)
