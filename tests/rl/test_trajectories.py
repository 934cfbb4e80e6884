from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from walks import POLICY, Walk

from minimeta.errors import ConfigurationError, NonFiniteError, ShapeError
from minimeta.rl import Box
from minimeta.rl.environments import corridor
from minimeta.rl.trajectories import sample

PARAMETERS = POLICY.init(np.random.default_rng(7))


def act(observations: NDArray[Any], noise: NDArray[Any]) -> tuple[Any, Any]:
    outputs = POLICY.apply(PARAMETERS, observations)
    return POLICY.act(outputs, noise), outputs


def sampled(walks: list[Walk], seeds: list[int], episodes: int = 4) -> tuple[NDArray[Any], dict[str, Any]]:
    return sample(walks, POLICY, act, [np.random.default_rng(seed) for seed in seeds], episodes)


def test_trajectories_are_those_of_a_loop() -> None:
    task, episodes = Walk(0.5), 4
    observations, found = sampled([task], [3])
    rng = np.random.default_rng(3)
    noise = POLICY.noise(rng, (episodes, task.horizon))
    state, seen = task.reset(rng, episodes)
    over = np.zeros(episodes, bool)
    for t in range(task.horizon):
        outputs = POLICY.apply(PARAMETERS, seen.astype(np.float32))
        action = outputs["mean"] + np.exp(outputs["log_deviation"]) * noise[:, t]
        assert np.allclose(observations[0, ~over, t], seen[~over])
        assert np.allclose(found["actions"][0, ~over, t], action[~over])
        assert np.array_equal(found["mask"][0, :, t], 1 - over)
        action = np.where(over[:, None], found["actions"][0, :, t], action)  # after the end it may do anything
        state, seen, reward, done = task.step(state, np.clip(action, -1, 1), rng)
        assert np.allclose(found["rewards"][0, :, t], np.where(over, 0.0, reward))
        over = over | done
    assert over.sum() > 0


def test_a_task_does_not_depend_on_the_others() -> None:
    together, _ = sampled([Walk(0.5), Walk(-1.0), Walk(2.0)], [3, 4, 5])
    alone, _ = sampled([Walk(-1.0)], [4])
    assert np.array_equal(together[1], alone[0])


@pytest.mark.parametrize(("what", "named"), [("reward", "step 2"), ("observation", "step 3")])
def test_what_is_not_finite_is_refused_by_task_and_step(what: str, named: str) -> None:
    with pytest.raises(NonFiniteError, match=rf"walk: the {what} of task 1 is nan at {named}"):
        sampled([Walk(50.0), Walk(50.0, bad=(2, what))], [0, 1])


def test_nothing_to_do_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="0 episodes of 6 steps"):
        sampled([Walk(0.0)], [0], episodes=0)
    with pytest.raises(ConfigurationError, match="5 episodes of 0 steps"):
        sampled([Walk(0.0, horizon=0)], [0], episodes=5)


def test_tasks_that_differ_in_form_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="walk: task 1 has horizon"):
        sampled([Walk(0.0), Walk(0.0, horizon=7)], [0, 1])


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
