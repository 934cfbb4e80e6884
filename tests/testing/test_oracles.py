"""The oracles by themselves, against closed forms."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minimeta as mm
from minimeta.program import trace
from minimeta.testing.differences import central_difference, has_kink, taylor_slope
from minimeta.testing.replay import along
from minimeta.testing.rounding import spread

SMOOTH: list[tuple[Callable[[Any], Any], Callable[[float], float]]] = [
    (np.sin, math.cos),
    (np.exp, math.exp),
    (np.tanh, lambda x: 1 / math.cosh(x) ** 2),
    (lambda x: 1 / (1 + x * x), lambda x: -2 * x / (1 + x * x) ** 2),
    (lambda x: np.sin(20 * x), lambda x: 20 * math.cos(20 * x)),
]


@given(st.sampled_from(SMOOTH), st.floats(-2, 2), st.integers(-6, 6))
def test_the_central_difference_is_within_its_bound(functions: Any, x: float, scale: int) -> None:
    function, derivative = functions
    (found,), (error,) = central_difference(lambda t: [np.asarray(function(x + t) * 10.0**scale)])
    exact = derivative(x) * 10.0**scale
    assert abs(found - exact) <= error
    assert error <= 1e-6 * max(abs(exact), 10.0**scale)


@given(st.sampled_from(SMOOTH), st.floats(0.1, 2), st.sampled_from([1e-3, 0.1, 2.0]))
def test_the_slope_of_taylors_remainder_is_2_for_a_derivative_and_1_for_another(
    functions: Any, x: float, error: float
) -> None:
    function, derivative = functions
    assert taylor_slope(lambda t: float(function(x + t)), derivative(x)) > 1.7
    wrong = derivative(x) + error * max(1.0, abs(derivative(x)))
    assert taylor_slope(lambda t: float(function(x + t)), wrong) < 1.3


@pytest.mark.parametrize("jump", [1e-2, 1.0, 100.0])
def test_kinks_by_differences(jump: float) -> None:
    assert has_kink(lambda t: math.sin(0.3 + t) + jump * abs(t))
    assert not has_kink(lambda t: math.sin(0.3 + t) + jump * abs(t) ** 3)
    assert not has_kink(lambda t: jump * math.exp(t))


@given(st.sampled_from(sorted({"sin", "exp", "tanh", "log1p", "softplus", "sigmoid", "expm1", "sqrt", "tan"})),
       st.floats(1e-9, 1.4))  # fmt: skip
def test_the_complex_step_is_exact_to_rounding(name: str, x: float) -> None:
    exact = {
        "sin": math.cos(x),
        "exp": math.exp(x),
        "tanh": 1 / math.cosh(x) ** 2,
        "log1p": 1 / (1 + x),
        "softplus": 1 / (1 + math.exp(-x)),
        "sigmoid": 1 / (2 + math.exp(x) + math.exp(-x)),
        "expm1": math.exp(x),
        "sqrt": 0.5 / math.sqrt(x),
        "tan": 1 / math.cos(x) ** 2,
    }[name]
    line = trace(getattr(mm, name), np.array(x)).line
    (found,) = along(line, [np.array(x)], [np.array(1.0)]).derivatives
    assert abs(found - exact) <= 4e-15 * abs(exact)


def test_the_complex_step_of_powers() -> None:
    for base, exponent in ((-2.0, 3.0), (0.0, 2.0), (0.0, 1.0), (2.0, -1.5), (-1.5, -2.0), (3.0, 0.0)):
        line = trace(lambda x, p=exponent: x**p, np.array(base)).line
        (found,) = along(line, [np.array(base)], [np.array(1.0)]).derivatives
        expected = 0.0 if exponent == 0 else exponent * base ** (exponent - 1)
        assert found == pytest.approx(expected, rel=1e-15)


def test_the_spread_of_rounding_knows_of_cancellation() -> None:
    def size(function: Callable[[Any], Any], x: Any) -> float:
        samples = spread(trace(function, x).line, [x], 2.0**-52)
        return float(max(np.max(np.abs(sample[0])) for sample in samples))

    one = np.array(1.0)
    assert size(lambda x: x + 1e10, one) > 1e-7  # half a unit in the last place of 1e10 is 1e-6
    assert size(lambda x: (x + 1e10) - 1e10, one) > 1e-7
    assert size(lambda x: x * 1e-10, one) < 1e-24
    assert size(mm.sum, np.array([1e8, -1e8])) > 1e-9  # a sum that cancels
    assert size(lambda x: x - 1.0, np.array(1.0)) == 0.0
