"""numpy's functions, and the operations that stand in for them.

numpy hands a call such as ``np.exp(x)``, ``np.sum(x)`` or ``array @ x`` to an operand that is not an ndarray (NEP 13
and NEP 18). An Array looks here for the operation that was declared to answer, so that code written for numpy can be
differentiated as it stands. What has no answer is refused: computing it in numpy would lose the derivative.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from minimeta.autodiff.array import Value
from minimeta.errors import MinimetaError, TracingError

Operation = TypeVar("Operation", bound=Callable[..., Any])

_answers: dict[Any, Callable[..., Any]] = {}


def answers(*functions: Any) -> Callable[[Operation], Operation]:
    """Declare which numpy functions an operation stands in for when they are called on an Array."""

    def declare(operation: Operation) -> Operation:
        _answers.update(dict.fromkeys(functions, operation))
        return operation

    return declare


def has_answer(function: Any) -> bool:
    """Whether an operation stands in for a numpy function."""
    return function in _answers


def answer(function: Any, arguments: Sequence[Any], keywords: dict[str, Any]) -> Value:
    """Compute what a numpy function would, by the operation that stands in for it.

    Raises
    ------
    TracingError
        There is none, or it does not take these arguments.
    """
    operation = _answers.get(function)
    if operation is None:
        raise TracingError(
            f"np.{function.__name__} of an Array is not supported: it has no derivative here. Write it with minimeta's "
            "operations, or give it a derivative with minimeta.custom_vjp"
        )
    try:
        return operation(*arguments, **keywords)
    except TypeError as error:
        if isinstance(error, MinimetaError):
            raise
        signature = inspect.signature(operation)
        try:
            signature.bind(*arguments, **keywords)
        except TypeError as mismatch:
            raise TracingError(
                f"np.{function.__name__} of an Array: {mismatch}. minimeta computes it by "
                f"{operation.__name__}{signature}"
            ) from None
        raise
