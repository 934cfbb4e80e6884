"""Descent within one task: the steps of an optimiser from given parameters.

    theta_{k+1}, s_{k+1} = U(g_k, s_k, theta_k),    g_k a gradient at theta_k

MAML, Reptile and fine-tuning differ in the gradient, in the optimiser ``U``, and in what they make
of the trajectory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minimeta.optim import Optimiser


def descent(
    gradient: Callable[[Any, int], Any], optimiser: Optimiser, parameters: Any, state: Any, steps: int
) -> list[tuple[Any, Any]]:
    """Descend, and return the parameters and the state of the optimiser after 0, 1, ..., `steps`
    steps.

    Parameters
    ----------
    gradient
        ``gradient(theta_k, k)``, a tree like the parameters.
    optimiser
        ``U``.
    parameters, state
        ``theta_0`` and ``s_0``.
    steps
        Number of steps.
    """
    trajectory = [(parameters, state)]
    for step in range(steps):
        parameters, state = trajectory[-1]
        trajectory.append(optimiser.update(gradient(parameters, step), state, parameters))
    return trajectory
