"""Environments, a page each."""

from minimeta.rl.environments.half_cheetah import (
    CheetahDirection,
    CheetahVelocity,
    random_direction,
    random_velocity,
    released_directions,
    released_velocities,
)
from minimeta.rl.environments.informed import Informed, informed
from minimeta.rl.environments.navigation import Navigation, random_goal, released_goals
from minimeta.rl.environments.tabular import Tabular, corridor, random_corridor, random_tables
from minimeta.rl.environments.timed import Clock, timed

__all__ = [
    "CheetahDirection",
    "CheetahVelocity",
    "Clock",
    "Informed",
    "Navigation",
    "Tabular",
    "corridor",
    "informed",
    "random_corridor",
    "random_direction",
    "random_goal",
    "random_tables",
    "random_velocity",
    "released_directions",
    "released_goals",
    "released_velocities",
    "timed",
]
