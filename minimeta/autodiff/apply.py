"""apply: the one way anything is computed.

What an operation is given becomes Arrays (:mod:`~minimeta.autodiff.promotion`), the primitive's kernel computes the
value, and the result is recorded if an operand depends on a transformation that is still open. Which backward passes
are running decides what such an operand is: their graphs are finished, so an Array of such a graph, or of a
transformation that ran inside it, is a constant to the rules, unless it also depends on one that is still open.
"""

from __future__ import annotations

import operator
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from minimeta.autodiff.array import Array, ArrayLike, Form, Origin, Trace, Value, moments
from minimeta.autodiff.primitive import Primitive
from minimeta.autodiff.promotion import constant, unify
from minimeta.errors import IndexingError, LeakedArrayError, user_line


class Context(threading.local):
    """Per thread: the traces whose graphs are being walked, and what for.

    Attributes
    ----------
    walking
        The traces.
    origin
        Where operations are traced for, if that is not the line that is running.
    mapping
        Whether one task of a vmap is being traced: its Arrays are gone when it is differentiated.
    writing
        The rules of regions that are being written down.
    """

    walking: tuple[Trace, ...] = ()
    origin: Origin | None = None
    mapping: bool = False
    writing: tuple[Any, ...] = ()


context = Context()


def outermost(arrays: Sequence[Any]) -> Trace | None:
    """The oldest open trace that any of the arrays depends on: the one whose graph the result belongs to.

    Raises
    ------
    LeakedArrayError
        An Array outlived its transformation.
    """
    trace: Trace | None = None
    for array in arrays:
        if type(array) is Array and (own := array.transformation) is not trace and own is not None:
            if own.open:
                if trace is None or own.moment < trace.moment:
                    trace = own
            elif type(array.value) is Form:
                raise LeakedArrayError(
                    f"an Array of shape {array.shape} is used after the trace that made it (vmap, compile) has ended: "
                    "it never had a value. Return it from the function instead of storing it. Where the rule of a "
                    "custom_vjp uses it, because it was made after the function was called or because the rule calls "
                    "itself, pass it to the function as an argument"
                )
            elif not any([own.moment >= walked.moment for walked in context.walking]):
                raise LeakedArrayError(
                    f"an Array of shape {array.shape} is used after the transformation that made it (grad, vjp, ...) "
                    "has ended. Return it from the differentiated function (has_aux=True) instead of storing it"
                )
    return trace


_value = operator.attrgetter("value")  # with map, the quickest way through a row of Arrays


def apply(primitive: Primitive, *operands: ArrayLike, **params: Any) -> Value:
    """Compute ``primitive(*operands, **params)``: the only way anything is computed.

    Parameters
    ----------
    primitive
        What to compute.
    *operands
        Arrays, numpy arrays and Python scalars; elementwise ones are promoted and broadcast first, by explicit
        ``astype`` and ``broadcast_to`` primitives.
    **params
        Static parameters, normalised by the operation's public function.

    Returns
    -------
    Array or numpy.ndarray
        A numpy array (fresh, writable, contiguous) if no operand is an Array. Otherwise an Array, recorded if it
        depends on an open transformation and has a derivative, abstract if an operand is abstract.

    Raises
    ------
    ShapeError, DtypeError
        Operands that do not fit.
    LeakedArrayError
        An operand outlived its transformation.
    """
    trace = outermost(operands)
    recording = trace is not None
    if primitive.elementwise:
        arrays = unify(primitive, operands, recording, apply)
    else:
        arrays = tuple([x if type(x) is Array else constant(x, recording) for x in operands])

    values = list(map(_value, arrays))
    origin: Origin | None = None
    try:
        value = primitive.kernel(*values, **params)
        recording = recording and (primitive.differentiable or type(value) is Form)
    except (ValueError, TypeError, IndexError) as error:
        # A kernel takes values that fit. The shape rule knows the result's form where there are none yet (tracing),
        # and says what does not fit.
        value = primitive.shape(*values, **params)
        if Form not in map(type, values):
            raise IndexingError(str(error)) if type(error) is IndexError else error from None
        origin = context.origin or Origin(user_line())
    if trace is None and Array not in map(type, operands):
        return np.array(value, order="C") if primitive.view else value

    # What is made of Python scalars alone is weak as they are; astype says a dtype and makes it strong.
    weak = arrays[0].weak and not primitive.strong and all([array.weak for array in arrays])
    if recording:
        inputs = lasting(arrays) if context.walking else arrays
        array = Array(value, weak, trace, next(moments), primitive, inputs, params)
        if origin is not None:
            array.origin = origin
        return array
    if primitive.view and primitive.differentiable:  # Of a detached Array: in_place.py asks what it is a view of.
        return Array(value, weak, None, 0, primitive, arrays)
    return Array(value, weak)


def lasting(arrays: Sequence[Array]) -> tuple[Array, ...]:
    """Inputs to remember: one that belongs to a finished graph (a pullback is being recorded) is a constant here."""
    return tuple([x if x.transformation is None or x.transformation.open else Array(x.value, x.weak) for x in arrays])
