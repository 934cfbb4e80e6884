"""``minimeta train``: a run from its settings to its result.

    begin      write the settings, or find the checkpoint to go on from
    fit        record every step, save and validate now and then, stop between steps when asked to
    evaluate   the last state or what validated best, on test tasks, before and after each step of adaptation
    show       the table, the figures, the JSON object

A run folder can be resumed from any moment at which its program ends, however it ends.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import sys
import time
from typing import Any

from minimeta import cli
from minimeta.cli.arguments import Training
from minimeta.cli.beside import show_beside
from minimeta.cli.evaluate import measure, tested_state
from minimeta.cli.figures import adaptation_figure, learning_figure
from minimeta.cli.interruption import Interrupted, Interruption
from minimeta.cli.progress import TrainingBar
from minimeta.cli.results import Result
from minimeta.errors import ConfigurationError, MissingExtraError, NonFiniteError
from minimeta.files import write_atomically
from minimeta.training import (
    MetricsLog,
    ModelSelection,
    Report,
    Stopwatch,
    TrainingState,
    cell_of,
    checkpoint,
    evaluate,
    fit,
    initial_state,
    read_metrics,
    validation_generator,
)
from minimeta.training.fit import Callback
from minimeta.training.metrics import thinned
from minimeta.training.presets import Experiment, fingerprint

SECONDS_BETWEEN_CHECKPOINTS = 10.0


def train(run: Training) -> int:
    """Run a training to its end and return the exit code.

    Raises
    ------
    MinimetaError
        Data are missing, the checkpoint is of another run, a loss is not finite.
    """
    preset, folder = run.preset, run.folder
    with Interruption() as interruption:
        experiment = preset.experiment(run.learner, run.options.data)
        state = _begin(run, experiment)
        try:
            _fit(run, experiment, state, interruption)
            state = tested_state(folder, run.learner, preset, experiment)
            result = measure(run.learner, preset, experiment, state, interruption)
        except Interrupted:
            return _stopped(run)
        _show(run, experiment, state, result)
    print(f"run folder: {folder.path}", file=sys.stderr)
    return cli.DONE


def _begin(run: Training, experiment: Experiment) -> TrainingState:
    """Return the state to begin with, and leave a folder that can be resumed."""
    preset, folder = run.preset, run.folder
    marks = fingerprint(run.learner, preset)
    state = initial_state(experiment.learner, experiment.optimiser, preset.seed)
    if run.options.resume and folder.checkpoint.exists():
        state = checkpoint.load(folder.checkpoint, state, marks)
        if state.step > preset.iterations:
            raise ConfigurationError(
                f"the run in {folder.path} has done {state.step} steps; --iterations {preset.iterations} is fewer"
            )
    folder.begin(run.learner, preset, state.step, run.options.data)
    checkpoint.save(folder.checkpoint, state, marks)
    return state


def _fit(run: Training, experiment: Experiment, state: TrainingState, interruption: Interruption) -> None:
    """Train to the end, leaving a checkpoint of the last good step however it ends."""
    preset, folder = run.preset, run.folder
    marks = fingerprint(run.learner, preset)
    latest, saved = state, time.monotonic()

    with MetricsLog(folder.metrics, state.step) as log, TrainingBar("training", state.step, preset.iterations) as bar:
        stopwatch = Stopwatch(folder.seconds)
        selection = _selection(run, experiment, state, stopwatch)

        def save() -> None:
            nonlocal saved
            with stopwatch.paused():
                folder.spent(stopwatch.seconds)
                log.flush()
                checkpoint.save(folder.checkpoint, latest, marks)
                saved = time.monotonic()

        def keep(state: TrainingState, report: Report) -> None:
            nonlocal latest
            latest = state
            every = run.options.checkpoint_every
            if state.step % every == 0 if every else time.monotonic() - saved >= SECONDS_BETWEEN_CHECKPOINTS:
                save()

        try:
            fit(
                experiment.learner,
                experiment.training_tasks,
                experiment.optimiser,
                iterations=preset.iterations,
                meta_batch=preset.meta_batch,
                seed=preset.seed,
                state=state,
                callbacks=[log, keep, bar, *selection, interruption],
            )
        except NonFiniteError as error:
            raise NonFiniteError(
                f"{error}\nThe checkpoint of the {latest.step} good steps is kept in {folder.checkpoint}."
            ) from error
        finally:
            save()


def _selection(run: Training, experiment: Experiment, state: TrainingState, stopwatch: Stopwatch) -> list[Callback]:
    """Return what chooses the state to be tested and writes down how, if something should."""
    folder, settings = run.folder, run.preset.evaluation
    if not settings.validate_every or experiment.validation_tasks is None:
        return []
    marks = fingerprint(run.learner, run.preset)
    judge = functools.partial(
        evaluate,
        experiment.learner,
        tasks=experiment.validation_tasks,
        metric=experiment.metric,
        steps=settings.steps,
        every=max(1, settings.steps),
        count=settings.validation_tasks,
        seed=settings.seed,
        transductive=settings.transductive,
        generator=validation_generator,
    )
    selection = ModelSelection(
        judge,
        every=settings.validate_every,
        larger_is_better=experiment.metric_name == "accuracy",
        stopwatch=stopwatch,
        history=folder.validations(state.step),
        better=lambda state: checkpoint.save(folder.best, state, marks),
    )

    def write(state: TrainingState, report: Report) -> None:
        if state.step % settings.validate_every == 0:
            folder.write_validations(selection.history)

    return [selection, write]


def _show(run: Training, experiment: Experiment, state: TrainingState, result: Result) -> None:
    """Write results and figures to the folder and the result to standard output."""
    folder, settings = run.folder, run.preset.evaluation
    history = folder.validations(run.preset.iterations)
    cell = cell_of(run.learner, run.preset)
    report: dict[str, Any] = {
        "status": "complete",
        "run": str(folder.path),
        "seconds": round(folder.seconds, 3),
        **result.to_json(),
        "settings": dataclasses.asdict(run.preset),
        "curve": thinned(read_metrics(folder.metrics)),
        "validation": [found._asdict() for found in history],
        "environment": folder.sessions()[-1],
        "cell": cell and cell.name,
    }
    write_atomically(folder.results, json.dumps(report, indent=2) + "\n")
    write_atomically(folder.table, result.to_markdown())
    try:
        learning_figure(folder.learning_figure, read_metrics(folder.metrics))
        adaptation_figure(folder.adaptation_figure, experiment, state.meta_parameters, settings.steps, settings.seed)
    except MissingExtraError as error:
        print(error, file=sys.stderr)
    if run.options.json:
        print(json.dumps(report))
        return
    result.show()
    if cell:
        show_beside(cell, report)


def _stopped(run: Training) -> int:
    """Say how to go on."""
    command = run.folder.resume_command(run.learner, run.preset, run.options.data)
    print(f"interrupted and saved; this goes on:\n  {command}", file=sys.stderr)
    if run.options.json:
        report = {"status": "interrupted", "run": str(run.folder.path), "resume": command}
        print(json.dumps(report))
    return cli.INTERRUPTED
