"""How an operation takes its operands: promotion, broadcasting, conversion, refusal."""

import inspect
import operator
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from drawing import drawings, layouts, share
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

import minimeta as mm
from minimeta.autodiff.apply import apply, context, outermost
from minimeta.autodiff.array import Array
from minimeta.autodiff.primitive import registry
from minimeta.errors import DtypeError, LeakedArrayError, ShapeError

DTYPES = ["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64"]
FLOATS = ["float32", "float64"]
SCALARS = [True, 2, 2.0]


def kept(x: Any, where: list[Any]) -> Any:
    """The same, also remembered."""
    where.append(x)
    return x


# Promotion


@pytest.mark.parametrize("left", DTYPES)
@pytest.mark.parametrize("right", DTYPES)
def test_arithmetic_promotes_as_numpy_does(left: str, right: str) -> None:
    x, y = np.ones(2, left), np.ones(2, right)
    expected = np.result_type(x, y)
    assert mm.add(x, y).dtype == expected
    if left in FLOATS:
        assert mm.vjp(lambda x: x + y, x)[0].dtype == expected
        assert mm.vjp(lambda x: y + x, x)[0].dtype == expected
        assert mm.vjp(lambda x: x + y, x)[1](np.ones(2))[0].dtype == left


@pytest.mark.parametrize("dtype", DTYPES)
def test_functions_of_floats_take_integers_where_numpy_makes_no_float16_of_them(dtype: str) -> None:
    x = np.ones(2, dtype)
    expected = np.exp(x)
    if expected.dtype == np.float16:
        with pytest.raises(DtypeError, match=f"exp of {dtype}: it needs floats; convert with astype"):
            mm.exp(x)
    else:
        assert mm.exp(x).dtype == expected.dtype
        np.testing.assert_allclose(mm.exp(x), expected, rtol=1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("scalar", SCALARS)
def test_python_scalars_are_weak(dtype: str, scalar: float) -> None:
    x = np.ones(2, dtype)
    assert mm.multiply(x, scalar).dtype == mm.multiply(scalar, x).dtype == np.result_type(x, scalar)
    if dtype in FLOATS:
        assert mm.vjp(lambda x: x * scalar, x)[0].dtype == dtype
        assert mm.vjp(lambda x: scalar * x, x)[0].dtype == dtype


@pytest.mark.parametrize("dtype", FLOATS)
def test_a_python_float_stays_weak_through_a_transformation(dtype: str) -> None:
    x = np.ones(2, dtype)
    output, pullback = mm.vjp(lambda s: mm.sin(2.0 * s) * x, 0.5)
    assert output.dtype == dtype
    assert pullback(np.ones(2))[0].dtype == np.float64
    # but not what was converted, nor a numpy scalar
    assert mm.vjp(lambda s: s.astype(np.float64) * x, 0.5)[0].dtype == np.float64
    assert mm.vjp(lambda s: s * x, np.float64(0.5))[0].dtype == np.float64
    assert mm.vjp(lambda s: s * np.float64(1.0), np.ones(2, np.float32))[0].dtype == np.float64


@pytest.mark.parametrize("left", DTYPES)
@pytest.mark.parametrize("right", DTYPES)
def test_comparisons_take_all_dtypes(left: str, right: str) -> None:
    x, y = np.array([0, 1, 1, 0], left), np.array([0, 0, 1, 1], right)
    for ours, theirs in ((mm.equal, np.equal), (mm.less, np.less), (mm.greater_equal, np.greater_equal)):
        found = ours(x, y)
        assert found.dtype == np.bool_
        assert_array_equal(found, theirs(x, y))


@pytest.mark.parametrize("left", DTYPES)
@pytest.mark.parametrize("right", DTYPES)
def test_where_promotes_as_numpy_does(left: str, right: str) -> None:
    condition = np.array([True, False])
    x, y = np.array([1, 0], left), np.array([0, 1], right)
    expected = np.where(condition, x, y)
    found = mm.where(condition, x, y)
    assert found.dtype == expected.dtype
    assert_array_equal(found, expected)


def test_scalars_alone_are_float64_or_int64() -> None:
    for value in (mm.add(1, 2.0), mm.exp(True), mm.power(2, 3.0), mm.sum(1.5), mm.sqrt(4), mm.divide(1, 2)):
        assert value.dtype == np.float64 and value.shape == ()
    for value in (mm.add(1, 2), mm.power(2, 3), mm.sum(2), mm.maximum(1, 2)):
        assert value.dtype == np.int64 and value.shape == ()
    assert mm.power(2, 3) == 8
    assert mm.grad(lambda x: 2**x)(3.0) == pytest.approx(8 * np.log(2))


@pytest.mark.parametrize("zero", [0.0, -0.0])
def test_a_scalar_keeps_the_sign_of_its_zero(zero: float) -> None:
    assert_array_equal(np.signbit(mm.multiply(np.ones(2), zero)), np.signbit([zero, zero]))


@share(1)
@given(drawing=drawings(), shapes=hnp.mutually_broadcastable_shapes(num_shapes=3, min_side=0, max_side=3, max_dims=3))
def test_broadcasting_sums_the_cotangent(drawing: Any, shapes: hnp.BroadcastableShapes) -> None:
    x, y, z = (drawing.array(shape) for shape in shapes.input_shapes)
    output, pullback = mm.vjp(mm.clip, x, y, z)
    assert output.shape == shapes.result_shape
    v = drawing.array(output.shape)
    full = np.broadcast_arrays(x, y, z)
    low = (full[0] < full[1]) & (full[1] <= full[2])
    inside = (full[0] >= full[1]) & (full[0] <= full[2])
    for gradient, operand, chosen in zip(pullback(v), (x, y, z), (inside, low, ~(low | inside)), strict=True):
        expected = v * chosen
        expected = expected.sum(tuple(range(expected.ndim - operand.ndim)))
        repeated = tuple(i for i, side in enumerate(operand.shape) if side == 1 and expected.shape[i] != 1)
        np.testing.assert_allclose(gradient, expected.sum(repeated, keepdims=True), rtol=1e-12, atol=1e-12)


# Refusals


@pytest.mark.parametrize(
    "operand",
    [
        np.zeros(2, np.float16),
        np.zeros(2, np.complex128),
        np.zeros(2, object),
        np.zeros(2, "U1"),
        np.zeros(2, "datetime64[s]"),
        np.zeros(2, np.longdouble),
        1j,
        "text",
        None,
        [1.0, None],
        np.float16(1.0),
        object(),
    ],
    ids=lambda x: type(x).__name__ if not isinstance(x, np.ndarray) else x.dtype.name,
)
def test_what_does_not_compute_is_refused(operand: Any) -> None:
    if isinstance(operand, np.ndarray) and operand.dtype == np.float64:
        pytest.skip("long double is double here")
    plus = mm.add if np.iscomplexobj(operand) else operator.add  # x + 1j is a complex number
    calls: list[Callable[[], Any]] = [
        lambda: mm.add(operand, 1.0),
        lambda: mm.sum(operand),
        lambda: mm.vjp(lambda x: plus(x, operand), 1.0),
    ]
    for call in calls:
        with pytest.raises(DtypeError, match="float32, float64, integers and bool compute"):
            call()


@pytest.mark.parametrize(
    ("operand", "message"),
    [
        ("a", "of a str, where numbers are expected"),
        (None, "of None, where numbers"),
        (["a"], "of an array of strings, where"),
        ([None], "of an array of objects"),
        (np.float16(1.0), "of an array of dtype float16: .*astype"),
    ],
)
def test_the_refusal_names_the_operation_and_what_it_was_given(operand: Any, message: str) -> None:
    with pytest.raises(DtypeError, match=f"^add {message}"):
        mm.vjp(lambda x: x + operand, 1.0)
    with pytest.raises(DtypeError, match=f"^exp {message}"):
        mm.exp(operand)


def test_a_whole_number_that_does_not_fit_is_refused() -> None:
    with pytest.raises(DtypeError, match="does not fit into int64"):
        mm.less(np.arange(2), 2**70)
    assert_array_equal(mm.add(np.zeros(2), 2**70), [2.0**70] * 2)


def test_masked_arrays_are_refused() -> None:
    masked = np.ma.MaskedArray([1.0, 2.0], [True, False])
    calls: list[Callable[[], Any]] = [
        lambda: mm.exp(masked),
        lambda: mm.grad(mm.sum)(masked),
        lambda: mm.grad(lambda x: x * masked)(1.0),
    ]
    for call in calls:
        with pytest.raises(DtypeError, match="the mask would be lost"):
            call()


def test_lists_of_arrays_are_refused() -> None:
    makes: list[Callable[[Any], Any]] = [lambda x: [x, x], lambda x: (1.0, x), lambda x: [[x], [2.0]]]
    for make in makes:
        for function in (mm.sum, mm.exp, mm.ravel):
            with pytest.raises(DtypeError, match="join them with stack or concatenate"):
                mm.vjp(lambda x, make=make, function=function: function(make(x)), 1.0)


def test_nested_lists_of_numbers_are_arrays() -> None:
    assert_array_equal(mm.add([[1.0, 2.0], [3.0, 4.0]], [1, 2]), [[2.0, 4.0], [4.0, 6.0]])
    assert_array_equal(mm.vjp(lambda x: x * [1.0, 2.0], 3.0)[0], [3.0, 6.0])
    assert_array_equal(mm.vjp(lambda x: [1.0, 2.0] * x, 3.0)[0], [3.0, 6.0])


def test_shapes_that_do_not_broadcast_are_named_with_the_line() -> None:
    def function(x: Any) -> Any:
        return x + np.zeros(4)  # the line of the error

    _, first = inspect.getsourcelines(function)
    place = f"{__file__}:{first + 1}, in function"
    for call in (function, lambda x: mm.vjp(function, x)):
        with pytest.raises(ValueError, match=r"\(3,\)") as caught:
            call(np.zeros(3))
    message = str(caught.value)
    assert isinstance(caught.value, ShapeError)
    assert message.startswith("add of shapes (3,) and (4,): they do not broadcast.")
    assert message.endswith(f"\n  at {place}")


def test_errors_of_numpy_calls_name_the_users_line() -> None:
    def function(x: Any) -> Any:
        return np.add(x, np.zeros(4))

    with pytest.raises(ShapeError, match=rf"\n  at {__file__}:\d+, in function"):
        mm.vjp(function, np.zeros(3))


# Memory


@share(0.5)
@given(
    data=st.data(),
    shape=hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
    dtype=st.sampled_from(FLOATS),
)
def test_operands_of_any_layout_byte_order_and_alignment(
    data: st.DataObject, shape: tuple[int, ...], dtype: str
) -> None:
    plain, other = data.draw(layouts(np.arange(np.prod(shape), dtype=dtype).reshape(shape)))
    for function in (
        lambda x: x * 2.0 + 1.0,
        mm.transpose,
        lambda x: mm.sum(x, 0) if x.shape else x,
        lambda x: x[..., ::-1] if x.shape else x,
        lambda x: mm.reshape(x, -1),
    ):
        expected, pullback = mm.vjp(function, plain)
        found, other_pullback = mm.vjp(function, other)
        assert found.dtype == np.dtype(dtype) and found.dtype.isnative
        assert found.tobytes() == expected.tobytes()
        cotangent = np.ones(expected.shape)
        assert other_pullback(cotangent)[0].tobytes() == pullback(cotangent)[0].tobytes()


def test_results_outside_are_never_views() -> None:
    x = np.arange(6.0).reshape(2, 3)
    for view in (
        mm.reshape(x, 6),
        mm.transpose(x),
        mm.broadcast_to(x, (2, 2, 3)),
        mm.stop_gradient(x),
        mm.astype(x, "float64"),
        mm.flip(x),
        mm.squeeze(x),
        mm.concatenate([x]),
        mm.pad(x, 0),
        mm.sum(x, ()),
        mm.clip(x, None, np.inf),
        *mm.split(x, 1),
    ):
        assert type(view) is np.ndarray
        assert view.flags.writeable and view.flags.c_contiguous and view.flags.owndata
        view[...] = -1.0
    assert_array_equal(x, np.arange(6.0).reshape(2, 3))


def test_writable_constants_are_copied_when_they_are_recorded() -> None:
    buffer = np.ones(3)

    def function(x: NDArray[Any]) -> Any:
        total = 0.0
        for step in range(3):
            buffer[...] = step + 1.0
            total = total + mm.sum(x * buffer)
        buffer[...] = np.nan
        return total

    assert_array_equal(mm.grad(function)(np.ones(3)), [6.0, 6.0, 6.0])


def test_views_of_writable_constants_are_copied_too() -> None:
    buffer = np.ones(3)
    view = buffer[::-1]
    view.flags.writeable = False
    output, pullback = mm.vjp(lambda x: x * view, np.ones(3))
    buffer[...] = np.nan
    assert_array_equal(pullback(np.ones(3))[0], np.ones(3))
    assert_array_equal(output, np.ones(3))


# Where results live


def test_results_are_recorded_only_if_they_depend_on_an_open_transformation() -> None:
    seen: list[Array] = []

    def function(x: Any) -> Any:
        constant = mm.sin(np.ones(2))
        assert type(constant) is np.ndarray
        detached = mm.exp(mm.stop_gradient(x))
        seen.extend([x, detached, detached * 2.0, x * detached])
        return mm.sum(x * detached)

    mm.grad(function)(np.ones(2))
    recorded = [array.transformation is not None for array in seen]
    assert recorded == [True, False, False, True]
    assert not seen[1].inputs and not seen[2].inputs and seen[3].inputs


def test_outermost_is_the_oldest_open_trace() -> None:
    def outer(x: Any) -> Any:
        def inner(y: Any) -> Any:
            assert outermost((x, y, 1.0, np.ones(1))) is x.transformation
            assert outermost((np.ones(1), 2.0)) is None
            return x * y

        free: list[Any] = []
        mm.grad(lambda y: kept(y, free))(1.0)
        assert free[0].transformation is not x.transformation
        return mm.grad(inner)(1.0)

    assert mm.grad(outer)(2.0) == 1.0


@pytest.mark.parametrize(
    "use",
    [
        lambda x: x + 1.0,
        mm.sum,
        mm.grad(mm.sum),
        lambda x: mm.grad(lambda y: mm.sum(x * y))(np.ones(2)),
        lambda x: apply(registry["copy"], x),
    ],
)
def test_an_array_that_leaked_is_refused(use: Callable[[Any], Any]) -> None:
    leaked: list[Any] = []
    mm.grad(lambda x: mm.sum(kept(x, leaked)))(np.ones(2))
    with pytest.raises(LeakedArrayError, match=r"an Array of shape \(2,\) is used after the transformation"):
        use(leaked[0])
    assert context.walking == ()


def test_an_array_that_leaked_from_an_inner_transformation_is_refused_if_it_was_its_own() -> None:
    leaked: list[Any] = []

    def outer(x: Any) -> Any:
        mm.grad(lambda y: kept(y, leaked))(1.0)  # does not depend on x
        return x * leaked[0]

    with pytest.raises(LeakedArrayError, match="has_aux=True"):
        mm.grad(outer)(1.0)


def test_the_context_belongs_to_a_thread() -> None:
    seen: list[Any] = []

    def rule(cotangent: Any, output: Any, x: Any) -> tuple[Any]:
        thread = threading.Thread(target=lambda: seen.append(context.walking))
        thread.start()
        thread.join()
        seen.append(len(context.walking))
        return (cotangent,)

    mm.grad(mm.custom_vjp(lambda x: x, rule))(1.0)
    assert seen == [(), 1]
