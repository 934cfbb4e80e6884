"""What a differentiable computation is.

Read in this order: ``array`` (a value and how it was computed), ``primitive`` (an operation and the
one way to apply it), ``operations`` (what there is), ``graph`` (the walk), ``derivatives`` (what
users call), ``regions`` (derivatives computed in another way), ``calls`` (functions that know
values only), ``tree`` (nested parameters).
"""

from minimeta.autodiff import operations, tree
from minimeta.autodiff.array import Array, Form
from minimeta.autodiff.derivatives import grad, hvp, jvp, value_and_grad, vjp
from minimeta.autodiff.regions import custom_vjp, rematerialize

__all__ = [
    "Array",
    "Form",
    "custom_vjp",
    "grad",
    "hvp",
    "jvp",
    "operations",
    "rematerialize",
    "tree",
    "value_and_grad",
    "vjp",
]
