"""Regions: functions whose derivative is computed in another way than they are.

A region of the computation becomes one node of the graph, ``y = f(x, c)``: its operands are the function's arguments
``x`` *and* its free variables ``c``, the Arrays that it takes by closure, so that closures have derivatives like
arguments. Its body is a straight line, which refers to no Array and holds none of the values in between; whatever needs
them runs it again. Two rules for such a node:

    rematerialize   the ordinary derivative of the body, run again in the backward pass: memory for time
    custom_vjp      the user's rule for x; the ordinary derivative for c

and whoever makes a :func:`region` of another kind has one of its own.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from minimeta.autodiff import tree
from minimeta.autodiff.array import Abstract, Array, moments
from minimeta.autodiff.graph import StraightLine, backward, free_variables, linearise, record
from minimeta.autodiff.primitive import Primitive, Rule, apply, constant, context, lasting, outermost
from minimeta.errors import ShapeError, TracingError, is_internal

if TYPE_CHECKING:
    from minimeta.autodiff.derivatives import Function


class custom_vjp:  # noqa: N801 (used as a decorator)
    """A function with a derivative of your own.

    ``rule(cotangent, output, *arguments)`` returns the arguments' cotangents: a tuple with one tree (or None for no
    derivative) for each argument. It is written in minimeta's operations, and is itself differentiated for higher
    orders. Arrays that the function takes from outside, by closure, keep their ordinary derivative.

    Parameters
    ----------
    function
        Of trees of arrays, to a tree of arrays.
    rule
        Its derivative; may be given later, by the decorator :meth:`rule`.

    Examples
    --------
    >>> @custom_vjp
    ... def clipped(x):
    ...     return x
    >>> @clipped.rule
    ... def _(cotangent, output, x):
    ...     return (minimum(maximum(cotangent, -1.0), 1.0),)
    >>> grad(lambda x: 5.0 * clipped(x))(2.0)
    array(1.)
    """

    def __init__(self, function: Function, rule: Function | None = None) -> None:
        self._function = function
        self._rule = rule
        functools.update_wrapper(self, function)

    def rule(self, rule: Function) -> Function:
        """Set the rule; use as a decorator."""
        self._rule = rule
        return rule

    def __call__(self, *arguments: Any) -> Any:
        """The function's value."""
        if self._rule is None:
            raise TracingError(f"custom_vjp {self._function!r} has no rule yet; give one with @function.rule")
        return _region(CUSTOM_VJP, self._function, arguments, rule=self._rule)


def rematerialize(function: Function) -> Function:
    """The same function, whose intermediate values are computed again in the backward pass instead of being kept.

    Parameters
    ----------
    function
        Of trees of arrays, to a tree of arrays; what it takes by closure is differentiated too.

    Returns
    -------
    callable
        Equal to the function, to every order of derivative; it holds the memory of its arguments and results alone.
    """

    @functools.wraps(function)
    def transformed(*arguments: Any) -> Any:
        return _region(REMATERIALIZE, function, arguments)

    return transformed


def _region(primitive: Primitive, function: Function, arguments: tuple[Any, ...], **params: Any) -> Any:
    """Run a function as one node of the graph, whose operands are its arguments and its free variables."""
    leaves, structure = tree.flatten(arguments)
    if outermost(leaves) is None:
        return function(*arguments)
    recording = record(function, leaves, structure)
    outputs, output_structure = tree.flatten(recording.output)
    free = free_variables(recording.aliases, outputs)
    line = linearise([*recording.aliases, *free], outputs)
    operands = lasting([x if type(x) is Array else constant(x, private=True) for x in (*leaves, *free)])
    value = tuple(y.value if type(y) is Array else np.asarray(y) for y in outputs)
    structures = {"arguments": structure, "output": output_structure} if primitive is CUSTOM_VJP else {}
    node = Array(
        value, False, outermost(operands), next(moments), primitive, operands, {"line": line, **params, **structures}
    )
    results = [apply(PROJECT, node, place=i) for i in range(len(outputs))]
    for result, y in zip(results, outputs, strict=True):
        result.weak = y.weak if type(y) is Array else type(y) in (float, int, bool)
    return tree.unflatten(output_structure, results)


def _replay(line: StraightLine, operands: Sequence[Any], cotangents: Sequence[Any]) -> list[Array | None]:
    """Compute a region again and walk it backwards."""
    recording = record(lambda *values: line.run(values), operands, tree.flatten(tuple(operands))[1])
    return backward(recording, recording.output, cotangents)


def rematerialize_rule(cotangents: Any, node: Array, *operands: Array, line: StraightLine) -> list[Array | None]:
    """The ordinary derivative of a region's body, which is computed again."""
    return _replay(line, operands, cotangents)


def _custom_rule(
    cotangents: Any,
    node: Array,
    *operands: Array,
    line: StraightLine,
    rule: Function,
    arguments: tree.Structure,
    output: tree.Structure,
) -> list[Any]:
    count = tree.count(arguments)
    outputs = [apply(PROJECT, node, place=i) for i in range(len(line.outputs))]
    given = [Array(np.zeros(y.shape, y.dtype)) if g is None else g for g, y in zip(cotangents, outputs, strict=True)]
    trees = tree.unflatten(arguments, operands[:count])
    origin, code = context.origin, getattr(rule, "__code__", None)
    if code is None or not is_internal(code):
        context.origin = None  # The lines of the rule are the user's own.
    try:
        answer = rule(tree.unflatten(output, given), tree.unflatten(output, outputs), *trees)
    finally:
        context.origin = origin
    if not isinstance(answer, tuple) or len(answer) != len(trees):
        raise ShapeError(f"the rule of a custom_vjp must return a tuple of {len(trees)} cotangents, one an argument")
    found: list[Any] = []
    for position, (argument, cotangent) in enumerate(zip(trees, answer, strict=True)):
        leaves, structure = tree.flatten(argument)
        parts = [None] * len(leaves) if cotangent is None else tree.leaves_like(structure, cotangent)
        for x, g in zip(leaves, parts, strict=True):
            if g is not None and np.shape(g) != x.shape:
                raise ShapeError(
                    f"the rule of a custom_vjp gave argument {position}, of shape {x.shape}, a cotangent of shape "
                    f"{np.shape(g)}"
                )
            found.append(None if g is None else g if type(g) is Array else constant(np.asarray(g, x.dtype)))
    free = _replay(line, operands, cotangents)[count:] if len(operands) > count else []
    return [*found, *free]


def _project_rule(g: Array, y: Array, node: Array, place: int) -> tuple[Any, ...]:
    return tuple(g if i == place else None for i in range(len(node.value)))


def by_kernel(primitive: Primitive, *values: Any, **params: Any) -> Any:
    """Compute one step of a straight line by its kernel."""
    return primitive.kernel(*values, **params)


def by_reference(primitive: Primitive, *values: Any, **params: Any) -> Any:
    """Compute one step of a straight line by its numpy reference."""
    return primitive.reference(*values, **params)


def _running(evaluate: Function) -> Function:
    return lambda *values, line, **_: tuple(line.run(values, evaluate))


def _forms(*values: Any, line: StraightLine, **_: Any) -> tuple[Abstract, ...]:
    known = [*line.operands, *line.constants, *(step.shape for step in line.steps)]
    return tuple(Abstract(known[i].shape, known[i].dtype) for i in line.outputs)


def _pick(values: Any, place: int) -> Any:
    return values[place]


def no_sample(draw: Any) -> Any:
    """Refuse to draw operands of a region."""
    raise TracingError("a region has no operands of its own: its meaning is another computation")


def region(name: str, rule: Rule) -> Primitive:
    """A primitive that computes the straight line which is its parameter ``line``, and has a derivative of its own.

    It is not in the registry: what it computes is made of registered primitives, and so is what there is to test.
    """
    return Primitive(name, _forms, _running(by_reference), rule, no_sample, _running(by_kernel))


REMATERIALIZE = region("rematerialize", rematerialize_rule)
CUSTOM_VJP = region("custom_vjp", _custom_rule)
PROJECT = Primitive("project", _pick, _pick, (_project_rule,), no_sample, _pick)
