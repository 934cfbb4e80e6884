"""Tabular environments: their tables, what they refuse, and what they draw."""

from typing import Any

import numpy as np
import pytest

from minimeta.errors import ConfigurationError
from minimeta.rl.environments.tabular import Tabular, corridor, random_corridor, random_tables

GOOD: dict[str, Any] = {
    "start": [0.5, 0.5],
    "transitions": [[[1.0, 0.0], [0.0, 1.0]], [[0.3, 0.7], [0.5, 0.5]]],
    "rewards": [[1.0, 0.0], [2.0, -1.0]],
    "horizon": 3,
}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"start": [1.0]}, r"have shapes \(1,\), \(2, 2, 2\), \(2, 2\)"),
        ({"rewards": [1.0, 2.0]}, "states, actions, states"),
        ({"start": [0.5, 0.6]}, "start must be probabilities"),
        ({"start": [1.5, -0.5]}, "start must be probabilities"),
        ({"transitions": np.full((2, 2, 2), 0.4)}, "transitions must be probabilities"),
        ({"transitions": np.full((2, 2, 2), np.nan)}, "transitions must be probabilities"),
        ({"rewards": [[1.0, np.inf], [0.0, 0.0]]}, "rewards must be finite"),
        ({"horizon": 0}, "tabular: horizon=0 must be at least 1"),
    ],
)
def test_tables_that_are_none_are_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        Tabular(**{**GOOD, **wrong})


def test_tables_do_not_change_with_the_arrays_they_came_from() -> None:
    start = np.array([0.5, 0.5])
    environment = Tabular(**{**GOOD, "start": start})
    start[:] = 7
    np.testing.assert_array_equal(environment.start, [0.5, 0.5])
    with pytest.raises(ValueError, match="read-only"):
        environment.start[0] = 1


def test_what_has_probability_zero_is_never_drawn() -> None:
    environment = Tabular(np.array([0.0, 1.0, 0.0]), np.tile([0.5, 0.0, 0.5], (3, 1, 1)), np.zeros((3, 1)), 1)
    rng = np.random.default_rng(0)
    state, observation = environment.reset(rng, 1000)
    np.testing.assert_array_equal(observation, np.tile([0.0, 1.0, 0.0], (1000, 1)))
    state, *_ = environment.step(state, np.zeros(1000, np.int64), rng)
    assert set(state) == {0, 2}


def test_the_corridor_is_walked_to_its_end() -> None:
    environment, rng = corridor(4, slip=0.0), np.random.default_rng(0)
    state, _ = environment.reset(rng, 2)
    rewards = []
    for _ in range(environment.horizon):
        state, _, reward, _ = environment.step(state, np.array([1, 0]), rng)
        rewards.append(reward)
    np.testing.assert_array_equal(state, [4, 0])
    np.testing.assert_array_equal(np.transpose(rewards), [[0, 1, 1, 1, 1, 1], [0] * 6])


def test_a_corridor_slips() -> None:
    np.testing.assert_allclose(corridor(0, length=3, slip=0.2).transitions[1], [[0.8, 0.0, 0.2], [0.2, 0.0, 0.8]])
    np.testing.assert_allclose(corridor(0, length=3, slip=0.2).rewards, [[0.8, 0.2], [0.8, 0.2], [0.0, 0.0]])


def test_a_corridor_has_a_goal() -> None:
    with pytest.raises(ConfigurationError, match="corridor: goal=5 must be from 0 to 4"):
        corridor(5)


def test_tasks_are_drawn() -> None:
    rng = np.random.default_rng(0)
    assert {random_corridor(rng).name for _ in range(20)} == {"corridor to 0", "corridor to 4"}
    one, other = random_tables(rng), random_tables(rng)
    assert (one.states, one.actions, one.horizon) == (3, 2, 3)
    assert not np.array_equal(one.transitions, other.transitions)
