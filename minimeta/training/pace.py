"""The pace of a training on this machine: seconds per step, measured.

    expected time = iterations x median of the measured steps

The first step compiles and is left out. The others are measured for a second, and at least two of them.
"""

from __future__ import annotations

import contextlib
import itertools
import statistics
import time

from minimeta.training.fit import Report, fit
from minimeta.training.presets import Experiment, Preset
from minimeta.training.state import TrainingState

SECONDS = 1.0


class _Enough(Exception):  # noqa: N818 (the measurement is complete)
    pass


def seconds_per_step(preset: Preset, experiment: Experiment) -> float:
    """Measure a step of a training.

    Parameters
    ----------
    preset, experiment
        What to train, and what was built from it. Nothing is written.

    Returns
    -------
    float
        The median time of a step after the first, in seconds.
    """
    ends: list[float] = []

    def note(state: TrainingState, report: Report) -> None:
        ends.append(time.monotonic())
        if len(ends) > 2 and ends[-1] - ends[0] >= SECONDS:
            raise _Enough

    with contextlib.suppress(_Enough):
        fit(
            experiment.learner,
            experiment.training_tasks,
            experiment.optimiser,
            iterations=max(3, preset.run.iterations),
            meta_batch=preset.run.meta_batch,
            seed=preset.run.seed,
            callbacks=[note],
        )
    return statistics.median(after - before for before, after in itertools.pairwise(ends))
