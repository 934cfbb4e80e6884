"""Nested parameters.

Parameters, optimiser states and tasks are *trees*: arrays nested in dicts, tuples, named tuples,
lists and dataclasses. ``flatten`` lists the leaves in a fixed order and keeps the rest as a
structure; ``unflatten`` is its inverse. ``None`` is a tree without leaves. Entries of a dict are
matched by key, whatever their order; a dataclass field declared with ``metadata={"static": True}``
is part of the structure.

    >>> leaves, structure = flatten({"weight": 1.0, "bias": [2.0, None]})
    >>> leaves
    [1.0, 2.0]
    >>> unflatten(structure, [10.0, 20.0])
    {'weight': 10.0, 'bias': [20.0, None]}

A container comes back as what it was, an ``OrderedDict`` or a class of the user's, with other leaves
in its places. That runs none of the class's code: a constructor that scales its weights would scale
them at every update, and the gradient of one that normalises them would not be that of the
function. So a container has to be its entries or its fields. What a ``functools.cached_property``
remembers is left behind, to be computed again; other attributes are refused.
"""

import functools
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from minimeta.autodiff import containers
from minimeta.autodiff.containers import REGISTERED, Parts, maker_of, parts_of, positions
from minimeta.errors import ShapeError


class Structure(NamedTuple):
    """What is left of a tree without its leaves; equal for trees of equal form.

    Attributes
    ----------
    kind
        The container's class, ``None`` for an empty tree, or ``"leaf"``.
    keys
        Names of the children: dict keys, field names or positions.
    children
        Their structures.
    static
        Of each attribute that is part of the structure (static fields of a dataclass, the factory
        of a defaultdict) the name, the value, and what its equals may differ in.
    """

    kind: Any
    keys: tuple[Any, ...] = ()
    children: tuple[Any, ...] = ()
    static: tuple[Any, ...] = ()


LEAF = Structure("leaf")
_EMPTY = Structure(None)

register = containers.register


def flatten(tree: Any) -> tuple[list[Any], Structure]:
    """Return the leaves of a tree, in order, and its structure.

    Parameters
    ----------
    tree
        Nested dicts, tuples, named tuples, lists and dataclasses; anything else is a leaf, ``None``
        is empty.

    Returns
    -------
    leaves : list
    structure : Structure
    """
    if type(tree) is tuple:  # The arguments of most functions: a row of arrays.
        for child in tree:
            if child is None or parts_of(type(child)) is not None:
                break
        else:
            return list(tree), _row(len(tree))
    take_apart = parts_of(type(tree))
    if take_apart is None:
        return ([], _EMPTY) if tree is None else ([tree], LEAF)
    leaves: list[Any] = []
    return leaves, _flatten(take_apart(tree), leaves)


@functools.cache
def _row(length: int) -> Structure:
    return Structure(tuple, positions(length), (LEAF,) * length)


def _flatten(parts: Parts, leaves: list[Any]) -> Structure:
    kind, keys, children, static = parts
    structures = []
    for child in children:  # Most are leaves, for which a call would be most of the time.
        take_apart = parts_of(type(child))
        if take_apart is not None:
            structures.append(_flatten(take_apart(child), leaves))
        elif child is None:
            structures.append(_EMPTY)
        else:
            leaves.append(child)
            structures.append(LEAF)
    # Flattening is a good part of a compiled call, and a named tuple's own constructor a good part
    # of flattening.
    return tuple.__new__(Structure, (kind, keys, tuple(structures), static))


def unflatten(structure: Structure, leaves: Iterable[Any]) -> Any:
    """Return the tree with this structure and these leaves.

    Raises
    ------
    ShapeError
        The number of leaves is not the structure's.
    """
    if structure.kind is tuple:
        leaves = tuple(leaves)
        if len(leaves) == len(structure.children) and structure is _row(len(leaves)):
            return leaves
    remaining = iter(leaves)
    end = object()
    try:
        tree = _unflatten(structure, remaining)
    except StopIteration:
        raise ShapeError("unflatten: fewer leaves than the structure has places") from None
    if next(remaining, end) is not end:
        raise ShapeError("unflatten: more leaves than the structure has places")
    return tree


def _unflatten(structure: Structure, leaves: Iterator[Any]) -> Any:
    kind, keys, structures, static = structure
    if kind == "leaf":
        return next(leaves)
    if kind is None:
        return None
    if kind is dict:
        pairs = zip(keys, structures, strict=True)
        return {key: next(leaves) if child is LEAF else _unflatten(child, leaves) for key, child in pairs}
    children = [next(leaves) if child is LEAF else _unflatten(child, leaves) for child in structures]
    if kind is tuple:
        return tuple(children)
    if kind is list:
        return children
    if kind in REGISTERED:
        return REGISTERED[kind][1](static[0][1], children)
    tree = maker_of(kind)(keys, children)
    for name, value, _ in static:
        object.__setattr__(tree, name, tree if name == "__dict__" else value)
    return tree


def leaves_like(structure: Structure, tree: Any) -> list[Any]:
    """Return the leaves of a tree in the order of a structure, dict entries matched by key.

    Raises
    ------
    ShapeError
        The tree has another form; the message names the place.
    """
    leaves: list[Any] = []
    _leaves_like(structure, tree, leaves, "")
    return leaves


def _leaves_like(structure: Structure, tree: Any, leaves: list[Any], path: str) -> None:
    kind, keys = structure.kind, structure.keys
    if kind == "leaf":
        leaves.append(tree)
        return
    if kind is None:
        if tree is not None:
            raise ShapeError(f"trees differ at {path or 'the root'}: None against {type(tree).__name__}")
        return
    parts = parts_of(type(tree))
    found_kind, found, children, _ = parts(tree) if parts else (None, (), (), ())
    alike = found_kind is kind or (isinstance(tree, dict) and issubclass(kind, dict))
    if not alike or set(found) != set(keys):
        expected, actual = f"{kind.__name__}{list(keys)}", f"{type(tree).__name__}{list(found) if parts else ''}"
        raise ShapeError(f"trees differ at {path or 'the root'}: expected {expected}, got {actual}")
    by_key = dict(zip(found, children, strict=True))
    for key, child in zip(keys, structure.children, strict=True):
        _leaves_like(child, by_key[key], leaves, f"{path}/{key}" if path else str(key))


def map(function: Callable[..., Any], tree: Any, *others: Any) -> Any:
    """Apply a function leaf by leaf to one or more trees of the same form.

    Raises
    ------
    ShapeError
        The trees differ in form; the message names the place.
    """
    leaves, structure = flatten(tree)
    columns = [leaves, *(leaves_like(structure, other) for other in others)]
    return unflatten(structure, [function(*row) for row in zip(*columns, strict=True)])


def ravel(tree: Any) -> tuple[Any, Callable[[Any], Any]]:
    """Join the leaves of a tree to one vector, for what knows vectors alone.

    Parameters
    ----------
    tree
        Its leaves are arrays of floats, or Arrays.

    Returns
    -------
    vector : Array or numpy.ndarray
        The elements of all leaves, in order, in the dtype that holds them all; float64 of none.
    unravel : callable
        From a vector of this length back to a tree of the same shapes and dtypes.

    Examples
    --------
    >>> vector, unravel = tree.ravel({"weight": np.ones((2, 2)), "bias": np.zeros(2)})
    >>> vector
    array([1., 1., 1., 1., 0., 0.])
    >>> unravel(2 * vector)["bias"]
    array([0., 0.])
    """
    leaves, structure = flatten(tree)
    arrays = [leaf if hasattr(leaf, "dtype") else np.asarray(leaf) for leaf in leaves]
    sizes = [math.prod(x.shape) for x in arrays]
    vector = np.concatenate([np.ravel(x) for x in arrays]) if arrays else np.zeros(0)

    def unravel(vector: Any) -> Any:
        """Cut a vector into the leaves of the tree.

        Raises
        ------
        ShapeError
            It has another number of elements.
        """
        if vector.shape != (sum(sizes),):
            raise ShapeError(f"unravel of shape {vector.shape}: the tree has {sum(sizes)} elements")
        parts = np.split(vector, np.cumsum(sizes)[:-1].tolist()) if arrays else []
        made = [
            np.reshape(part, x.shape) if part.dtype == x.dtype else np.astype(np.reshape(part, x.shape), x.dtype)
            for part, x in zip(parts, arrays, strict=True)
        ]
        return unflatten(structure, made)

    return vector, unravel


def paths(tree: Any) -> list[str]:
    """Return the names of the leaves, such as ``layers/0/weight`` (the empty string for a bare
    leaf).
    """
    return list(_paths(flatten(tree)[1], ""))


def _paths(structure: Structure, path: str) -> Iterator[str]:
    if structure.kind == "leaf":
        yield path
    for key, child in zip(structure.keys, structure.children, strict=True):
        yield from _paths(child, f"{path}/{key}" if path else str(key))


def count(structure: Structure) -> int:
    """Count the leaves of a structure."""
    return 1 if structure.kind == "leaf" else sum(count(child) for child in structure.children)


def spread(prefix: Any, structure: Structure) -> list[Any]:
    """Return what a prefix of a tree says for each leaf of the tree.

    Parameters
    ----------
    prefix
        A tree like that of the structure, but that a number, a string or None may stand for all
        that is below.
    structure
        Of the tree.

    Raises
    ------
    ShapeError
        The prefix has another form; the message names the place.

    Examples
    --------
    >>> spread((0, {"a": None, "b": 1}), flatten(([1.0, 2.0], {"a": 3.0, "b": 4.0}))[1])
    [0, 0, None, 1]
    """
    return list(_spread(prefix, structure, ""))


def _spread(prefix: Any, structure: Structure, path: str) -> Iterator[Any]:
    parts = parts_of(type(prefix))
    if parts is None:
        yield from [prefix] * count(structure)
        return
    _, keys, children, _ = parts(prefix)
    if set(keys) != set(structure.keys):
        raise ShapeError(
            f"a prefix of a tree differs from it at {path or 'the root'}: it has {list(keys)}, and not "
            f"{list(structure.keys)}"
        )
    by_key = dict(zip(keys, children, strict=True))
    for key, child in zip(structure.keys, structure.children, strict=True):
        yield from _spread(by_key[key], child, f"{path}/{key}" if path else str(key))
