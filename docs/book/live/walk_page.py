"""The live figure of the backward walk: a graph, its values, and its cotangents one instruction at a time.

For each graph one program computes all that is shown: the values in order, then, walking back, each
share of a cotangent and the sum of the shares so far.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from live_pages import choice, live, still
from numpy.typing import NDArray

import minimeta as mm
from minimeta.autodiff.array import Form
from minimeta.autodiff.steps import by_operation
from minimeta.explanation.layout import Node, svg
from minimeta.explanation.shares import shares
from minimeta.explanation.walkthrough import legend, written
from minimeta.program import Traced, trace
from minimeta.program.explanation import Explained, explained
from minimeta.program.listing import Literal, listed


def _product(x: Any) -> Any:
    return mm.sin(x) * x**3


def _shared(a: Any) -> Any:
    b = a + a
    return b * b


def _neuron(w: Any, b: Any, x: Any, y: Any) -> Any:
    return (mm.tanh(w * x + b) - y) ** 2


def _quotient(x: Any, y: Any) -> Any:
    return x * y / (1 + mm.exp(-x))


def _adapted(w: Any) -> Any:
    def support_loss(w: Any) -> Any:
        return w**3 / 3 - w

    return mm.exp(w - 0.1 * mm.grad(support_loss)(w))


def _entropy(z: Any) -> Any:
    return mm.logsumexp(z) - z[0]


class Graph(NamedTuple):
    """A function with its title, and the point that the page begins with."""

    title: str
    function: Any
    point: dict[str, Any]


GRAPHS = {
    "product": Graph("sin(x) x³", _product, {"x": 2.0}),
    "shared": Graph("b = a + a, then b b: a value with two readers", _shared, {"a": 1.5}),
    "neuron": Graph("the loss of a neuron, (tanh(w x + b) − y)²", _neuron, {"w": 0.5, "b": 0.1, "x": 1.0, "y": 1.0}),
    "quotient": Graph("x y / (1 + exp(−x))", _quotient, {"x": 1.0, "y": 2.0}),
    "adapted": Graph("a loss after one inner gradient step", _adapted, {"w": 2.0}),
    "entropy": Graph("cross-entropy of three classes", _entropy, {"z": np.array([0.5, 1.0, -0.5])}),
}


class Walk(NamedTuple):
    """A graph and its program.

    Attributes
    ----------
    rows
        Its instructions.
    shares
        For each row: of which operand, by which equation, and the places of the share and of the
        sum so far among the outputs of the program.
    program
        From the point to the values of the rows, shares and sums.
    forms
        Of values, by name.
    """

    rows: list[Explained]
    shares: dict[str, list[dict[str, Any]]]
    program: Traced
    forms: dict[str, Form]


def walk_of(graph: Graph) -> Walk:
    """Return the walk of a graph."""
    forward = trace(graph.function, *graph.point.values())
    names = list(graph.point)
    rows = explained(forward, names)
    forms = dict(zip(names, forward.operands, strict=True)) | {row.name: row.step.form for row in rows}
    constants = dict(listed(forward, names).constants)
    rules = {row.name: {x: y for x, y in shares(row, forms).items() if x not in constants} for row in rows}
    places: dict[str, list[dict[str, Any]]] = {}
    following = len(rows)
    for row in reversed(rows):
        places[row.name] = []
        for operand, share in rules[row.name].items():
            place = {"of": operand, "equation": written(share), "share": following, "total": following + 1}
            places[row.name].append(place)
            following += 2

    def walk(*point: Any) -> Any:
        values: dict[str, Any] = dict(zip(names, point, strict=True)) | constants
        for row in rows:
            (values[row.name],) = by_operation(row.step, *[_value(x, values) for x in row.operands])
        found = [values[row.name] for row in rows]
        cotangents: dict[str, Any] = {rows[-1].name: 1.0}
        for row in reversed(rows):
            for place in places[row.name]:
                share = _share(row, place["of"], values, cotangents[row.name])
                known = cotangents.get(place["of"])
                cotangents[place["of"]] = share if known is None else known + share
                found += [share, cotangents[place["of"]]]
        return tuple(found)

    return Walk(rows, places, trace(walk, *graph.point.values()), forms)


def _value(name: str, values: dict[str, Any]) -> Any:
    return np.full(name.form.shape, float(name), name.form.dtype) if isinstance(name, Literal) else values[name]


def _share(row: Explained, operand: str, values: dict[str, Any], cotangent: Any) -> Any:
    """Return what an operand's cotangent gets from an instruction, by its rule."""

    def of(moved: Any) -> Any:
        (y,) = by_operation(row.step, *[moved if x == operand else _value(x, values) for x in row.operands])
        return y

    return mm.vjp(of, values[operand])[1](cotangent)[0]


def drawing(graph: Graph, walk: Walk, said: dict[str, tuple[str, str]]) -> str:
    """Draw a graph; ``said`` is what stands below the names, by name: the value and the cotangent."""
    names = [*graph.point, *(row.name for row in walk.rows)]
    nodes = []
    for name in names:
        row = next((row for row in walk.rows if row.name == name), None)
        room = " " * (40 if walk.forms[name].shape else 20)
        head = name if row is None else f"{name} = {row.equation}"
        kind = "operand" if row is None else row.phase.replace(" ", "-")
        nodes.append(Node(name, (head, *(text.ljust(len(room)) for text in said.get(name, (room, room)))), kind))
    arrows = [(names.index(x), names.index(row.name)) for row in walk.rows for x in row.operands if x in names]
    return svg(nodes, arrows, f"The graph of {graph.title}")


def page() -> str:
    """Return the page."""
    walks = {name: walk_of(graph) for name, graph in GRAPHS.items()}
    data = {
        name: {
            "inputs": [{"name": x, "at": np.ravel(at).tolist()} for x, at in GRAPHS[name].point.items()],
            "rows": [
                {
                    "name": row.name,
                    "equation": f"{written(row.name)} = {written(row.equation)}",
                    "shares": walk.shares[row.name],
                }
                for row in walk.rows
            ],
        }
        for name, walk in walks.items()
    }
    drawings = [
        f'<div class="wide" data-graph="{name}" hidden>{drawing(GRAPHS[name], walk, {})}</div>'
        for name, walk in walks.items()
    ]
    body = f"""<p>Forwards, each instruction computes a value of earlier ones. Backwards, from the last instruction to
the first, each hands on its cotangent: by its rule it adds a share to the cotangents of its operands. It may do so
only when its own is complete, when all that read its value have given their shares. Choose a graph and go through
it with the buttons or the arrow keys; move the arguments whenever you like.</p>
{still(_finished(walks), "A walk at its end: below each name the value and the cotangent.")}
<div class="live" hidden>
<div class="controls">{choice("graph", "graph", {name: graph.title for name, graph in GRAPHS.items()})}
<label><span>step</span><input type="range" name="position" min="0" max="1" step="1" value="0">
<output data-number="position"></output></label>
<p><button id="back">back</button> <button id="next">next</button></p>
<div id="inputs"></div>
<div id="said" aria-live="polite"></div></div>
<div class="broad">{"".join(drawings)}
<p>{legend()}</p></div>
</div>"""
    return live(
        "walk", "The backward walk, step by step", body, {name: walk.program for name, walk in walks.items()}, data
    )


def _finished(walks: dict[str, Walk]) -> str:
    """Draw the first graph at the end of its walk."""
    graph, walk = GRAPHS["product"], walks["product"]
    outputs: list[NDArray[Any]] = list(walk.program(*graph.point.values()))
    cotangents = {place["of"]: outputs[place["total"]] for places in walk.shares.values() for place in places}
    values = graph.point | {row.name: outputs[i] for i, row in enumerate(walk.rows)}
    said = {
        name: (f"{float(value):.4g}", f"cotangent {float(cotangents.get(name, 1.0)):.4g}")
        for name, value in values.items()
    }
    return drawing(graph, walk, said)
