"""A mask is never where a path is: parts of random compositions have the slopes of central differences."""

from collections.abc import Callable
from typing import Any

import numpy as np
from drawing import share
from hypothesis import assume, example, given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

import minimeta as mm

Function = Callable[..., Any]

MIXING = np.random.default_rng(0).normal(size=(6, 6)) / 3.0

#: Linear maps of six numbers: some mix, move, repeat or subtract them.
MAPS: dict[str, Function] = {
    "fft": lambda y: np.fft.fft(y).real / 2.0,
    "ifft": lambda y: np.fft.ifft(y + 1j * y[::-1]).imag,
    "rfft": lambda y: np.fft.rfft(y, n=10).imag,
    "irfft": lambda y: np.fft.irfft(y[:4], n=6),
    "cumsum": lambda y: np.cumsum(y) / 2.0,
    "diff": lambda y: np.diff(y, prepend=y[:1]),
    "gradient": np.gradient,
    "convolve": lambda y: np.convolve(y, [0.5, -1.0, 0.5], "same"),
    "matmul": lambda y: MIXING @ y,
    "solve": lambda y: np.linalg.solve(np.eye(6) + 0.5 * MIXING, y),
    "einsum": lambda y: np.einsum("ij,i->j", y.reshape(2, 3), np.array([1.0, -1.0]))[[0, 1, 2, 2, 1, 0]],
    "centred": lambda y: y - np.mean(y),
    "joined to itself": lambda y: np.concatenate([y, y])[2:8],
    "joined to itself, and the first taken": lambda y: np.concatenate([y, y])[:6],
    "rolled": lambda y: y - np.roll(y, 2),
    "padded": lambda y: np.pad(y[1:-1], 1, "reflect"),
    "taken": lambda y: np.take(y, [0, 0, 3, 2, 5, 1]),
    "sorted": np.sort,
    "chosen": lambda y: np.where([True, False, True, True, False, True], y, y[::-1]),
}
CURVES: dict[str, Function] = {
    "square": lambda y: np.square(y) / 2.0,
    "sin": np.sin,
    "product": lambda y: y * y[::-1] / 2.0,
    "magnitude times its reverse, squared": lambda y: (np.abs(y) * np.abs(y)[::-1]) ** 2 / 4.0,
    "magnitude times its part, squared": lambda y: (np.abs(y) * np.abs(y)[2]) ** 2 / 4.0,
    "root squared": lambda y: np.sqrt(np.abs(y)) ** 2,
    "hypotenuse squared": lambda y: np.hypot(y, np.roll(y, 1)) ** 2 / 2.0,
    "chosen magnitude squared": lambda y: np.where(y > 0.0, np.abs(y), np.hypot(y, y[::-1])) ** 2 / 2.0,
}
FUNCTIONS = MAPS | CURVES


@share(0.5)
@given(st.lists(st.sampled_from(list(FUNCTIONS)), min_size=1, max_size=4), st.integers(0, 99), st.integers(0, 5))
@example(["square", "fft"], 0, 1)
@example(["sin", "irfft", "square"], 0, 2)
@example(["magnitude times its reverse, squared"], 0, 5)
@example(["magnitude times its part, squared"], 0, 5)
@example(["hypotenuse squared"], 0, 5)
@example(["sin", "joined to itself, and the first taken"], 0, 0)
def test_slopes_are_those_of_central_differences(names: list[str], seed: int, start: int) -> None:
    x, direction, weights = np.random.default_rng(seed).normal(size=(3, 6))

    def loss(x: Any) -> Any:
        for name in names:
            x = FUNCTIONS[name](x)
        return np.sum((weights * x)[start:])

    def difference(function: Function, length: float) -> Any:
        return (function(x + length * direction) - function(x - length * direction)) / (2.0 * length)

    gradient = mm.grad(loss)
    product = mm.hvp(loss, (x,), (direction,))[0]
    assert_near(np.sum(gradient(x) * direction), *(difference(loss, length) for length in (1e-5, 3e-6)))
    assert_near(product, *(difference(gradient, length) for length in (1e-5, 3e-6)))


def assert_near(found: Any, expected: Any, again: Any) -> None:
    size = 1.0 + np.max(np.abs(expected))
    assume(size < 1e4 and np.max(np.abs(expected - again)) < 1e-6 * size)  # no kink between, no cancellation
    assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * size)
