"""Primitive: one object that holds all that is known of an operation.

For ``y = p(x1, ..., xn)`` and a loss ``L``, the backward pass turns the *cotangent* ``dL/dy`` into
the inputs' cotangents ``dL/dxi = (dL/dy) (dy/dxi)``. A primitive's ``rules`` do that, one function
for each input,

    rule(cotangent, y, x1, ..., xn, **params) -> cotangent of that input,

written in the library's own operations: the backward pass is an ordinary computation, can itself be
recorded and differentiated, and so every order of derivative exists. Whatever form the rules were
given in, the backward pass finds one, ``pull(cotangent, y, needed)``: the inputs of `y` that need a
cotangent, each with what it gets from `y`.
"""

from __future__ import annotations

import importlib
import operator
import sys
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from minimeta import kernels
from minimeta.autodiff.array import Array, Shape

Rule: TypeAlias = Callable[..., Any]
#: Arrays, each with a share of its cotangent.
Shares: TypeAlias = Iterable[tuple[Array, Any]]
Pull: TypeAlias = Callable[[Any, Array, Container[int]], Shares]

LIBRARY = f"{__name__.partition('.')[0]}."


#: Of drawn floats: its name, or two bounds.
Domain: TypeAlias = str | tuple[float, float]


class Draw(Protocol):
    """What a primitive's ``sample`` draws operands with; the property tests implement it."""

    def integer(self, low: int, high: int) -> int:
        """Draw an integer in [low, high]."""

    def shape(self, low: int = 0, high: int = 3) -> Shape:
        """Draw a shape of low to high axes with sides 0 to 4."""

    def array(self, shape: Shape, domain: Domain = "real") -> NDArray[Any]:
        """Draw floats of a domain, distinct and away from zero."""

    def indices(self, shape: Shape, size: int) -> NDArray[np.int64]:
        """Draw integers in [-size, size)."""

    def booleans(self, shape: Shape) -> NDArray[np.bool_]:
        """Draw truth values."""


def _none(y: Any, *operands: Any, **params: Any) -> int:
    return 0


Sample: TypeAlias = Callable[[Draw], tuple[tuple[NDArray[Any], ...], dict[str, Any]]]


@dataclass(frozen=True, slots=True, eq=False)
class Primitive:
    """All that is known of one operation.

    Attributes
    ----------
    name
        Its name, and its kernel's.
    shape
        Shape rule: operands (anything with ``shape`` and ``dtype``) and params to an :class:`Form`
        result; raises a ShapeError or a DtypeError that says what does not fit.
    reference
        The specification, in numpy, for float32, float64 and (where differentiable) complex128. A
        choice between elements (``max``, ``where x > 0``) is made on real parts, so that the
        complex step holds.
    rules
        A rule or None (no derivative) for each input, or one function that returns the cotangents
        of all inputs.
    sample
        Draws legal operands and params, for the property tests.
    kernel
        The C++ implementation; the reference where there is none.
    elementwise
        Whether operands are promoted to one dtype and broadcast to one shape.
    accepts
        The kinds of dtype (numpy's letters) that elementwise operands may be promoted to. Integers
        and truth values become floats where floats alone are accepted.
    promotes
        By name or kind of dtype, the dtype that elementwise operands of it are computed in, if it
        is not their own.
    unpromoted
        How many of the first elementwise operands keep their dtype, as the condition of ``where``
        does.
    strong
        Whether the result of Python scalars alone has a dtype like any array's, as that of
        ``astype`` does. Other results take the dtype of what they meet, as Python scalars do.
    differentiable
        Whether it has derivatives; a result that has none is detached from the graph.
    view
        Whether the kernel's result may share memory with its operand.
    scalar
        Whether numpy returns a scalar, which never changes, and no array, where the result has
        shape ().
    linear
        Whether the reference only moves, repeats and adds elements, so that it is linear in its
        float operands.
    signed
        Whether a linear one has coefficients other than positive ones, so that what is not 0 may
        add up to 0, as in a Fourier transform.
    exact
        Whether it does not round: it moves elements, or chooses among them.
    analytic
        Whether the reference of complex operands is analytic, so that the complex step holds. A
        user's need not be.
    quadratic
        Whether it is a product of two operands, or of one with itself: the complex step is exact
        whatever its length.
    shifted
        Whether it depends on the differences of its elements alone, on a scale of 1 however large
        these are.
    root
        Whether it is singular where the operand is 0, as a square root is.
    differential
        In numpy, from the real operands and then as many directions to the derivative, where the
        reference of complex operands loses digits of it.
    costly
        Whether computing an element takes much longer than moving it, so that the result is worth
        keeping (:mod:`minimeta.program.fuse`).
    most_side
        Of an operation whose kernel in C++ is for small matrices: their largest side, along the last axis of the
        first operand. Python computes larger ones.
    partial
        Whether it refuses some values, such as singular matrices. No program that is drawn at
        random holds it.
    flops
        From the forms of the result and the operands, and the params, to a number of floating-point
        operations.
    chosen
        Of an operation that chooses among its operands or their elements, one function for each
        operand, from the cotangent, the result, the operands and the params to where the result
        depends on that operand, or to None if it does everywhere (:mod:`minimeta.autodiff.masks`).
    carried
        Of an operation that is neither elementwise nor linear, from where elements of its result are taken (1, and 0
        elsewhere), the result, an operand and the params to where elements of the operand are taken with them (other
        than 0). None where that is not known, as where factors of both signs cancel.
    through
        A pull that knows more than the chain rule: it hands the cotangent past the inputs, to what
        they were computed from. None, or a pull that returns None where the chain rule is right.
    pull
        The derivative in one form: of a cotangent, the result `y` that it belongs to, and the ids
        of the Arrays that need cotangents, to pairs of such an Array and what it gets.
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
    scalar: bool = False
    linear: bool = False
    signed: bool = False
    exact: bool = False
    analytic: bool = True
    quadratic: bool = False
    shifted: bool = False
    root: bool = False
    differential: Callable[..., NDArray[Any]] | None = None
    costly: bool = False
    most_side: int = -1
    partial: bool = False
    flops: Callable[..., int] = _none
    chosen: tuple[Callable[..., Any] | None, ...] | None = None
    carried: Callable[..., Any] | None = None
    through: Callable[[Any, Array, Container[int]], Shares | None] | None = None
    pull: Pull = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "pull", _pull(self.rules, self.through))

    def __repr__(self) -> str:
        return self.name

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(self.name)  # Hypothesis would print every field of a dataclass.

    def __reduce__(self) -> Any:
        """Pickle by name: of the registry, of the user's operation, or of the module's constant."""
        modules = [name for name in sys.modules if name.startswith(LIBRARY)]
        of_user = (self.reference.__module__, f"{self.reference.__qualname__}.primitive")
        for place in (("", self.name), of_user, *((module, self.name.upper()) for module in modules)):
            if _is_found(self, *place):
                return _found_again, place
        import pickle  # noqa: PLC0415 (for the error alone)

        raise pickle.PicklingError(
            f"primitive {self.name} is not what {self.reference.__module__}.{self.reference.__qualname__} applies, so "
            "it cannot be found again; define the operation at the top of a module"
        )

    def __deepcopy__(self, memo: Any) -> Primitive:
        return self  # as of a function

    @property
    def native(self) -> bool:
        """Whether its kernel is in C++; where nothing is, everything counts as native."""
        return kernels.native is None or self.kernel is getattr(kernels.native, self.name, None)


def _pull(rules: Any, through: Callable[..., Any] | None) -> Pull:
    """Bring a derivative into one form, whether it is one rule for each input or one for all."""

    def one_by_one(cotangent: Any, y: Array, needed: Container[int]) -> Shares:
        inputs, params, shares = y.inputs, y.params or {}, []
        for x, rule in zip(inputs, rules):  # noqa: B905 (inputs beyond the rules, as indices, have no derivative)
            if rule is not None and x.id in needed:
                shares.append((x, rule(cotangent, y, *inputs, **params)))
        return shares

    def all_at_once(cotangent: Any, y: Array, needed: Container[int]) -> Shares:
        shares = zip(y.inputs, rules(cotangent, y, *y.inputs, **(y.params or {})), strict=True)
        return [(x, share) for x, share in shares if x.id in needed]

    by_chain_rule = one_by_one if type(rules) is tuple else all_at_once
    if through is None:
        return by_chain_rule

    def further(cotangent: Any, y: Array, needed: Container[int]) -> Shares:
        shares = through(cotangent, y, needed)
        return by_chain_rule(cotangent, y, needed) if shares is None else shares

    return further


class _Registry(dict[str, Primitive]):
    """Every primitive by name, once its page is imported. Being here is enough to be tested."""

    def __missing__(self, name: str) -> Primitive:
        importlib.import_module("minimeta.autodiff.operations").load_pages()  # It stands above this page.
        if name not in self:
            raise KeyError(name)
        return self[name]


registry = _Registry()


def _found_again(module: str, path: str) -> Any:
    """Return the primitive of a path in a module, or of a name in the registry."""
    return operator.attrgetter(path)(importlib.import_module(module)) if module else registry[path]


def _is_found(primitive: Primitive, module: str, path: str) -> bool:
    try:
        return _found_again(module, path) is primitive
    except (AttributeError, ImportError, KeyError):
        return False


def register(name: str, **fields: Any) -> Primitive:
    """Make a primitive of the library and enter it in the registry; its kernel is in C++, or else
    the reference.

    Raises
    ------
    ValueError
        The name is taken.
    """
    if name in registry:
        raise ValueError(f"a primitive named {name!r} is registered already")
    if "kernel" not in fields:
        native = getattr(kernels.native, name, None)
        fields["kernel"] = native or contiguous(fields["reference"], fields["shape"])
    registry[name] = Primitive(name, **fields)
    return registry[name]


def contiguous(reference: Callable[..., Any], shape: Callable[..., Any]) -> Callable[..., NDArray[Any]]:
    """Make a kernel of a reference: checked, returning a fresh array, silent about NaN and
    infinity.
    """

    def kernel(*values: Any, **params: Any) -> NDArray[Any]:
        shape(*values, **params)
        with np.errstate(all="ignore"):
            # The order of numpy's sums follows the memory's, and some functions differ where a stride is negative;
            # a single element counts as contiguous with any stride.
            rows = [np.array(x, order="C", copy=np.size(x) < 2 or None) for x in values]
            y = reference(*rows, **params)
        # What nobody else holds and owns its memory is fresh: a copy of it would cost as much as a short computation.
        fresh = type(y) is np.ndarray and sys.getrefcount(y) <= _ALONE and y.flags.owndata and y.flags.c_contiguous
        return y if fresh else np.array(y, order="C")

    return kernel


def _count_alone() -> int:
    y = np.empty(0)
    return sys.getrefcount(y)


#: How many references Python counts to what one variable alone holds: 2 or, from 3.14 on, 1.
_ALONE = _count_alone()
