from collections.abc import Callable, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from minimeta.rl import stack
from minimeta.rl.environments import Navigation, random_goal, released_goals

# Of numpy's legacy generator: np.random.seed(1), then np.random.uniform(-0.5, 0.5, (40, 2)).
RELEASED = [
    (-0.08297800, 0.22032449), (-0.49988563, -0.19766743), (-0.35324411, -0.40766141), (-0.31373979, -0.15443927),
    (-0.10323253, 0.03881673), (-0.08080549, 0.18521950), (-0.29554775, 0.37811744), (-0.47261241, 0.17046751),
    (-0.08269520, 0.05868983), (-0.35961306, -0.30189851), (0.30074457, 0.46826158), (-0.18657582, 0.19232262),
    (0.37638915, 0.39460666), (-0.41495579, -0.46094522), (-0.33016958, 0.37814250), (-0.40165317, -0.07889237),
    (0.45788953, 0.03316528), (0.19187711, -0.18448437), (0.18650093, 0.33462567), (-0.48171172, 0.25014431),
    (0.48886109, 0.24816565), (-0.21955601, 0.28927933), (-0.39677399, -0.05210647), (0.40859550, -0.20638585),
    (-0.21222466, -0.36997143), (-0.48063304, 0.17883553), (-0.28837188, -0.23445334), (-0.00842684, -0.44663745),
    (0.07411761, -0.35327143), (0.08930554, 0.19975836), (-0.39766557, -0.08594401), (0.19440016, -0.08582073),
    (-0.45004654, 0.03589641), (0.16379465, 0.01488911), (0.44459476, 0.08655504), (0.40340192, -0.36252530),
    (-0.36072365, 0.30739129), (-0.10232316, -0.33464580), (0.42750858, -0.15223414), (0.25081210, 0.22599799),
]  # fmt: skip


def test_a_point_walks_is_held_back_and_arrives() -> None:
    task, rng = Navigation((0.3, 0.4)), np.random.default_rng(0)
    state, observation = task.reset(rng, 2)
    assert np.array_equal(observation, np.zeros((2, 2)))
    state, observation, reward, done = task.step(state, np.array([[0.05, 9.0], [0.0, 0.0]]), rng)
    assert np.allclose(observation, [[0.05, 0.1], [0.0, 0.0]])
    assert np.allclose(reward, [-np.sqrt(0.25**2 + 0.3**2), -0.5])
    near = np.array([[0.21, 0.39], [0.21, 0.38]])  # 0.009 away in both coordinates, or farther in one
    _, _, _, done = task.step(near, np.array([[0.081, 0.001], [0.081, 0.0]]), rng)
    assert done.tolist() == [True, False]


def test_goals_walked_together_are_goals_walked_alone() -> None:
    tasks, rng = [random_goal(np.random.default_rng(seed)) for seed in range(3)], np.random.default_rng(0)
    state, actions = rng.normal(size=(3, 5, 2)), rng.normal(size=(3, 5, 2))
    together = stack(tasks).step(state, actions, [rng] * 3)
    for place, task in enumerate(tasks):
        for ours, alone in zip(together, task.step(state[place], actions[place], rng), strict=True):
            assert np.array_equal(ours[place], alone)


def test_a_new_episode_begins_at_the_origin() -> None:
    together, rngs = stack([Navigation((0.1, 0.2)), Navigation((0.3, 0.4))]), [np.random.default_rng(0)] * 2
    at = np.random.default_rng(1).normal(size=(2, 3, 2))
    ended = np.array([[True, False, False], [False, True, True]])
    state, observation = together.begin_again(at, at, ended, rngs)
    assert not state[ended].any()
    assert np.array_equal(state[~ended], at[~ended])
    assert np.array_equal(observation, state)


def test_standing_still_at_the_released_goals_returns_what_was_derived() -> None:
    goals = np.array([task.goal for task in released_goals()])
    assert np.allclose(goals, RELEASED, rtol=0, atol=1e-8)
    assert np.isclose(-100 * np.hypot(*goals.T).mean(), -40.08, atol=0.005)


def mean_return(tasks: Sequence[Navigation], act: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> float:
    """The mean return of one episode of each task, whose agents see the way to the goal."""
    together, rngs = stack(tasks), [np.random.default_rng(0)] * len(tasks)
    goals = np.array([task.goal for task in tasks])[:, None]
    state, observation = together.reset(rngs, 1)
    total, going = np.zeros((len(tasks), 1)), np.ones((len(tasks), 1), np.bool_)
    for _ in range(tasks[0].horizon):
        state, observation, reward, done = together.step(state, act(goals - observation), rngs)
        total += np.where(going, reward, 0.0)
        going &= ~done
    return float(total.mean())


DRAWN = [random_goal(np.random.default_rng([7, seed])) for seed in range(1000)]
STANDING = -100 * (np.sqrt(2) + np.log(1 + np.sqrt(2))) / 6  # 100 times the mean distance of a square from its centre


@pytest.mark.parametrize(
    ("tasks", "wanted", "within"),
    [(DRAWN, STANDING, 4 * 14.2 / np.sqrt(1000)), (released_goals(), -40.08, 0.01)],
    ids=["drawn", "released"],
)
def test_standing_still_returns_the_distance_of_the_goal(
    tasks: Sequence[Navigation], wanted: float, within: float
) -> None:
    assert abs(mean_return(tasks, np.zeros_like) - wanted) < within


@pytest.mark.parametrize(("tasks", "wanted"), [(DRAWN, -0.51), (released_goals(), -0.54)], ids=["drawn", "released"])
def test_walking_straight_to_the_goal_is_the_optimum(tasks: Sequence[Navigation], wanted: float) -> None:
    assert abs(mean_return(tasks, lambda way: way) - wanted) < 0.02


def test_random_actions_return_what_many_episodes_do() -> None:
    rng = np.random.default_rng(0)
    found = mean_return(DRAWN, lambda way: Navigation.action.scaled(rng.normal(size=way.shape)))
    assert abs(found + 71.22) < 4 * 29.8 / np.sqrt(1000)  # of 200,000 episodes, written without this class
