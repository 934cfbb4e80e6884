"""An agent that samples, adapts and samples again has the meta-gradient of exact returns, if its estimator is DiCE.

Advantages are standardised, ``(R - V - m) / s``, where V and m have no effect on DiCE's mean. So with losses that are
means over H steps, the inner step is one of ``alpha / (H s)`` on the return, and the meta-gradient is that of the
adapted return divided by ``- H s'``, with the deviation s' of the second phase.
"""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import minimeta as mm
from minimeta import nn
from minimeta.learners import MAML
from minimeta.rl import estimator, expected_return
from minimeta.rl.agent import Agent
from minimeta.rl.environments import corridor
from minimeta.rl.policies import Categorical
from minimeta.rl.policy_losses import estimated

ENVIRONMENT = corridor(goal=2, length=3, horizon=4)
EPISODES, RATE = 20_000, 4.0


def deviation(observations: NDArray[Any], found: Any) -> float:
    """The ``s`` of a phase: how returns differ, against advantages, where state and time are the same."""
    to_go = np.cumsum(found.rewards[:, ::-1], axis=1)[:, ::-1]
    along, across = 0.0, 0.0
    for step in range(ENVIRONMENT.horizon):
        for state in range(ENVIRONMENT.states):
            here = observations[:, step, state] == 1
            if here.any():
                advantage = found.advantages[here, step].astype(np.float64)
                advantage -= advantage.mean()
                along, across = along + advantage @ to_go[here, step], across + advantage @ advantage
    return float(along / across)


def exact(parameters: Any) -> Any:
    """The return of a linear policy: for one-hot observations, weights and biases are logits."""
    (layer,) = parameters
    logits = mm.astype(layer["weight"], np.float64) + mm.astype(layer["bias"], np.float64)
    return expected_return(ENVIRONMENT, mm.softmax(logits, axis=1))


def vector(gradient: Any) -> NDArray[Any]:
    return np.concatenate([np.ravel(leaf) for leaf in mm.tree.flatten(gradient)[0]])


@pytest.mark.parametrize(("name", "at_least", "at_most"), [("dice", 0, 0.05), ("lvc", 0.1, 0.4), ("surrogate", 1, 3)])
def test_the_meta_gradient_of_samples_is_that_of_exact_returns(name: str, at_least: float, at_most: float) -> None:
    policy, rng = Categorical(nn.mlp((3, 2)), 2), np.random.default_rng(0)
    theta = mm.tree.map(lambda leaf: rng.normal(size=leaf.shape).astype(np.float32), policy.init(rng))
    loss = estimated(policy, estimator(name))
    agent = Agent(MAML(policy, loss, RATE), EPISODES, discount=1.0)
    batch: Any = agent.collector()(theta, [ENVIRONMENT], 1, lambda task, phase: np.random.default_rng([0, task, phase]))
    (before,), after = batch[0].support.sets, batch[0].query
    first, second = (ENVIRONMENT.horizon * deviation(each.inputs, each.targets) for each in (before, after))

    inner = vector(mm.grad(lambda theta: loss(policy.apply(theta, before.inputs), before.targets))(theta))
    wanted = -vector(mm.grad(exact)(theta)) / first
    assert np.linalg.norm(inner - wanted) < 0.05 * np.linalg.norm(wanted)  # for all of them

    def adapted(theta: Any) -> Any:
        return exact(mm.tree.map(lambda p, g: p + RATE / first * g, theta, mm.grad(exact)(theta)))

    found = vector(agent.meta_gradient(theta, batch[0]).gradient)
    wanted = -vector(mm.grad(adapted)(theta)) / second
    assert at_least <= np.linalg.norm(found - wanted) / np.linalg.norm(wanted) < at_most
