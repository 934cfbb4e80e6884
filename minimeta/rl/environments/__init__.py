"""Environments, a page each."""

from minimeta.rl.environments.navigation import Navigation, random_goal, released_goals
from minimeta.rl.environments.tabular import Tabular, corridor, random_corridor, random_tables

__all__ = [
    "Navigation",
    "Tabular",
    "corridor",
    "random_corridor",
    "random_goal",
    "random_tables",
    "released_goals",
]
