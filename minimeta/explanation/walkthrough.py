"""A page of HTML that walks through a function: every formula, its value at a point, its derivative.

The program of value and gradient has everything in one list. First come the instructions of the
value; with each stands its rule, what it adds to the cotangents of its operands
(:mod:`minimeta.explanation.shares`). Then come those that the backward pass has made of the rules. The
graph (:mod:`minimeta.explanation.layout`) has the same names and colours. The page needs no other file
and no network, and reads without its script, which only marks in the graph what one points at.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minimeta.autodiff import tree
from minimeta.autodiff.array import Form, is_float
from minimeta.autodiff.derivatives import value_and_grad
from minimeta.autodiff.graph import ALIAS
from minimeta.autodiff.steps import Program, Step, by_reference, run, run_body
from minimeta.explanation.layout import Node, svg
from minimeta.explanation.shares import COTANGENT, shares
from minimeta.program.explanation import PHASES, Explained, code_at, explained
from minimeta.program.listing import Listed, Literal, constant_of, listed
from minimeta.program.program import Traced, trace

_FEW = 8
_SHORT = 30
_MARKED = re.compile(COTANGENT.format("(.*?)"))
_RAISED = re.compile(r"\^(T\b|-?\d+(?:\.\d+)?|%[\d:.]*\d)")


def walkthrough(function: Any, arguments: Mapping[str, Any]) -> str:
    """Return a page about a scalar function and its gradient at a point.

    Parameters
    ----------
    function
        Of trees of arrays, to a number.
    arguments
        Its arguments by name. The gradient is with respect to those that begin with a float.

    Raises
    ------
    ShapeError
        The function returns something else than one number.
    TracingError
        It needs the value of an argument to know what it does.
    """
    leaves, _ = tree.flatten(tuple(arguments.values()))
    names = [f"{name}/{path}".rstrip("/") for name, x in arguments.items() for path in tree.paths(x)]
    moving = [place for place, x in enumerate(arguments.values()) if is_float(tree.flatten(x)[0][0])]

    def of_all(*values: Any) -> Any:
        return function(**dict(zip(arguments, values, strict=True)))

    def both(*values: Any) -> Any:
        value, gradient = value_and_grad(of_all, argnums=moving)(*values)
        return {"value": value, "gradient": {list(arguments)[i]: g for i, g in zip(moving, gradient, strict=True)}}

    program = trace(both, *arguments.values())
    program = dataclasses.replace(program, name=function.__name__, names=tuple(names))
    values = values_at(program, names, leaves)
    forms = {name: Form.of(np.asarray(value)) for name, value in values.items()}
    rows = explained(program, names)
    results = dict(zip(program.output_names(), listed(program, names).outputs, strict=True))
    of_value = next((i + 1 for i, row in enumerate(rows) if results["value"] in row.name.split(", ")), 0)
    title = f"{function.__name__}({', '.join(arguments)})"
    found = [f"value{_is(values, results.pop('value'))}"]
    found += [f'<span class="bar">{escape(x.partition("/")[2])}</span>{_is(values, y)}' for x, y in results.items()]
    body = [
        f"<h1>{escape(title)}</h1>",
        "<p>Here is what the function computes, one instruction after another, and what its gradient is made of. "
        "The numbers belong to one point:</p>",
        _items([f"{escape(name)}{_is(values, name)}" for name in names]),
        "<p>There it has this value and this gradient, one cotangent for each argument:</p>",
        _items(found),
        _source(function),
        '<div class="beside">',
        "<div>",
        "<h2>Formula by formula</h2>",
        "<p>Each instruction computes one value of earlier ones. Below it stands its rule: what it adds to the "
        'cotangents of its operands, as soon as its own is known. A bar marks a cotangent: <span class="bar">y</span> '
        "is the derivative of the function's value with respect to y.</p>",
        _instructions(rows[:of_value], values, forms),
        "<h2>Backward pass</h2>",
        "<p>These instructions follow from the rules, the last formula first. The line is that of the formula whose "
        "rule it was.</p>",
        _instructions(rows[of_value:], values, {}) or "<p>There are none: the gradient needs no instruction.</p>",
        "</div>",
        "<div>",
        "<h2>Graph</h2>",
        f"<p>{legend()} An arrow leads from a value to what reads it.</p>",
        f'<div class="wide" tabindex="0" role="region" aria-label="graph">{graph(program, names, rows)}</div>',
        "</div>",
        "</div>",
        "<h2>Program</h2>",
        f'<pre class="wide" tabindex="0">{escape(without_folders(str(program)))}</pre>',
    ]
    return page(title, "\n".join(body))


def page(title: str, body: str, style: str = "", script: str = "") -> str:
    """Return a whole page: the style and the script of walkthroughs, and further ones, inside."""
    here = Path(__file__)
    style = here.with_suffix(".css").read_text("utf-8") + style
    script = here.with_suffix(".js").read_text("utf-8") + script
    return (
        '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n<main>\n{body}\n</main>\n"
        f"<script>\n{script}</script>\n</html>\n"
    )


# Values and forms, by the names in print


def values_at(program: Program, names: Sequence[str], operands: Sequence[NDArray[Any]]) -> dict[str, Any]:
    """Compute a program by its references, and return all values by name; inside a vmap, those of
    its first task.
    """
    found: dict[str, Any] = dict(zip(names, operands, strict=True))
    _evaluate(program, listed(program, names), operands, found)
    return found


def _evaluate(program: Program, names: Listed, operands: Sequence[Any], found: dict[str, Any]) -> list[Any]:
    rows = iter(names.rows)

    def evaluate(step: Step, *inputs: Any) -> tuple[Any, ...]:
        if step.primitive is ALIAS:
            return inputs
        row = next(rows)
        if step.body is None or row.body is None:
            results = by_reference(step, *inputs)
        elif step.tasks is None:
            results = tuple(_evaluate(step.body, row.body, inputs, found))
        else:
            if step.tasks.count:
                _evaluate(step.body, row.body, step.tasks.operands_of(0, inputs), found)
            results = run_body(step.body, step.tasks, inputs, by_reference)
        found.update(zip(row.names, results, strict=False))
        return results

    found.update(names.constants)
    with np.errstate(all="ignore"):
        outputs = run(program, operands, evaluate)
    found.update(zip(names.outputs, outputs, strict=True))
    return outputs


# Parts of the page


def _instructions(rows: Sequence[Explained], values: Mapping[str, Any], forms: Mapping[str, Form]) -> str:
    if not rows:
        return ""
    return "\n".join(['<ol class="instructions">', *(_instruction(row, values, forms) for row in rows), "</ol>"])


def _instruction(row: Explained, values: Mapping[str, Any], forms: Mapping[str, Form]) -> str:
    line = row.step.origin.line
    where = escape(without_folders(line)) or "no line of the function"
    code = code_at(line)
    rules = shares(row, forms) if all(isinstance(x, Literal) or x in forms for x in row.operands) else {}
    said = [
        f'<div class="equation">{written(row.name)} = {written(row.equation)}</div>',
        *(f'<div class="value">{escape(name)}{_is(values, name)}</div>' for name in row.name.split(", ")),
        *(f'<div class="rule">{written(COTANGENT.format(x))} += {written(share)}</div>' for x, share in rules.items()),
        f'<div class="origin">{row.phase}, {where}{": " if code else ""}<code>{escape(code)}</code></div>',
    ]
    kind = row.phase.replace(" ", "-")
    return f'<li class="{kind}" tabindex="0" data-name="{escape(row.name)}">{"".join(said)}</li>'


def written(text: str) -> str:
    """Return an equation as HTML: cotangents with a bar, exponents raised."""
    text = _MARKED.sub(lambda found: f'<span class="bar">{found.group(1)}</span>', escape(text))
    return _RAISED.sub(lambda found: f"<sup>{found.group(1)}</sup>", text)


def graph(program: Traced, names: Sequence[str], rows: Sequence[Explained]) -> str:
    """Draw a program with an instruction in each box."""
    nodes, places, arrows = list[Node](), dict[str, int](), list[tuple[int, int]]()
    of_operands = zip(names, map(repr, program.operands), strict=True)
    of_constants = [(name, constant_of(value)) for name, value in listed(program, names).constants]
    for kind, found in (("operand", of_operands), ("constant", of_constants)):
        for name, said in found:
            places[name] = len(nodes)
            nodes.append(Node(name, (_short(name), _short(said)), kind))
    for row in rows:
        arrows += [(places[x], len(nodes)) for x in _read(row, places)]
        places.update(dict.fromkeys(row.name.split(", "), len(nodes)))
        kind = row.phase.replace(" ", "-")
        results = ", ".join(map(repr, row.step.results))
        nodes.append(Node(row.name, (_short(f"{row.name} = {row.equation}"), _short(results)), kind))
    return svg(nodes, arrows, f"The graph of {program.name or 'the program'}: {len(rows)} instructions")


def _read(row: Explained, places: Mapping[str, int]) -> Iterator[str]:
    """Yield the names of what a row reads that are in the drawing; of ``x[i]``, that of ``x``."""
    for name in row.operands:
        whole = name if name in places else re.sub(r"(\[\w+\])+$", "", name)
        if not isinstance(name, Literal) and whole in places:
            yield whole


def _is(values: Mapping[str, Any], name: str) -> str:
    if name not in values:
        return f" = {escape(name)}" if isinstance(name, Literal) else ""
    return f' = {number(values[name])} <span class="form">{Form.of(np.asarray(values[name]))!r}</span>'


def number(x: Any) -> str:
    """Return a value as text: all of its elements, or their range."""
    x = np.asarray(x)
    if x.size > _FEW:
        return f"{x.size} elements from {x.min():.5g} to {x.max():.5g}"
    formats: Any = {"float_kind": lambda each: f"{each:.6g}"}
    return np.array2string(x, separator=", ", max_line_width=10**6, formatter=formats).replace("\n", "")


def _items(items: Sequence[str]) -> str:
    return "\n".join(["<ul>", *(f"<li><code>{item}</code></li>" for item in items), "</ul>"])


def legend() -> str:
    """Return the names of the phases in their colours."""
    return " ".join(f'<span class="phase {phase.replace(" ", "-")}">{phase}</span>' for phase in PHASES)


def _source(function: Any) -> str:
    try:
        lines, first = inspect.getsourcelines(function)
    except (OSError, TypeError):
        return ""
    rows = [f'<span class="number">{first + i:4d}</span> {escape(line)}' for i, line in enumerate(lines)]
    return f'<pre class="wide" tabindex="0">{"".join(rows)}</pre>'


def _short(text: str) -> str:
    return text if len(text) <= _SHORT else f"{text[: _SHORT - 3]}..."


def without_folders(text: str) -> str:
    """Leave out the folders of files in ``FOLDER/FILE.py:3, in f``."""
    return re.sub(r"\S*[/\\](?=[^/\\\s]+:\d+, in )", "", text)


__all__ = ["graph", "legend", "number", "page", "values_at", "walkthrough", "without_folders", "written"]
