"""The LSTM meta-learner's released options, which are the same for Omniglot and miniImageNet."""

from __future__ import annotations

from minimeta.training.cells.cell import replaced
from minimeta.training.presets import Preset


def lstm(task: str, shots: int) -> Preset:
    """The LSTM meta-learner by the released options: 12 updates of 5 images, or 8 of 25."""
    steps = 12 if shots == 1 else 8
    return replaced(
        "lstm",
        task,
        {"shots": shots, "steps": steps},
        shots=shots,
        inner_steps=steps,
        statistics_weight=0.9 if shots == 1 else 0.95,
        iterations=75_000 if shots == 1 else 50_000,
    )
