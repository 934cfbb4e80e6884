"""The rules of instructions as equations: evaluated as such, they make the gradient."""

import re
from typing import Any

import numpy as np
import pytest

import minimeta as mm
from minimeta.autodiff.array import Form
from minimeta.explanation.shares import shares
from minimeta.program import trace
from minimeta.program.explanation import explained

FUNCTIONS: dict[str, tuple[Any, Any]] = {  # with the derivative that a table has
    "product": (lambda x: mm.sin(x) * x**3, lambda x: np.cos(x) * x**3 + 3 * np.sin(x) * x**2),
    "quotient": (lambda x: mm.exp(x) / (1 + x * x), lambda x: np.exp(x) * (1 - x) ** 2 / (1 + x * x) ** 2),
    "twice": (lambda x: -mm.tanh(x * x) - x, lambda x: -2 * x * (1 - np.tanh(x * x) ** 2) - 1),
    "roots": (lambda x: mm.log(mm.sqrt(x) + 2), lambda x: 1 / (2 * np.sqrt(x) * (np.sqrt(x) + 2))),
}
NAMES = {name: getattr(np, name) for name in ("sin", "cos", "tanh", "sqrt", "exp", "log")} | {"e": np.e}


def evaluated(equation: str, values: dict[str, Any], cotangents: dict[str, Any]) -> Any:
    """The number that an equation states, read as a person would."""
    text = re.sub(r"⟨(.*?)⟩", lambda found: f"c[{found.group(1)!r}]", equation)
    text = re.sub(r"(?<!')%[\d:]+", lambda found: f"v[{found.group(0)!r}]", text).replace("^", "**")
    text = text.replace("tanh'(", "(lambda x: 1 - tanh(x) ** 2)(")
    return eval(text, NAMES | {"v": values, "c": cotangents, "x": values["x"]})


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_shares_of_all_instructions_make_the_gradient(name: str) -> None:
    function, derivative = FUNCTIONS[name]
    program = trace(function, 0.7)
    rows = explained(program, ["x"])
    values: dict[str, Any] = {"x": 0.7}
    for row in rows:
        values[row.name] = evaluated(row.equation, values, {})
    forms = dict.fromkeys(values, Form((), np.dtype(np.float64)))
    cotangents = dict.fromkeys(values, 0.0) | {rows[-1].name: 1.0}
    for row in reversed(rows):
        for operand, share in shares(row, forms).items():
            cotangents[operand] += evaluated(share, values, cotangents)
    assert cotangents["x"] == pytest.approx(derivative(0.7), rel=1e-12)


def test_rules_are_written_in_the_names_of_the_program() -> None:
    program = trace(lambda w, x: mm.sum(mm.maximum(x @ w, 0.1) ** 3.5), np.ones(2), np.ones((3, 2)))
    forms = dict(zip(program.names, program.operands, strict=True))
    found = []
    for row in explained(program, program.names):
        forms[row.name] = row.step.form
        found.append(list(shares(row, forms).items()))
    assert found[1] == [("x", "⟨%5⟩ %4^T"), ("%4", "x^T ⟨%5⟩")]
    assert found[3] == [("%6", "⟨%7⟩ where (%6 > 0.1), else ((0.5 * ⟨%7⟩) where (%6 == 0.1), else 0.0)")]
    assert found[4] == [("%7", "(⟨%8⟩ * 3.5) * %7^2.5")]  # 3.5 is known


def test_what_has_no_derivative_has_no_rule() -> None:
    program = trace(lambda x: mm.where(x > 0, x, 2.0), np.ones(2))
    compared, chosen = explained(program, program.names)
    forms = {"x": program.operands[0], compared.name: compared.step.form}
    assert shares(compared, forms) == {}
    assert list(shares(chosen, forms)) == ["x"]
    (row,) = [row for row in explained(trace(mm.vmap(mm.sum), np.ones((2, 3)))) if row.step.body]
    assert shares(row, {}) == {}
