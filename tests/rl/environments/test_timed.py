"""A clock that environments advance changes nothing else."""

import time

import numpy as np
import pytest

from minimeta.rl import OneByOne, stack
from minimeta.rl.environments import Clock, corridor, random_goal, timed


def test_the_steps_of_all_tasks_add_their_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, now = Clock(), iter([10.0, 10.5, 20.0, 22.0])
    drawn = timed(lambda rng: corridor(0), clock)
    tasks = [drawn(np.random.default_rng(0)) for _ in range(2)]
    together = stack(tasks)
    rngs = [np.random.default_rng(seed) for seed in range(2)]
    state, _ = together.reset(rngs, 3)
    alone, _ = tasks[0].reset(rngs[0], 3)
    monkeypatch.setattr(time, "perf_counter", now.__next__)
    together.step(state, np.zeros((2, 3), np.int64), rngs)
    tasks[0].step(alone, np.zeros(3, np.int64), rngs[0])
    assert clock.seconds == 2.5


def test_timed_tasks_are_the_same_tasks_and_stepped_together() -> None:
    plain, watched = (
        [draw(np.random.default_rng(seed)) for seed in range(3)] for draw in (random_goal, timed(random_goal, Clock()))
    )
    assert [(task.name, task.horizon, task.action) for task in watched] == [
        (task.name, task.horizon, task.action) for task in plain
    ]
    found = []
    for tasks in (plain, watched):
        together, rngs = stack(tasks), [np.random.default_rng(seed) for seed in range(3)]
        assert not isinstance(together, OneByOne)
        state, observation = together.reset(rngs, 4)
        state, observation, *_ = together.step(state, np.full((3, 4, 2), 0.05), rngs)
        found.append(together.begin_again(state, observation, np.eye(3, 4) > 0, rngs)[1])
    np.testing.assert_array_equal(found[0], found[1])
