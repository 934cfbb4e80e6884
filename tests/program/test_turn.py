"""turn: one copy of a matrix for all products that turn it, with the bits of an eager run."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import minimeta as mm
from minimeta.kernels import native
from minimeta.program import optimise, trace
from minimeta.program.executor import Executable
from minimeta.program.turn import turning

compiled = pytest.mark.skipif(native is None, reason="there are no kernels")


def whole(*shape: int, dtype: str = "float32") -> NDArray[Any]:
    return np.random.default_rng(len(shape)).normal(size=shape).astype(dtype)


def copies(function: Callable[..., Any], *arguments: Any) -> int:
    instructions = Executable(optimise(trace(function, *arguments))).instructions
    return [each.name for each in instructions].count("copy")


@compiled
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("side", [7, 24, 40])
def test_the_walk_back_through_a_recurrent_network_turns_its_weights_once(side: int, dtype: str) -> None:
    def loss(w: Any, x: Any) -> Any:
        state = x[0]
        for each in x[1:]:
            state = np.tanh(state @ w + each)
        return np.sum(state)

    w, x = whole(side, side, dtype=dtype), whole(4, 5, side, dtype=dtype)
    gradient = mm.grad(loss)
    assert copies(gradient, w, x) == 1
    np.testing.assert_array_equal(mm.compile(gradient)(w, x), gradient(w, x), strict=True)


@compiled
def test_products_finished_in_registers_read_the_turned_matrix() -> None:
    def f(x: Any, y: Any, w: Any, z: Any, r: Any) -> Any:
        return mm.relu(x @ w.T + z), r - 0.5 * (y @ w.T)

    x, y, w, r = (seed * whole(12, 12) for seed in range(1, 5))
    arguments = x, y, w, whole(12), r
    assert copies(f, *arguments) == 1
    for found, wanted in zip(mm.compile(f)(*arguments), f(*arguments), strict=True):
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize(
    ("shape", "products"),
    [((24, 24), 1), ((200, 200), 3), ((1, 24), 3), ((24, 1), 3), ((2, 24, 24), 3)],
    ids=["one product", "long", "a row", "a column", "several matrices"],
)
def test_what_need_not_be_turned_or_is_copied_in_any_case_stays(shape: tuple[int, ...], products: int) -> None:
    def f(w: Any, *factors: Any) -> Any:
        return [x @ np.swapaxes(w, -1, -2) for x in factors]

    factors = [np.full((*shape[:-2], 5, shape[-1]), i, np.float32) for i in range(products)]
    assert not turning(optimise(trace(f, whole(*shape), *factors)))
