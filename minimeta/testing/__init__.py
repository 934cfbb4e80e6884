"""Gradient checking, for the library and for its users.

``check_gradients`` checks the derivatives of any function at a point and says why it fails; ``gradients`` makes a
property-based test of one; ``check_primitive``, ``check_meta_gradient`` and ``check_vjp`` check an operation, a
meta-learner, and derivatives that were made elsewhere. Random arrays, constrained points and random programs are drawn
and shrunk by hypothesis, which is loaded when it is first needed and comes with the extra ``test``.
"""

from minimeta.errors import GradientCheckError, GradientMismatch, Inconclusive, Nondifferentiable, VacuousCheck
from minimeta.testing.checker import check_gradients
from minimeta.testing.constrained import Constrained
from minimeta.testing.report import Report

__all__ = [
    "Constrained",
    "GradientCheckError",
    "GradientMismatch",
    "Inconclusive",
    "Nondifferentiable",
    "Report",
    "VacuousCheck",
    "check_gradients",
]
