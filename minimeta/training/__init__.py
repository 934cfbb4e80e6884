"""Meta-training and its surroundings: the loop, the evaluation, checkpoints, records and whole experiments."""

from minimeta.training import checkpoint
from minimeta.training.cells import CELLS, Cell, cell_of
from minimeta.training.evaluate import Evaluation, evaluate
from minimeta.training.fit import Report, fit, initial_state, make_step
from minimeta.training.metrics import MetricsLog, read_metrics
from minimeta.training.notebook import NotebookProgress
from minimeta.training.presets import PRESETS, Preset
from minimeta.training.randomness import validation_generator
from minimeta.training.state import TrainingState
from minimeta.training.stopwatch import Stopwatch
from minimeta.training.validation import ModelSelection, Validated, time_to

__all__ = [
    "CELLS",
    "PRESETS",
    "Cell",
    "Evaluation",
    "MetricsLog",
    "ModelSelection",
    "NotebookProgress",
    "Preset",
    "Report",
    "Stopwatch",
    "TrainingState",
    "Validated",
    "cell_of",
    "checkpoint",
    "evaluate",
    "fit",
    "initial_state",
    "make_step",
    "read_metrics",
    "time_to",
    "validation_generator",
]
