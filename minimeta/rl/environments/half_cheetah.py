"""The half-cheetah of MAML's paper: a runner of seven links in a plane.

Section 5.3 of Finn et al. 2017. MuJoCo takes one step of dt = 0.01 seconds for each action, and
H = 200. With v the forward velocity of the centre of mass after the step and a the action, clipped
to [-1, 1] in each of six torques,

    direction    r = d v - 0.05 |a|^2,         d = +1 (forward) or -1 (backward)
    velocity     r = -|v - g| - 0.05 |a|^2,    g ~ U(0, 2)

An observation has 20 numbers: the joints without the forward position (8), their velocities (9),
and the centre of mass (3). An episode begins at rest with noise, 0.01 N(0, 1) in positions and
0.1 N(0, 1) in velocities, and never ends before H.

**This is not gymnasium's HalfCheetah-v5**, whose actions last 0.05 seconds, whose reward measures
the velocity of the torso's joint over them, with a cost of 0.1 |a|^2, and which observes 17
numbers: their returns do not compare. Only the model is gymnasium's file, of the same masses,
lengths and torques as the one released with the paper. That code ran MuJoCo 1.3.

**A state is what MuJoCo needs to go on**: (time, positions, velocities), 19 numbers. Every step
begins there without a warm start of the contact solver, so that it is a function of state and
action, and no bit depends on threads, on the other episodes, or on what ran before. MuJoCo reports
the centre of mass of the state before a step, and we need the one after. It follows from the angles
alone: link i with parent p has, with R a rotation about the axis across the plane,

    angle_i = angle_p + q_i,    joint_i = joint_p + R(angle_p) offset_i,    centre_i = joint_i + R(angle_i) inertia_i

and velocities are the derivatives of these.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minimeta.counts import check_counts
from minimeta.errors import ConfigurationError, MissingExtraError
from minimeta.rl.environment import Box, Environment
from minimeta.threads import get_num_threads

_JOINTS, _TORQUES, _SEEN = 9, 6, 20
_COST = 0.05
_FEWEST = 8
"""Episodes for which it is worth to start a thread."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class HalfCheetah:
    """What the two kinds of tasks have in common.

    Attributes
    ----------
    goal
        What the reward asks for.
    horizon
        Steps of an episode.
    """

    goal: float
    horizon: int = 200

    name: ClassVar[str]
    observation: ClassVar[Box] = Box((-np.inf,) * _SEEN, (np.inf,) * _SEEN)
    action: ClassVar[Box] = Box((-1.0,) * _TORQUES, (1.0,) * _TORQUES)

    def __post_init__(self) -> None:
        check_counts(self, "horizon", self.name)

    @staticmethod
    def progress(goal: Any, velocity: Floats) -> Floats:
        """Return the reward without the cost of the action."""
        raise NotImplementedError

    def reset(self, rng: np.random.Generator, episodes: int) -> tuple[Floats, Floats]:
        """Begin at rest, with noise; the state has shape ``(episodes, 19)``."""
        state = _at_rest(rng, episodes)
        return state, _observed(state)[0]

    def step(
        self, state: Floats, action: Floats, rng: np.random.Generator
    ) -> tuple[Floats, Floats, Floats, NDArray[np.bool_]]:
        """Apply torques for a hundredth of a second.

        Raises
        ------
        MissingExtraError
            If MuJoCo or gymnasium is not installed.
        """
        return _step(self, self.goal, state, action)

    @staticmethod
    def stack(environments: Sequence[Environment]) -> _Stacked | None:
        """Return several tasks whose episodes are simulated together."""
        tasks = [each for each in environments if isinstance(each, HalfCheetah)]
        return _Stacked(tasks[0], np.array([[each.goal] for each in tasks]))


@dataclass(frozen=True)
class CheetahDirection(HalfCheetah):
    """Run forward (``goal=1``) or backward (``goal=-1``).

    Raises
    ------
    ConfigurationError
        If the goal is neither.
    """

    name: ClassVar[str] = "half-cheetah direction"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.goal not in (-1, 1):
            raise ConfigurationError(f"{self.name}: goal={self.goal} must be 1 (forward) or -1 (backward)")

    @staticmethod
    def progress(goal: Any, velocity: Floats) -> Floats:
        """Return ``d v``."""
        forward: Floats = goal * velocity
        return forward


@dataclass(frozen=True)
class CheetahVelocity(HalfCheetah):
    """Run at a velocity, in metres a second.

    Raises
    ------
    ConfigurationError
        If the goal is not finite.
    """

    name: ClassVar[str] = "half-cheetah velocity"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not np.isfinite(self.goal):
            raise ConfigurationError(f"{self.name}: goal={self.goal} must be finite")

    @staticmethod
    def progress(goal: Any, velocity: Floats) -> Floats:
        """Return ``-|v - g|``."""
        miss: Floats = np.abs(velocity - goal)
        return -miss


def random_direction(rng: np.random.Generator) -> CheetahDirection:
    """Draw a task: forward or backward."""
    return CheetahDirection(-1.0 if rng.uniform(0, 2) < 1 else 1.0)


def random_velocity(rng: np.random.Generator) -> CheetahVelocity:
    """Draw a task: a velocity from U(0, 2)."""
    return CheetahVelocity(rng.uniform(0, 2))


def released_directions(count: int = 40) -> tuple[CheetahDirection, ...]:
    """Return the test tasks of the released code, drawn by numpy's legacy generator from seed 1."""
    drawn = np.random.RandomState(1).uniform(0, 2, count)
    return tuple(CheetahDirection(-1.0 if each < 1 else 1.0) for each in drawn)


def released_velocities(count: int = 40) -> tuple[CheetahVelocity, ...]:
    """Return the test tasks of the released code, drawn by numpy's legacy generator from seed 1."""
    return tuple(CheetahVelocity(float(each)) for each in np.random.RandomState(1).uniform(0, 2, count))


# Many tasks at once


@dataclass(frozen=True, eq=False)
class _Stacked:
    """Tasks of one kind, with goals of shape ``(tasks, 1)``."""

    kind: HalfCheetah
    goals: Floats

    def reset(self, rngs: Sequence[np.random.Generator], episodes: int) -> tuple[Floats, Floats]:
        state = np.stack([_at_rest(rng, episodes) for rng in rngs])
        return state, _observed(state)[0]

    def step(
        self, state: Floats, action: Floats, rngs: Sequence[np.random.Generator]
    ) -> tuple[Floats, Floats, Floats, NDArray[np.bool_]]:
        return _step(self.kind, self.goals, state, action)

    def begin_again(
        self, state: Floats, observation: Floats, ended: NDArray[np.bool_], rngs: Sequence[np.random.Generator]
    ) -> tuple[Floats, Floats]:
        begun = state.copy()
        for task, rng in enumerate(rngs):
            begun[task, ended[task]] = _at_rest(rng, int(ended[task].sum()))
        return begun, _observed(begun)[0]


def _step(
    kind: HalfCheetah, goal: Any, state: Floats, action: Floats
) -> tuple[Floats, Floats, Floats, NDArray[np.bool_]]:
    torque = np.clip(np.asarray(action, np.float64), -1, 1)
    reached = _simulated(state.reshape(-1, state.shape[-1]), torque.reshape(-1, _TORQUES)).reshape(state.shape)
    observation, velocity = _observed(reached)
    reward = kind.progress(goal, velocity) - _COST * np.square(torque).sum(axis=-1)
    return reached, observation, reward, np.zeros(reward.shape, np.bool_)


def _at_rest(rng: np.random.Generator, episodes: int) -> Floats:
    state = np.zeros((episodes, 1 + 2 * _JOINTS))
    state[:, 1 : 1 + _JOINTS] = 0.01 * rng.normal(size=(episodes, _JOINTS))
    state[:, 1 + _JOINTS :] = 0.1 * rng.normal(size=(episodes, _JOINTS))
    return state


# The simulator


@functools.cache
def _model() -> Any:
    """Return the half-cheetah of the gymnasium that is installed, as a model of MuJoCo."""
    try:
        import gymnasium  # noqa: PLC0415 (needs the rl extra)
        import mujoco.rollout  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"the half-cheetah needs {error.name}, which is not installed: pip install 'minimeta[rl]'"
        ) from error
    file = Path(gymnasium.__file__).parent / "envs" / "mujoco" / "assets" / "half_cheetah.xml"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of an attribute of the file that MuJoCo 4 deprecates
        return mujoco.MjSpec.from_file(str(file)).compile()


def check_installed() -> None:
    """Refuse to begin what the simulator is needed for.

    Raises
    ------
    MissingExtraError
        If MuJoCo or gymnasium is not installed.
    """
    _model()


_idle: list[Any] = []
"""Working memories of the simulator. To make one takes as long as a hundred steps, and no step
reads what the one before left there."""


def _simulated(state: Floats, torque: Floats) -> Floats:
    """Return the states after one step, shape ``(n, 19)``; MuJoCo releases the global lock."""
    threads = min(get_num_threads(), len(state) // _FEWEST)
    if threads <= 1:
        return _simulated_here(state, torque)
    _model()  # loaded once, and not by every thread
    with ThreadPoolExecutor(threads) as pool:
        parts = pool.map(_simulated_here, np.array_split(state, threads), np.array_split(torque, threads))
        return np.concatenate(list(parts))


def _simulated_here(state: Floats, torque: Floats) -> Floats:
    model = _model()
    from mujoco import MjData, rollout  # noqa: PLC0415 (needs the rl extra)

    try:
        memory = _idle.pop()
    except IndexError:
        memory = MjData(model)
    states, _ = rollout.rollout(model, memory, state, torque[:, None])
    _idle.append(memory)
    reached: Floats = states[:, 0]
    return reached


# The centre of mass


class _Link(NamedTuple):
    """Position, velocity, angle and rate of a link at its joint; coordinates are (forward, up)."""

    at: Floats
    velocity: Floats
    angle: Floats
    rate: Floats

    def carried(self, offset: Floats) -> tuple[Floats, Floats]:
        """Return position and velocity of a point that is fixed to the link."""
        cosine, sine = np.cos(self.angle), np.sin(self.angle)
        arm = np.stack([offset[0] * cosine + offset[2] * sine, offset[2] * cosine - offset[0] * sine], axis=-1)
        return self.at + arm, self.velocity + self.rate[..., None] * np.stack([arm[..., 1], -arm[..., 0]], axis=-1)


def _centre_of_mass(position: Floats, velocity: Floats) -> tuple[Floats, Floats]:
    """Return the centre of mass and its velocity, ``(..., 2)``, given those of the joints."""
    model = _model()
    root = model.body_pos[1, [0, 2]]
    links = {1: _Link(position[..., :2] + root, velocity[..., :2], position[..., 2], velocity[..., 2])}
    total, drift = np.zeros(()), np.zeros(())
    for body in range(1, model.nbody):
        if body > 1:
            parent = links[int(model.body_parentid[body])]
            angle, rate = parent.angle + position[..., body + 1], parent.rate + velocity[..., body + 1]
            links[body] = _Link(*parent.carried(model.body_pos[body]), angle, rate)
        centre, moving = links[body].carried(model.body_ipos[body])
        total, drift = total + model.body_mass[body] * centre, drift + model.body_mass[body] * moving
    mass = model.body_mass[1:].sum()
    return total / mass, drift / mass


def _observed(state: Floats) -> tuple[Floats, Floats]:
    """Return observations, shape ``(..., 20)``, and the centre of mass's forward velocity."""
    position, velocity = state[..., 1 : 1 + _JOINTS], state[..., 1 + _JOINTS :]
    centre, drift = _centre_of_mass(position, velocity)
    forward, up = centre[..., :1], centre[..., 1:]
    observation = np.concatenate([position[..., 1:], velocity, forward, np.zeros_like(forward), up], axis=-1)
    return observation, drift[..., 0]
