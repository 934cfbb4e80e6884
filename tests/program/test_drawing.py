"""The drawing of a program: its names are those in print, every use is an arrow, and folded it fits a page."""

import re
from typing import Any

import numpy as np
import pytest
from drawing import share
from hypothesis import given
from printed import arguments_of, rows_of
from traced_functions import sinusoid

import minimeta as mm
from minimeta import nn
from minimeta.program import Traced, optimise, trace
from minimeta.program.explanation import COLOURS, explained
from minimeta.testing import Specimen, programs


def nodes_of(text: str) -> dict[int, str]:
    return {int(i): label for i, label in re.findall(r'^  v(\d+) \[label="(.*?)", shape=', text, re.M)}


def arrows_of(text: str) -> list[tuple[int, int]]:
    return [(int(i), int(j)) for i, j in re.findall(r"^  v(\d+) -> v(\d+)(?: \[label=\d+\])?;$", text, re.M)]


def assert_drawn_as_printed(program: Traced) -> None:
    dot, text = program.to_dot(folded=False), str(program)
    head, *_, foot, end = dot.split("\n")
    assert (head, foot, end) == ("digraph program {", "}", "")
    nodes = {i: re.split(r"\\n| = ", label)[0] for i, label in nodes_of(dot).items()}
    rows = [row for row in rows_of(text) if row.name and not (row.operation in ("stack", "sum") and "." in row.name)]
    assert sorted(nodes.values()) == sorted([*arguments_of(text), *(row.name for row in rows)])
    if "vmap" not in text:  # of which there is no node, but a box
        arrows = sorted((nodes[i], nodes[j]) for i, j in arrows_of(dot))
        assert arrows == sorted({(x, row.name) for row in rows for x in row.uses})


@share(0.3)
@given(specimen=programs() | programs(order=1) | programs(order=2))
def test_every_value_is_a_node_and_every_use_an_arrow(specimen: Specimen) -> None:
    assert_drawn_as_printed(specimen.program)
    assert_drawn_as_printed(optimise(specimen.program))


@pytest.mark.parametrize("order", [1, 2])
def test_a_meta_gradient_is_drawn_as_it_is_printed(order: int) -> None:
    traced = sinusoid(order)
    program = trace(traced.function, *traced.arguments)
    assert_drawn_as_printed(program)
    assert_drawn_as_printed(optimise(program))


def meta_gradient() -> Traced:
    model = nn.mlp((1, 40, 40, 1))

    def loss(w: Any, x: Any, y: Any) -> Any:
        return mm.mean((model.apply(w, x) - y) ** 2)

    def loss_after_adaptation(w: Any, x: Any, y: Any, x_query: Any, y_query: Any) -> Any:
        gradient = mm.grad(loss)(w, x, y)
        adapted = mm.tree.map(lambda p, g: p - 0.01 * g, w, gradient)
        return loss(adapted, x_query, y_query)

    x = np.ones((10, 1), np.float32)
    return trace(mm.value_and_grad(loss_after_adaptation), model.init(np.random.default_rng(0)), x, x, x, x)


def test_folded_it_is_a_node_for_each_pass_of_each_line() -> None:
    program = meta_gradient()
    nodes = list(nodes_of(program.to_dot()).values())
    assert nodes[:5] == [r"w\n6 arrays", *(rf"{name}\nfloat32[10, 1]" for name in ("x", "y", "x_query", "y_query"))]
    passes = [
        re.match(r"(forward|backward|second order) (?:at|of) test_drawing\.py:\d+, in (<?\w+>?)\\n", label)
        for label in nodes[5:]
    ]
    # The inner gradient, the step, the loss after it; and all three backwards, the first of them a Hessian's product.
    expected = [("forward", "loss"), ("backward", "loss"), ("forward", "<lambda>"), ("forward", "loss")]
    expected += [("backward", "loss"), ("backward", "<lambda>"), ("second order", "loss")]
    assert [found and (found[1], found[2]) for found in passes] == expected
    assert r"%54 to %65\n6 multiply, 6 subtract" in nodes[7]


def test_the_ranges_of_folded_nodes_are_all_rows_in_print() -> None:
    program = meta_gradient()
    rows = [row.name for row in rows_of(str(program))]
    printed = dict.fromkeys(rows)
    ranges = re.findall(r"(%\d+) to (%\d+)", program.to_dot())
    covered = [row for first, last in ranges for row in rows[rows.index(first) : rows.index(last) + 1]]
    assert covered == list(printed)


def test_arrows_of_a_folded_drawing_say_how_many_values_they_carry() -> None:
    dot = trace(lambda w, x: mm.sum(w["a"] * x + w["b"]) * 2.0, {"a": np.ones(2), "b": np.ones(2)}, np.ones(2)).to_dot()
    assert arrows_of(dot) == [(0, 2), (1, 2)]
    assert "  v0 -> v2 [label=2];" in dot and "  v1 -> v2;" in dot
    assert "  v2 [peripheries=2];" in dot


def test_labels_name_the_value_the_primitive_and_the_form() -> None:
    text = trace(lambda x: mm.sin(x) * np.arange(3.0), np.zeros(3)).to_dot(folded=False)
    assert r'v0 [label="x\nfloat64[3]", shape=box];' in text
    assert r'v1 [label="%1\n[0., 1., 2.]: float64[3]", shape=plaintext];' in text
    assert r'v2 [label="%2 = sin\nfloat64[3]", shape=ellipse, style="filled", fillcolor="#56b4e9"];' in text


def test_steps_have_the_colours_of_their_phases() -> None:
    program = meta_gradient()
    colours = dict(
        re.findall(r'\[label="(%\S+) = .*?shape=ellipse, style="filled", fillcolor="(.*?)"\]', program.to_dot(False))
    )
    assert colours == {row.name: COLOURS[row.phase] for row in explained(program, program.names)}
    assert set(colours.values()) == set(COLOURS.values())


@pytest.mark.parametrize("folded", [True, False])
def test_a_vmap_is_a_box(folded: bool) -> None:
    dot = trace(mm.vmap(lambda x: mm.sum(mm.sin(x))), np.ones((4, 3))).to_dot(folded)
    assert '  subgraph cluster1 { label="%1 = vmap, for each i of 4"; v1;' in dot
    assert arrows_of(dot)[0] == (0, 1)
    outputs = re.findall(r"v(\d+) \[peripheries=2\]", dot)
    assert outputs == ["1" if folded else "2"]
