"""Calls: functions that compute with values, and steps that have several results.

Most of numpy's and scipy's functions know nothing of Arrays. With values at hand such a function is
called on them, and what it returns is a constant; while tracing there are no values, and the call
becomes a step of the program,

    (y1, ..., ym) = function(x1, ..., xn),

which calls Python when the program runs. What its results look like has to be known beforehand, so
the function is called once on *stand-ins* of the arguments' shapes and dtypes: identity matrices,
which are invertible, symmetric and positive, and ones where there are fewer than two axes. A call
has no derivative of its own: it is the body of a ``custom_vjp``, which brings one.

A step of several results is an Array whose value is a tuple. ``PROJECT`` picks one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from minimeta.autodiff import tree
from minimeta.autodiff.apply import apply
from minimeta.autodiff.array import NOWHERE, Array, Form
from minimeta.autodiff.primitive import Primitive
from minimeta.autodiff.promotion import array_of, fixed
from minimeta.errors import DtypeError, ShapeError, TracingError

Function: TypeAlias = Callable[..., Any]
Forms: TypeAlias = tuple[tuple[tuple[int, ...], str], ...]


def called_on_values(function: Function, like: Function | None = None) -> Function:
    """Return a function of Arrays that calls a function of numpy arrays, without a derivative.

    Parameters
    ----------
    function
        Of trees of numpy arrays, which are its own (it may write to them), to a tree of arrays.
    like
        Of the same arguments, to a tree whose leaves have the shapes and dtypes of the function's
        results; called in its place on the stand-ins.
    """

    def called(*arguments: Any) -> Any:
        leaves, structure = tree.flatten(arguments)
        if Array not in map(type, leaves):
            own = [np.array(x, subok=True) for x in leaves]
            result = function(*tree.unflatten(structure, own))
            _checked(function, tree.flatten(result)[0], own)
            return result
        operands = list(map(array_of, leaves))
        if Form not in [type(x.value) for x in operands]:
            outputs, output = _computed(function, structure, [x.value for x in operands])
            return tree.unflatten(output, [Array(y) for y in outputs])
        forms, output = _expected(function, like, structure, operands)
        node = apply(CALL, *operands, function=function, arguments=structure, output=output, forms=forms)
        return tree.unflatten(output, [pick(node, i) for i in range(len(forms))])

    return called


def _computed(
    function: Function, arguments: tree.Structure, values: Sequence[Any]
) -> tuple[list[NDArray[Any]], tree.Structure]:
    """Return the leaves and the structure of a function's output; it is given private copies."""
    outputs, output = tree.flatten(function(*tree.unflatten(arguments, [np.array(x) for x in values])))
    _checked(function, outputs, values)
    return [np.array(y if np.iscomplexobj(y) else fixed(y, False), order="C") for y in outputs], output


def _checked(function: Function, outputs: Sequence[Any], values: Sequence[Any]) -> None:
    """Refuse complex results of real arguments; those of complex arguments are complex steps."""
    if any(map(np.iscomplexobj, outputs)) and not any(map(np.iscomplexobj, values)):
        dtype = next(np.asarray(y).dtype.name for y in outputs if np.iscomplexobj(y))
        raise DtypeError(
            f"custom_vjp: {_name(function)} returned {dtype} for real arguments, and minimeta computes with real "
            "numbers alone. Return real and imaginary parts apart: lambda x: (function(x).real, function(x).imag)"
        )


def _expected(
    function: Function, like: Function | None, arguments: tree.Structure, operands: Sequence[Array]
) -> tuple[Forms, tree.Structure]:
    """Return the forms of a function's results, and their structure."""
    try:
        with np.errstate(all="ignore"):
            outputs, output = _computed(like or function, arguments, list(map(_stand_in, operands)))
    except DtypeError:
        raise
    except Exception as error:
        shapes = ", ".join(str(x.shape) for x in operands)
        raise TracingError(
            f"custom_vjp: while tracing, {_name(like or function)} is called once on identity matrices and ones, of "
            f"shapes {shapes}, to see what it returns. That failed: {type(error).__name__}: {error}. Say what the "
            "result looks like: custom_vjp(function, rule, like=lambda x: np.empty(x.shape, x.dtype))"
        ) from error
    return tuple((y.shape, y.dtype.name) for y in outputs), output


def _stand_in(x: Array) -> NDArray[Any]:
    ones = np.eye(x.shape[-2], x.shape[-1]) if x.ndim > 1 else np.ones(())
    return np.broadcast_to(ones, x.shape).astype(x.dtype)


def _name(function: Function) -> str:
    return str(getattr(function, "__name__", function))


def _forms(*values: Any, forms: Forms, **_: Any) -> tuple[Form, ...]:
    return tuple(Form(*form) for form in forms)


def _call(
    *values: Any, function: Function, arguments: tree.Structure, output: tree.Structure, forms: Forms
) -> tuple[Any, ...]:
    outputs, found = _computed(function, arguments, values)
    shapes = [y.shape for y in outputs]
    if found != output or shapes != [shape for shape, _ in forms]:
        raise ShapeError(
            f"custom_vjp: {_name(function)} returned shapes {shapes} for arguments of shapes "
            f"{[x.shape for x in values]}, but {[shape for shape, _ in forms]} on its stand-ins. A program's shapes do "
            "not depend on values: pad the result to one shape, or say what it looks like by like="
        )
    results = []
    for y, (_, dtype) in zip(outputs, forms, strict=True):
        if y.dtype.kind != "c" and not np.can_cast(y.dtype, dtype, "same_kind"):
            raise DtypeError(
                f"custom_vjp: {_name(function)} returned {y.dtype.name}, but {dtype} on its stand-ins, which cannot "
                "hold it. A program's dtypes do not depend on values: return one dtype (np.float64(y), "
                "y.astype(np.float64)), or say what the result looks like by like="
            )
        results.append(y if y.dtype.kind == "c" else y.astype(dtype, copy=False))
    return tuple(results)


def _pick(values: Any, place: int) -> Any:
    return values[place]


def _project_rule(g: Array, y: Array, node: Array, place: int) -> tuple[Any, ...]:
    return tuple(g if i == place else None for i in range(len(node.value)))


def pick(node: Array, place: int) -> Array:
    """Return one result of a node that has several."""
    result: Array = apply(PROJECT, node, place=place)
    if type(result.value) is Form:
        result.origin = getattr(node, "origin", NOWHERE)
    return result


def no_sample(draw: Any) -> Any:
    """Refuse to draw operands."""
    raise TracingError("there are no operands to draw: the meaning is another computation")


# Not in the registry: what they compute is known when they are made.
CALL = Primitive("call", _forms, _call, (), no_sample, _call)
PROJECT = Primitive("project", _pick, _pick, (_project_rule,), no_sample, _pick)
