"""In-place operators: ``y *= 2`` where nobody else sees ``y``.

numpy writes the result into the memory of ``y``, and whoever shares that memory sees it: another name, a list, a
caller, a view of ``y``, and what ``y`` is a view of. An Array is never written to, because the backward pass needs what
was there. Here the operator computes a new Array and the name is bound to it, which is what numpy does exactly if
nobody else sees the old one. Python counts references, so that can be known:

    references to y  =  those of the statement  +  inputs of nodes of the graph  +  somebody else's

The statement's own are counted once, at import, in a statement like it. Those of the graph are counted only if there
are more than that: what was computed from ``y`` keeps the old value, as numpy's results do, and is no reason to refuse.
A node that is not found counts as somebody else, so a mistake is a refusal and never a wrong number. A view and what it
is a view of share their memory, so nobody else may see any of that family.

Arithmetic, reductions and elements return scalars in numpy, which never change: there the name takes the result, in
numpy as here. Other Arrays of shape () (of where, copy, squeeze, reshape) are arrays of no axes, and shared as others.
"""

from __future__ import annotations

import itertools
import sys
import types
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from sys import getrefcount
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from minimeta.autodiff import operations, protocols
from minimeta.autodiff.array import Array, Form, Value
from minimeta.autodiff.statements import ITEM, Statement, read_variables, statement_at, stores_where_it_reads
from minimeta.errors import DtypeError, ShapeError, TracingError, is_internal

if TYPE_CHECKING:
    from minimeta.autodiff.primitive import Primitive


def assign(references: int, others: int, operation: Callable[..., Value], array: Array, operand: Any) -> Value:
    """What ``array op= operand`` binds its target to.

    Parameters
    ----------
    references, others
        How many references there are to the Array and to the operand, counted in the operator's method.
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
    if array.value.shape == () and _is_scalar(array):
        return operation(array, operand)
    primitive = array.primitive
    frame = sys._getframe(2)
    statement = statement_at(frame.f_code, frame.f_lasti)
    if statement is None:
        raise TracingError(
            f"an in-place operator of an Array of shape {array.shape}, called as a function: an Array is never written "
            "to. Write y = y + v"
        )
    extra = references - (_OWN_TWICE if operand is array else _OWN)
    if extra > 0 or (primitive is not None and (primitive.view or primitive.name in ("project", "gather"))):
        seers = _seers(extra, others - _OPERAND, array, operand, frame)
        if seers:
            raise TracingError(_refusal(statement, f"an Array of shape {array.shape}", _who(seers, array, frame)))
    if not stores_where_it_reads(statement, frame, array):
        raise TracingError(_misplaced(statement, f"an Array of shape {array.shape}"))
    return _in_form_of(array, operation(array, operand), statement)


def assign_to_numpy(references: int, ufunc: np.ufunc, inputs: tuple[Any, ...], keywords: dict[str, Any]) -> Value:
    """What ``total op= x`` binds its target to, where ``total`` is a numpy array and ``x`` an Array.

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
        raise TracingError(f"{protocols.full_name(ufunc)}(..., out=...): an Array is never written to; drop out=")
    what = f"a numpy array of shape {target.shape} with an Array"
    if not target.flags.writeable:
        raise TracingError(
            f"{statement.target} {statement.symbol} ... on {what}: it is read-only. Write {statement.plain}"
        )
    if _is_view(target):
        raise TracingError(
            f"{statement.target} {statement.symbol} ... on {what}: it is a view of another array, which cannot take an "
            "Array in. Collect the parts in a list, and join them with stack or concatenate"
        )
    if references > (_OWN_PRODUCT if ufunc is np.matmul else _OWN_NUMPY) or type(target) is not np.ndarray:
        raise TracingError(_refusal(statement, what, "it is held by something else, too"))
    if not stores_where_it_reads(statement, frame, target):
        raise TracingError(_misplaced(statement, what))
    keywords.pop("axes", None)  # numpy's @= says where the matrices are: in the last two.
    return _in_form_of(target, protocols.answer(ufunc, inputs, keywords), statement)


def _is_view(target: NDArray[Any]) -> bool:
    """Whether somebody else may hold the memory of a numpy array."""
    memory = target.base
    return memory is not None and (
        type(memory) is not np.ndarray or memory.base is not None or getrefcount(memory) > _ALONE
    )


#: What returns a scalar in numpy, beside arithmetic, where the result has shape ().
_REDUCTIONS = frozenset(("sum", "mean", "max", "min", "variance", "norm", "logsumexp", "argmax", "gather"))


def _is_scalar(array: Array) -> bool:
    """Whether an Array of shape () is surely a scalar in numpy, which never changes, and no array of no axes."""
    primitive = array.primitive
    if primitive is None or not array.inputs:  # A Python number that was passed in.
        return array.weak and array.transformation is not None
    if primitive.name in ("astype", "alias", "stop_gradient"):
        return _is_scalar(array.inputs[0])
    if primitive.name == "reshape":  # An element is cut out and nothing more (indexing.py).
        origin = array.inputs[0].primitive
        return origin is not None and origin.name in ("slice", "matmul")
    if primitive.name == "project":
        (region,) = array.inputs
        assert region.params is not None and array.params is not None
        line, place = region.params["line"], array.params["place"]
        number = line.outputs[place] - len(line.operands) - len(line.constants) if place < len(line.outputs) else -1
        return number >= 0 and _returns_scalars(line.steps[number].primitive)
    return _returns_scalars(primitive)


def _returns_scalars(primitive: Primitive) -> bool:
    return primitive.name in _REDUCTIONS or (primitive.elementwise and primitive.name != "where")


def _in_form_of(target: Any, result: Value, statement: Statement) -> Value:
    """The result in the shape and dtype of the target, which an in-place operator does not change."""
    if result.shape != target.shape:
        raise ShapeError(
            f"{statement.target} {statement.symbol} ... on shape {target.shape}: the result, of shape {result.shape}, "
            f"does not fit. Write {statement.plain}"
        )
    if not result.shape:
        result = operations.copy(result)  # An array of no axes stays one: arithmetic would return a scalar.
    if result.dtype == target.dtype:
        return result
    if not np.can_cast(result.dtype, target.dtype, "same_kind"):
        raise DtypeError(
            f"{statement.target} {statement.symbol} ... on dtype {target.dtype.name}: the result, of dtype "
            f"{result.dtype.name}, does not fit. Write {statement.plain}"
        )
    return result.astype(target.dtype)


# Who sees it


def _seers(extra: int, operands: int, array: Array, operand: Any, frame: types.FrameType) -> list[Array]:
    """Members of the array's family that somebody else sees.

    Parameters
    ----------
    extra, operands
        How many references there are to the array and to the operand beside those of the statement.
    array, operand, frame
        What the operator was called with, and where.
    """
    since = _since(array)
    if since is None:
        return [array]
    known = {id(operand): operands, id(array): extra}
    graph: dict[int, Array] = {}
    _reach(graph, [array, operand], since)
    found = _seen(graph, known, array)
    if found:
        # A debugger has the frames keep copies of their variables, which are no one's and go away here.
        copies = getrefcount(array), getrefcount(operand)
        _variables(sys._getframe(2))
        _reach(graph, [variable for _, variable in _variables(frame)], since)
        known[id(operand)] -= copies[1] - getrefcount(operand)
        known[id(array)] = extra - (copies[0] - getrefcount(array))
        found = _seen(graph, known, array)
    return [graph[key] for key in found]


def _seen(graph: dict[int, Array], known: dict[int, int], array: Array) -> list[int]:
    """Which members of a family have more references than the graph's: by identity, for not to be one more."""
    family = {id(member) for member in _ancestors(array)}
    size = 0
    while len(family) > size:
        size = len(family)
        family.update([key for key, node in graph.items() if not family.isdisjoint(map(id, _shares_memory_with(node)))])
    tuples = {id(node.inputs): node.inputs for node in graph.values()}
    inputs = Counter(id(x) for row in tuples.values() for x in row)
    return [key for key in family if known.get(key, _held(graph, key) - _HELD) > inputs[key]]


def _reach(graph: dict[int, Array], stack: list[Any], since: int) -> None:
    """Add all that some Arrays were computed from, back to a moment."""
    while stack:
        node = stack.pop()
        if type(node) is Array and node.id >= since and id(node) not in graph:
            graph[id(node)] = node
            stack += node.inputs


def _ancestors(array: Array) -> list[Array]:
    """An Array, what it is a view of, and so on."""
    found = [array]
    for member in found:
        found += _shares_memory_with(member)
    return found


def _since(array: Array) -> int | None:
    """When the oldest of a family was made; None if one of them has the memory of an Array that it does not know."""
    family = _ancestors(array)
    for member in family[1:]:
        if member.primitive is None and member.transformation is None and not _is_alone(member, family):
            return None
    return min(member.id for member in family)


def _shares_memory_with(node: Array) -> tuple[Array, ...]:
    """What a node is a view of, or may be."""
    primitive = node.primitive
    if primitive is None:
        return ()
    if primitive.view and primitive.differentiable:  # A constant, of stop_gradient, counts as a copy.
        return node.inputs
    if primitive.name == "gather" and not node.inputs[1].shape:  # x[i], of one whole number that is not known yet
        return node.inputs[:1]
    if primitive.name != "project":
        return ()
    # One result of a region: an argument, perhaps, or a view of one.
    (region,) = node.inputs
    assert region.params is not None and node.params is not None
    line, place = region.params["line"], node.params["place"]
    if place >= len(line.outputs):  # What a vmap keeps for its own backward pass.
        return (region, *region.inputs)
    first = len(line.operands) + len(line.constants)
    value = line.outputs[place]
    while value >= first and line.steps[value - first].primitive.view:
        value = line.steps[value - first].operands[0]
    if value < len(region.inputs):
        return (region, region.inputs[value])
    return (region, *region.inputs) if value < first or line.steps[value - first].primitive.name == "project" else ()


def _is_alone(array: Array, family: list[Array]) -> bool:
    """Whether nobody but its family holds the memory of a detached Array."""
    value = array.value
    if type(value) is Form or value.base is not None:
        return False
    return getrefcount(value) <= _ALONE + sum(getattr(member.value, "base", None) is value for member in family)


# What names it has


def _variables(frame: types.FrameType) -> list[tuple[str, Array]]:
    """The Arrays that the variables of a running function hold, in containers and attributes, too."""

    def read(variables: Any) -> list[tuple[str, Array]]:
        return [(name, array) for name, thing in list(variables.items()) for array in _arrays_in(thing)]

    found: list[tuple[str, Array]] = read_variables(frame, read)
    return found


#: In so many objects of a variable Arrays are looked for, and in so many functions names.
_MANY, _FEW = 1_000, 8


def _arrays_in(thing: Any) -> Iterator[Array]:
    stack = [thing]
    known: set[int] = set()
    while stack and len(known) < _MANY:
        thing = stack.pop()
        if type(thing) is Array:
            yield thing
        elif id(thing) not in known:
            known.add(id(thing))
            stack += itertools.islice(_parts(thing), _MANY)


def _parts(thing: Any) -> Iterable[Any]:
    if isinstance(thing, (list, tuple)):
        return thing
    if isinstance(thing, dict):
        return iter(thing.values())
    code = isinstance(thing, (type, types.ModuleType, types.FunctionType))
    return () if code or not type(thing).__dictoffset__ else iter(vars(thing).values())


def _running(frame: types.FrameType | None) -> Iterator[types.FrameType]:
    """The user's functions that are running, the innermost first."""
    while frame is not None:
        if not is_internal(frame.f_code):
            yield frame
        frame = frame.f_back


# What is said


def _refusal(statement: Statement, what: str, who: str) -> str:
    of_array = " (where x is an Array itself: scatter_add(x, indices, v), or where(mask, v, x))"
    return (
        f"{statement.target} {statement.symbol} ... on {what}: {who}, and would change with it in numpy; here nothing "
        f"is ever written to. Write {statement.plain}, which leaves everything else as it is"
        f"{of_array if statement.target == ITEM else ''}"
    )


def _misplaced(statement: Statement, what: str) -> str:
    return (
        f"{statement.target} {statement.symbol} ... on {what}: where it is read from is not surely where the result "
        "is stored, as with attributes of a class, properties and containers other than list and dict, or cannot be "
        f"seen; what is there would change in numpy, and here nothing is ever written to. Write {statement.plain}"
    )


def _who(seers: list[Array], array: Array, frame: types.FrameType) -> str:
    """Who else sees an Array: by name, if it has one in a function that is running."""
    wanted = {id(seer) for seer in seers}
    own = statement_at(frame.f_code, frame.f_lasti)
    for here in itertools.islice(_running(frame), _FEW):
        names = [name for name, seen in _variables(here) if id(seen) in wanted]
        if here is frame and own is not None and own.target in names:
            names.remove(own.target)
        if names:
            verb = "sees" if len(set(names)) == 1 else "see"
            place = "" if here is frame else f" in {here.f_code.co_name}"
            return f"{' and '.join(sorted(set(names)))}{place} {verb} it, too"
    if array.transformation is not None and (array.primitive is None or array.primitive.name == "alias"):
        return "it is an argument, which the caller sees, too"
    if any(seer is not array for seer in seers):
        return "what it is a view of, or a view of it, is held by something else, too"
    return "it is held by something else, too"


# What a statement's own references are


class _Probe:
    """Counts references where an Array does."""

    def __iadd__(self, other: Any) -> Any:
        return getrefcount(self), getrefcount(other)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **keywords: Any) -> Any:
        return getrefcount(keywords["out"][0])


def _count() -> tuple[int, int, int, int, int]:
    once: Any = _Probe()
    once += _Probe()
    twice: Any = _Probe()
    twice += twice
    array: Any = np.zeros(1)
    array += _Probe()
    product: Any = np.zeros((1, 1))
    product @= _Probe()
    return (*once, twice[0], array, product)


def _held(graph: dict[int, Any], key: int) -> int:
    return getrefcount(graph[key])


def _count_alone() -> int:
    holder = types.SimpleNamespace(value=object())
    value = holder.value
    return getrefcount(value)


# Where not all references are counted (without the interpreter's lock, in code compiled while it runs), a statement is
# given none: it is refused, and not believed.
_counts = "t" not in getattr(sys, "abiflags", "") and not (hasattr(sys, "_jit") and sys._jit.is_enabled())
_OWN, _OPERAND, _OWN_TWICE, _OWN_NUMPY, _OWN_PRODUCT = map(min, _count(), _count()) if _counts else (0,) * 5
_HELD, _ALONE = _held({0: object()}, 0), _count_alone()
