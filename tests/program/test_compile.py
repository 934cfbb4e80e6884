"""compile: the same bits as an eager run, one trace for each signature, and errors that say what to do."""

import copy
import dataclasses
import functools
import gc
import os
import pickle
import random
import subprocess
import threading
import warnings
import weakref
import zlib
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import fresh_python
import numpy as np
import pytest
from drawing import share, spread
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from random_programs import programs

import minimeta as mm
from minimeta import nn, optim
from minimeta.autodiff.array import Form
from minimeta.errors import ConfigurationError, DtypeError, IndexingError, ShapeError, TracingError
from minimeta.learners import MAML
from minimeta.program import Compiled, interpret
from minimeta.tasks.task import Examples, Task
from minimeta.training import make_step

Function = Callable[..., Any]


def assert_same_bits(one: Any, other: Any) -> None:
    (ones, form), (others, other_form) = mm.tree.flatten(one), mm.tree.flatten(other)
    assert form == other_form
    for a, b in zip(ones, others, strict=True):
        assert (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())


class Counted:
    """A function that counts how often it runs."""

    def __init__(self, function: Function) -> None:
        self.function = function
        self.runs = 0

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        self.runs += 1
        return self.function(*arguments, **keywords)


# Calls like the one before


class Pair(NamedTuple):
    first: Any
    second: Any


@dataclasses.dataclass(frozen=True)
class Held:
    value: Any
    rest: Any = None


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


# The same bits


@share(0.3)
@given(function=programs())
def test_compiled_functions_equal_eager_ones_bit_for_bit(function: Function) -> None:
    point = spread(np.random.default_rng(5), (2, 3), "unit")
    for dtype in (np.float64, np.float32):
        x = point.astype(dtype)
        for whole in (function, mm.value_and_grad(function), mm.grad(lambda x: mm.sum(mm.grad(function)(x) ** 2))):
            compiled = mm.compile(whole, check=True)
            assert_same_bits(compiled(x), mm.compile(whole, enabled=False)(x))
            assert_same_bits(compiled(2 * x), mm.compile(whole, enabled=False)(2 * x))


def test_passes_are_switches() -> None:
    def function(x: Any) -> Any:
        return mm.sin(x) * 1.0 + mm.sin(x)

    x = np.array([0.5, -0.0])
    shortened, whole = mm.compile(function), mm.compile(function, passes=())
    assert len(shortened.lower(x).steps) < len(whole.lower(x).steps)
    assert_same_bits(shortened(x), whole(x))
    with pytest.raises(ConfigurationError, match="unknown passes melt"):
        mm.compile(function, passes=["melt"])


@pytest.mark.parametrize("order", [1, 2])
def test_a_whole_step_of_meta_training_compiles(order: int) -> None:
    rng = np.random.default_rng(0)
    model = nn.mlp((1, 40, 40, 1), dtype="float32")
    learner = MAML(model, nn.mean_squared_error, inner_learning_rate=0.01, inner_steps=2, order=order)
    optimiser = optim.adam(1e-3)
    step = make_step(learner, optimiser)
    compiled, eager = mm.compile(step, check=True), mm.compile(step, enabled=False)
    parameters = learner.init(rng)
    state = optimiser.init(parameters)
    for _ in range(3):
        inputs = rng.uniform(-5, 5, (2, 4, 10, 1)).astype(np.float32)
        batch = Task(Examples(inputs[0], np.sin(inputs[0])), Examples(inputs[1], np.sin(inputs[1])))
        found = compiled(parameters, state, batch)
        assert_same_bits(found, eager(parameters, state, batch))
        assert_same_bits(found, step(parameters, state, batch))
        parameters, state, _ = found
    assert repr(compiled).endswith("step of MAML, 1 signature>")


@pytest.mark.parametrize("enabled", [True, False])
def test_results_are_fresh_writable_and_contiguous(enabled: bool) -> None:
    table = np.arange(4.0)

    def function(x: Any, y: Any) -> Any:
        return {"same": x, "again": x, "turned": mm.transpose(x), "table": table, "number": 2.0, "y": y, "none": None}

    x = np.arange(6.0).reshape(2, 3)
    compiled = mm.compile(function, enabled=enabled)
    for _ in range(2):
        found = compiled(x, 3)
        assert found["none"] is None
        assert_array_equal(found["turned"], np.arange(6.0).reshape(2, 3).T)
        assert_array_equal(found["table"], np.arange(4.0))
        leaves = mm.tree.flatten(found)[0]
        assert [leaf.dtype for leaf in leaves] == [np.dtype(float)] * 5 + [np.dtype(int)]
        for leaf in leaves:
            assert type(leaf) is np.ndarray
            assert leaf.flags.writeable and leaf.flags.c_contiguous and leaf.base is None
            leaf[...] = -1.0  # seen nowhere else, or the next call would be wrong
    assert_array_equal(x, np.arange(6.0).reshape(2, 3))
    assert_array_equal(table, np.arange(4.0))


@given(
    dtype=st.sampled_from(["<f4", ">f4", "<f8", ">f8"]),
    layout=st.sampled_from(["C", "F", "strided", "reversed", "unaligned", "read-only"]),
)
def test_layout_and_byte_order_are_no_part_of_the_signature(dtype: str, layout: str) -> None:
    values = np.arange(12.0).reshape(3, 4).astype(dtype)
    x = {
        "C": values,
        "F": np.asfortranarray(values),
        "strided": np.repeat(values, 2, 1)[:, ::2],
        "reversed": values[::-1].copy()[::-1],
        "unaligned": np.frombuffer(b"." + values.tobytes(), np.uint8)[1:].view(dtype).reshape(3, 4),
        "read-only": np.broadcast_to(values, (3, 4)),
    }[layout]
    counted = Counted(lambda x: mm.sum(mm.sin(x) @ x.T, 0))
    compiled = mm.compile(counted)
    native = values.astype(values.dtype.newbyteorder("="))
    assert_same_bits(compiled(x), compiled(native))
    assert counted.runs == 1
    assert_same_bits(compiled(x), mm.compile(counted.function, enabled=False)(x))


def test_an_index_out_of_bounds_is_the_eager_error() -> None:
    def pick(x: Any, i: Any) -> Any:
        return x[i]

    compiled = mm.compile(pick)
    assert_array_equal(compiled(np.arange(3.0), np.array([2, 0])), [2.0, 0.0])
    for function in (compiled, mm.compile(pick, enabled=False)):
        with pytest.raises(IndexingError):
            function(np.arange(3.0), np.array([3, 0]))


# Signatures


def test_a_function_is_traced_once_for_each_signature() -> None:
    counted = Counted(lambda tree, s: mm.sum(tree["a"]) * s + tree["b"][0])
    compiled = mm.compile(counted)
    for value in (1.0, 2.0):
        a = np.full(3, value)
        assert compiled({"a": a, "b": (value, None)}, 2.0) == 6 * value + value
        assert counted.runs == 1
    compiled({"a": a.astype(np.float32), "b": (value, None)}, 2.0)
    compiled({"a": a[:2], "b": (value, None)}, 2.0)
    compiled({"a": a, "b": [value, None]}, 2.0)
    compiled({"a": a, "b": (value, None)}, 2)
    compiled({"a": a, "b": (value, None)}, np.float64(2.0))
    assert counted.runs == 6
    compiled({"a": -a, "b": (-value, None)}, 7.5)
    assert counted.runs == 6


@pytest.mark.parametrize("scalar", [2.0, 3, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_python_scalar_is_weak_and_its_value_may_change(scalar: Any, dtype: str) -> None:
    counted = Counted(lambda x, s: (x * s, s, mm.where(x > s, x, s)))
    compiled, eager = mm.compile(counted), mm.compile(counted.function, enabled=False)
    x = np.array([0.1, 5.0], dtype)
    for value in (scalar, type(scalar)(0)):
        found = compiled(x, value)
        assert [y.dtype for y in found] == [dtype, np.dtype(type(scalar)), dtype]
        assert_same_bits(found, eager(x, value))
        assert_array_equal(found[0], x * value)
    assert counted.runs == 1
    assert compiled(x, np.float64(2.0))[0].dtype == np.float64


def test_static_arguments_are_values() -> None:
    counted = Counted(lambda x, n, activation=mm.tanh: activation(x) * n if n > 1 else x)

    @mm.compile(static=("n", 2))
    def function(x: Any, n: int, activation: Function = mm.tanh) -> Any:
        return counted(x, n, activation)

    x = np.ones(3)
    assert_same_bits(function(x, 2), mm.tanh(x) * 2)
    assert_same_bits(function(x, n=2), mm.tanh(x) * 2)
    assert_same_bits(function(x, 1, mm.sin), x)
    assert_same_bits(function(x, 2, activation=mm.sin), mm.sin(x) * 2)
    assert_same_bits(function(x=x, n=2), mm.tanh(x) * 2)
    runs = counted.runs
    assert_same_bits(function(2 * x, 2), mm.tanh(2 * x) * 2)
    assert counted.runs == runs


def test_equal_static_values_of_different_kinds_are_told_apart() -> None:
    function = mm.compile(lambda x, how: x if type(how[0]) is bool else -x, static="how")
    signs = mm.compile(lambda x, zero: x * np.copysign(1.0, zero), static=1)
    x = np.ones(2)
    assert_array_equal(function(x, (True,)), x)
    assert_array_equal(function(x, (1,)), -x)
    assert_array_equal(signs(x, 0.0), x)
    assert_array_equal(signs(x, -0.0), -x)
    # Settings are equal if their parts are.
    held = mm.compile(lambda x, setting: x * float(zlib.crc32(repr(setting).encode())), static="setting")
    for value in (1, True, 1.0, (1,), (True,), frozenset({1}), frozenset({1.0})):
        assert_array_equal(held(x, Held(value)), x * float(zlib.crc32(repr(Held(value)).encode())))
    zeros = mm.compile(lambda x, setting: x * np.copysign(1.0, setting.value), static="setting")
    assert_array_equal(zeros(x, Held(0.0)), x)
    assert_array_equal(zeros(x, Held(-0.0)), -x)
    kinds = mm.compile(lambda line: line.slope if type(line.power) is int else line.offset)
    assert kinds(Line(1.0, 2.0, power=1)) == 1.0
    assert kinds(Line(1.0, 2.0, power=True)) == 2.0


def test_places_and_passes_may_be_given_alone() -> None:
    numpys: Any = np.int64(1)
    for static in (numpys, "n", ["n"], range(1, 2), (numpys,)):
        function = mm.compile(lambda x, n: x * float(n), static=static)
        assert_array_equal(function(np.ones(2), 3), [3.0, 3.0])
    assert mm.compile(lambda x: x + x, passes="fuse")(2.0) == 4.0
    with pytest.raises(ConfigurationError, match="unknown passes fuze"):
        mm.compile(lambda x: x, passes="fuze")
    assert [part.tolist() for part in mm.split(np.arange(4.0), numpys + 1)] == [[0.0, 1.0], [2.0, 3.0]]


def test_what_cannot_be_static_is_refused() -> None:
    function = mm.compile(lambda x, n: x * n, static="n")
    with pytest.raises(TracingError, match="static argument 'n' is a ndarray, which is not hashable"):
        function(np.ones(3), n=np.ones(3))
    with pytest.raises(TracingError, match="static argument 1 is a list"):
        function(np.ones(3), [1])
    for static in ("m", 2, -1, ("n", "m")):
        with pytest.raises(ConfigurationError, match=r"is none of the arguments \['x', 'n'\]"):
            mm.compile(lambda x, n: x * n, static=static)
    with pytest.raises(ConfigurationError, match="is none of the arguments"):
        mm.compile(lambda *x: x, static="x")


def test_keywords_and_defaults() -> None:
    counted = Counted(lambda x, *rest, scale=2.0, **others: mm.sum(x) * scale + sum(rest) + others.get("bias", 0.0))
    function = mm.compile(counted)
    x = np.ones(3)
    assert function(x) == 6.0
    assert function(x, scale=3.0) == 9.0
    assert function(x, scale=4.0) == 12.0
    assert function(x, 1.0, bias=np.array(0.5), scale=1.0) == 4.5
    assert counted.runs == 3
    # A dict at the end is not the keywords.
    assert mm.compile(lambda x, options=None, **kw: x * (2.0 if options else 3.0))(1.0, {"a": 1.0}) == 2.0


@dataclasses.dataclass(frozen=True)
class Line:
    slope: Any
    offset: Any
    power: int = dataclasses.field(default=1, metadata={"static": True})

    @mm.compile
    def at(self, x: Any) -> Any:
        return (self.slope * x + self.offset) ** self.power


class Scaling:
    def __init__(self, factor: float) -> None:
        self.factor = factor

    @mm.compile(static="self")
    def apply(self, x: Any) -> Any:
        return x * self.factor


def test_trees_of_every_kind() -> None:
    line = Line(np.array([1.0, 2.0]), 0.5)
    assert_array_equal(line.at(2.0), [2.5, 4.5])
    assert_array_equal(Line(np.array([2.0, 2.0]), 0.5, power=2).at(2.0), [20.25, 20.25])
    doubled = mm.compile(lambda tree: mm.tree.map(lambda leaf: leaf * 2.0, tree))({"line": line, "rest": [None, 1.0]})
    assert type(doubled["line"]) is Line and doubled["rest"] == [None, 2.0]
    assert_array_equal(doubled["line"].slope, [2.0, 4.0])

    with pytest.raises(TracingError, match="Static fields of dataclasses"):
        Line(1.0, 2.0, power=[]).at(2.0)  # type: ignore[arg-type]


def test_methods() -> None:
    assert Scaling(2.0).apply(np.ones(1)) == 2.0
    assert Scaling(3.0).apply(np.ones(1)) == 3.0
    assert "multiply" in str(Scaling.apply.lower(Scaling(2.0), np.ones(1)))


def test_no_arguments_and_no_arrays() -> None:
    assert mm.compile(lambda: 3.0)() == 3.0
    assert mm.compile(lambda: None)() is None
    assert_array_equal(mm.compile(lambda: mm.grad(mm.sin)(0.0))(), 1.0)


def test_what_is_not_an_argument_is_a_constant() -> None:
    table = np.ones(3)
    function = mm.compile(lambda x: x * table)
    assert_array_equal(function(np.ones(3)), [1.0, 1.0, 1.0])
    table[...] = 5.0
    assert_array_equal(function(np.ones(3)), [1.0, 1.0, 1.0])


# Transformations


def smooth(x: Any, y: Any) -> Any:
    return mm.sum(mm.tanh(x) * mm.softmax(y))


POINT = np.array([0.3, -0.2, 1.0]), np.array([1.0, 0.0, 2.0])

TRANSFORMED: dict[str, Function] = {
    "grad": lambda f, x, y: mm.grad(f, [1, 0])(x, y),
    "value_and_grad": lambda f, x, y: mm.value_and_grad(f, argnums=1)(x, y),
    "jacobian": lambda f, x, y: mm.jacobian(f, 1)(x, y),
    "hessian": lambda f, x, y: mm.hessian(f)(x, y),
    "vjp": lambda f, x, y: mm.vjp(f, x, y)[1](2.0),
    "jvp": lambda f, x, y: mm.jvp(f, (x, y), (y, x)),
    "hvp": lambda f, x, y: mm.hvp(f, [x, y], [y, x]),
    "vmap": lambda f, x, y: mm.vmap(f, (0, None), out_axes="sum")(np.stack([x, y]), y),
    "vmap of grad": lambda f, x, y: mm.vmap(mm.grad(f), (0, None))(np.stack([x, y]), y),
}


@pytest.mark.parametrize("name", TRANSFORMED)
def test_a_transformation_of_a_compiled_function_is_compiled(name: str) -> None:
    counted, (x, y), transformed = Counted(smooth), POINT, TRANSFORMED[name]
    compiled = mm.compile(counted, check=True)
    assert_same_bits(transformed(compiled, x, y), transformed(smooth, x, y))
    runs = counted.runs
    assert_same_bits(transformed(compiled, -x, 2 * y), transformed(smooth, -x, 2 * y))
    assert counted.runs == runs > 0
    assert_same_bits(mm.compile(lambda x, y: transformed(compiled, x, y))(x, y), transformed(smooth, x, y))
    assert_same_bits(transformed(mm.compile(compiled), x, y), transformed(smooth, x, y))
    assert_same_bits(transformed(mm.compile(smooth, enabled=False), x, y), transformed(smooth, x, y))


@share(0.1)
@given(function=programs())
def test_transformations_of_compiled_functions_equal_eager_ones_bit_for_bit(function: Function) -> None:
    x, u = (spread(np.random.default_rng(seed), (2, 3), "unit") for seed in (5, 6))
    compiled = mm.compile(function)
    assert_same_bits(mm.grad(compiled)(x), mm.grad(function)(x))
    assert_same_bits(mm.hvp(compiled, (x,), (u,)), mm.hvp(function, (x,), (u,)))
    assert_same_bits(mm.grad(mm.rematerialize(compiled))(x), mm.grad(mm.rematerialize(function))(x))


def test_equal_transformations_are_one_compiled_function() -> None:
    f = mm.compile(smooth)
    assert repr(mm.grad(f)) == "<compiled grad(smooth), 0 signatures>"
    assert mm.grad(f) is mm.grad(f) and mm.grad(f, [0, 1]) is mm.grad(f, [0, 1])
    assert mm.vmap(f, ({"w": 0}, None)) is mm.vmap(f, ({"w": 0}, None))
    different = [
        mm.grad(f),
        mm.grad(f, 1),
        mm.grad(f, (0,)),
        mm.value_and_grad(f),
        mm.hessian(f),
        mm.vmap(f),
        mm.vmap(f, 1),
    ]
    assert len(set(map(id, different))) == len(different)
    assert mm.grad(mm.compile(smooth)) is not mm.grad(f)
    again = pickle.loads(pickle.dumps(mm.grad(mm.hessian(module_level))))
    assert again is mm.grad(mm.hessian(module_level))


def test_transformed_functions_are_freed_with_their_function() -> None:
    gc.collect()
    gc.disable()
    try:
        compiled = mm.compile(lambda x: mm.sum(x**2))
        mm.grad(compiled)(np.ones(2))
        mm.vjp(compiled, np.ones(2))[1](1.0)
        remembered: list[weakref.ref[Any]] = [weakref.ref(compiled), weakref.ref(mm.grad(compiled))]
        del compiled
        assert all(reference() is None for reference in remembered)
    finally:
        gc.enable()


def test_transformations_keep_the_settings() -> None:
    x = np.ones(3)
    with pytest.raises(TracingError, match=r"grad\(.*\) is not pure"):
        mm.grad(mm.compile(lambda x: mm.sum(_draws(np.random.default_rng())(x)), check=True))(x)
    eager = mm.compile(lambda x: mm.sum(x) if mm.sum(x) > 0 else -mm.sum(x), enabled=False)
    assert_array_equal(mm.grad(eager)(-x), -x)
    whole = mm.grad(mm.compile(lambda x: mm.sum(mm.sin(x)), passes=()))
    assert isinstance(whole, Compiled) and "alias" in [step.primitive.name for step in whole.lower(x).steps]


def test_static_arguments_stay_static_where_a_function_is_transformed() -> None:
    def repeated(x: Any, n: int, activation: Function = mm.tanh) -> Any:
        for _ in range(n):
            x = activation(x)
        return mm.sum(x)

    def twice(x: Any) -> Any:
        return repeated(x, 2)

    function = mm.compile(repeated, static=("n", "activation"))
    x, u = POINT
    assert_same_bits(mm.grad(function)(x, 2), mm.grad(twice)(x))
    assert_same_bits(mm.grad(function, (0,))(x, n=2, activation=mm.tanh), mm.grad(twice, (0,))(x))
    assert_same_bits(mm.grad(function)(x, 1, mm.sin), mm.cos(x))
    assert_same_bits(mm.hessian(function)(x, n=2), mm.hessian(twice)(x))
    assert_same_bits(mm.vmap(function, (0, None))(x, 2), mm.vmap(twice)(x))
    assert_same_bits(mm.jvp(function, (x, 2), (u, None)), mm.jvp(twice, (x,), (u,)))
    assert_same_bits(mm.vjp(function, x, 2)[1](1.0), (mm.grad(twice)(x), None))
    assert_same_bits(mm.compile(lambda x: mm.grad(function)(x, 2))(x), mm.grad(twice)(x))


def test_transformations_of_methods() -> None:
    line = Line(2.0, 0.5, power=3)
    assert mm.grad(line.at)(2.0) == 3 * 4.5**2 * 2.0
    assert mm.grad(line.at) == mm.grad(line.at)
    assert mm.vjp(line.at, 2.0)[1](1.0) == (3 * 4.5**2 * 2.0,)
    assert mm.hvp(line.at, (2.0,), (1.0,)) == (6 * 4.5 * 4.0,)
    assert_array_equal(mm.vmap(line.at)(np.array([0.0, 0.5])), [0.125, 3.375])
    assert mm.grad(Line.at, 1)(line, 2.0) == 3 * 4.5**2 * 2.0
    for factor in (2.0, 3.0):
        assert mm.grad(Scaling(factor).apply)(1.0) == factor


def test_the_pullback_of_a_compiled_function() -> None:
    def function(x: Any, w: Any) -> Any:
        return {"product": mm.tanh(x) @ w, "first": mm.argmax(x, 0)}, x[0]

    x, w = (spread(np.random.default_rng(seed), (3, 3)).astype(np.float32) for seed in (1, 2))
    value, pullback, aux = mm.vjp(mm.compile(function), x, w, has_aux=True)
    expected_value, expected, expected_aux = mm.vjp(function, x, w, has_aux=True)
    assert_same_bits((value, aux), (expected_value, expected_aux))
    for product in (np.eye(3), np.float32(2.0) * w):
        cotangent = {"first": 0, "product": product}
        assert_same_bits(pullback(cotangent), expected(cotangent))
    before = pullback(cotangent)
    x[...] = np.nan  # A buffer that is filled again changes no gradient.
    assert_same_bits(pullback(cotangent), before)

    def of_cotangent(pullback: Function) -> Function:
        return mm.grad(lambda g: mm.sum(mm.sin(pullback({"first": 0, "product": g})[0])))

    assert_same_bits(of_cotangent(pullback)(w), of_cotangent(expected)(w))
    with pytest.raises(ShapeError, match=r"output 0 has shape \(3, 3\), but its cotangent has shape \(2,\)"):
        pullback({"first": 0, "product": np.ones(2)})
    with pytest.raises(DtypeError, match="vjp with respect to argument 0, of dtype int64"):
        mm.vjp(mm.compile(function), np.ones((3, 3), int), w)


def test_directions_take_the_dtype_of_the_point() -> None:
    x, u = (part.astype(np.float32) for part in POINT)
    for direction in (u, u.astype(np.float64), [0.5, 1.0, 2.0]):
        found = [mm.jvp(f, (x,), (np.asarray(direction),)) for f in (mm.sin, mm.compile(mm.sin))] + [
            mm.compile(lambda u: mm.jvp(mm.sin, (x,), (u,)))(np.asarray(direction))
        ]
        for value, tangent in found:
            assert_same_bits((value, tangent), (mm.sin(x), np.asarray(direction, np.float32) * mm.cos(x)))
            assert tangent.dtype == np.float32


def test_transformations_of_closures_over_outer_arrays() -> None:
    x = POINT[0]

    def outer(s: Any, kind: Function) -> Any:
        inner = kind(lambda x: mm.sum(mm.sin(s * x)))
        value, pullback = mm.vjp(inner, x)
        return value + mm.sum(pullback(2.0)[0]) + mm.sum(mm.grad(inner)(x)) + mm.jvp(inner, (x,), (x,))[1]

    assert_allclose(mm.grad(outer)(2.0, mm.compile), mm.grad(outer)(2.0, lambda function: function), rtol=1e-14)


def test_a_compiled_function_inside_another_belongs_to_its_program() -> None:
    inner = mm.compile(lambda x: mm.sin(x) * 2.0)
    outer = mm.compile(lambda x: inner(x) + inner(np.ones(2)))
    x = np.array([0.5, 1.5])
    assert_array_equal(outer(x), mm.sin(x) * 2.0 + mm.sin(np.ones(2)) * 2.0)
    assert str(outer.lower(x)).count("sin(") == 1  # that of a constant is a constant


@pytest.mark.parametrize("arguments", [(), (np.ones(3),)])
def test_an_outer_array_taken_by_closure_keeps_its_derivative(arguments: Any) -> None:
    def outer(s: Any) -> Any:
        inner = mm.compile(lambda *x: mm.sum(s * s * np.ones(3)))
        with pytest.raises(TracingError, match="by closure, so it has no program of its own"):
            inner.lower(*arguments)
        return inner(*arguments)

    assert mm.grad(outer)(2.0) == 12.0
    assert mm.compile(mm.grad(outer))(2.0) == 12.0


# What is refused


@pytest.mark.parametrize("enabled", [True, False])
def test_a_generator_is_refused(enabled: bool) -> None:
    def noisy(x: Any, rng: Any) -> Any:
        return x * rng.normal()

    x, rng = np.ones(3), np.random.default_rng(0)
    with pytest.raises(TracingError, match=r"argument '1' is a random generator.*Draw outside") as caught:
        mm.compile(noisy, enabled=enabled)(x, rng)
    assert f"\n  at {__file__}" in str(caught.value)
    with pytest.raises(TypeError, match="argument 'rng' is a random generator"):
        mm.compile(noisy, enabled=enabled)(x, rng=rng)
    with pytest.raises(TypeError, match="argument '0/b' is a random generator"):
        mm.compile(lambda tree: tree["a"], enabled=enabled)({"a": x, "b": rng})
    with pytest.raises(TypeError, match="argument 'rng' is a random generator"):
        mm.compile(noisy, enabled=enabled, static=1)(x, rng=rng)


def test_what_is_no_array_is_named() -> None:
    with pytest.raises(DtypeError, match=r"argument '1/name' is an array of dtype str.*declared static"):
        mm.compile(lambda x, options: x)(np.ones(3), {"name": "relu"})
    with pytest.raises(DtypeError, match="complex128"):
        mm.compile(lambda x: x)(np.ones(3, complex))
    with pytest.raises(DtypeError, match="dtype str"):
        mm.compile(lambda x: (x, "aux"))(np.ones(3))


@pytest.mark.parametrize(
    "use",
    [
        lambda x, rng: x * rng,
        lambda x, rng: rng + x,
        lambda x, rng: np.add(x, rng),  # noqa: PLW0108 (its keyword is not a ufunc's)
        lambda x, rng: mm.where(x > 0.0, x, rng),
        lambda x, rng: (x, rng),
    ],
)
def test_a_generator_that_enters_by_closure_is_refused_where_it_is_used(use: Function) -> None:
    for rng in (np.random.default_rng(0), np.random.PCG64(0), random.Random(0)):
        with pytest.raises(TypeError, match=r"a random generator where an array is expected.*outside") as caught:
            mm.compile(functools.partial(use, rng=rng))(np.ones(3))
        assert __file__ in str(caught.value)


CONTROL_FLOW: dict[str, tuple[Function, str]] = {
    "if": (lambda x: x if mm.sum(x) > 0 else -x, "the truth value"),
    "while": (lambda x: next(iter(lambda: bool(mm.sum(x) > 0), True)), "the truth value"),
    "sorted": (sorted, "the truth value"),
    "float": (lambda x: mm.sin(float(x[0])), r"float\(\)"),
    "range": (lambda x: [x for _ in range(mm.argmax(x))], r"int\(\)"),
    "slice": (lambda x: x[: mm.argmax(x)], r"int\(\)"),
    "mask": (lambda x: x[x > 0], "the shape of the result would depend on values"),
    "numpy": (lambda x: np.asarray(x) + 1.0, "about to become a numpy array .* while tracing"),
}


@pytest.mark.parametrize("name", CONTROL_FLOW)
def test_control_flow_on_values_names_the_users_line(name: str) -> None:
    function, message = CONTROL_FLOW[name]
    with pytest.raises((TracingError, IndexingError), match=message) as caught:
        mm.compile(lambda x: function(x))(np.ones(3))  # noqa: PLW0108 (sorted is not the user's line)
    assert f"\n  at {__file__}:" in str(caught.value)
    with pytest.raises((TracingError, IndexingError), match=message):
        mm.grad(mm.compile(lambda x: mm.sum(function(x))))(np.ones(3))


def test_control_flow_on_values_is_an_error_but_for_eager_runs() -> None:
    def function(x: Any) -> Any:
        return x if mm.sum(x) > 0 else -x

    with pytest.raises(TracingError, match=r"truth value of an Array while tracing.*where") as caught:
        mm.compile(function)(np.ones(3))
    assert f"\n  at {__file__}:{function.__code__.co_firstlineno + 1}, in function" in str(caught.value)
    assert_array_equal(mm.compile(function, enabled=False)(-np.ones(3)), np.ones(3))


def _draws(rng: np.random.Generator) -> Function:
    return lambda x: mm.sin(x) * rng.normal()


def _counts(_: Any) -> Function:
    calls: list[int] = []

    def function(x: Any) -> Any:
        calls.append(1)
        for _ in calls:
            x = mm.sin(x)
        return x

    return function


def _alternates(_: Any) -> Function:
    pending = [mm.sin, mm.cos]
    return lambda x: pending.pop()(2.0 * x)


def _switches_axes(_: Any) -> Function:
    axes = [0, 1]
    return lambda x: mm.sum(x, axes.pop())


def _grows(_: Any) -> Function:
    kept: list[Any] = []

    def function(x: Any) -> Any:
        kept.append(1)
        return [x] * len(kept)

    return function


def _returns_another(_: Any) -> Function:
    places = [0, 1]

    def function(x: Any) -> Any:
        y = mm.sin(x)
        return (x, y)[places.pop()], y

    return function


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (_draws, "operand 1 of multiply of shape .* is another value the second time"),
        (_counts, "1 instructions, and then 2; the first that only one has is sin"),
        (_alternates, "cos of shape .*, and then sin of shape"),
        (_switches_axes, "sum of shape .*, and then sum of shape"),
        (_grows, "it returns trees of two forms"),
        (_returns_another, "leaf 0 of what it returns is another value"),
    ],
)
def test_an_impure_function_is_refused(make: Function, message: str) -> None:
    x = np.ones((2, 2))
    with pytest.raises(TracingError, match=r"check=True\).* is not pure.*" + message) as caught:
        mm.compile(make(np.random.default_rng(0)), check=True)(x)
    if " of shape " in message:
        assert str(caught.value).count(__file__) >= 2  # the line of the difference, and that of the call
    mm.compile(make(np.random.default_rng(0)))(x)


def test_the_difference_is_found_inside_a_body() -> None:
    rng = np.random.default_rng(0)

    def noisy(x: Any) -> Any:
        return mm.sin(x) * rng.random()

    first = noisy.__code__.co_firstlineno
    for around in (mm.vmap(noisy), mm.rematerialize(noisy)):
        message = rf"operand . of multiply of shape .* at {__file__}:{first + 1}, in noisy is another value the second"
        with pytest.raises(TracingError, match=message):
            mm.compile(mm.grad(lambda x, f=around: mm.sum(f(x))), check=True)(np.ones(3))
    with pytest.raises(TracingError, match=r"result 0 of vmap of shape .* is another value the second time"):
        mm.compile(mm.vmap(lambda x: rng.random()), check=True)(np.ones(3))


@pytest.mark.parametrize("make", [_draws, _counts, _grows, _returns_another])
def test_an_impure_function_that_runs_eagerly_is_refused(make: Function) -> None:
    x = np.ones((2, 2))
    with pytest.raises(TracingError, match=r"is not pure.* pass them in as arguments") as caught:
        mm.compile(make(np.random.default_rng(0)), check=True, enabled=False)(x)
    assert str(caught.value).count(__file__) >= (2 if " of shape " in str(caught.value) else 1)


def test_an_eager_function_is_run_twice_once_for_each_signature() -> None:
    counted = Counted(lambda x: mm.sum(x) if mm.sum(x) > 0 else -mm.sum(x))
    compiled = mm.compile(counted, check=True, enabled=False)
    for x in (np.ones(2), np.zeros(2), np.ones(3), np.ones(2)):
        compiled(x)
    assert counted.runs == 6
    rng = np.random.default_rng(0)
    with pytest.raises(
        TracingError, match="run twice on the same values it did two things: leaf '' of what it returns"
    ):
        mm.compile(lambda x: rng.random() if x > 0 else x, check=True, enabled=False)(1.0)


def test_pure_functions_pass_the_check() -> None:
    def function(x: Any) -> Any:
        clipped = mm.custom_vjp(mm.sin, lambda g, y, x: (g * mm.minimum(x, 1.0),))
        return mm.grad(lambda x: mm.sum(mm.rematerialize(lambda x: clipped(x) * np.arange(3.0))(x)))(x)

    x = np.array([0.1, 2.0, 0.3])
    assert_array_equal(mm.compile(function, check=True)(x), np.arange(3.0) * np.minimum(x, 1.0))

    class Rule:
        def __call__(self, g: Any, y: Any, x: Any) -> Any:
            return (g * mm.minimum(x, 1.0),)

    def clip(limit: float, g: Any, y: Any, x: Any) -> Any:
        return (g * mm.minimum(x, limit),)

    # Rules that are made anew each time it is traced: what they compute is what counts.
    for rule in (Rule, lambda: functools.partial(clip, 1.0)):
        made = mm.compile(lambda x, rule=rule: mm.custom_vjp(mm.sin, rule())(x), check=True)
        assert_array_equal(made(x), mm.sin(x))
        assert_array_equal(mm.grad(lambda x, made=made: mm.sum(made(x)))(x), np.minimum(x, 1.0))


def test_retraces_are_explained_once() -> None:
    function = mm.compile(lambda x, n, p: x * n, static="n")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for size in range(1, 8):
            function(np.ones(size), 1, {"w": 1.0})
        with pytest.raises(RuntimeWarning, match=r"traced for 8 signatures.*argument '0': float64\[7\].*float64\[8\]"):
            function(np.ones(8), 1, {"w": 1.0})
        for size in range(9, 20):
            function(np.ones(size), 1, {"w": 1.0})


@pytest.mark.parametrize(
    ("last", "message"),
    [
        (lambda f, x: f(x, 2, {"w": 1.0}), "the static argument 1: 1, and then 2"),
        (lambda f, x: f(x, True, {"w": 1.0}), "the static argument 1: 1, and then True"),
        (lambda f, x: f(x, 1, {"v": 1.0}), "the form of the arguments' trees"),
        (lambda f, x: f(x, 1, {"w": 1}), "argument '2/w': a Python float, and then a Python int"),
        (lambda f, x: f(x, 1, p={"w": x}), "the form of the arguments' trees"),
    ],
)
def test_retraces_name_what_differs(last: Function, message: str) -> None:
    function = mm.compile(lambda x, n, p: x * n, static="n")
    for size in range(7):
        function(np.ones(size), 1, {"w": 1.0})
    with pytest.warns(RuntimeWarning, match=message) as caught:
        last(function, np.ones(6))
    assert caught[0].filename == __file__


# Threads


def test_threads_trace_once_and_agree() -> None:
    arrived = threading.Barrier(8)
    counted = Counted(mm.grad(lambda x: mm.sum(mm.tanh(x @ x))))
    compiled = mm.compile(counted)
    points = [spread(np.random.default_rng(seed), (8, 8)) for seed in range(8)]
    found: list[Any] = [None] * 8

    def work(i: int) -> None:
        arrived.wait()
        found[i] = [compiled(points[i]) for _ in range(20)]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counted.runs == 1
    for x, results in zip(points, found, strict=True):
        for result in results:
            assert_same_bits(result, counted.function(x))


# The object


@mm.compile
def module_level(x: Any) -> Any:
    """A docstring."""
    return mm.sin(x)


def test_lower_and_stats_do_not_run_the_program() -> None:
    counted = Counted(lambda x, s, *, n: mm.sin(x) * s)
    compiled = mm.compile(counted)
    program = compiled.lower(Form((3,), np.float32), 2.0, n=1.0)
    head = "program(arguments/0: float32[3], arguments/1: float64[], n: float64[]):"
    assert str(program).splitlines()[0] == head
    stats = compiled.stats(np.ones(3, np.float32), 2.0, n=1.0)
    assert len(program.steps) == 3
    assert 0 < stats.instructions <= 3  # views need none
    assert min(stats.trace_seconds, stats.pass_seconds, stats.build_seconds) > 0
    x = np.full(3, 0.5, np.float32)
    assert_same_bits(compiled(x, 3.0, n=1.0), mm.sin(x) * 3.0)
    assert_same_bits(np.asarray(interpret(mm.compile(mm.square).lower(x), x)), x * x)
    assert counted.runs == 1


def test_it_looks_like_the_function() -> None:
    assert (getattr(module_level, "__name__", ""), module_level.__doc__) == ("module_level", "A docstring.")
    assert repr(mm.compile(mm.sin)) == "<compiled sin, 0 signatures>"
    assert repr(mm.compile(mm.compile(mm.sin), enabled=False)) == "<compiled sin, 0 signatures>"
    assert "functools.partial" in repr(mm.compile(functools.partial(mm.sum, axis=0)))


def test_a_function_that_failed_may_be_called_again() -> None:
    function = mm.compile(lambda x, y: x @ y)
    for _ in range(2):
        with pytest.raises(ShapeError, match="inner sides 3 and 2 differ"):
            function(np.ones((2, 3)), np.ones((2, 3)))
    assert_array_equal(function(np.ones((1, 3)), np.ones((3, 1))), [[3.0]])


def test_it_pickles_by_name(tmp_path: Path) -> None:
    (tmp_path / "steps.py").write_text(
        "import minimeta as mm\n"
        "@mm.compile\n"
        "def step(x):\n"
        "    return x * 2.0\n"
        "class Model:\n"
        "    @mm.compile(static='self')\n"
        "    def apply(self, x):\n"
        "        return x * 3.0\n"
        "    def line(self, x):\n"
        "        return x * 5.0\n"
        "    slope = mm.grad(line, argnums='x')\n"
        "    fast = mm.compile(line, static=0)\n"
        "def plain(x):\n"
        "    return x * x\n"
        "@mm.grad\n"
        "def slope(x):\n"
        "    return x**3 / 2.0\n"
    )
    program = (
        "import copy, pickle, steps\n"
        "for function in (steps.step, steps.Model.apply):\n"
        "    assert pickle.loads(pickle.dumps(function)) is function\n"
        "    assert copy.deepcopy(function) is function\n"
        "assert pickle.loads(pickle.dumps(steps.Model().apply))(2.0) == 6.0\n"
        "def again(x):\n"
        "    return pickle.loads(pickle.dumps(x))\n"
        "import minimeta as mm, numpy as np\n"
        "assert again(mm.grad(steps.step)) is mm.grad(steps.step)\n"
        "assert again(mm.vmap(steps.step))(np.ones(2)).tolist() == [2.0, 2.0]\n"
        "assert again(mm.hessian(mm.vmap(steps.plain, out_axes='sum'), argnum='x'))(np.ones(1)) == 2.0\n"
        "assert again(mm.grad(steps.Model().apply))(2.0) == 3.0\n"  # and not the method itself
        "assert again(mm.compile(steps.plain, check=True))(2.0) == 4.0\n"
        "assert again(mm.compile(steps.plain, check=True))._check\n"
        "assert again(mm.grad(mm.compile(steps.plain)))(2.0) == 4.0\n"
        "assert again(mm.compile(mm.grad(steps.plain)))(2.0) == 4.0\n"
        "assert again(mm.grad(mm.grad(steps.plain)))(2.0) == 2.0\n"
        "assert again(steps.slope) is steps.slope and again(mm.grad(steps.slope))(2.0) == 6.0\n"
        "assert again(steps.Model().slope)(2.0) == 5.0\n"
        "assert repr(again(steps.Model().fast).func) == '<compiled Model.line, 0 signatures>'\n"
        "assert again(steps.Model().fast)(2.0) == 10.0 and again(mm.grad(steps.Model().fast))(2.0) == 5.0\n"
    )
    done: subprocess.CompletedProcess[str] = fresh_python.run(program, tmp_path)
    assert done.returncode == 0, done.stderr

    assert pickle.loads(pickle.dumps(mm.compile(mm.sin)))(0.5) == mm.sin(0.5)
    for function in (mm.compile(lambda x: x), mm.grad(lambda x: x), mm.grad(mm.compile(lambda x: x))):
        with pytest.raises((pickle.PicklingError, AttributeError), match="<lambda>"):  # Python's own words
            pickle.dumps(function)
        assert copy.copy(function)(2.0) == function(2.0)


def test_there_is_no_derivative_by_a_static_argument() -> None:
    scaled = mm.compile(lambda x, n: mm.sum(x * n), static="n")
    assert_array_equal(mm.grad(scaled)(np.ones(2), 3), [3.0, 3.0])
    with pytest.raises(DtypeError, match="argument 1 is None or, of a compiled function, static"):
        mm.grad(scaled, argnums=1)(np.ones(2), 3)


def test_signatures_that_were_not_used_for_the_longest_time_are_forgotten() -> None:
    traced = []

    @mm.compile
    def f(x: Any) -> Any:
        traced.append(x.shape[0])
        return x * 2.0

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for n in range(1, 129):
            f(np.ones(n))
    f(np.ones(1))
    with pytest.warns(RuntimeWarning, match=r"more than 128 signatures.*forgotten.*float64\[2\].*float64\[129\]"):
        f(np.ones(129))
    replayables = [weakref.ref(kept.program) for kept in f._replayables.values()]
    assert len(replayables) == 128
    traced.clear()
    for n in (1, 3, 129):
        assert_array_equal(f(np.ones(n)), np.full(n, 2.0))
    assert traced == []
    for n in range(130, 400):  # said once
        assert_array_equal(f(np.ones(n)), np.full(n, 2.0))
    assert len(f._replayables) == 128
    assert [program() for program in replayables] == [None] * 128
    traced.clear()
    assert_array_equal(f(np.ones(2)), [2.0, 2.0])
    assert traced == [2]


def test_more_threads_than_signatures_are_kept_are_right() -> None:
    f = mm.compile(lambda x: x * 2.0)
    wrong = []

    def work(first: int) -> None:
        for n in np.random.default_rng(first).permutation(np.arange(1, 200)):
            if not np.array_equal(f(np.ones(n)), np.full(n, 2.0)):
                wrong.append(n)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []


FORKS = """
import os, threading, time, warnings
warnings.simplefilter("ignore")
import numpy as np
import minimeta as mm

def function(x):
    for _ in range(40):
        x = mm.tanh(x * 1.5) + x
    return mm.sum(x)

compiled = mm.compile(mm.vmap(mm.grad(function)))
expected = compiled(np.ones((20, 3)))
going = True
def compile_on():
    n = 4
    while going:
        compiled(np.ones((20, n)))
        n += 1
threads = [threading.Thread(target=compile_on) for _ in range(2)]
for thread in threads:
    thread.start()
stuck = []
for _ in range(80):
    child = os.fork()
    if not child:
        same = np.array_equal(compiled(np.ones((20, 3))), expected)
        compiled(np.ones((20, 2)))
        os._exit(0 if same else 1)
    end = time.monotonic() + 60
    while not (ended := os.waitpid(child, os.WNOHANG))[0] and time.monotonic() < end:
        time.sleep(0.001)
    if ended != (child, 0):
        stuck.append(ended)
        os.kill(child, 9)
        break
going = False
for thread in threads:
    thread.join()
print(stuck)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks")
def test_children_forked_while_other_threads_compile_end() -> None:
    found = fresh_python.run(FORKS)
    assert found.stdout == "[]\n", found.stderr
