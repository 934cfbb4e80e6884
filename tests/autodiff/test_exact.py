"""Exact types tell apart what Python calls equal, and nothing else."""

import dataclasses
import datetime
import enum
import functools
import pickle
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
import pytest
from drawing import share
from hypothesis import given
from hypothesis import strategies as st

from minimeta.autodiff.exact import exact_type


@dataclasses.dataclass(frozen=True)
class Setting:
    value: Any


@dataclasses.dataclass(frozen=True, slots=True)
class Slotted:
    value: Any
    note: Any = dataclasses.field(default=None, compare=False)


class Named(NamedTuple):
    value: Any


class Handwritten:
    """A value class as people write them; its ``repr`` is for the oracle."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Handwritten) and self.value == other.value

    def __hash__(self) -> int:
        return hash(self.value)

    def __repr__(self) -> str:
        return f"Handwritten({self.value!r})"


class InSlots(Handwritten):
    __slots__ = ("other",)

    def __init__(self, value: Any) -> None:
        super().__init__(0)
        self.other = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, InSlots) and self.other == other.other

    def __hash__(self) -> int:
        return hash(self.other)

    def __repr__(self) -> str:
        return f"InSlots({self.other!r})"


class Whole(enum.IntEnum):
    ONE = 1
    NONE = 0


class Rate(float):
    def __repr__(self) -> str:
        return f"Rate({float.__repr__(self)})"


EQUAL: list[list[Any]] = [
    [
        1,
        True,
        1.0,
        1 + 0j,
        np.int64(1),
        np.float32(1),
        np.bool_(True),
        Fraction(1),
        Decimal(1),
        Decimal("1.0"),
        Whole.ONE,
    ],
    [0, False, 0.0, -0.0, 0j, complex(0.0, -0.0), np.float64(-0.0), np.float64(0.0), Whole.NONE, Rate(0.0), Rate(-0.0)],
    ["a", np.str_("a")],
    [range(0, 3, 2), range(0, 4, 2)],
    [
        datetime.datetime(2020, 1, 1, 12, tzinfo=datetime.UTC),
        datetime.datetime(2020, 1, 1, 13, tzinfo=datetime.timezone(datetime.timedelta(hours=1))),
    ],
]
WRAPPERS: list[Any] = [
    *(Setting, Slotted, Named, Handwritten, InSlots),
    *(lambda *x: x, lambda x: frozenset({x, "b"}), lambda x: (x, (None, x))),
]


@st.composite
def pairs_of_equals(draw: st.DrawFn) -> tuple[Any, Any]:
    one, other = draw(st.sampled_from(EQUAL).flatmap(lambda row: st.tuples(st.sampled_from(row), st.sampled_from(row))))
    for wrap in draw(st.lists(st.sampled_from(WRAPPERS), max_size=3)):
        one, other = wrap(one), wrap(other)
    return one, other


def name(x: Any) -> str:
    """A spelling that differs if two values do."""
    if isinstance(x, frozenset):
        return f"frozenset({sorted(map(name, x))})"
    if isinstance(x, tuple):
        return f"{type(x).__name__}({[name(part) for part in x]})"
    if type(x) in (Setting, Slotted):
        return f"{type(x).__name__}({name(x.value)})"
    if isinstance(x, Handwritten):
        return f"{type(x).__name__}({name(x.other if isinstance(x, InSlots) else x.value)})"
    return f"{type(x).__name__} {x!r}"


@share(1)
@given(pair=pairs_of_equals())
def test_equal_values_have_one_exact_type_only_if_nothing_tells_them_apart(pair: tuple[Any, Any]) -> None:
    one, other = pair
    assert one == other
    assert (exact_type(one) == exact_type(other)) == (name(one) == name(other))
    assert (hash(exact_type(one)) == hash(exact_type(other))) or name(one) != name(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        *((Setting(x), Setting(y)) for x, y in [(1, True), (1, 1.0), (True, 1.0), (0.0, -0.0)]),
        (frozenset({1, 2.0}), frozenset({1.0, 2})),
        (Setting((Setting(frozenset({1})),)), Setting((Setting(frozenset({True})),))),
        (Named(0.0), Named(-0.0)),
    ],
    ids=repr,
)
def test_equal_settings_that_differ_inside(one: Any, other: Any) -> None:
    assert one == other and exact_type(one) != exact_type(other)
    assert exact_type(one) == exact_type(pickle.loads(pickle.dumps(one)))


def test_what_is_compared_by_identity_is_told_apart_by_it() -> None:
    bound = Setting(np.ones(2)).__repr__  # A method is its function and the object itself.
    for x in (
        bound,
        [].append,
        Setting,
        exact_type,
        functools.partial(exact_type, 1),
        object(),
        len,
        np.random.default_rng(0),
        Ellipsis,
    ):
        assert exact_type(x) is type(x)


def test_what_a_value_is_not_compared_by_is_no_part_of_it() -> None:
    assert (
        exact_type(Slotted(1, note=1)) == exact_type(Slotted(1, note=True)) == exact_type(Slotted(1, note=[np.ones(2)]))
    )


def test_a_value_may_know_itself() -> None:
    x, y = Handwritten(1), Handwritten(1)
    x.self, y.self = x, y  # type: ignore[attr-defined]
    assert exact_type(x) == exact_type(y) != exact_type(Handwritten(True))
