"""Verdicts where they are hard: at stationary points, of kinks that cancel, at the ends of the range."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minimeta as mm
from minimeta import nn
from minimeta.learners import MAML
from minimeta.tasks import Examples, Task
from minimeta.testing import (
    GradientMismatch,
    Inconclusive,
    Nondifferentiable,
    VacuousCheck,
    check_gradients,
    check_meta_gradient,
    check_vjp,
)

Rule = Callable[..., Any]


def own(function: Callable[..., Any], slope: Rule) -> Any:
    """A function with a derivative of its own: the cotangent times a slope."""
    return mm.custom_vjp(function, lambda g, y, x: (g * slope(x),))


# Stationary points


DESIGN = np.arange(6.0).reshape(3, 2)

STATIONARY: list[tuple[str, Callable[[Any], Any], Any]] = [
    ("a sum of squares at 0", lambda x: mm.sum(x**2), np.zeros(2)),
    (
        "a loss at its optimum",
        lambda w: mm.mean((DESIGN @ w - DESIGN @ np.array([0.3, 0.7])) ** 2),
        np.array([0.3, 0.7]),
    ),
    ("weights of 0", lambda w: mm.sum(mm.tanh(DESIGN @ w) ** 2), np.zeros(2)),
    ("a cosine at 0", mm.cos, 0.0),
    ("a fourth power at 0", lambda x: mm.sum(x**4), np.zeros(3)),
]


@pytest.mark.parametrize(("function", "point"), [row[1:] for row in STATIONARY], ids=[row[0] for row in STATIONARY])
def test_a_stationary_point_is_as_good_as_any(function: Any, point: Any) -> None:
    assert check_gradients(function, point).constant == ()
    twice = mm.custom_vjp(function, lambda g, y, x: (2 * g * mm.grad(lambda z: mm.sum(function(z)))(x),))
    with pytest.raises(GradientMismatch, match="at a point nearby\n  at "):
        check_gradients(lambda x: mm.sum(twice(x)), point)


def test_a_meta_gradient_at_the_optimum() -> None:
    model = nn.mlp((1, 1), dtype=np.float64)
    inputs = np.linspace(-1, 1, 4)[:, None]
    task = Task(Examples(inputs, 0 * inputs), Examples(inputs, 0 * inputs))
    zeros = mm.tree.map(np.zeros_like, model.init(np.random.default_rng(0)))
    learner = MAML(model, nn.mean_squared_error, 0.1, 1)
    assert check_meta_gradient(learner, task, meta_parameters=zeros).orders


@pytest.mark.parametrize(
    "function",
    [
        lambda x: mm.sum(mm.stop_gradient(x)),
        lambda x: mm.sum(0.0 * x) + 1.0,
        lambda x: mm.sum(mm.where(x > 0, 1.0, 0.0 * x)),
    ],
)
def test_what_is_constant_nearby_too_is_vacuous(function: Any) -> None:
    with pytest.raises(VacuousCheck, match="neither at this point nor nearby"):
        check_gradients(function, np.array([1.0, 2.0]))
    check_gradients(function, np.array([1.0, 2.0]), may_be_constant=True)


def test_what_is_the_same_for_every_argument_but_for_rounding_is_inconclusive() -> None:
    def one(x: Any) -> Any:
        return mm.sum(mm.exp(x) / mm.sum(mm.exp(x)))

    with pytest.raises((Inconclusive, VacuousCheck)):
        check_gradients(one, np.array([0.3, 0.4, 1.0]))
    check_gradients(one, np.array([0.3, 0.4, 1.0]), may_be_constant=True)
    check_gradients(lambda w, b: mm.sum(mm.sin(w - mm.mean(w)) + one(b)), np.arange(3.0), np.arange(2.0) / 3)


# What is right at the point alone


half = own(lambda x: x**2, lambda x: x)
cubic = own(lambda x: x**3 + x**2 + x, lambda x: 3 * x**2 + 5 * x + 1)

RIGHT_AT_THE_POINT: list[tuple[Callable[[Any], Any], Any]] = [
    (lambda v: v[0] + half(v[1]), np.array([1.0, 0.0])),
    (cubic, 0.0),
    (own(mm.sin, lambda x: mm.cos(x) + 3 * (x - 0.3)), 0.3),
    (own(mm.sin, lambda x: mm.cos(x) + 3 * (x - 0.3) ** 2), 0.3),
    (own(mm.sin, lambda x: mm.cos(x) + 3 * (x - 0.3) ** 3), 0.3),
    (own(mm.sin, lambda x: mm.cos(x) + 3 * (x - np.float32(0.3)) ** 2), np.float32(0.3)),
]


@pytest.mark.parametrize(("function", "point"), RIGHT_AT_THE_POINT)
@pytest.mark.parametrize("order", [1, 2, 3])
def test_a_rule_has_to_be_right_around_the_point(function: Any, point: Any, order: int) -> None:
    with pytest.raises(GradientMismatch) as caught:
        check_gradients(function, point, order=order)
    assert (caught.value.fault, caught.value.order, caught.value.culprit) == ("value", 1, "custom_vjp")
    with pytest.raises(GradientMismatch):
        exec(caught.value.reproduce, {"function": function, "sin": function})


def test_a_derivative_made_elsewhere_too() -> None:
    with pytest.raises(GradientMismatch, match="at a point nearby"):
        check_vjp(np.sin, lambda g, x: g * (np.cos(x) + 3 * (x - 0.3)), np.array([0.3]))


# Smooth, though made of kinks


SMOOTH_OF_KINKS: list[tuple[Callable[[Any], Any], Any, int, str, str]] = [
    (lambda x: mm.relu(x) - mm.relu(-x), 0.0, 1, "relu", "0.0"),
    (lambda x: mm.maximum(x, -x) ** 2 + x, 0.0, 2, "maximum", "0.0"),
    (lambda x: mm.sum(mm.maximum(x, -x) ** 2), np.zeros(2), 2, "maximum", "0.0"),
    (lambda x: mm.where(x > 0, mm.matmul(mm.stack([mm.sqrt(x), x]), np.array([1.0, 0.0])), x), -1.0, 1, "sqrt", "nan"),
    (lambda x: mm.where(x == 0, 1.0, mm.expm1(x) / x), 0.0, 1, "divide", "0.0"),
    (lambda v: mm.hypot(v[0], v[1]) * mm.hypot(v[0], v[1]), np.zeros(2), 2, "hypot", "0.0"),
    (lambda v: (mm.norm(v) ** 4) ** 0.5, np.zeros(2), 1, "norm", "nan"),
]


@pytest.mark.parametrize(("function", "point", "order", "culprit", "found"), SMOOTH_OF_KINKS)
def test_a_wrong_derivative_of_a_smooth_function_is_no_kink(
    function: Any, point: Any, order: int, culprit: str, found: str
) -> None:
    with pytest.raises(GradientMismatch, match="the function is smooth, though made of kinks") as caught:
        check_gradients(function, point)
    assert (caught.value.fault, caught.value.order, caught.value.culprit) == ("kinks", order, culprit)
    assert f"library    {found}\n" in str(caught.value) and "oracle     " in str(caught.value)
    assert ("still spreads its NaN" in str(caught.value)) == (found == "nan")


@pytest.mark.parametrize(
    "function",
    [lambda x: mm.sum(mm.maximum(x, -x) ** 2) + x[0], lambda x: mm.norm(x) ** 2, lambda x: mm.sum(abs(x) ** 2)],
)
def test_what_is_right_of_a_smooth_function_made_of_kinks_passes(function: Any) -> None:
    check_gradients(function, np.zeros(2), order=1)
    try:  # The derivative of order 2 is 2 I, and may be right.
        check_gradients(function, np.zeros(2))
    except GradientMismatch as mismatch:
        assert (mismatch.fault, mismatch.order) == ("kinks", 2)


def test_a_branch_that_is_not_taken_is_right() -> None:
    check_gradients(lambda x: mm.sum(mm.where(x > 0, mm.sqrt(x), 0.0)), np.array([-1.0, 2.0]))


@pytest.mark.parametrize("function", [mm.absolute, lambda x: mm.sqrt(x * x), lambda x: mm.relu(x) + mm.relu(-x)])
def test_a_kink_is_one_still(function: Any) -> None:
    with pytest.raises(Nondifferentiable):
        check_gradients(lambda x: mm.sum(function(x)), np.array([0.0, 1.0]))


# The ends of the range


SCALED: list[tuple[str, Callable[[Any], Any], Rule, Any]] = [
    ("exp at 700", mm.exp, mm.exp, 700.0),
    ("1/v at 1e-90", lambda v: 1 / v, lambda v: -1 / v / v, 1e-90),
    ("v**3 at 1e80", lambda v: v**3, lambda v: 3 * v * v, 1e80),
    ("exp at -380", mm.exp, mm.exp, -380.0),
    ("exp at -600", mm.exp, mm.exp, -600.0),
    ("sigmoid at -400", mm.sigmoid, mm.exp, -400.0),
    ("softplus at -400", mm.softplus, mm.exp, -400.0),
    ("exp(-x^2)", lambda x: mm.exp(-(x**2)), lambda x: -2 * x * mm.exp(-(x**2)), np.array([0.5, 20.0])),
    ("log at 1e-200", mm.log, lambda x: 1 / x, 1e-200),
    ("sqrt at 1e-200", mm.sqrt, lambda x: 0.5 / mm.sqrt(x), 1e-200),
]


@pytest.mark.parametrize(("function", "slope", "point"), [row[1:] for row in SCALED], ids=[row[0] for row in SCALED])
def test_scales_are_no_difficulty(function: Any, slope: Any, point: Any) -> None:
    report = check_gradients(function, point)
    assert all(row.error < 1e-14 for row in report.orders)
    check_gradients(own(function, slope), point, order=1)
    for factor in (1.0001, -1.0, 0.0):
        with pytest.raises(GradientMismatch):
            check_gradients(own(function, lambda x, factor=factor: slope(x) * factor), point, order=1)


#: Where the complex step of numpy's function, or of a formula, has lost the digits that the rule has.
DELICATE: list[tuple[Callable[..., Any], Any]] = [
    (mm.arcsin, 1 - 1e-9),
    (mm.arccos, -1 + 1e-14),
    (mm.arccosh, 1 + 1e-9),
    (mm.arctanh, 1e-9 - 1),
    (mm.tan, np.pi / 2 - 1e-9),
    (mm.log1p, 1e-14 - 1),
    (mm.exp2, 700.0),
    (mm.log2, 1e-300),
    (mm.log10, 1e-300),
    (mm.cbrt, -1e-200),
    (lambda v: mm.hypot(v[0], v[1]), np.array([1e-150, 2e-150])),
    (lambda v: mm.arctan2(v[0], v[1]), np.array([1e-8, 1e-200])),
    (lambda v: mm.logaddexp(v[0], v[1]), np.array([1e150, 1e150])),
    (mm.softmax, np.array([20.0, 0.0, 1.0])),
    (mm.log_softmax, np.array([20.0, 0.0, 1.0])),
    (mm.softmax, np.array([700.0, 0.0])),
    (mm.softmax, np.array([1e300, 0.0])),
    (np.i0, -1e-8),
    (lambda v: np.fmod(v[0], v[1]), np.array([1.0, 0.1])),
    (np.linalg.pinv, np.array([[1.0, 1.0], [1.0, 1.0 + 1e-8]])),
    (lambda a: np.linalg.lstsq(a, np.ones(2), rcond=None)[0], np.array([[1.0, 1.0], [1.0, 1.0 + 1e-8]])),
]


@pytest.mark.parametrize(("function", "point"), DELICATE)
def test_right_derivatives_that_are_delicate(function: Any, point: Any) -> None:
    check_gradients(function, point, may_be_constant=True)


@pytest.mark.parametrize("point", [1e-2, -1e-8])
def test_a_pole_next_to_a_black_box(point: float) -> None:
    def inverse(factor: float) -> Any:
        return mm.custom_vjp(lambda x: 1 / np.asarray(x), lambda g, y, x: (-factor * g * y * y,), on_values=True)

    check_gradients(inverse(1.0), point, order=2)
    with pytest.raises(GradientMismatch):
        check_gradients(inverse(1.0001), point, order=2)


@pytest.mark.parametrize("point", [[1e16, 0.0], [1e16, 1e16], [1e16, 1e16 - 30.0, 1.0], [-1e16, -1e16], [1e300, 1e300]])
@pytest.mark.parametrize("function", [mm.logsumexp, mm.softmax, mm.log_softmax])
def test_what_depends_on_differences_alone_has_a_scale_of_1(function: Any, point: list[float]) -> None:
    check_gradients(function, np.array(point), may_be_constant=True)


@pytest.mark.parametrize("point", [-700.0, 700.0])
@pytest.mark.parametrize("function", [mm.sigmoid, mm.softplus])
def test_slopes_that_nearly_underflow(function: Any, point: float) -> None:
    check_gradients(function, point)


@pytest.mark.parametrize("function", [mm.tanh, mm.sigmoid])
@pytest.mark.parametrize("point", [0.5, 1e-2, 1e-3, -1e-4, 1e-9, 1e-20, 1e-100])
def test_slopes_that_vanish_to_second_order(function: Any, point: float) -> None:
    check_gradients(function, point, order=3)
    if point > 1e-30:
        check_gradients(function, np.float32(point), order=3)


@pytest.mark.parametrize("name", ["tanh", "sigmoid"])
def test_a_wrong_curvature_of_a_slope_that_vanishes(name: str) -> None:
    function = getattr(mm, name)
    wrong = own(mm.grad(function), lambda x: 1.001 * mm.grad(mm.grad(function))(x))
    with pytest.raises(GradientMismatch):
        check_gradients(wrong, 1e-4, order=1)


@pytest.mark.parametrize("function", [mm.log, mm.sqrt])
@pytest.mark.parametrize("point", [1e-295, 1e-300, 3e-308])
def test_a_step_next_to_0_is_never_longer_than_the_operand(function: Any, point: float) -> None:
    assert check_gradients(function, point, order=1).orders[0].error < 1e-14
    with pytest.raises(GradientMismatch):
        check_gradients(lambda x: own(lambda y: y, lambda y: 1.0001)(function(x)), point, order=1)


def test_norm_at_1e_200_is_no_kink() -> None:
    assert check_gradients(mm.norm, np.array([1e-200, 2e-200]), order=1).orders[0].error < 1e-15
