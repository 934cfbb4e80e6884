"""Advantages: how much better an action turned out than what the state promised.

For the steps t = 0, ..., T - 1 of an episode, with rewards ``r_t`` and a *baseline* ``V_t`` for
what is still to come (``V_T`` is 0),

    R_t = r_t + gamma r_{t+1} + gamma^2 r_{t+2} + ...                    the discounted return
    d_t = r_t + gamma V_{t+1} - V_t
    A_t = d_t + (gamma lambda) d_{t+1} + (gamma lambda)^2 d_{t+2} + ...  (Schulman et al. 2016, equation 16)

With ``lambda = 1`` that is ``R_t - V_t``.

The baseline is linear in features of the observation and of time (Duan et al. 2016), ``V = F w``,
fitted to the returns of the very batch that it then judges:

    F_t = [o, o^2, u, u^2, u^3, 1],    o clipped to [-10, 10],  u = t / 100 of step t of its episode
    w = (F^T F + 1e-5 I)^{-1} F^T R    over all steps of the batch

Last, the advantages of a task are *standardised*: (A - mean) / (deviation + 1e-8) over all its
steps.

Arrays have shape ``(rows, horizon)``, and a row has one episode or several after each other
(:mod:`minimeta.rl.trajectories`): ``begin`` says where in the row the episode of each step begins. A
*mask* is 1 for the steps that were taken; others count nowhere, and have advantage 0. All is computed
in float64.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minimeta.autodiff.operations import (
    astype,
    clip,
    concatenate,
    expand_dims,
    matmul,
    ones_like,
    reshape,
    sqrt,
    square,
    stack,
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


def discounted(x: Any, discount: float, begin: Any) -> Any:
    """Return ``x_t + gamma x_{t+1} + gamma^2 x_{t+2} + ...`` up to the end of each episode.

    Parameters
    ----------
    x
        Shape ``(rows, horizon)``.
    discount
        ``gamma``.
    begin
        Where the episode of each step begins, integers of that shape.
    """
    goes_on = discount * (begin[:, 1:] == begin[:, :-1])
    total = x[:, -1]
    backwards = [total]
    for t in reversed(range(x.shape[1] - 1)):
        total = x[:, t] + goes_on[:, t] * total
        backwards.append(total)
    return stack(backwards[::-1], 1)


def features(observations: Any, begin: Any) -> Any:
    """Return the baseline's features.

    Parameters
    ----------
    observations
        Shape ``(rows, horizon, n)``.
    begin
        Where the episode of each step begins, shape ``(rows, horizon)``.

    Returns
    -------
    array
        Shape ``(rows, horizon, 2 n + 4)``.
    """
    o = clip(observations, -_LARGEST_OBSERVATION, _LARGEST_OBSERVATION)
    u = expand_dims(np.arange(o.shape[1]) - begin, -1) / 100.0
    return concatenate([o, square(o), u, u**2, u**3, ones_like(u)], -1)


def baseline(observations: Any, returns: Any, mask: Any, begin: Any) -> Any:
    """Fit the linear baseline to returns, and return its values, of the same shape."""
    found = features(observations, begin)
    rows = reshape(found * expand_dims(mask, -1), (-1, found.shape[-1]))
    targets = reshape(returns * mask, (-1, 1))
    columns = transpose(rows)
    weights = solve(matmul(columns, rows) + _RIDGE * np.eye(rows.shape[-1]), matmul(columns, targets))
    return reshape(matmul(found, weights), mask.shape) * mask


def advantages(
    observations: Any, rewards: Any, mask: Any, begin: Any, discount: float = 0.99, decay: float = 1.0
) -> Any:
    """Return the standardised advantages of one task's steps.

    Parameters
    ----------
    observations
        Shape ``(rows, horizon, n)``.
    rewards, mask, begin
        Shape ``(rows, horizon)``; the mask is 1 or 0, `begin` has integers.
    discount
        ``gamma``.
    decay
        ``lambda``.

    Returns
    -------
    array
        Shape ``(rows, horizon)``, float64, 0 where the mask is.
    """
    observations, rewards, mask = (astype(x, np.float64) for x in (observations, rewards, mask))
    rewards = rewards * mask
    value = baseline(observations, discounted(rewards, discount, begin), mask, begin)
    ahead = concatenate([value[:, 1:] * (begin[:, 1:] == begin[:, :-1]), np.zeros((value.shape[0], 1))], 1)
    found = discounted((rewards + discount * ahead - value) * mask, discount * decay, begin) * mask
    count = sum(mask)
    centred = (found - sum(found) / count) * mask
    return centred / (sqrt(sum(square(centred)) / count) + _SMALL)
