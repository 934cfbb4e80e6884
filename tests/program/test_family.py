"""Compiled functions as objects: their names and pickles, and what transformations make of them."""

import copy
import functools
import gc
import pickle
import subprocess
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fresh_python
import numpy as np
import pytest
from compiled_functions import Counted, Line, Scaling, assert_same_bits, module_level
from drawing import share, spread
from hypothesis import given
from numpy.testing import assert_allclose, assert_array_equal
from random_programs import programs

import minimeta as mm
from minimeta.autodiff.array import Form
from minimeta.errors import DtypeError, ShapeError, TracingError
from minimeta.program import Compiled, interpret

Function = Callable[..., Any]


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
        mm.grad(mm.compile(lambda x: mm.sum(x * np.random.default_rng().normal()), check=True))(x)
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


# The object


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


def test_stats_count_what_runs_inside_of_a_vmap() -> None:
    def looked_at(steps: int) -> Any:
        def of_one(x: Any) -> Any:
            for _ in range(steps):
                x = mm.sum(x @ x, 0, keepdims=True) + x  # a product, a sum and an addition
            return x

        return mm.compile(lambda x: mm.vmap(of_one)(mm.exp(x))).stats(np.ones((3, 4, 4)))

    one, fifty = looked_at(1), looked_at(50)
    assert fifty.instructions - one.instructions == 49 * (one.instructions - 2)  # but for the exponential and the map
    before = mm.get_num_threads()
    try:
        mm.set_num_threads(1)
        single = looked_at(50).arena_bytes
    finally:
        mm.set_num_threads(before)
    exponential, alive = 3 * 4 * 4 * 8, 2 * 4 * 4 * 8
    assert single >= exponential + alive
    assert fifty.arena_bytes - exponential == min(before, 3) * (single - exponential)


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
