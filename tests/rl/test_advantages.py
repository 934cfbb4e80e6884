import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from minimeta.rl.advantages import advantages, baseline, discounted, feature_count, features

FRACTIONS = st.sampled_from([0.0, 0.5, 0.99, 1.0])


def episodes(seed: int) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Observations, rewards and masks of five episodes of up to nine steps, which end early at random."""
    rng = np.random.default_rng(seed)
    ends = rng.integers(1, 10, 5)
    return rng.normal(0, 6, (5, 9, 2)), rng.normal(size=(5, 9)), (np.arange(9) < ends[:, None]).astype(np.float64)


def feature(o: NDArray[np.float64], t: int) -> list[float]:
    o = np.clip(o, -10, 10)
    return [*o, *o**2, t / 100, (t / 100) ** 2, (t / 100) ** 3, 1.0]


@given(st.integers(0, 1000), FRACTIONS)
def test_discounted_sums_are_those_of_a_loop(seed: int, discount: float) -> None:
    x = np.random.default_rng(seed).normal(size=(3, 6))
    expected = np.zeros_like(x)
    for t in range(6):
        for k in range(t, 6):
            expected[:, t] += discount ** (k - t) * x[:, k]
    assert np.allclose(discounted(x, discount), expected)


def test_features_are_those_of_duan_et_al() -> None:
    observations, _, _ = episodes(0)
    found = features(observations)
    assert found.shape == (5, 9, feature_count(2))
    assert np.allclose(found[3, 7], feature(observations[3, 7], 7))


@given(st.integers(0, 1000))
def test_the_baseline_is_ridge_regression_on_the_steps_that_were_taken(seed: int) -> None:
    observations, returns, mask = episodes(seed)
    taken = [(i, t) for i in range(5) for t in range(9) if mask[i, t]]
    rows = np.array([feature(observations[i, t], t) for i, t in taken])
    targets = np.array([returns[i, t] for i, t in taken])
    # Ridge regression is least squares with a row more for each feature.
    weights, *_ = np.linalg.lstsq(
        np.concatenate([rows, np.sqrt(1e-5) * np.eye(8)]), np.concatenate([targets, np.zeros(8)])
    )
    expected = np.zeros((5, 9))
    for (i, t), value in zip(taken, rows @ weights, strict=True):
        expected[i, t] = value
    assert np.allclose(baseline(observations, returns, mask), expected, atol=1e-5)


@given(st.integers(0, 1000), FRACTIONS, FRACTIONS)
def test_advantages_are_those_of_a_loop(seed: int, discount: float, decay: float) -> None:
    observations, rewards, mask = episodes(seed)
    value = baseline(observations, discounted(rewards * mask, discount), mask)
    found = []
    for i in range(5):
        length = int(mask[i].sum())
        later = 0.0
        backwards = []
        for t in reversed(range(length)):
            following = value[i, t + 1] if t + 1 < length else 0.0
            later = rewards[i, t] + discount * following - value[i, t] + discount * decay * later
            backwards.append(later)
        found.append(backwards[::-1])
    together = np.concatenate(found)
    ours = advantages(observations, rewards, mask, discount, decay)
    assert np.allclose(ours[mask == 1], (together - together.mean()) / (together.std() + 1e-8), atol=1e-7)
    assert not ours[mask == 0].any()


def test_what_comes_after_the_end_of_an_episode_does_not_count() -> None:
    observations, rewards, mask = episodes(3)
    other = np.where(mask == 1, rewards, 1e6)
    elsewhere = np.where(mask[..., None] == 1, observations, 3.0)
    assert np.array_equal(advantages(observations, rewards, mask), advantages(elsewhere, other, mask))
