"""In-place operators: ``y *= 2`` where nobody else sees ``y``.

numpy writes the result into the memory of ``y``, and everybody who shares that memory sees it:
another name, a list, a caller, a view of ``y``, and what ``y`` is a view of. An Array is never
written to, because the backward pass needs the old value. Here the operator computes a new Array
and binds the name to it. That is what numpy does exactly if nobody else sees the old one
(:mod:`~minimeta.autodiff.sharing`), and if the result is stored where the old one was read
(:mod:`~minimeta.autodiff.statements`). Otherwise the operator is refused.

In numpy, arithmetic, reductions and elements return scalars, which never change: there, as here,
the name takes the result. Other Arrays of shape () (of where, copy, squeeze, reshape) are arrays
without axes, and are shared as others are.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from minimeta.autodiff.protocols import answer, full_name
from minimeta.autodiff.sharing import is_element, is_seen, is_view, names_of, seers
from minimeta.autodiff.statements import ITEM, Statement, holder_of, statement_at, stores_where_it_reads
from minimeta.errors import DtypeError, ShapeError, TracingError

if TYPE_CHECKING:
    from minimeta.autodiff.array import Array, Value


def assign(references: int, others: int, operation: Callable[..., Value], array: Array, operand: Any) -> Value:
    """Return what ``array op= operand`` binds its target to.

    Parameters
    ----------
    references, others
        How many references there are to the Array and to the operand, counted in the operator's
        method.
    operation
        What the operator computes.
    array, operand
        What it computes it of.

    Raises
    ------
    TracingError
        Somebody else sees the Array.
    ShapeError, DtypeError
        The result has a shape or a kind of dtype that does not fit into the Array, as in numpy.
    """
    if array.value.shape == () and is_scalar(array):
        return operation(array, operand)
    frame = sys._getframe(2)
    statement = statement_at(frame.f_code, frame.f_lasti)
    if statement is None:
        raise TracingError(
            f"an in-place operator of an Array of shape {array.shape}, called as a function: an Array is never written "
            "to. Write y = y + v"
        )
    _check_holder(
        statement, frame, array, "Arrays cannot be changed in place, because the backward pass needs what was there"
    )
    if found := seers(references, others, array, operand, frame):
        who = names_of(found, array, frame)
        raise TracingError(_refusal(statement, f"an Array of shape {array.shape}", who))
    if not stores_where_it_reads(statement, frame, array):
        raise TracingError(_misplaced(statement, f"an Array of shape {array.shape}"))
    return _in_form_of(array, operation(array, operand), statement)


def assign_to_numpy(references: int, ufunc: np.ufunc, inputs: tuple[Any, ...], keywords: dict[str, Any]) -> Value:
    """Return what ``total op= x`` binds its target to, for a numpy array ``total`` and an Array
    ``x``.

    numpy asks for ``ufunc(total, x, out=(total,))``; a user who writes ``out=`` is refused.

    Raises
    ------
    TracingError
        Somebody else sees the numpy array, or ``out=`` was written.
    ShapeError, DtypeError
        As :func:`assign`.
    """
    frame = sys._getframe(2)
    statement = statement_at(frame.f_code, frame.f_lasti)
    target = keywords.pop("out")[0]
    if statement is None or target is not inputs[0]:
        raise TracingError(f"{full_name(ufunc)}(..., out=...): an Array is never written to; drop out=")
    what = f"a numpy array of shape {target.shape} with an Array"
    if not target.flags.writeable:
        raise TracingError(
            f"{statement.target} {statement.symbol} ... on {what}: it is read-only. Write {statement.plain}"
        )
    _check_holder(statement, frame, target, "a numpy array cannot take an Array in")
    if is_view(target):
        raise TracingError(
            f"{statement.target} {statement.symbol} ... on {what}: it is a view of another array, which cannot take an "
            "Array in. Collect the parts in a list, and join them with stack or concatenate"
        )
    if is_seen(target, references, ufunc):
        raise TracingError(_refusal(statement, what, "it is held by something else, too"))
    if not stores_where_it_reads(statement, frame, target):
        raise TracingError(_misplaced(statement, what))
    keywords.pop("axes", None)  # numpy's @= says where the matrices are: in the last two.
    return _in_form_of(target, answer(ufunc, inputs, keywords), statement)


def _check_holder(statement: Statement, frame: types.FrameType, part: Any, why: str) -> None:
    """Refuse ``x[i] += v`` where ``x`` is an array, as what was read of it is."""
    holder = holder_of(statement, frame)
    if type(holder) is type(part) and holder.dtype != object:
        x = statement.named_holder or "x"
        raise TracingError(
            f"{x}[...] {statement.symbol} v on an array of shape {holder.shape}: {why}. Write {x} = {_at(statement, x)}"
        )


# What the name is bound to


def _in_form_of(target: Any, result: Value, statement: Statement) -> Value:
    """Return the result in the shape and dtype of the target, which stay as they are."""
    if result.shape != target.shape:
        raise ShapeError(
            f"{statement.target} {statement.symbol} ... on shape {target.shape}: the result, of shape {result.shape}, "
            f"does not fit. Write {statement.plain}"
        )
    if not result.shape:
        result = answer(np.copy, (result,), {})  # An array of no axes stays one: arithmetic would return a scalar.
    if result.dtype == target.dtype:
        return result
    if not np.can_cast(result.dtype, target.dtype, "same_kind"):
        raise DtypeError(
            f"{statement.target} {statement.symbol} ... on dtype {target.dtype.name}: the result, of dtype "
            f"{result.dtype.name}, does not fit. Write {statement.plain}"
        )
    return result.astype(target.dtype)


def is_scalar(array: Array) -> bool:
    """Return whether an Array of shape () is surely a scalar in numpy, which never changes."""
    primitive = array.primitive
    if primitive is None or not array.inputs:  # A Python number that was passed in.
        return array.weak and array.transformation is not None
    if primitive.name in ("astype", "alias", "stop_gradient"):
        return is_scalar(array.inputs[0])
    if primitive.name == "reshape":
        return is_element(array)
    if primitive.name == "project":
        (region,) = array.inputs
        assert region.params is not None and array.params is not None
        body, place = region.params["body"], array.params["place"]
        step = body.step_of(body.outputs[place]) if place < len(body.outputs) else None
        return step is not None and step.primitive.scalar
    return primitive.scalar


# What is said


def _at(statement: Statement, x: str) -> str:
    """Return what is written for ``x[...] += v``."""
    update = {"+=": "add(v)", "-=": "add(-v)", "*=": "multiply(v)"}
    return f"minimeta.at({x})[...].{update.get(statement.symbol, f'set({x}[...] {statement.symbol[:-1]} v)')}"


def _if_array(statement: Statement) -> str:
    return f" (where x is an array: x = {_at(statement, 'x')})" if statement.target == ITEM else ""


def _refusal(statement: Statement, what: str, who: str) -> str:
    return (
        f"{statement.target} {statement.symbol} ... on {what}: {who}, and would change with it in numpy; here nothing "
        f"is ever written to. Write {statement.plain}, which leaves everything else as it is{_if_array(statement)}"
    )


def _misplaced(statement: Statement, what: str) -> str:
    return (
        f"{statement.target} {statement.symbol} ... on {what}: where it is read from is not surely where the result "
        "is stored, as with attributes of a class, properties and containers other than list and dict, or cannot be "
        f"seen; what is there would change in numpy, and here nothing is ever written to. Write {statement.plain}"
        f"{_if_array(statement)}"
    )
