"""Several elementwise operations in one row: the bits of one after the other."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from compiled_functions import bits_of

import minimeta as mm
from minimeta.autodiff.steps import Program
from minimeta.program import optimise, trace


def masked(x: Any, g: Any) -> Any:
    """The cotangent of what a relu takes, if g is that of its result."""
    return mm.grad(lambda x: mm.sum(mm.relu(x) * g))(x)


EXPRESSIONS: dict[str, Callable[[Any, Any, Any, Any], Any]] = {
    "first moment": lambda p, m, v, g: 0.9 * m + g * 0.1,
    "second moment": lambda p, m, v, g: (0.999 * v + 0.001 * mm.square(g), mm.square(g) * 0.001 + v * 0.999),
    "second moment by products": lambda p, m, v, g: (0.999 * v + 0.001 * g * g, g * (g * 0.001) + 0.999 * v),
    "root": lambda p, m, v, g: (np.sqrt(np.maximum(v, 1e-3)) + 1e-8, 1e-8 + np.sqrt(v / 0.3)),
    "step": lambda p, m, v, g: (p - 0.01 * g / v, p - 0.01 * (g / v), p - g * 0.01 / v),
    "corrected step": lambda p, m, v, g: (p - 0.01 * (m / 0.9 / v), p - 0.01 * (m / 0.9) / v),
    "step by a root": lambda p, m, v, g: (
        p - 0.01 * m / (np.sqrt(np.maximum(v, 1e-3)) + 1e-8),
        p - m * 0.01 / (1e-8 + np.sqrt(v)),
        p - 0.01 * (m / (np.sqrt(v) + 1e-8)),
    ),
    "corrected step by a root": lambda p, m, v, g: (
        p - 0.01 * (m / 0.9 / (np.sqrt(v / 0.3) + 1e-8)),
        p - 0.01 * (m / 0.9) / (np.sqrt(v / 0.3) + 1e-8),
        m / 0.9 / (np.sqrt(v / 0.3) + 1e-8),
    ),
    "Nesterov": lambda p, m, v, g: p - 0.1 * (g + 0.9 * m),
    "decay": lambda p, m, v, g: p - 0.01 * (m / (np.sqrt(v) + 1e-8) + 0.1 * p),
    "a value that is needed twice": lambda p, m, v, g: (s := 0.1 * g, 0.9 * m + s, p - 0.5 * s / v),
    "numbers that are arrays": lambda p, m, v, g: p[:1] * m + g[:1] * v,
    "arrays that are numbers": lambda p, m, v, g: (p - 0.1 * (g[0] / m), 0.1 * m + 0.9 * (g[0] * g[0]), v[0] - 0.1 * m),
    "turned": lambda p, m, v, g: 0.9 * np.reshape(m, (-1, 1)) + 0.1 * np.reshape(g, (-1, 1)).T,
    "a choice": lambda p, m, v, g: np.where(g > m, p, v) * 0.5,
    "a layer": lambda p, m, v, g: mm.relu(p + m) * (v - g) + (m - v) ** 2 - mm.relu(g) * -m,
    "a normalised layer": lambda p, m, v, g: mm.relu((p - m) * v + g),
    "its derivative": lambda p, m, v, g: (masked(p, g) * v + ((p - m) * g + v), g * p + ((v - m) * m + p)),
    "its second derivatives": lambda p, m, v, g: (
        m + (g * v + ((p - m) * g + v)),
        p * m + v * v,
        -(p * v + m * m),
        masked(p, m * g + v * (m - g) + g + v),
    ),
}


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_a_compound_rounds_as_its_operations_do(name: str) -> None:
    rng = np.random.default_rng(0)
    for size in (1, 7, 16, 25, 48) if name == "turned" else (1, 7, 16, 25, 600, 5001):
        operands = list(rng.normal(size=(4, size)).astype(np.float32))
        operands[2] = np.abs(operands[2])
        for operand, special in zip(operands, (np.nan, np.inf, -0.0, -np.inf), strict=True):
            operand[rng.integers(0, size)] = special
        program = trace(EXPRESSIONS[name], *operands)
        assert bits_of(optimise(program), operands) == bits_of(program, operands), size


@pytest.mark.parametrize("optimiser", [mm.optim.adam(), mm.optim.linear_decay(mm.optim.momentum(0.1), 5)])
def test_optimisers_move_small_and_large_arrays_alike(optimiser: mm.optim.Optimiser) -> None:
    rng = np.random.default_rng(0)
    parameters = {"large": rng.normal(size=(70, 60)).astype(np.float32), "small": rng.normal(size=10)}
    state = optimiser.init(parameters)
    program: Program = trace(optimiser.update, parameters, state, parameters)
    operands = mm.tree.flatten((parameters, state, parameters))[0]
    assert bits_of(optimise(program), operands) == bits_of(program, operands, threads=2)
