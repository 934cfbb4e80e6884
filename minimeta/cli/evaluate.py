"""``minimeta evaluate RUN``: measure a run again, with the same settings or with others."""

from __future__ import annotations

import json
import sys

from minimeta import cli
from minimeta.cli.arguments import EvaluateOptions
from minimeta.cli.interruption import Interrupted, Interruption
from minimeta.cli.progress import Bar
from minimeta.cli.results import Result, way_of_predicting
from minimeta.cli.workers import started
from minimeta.distributed import Workers
from minimeta.storage.run_folder import RunFolder
from minimeta.storage.states import tested_state
from minimeta.training import Evaluation, TrainingState
from minimeta.training import evaluate as evaluate_learner
from minimeta.training.presets import Experiment, Preset


def evaluate(options: EvaluateOptions, preset: Preset) -> int:
    """Evaluate what a run has learned, print the result and return the exit code; the run folder does not change.

    Raises
    ------
    MinimetaError
        If there is no such run, its checkpoint is damaged, or data are missing.
    """
    folder = RunFolder(options.run)
    with started(options.workers) as workers, Interruption() as interruption:
        experiment = preset.experiment(options.data or folder.sessions.data)
        state = tested_state(folder, preset, experiment.learner, experiment.optimiser)
        try:
            result = measure(preset, experiment, state, interruption, workers)
        except Interrupted:
            print("interrupted; nothing was written", file=sys.stderr)
            if options.json:
                print(json.dumps({"status": "interrupted", "run": str(folder.path)}))
            return cli.INTERRUPTED
    if workers and not workers.leads:
        return cli.DONE
    return options.answer({"run": str(folder.path), **result.to_json()}, result.show)


def measure(
    preset: Preset,
    experiment: Experiment,
    state: TrainingState,
    interruption: Interruption,
    workers: Workers | None = None,
) -> Result:
    """Evaluate a state as the preset says, show progress, and stop between tasks when a signal comes."""
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
                also={"loss": experiment.loss} if experiment.metric_name == "accuracy" else None,
                steps=settings.steps,
                every=settings.every,
                count=settings.tasks,
                seed=settings.seed,
                transductive=transductive,
                shots=settings.shots,
                callback=callback,
                workers=workers,
            )

    evaluation = measured("evaluation", settings.transductive)
    other = None
    if settings.side_by_side and experiment.batch_statistics:
        other = measured(f"evaluation, {way_of_predicting(not settings.transductive)}", not settings.transductive)
    return Result(preset, state.step, experiment.metric_name, evaluation, other)
