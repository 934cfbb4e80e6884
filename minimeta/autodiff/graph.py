"""The graph that Arrays form: recording it, walking it backwards, writing it down as a straight line.

A computation ``y = p3(p1(x), p2(p1(x)))`` is a graph whose nodes are values. Backwards, the chain rule sums over all
paths: a node's cotangent is the sum of the contributions of everything computed from it,

    dL/dx = sum over the uses of x of dL/dy dy/dx .

Therefore a node may hand on its cotangent only after *all* its uses have contributed: in ``b = a + a; c = b * b`` the
sum at ``b`` must be complete before ``a`` gets its share. Any order in which every node comes after its inputs will
do, reversed; ids grow with time, so sorting by id is such an order, and no walk needs recursion.

A walk begins at *aliases*: fresh Arrays equal to the arguments. What is older than the aliases is a *free variable*
of the function (a constant here, perhaps an argument of an outer transformation), and the walk stops there. That is
what keeps nested derivatives apart: in ``grad(lambda x: x * grad(lambda y: x + y)(1.0))`` the inner walk never sees
that ``x`` is being differentiated too.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Sequence
from typing import Any, NamedTuple

from minimeta.autodiff import tree
from minimeta.autodiff.apply import apply, attribute_to, context, during, outermost
from minimeta.autodiff.array import NOWHERE, Array, Form, Origin, Trace, moments
from minimeta.autodiff.definition import operation
from minimeta.autodiff.primitive import Primitive, Shares
from minimeta.autodiff.promotion import constant, fixed


# What a transformation differentiates is an alias of its argument: equal, but younger than all that existed before.
@operation(
    rules=(lambda g, y, x: g,),
    shape=Form.of,
    sample=lambda draw: ((draw.array(draw.shape()),), {}),
    kernel=lambda x: x,
    view=True,
    linear=True,
    exact=True,
)
def _alias(x: Any) -> Any:
    return x


ALIAS = _alias.primitive


class Recording(NamedTuple):
    """A finished run of a function on aliases.

    Attributes
    ----------
    trace
        Its trace, closed.
    aliases
        The fresh Arrays that stood for the arguments' leaves.
    output
        What the function returned.
    """

    trace: Trace
    aliases: list[Array]
    output: Any


def alias(x: Any, trace: Trace) -> Array:
    """A fresh Array equal to ``x`` that belongs to a new trace, or to the older one that ``x`` belongs to."""
    if type(x) is Array:
        outer = outermost((x,))
        inputs = () if outer is None else (x,)
        made = Array(x.value, x.weak, outer or trace, next(moments), ALIAS, inputs, {})
        if type(x.value) is Form:
            made.origin = getattr(x, "origin", NOWHERE)
        return made
    return Array(fixed(x, True), type(x) in (float, int, bool), trace, next(moments), ALIAS, (), {})


def record(function: Callable[..., Any], leaves: Sequence[Any], structure: tree.Structure) -> Recording:
    """Run a function on aliases of its arguments, a tuple of trees, remembering how everything was computed."""
    trace = Trace()
    try:
        aliases = [alias(leaf, trace) for leaf in leaves]
        output = function(*tree.unflatten(structure, aliases))
    finally:
        trace.open = False
    return Recording(trace, aliases, output)


def backward(recording: Recording, outputs: Sequence[Any], cotangents: Sequence[Any]) -> list[Array | None]:
    """Return the cotangents of the aliases, given those of some outputs; None where there is no dependence."""
    aliases = recording.aliases
    order, needed = dependents(outputs, aliases)
    totals: dict[int, Any] = {}
    accumulate(totals, needed, zip(outputs, cotangents, strict=True))
    with during(walking=(*context.walking, recording.trace)):
        for y in reversed(order):
            cotangent = totals.pop(y.id, None)
            if cotangent is not None:
                if type(y.value) is Form:
                    trace_for_derivative_of(y)
                accumulate(totals, needed, y.primitive.pull(cotangent, y, needed))
    return [totals.get(x.id) for x in aliases]


def dependents(outputs: Iterable[Any], aliases: Sequence[Array]) -> tuple[list[Any], set[int]]:
    """Return what the outputs were computed from and depends on the aliases, oldest first; and the ids of both."""
    order: list[Any] = []
    ids = {x.id for x in aliases}
    graph = _reachable(outputs, min(ids)) if ids else {}
    for moment in sorted(graph):
        for x in graph[moment].inputs:
            if x.id in ids:
                ids.add(moment)
                order.append(graph[moment])
                break
    return order, ids


def _reachable(outputs: Iterable[Any], since: int) -> dict[int, Array]:
    """Return everything that the outputs were computed from, back to a moment."""
    graph: dict[int, Array] = {}
    stack = [x for x in outputs if type(x) is Array and x.id >= since]
    while stack:
        array = stack.pop()
        if array.id not in graph:
            graph[array.id] = array
            for x in array.inputs:
                if x.id >= since:
                    stack.append(x)
    return graph


def trace_for_derivative_of(y: Array) -> None:
    """Let the rules of ``y`` be traced for the line that computed it, as far as that is known."""
    if (origin := getattr(y, "origin", NOWHERE)).line:  # A region, of several values, follows its projections.
        attribute_to(Origin(origin.line, backward=True))


def accumulate(totals: dict[int, Any], needed: Container[int], shares: Shares) -> None:
    """Add shares of cotangents to the totals, by id, of those Arrays that need one."""
    for x, share in shares:
        if share is not None and type(x) is Array and x.id in needed:
            known = totals.get(x.id)
            totals[x.id] = share if known is None else _sum(known, share)


def _sum(total: Any, contribution: Any) -> Any:
    if isinstance(total, tuple):  # A primitive with several results has a tuple of cotangents.
        pairs = zip(total, contribution, strict=True)
        return tuple([b if a is None else a if b is None else _sum(a, b) for a, b in pairs])
    return total + contribution


# The straight line


class Step(NamedTuple):
    """One instruction: ``values[result] = primitive(*values[operands], **params)``; results count up.

    Attributes
    ----------
    primitive, operands, params
        What is computed of which values.
    shape
        The form of the result; a tuple of forms if there are several.
    line, backward
        The user's line that it was traced for, and whether it belongs to the backward pass of that line.
    """

    primitive: Primitive
    operands: tuple[int, ...]
    params: dict[str, Any]
    shape: Any
    line: str
    backward: bool = False


class StraightLine(NamedTuple):
    """A computation written down once: it refers to no Array, and can be run on values, Arrays or references.

    Values are numbered: the operands, then the constants, then the result of each step.
    """

    operands: tuple[Any, ...]
    constants: tuple[Any, ...]
    steps: tuple[Step, ...]
    outputs: tuple[int, ...]

    def __repr__(self) -> str:
        return f"<{len(self.steps)} steps>"

    def run(self, operands: Sequence[Any], evaluate: Callable[..., Any] = apply) -> list[Any]:
        """Outputs for these operands; ``evaluate(primitive, *operands, **params)`` computes each step."""
        values = [*operands, *self.constants]
        origin = context.origin
        with during():
            for step in self.steps:
                attribute_to(Origin(step.line, step.backward) if step.line else origin)
                inputs = [values[i] for i in step.operands]
                if inputs and type(inputs[0]) is tuple:  # a region's results, of which one is picked
                    values.append(inputs[0][step.params["place"]])
                else:
                    values.append(evaluate(step.primitive, *inputs, **step.params))
        return [values[i] for i in self.outputs]


def free_variables(aliases: Sequence[Array], outputs: Sequence[Any]) -> list[Array]:
    """Arrays of open transformations that the outputs depend on other than through the aliases."""
    if not aliases:
        return [x for x in outputs if type(x) is Array and x.transformation is not None]
    since = aliases[0].id
    own = {array.id for array in aliases}
    found: dict[int, Array] = {}
    for array in _reachable(outputs, since).values():
        if array.id not in own:
            found.update({x.id: x for x in array.inputs if x.transformation is not None and x.id < since})
    found.update({x.id: x for x in outputs if type(x) is Array and x.transformation is not None and x.id < since})
    return [found[moment] for moment in sorted(found)]


def linearise(operands: Sequence[Array], outputs: Sequence[Any]) -> StraightLine:
    """Write down how the outputs follow from the operands; whatever else they need is a constant."""
    place = {array.id: i for i, array in enumerate(operands)}
    boundary = {array.id for array in operands}
    graph: dict[int, Array] = {}
    constants: list[Any] = []
    stack = list(outputs)
    while stack:
        array = stack.pop()
        # What has no inputs is the alias of a constant, and what has no id is a constant or a view of one.
        if type(array) is Array and array.inputs and array.id and array.id not in boundary and array.id not in graph:
            graph[array.id] = array
            stack += array.inputs
    order = [graph[moment] for moment in sorted(graph)]

    known_constants: dict[int, int] = {}  # by identity

    def constant_place(value: Any) -> int:
        if id(value) not in known_constants:
            known_constants[id(value)] = len(operands) + len(constants)
            constants.append(value)
        return known_constants[id(value)]

    # Constants are numbered before steps, so they are collected first.
    places: list[tuple[Array, list[tuple[bool, int]]]] = []
    for array in order:
        row = []
        for x in array.inputs:
            known = x.id in boundary or x.id in graph
            row.append((known, x.id if known else constant_place(x.value)))
        places.append((array, row))
    last = [
        (True, y.id) if type(y) is Array and (y.id in boundary or y.id in graph) else (False, constant_place(_value(y)))
        for y in outputs
    ]
    first_step = len(operands) + len(constants)
    place.update({array.id: first_step + i for i, array in enumerate(order)})
    steps = []
    for array, row in places:
        assert array.primitive is not None and array.params is not None
        numbers = tuple(place[key] if known else key for known, key in row)
        steps.append(
            Step(array.primitive, numbers, array.params, _form(array.value), *getattr(array, "origin", NOWHERE))
        )
    return StraightLine(
        tuple(_form(x.value) for x in operands),
        tuple(constants),
        tuple(steps),
        tuple(place[key] if known else key for known, key in last),
    )


def _value(x: Any) -> Any:
    return x.value if type(x) is Array else constant(x, private=True).value


def _form(value: Any) -> Any:
    return tuple(_form(v) for v in value) if isinstance(value, tuple) else Form(value.shape, value.dtype)
