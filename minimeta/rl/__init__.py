"""Reinforcement learning: environments, policies, and meta-learners that act."""

from minimeta.rl.environment import Box, Discrete, Environment, EnvironmentDistribution, Environments, OneByOne, stack

__all__ = ["Box", "Discrete", "Environment", "EnvironmentDistribution", "Environments", "OneByOne", "stack"]
