"""Meta-training and its surroundings: the loop, the evaluation, checkpoints, records and whole experiments."""

from minimeta.training import checkpoint
from minimeta.training.evaluate import Evaluation, evaluate
from minimeta.training.fit import Report, TrainingState, fit, initial_state, make_step
from minimeta.training.metrics import MetricsLog, read_metrics
from minimeta.training.presets import PRESETS, OmniglotPreset, Preset, SinusoidPreset, StrokesPreset

__all__ = [
    "PRESETS",
    "Evaluation",
    "MetricsLog",
    "OmniglotPreset",
    "Preset",
    "Report",
    "SinusoidPreset",
    "StrokesPreset",
    "TrainingState",
    "checkpoint",
    "evaluate",
    "fit",
    "initial_state",
    "make_step",
    "read_metrics",
]
