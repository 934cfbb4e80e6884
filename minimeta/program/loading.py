"""A program from a file, checked as from a stranger.

What a file says (:mod:`minimeta.program.saving`) becomes a program step by step, and whatever does
not fit is refused: a name that is neither the library's nor known, parameters that an operation does
not have, a body that does not fit its step. At the end every step has to agree with its primitive's
shape rule. A query's rule would compute with arrays of the sizes that the file states; its form is
taken as written, and compared when it runs.
"""

from __future__ import annotations

import importlib
import inspect
import json
import math
import os
import re
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from minimeta.archives import StoredArray, open_arrays
from minimeta.autodiff import tree
from minimeta.autodiff.array import NOWHERE, Form, Origin
from minimeta.autodiff.calls import CALL
from minimeta.autodiff.exact import exact_type
from minimeta.autodiff.operations.queries import QUERY, Place
from minimeta.autodiff.primitive import Primitive, registry
from minimeta.autodiff.promotion import COMPUTABLE
from minimeta.autodiff.regions import CUSTOM_VJP, Written
from minimeta.autodiff.steps import Program, Step, Tasks, result_forms
from minimeta.autodiff.tree import Structure
from minimeta.errors import DataError, MissingDataError
from minimeta.program.checking import check
from minimeta.program.program import Traced
from minimeta.program.saving import FORMAT, MODULES, OTHERS, VERSION, beyond, is_pure
from minimeta.program.vmap import VMAP

T = TypeVar("T")

#: What steps that are not in the registry have as parameters.
_PARAMS = {
    "custom_vjp": {"rule", "arguments", "output"},
    "split": {"axis"},
    "call": {"function", "arguments", "output", "forms"},
}

_LARGEST = 2**44  # bytes of one value: sums of a program's sizes stay far below the largest integer
_MOST_AXES = 64  # numpy's
_FORM = re.compile(r"([a-z]+\d*)\[((?:\d+(?:, \d+)*)?)\]")
_CLASSES = re.compile(r"minimeta\.(autodiff|learners|nn|optim|tasks|training)(\.[a-z_]+)*")


def load(path: str | os.PathLike[str], known: Iterable[Any] = ()) -> Traced:
    """Read a program that :meth:`minimeta.program.Traced.save` wrote, from a source that need not
    be trusted.

    Parameters
    ----------
    path
        The file.
    known
        Operations (:func:`minimeta.primitive`) and classes of trees of your own that the program
        mentions.

    Returns
    -------
    Traced
        It computes the same bits. It is called like the function that was traced, inside ``grad``,
        ``vmap`` and ``compile`` too, with arguments of the shapes and dtypes that it was traced for.

    Raises
    ------
    MissingDataError
        There is no such file.
    DataError
        The file is truncated, damaged, of a newer version, or holds something else than a program
        that is well typed; or it mentions an operation or a class that is not known.
    """
    try:
        with open_arrays(path) as arrays:
            if sum(math.prod(x.shape) * x.dtype.itemsize for x in arrays.values()) > Path(path).stat().st_size:
                raise ValueError("its arrays are compressed, which those of a program are not")
            return _Reader(arrays, known).whole()
    except (DataError, MissingDataError):
        raise
    except RecursionError:
        raise DataError(f"{path} holds no program: its parts are nested too deeply") from None
    except Exception as error:  # Damaged text may make any kind of mistake.
        raise DataError(f"{path} holds no program: {str(error) or type(error).__name__}") from error


class _Reader:
    """Makes a program of what a file says, and refuses what makes none."""

    def __init__(self, arrays: dict[str, StoredArray], known: Iterable[Any]) -> None:
        text = arrays["program"]
        if text.dtype != np.uint8 or len(text.shape) != 1:
            raise ValueError("its text is not bytes")
        self._text = json.loads(text.read().tobytes())
        if type(self._text) is not dict or self._text.get("format") != FORMAT:
            raise ValueError("its text is not that of a program")
        if self._text["version"] != VERSION:
            raise ValueError(
                f"it has version {self._text['version']!r}, and this minimeta reads version {VERSION}; save it again, "
                "or update minimeta"
            )
        self._lines = _row(self._text["lines"], str)
        self._arrays = {name: _readable(x) for name, x in arrays.items() if name != "program"}
        if [str(i) for i in range(len(self._arrays))] != sorted(self._arrays, key=int):
            raise ValueError("its constants are not numbered")
        self._known = {thing.__qualname__: thing for thing in known}

    def whole(self) -> Traced:
        text = self._text
        program = self.program(text["program"])
        check(program, (QUERY,))
        structures = self.structure(text["arguments"]), self.structure(text["output"])
        for structure, values in zip(structures, (program.operands, program.outputs), strict=True):
            if tree.count(structure) != len(values):
                raise ValueError(f"a tree of {tree.count(structure)} leaves is to hold {len(values)} values")
            tree.paths(tree.unflatten(structure, [0.0] * len(values)))
        names = _row(text["names"], str)
        if len(names) not in (0, len(program.operands)):
            raise ValueError(f"there are {len(names)} names of {len(program.operands)} operands")
        return Traced.of(program, *structures, _typed(text["name"], str), names)

    def program(self, text: Any) -> Program:
        return Program(
            tuple(map(_form, text["operands"])),
            tuple(self._constant(*entry) for entry in text["constants"]),
            tuple(map(self._step, text["steps"])),
            _row(text["outputs"], int),
        )

    def _array(self, number: Any) -> NDArray[Any]:
        return self._arrays[str(_typed(number, int))]

    def _constant(self, number: Any, shape: Any) -> NDArray[Any]:
        elements = self._array(number)
        return np.broadcast_to(elements, _form_of(shape, elements.dtype.name).shape)

    def _step(self, text: Any) -> Step:
        name = _typed(text["is"], str)
        primitive, expected = self._primitive(name)
        params = {key: self._value(value) for key, value in text.get("with", {}).items()}
        body = self.program(text["body"]) if "body" in text else None
        if expected is not None and params.keys() != expected:
            raise ValueError(f"{name} has the parameters {sorted(expected)}, and not {sorted(params)}")
        if (body is None) == (name in OTHERS and primitive is not CALL) or ("tasks" in text) != (primitive is VMAP):
            raise ValueError(f"{name} has a body that it should not have, or lacks one")
        origin = NOWHERE
        if "at" in text:
            number, backward = text["at"]
            origin = Origin(self._lines[_typed(number, int)], _typed(backward, int))
        if primitive in (CALL, QUERY) and not callable(params["function"]):
            raise ValueError(f"{name} calls no function")
        if primitive is QUERY:
            _check_query(params["arguments"], params["keywords"], len(text["of"]))
        if primitive is CUSTOM_VJP:
            params["rule"] = beyond if params["rule"] is None else params["rule"]
            self._check_rule(body, **params)
        results = tuple(map(_form, text["gives"]))
        tasks = self._tasks(body, *text["tasks"]) if body is not None and "tasks" in text else None
        return Step(primitive, _row(text["of"], int), params, results, origin, body, tasks)

    def _primitive(self, name: str) -> tuple[Primitive, set[str] | None]:
        """Return the primitive of a name, and its parameters."""
        if name in OTHERS:
            return OTHERS[name], _PARAMS.get(name, set())
        own = name.partition(":")[2]
        if own and own not in self._known:
            raise ValueError(f"it uses the operation {name}; pass that: load(path, known=[{own}])")
        try:
            primitive = self._known[own].primitive if own else registry[name]
        except KeyError:
            raise ValueError(f"there is no operation {name!r}") from None
        keywords = inspect.signature(primitive.reference).parameters.values()
        if any(p.kind is p.VAR_KEYWORD for p in keywords):
            return primitive, None
        return primitive, {p.name for p in keywords if p.kind is p.KEYWORD_ONLY}

    @staticmethod
    def _tasks(body: Program, count: Any, mapped: Any, summed: Any, keep: Any) -> Tasks:
        tasks = Tasks(_typed(count, int), _row(mapped, bool), _row(summed, bool), _typed(keep, bool))
        # With `keep` there are more outputs than the user's, all of them stacked.
        if (len(tasks.mapped), len(tasks.summed)) != (len(body.operands), len(body.outputs)) or tasks.count < 0:
            raise ValueError("a vmap's tasks do not fit its body")
        return tasks

    @staticmethod
    def _check_rule(body: Any, rule: Any, arguments: Any, output: Any) -> None:
        if type(arguments) is not Structure or type(output) is not Structure:
            raise ValueError("a custom_vjp lacks its trees")
        count = tree.count(arguments)
        if count > len(body.operands) or tree.count(output) != len(body.outputs):
            raise ValueError("the trees of a custom_vjp do not fit its body")
        if isinstance(rule, Written):
            check(rule.program, (QUERY,))
            outputs, given = result_forms(body, None), tuple(body.forms()[i] for i in rule.places)
            expected = (*outputs, *outputs, *body.operands)
            if rule.program.operands != expected or given != result_forms(rule.program, None):
                raise ValueError("the rule of a custom_vjp does not fit its body")
        elif rule is not beyond:
            raise ValueError("a custom_vjp lacks its rule")

    def _value(self, x: Any) -> Any:
        if type(x) is list:
            return tuple([self._value(part) for part in x])
        if type(x) is not dict:
            return x
        ((key, value), *rest) = x.items()
        match key:
            case "structure":
                return self.structure(value)
            case "place":
                return Place(_typed(value, bool))
            case "array":
                return self._array(value)
            case "dtype":
                return _dtype(np.dtype(_typed(value, str)).name)
            case "rule":
                return Written(self.program(value), _row(dict(rest)["of"], int))
            case "function":
                return _function(_typed(value, str))
        raise ValueError(f"a parameter is written as {key!r}, which is unknown")

    def structure(self, x: Any) -> Structure:
        if x is None:
            return Structure(None)
        if x == "leaf":
            return tree.LEAF
        key, value = next(iter(x.items()))
        if key in ("tuple", "list"):
            kind: Any = tuple if key == "tuple" else list
            children = tuple(map(self.structure, value))
            return Structure(kind, tuple(range(len(children))), children)
        if key in ("dict", "ordered"):
            keys = tuple(self._value(each) for each, _ in value)
            if len(set(keys)) < len(keys):
                raise ValueError("a dict has a key twice")
            return Structure(
                dict if key == "dict" else OrderedDict, keys, tuple(self.structure(part) for _, part in value)
            )
        return self._of_class(_typed(x["class"], str), tuple(x["keys"]), x["parts"], x["static"])

    def _of_class(self, path: str, keys: tuple[Any, ...], parts: Any, static: Any) -> Structure:
        """Return the structure of an instance of a dataclass, or of a named tuple."""
        kind = self._known.get(path.partition(":")[2]) or _of_library(path)
        if kind is None:
            raise ValueError(f"its trees hold a {path}; pass that class: load(path, known=[{path.partition(':')[2]}])")
        declared = fields(kind) if is_dataclass(kind) else ()
        fixed = [field.name for field in declared if field.metadata.get("static")]
        of_data = [name for name in getattr(kind, "_fields", [field.name for field in declared]) if name not in fixed]
        children = tuple(map(self.structure, parts))
        values = [(name, self._value(value)) for name, value in static]
        if [*keys] != of_data or len(children) != len(keys) or [name for name, _ in values] != fixed:
            raise ValueError(f"a {path} has other fields than it had when this was saved")
        return Structure(kind, keys, children, tuple((name, value, exact_type(value)) for name, value in values))


def _of_library(path: str) -> Any:
    """Return a class of the library's whose instances are trees, if that is what a path says."""
    module, _, name = path.partition(":")
    if _CLASSES.fullmatch(module) is None or not name.isidentifier():
        return None
    found = getattr(importlib.import_module(module), name, None)
    is_tree = isinstance(found, type) and (is_dataclass(found) or hasattr(found, "_fields"))
    return found if is_tree else None


def _function(path: str) -> Any:
    module, _, name = path.partition(":")
    if module in MODULES and is_pure(found := importlib.import_module(module), name):
        return getattr(found, name)
    raise ValueError(f"it calls {path}, which is none of numpy's functions that only compute")


def _check_query(arguments: Any, keywords: Any, operands: int) -> None:
    def places(x: Any) -> int:
        return sum(map(places, x)) if type(x) is tuple else type(x) is Place

    named = type(keywords) is tuple and all(type(x) is tuple and len(x) == 2 and type(x[0]) is str for x in keywords)
    if type(arguments) is not tuple or not named or places((arguments, keywords)) != operands:
        raise ValueError("a query has other arguments than operands")


def _readable(x: StoredArray) -> NDArray[Any]:
    """Read a constant."""
    _dtype(x.dtype.name)
    if x.dtype not in COMPUTABLE:
        raise ValueError(f"a constant has the dtype {x.dtype.str}, of another machine")
    return x.read()


def _typed(x: Any, kind: type[T]) -> T:
    if type(x) is not kind:
        raise ValueError(f"{x!r} stands where a {kind.__name__} should")
    return x


def _row(x: Any, kind: type[T]) -> tuple[T, ...]:
    return tuple([_typed(each, kind) for each in x])


def _dtype(name: str) -> np.dtype[Any]:
    dtype = np.dtype(name)
    if dtype not in COMPUTABLE or dtype.name != name:
        raise ValueError(f"nothing computes in {name}")
    return dtype


def _form(text: Any) -> Form:
    found = _FORM.fullmatch(_typed(text, str))
    if found is None:
        raise ValueError(f"{text!r} is no form, such as float32[3, 4]")
    return _form_of([int(side) for side in found[2].split(", ") if side], found[1])


def _form_of(shape: Any, dtype: str) -> Form:
    sides = _row(shape, int)
    if len(sides) > _MOST_AXES or any(side < 0 for side in sides):
        raise ValueError(f"there is no shape {tuple(sides)}")
    # An axis of length 0 makes no other one possible.
    if math.prod(max(side, 1) for side in sides) * _dtype(dtype).itemsize > _LARGEST:
        raise ValueError(f"a {dtype} of shape {tuple(sides)} fits no memory")
    return Form(sides, dtype)
