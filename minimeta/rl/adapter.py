"""Environments of gymnasium here, and ours there.

gymnasium's environment is an object that remembers one episode. A batch of episodes is therefore a
list of copies, each made by the same function:

    reset(rng, n)            n copies are reset, copy i with seed s_i, and the seeds are drawn from rng
    step(state, a)           copy i takes its step with a_i, unless its episode has ended
    begin_again(state, e)    the copies whose episodes have ended are reset, with new seeds

After an episode has ended its copy rests, and the last observation is repeated. An episode ends
when gymnasium says that it was terminated or truncated.

Observations are vectors: those of a box of another shape are flattened, and a whole number becomes
a one-hot vector. Actions are turned back into what the copy's space has, its shape, dtype and
smallest number. Other spaces, such as dictionaries, are refused; gymnasium has wrappers that
flatten them.

**A state can be used once.** Copies cannot be put back, so the state is a ticket: the number of
steps that were taken. What the copies did before a reset should not matter after it, and
gymnasium's own environments are made so. Then an episode is decided by its seed and actions, and a
run resumes.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minimeta.counts import whole_number
from minimeta.errors import ConfigurationError, MissingExtraError
from minimeta.rl.environment import Box, Discrete, Environment


def _gymnasium() -> Any:
    try:
        import gymnasium  # noqa: PLC0415 (needs the rl extra)
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"the adapter needs {error.name}, which is not installed: pip install 'minimeta[rl]'"
        ) from error
    return gymnasium


# From gymnasium


def from_gymnasium(make: str | Callable[[], Any], horizon: int | None = None, name: str | None = None) -> Environment:
    """Return an environment of gymnasium as one of ours.

    Parameters
    ----------
    make
        A function without arguments that makes a new environment, or an id for ``gymnasium.make``.
    horizon
        Steps after which every episode ends; by default those after which gymnasium truncates it.
    name
        What errors call it; by default gymnasium's id, or the name of the class.

    Raises
    ------
    ConfigurationError
        If a space is neither a box nor discrete, or there is no horizon; in ``reset``, if `make`
        returns the same environment twice; in ``step``, if the state is not the last one.
    MissingExtraError
        If gymnasium is not installed.

    Examples
    --------
    >>> from minimeta.rl.adapter import from_gymnasium
    >>> cart_pole = from_gymnasium("CartPole-v1")
    >>> cart_pole.horizon, cart_pole.observation.shape, cart_pole.action
    (500, (4,), Discrete(count=2))
    """
    gymnasium = _gymnasium()
    if isinstance(make, str):
        make = functools.partial(gymnasium.make, make)
    first = make()
    name = name or (first.spec.id if first.spec is not None else type(first.unwrapped).__name__)
    if horizon is None:
        horizon = first.spec.max_episode_steps if first.spec is not None else None
        if horizon is None:
            raise ConfigurationError(
                f"{name}: gymnasium never truncates its episodes, so from_gymnasium needs a horizon"
            )
    horizon = whole_number(name, "horizon", horizon, 1)
    observation, vector = _observation(name, first.observation_space)
    action, native = _action(name, first.action_space)
    return _Copies(name, horizon, observation, action, vector, native, make, [first])


@dataclass(eq=False)
class _Copies:
    """Copies of one environment of gymnasium, which take their steps together."""

    name: str
    horizon: int
    observation: Box
    action: Box | Discrete
    _vector: Callable[[Any], NDArray[np.float64]]
    _native: Callable[[Any], Any]
    _make: Callable[[], Any]
    _copies: list[Any]
    _ended: NDArray[np.bool_] = field(default_factory=lambda: np.ones(0, np.bool_), init=False)
    _seen: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 0)), init=False)
    _taken: int = field(default=0, init=False)

    def reset(self, rng: np.random.Generator, episodes: int) -> tuple[int, NDArray[np.float64]]:
        while len(self._copies) < episodes:
            copy = self._make()
            if any(copy is each for each in self._copies):
                raise ConfigurationError(
                    f"{self.name}: the function that makes an environment returned one twice; it must make a new one "
                    "each time, because several episodes are in progress at once"
                )
            self._copies.append(copy)
        self._ended = np.zeros(episodes, np.bool_)
        return self._begun(np.zeros((episodes, *self.observation.shape)), ~self._ended, rng)

    def begin_again(
        self, state: int, observation: NDArray[np.float64], ended: NDArray[np.bool_], rng: np.random.Generator
    ) -> tuple[int, NDArray[np.float64]]:
        self._refuse_old(state)
        return self._begun(observation, ended, rng)

    def _begun(
        self, observation: NDArray[np.float64], ended: NDArray[np.bool_], rng: np.random.Generator
    ) -> tuple[int, NDArray[np.float64]]:
        seen = observation.copy()
        episodes = np.flatnonzero(ended)
        for episode, seed in zip(episodes, rng.integers(2**31, size=len(episodes)), strict=True):
            seen[episode] = self._vector(self._copies[episode].reset(seed=int(seed))[0])
        return self._next(seen, self._ended & ~ended)

    def step(
        self, state: int, action: NDArray[Any], rng: np.random.Generator
    ) -> tuple[int, NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
        self._refuse_old(state)
        seen, ended, reward = self._seen.copy(), self._ended.copy(), np.zeros(len(self._ended))
        for episode in np.flatnonzero(~ended):
            observation, reward[episode], terminated, truncated, _ = self._copies[episode].step(
                self._native(action[episode])
            )
            seen[episode], ended[episode] = self._vector(observation), terminated or truncated
        return *self._next(seen, ended), reward, ended

    def _refuse_old(self, state: int) -> None:
        if state != self._taken:
            raise ConfigurationError(
                f"{self.name}: its episodes have gone on since this state; an environment of gymnasium can only take "
                "its next step"
            )

    def _next(self, seen: NDArray[np.float64], ended: NDArray[np.bool_]) -> tuple[int, NDArray[np.float64]]:
        """Remember what the copies are at, and return the ticket for their next step."""
        self._seen, self._ended, self._taken = seen, ended, self._taken + 1
        return self._taken, seen.copy()

    @staticmethod
    def stack(environments: Sequence[Environment]) -> None:
        """Refuse one object for two tasks; other tasks are stepped one after another."""
        for task, each in enumerate(environments):
            if any(each is other for other in environments[:task]):
                raise ConfigurationError(
                    f"{each.name}: task {task} is the same object as a task before it, and they cannot both use its "
                    "copies; a task distribution calls from_gymnasium for every task that it draws"
                )


def _observation(name: str, space: Any) -> tuple[Box, Callable[[Any], NDArray[np.float64]]]:
    """Return the space of observations, and a function that turns one of gymnasium's into ours."""
    if isinstance(space, _gymnasium().spaces.Discrete):
        one_hot, least = np.eye(int(space.n)), int(space.start)
        return Box((0.0,) * len(one_hot), (1.0,) * len(one_hot)), lambda found: one_hot[int(found) - least]
    low, high = _bounds(name, "observation", space, "gymnasium.wrappers.FlattenObservation makes a box of many of them")
    apart = low < high  # A number that never changes has no bounds of ours.
    box = Box(tuple(np.where(apart, low, -np.inf).tolist()), tuple(np.where(apart, high, np.inf).tolist()))
    return box, lambda found: np.asarray(found, np.float64).reshape(-1)


def _action(name: str, space: Any) -> tuple[Box | Discrete, Callable[[Any], Any]]:
    """Return the space of actions, and a function that turns one of ours into gymnasium's."""
    if isinstance(space, _gymnasium().spaces.Discrete):
        least = int(space.start)
        return Discrete(int(space.n)), lambda chosen: int(chosen) + least
    low, high = _bounds(name, "action", space, "gymnasium.ActionWrapper turns actions of a box into others")
    shape, dtype = space.shape, space.dtype
    return Box(tuple(low.tolist()), tuple(high.tolist())), lambda chosen: chosen.astype(dtype).reshape(shape)


def _bounds(name: str, what: str, space: Any, remedy: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if not isinstance(space, _gymnasium().spaces.Box):
        raise ConfigurationError(f"{name}: its {what} space is {space}, which is neither a Box nor Discrete; {remedy}")
    return space.low.astype(np.float64).reshape(-1), space.high.astype(np.float64).reshape(-1)


# To gymnasium


def to_gymnasium(environment: Environment) -> Any:
    """Return one of our environments as a ``gymnasium.Env``, one episode at a time.

    Parameters
    ----------
    environment
        Any environment. Its random numbers come from gymnasium's generator, ``reset(seed=...)``.

    Returns
    -------
    gymnasium.Env
        An episode is terminated when the environment says that it is done, and truncated at the
        horizon.

    Raises
    ------
    MissingExtraError
        If gymnasium is not installed.

    Examples
    --------
    >>> from minimeta.rl.adapter import to_gymnasium
    >>> from minimeta.rl.environments import corridor
    >>> env = to_gymnasium(corridor(goal=2, length=3, slip=0.0))
    >>> env.reset(seed=0)[0]
    array([0., 1., 0.])
    >>> env.step(1)
    (array([0., 0., 1.]), 1.0, False, False, {})
    """
    return _one_episode()(environment)


@functools.cache
def _one_episode() -> Any:
    """Return the class, whose base is imported when it is asked for."""
    base: Any = _gymnasium().Env

    class OneEpisode(base):  # type: ignore[misc]
        """One episode of an environment."""

        def __init__(self, environment: Environment) -> None:
            self._environment = environment
            self._state: Any = None
            self._steps = 0
            self.observation_space = _space(environment.observation)
            self.action_space = _space(environment.action)

        def reset(
            self, *, seed: int | None = None, options: dict[str, Any] | None = None
        ) -> tuple[Any, dict[str, Any]]:
            super().reset(seed=seed)
            self._state, observation = self._environment.reset(self.np_random, 1)
            self._steps = 0
            return np.asarray(observation[0], np.float64), {}

        def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
            self._state, observation, reward, done = self._environment.step(
                self._state, np.asarray(action)[None], self.np_random
            )
            self._steps += 1
            truncated = self._steps >= self._environment.horizon
            return np.asarray(observation[0], np.float64), float(reward[0]), bool(done[0]), truncated, {}

    return OneEpisode


def _space(space: Box | Discrete) -> Any:
    spaces = _gymnasium().spaces
    if isinstance(space, Discrete):
        return spaces.Discrete(space.count)
    return spaces.Box(np.array(space.low), np.array(space.high), dtype=np.float64)
