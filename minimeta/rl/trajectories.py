"""Trajectories: what a policy meets in the environments of a batch of tasks.

    a_t = act(pi(o_t; theta_i), n_t),    s_{t+1}, o_{t+1}, r_t = step(s_t, a_t),    t = 0, ..., H - 1

for all tasks i together, several episodes at once, one call of the policy's program for each t. Each
task has its own generator, from which come first the noise ``n`` of H steps and then what its
environment draws; so what happens in one task depends neither on other tasks nor on threads.

**A task learns from as many steps as it would if no episode ended early**, as in the code released
with MAML: where an episode ends, another one begins. The episodes are laid into *rows* of H steps,
as many as there are episodes at once. Each episode, in the order of their ends, goes into the first
row that has room for all of it; with the first that finds none, the task is full. So a row has one
episode of H steps or several short ones. What is left of a row has mask 0, and an episode that had
not ended when its task was full is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minimeta.autodiff import tree
from minimeta.counts import whole_number
from minimeta.errors import ConfigurationError, NonFiniteError, ShapeError
from minimeta.rl.environment import Box, Discrete, Environment, stack
from minimeta.rl.policies import Policy


@dataclass(frozen=True, eq=False)
class Experience:
    """What was done in the states that were observed, and what came of it.

    All arrays have shape ``(rows, horizon, ...)``, with more axes before in a batch.

    Attributes
    ----------
    actions
        The actions, as the policy has them: not yet scaled to the environment's box, nor clipped.
    rewards
        What each step was rewarded with, float64.
    mask
        1 for the steps that were taken; where it is 0, so is all else.
    begin
        Where in the row the episode of each step begins, int64.
    outputs
        The outputs of the policy that acted.
    advantages
        The advantages (:mod:`minimeta.rl.advantages`).
    """

    actions: NDArray[Any]
    rewards: NDArray[Any]
    mask: NDArray[Any]
    begin: NDArray[Any]
    outputs: Any
    advantages: NDArray[Any]

    def __getitem__(self, index: int) -> Experience:
        """Return that of task `index` of a batch."""
        return Experience(*(tree.map(lambda x: x[index], each) for each in vars(self).values()))

    @property
    def mean_return(self) -> Any:
        """The undiscounted return of an episode, a mean over those of a task, shape ``(...)``."""
        first = (self.begin == np.arange(self.begin.shape[-1])) * self.mask
        return self.rewards.sum((-2, -1)) / first.sum((-2, -1))


def sample(
    environments: Sequence[Environment],
    policy: Policy,
    act: Callable[[NDArray[Any], NDArray[Any]], tuple[Any, Any]],
    rngs: Sequence[np.random.Generator],
    episodes: int,
) -> tuple[NDArray[Any], dict[str, Any]]:
    """Act in every environment.

    Parameters
    ----------
    environments
        One for each task, with equal horizons and spaces.
    policy
        Draws the noise.
    act
        ``act(observations, noise)``, of shape ``(tasks, episodes, ...)``, returns actions and the
        policy's outputs.
    rngs
        One generator for each task.
    episodes
        Episodes of each task at once, and rows in what is returned; at least 1.

    Returns
    -------
    observations
        Shape ``(tasks, episodes, horizon, n)``, float32.
    found
        ``actions``, ``rewards``, ``mask``, ``begin`` and ``outputs`` of :class:`Experience`.

    Raises
    ------
    ConfigurationError
        If horizons or spaces are not equal, there is nothing to do, or the policy's actions are not
        ones of the environments.
    ShapeError
        If an environment returns other shapes than it should.
    NonFiniteError
        If an observation or a reward is not finite. The message names task and step.
    """
    first = environments[0]
    check(environments, episodes)
    together = stack(environments)
    rows = [_Rows.empty(episodes, first.horizon) for _ in environments]
    begun = np.zeros((len(environments), episodes), np.int64)
    ended = begun > 0
    steps: list[Any] = []
    while not all(each.full for each in rows):
        t = len(steps)
        if t % first.horizon == 0:
            drawn = np.stack([policy.noise(rng, (episodes, first.horizon)) for rng in rngs])
            noise = np.ascontiguousarray(np.moveaxis(drawn, 2, 0))  # what one step needs lies together
        if t == 0:
            state, observation = together.reset(rngs, episodes)
        elif ended.any():
            state, observation = together.begin_again(state, observation, ended, rngs)
        with np.errstate(over="ignore"):
            seen = observation.astype(np.float32)
        _refuse_non_finite("observation", seen, environments, t)
        actions, outputs = act(seen, noise[t % first.horizon])
        _refuse_other_actions(actions, first, begun.shape)
        taken = first.action.scaled(actions) if isinstance(first.action, Box) else actions
        state, observation, reward, done = together.step(state, taken, rngs)
        _refuse_other_shapes(first, begun.shape, observation, reward, done)
        _refuse_non_finite("reward", reward, environments, t)
        steps.append((seen, {"actions": actions, "rewards": reward, "outputs": outputs}))
        ended = done.astype(np.bool_) | (t + 1 - begun == first.horizon)
        for task, episode in np.argwhere(ended):
            rows[task].add(episode, begun[task, episode], t + 1)
        begun[ended] = t + 1
    when, which, begin = (np.stack([getattr(each, name) for each in rows]) for name in ("when", "which", "begin"))
    mask = np.arange(first.horizon) < np.array([each.used for each in rows])[..., None]
    places = (when * len(environments) + np.arange(len(environments))[:, None, None]) * episodes + which

    def laid(*each: Any) -> NDArray[Any]:
        found: NDArray[Any] = np.concatenate(each).reshape(-1, *each[0].shape[2:]).take(places, 0)
        found[~mask] = 0
        return found

    observations, found = tree.map(laid, *steps)
    return observations, {**found, "mask": mask.astype(np.float32), "begin": begin}


@dataclass
class _Rows:
    """The rows of one task: for each place, the step and the episode that stand there, and where it begins; and how
    many places of each row are used.
    """

    when: NDArray[np.int64]
    which: NDArray[np.int64]
    begin: NDArray[np.int64]
    used: list[int]
    full: bool = False

    @classmethod
    def empty(cls, rows: int, horizon: int) -> _Rows:
        """Return rows without an episode."""
        when, which, begin = np.zeros((3, rows, horizon), np.int64)
        return cls(when, which, begin, [0] * rows)

    def add(self, episode: int, begun: int, ended: int) -> None:
        """Lay the steps from `begun` up to `ended` of an episode into the first row with room for them."""
        horizon, length = self.when.shape[1], int(ended - begun)
        row = next((row for row, used in enumerate(self.used) if used + length <= horizon), None)
        self.full = self.full or row is None
        if self.full or row is None:
            return
        left = self.used[row]
        place = row, slice(left, left + length)
        self.when[place], self.which[place], self.begin[place] = np.arange(begun, ended), episode, left
        self.used[row] += length
        self.full = min(self.used) == horizon


def check(environments: Sequence[Environment], episodes: int) -> None:
    """Refuse environments that cannot be acted in together.

    Raises
    ------
    ConfigurationError
        If a task is no environment, horizons or spaces are not equal, or not ones of boxes and
        integers, or there is nothing to do.
    """
    for task, each in enumerate(environments):
        needed = "reset", "step", "observation", "action", "horizon", "name"
        if missing := [name for name in needed if not hasattr(each, name)]:
            raise ConfigurationError(
                f"task {task} is {type(each).__name__}, which is no environment: it has no {', '.join(missing)}"
            )
    first = environments[0]
    whole_number(first.name, "episodes", episodes, 1), whole_number(first.name, "horizon", first.horizon, 1)
    for task, each in enumerate(environments):
        seen: Any = each.observation  # of a user's class, it may be anything
        if not isinstance(seen, Box) or not isinstance(each.action, Box | Discrete):
            raise ConfigurationError(
                f"{each.name}, task {task}: observations are {each.observation!r} and actions {each.action!r}; "
                "observations must be of a Box, and actions of a Box or Discrete (minimeta.rl)"
            )
        ours, theirs = ((one.horizon, one.observation.shape, one.action) for one in (each, first))
        if ours != theirs:
            raise ConfigurationError(
                f"{each.name}: task {task} has horizon, observation and action {ours}, and task 0 has {theirs}; tasks "
                "of one distribution are alike in these"
            )


def _refuse_other_actions(actions: NDArray[Any], environment: Environment, tasks: tuple[int, ...]) -> None:
    """Refuse what numpy would take for other actions: by broadcasting, or as an index from the end."""
    space = environment.action
    if isinstance(space, Box):
        fits = actions.shape == (*tasks, *space.shape)
    else:
        fits = actions.shape == tasks and actions.dtype.kind in "iu" and bool((actions < space.count).all())
    if not fits:
        most = f", up to {actions.max()}" if actions.dtype.kind in "iu" else ""
        raise ConfigurationError(
            f"{environment.name}: its actions are {space!r}, and the policy acts by {actions.dtype.name} of shape "
            f"{actions.shape[2:]}{most}; use Gaussian(network, actions=n) for n elements of a Box, and "
            "Categorical(network, actions=n) for Discrete(n)"
        )


def _refuse_other_shapes(environment: Environment, tasks: tuple[int, ...], *found: Any) -> None:
    """Refuse observations, rewards or ends that would be broadcast."""
    wanted = (*tasks, *environment.observation.shape), tasks, tasks
    for what, shape, each in zip(("observations", "rewards", "done"), wanted, found, strict=True):
        if np.shape(each) != shape:
            raise ShapeError(
                f"{environment.name}: step returned {what} of shape {np.shape(each)[1:]} for {tasks[1]} episodes, and "
                f"not of {shape[1:]}",
                "",
            )


def _refuse_non_finite(what: str, values: NDArray[Any], environments: Sequence[Environment], step: int) -> None:
    if np.isfinite(values).all():
        return
    task = int(np.argwhere(~np.isfinite(values))[0, 0])
    bad = values[task][~np.isfinite(values[task])][0]
    raise NonFiniteError(
        f"{environments[task].name}: the {what} of task {task} is {bad} at step {step}; an environment returns finite "
        "numbers until its episode is done"
    )
