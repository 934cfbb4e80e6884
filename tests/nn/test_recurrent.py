"""Recurrent cells against loops written from their equations."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import minimeta as mm
from minimeta.errors import ConfigurationError, DtypeError, ShapeError
from minimeta.nn import Cell, LSTMState, gru, lstm, rnn, unroll
from minimeta.testing import check_gradients

CELLS: dict[str, Callable[..., Cell]] = {"rnn": rnn, "gru": gru, "lstm": lstm}


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def by_hand(name: str, parameters: Any, x: Any, h: Any, c: Any) -> tuple[Any, Any]:
    """One step for one sequence, gate by gate."""
    size = len(h)
    w, u, b = (parameters[part] for part in ("input", "hidden", "bias"))
    gates = [slice(i * size, (i + 1) * size) for i in range(w.shape[1] // size)]
    before = [x @ w[:, gate] + b[gate] for gate in gates]
    if name == "rnn":
        return np.tanh(before[0] + h @ u), c
    recurrent = [h @ u[:, gate] for gate in gates]
    if name == "gru":
        r, z = (sigmoid(before[i] + recurrent[i]) for i in range(2))
        n = np.tanh(before[2] + r * (recurrent[2] + parameters["candidate_bias"]))
        return z * h + (1 - z) * n, c
    i, f, o = (sigmoid(before[k] + recurrent[k]) for k in range(3))
    c = f * c + i * np.tanh(before[3] + recurrent[3])
    return o * np.tanh(c), c


def problem(name: str, count: int = 3, length: int = 4) -> tuple[Cell, Any, Any]:
    """A cell, parameters none of which is 0, and sequences."""
    rng = np.random.default_rng(0)
    cell = CELLS[name](2, 3, dtype=np.float64)
    parameters = mm.tree.map(lambda p: p + rng.normal(0, 0.3, p.shape), cell.init(rng))
    return cell, parameters, rng.normal(size=(count, length, 2))


@pytest.mark.parametrize("name", list(CELLS))
@pytest.mark.parametrize("compiled", [False, True])
def test_unroll(name: str, compiled: bool) -> None:
    cell, parameters, inputs = problem(name)
    function = mm.compile(lambda p, x: unroll(cell, p, x), enabled=compiled)
    outputs, state = function(parameters, inputs)
    assert outputs.shape == (3, 4, 3)
    for n in range(3):
        h = c = np.zeros(3)
        for t in range(4):
            h, c = by_hand(name, parameters, inputs[n, t], h, c)
            assert_allclose(outputs[n, t], h, rtol=1e-12, atol=1e-14)
        last = LSTMState(h, c) if name == "lstm" else h
        for mine, other in zip(mm.tree.flatten(state)[0], mm.tree.flatten(last)[0], strict=True):
            assert_allclose(mine[n], other, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", list(CELLS))
def test_a_sequence_can_be_continued(name: str) -> None:
    cell, parameters, inputs = problem(name)
    whole, end = unroll(cell, parameters, inputs)
    first, state = unroll(cell, parameters, inputs[:, :3])
    second, last = unroll(cell, parameters, inputs[:, 3:], state)
    assert_allclose(np.concatenate([first, second], 1), whole, rtol=1e-13)
    for one, other in zip(mm.tree.flatten(last)[0], mm.tree.flatten(end)[0], strict=True):
        assert_allclose(one, other, rtol=1e-13)


@pytest.mark.parametrize("name", list(CELLS))
def test_padding_changes_nothing(name: str) -> None:
    cell, parameters, inputs = problem(name)
    lengths = np.array([4, 1, 3])
    mask = np.arange(4) < lengths[:, None]

    def function(parameters: Any, inputs: Any) -> Any:
        outputs, state = unroll(cell, parameters, inputs, mask=mask)
        return mm.sum(mm.sin(outputs)) + sum(mm.sum(part**2) for part in mm.tree.flatten(state)[0])

    def alone(parameters: Any, inputs: Any) -> Any:
        total = 0.0
        for n, length in enumerate(lengths):
            outputs, state = unroll(cell, parameters, inputs[n : n + 1, :length])
            total = total + mm.sum(mm.sin(outputs)) + sum(mm.sum(part**2) for part in mm.tree.flatten(state)[0])
        return total

    padded = np.where(mask[..., None], inputs, 1e3)
    value, gradients = mm.value_and_grad(function, (0, 1))(parameters, padded)
    expected, of_alone = mm.value_and_grad(alone, (0, 1))(parameters, inputs)
    assert_allclose(value, expected, rtol=1e-12)
    for one, other in zip(mm.tree.flatten(gradients)[0], mm.tree.flatten(of_alone)[0], strict=True):
        assert_allclose(one, other, rtol=1e-10, atol=1e-13)
    assert_array_equal(gradients[1][~mask], 0.0)


@pytest.mark.parametrize("name", list(CELLS))
def test_derivatives_are_right_to_the_second(name: str) -> None:
    cell, parameters, inputs = problem(name, 2, 2)
    mask = np.array([[True, True], [True, False]])

    def function(parameters: Any, inputs: Any) -> Any:
        return mm.sum(mm.sin(unroll(cell, parameters, inputs, mask=mask)[0]))

    check_gradients(mm.compile(function), parameters, inputs, order=2)


def test_parameters() -> None:
    rng = np.random.default_rng(0)
    assert {name: p.shape for name, p in rnn(2, 3).init(rng).items()} == {
        "input": (2, 3),
        "hidden": (3, 3),
        "bias": (3,),
    }
    of_gru = gru(2, 3).init(rng)
    assert of_gru["input"].shape == (2, 9) and of_gru["candidate_bias"].shape == (3,)
    of_lstm = lstm(2, 3, forget_bias=2.0).init(rng)
    assert_array_equal(of_lstm["bias"], [0.0] * 3 + [2.0] * 3 + [0.0] * 6)
    assert of_lstm["hidden"].dtype == np.float32
    # The weights of each gate are drawn as those of a layer of three outputs.
    assert np.abs(of_lstm["hidden"]).max() > 0.8 and np.abs(of_lstm["hidden"]).max() <= 1.0


def test_what_is_refused() -> None:
    cell = rnn(2, 3)
    parameters, x = cell.init(np.random.default_rng(0)), np.ones((4, 5, 2), np.float32)
    with pytest.raises(ConfigurationError, match="gru: inputs=0 and hidden=3 must be positive"):
        gru(0, 3).init(np.random.default_rng(0))
    with pytest.raises(ShapeError, match=r"inputs have shape \(5, 2\), expected \(N, T, features\)"):
        unroll(cell, parameters, x[0])
    with pytest.raises(ShapeError, match=r"the mask has shape \(4,\), expected \(4, 5\)"):
        unroll(cell, parameters, x, mask=np.ones(4, bool))
    with pytest.raises(DtypeError, match="the mask is of dtype float32, not of truth values"):
        unroll(cell, parameters, x, mask=np.ones((4, 5), np.float32))
