from typing import Any

import numpy as np
import pytest

import minimeta as mm
from minimeta.nn import mlp
from minimeta.rl import Experience, Gaussian
from minimeta.rl.policy_losses import Loss, clipped, divergence, estimated, ratio

POLICY = Gaussian(mlp((2, 3), dtype=np.float64), 3)
RNG = np.random.default_rng(0)
OBSERVATIONS = RNG.normal(size=(4, 5, 2))
PARAMETERS = POLICY.init(RNG)
OUTPUTS = POLICY.apply(PARAMETERS, OBSERVATIONS)
ACTIONS = OUTPUTS["mean"] + RNG.normal(size=(4, 5, 3))
MASK = (np.arange(5) < np.array([5, 3, 1, 4])[:, None]).astype(np.float64)
ADVANTAGES = RNG.normal(size=(4, 5)) * MASK
FOUND = Experience(ACTIONS, np.zeros((4, 5)), MASK, np.zeros((4, 5), int), OUTPUTS, ADVANTAGES)


@pytest.mark.parametrize("loss", [estimated(POLICY), ratio(POLICY), clipped(POLICY)])
def test_at_the_policy_that_acted_gradients_are_the_policy_gradient(loss: Loss) -> None:
    found = mm.grad(lambda at: loss(POLICY.apply(at, OBSERVATIONS), FOUND))(PARAMETERS)
    # d log pi / d m = a - m for a deviation of 1, and m is linear in the observation.
    scores = (ACTIONS - OUTPUTS["mean"]) * ADVANTAGES[..., None] / MASK.sum()
    assert np.allclose(found["mean"][0]["weight"], -np.einsum("ito,itk->ok", OBSERVATIONS, scores))
    assert np.allclose(found["mean"][0]["bias"], -scores.sum((0, 1)))
    of_deviation = ((ACTIONS - OUTPUTS["mean"]) ** 2 - 1) * ADVANTAGES[..., None] / MASK.sum()
    assert np.allclose(found["log_deviation"], -of_deviation.sum((0, 1)))


def test_ratios_and_clips_are_those_of_numpy() -> None:
    other: Any = mm.tree.map(lambda x: x + 0.3, PARAMETERS)
    outputs = POLICY.apply(other, OBSERVATIONS)
    r = np.exp(POLICY.log_probability(outputs, ACTIONS) - POLICY.log_probability(OUTPUTS, ACTIONS))
    assert np.isclose(ratio(POLICY)(outputs, FOUND), -(r * ADVANTAGES).sum() / MASK.sum())
    kept = np.minimum(r * ADVANTAGES, np.clip(r, 0.8, 1.2) * ADVANTAGES)
    assert np.isclose(clipped(POLICY, 0.2)(outputs, FOUND), -kept.sum() / MASK.sum())
    apart = POLICY.divergence(OUTPUTS, outputs)
    assert np.isclose(divergence(POLICY)(outputs, FOUND), (apart * MASK).sum() / MASK.sum())
    assert divergence(POLICY)(OUTPUTS, FOUND) == 0
