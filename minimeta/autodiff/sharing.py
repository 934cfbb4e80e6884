"""Sharing: who else sees an Array, by the references that Python counts.

    references to y  =  those of the statement  +  inputs of nodes of the graph  +  somebody else's

The statement's own are counted once, at import, in a statement like it. Those of the graph are
counted only if there are more references than that: what was computed from ``y`` keeps the old
value, as numpy's results do, and is no reason to refuse. A view and what it is a view of share
their memory, so they are one *family*, and nobody else may see any member of it. A node of the
graph that is not found counts as somebody else: a mistake is a refusal, never a wrong number.
"""

from __future__ import annotations

import itertools
import sys
import types
from collections import Counter
from collections.abc import Iterable, Iterator
from sys import getrefcount
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from minimeta.autodiff.statements import read_variables, statement_at
from minimeta.errors import is_internal

if TYPE_CHECKING:
    from minimeta.autodiff.array import Array


def seers(references: int, others: int, array: Array, operand: Any, frame: types.FrameType) -> list[Array]:
    """Return the members of an Array's family that somebody else sees.

    Parameters
    ----------
    references, others
        How many references there are to the Array and to the operand, counted in the operator's
        method.
    array, operand, frame
        What the operator was called with, and where.
    """
    extra = references - (OWN_TWICE if operand is array else OWN)
    primitive = array.primitive
    if extra <= 0 and (primitive is None or not (primitive.view or primitive.name in ("project", "gather"))):
        return []
    known = {id(operand): others - _OPERAND, id(array): extra}
    return _others([array], known, operand, frame, sys._getframe(1))


def is_seen_in_parts(pair: Any, others: int, operand: Any, frame: types.FrameType) -> bool:
    """Return whether somebody else sees one of the two arrays of a pair, a view of it, or what it is a view of.

    Parameters
    ----------
    pair
        What has the parts ``real`` and ``imag``: Arrays, or numpy arrays.
    others, operand, frame
        As of :func:`seers`.
    """
    # The statement's pairs hold their parts. An operand that a variable holds, too, is somebody else's.
    pairs = [pair, operand] if type(operand) is type(pair) and operand is not pair and others <= _OPERAND else [pair]
    own = Counter(id(part) for each in pairs for part in (each.real, each.imag))
    parts = {id(part): part for each in pairs for part in (each.real, each.imag)}
    known = {key: _held(parts, key) - _HELD - own[key] for key in parts}
    known[id(operand)] = others - _OPERAND - own[id(operand)]
    changed = {id(part): part for part in (pair.real, pair.imag)}
    if any(isinstance(part, np.ndarray) and (known[key] > 0 or is_view(part)) for key, part in changed.items()):
        return True
    arrays = [part for part in changed.values() if hasattr(part, "inputs")]
    return bool(arrays) and bool(_others(arrays, known, operand, frame, sys._getframe(1)))


def _others(
    arrays: list[Array], known: dict[int, int], operand: Any, frame: types.FrameType, operator: types.FrameType
) -> list[Array]:
    """Return who else sees some Arrays that change.

    `known` has the number of references to them and to operands that are not the statement's own,
    by identity; `operator` is the frame of the operator's method.
    """
    kind = type(arrays[0])
    since = [each for each in map(_since, arrays) if each is not None]
    if len(since) < len(arrays):
        return arrays
    graph: dict[int, Array] = {}
    _reach(graph, [*arrays, *_arrays_in(operand, kind)], min(since), kind)
    found = _seen(graph, known, arrays)
    if found:
        # A debugger has the frames keep copies of their variables, which are no one's and go away
        # here.
        held = [operand, *arrays]
        before = _counts_of(held)
        _variables(operator, kind)
        _reach(graph, [variable for _, variable in _variables(frame, kind)], min(since), kind)
        for each, copies in zip(held, np.subtract(before, _counts_of(held)), strict=True):
            known[id(each)] -= copies
        found = _seen(graph, known, arrays)
    return [graph[key] for key in found]


def _seen(graph: dict[int, Array], known: dict[int, int], arrays: list[Array]) -> list[int]:
    """Return the identities of a family's members with more references than the graph's."""
    family = {id(member) for array in arrays for member in _ancestors(array)}
    size = 0
    while len(family) > size:
        size = len(family)
        family.update([key for key, node in graph.items() if not family.isdisjoint(map(id, _shares_memory_with(node)))])
    tuples = {id(node.inputs): node.inputs for node in graph.values()}
    inputs = Counter(id(x) for row in tuples.values() for x in row)
    return [key for key in family if known.get(key, _held(graph, key) - _HELD) > inputs[key]]


def _reach(graph: dict[int, Array], stack: list[Any], since: int, kind: type[Array]) -> None:
    """Add all that some Arrays were computed from, back to a moment."""
    while stack:
        node = stack.pop()
        if type(node) is kind and node.id >= since and id(node) not in graph:
            graph[id(node)] = node
            stack += node.inputs


def _ancestors(array: Array) -> list[Array]:
    """Return an Array, what it is a view of, and so on."""
    found = [array]
    for member in found:
        found += _shares_memory_with(member)
    return found


def _since(array: Array) -> int | None:
    """Return when the oldest of a family was made; None if an unknown Array has its memory."""
    family = _ancestors(array)
    for member in family[1:]:
        if member.primitive is None and member.transformation is None and not _is_alone(member, family):
            return None
    return min(member.id for member in family)


def _shares_memory_with(node: Array) -> tuple[Array, ...]:
    """Return what a node is a view of, or may be."""
    primitive = node.primitive
    if primitive is None:
        return ()
    if primitive.view and primitive.differentiable:  # A constant, of stop_gradient, counts as a copy.
        return () if is_element(node) else node.inputs
    if primitive.name == "gather":  # A row, x[i], at a place that is not known yet, or windows.
        row = node.shape and not node.inputs[1].shape
        return node.inputs[:1] if row or getattr(node, "shown", False) else ()
    if primitive.name != "project":
        return ()
    # One result of a region: an argument, perhaps, or a view of one.
    (region,) = node.inputs
    assert region.params is not None and node.params is not None
    body, place = region.params["body"], node.params["place"]
    if place >= len(body.outputs):  # What a vmap keeps for its own backward pass.
        return (region, *region.inputs)
    value = body.outputs[place]
    while (step := body.step_of(value)) and step.primitive.view:
        value = step.operands[0]
    if value < len(region.inputs):
        return (region, region.inputs[value])
    return (region, *region.inputs) if step is None or step.body is not None else ()


def is_element(node: Array) -> bool:
    """Return whether a view is surely a scalar in numpy, which is a copy: cut out and nothing more (indexing.py)."""
    origin = node.inputs[0].primitive if node.inputs and not node.shape else None
    name = node.primitive.name if node.primitive is not None else ""
    return name == "reshape" and origin is not None and origin.name in ("slice", "matmul")


def _is_alone(array: Array, family: list[Array]) -> bool:
    """Return whether only its family holds the memory of a detached Array."""
    value = array.value
    if type(value) is not np.ndarray or value.base is not None:
        return False
    return getrefcount(value) <= _ALONE + sum(getattr(member.value, "base", None) is value for member in family)


# numpy arrays


def is_seen(target: NDArray[Any], references: int, ufunc: np.ufunc) -> bool:
    """Return whether somebody else holds a numpy array that an in-place operator changes."""
    return references > (_OWN_PRODUCT if ufunc is np.matmul else _OWN_NUMPY) or type(target) is not np.ndarray


def is_view(target: NDArray[Any]) -> bool:
    """Return whether somebody else may hold the memory of a numpy array."""
    memory = target.base
    return memory is not None and (
        type(memory) is not np.ndarray or memory.base is not None or getrefcount(memory) > _ALONE
    )


# Names


def names_of(found: list[Array], array: Array, frame: types.FrameType) -> str:
    """Say who else sees an Array: by name, if it has one in a function that is running."""
    wanted = {id(seer) for seer in found}
    own = statement_at(frame.f_code, frame.f_lasti)
    for here in itertools.islice(_running(frame), _FEW):
        names = [name for name, seen in _variables(here, type(array)) if id(seen) in wanted]
        if here is frame and own is not None and own.target in names:
            names.remove(own.target)
        if names:
            verb = "sees" if len(set(names)) == 1 else "see"
            place = "" if here is frame else f" in {here.f_code.co_name}"
            return f"{' and '.join(sorted(set(names)))}{place} {verb} it, too"
    if array.transformation is not None and (array.primitive is None or array.primitive.name == "alias"):
        return "it is an argument, which the caller sees, too"
    if any(seer is not array for seer in found):
        return "what it is a view of, or a view of it, is held by something else, too"
    return "it is held by something else, too"


#: In so many objects of a variable Arrays are looked for, and in so many functions names.
_MANY, _FEW = 1_000, 8


def _variables(frame: types.FrameType, kind: type[Array]) -> list[tuple[str, Array]]:
    """Return the Arrays in the variables of a running function, their containers and attributes."""

    def read(variables: Any) -> list[tuple[str, Array]]:
        return [(name, array) for name, thing in list(variables.items()) for array in _arrays_in(thing, kind)]

    found: list[tuple[str, Array]] = read_variables(frame, read)
    return found


def _arrays_in(thing: Any, kind: type[Array]) -> Iterator[Array]:
    stack = [thing]
    known: set[int] = set()
    while stack and len(known) < _MANY:
        thing = stack.pop()
        if type(thing) is kind:
            yield thing
        elif id(thing) not in known:
            known.add(id(thing))
            stack += itertools.islice(_parts(thing), _MANY)


def _parts(thing: Any) -> Iterable[Any]:
    if isinstance(thing, (list, tuple)):
        return thing
    if isinstance(thing, dict):
        return iter(thing.values())
    if type(thing) is np.ndarray:  # np.array(x) makes one of the elements of an Array (elements.py).
        return thing.flat if thing.dtype == object else ()
    code = isinstance(thing, (type, types.ModuleType, types.FunctionType))
    return () if code or not type(thing).__dictoffset__ else iter(vars(thing).values())


def _running(frame: types.FrameType | None) -> Iterator[types.FrameType]:
    """Go through the user's functions that are running, the innermost first."""
    while frame is not None:
        if not is_internal(frame.f_code):
            yield frame
        frame = frame.f_back


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


def _counts_of(objects: list[Any]) -> list[int]:
    return [getrefcount(each) for each in objects]


def _count_alone() -> int:
    holder = types.SimpleNamespace(value=object())
    value = holder.value
    return getrefcount(value)


# Where not all references are counted (without the interpreter's lock, in code compiled while it
# runs), a statement is given none: it is refused, and not believed.
_counts = "t" not in getattr(sys, "abiflags", "") and not (hasattr(sys, "_jit") and sys._jit.is_enabled())
OWN, _OPERAND, OWN_TWICE, _OWN_NUMPY, _OWN_PRODUCT = map(min, _count(), _count()) if _counts else (0,) * 5
_HELD, _ALONE = _held({0: object()}, 0), _count_alone()
