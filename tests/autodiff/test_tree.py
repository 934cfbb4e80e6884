"""Trees: flatten and unflatten are inverses, entries are matched by name, and differences are named."""

import dataclasses
from typing import Any, NamedTuple

import numpy as np
import pytest
from drawing import share
from hypothesis import given
from hypothesis import strategies as st

from minimeta import tree
from minimeta.errors import ShapeError


class Point(NamedTuple):
    x: Any
    y: Any


@dataclasses.dataclass(frozen=True)
class Node:
    first: Any
    second: Any
    label: str = dataclasses.field(default="", metadata={"static": True})


@dataclasses.dataclass(kw_only=True)
class Named:
    value: Any


leaves = st.integers() | st.floats(allow_nan=False) | st.text(max_size=3)


trees = st.recursive(
    leaves | st.none(),
    lambda children: (
        st.lists(children, max_size=3)
        | st.lists(children, max_size=3).map(tuple)
        | st.dictionaries(st.text("abc", min_size=1, max_size=2), children, max_size=3)
        | st.builds(Point, children, children)
        | st.builds(Node, children, children, label=st.text(max_size=2))
        | st.builds(Named, value=children)
    ),
    max_leaves=12,
)


def leaf_count(x: Any) -> int:
    """An own count of the leaves, by another way of taking trees apart."""
    if x is None:
        return 0
    if isinstance(x, dict):
        return sum(leaf_count(child) for child in x.values())
    if isinstance(x, (list, tuple)):
        return sum(leaf_count(child) for child in x)
    if isinstance(x, Node):
        return leaf_count(x.first) + leaf_count(x.second)
    return leaf_count(x.value) if isinstance(x, Named) else 1


@share(0.3)
@given(x=trees)
def test_unflatten_is_the_inverse_of_flatten(x: Any) -> None:
    found, structure = tree.flatten(x)
    assert len(found) == leaf_count(x) == len(tree.paths(x))
    again = tree.unflatten(structure, found)
    assert again == x and repr(again) == repr(x)  # also in kind, and in the order of a dict
    assert tree.flatten(again) == (found, structure)
    assert tree.unflatten(structure, iter(found)) == x
    assert tree.leaves_like(structure, x) == found


@share(0.3)
@given(x=trees)
def test_map_is_leaf_by_leaf_and_keeps_the_form(x: Any) -> None:
    found, structure = tree.flatten(x)
    pairs = tree.map(lambda a, b: {"boxed": (a, b)}, x, x)
    assert tree.leaves_like(structure, tree.map(lambda a: [a], x)) == [[a] for a in found]
    assert tree.map(lambda a: a, x) == x
    assert tree.leaves_like(structure, pairs) == [{"boxed": (a, a)} for a in found]


@share(0.3)
@given(x=trees)
def test_paths_name_different_leaves_differently(x: Any) -> None:
    names = tree.paths(x)
    assert len(set(names)) == len(names)


@share(0.3)
@given(x=trees)
def test_the_number_of_leaves_must_be_right(x: Any) -> None:
    found, structure = tree.flatten(x)
    with pytest.raises(ShapeError, match="more leaves than the structure has places"):
        tree.unflatten(structure, [*found, 0])
    if found:
        with pytest.raises(ShapeError, match="fewer leaves than the structure has places"):
            tree.unflatten(structure, found[:-1])


def test_paths() -> None:
    x = {"layers": [Node(1, {"weight": 2}), None], "pair": Point(3, (4, 5)), 6: 7}
    assert tree.paths(x) == ["layers/0/first", "layers/0/second/weight", "pair/x", "pair/y/0", "pair/y/1", "6"]
    assert tree.paths(1.0) == [""]
    assert tree.paths(None) == []


def test_leaves_are_what_is_no_container() -> None:
    array, words = np.ones(2), {"a", "b"}
    found, _ = tree.flatten([array, "text", words, 1.0, range(3), Node])
    assert found[0] is array and found[2] is words
    assert found[1:2] + found[3:] == ["text", 1.0, range(3), Node]


def test_static_fields_belong_to_the_structure() -> None:
    found, structure = tree.flatten(Node(1, 2, "name"))
    assert found == [1, 2]
    assert tree.unflatten(structure, [3, 4]) == Node(3, 4, "name")
    assert structure != tree.flatten(Node(1, 2, "other"))[1]
    assert structure == tree.flatten(Node(5, 6, "name"))[1]


@pytest.mark.parametrize(("one", "other"), [(1, True), (1, 1.0), (0.0, -0.0), ((2, 0), (2.0, 0))])
def test_static_fields_of_equal_values_and_other_types_are_told_apart(one: Any, other: Any) -> None:
    structures = [tree.flatten(Node(1, 2, static))[1] for static in (one, other, one)]
    assert structures[0] != structures[1] and structures[0] == structures[2]


def test_entries_of_a_dict_are_matched_by_key() -> None:
    assert tree.map(lambda a, b: a - b, {"a": 10, "b": 20}, {"b": 1, "a": 2}) == {"a": 8, "b": 19}
    assert list(tree.map(lambda a, b: a, {"b": 1, "a": 2}, {"a": 3, "b": 4})) == ["b", "a"]


@pytest.mark.parametrize(
    ("one", "other", "place"),
    [
        ([1, 2], [1, 2, 3], "the root"),
        ([1, 2], (1, 2), "the root"),
        ({"a": 1}, {"b": 1}, "the root"),
        ({"a": [1, {"b": 2}]}, {"a": [1, {"b": 2, "c": 3}]}, "a/1"),
        ({"a": [1, {"b": 2}]}, {"a": [1, 5]}, "a/1"),
        (Point(1, (2,)), Point(1, 2), "y"),
        (Point(1, 2), (1, 2), "the root"),
        (Node(1, None), Node(1, 2), "second"),
        ([None], [1], "0"),
        ([[1]], [None], "0"),
    ],
    ids=repr,
)
def test_differences_are_named(one: Any, other: Any, place: str) -> None:
    with pytest.raises(ShapeError, match=f"trees differ at {place}: "):
        tree.map(lambda a, b: a, one, other)


def test_a_deeper_tree_may_stand_for_a_leaf() -> None:
    assert tree.map(lambda a, b: (a, b), [1, 2], [[3, 4], {"c": 5}]) == [(1, [3, 4]), (2, {"c": 5})]
