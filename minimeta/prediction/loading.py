"""``load``: a trained learner from the folder of its run, or parameters from their file.

A run of ``minimeta train`` says by itself what it is: its checkpoint holds all settings, of which
the learner is built, and no data are read. A run of :func:`minimeta.training.fit` has the
parameters alone, because a file that builds any learner could run anything; so the learner is an
argument.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from minimeta.errors import ConfigurationError
from minimeta.learners import MetaLearner
from minimeta.prediction.trained import TrainedLearner
from minimeta.storage import RunFolder, trees
from minimeta.storage.states import tested_state
from minimeta.training import checkpoint
from minimeta.training.randomness import initialisation_generator


def load(path: str | os.PathLike[str], learner: MetaLearner | None = None, *, like: Any = None) -> Any:
    """Load the learner of a run, with its meta-parameters; or a tree that ``save`` wrote.

    Parameters
    ----------
    path
        The folder of a run of ``minimeta train`` or of :func:`minimeta.training.fit`; or a file
        that :func:`minimeta.save` wrote, ``.npz`` or ``.safetensors``.
    learner
        The learner of a run of ``fit``, made as it was for the training.
    like
        For a file: a tree of the form that is wanted (:func:`minimeta.storage.load_tree`).

    Returns
    -------
    TrainedLearner or tree
        Of a run with validation, the state that validated best; otherwise the last one.

    Raises
    ------
    ConfigurationError
        If there is no run in the folder, or one of a learner that is not given; or a learner is
        given, but a file instead of its run.
    CheckpointError
        If a file of the run is missing, damaged, of another run or of a newer version.
    DataError, MissingDataError
        If a file of a tree is damaged, or missing.

    Examples
    --------
    In a folder with a run on five classes of images::

        known = minimeta.load("runs/maml-images-seed0").adapt(support_images, labels)
        known.predict(query_images)
    """
    path = Path(path)
    if path.suffix in trees.SUFFIXES and not path.is_dir():
        if learner is not None:
            raise ConfigurationError(
                f"{path} is a file, and a learner's run is a folder: minimeta.load({str(path.parent)!r}, learner); or "
                "without a learner, for a tree that minimeta.save wrote"
            )
        return trees.load_tree(path, like)
    if path.is_file():
        raise ConfigurationError(
            f"{path} is a file that ends neither in .npz nor in .safetensors, and a run is a folder. A saved program "
            "is read by minimeta.program.load"
        )
    folder = RunFolder(path)
    if learner is not None:
        return _of_fit(folder, learner)
    if folder.checkpoint.is_file() and not checkpoint.read_header(folder.checkpoint).records:
        raise ConfigurationError(
            f"the run in {path} is of a learner of your own, of which it holds the parameters alone: "
            "minimeta.load(run, learner), with the learner as it was made for the training"
        )
    preset = folder.preset()
    problem = preset.benchmark.problem()
    learner = preset.learner.learner(problem)
    state = tested_state(folder, preset, learner, preset.learner.optimiser(preset.run.iterations))
    return TrainedLearner(
        learner,
        state.meta_parameters,
        steps=preset.evaluation.steps,
        kind="regression" if problem.ways is None else "classification",
        ways=problem.ways,
        inputs=problem.inputs,
        batch_statistics=problem.batch_statistics,
    )


def _of_fit(folder: RunFolder, learner: MetaLearner) -> TrainedLearner:
    """Return a learner with the meta-parameters that a training by ``fit`` left in a folder."""
    if not folder.checkpoint.is_file():
        raise ConfigurationError(f"there is no run of a learner of your own: {folder.checkpoint} is missing")
    template = learner.init(initialisation_generator(0))
    meta_parameters = checkpoint.load_meta_parameters(folder.checkpoint, template)
    return replace(TrainedLearner(learner, meta_parameters), steps=getattr(learner, "inner_steps", 1))
