"""release: what frees memory runs as soon as it can, and no bit changes."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from compiled_functions import bits_of
from hypothesis import given
from hypothesis import strategies as st

import minimeta as mm
from minimeta.kernels import native
from minimeta.program import optimise, release, trace
from minimeta.program.executor import Executable

X = np.random.default_rng(0).normal(size=(16, 16))


@pytest.fixture(autouse=True, scope="module")
def _short_values() -> Iterator[None]:
    """Arrays of some elements count as long."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(release, "_LONG", 64)
        patch.setattr(release, "_MUCH", 64)
        yield


def released(function: Callable[..., Any], *arguments: Any) -> tuple[Any, Any]:
    traced = trace(function, *arguments)
    found = optimise(traced, ("release",))
    found.check()
    assert bits_of(found, [*arguments]) == bits_of(traced, [*arguments])
    return traced, found


def test_parts_are_added_when_they_are_there() -> None:
    count = 6

    def function(x: Any) -> Any:
        first = [mm.cumsum(x, i % 2) for i in range(count)]
        second = [mm.cumsum(y.T @ x, 0) for y in first]
        return [mm.sum(mm.cumsum(y, 1)) for y in map(mm.add, first, second)]

    traced, found = released(function, X)
    names = [step.primitive.name for step in found.steps if not step.primitive.view]
    assert names[count : 4 * count] == ["matmul", "cumsum", "add"] * count
    if native:
        before, after = (Executable(program).arena_bytes // X.nbytes for program in (traced, found))
        assert after <= count + 3 < 2 * count <= before


@pytest.mark.parametrize(
    "function",
    [
        lambda u, turned, v, x: (mm.cumsum(u + v, 0), u @ v),
        lambda u, turned, v, x: (mm.cumsum(u + v, 0), mm.cumsum(turned, 0)),
        lambda u, turned, v, x: mm.cumsum(u @ v, 0),
        lambda u, turned, v, x: mm.cumsum(u + x, 0) @ v,
    ],
    ids=["read later", "shown later", "no elementwise", "frees no more"],
)
def test_what_frees_nothing_stays(function: Any) -> None:
    def whole(x: Any) -> Any:
        u = mm.cumsum(x, 0)
        turned = u.T
        v, between = mm.cumsum(x, 1), x @ x
        return function(u, turned, v, x), between

    traced, found = released(whole, X)
    assert found is traced


def test_what_would_add_to_the_most_in_use_stays() -> None:
    def function(x: Any, tall: Any) -> Any:
        u = mm.cumsum(x, 0)
        much = tall @ x
        v = x @ x  # the last of two operands, while much is in use
        total, y = mm.sum(much), u + v
        return total, mm.sum(mm.cumsum(y, 0) * mm.cumsum(y, 1) * (y @ x))

    traced, found = released(function, X, np.ones((128, 16)))
    assert found is traced
    traced, found = released(function, X, np.ones((1, 16)))
    assert [step.primitive.name for step in found.steps][3:5] == ["add", "sum"]


def test_few_values_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(release, "_MUCH", 10**6)

    def function(x: Any) -> Any:
        u, v, between = mm.cumsum(x, 0), mm.cumsum(x, 1), x @ x
        return mm.cumsum(u + v, 0), between

    traced, found = released(function, X)
    assert found is traced


OPERATIONS: list[Any] = [
    mm.add,
    mm.maximum,
    lambda x, y: mm.sort(x),
    lambda x, y: x.T,
    lambda x, y: mm.reshape(mm.reshape(x, (4, 64)), (16, 16)),
    lambda x, y: x @ y,
]


@given(st.lists(st.tuples(st.sampled_from(OPERATIONS), st.integers(0, 9), st.integers(0, 9)), min_size=4, max_size=20))
def test_random_programs_keep_their_bits_and_take_no_more(drawn: list[Any]) -> None:
    def function(x: Any) -> Any:
        values = [x]
        for operation, i, j in drawn:
            values.append(operation(values[-1 - i % len(values)], values[-1 - j % len(values)]))
        return values[-1], mm.sum(values[len(values) // 2])

    with np.errstate(all="ignore"):
        released(function, X / 16)
