"""apply: the one way anything is computed.

What an operation is given becomes Arrays (:mod:`~minimeta.autodiff.promotion`). If all of them have
values, the primitive's kernel computes the result; if one has a form only, the primitive's shape
rule says the result's form. The result is recorded if an operand depends on a transformation that
is still open.

An Array knows the *outermost* open trace that it depends on. If that is the trace whose graph is
being walked backwards, its Arrays are constants to the rules, and the backward pass records
nothing. If it is an outer one, the outer trace records what the rules compute, and a gradient can
be differentiated. So what a thread must know, apart from its Arrays, is which graphs are being
walked: it tells a rule's use of a finished graph from an Array that has leaked.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from minimeta.autodiff.array import Array, ArrayLike, Form, Origin, Trace, Value, moments
from minimeta.autodiff.primitive import Primitive
from minimeta.autodiff.promotion import constants, unify
from minimeta.errors import DtypeError, IndexingError, LeakedArrayError, user_line


class Context(threading.local):
    """Per thread: the traces whose graphs are being walked, and what for.

    Attributes
    ----------
    walking
        The traces.
    origin
        Where operations are traced for, if that is not the line that is running.
    backward
        Whether the line that is running is one of a user's rule, which belongs to a backward pass.
    mapping
        Whether one task of a vmap is being traced: its Arrays are gone when it is differentiated.
    writing
        The rules of regions that are being written down.
    """

    walking: tuple[Trace, ...] = ()
    origin: Origin | None = None
    backward: bool = False
    mapping: bool = False
    writing: tuple[Any, ...] = ()


context = Context()


class during:  # noqa: N801 (used as a statement)
    """Change the context while a block runs, as in ``with during(mapping=True):``."""

    __slots__ = ("_before", "_changes")

    def __init__(self, **changes: Any) -> None:
        self._changes = changes

    def __enter__(self) -> None:
        state = context.__dict__
        self._before = state.copy()
        state.update(self._changes)

    def __exit__(self, *_: object) -> None:
        state = context.__dict__
        state.clear()
        state.update(self._before)


def outermost(arrays: Sequence[Any]) -> Trace | None:
    """Return the oldest open trace that any of the arrays depends on: the result belongs to its
    graph.

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
            elif own not in (walking := context.walking) and all([own.moment < walked.moment for walked in walking]):
                raise LeakedArrayError(
                    f"an Array of shape {array.shape} is used after the transformation that made it (grad, vjp, ...) "
                    "has ended. Return it from the differentiated function (has_aux=True) instead of storing it"
                )
    return trace


def apply(primitive: Primitive, /, *operands: ArrayLike, **params: Any) -> Value:
    """Compute ``primitive(*operands, **params)``: the only way anything is computed.

    Parameters
    ----------
    primitive
        What to compute.
    *operands
        Arrays, numpy arrays and Python scalars; elementwise ones are promoted and broadcast first,
        by explicit ``astype`` and ``broadcast_to`` primitives.
    **params
        Static parameters, normalised by the operation's public function.

    Returns
    -------
    Array or numpy.ndarray
        A numpy array (fresh, writable, contiguous) if no operand is an Array. Otherwise an Array,
        recorded if it depends on an open transformation and has a derivative, abstract if an
        operand is abstract.

    Raises
    ------
    ShapeError, DtypeError
        Operands that do not fit.
    LeakedArrayError
        An operand outlived its transformation.
    """
    trace = outermost(operands)
    try:
        if primitive.elementwise:
            arrays = unify(primitive, operands, trace is not None, apply)
        else:
            arrays = constants(operands, trace is not None, primitive.name)
    except DtypeError:
        from minimeta.autodiff.elements import all_joined  # noqa: PLC0415 (few programs have such arrays)

        if (joined := all_joined(operands)) is None:
            raise
        return apply(primitive, *joined, **params)
    values, traced = [], False
    for x in arrays:
        value = x.value
        values.append(value)
        if type(value) is Form:
            traced = True
    if traced:
        value = primitive.shape(*values, **params)
    else:
        try:
            value = primitive.kernel(*values, **params) if params else primitive.kernel(*values)
        except (ValueError, TypeError, IndexError) as error:
            primitive.shape(*values, **params)  # It says what does not fit.
            raise IndexingError(str(error)) if type(error) is IndexError else error from None
        if trace is None and (arrays is not operands or not operands) and Array not in map(type, operands):
            return np.array(value, order="C") if primitive.view else value

    # What is made of Python scalars alone is as weak as they are.
    weak = arrays[0].weak and not primitive.strong and all([array.weak for array in arrays])
    if trace is not None and (traced or primitive.differentiable):  # A trace is a program, of comparisons, too.
        inputs = lasting(arrays) if context.walking else arrays
        array = Array(value, weak, trace, next(moments), primitive, inputs, params)
        if traced or primitive.partial:  # A backward pass may refuse what it is given.
            array.origin = context.origin or Origin(user_line(), context.backward)
        return array
    if primitive.view and primitive.differentiable:  # Of a detached Array: sharing.py asks what it is a view of.
        return Array(value, weak, None, 0, primitive, arrays)
    return Array(value, weak)


def lasting(arrays: Sequence[Array]) -> tuple[Array, ...]:
    """Return the inputs to remember; one of a finished graph is a constant here."""
    return tuple([x if x.transformation is None or x.transformation.open else Array(x.value, x.weak) for x in arrays])
