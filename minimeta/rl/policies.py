"""Policies: distributions of actions, whose parameters a network computes from the observation.

    Gaussian       a ~ N(m(o), diag(e^{2 l})):    m by the network, l free parameters, the same in every state
    categorical    a ~ softmax(z(o))

The network's outputs, by name, are the policy's *outputs*; with their parameters, two functions of
them are all that policy gradients need,

    log pi(a | o)    and    KL(p || q) = E_p log(p / q),

for which both distributions have closed forms:

    Gaussian       log pi = -sum_i [ (a_i - m_i)^2 / (2 e^{2 l_i}) + l_i + log(2 pi) / 2 ]
                   KL = sum_i [ l'_i - l_i + (e^{2 l_i} + (m_i - m'_i)^2) / (2 e^{2 l'_i}) - 1/2 ]
    categorical    log pi = z_a - log sum_j e^{z_j},    KL = sum_j p_j (log p_j - log q_j)

An action is a function of outputs and noise, and the noise is an argument: ``m + e^l n`` with n
normal, or the largest of ``z_j + g_j`` with g of the Gumbel distribution. So nothing here draws
when it is traced. Finn et al. 2017 use the Gaussian one; its ``l`` begins at 0, has a floor, and
adapts to a task like the weights.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from minimeta.autodiff.operations import (
    add,
    argmax,
    broadcast_to,
    exp,
    expand_dims,
    log_softmax,
    maximum,
    square,
    squeeze,
    sum,
    take_along_axis,
)
from minimeta.counts import check_counts
from minimeta.errors import ShapeError
from minimeta.nn.models import Model


class Policy(Protocol):
    """A model whose outputs are distributions of actions: pure functions, for any leading axes."""

    def init(self, rng: np.random.Generator) -> Any:
        """Draw parameters."""

    def apply(self, parameters: Any, observations: Any) -> Any:
        """Return the outputs, a tree of arrays of shape ``(..., k)`` for observations of shape ``(..., n)``."""

    def noise(self, rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[Any]:
        """Draw what decides actions, an array of shape ``(*shape, k)``."""

    def act(self, outputs: Any, noise: Any) -> Any:
        """Return the actions that the noise decides."""

    def log_probability(self, outputs: Any, actions: Any) -> Any:
        """Return ``log pi(a | o)``, shape ``(...)``."""

    def divergence(self, old: Any, new: Any) -> Any:
        """Return ``KL(old || new)``, shape ``(...)``."""


@dataclass(frozen=True)
class Gaussian:
    """A Gaussian policy.

    The parameters are a dict of ``mean``, those of the network, and ``log_deviation``, ``l``, which
    begins at 0.

    Parameters
    ----------
    network
        From observations to means, as ``mlp((2, 100, 100, 2))``.
    actions
        Elements of an action.
    smallest
        The smallest standard deviation; below it ``l`` has no effect and no gradient.
    last_layer
        Factor of the first weights of the network's last layer. The smaller it is, the more the
        first actions are noise alone, which favours no task.

    Raises
    ------
    ConfigurationError
        If `actions` is no integer, or below 1.
    """

    network: Model
    actions: int
    smallest: float = 1e-6
    last_layer: float = 1.0

    def __post_init__(self) -> None:
        check_counts(self, "actions")

    def init(self, rng: np.random.Generator) -> Any:
        """Draw the network's parameters."""
        *hidden, last = self.network.init(rng)
        mean = (*hidden, {**last, "weight": last["weight"] * np.asarray(self.last_layer, last["weight"].dtype)})
        return {"mean": mean, "log_deviation": np.zeros(self.actions, mean[-1]["bias"].dtype)}

    def apply(self, parameters: Any, observations: Any) -> Any:
        """Return ``m`` and ``l``, of one shape."""
        mean = self.network.apply(parameters["mean"], observations)
        _refuse_other_outputs(self, mean)
        log_deviation = maximum(parameters["log_deviation"], math.log(self.smallest))
        return {"mean": mean, "log_deviation": broadcast_to(log_deviation, mean.shape)}

    def noise(self, rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[Any]:
        """Draw normal numbers."""
        return rng.standard_normal((*shape, self.actions), np.float32)

    def act(self, outputs: Any, noise: Any) -> Any:
        """Return ``m + e^l n``."""
        return add(outputs["mean"], exp(outputs["log_deviation"]) * noise)

    def log_probability(self, outputs: Any, actions: Any) -> Any:
        """Return ``log pi(a | o)``."""
        mean, log_deviation = outputs["mean"], outputs["log_deviation"]
        each = square((actions - mean) * exp(-log_deviation)) / 2.0 + log_deviation
        return -(sum(each, -1) + self.actions * math.log(2 * math.pi) / 2)

    def divergence(self, old: Any, new: Any) -> Any:
        """Return ``KL(old || new)``."""
        wider = old["log_deviation"] - new["log_deviation"]
        apart = square((old["mean"] - new["mean"]) * exp(-new["log_deviation"]))
        return sum((exp(2.0 * wider) + apart) / 2.0 - wider - 0.5, -1)


@dataclass(frozen=True)
class Categorical:
    """A policy of discrete actions; its parameters are the network's.

    Parameters
    ----------
    network
        From observations to logits, one for each action.
    actions
        The number of actions.

    Raises
    ------
    ConfigurationError
        If `actions` is no integer, or below 1.
    """

    network: Model
    actions: int

    def __post_init__(self) -> None:
        check_counts(self, "actions")

    def init(self, rng: np.random.Generator) -> Any:
        """Draw the network's parameters."""
        return self.network.init(rng)

    def apply(self, parameters: Any, observations: Any) -> Any:
        """Return the logits."""
        logits = self.network.apply(parameters, observations)
        _refuse_other_outputs(self, logits)
        return {"logits": logits}

    def noise(self, rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[Any]:
        """Draw numbers of the Gumbel distribution."""
        return rng.gumbel(size=(*shape, self.actions)).astype(np.float32)

    def act(self, outputs: Any, noise: Any) -> Any:
        """Return the place of the largest of ``z + g``."""
        return argmax(outputs["logits"] + noise, -1)

    def log_probability(self, outputs: Any, actions: Any) -> Any:
        """Return ``log pi(a | o)``."""
        return squeeze(take_along_axis(log_softmax(outputs["logits"], -1), expand_dims(actions, -1), -1), -1)

    def divergence(self, old: Any, new: Any) -> Any:
        """Return ``KL(old || new)``."""
        before, after = (log_softmax(outputs["logits"], -1) for outputs in (old, new))
        return sum(exp(before) * (before - after), -1)


def _refuse_other_outputs(policy: Gaussian | Categorical, outputs: Any) -> None:
    """Refuse a network whose outputs would be broadcast to the actions."""
    if outputs.shape[-1] != policy.actions:
        raise ShapeError(
            f"{type(policy).__name__}: the network has {outputs.shape[-1]} outputs, and actions={policy.actions}; they "
            "must be as many"
        )
