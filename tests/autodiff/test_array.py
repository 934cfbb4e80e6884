"""An Array behaves as a numpy array that cannot be written to, and says what to do where it cannot."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from every_way import assert_as_numpy, inside
from numpy.testing import assert_array_equal

import minimeta as mm
from minimeta.autodiff.array import Array, Form
from minimeta.errors import LeakedArrayError, ShapeError, TracingError
from minimeta.program import trace

Function = Callable[..., Any]


# numpy's methods and attributes


@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 4)])
def test_attributes(shape: tuple[int, ...]) -> None:
    x = np.zeros(shape, np.float32)

    def function(x: Any) -> Any:
        assert isinstance(x, Array)
        assert (x.shape, x.ndim, x.size, x.dtype.name) == (shape, len(shape), int(np.prod(shape)), "float32")
        assert (np.shape(x), np.ndim(x), np.size(x)) == (x.shape, x.ndim, x.size)
        if shape:
            assert len(x) == shape[0]
        return x

    inside(function, x)
    trace(function, x)


def test_a_scalar_has_no_length_and_nothing_to_iterate() -> None:
    for call in (len, iter, list):
        with pytest.raises(TypeError, match=r"len\(\) of an Array of shape \(\)"):
            inside(call, 1.0)


def test_iteration_goes_along_the_first_axis() -> None:
    x = np.arange(6.0).reshape(3, 2)

    def function(x: Any) -> Any:
        first, *others = x
        for row in others:
            first = first + row * row
        return first

    assert_as_numpy(function, x)
    assert_array_equal(mm.grad(lambda x: mm.sum(function(x)))(x), [[1.0, 1.0], [4.0, 6.0], [8.0, 10.0]])


def test_repr() -> None:
    seen: list[str] = []
    mm.grad(lambda x: seen.append(repr(x)) or x)(1.5)  # type: ignore[func-returns-value, redundant-expr]
    mm.grad(lambda x: seen.append(repr(mm.stop_gradient(x))) or x)(1.5)  # type: ignore[func-returns-value, redundant-expr]
    trace(lambda x: seen.append(repr(x)) or x, np.zeros((2, 3), np.float32))  # type: ignore[func-returns-value, redundant-expr]
    assert seen == ["Array(array(1.5), traced)", "Array(array(1.5))", "Array(float32[2, 3])"]
    assert repr(Form([2], "int64")) == "int64[2]"


def test_an_array_is_no_key_of_a_dictionary() -> None:
    with pytest.raises(TypeError, match="unhashable"):
        mm.grad(lambda x: {x: x}[x])(1.0)


# Copies


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda x: copy.deepcopy({"w": [x]})["w"][0]])
def test_a_copy_of_an_array_is_the_array_itself(duplicate: Function) -> None:
    def cube(x: Any) -> Any:
        assert duplicate(x) is x
        return mm.sum(duplicate(x) ** 3)

    x, one = np.array([1.0, 2.0]), np.ones(2)
    for gradient in (mm.grad(cube)(x), mm.compile(mm.grad(cube))(x), mm.vmap(mm.grad(cube))(x[None])[0]):
        assert type(gradient) is np.ndarray
        assert_array_equal(gradient, [3.0, 12.0])
    results = [
        mm.hessian(cube)(x),
        mm.jacobian(lambda x: duplicate(x) ** 2)(x),
        *mm.hvp(cube, (x,), (one,)),
        *mm.jvp(cube, (x,), (one,)),
        *mm.vjp(lambda x: duplicate(x) ** 2, x)[1](one),
    ]
    assert [type(result) for result in results] == [np.ndarray] * 6
    assert_array_equal(results[0], [[6.0, 0.0], [0.0, 12.0]])


def test_descent_with_deep_copies_holds_numpy_arrays_at_every_step() -> None:
    w = np.array([1.0, 2.0])
    for _ in range(3):
        w = w - 0.25 * mm.grad(lambda w: mm.sum(copy.deepcopy(w) ** 2))(w)
        assert type(w) is np.ndarray
    assert_array_equal(w, [0.125, 0.25])


def test_pickling_says_what_would_be_lost() -> None:
    for run in (inside, trace):
        with pytest.raises(TracingError, match=r"pickling an Array of shape \(2,\).*stop_gradient"):
            run(pickle.dumps, np.ones(2))
    again = inside(lambda x: pickle.loads(pickle.dumps(mm.stop_gradient(x))), np.array([1.0, 2.0]))
    assert_array_equal(again, [1.0, 2.0])


@pytest.mark.parametrize("run", [mm.vjp, lambda function, x: mm.compile(function)(x), trace])
def test_what_one_transformation_leaks_is_no_result_of_another(run: Function) -> None:
    leaked: list[Any] = []
    mm.compile(lambda x: leaked.append(x * 2.0) or x)(np.ones(2))  # type: ignore[func-returns-value, redundant-expr]
    with pytest.raises(LeakedArrayError, match=r"used after the trace that made it.*Return it from the function"):
        run(lambda x: leaked[0], np.ones(2))


def test_arrays_in_an_array_of_objects_are_joined() -> None:
    def boxed(x: Any) -> Any:
        box = np.empty(2, object)
        box[0], box[1] = x[0], x[1] * 2.0
        return box

    assert_array_equal(mm.vjp(boxed, np.ones(2))[0], [1.0, 2.0])
    for way in (mm.grad, lambda f: mm.compile(mm.grad(f))):
        assert_array_equal(way(lambda x: mm.sum(boxed(x)))(np.ones(2)), [1.0, 2.0])
    assert_array_equal(mm.vjp(lambda x: {"box": boxed(x)}, np.ones(2))[0]["box"], [1.0, 2.0])


# What needs a value


def test_assignment_says_what_to_use() -> None:
    def function(x: Any) -> Any:
        x[0] = 1.0
        return x

    with pytest.raises(TracingError, match=r"cannot be changed in place.*minimeta\.at\(x\)") as caught:
        inside(function, np.ones(2))
    line = function.__code__.co_firstlineno + 1
    assert str(caught.value).endswith(f"\n  at {__file__}:{line}, in function")


def test_a_branch_on_a_known_value_is_taken() -> None:
    def function(x: Any) -> Any:
        return x * x if x > 1.0 and x != 3.0 else -x

    assert mm.grad(function)(2.0) == 4.0
    assert mm.grad(function)(0.5) == -1.0
    assert mm.grad(function)(3.0) == -1.0


def test_a_branch_on_an_unknown_value_says_what_to_use() -> None:
    def function(x: Any) -> Any:
        if x > 1.0:
            return x
        return -x

    with pytest.raises(TracingError, match=r"while tracing.*where\(condition, a, b\)") as caught:
        trace(function, 2.0)
    line = function.__code__.co_firstlineno + 1
    assert str(caught.value).endswith(f"\n  at {__file__}:{line}, in function")


def test_the_truth_of_several_elements_is_refused() -> None:
    for run in (inside, trace):
        with pytest.raises(
            ShapeError, match=r"the truth value of an Array of shape \(2,\): it needs exactly one element"
        ):
            run(lambda x: x if x > 1.0 else -x, np.ones(2))


TAKEN: dict[str, Function] = {
    "float": float,
    "int": int,
    "item": lambda x: x.item(),
    "tolist": lambda x: x.tolist(),
}


@pytest.mark.parametrize("name", TAKEN)
def test_a_number_is_taken_out_only_where_no_derivative_is_lost(name: str) -> None:
    take = TAKEN[name]
    with pytest.raises(
        TracingError, match=rf"{name}\(\) of an Array that is being differentiated.*{{x:\.3f}}.*stop_gradient"
    ):
        mm.grad(lambda x: x * take(x))(2.0)
    assert mm.grad(lambda x: x * take(mm.stop_gradient(x)))(2.0) == 2.0
    assert mm.grad(lambda x: x * take(mm.argmax(mm.stack([x, 2 * x]))))(2.0) == 1.0
    with pytest.raises(TracingError, match=rf"{name}\(\) of an Array while tracing"):
        trace(lambda x: x * take(mm.stop_gradient(x)), 2.0)
    if name != "tolist":
        with pytest.raises(ShapeError, match="exactly one element"):
            inside(take, np.ones(2))


def test_elements_and_lists_of_constants() -> None:
    x = np.array([[1.0, 2.0], [3.0, 4.0]])
    seen: list[Any] = []

    def function(x: Any) -> Any:
        constant = mm.stop_gradient(x)
        seen.extend([constant.item(3), constant.item(0, 1), constant.tolist(), (x > 2.0).tolist()])
        return mm.sum(x)

    mm.grad(function)(x)
    assert seen == [x.item(3), x.item(0, 1), x.tolist(), (x > 2.0).tolist()]
    assert [type(number) for number in seen[:2]] == [float, float]


def test_a_number_prints_as_pythons_own() -> None:
    seen: list[str] = []

    def loss(x: Any) -> Any:
        value = np.sum(x * x)
        seen.append(f"{value:.3f} {value:>8.1e} {mm.stop_gradient(value):g} {np.argmax(x):3d} {value}")
        return value

    x = np.array([1.0, 2.0])
    assert_array_equal(mm.grad(loss)(x), [2.0, 4.0])
    assert_array_equal(mm.compile(mm.grad(loss))(x), [2.0, 4.0])
    unknown = "Array(float64[])"
    assert seen[0] == "5.000  5.0e+00 5   1 Array(array(5.), traced)"
    assert seen[1] == f"{unknown} {unknown} {unknown} Array(int64[]) {unknown}"
    with pytest.raises(TypeError, match="unsupported format string"):
        inside(lambda x: f"{x:.3f}", x)


def test_an_integer_array_is_an_index_of_a_list() -> None:
    choices = [lambda x: x, lambda x: x * x]
    assert mm.grad(lambda x: choices[mm.argmax(mm.stack([x, 2 * x]))](x))(3.0) == 6.0
    with pytest.raises(TracingError, match="an Array of dtype float64 as an index"):
        mm.grad(lambda x: choices[x](x))(1.0)


def test_a_constant_of_a_differentiated_function_can_be_kept() -> None:
    kept: list[Any] = []

    def loss(x: Any) -> Any:
        y = mm.sum(mm.square(x))
        kept.append(mm.stop_gradient(y))
        return y

    assert_array_equal(mm.grad(loss)(np.array([1.0, 2.0])), [2.0, 4.0])
    assert float(kept[0]) == 5.0
    value = np.asarray(kept[0])
    value[...] = 0.0
    assert_array_equal(np.asarray(kept), [5.0])
