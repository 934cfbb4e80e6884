from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from walks import POLICY, Walk

from minimeta.errors import ConfigurationError, NonFiniteError, ShapeError
from minimeta.rl import Box
from minimeta.rl.environments import corridor
from minimeta.rl.trajectories import Experience, check, sample

PARAMETERS = POLICY.init(np.random.default_rng(7))


def act(observations: NDArray[Any], noise: NDArray[Any]) -> tuple[Any, Any]:
    outputs = POLICY.apply(PARAMETERS, observations)
    return POLICY.act(outputs, noise), outputs


def sampled(walks: list[Walk], seeds: list[int], episodes: int = 4) -> tuple[NDArray[Any], dict[str, Any]]:
    return sample(walks, POLICY, act, [np.random.default_rng(seed) for seed in seeds], episodes)


@given(st.integers(0, 1000), st.integers(1, 5), st.sampled_from([0.0, 0.5, 50.0]))
def test_a_task_is_what_a_loop_over_its_episodes_collects(seed: int, episodes: int, goal: float) -> None:
    task = Walk(goal)
    observations, found = sampled([task], [seed], episodes)
    rng = np.random.default_rng(seed)
    finished: list[list[tuple[float, float, float]]] = []
    running: list[list[tuple[float, float, float]]] = [[] for _ in range(episodes)]
    for t in range(2 * task.horizon):
        if t % task.horizon == 0:
            noise = POLICY.noise(rng, (episodes, task.horizon))
        if t == 0:
            state, seen = task.reset(rng, episodes)
        elif over := [i for i, steps in enumerate(running) if not steps]:
            (counts, at), seen = task.reset(rng, len(over))
            for new, old in zip((counts, at), state, strict=True):
                old[over] = new
            seen = state[1][:, None].copy()
        outputs = POLICY.apply(PARAMETERS, seen.astype(np.float32))
        action = outputs["mean"] + np.exp(outputs["log_deviation"]) * noise[:, t % task.horizon]
        before = seen
        state, seen, reward, done = task.step(state, np.clip(action, -1, 1), rng)
        for i, steps in enumerate(running):
            steps.append((float(before[i, 0]), float(action[i, 0]), float(reward[i])))
            if done[i] or len(steps) == task.horizon:
                finished.append(steps)
                running[i] = []
    rows: list[list[list[tuple[float, float, float]]]] = [[] for _ in range(episodes)]
    for steps in finished:
        fitting = [row for row in rows if sum(map(len, row)) + len(steps) <= task.horizon]
        if not fitting:
            break
        fitting[0].append(steps)
    for i, row in enumerate(rows):
        flat = np.array([step for steps in row for step in steps]).reshape(-1, 3)
        begin = [sum(map(len, row[:k])) for k, steps in enumerate(row) for _ in steps]
        length = len(flat)
        ours = np.stack([observations[0, i, :, 0], found["actions"][0, i, :, 0], found["rewards"][0, i]], 1)
        np.testing.assert_allclose(ours[:length], flat, atol=1e-5)
        assert not ours[length:].any() and not found["outputs"]["mean"][0, i, length:].any()
        assert found["begin"][0, i, :length].tolist() == begin
        assert found["mask"][0, i].tolist() == [1.0] * length + [0.0] * (task.horizon - length)
    returns = [sum(step[2] for step in steps) for row in rows for steps in row]
    experience = Experience(**found, advantages=found["mask"])
    np.testing.assert_allclose(experience.mean_return, [np.mean(returns)], rtol=1e-6)


def test_episodes_that_end_early_leave_no_gap() -> None:
    class Short(Walk):
        def step(self, state: Any, action: NDArray[Any], rng: np.random.Generator) -> Any:
            state, seen, reward, _ = super().step(state, action, rng)
            return state, seen, reward, state[0] == 2

    _, found = sampled([Short(0.5)], [3])
    assert found["mask"].all()
    assert (found["begin"] == [0, 0, 2, 2, 4, 4]).all()


@pytest.mark.parametrize("kind", [np.int64, np.float32])
def test_done_may_be_numbers(kind: Any) -> None:
    class Numbers(Walk):
        def step(self, state: Any, action: NDArray[Any], rng: np.random.Generator) -> Any:
            state, seen, reward, done = super().step(state, action, rng)
            return state, seen, reward, done.astype(kind)

    (observations, found), (others, same) = (sampled([one(0.5), one(-1.0)], [3, 4]) for one in (Walk, Numbers))
    assert np.array_equal(observations, others)
    assert np.array_equal(found["begin"], same["begin"]) and len(np.unique(found["begin"])) > 1


def test_a_task_does_not_depend_on_the_others() -> None:
    together, _ = sampled([Walk(0.5), Walk(-1.0), Walk(2.0)], [3, 4, 5])
    alone, _ = sampled([Walk(-1.0)], [4])
    assert np.array_equal(together[1], alone[0])


@pytest.mark.parametrize(("what", "named"), [("reward", "step 2"), ("observation", "step 3")])
def test_what_is_not_finite_is_refused_by_task_and_step(what: str, named: str) -> None:
    with pytest.raises(NonFiniteError, match=rf"walk: the {what} of task 1 is nan at {named}"):
        sampled([Walk(50.0), Walk(50.0, bad=(2, what))], [0, 1])


def test_an_observation_beyond_float32_is_refused() -> None:
    class Far(Walk):
        def step(self, state: Any, action: NDArray[Any], rng: np.random.Generator) -> Any:
            state, seen, reward, done = super().step(state, action, rng)
            return state, np.full_like(seen, 1e40), reward, done

    with pytest.raises(NonFiniteError, match="walk: the observation of task 0 is inf at step 1"):
        sampled([Far(50.0)], [0])


def test_nothing_to_do_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="walk: episodes=0 must be at least 1"):
        sampled([Walk(0.0)], [0], episodes=0)
    with pytest.raises(ConfigurationError, match="walk: horizon=0 must be at least 1"):
        sampled([Walk(0.0, horizon=0)], [0], episodes=5)


def test_tasks_that_differ_in_form_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="walk: task 1 has horizon"):
        sampled([Walk(0.0), Walk(0.0, horizon=7)], [0, 1])


def test_a_task_that_is_no_environment_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="task 0 is int, which is no environment: it has no reset, step"):
        check([7], 4)  # type: ignore[list-item]


def test_other_spaces_are_refused() -> None:
    class Text(Walk):
        observation: Any = "text"  # type: ignore[misc]

    with pytest.raises(ConfigurationError, match="observations must be of a Box"):
        sampled([Text(0.0)], [0])
    assert isinstance(Walk.observation, Box)


def fixed(actions: NDArray[Any]) -> Any:
    """A policy that does this in every episode, with the actions of `sample` as its outputs."""
    return lambda observations, noise: (np.broadcast_to(actions, (*noise.shape[:2], *actions.shape)), noise)


@pytest.mark.parametrize("actions", [np.array(0), np.array(0.5), np.zeros(2)])
def test_actions_are_not_broadcast_to_a_box(actions: NDArray[Any]) -> None:
    with pytest.raises(ConfigurationError, match=r"walk: its actions are Box.* use Gaussian\(network, actions=n\)"):
        sample([Walk(0.0)], POLICY, fixed(actions), [np.random.default_rng(0)], 4)


@pytest.mark.parametrize("actions", [np.array(2), np.array(0.0), np.zeros(1, int)])
def test_actions_of_a_discrete_space_are_below_its_count(actions: NDArray[Any]) -> None:
    with pytest.raises(ConfigurationError, match=r"its actions are Discrete\(count=2\), and the policy acts by"):
        sample([corridor(0)], POLICY, fixed(actions), [np.random.default_rng(0)], 4)


@pytest.mark.parametrize(("place", "what"), [(1, "observations"), (2, "rewards"), (3, "done")])
def test_what_a_step_returns_is_not_broadcast(place: int, what: str) -> None:
    class Wide(Walk):
        def step(self, state: Any, action: NDArray[Any], rng: np.random.Generator) -> Any:
            found = list(super().step(state, action, rng))
            found[place] = found[place][..., None]
            return tuple(found)

    with pytest.raises(ShapeError, match=rf"walk: step returned {what} of shape \(.*1\) for 4 episodes"):
        sampled([Wide(0.0)], [0])
