"""A program in a file: equal bits and derivatives, and no file that does harm."""

import contextlib
import io
import json
import math
import random
import tempfile
import tracemalloc
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from drawing import samples, share, spread
from hypothesis import given, settings
from hypothesis import strategies as st
from mutations import bounded, mutations
from random_programs import programs
from traced_functions import TRACED, Example

import minimeta as mm
from minimeta.autodiff import tree
from minimeta.autodiff.apply import apply
from minimeta.autodiff.primitive import registry
from minimeta.autodiff.steps import Program
from minimeta.errors import DataError, MinimetaError, MissingDataError, ShapeError, TracingError
from minimeta.program import Traced, load, trace
from minimeta.program.executor import Executable

Function = Callable[..., Any]

#: How many damaged files are read; `--hypothesis-profile=search` reads 10,000.
MUTATIONS = 10_000 if settings().max_examples > 100 else 150


def again(program: Traced, **options: Any) -> Traced:
    """The program, saved and loaded."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "program"
        program.save(path)
        return load(path, **options)


def assert_same(found: Any, expected: Any) -> None:
    (leaves, structure), (others, other) = tree.flatten(found), tree.flatten(expected)
    assert structure == other
    for one, two in zip(leaves, others, strict=True):
        assert (one.shape, one.dtype, one.tobytes()) == (two.shape, two.dtype, two.tobytes())


@pytest.mark.parametrize("traced", TRACED[:4], ids=lambda traced: traced.name)
def test_whole_meta_gradients_keep_their_bits(traced: Example) -> None:
    expected = mm.compile(traced.function)(*traced.arguments)
    as_traced = trace(traced.function, *traced.arguments)
    for program in (as_traced, mm.compile(traced.function).lower(*traced.arguments)):
        loaded = again(program)
        assert_same(loaded(*traced.arguments), expected)
        assert_same(mm.compile(loaded)(*traced.arguments), expected)
    assert str(again(as_traced)) == str(as_traced)


@share(0.1)
@given(function=programs())
def test_random_programs_keep_their_derivatives(function: Function) -> None:
    x = spread(np.random.default_rng(5), (2, 3), "unit")
    program = trace(function, x)
    loaded = again(program)
    assert str(loaded) == str(program)
    assert_same(mm.value_and_grad(loaded)(x), mm.value_and_grad(program)(x))
    assert_same(mm.hvp(loaded, (x,), (x,)), mm.hvp(function, (x,), (x,)))
    batch = np.stack([x, 0.5 * x])
    assert_same(mm.compile(mm.vmap(mm.grad(loaded)))(batch), mm.vmap(mm.grad(function))(batch))


@pytest.mark.parametrize("name", sorted(registry))
@settings(max_examples=1)
@given(data=st.data())
def test_each_primitive_comes_back(name: str, data: st.DataObject) -> None:
    operands, params = data.draw(samples(registry[name]))
    program = trace(lambda *x: apply(registry[name], *x, **params), *operands)
    assert str(again(program)) == str(program)


def test_a_rule_of_the_users_is_in_the_file_for_three_orders() -> None:
    calls = 0

    def rule(g: Any, y: Any, x: Any) -> Any:
        nonlocal calls
        calls += 1
        return (2.0 * g * exponential(x),)  # Twice what it should be, to differ from the body's own.

    exponential = mm.custom_vjp(mm.exp, rule)
    loaded = again(again(trace(exponential, 0.5)))
    calls = 0
    derivative: Any = loaded
    for order in range(4):
        assert derivative(0.5) == 2.0**order * mm.exp(0.5)
        derivative = mm.grad(derivative)
    assert calls == 0
    with pytest.raises(TracingError, match="for 3 orders of derivative, and no more"):
        derivative(0.5)


def test_functions_of_numpy_are_named_and_called() -> None:
    inverse = mm.custom_vjp(np.linalg.inv, lambda g, y, x: (-(y.T @ g @ y.T),))
    x = np.diag([1.0, 2.0]) + 0.1
    loaded = again(trace(lambda x: mm.sum(inverse(x)) + np.floor(x)[0, 0], x))
    assert_same(mm.value_and_grad(loaded)(x), mm.value_and_grad(lambda x: mm.sum(inverse(x)) + np.floor(x)[0, 0])(x))


@dataclass(frozen=True)
class Layer:
    weight: Any
    bias: Any


class Pair(NamedTuple):
    one: Any
    two: Any


@mm.primitive(rules=(lambda g, y, x: -2.0 * g * x * y,), elementwise=True)
def bell_in_a_file(x: Any) -> Any:
    return np.exp(-x * x)


def test_trees_and_operations_of_the_users_are_found_again() -> None:
    def function(layer: Any, rest: Any) -> Any:
        inner = Pair(layer.weight @ rest[1]["x"], [bell_in_a_file(layer.bias)])
        return OrderedDict(of=inner, none=None)

    arguments = Layer(np.ones((2, 3)), np.ones(2)), (None, {"x": np.ones(3), 1: 0.5})
    program = trace(function, *arguments)
    known: list[Any] = [Layer, Pair, bell_in_a_file]
    assert_same(again(program, known=known)(*arguments), program(*arguments))
    for missing in known:
        name = missing.__qualname__
        with pytest.raises(DataError, match=rf"{name}; pass that: .*known=\[{name}\]|{name}; pass that class"):
            again(program, known=[x for x in known if x is not missing])


def test_what_a_file_cannot_hold_is_named() -> None:
    own = mm.custom_vjp(lambda x: np.linalg.inv(x), lambda g, y, x: (g,), on_values=True)  # noqa: PLW0108
    with pytest.raises(TracingError, match="save: call uses <function"):
        again(trace(own, np.eye(2)))


def test_other_arguments_than_were_traced_are_refused() -> None:
    loaded = again(trace(lambda x: 2.0 * mm.sum(x), np.ones(3)))
    with pytest.raises(ShapeError, match=r"operand x was traced as float64\[3\], not float64\[4\]"):
        loaded(np.ones(4))


# Files that are not to be trusted


def scrambled(text: Any, rng: random.Random) -> Any:
    """A copy of JSON's values with one of them lost, repeated, or replaced by another or by a strange one."""
    places: list[tuple[Any, Any]] = []

    def visit(node: Any) -> None:
        for key in node if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ():
            places.append((node, key))
            visit(node[key])

    text = json.loads(json.dumps(text))
    visit(text)
    (node, key), (other, place) = rng.choice(places), rng.choice(places)
    match rng.randrange(4):
        case 0:
            del node[key]
        case 1:
            node[key] = json.loads(json.dumps(other[place]))
        case 2 if isinstance(node, list):
            node.insert(key, json.loads(json.dumps(node[key])))
        case _:
            strange: list[Any] = [
                0,
                1,
                -1,
                2,
                7,
                2**31,
                2**63,
                2**64,
                1e300,
                math.nan,
                None,
                True,
                "",
                "leaf",
                "float64[2]",
                [],
                {},
            ]
            strange += ["float32[1099511627776]", "float64[0, 9223372036854775807]", [[]], {"function": "numpy:save"}]
            node[key] = rng.choice([*strange, "sin", "vmap", "matmul", "gather", "max_cell", "conv2d"])
    return text


def every_kind(w: Any, x: Any, image: Any, places: Any) -> Any:
    """A function whose program has bodies, tasks, rules, indices, windows and calls."""
    twice = mm.custom_vjp(mm.sin, lambda g, y, x: (g * mm.cos(x),))

    def of_one(x: Any, w: Any) -> Any:
        return mm.sum(mm.rematerialize(lambda v: mm.tanh(v @ w))(x)), twice(x)

    total, rows = mm.vmap(of_one, (0, None), ("sum", 0))(x, w)
    pooled = mm.max_pool(mm.conv2d(image, np.ones((2, 2, 1, 2))), 2)
    return {"total": total + np.floor(total), "rows": rows[places], "pooled": mm.concatenate([pooled, pooled], 3)}


ARGUMENTS = np.ones((3, 2)), np.ones((4, 3)), np.ones((1, 5, 5, 1)), np.array([0, 2])


def size_of(program: Program) -> int:
    bodies = sum((step.tasks.count if step.tasks else 1) * size_of(step.body) for step in program.steps if step.body)
    return bodies + sum(math.prod(form.shape) * form.dtype.itemsize + 1 for form in program.forms())


def run_harmlessly(loaded: Traced) -> None:
    """Run what was loaded: it computes something, or says what is wrong."""
    if size_of(loaded) < 1 << 20:
        operands = [np.zeros(form.shape, form.dtype) for form in loaded.operands]
        with contextlib.suppress(MinimetaError, ArithmeticError, LookupError, TypeError, ValueError):
            Executable(loaded).run(operands)


def texts(path: Path, count: int) -> Iterator[bytes]:
    """Files with another text each, sound as archives."""
    rng = random.Random(1)
    with np.load(path) as archive:
        arrays = dict(archive)
    text = bytes(arrays.pop("program"))
    damaged = mutations(text, count)
    for i in range(count):
        changed = json.dumps(scrambled(json.loads(text), rng)).encode() if i % 2 else next(damaged)
        content = io.BytesIO()
        np.savez(content, allow_pickle=False, program=np.frombuffer(changed, np.uint8), **arrays)
        yield content.getvalue()


@pytest.mark.parametrize("kind", ["bytes", "texts"])
def test_damaged_files_are_refused_or_harmless(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "program"
    trace(every_kind, *ARGUMENTS).save(path)
    load(path)
    tracemalloc.start()
    load(path)
    most = 2 * tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    content = path.read_bytes()
    loads = 0
    for mutated in mutations(content, MUTATIONS) if kind == "bytes" else texts(path, MUTATIONS):
        path.write_bytes(mutated)
        try:
            with bounded(most):
                loaded = load(path)
        except DataError:
            continue
        loads += 1
        run_harmlessly(loaded)
    assert loads < MUTATIONS / 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, r"has version 2, and this minimeta reads version 1"),
        ({"format": "other"}, "not that of a program"),
        ({"names": ["a", "b"]}, "there are 2 names of 1 operands"),
        ({"output": {"tuple": ["leaf", "leaf"]}}, "a tree of 2 leaves is to hold 1 values"),
    ],
)
def test_a_file_that_is_none_says_why(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = tmp_path / "program"
    trace(mm.sin, 1.0).save(path)
    with np.load(path) as archive:
        text = json.loads(bytes(archive["program"]))
    np.savez(path, program=np.frombuffer(json.dumps(text | change).encode(), np.uint8))
    (tmp_path / "program.npz").rename(path)
    with pytest.raises(DataError, match=message):
        load(path)


def test_a_compressed_or_absent_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "program.npz"
    trace(mm.sin, 1.0).save(path)
    with np.load(path) as archive:
        np.savez_compressed(path, big=np.zeros(1 << 20), **archive)
    with pytest.raises(DataError, match="compressed"):
        load(path)
    (tmp_path / "text.program").write_text("x")
    with pytest.raises(DataError, match=r"text.program is not an archive of arrays, or is truncated or damaged"):
        load(tmp_path / "text.program")
    with pytest.raises(MissingDataError):
        load(tmp_path / "absent")


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "program"
    trace(mm.sin, 1.0).save(path)
    before = path.read_bytes()
    own = mm.custom_vjp(lambda x: np.linalg.inv(x), lambda g, y, x: (g,), on_values=True)  # noqa: PLW0108
    with pytest.raises(TracingError):
        trace(own, np.eye(2)).save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
