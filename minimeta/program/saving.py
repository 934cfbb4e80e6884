"""A program in a file: what was traced here is run, compiled and differentiated there.

The file is an archive of arrays (:mod:`minimeta.archives`), none of them compressed: the constants
of the program under the numbers 0, 1, ..., and under the name ``program`` the bytes of a text in
JSON, which says all else. In that text

    "float32[3, 4]"                                                a form
    {"is": "sin", "of": [0], "gives": [...], "with": {...}}        a step, its body and tasks if there are
    {"dict": [["weight", "leaf"], ["bias", "leaf"]]}               the structure of a tree

A file is not trusted. It names operations, functions and classes, and never brings any: a name has
to be one of the library's, of numpy's functions without side effects, or one that the reader was
given. Sizes are compared with the file's own before anything is read. Then every step has to agree
with its primitive's shape rule (:mod:`minimeta.program.checking`), so that what is loaded is a
program like any other, or nothing.

Steps that one kernel runs together are written apart, and ``compile`` joins them again. The rule of
a ``custom_vjp`` is Python; the file has the program that it traces to, for three orders.
"""

from __future__ import annotations

import io
import json
import os
import sys
from collections import OrderedDict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minimeta.autodiff.calls import CALL
from minimeta.autodiff.operations.joining import SPLIT
from minimeta.autodiff.operations.queries import Place
from minimeta.autodiff.primitive import Primitive, registry
from minimeta.autodiff.promotion import COMPUTABLE
from minimeta.autodiff.protocols import has_answer
from minimeta.autodiff.regions import CUSTOM_VJP, REMATERIALIZE, Written, rule_written
from minimeta.autodiff.steps import Program, Step
from minimeta.autodiff.tree import Structure
from minimeta.errors import TracingError
from minimeta.files import write_atomically
from minimeta.program.names import elements_of, opened
from minimeta.program.passes import everywhere
from minimeta.program.place import GROUPS
from minimeta.program.program import Traced
from minimeta.program.vmap import VMAP

FORMAT, VERSION = "minimeta program", 1

#: Steps with a body or a function, which are not in the registry.
OTHERS: dict[str, Primitive] = {p.name: p for p in (REMATERIALIZE, CUSTOM_VJP, SPLIT, VMAP, CALL)}

#: The modules whose functions a file may name, if they have no side effects.
MODULES = ("numpy", "numpy.linalg", "numpy.fft", "scipy.special")

_ORDERS = 3  # of a rule that uses its own function


def save(program: Traced, path: str | os.PathLike[str]) -> None:
    """Write a program to a file, as :meth:`minimeta.program.Traced.save` says."""
    writer = _Writer()
    text = {
        "format": FORMAT,
        "version": VERSION,
        "name": program.name,
        "names": list(program.names),
        "arguments": writer.structure(program.arguments),
        "output": writer.structure(program.output),
        "program": writer.program(everywhere(lambda p: opened(p, GROUPS), program)),
        "lines": list(writer.lines),
    }
    encoded = np.frombuffer(json.dumps(text, separators=(",", ":")).encode(), np.uint8)
    content = io.BytesIO()
    np.savez(content, allow_pickle=False, program=encoded, **writer.arrays)
    write_atomically(path, content.getvalue())


class _Writer:
    """Says in JSON's terms what a program is; arrays are put aside, by number."""

    def __init__(self) -> None:
        self.arrays: dict[str, NDArray[Any]] = {}
        self.lines: dict[str, int] = {}
        self._orders = 0

    def program(self, program: Program) -> dict[str, Any]:
        return {
            "operands": [repr(form) for form in program.operands],
            "constants": [[self._array(elements_of(x)), list(x.shape)] for x in program.constants],
            "steps": [self._step(step) for step in program.steps],
            "outputs": list(program.outputs),
        }

    def _array(self, x: NDArray[Any]) -> int:
        number = len(self.arrays)
        self.arrays[str(number)] = x
        return number

    def _step(self, step: Step) -> dict[str, Any]:
        primitive, params, found = step.primitive, step.params, dict[str, Any]()
        found["is"] = _name_of(primitive)
        found["of"] = list(step.operands)
        found["gives"] = [repr(form) for form in step.results]
        if primitive is CUSTOM_VJP and step.body is not None:
            params = {**params, "rule": self._rule(step)}
        if params:
            found["with"] = {key: self._value(primitive.name, value) for key, value in params.items()}
        if step.origin.line:
            found["at"] = [self.lines.setdefault(step.origin.line, len(self.lines)), int(step.origin.backward)]
        if step.body is not None:
            found["body"] = self.program(step.body)
        if step.tasks is not None:
            found["tasks"] = [getattr(step.tasks, key) for key in ("count", "mapped", "summed", "keep")]
        return found

    def _rule(self, step: Step) -> Any:
        """Return the rule of a ``custom_vjp`` as a program, or None beyond the last order."""
        if self._orders == _ORDERS or step.params["rule"] is beyond:
            return None
        assert step.body is not None
        return rule_written(step.body, step.params["rule"], step.params["arguments"], step.params["output"])

    def _value(self, name: str, x: Any) -> Any:
        """Write a parameter; a list stands for a tuple."""
        if x is None or type(x) in (bool, int, float, str):
            return x
        if type(x) is tuple:
            return [self._value(name, part) for part in x]
        if type(x) is Structure:
            return {"structure": self.structure(x)}
        if type(x) is Place:
            return {"place": x.weak}
        if type(x) is np.ndarray and x.dtype in COMPUTABLE:
            return {"array": self._array(x)}
        if isinstance(x, np.dtype):
            return {"dtype": x.str}
        if isinstance(x, Written):
            self._orders += 1
            try:
                return {"rule": self.program(everywhere(lambda p: opened(p, GROUPS), x.program)), "of": list(x.places)}
            finally:
                self._orders -= 1
        if (module := _module_of(x)) is not None:
            return {"function": f"{module}:{x.__name__}"}
        raise TracingError(
            f"save: {name} uses {x!r}, which a file cannot hold: it has numbers, arrays, trees and numpy's own "
            "functions. Pass it in as an argument, or save the part of the program that does without"
        )

    def structure(self, x: Structure) -> Any:
        kind, keys, children, static = x
        if kind is None or kind == "leaf":
            return kind
        parts = [self.structure(child) for child in children]
        if kind in (tuple, list):
            return {kind.__name__: parts}
        if kind is dict or kind is OrderedDict:
            plain = [[self._value("a tree", key), part] for key, part in zip(keys, parts, strict=True)]
            return {"dict" if kind is dict else "ordered": plain}
        values = [[key, self._value(kind.__name__, value)] for key, value, _ in static]
        return {"class": _path_of(kind), "keys": list(keys), "parts": parts, "static": values}


def _name_of(primitive: Primitive) -> str:
    """Return the name of a primitive in a file; that of a user's operation has its module."""
    if primitive.name in OTHERS or registry.get(primitive.name) is primitive:
        return primitive.name
    return _path_of(primitive.reference)


def _path_of(thing: Any) -> str:
    return f"{thing.__module__}:{thing.__qualname__}"


def _module_of(function: Any) -> str | None:
    """Return the module that a file may name a function in, if there is one."""
    name = getattr(function, "__name__", "")
    for module in MODULES:
        found = sys.modules.get(module)
        if found is not None and getattr(found, name, None) is function and is_pure(found, name):
            return module
    return None


def is_pure(module: Any, name: str) -> bool:
    """Return whether a function of numpy's or scipy's is known to do nothing but compute."""
    function = getattr(module, name)
    if name not in module.__all__ or isinstance(function, type):
        return False
    if isinstance(function, np.ufunc) or has_answer(function):
        return True
    return module.__name__ in ("numpy.linalg", "numpy.fft")


def beyond(*_: Any) -> Any:
    """Refuse to be the rule of a ``custom_vjp``, in place of one that a file does not hold."""
    raise TracingError(
        f"a saved program holds the rule of a custom_vjp for {_ORDERS} orders of derivative, and no more; "
        "differentiate the function before it is traced and saved"
    )
