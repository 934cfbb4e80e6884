"""Defining an operation: its specification in numpy, under a decorator that says all else there is to know.

    @primitive(shape=..., rules=(...), sample=..., answers=np.cumsum)
    def cumsum(x, *, axis):
        return np.cumsum(x, axis)

The decorated function is the reference. The decorator returns the operation: a function with the same name and
docstring that applies a :class:`~minimeta.autodiff.primitive.Primitive` to Arrays and numpy arrays. The library's own
operations are entered in the registry, which the tests go through, and run the C++ kernel of their name if there is
one. The operations of a user run their reference.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, Protocol, TypeAlias

from minimeta.autodiff.apply import apply
from minimeta.autodiff.array import ArrayLike, Value
from minimeta.autodiff.primitive import Primitive, Rule, Sample, contiguous, register, registry
from minimeta.autodiff.protocols import ANSWERS, full_name
from minimeta.autodiff.protocols import answers as declare
from minimeta.errors import ConfigurationError

P = ParamSpec("P")
_LIBRARY = f"{__name__.partition('.')[0]}."


class Operation(Protocol[P]):
    """A function of Arrays, and the primitive that it applies."""

    primitive: Primitive
    __name__: str

    def __call__(self, *operands: P.args, **params: P.kwargs) -> Value:
        """Compute the operation, eagerly or in a transformation."""


#: What a decorator does to a reference whose signature is not looked at.
Declare: TypeAlias = Callable[[Callable[..., Any]], Operation[...]]


class Unary(Operation[[ArrayLike]], Protocol):
    """An elementwise function of one operand."""

    def __call__(self, x: ArrayLike) -> Value:
        """Compute the function."""


class Binary(Operation[[ArrayLike, ArrayLike]], Protocol):
    """An elementwise function of two operands."""

    def __call__(self, x: ArrayLike, y: ArrayLike) -> Value:
        """Compute the function."""


def primitive(
    *,
    rules: Sequence[Rule | None] | Rule,
    shape: Callable[..., Any] | None = None,
    elementwise: bool = False,
    sample: Sample | None = None,
    answers: Any = (),
) -> Callable[[Callable[P, Any]], Operation[P]]:
    """Make a differentiable operation of a numpy function.

    The function is the specification: positional parameters are operands (numpy arrays when it is called), keyword-only
    parameters are static. It must not write to its operands. If it also takes complex operands, choosing on real parts
    (``np.where(np.real(x) > 0, ...)``), :func:`minimeta.testing.check_gradients` is exact to rounding.

    Parameters
    ----------
    rules
        One function ``rule(cotangent, y, *operands, **params)`` for each operand, to the cotangent of that operand,
        written in operations, so that it can be differentiated again; None for an operand without a derivative. A
        single function returns the cotangents of all operands. Without any, ``()``, the result is a constant.
    shape
        From the operands' forms (anything with ``shape`` and ``dtype``) and the params to the result's
        :class:`minimeta.Form`; raises :class:`minimeta.errors.ShapeError` for operands that do not fit. May be left out
        if the operation is elementwise.
    elementwise
        Whether operands are promoted to one float dtype and broadcast to one shape, which the result has too.
    sample
        Draws legal operands and params, for :func:`minimeta.testing.check_primitive`.
    answers
        The numpy function, or functions, that it stands in for when they are called on an Array.

    Returns
    -------
    callable
        A decorator. The operation has its :class:`Primitive` as the attribute ``primitive``.

    Raises
    ------
    ConfigurationError
        There is no shape rule, an operation of this name or for this numpy function is there already, or there are not
        as many rules as operands.

    Examples
    --------
    >>> import numpy as np
    >>> import minimeta as mm
    >>> @mm.primitive(
    ...     shape=lambda x, axis: mm.Form(x.shape, x.dtype),
    ...     rules=(lambda g, y, x, axis: mm.flip(cumulative_sum(mm.flip(g, axis), axis=axis), axis),),
    ...     answers=np.cumsum,
    ... )
    ... def cumulative_sum(x, *, axis=0):
    ...     return np.cumsum(x, axis)
    >>> mm.grad(lambda x: mm.sum(np.cumsum(x) ** 2))(np.array([1.0, 2.0]))
    array([8., 6.])
    """

    def decorate(reference: Callable[P, Any]) -> Operation[P]:
        name = reference.__name__
        if name in registry:
            raise ConfigurationError(f"primitive: there is an operation named {name!r} already; choose another name")
        form = shape or (_same_form if elementwise else None)
        if form is None:
            raise ConfigurationError(
                f"primitive {name}: it needs shape=, a rule from the operands' forms to the result's, or "
                "elementwise=True"
            )
        functions = answers if isinstance(answers, tuple) else (answers,)
        if taken := [full_name(f) for f in functions if getattr(ANSWERS.get(f), "__module__", "").startswith(_LIBRARY)]:
            raise ConfigurationError(f"primitive {name}: minimeta has an operation for {taken[0]} already")
        operands = _operands(inspect.signature(reference))
        if not callable(rules) and rules and operands is not None and len(rules) != len(operands):
            raise ConfigurationError(
                f"primitive {name}: {len(rules)} rules for {len(operands)} operands; give one for each (None where "
                "there is no derivative), or one function for all"
            )
        made = Primitive(
            name,
            shape=form,
            reference=reference,
            rules=rules if callable(rules) else tuple(rules),
            sample=sample or _unsampled(name),
            kernel=contiguous(reference, form),
            elementwise=elementwise,
            differentiable=callable(rules) or any(rules),
        )
        dressed: Operation[P] = _dressed(made, reference, answers)
        return dressed

    return decorate


def operation(answers: Any = (), name: str = "", **facts: Any) -> Callable[[Callable[P, Any]], Operation[P]]:
    """Make one of the library's own operations: the decorated function, named as its kernel, is its reference."""

    def decorate(reference: Callable[P, Any]) -> Operation[P]:
        facts.setdefault("differentiable", facts["rules"] != ())
        made = register(name or reference.__name__.strip("_"), reference=reference, **facts)
        dressed: Operation[P] = _dressed(made, reference, answers)
        return dressed

    return decorate


def _dressed(made: Primitive, reference: Callable[..., Any], answers: Any) -> Any:
    function = _function(made, reference)
    function.__name__, function.__qualname__ = reference.__name__, reference.__qualname__
    function.__module__, function.__doc__ = reference.__module__, reference.__doc__
    function.primitive = made
    return declare(*(answers if isinstance(answers, tuple) else (answers,)))(function)


def _operands(signature: inspect.Signature) -> tuple[str, ...] | None:
    """The names of the operands, or None where there may be any number."""
    parameters = signature.parameters.values()
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return None
    return tuple(p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD))


def _function(made: Primitive, reference: Callable[..., Any]) -> Any:
    """The public function. Most have one or two operands, and are as quick as a function can be."""
    signature = inspect.signature(reference)
    operands = _operands(signature)
    if tuple(signature.parameters) == ("x",):

        def unary(x: ArrayLike) -> Value:
            return apply(made, x)

        return unary

    if tuple(signature.parameters) == ("x", "y"):

        def binary(x: ArrayLike, y: ArrayLike) -> Value:
            return apply(made, x, y)

        return binary

    names = {p.name for p in signature.parameters.values() if p.kind is p.KEYWORD_ONLY}

    def function(*arrays: Any, **params: Any) -> Value:
        if params.keys() != names or (operands is not None and len(arrays) != len(operands)):
            bound = signature.bind(*arrays, **params)
            bound.apply_defaults()
            arrays, params = bound.args, bound.kwargs
        return apply(made, *arrays, **params)

    function.__signature__ = signature  # type: ignore[attr-defined]
    return function


def _same_form(*operands: Any) -> Any:
    return operands[-1]


def _unsampled(name: str) -> Sample:
    def sample(draw: Any) -> Any:
        raise ConfigurationError(f"primitive {name} has no sample=, a way to draw operands")

    return sample
