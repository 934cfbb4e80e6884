"""The page about a function: it states the function's numbers, rules and lines, and needs no other file."""

import re
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

import minimeta as mm
from minimeta.errors import ShapeError
from minimeta.explanation.walkthrough import number, values_at, walkthrough, written
from minimeta.program import trace

W, X, Y = np.array([1.0, 2.0]), np.array([[1.0, 0.0], [3.0, 1.0]]), np.array([0.0, 2.0])


def loss(w: Any, x: Any, y: Any) -> Any:
    return mm.sum((x @ w - y) ** 2)


def adapted_loss(w: Any, x: Any, y: Any) -> Any:
    return loss(w - 0.1 * mm.grad(loss)(w, x, y), x, y)


class _Read(HTMLParser):
    """The text of a page by class, and whether every element that opens also closes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[tuple[str, str]] = []
        self.found: dict[str, list[str]] = {}
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "rect", "path"):
            self.open.append((tag, dict(attributes).get("class") or tag))
            self.found.setdefault(self.open[-1][1], []).append("")

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("rect", "path"):
            assert self.open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        for name in {name for _, name in self.open}:
            self.found[name][-1] += data


def test_the_page_states_values_rules_and_lines() -> None:
    text = walkthrough(loss, {"w": W, "x": X, "y": Y})
    page = _Read(text)
    assert page.open == []
    # By hand: x w - y = [1, 3], so the loss is 10, its gradient 2 x^T [1, 3], 2 [1, 3] w^T and -2 [1, 3].
    items = page.found["li"]
    assert "value = 10 float64[]" in items
    assert "w = [20, 6] float64[2]" in items
    assert "x = [[2, 4], [6, 12]] float64[2, 2]" in items
    assert "y = [-2, -6] float64[2]" in items
    forward, backward = page.found["forward"], page.found["backward"]
    (product,) = [each for each in forward if " = x %" in each]
    assert re.search(r"%\d+ = \[\[1\], \[5\]\]", product)
    assert re.search(r"x \+= %\d+ %\d+T", product)
    line = f"test_walkthrough.py:{loss.__code__.co_firstlineno + 1}, in loss: return mm.sum((x @ w - y) ** 2)"
    assert all(line in each for each in forward + backward)
    assert "def loss(w: Any, x: Any, y: Any) -> Any:" in page.found["wide"][0]
    assert "program loss(w: float64[2], x: float64[2, 2], y: float64[2]):" in page.found["wide"][-1]
    boxes = page.found["node forward"] + page.found["node backward"]
    assert len(boxes) == len(forward) + len(backward)
    assert "second-order" not in page.found


def test_the_page_needs_no_other_file() -> None:
    text = walkthrough(loss, {"w": W, "x": X, "y": Y})
    assert re.findall(r"https?://[^\"' ]*", text.replace("http://www.w3.org/2000/svg", "")) == []
    assert not re.search(r"<link|<img|src=|@import|url\(", text)


def test_second_order_has_a_colour_of_its_own() -> None:
    page = _Read(walkthrough(adapted_loss, {"w": W, "x": X, "y": Y}))
    assert len(page.found["second-order"]) == len(page.found["node second-order"]) > 0
    # With H = 2 x^T x, the adapted parameters are w - 0.2 x^T (x w - y), and the gradient is (I - 0.1 H) of theirs.
    adapted = W - 0.2 * X.T @ (X @ W - Y)
    gradient = (np.eye(2) - 0.2 * X.T @ X) @ (2 * X.T @ (X @ adapted - Y))
    assert f"w = {number(gradient)} float64[2]" in page.found["li"]


def test_values_inside_of_tasks_and_regions_are_there() -> None:
    def of_tasks(w: Any, x: Any) -> Any:
        return mm.vmap(lambda w, x: mm.rematerialize(lambda v: mm.sin(v) * 2.0)(w * x), (None, 0))(w, x)

    program = trace(of_tasks, 0.5, np.array([1.0, 3.0]))
    values = values_at(program, ["w", "x"], [np.array(0.5), np.array([1.0, 3.0])])
    scalars = [float(x) for x in values.values() if np.shape(x) == ()]
    assert 0.5 in scalars and np.sin(0.5) in scalars and 2 * np.sin(0.5) in scalars  # the first task
    (output,) = [x for name, x in values.items() if np.shape(x) == (2,) and name != "x"]
    np.testing.assert_array_equal(output, 2 * np.sin([0.5, 1.5]))
    assert "over 2 i" in walkthrough(lambda w, x: mm.sum(of_tasks(w, x)), {"w": np.ones(()), "x": np.ones(2)})


@pytest.mark.parametrize(("function", "value"), [(lambda x: x, 2.0), (lambda x: 3.0, 3.0)], ids=["itself", "constant"])
def test_functions_of_no_instructions_have_a_page(function: Any, value: float) -> None:
    page = _Read(walkthrough(function, {"x": np.array(2.0)}))
    assert any(item.startswith(f"value = {value:g}") for item in page.found["li"])


def test_integers_have_no_cotangent() -> None:
    page = _Read(walkthrough(lambda w, i: w[i] ** 2, {"w": W, "i": np.array(1)}))
    assert "w = [0, 4] float64[2]" in page.found["li"]
    assert [item for item in page.found["li"] if item.startswith("i = ")] == ["i = 1 int64[]"]


def test_a_function_that_is_no_scalar_is_refused() -> None:
    with pytest.raises(ShapeError, match=r"returns shape \(3,\): it must return a scalar"):
        walkthrough(lambda x: x * 2, {"x": np.ones(3)})


def test_equations_and_numbers_in_print() -> None:
    assert written("⟨%3⟩ x^T < %4^2.0") == '<span class="bar">%3</span> x<sup>T</sup> &lt; %4<sup>2.0</sup>'
    assert number(np.arange(9.0)) == "9 elements from 0 to 8"
    assert number(np.array([[1 / 3, 1e-9]])) == "[[0.333333, 1e-09]]"
    assert number(np.array([True, False])) == "[ True, False]"
