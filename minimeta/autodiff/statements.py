"""The statement of an in-place operator: what it reads, and where it stores the result.

``a.w *= 2`` is ``a.w = a.w.__imul__(2)``: a read, the operator and a store. In the interpreter's
code,

    LOAD a    COPY 1           LOAD_ATTR w      (operand)  BINARY_OP *=  STORE_ATTR w
    LOAD d    LOAD k   COPY 2  COPY 2  SUBSCR   (operand)  BINARY_OP +=  STORE_SUBSCR

The read may find the value elsewhere than the store puts the result: on the class, behind a
property, in another mapping. Then the old value stays in its place, which numpy would have changed.
So a store is believed where the value is seen to be: in a variable, in an object's own attributes,
in a list or a dictionary. The object is found by its name, since the interpreter's stack cannot be
read.
"""

from __future__ import annotations

import dis
import functools
import inspect
import sys
import types
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from sys import getrefcount
from typing import Any, NamedTuple

#: The target, where an element is stored.
ITEM = "x[...]"


class _Load(NamedTuple):
    """How a value was put on the stack: the operation, its argument, and an earlier load."""

    kind: str
    argument: Any
    origin: _Load | None = None
    key: _Load | None = None


class Statement(NamedTuple):
    """An in-place operator, such as ``*=``, and its target.

    Attributes
    ----------
    symbol, target
        The operator and what is written before it.
    store, name
        The interpreter's instruction that stores the result, and the variable or attribute that it
        stores.
    holder
        How the object was loaded whose attribute or element that is; None if that is unknown.
    """

    symbol: str
    target: str
    store: str
    name: str
    holder: _Load | None

    @property
    def plain(self) -> str:
        """The same without the operator."""
        return f"{self.target} = {self.target} {self.symbol[:-1]} ..."

    @property
    def named_holder(self) -> str:
        """The variable that holds the object; empty if it is found in another way."""
        known = self.holder is not None and self.holder.kind in ("VARIABLE", "NAME", "GLOBAL")
        return str(self.holder.argument) if self.holder is not None and known else ""


@functools.lru_cache(maxsize=4096)
def statement_at(code: types.CodeType, offset: int) -> Statement | None:
    """Return the statement at a place in the code; None if it is no in-place operator."""
    instructions = list(dis.get_instructions(code))
    # A call of a method stands behind its instruction, among the memory of the interpreter.
    place = max(i for i, instruction in enumerate(instructions) if instruction.offset <= offset)
    symbol = instructions[place].argrepr
    if instructions[place].opname != "BINARY_OP" or not symbol.endswith("="):
        return None
    store = next(instruction for instruction in instructions[place:] if instruction.opname.startswith("STORE"))
    # Python 3.13 stores and loads at once.
    name = str(store.argval[0] if isinstance(store.argval, tuple) else store.argval)
    kind = store.opname
    target = ITEM if kind in ("STORE_SUBSCR", "STORE_SLICE") else f"x.{name}" if kind == "STORE_ATTR" else name
    return Statement(symbol, target, kind, name, _holder(instructions[:place], kind))


def stores_where_it_reads(statement: Statement, frame: types.FrameType, value: Any) -> bool:
    """Return whether the result takes the place of the value that was read.

    Parameters
    ----------
    statement, frame
        The statement that is running, and the frame that runs it.
    value
        What it read.
    """
    match statement.store:
        case "STORE_ATTR" | "STORE_SUBSCR":
            holder = holder_of(statement, frame)
            if statement.store == "STORE_ATTR":
                return _own(holder, statement.name) is value
            return type(holder) in _CONTAINERS and any(part is value for part in _parts(holder))
        case "STORE_NAME":  # In the body of a class a variable of the module is read, and the class's is stored.
            names = frame.f_locals
            return type(names) is dict and names.get(statement.name) is value
        case "STORE_GLOBAL":
            return frame.f_globals.get(statement.name) is value
    return statement.store.startswith(("STORE_FAST", "STORE_DEREF"))


def is_stored_where_it_was(value: Any, frame: types.FrameType) -> bool:
    """Return whether a frame is just running an in-place operator whose result takes the place of what it read."""
    statement = statement_at(frame.f_code, frame.f_lasti)
    return statement is not None and stores_where_it_reads(statement, frame, value)


def holder_of(statement: Statement, frame: types.FrameType) -> Any:
    """Return the object whose attribute or element the statement changes; None if that is unknown."""
    return _find(statement.holder, frame)


def is_assignment_of_element(frame: types.FrameType) -> bool:
    """Return whether a frame is just running ``x[...] = v``."""
    return dis.opname[frame.f_code.co_code[frame.f_lasti]] in ("STORE_SUBSCR", "STORE_SLICE")


# What the interpreter's code says


def _holder(instructions: list[dis.Instruction], store: str) -> _Load | None:
    """Return how the object was loaded whose attribute or element is changed."""
    copies = {"STORE_ATTR": [1], "STORE_SUBSCR": [2, 2], "STORE_SLICE": [3, 3, 3]}.get(store)
    if copies is None:
        return None
    code = [(instruction, kind, argument) for instruction in instructions for kind, argument in _loads_of(instruction)]
    read = {"STORE_ATTR": "ATTR", "STORE_SUBSCR": "SUBSCR", "STORE_SLICE": "BINARY_SLICE"}[store]
    width = len(copies)
    for place in range(len(code) - width - 1, -1, -1):  # Nothing else copies what it reads of at once.
        if [(kind, argument) for _, kind, argument in code[place : place + width]] == [
            ("COPY", copy) for copy in copies
        ] and code[place + width][1] == read:
            end: int | None = place
            for _ in copies[1:]:  # What is between the object and its copy: a key, or both ends of a slice.
                if end is None or code[end][0].is_jump_target:
                    return None
                end = _before(code, end)
            return None if end is None or code[end][0].is_jump_target else _load_before(code, end)[0]
    return None


_Code = list[tuple[dis.Instruction, str, Any]]


def _loads_of(instruction: dis.Instruction) -> list[tuple[str, Any]]:
    """Return what an instruction does; one that loads two variables counts as two."""
    name, argument = instruction.opname, instruction.argval
    if name.startswith("LOAD_FAST"):
        names = argument if isinstance(argument, tuple) else (argument,)
        return [("VARIABLE", one) for one in names]
    if name in ("BINARY_SUBSCR", "BINARY_OP") and (name == "BINARY_SUBSCR" or instruction.argrepr == "[]"):
        return [("SUBSCR", None)]
    kinds = {
        "LOAD_DEREF": "VARIABLE",
        "LOAD_NAME": "NAME",
        "LOAD_GLOBAL": "GLOBAL",
        "LOAD_CONST": "CONSTANT",
        "LOAD_SMALL_INT": "CONSTANT",
        "LOAD_ATTR": "ATTR",
        "COPY": "COPY",
    }
    return [(kinds.get(name, name), argument)]


def _before(code: _Code, end: int) -> int | None:
    """Return where the expression that ends here begins; None if it branches."""
    depth = 0
    for place in range(end - 1, -1, -1):
        instruction, kind, _ = code[place]
        if instruction.opcode in dis.hasjrel or instruction.opcode in dis.hasjabs:
            return None
        argument = instruction.arg if instruction.opcode >= dis.HAVE_ARGUMENT else None
        depth += 1 if kind == "VARIABLE" else dis.stack_effect(instruction.opcode, argument)
        if depth == 1:
            return place
        if instruction.is_jump_target:
            return None
    return None


def _load_before(code: _Code, end: int) -> tuple[_Load | None, int]:
    """Return how the value on top of the stack was loaded, if that is simple, and from where."""
    if end == 0:
        return None, end
    instruction, kind, argument = code[end - 1]
    if kind in ("VARIABLE", "NAME", "GLOBAL", "CONSTANT"):
        return _Load(kind, argument), end - 1
    if kind not in ("ATTR", "SUBSCR") or instruction.is_jump_target:
        return None, end
    key, end = _load_before(code, end - 1) if kind == "SUBSCR" else (None, end - 1)
    if (kind == "SUBSCR" and key is None) or code[end][0].is_jump_target:
        return None, end
    origin, start = _load_before(code, end)
    return (None if origin is None else _Load(kind, argument, origin, key)), start


# What the names stand for


#: Their elements are where they say, and nowhere else.
_CONTAINERS = (list, dict, OrderedDict, defaultdict)


#: How attributes are set by objects that do nothing else then.
_PLAIN: tuple[Any, ...] = tuple(kind.__setattr__ for kind in (object, type, types.ModuleType, types.SimpleNamespace))


def _parts(container: Any) -> Any:
    return container if type(container) is list else container.values()


def _find(load: _Load | None, frame: types.FrameType) -> Any:
    """Return what was loaded; None if that cannot be found out."""
    if load is None:
        return None
    match load.kind:
        case "CONSTANT":
            return load.argument
        case "GLOBAL":
            return frame.f_globals.get(load.argument)
        case "VARIABLE" | "NAME":
            found = read_variables(frame, lambda variables: variables.get(load.argument))
            return frame.f_globals.get(load.argument) if found is None and load.kind == "NAME" else found
        case "ATTR":
            return _own(_find(load.origin, frame), load.argument)
    holder, key = _find(load.origin, frame), _find(load.key, frame)
    if type(holder) not in (*_CONTAINERS, tuple) or type(key) not in (int, str, bool, tuple):
        return None
    try:
        return holder[key]
    except LookupError:
        return None


def _own(thing: Any, name: str) -> Any:
    """Return an attribute that the object itself stores; None if there is none."""
    kind = type(thing)
    if kind.__setattr__ not in _PLAIN:
        return None
    of_kind = next((vars(base)[name] for base in kind.__mro__ if name in vars(base)), None)
    if isinstance(of_kind, types.MemberDescriptorType):  # One of __slots__.
        return of_kind.__get__(thing, kind) if hasattr(thing, name) else None
    if hasattr(type(of_kind), "__set__") or hasattr(type(of_kind), "__delete__"):
        return None
    try:
        own = object.__getattribute__(thing, "__dict__") if not isinstance(thing, type) else vars(thing)
    except AttributeError:
        return None
    return own.get(name) if isinstance(own, (dict, types.MappingProxyType)) else None


def read_variables(frame: types.FrameType, read: Callable[[Any], Any]) -> Any:
    """Read a running function's variables; empty a copy of them, which the frame would keep."""
    variables = frame.f_locals
    found = read(variables)
    copied = type(variables) is dict and frame.f_code.co_flags & inspect.CO_OPTIMIZED
    if copied and getrefcount(variables) <= _VARIABLES:
        variables.clear()  # Everything that it refers to would be kept with it.
    return found


def _count_variables() -> int:
    variables = sys._getframe().f_locals
    return getrefcount(variables)


_VARIABLES = _count_variables()
