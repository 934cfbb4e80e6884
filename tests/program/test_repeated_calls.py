"""A compiled call that is like the one before it, or nearly: the same result, whichever way it goes."""

import dataclasses
import threading
from collections import OrderedDict
from typing import Any, NamedTuple

import numpy as np
import pytest
from compiled_functions import Held, assert_same_bits
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

import minimeta as mm
from minimeta.errors import DtypeError, IndexingError

# Calls like the one before


class Pair(NamedTuple):
    first: Any
    second: Any


@dataclasses.dataclass(frozen=True)
class Labelled:
    value: Any
    label: str = dataclasses.field(default="", metadata={"static": True})


@dataclasses.dataclass(slots=True)
class Marked:
    """A tree that its constructor changes, and which no transformation may change so."""

    value: Any
    mark: Any = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        self.mark, self.value = np.float64(1.0), (self.value, 2.0)


LEAVES = st.sampled_from(
    [
        np.arange(6.0).reshape(2, 3),
        np.arange(6, dtype=np.float32).reshape(2, 3),
        np.arange(6.0).reshape(3, 2).T,
        np.arange(6.0).reshape(2, 3).astype(">f8"),
        np.broadcast_to(np.float64(2.0), (2, 3)),
        np.arange(3),
        np.array([True, False]),
        np.float32(1.5),
        np.zeros((0, 3)),
        2.5,
        7,
        True,
        -(2**63),
        2**31,
    ]
)
TREES = st.recursive(
    LEAVES | st.none(),
    lambda trees: st.one_of(
        st.lists(trees, max_size=3),
        st.lists(trees, max_size=3).map(tuple),
        st.dictionaries(st.sampled_from(["w", "b", 1]), trees, max_size=3),
        st.builds(Pair, trees, trees),
        st.builds(Held, trees, trees),
        st.builds(Marked, trees),
        st.lists(trees, max_size=2).map(lambda parts: OrderedDict(enumerate(parts))),
        st.builds(Labelled, trees, st.sampled_from(["a", "b"])),
    ),
    max_leaves=8,
)


WAYS = [1, True, 1.0, 0.0, -0.0, (1,), (True,)]
WAYS += [*map(Held, WAYS), Held(Held((0.0,))), Held(Held((-0.0,))), frozenset({1}), frozenset({True}), Pair(1, 0.0)]
NAMED = st.dictionaries(st.sampled_from(["x", "y"]), TREES, max_size=2)
CALLS: st.SearchStrategy[Any] = st.one_of(
    st.tuples(st.tuples(st.sampled_from(WAYS), TREES), NAMED),
    st.tuples(st.tuples(st.sampled_from(WAYS), TREES, NAMED), st.just({})),
    st.tuples(st.just(()), st.tuples(st.sampled_from(WAYS), NAMED).map(lambda given: {"way": given[0], **given[1]})),
)


@given(calls=st.lists(CALLS, min_size=2, max_size=4), repeat=st.booleans())
def test_a_call_may_be_like_the_one_before_or_not(calls: list[Any], repeat: bool) -> None:
    def same(way: Any, *trees: Any, **named: Any) -> Any:
        return list(map(repr, WAYS)).index(repr(way)), trees, named

    compiled, eager = (mm.compile(same, static="way", enabled=enabled) for enabled in (True, False))
    for arguments, named in [call for call in calls for _ in range(1 + repeat)]:
        assert_same_bits(compiled(*arguments, **named), eager(*arguments, **named))


@dataclasses.dataclass
class Made:
    """A tree whose leaf is a new array at every look."""

    value: Any

    def __getattribute__(self, name: str) -> Any:
        return np.full(1000, 2.0) if name == "value" else super().__getattribute__(name)


def test_what_a_call_takes_lives_until_it_returns() -> None:
    doubled = mm.compile(lambda made, other: made.value + other)
    for _ in range(20):
        assert_array_equal(doubled(Made(None), np.full(1000, 3.0)), np.full(1000, 5.0))

    # 8 MB go back to the system with the last reference, and what is there next begins as zeros.
    held = {"x": [np.ones(1 << 20)]}
    total = mm.compile(lambda tree: mm.sum(mm.tanh(mm.sin(tree["x"][0]))))
    expected = total(held)
    stop = threading.Event()

    def replace() -> None:
        while not stop.is_set():
            held["x"][0] = np.ones(1 << 20)

    thread = threading.Thread(target=replace)
    thread.start()
    try:
        assert all(total(held) == expected for _ in range(20))
    finally:
        stop.set()
        thread.join()


def test_what_is_not_like_the_call_before_is_explained_as_ever() -> None:
    function = mm.compile(lambda x, i: x[i])
    x = np.arange(3.0)
    assert function(x, np.array([1])) == function(x, np.array([1])) == 1.0
    with pytest.raises(IndexingError):
        function(x, np.array([3]))
    with pytest.raises(DtypeError, match="argument '0'"):
        function("x", np.array([1]))
    assert function(x, np.array([2])) == 2.0
