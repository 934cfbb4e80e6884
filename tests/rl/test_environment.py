from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from minimeta.errors import ConfigurationError, ShapeError
from minimeta.rl import Box, Discrete, OneByOne, stack
from minimeta.rl.environments import Navigation


@dataclass(frozen=True)
class Dice:
    """An environment whose every step is drawn: reward and observation are the numbers drawn."""

    sides: float

    name: ClassVar[str] = "dice"
    horizon: ClassVar[int] = 3
    observation: ClassVar[Box] = Box((0.0,), (np.inf,))
    action: ClassVar[Discrete] = Discrete(1)

    def reset(self, rng: np.random.Generator, episodes: int) -> tuple[Any, NDArray[Any]]:
        drawn = self.sides * rng.random(episodes)
        return drawn, drawn[:, None]

    def step(
        self, state: Any, action: NDArray[Any], rng: np.random.Generator
    ) -> tuple[Any, NDArray[Any], NDArray[Any], NDArray[np.bool_]]:
        drawn = self.sides * rng.random(len(state))
        return drawn, drawn[:, None], drawn, drawn < 0.5


def test_each_of_several_environments_finds_what_it_finds_alone() -> None:
    dice = [Dice(2.0), Dice(4.0)]
    together = stack(dice)
    rngs = [np.random.default_rng(seed) for seed in (0, 1)]
    state, observation = together.reset(rngs, 3)
    found = together.step(state, np.zeros((2, 3), int), rngs)
    for task, (one, seed) in enumerate(zip(dice, (0, 1), strict=True)):
        rng = np.random.default_rng(seed)
        alone, begun = one.reset(rng, 3)
        assert np.array_equal(observation[task], begun)
        for ours, theirs in zip(found, one.step(alone, np.zeros(3, int), rng), strict=True):
            assert np.array_equal(ours[task], theirs)


def test_episodes_begin_again_where_they_ended_and_only_there() -> None:
    dice, rngs = [Dice(2.0), Dice(4.0)], [np.random.default_rng(seed) for seed in (0, 1)]
    together = stack(dice)
    state, observation = together.reset(rngs, 3)
    ended = np.array([[True, False, True], [False, False, False]])
    begun, seen = together.begin_again(state, observation, ended, rngs)
    drawn = np.random.default_rng(0)
    drawn.random(3)
    assert np.array_equal(seen[0, [0, 2], 0], 2.0 * drawn.random(2))
    assert np.array_equal(seen[~ended], observation[~ended])
    assert np.array_equal(np.stack(begun), seen[..., 0])
    # A task without an end draws nothing: its next step is what it would have been.
    assert np.array_equal(rngs[1].random(1), np.random.default_rng(1).random(4)[3:])
    assert np.array_equal(observation[0], np.random.default_rng(0).random((3, 1)) * 2.0), "what was passed in changed"


def test_a_state_that_is_not_of_episodes_cannot_begin_again() -> None:
    class Shared(Dice):
        def reset(self, rng: np.random.Generator, episodes: int) -> tuple[Any, NDArray[Any]]:
            state, observation = super().reset(rng, episodes)
            return (0, state), observation

    together, rngs = stack([Shared(2.0)]), [np.random.default_rng(0)]
    state, observation = together.reset(rngs, 3)
    with pytest.raises(ShapeError, match=r"dice: its state has an array of shape \(\); .* axis of episodes, here 3"):
        together.begin_again(state, observation, np.ones((1, 3), bool), rngs)


@pytest.mark.parametrize("method", ["reset", "step", "begin_again"])
def test_a_class_that_acts_in_another_way_is_not_stacked_as_its_base(method: str) -> None:
    class Windy(Navigation):
        pass

    assert not isinstance(stack([Windy((0.1, 0.2)), Windy((0.3, 0.2))]), OneByOne)
    setattr(Windy, method, lambda *given: None)
    assert isinstance(stack([Windy((0.1, 0.2)), Windy((0.3, 0.2))]), OneByOne)


@pytest.mark.parametrize("apart", [list, lambda drawn: {"dice": list(drawn)}])
def test_a_state_apart_for_each_episode_cannot_begin_again(apart: Any) -> None:
    class Apart(Dice):
        def reset(self, rng: np.random.Generator, episodes: int) -> tuple[Any, NDArray[Any]]:
            state, observation = super().reset(rng, episodes)
            return apart(state), observation

    together, rngs = stack([Apart(2.0)]), [np.random.default_rng(0)]
    state, observation = together.reset(rngs, 3)
    with pytest.raises(ShapeError, match="every array of a state has a leading axis of episodes, here 3"):
        together.begin_again(state, observation, np.array([[True, False, False]]), rngs)


def test_what_an_environment_does_not_return_is_named() -> None:
    class Flat(Dice):
        def reset(self, rng: np.random.Generator, episodes: int) -> tuple[Any, NDArray[Any]]:
            return super().reset(rng, episodes)[0][:, None], np.zeros(episodes)

    class Short(Dice):
        def step(self, *arguments: Any) -> Any:
            return super().step(*arguments)[:3]

    rngs = [np.random.default_rng(0)]
    with pytest.raises(ShapeError, match=r"dice: reset returned observations of shape \(4,\) .* not of \(4, 1\)"):
        stack([Flat(2.0)]).reset(rngs, 4)
    with pytest.raises(ShapeError, match=r"dice: step returned a tuple of 3, and not .*reward, done"):
        stack([Short(2.0)]).step([np.ones(4)], np.zeros((1, 4), int), rngs)


def test_an_episode_that_begins_among_integers_is_not_rounded() -> None:
    together, rngs = stack([Dice(2.0)]), [np.random.default_rng(0)]
    whole = np.array([3, 1, 2])
    state, observation = together.begin_again([whole], whole[None, :, None], np.array([[True, False, False]]), rngs)
    drawn = 2.0 * np.random.default_rng(0).random()
    assert state[0].tolist() == observation[0, :, 0].tolist() == [drawn, 1.0, 2.0]


def test_a_box_scales_and_clips_actions() -> None:
    box = Box((-0.1, 0.0), (0.1, 4.0))
    assert np.allclose(box.scaled(np.array([[0.5, -1.0], [-7.0, 0.0]])), [[0.05, 0.0], [-0.1, 2.0]])
    assert np.allclose(Box((-np.inf, 0.0), (np.inf, np.inf)).scaled(np.array([3.0, -3.0])), [3.0, 0.0])


def test_spaces_that_are_empty_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="below high"):
        Box((1.0,), (1.0,))
    for bounds in (0.0, np.zeros((1, 1))):
        with pytest.raises(ConfigurationError, match="must have a number for each element"):
            Box(bounds, (1.0,))  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="at least 1"):
        Discrete(0)


def test_bounds_may_be_arrays() -> None:
    box = Box(np.zeros(2), np.ones(2))  # type: ignore[arg-type]
    assert box == Box((0.0, 0.0), (1.0, 1.0))
