"""Initial weights: their moments, their bounds, and that they follow from the generator alone."""

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from minimeta.errors import ConfigurationError
from minimeta.nn import glorot, he, truncated_normal
from minimeta.nn.initialisers import initialiser_of

SHAPE = (400, 250)
COUNT = SHAPE[0] * SHAPE[1]


def assert_moments(weights: Any, variance: float, kurtosis: float) -> None:
    """Mean 0 and this variance, within five standard errors."""
    assert abs(weights.mean()) < 5 * np.sqrt(variance / COUNT)
    assert abs(weights.var() - variance) < 5 * variance * np.sqrt((kurtosis - 1) / COUNT)


@pytest.mark.parametrize(("moment", "variance"), [(0.5, 2 / 400), (1.0, 1 / 400), (25 / 3, 3 / 25 / 400)])
def test_he_is_normal_with_variance_one_by_inputs_and_moment(moment: float, variance: float) -> None:
    weights = he(np.random.default_rng(0), SHAPE, np.float64, moment)
    assert_moments(weights, variance, 3.0)
    assert np.abs(weights).max() > 3.5 * np.sqrt(variance)  # tails: it is not uniform


@pytest.mark.parametrize("signal", ["normal", "rectified", "uniform on [-5, 5]"])
def test_he_gives_a_signal_variance_1(signal: str) -> None:
    rng = np.random.default_rng(1)
    x, moment = rng.normal(size=(200, 400)), 1.0
    if signal == "rectified":
        x, moment = np.maximum(x, 0.0), 0.5
    if signal == "uniform on [-5, 5]":
        x, moment = rng.uniform(-5, 5, size=(200, 400)), 25 / 3
    y = x @ he(rng, SHAPE, np.float64, moment)
    assert abs(y.var() - 1.0) < 0.05


def test_glorot_is_uniform_with_variance_2_by_inputs_and_outputs() -> None:
    weights = glorot(np.random.default_rng(0), SHAPE, np.float64)
    bound = np.sqrt(6 / 650)
    assert_moments(weights, 2 / 650, 1.8)
    assert 0.999 * bound < np.abs(weights).max() <= bound


@pytest.mark.parametrize("deviation", [0.01, 0.5])
def test_truncated_normal_ends_at_two_deviations(deviation: float) -> None:
    weights = truncated_normal(deviation)(np.random.default_rng(0), SHAPE, np.float64, 1.0)
    assert 1.99 * deviation < np.abs(weights).max() <= 2 * deviation
    # The variance of a normal distribution that is cut at 2: 1 - 4 phi(2) / (2 Phi(2) - 1).
    assert_moments(weights, deviation**2 * 0.7737413, 2.0)
    assert round(float(weights.std() / deviation), 2) == 0.88


def test_leading_axes_are_inputs_too() -> None:
    kernel = he(np.random.default_rng(0), (5, 5, 16, 250), np.float64)
    assert_moments(kernel.reshape(SHAPE), 2 / 400, 3.0)
    kernel = glorot(np.random.default_rng(0), (5, 5, 16, 250), np.float64)
    assert np.abs(kernel).max() <= np.sqrt(6 / (400 + 25 * 250))


@pytest.mark.parametrize("initialiser", [he, glorot, truncated_normal(0.1)])
def test_weights_follow_from_the_generator_alone(initialiser: Any) -> None:
    first, again = (initialiser(np.random.default_rng(3), (4, 5), np.float64) for _ in range(2))
    assert_array_equal(first, again)
    single = initialiser(np.random.default_rng(3), (4, 5), np.float32)
    assert single.dtype == np.float32
    assert_array_equal(single, first.astype(np.float32))
    assert first.flags.writeable and first.flags.c_contiguous


def test_initialisers_have_names() -> None:
    assert initialiser_of("he") is he
    assert initialiser_of("glorot") is glorot
    assert initialiser_of(he) is he
    weights = initialiser_of("truncated_normal")(np.random.default_rng(0), (50, 50), np.float64, False)
    assert 0.019 < np.abs(weights).max() <= 0.02
    with pytest.raises(
        ConfigurationError, match="no initialiser is named 'hee'; there are he, glorot, truncated_normal"
    ):
        initialiser_of("hee")
