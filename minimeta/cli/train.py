"""``minimeta train``: a run from its settings to its result.

    begin      write the settings, or find the checkpoint to go on from
    fit        record every step, save and validate at intervals, stop between steps when a signal comes
    evaluate   measure the last state, or the one that validated best, on test tasks
    show       write the results, and only then print the table or the JSON object, and draw the figures

A run can be resumed however and whenever its program ends.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import sys
import time
from collections.abc import Sequence
from typing import Any

from minimeta import cli
from minimeta.cli.arguments import Training
from minimeta.cli.comparison import show_comparison
from minimeta.cli.evaluate import measure
from minimeta.cli.figures import adaptation_figure, learning_figure
from minimeta.cli.interruption import Interrupted, Interruption
from minimeta.cli.progress import TrainingBar
from minimeta.cli.results import Result
from minimeta.cli.workers import Collective, launched, started
from minimeta.distributed import Workers
from minimeta.errors import (
    CheckpointError,
    ConfigurationError,
    MinimetaError,
    NonFiniteError,
    StorageError,
    WorkerError,
)
from minimeta.files import write_atomically
from minimeta.rl.environments import Clock, timed
from minimeta.storage.records import Records
from minimeta.storage.sealed import sealed
from minimeta.storage.states import best_state, tested_state
from minimeta.training import (
    MetricsLog,
    ModelSelection,
    Report,
    Stopwatch,
    TrainingState,
    Validated,
    cell_of,
    checkpoint,
    evaluate,
    fit,
    initial_state,
    read_metrics,
    validation_generator,
)
from minimeta.training.collection import collects
from minimeta.training.configuration import nested
from minimeta.training.metrics import LARGER_IS_BETTER, digest, first_steps, thinned
from minimeta.training.presets import Experiment

SECONDS_BETWEEN_CHECKPOINTS = 10.0


def train(run: Training) -> int:
    """Run a training to its end and return the exit code.

    Raises
    ------
    MinimetaError
        If data are missing, the checkpoint belongs to another run, or a loss is not finite.
    """
    preset, folder = run.preset, run.folder
    with started(run.options.workers) as workers, Interruption() as interruption:
        experiment = preset.experiment(run.options.data)
        if workers and not workers.leads:
            return _follow(run, experiment, workers, interruption)
        with folder.locked():
            try:
                state, records = _begin(run, experiment)
                records = _fit(run, experiment, state, records, interruption, workers)
                state = tested_state(folder, preset, experiment.learner, experiment.optimiser)
                result = measure(preset, experiment, state, interruption, workers)
                report = _write(run, result, records)
            except (Interrupted, KeyboardInterrupt):
                return _stopped(run)
            except MinimetaError:
                raise
            except OSError as error:
                raise _unwritten(run, error) from error
            _print(run, result, report)
            _draw(run, experiment, state)
    print(f"run folder: {folder.path}", file=sys.stderr)
    return cli.DONE


def _begin(run: Training, experiment: Experiment) -> tuple[TrainingState, Records]:
    """Return the first state and its records, and leave a folder that can be resumed."""
    preset, folder, marks = run.preset, run.folder, run.preset.fingerprint
    state, records = initial_state(experiment.learner, experiment.optimiser, preset.run.seed), Records()
    if not run.options.resume:
        folder.require_empty()
    elif folder.checkpoint.exists():
        state, records = checkpoint.load(folder.checkpoint, state, marks), folder.records()
        if state.step > preset.run.iterations:
            raise ConfigurationError(
                f"the run in {folder.path} has done {state.step} steps; --iterations {preset.run.iterations} is fewer"
            )
        read_metrics(folder.metrics, state.step, records.metrics)
        if records.best is not None:
            checkpoint.save(folder.best, best_state(folder, records, state, preset), marks)
    else:
        print(f"minimeta: {folder.checkpoint} is missing: the run starts again", file=sys.stderr)
    records = dataclasses.replace(records, configuration=folder.begin(preset, state.step, run.options.data))
    folder.write_validations(folder.validations(records))
    checkpoint.save(folder.checkpoint, state, marks, dataclasses.asdict(records))
    return state, records


def _follow(run: Training, experiment: Experiment, workers: Workers, interruption: Interruption) -> int:
    """Compute what another rank than the first computes, which alone reads and writes the folder."""
    settings = run.preset.run
    try:
        state = fit(
            experiment.learner,
            experiment.training_tasks,
            experiment.optimiser,
            iterations=settings.iterations,
            meta_batch=settings.meta_batch,
            seed=settings.seed,
            workers=workers,
        )
        measure(run.preset, experiment, state, interruption, workers)
    except (WorkerError, NonFiniteError):
        pass  # The first rank reports it.
    return cli.DONE


def _fit(
    run: Training,
    experiment: Experiment,
    state: TrainingState,
    records: Records,
    interruption: Interruption,
    workers: Workers | None,
) -> Records:
    """Train to the end and return the records; leave a checkpoint of the last good step, however it ends."""
    preset, folder, marks = run.preset, run.folder, run.preset.fingerprint
    # One variable for both, so that an interruption never sees them at different steps.
    latest, saved = (state, records), time.monotonic()

    with (
        MetricsLog(folder.metrics, state.step, records.metrics) as log,
        TrainingBar("training", state.step, preset.run.iterations) as bar,
    ):
        stopwatch = Stopwatch(folder.sessions.seconds)
        selection = _selection(run, experiment, folder.validations(records), stopwatch, workers)
        collective = Collective(workers)
        tasks: Any = experiment.training_tasks
        clock, began = Clock(), stopwatch.seconds
        if collects(experiment.learner):
            tasks = timed(tasks, clock)

        def save() -> None:
            nonlocal saved
            state, records = latest
            with stopwatch.paused():
                folder.sessions.spent(stopwatch.seconds, selection.history if selection else (), collective.record)
                log.flush()
                checkpoint.save(folder.checkpoint, state, marks, dataclasses.asdict(records))
                saved = time.monotonic()

        def keep(state: TrainingState, report: Report) -> None:
            nonlocal latest
            records = dataclasses.replace(latest[1], metrics=log.sha256)
            if selection and state.step % preset.evaluation.validate_every == 0:
                selection(state, report)
                latest = state, records.with_validations(selection)
                folder.write_validations(selection.history)
                # Save the checkpoint first. It then also holds the best state, and always says
                # which one that is.
                save()
                if selection.best is state:
                    checkpoint.save(folder.best, state, marks)
                return
            latest, every = (state, records), run.options.checkpoint_every
            if state.step % every == 0 if every else time.monotonic() - saved >= SECONDS_BETWEEN_CHECKPOINTS:
                save()

        try:
            fit(
                experiment.learner,
                tasks,
                experiment.optimiser,
                iterations=preset.run.iterations,
                meta_batch=preset.run.meta_batch,
                seed=preset.run.seed,
                state=state,
                callbacks=[collective, log, keep, bar, interruption],
                workers=workers,
            )
        except NonFiniteError as error:
            raise NonFiniteError(
                f"{error}\nThe checkpoint of the {latest[0].step} good steps is kept in {folder.checkpoint}."
            ) from error
        finally:
            save()
    collective.show()
    if clock.seconds:
        share = clock.seconds / (stopwatch.seconds - began)
        print(f"steps of the environments took {100 * share:.0f} % of the time of training", file=sys.stderr)
    return latest[1]


def _selection(
    run: Training,
    experiment: Experiment,
    history: Sequence[Validated],
    stopwatch: Stopwatch,
    workers: Workers | None,
) -> ModelSelection | None:
    """Return the selection of the state to test, if the preset asks for one."""
    settings = run.preset.evaluation
    if not settings.validate_every or experiment.validation_tasks is None:
        return None
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
        # Ranks of MPI wait for the first one, which validates alone.
        workers=None if workers and workers.shared else workers,
    )
    return ModelSelection(
        judge,
        every=settings.validate_every,
        larger_is_better=experiment.metric_name in LARGER_IS_BETTER,
        stopwatch=stopwatch,
        history=history,
    )


def _write(run: Training, result: Result, records: Records) -> dict[str, Any]:
    """Write the results to the folder, and return them."""
    folder, cell = run.folder, cell_of(run.preset)
    session = folder.sessions.read()[-1]
    session.pop("validated", None)
    report: dict[str, Any] = {
        "status": "complete",
        "run": str(folder.path),
        "seconds": round(folder.sessions.seconds, 3),
        **result.to_json(),
        "settings": nested(run.preset.settings),
        "first_steps": digest(first_steps(folder.metrics)),
        "curve": thinned(read_metrics(folder.metrics, run.preset.run.iterations, records.metrics)),
        "validation": [found._asdict() for found in folder.validations(records)],
        "environment": session,
        "cell": cell and cell.name,
    }
    write_atomically(folder.results, sealed(report))
    write_atomically(folder.table, result.to_markdown())
    return report


def _print(run: Training, result: Result, report: dict[str, Any]) -> None:
    """Print the result on standard output."""
    if run.options.json:
        print(sealed(report, indent=None), end="")
        return
    result.show()
    if cell := cell_of(run.preset):
        show_comparison(cell, report)


def _draw(run: Training, experiment: Experiment, state: TrainingState) -> None:
    """Draw the figures; they need an extra, and the run is complete without them."""
    folder, settings = run.folder, run.preset.evaluation
    try:
        learning_figure(folder.learning_figure, read_metrics(folder.metrics))
        adaptation_figure(folder.adaptation_figure, experiment, state.meta_parameters, settings.steps, settings.seed)
    except StorageError:
        raise
    except MinimetaError as error:
        print(error, file=sys.stderr)


def _command_that_goes_on(run: Training) -> str:
    workers = run.options.workers
    return launched(workers) + run.folder.resume_command(run.preset, run.options.data, workers)


def _unwritten(run: Training, error: OSError) -> StorageError:
    """Return an error that says what is left of the run, and how to go on."""
    folder, command = run.folder, _command_that_goes_on(run)
    if not folder.path.is_dir():
        return StorageError(f"{folder.path} has vanished, and with it the run, which can only start again ({error})")
    try:
        step = checkpoint.read_header(folder.checkpoint).step
    except CheckpointError:
        return StorageError(f"the run could not be written, not even its first checkpoint: {error}")
    return StorageError(
        f"the run could not be written: {error}\n"
        f"The checkpoint of {step} steps in {folder.checkpoint} is good. When there is room, this goes on:\n  {command}"
    )


def _stopped(run: Training) -> int:
    """Print the command that goes on, and return the exit code."""
    command = _command_that_goes_on(run)
    print(f"interrupted and saved; this goes on:\n  {command}", file=sys.stderr)
    if run.options.json:
        report = {"status": "interrupted", "run": str(run.folder.path), "resume": command}
        print(json.dumps(report))
    return cli.INTERRUPTED
