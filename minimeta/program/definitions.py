"""The source of numpy functions, with everything they use: what a written program stands on.

A primitive's reference is a small Python function. Here its own source is taken apart (:mod:`ast`)
and written down again: as an expression if it is a single ``return``, otherwise as a definition
with the functions that it calls above it. There is no second copy of a reference, so none that
could differ. The names of a function's module are resolved on the way: numpy and other modules are
imported, the library's exceptions become Python's.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import textwrap
from collections.abc import Mapping, Sequence
from types import FunctionType, ModuleType
from typing import Any

import numpy as np

from minimeta.errors import TracingError

_PACKAGE = __name__.partition(".")[0]


class Definitions:
    """Functions written down so far, and the modules they need.

    Attributes
    ----------
    modules
        The names under which modules are imported, and the modules' own.
    texts
        The definitions, each below those that it uses.
    """

    def __init__(self) -> None:
        self.modules = {"np": "numpy"}
        self.texts: list[str] = []
        self._names: dict[Any, str] = {}

    def call(self, name: str, function: Any, operands: Sequence[str], params: Mapping[str, Any]) -> str:
        """Return the call of a function as an expression: its own one, or its name with these
        arguments.

        Parameters
        ----------
        name
            What an error calls it.
        function
            A Python function, or one of numpy's.
        operands
            Names of variables.
        params
            Values of its keyword-only parameters.

        Raises
        ------
        TracingError
            Its source is not to be had, or uses what cannot be written.
        """
        literals = {key: _literal(name, value) for key, value in params.items()}
        if isinstance(function, FunctionType):
            expression = _single_expression(tree := _source(name, function))
            if expression is not None:
                variables = _bound(tree.args, operands) | literals
                return ast.unparse(_Resolved(self, name, function, variables).visit(expression))
        arguments = [*operands, *(f"{key}={ast.unparse(value)}" for key, value in literals.items())]
        return f"{self.resolve(name, function)}({', '.join(arguments)})"

    def resolve(self, name: str, value: Any) -> str:
        """Return an expression for a value that a function's module knows by a name."""
        known = getattr(value, "__name__", "")
        if isinstance(value, ModuleType):
            alias = {"numpy": "np"}.get(known, known.replace(".", "_"))
            self.modules[alias] = known
            return alias
        if isinstance(value, type) and issubclass(value, Exception):
            return next(kind.__name__ for kind in value.__mro__ if kind.__module__ == "builtins")
        for module, prefix in ((builtins, ""), (np, "np.")):
            if getattr(module, known, None) is value:
                return prefix + str(known)
        if isinstance(value, FunctionType):
            return self._define(name, value)
        return ast.unparse(_literal(name, value))

    def _define(self, name: str, function: FunctionType) -> str:
        if function not in self._names:
            taken = {*self._names.values(), *self.modules, "program", "inf", "nan"}
            new = function.__name__
            while new in taken:
                new += "_"
            self._names[function] = new
            definition = _Resolved(self, name, function, {}).visit(_source(name, function))
            definition.name = new
            self.texts.append(ast.unparse(ast.fix_missing_locations(definition)))
        return self._names[function]


class _Resolved(ast.NodeTransformer):
    """Replaces the names of a function's module, and of variables, by what they stand for."""

    def __init__(
        self, definitions: Definitions, name: str, function: FunctionType, variables: Mapping[str, ast.expr]
    ) -> None:
        self._definitions = definitions
        self._name = name
        self._variables = variables
        found = inspect.getclosurevars(function)
        self._known = {**function.__globals__, **found.nonlocals}
        self._local = set(inspect.signature(function).parameters) | _stored(_source(name, function))

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if node.id in self._variables:
            return self._variables[node.id]
        if node.id in self._local or node.id not in self._known:
            return node
        return _parsed(self._definitions.resolve(self._name, self._known[node.id]))

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        owner = self._known.get(node.value.id) if isinstance(node.value, ast.Name) else None
        if isinstance(owner, ModuleType) and owner.__name__.partition(".")[0] == _PACKAGE:
            return _parsed(self._definitions.resolve(self._name, getattr(owner, node.attr)))
        return self.generic_visit(node)


def _source(name: str, function: FunctionType) -> ast.FunctionDef:
    """Return the syntax tree of a function without decorators, annotations and docstring."""
    try:
        (tree,) = ast.parse(textwrap.dedent(inspect.getsource(function))).body
    except (OSError, TypeError, SyntaxError, ValueError):
        tree = ast.Pass()
    if not isinstance(tree, ast.FunctionDef):
        raise TracingError(
            f"to_python: the source of {function.__qualname__}, by which {name} is computed, is not to be had; define "
            "it with def, in a file"
        )
    tree.decorator_list, tree.returns = [], None
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            node.annotation = None
        if isinstance(node, ast.FunctionDef):
            node.returns = None
            if ast.get_docstring(node) is not None:
                node.body = node.body[1:] or [ast.Pass()]
    return tree


def _single_expression(tree: ast.FunctionDef) -> ast.expr | None:
    """Return the expression of a function that is a single ``return`` and has no variables."""
    (statement, *rest) = tree.body
    if rest or not isinstance(statement, ast.Return) or _stored(tree) or tree.args.defaults:
        return None
    return statement.value


def _stored(tree: ast.FunctionDef) -> set[str]:
    """Return the names of variables, inner functions and their parameters in a function."""
    own = {id(node) for node in ast.walk(tree.args)}
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    names |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg) and id(node) not in own}
    return names | {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node is not tree}


def _bound(arguments: ast.arguments, operands: Sequence[str]) -> dict[str, ast.expr]:
    """Return the expressions of positional parameters; any number of them are a tuple."""
    nodes: list[ast.expr] = [ast.Name(operand) for operand in operands]
    names = [argument.arg for argument in (*arguments.posonlyargs, *arguments.args)]
    bound: dict[str, ast.expr] = dict(zip(names, nodes, strict=False))
    if arguments.vararg is not None:
        bound[arguments.vararg.arg] = ast.Tuple(nodes[len(names) :], ast.Load())
    return bound


def _parsed(expression: str) -> ast.expr:
    return ast.parse(expression, mode="eval").body


def _literal(name: str, value: Any) -> ast.expr:
    if _is_plain(value):
        return _parsed(repr(value))
    raise TracingError(f"to_python: {name} uses {value!r}, which has no expression in Python and numpy")


def _is_plain(value: Any) -> bool:
    if isinstance(value, (tuple, list)):
        return all(map(_is_plain, value))
    return value is None or type(value) in (bool, int, float, str, bytes)
