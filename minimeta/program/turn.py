"""turn: exchange the axes of a matrix once for all products that do.

The kernel of a product ``x w'`` first turns ``w``, so that its columns lie in rows: with ten rows of ``x`` and weights
of 40 x 40 that takes a third of the time. Where several products turn one matrix, as the walk back through each step
of a recurrent network does, it is turned before the first of them, and all read that:

    y_1 = x_1 w',  y_2 = x_2 w'            v = w';  y_1 = x_1 v,  y_2 = x_2 v

A product takes the same terms in the same order, so no bit changes. A long matrix stays as it is: its product copies
parts of it to a cache in any case. (Of a matrix that all tasks of a ``vmap`` share, see :mod:`minimeta.program.hoist`.)
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

from minimeta.autodiff.operations.linear_algebra import MATMUL
from minimeta.autodiff.operations.movement import TRANSPOSE
from minimeta.autodiff.steps import Program, Step
from minimeta.program.finish import FINISHED_PRODUCT

_SHORT_BYTES = 1 << 16  # csrc/matmul.cpp copies a longer factor


class Turning(NamedTuple):
    """A product of a matrix that is turned before.

    Attributes
    ----------
    step
        The product, which does not turn it.
    factor
        Which operand of the step it is.
    matrix
        Its number in the program.
    """

    step: Step
    factor: int
    matrix: int


def turning(program: Program) -> dict[int, Turning]:
    """Return, by their identities, the products that turn a short matrix which others turn, too.

    A product transposes it, or reads what a step before it does.
    """
    forms = program.forms()
    turned = {
        i: step.operands[0]
        for i, step in program.numbered_steps()
        if step.primitive is TRANSPOSE and step.params["axes"] == (1, 0)
    }
    found: dict[int, list[tuple[Step, Turning]]] = {}
    for step in program.steps:
        product = step.body.steps[0] if step.primitive is FINISHED_PRODUCT and step.body else step
        if product.primitive is not MATMUL:
            continue
        factor = 1 if product is step else product.operands[1]
        y = step.operands[factor]
        form = forms[y]
        is_turned = product.params["transpose_y"] != (y in turned)
        if is_turned and len(form.shape) == 2 and 1 not in form.shape and form.nbytes <= _SHORT_BYTES:
            matrix = turned.get(y, y)
            found.setdefault(matrix, []).append((step, Turning(_without_turning(step), factor, matrix)))
    several = (products for products in found.values() if len(products) > 1)
    return {id(step): each for products in several for step, each in products}


def _without_turning(step: Step) -> Step:
    product, *after = step.body.steps if step.body else (step,)
    if product.primitive is not MATMUL or not product.params["transpose_y"]:
        return step
    product = product._replace(params={**product.params, "transpose_y": False})
    return step._replace(body=dataclasses.replace(step.body, steps=(product, *after))) if step.body else product
