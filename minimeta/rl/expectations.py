"""Expectations without sampling: the return of a policy in a tabular environment, and every trajectory.

In an environment with tables ``rho``, ``P`` and ``R``, a policy is a table too, ``pi[s, a]``. With

    P_pi[s, s'] = sum_a pi[s, a] P[s, a, s'],    r_pi[s] = sum_a pi[s, a] R[s, a]

the states at time t are distributed as ``rho P_pi^t``, so the expected return is a chain of
products:

    J(pi) = sum_t gamma^t rho P_pi^t r_pi,    t = 0, ..., H - 1

It is written in operations, so that what MAML asks for is exact as well: for a table of logits
``theta``, ``J(theta + alpha grad J(theta))`` and its gradient. An estimator can be held against it,
because its mean is exact, too: there are ``(states * actions)^H`` trajectories, each of which has

    p(tau) = rho(s_0) pi(a_0 | s_0) P(s_1 | s_0, a_0) pi(a_1 | s_1) ... pi(a_{H-1} | s_{H-1})
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minimeta.autodiff.operations import expand_dims, matmul, multiply, prod, sum
from minimeta.errors import ConfigurationError
from minimeta.rl.environments.tabular import Tabular

_MOST = 10**7


def expected_return(environment: Tabular, policy: Any, discount: float = 1.0) -> Any:
    """Return ``J``, the expected sum of ``discount^t r_t`` over an episode.

    Parameters
    ----------
    environment
        The tables.
    policy
        ``pi[s, a]``, shape ``(states, actions)``, as ``softmax(theta, axis=1)``.
    discount
        ``gamma``.

    Returns
    -------
    scalar
        With derivatives of every order with respect to the policy.
    """
    transitions = sum(multiply(expand_dims(policy, 2), environment.transitions), axis=1)
    rewards = sum(multiply(policy, environment.rewards), axis=1)
    state, total = environment.start, 0.0
    for step in range(environment.horizon):
        total = total + discount**step * matmul(state, rewards)
        state = matmul(state, transitions)
    return total


class Trajectories(NamedTuple):
    """Every trajectory of a tabular environment; ``n = (states * actions)^H``.

    Attributes
    ----------
    state, action
        Integers of shape ``(n, H)``.
    reward
        Shape ``(n, H)``.
    chance
        The environment's share of the probability, ``rho(s_0) P(s_1 | s_0, a_0) ...``, ``(n,)``.
    """

    state: NDArray[np.int64]
    action: NDArray[np.int64]
    reward: NDArray[np.float64]
    chance: NDArray[np.float64]

    def probability(self, policy: Any) -> Any:
        """Return ``p(tau)``, shape ``(n,)``, which adds up to 1."""
        return multiply(self.chance, prod(self.of(policy), axis=1))

    def of(self, table: Any) -> Any:
        """Return a table's entries for what happened: from ``(states, actions)`` to ``(n, H)``."""
        return table[self.state, self.action]


def every_trajectory(environment: Tabular) -> Trajectories:
    """Return every trajectory, in the order of their states and actions.

    Raises
    ------
    ConfigurationError
        If there are more than ten million.
    """
    pairs = environment.states * environment.actions
    if (count := pairs**environment.horizon) > _MOST:
        raise ConfigurationError(
            f"{environment.name}: {environment.states} states and {environment.actions} actions in "
            f"{environment.horizon} steps are {count} trajectories, and at most {_MOST} are enumerated"
        )
    digits = np.indices((pairs,) * environment.horizon).reshape(environment.horizon, -1).T
    state, action = np.divmod(digits, environment.actions)
    moves = environment.transitions[state[:, :-1], action[:, :-1], state[:, 1:]]
    chance = environment.start[state[:, 0]] * moves.prod(axis=1)
    return Trajectories(state, action, environment.rewards[state, action], chance)
