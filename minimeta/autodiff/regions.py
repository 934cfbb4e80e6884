"""Regions: functions whose derivative is not the one of their operations.

A region is one node of the graph, ``y = f(x, c)``. Its operands are the function's arguments ``x``
and its free variables ``c``, the Arrays that it takes by closure, so closures have derivatives like
arguments. Its body is a program: it refers to no Array and keeps no intermediate value, and the
backward pass runs it again. There are two rules for such a node:

    rematerialize   the ordinary derivative of the body, run again in the backward pass: memory for time
    custom_vjp      the user's rule for x; the ordinary derivative for c

Anything else that makes a :func:`region` gives it a rule of its own.

A rule may take Arrays by closure, too. Inside a ``vmap`` they belong to a trace that has ended by
the time the rule is needed. There the rule is traced at once, into a program like the body, and
what it takes by closure becomes an operand. If the body itself computed such a value (it was saved
for the backward pass), the body does not read that operand: it is no free variable, and the rule
for x says all of its derivative.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from minimeta.autodiff import steps, tree
from minimeta.autodiff.apply import context, during, lasting, outermost
from minimeta.autodiff.arguments import Function
from minimeta.autodiff.array import NOWHERE, Array, Form, moments
from minimeta.autodiff.calls import called_on_values, no_sample, pick
from minimeta.autodiff.graph import backward, free_variables, record
from minimeta.autodiff.primitive import Primitive, Rule
from minimeta.autodiff.promotion import array_of
from minimeta.autodiff.protocols import has_answer
from minimeta.autodiff.steps import Evaluate, Program
from minimeta.autodiff.transformed import Transformed, check_function, namesake
from minimeta.errors import ShapeError, TracingError, is_internal


class custom_vjp:  # noqa: N801 (used as a decorator)
    """A function with a derivative of your own.

    ``rule(cotangent, output, *arguments)`` returns the arguments' cotangents: a tuple with one tree
    (or None for no derivative) for each argument. It is written in minimeta's operations, and is
    itself differentiated for higher orders. Cotangents take the dtypes of the arguments. Arrays
    that the function takes from outside, by closure, keep their ordinary derivative.

    A function of numpy's or scipy's that minimeta has no operation for (``np.linalg.eigvals``) is
    called on values, in compiled functions and under ``vmap`` as well. It is there called once
    while tracing, on identity matrices and ones, to see what it returns.

    Parameters
    ----------
    function
        Of trees of arrays, to a tree of arrays.
    rule
        Its derivative; may be given later, by the decorator :meth:`rule`.
    on_values
        Whether the function is called on numpy arrays, and not on Arrays; it must be pure, and what
        it returns may depend on values in value alone, not in shape or dtype. By default functions
        of numpy's and scipy's are, where minimeta does not answer for them.
    like
        Of a function called on values: called in its place while tracing, where it cannot be called
        on identity matrices and ones. It returns arrays of the same shapes and dtypes.

    Raises
    ------
    TracingError
        (When called.) There is no rule, or a function called on values fails while tracing.
    ShapeError
        (When called, or differentiated.) The rule returns something else than cotangents of the
        arguments; a function called on values returns other shapes than while tracing.
    DtypeError
        (When called.) A function called on values returns complex numbers for real arguments, or
        what the dtype that it returned while tracing cannot hold.
    LeakedArrayError
        (When differentiated outside of a ``vmap`` that it is called in, more than three times.) The
        rule calls the function itself, and takes a value of one task by closure.

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

    The inverse of a matrix, called on values: ``d(X^-1) = -X^-1 dX X^-1``.

    >>> inverse = custom_vjp(np.linalg.inv, lambda g, y, x: (-(y.T @ g @ y.T),), on_values=True)
    >>> compile(grad(lambda x: sum(inverse(x))))(np.diag([1.0, 2.0]))
    array([[-1.  , -0.5 ],
           [-0.5 , -0.25]])
    """

    def __init__(
        self,
        function: Function,
        rule: Function | None = None,
        *,
        on_values: bool | None = None,
        like: Function | None = None,
    ) -> None:
        check_function("custom_vjp", function)
        is_called = (_is_foreign(function) or like is not None) if on_values is None else on_values
        self._function = called_on_values(function, like) if is_called else function
        self._rule = rule
        self._calls: dict[str, Any] = {"on_values": is_called, "like": like}
        functools.update_wrapper(self, function, updated=())

    def rule(self, rule: Function) -> Function:
        """Set the rule; use as a decorator."""
        self._rule = rule
        return rule

    def __reduce__(self) -> Any:
        name: str = getattr(self, "__qualname__", "")
        if namesake(self) is self:
            return name
        return functools.partial(custom_vjp, **self._calls), (self.__wrapped__, self._rule)  # type: ignore[attr-defined]

    def __call__(self, *arguments: Any) -> Any:
        """The function's value."""
        if self._rule is None:
            raise TracingError(f"custom_vjp {self.__wrapped__!r} has no rule yet; give one with @function.rule")  # type: ignore[attr-defined]
        return _region(CUSTOM_VJP, self._function, arguments, self._rule)


def _is_foreign(function: Function) -> bool:
    """Return whether a function is numpy's or scipy's, and no operation stands in for it."""
    module = str(getattr(function, "__module__", "")).partition(".")[0]
    return (isinstance(function, np.ufunc) or module in ("numpy", "scipy")) and not has_answer(function)


def rematerialize(function: Function) -> Function:
    """Return the same function, which computes its intermediate values again in the backward pass
    and keeps none.

    Parameters
    ----------
    function
        Of trees of arrays, to a tree of arrays; what it takes by closure is differentiated too.

    Returns
    -------
    callable
        Equal to the function, to every order of derivative; it holds the memory of its arguments
        and results alone.
    """

    check_function("rematerialize", function)

    def transformed(*arguments: Any) -> Any:
        return _region(REMATERIALIZE, function, arguments)

    made = Transformed(transformed, functools.partial(rematerialize, function))
    made.__doc__ = function.__doc__
    return made


def _region(primitive: Primitive, function: Function, arguments: tuple[Any, ...], rule: Function | None = None) -> Any:
    """Run a function as one node, whose operands are its arguments and its free variables."""
    leaves, structure = tree.flatten(arguments)
    if outermost(leaves) is None:
        return function(*arguments)
    recording = record(function, leaves, structure)
    outputs, output_structure = tree.flatten(recording.output)
    free = free_variables(recording.aliases, outputs)
    saved: list[Array] = []
    params: dict[str, Any] = {}
    if rule is not None:
        params = {"rule": rule, "arguments": structure, "output": output_structure}
        if context.mapping and (written := _written(rule, recording.aliases, structure, outputs, output_structure)):
            since = recording.aliases[0].id
            saved = [x for x in written.free if x.id >= since]
            free = list({x.id: x for x in (*free, *written.free) if x.id < since}.values())
            params["rule"] = written.of([*written.operands, *free, *saved])
    unread = [Array(x.value, id=next(moments)) for x in saved]
    body = steps.linearise([*recording.aliases, *free, *unread], outputs)
    operands = lasting([array_of(x) for x in (*leaves, *free, *saved)])
    value = tuple(y.value if type(y) is Array else np.asarray(y) for y in outputs)
    node = Array(value, False, outermost(operands), next(moments), primitive, operands, {"body": body, **params})
    origins = [getattr(y, "origin", NOWHERE) for y in outputs]
    node.origin = origins[0] if origins else NOWHERE
    results = [pick(node, i) for i in range(len(outputs))]
    for result, y, origin in zip(results, outputs, origins, strict=True):
        result.weak = y.weak if type(y) is Array else type(y) in (float, int, bool)
        result.origin = origin
    return tree.unflatten(output_structure, results)


def _replay(body: Program, operands: Sequence[Any], cotangents: Sequence[Any]) -> list[Array | None]:
    """Run a body again and walk it backwards."""
    recording = record(lambda *values: steps.run(body, values, steps.by_operation), operands)
    return backward(recording, recording.output, cotangents)


def rematerialize_rule(cotangents: Any, node: Array, *operands: Array, body: Program) -> list[Array | None]:
    """Return the ordinary derivative of a region's body, which is run again."""
    return _replay(body, operands, cotangents)


class Written(NamedTuple):
    """A rule as a program, of cotangents, outputs, arguments and free variables, to cotangents."""

    program: Program
    places: tuple[int, ...]  # of the arguments' leaves that get one


class _Recorded(NamedTuple):
    """A rule that was run on shapes alone, and the Arrays that it takes by closure."""

    operands: Sequence[Array]
    found: Sequence[Array | None]
    free: Sequence[Array]

    def of(self, operands: Sequence[Array]) -> Written:
        """Write the rule down as a program of these operands."""
        places = tuple(i for i, g in enumerate(self.found) if g is not None)
        return Written(steps.linearise(operands, [self.found[i] for i in places]), places)


# Tracing a rule that calls its own function would never end. Each call is one order of derivative,
# and this many are traced. A rule that makes a new rule at each call cannot be recognised: it ends
# where rules are this deep in rules.
_OWN, _DEEPEST = 3, 8


def _written(
    rule: Function,
    arguments: Sequence[Array],
    structure: tree.Structure,
    outputs: Sequence[Any],
    output: tree.Structure,
) -> _Recorded | None:
    """Run a rule on shapes alone; return None if it takes no Array by closure, or cannot run."""
    if len(context.writing) >= _DEEPEST or context.writing.count(rule) >= _OWN:
        return None  # It calls its own function, whose rule is called when it is needed.
    try:
        with during(writing=(*context.writing, rule)):
            found = _recorded(rule, outputs, arguments, structure, output)
    except Exception:
        return None  # It is called when it is needed, and then says what is wrong.
    return found if found.free else None


def rule_written(body: Program, rule: Function | Written, arguments: tree.Structure, output: tree.Structure) -> Any:
    """Return the rule of a ``custom_vjp`` step as a program, which calls none of the user's code."""
    if isinstance(rule, Written):
        return rule
    found = _recorded(rule, steps.result_forms(body, None), body.operands, arguments, output)
    return found.of(found.operands)


def _recorded(
    rule: Function, outputs: Sequence[Any], operands: Sequence[Any], arguments: tree.Structure, output: tree.Structure
) -> _Recorded:
    """Run a rule on the forms of outputs and operands, the first of which are the arguments' leaves."""
    stand_ins = [Array(Form(np.shape(x), x.dtype)) for x in (*outputs, *outputs, *operands)]
    ends = len(outputs), 2 * len(outputs), 2 * len(outputs) + tree.count(arguments)

    def answer(*values: Any) -> list[Array | None]:
        given, found, leaves = values[: ends[0]], values[ends[0] : ends[1]], values[ends[1] : ends[2]]
        return _answer(rule, given, found, leaves, arguments, output)

    recording = record(answer, stand_ins)
    free = free_variables(recording.aliases, [g for g in recording.output if g is not None])
    return _Recorded(recording.aliases, recording.output, free)


def _answer(
    rule: Function,
    cotangents: Sequence[Any],
    outputs: Sequence[Any],
    operands: Sequence[Array],
    arguments: tree.Structure,
    output: tree.Structure,
) -> list[Array | None]:
    """Return a rule's cotangent, or None, for each leaf of the arguments, in its form."""
    trees = tree.unflatten(arguments, operands)
    code = getattr(rule, "__code__", None)
    is_users = code is None or not is_internal(code)
    # The lines of a user's rule are the user's own.
    with during(origin=None if is_users else context.origin, backward=context.backward or is_users):
        answer = rule(tree.unflatten(output, cotangents), tree.unflatten(output, outputs), *trees)
    if not isinstance(answer, tuple) or len(answer) != len(trees):
        raise ShapeError(f"the rule of a custom_vjp must return a tuple of {len(trees)} cotangents, one an argument")
    found: list[Array | None] = []
    for position, (argument, cotangent) in enumerate(zip(trees, answer, strict=True)):
        leaves, structure = tree.flatten(argument)
        parts = [None] * len(leaves) if cotangent is None else tree.leaves_like(structure, cotangent)
        for x, g in zip(leaves, parts, strict=True):
            if g is not None and np.shape(g) != x.shape:
                raise ShapeError(
                    f"the rule of a custom_vjp gave argument {position}, of shape {x.shape}, a cotangent of shape "
                    f"{np.shape(g)}"
                )
            found.append(None if g is None or x.dtype.kind != "f" else array_of(g, x.dtype))
    return found


def _custom_rule(
    cotangents: Any,
    node: Array,
    *operands: Array,
    body: Program,
    rule: Function | Written,
    arguments: tree.Structure,
    output: tree.Structure,
) -> list[Any]:
    count = tree.count(arguments)
    outputs = [pick(node, i) for i in range(len(body.outputs))]
    given = [Array(np.zeros(y.shape, y.dtype)) if g is None else g for g, y in zip(cotangents, outputs, strict=True)]
    if isinstance(rule, Written):
        values = steps.run(rule.program, [*given, *outputs, *operands], steps.by_operation)
        answers = dict(zip(rule.places, values, strict=True))
        found = [answers.get(i) for i in range(count)]
    else:
        found = _answer(rule, given, outputs, operands[:count], arguments, output)
    free = _replay(body, operands, cotangents)[count:] if len(operands) > count else []
    return [*found, *free]


def _running(evaluate: Evaluate) -> Function:
    return lambda *values, body, **_: steps.run_body(body, None, values, evaluate)


def region(name: str, rule: Rule, chosen: Any = None) -> Primitive:
    """Make a primitive that runs the program which is its ``body``, and has a derivative of its
    own.

    It is not in the registry: what it computes is made of registered primitives, and so is what
    there is to test.
    """
    return Primitive(
        name,
        lambda *values, body, **_: steps.result_forms(body, None),
        _running(steps.by_reference),
        rule,
        no_sample,
        _running(steps.by_kernel),
        chosen=chosen,
    )


REMATERIALIZE = region("rematerialize", rematerialize_rule)
CUSTOM_VJP = region("custom_vjp", _custom_rule)
