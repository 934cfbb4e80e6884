"""split: the step of a recurrent cell as one, with the bits of instructions one by one; and what stays whole."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from compiled_functions import bits_of
from numpy.typing import NDArray

import minimeta as mm
from minimeta.program import PASSES, Traced, optimise, split, trace

ONE_BY_ONE = tuple(name for name in PASSES if name not in ("split", "fuse", "products"))
ROWS, COLUMNS = 12, 500


@pytest.fixture(autouse=True, scope="module")
def _short_products_count_as_long() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(split, "_LONG", 2**12)
        yield


def cell(w: Any, x: Any, v: Any, h: Any, b: Any, c: Any) -> Any:
    i, f, o, candidate = mm.split(w @ x + v @ h + b[:, None], 4)
    c = mm.sigmoid(f) * c + mm.sigmoid(i) * mm.tanh(candidate)
    return mm.sigmoid(o) * mm.tanh(c), c


def cell_arrays() -> list[NDArray[Any]]:
    rng = np.random.default_rng(0)
    rows = 4 * ROWS
    shapes = [(rows, 4), (4, COLUMNS), (rows, ROWS), (ROWS, COLUMNS), (rows,), (ROWS, COLUMNS)]
    return [rng.normal(size=shape).astype(np.float32) for shape in shapes]


def names(program: Traced) -> list[str]:
    return [step.primitive.name for step in program.steps if not step.primitive.view]


def test_a_step_of_a_cell_is_one_step() -> None:
    traced = trace(cell, *cell_arrays())
    assert names(optimise(traced)) == ["fused_products"]
    assert bits_of(optimise(traced), cell_arrays()) == bits_of(optimise(traced, ONE_BY_ONE), cell_arrays())


def test_its_gradient_has_the_bits_too() -> None:
    traced = trace(mm.grad(lambda *a: mm.sum(cell(*a)[0]), argnums=(0, 1, 2, 3, 4, 5)), *cell_arrays())
    assert names(optimise(traced)).count("matmul") < names(traced).count("matmul")
    assert bits_of(optimise(traced), cell_arrays()) == bits_of(optimise(traced, ONE_BY_ONE), cell_arrays())


@pytest.mark.parametrize(
    ("function", "because"),
    [
        (lambda z: (z, z[:12], z[12:24]), "it is a result"),
        (lambda z: (z[:12], z[6:18]), "slices share rows"),
        (lambda z: (z[:12], z[12:20]), "slices have not equally many"),
        (lambda z: (z[::2], z[1::2]), "slices leave rows out"),
        (lambda z: (z[:, :250], z[:, 250:]), "slices are of columns"),
        (lambda z: (z[:1], z[1:2]), "a row is a product by a vector"),
        (lambda z: (z[:2], z[2:4]), "its parts are short"),
        (lambda z: (z[:12], z[12:24], mm.sum(z)), "a sum reads it"),
        (lambda z: (z[:12], *mm.vmap(lambda row: (mm.cumsum(row), mm.sort(row)))(z)), "a vmap of two reads it"),
    ],
)
def test_a_sum_of_products_stays_whole_if(function: Any, because: str) -> None:
    def whole(w: Any, x: Any, v: Any, h: Any, b: Any, c: Any) -> Any:
        return function(w @ x + v @ h + b[:, None])

    traced = trace(whole, *cell_arrays())
    assert "slice" in [step.primitive.name for step in optimise(traced).steps]
    products = [step for step in optimise(traced, ("split",)).steps if step.primitive.name == "matmul"]
    assert [step.form.shape for step in products] == [(4 * ROWS, COLUMNS)] * 2, because
    assert bits_of(optimise(traced), cell_arrays()) == bits_of(optimise(traced, ONE_BY_ONE), cell_arrays())
