"""numpy's functions, and the operations that stand in for them.

numpy hands a call such as ``np.exp(x)``, ``np.sum(x)`` or ``array @ x`` to an operand that is not
an ndarray (NEP 13 and NEP 18). An Array looks here for the operation that was declared to answer,
so that code written for numpy can be differentiated as it stands. What has no answer is refused:
computing it in numpy would lose the derivative.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from minimeta.autodiff.remedies import REMEDIES
from minimeta.autodiff.signatures import call_for
from minimeta.errors import DtypeError, MinimetaError, TracingError

if TYPE_CHECKING:
    from minimeta.autodiff.array import Value

Operation = TypeVar("Operation", bound=Callable[..., Any])


class _Answers(dict[Any, Callable[..., Any]]):
    """The operation that stands in for a function of numpy's, or for an operator of Python's."""

    def __missing__(self, function: Any) -> Callable[..., Any]:
        importlib.import_module("minimeta.autodiff.operations").load_pages(function)  # It stands above this page.
        if function not in self:
            raise KeyError(function)
        return self[function]


ANSWERS = _Answers()


def answers(*functions: Any) -> Callable[[Operation], Operation]:
    """Declare which numpy functions an operation stands in for when they are called on an Array."""

    def declare(operation: Operation) -> Operation:
        ANSWERS.update(dict.fromkeys(functions, operation))
        return operation

    return declare


def has_answer(function: Any) -> bool:
    """Return whether an operation stands in for a numpy function."""
    return found(function) is not None


def answer(function: Any, arguments: Sequence[Any], keywords: dict[str, Any]) -> Value:
    """Compute what a numpy function would, by the operation that stands in for it.

    Raises
    ------
    TracingError
        There is none, or it does not take these arguments.
    """
    try:
        operation = ANSWERS[function]
    except KeyError:
        name = full_name(function)
        general = (
            "it has no derivative here. Write it with minimeta's operations, or let custom_vjp call "
            f"{name} on values, and give it a rule: custom_vjp(function, rule, on_values=True)"
        )
        remedy = REMEDIES.get(name.removeprefix("np."), general)
        raise TracingError(f"{name} of an Array is not supported: {remedy}") from None
    try:
        return operation(*arguments, **keywords)
    except TypeError as error:
        if isinstance(error, DtypeError):
            return of_complex(error, function, arguments, keywords)
        if isinstance(error, MinimetaError):
            raise
        signature = inspect.signature(operation)
        if _fits(signature, arguments, keywords):
            raise
        try:
            arguments, keywords = call_for(operation, function, arguments, keywords)
            signature.bind(*arguments, **keywords)
        except TypeError as mismatch:
            raise TracingError(
                f"{full_name(function)} of an Array: {mismatch}. minimeta computes it by "
                f"{operation.__name__}{signature}"
            ) from None
    return answer(function, arguments, keywords)


def _fits(signature: inspect.Signature, arguments: Sequence[Any], keywords: dict[str, Any]) -> bool:
    try:
        signature.bind(*arguments, **keywords)
    except TypeError:
        return False
    return True


def found(function: Any) -> Callable[..., Any] | None:
    """Return the operation that stands in for a function, if there is one."""
    try:
        return ANSWERS[function]
    except KeyError:
        return None


def of_complex(error: DtypeError, function: Any, operands: Sequence[Any], keywords: dict[str, Any]) -> Any:
    """Compute a function whose operands were refused because they are complex, or numpy arrays of
    Arrays; raise the error otherwise.
    """
    from minimeta.autodiff import complex_numbers, elements  # noqa: PLC0415 (few programs have them)

    if (arrays := elements.all_joined(operands)) is not None:
        return answer(function, arrays, keywords)
    if not complex_numbers.any_complex(operands):
        raise error
    return complex_numbers.compute(function, operands, keywords)


def without_out(function: Any, keywords: dict[str, Any]) -> dict[str, Any]:
    """Return the keywords of a call without an ``out`` that is None; refuse another.

    Raises
    ------
    TracingError
        There is one.
    """
    if "out" not in keywords:
        return keywords
    if keywords["out"] is not None:
        raise is_written(function)
    return {name: value for name, value in keywords.items() if name != "out"}


def is_written(function: Any) -> TracingError:
    """Return the error of a call that is asked to write its result."""
    return TracingError(f"{full_name(function)}(..., out=...): an Array is never written to; drop out=")


def full_name(function: Any) -> str:
    """Return a function's name as users write it, such as ``np.linalg.inv``."""
    name: str = function.__name__
    if getattr(np, name, None) is function:
        return f"np.{name}"
    module = getattr(function, "__module__", None)
    if not module:  # A ufunc of somebody else's.
        return name
    return f"{'np' + module[5:] if module.partition('.')[0] == 'numpy' else module}.{name}"
