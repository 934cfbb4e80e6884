"""A program as a file in another language: C of 1999, or JavaScript.

One walk (``printer``) writes the loops of each step from two tables: of expressions
(``elementwise``), and of functions on strips (``strips``). What differs between the languages is in
``languages``. Here the statements become functions, and the functions a file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import minimeta
from minimeta.autodiff.array import Form
from minimeta.autodiff.steps import result_forms
from minimeta.errors import ConfigurationError
from minimeta.program.listing import names_of
from minimeta.program.printing.languages import C, JavaScript, Language
from minimeta.program.printing.nests import View
from minimeta.program.printing.printer import Printer
from minimeta.program.program import Traced

_FMA = """\
#ifdef {condition}
#define FMA_{type}(x, y, z) {function}(x, y, z)
#else
#define FMA_{type}(x, y, z) ((x) * (y) + (z))
#endif
"""


def c_source(programs: Mapping[str, Traced]) -> str:
    """Return a file of C99 with a function for each program.

    Parameters
    ----------
    programs
        By the names of the functions.

    Raises
    ------
    TracingError
        A primitive has no row; the message names it.
    ConfigurationError
        A name is none of C's.
    """
    language = C()
    functions = [_c_function(language, name, program) for name, program in programs.items()]
    body = "\n".join([*language.strips.values(), *functions])
    macros = [
        _FMA.format(type=kind, condition=f"FP_FAST_FMA{suffix}", function=f"fma{suffix.lower()}")
        for kind, suffix in (("float", "F"), ("double", ""))
        if f"FMA_{kind}(" in body
    ]
    head = f"/* Written by minimeta {minimeta.__version__}. */\n#include <math.h>\n#include <stdint.h>\n"
    return "\n".join([head, *macros, body])


def _c_function(language: Language, name: str, program: Traced) -> str:
    printer, operands, outputs = _printed(language, "to_c", name, program)
    parameters = [f"const {_pointer(language, x)}" for x in operands] + [_pointer(language, y) for y in outputs]
    said = "".join(f" * {line}\n" for line in _described(program, operands, outputs))
    statements = "\n".join(printer.text.rows)
    declared = "".join(f"  {row}\n" for row in (*printer.tables, *printer.arrays))
    views = [x.name for x in (*operands, *outputs) if not re.search(rf"\b{x.name}\b", statements)]
    # What arrays without elements are computed from is read by nobody.
    arrays = re.findall(r"(\w+)\[", declared) if any(0 in form.shape for form in program.forms()) else []
    unread = "".join(f"  (void){name};\n" for name in (*views, *arrays))
    written = ",\n    ".join(parameters) or "void"
    return f"/* {name}\n{said} */\nint {name}(\n    {written})\n{{\n{declared}{unread}{statements}\n  return 0;\n}}\n"


def _pointer(language: Language, view: View) -> str:
    kind = language.conversion(view.dtype).strip("()")
    return f"{kind} *restrict {view.name}"


def javascript_source(programs: Mapping[str, Traced]) -> str:
    """Return a script of plain JavaScript with a function for each program; as :func:`c_source`."""
    language = JavaScript()
    functions = [_javascript_function(language, name, program) for name, program in programs.items()]
    head = f"// Written by minimeta {minimeta.__version__}.\n"
    return "\n".join([head, *language.strips.values(), *functions])


def _javascript_function(language: Language, name: str, program: Traced) -> str:
    printer, operands, outputs = _printed(language, "to_javascript", name, program)
    said = "".join(f"// {line}\n" for line in _described(program, operands, outputs))
    fixed = "".join(f"  {row}\n" for row in (*printer.tables, *printer.arrays))
    fresh = "".join(f"  {language.array(y.dtype, y.name, y.size)}\n" for y in outputs)
    statements = "\n".join(printer.text.rows)
    parameters = ", ".join(x.name for x in operands)
    returned = ", ".join(y.name for y in outputs)
    body = f"{fresh}{statements}\n  return [{returned}];\n"
    inner = f"  return function ({parameters}) {{\n{body}  }};\n"
    return f"{said}const {name} = (function () {{\n{fixed}{inner}}})();\n"


def _printed(language: Language, tool: str, name: str, program: Traced) -> tuple[Printer, list[View], list[View]]:
    """Return the statements of a program, and views of its operands and outputs."""
    if language.reserved.fullmatch(name):
        raise ConfigurationError(
            f"{tool}: {name!r} has a meaning in the language or its library; give the function another name"
        )
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name):
        raise ConfigurationError(f"{tool}: {name!r} is no name of a function; use letters, digits and underscores")
    operands, outputs = _views("x", program.operands), _views("y", result_forms(program, None))
    printer = Printer(language, tool)
    printer.whole(program, operands, outputs)
    return printer, operands, outputs


def _views(letter: str, forms: tuple[Form, ...]) -> list[View]:
    return [View.whole(f"{letter}{i}", form.dtype, form.shape) for i, form in enumerate(forms)]


def _described(program: Traced, operands: list[View], outputs: list[View]) -> list[str]:
    """Say what the parameters of a function are, in lines that no name of a leaf ends early."""
    names = [*names_of(program, program.names), *program.output_names()]
    return [
        f"{view.name}: {_said(name or 'the result')}, {Form(view.shape, view.dtype)!r}"
        for name, view in zip(names, [*operands, *outputs], strict=True)
    ]


def _said(name: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in name).replace("/*", "/ *").replace("*/", "* /")


__all__ = ["c_source", "javascript_source"]
