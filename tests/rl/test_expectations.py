"""Exact expectations are held against dynamic programming, loops over trajectories, and samples."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import minimeta as mm
from minimeta.errors import ConfigurationError
from minimeta.rl.environments.tabular import Tabular, corridor, random_tables
from minimeta.rl.expectations import every_trajectory, expected_return
from minimeta.testing import check_gradients

SIZES = st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 4)).filter(
    lambda n: (n[0] * n[1]) ** n[2] < 1000
)


def random_policy(rng: np.random.Generator, environment: Tabular) -> NDArray[np.float64]:
    return rng.dirichlet(np.ones(environment.actions), environment.states)


@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.integers(1, 4), st.integers(1, 9), st.floats(0, 1))
def test_the_expected_return_is_that_of_dynamic_programming(
    seed: int, states: int, actions: int, horizon: int, discount: float
) -> None:
    rng = np.random.default_rng(seed)
    environment = random_tables(rng, states, actions, horizon)
    policy = random_policy(rng, environment)
    value = np.zeros(states)
    for _ in range(horizon):  # backwards, where the chain of products goes forwards
        value = np.einsum("sa,sa->s", policy, environment.rewards + discount * environment.transitions @ value)
    np.testing.assert_allclose(expected_return(environment, policy, discount), environment.start @ value, rtol=1e-12)


def test_the_derivatives_of_the_expected_return_are_right() -> None:
    rng = np.random.default_rng(0)
    environment = random_tables(rng, 3, 2, 4)
    check_gradients(lambda theta: expected_return(environment, mm.softmax(theta, axis=1)), rng.normal(size=(3, 2)))


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1), SIZES)
def test_every_trajectory_is_listed_once_with_its_probability(seed: int, sizes: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(seed)
    environment = random_tables(rng, *sizes)
    policy = random_policy(rng, environment)
    every = every_trajectory(environment)
    probability = every.probability(policy)
    pairs = [*itertools.product(range(sizes[0]), range(sizes[1]))]
    assert len(probability) == len(pairs) ** sizes[2]
    for index, trajectory in enumerate(itertools.product(pairs, repeat=sizes[2])):
        wanted = environment.start[trajectory[0][0]]
        for (state, action), following in itertools.pairwise([*trajectory, (None, None)]):
            wanted *= policy[state, action]
            if following[0] is not None:
                wanted *= environment.transitions[state, action, following[0]]
        assert tuple(zip(every.state[index], every.action[index], strict=True)) == trajectory
        assert probability[index] == pytest.approx(wanted, rel=1e-12)
    assert probability.sum() == pytest.approx(1, rel=1e-12)
    mean_return = (probability * every.reward.sum(axis=1)).sum()
    assert mean_return == pytest.approx(float(expected_return(environment, policy)), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("environment", [random_tables(np.random.default_rng(1), 4, 3, 5), corridor(4)])
def test_sampled_episodes_return_what_is_expected(environment: Tabular) -> None:
    rng, count = np.random.default_rng(0), 20_000
    policy = random_policy(rng, environment)
    state, observation = environment.reset(rng, count)
    returns = np.zeros(count)
    for _ in range(environment.horizon):
        chosen = (np.cumsum(policy[observation.argmax(1)], axis=1) < rng.random((count, 1))).sum(axis=1)
        state, observation, reward, done = environment.step(state, chosen, rng)
        returns += reward
        assert not done.any()
    error = returns.std() / math.sqrt(count)
    assert abs(returns.mean() - expected_return(environment, policy)) < 4 * error < 0.1


def test_too_many_trajectories_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="5 states and 2 actions in 8 steps are 100000000 trajectories"):
        every_trajectory(corridor(0, length=5, horizon=8))
