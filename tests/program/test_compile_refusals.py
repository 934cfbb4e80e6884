"""What cannot be compiled, and what an error says to do instead: values, generators, functions that are not pure."""

import functools
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from compiled_functions import Counted
from numpy.testing import assert_array_equal

import minimeta as mm
from minimeta.errors import DtypeError, IndexingError, TracingError

Function = Callable[..., Any]


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
    with pytest.raises(DtypeError, match=r"argument '1/name' is a str, where numbers.*declared static"):
        mm.compile(lambda x, options: x)(np.ones(3), {"name": "relu"})
    with pytest.raises(DtypeError, match="complex128"):
        mm.compile(lambda x: x)(np.ones(3, complex))
    with pytest.raises(DtypeError, match="a str, where numbers"):
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
    "numpy": (lambda x: np.asarray(x, np.float64) + 1.0, "about to become a numpy array .* while tracing"),
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

    # Rules that are made again each time it is traced: what they compute is what counts.
    for rule in (Rule, lambda: functools.partial(clip, 1.0)):
        made = mm.compile(lambda x, rule=rule: mm.custom_vjp(mm.sin, rule())(x), check=True)
        assert_array_equal(made(x), mm.sin(x))
        assert_array_equal(mm.grad(lambda x, made=made: mm.sum(made(x)))(x), np.minimum(x, 1.0))
