"""Advantages: how much better an action turned out than what the state promised.

For the steps t = 0, ..., T - 1 of an episode, with rewards ``r_t`` and a *baseline* ``V_t`` for
what is still to come (``V_T`` is 0),

    R_t = r_t + gamma r_{t+1} + gamma^2 r_{t+2} + ...                    the discounted return
    d_t = r_t + gamma V_{t+1} - V_t
    A_t = d_t + (gamma lambda) d_{t+1} + (gamma lambda)^2 d_{t+2} + ...  (Schulman et al. 2016, equation 16)

With ``lambda = 1`` that is ``R_t - V_t``. A discounted sum over the steps that follow is a product
with a triangular matrix, ``x D`` with ``D[k, t] = gamma^(k - t)`` for k >= t.

The baseline is linear in features of the observation and of time (Duan et al. 2016), ``V = F w``,
fitted to the returns of the very batch that it then judges:

    F_t = [o, o^2, u, u^2, u^3, 1],    o clipped to [-10, 10],  u = t / 100
    w = (F^T F + 1e-5 I)^{-1} F^T R    over all steps of the batch

Last, the advantages of a task are *standardised*: (A - mean) / (deviation + 1e-8) over all its
steps.

Episodes may end early. Arrays have shape ``(episodes, horizon)``, and a *mask* that is 1 for the
steps that were taken and 0 after the end; masked steps count nowhere, and have advantage 0. All is
computed in float64.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minimeta.autodiff.operations import (
    astype,
    broadcast_to,
    clip,
    concatenate,
    expand_dims,
    matmul,
    reshape,
    sqrt,
    square,
    sum,
    transpose,
)
from minimeta.linalg import solve

_LARGEST_OBSERVATION = 10.0
_RIDGE = 1e-5
_SMALL = 1e-8


def feature_count(observation: int) -> int:
    """Return how many features the baseline has for observations of so many elements."""
    return 2 * observation + 4


def discounted(x: Any, discount: float) -> Any:
    """Return ``x_t + gamma x_{t+1} + gamma^2 x_{t+2} + ...`` along the last axis."""
    steps = np.arange(x.shape[-1])
    ahead = steps[:, None] - steps
    return matmul(x, np.where(ahead >= 0, float(discount) ** np.maximum(ahead, 0), 0.0))


def features(observations: Any) -> Any:
    """Return the baseline's features.

    Parameters
    ----------
    observations
        Shape ``(episodes, horizon, n)``.

    Returns
    -------
    array
        Shape ``(episodes, horizon, 2 n + 4)``.
    """
    o = clip(observations, -_LARGEST_OBSERVATION, _LARGEST_OBSERVATION)
    u = np.arange(o.shape[1])[:, None] / 100.0
    of_time = np.concatenate([u, u**2, u**3, np.ones_like(u)], axis=1)
    return concatenate([o, square(o), broadcast_to(of_time, (*o.shape[:2], 4))], -1)


def baseline(observations: Any, returns: Any, mask: Any) -> Any:
    """Fit the linear baseline to returns, and return its values, of the same shape."""
    found = features(observations)
    rows = reshape(found * expand_dims(mask, -1), (-1, found.shape[-1]))
    targets = reshape(returns * mask, (-1, 1))
    columns = transpose(rows)
    weights = solve(matmul(columns, rows) + _RIDGE * np.eye(rows.shape[-1]), matmul(columns, targets))
    return reshape(matmul(found, weights), mask.shape) * mask


def advantages(observations: Any, rewards: Any, mask: Any, discount: float = 0.99, decay: float = 1.0) -> Any:
    """Return the standardised advantages of one task's episodes.

    Parameters
    ----------
    observations
        Shape ``(episodes, horizon, n)``.
    rewards, mask
        Shape ``(episodes, horizon)``; the mask is 1 or 0.
    discount
        ``gamma``.
    decay
        ``lambda``.

    Returns
    -------
    array
        Shape ``(episodes, horizon)``, float64, 0 where the mask is.
    """
    observations, rewards, mask = (astype(x, np.float64) for x in (observations, rewards, mask))
    rewards = rewards * mask
    value = baseline(observations, discounted(rewards, discount), mask)
    later = concatenate([value[:, 1:], np.zeros((value.shape[0], 1))], 1)
    found = discounted((rewards + discount * later - value) * mask, discount * decay) * mask
    count = sum(mask)
    centred = (found - sum(found) / count) * mask
    return centred / (sqrt(sum(square(centred)) / count) + _SMALL)
