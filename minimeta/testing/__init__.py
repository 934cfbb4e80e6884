"""Gradient checking, for the library and for its users.

``check_gradients`` checks the derivatives of any function at a point and says why it fails;
``gradients`` makes a property-based test of one; ``check_primitive``, ``check_meta_gradient`` and
``check_vjp`` check an operation, a meta-learner, and derivatives that were made elsewhere. What
arguments are drawn from are ``arrays`` and the like, which are hypothesis's strategies where the
extra ``test`` is installed. ``programs`` needs it.

Read in this order: ``subject`` (what is checked); ``choices`` and ``replay``, ``differences``,
``limits``, ``curvature`` and ``identities`` (the oracles); ``rounding``, ``comparison`` and
``order`` (the verdict); ``checker``; then ``localise`` and ``explanation`` (why it failed).
"""

from typing import TYPE_CHECKING, Any

from minimeta.errors import GradientCheckError, GradientMismatch, Inconclusive, Nondifferentiable, VacuousCheck
from minimeta.testing.checker import check_gradients
from minimeta.testing.constrained import Constrained
from minimeta.testing.learners import check_meta_gradient
from minimeta.testing.operands import Drawing, Seeded, spread
from minimeta.testing.primitives import PrimitiveReport, check_primitive
from minimeta.testing.property import gradients
from minimeta.testing.report import Report
from minimeta.testing.strategies import (
    arrays,
    broadcastable,
    like,
    one_hot,
    orthogonal,
    positive_definite,
    samples,
    simplex,
    symmetric,
)
from minimeta.testing.vjps import check_vjp

if TYPE_CHECKING:
    from minimeta.testing.random_programs import Specimen, programs

__all__ = [
    "Constrained",
    "Drawing",
    "GradientCheckError",
    "GradientMismatch",
    "Inconclusive",
    "Nondifferentiable",
    "PrimitiveReport",
    "Report",
    "Seeded",
    "Specimen",
    "VacuousCheck",
    "arrays",
    "broadcastable",
    "check_gradients",
    "check_meta_gradient",
    "check_primitive",
    "check_vjp",
    "gradients",
    "like",
    "one_hot",
    "orthogonal",
    "positive_definite",
    "programs",
    "samples",
    "simplex",
    "spread",
    "symmetric",
]


def __getattr__(name: str) -> Any:
    """``programs`` and ``Specimen``, which need hypothesis, when they are first asked for."""
    if name not in ("Specimen", "programs"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from minimeta.testing.operands import require_hypothesis  # noqa: PLC0415 (an extra)

    require_hypothesis()
    from minimeta.testing.random_programs import Specimen, programs  # noqa: PLC0415 (an extra)

    return {"Specimen": Specimen, "programs": programs}[name]
