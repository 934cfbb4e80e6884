"""Environments, a page each."""

from minimeta.rl.environments.navigation import Navigation, random_goal, released_goals

__all__ = ["Navigation", "random_goal", "released_goals"]
