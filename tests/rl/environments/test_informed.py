"""An informed agent sees the goal, and everything else is as it was."""

import numpy as np
import pytest

from minimeta.errors import ConfigurationError
from minimeta.rl import stack
from minimeta.rl.environments import CheetahVelocity, Informed, Navigation, corridor, informed, random_goal


def test_observations_end_with_the_goal_and_nothing_else_changes() -> None:
    tasks = [random_goal(np.random.default_rng(seed)) for seed in range(3)]
    seen, plain = stack([Informed(task) for task in tasks]), stack(tasks)
    rngs = [np.random.default_rng(seed) for seed in range(3)]
    state, observation = seen.reset(rngs, 4)
    _, begun = plain.reset(rngs, 4)
    goals = np.array([task.goal for task in tasks])
    for _ in range(3):
        np.testing.assert_array_equal(observation[..., :2], begun)
        np.testing.assert_array_equal(observation[..., 2:], np.broadcast_to(goals[:, None], (3, 4, 2)))
        action = rngs[0].uniform(-0.1, 0.1, size=(3, 4, 2))
        alone = Informed(tasks[1]).step(state[1], action[1], rngs[1])
        wanted = plain.step(state, action, rngs)
        state, observation, reward, done = seen.step(state, action, rngs)
        begun = wanted[1]
        np.testing.assert_array_equal(reward, wanted[2])
        np.testing.assert_array_equal(done, wanted[3])
        for one, other in zip(alone, (state[1], observation[1], reward[1], done[1]), strict=True):
            np.testing.assert_array_equal(one, other)


def test_a_new_episode_of_an_informed_task_still_sees_its_goal() -> None:
    tasks, rngs = [Navigation((0.1, 0.2)), Navigation((0.3, 0.4))], [np.random.default_rng(0)] * 2
    together = stack([Informed(task) for task in tasks])
    state, observation = together.reset(rngs, 2)
    state, observation, _, _ = together.step(state, np.full((2, 2, 2), 0.1), rngs)
    _, seen = together.begin_again(state, observation, np.array([[True, False], [False, False]]), rngs)
    assert np.allclose(seen, [[[0, 0, 0.1, 0.2], [0.1, 0.1, 0.1, 0.2]], [[0.1, 0.1, 0.3, 0.4]] * 2])


def test_spaces_grow_by_the_goal() -> None:
    task = Informed(Navigation((0.1, 0.2), horizon=7))
    assert (task.name, task.horizon, task.action) == ("navigation, informed", 7, Navigation.action)
    assert task.observation.shape == (4,)
    assert task.reset(np.random.default_rng(0), 2)[1].tolist() == [[0, 0, 0.1, 0.2]] * 2
    assert Informed(CheetahVelocity(0.5)).observation.shape == (21,)


def test_a_distribution_of_informed_tasks_draws_the_same_tasks() -> None:
    drawn = informed(random_goal)(np.random.default_rng(3))
    assert drawn == Informed(random_goal(np.random.default_rng(3)))


def test_an_environment_without_a_goal_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="corridor to 0 has no attribute goal"):
        Informed(corridor(0))
