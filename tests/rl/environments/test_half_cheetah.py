"""The half-cheetah: MuJoCo's own centre of mass, the paper's numbers, and the same bits however it is run."""

import sys
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import minimeta as mm
from minimeta.errors import ConfigurationError, MissingExtraError
from minimeta.rl import stack
from minimeta.rl.environments import (
    CheetahDirection,
    CheetahVelocity,
    half_cheetah,
    random_direction,
    random_velocity,
    released_directions,
    released_velocities,
)

mujoco = pytest.importorskip("mujoco", reason="needs the extra rl: pip install 'minimeta[rl]'")


def episodes(tasks: Any, count: int, steps: int = 200, scale: float = 1.0) -> tuple[NDArray[Any], NDArray[Any]]:
    """Returns of random actions, shape (tasks, count), and the last states."""
    together, rngs = stack(tasks), [np.random.default_rng([3, place]) for place in range(len(tasks))]
    state, _ = together.reset(rngs, count)
    total = np.zeros((len(tasks), count))
    for _ in range(steps):
        action = scale * np.stack([rng.normal(size=(count, 6)) for rng in rngs])
        state, _, reward, done = together.step(state, action, rngs)
        total += reward
        assert not done.any()
    return total, state


def test_the_observation_is_that_of_the_paper() -> None:
    rng, task = np.random.default_rng(0), CheetahVelocity(0.5)
    state = rng.normal(size=(4, 19))
    reached, observation, reward, _ = task.step(state, action := 2 * rng.normal(size=(4, 6)), rng)
    model = half_cheetah._model()
    data = mujoco.MjData(model)
    for row in range(4):
        data.qpos[:], data.qvel[:] = reached[row, 1:10], reached[row, 10:]
        mujoco.mj_forward(model, data)
        mujoco.mj_subtreeVel(model, data)
        wanted = np.concatenate([data.qpos[1:], data.qvel, data.subtree_com[1]])
        np.testing.assert_allclose(observation[row], wanted, rtol=0, atol=1e-12)
        cost = 0.05 * (np.clip(action[row], -1, 1) ** 2).sum()
        assert reward[row] == pytest.approx(-abs(data.subtree_linvel[1, 0] - 0.5) - cost, abs=1e-12)


def test_a_step_is_one_of_mujoco() -> None:
    rng = np.random.default_rng(0)
    state, _ = CheetahDirection(1).reset(rng, 3)
    action = rng.uniform(-1, 1, size=(3, 6))
    reached, *_ = CheetahDirection(1).step(state, action, rng)
    model = half_cheetah._model()
    for row in range(3):
        data = mujoco.MjData(model)
        data.qpos[:], data.qvel[:], data.ctrl[:] = state[row, 1:10], state[row, 10:], action[row]
        mujoco.mj_step(model, data)
        np.testing.assert_array_equal(reached[row], [0.01, *data.qpos, *data.qvel])


def test_no_bit_depends_on_threads_or_company_or_on_what_ran_before() -> None:
    tasks = [CheetahDirection(1), CheetahDirection(-1), CheetahDirection(1)]
    before = mm.get_num_threads()
    try:
        found = []
        for threads in (1, 2, 3):
            mm.set_num_threads(threads)
            found.append(episodes(tasks, 9, steps=40))
    finally:
        mm.set_num_threads(before)
    for total, state in found[1:]:
        np.testing.assert_array_equal(total, found[0][0])
        np.testing.assert_array_equal(state, found[0][1])
    episodes([CheetahVelocity(1.0)], 2, steps=10, scale=9.0)
    rng = np.random.default_rng([3, 1])
    state, _ = tasks[1].reset(rng, 9)
    for _ in range(40):
        state, *_ = tasks[1].step(state, rng.normal(size=(9, 6)), rng)
    np.testing.assert_array_equal(state, found[0][1][1])


def test_a_state_that_was_passed_in_is_not_changed() -> None:
    rng, task = np.random.default_rng(0), CheetahDirection(-1)
    state, _ = task.reset(rng, 2)
    kept = state.copy()
    first = task.step(state, np.ones((2, 6)), rng)
    np.testing.assert_array_equal(state, kept)
    for one, other in zip(first, task.step(state, np.ones((2, 6)), rng), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_new_episode_begins_where_a_reset_does() -> None:
    tasks, rngs = [CheetahDirection(1.0), CheetahDirection(-1.0)], [np.random.default_rng(k) for k in range(2)]
    together = stack(tasks)
    state, observation = together.reset(rngs, 3)
    ended = np.array([[False, True, True], [False, False, False]])
    begun, seen = together.begin_again(state, observation, ended, rngs)
    rng = np.random.default_rng(0)
    tasks[0].reset(rng, 3)
    fresh, first = tasks[0].reset(rng, 2)
    assert np.array_equal(begun[0, 1:], fresh)
    assert np.allclose(seen[0, 1:], first)
    assert np.array_equal(begun[~ended], state[~ended])
    assert np.array_equal(seen[~ended], observation[~ended])


def test_random_actions_return_what_the_paper_shows_before_training() -> None:
    """200 steps cost 0.05 * 6 * E[min(|a|, 1)^2] = 0.155 each; what random walkers run cancels between directions.

    The figures' untrained policies return -35.74 +- 1.27 and -254.83 +- 35.71.
    """
    total, _ = episodes([CheetahDirection(1), CheetahDirection(-1)], 30)
    assert abs(total.mean() + 31.0) < 4 * 31 / np.sqrt(60)
    total, _ = episodes(released_velocities(), 1)
    assert abs(total.mean() + 254.83) < 35.71


def test_the_released_tasks() -> None:
    goals = np.array([task.goal for task in released_directions()])
    assert (np.sum(goals == -1), np.sum(goals == 1)) == (22, 18)
    velocities = np.array([task.goal for task in released_velocities()])
    np.testing.assert_allclose(velocities[:4], [0.83404401, 1.44064899, 0.00022875, 0.60466515], atol=1e-8)
    np.testing.assert_array_equal(np.where(velocities < 1, -1, 1), goals)


def test_tasks_are_drawn() -> None:
    rng = np.random.default_rng(0)
    assert {random_direction(rng).goal for _ in range(20)} == {-1.0, 1.0}
    drawn = np.array([random_velocity(rng).goal for _ in range(500)])
    assert (drawn.min() > 0, drawn.max() < 2, abs(drawn.mean() - 1) < 0.1) == (True, True, True)


def test_goals_that_are_none_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="forward"):
        CheetahDirection(0)
    with pytest.raises(ConfigurationError, match="finite"):
        CheetahVelocity(float("nan"))


def test_the_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    half_cheetah._model.cache_clear()
    monkeypatch.setitem(sys.modules, "mujoco.rollout", None)
    with pytest.raises(MissingExtraError, match=r"mujoco.*pip install 'minimeta\[rl\]'"):
        CheetahDirection(1).reset(np.random.default_rng(0), 1)
    half_cheetah._model.cache_clear()
