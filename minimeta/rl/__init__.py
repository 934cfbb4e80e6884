"""Reinforcement learning: environments, policies, and meta-learners that act."""

from minimeta.rl.agent import Agent, mean_return
from minimeta.rl.environment import Box, Discrete, Environment, EnvironmentDistribution, Environments, OneByOne, stack
from minimeta.rl.estimators import ESTIMATORS, Estimator, estimator
from minimeta.rl.expectations import Trajectories, every_trajectory, expected_return
from minimeta.rl.policies import Categorical, Gaussian, Policy
from minimeta.rl.trajectories import Experience
from minimeta.rl.trust_region import TrustRegion

__all__ = [
    "ESTIMATORS",
    "Agent",
    "Box",
    "Categorical",
    "Discrete",
    "Environment",
    "EnvironmentDistribution",
    "Environments",
    "Estimator",
    "Experience",
    "Gaussian",
    "OneByOne",
    "Policy",
    "Trajectories",
    "TrustRegion",
    "estimator",
    "every_trajectory",
    "expected_return",
    "mean_return",
    "stack",
]
