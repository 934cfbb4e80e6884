"""Defining an operation: its specification in numpy, under a decorator that says all else there is
to know.

    @operation(rules=(...), shape=..., sample=...)
    def cumulative_sum(x, *, axis):
        return np.cumsum(x, axis)

The decorated function is the reference. The decorator returns the operation: a function with the
same name and docstring that applies a :class:`~minimeta.autodiff.primitive.Primitive` to Arrays and
numpy arrays. Positional parameters are operands, keyword-only ones are static. The library's own
operations are entered in the registry, which the tests go through, and run the C++ kernel of their
name if there is one. A user's operation is made in the same way, and checked
(:mod:`~minimeta.autodiff.user_primitive`).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, ParamSpec, Protocol, TypeAlias

from minimeta.autodiff.apply import apply
from minimeta.autodiff.array import ArrayLike, Value
from minimeta.autodiff.primitive import Primitive, register
from minimeta.autodiff.protocols import answers as declare
from minimeta.errors import ShapeError

P = ParamSpec("P")


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


def operation(answers: Any = (), name: str = "", **facts: Any) -> Callable[[Callable[P, Any]], Operation[P]]:
    """Make an operation of the library; the decorated function is its reference, and names it."""

    def decorate(reference: Callable[P, Any]) -> Operation[P]:
        facts.setdefault("differentiable", facts["rules"] != ())
        made = register(name or reference.__name__.strip("_"), reference=reference, **facts)
        return applying(made, reference, answers if isinstance(answers, tuple) else (answers,))

    return decorate


def applying(primitive: Primitive, reference: Callable[P, Any], answers: tuple[Any, ...]) -> Operation[P]:
    """Return the function that applies a primitive, named and documented as its reference.

    It answers for these functions of numpy's. Most operations have one or two operands and nothing
    else; these are as quick as a function can be.
    """
    signature = inspect.signature(reference)
    operands = operands_of(signature)
    plain = all(p.kind is p.POSITIONAL_OR_KEYWORD and p.default is p.empty for p in signature.parameters.values())
    names = {p.name for p in signature.parameters.values() if p.kind is p.KEYWORD_ONLY}
    function: Any

    if plain and operands == ("x",):

        def function(x: ArrayLike) -> Value:
            return apply(primitive, x)

    elif plain and operands == ("x", "y"):

        def function(x: ArrayLike, y: ArrayLike) -> Value:
            return apply(primitive, x, y)

    else:

        def function(*arrays: Any, **params: Any) -> Value:
            if params.keys() != names or (operands is not None and len(arrays) != len(operands)):
                bound = signature.bind(*arrays, **params)
                bound.apply_defaults()
                arrays, params = bound.args, bound.kwargs
            if not arrays and operands is None:
                raise ShapeError(f"{primitive.name} of no arrays: give at least one")
            return apply(primitive, *arrays, **params)

        function.__signature__ = signature
    for attribute in ("__name__", "__qualname__", "__module__", "__doc__"):
        setattr(function, attribute, getattr(reference, attribute))
    function.primitive = primitive
    declared: Operation[P] = declare(*answers)(function)
    return declared


def operands_of(signature: inspect.Signature) -> tuple[str, ...] | None:
    """Return the names of the operands, or None where there may be any number."""
    parameters = signature.parameters.values()
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return None
    return tuple(p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD))
