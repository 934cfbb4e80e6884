"""The presets are the experiments they say they are."""

import dataclasses
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import numpy as np
import pytest

from minimeta.autodiff import tree
from minimeta.errors import ConfigurationError
from minimeta.learners import MAML, FineTuning, MetaLSTM, NearestNeighbour, Reptile
from minimeta.nn import mean_squared_error
from minimeta.tasks import FewShot, Shuffled, Sinusoid, strokes
from minimeta.training import PRESETS, OmniglotPreset, SinusoidPreset, StrokesPreset
from minimeta.training.presets import LEARNERS, ImageEvaluationSettings, LearnerName, fingerprint
from minimeta.training.presets.omniglot import ReptileOmniglotPreset
from minimeta.training.presets.sinusoid import LSTMSinusoidPreset

pytest_plugins = ["omniglot_files"]


@pytest.fixture(scope="module")
def characters() -> Any:
    return strokes.draw()


@pytest.fixture
def strokes_at_once(characters: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Strokes that were drawn before: it takes a second."""
    monkeypatch.setattr(strokes, "draw", lambda: characters)


def test_sinusoid_is_finns() -> None:
    experiment = SinusoidPreset().experiment("maml")
    learner, training, testing = experiment.learner, experiment.training_tasks, experiment.evaluation_tasks
    assert isinstance(learner, MAML) and isinstance(training, Sinusoid) and isinstance(testing, Sinusoid)

    leaves, _ = tree.flatten(learner.init(np.random.default_rng(0)))
    assert sum(leaf.size for leaf in leaves) == 1761  # a 1-40-40-1 network
    assert (learner.order, learner.inner_steps, learner.inner_learning_rate) == (2, 2, 0.01)
    assert learner.step_weights == (0.5, 0.5)  # the paper's one step is the cell sinusoid-maml
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
    assert fingerprint("maml", preset) != fingerprint("maml", OmniglotPreset())
    small = OmniglotPreset(network="conv4", ways=3, filters=2, initialiser="truncated_normal").model()
    weights = [layer["weight"] for layer in small.init(np.random.default_rng(0))]
    assert [w.shape for w in weights] == [(3, 3, 1, 2), *[(3, 3, 2, 2)] * 3, (2, 3)]
    assert max(np.abs(w).max() for w in weights) <= 0.02


@pytest.mark.usefixtures("strokes_at_once")
def test_strokes_need_no_data(tmp_path: Path) -> None:
    experiment = StrokesPreset(evaluation=ImageEvaluationSettings(shots=5, queries=2, steps=1)).experiment(
        "maml", tmp_path
    )
    training, testing = experiment.training_tasks, experiment.evaluation_tasks
    assert isinstance(training, FewShot) and isinstance(testing, FewShot)

    assert (len(training.images), len(testing.images)) == (700, 200)
    assert (training.shots, testing.shots, testing.queries) == (1, 5, 2)
    assert fingerprint("maml", StrokesPreset()) != fingerprint("maml", OmniglotPreset())
    assert StrokesPreset().run_name == "strokes"


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


def test_all_learners_have_presets_for_all_tasks() -> None:
    learned = {(learner, task) for learner in LEARNERS for task in ("sinusoid", "omniglot", "strokes", "images")}
    # Whose classes have other labels in every task, there is nothing to pre-train on jointly.
    assert set(PRESETS) == learned - {("pretraining", task) for task in ("omniglot", "strokes", "images")}
    assert LEARNERS == ("maml", "fomaml", "reptile", "lstm", "pretraining", "finetuning", "nearest")
    for (learner, task), preset in PRESETS.items():
        assert preset.task == task and learner in preset.learners


def count(parameters: Any) -> int:
    return sum(leaf.size for leaf in tree.flatten(parameters)[0])


def test_reptile_on_sinusoids_is_the_authors() -> None:
    experiment = PRESETS["reptile", "sinusoid"].experiment("reptile")
    learner, training, testing = experiment.learner, experiment.training_tasks, experiment.evaluation_tasks
    assert isinstance(learner, Reptile) and isinstance(training, Shuffled) and isinstance(testing, Shuffled)
    meta = learner.init(np.random.default_rng(0))
    assert count(meta) == 64 + 64 + 64 * 64 + 64 + 64 + 1 and meta["inner_state"] == ()
    assert (learner.inner_steps, learner.batch_size, learner.evaluation_batch_size) == (5, 10, 10)
    assert learner.model.apply(tree.map(lambda p: p * 1e6, meta["initial"]), np.ones((1, 1))).max() < 1e9  # tanh
    support = training.sample(np.random.default_rng(0), 2).support
    np.testing.assert_array_equal(np.sort(support.inputs[1, :, 0]), np.linspace(-5, 5, 50).astype(np.float32))
    assert testing.sample(np.random.default_rng(0), 1).support.inputs.shape == (1, 10, 1)
    assert isinstance(training.tasks, Sinusoid) and training.tasks.phase[1] == 2 * np.pi

    # Three outer steps of 0.1, 0.1 (1 - 1 / 30000), ... on a gradient of ones.
    state, parameters = experiment.optimiser.init(meta), meta
    gradient = tree.map(np.ones_like, meta)
    for step in range(2):
        before = parameters
        parameters, state = experiment.optimiser.update(gradient, state, parameters)
        moved = before["initial"][0]["bias"] - parameters["initial"][0]["bias"]
        np.testing.assert_allclose(moved, 0.1 * (1 - step / 30_000), rtol=1e-5)


def test_reptile_on_omniglot_is_the_papers(stand_in_omniglot: Path) -> None:
    preset = ReptileOmniglotPreset()
    assert PRESETS["reptile", "omniglot"] == preset
    experiment = preset.experiment("reptile", stand_in_omniglot)
    learner, training, testing = experiment.learner, experiment.training_tasks, experiment.evaluation_tasks
    assert isinstance(learner, Reptile) and isinstance(training, Shuffled) and isinstance(testing, Shuffled)
    meta = learner.init(np.random.default_rng(0))
    # Flattened to 256 features, factor and offset beside each other: see the released sizes in tests/nn.
    assert count(meta["initial"]) == 111_749 + 5 * (256 - 64) + 4 * 64
    assert count(meta["inner_state"]["second_moment"]) == count(meta["initial"])
    assert (learner.inner_steps, learner.batch_size, learner.evaluation_batch_size, learner.shared_state) == (
        5,
        10,
        5,
        True,
    )
    assert isinstance(training.tasks, FewShot) and isinstance(testing.tasks, FewShot)
    assert (len(training.tasks.images), len(testing.tasks.images)) == (4800, 423)
    assert not training.tasks.rotations and not testing.tasks.rotations
    assert (training.tasks.shots, testing.tasks.shots, testing.tasks.queries) == (10, 1, 1)
    assert (preset.meta_batch, preset.evaluation.steps) == (5, 50)
    drawn = dataclasses.replace(preset, fixed_turns=False).experiment("reptile", stand_in_omniglot).training_tasks
    assert isinstance(drawn, Shuffled) and isinstance(drawn.tasks, FewShot)
    assert len(drawn.tasks.images) == 1200 and drawn.tasks.rotations
    # beta1 = 0: without momentum the first step of the inner Adam forgets nothing
    first, _ = learner.inner_optimiser.update(np.ones(1), learner.inner_optimiser.init(np.ones(1)), np.ones(1))
    np.testing.assert_allclose(first, 1 - 0.001, rtol=1e-6)
    state = learner.inner_optimiser.init(np.ones(1))
    assert learner.inner_optimiser.update(np.full(1, 5.0), state, np.ones(1))[1]["first_moment"] == 5.0


def test_lstm_presets_are_the_papers() -> None:
    preset = LSTMSinusoidPreset()
    assert PRESETS["lstm", "sinusoid"] == preset
    experiment = preset.experiment("lstm")
    learner = experiment.learner
    assert isinstance(learner, MetaLSTM)
    assert (learner.inner_steps, learner.hidden, learner.order, learner.recurrence) == (8, 20, 1, "pre_sigmoid")
    meta = learner.init(np.random.default_rng(0))
    assert count(meta["initial"]) == 1761 and meta["layer"]["weight"].shape == (80, 24)
    # A meta-gradient of any length moves Adam alike, but no more than 0.25 of it enters the second moment.
    huge = tree.map(lambda p: np.full_like(p, 1e3), meta)
    _, state = experiment.optimiser.update(huge, experiment.optimiser.init(meta), meta)
    second = sum(float(np.sum(v)) for v in tree.flatten(state["second_moment"])[0])
    assert second == pytest.approx(0.001 * 0.25**2, rel=1e-3)
    paper = dataclasses.replace(preset, recurrence="post_sigmoid", gradient="divided", order=2, statistics="batch")
    other = paper.experiment("lstm").learner
    assert isinstance(other, MetaLSTM) and other.divide_gradient and other.momentum is None
    assert (other.recurrence, other.order, learner.momentum, learner.divide_gradient) == ("post_sigmoid", 2, 0.9, False)


@pytest.mark.usefixtures("strokes_at_once")
def test_maml_has_its_variations_by_name() -> None:
    preset = SinusoidPreset(learned_rates=True, adapts="last_layer")
    meta = preset.experiment("maml").learner.init(np.random.default_rng(0))
    assert set(meta["rates"]) == {"2/weight", "2/bias"}
    offsets = StrokesPreset(learned_rates=True, adapts="all_but_offsets").experiment("fomaml").learner
    assert set(offsets.init(np.random.default_rng(0))["rates"]) == {*(f"{i}/weight" for i in range(5)), "4/bias"}
    conv4 = StrokesPreset(network="conv4", learned_rates=True, adapts="last_layer").experiment("maml").learner
    assert set(conv4.init(np.random.default_rng(0))["rates"]) == {"4/weight", "4/bias"}


@pytest.mark.usefixtures("strokes_at_once")
def test_baselines_are_what_they_say() -> None:
    pre = PRESETS["pretraining", "sinusoid"].experiment("pretraining").learner
    assert isinstance(pre, FineTuning) and pre.pretrain and pre.inner_steps == 1
    tuning = PRESETS["finetuning", "strokes"].experiment("finetuning").learner
    assert (
        isinstance(tuning, FineTuning) and not tuning.pretrain and tuning.inner_steps == 10 and max(tuning.rates) == 1.0
    )
    nearest = PRESETS["nearest", "strokes"].experiment("nearest").learner
    assert isinstance(nearest, NearestNeighbour) and nearest.ways == 5
    assert PRESETS["nearest", "sinusoid"].experiment("nearest").learner == NearestNeighbour(mean_squared_error)


def another(name: str, value: Any, kind: Any) -> Any:
    """Some other valid value of a setting."""
    if get_origin(kind) is Literal:
        return next(choice for choice in get_args(kind) if choice != value)
    if isinstance(value, bool):
        return not value
    if isinstance(value, tuple):
        return (*value[:-1], value[-1] + 1) if value else (1.0,)
    if isinstance(value, float):
        return value / 2 or 0.5
    return value - 1 if name == "shots" and value > 1 else value + 1  # no more than there are points


@pytest.mark.parametrize("key", PRESETS, ids=" ".join)
def test_the_fingerprint_is_all_but_length_and_measurement(key: tuple[LearnerName, str]) -> None:
    learner, base = key[0], PRESETS[key]
    measured = dataclasses.replace(base, evaluation=dataclasses.replace(base.evaluation, tasks=9))
    assert fingerprint(learner, base) == fingerprint(learner, measured)
    kinds = get_type_hints(type(base))
    for field in dataclasses.fields(base):
        if field.name != "evaluation":
            value = another(field.name, getattr(base, field.name), kinds[field.name])
            same = fingerprint(learner, base) == fingerprint(learner, dataclasses.replace(base, **{field.name: value}))
            # How long a run goes on is part of what a step of Reptile is.
            assert same == (field.name == "iterations" and learner != "reptile"), field.name
    assert fingerprint("maml", base) != fingerprint("fomaml", base)


COUNTS = "shots queries inner_steps inner_batch evaluation_batch lstm_hidden meta_batch iterations filters"
SIZES = "inner_learning_rate learning_rate outer_step_size largest_gradient"
WRONG: dict[str, list[Any]] = {
    **{name: [0, -3] for name in COUNTS.split()},
    **{name: [0.0, float("nan")] for name in SIZES.split()},
    "hidden": [(40, 0)],
    "rates": [(0.1, 0.0)],
    "seed": [-1, 2**32],
    "ways": [1],
    "grid": [49],
    "final_step": [-0.1, 1.5],
    "largest_element": [-1.0],
    "step_weights": [(0.5, -0.5)],
    "size": [15],
    "statistics_weight": [0.0, 1.5],
}


@pytest.mark.parametrize("key", PRESETS, ids=" ".join)
def test_values_out_of_range_are_refused(key: tuple[LearnerName, str]) -> None:
    preset = PRESETS[key]
    names = {field.name for field in dataclasses.fields(preset)}
    for name, values in WRONG.items():
        for value in values if name in names else ():
            with pytest.raises(ConfigurationError, match=f"^{name} must be"):
                dataclasses.replace(preset, **{name: value})
    for name in ("shots", "queries", "seed", "steps", "tasks"):
        with pytest.raises(ConfigurationError, match=f"^{name} must be"):
            dataclasses.replace(preset.evaluation, **{name: -1})  # type: ignore[arg-type]
