"""Profiles: what the executor counts, summed by kind of instruction and by the user's line."""

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minimeta as mm
from minimeta.autodiff.apply import apply
from minimeta.autodiff.array import Origin
from minimeta.autodiff.primitive import Primitive, registry
from minimeta.errors import TracingError
from minimeta.kernels import native
from minimeta.program.executor import Instruction
from minimeta.program.profile import Profile, Share, summarised

Function = Callable[..., Any]

compiled = pytest.mark.skipif(native is None, reason="there are no kernels to watch")


def line_of(function: Function, text: str) -> str:
    lines, first = inspect.getsourcelines(function)
    (number,) = [first + i for i, line in enumerate(lines) if text in line]
    return f"{__file__}:{number}, in {function.__name__}"


def by_name(shares: tuple[Share, ...]) -> dict[str, int]:
    return {share.name: share.instructions for share in shares}


def test_times_are_summed_by_kind_and_by_line() -> None:
    a, b, c = map(Origin, "abc")
    body = (Instruction("exp", b), Instruction("copy"))
    instructions = (Instruction("matmul", a), Instruction("exp", a), Instruction("vmap", c, body=body))
    times = [(2_000_000, None), (500_000, None), (9_999_999, [(4_000_000, None), (1_500_000, None)])]
    profile = summarised(instructions, times, runs=2)
    assert profile.kinds == (
        Share("exp", 2, 0.00225),
        Share("matmul", 1, 0.001),
        Share("copy", 1, 0.00075),
    )
    assert profile.lines == (Share("b", 1, 0.002), Share("a", 2, 0.00125), Share("(no line)", 1, 0.00075))
    assert profile.seconds == 0.004  # a vmap stands for its body, and its own time is not counted twice
    rows = str(profile).splitlines()
    assert rows[0] == "     4.000 ms on all threads together, for one run"
    assert rows[2] == "     2.250 ms  56.2%      2  exp"
    assert [row[-1:] for row in rows[6:]] == ["b", "a", ")"]


def test_of_nothing() -> None:
    assert summarised((), [], 3) == Profile((), (), 0.0)


@compiled
def test_instructions_and_lines_are_those_of_the_function() -> None:
    def f(w: Any, x: Any) -> Any:
        hidden = x @ w
        active = mm.exp(hidden)
        return mm.sum(mm.transpose(active) @ x)

    w, x = np.ones((4, 4)), np.ones((6, 4))
    profile = mm.compile(f).profile(w, x, runs=3)
    assert by_name(profile.kinds) == {"matmul": 2, "exp": 1, "sum": 1}
    lines = {line_of(f, "x @ w"): 1, line_of(f, "mm.exp"): 1, line_of(f, "mm.sum"): 2}
    assert by_name(profile.lines) == lines
    for shares in (profile.kinds, profile.lines):
        assert np.isclose(sum(share.seconds for share in shares), profile.seconds)
        assert list(shares) == sorted(shares, key=lambda share: -share.seconds)
    assert profile.seconds > 0
    # A backward pass is the work of the lines whose derivative it is.
    gradient = mm.compile(mm.grad(f), passes=("eliminate", "simplify"))
    assert by_name(gradient.profile(w, x).lines).keys() == lines.keys()


@compiled
def test_a_body_counts_once_and_takes_the_time_of_all_tasks() -> None:
    def f(x: Any) -> Any:
        return mm.sum(mm.sin(x) @ mm.sin(x))

    x = np.ones((30, 16, 16))
    mapped = mm.compile(mm.vmap(f)).profile(x, runs=3)
    assert by_name(mapped.kinds) == by_name(mm.compile(f).profile(x[0]).kinds) == {"sin": 1, "matmul": 1, "sum": 1}
    assert by_name(mapped.lines) == {line_of(f, "mm.sum"): 3}


@compiled
def test_a_primitive_without_a_kernel_takes_its_time_too() -> None:
    sine = registry["sin"]
    own = Primitive("own_sine", sine.shape, np.sin, sine.rules, sine.sample, np.sin)
    profile = mm.compile(lambda x: apply(own, x) @ x).profile(np.ones((2, 2)))
    assert by_name(profile.kinds) == {"own_sine": 1, "matmul": 1}


def test_where_nothing_can_be_watched_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("minimeta.kernels.load", lambda level: None)
    with pytest.raises(TracingError, match="runs in Python here, step by step"):
        mm.compile(mm.sin).profile(np.ones(2))
