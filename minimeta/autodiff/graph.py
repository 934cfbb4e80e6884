"""The graph that Arrays form: recording it, and walking it backwards.

A computation ``y = p3(p1(x), p2(p1(x)))`` is a graph whose nodes are values. Backwards, the chain
rule sums over all paths: a node's cotangent is the sum of the contributions of everything computed
from it,

    dL/dx = sum over the uses of x of dL/dy dy/dx        (book, chapter 1).

Therefore a node may hand on its cotangent only after *all* its uses have contributed: in
``b = a + a; c = b * b`` the sum at ``b`` must be complete before ``a`` gets its share. Any order in
which every node comes after its inputs will do, reversed; ids grow with time, so sorting by id is
such an order, and no walk needs recursion (book, chapter 2). Contributions are added in that order,
so a gradient has the same bits every time.

A walk begins at *aliases*: fresh Arrays equal to the arguments. What is older than the aliases is a
*free variable* of the function (a constant here, perhaps an argument of an outer transformation),
and the walk stops there. That is what keeps nested derivatives apart: in
``grad(lambda x: x * grad(lambda y: x + y)(1.0))`` the inner walk never sees that ``x`` is being
differentiated too (book, chapter 4).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Container, Iterable, Sequence
from typing import Any, NamedTuple

from minimeta.autodiff import tree
from minimeta.autodiff.apply import context, outermost
from minimeta.autodiff.array import NOWHERE, Array, Form, Origin, Trace, moments
from minimeta.autodiff.definition import operation
from minimeta.autodiff.elements import call
from minimeta.autodiff.masks import Handed, Mask, masked
from minimeta.autodiff.primitive import Shares
from minimeta.autodiff.promotion import fixed
from minimeta.errors import LinearAlgebraError


# What a transformation differentiates is an alias of its argument: equal, but younger than all that
# existed before.
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
    """Return a new Array equal to ``x``, of a new trace or of the older one that ``x`` is of."""
    if type(x) is Array:
        outer = outermost((x,))
        inputs = () if outer is None else (x,)
        made = Array(x.value, x.weak, outer or trace, next(moments), ALIAS, inputs, {})
        if type(x.value) is Form:
            made.origin = getattr(x, "origin", NOWHERE)
        return made
    return Array(fixed(x, True), type(x) in (float, int, bool), trace, next(moments), ALIAS, (), {})


def record(function: Callable[..., Any], leaves: Sequence[Any], structure: tree.Structure | None = None) -> Recording:
    """Run a function on aliases of its arguments, and remember how everything was computed.

    Without a structure of the arguments, each leaf is one.
    """
    trace, structure = Trace(), structure or tree.flatten(tuple(leaves))[1]
    aliases = [alias(leaf, trace) for leaf in leaves]
    return Recording(trace, aliases, call(function, aliases, structure, trace))


def backward(recording: Recording, outputs: Sequence[Any], cotangents: Sequence[Any]) -> list[Array | None]:
    """Return the cotangents of the aliases, given those of outputs; None if independent."""
    order, needed = dependents(outputs, recording.aliases)
    totals: dict[int, Any] = {}
    masks: dict[int, Mask] = {}
    for y, cotangent in zip(outputs, cotangents, strict=True):
        if type(y) is Array and y.id in needed:
            accumulate(totals, ((y, cotangent),))
    before = context.walking, context.origin
    context.walking = (*context.walking, recording.trace)
    try:
        for y in reversed(order):
            hand_on(y, totals, masks, needed)
    except LinearAlgebraError as error:
        origin = getattr(y, "origin", NOWHERE)
        if not y.primitive.partial or not origin.line:
            raise
        raise error.moved(_origin_of_derivative(y, origin)) from None
    finally:
        context.walking, context.origin = before
    return [totals.get(x.id) for x in recording.aliases]


def hand_on(y: Any, totals: dict[int, Any], masks: dict[int, Mask], needed: Container[int]) -> None:
    """Add what the complete cotangent of ``y`` contributes to those of its inputs, if it has one."""
    cotangent = totals.pop(y.id, None)
    if cotangent is not None:
        if type(y.value) is Form:
            trace_for_derivative_of(y)
        shares = y.primitive.pull(cotangent, y, needed)
        if masks or y.primitive.chosen is not None or type(shares) is Handed:
            shares = masked(shares, cotangent, y, totals, masks)
        accumulate(totals, shares)


def dependents(outputs: Iterable[Any], aliases: Sequence[Array]) -> tuple[list[Any], set[int]]:
    """Return what the outputs are computed from and depends on the aliases, oldest first, and all
    ids.
    """
    order: list[Any] = []
    ids = {x.id for x in aliases}
    graph = _reachable(outputs, aliases[0].id) if aliases else {}
    for moment in sorted(graph):
        for x in graph[moment].inputs:
            if x.id in ids:
                ids.add(moment)
                order.append(graph[moment])
                break
    return order, ids


def _reachable(outputs: Iterable[Any], since: float) -> dict[int, Array]:
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
        context.origin = _origin_of_derivative(y, origin)


def _origin_of_derivative(y: Any, origin: Origin) -> Origin:
    return Origin(origin.line, origin.backward + 1, y.primitive.name)


def accumulate(totals: dict[int, Any], shares: Shares) -> None:
    """Add shares of cotangents to the totals of their Arrays, by id."""
    for x, share in shares:
        if share is not None:
            known = totals.get(x.id)
            totals[x.id] = share if known is None else _sum(known, share)


def _sum(total: Any, contribution: Any) -> Any:
    if isinstance(total, tuple):  # A primitive with several results has a tuple of cotangents.
        pairs = zip(total, contribution, strict=True)
        return tuple([b if a is None else a if b is None else _sum(a, b) for a, b in pairs])
    return total + contribution


def free_variables(aliases: Sequence[Array], outputs: Sequence[Any]) -> list[Array]:
    """Return the Arrays of open transformations that the outputs use other than by the aliases."""
    since = aliases[0].id if aliases else math.inf
    own = {array.id for array in aliases}
    found: dict[int, Array] = {}
    inputs = [array.inputs for moment, array in _reachable(outputs, since).items() if moment not in own]
    for x in itertools.chain([x for x in outputs if type(x) is Array], *inputs):
        if x.id < since and x.transformation is not None:
            found[x.id] = x
    return [found[moment] for moment in sorted(found)]
