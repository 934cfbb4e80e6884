"""``minimeta evaluate RUN``: measure a run again, as it was measured or otherwise."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

from minimeta import cli
from minimeta.cli.arguments import EvaluateOptions
from minimeta.cli.interruption import Interrupted, Interruption
from minimeta.cli.progress import Bar
from minimeta.cli.results import Result, way_of_predicting
from minimeta.cli.run_folder import Records, RunFolder
from minimeta.errors import CheckpointError
from minimeta.training import Evaluation, TrainingState, checkpoint, initial_state
from minimeta.training import evaluate as evaluate_learner
from minimeta.training.configuration import replace
from minimeta.training.presets import Experiment, LearnerName, Preset, fingerprint


def evaluate(options: EvaluateOptions) -> int:
    """Evaluate what a run has learned, print the result and return the exit code; the run folder stays as it is.

    Raises
    ------
    MinimetaError
        There is no such run, its checkpoint is damaged, data are missing.
    """
    folder = RunFolder(options.run)
    learner, preset = folder.settings()
    given = {name: value for name, value in vars(options.evaluation).items() if value is not None}
    preset = replace(preset, {"evaluation": given}, "minimeta evaluate")
    with Interruption() as interruption:
        experiment = preset.experiment(learner, options.data or folder.data)
        state = tested_state(folder, learner, preset, experiment)
        try:
            result = measure(learner, preset, experiment, state, interruption)
        except Interrupted:
            print("interrupted; nothing was written", file=sys.stderr)
            if options.json:
                print(json.dumps({"status": "interrupted", "run": str(folder.path)}))
            return cli.INTERRUPTED
    if options.json:
        print(json.dumps({"status": "complete", "run": str(folder.path), **result.to_json()}))
    else:
        result.show()
    return cli.DONE


def tested_state(folder: RunFolder, learner: LearnerName, preset: Preset, experiment: Experiment) -> TrainingState:
    """Return what is to be tested of a run: the state that validated best, or else the last one.

    Raises
    ------
    CheckpointError
        If it is not there, damaged, or of another run.
    """
    marks = fingerprint(learner, preset)
    template = initial_state(experiment.learner, experiment.optimiser, preset.seed)
    last, records = checkpoint.load(folder.checkpoint, template, marks), folder.records()
    chosen = preset.evaluation.validate_every and records.best is not None
    return best_state(folder, records, last, marks) if chosen else last


def best_state(folder: RunFolder, records: Records, last: TrainingState, marks: Mapping[str, Any]) -> TrainingState:
    """Return the state that validated best: that of the checkpoint, or the one that was kept.

    Raises
    ------
    CheckpointError
        If it is not there, damaged, of another run or of another step.
    """
    if records.best == last.step:
        return last
    state = checkpoint.load(folder.best, last, marks)
    if state.step != records.best:
        raise CheckpointError(f"{folder.best} is of step {state.step}, and step {records.best} validated best")
    return state


def measure(
    learner: LearnerName, preset: Preset, experiment: Experiment, state: TrainingState, interruption: Interruption
) -> Result:
    """Evaluate a state as the preset says, showing progress and stopping between tasks when asked to."""
    settings = preset.evaluation

    def measured(title: str, transductive: bool) -> Evaluation:
        with Bar(title, 0, settings.tasks) as bar:

            def callback(done: int) -> None:
                bar.show(done)
                interruption()

            return evaluate_learner(
                experiment.learner,
                state.meta_parameters,
                experiment.evaluation_tasks,
                metric=experiment.metric,
                beside={"loss": experiment.loss} if experiment.metric_name == "accuracy" else None,
                steps=settings.steps,
                every=settings.every,
                count=settings.tasks,
                seed=settings.seed,
                transductive=transductive,
                callback=callback,
            )

    evaluation = measured("evaluation", settings.transductive)
    other = None
    if settings.side_by_side and experiment.batch_statistics:
        other = measured(f"evaluation, {way_of_predicting(not settings.transductive)}", not settings.transductive)
    return Result(learner, preset, state.step, experiment.metric_name, evaluation, other)
