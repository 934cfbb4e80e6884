import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from minimeta.rl.advantages import advantages, baseline, discounted, feature_count, features

FRACTIONS = st.sampled_from([0.0, 0.5, 0.99, 1.0])


Numbers = NDArray[np.float64]


def rows(seed: int) -> tuple[Numbers, Numbers, Numbers, NDArray[np.int64]]:
    """Observations, rewards, masks and beginnings of five rows of nine steps, with one to three episodes each."""
    rng = np.random.default_rng(seed)
    ends = np.sort(rng.integers(1, 10, (5, 3)), axis=1)
    steps = np.arange(9)
    begin = np.where(steps < ends[:, :1], 0, np.where(steps < ends[:, 1:2], ends[:, :1], ends[:, 1:2]))
    mask = (steps < ends[:, 2:]).astype(np.float64)
    return rng.normal(0, 6, (5, 9, 2)), rng.normal(size=(5, 9)), mask, np.where(mask == 1, begin, 0)


def episodes(mask: Numbers, begin: NDArray[np.int64]) -> list[tuple[int, list[int]]]:
    """The row and the steps of each episode."""
    found: dict[tuple[int, int], list[int]] = {}
    for i, t in np.argwhere(mask == 1):
        found.setdefault((int(i), int(begin[i, t])), []).append(int(t))
    return [(i, steps) for (i, _), steps in found.items()]


def feature(o: NDArray[np.float64], t: int) -> list[float]:
    o = np.clip(o, -10, 10)
    return [*o, *o**2, t / 100, (t / 100) ** 2, (t / 100) ** 3, 1.0]


@given(st.integers(0, 1000), FRACTIONS)
def test_discounted_sums_are_those_of_a_loop(seed: int, discount: float) -> None:
    _, x, mask, begin = rows(seed)
    found = discounted(x * mask, discount, begin)
    for i, steps in episodes(mask, begin):
        for t in steps:
            assert np.isclose(found[i, t], sum(discount ** (k - t) * x[i, k] for k in steps if k >= t))


def test_features_are_those_of_duan_et_al() -> None:
    observations, _, _, begin = rows(0)
    found = features(observations, begin)
    assert found.shape == (5, 9, feature_count(2))
    for i, t in np.ndindex(5, 9):
        assert np.allclose(found[i, t], feature(observations[i, t], t - begin[i, t]))


@given(st.integers(0, 1000))
def test_the_baseline_is_ridge_regression_on_the_steps_that_were_taken(seed: int) -> None:
    observations, returns, mask, begin = rows(seed)
    taken = [(i, t) for i in range(5) for t in range(9) if mask[i, t]]
    inputs = np.array([feature(observations[i, t], t - begin[i, t]) for i, t in taken])
    targets = np.array([returns[i, t] for i, t in taken])
    # Ridge regression is least squares with a row more for each feature.
    weights, *_ = np.linalg.lstsq(
        np.concatenate([inputs, np.sqrt(1e-5) * np.eye(8)]), np.concatenate([targets, np.zeros(8)])
    )
    expected = np.zeros((5, 9))
    for (i, t), value in zip(taken, inputs @ weights, strict=True):
        expected[i, t] = value
    assert np.allclose(baseline(observations, returns, mask, begin), expected, atol=1e-5)


@given(st.integers(0, 1000), FRACTIONS, FRACTIONS)
def test_advantages_are_those_of_a_loop(seed: int, discount: float, decay: float) -> None:
    observations, rewards, mask, begin = rows(seed)
    value = baseline(observations, discounted(rewards * mask, discount, begin), mask, begin)
    expected = np.zeros((5, 9))
    for i, steps in episodes(mask, begin):
        later = following = 0.0
        for t in reversed(steps):
            later = rewards[i, t] + discount * following - value[i, t] + discount * decay * later
            expected[i, t], following = later, value[i, t]
    together = expected[mask == 1]
    ours = advantages(observations, rewards, mask, begin, discount, decay)
    assert np.allclose(ours[mask == 1], (together - together.mean()) / (together.std() + 1e-8), atol=1e-7)
    assert not ours[mask == 0].any()


def test_what_comes_after_the_last_episode_does_not_count() -> None:
    observations, rewards, mask, begin = rows(3)
    other = np.where(mask == 1, rewards, 1e6)
    elsewhere = np.where(mask[..., None] == 1, observations, 3.0)
    assert np.array_equal(advantages(observations, rewards, mask, begin), advantages(elsewhere, other, mask, begin))
