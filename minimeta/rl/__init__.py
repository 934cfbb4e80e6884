"""Reinforcement learning: environments, policies, and meta-learners that act."""

from minimeta.rl.environment import Box, Discrete, Environment, EnvironmentDistribution, Environments, OneByOne, stack
from minimeta.rl.estimators import ESTIMATORS, Estimator, estimator
from minimeta.rl.expectations import Trajectories, every_trajectory, expected_return

__all__ = [
    "ESTIMATORS",
    "Box",
    "Discrete",
    "Environment",
    "EnvironmentDistribution",
    "Environments",
    "Estimator",
    "OneByOne",
    "Trajectories",
    "estimator",
    "every_trajectory",
    "expected_return",
    "stack",
]
