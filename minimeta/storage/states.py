"""The state of a run that is tested and used: the one that validated best, or else the last one."""

from __future__ import annotations

from minimeta.errors import CheckpointError
from minimeta.learners import MetaLearner
from minimeta.optim import Optimiser
from minimeta.storage.records import Records
from minimeta.storage.run_folder import RunFolder
from minimeta.training import TrainingState, checkpoint, initial_state
from minimeta.training.fit import OuterStep
from minimeta.training.presets import Preset


def tested_state(
    folder: RunFolder, preset: Preset, learner: MetaLearner, optimiser: Optimiser | OuterStep
) -> TrainingState:
    """Return the state of a run to test.

    Parameters
    ----------
    folder
        The run.
    preset
        Its settings.
    learner, optimiser
        What the settings build, for the form of the state.

    Raises
    ------
    CheckpointError
        If it is missing, damaged, or of another run.
    """
    template = initial_state(learner, optimiser, preset.run.seed)
    last, records = checkpoint.load(folder.checkpoint, template, preset.fingerprint), folder.records()
    chosen = preset.evaluation.validate_every and records.best is not None
    return best_state(folder, records, last, preset) if chosen else last


def best_state(folder: RunFolder, records: Records, last: TrainingState, preset: Preset) -> TrainingState:
    """Return the state that validated best: that of the checkpoint, or the one in ``best.npz``.

    Raises
    ------
    CheckpointError
        If it is missing, damaged, of another run or of another step.
    """
    if records.best == last.step:
        return last
    state = checkpoint.load(folder.best, last, preset.fingerprint)
    if state.step != records.best:
        raise CheckpointError(f"{folder.best} is of step {state.step}, and step {records.best} validated best")
    return state
