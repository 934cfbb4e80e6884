import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from minimeta.errors import ConfigurationError
from minimeta.tasks import Sinusoid, unstack


def wave_through(inputs: NDArray[np.float64], targets: NDArray[np.float64]) -> tuple[float, float, float]:
    """Amplitude, phase and largest residual of the wave a sin(x - p) = a cos p sin x - a sin p cos x through points."""
    columns = np.stack([np.sin(inputs), -np.cos(inputs)], axis=1)
    coefficients, *_ = np.linalg.lstsq(columns, targets)
    residual = np.abs(columns @ coefficients - targets).max()
    return float(np.hypot(*coefficients)), float(math.atan2(coefficients[1], coefficients[0])), float(residual)


@given(
    shots=st.integers(1, 12),
    queries=st.integers(1, 12),
    count=st.integers(1, 4),
    seed=st.integers(0, 2**32 - 1),
    whole_circle=st.booleans(),
)
def test_support_and_query_are_points_of_one_wave(
    shots: int, queries: int, count: int, seed: int, whole_circle: bool
) -> None:
    tasks = (Sinusoid.reptile if whole_circle else Sinusoid.maml)(shots + 2, queries)
    batch = tasks.sample(np.random.default_rng(seed), count)

    assert batch.support.inputs.shape == batch.support.targets.shape == (count, shots + 2, 1)
    assert batch.query.inputs.shape == batch.query.targets.shape == (count, queries, 1)
    for task in unstack(batch):
        inputs = np.concatenate([task.support.inputs, task.query.inputs])[:, 0]
        targets = np.concatenate([task.support.targets, task.query.targets])[:, 0]
        assert inputs.dtype == targets.dtype == np.float32
        assert inputs.min() >= -5 and inputs.max() <= 5
        assert len(np.unique(inputs)) == len(inputs)
        amplitude, phase, residual = wave_through(inputs.astype(float), targets.astype(float))
        assert residual < 1e-6 * 5
        if np.ptp(inputs) > 1:  # closer points do not determine the wave
            assert 0.0999 < amplitude < 5.001
            assert whole_circle or -1e-2 < phase < math.pi + 1e-2 or phase < -math.pi + 1e-2


def drawn(tasks: Sinusoid, count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    batch = tasks.sample(np.random.default_rng(0), count)
    return batch.query.inputs.astype(float).reshape(count, -1), batch.query.targets.astype(float).reshape(count, -1)


@pytest.mark.parametrize("tasks", [Sinusoid.maml(1, 2), Sinusoid.reptile(1, 2)], ids=["maml", "reptile"])
def test_parameters_are_uniform(tasks: Sinusoid) -> None:
    # Two points determine a wave; those well apart (by neither 0 nor pi) do so accurately.
    inputs, targets = drawn(tasks, 60_000)
    apart = np.abs(np.sin(inputs[:, 0] - inputs[:, 1])) > 0.5
    matrix = np.stack([np.sin(inputs), -np.cos(inputs)], axis=-1)[apart]
    a_cos, a_sin = np.linalg.solve(matrix, targets[apart][..., np.newaxis])[..., 0].T
    amplitude, phase = np.hypot(a_cos, a_sin), np.arctan2(a_sin, a_cos) % (2 * math.pi)

    for values, (low, high) in ((amplitude, tasks.amplitude), (phase, tasks.phase), (inputs.ravel(), (-5, 5))):
        # Kolmogorov's distance to the uniform distribution; 1.95 / sqrt(n) is exceeded with probability 0.001.
        grid = (np.sort(values) - low) / (high - low)
        distance = np.abs(grid - np.arange(len(grid)) / len(grid)).max()
        assert distance < 1.95 / math.sqrt(len(grid))


@pytest.mark.parametrize(
    ("tasks", "zero", "unadapted"),
    [(Sinusoid.maml(1, 10), 4.2517, 3.0057), (Sinusoid.reptile(1, 10), 4.2517, 4.2517)],
    ids=["maml", "reptile"],
)
def test_anchors(tasks: Sinusoid, zero: float, unadapted: float) -> None:
    assert tasks.zero_error() == pytest.approx(zero, abs=5e-5)
    assert tasks.unadapted_error() == pytest.approx(unadapted, abs=5e-5)

    # By quadrature: midpoints of amplitude, phase and x.
    def middles(low: float, high: float, count: int) -> NDArray[np.float64]:
        return low + (np.arange(count) + 0.5) * (high - low) / count

    amplitude = middles(*tasks.amplitude, 60)[:, np.newaxis, np.newaxis]
    phase = middles(*tasks.phase, 120)[:, np.newaxis]
    x = middles(*tasks.interval, 400)
    waves = amplitude * np.sin(x - phase)
    mean_wave = waves.mean(axis=(0, 1))
    assert np.square(x).mean() == pytest.approx(tasks.input_second_moment(), rel=1e-3)
    assert np.square(waves).mean() == pytest.approx(tasks.zero_error(), rel=1e-3)
    assert np.square(waves - mean_wave).mean() == pytest.approx(tasks.unadapted_error(), rel=1e-3)

    # By what is really drawn: four standard errors over independent tasks.
    inputs, targets = drawn(tasks, 40_000)
    prediction = np.interp(inputs, x, mean_wave)
    for errors, expected in ((targets, tasks.zero_error()), (targets - prediction, tasks.unadapted_error())):
        per_task = np.square(errors).mean(axis=1)
        assert abs(per_task.mean() - expected) < 4 * per_task.std() / math.sqrt(len(per_task))


def test_the_mean_wave_of_the_half_circle() -> None:
    inputs, targets = drawn(Sinusoid.maml(1, 10), 40_000)

    slope = (targets * np.cos(inputs)).mean() / np.square(np.cos(inputs)).mean()

    assert slope == pytest.approx(-1.6234, abs=0.03)


def test_a_grid_has_different_points_in_random_order() -> None:
    points = np.linspace(-5, 5, 20).astype(np.float32)
    batch = Sinusoid(shots=20, queries=7, grid=20).sample(np.random.default_rng(0), 50)
    np.testing.assert_array_equal(np.sort(batch.support.inputs[..., 0], axis=1), np.tile(points, (50, 1)))
    assert len({tuple(row) for row in batch.support.inputs[..., 0]}) == 50
    assert not np.isin(batch.query.inputs, points).any()

    some = Sinusoid(shots=5, grid=20).sample(np.random.default_rng(0), 200).support.inputs[..., 0]
    assert np.isin(some, points).all() and all(len(set(row)) == 5 for row in some)
    assert np.bincount(np.searchsorted(points, some.ravel())).min() > 20  # 50 each, expected


def test_dtype() -> None:
    single, double = (Sinusoid(dtype=dtype).sample(np.random.default_rng(0), 2) for dtype in (np.float32, np.float64))

    assert double.support.targets.dtype == double.query.inputs.dtype == np.float64
    np.testing.assert_allclose(single.query.inputs, double.query.inputs, rtol=1e-6)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"shots": 0}, "Sinusoid: shots=0 must be at least 1"),
        ({"queries": -1}, "Sinusoid: queries=-1 must be at least 1"),
        ({"phase": (1.0, 1.0)}, "phase must be"),
        ({"amplitude": (5.0, 0.1)}, "amplitude must be"),
        ({"shots": 6, "grid": 5}, "6 shots need a grid of as many points, not of 5"),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Sinusoid(**settings)
