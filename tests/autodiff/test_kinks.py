"""Conventions at kinks and poles, and accuracy far out."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray

import minimeta as mm
from minimeta.autodiff.primitive import Primitive, registry

Floats = NDArray[Any]


def reference(primitive: Primitive, *operands: Any, **params: Any) -> Floats:
    with np.errstate(all="ignore"):
        return np.asarray(primitive.reference(*operands, **params))


# Conventions at kinks and poles


def derivative(function: Callable[[Any], Any], x: float) -> float:
    return float(mm.grad(function)(x))


def test_relu_has_derivative_0_at_0() -> None:
    assert derivative(mm.relu, 0.0) == 0.0
    assert derivative(mm.relu, -0.0) == 0.0
    assert derivative(mm.relu, 5e-324) == 1.0


def test_absolute_has_derivative_0_at_0() -> None:
    assert derivative(mm.absolute, 0.0) == 0.0
    assert derivative(mm.absolute, -1.0) == -1.0


def test_sign_has_derivative_0() -> None:
    assert derivative(lambda x: mm.sign(x) * x, 3.0) == 1.0


def test_norm_has_derivative_0_at_0() -> None:
    assert_array_equal(mm.grad(mm.norm)(np.zeros(3)), np.zeros(3))
    rows = np.array([[0.0, 0.0], [3.0, 4.0]])
    assert_allclose(mm.grad(lambda x: mm.sum(mm.norm(x, 1)))(rows), [[0.0, 0.0], [0.6, 0.8]], rtol=1e-15)


def test_lengths_and_deviations_have_derivative_0_at_0_and_squares_with_all_theirs() -> None:
    assert mm.grad(mm.hypot, (0, 1))(0.0, 0.0) == (0.0, 0.0)
    assert_allclose(mm.hessian(lambda v: mm.hypot(v[0], v[1]) ** 2)(np.zeros(2)), 2.0 * np.eye(2))
    twice = mm.grad(lambda x, y: mm.hypot(x, y) * mm.hypot(x, y))
    assert mm.grad(twice, (0, 1))(0.0, 0.0) == (2.0, 0.0)
    assert_array_equal(mm.grad(mm.std)(np.ones(3)), np.zeros(3))
    assert_allclose(mm.hessian(lambda x: mm.std(x) ** 2)(np.ones(2)), [[0.5, -0.5], [-0.5, 0.5]], atol=1e-15)


def test_products_have_their_derivatives_where_factors_are_0() -> None:
    assert_array_equal(mm.grad(mm.prod)(np.array([2.0, 0.0, 3.0])), [0.0, 6.0, 0.0])
    assert_array_equal(mm.grad(mm.prod)(np.array([2.0, 0.0, 0.0])), np.zeros(3))
    assert_array_equal(mm.hessian(mm.prod)(np.array([2.0, 0.0, 0.0])), [[0, 0, 0], [0, 0, 2], [0, 2, 0]])
    last = mm.hessian(lambda x: mm.cumprod(x)[-1])(np.array([0.0, 0.0, 5.0]))
    assert_array_equal(last, [[0, 5, 0], [5, 0, 0], [0, 0, 0]])


def test_equal_elements_are_sorted_in_their_order() -> None:
    x = np.array([2.0, 1.0, 2.0, 1.0])
    assert_array_equal(mm.jacobian(mm.sort)(x), np.eye(4)[[1, 3, 0, 2]])
    assert_array_equal(mm.grad(mm.median)(np.array([1.0, 1.0, 1.0])), [0.0, 1.0, 0.0])
    many = np.arange(3000.0) % 7
    order = np.argsort(many, kind="stable")
    assert_array_equal(mm.grad(lambda x: mm.sum(mm.sort(x) * np.arange(3000.0)))(many)[order], np.arange(3000.0))


def test_sinc_has_its_derivatives_at_0() -> None:
    function: Callable[[Any], Any] = mm.sinc
    for expected in (0.0, -(np.pi**2) / 3, 0.0, np.pi**4 / 5):
        function = mm.grad(function)
        assert_allclose(function(0.0), expected, atol=1e-14)


def test_norm_at_0_has_a_finite_second_derivative() -> None:
    assert np.isfinite(mm.hessian(mm.norm)(np.zeros(2))).all()


@pytest.mark.parametrize("extreme", [mm.max, mm.min])
def test_ties_of_an_extreme_share_equally(extreme: Callable[..., Any]) -> None:
    x = np.array([[2.0, 2.0, 2.0, 2.0], [1.0, 3.0, 1.0, 3.0]])
    shares = mm.grad(lambda x: mm.sum(extreme(x, 1) * np.array([1.0, 10.0])))(x)
    chosen = [0.0, 5.0, 0.0, 5.0] if extreme is mm.max else [5.0, 0.0, 5.0, 0.0]
    assert_array_equal(shares, [[0.25] * 4, chosen])
    assert_array_equal(mm.grad(extreme)(np.zeros(())), 1.0)


@pytest.mark.parametrize("choose", [mm.maximum, mm.minimum])
def test_ties_of_two_take_half_each(choose: Callable[..., Any]) -> None:
    assert mm.grad(choose, (0, 1))(1.5, 1.5) == (0.5, 0.5)
    assert mm.grad(choose, (0, 1))(0.0, -0.0) == (0.5, 0.5)
    assert derivative(lambda x: choose(x, x), 1.5) == 1.0


def test_the_larger_and_the_smaller_take_all() -> None:
    assert mm.grad(mm.maximum, (0, 1))(1.0, 2.0) == (0.0, 1.0)
    assert mm.grad(mm.minimum, (0, 1))(1.0, 2.0) == (1.0, 0.0)


def test_clip_includes_its_bounds() -> None:
    points = np.array([-1.5, -1.0, 0.0, 1.0, 1.5])
    gradient = mm.grad(lambda x: mm.sum(mm.clip(x, -1.0, 1.0)))(points)
    assert_array_equal(gradient, [0.0, 1.0, 1.0, 1.0, 0.0])


@pytest.mark.parametrize(
    ("x", "expected"),
    [(-2.0, (0.0, 1.0, 0.0)), (-1.0, (1.0, 0.0, 0.0)), (1.0, (1.0, 0.0, 0.0)), (2.0, (0.0, 0.0, 1.0))],
)
def test_clip_gives_the_derivative_to_the_bound_that_holds(x: float, expected: tuple[float, ...]) -> None:
    assert mm.grad(mm.clip, (0, 1, 2))(x, -1.0, 1.0) == expected


def test_clip_between_equal_bounds_is_constant() -> None:
    points = np.array([0.5, 1.0, 1.5])
    assert_array_equal(mm.grad(lambda x: mm.sum(mm.clip(x, 1.0, 1.0)))(points), np.zeros(3))
    for x in points:
        assert mm.grad(mm.clip, (0, 1, 2))(x, 1.0, 1.0) == (0.0, 0.0, 1.0)


def test_clip_with_crossed_bounds_is_the_upper_one() -> None:
    for x in (-1.0, 1.0, 2.0, 3.0, 4.0):
        assert mm.clip(x, 3.0, 1.0) == np.clip(x, 3.0, 1.0) == 1.0
        assert mm.grad(mm.clip, (0, 1, 2))(x, 3.0, 1.0) == (0.0, 0.0, 1.0)


def test_sqrt_has_an_infinite_derivative_at_0() -> None:
    assert derivative(mm.sqrt, 0.0) == np.inf


@pytest.mark.parametrize(
    ("base", "exponent", "to_base", "to_exponent"),
    [
        (0.0, 0.0, 0.0, 0.0),
        (0.0, 1.0, 1.0, 0.0),
        (0.0, 2.0, 0.0, 0.0),
        (0.0, 3.0, 0.0, 0.0),
        (0.0, 0.5, np.inf, 0.0),
        (2.0, 0.0, 0.0, np.log(2.0)),
        (-2.0, 3.0, 12.0, np.nan),
    ],
)
def test_power_at_its_edges(base: float, exponent: float, to_base: float, to_exponent: float) -> None:
    assert_array_equal(mm.grad(mm.power)(base, np.float64(exponent)), to_base)
    assert_array_equal(mm.grad(mm.power, 1)(base, np.float64(exponent)), to_exponent)


@pytest.mark.parametrize("exponent", [2.0, 3.0, 4.0, np.float64(2.0)])
def test_whole_powers_have_all_derivatives_at_0(exponent: float) -> None:
    function: Callable[[Any], Any] = lambda x: x**exponent  # noqa: E731
    for order in range(6):
        expected = np.prod([exponent - k for k in range(order)]) if order == exponent else 0.0
        assert function(0.0) == expected if order == 0 else derivative(function, 0.0) == expected
        function = mm.grad(function) if order else function


def partial_derivative(orders: list[int], x: float, y: float) -> Any:
    """Of ``x ** y``, with respect to the arguments of these numbers, one after the other."""
    function: Callable[..., Any] = mm.power
    for argument in orders:
        function = mm.grad(function, argument)
    with np.errstate(all="ignore"):
        return function(x, y)


ORDERS = [[0] * i + [1] * j for i in range(5) for j in range(5 - i) if i + j]


@pytest.mark.parametrize("y", [0.0, 1.0, 2.0, 3.0, -1.0, 0.5, 4.0])
@pytest.mark.parametrize("x", [0.5, 1.0, 2.0, 3.7])
def test_power_has_all_derivatives_to_order_4(x: float, y: float) -> None:
    mpmath = pytest.importorskip("mpmath")
    with mpmath.workdps(80):
        for orders in ORDERS:
            exact = float(mpmath.diff(lambda x, y: x**y, (x, y), (orders.count(0), orders.count(1))))
            for order in (orders, orders[::-1]):
                assert_allclose(partial_derivative(order, x, y), exact, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("y", [0.0, 1.0, 2.0, 3.0, 4.0, -1.0, 0.5])
def test_power_of_0_has_the_derivatives_that_exist_and_no_nan(y: float) -> None:
    for orders in ORDERS:
        i, j = orders.count(0), orders.count(1)
        factor = np.prod([y - k for k in range(i)])  # d/dx of x**y, i times, is factor * x**(y - i)
        exact = 0.0 if j or factor == 0.0 else factor * (np.float64(0.0) ** (y - i) if y >= i else np.inf)
        for order in (orders, orders[::-1]):
            assert_array_equal(partial_derivative(order, 0.0, y), exact)


@pytest.mark.parametrize("y", [0.0, 1.0, 2.0, 3.0, -1.0])
def test_whole_powers_of_negative_numbers_have_derivatives_with_respect_to_the_base(y: float) -> None:
    for orders in ORDERS:
        i = orders.count(0)
        exact = np.prod([y - k for k in range(i)]) * (-2.0) ** (y - i) if i == len(orders) else np.nan
        assert_allclose(partial_derivative(orders, -2.0, y), exact, rtol=1e-14)


@pytest.mark.parametrize("transform", [lambda f: f, mm.compile, lambda f: mm.compile(f, enabled=False)])
def test_the_exponent_is_differentiated_through_the_derivative_of_the_base(transform: Any) -> None:
    assert transform(mm.grad(lambda y: mm.grad(lambda x: x**y)(2.0)))(0.0) == 0.5
    twice = transform(mm.grad(lambda y: mm.grad(mm.grad(lambda x: x**y))(2.0)))  # y (y - 1) 2**(y - 2) at 1
    assert_allclose(twice(1.0), 0.5, rtol=1e-15)
    hessian = transform(mm.hessian(lambda v: v[0] ** v[1]))
    assert_array_equal(hessian(np.array([0.0, 1.0])), np.zeros((2, 2)))
    assert_allclose(hessian(np.array([2.0, 0.0])), [[0.0, 0.5], [0.5, np.log(2.0) ** 2]], rtol=1e-15)
    along = transform(lambda y: mm.hvp(mm.power, (2.0, y), (1.0, 0.0)))(1.0)
    assert_allclose(along, [0.0, 1.0 + np.log(2.0)], rtol=1e-15)


def test_a_number_to_the_power_of_0_is_constant() -> None:
    for x in (0.0, 1e-310, np.inf, -np.inf, 2.0):
        for y in (0.0, np.float64(0.0)):
            assert partial_derivative([0], x, y) == partial_derivative([0, 0], x, y) == 0.0
            assert mm.grad(lambda x, y=y: x**y)(x) == 0.0


# Accuracy far out


@pytest.mark.parametrize("x", [-1000.0, -40.0, 0.0, 40.0, 1000.0])
def test_functions_with_exponentials_do_not_overflow(x: float) -> None:
    assert mm.softplus(x) == np.logaddexp(0.0, x)
    assert_allclose(mm.sigmoid(x), np.exp(-np.logaddexp(0.0, -x)), rtol=1e-15)
    for function in (mm.softplus, mm.sigmoid, mm.tanh):
        assert np.isfinite([derivative(function, x), derivative(mm.grad(function), x)]).all()


@pytest.mark.parametrize("shift", [-1e4, 0.0, 1e4])
def test_softmax_and_its_kind_do_not_overflow(shift: float) -> None:
    x = np.array([0.5, -1.0, 2.0])
    weights = np.exp(x) / np.exp(x).sum()
    assert_allclose(mm.softmax(x + shift), weights, rtol=1e-11)
    assert_allclose(mm.log_softmax(x + shift), np.log(weights), rtol=1e-11)
    assert_allclose(mm.logsumexp(x + shift), np.log(np.exp(x).sum()) + shift, rtol=1e-15)
    assert_allclose(mm.grad(mm.logsumexp)(x + shift), weights, rtol=1e-11)
    assert_allclose(mm.hessian(mm.logsumexp)(x + shift), np.diag(weights) - np.outer(weights, weights), atol=1e-11)


@pytest.mark.parametrize("transform", [lambda f: f, mm.compile])
@pytest.mark.parametrize(
    ("x", "weights"),
    [
        ((np.inf, 1.0), (1.0, 0.0)),
        ((-np.inf, 1.0), (0.0, 1.0)),
        ((np.inf, np.inf, 3.0), (0.5, 0.5, 0.0)),
        ((np.inf, -np.inf), (1.0, 0.0)),
        ((-np.inf, -np.inf), (0.5, 0.5)),
    ],
)
def test_softmax_and_its_kind_take_infinities_to_their_limits(x: Any, weights: Any, transform: Any) -> None:
    for dtype in (np.float32, np.float64):
        values = np.array(x, dtype)
        p: Floats = np.array(weights, dtype)
        covariance = np.diag(p) - p[:, None] * p
        assert_array_equal(transform(mm.softmax)(values), p)
        with np.errstate(divide="ignore"):
            assert_allclose(transform(mm.log_softmax)(values), np.log(p), rtol=1e-7)
        assert transform(mm.logsumexp)(values) == max(x)
        assert_array_equal(transform(mm.grad(mm.logsumexp))(values), p)
        assert_array_equal(transform(mm.hessian(mm.logsumexp))(values), covariance)
        assert_array_equal(transform(mm.jacobian(mm.softmax))(values), covariance)
        assert_allclose(transform(mm.jacobian(mm.log_softmax))(values), np.subtract(np.eye(len(p)), p), atol=1e-7)
        for primitive in ("softmax", "log_softmax"):
            assert_allclose(
                reference(registry[primitive], values, axes=(0,)), transform(getattr(mm, primitive))(values)
            )


def test_softmax_of_nan_is_nan() -> None:
    for x in (np.array([np.nan, 1.0]), np.array([np.inf, np.nan])):
        assert np.isnan(mm.softmax(x)).all()
        assert np.isnan(mm.log_softmax(x)).all()


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_norm_neither_overflows_nor_underflows(scale: float) -> None:
    x = scale * np.array([3.0, 4.0])
    assert_allclose(mm.norm(x), 5 * scale, rtol=1e-15)
    assert_allclose(mm.grad(mm.norm)(x), [0.6, 0.8], rtol=1e-15)


@pytest.mark.parametrize("x", [np.inf, -np.inf])
@pytest.mark.parametrize("transform", [lambda f: f, mm.compile])
@pytest.mark.parametrize(
    ("function", "slope"),
    [
        (np.arctan, 0.0),
        (np.arcsinh, 0.0),
        (lambda x: np.hypot(x, 2.0), 1.0),
        (lambda x: np.hypot(-2.0, x), 1.0),
        (lambda x: np.arctan2(x, 2.0), 0.0),
        (lambda x: np.arctan2(2.0, x), 0.0),
    ],
)
def test_lengths_and_angles_have_their_limits_at_infinity(
    function: Any, slope: float, transform: Any, x: float
) -> None:
    assert transform(mm.grad(function))(x) == np.copysign(slope, x)
    assert transform(mm.grad(mm.grad(function)))(x) == 0.0
    assert transform(mm.grad(mm.grad(mm.grad(function))))(x) == 0.0


def test_what_has_no_limit_at_infinity_is_not_a_number() -> None:
    for x, y in ((np.inf, np.inf), (np.inf, np.nan), (np.nan, 1.0)):
        assert np.isnan(mm.grad(lambda x, y=y: np.hypot(x, y))(x))
    assert np.isnan(mm.grad(np.arctan)(np.nan))
