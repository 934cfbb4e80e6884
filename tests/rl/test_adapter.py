"""gymnasium's environments behave here as they do there, and ours pass its checks."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from minimeta.errors import ConfigurationError, MissingExtraError
from minimeta.rl import Box, Discrete, Environment, stack
from minimeta.rl.adapter import from_gymnasium, to_gymnasium
from minimeta.rl.environments import CheetahVelocity, Navigation, corridor

gymnasium: Any = pytest.importorskip("gymnasium", reason="needs the extra rl: pip install 'minimeta[rl]'")


class Counter(gymnasium.Env):  # type: ignore[misc]
    """Its observation is the number of steps, as a matrix, a number from 3 on or a dictionary; it ends after `end`."""

    def __init__(self, observed: Any, acted: Any, end: int = 4) -> None:
        self.observation_space, self.action_space = observed, acted
        self.end = end
        self.steps = 0
        self.actions: list[Any] = []

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.steps = int(self.np_random.integers(3))
        return self._seen(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        self.actions.append(action)
        return self._seen(), float(self.steps), self.steps >= self.end, False, {}

    def _seen(self) -> Any:
        discrete = isinstance(self.observation_space, gymnasium.spaces.Discrete)
        return 3 + self.steps if discrete else np.full((2, 3), self.steps, np.uint8)


MATRIX = gymnasium.spaces.Box(0, 255, (2, 3), np.uint8)
NUMBER = gymnasium.spaces.Discrete(7, start=3)
PUSH = gymnasium.spaces.Box(np.array([[-1.0, -2.0]], np.float32), np.array([[1.0, 2.0]], np.float32))


def alone(make: Callable[[], Any], seed: int, actions: NDArray[Any]) -> list[tuple[NDArray[Any], float]]:
    """Observations and rewards of one episode, by gymnasium itself."""
    env = make()
    found = [(env.reset(seed=seed)[0], 0.0)]
    for action in actions:
        observation, reward, terminated, truncated, _ = env.step(action)
        found.append((observation, float(reward)))
        if terminated or truncated:
            break
    return found


@pytest.mark.parametrize("name", ["CartPole-v1", "Pendulum-v1", "MountainCarContinuous-v0", "HalfCheetah-v5"])
def test_each_episode_is_that_of_gymnasium_alone(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if name == "HalfCheetah-v5":
        pytest.importorskip("mujoco", reason="needs the extra rl: pip install 'minimeta[rl]'")
        monkeypatch.chdir(tmp_path)  # MuJoCo leaves a log where it runs.
    environment = from_gymnasium(name)
    assert environment.name == name
    seeds = np.random.default_rng(0).integers(2**31, size=3)
    rng = np.random.default_rng(1)
    if isinstance(environment.action, Discrete):
        actions = rng.integers(environment.action.count, size=(60, 3))
    else:
        actions = environment.action.scaled(rng.normal(size=(60, 3, *environment.action.shape))).astype(np.float32)
    wanted = [alone(lambda: gymnasium.make(name), int(seed), actions[:, i]) for i, seed in enumerate(seeds)]
    for _ in range(2):  # what was before a reset does not matter
        state, observation = environment.reset(np.random.default_rng(0), 3)
        seen, paid, ends = [observation], [np.zeros(3)], np.full(3, 60)
        for step, action in enumerate(actions):
            state, observation, reward, done = environment.step(state, action, rng)
            seen.append(observation)
            paid.append(reward)
            ends = np.where(done, np.minimum(ends, step + 1), ends)
        for episode, rows in enumerate(wanted):
            assert ends[episode] == len(rows) - 1
            for step, (expected, earned) in enumerate(rows):
                np.testing.assert_array_equal(seen[step][episode], expected)
                assert paid[step][episode] == earned


def test_an_episode_that_begins_again_is_that_of_gymnasium_alone() -> None:
    environment, rng = from_gymnasium("CartPole-v1"), np.random.default_rng(0)
    state, observation = environment.reset(rng, 2)
    for _ in range(3):
        state, observation, _, _ = environment.step(state, np.array([1, 0]), rng)
    together = stack([environment])
    seed = np.random.default_rng(0)
    first = [int(each) for each in seed.integers(2**31, size=2)]
    again = int(seed.integers(2**31, size=1)[0])
    begun, seen = together.begin_again([state], observation[None], np.array([[True, False]]), [rng])
    _, after, _, _ = environment.step(begun[0], np.array([1, 0]), rng)
    ((fresh, _), (stepped, _)) = alone(lambda: gymnasium.make("CartPole-v1"), again, np.array([1]))
    np.testing.assert_array_equal(seen[0, 0], fresh)
    np.testing.assert_array_equal(after[0], stepped)
    going_on = alone(lambda: gymnasium.make("CartPole-v1"), first[1], np.array([0] * 4))
    np.testing.assert_array_equal(seen[0, 1], going_on[3][0])
    np.testing.assert_array_equal(after[1], going_on[4][0])
    with pytest.raises(ConfigurationError, match="can only take its next step"):
        together.begin_again([state], observation[None], np.array([[True, False]]), [rng])


def test_spaces_are_turned_into_vectors_and_back() -> None:
    made: list[Counter] = []

    def make() -> Counter:
        made.append(Counter(MATRIX, PUSH))
        return made[-1]

    environment = from_gymnasium(make, horizon=9)
    assert (environment.name, environment.horizon) == ("Counter", 9)
    assert environment.observation == Box((0.0,) * 6, (255.0,) * 6)
    assert environment.action == Box((-1.0, -2.0), (1.0, 2.0))
    state, observation = environment.reset(np.random.default_rng(0), 2)
    np.testing.assert_array_equal(observation, [[each.steps] * 6 for each in made])
    environment.step(state, np.array([[0.5, 1.5], [0.0, 2.0]]), np.random.default_rng(0))
    np.testing.assert_array_equal(made[0].actions[0], np.array([[0.5, 1.5]]))
    assert (made[0].actions[0].dtype, made[0].actions[0].shape) == (np.float32, (1, 2))

    environment = from_gymnasium(lambda: Counter(NUMBER, gymnasium.spaces.Discrete(2, start=5)), horizon=9)
    assert (environment.observation, environment.action) == (Box((0.0,) * 7, (1.0,) * 7), Discrete(2))
    state, observation = environment.reset(np.random.default_rng(0), 4)
    np.testing.assert_array_equal(observation.sum(axis=1), 1)
    before = observation.argmax(axis=1)
    _, observation, reward, _ = environment.step(state, np.array([0, 1, 1, 0]), np.random.default_rng(0))
    np.testing.assert_array_equal(observation.argmax(axis=1), before + 1)
    np.testing.assert_array_equal(reward, before + 1)


def test_an_episode_that_has_ended_rests() -> None:
    made: list[Counter] = []

    def make() -> Counter:
        made.append(Counter(MATRIX, PUSH))
        return made[-1]

    environment, rng = from_gymnasium(make, horizon=9), np.random.default_rng(0)
    state, _ = environment.reset(rng, 3)
    for _ in range(5):
        state, observation, reward, done = environment.step(state, np.zeros((3, 2)), rng)
    assert done.all()
    np.testing.assert_array_equal(observation, np.full((3, 6), 4))
    np.testing.assert_array_equal(reward, 0)
    assert [each.steps for each in made] == [4, 4, 4]


def test_a_state_can_be_used_once() -> None:
    environment, rng = from_gymnasium("CartPole-v1"), np.random.default_rng(0)
    old, _ = environment.reset(rng, 2)
    environment.step(old, np.zeros(2, np.int64), rng)
    with pytest.raises(ConfigurationError, match="CartPole-v1: its episodes have gone on"):
        environment.step(old, np.zeros(2, np.int64), rng)


@pytest.mark.parametrize("space", ["Dict", "MultiBinary", "MultiDiscrete", "Tuple", "Text"])
def test_other_spaces_are_refused_by_name(space: str) -> None:
    spaces = gymnasium.spaces
    other = {
        "Dict": spaces.Dict({"x": MATRIX}),
        "MultiBinary": spaces.MultiBinary(3),
        "MultiDiscrete": spaces.MultiDiscrete([2, 3]),
        "Tuple": spaces.Tuple([MATRIX]),
        "Text": spaces.Text(3),
    }[space]
    with pytest.raises(ConfigurationError, match=f"Counter: its observation space is {space}.*FlattenObservation"):
        from_gymnasium(lambda: Counter(other, PUSH), horizon=3)
    with pytest.raises(ConfigurationError, match=f"Counter: its action space is {space}.*ActionWrapper"):
        from_gymnasium(lambda: Counter(MATRIX, other), horizon=3)


def test_what_is_missing_or_repeated_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="Counter: gymnasium never truncates"):
        from_gymnasium(lambda: Counter(MATRIX, PUSH))
    with pytest.raises(ConfigurationError, match="walk: horizon=0 must be at least 1"):
        from_gymnasium(lambda: Counter(MATRIX, PUSH), horizon=0, name="walk")
    one = Counter(MATRIX, PUSH)
    with pytest.raises(ConfigurationError, match="returned one twice"):
        from_gymnasium(lambda: one, horizon=3).reset(np.random.default_rng(0), 2)
    task = from_gymnasium("CartPole-v1")
    with pytest.raises(ConfigurationError, match="CartPole-v1: task 2 is the same object as a task before it"):
        stack([from_gymnasium("CartPole-v1"), task, task])


def test_the_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gymnasium", None)
    for call in (lambda: from_gymnasium("CartPole-v1"), lambda: to_gymnasium(Navigation((0.1, 0.2)))):
        with pytest.raises(MissingExtraError, match=r"gymnasium.*pip install 'minimeta\[rl\]'"):
            call()


@pytest.mark.filterwarnings("ignore:.*A Box observation space (minimum|maximum) value is -?infinity")
@pytest.mark.filterwarnings("ignore:.*Not able to test alternative render modes")
@pytest.mark.parametrize(
    "environment", [Navigation((0.1, 0.2)), corridor(0), CheetahVelocity(1.0)], ids=lambda e: e.name
)
def test_ours_pass_gymnasiums_check(environment: Environment) -> None:
    if isinstance(environment, CheetahVelocity):
        pytest.importorskip("mujoco", reason="needs the extra rl: pip install 'minimeta[rl]'")
    from gymnasium.utils.env_checker import check_env  # noqa: PLC0415

    check_env(to_gymnasium(environment), skip_render_check=True)


def test_there_and_back_is_the_same_environment() -> None:
    ours = corridor(goal=4, horizon=6, slip=0.3)
    back, rng = from_gymnasium(lambda: to_gymnasium(ours), horizon=6), np.random.default_rng(1)
    assert (back.observation, back.action) == (ours.observation, ours.action)
    state, observation = back.reset(np.random.default_rng(0), 2)
    seeds = np.random.default_rng(0).integers(2**31, size=2)
    rngs = [np.random.default_rng(int(seed)) for seed in seeds]
    begun = [ours.reset(each, 1) for each in rngs]
    states = [each for each, _ in begun]
    np.testing.assert_array_equal(observation, np.concatenate([seen for _, seen in begun]))
    for step in range(6):
        action = rng.integers(2, size=2)
        state, observation, reward, done = back.step(state, action, rng)
        for place, generator in enumerate(rngs):
            states[place], seen, paid, _ = ours.step(states[place], action[place : place + 1], generator)
            np.testing.assert_array_equal(observation[place], seen[0])
            assert reward[place] == paid[0]
        np.testing.assert_array_equal(done, step == 5)


def test_tasks_are_stepped_one_by_one() -> None:
    together = stack([from_gymnasium("CartPole-v1"), from_gymnasium("CartPole-v1")])
    rngs = [np.random.default_rng(seed) for seed in (0, 1)]
    state, observation = together.reset(rngs, 3)
    assert observation.shape == (2, 3, 4)
    state, observation, reward, done = together.step(state, np.ones((2, 3), np.int64), rngs)
    assert (observation.shape, reward.tolist(), bool(done.any())) == ((2, 3, 4), [[1.0] * 3] * 2, False)
