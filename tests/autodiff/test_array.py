"""An Array behaves as a numpy array that cannot be written to, and says what to do where it cannot."""

import copy
import operator
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from drawing import Drawing, drawings, share
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray

import minimeta as mm
from minimeta.autodiff.array import Array, Form
from minimeta.errors import DtypeError, IndexingError, LeakedArrayError, MinimetaError, ShapeError, TracingError
from minimeta.program import interpret, trace

Function = Callable[..., Any]


def inside(function: Function, *operands: Any) -> Any:
    """The function's value when it is run inside a transformation."""
    return mm.vjp(function, *operands)[0]


def assert_same(function: Function, x: NDArray[Any]) -> None:
    """An Array and a numpy array give the same; so does an abstract run, replayed."""
    expected = np.asarray(function(x))
    for found in (inside(function, x), interpret(trace(function, x), x)):
        assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
        assert_allclose(found, expected, rtol=1e-13, atol=1e-13)


# Operators


@pytest.mark.parametrize(
    "symbol",
    [
        operator.add,
        operator.sub,
        operator.mul,
        operator.truediv,
        operator.pow,
        operator.eq,
        operator.ne,
        operator.lt,
        operator.le,
        operator.gt,
        operator.ge,
    ],
)
@pytest.mark.parametrize(
    "other",
    [2.0, 3, True, np.float64(1.5), np.array(2.5), np.array([0.5, 1.0, 2.0]), np.ones((2, 1)), np.array([1, 2, 3])],
    ids=repr,
)
def test_binary_operators_on_either_side(symbol: Function, other: Any) -> None:
    x = np.array([0.5, 1.0, 3.0])
    assert_same(lambda x: symbol(x, other), x)
    assert_same(lambda x: symbol(other, x), x)


@pytest.mark.parametrize("symbol", [operator.neg, operator.pos, operator.abs])
def test_unary_operators(symbol: Function) -> None:
    assert_same(symbol, np.array([-1.5, 0.0, 2.0]))


def test_products_on_either_side() -> None:
    matrix = np.arange(6.0).reshape(2, 3)
    assert_same(lambda x: x @ matrix.T, matrix)
    assert_same(lambda x: matrix.T @ x, matrix)
    assert_same(lambda x: x @ [1.0, 2.0, 3.0], matrix)
    assert_same(lambda x: [1.0, 2.0] @ x, matrix)


def test_logical_operators() -> None:
    x = np.array([-1.0, 0.0, 1.0])
    mask = np.array([True, False, True])
    assert_same(lambda x: (x > 0) & mask, x)
    assert_same(lambda x: mask & (x > 0), x)
    assert_same(lambda x: (x > 0) | ~(x < 0), x)
    assert_same(lambda x: mask | (x > 0), x)


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

    assert_same(function, x)
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


def test_arrays_in_an_array_of_objects_are_no_result() -> None:
    def boxed(x: Any) -> Any:
        box = np.empty(2, object)
        box[0], box[1] = x[0], x[1] * 2.0
        return box

    with pytest.raises(DtypeError, match=r"holds Arrays \(dtype object\); join them with stack"):
        mm.vjp(boxed, np.ones(2))
    with pytest.raises(DtypeError, match="holds Arrays"):
        mm.grad(lambda x: mm.sum(boxed(x)))(np.ones(2))


# numpy's functions


def test_numpy_functions_find_their_counterpart() -> None:
    x = np.linspace(0.1, 0.9, 6).reshape(2, 3)
    functions: list[Function] = [
        lambda x: np.exp(x) + np.log(x) - np.sqrt(x) * np.tanh(x) / np.power(x, 3),
        lambda x: np.pow(x, 2) + np.abs(-x) + np.negative(x),
        lambda x: np.concatenate([x, np.zeros((1, 3)), x]),
        lambda x: np.concat([x, x], axis=1),
        lambda x: np.stack([np.ones((2, 3)), x], axis=-1),
        lambda x: np.where(x > 0.5, x, np.zeros((2, 3))),
        lambda x: np.permute_dims(x, (1, 0)),
        lambda x: np.take(x, [0, 2, 2], axis=1),
        lambda x: np.maximum(np.full(3, 0.5), x),
        lambda x: np.var(x, axis=1, ddof=1, keepdims=True),
        np.linalg.norm,
        lambda x: np.linalg.norm(x, axis=0, keepdims=True),
        lambda x: x + np.zeros_like(x) + np.ones_like(x),
        lambda x: np.split(x, 3, axis=1)[1],
    ]
    for function in functions:
        assert_same(function, x)


@pytest.mark.parametrize(
    "call",
    [
        np.std,
        np.cumsum,
        np.median,
        np.linalg.inv,
        np.sort,
        np.arctan,
        lambda x: np.einsum("ij,jk", x, x),
        lambda x: np.arctan2(x, 1.0),
        lambda x: x**2.0 + np.hypot(x, x),
    ],
)
def test_a_numpy_function_without_counterpart_is_a_type_error(call: Function) -> None:
    with pytest.raises(TypeError):
        inside(call, np.eye(2))


def test_the_error_names_the_function_and_a_way_out() -> None:
    with pytest.raises(TracingError, match=r"np\.linalg\.inv of an Array is not supported.*custom_vjp call np\.linalg"):
        inside(np.linalg.inv, np.eye(2))
    with pytest.raises(TracingError, match=r"np\.fft\.fft of an Array is not supported.*custom_vjp call np\.fft\.fft "):
        inside(np.fft.fft, np.ones(2))
    with pytest.raises(TracingError, match=r"np\.cumsum of an Array is not supported: write x @ np\.triu"):
        inside(np.cumsum, np.ones(2))
    with pytest.raises(TracingError, match=r"np\.add\.reduce has no derivative here; use sum"):
        inside(np.add.reduce, np.ones(2))
    with pytest.raises(TracingError, match=r"np\.multiply\.outer"):
        inside(lambda x: np.multiply.outer(x, x), np.ones(2))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: np.exp(x, where=np.array([True, False])), r"np\.exp of an Array.*'where'.*computes it by exp\(x"),
        (lambda x: np.sum(x, dtype=np.float32), r"np\.sum of an Array.*'dtype'.*computes it by sum\(x"),
        (lambda x: np.mean(x, 0, np.float32), r"np\.mean of an Array.*too many positional arguments"),
        (lambda x: np.reshape(x, (2, 1), order="F"), r"np\.reshape of an Array.*'order'"),
        (lambda x: np.where(x > 0), r"np\.where of an Array.*missing a required argument"),
    ],
)
def test_arguments_that_are_not_supported_are_named(call: Function, message: str) -> None:
    with pytest.raises(TracingError, match=message):
        inside(call, np.ones(2))


@pytest.mark.parametrize(
    "call",
    [
        np.asarray,
        np.array,
        np.ascontiguousarray,
        lambda x: np.array([x, x]),
        lambda x: np.exp([x, x]),
        lambda x: np.asarray(x, dtype=np.float32),
        lambda x: memoryview(x),  # noqa: PLW0108
    ],
)
def test_an_array_does_not_become_a_numpy_array(call: Function) -> None:
    with pytest.raises(TypeError):
        inside(call, np.ones(2))


def test_the_error_of_conversion_says_why() -> None:
    with pytest.raises(TracingError, match=r"was about to become a numpy array.*has_aux=True"):
        inside(np.asarray, np.ones(2))


def test_what_is_detached_may_become_a_numpy_array() -> None:
    history: list[Any] = []

    def function(x: Any) -> Any:
        history.append(mm.stop_gradient(x))
        found = np.asarray(x > 1.0)
        assert type(found) is np.ndarray and found.dtype == np.bool_
        found[...] = False
        return mm.sum(x * np.asarray(mm.stop_gradient(x), np.float32))

    assert_array_equal(mm.grad(function)(np.array([1.0, 2.0])), [1.0, 2.0])
    assert_array_equal(np.asarray(history), [[1.0, 2.0]])
    with pytest.raises(TracingError, match="was about to become a numpy array"):
        trace(lambda x: np.asarray(mm.stop_gradient(x)), np.ones(2))


def test_an_array_is_never_an_output() -> None:
    for call in (
        lambda x: np.exp(x, out=np.zeros(2)),
        lambda x: np.exp(np.ones(2), out=x),
        lambda x: np.sum(x, out=np.zeros(())),
        lambda x: np.concatenate([x, x], out=np.zeros(4)),
    ):
        with pytest.raises(TracingError, match="an Array is never written to; drop out="):
            inside(call, np.ones(2))


def test_an_array_is_not_stored_in_a_numpy_array() -> None:
    def store(x: Any) -> Any:
        buffer = np.zeros(2)
        buffer[...] = x
        return buffer

    def store_element(x: Any) -> Any:
        buffer = np.zeros(2)
        buffer[0] = x[0]
        return buffer

    with pytest.raises(TracingError, match="was about to become a numpy array"):
        inside(store, np.ones(2))
    with pytest.raises((TracingError, ValueError)):
        inside(store_element, np.ones(2))


# What needs a value


def test_assignment_says_what_to_use() -> None:
    def function(x: Any) -> Any:
        x[0] = 1.0
        return x

    with pytest.raises(
        TracingError, match=r"cannot be changed in place.*where, concatenate, pad or scatter_add"
    ) as caught:
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


# Indices


def indexed_gradient(x: NDArray[Any], key: Any, cotangent: NDArray[Any]) -> NDArray[Any]:
    expected = np.zeros(x.shape)
    np.add.at(expected, key, cotangent)
    return expected


def assert_indexes(x: NDArray[Any], key: Any, replayed: bool = False) -> None:
    expected = np.asarray(x[key])
    assert_same(lambda x: x[key], x)
    cotangent = np.linspace(1.0, 2.0, expected.size).reshape(expected.shape)
    (gradient,) = mm.vjp(lambda x: x[key], x)[1](cotangent)
    assert_allclose(gradient, indexed_gradient(x, key, cotangent), rtol=1e-13)
    if replayed:
        weighted = mm.compile(mm.grad(lambda x: mm.sum(x[key] * cotangent)))
        assert_allclose(weighted(x), indexed_gradient(x, key, cotangent), rtol=1e-13)
        assert_array_equal(mm.compile(lambda x: x[key])(x), expected)
        assert_array_equal(mm.vmap(lambda x: x[key])(np.stack([x, -x])), [expected, -expected])


@share(1)
@given(data=st.data(), shape=hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
def test_basic_indices(data: st.DataObject, shape: tuple[int, ...]) -> None:
    x = np.arange(np.prod(shape), dtype=np.float64).reshape(shape)
    assert_indexes(x, data.draw(hnp.basic_indices(shape, allow_newaxis=True)))


@share(1)
@given(data=st.data(), shape=hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=4))
def test_arrays_of_integers_for_all_axes(data: st.DataObject, shape: tuple[int, ...]) -> None:
    x = np.arange(np.prod(shape), dtype=np.float64).reshape(shape)
    key: tuple[Any, ...] = data.draw(hnp.integer_array_indices(shape, result_shape=hnp.array_shapes(min_dims=0)))
    dtype = data.draw(st.sampled_from(["int64", "int16"]))
    assert_indexes(x, tuple(np.asarray(indices, dtype) for indices in key))


@st.composite
def mixed_keys(draw: st.DrawFn, shape: tuple[int, ...]) -> tuple[Any, ...]:
    """Slices, integers, arrays of integers that broadcast, lists, None and one '...' in any order."""
    result = draw(hnp.array_shapes(min_dims=1, max_dims=2, min_side=1, max_side=3))
    drawing = Drawing(draw)
    used = draw(st.integers(0, len(shape)))
    front = draw(st.integers(0, used)) if used < len(shape) else used
    entries: list[Any] = []
    for place in range(used):
        side = shape[place] if place < front else shape[len(shape) - used + place]
        kind = draw(st.sampled_from(["slice", "integer", "array", "array", "list"]))
        if side == 0 or kind == "slice":
            entries.append(draw(st.slices(side)))
        elif kind == "integer":
            entries.append(draw(st.integers(-side, side - 1)))
        else:
            sides = tuple(draw(st.sampled_from([1, n])) for n in result[draw(st.integers(0, 1)) * (len(result) - 1) :])
            indices = drawing.indices(sides, side)
            entries.append(indices.tolist() if kind == "list" else indices)
    if used < len(shape):
        entries.insert(front, ...)
    elif draw(st.booleans()):  # An '...' for no axes.
        entries.insert(draw(st.integers(0, used)), ...)
    for _ in range(draw(st.integers(0, 2))):
        entries.insert(draw(st.integers(0, len(entries))), None)
    return tuple(entries)


@share(1.5)
@given(data=st.data(), shape=hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=4))
def test_arrays_of_integers_mixed_with_everything(data: st.DataObject, shape: tuple[int, ...]) -> None:
    x = np.arange(np.prod(shape), dtype=np.float64).reshape(shape)
    key = data.draw(mixed_keys(shape))
    try:
        x[key]
    except IndexError:
        assume(False)
    assert_indexes(x, key)


@pytest.mark.parametrize(
    "key",
    [
        0,
        -1,
        np.int8(1),
        np.array(1),
        (),
        ...,
        None,
        [],
        [0, 0, 1],
        [[0], [1]],
        (slice(None, None, -1), slice(None, None, -2)),
        (slice(5, 0, -3), 2),
        (slice(1, 1), ...),
        (slice(None, 1, 2**63), slice(2, 1, -(2**70))),
        (..., -1),
        ([0, 1], [2, 0]),
        (0, slice(None), [1, 2]),
        (slice(None), [1, 2], 0),
        ([1, 0], slice(None), [0, 1]),
        ([1, 0], None, [0, 1]),
        (None, [1, 0], ..., None),
        (slice(None), [0, 1], ..., [0, 1]),
        (slice(None), 0, ..., [0, 1]),
        (slice(None), [0, 1], ..., 2),
        (slice(None), [[0], [1]], ..., [0, 1, 2]),
        (slice(None), ..., [0, 1], [0, 1]),
        (0, ..., [0, 1], slice(None)),
        (None, 0, ..., [0, 1], slice(1, 3)),
        np.array([[0, 1]], np.uint8),
    ],
    ids=repr,
)
def test_indices_one_by_one(key: Any) -> None:
    assert_indexes(np.arange(24.0).reshape(2, 3, 4), key, replayed=True)


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (2, r"index 2 is out of bounds for axis 0 of an array of shape \(2, 3\)"),
        ((0, -4), "index -4 is out of bounds for axis 1"),
        ((0, 0, 0), r"3 indices for an array of shape \(2, 3\), which has 2 axes"),
        ((..., ...), r"may hold '\.\.\.' only once"),
        (1.0, "an index of type float"),
        ("a", "an index of type str"),
        (np.array([0.0]), "an index of dtype float64: indices must be integers"),
        ([0.5], "indices must be integers"),
        (np.array([True, False]), "mask of bool.*depend on values"),
        ([True, False], "mask of bool"),
        (True, "mask of bool"),
        (([0, 1], [0, 1, 2]), "do not broadcast"),
    ],
    ids=repr,
)
def test_indices_that_are_refused(key: Any, message: str) -> None:
    for run in (inside, trace):
        with pytest.raises((IndexingError, ShapeError), match=message):
            run(lambda x: x[key], np.zeros((2, 3)))


def test_positions_out_of_bounds_are_named() -> None:
    with pytest.raises(IndexingError, match="out of bounds") as caught:
        inside(lambda x: x[[0, 2]], np.zeros((2, 3)))
    assert isinstance(caught.value, IndexError)
    assert isinstance(caught.value, MinimetaError)


def test_an_index_may_itself_be_an_array_of_the_computation() -> None:
    x = np.array([[3.0, 1.0, 2.0], [0.0, 5.0, 4.0]])

    def largest(x: Any) -> Any:
        return mm.sum(x[np.arange(2), mm.argmax(x, 1)] ** 2)

    assert_same(largest, x)
    assert_array_equal(mm.grad(largest)(x), [[6.0, 0.0, 0.0], [0.0, 10.0, 0.0]])
    assert_same(lambda x: x[mm.argmax(x[0])], np.array([[1.0, 0.0], [3.0, 4.0]]))


# Both ways of running at once: a method may not know more than its operation


@share(0.3)
@given(drawing=drawings())
def test_expressions_of_many_operators(drawing: Drawing) -> None:
    x = drawing.array((drawing.integer(1, 4), 3))

    def function(x: Any) -> Any:
        centred = x - x.mean(axis=0, keepdims=True)
        scaled = centred / np.sqrt(np.var(x, axis=0) + 1.0)
        product = scaled @ scaled.T
        return (product[0, ::-1] * 2.0 - 1.0).sum() + np.max(np.abs(x))

    assert_same(function, x)


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


def test_a_numpy_array_that_cannot_take_an_array_in_says_what_can() -> None:
    def filled(x: Any) -> Any:
        y = np.zeros(2)
        y[0] = x[0]
        return np.sum(y)

    with pytest.raises(ValueError, match="sequence") as caught:
        mm.grad(filled)(np.ones(2))
    assert "collect a list of them, and np.stack it" in str(caught.value.__cause__)
