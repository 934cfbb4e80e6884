"""Environments: what an agent acts on, as a pair of pure functions on batches of episodes.

An episode of a Markov decision process is

    s_0 ~ rho,    a_t ~ pi(. | o_t),    s_{t+1}, r_t ~ P(. | s_t, a_t),    o_t = o(s_t),    t = 0, ..., H - 1

and ends at the horizon H, or before it, when the environment says that it is done. An environment
is a value: its states are passed in and returned, many episodes at once along the first axis, and
its random numbers come from a generator. So it has no memory, and nothing in it depends on which
episodes are run together or on which thread.

A *task distribution* of reinforcement learning is a function from a generator to an environment.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from minimeta.autodiff import tree
from minimeta.counts import check_counts
from minimeta.errors import ConfigurationError, ShapeError


@dataclass(frozen=True)
class Box:
    """A space of real vectors ``low <= x <= high``, element by element.

    Attributes
    ----------
    low, high
        Bounds of one element each, kept as floats; infinite where there is none.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]

    def __post_init__(self) -> None:
        for name in ("low", "high"):
            bounds: Any = getattr(self, name)
            if np.ndim(bounds) != 1:
                raise ConfigurationError(
                    f"Box: {name}={bounds!r} must have a number for each element, as in Box((-1.0,), (1.0,))"
                )
            # Of arrays, two boxes could not be compared.
            object.__setattr__(self, name, tuple(map(float, bounds)))
        if len(self.low) != len(self.high) or not all(a < b for a, b in zip(self.low, self.high, strict=True)):
            raise ConfigurationError(f"Box: low={self.low} must be below high={self.high}, element by element")

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one element of the space."""
        return (len(self.low),)

    def scaled(self, x: NDArray[Any]) -> NDArray[np.float64]:
        """Map [-1, 1] onto the box and clip what lies outside.

        The code released with MAML acts like this in every environment. An element without finite
        bounds is left as it is.

        Parameters
        ----------
        x
            Shape ``(..., elements)``.
        """
        low, high, middle, half = self._scale
        return np.asarray(np.clip(middle + half * x, low, high))

    @cached_property
    def _scale(self) -> NDArray[np.float64]:
        """The bounds, and the middle and half of the width, 0 and 1 of an element without finite bounds."""
        low, high = np.array(self.low), np.array(self.high)
        with np.errstate(invalid="ignore"):
            bounded = np.isfinite(low) & np.isfinite(high)
            return np.stack(
                [low, high, np.where(bounded, (low + high) / 2, 0.0), np.where(bounded, (high - low) / 2, 1.0)]
            )


@dataclass(frozen=True)
class Discrete:
    """The integers 0, 1, ..., ``count - 1``."""

    count: int

    def __post_init__(self) -> None:
        check_counts(self, "count")


class Environment(Protocol):
    """A Markov decision process, for many episodes at once.

    Attributes
    ----------
    name
        What errors call it.
    horizon
        Steps after which every episode ends, at least 1.
    observation
        The space of observations.
    action
        The space of actions.
    """

    @property
    def name(self) -> str: ...  # noqa: D102 (the class says it)
    @property
    def horizon(self) -> int: ...  # noqa: D102
    @property
    def observation(self) -> Box: ...  # noqa: D102
    @property
    def action(self) -> Box | Discrete: ...  # noqa: D102

    def reset(self, rng: np.random.Generator, episodes: int) -> tuple[Any, NDArray[Any]]:
        """Begin episodes.

        Parameters
        ----------
        rng
            The only source of randomness.
        episodes
            How many.

        Returns
        -------
        state
            A tree of arrays with a leading axis of length `episodes`.
        observation
            Shape ``(episodes, *observation.shape)``.
        """

    def step(
        self, state: Any, action: NDArray[Any], rng: np.random.Generator
    ) -> tuple[Any, NDArray[Any], NDArray[Any], NDArray[np.bool_]]:
        """Take one step of every episode. A state that was passed in is not changed.

        Parameters
        ----------
        state
            What ``reset`` or the last ``step`` returned.
        action
            Of a box, shape ``(episodes, elements)``, within the bounds; of a discrete space,
            integers of shape ``(episodes,)``.
        rng
            The only source of randomness.

        Returns
        -------
        state, observation
            As ``reset`` returns them.
        reward
            Shape ``(episodes,)``.
        done
            Whether the episode ends with this step, shape ``(episodes,)``. What a finished episode
            returns from then on is ignored.

        Notes
        -----
        Where an episode has ended, ``reset`` begins another one in its place. An environment whose
        states are not such trees has a method for that, ``begin_again(state, observation, ended,
        rng)``, which returns state and observation.
        """


EnvironmentDistribution: TypeAlias = Callable[[np.random.Generator], Environment]
"""A task distribution: draws an environment, and takes every random number from the generator."""


class Environments(Protocol):
    """The environments of several tasks, stepped together: all arrays have shape ``(tasks, episodes, ...)``."""

    def reset(self, rngs: Sequence[np.random.Generator], episodes: int) -> tuple[Any, NDArray[Any]]:
        """Begin episodes of every task, each with the task's generator."""

    def step(
        self, state: Any, action: NDArray[Any], rngs: Sequence[np.random.Generator]
    ) -> tuple[Any, NDArray[Any], NDArray[Any], NDArray[np.bool_]]:
        """Take one step of every episode of every task."""

    def begin_again(
        self, state: Any, observation: NDArray[Any], ended: NDArray[np.bool_], rngs: Sequence[np.random.Generator]
    ) -> tuple[Any, NDArray[Any]]:
        """Begin new episodes in place of those that ended, shape ``(tasks, episodes)``."""


def stack(environments: Sequence[Environment]) -> Environments:
    """Return environments that are stepped together.

    A class that can do it faster than one by one has a static method ``stack(environments)``, which
    is called if all are of that class, and returns None for environments that do not fit together.
    Each task must find what it would find alone, bit for bit: that of a base class is not called
    for a class that steps or begins in another way.
    """
    kind: Any = type(environments[0])
    owner = next((each for each in kind.__mro__ if "stack" in vars(each)), None)
    if owner is not None and all(type(each) is kind for each in environments) and _acts_as(kind, owner):
        stacked: Environments | None = kind.stack(environments)
        if stacked is not None:
            return stacked
    return OneByOne(tuple(environments))


def _acts_as(kind: type[Any], base: type[Any]) -> bool:
    return all(getattr(kind, name, None) is getattr(base, name, None) for name in ("reset", "step", "begin_again"))


@dataclass(frozen=True)
class OneByOne:
    """Environments that are stepped one after another.

    Attributes
    ----------
    environments
        One for each task, with equal shapes of observations and actions.
    """

    environments: tuple[Environment, ...]

    def reset(self, rngs: Sequence[np.random.Generator], episodes: int) -> tuple[Any, NDArray[Any]]:
        """Begin episodes of every task; the state is a list with one entry for each."""
        begun = [
            _parts(each, "reset", each.reset(rng, episodes), "state, observation")
            for each, rng in zip(self.environments, rngs, strict=True)
        ]
        for each, (_, observation) in zip(self.environments, begun, strict=True):
            _check_observation(each, observation, episodes)
        return [state for state, _ in begun], np.stack([observation for _, observation in begun])

    def step(
        self, state: Any, action: NDArray[Any], rngs: Sequence[np.random.Generator]
    ) -> tuple[Any, NDArray[Any], NDArray[Any], NDArray[np.bool_]]:
        """Take one step of every episode of every task."""
        taken = [
            _parts(each, "step", each.step(one, chosen, rng), "state, observation, reward, done")
            for each, one, chosen, rng in zip(self.environments, state, action, rngs, strict=True)
        ]
        states, *parts = zip(*taken, strict=True)
        observation, reward, done = (np.stack(part) for part in parts)
        return list(states), observation, reward, done

    def begin_again(
        self, state: Any, observation: NDArray[Any], ended: NDArray[np.bool_], rngs: Sequence[np.random.Generator]
    ) -> tuple[Any, NDArray[Any]]:
        """Begin new episodes in place of those that ended; tasks without any draw no random numbers."""
        begun = [
            _begin_again(*each) if each[3].any() else each[1:3]
            for each in zip(self.environments, state, observation, ended, rngs, strict=True)
        ]
        return [state for state, _ in begun], np.stack([observation for _, observation in begun])


def _parts(environment: Environment, function: str, found: Any, names: str) -> Any:
    """Return what a function of an environment returned, if that is a tuple of its parts."""
    if not isinstance(found, tuple) or len(found) != names.count(",") + 1:
        held = f"a tuple of {len(found)}" if isinstance(found, tuple) else type(found).__name__
        raise ShapeError(f"{environment.name}: {function} returned {held}, and not ({names})", "")
    return found


def _check_observation(environment: Environment, observation: Any, episodes: int) -> None:
    shape = (episodes, *environment.observation.shape)
    if np.shape(observation) != shape:
        raise ShapeError(
            f"{environment.name}: reset returned observations of shape {np.shape(observation)} for {episodes} "
            f"episodes, and not of {shape}",
            "",
        )


def _begin_again(
    environment: Environment, state: Any, observation: NDArray[Any], ended: NDArray[np.bool_], rng: np.random.Generator
) -> tuple[Any, NDArray[Any]]:
    if hasattr(environment, "begin_again"):
        begun: tuple[Any, NDArray[Any]] = environment.begin_again(state, observation, ended, rng)
        return begun

    for each in tree.flatten(state)[0]:
        if np.shape(each)[:1] != ended.shape:
            raise ShapeError(
                f"{environment.name}: its state has an array of shape {np.shape(each)}; to begin again where an "
                f"episode ended, every array of a state has a leading axis of episodes, here {len(ended)}",
                "",
            )

    def replaced(old: Any, new: Any) -> NDArray[Any]:
        mixed = np.array(old, np.result_type(old, new))
        mixed[ended] = new
        return mixed

    fresh = environment.reset(rng, int(ended.sum()))
    return cast("tuple[Any, NDArray[Any]]", tree.map(replaced, (state, observation), fresh))
