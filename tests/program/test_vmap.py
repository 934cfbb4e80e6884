"""vmap: the tasks one by one, in a fixed order, on threads; differentiable; inside and around everything else."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from drawing import share, spread
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray
from random_programs import programs
from traced_functions import sinusoid

import minimeta as mm
from minimeta.autodiff.apply import apply
from minimeta.errors import ConfigurationError, DtypeError, IndexingError, ShapeError, TracingError
from minimeta.kernels import native
from minimeta.program import PASSES, executor, interpret, optimise, trace
from minimeta.program.executor import Executable
from minimeta.program.passes import GROUPING

compiled = pytest.mark.skipif(native is None, reason="there are no kernels")

Function = Callable[..., Any]
Numbers = NDArray[np.float64]


def batch(count: int, seed: int = 0) -> Numbers:
    return np.stack([spread(np.random.default_rng([seed, task]), (2, 3)) for task in range(count)]).reshape(-1, 2, 3)


def in_groups(values: list[Numbers]) -> Numbers:
    """The sum as it is promised: neighbours first, in sixteen groups at most, larger ones in front, then the groups."""
    groups = []
    for group in np.array_split(np.stack(values), min(len(values), 16)):
        total = group[0].copy()
        for value in group[1:]:
            total += value
        groups.append(total)
    result: Numbers = groups[0].copy()
    for group in groups[1:]:
        result += group
    return result


@given(programs(), st.integers(1, 5))
def test_stacked_results_are_those_of_the_tasks(function: Function, count: int) -> None:
    x = batch(count)
    gradient = mm.value_and_grad(function)
    expected = [mm.compile(gradient)(task) for task in x]
    values, gradients = mm.vmap(gradient)(x)
    assert_array_equal(values, [value for value, _ in expected])
    assert_array_equal(gradients, [slope for _, slope in expected])


@pytest.mark.parametrize(
    "view",
    [lambda w: w[::-1], lambda w: w[1::-1], lambda w: mm.broadcast_to(w[0], (2, 3)), mm.transpose, lambda w: w[:, 1]],
)
def test_a_shared_operand_may_be_any_view(view: Function) -> None:
    w, x = spread(np.random.default_rng(3), (2, 3)), np.arange(4.0).reshape(2, 1, 2)

    def function(w: Any, x: Any) -> Any:
        return mm.vmap(lambda w, x: (x, w * mm.sum(x)), (None, 0))(view(w), x)

    outputs = mm.compile(function)(w, x)
    assert_array_equal(outputs[0], x)
    assert_array_equal(outputs[1], np.stack([np.asarray(view(w)) * task.sum() for task in x]))


@pytest.mark.parametrize("count", [1, 2, 15, 16, 17, 32, 33, 50])
def test_a_sum_is_taken_by_groups(count: int) -> None:
    x = batch(count).astype(np.float32)
    expected = in_groups([mm.sin(task) for task in x])
    assert_array_equal(mm.vmap(mm.sin, out_axes="sum")(x), expected)
    assert_array_equal(mm.vmap(mm.sin, out_axes="sum", enabled=False)(x), expected)
    assert_array_equal(interpret(trace(mm.vmap(lambda x: x * 0.1, out_axes="sum"), x), x), in_groups(list(x * 0.1)))


@pytest.mark.parametrize(("count", "side"), [(1, 2), (2, 2), (3, 400), (16, 2), (17, 2), (50, 2)])
def test_tasks_that_take_turns_have_the_same_bits(monkeypatch: pytest.MonkeyPatch, count: int, side: int) -> None:
    monkeypatch.setattr(executor, "_TURNS_BYTES", 0)
    monkeypatch.setattr(executor, "_TURNS_INSTRUCTION_BYTES", 0)
    w, x = np.random.default_rng(0).normal(size=(2, count, side, side)).astype(np.float32)

    def function(w: Any, x: Any) -> Any:
        return mm.vmap(lambda w, x: (mm.exp(x), mm.sin(x * w), mm.mean(x) + w[0]), (None, 0), (0, "sum", "sum"))(w, x)

    stacked, total, means = mm.compile(function)(w[0], x)
    assert_array_equal(stacked, mm.exp(x))
    assert_array_equal(total, in_groups([mm.sin(task * w[0]) for task in x]))
    assert_array_equal(means, in_groups([mm.mean(task) + w[0, 0] for task in x]))


@compiled
def test_tasks_that_take_much_memory_take_it_in_turns() -> None:
    def memory(side: int) -> int:
        tasks = mm.Form((2, side, side), np.float32)
        turned = mm.compile(mm.vmap(lambda x: mm.sum(mm.transpose(mm.exp(x)) @ x)))
        return turned.stats(tasks).arena_bytes // (4 * side**2)

    before = mm.get_num_threads()
    mm.set_num_threads(2)
    assert (memory(1000), memory(8200)) == (4, 2)
    mm.set_num_threads(before)


@given(programs(), st.sampled_from([1, 3, 17]))
@share(0.5)
def test_gradients_are_those_of_the_loop(function: Function, count: int) -> None:
    """With respect to what is mapped, what is shared, and what is taken by closure; stacked outputs and summed ones."""
    x, w = batch(count), spread(np.random.default_rng(9), (2, 3))

    def parts(w: Any, x: Any) -> Any:
        value = function(x * w)
        return value, mm.tanh(x - w) * value

    def mapped(w: Any, x: Any, v: Any) -> Any:
        values, total = mm.vmap(lambda x: parts(w, x * v[0, 0]), 0, (0, "sum"))(x)
        return mm.sum(mm.sin(values)) + mm.sum(total * v)

    def looped(w: Any, x: Any, v: Any) -> Any:
        found = [parts(w, x[task] * v[0, 0]) for task in range(count)]
        total = found[0][1]
        for _, part in found[1:]:
            total = total + part
        return mm.sum(mm.sin(mm.stack([value for value, _ in found]))) + mm.sum(total * v)

    def slope(f: Function) -> Function:
        return lambda w: mm.sum(mm.square(mm.grad(f, (0, 1, 2))(w, x, 1.0 + w)[0]))

    for argument in range(3):
        found, expected = (mm.grad(f, argument)(w, x, 1.0 + w) for f in (mapped, looped))
        assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
    found, expected = (mm.grad(slope(f))(w) for f in (mapped, looped))
    assert_allclose(found, expected, rtol=1e-7, atol=1e-10)


@given(programs(), st.sampled_from([2, 5, 18]), st.sets(st.sampled_from(PASSES)))
@share(0.3)
def test_the_bits_do_not_depend_on_how_it_runs(function: Function, count: int, passes: set[str]) -> None:
    x = batch(count)

    def total(w: Any, x: Any) -> Any:
        return mm.vmap(mm.value_and_grad(lambda w, x: function(w * x)), (None, 0), (0, "sum"))(w, x)

    def both(w: Any, x: Any) -> Any:
        return total(w, x), mm.grad(lambda w: mm.sum(total(w, x)[1]))(w)

    w = spread(np.random.default_rng(1), (2, 3))
    expected = mm.tree.flatten(both(w, x))[0]
    for run in (mm.compile(both), mm.compile(both, enabled=False), mm.compile(both, passes=passes)):
        for y, wanted in zip(mm.tree.flatten(run(w, x))[0], expected, strict=True):
            assert_array_equal(y, wanted)
    program = optimise(trace(both, w, x), passes)
    for reuse, poison in ((True, True), (False, True), (False, False)):
        for y, wanted in zip(Executable(program, reuse_memory=reuse, poison=poison).run([w, x]), expected, strict=True):
            assert_array_equal(y, wanted)


@given(programs(), st.sampled_from([1, 3, 17]))
@share(0.3)
def test_with_kept_values_gradients_are_the_same(function: Function, count: int) -> None:
    x, w = batch(count), spread(np.random.default_rng(9), (2, 3))

    def slopes(keep: bool) -> Function:
        def loss(w: Any, x: Any) -> Any:
            values, total = mm.vmap(lambda x: (function(x * w), mm.tanh(x - w)), 0, (0, "sum"), keep=keep)(x)
            return mm.sum(mm.sin(values)) + mm.sum(total * w)

        def both(w: Any, x: Any) -> Any:
            found = mm.grad(loss, (0, 1))(w, x)
            return found, mm.grad(lambda w: mm.sum(mm.square(mm.grad(loss)(w, x))))(w)

        return both

    *expected, second = mm.tree.flatten(slopes(False)(w, x))[0]
    bits = [y.tobytes() for y in mm.tree.flatten(slopes(True)(w, x))[0]]
    assert bits[:2] == [y.tobytes() for y in expected]
    for run in (mm.compile(slopes(True)), mm.compile(slopes(True), enabled=False)):
        found = mm.tree.flatten(run(w, x))[0]
        assert [y.tobytes() for y in found] == bits
        assert_allclose(found[2], second, rtol=1e-9, atol=1e-10)  # sums in another order


def test_what_is_kept_is_computed_once_and_what_nobody_needs_is_not_kept() -> None:
    def loss(keep: bool) -> Function:
        return lambda w, x: mm.vmap(lambda x: mm.sum(mm.exp(mm.sin(w * x)) + w), out_axes="sum", keep=keep)(x)

    def of(function: Function) -> tuple[str, Any]:
        passes = [name for name in PASSES if name not in (*GROUPING, "unite")]
        program = optimise(trace(function, np.ones(3), batch(2)[0]), passes)
        return str(program), [step for step in program.steps if step.tasks]

    for keep, times in ((False, 2), (True, 1)):
        text, maps = of(mm.value_and_grad(loss(keep)))
        assert [text.count(f"{name}(") for name in ("exp", "sin", "cos")] == [times, times, 1]
        assert [len(step.results) for step in maps] == [1 + 2 * keep, 1]  # exp of it, and w x, whose cosine is taken
    assert [len(step.results) for step in of(loss(True))[1]] == [1]


@compiled
def test_the_number_of_threads_changes_no_bit() -> None:
    name, function, (parameters, task) = sinusoid(2)
    tasks = mm.tree.map(lambda x: np.stack([x + 0.01 * i for i in range(25)]).astype(x.dtype), task)
    mapped = mm.compile(mm.vmap(function, (None, 0), "sum"))
    before, found = mm.get_num_threads(), []
    try:
        for threads in (1, 2, 7):
            mm.set_num_threads(threads)
            found.append([y.tobytes() for y in mm.tree.flatten(mapped(parameters, tasks))[0]])
    finally:
        mm.set_num_threads(before)
    assert found[0] == found[1] == found[2], name


def test_axes_of_arguments() -> None:
    x, y = np.arange(12.0).reshape(3, 4), np.arange(8.0).reshape(4, 2)
    rows = {"a": x, "b": (y, 2.0)}

    def f(tree: Any, scale: Any) -> Any:
        return mm.sum(tree["a"]) * tree["b"][0] * tree["b"][1] * scale

    found = mm.vmap(f, ({"a": 1, "b": (0, None)}, None))(rows, 0.5)
    assert_array_equal(found, [x[:, i].sum() * y[i] * 2.0 * 0.5 for i in range(4)])
    assert_array_equal(mm.vmap(lambda x: x, -1)(x), x.T)
    assert_array_equal(mm.vmap(lambda y: {"same": y, "all": 1.5})(y)["all"], np.full(4, 1.5))


def test_python_scalars_stay_weak() -> None:
    x = np.ones(3, np.float32)
    assert mm.vmap(lambda x, scale: x * scale, (0, None))(x, 2.5).dtype == np.float32


def test_closures_over_arrays_of_outer_transformations() -> None:
    x = np.arange(3.0)
    assert_allclose(mm.grad(lambda w: mm.sum(mm.vmap(lambda x: mm.sin(w) * x)(x)))(0.3), np.cos(0.3) * 3.0)
    outer = mm.vmap(lambda w: mm.grad(lambda v: mm.sum(mm.vmap(lambda x: mm.sin(v * w) * x)(x)))(2.0))
    w = np.array([0.1, 0.2])
    assert_allclose(outer(w), np.cos(2 * w) * w * 3.0)


def test_nested_maps_are_one_for_each_axis() -> None:
    x, y = np.arange(6.0).reshape(2, 3), np.arange(12.0).reshape(4, 3)
    pairs = mm.vmap(mm.vmap(lambda a, b: mm.sum(a * b), (None, 0)), (0, None))
    assert_array_equal(pairs(x, y), x @ y.T)
    assert_array_equal(mm.compile(pairs)(x, y), x @ y.T)


def test_no_tasks_give_empty_stacks_and_zero_sums() -> None:
    x = np.empty((0, 2, 3), np.float32)
    stacked, total = mm.vmap(lambda x: (mm.exp(x), x), 0, (0, "sum"))(x)
    assert stacked.shape == (0, 2, 3) and stacked.dtype == total.dtype == np.float32
    assert_array_equal(total, np.zeros((2, 3)))
    assert_array_equal(mm.grad(lambda w: mm.sum(mm.vmap(lambda x: x * w)(x)))(np.float32(1.0)), 0.0)


def test_what_is_not_taken_is_not_computed() -> None:
    """A gradient with respect to the weights alone needs none with respect to the images."""
    x, w = np.ones((4, 5, 3)), np.ones((3, 2))
    program = mm.compile(mm.grad(lambda w: mm.sum(mm.vmap(lambda x: mm.tanh(x @ w))(x)))).lower(w)
    backward = program.steps[-1]
    assert backward.body is not None and backward.tasks is not None
    assert backward.tasks.summed == (True,)
    assert sum(step.primitive.name == "matmul" for step in backward.body.steps) == 2


def test_programs_with_maps_print_check_and_run_as_numpy_and_complex() -> None:
    def f(w: Any, x: Any) -> Any:
        return mm.grad(lambda w: mm.sum(mm.vmap(lambda x: mm.tanh(w * x), 0, "sum")(x)))(w)

    w, x = spread(np.random.default_rng(0), (3,)), spread(np.random.default_rng(1), (17, 3))
    program = trace(f, w, x)
    program.check()
    assert "vmap, for each i of 17:" in str(program) and "vmap" in program.to_dot()
    expected = np.sum(x * (1 - np.tanh(w * x) ** 2), 0)
    scope: dict[str, Any] = {}
    exec(program.to_python(), scope)
    assert_allclose(scope["program"](w, x)[0], expected, rtol=1e-12)
    assert_allclose(interpret(program, w, x), expected, rtol=1e-12)
    step = interpret(program, w + 1e-30j, x)
    slope = -2 * np.sum(x**2 * np.tanh(w * x) * (1 - np.tanh(w * x) ** 2), 0)
    assert_allclose(step.imag / 1e-30, slope, rtol=1e-12, atol=1e-13)


def test_the_function_may_need_values_where_it_runs_itself() -> None:
    def f(x: Any) -> Any:
        return x if float(mm.sum(x)) > 1 else -x

    x = np.arange(4.0)
    with pytest.raises(TracingError, match="while tracing"):
        mm.vmap(f)(x)
    assert_array_equal(mm.vmap(f, enabled=False)(x), [-0.0, -1.0, 2.0, 3.0])


@pytest.mark.parametrize("enabled", [True, False])
def test_axes_in_a_list_and_of_numpys_integers(enabled: bool) -> None:
    x, w = np.arange(6.0).reshape(3, 2), np.array([2.0, 5.0])

    def scaled(x: Any, w: Any) -> Any:
        return x * w

    expected = [row * w for row in x]
    for axes in ([0, None], (np.int64(0), None), [np.int64(-2), None]):
        assert_array_equal(mm.vmap(scaled, axes, enabled=enabled)(x, w), expected)
        assert_array_equal(mm.vmap(scaled, in_axes=axes, out_axes=np.int64(0), enabled=enabled)(x, w), expected)
    columns = [column * 2.0 for column in x.T]
    assert_array_equal(mm.vmap(lambda x: x * 2.0, np.int32(1), enabled=enabled)(x), columns)
    assert_array_equal(mm.vmap(lambda t: t["x"] * 2.0, [{"x": np.int64(1)}], enabled=enabled)({"x": x}), columns)
    if enabled:
        compiled = mm.vmap(mm.compile(scaled), [0, None])
        assert_array_equal(compiled(x, w), expected)
        assert compiled is not mm.vmap(mm.compile(scaled), [0, None])


@pytest.mark.parametrize("enabled", [True, False])
def test_keyword_arguments_are_mapped_along_their_first_axis(enabled: bool) -> None:
    x, y = np.arange(6.0).reshape(3, 2), np.arange(3.0)

    def product(x: Any, w: Any = None, *, y: Any) -> Any:
        return mm.sum(x) * y["y"] * (1.0 if w is None else w)

    mapped = mm.vmap(product, in_axes=(0,), enabled=enabled)
    assert_array_equal(mapped(x, y={"y": y}), x.sum(1) * y)
    shared = mm.vmap(product, in_axes=[1, None], out_axes="sum", enabled=enabled)
    assert_array_equal(shared(x.T, 3.0, y={"y": y}), np.sum(x.sum(1) * y * 3.0))
    assert_array_equal(mm.vmap(lambda *, a: a * 2.0, enabled=enabled)(a=y), y * 2.0)
    gradient = mm.grad(lambda y: mm.sum(mm.vmap(product, enabled=enabled)(x, y={"y": y})))
    assert_array_equal(gradient(y), x.sum(1))
    inside = mm.vmap(mm.grad(product, argnums="y"), enabled=enabled)(x, y={"y": y})
    assert_array_equal(inside["y"], x.sum(1))
    transform: Any
    for transform in (lambda f: mm.compile(mm.vmap(f)), lambda f: mm.vmap(mm.compile(f))):
        assert_array_equal(transform(product)(x, y={"y": y}), x.sum(1) * y)


def test_errors_name_the_argument() -> None:
    x = np.zeros((3, 2))
    with pytest.raises(ShapeError, match="'0' has 3 tasks, and '1/w' 2"):
        mm.vmap(lambda x, y: x)(x, {"w": np.zeros(2)})
    with pytest.raises(ShapeError, match="maps no array"):
        mm.vmap(lambda x: x, None)(x)
    with pytest.raises(ShapeError, match="has no such axis"):
        mm.vmap(lambda x: x, 2)(x)
    for axes in ((0,), [0, None, 0]):
        with pytest.raises(ShapeError, match=r"has \d entries for 2 positional arguments"):
            mm.vmap(lambda x, y: x, axes)(x, x)
    with pytest.raises(ShapeError, match="prefix of a tree"):
        mm.vmap(lambda x: x["a"], ({"b": 0},))({"a": x})
    with pytest.raises(
        ShapeError, match=r"for argument 'rate' of shape \(\).*share an argument it is passed by position"
    ):
        mm.vmap(lambda x, rate: x, 0)(x, rate=1.0)
    for axis in (0.0, "1"):
        with pytest.raises(ShapeError, match="has no such axis"):
            mm.vmap(lambda x: x, axis)(x)
    with pytest.raises(ShapeError, match="'0' has 3 tasks, and 'y/w' 2"):
        mm.vmap(lambda x, y: x)(x, y={"w": np.zeros(2)})
    with pytest.raises(ConfigurationError, match="neither 0 nor 'sum'"):
        mm.vmap(lambda x: x, out_axes=1)(x)
    with pytest.raises(DtypeError, match="only floats"):
        mm.vmap(lambda x: x > 0, out_axes="sum")(x)
    with pytest.raises(IndexingError, match="index 7 is out of bounds") as caught:
        mm.vmap(lambda x, i: x[i], (None, 0))(x[:, 0], np.array([0, 1, 7, 2, 9] * 20))
    assert str(caught.value).count("test_vmap.py") == 1


def test_a_body_of_another_form_is_refused() -> None:
    program = trace(mm.vmap(mm.sin), np.zeros((3, 2)))
    step = program.steps[0]
    with pytest.raises(ShapeError, match="does not take"):
        apply(step.primitive, np.zeros((4, 2)), **step.keywords)
