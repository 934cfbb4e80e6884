"""The second derivative from the function alone, against closed forms and against rules that are right by chance."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minimeta as mm
from minimeta.testing import GradientMismatch, check_gradients
from minimeta.testing.curvature import curvature
from minimeta.testing.subject import Subject

FUNCTIONS: list[tuple[Callable[[Any], Any], Callable[[float], float]]] = [
    (mm.sin, lambda x: -math.sin(x)),
    (mm.exp, math.exp),
    (mm.tanh, lambda x: -2 * math.tanh(x) / math.cosh(x) ** 2),
    (lambda x: 1 / (1 + x * x), lambda x: (6 * x * x - 2) / (1 + x * x) ** 3),
    (lambda x: x**3 - 2 * x, lambda x: 6 * x),
    (lambda x: 3 * x - 1, lambda x: 0.0),
]


def blackened(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The function, which cannot be traced."""
    return lambda x: function(np.array(x.tolist()))


@given(st.sampled_from(FUNCTIONS), st.floats(-2, 2) | st.sampled_from([0.0, 1e-30, -1e-9]), st.booleans())
def test_it_is_within_its_bound(functions: Any, x: float, is_black: bool) -> None:
    function, second = functions
    subject = Subject.of(blackened(function) if is_black else function, (np.array(x),))
    u, w = np.array(1.25), np.array(-0.75)
    seen = curvature(subject, [np.array(2.0)], [u], [w])
    exact = 2.0 * u * w * second(x)
    assert abs(seen.value - exact) <= 8 * seen.error + 1e-13 * abs(exact)
    assert seen.error <= 1e-6 * max(1.0, abs(exact))
    assert seen.slope > 0 or abs(x) < 1e-8 or not is_black


def test_it_is_of_all_arguments_together() -> None:
    rng = np.random.default_rng(0)
    x, y, u, p, w, q = rng.normal(size=(6, 3))
    for function in (lambda x, y: mm.sum(mm.sin(x) * y**2), blackened_pair):
        subject = Subject.of(function, (x, y))
        seen = curvature(subject, [np.array(1.0)], [u, p], [w, q])
        exact = np.sum(-np.sin(x) * y**2 * u * w + 2 * np.cos(x) * y * (u * q + p * w) + 2 * np.sin(x) * p * q)
        assert abs(seen.value - exact) <= 8 * seen.error < 1e-6


def blackened_pair(x: Any, y: Any) -> Any:
    return np.sum(np.sin(np.array(x.tolist())) * np.array(y.tolist()) ** 2)


def test_what_is_held_constant_stays_so() -> None:
    subject = Subject.of(lambda x: mm.stop_gradient(x) * x * x, (np.array(0.5),))
    one = [np.array(1.0)]
    assert curvature(subject, one, one, one).value == pytest.approx(1.0, rel=1e-9)  # 2 * 0.5, and not 6 * 0.5
    check_gradients(lambda x: mm.stop_gradient(x) * x * x, 0.5)


def own(function: Callable[[Any], Any], slope: Callable[[Any], Any]) -> Any:
    return mm.custom_vjp(function, lambda g, y, x: (g * slope(x),))


NEAR_THE_POINT_ALONE = {
    "a narrow bump": lambda x, at, width: (x - at) * mm.exp(-(((x - at) / width) ** 2)),
    "a wave": lambda x, at, width: width * mm.sin((x - at) / width) * mm.where(abs(x - at) < 9 * width, 1.0, 0.0),
}


@pytest.mark.parametrize("name", sorted(NEAR_THE_POINT_ALONE))
@pytest.mark.parametrize("point", [0.3, -2.0, 30.0, 1e-3, 0.0, 1e-30, 1e-100])
@pytest.mark.parametrize("dimension", [(), (3,)])
def test_a_slope_that_is_right_at_the_point_and_farther_away(name: str, point: float, dimension: Any) -> None:
    at, width = np.full(dimension, point), 1e-6 * max(1.0, abs(point))
    wrong = own(mm.sin, lambda x: mm.cos(x) + 0.1 * NEAR_THE_POINT_ALONE[name](x, at, width))
    with pytest.raises(GradientMismatch) as caught:
        check_gradients(lambda x: mm.sum(wrong(x) * 2.0), at)
    if point == 0.3:
        assert caught.value.order == 2 and "of the function alone" in str(caught.value)
        check_gradients(lambda x: mm.sum(wrong(x) * 2.0), at, order=1)


def test_a_report_says_whether_the_function_alone_confirms() -> None:
    report = check_gradients(lambda x: mm.sum(mm.sin(x)), np.array([0.3, 1e-3]))
    assert [row.alone for row in report.orders] == [None, True]
    for rate in 10.0 ** np.arange(13):
        check_gradients(lambda x, rate=rate: mm.sum(mm.sin(rate * x)), np.array([0.3]))
    report = check_gradients(lambda x: mm.sum(mm.sin(1e14 * x)), np.array([0.3]))
    assert report.orders[1].alone is False and "the function alone does not show it" in str(report)
