"""The state of a training between two steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, eq=False)
class TrainingState:
    """All that a run needs to go on.

    Attributes
    ----------
    step
        Number of steps done; the next one is step number `step`, counted from 0.
    meta_parameters
        A tree of arrays.
    optimiser_state
        A tree of arrays.
    """

    step: int
    meta_parameters: Any
    optimiser_state: Any
