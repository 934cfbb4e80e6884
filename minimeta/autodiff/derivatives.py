"""Derivatives: functions that turn a function into another one.

Everything here is one walk, :func:`vjp`, in different clothes. For ``y = f(x)`` with Jacobian
``J``:

    vjp       v -> J^T v         one walk back
    grad      J^T 1              vjp of a scalar function
    jvp       u -> J u           the vjp of the vjp: v -> J^T v is linear, and the transpose of J^T is J
    hvp       u -> H u           the jvp of the gradient

The walk's rules are operations like all others, so each of these can be applied to the result of
another, in any order and to any depth (book, chapter 4). (The matrices ``J`` and ``H`` are
:mod:`minimeta.program.jacobians`.) Arguments are *trees* (:mod:`minimeta.autodiff.tree`) with
float32 or float64 leaves. Results are numpy arrays that are writable, contiguous and share no
memory; inside another transformation they are Arrays.

A function may also transform itself (:mod:`minimeta.autodiff.transformed`): the gradient of a
compiled function is compiled.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from minimeta.autodiff import tree
from minimeta.autodiff.arguments import Function, Place, call_with, check_differentiable, place_of
from minimeta.autodiff.array import Array
from minimeta.autodiff.graph import Recording, backward, record
from minimeta.autodiff.results import check_scalar, cotangents_like, settle, settle_gradients
from minimeta.autodiff.transformed import check_function, transformation
from minimeta.errors import DtypeError, ShapeError


def vjp(function: Function, *arguments: Any, has_aux: bool = False) -> tuple[Any, ...]:
    """Return the value of a function and its pullback ``v -> J^T v``.

    Parameters
    ----------
    function
        Of the arguments, to a tree of arrays; with ``has_aux``, to a pair of one and anything else.
    *arguments
        Trees of float32 or float64 arrays or Python floats.
    has_aux
        Whether the function also returns something that is not differentiated.

    Returns
    -------
    output
        The function's value.
    pullback
        From a tree of cotangents like the output to a tuple of cotangents like the arguments. It
        may be called any number of times. The pullback of a compiled function is a program which
        computes the value again.
    aux
        Only with ``has_aux``.

    Raises
    ------
    DtypeError
        A leaf of the arguments is not a float.
    """
    check_function("vjp", function)
    leaves, structure = tree.flatten(arguments)
    if hasattr(function, "transformed_by") and Array not in map(type, leaves):
        return _vjp_without_recording(function, arguments, has_aux)
    check_differentiable(leaves, arguments, "vjp")
    recording, outputs, output_structure, aux = _run(function, leaves, structure, has_aux)

    def pullback(cotangent: Any) -> tuple[Any, ...]:
        given = cotangents_like(outputs, tree.leaves_like(output_structure, cotangent))
        found = backward(recording, outputs, given)
        gradients: tuple[Any, ...] = tree.unflatten(structure, settle_gradients(recording.aliases, found))
        return gradients

    output = tree.unflatten(output_structure, [settle(x) for x in outputs])
    return (output, pullback, aux) if has_aux else (output, pullback)


def _vjp_without_recording(function: Function, arguments: tuple[Any, ...], has_aux: bool) -> tuple[Any, ...]:
    """Compute the vjp of a function that transforms itself; the pullback runs it again."""
    output, *aux = _forward(function, has_aux)(*arguments)
    outputs, structure = tree.flatten(output)
    point = tree.map(lambda x: x.copy() if isinstance(x, np.ndarray) else x, arguments)

    def pullback(cotangent: Any) -> tuple[Any, ...]:
        given = cotangents_like(outputs, tree.leaves_like(structure, cotangent))
        cotangents = tree.unflatten(structure, [None if g is None else settle(g) for g in given])
        gradients: tuple[Any, ...] = _pullback(function, has_aux)(*point, cotangents=cotangents)
        return gradients

    return (output, pullback, *aux)


@transformation
def _forward(function: Function, has_aux: bool) -> Function:
    """Make a function that computes what :func:`vjp` returns apart from the pullback."""

    def transformed(*arguments: Any) -> tuple[Any, ...]:
        output, _, *aux = vjp(function, *arguments, has_aux=has_aux)
        return (output, *aux)

    return transformed


@transformation
def _pullback(function: Function, has_aux: bool) -> Function:
    """Make the pullback a function of the arguments, too."""

    def transformed(*arguments: Any, cotangents: Any) -> Any:
        return vjp(function, *arguments, has_aux=has_aux)[1](cotangents)

    return transformed


@transformation
def value_and_grad(function: Function, argnums: Place | Sequence[Place] = 0, has_aux: bool = False) -> Function:
    """Make a function that computes the value and the gradient of a scalar function.

    Parameters
    ----------
    function
        To one float of shape ``()``; with ``has_aux``, to a pair of it and anything else.
    argnums
        The argument, or arguments, to differentiate with respect to: each by its position or by its
        name, however it is passed.
    has_aux
        Whether the function also returns something that is not differentiated.

    Returns
    -------
    callable
        Of the same arguments, to ``(value, gradient)``, or ``((value, aux), gradient)`` with
        ``has_aux``. The gradient is a tree like the argument, or a tuple of trees if ``argnums`` is
        a sequence.

    Raises
    ------
    DtypeError
        A leaf of the arguments to differentiate with respect to, or the function's value, is not a
        float.
    ShapeError
        The function's value is not a scalar, or ``argnums`` names an argument that is not there.
    """

    alone = isinstance(argnums, str) or not hasattr(argnums, "__iter__")
    asked_for = cast(Sequence[Place], (argnums,) if alone else argnums)

    def transformed(*arguments: Any, **keywords: Any) -> tuple[Any, Any]:
        places = [place_of("grad", place, function, arguments, keywords) for place in asked_for]
        if len(set(places)) != len(places):
            raise ShapeError(f"grad: argnums={argnums} names an argument twice")
        chosen = tuple([keywords[place] if isinstance(place, str) else arguments[place] for place in places])
        for place, argument in zip(places, chosen, strict=True):
            if argument is None:
                raise DtypeError(
                    f"grad: argument {place!r} is None or, of a compiled function, static: it holds no numbers to "
                    "differentiate with respect to. Leave it out of argnums"
                )
        leaves, structure = tree.flatten(chosen)
        check_differentiable(leaves, chosen, "grad", places)

        def partial(*values: Any) -> Any:
            return call_with(function, arguments, keywords, dict(zip(places, values, strict=True)))

        recording, outputs, output_structure, aux = _run(partial, leaves, structure, has_aux)
        check_scalar(outputs, output_structure, has_aux)
        value = outputs[0]
        one = np.array(1, getattr(value, "dtype", np.float64))
        found = backward(recording, outputs, [Array(one)])
        gradients = tree.unflatten(structure, settle_gradients(recording.aliases, found))
        gradient = gradients[0] if alone else gradients
        return ((settle(value), aux) if has_aux else settle(value)), gradient

    return transformed


@transformation
def grad(function: Function, argnums: Place | Sequence[Place] = 0, has_aux: bool = False) -> Function:
    """Make a function that computes the gradient of a scalar function.

    Parameters and errors are those of :func:`value_and_grad`.

    Returns
    -------
    callable
        Of the same arguments, to the gradient; to ``(gradient, aux)`` with ``has_aux``.

    Examples
    --------
    >>> grad(lambda x: x**3)(2.0)
    array(12.)
    >>> grad(grad(lambda x: x**3))(2.0)
    array(12.)
    """
    both = value_and_grad(function, argnums, has_aux)

    def transformed(*arguments: Any, **keywords: Any) -> Any:
        value, gradient = both(*arguments, **keywords)
        return (gradient, value[1]) if has_aux else gradient

    return transformed


def jvp(function: Function, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
    """Return the value of a function and its derivative along a direction, ``J u``.

    Parameters
    ----------
    function
        Of the primals, to a tree of arrays.
    primals
        The arguments, a sequence of trees.
    tangents
        The direction, a sequence of trees of the same form and shapes.

    Returns
    -------
    output, tangent
        Two trees of the same form.

    Raises
    ------
    DtypeError, ShapeError
        Primals that are not floats, or tangents of another form or shape.
    """
    found: tuple[Any, Any] = _jvp(function)(*primals, tangents=tuple(tangents))
    return found


@transformation
def _jvp(function: Function) -> Function:
    def transformed(*primals: Any, tangents: Any) -> tuple[Any, Any]:
        check_differentiable(tree.flatten(primals)[0], primals, "jvp")
        output, pullback = vjp(function, *primals)
        for y in tree.flatten(output)[0]:
            if y.dtype.kind != "f":
                raise DtypeError(f"jvp of a function that returns dtype {y.dtype.name}: all its results must be floats")
        zeros = tree.map(lambda y: np.zeros(y.shape, y.dtype), output)
        _, transpose = vjp(pullback, zeros)
        (tangent,) = transpose(tangents)
        return output, tangent

    return transformed


def hvp(function: Function, primals: Sequence[Any], tangents: Sequence[Any]) -> Any:
    """Return the Hessian of a scalar function times a vector, without computing the Hessian.

    Parameters
    ----------
    function
        To one float of shape ``()``.
    primals, tangents
        The point and the vector: sequences of trees of the same form. All arguments are
        differentiated.

    Returns
    -------
    tuple
        ``H u``, a tree like each primal.
    """
    return _hvp(function)(*primals, tangents=tuple(tangents))


@transformation
def _hvp(function: Function) -> Function:
    def transformed(*primals: Any, tangents: Any) -> Any:
        return jvp(grad(function, tuple(range(len(primals)))), primals, tangents)[1]

    return transformed


def _run(
    function: Function, leaves: Sequence[Any], structure: tree.Structure, has_aux: bool
) -> tuple[Recording, list[Any], tree.Structure, Any]:
    recording = record(function, leaves, structure)
    output, aux = recording.output, None
    if has_aux:
        if not isinstance(output, tuple) or len(output) != 2:
            raise ShapeError("has_aux=True: the function must return a pair (value, aux)")
        output, aux = output
        aux = tree.map(lambda x: settle(x) if type(x) is Array else x, aux)
    outputs, structure = tree.flatten(output)
    return recording, outputs, structure, aux
