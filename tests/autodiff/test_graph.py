"""The graph itself: long chains, many paths, and memory that is given back without the cycle collector."""

import gc
import sys
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import minimeta as mm
from minimeta.autodiff.array import Array, Form
from minimeta.autodiff.graph import backward, record
from minimeta.autodiff.promotion import constant
from minimeta.autodiff.tree import flatten
from minimeta.program import trace

Function = Callable[..., Any]


@contextmanager
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


class Witness:
    """Remembers Arrays without keeping them alive."""

    def __init__(self) -> None:
        self.seen: list[weakref.ref[Array]] = []

    def __call__(self, x: Any) -> Any:
        assert isinstance(x, Array)
        self.seen.append(weakref.ref(x))
        return x

    @property
    def alive(self) -> int:
        return sum(reference() is not None for reference in self.seen)


# Walks


def test_a_chain_of_100_000_operations() -> None:
    length = 100_000
    assert length > 10 * sys.getrecursionlimit()

    def chain(x: Any) -> Any:
        for _ in range(length):
            x = x + 1.0
        return x * x

    value, gradient = mm.value_and_grad(chain)(1.0)
    assert value == (length + 1.0) ** 2
    assert gradient == 2.0 * (length + 1.0)


def test_a_long_chain_is_dropped_without_a_walk() -> None:
    with no_collector():
        witness = Witness()

        def chain(x: Any) -> Any:
            for _ in range(100_000):
                x = -x
            return witness(x)

        output, pullback = mm.vjp(chain, 1.0)
        assert output == 1.0 and witness.alive == 1
        del pullback
        assert witness.alive == 0


def test_a_long_chain_is_traced_and_rematerialized() -> None:
    def chain(x: Any) -> Any:
        for _ in range(5_000):
            x = x * 1.0
        return x

    assert len(trace(chain, 1.0).steps) == 5_000
    assert mm.grad(lambda x: mm.rematerialize(chain)(x) * x)(3.0) == 6.0


def test_a_cotangent_is_complete_before_it_is_handed_on() -> None:
    # b = a + a, c = b * b: db must be summed over both uses before a gets its share.
    def function(a: Any) -> Any:
        b = a + a
        c = b * b
        return c * b + a

    assert mm.grad(function)(2.0) == 24.0 * 4.0 + 1.0


def test_exponentially_many_paths_are_walked_once() -> None:
    def function(x: Any) -> Any:
        for _ in range(60):
            x = x + x
        return x

    assert mm.grad(function)(1.0) == 2.0**60


def test_the_order_of_creation_does_not_matter() -> None:
    def function(x: Any) -> Any:
        late = mm.sin(x)
        early = mm.cos(x)
        return early * (late + early) * late

    x = 0.3
    s, c = np.sin(x), np.cos(x)
    assert_allclose(mm.grad(function)(x), -s * (s + c) * s + c * (c - s) * s + c * (s + c) * c, rtol=1e-14)


def test_an_inner_walk_stops_at_its_own_aliases() -> None:
    calls: list[int] = []

    def counted(g: Any, y: Any, x: Any) -> tuple[Any]:
        calls.append(1)
        return (g,)

    identity = mm.custom_vjp(lambda x: x * 1.0, counted)

    def function(x: Any) -> Any:
        history = x
        total = 0.0
        for _ in range(10):
            history = identity(history)
            total = total + mm.grad(lambda y, h=history: h * y * y)(1.0)
        assert not calls  # no inner walk went through the outer history
        return total

    assert mm.grad(function)(1.0) == 20.0
    assert len(calls) == 10


def test_an_inner_gradient_costs_the_same_however_long_the_outer_history() -> None:
    def seconds(length: int) -> float:
        spent = 0.0

        def function(x: Any) -> Any:
            nonlocal spent
            for _ in range(length):
                x = -x
            start = time.perf_counter()
            for _ in range(100):
                mm.grad(lambda y: mm.sin(x * y))(x)
            spent = time.perf_counter() - start
            return x

        mm.grad(function)(1.0)
        return spent

    # Walking the outer history too would take 100 times as long.
    assert seconds(10_000) < 10 * min(seconds(10) for _ in range(3))


def test_what_was_computed_but_not_used_costs_no_walk() -> None:
    calls: list[int] = []

    def counted(g: Any, y: Any, x: Any) -> tuple[Any]:
        calls.append(1)
        return (g,)

    identity = mm.custom_vjp(lambda x: x * 1.0, counted)

    def function(x: Any) -> Any:
        identity(x)
        return x * mm.stop_gradient(identity(x))

    assert mm.grad(function)(3.0) == 3.0
    assert not calls


def test_absent_cotangents_are_none_and_not_zeros() -> None:
    leaves, structure = flatten((np.ones(2), np.ones(3)))
    recording = record(lambda x, y: (x * 2.0, y), leaves, structure)
    found = backward(recording, recording.output, [constant(np.ones(2)), None])
    assert found[0] is not None and found[1] is None
    assert_array_equal(found[0].value, [2.0, 2.0])
    assert backward(recording, recording.output, [None, None]) == [None, None]


def test_abstract_values_are_walked_too() -> None:
    leaves, structure = flatten((np.ones(2),))
    recording = record(lambda x: mm.sum(x * 2.0), leaves, structure)
    (found,) = backward(recording, [recording.output], [constant(1.0)])
    assert found is not None and found.shape == (2,)
    program = trace(mm.grad(lambda x: mm.sum(mm.sin(x))), Form((2,), np.float32))
    assert program.steps[-1].form.dtype == np.float32


# Memory


@pytest.mark.parametrize(
    "transformation",
    [
        mm.grad,
        mm.hessian,
        lambda f: mm.grad(lambda x: mm.sum(mm.grad(f)(x))),
        lambda f: lambda x: mm.vjp(f, x)[1](1.0),
        lambda f: lambda x: mm.jvp(f, (x,), (x,)),
        lambda f: lambda x: mm.hvp(f, (x,), (x,)),
        lambda f: mm.grad(mm.rematerialize(f)),
        lambda f: mm.grad(mm.custom_vjp(f, lambda g, y, x: (g * x,))),
        lambda f: mm.grad(lambda x: (f(x), {"aux": x * x}), has_aux=True),
        lambda f: lambda x: trace(mm.grad(f), x),
    ],
    ids=["grad", "hessian", "grad of grad", "vjp", "jvp", "hvp", "rematerialize", "custom_vjp", "has_aux", "trace"],
)
def test_nothing_is_alive_after_a_transformation(transformation: Function) -> None:
    witness = Witness()

    def function(x: Any) -> Any:
        a, b = mm.split(witness(mm.tanh(witness(x))), 2)
        return witness(mm.sum(witness(a * b) * 2.0)) + mm.norm(x)

    with no_collector():
        result = transformation(function)(np.array([0.3, 0.7, -0.5, 1.1]))
        assert len(witness.seen) >= 4
        assert witness.alive == 0
        del result
        assert gc.collect() >= 0


def test_a_pullback_keeps_the_graph_and_gives_it_back() -> None:
    witness = Witness()
    with no_collector():
        _, pullback = mm.vjp(lambda x: witness(mm.sin(witness(x))), np.ones(3))
        assert witness.alive == 2
        pullback(np.ones(3))
        assert witness.alive == 2
        del pullback
        assert witness.alive == 0


def test_an_exception_keeps_nothing_alive() -> None:
    witness = Witness()

    def fail(x: Any) -> Any:
        witness(x * x)
        return witness(x) + np.zeros(5)

    with no_collector():
        for call in (mm.grad(fail), mm.grad(mm.rematerialize(fail)), lambda x: trace(fail, x)):
            try:
                call(np.ones(3))
            except ValueError:
                pass
            else:
                raise AssertionError
        assert len(witness.seen) == 6
        assert witness.alive == 0


def test_a_loop_over_constants_inside_a_transformation_holds_no_memory() -> None:
    witness = Witness()
    most = 0

    def function(x: Any) -> Any:
        nonlocal most
        value = mm.stop_gradient(x)
        for _ in range(50):
            value = witness(mm.sin(value))
            most = max(most, witness.alive)
        return mm.sum(x * value)

    with no_collector():
        mm.grad(function)(np.ones(3))
    assert most <= 2
    assert len(witness.seen) == 50


def test_a_loop_of_inner_gradients_holds_only_what_the_outer_one_needs() -> None:
    witness = Witness()

    def descend(first_order: bool) -> int:
        witness.seen.clear()
        most = 0

        def function(x: Any) -> Any:
            nonlocal most
            for _ in range(20):
                at = mm.stop_gradient(x) if first_order else x
                x = x - 0.1 * mm.grad(lambda y: mm.sum(witness(mm.sin(y)) ** 2))(at)
                most = max(most, witness.alive)
            return mm.sum(x)

        with no_collector():
            mm.grad(function)(np.ones(3))
        assert witness.alive == 0
        return most

    assert descend(first_order=True) <= 1
    assert descend(first_order=False) == 20


def test_a_plain_loop_holds_no_memory() -> None:
    with no_collector():
        x = np.ones(1000)
        seen: list[weakref.ref[Any]] = []
        for _ in range(20):
            x = mm.grad(lambda x: mm.sum(mm.sin(x)))(x) + mm.cos(x)
            seen.append(weakref.ref(x))
        assert sum(reference() is not None for reference in seen) == 1


def test_the_walk_lets_go_of_cotangents_on_its_way() -> None:
    witness = Witness()
    most = 0

    def rule(g: Any, y: Any, x: Any) -> tuple[Any]:
        nonlocal most
        most = max(most, witness.alive)
        return (witness(g * 2.0),)

    double = mm.custom_vjp(lambda x: x * 2.0, rule)

    def function(x: Any) -> Any:
        for _ in range(30):
            x = double(x)
        return mm.sum(x)

    with no_collector():
        assert_array_equal(mm.grad(function)(np.ones(2)), [2.0**30] * 2)
    assert len(witness.seen) == 30
    assert most <= 2
