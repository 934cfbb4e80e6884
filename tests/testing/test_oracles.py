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
from minimeta.testing.differences import Bend, central_difference, noise
from minimeta.testing.limits import along, is_smooth, limit
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
    (found,), (error,), *_ = central_difference(lambda t: [np.asarray(function(x + t) * 10.0**scale)])
    exact = derivative(x) * 10.0**scale
    assert abs(found - exact) <= error
    assert error <= 1e-6 * max(abs(exact), 10.0**scale)


def at(function: Callable[[Any], Any], x: float) -> tuple[Any, list[Any], list[Any]]:
    """A program at a point, and a direction of its scale."""
    return trace(function, np.array(x)), [np.array(x)], [np.array(abs(x) or 1.0)]


@given(st.sampled_from(SMOOTH), st.floats(-2, 2).filter(lambda x: x == 0 or abs(x) > 1e-3))
def test_the_limit_of_derivatives_beside_a_point_is_within_its_bound(functions: Any, x: float) -> None:
    function, derivative = functions
    program, point, direction = at(function, x)
    (found,), (error,), *_ = limit(program, point, direction)
    exact = derivative(x) * direction[0]
    assert abs(found - exact) <= error <= 1e-7 * max(1.0, abs(exact))


CANCELLING: list[tuple[Callable[[Any], Any], float, float]] = [
    (lambda x: np.sin(x) / x, 1e-5, -1e-5 / 3),
    (lambda x: np.sin(x) / x, 1e-8, -1e-8 / 3),
    (lambda x: mm.log((mm.exp(x) + mm.exp(-x)) / 2), 1e-4, math.tanh(1e-4)),
    (lambda x: (1 - mm.cos(x)) / x**2, 1e-3, -1e-3 / 12 + 1e-9 / 180),
    (lambda x: mm.sqrt(1 + x) - mm.sqrt(1 - x) - x, 1e-3, 3 / 8 * 1e-6),
]


@pytest.mark.parametrize(("function", "x", "exact"), CANCELLING)
def test_a_replay_that_cancels_knows_its_error_and_the_limit_is_better(function: Any, x: float, exact: float) -> None:
    program, point, direction = at(function, x)
    (found,), (error,), *_ = along(program, point, direction)
    assert abs(found / x - exact) <= 8 * error / x + 1e-6 * abs(exact)
    (other,), (bound,), *_ = limit(program, point, direction)
    assert abs(other / x - exact) <= bound / x + 1e-6 * abs(exact)
    assert bound < 1e-2 * abs(exact * x)


RANGES: list[tuple[Callable[[Any], Any], float, float]] = [
    (mm.exp, 700.0, math.exp(700)),
    (mm.exp, -600.0, math.exp(-600)),
    (mm.sigmoid, -600.0, math.exp(-600)),
    (mm.softplus, -600.0, math.exp(-600)),
    (lambda x: mm.exp(-(x**2)), 25.0, -50 * math.exp(-625)),
    (lambda x: 1 / x, 1e-90, -1e180),
    (lambda x: x**3, 1e80, 3e160),
    (mm.sqrt, 1e-200, 0.5e100),
    (mm.log, 1e-200, 1e200),
    (mm.log, 1e-295, 1e295),
    (mm.log, 1e-305, 1e305),
    (mm.sqrt, 1e-300, 0.5e150),
    (mm.grad(mm.tanh), 1e-4, -2e-4 + 8e-12 / 3),
    (mm.grad(mm.tanh), 1e-100, -2e-100),
    (mm.grad(mm.sigmoid), 1e-100, -1e-100 / 8),
    (mm.grad(mm.sigmoid), 600.0, -math.exp(-600)),
    (lambda x: mm.norm(mm.reshape(x, (1,))), 1e-200, 1.0),
    (mm.sin, 1e6, math.cos(1e6)),
    (lambda x: (x * 1e-200) * 1e150, 1e100, 1e-50),
]


@pytest.mark.parametrize(("function", "x", "exact"), RANGES)
def test_the_complex_step_has_the_range_of_floats(function: Any, x: float, exact: float) -> None:
    program, point, _ = at(function, x)
    (found,), (error,), *_ = along(program, point, [np.array(x)])
    assert found == pytest.approx(exact * x, rel=1e-13, abs=0.0) and error <= 1e-12 * abs(found)


@pytest.mark.parametrize(
    ("function", "smooth"),
    [
        (lambda x: mm.relu(x) - mm.relu(-x), True),
        (lambda x: mm.maximum(x, -x) ** 2 + x, True),
        (lambda x: mm.norm(mm.reshape(x, (1,))) ** 2, True),
        (lambda x: mm.where(x == 0, 1.0, mm.expm1(x) / mm.where(x == 0, 1.0, x)), True),
        (lambda x: x * mm.absolute(x), True),
        (mm.absolute, False),
        (mm.sqrt, False),
        (lambda x: mm.sqrt(x * x), False),
        (lambda x: mm.sign(x) * mm.absolute(x) ** (1 / 3), False),
        (lambda x: mm.where(x > 0, x + 1, x), False),
        (lambda x: mm.where(x == 0, 5.0, x), False),
    ],
)
def test_the_two_sides_of_0_come_together_or_not(function: Any, smooth: bool) -> None:
    assert is_smooth(*at(function, 0.0)) == smooth


def test_a_difference_believes_longer_steps_where_they_agree_with_shorter_ones() -> None:
    def tiny(t: float) -> list[Any]:  # sin(x)/x at 1e-7: nothing is to be seen of it from nearer than 1e-3
        return [np.sinc(1e-7 + t * 1e-7)]

    (found,), (error,), *_ = central_difference(tiny, [np.array(1e-7)])
    assert abs(found / 1e-7 - -(math.pi**2) * 1e-7 / 3) <= error / 1e-7 < 1e-9
    (found,), (error,), *_ = central_difference(lambda t: [np.asarray(1 / (1e-90 * (1 + t)))], [np.array(1e-90)])
    assert found == pytest.approx(-1e90, rel=1e-9) and error < 1e-7 * 1e90  # beyond the pole it is another function
    (found,), _, *_ = central_difference(lambda t: [np.round(0.3217 * (1 + t), 3) ** 2], [np.array(0.3217)])
    assert found == 0.0


def bends(function: Callable[[Any], Any], x: float = 0.0) -> bool:
    scale = 2.0 ** np.floor(np.log2(abs(x))) if x else 1.0
    try:
        central_difference(lambda t: [np.asarray(function(np.float64(x + t * scale)))], [np.array(scale)])
    except Bend:
        return True
    return False


@pytest.mark.parametrize("jump", [1e-3, 1.0, 100.0])
@pytest.mark.parametrize("x", [0.0, 1.0, 1e3, -1e5])
def test_kinks_by_differences(jump: float, x: float) -> None:
    assert bends(lambda z: np.sin(0.3 + z) + jump * abs(z - x), x)
    assert bends(lambda z: np.sin(0.3 + z) + jump * np.sqrt(abs(z - x)), x)
    assert bends(lambda z: np.sin(0.3 + z) + jump * (z >= x), x)
    assert bends(lambda z: np.sin(0.3 + z) + jump * np.sqrt(z - x), x)
    assert not bends(lambda z: np.sin(0.3 + z) + jump * abs(z - x) ** 3, x)
    assert not bends(lambda z: jump * np.exp(z - x), x)
    assert not bends(lambda z: jump * (z - x) ** 2, x)


@pytest.mark.parametrize("power", range(16))
def test_a_wave_is_no_kink_however_short_it_is_beside_the_point(power: int) -> None:
    for digits in (1.0, 1.37, 1.999999):
        assert not bends(np.sin, digits * 10.0**power)


def test_noise_is_measured() -> None:
    rng = np.random.default_rng(0)
    for size in (1e-12, 1e-3):

        def noisy(t: float, size: float = size) -> list[Any]:
            return [np.array([np.sin(0.3 + t) + size * rng.normal(), np.exp(t)])]

        (found,) = noise(noisy)
        assert 0.3 * size < found[0] < 3 * size and found[1] < 1e-15
        (value,), (error,), *_ = central_difference(noisy)
        assert abs(value[0] - math.cos(0.3)) <= error[0] < 1e3 * size


def test_a_function_of_few_digits_is_not_a_constant() -> None:
    def in_float32(t: float) -> list[Any]:
        return [np.float64(np.sin(np.float32(0.3 * (1 + t))))]

    (found,), (error,), *_ = central_difference(in_float32, [np.array(0.25)])
    assert abs(found - 0.3 * math.cos(0.3)) <= error < 1e-3


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
    program = trace(getattr(mm, name), np.array(x))
    (found,) = along(program, [np.array(x)], [np.array(1.0)]).derivatives
    assert abs(found - exact) <= 4e-15 * abs(exact)


def test_the_complex_step_of_powers() -> None:
    for base, exponent in ((-2.0, 3.0), (0.0, 2.0), (0.0, 1.0), (2.0, -1.5), (-1.5, -2.0), (3.0, 0.0)):
        program = trace(lambda x, p=exponent: x**p, np.array(base))
        (found,) = along(program, [np.array(base)], [np.array(1.0)]).derivatives
        expected = 0.0 if exponent == 0 else exponent * base ** (exponent - 1)
        assert found == pytest.approx(expected, rel=1e-15)


def test_the_spread_of_rounding_knows_of_cancellation() -> None:
    def size(function: Callable[[Any], Any], x: Any) -> float:
        samples = spread(trace(function, x), [x], 2.0**-52)
        return float(max(np.max(np.abs(sample[0])) for sample in samples))

    one = np.array(1.0)
    assert size(lambda x: x + 1e10, one) > 1e-7  # half a unit in the last place of 1e10 is 1e-6
    assert size(lambda x: (x + 1e10) - 1e10, one) > 1e-7
    assert size(lambda x: x * 1e-10, one) < 1e-24
    assert size(mm.sum, np.array([1e8, -1e8])) > 1e-9  # a sum that cancels
    assert size(lambda x: x - 1.0, np.array(1.0)) == 0.0
