"""The two languages: what their loops, numbers and arrays are called.

A printer writes statements in what C99 and JavaScript share: ``for``, ``if``, indices, operators.
What differs is asked of a language: how a variable is declared, a number written, a strip's function
defined (:mod:`minimeta.program.printing.strips`). C answers first, and JavaScript where it differs.
"""

# ruff: noqa: D102 (what JavaScript has in its own words is said at C)

from __future__ import annotations

import math
import re
from typing import Any, TypeAlias

import numpy as np

from minimeta.errors import TracingError
from minimeta.program.printing import reserved
from minimeta.program.printing.strips import STRIPS

_C_TYPES = {
    "float32": "float",
    "float64": "double",
    "bool": "uint8_t",
    **{f"{sign}int{bits}": f"{sign}int{bits}_t" for sign in ("", "u") for bits in (8, 16, 32, 64)},
}
# Whole numbers up to 2^53: a BigInt64Array would not add to a number.
_ARRAYS = {name: f"{name.capitalize()}Array" for name in _C_TYPES} | {
    "bool": "Uint8Array",
    **dict.fromkeys(("int64", "uint64"), "Float64Array"),
}
_TOKEN = re.compile(r"\$T|\$(\w+)|@(\w+)")


class C:
    """C of 1999.

    Attributes
    ----------
    key
        The name of its column in :mod:`minimeta.program.printing.elementwise`.
    integer, fixed
        What declares an index, and a whole number that does not change.
    tiles
        Whether a small array inside of a loop costs nothing.
    reserved
        What names match that a function cannot have.
    words
        What the words of the strips' table are, in the order in which they are replaced.
    """

    key, integer, fixed = "c", "long", "const long"
    tiles = True
    reserved = reserved.C
    words: tuple[tuple[str, str], ...] = (
        (r"\bINFINITE\b", "INFINITY"),
        (r"\bWIDE_(\w+)", r"\1"),
        (r"\bWIDE\b", "double"),
        (r"\bDOUBLE ", "(double)"),
        (r"\bCLOSE ", "(REAL)"),
        (r"\bARRAY ", "const REAL *"),
        (r"\bRESULT ", "REAL *"),
        (r"\b(INT|INTEGER)\b", "long"),
        (r"\b(REAL|A_REAL|REALS)\b", "REAL"),
        (r"FMA\(", "FMA_REAL("),
    )

    def __init__(self) -> None:
        self.strips: dict[tuple[str, str], str] = {}  # the functions that are used, below those that they use

    def strip(self, name: str, dtype: Any) -> str:
        """Return the name of a strip's function, which the file then has."""
        dtype = np.dtype(dtype)
        if (name, dtype.name) not in self.strips:
            parameters, statements = STRIPS[name]
            if dtype.kind != "f":  # Whole numbers are never NaN, and GCC warns where one is compared to itself.
                statements = re.sub(r"(\w+) == \1 && ", "", statements)
            text = self.defined(name, dtype, parameters, self.translated(statements, dtype))
            for word, own in self.words:
                text = re.sub(word, own.replace("REAL", _C_TYPES[dtype.name]), text)
            self.strips[name, dtype.name] = text
        return f"{name}_{dtype.name}"

    def translated(self, text: str, dtype: np.dtype[Any]) -> str:
        """Write an expression of a table in the language."""

        def replaced(match: re.Match[str]) -> str:
            if match[2]:
                return self.strip(match[2], dtype)
            return self.conversion(dtype) if match[0] == "$T" else self.function(match[1], dtype)

        return _TOKEN.sub(replaced, text)

    def conversion(self, dtype: np.dtype[Any]) -> str:
        """Return the prefix that converts what follows to a dtype."""
        return f"({_C_TYPES[dtype.name]})"

    def function(self, name: str, dtype: np.dtype[Any]) -> str:
        """Return the name of a function of C's <math.h>."""
        return name + "f" * (dtype == np.float32)

    def defined(self, name: str, dtype: np.dtype[Any], parameters: str, statements: str) -> str:
        """Return the definition of a strip's function."""
        kind = "void" if "return" not in statements else "long" if name == "argmax" else _C_TYPES[dtype.name]
        head = f"static {kind} {name}_{dtype.name}(ARRAY x, INTEGER at, INTEGER step, {parameters}INTEGER n)"
        return f"{head}\n{{\n{statements}}}\n"

    def variable(self, dtype: np.dtype[Any], name: str, value: str) -> str:
        """Declare a variable that keeps its value."""
        return f"const {_C_TYPES[dtype.name]} {name} = {value};"

    def local(self, dtype: np.dtype[Any], name: str, size: int) -> str:
        """Declare an array inside of a loop."""
        return f"{_C_TYPES[dtype.name]} {name}[{size}];"

    def array(self, dtype: np.dtype[Any], name: str, size: int) -> str:
        """Declare an array that stays where it is."""
        return f"static {self.local(dtype, name, size)}"

    def table(self, name: str, value: Any) -> str:
        """Declare an array of constants."""
        numbers = ", ".join(map(self.number, value.ravel())) or "0"  # C has no array of no elements.
        return f"static const {_C_TYPES[value.dtype.name]} {name}[{max(value.size, 1)}] = {{{numbers}}};"

    def number(self, x: Any) -> str:
        """Write a scalar such that it is read back to the bit."""
        if x.dtype.kind == "b":
            return str(int(x))
        if x.dtype.kind in "iu":
            if int(x) == -(2**63):
                return "INT64_MIN"
            return f"{'U' * (x.dtype.kind == 'u')}INT64_C({x})" if x.dtype.itemsize == 8 else str(x)
        if not np.isfinite(x):
            return "NAN" if np.isnan(x) else f"{'-' * bool(x < 0)}INFINITY"
        text = repr(x.item()) if x.dtype == np.float64 else np.format_float_scientific(x, unique=True, trim="-")
        return f"{text if set('.e') & set(text) else text + '.0'}{'f' * (x.dtype == np.float32)}"

    def converted(self, expression: str, old: np.dtype[Any], new: np.dtype[Any]) -> str:
        """Return an expression as another dtype."""
        return f"{expression} != 0" if new.kind == "b" else f"({_C_TYPES[new.name]}){expression}"

    def refused(self, condition: str, step: int, what: str) -> str:
        """Return a statement that ends the program if a condition holds."""
        return f"if ({condition}) return {step}; /* {what} */"

    def multiply_add(self, dtype: np.dtype[Any], x: str, y: str, z: str) -> str:
        """Return ``x y + z``, rounded once where that is cheap."""
        return f"FMA_{_C_TYPES[dtype.name]}({x}, {y}, {z})"


class JavaScript(C):
    """JavaScript on typed arrays; numbers of at most 32 bits are rounded, or wrapped around, where they are kept."""

    key, integer, fixed = "javascript", "let", "const"
    tiles = False
    reserved = reserved.JAVASCRIPT
    words = (
        (r"\bINFINITE\b", "Infinity"),
        (r"\bWIDE_(\w+)", r"Math.\1"),
        (r"\b(DOUBLE|CLOSE|ARRAY|RESULT|INTEGER|A_REAL) ", ""),
        (r"\bREALS (\w+)\[(\d+)\]", r"const \1 = new Float64Array(\2)"),
        (r"\b(WIDE|INT|REAL)\b", "let"),
        (r"\bFMA\(([^;]*), (lane\[[^;]*\])\);", r"\2 + FMA(\1);"),
        (r"FMA\((x\[.*?\]), (y\[.*?\])\)", r"\1 * \2"),
    )

    def conversion(self, dtype: np.dtype[Any]) -> str:
        return ""

    def function(self, name: str, dtype: np.dtype[Any]) -> str:
        if name == "times":  # A product of 32 bits may be beyond 2^53, and its low bits are wanted.
            return "Math.imul" if dtype.itemsize <= 4 else "((x, y) => x * y)"
        return f"Math.{'abs' if name == 'fabs' else name}"

    def defined(self, name: str, dtype: np.dtype[Any], parameters: str, statements: str) -> str:
        head = f"function {name}_{dtype.name}(ARRAY x, INTEGER at, INTEGER step, {parameters}INTEGER n)"
        return f"{head} {{\n{statements}}}\n"

    def variable(self, dtype: np.dtype[Any], name: str, value: str) -> str:
        if dtype == np.float32:
            value = f"Math.fround({value})"
        elif dtype.kind in "iu" and dtype.itemsize < 8:
            # Whole numbers wrap around: operators on bits keep the lowest 32, and a shift to and fro fewer.
            shift = 32 - 8 * dtype.itemsize
            value = f"({value}) << {shift} {'>>>' if dtype.kind == 'u' else '>>'} {shift}"
        return f"const {name} = {value};"

    def array(self, dtype: np.dtype[Any], name: str, size: int) -> str:
        return f"const {name} = new {_ARRAYS[dtype.name]}({size});"

    def table(self, name: str, value: Any) -> str:
        return f"const {name} = new {_ARRAYS[value.dtype.name]}([{', '.join(map(self.number, value.ravel()))}]);"

    def number(self, x: Any) -> str:
        if x.dtype.kind in "iub":
            if abs(int(x)) > 2**53:
                raise TracingError(f"to_javascript: the constant {x} is beyond 2^53, where JavaScript has no integers")
            return str(int(x))
        x = float(x)
        return repr(x) if math.isfinite(x) else "NaN" if math.isnan(x) else f"{'-' * (x < 0)}Infinity"

    def converted(self, expression: str, old: np.dtype[Any], new: np.dtype[Any]) -> str:
        if new.kind == "b":
            return f"{expression} != 0"
        return f"Math.trunc({expression})" if old.kind == "f" and new.kind in "iu" else f"+{expression}"

    def refused(self, condition: str, step: int, what: str) -> str:
        return f'if ({condition}) throw new RangeError("{what}");'

    def multiply_add(self, dtype: np.dtype[Any], x: str, y: str, z: str) -> str:
        return f"{z} + {x} * {y}"


#: What the printers ask; JavaScript is a variant of C.
Language: TypeAlias = C
