"""The presets are the experiments they say they are."""

import dataclasses
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from minimeta.autodiff import tree
from minimeta.errors import ConfigurationError
from minimeta.learners import MAML
from minimeta.tasks import FewShot, Sinusoid
from minimeta.training import PRESETS, OmniglotPreset, SinusoidPreset, StrokesPreset
from minimeta.training.presets import ImageEvaluationSettings, fingerprint

pytest_plugins = ["omniglot_files"]


def test_sinusoid_is_finns() -> None:
    experiment = SinusoidPreset().experiment("maml")
    learner, training, testing = experiment.learner, experiment.training_tasks, experiment.evaluation_tasks
    assert isinstance(learner, MAML) and isinstance(training, Sinusoid) and isinstance(testing, Sinusoid)

    leaves, _ = tree.flatten(learner.init(np.random.default_rng(0)))
    assert sum(leaf.size for leaf in leaves) == 1761  # a 1-40-40-1 network
    assert (learner.order, learner.inner_steps, learner.inner_learning_rate) == (2, 1, 0.01)
    assert (training.shots, training.phase[1], testing.shots) == (10, np.pi, 5)
    assert experiment.metric(np.array([[1.0], [4.0]]), np.array([[1.0], [2.0]])) == 2.0


def test_omniglot_is_finns_without_convolutions(stand_in_omniglot: Path) -> None:
    experiment = OmniglotPreset().experiment("fomaml", stand_in_omniglot)
    learner, training, testing = experiment.learner, experiment.training_tasks, experiment.evaluation_tasks
    assert isinstance(learner, MAML) and isinstance(training, FewShot) and isinstance(testing, FewShot)

    leaves, _ = tree.flatten(learner.init(np.random.default_rng(0)))
    sizes = [784, 256, 128, 64, 64, 5]
    assert sum(leaf.size for leaf in leaves) == sum(n * m + m for n, m in pairwise(sizes))
    weights = np.concatenate([leaf.ravel() for leaf in leaves if leaf.ndim == 2])
    assert 0 < np.abs(weights).max() <= 0.02  # cut at two standard deviations of 0.01
    assert (learner.order, learner.inner_steps, learner.inner_learning_rate) == (1, 1, 0.4)
    assert (len(training.images), len(testing.images)) == (1200, 423)
    assert training.rotations and testing.rotations
    assert (training.ways, training.shots, training.queries) == (5, 1, 1)
    assert experiment.metric(np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([1, 1])) == 0.5


def test_omniglot_with_convolutions_is_finns(stand_in_omniglot: Path) -> None:
    preset = OmniglotPreset(network="conv4")
    experiment = preset.experiment("maml", stand_in_omniglot)
    parameters = experiment.learner.init(np.random.default_rng(0))
    assert sum(leaf.size for leaf in tree.flatten(parameters)[0]) == 111_749  # counted in the released code
    bound = np.sqrt(6 / (9 * 64 + 9 * 64))
    assert 0.99 * bound < np.abs(parameters[1]["weight"]).max() <= bound  # Glorot's
    for tasks in (experiment.training_tasks, experiment.evaluation_tasks):
        task = tasks.sample(np.random.default_rng(0), 2)
        assert task.support.inputs.shape == (2, 5, 28, 28, 1)
        assert experiment.learner.predict(parameters, task.support.inputs[0]).shape == (5, 5)
    assert "98.7" in preset.published and "89.7" in OmniglotPreset().published
    assert fingerprint("maml", preset) != fingerprint("maml", OmniglotPreset())
    small = OmniglotPreset(network="conv4", ways=3, filters=2, initialiser="truncated_normal").model()
    weights = [layer["weight"] for layer in small.init(np.random.default_rng(0))]
    assert [w.shape for w in weights] == [(3, 3, 1, 2), *[(3, 3, 2, 2)] * 3, (2, 3)]
    assert max(np.abs(w).max() for w in weights) <= 0.02


def test_strokes_need_no_data(tmp_path: Path) -> None:
    experiment = StrokesPreset(evaluation=ImageEvaluationSettings(shots=5, queries=2, steps=1)).experiment(
        "maml", tmp_path
    )
    training, testing = experiment.training_tasks, experiment.evaluation_tasks
    assert isinstance(training, FewShot) and isinstance(testing, FewShot)

    assert (len(training.images), len(testing.images)) == (700, 200)
    assert (training.shots, testing.shots, testing.queries) == (1, 5, 2)
    assert fingerprint("maml", StrokesPreset()) != fingerprint("maml", OmniglotPreset())
    assert StrokesPreset().run_name == "strokes" and "no paper" in StrokesPreset().published


def test_settings_reach_what_they_set(stand_in_omniglot: Path) -> None:
    sinusoid = SinusoidPreset(shots=3, queries=4, hidden=(7,), initialiser="truncated_normal", inner_steps=2)
    experiment = sinusoid.experiment("fomaml")
    assert isinstance(experiment.learner, MAML)
    leaves, _ = tree.flatten(experiment.learner.init(np.random.default_rng(0)))
    assert {leaf.shape for leaf in leaves} == {(1, 7), (7,), (7, 1), (1,)}
    assert max(np.abs(leaf).max() for leaf in leaves) <= 0.02
    assert experiment.learner.inner_steps == 2
    assert experiment.training_tasks.sample(np.random.default_rng(0), 2).query.inputs.shape == (2, 4, 1)

    base = OmniglotPreset()
    omniglot = dataclasses.replace(
        base, ways=3, rotations=False, evaluation=dataclasses.replace(base.evaluation, shots=2, rotations=False)
    )
    training, testing = omniglot.experiment("maml", stand_in_omniglot)[2:4]
    assert isinstance(training, FewShot) and isinstance(testing, FewShot)
    assert (training.ways, training.rotations, testing.shots, testing.rotations) == (3, False, 2, False)


def test_the_fingerprint_is_all_but_length_and_measurement() -> None:
    base = SinusoidPreset()
    same = dataclasses.replace(base, iterations=9, evaluation=dataclasses.replace(base.evaluation, shots=9))

    assert fingerprint("maml", base) == fingerprint("maml", same)
    assert fingerprint("maml", base) != fingerprint("fomaml", base)
    for field in dataclasses.fields(base):
        if field.name not in ("iterations", "evaluation", "initialiser"):
            value = getattr(base, field.name)
            other = dataclasses.replace(base, **{field.name: value + (type(value)((9,)) if value == (40, 40) else 1)})
            assert fingerprint("maml", base) != fingerprint("maml", other), field.name


@pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)
@pytest.mark.parametrize(
    "wrong",
    [
        {"shots": 0},
        {"queries": 0},
        {"hidden": (40, 0)},
        {"inner_learning_rate": 0.0},
        {"inner_steps": 0},
        {"learning_rate": -1.0},
        {"meta_batch": 0},
        {"iterations": 0},
        {"seed": -1},
        {"seed": 2**32},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_values_out_of_range_are_refused(preset: SinusoidPreset | OmniglotPreset, wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError, match=f"^{next(iter(wrong))} must be"):
        dataclasses.replace(preset, **wrong)  # type: ignore[arg-type]
    if wrong.keys() & {"shots", "queries", "seed"}:
        with pytest.raises(ConfigurationError):
            dataclasses.replace(preset.evaluation, **wrong)  # type: ignore[arg-type]


def test_filters_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"^filters must be at least 1, not 0"):
        OmniglotPreset(filters=0)
