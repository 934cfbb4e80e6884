"""Primitive: one object that holds all that is known of an operation.

For ``y = p(x1, ..., xn)`` and a loss ``L``, the backward pass turns the *cotangent* ``dL/dy`` into the inputs'
cotangents ``dL/dxi = (dL/dy) (dy/dxi)``. A primitive's ``rules`` do that, one function for each input,

    rule(cotangent, y, x1, ..., xn, **params) -> cotangent of that input,

written in the library's own operations: the backward pass is an ordinary computation, can itself be recorded and
differentiated, and so every order of derivative exists.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from minimeta import kernels
from minimeta.autodiff.array import Array, Form, Shape

Rule: TypeAlias = Callable[..., Any]


class Draw(Protocol):
    """What a primitive's ``sample`` draws legal operands with; implemented by the property tests."""

    def integer(self, low: int, high: int) -> int:
        """An integer in [low, high]."""

    def shape(self, low: int = 0, high: int = 3) -> Shape:
        """A shape of low to high axes with sides 0 to 4."""

    def array(self, shape: Shape, domain: str = "real") -> NDArray[Any]:
        """Floats of a domain, distinct and away from zero."""

    def indices(self, shape: Shape, size: int) -> NDArray[np.int64]:
        """Integers in [-size, size)."""

    def booleans(self, shape: Shape) -> NDArray[np.bool_]:
        """Truth values."""


Sample: TypeAlias = Callable[[Draw], tuple[tuple[NDArray[Any], ...], dict[str, Any]]]


@dataclass(frozen=True, slots=True, eq=False)
class Primitive:
    """All that is known of one operation.

    Attributes
    ----------
    name
        Its name, and its kernel's.
    shape
        Shape rule: operands (anything with ``shape`` and ``dtype``) and params to an :class:`Form` result;
        raises a ShapeError or a DtypeError that says what does not fit.
    reference
        The specification, in numpy, for float32, float64 and (where differentiable) complex128. A choice between
        elements (``max``, ``where x > 0``) is made on real parts, so that the complex step holds.
    rules
        A rule or None (no derivative) for each input, or one function that returns the cotangents of all inputs.
    sample
        Draws legal operands and params, for the property tests.
    kernel
        The C++ implementation; the reference where there is none.
    elementwise
        Whether operands are promoted to one dtype and broadcast to one shape.
    accepts
        The kinds of dtype (numpy's letters) that elementwise operands may be promoted to. Integers and truth values
        become floats where floats alone are accepted.
    promotes
        By kind of dtype, the dtype that elementwise operands of this kind are computed in, if it is not their own.
    unpromoted
        How many of the first elementwise operands keep their dtype, as the condition of ``where`` does.
    strong
        Whether the result of Python scalars alone has a dtype like any array's, as that of ``astype`` does. Other
        results take the dtype of what they meet, as Python scalars do.
    differentiable
        Whether it has derivatives; a result that has none is detached from the graph.
    view
        Whether the kernel's result may share memory with its operand.
    through
        Of the cotangent, the ids that need one, and the inputs: pairs of an Array that the inputs were computed from
        and its cotangent, where that is more than the chain rule says; or None.
    """

    name: str
    shape: Callable[..., Any]
    reference: Callable[..., Any]
    rules: tuple[Rule | None, ...] | Rule
    sample: Sample
    kernel: Callable[..., Any]
    elementwise: bool = False
    accepts: str = "f"
    promotes: Mapping[str, str] = field(default_factory=dict)
    unpromoted: int = 0
    strong: bool = False
    differentiable: bool = True
    view: bool = False
    through: Callable[..., list[tuple[Array, Any]] | None] | None = None

    def __repr__(self) -> str:
        return self.name


#: Every primitive by name. Being here is enough to be tested.
registry: dict[str, Primitive] = {}


def register(name: str, **fields: Any) -> Primitive:
    """Make a primitive, find its kernel, and enter it in the registry.

    Raises
    ------
    ValueError
        The name is taken.
    """
    if name in registry:
        raise ValueError(f"a primitive named {name!r} is registered already")
    if "kernel" not in fields:
        fallback = _contiguous(fields["reference"], fields["shape"])
        fields["kernel"] = getattr(kernels.native, name) if kernels.native else fallback
    registry[name] = Primitive(name, **fields)
    return registry[name]


def _contiguous(reference: Callable[..., Any], shape: Callable[..., Any]) -> Callable[..., NDArray[Any]]:
    """A kernel made of a reference: checked, always a fresh array, silent about NaN and infinity as kernels are."""

    def kernel(*values: Any, **params: Any) -> NDArray[Any]:
        shape(*values, **params)
        if Form in [type(value) for value in values]:
            raise TypeError("a kernel computes with values")
        with np.errstate(all="ignore"):
            return np.array(reference(*values, **params), order="C")

    return kernel
