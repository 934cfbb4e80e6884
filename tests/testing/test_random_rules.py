"""Random functions with rules of their own: a right rule is never accused, and a wrong one never passes."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from drawing import share
from hypothesis import given
from hypothesis import strategies as st

import minimeta as mm
from minimeta.testing import GradientMismatch, Inconclusive, check_gradients, check_vjp

Unary = tuple[Callable[[Any], Any], Callable[[Any], Any]]

FUNCTIONS: dict[str, Unary] = {
    "sin": (mm.sin, mm.cos),
    "tanh": (mm.tanh, lambda x: 1 - mm.tanh(x) ** 2),
    "exp": (lambda x: mm.exp(0.3 * x), lambda x: 0.3 * mm.exp(0.3 * x)),
    "square": (lambda x: x * x, lambda x: 2 * x),
    "cubic": (lambda x: x + x**3 / 10, lambda x: 1 + 0.3 * x**2),
    "hill": (lambda x: 1 / (1 + x * x), lambda x: -2 * x / (1 + x * x) ** 2),
    "softplus": (mm.softplus, mm.sigmoid),
    "root": (lambda x: mm.sqrt(1 + x * x), lambda x: x / mm.sqrt(1 + x * x)),
}


def chain(names: Sequence[str]) -> Unary:
    """One function in another, and the product of their slopes."""

    def function(x: Any) -> Any:
        for name in names:
            x = FUNCTIONS[name][0](x)
        return x

    def slope(x: Any) -> Any:
        product: Any = 1.0
        for name in names:
            value, derivative = FUNCTIONS[name]
            product = product * derivative(x)
            x = value(x)
        return product

    return function, slope


def own(function: Callable[[Any], Any], slope: Callable[[Any], Any], change: Callable[[Any, Any], Any]) -> Any:
    return mm.custom_vjp(function, lambda g, y, x: (g * change(slope(x), x),))


chains = st.lists(st.sampled_from(sorted(FUNCTIONS)), min_size=1, max_size=4)
points = st.lists(
    st.one_of(st.just(0.0), st.floats(0.01, 2.0), st.floats(-2.0, -0.01), st.sampled_from([1e-9, -1e-5, 1e-30])),
    min_size=1,
    max_size=3,
).map(np.array)


@share(0.2)
@given(chains, points, st.integers(0, 9))
def test_a_right_rule_is_never_accused(names: list[str], x: Any, seed: int) -> None:
    function, slope = chain(names)
    check_gradients(own(function, slope, lambda s, x: s), x, seed=seed)
    check_gradients(lambda x: mm.sum(own(function, slope, lambda s, x: s)(x)), x.astype(np.float32), seed=seed, order=1)


def slope_of_wrong_slope(slope: Any, x: Any, at: Any) -> Any:
    """The right slope, the derivative of which is off by a tenth."""
    return mm.custom_vjp(lambda s: 1.0 * s, lambda g, y, s: (1.1 * g,))(slope + 0.5 * x) - 0.5 * x


def bump(x: Any, at: Any) -> Any:
    """A slope at the point, and nothing at it and a little farther away."""
    return 0.1 * (x - at) * mm.exp(-(((x - at) / 1e-6) ** 2))


FAULTS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "factor": lambda s, x, at: 1.01 * s,
    "sign": lambda s, x, at: -s,
    "nothing": lambda s, x, at: 0.0 * s,
    "vanishes at the point": lambda s, x, at: s + 0.1 * (x - at),
    "vanishes twice": lambda s, x, at: s + 0.1 * (x - at) ** 2,
    "a constant added": lambda s, x, at: s + 1e-3,
    "of second order alone": slope_of_wrong_slope,
    "vanishes nearby": lambda s, x, at: s + bump(x, at),
}


@share(0.5)
@given(chains, points, st.sampled_from(sorted(FAULTS)), st.integers(0, 9))
def test_a_wrong_rule_never_passes(names: list[str], x: Any, fault: str, seed: int) -> None:
    function, slope = chain(names)
    wrong = own(function, slope, lambda s, z: FAULTS[fault](s, z, x))
    with pytest.raises((GradientMismatch, Inconclusive)):
        check_gradients(wrong, x, seed=seed)


def blackened(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The function, which cannot be traced."""
    return lambda x: np.asarray(function(np.array(x.tolist())))


@share(0.3)
@given(chains, points, st.integers(0, 9))
def test_a_right_rule_of_a_black_box_is_never_accused(names: list[str], x: Any, seed: int) -> None:
    function, slope = chain(names)
    try:
        check_vjp(blackened(function), lambda g, x: g * slope(x), x, seed=seed)
    except Inconclusive:  # of elements that are nothing next to others
        assert (abs(x) < 1e-8).any()


@share(0.3)
@given(
    chains,
    points,
    st.sampled_from([name for name in sorted(FAULTS) if name not in ("of second order alone", "vanishes nearby")]),
    st.integers(0, 9),
)
def test_a_wrong_rule_of_a_black_box_never_passes(names: list[str], x: Any, fault: str, seed: int) -> None:
    function, slope = chain(names)
    with pytest.raises((GradientMismatch, Inconclusive)):
        check_vjp(blackened(function), lambda g, z: g * np.asarray(FAULTS[fault](slope(z), z, x)), x, seed=seed)
