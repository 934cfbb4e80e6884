"""Containers come back as what they were, and none of their code runs."""

import dataclasses
import functools
from collections import Counter, OrderedDict, defaultdict
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
import pytest

import minimeta as mm
from minimeta import optim, tree
from minimeta.errors import ShapeError
from minimeta.training import TrainingState, checkpoint


@dataclasses.dataclass(kw_only=True)
class Named:
    value: Any


# Containers come back as what they were, and none of their code runs


@dataclasses.dataclass
class Doubling:
    w: Any

    def __post_init__(self) -> None:
        self.w = self.w * 2


@dataclasses.dataclass(frozen=True)
class Normalising:
    w: Any

    def __post_init__(self) -> None:
        object.__setattr__(self, "w", self.w / np.sqrt(np.sum(self.w**2)))


@dataclasses.dataclass(frozen=True, slots=True)
class Slotted:
    w: Any
    scale: float = dataclasses.field(default=1.0, metadata={"static": True})

    def __post_init__(self) -> None:
        object.__setattr__(self, "w", self.w * 2)


@dataclasses.dataclass
class Inherited(Doubling):
    bias: Any = dataclasses.field(default_factory=lambda: np.full(2, 7.0))
    size: Any = dataclasses.field(init=False, metadata={"static": True})
    start: dataclasses.InitVar[float] = 1.0

    def __post_init__(self, start: float) -> None:
        super().__post_init__()
        self.size = len(self.w)
        self.bias = self.bias + start


@dataclasses.dataclass(kw_only=True)
class Refusing:
    w: Any
    made: Any = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "made", self.w * 3)

    def __setattr__(self, name: str, value: Any) -> None:
        if hasattr(self, "made"):
            raise AttributeError("this one never changes")
        object.__setattr__(self, name, value)


class Pair(tuple[Any, ...]):
    __slots__ = ()

    def __new__(cls, a: Any, b: Any) -> "Pair":
        return super().__new__(cls, (a * 2, b))


class _Halves(NamedTuple):
    w: Any
    b: Any


class Halves(_Halves):
    __slots__ = ()

    def __new__(cls, w: Any, b: Any) -> "Halves":
        return super().__new__(cls, w * 0.5, b)

    def __iter__(self) -> Any:
        return iter((self.b, self.w))


class Layers(list[Any]):
    def __init__(self, *layers: Any) -> None:
        super().__init__(layer * 2 for layer in layers)

    def __iter__(self) -> Any:
        return reversed(list(super().__iter__()))


class Lower(dict[str, Any]):
    """A dict with rules of its own, which a copy would break."""

    def __init__(self, **entries: Any) -> None:
        super().__init__()
        for name, value in entries.items():
            self[name] = value

    def __setitem__(self, name: str, value: Any) -> None:
        super().__setitem__(name.lower(), value * 2)

    def __iter__(self) -> Any:
        return iter(sorted(super().keys()))


class Attributes(dict[str, Any]):
    def __init__(self, **entries: Any) -> None:
        super().__init__(entries)
        self.__dict__ = self


T = TypeVar("T")


@dataclasses.dataclass
class Boxed(Generic[T]):
    w: T


def containers() -> list[Any]:
    a, b = np.array([3.0, 4.0]), np.array([1.0, -1.0])
    return [
        *(Doubling(a), Normalising(a), Slotted(a, 3.0), Inherited(a), Refusing(w=a)),
        *(Boxed[Any](a), Pair(a, b), Halves(a, b), Layers(a, b), Lower(B=a, A=b), Attributes(w=a, b=b)),
        *(OrderedDict(b=a, a=b), defaultdict(a.copy, b=a, a=b), Counter({"b": a, "a": b})),
    ]


def entries_of(x: Any) -> list[tuple[Any, Any]]:
    """What a container holds, found by Python's own ways to it."""
    if isinstance(x, dict):
        return list((OrderedDict if isinstance(x, OrderedDict) else dict).items(x))
    if isinstance(x, (tuple, list)):
        return list(enumerate((list if isinstance(x, list) else tuple).__iter__(x)))  # type: ignore[arg-type]
    return [(field.name, getattr(x, field.name)) for field in dataclasses.fields(x)]


def assert_is(found: Any, like: Any, change: Any) -> None:
    """Of the same class, with changed arrays in the same places in the same order, and all else as it was."""
    assert type(found) is type(like)
    expected = [(key, change(x) if isinstance(x, np.ndarray) else x) for key, x in entries_of(like)]
    assert [key for key, _ in entries_of(found)] == [key for key, _ in expected]
    for (_, x), (_, y) in zip(entries_of(found), expected, strict=True):
        np.testing.assert_array_equal(x, y, strict=True)
    if isinstance(like, defaultdict):
        assert found.default_factory is like.default_factory
    if isinstance(like, Attributes):
        assert found.w is found["w"]


@pytest.mark.parametrize("x", containers(), ids=lambda x: type(x).__name__)
def test_containers_are_rebuilt_without_their_code(x: Any) -> None:
    found, structure = tree.flatten(x)
    assert [leaf.tolist() for leaf in found] == [e.tolist() for _, e in entries_of(x) if isinstance(e, np.ndarray)]
    assert_is(tree.unflatten(structure, found), x, lambda leaf: leaf)
    assert_is(tree.map(lambda leaf: leaf + 1.0, x), x, lambda leaf: leaf + 1.0)
    assert tree.flatten(tree.unflatten(structure, found))[1] == structure


@pytest.mark.parametrize("x", containers(), ids=lambda x: type(x).__name__)
def test_transformations_give_back_what_they_were_given(x: Any) -> None:
    def grown(x: Any) -> Any:
        return tree.map(lambda leaf: leaf * leaf + 1.0, x)

    def value(x: Any) -> Any:
        return sum(np.sum(leaf**3) for leaf in tree.flatten(x)[0])

    compiled = mm.compile(grown)
    for _ in range(3):  # The third call is a native one.
        assert_is(compiled(x), x, lambda leaf: leaf * leaf + 1.0)
    assert_is(mm.grad(value)(x), x, lambda leaf: 3 * leaf**2)
    compiled = mm.compile(mm.grad(value))
    for _ in range(3):
        assert_is(compiled(x), x, lambda leaf: 3 * leaf**2)
    assert_is(mm.vmap(grown)(x), x, lambda leaf: leaf * leaf + 1.0)
    assert_is(mm.vmap(grown, enabled=False)(x), x, lambda leaf: leaf * leaf + 1.0)
    assert_is(mm.jvp(grown, (x,), (x,))[1], x, lambda leaf: 2 * leaf * leaf)


@pytest.mark.parametrize("x", containers(), ids=lambda x: type(x).__name__)
def test_updates_and_checkpoints_keep_the_class(x: Any, tmp_path: Any) -> None:
    optimiser = optim.momentum(0.5, 0.0)
    state = optimiser.init(x)
    assert_is(state, x, lambda leaf: 0 * leaf)
    updated, _ = optimiser.update(x, state, x)
    assert_is(updated, x, lambda leaf: leaf - 0.5 * leaf)
    checkpoint.save(tmp_path / "c.npz", TrainingState(3, updated, state), {})
    loaded = checkpoint.load(tmp_path / "c.npz", TrainingState(0, x, state), {})
    assert_is(loaded.meta_parameters, updated, lambda leaf: leaf)


def test_a_constructor_that_normalises_is_no_part_of_the_gradient() -> None:
    # The function is linear in p.w, so its gradient is the weights, wherever p.w is; had the constructor run inside,
    # it would be their projection onto the sphere's tangent.
    weights, point = np.array([2.0, 5.0]), Normalising(np.array([3.0, 4.0]))
    assert point.w.tolist() == [0.6, 0.8]

    def value(p: Normalising) -> Any:
        return np.sum(weights * p.w)

    for gradient in (mm.grad(value)(point), mm.compile(mm.grad(value))(point)):
        assert gradient.w.tolist() == [2.0, 5.0]


def test_a_constructor_that_doubles_does_not_at_every_update() -> None:
    p, optimiser = Doubling(np.ones(2)), optim.sgd(0.1)
    step = mm.compile(lambda p, s: optimiser.update(mm.grad(lambda p: np.sum(p.w))(p), s, p))
    for _ in range(5):
        p, _ = step(p, ())
    np.testing.assert_allclose(p.w, [1.5, 1.5], rtol=1e-15)


def test_dicts_of_any_class_are_matched_by_key() -> None:
    for special in (OrderedDict(b=1, a=2), defaultdict(int, b=1, a=2)):
        assert tree.map(lambda a, b: a + b, {"a": 10, "b": 20}, special) == {"a": 12, "b": 21}
        assert type(tree.map(lambda a, b: a + b, special, {"a": 10, "b": 20})) is type(special)


def test_what_a_cached_property_remembers_is_computed_again() -> None:
    @dataclasses.dataclass
    class Weights:
        w: Any

        @functools.cached_property
        def total(self) -> Any:
            return np.sum(self.w)

    x = Weights(np.ones(3))
    assert x.total == 3.0
    assert tree.map(lambda leaf: leaf + 1.0, x).total == 6.0
    assert mm.grad(lambda x: x.total**2)(x).w.tolist() == [6.0, 6.0, 6.0]


def test_attributes_that_would_be_lost_are_refused() -> None:
    @dataclasses.dataclass
    class Weights:
        w: Any

        def __post_init__(self) -> None:
            self.total = np.sum(self.w)

    class Named(list[Any]):
        name = ""

    named = Named([1.0])
    assert type(tree.map(lambda x: x, named)) is Named
    named.name = "first"
    with pytest.raises(
        ShapeError, match=r"a Weights has the attribute 'total', and is rebuilt.* from its fields alone"
    ):
        tree.flatten(Weights(np.ones(2)))
    with pytest.raises(ShapeError, match=r"'name', .* from its entries alone.*field\(init=False, metadata="):
        tree.flatten({"a": named})
