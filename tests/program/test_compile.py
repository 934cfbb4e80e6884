"""compile: the same bits as an eager run, and one trace for each signature."""

import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from compiled_functions import Counted, Held, Line, Scaling, assert_same_bits
from drawing import share, spread
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from random_programs import programs

import minimeta as mm
from minimeta import nn, optim
from minimeta.errors import ConfigurationError, IndexingError, TracingError
from minimeta.learners import MAML
from minimeta.tasks.task import Examples, Task
from minimeta.training import make_step

Function = Callable[..., Any]


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
    table, number = np.ones(3), 2.0
    function = mm.compile(lambda x: x * table * number)
    assert_array_equal(function(np.ones(3)), [2.0, 2.0, 2.0])
    table[...] = 5.0
    assert_array_equal(function(np.ones(3)), [2.0, 2.0, 2.0])
    table, number = np.zeros(3), 7.0
    assert_array_equal(function(np.ones(3)), [2.0, 2.0, 2.0])
    table = np.full(3, 0.5)
    assert_array_equal(function(np.ones((1, 3))), [[3.5, 3.5, 3.5]])  # This signature is traced now.
