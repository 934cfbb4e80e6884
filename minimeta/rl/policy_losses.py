"""Losses of a policy on what it did: functions of the policy's outputs and of an Experience.

With ``l = log pi(a | o)`` and the advantages A, means over the steps that were taken of

    estimated     -e(l, A)                                          by an estimator e, such as l A (:mod:`.estimators`)
    ratio         -r A,  r = exp(l - l_old)                         of the policy that acted, l_old
    clipped       -min(r A, clip(r, 1 - e, 1 + e) A)                Schulman et al. 2017 (arXiv:1707.06347), equation 7

At the policy that acted, ``r`` is 1 and all have the same gradient, minus the policy gradient. MAML
adapts by the first, and TRPO minimises the second, while ``r`` is close to 1 (Schulman et al. 2015,
arXiv:1502.05477).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minimeta.autodiff.operations import clip, exp, minimum, sum
from minimeta.rl.estimators import Estimator, surrogate
from minimeta.rl.policies import Policy
from minimeta.rl.trajectories import Experience

Loss = Callable[[Any, Any], Any]


def mean_of_steps(values: Any, mask: Any) -> Any:
    """Return the mean over the steps that were taken."""
    return sum(values * mask) / sum(mask)


def estimated(policy: Policy, estimator: Estimator = surrogate) -> Loss:
    """Return the loss of an estimator of the policy gradient."""

    def loss(outputs: Any, found: Experience) -> Any:
        # Where no step was taken, the advantage is 0, and so the estimator is.
        each = estimator(policy.log_probability(outputs, found.actions), found.advantages, found.begin)
        return -mean_of_steps(each, found.mask)

    return loss


def ratio(policy: Policy) -> Loss:
    """Return the loss of the importance-weighted advantages."""

    def loss(outputs: Any, found: Experience) -> Any:
        return -mean_of_steps(_ratio(policy, outputs, found) * found.advantages, found.mask)

    return loss


def clipped(policy: Policy, width: float = 0.2) -> Loss:
    """Return PPO's loss, which has no gradient where the ratio has gone farther than ``e = width``."""

    def loss(outputs: Any, found: Experience) -> Any:
        r = _ratio(policy, outputs, found)
        kept = minimum(r * found.advantages, clip(r, 1 - width, 1 + width) * found.advantages)
        return -mean_of_steps(kept, found.mask)

    return loss


def divergence(policy: Policy) -> Loss:
    """Return the mean of ``KL(policy that acted || policy)`` over the steps."""

    def mean(outputs: Any, found: Experience) -> Any:
        return mean_of_steps(policy.divergence(found.outputs, outputs), found.mask)

    return mean


def _ratio(policy: Policy, outputs: Any, found: Experience) -> Any:
    acted = policy.log_probability(found.outputs, found.actions)
    return exp(policy.log_probability(outputs, found.actions) - acted)
