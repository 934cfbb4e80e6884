"""The presets are the experiments they say they are."""

import re
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import numpy as np
import pytest

from minimeta.autodiff import tree
from minimeta.errors import CheckpointError, ConfigurationError
from minimeta.learners import MAML, FineTuning, MetaLSTM, NearestNeighbour, Reptile
from minimeta.nn import mean_squared_error
from minimeta.rl import TrustRegion
from minimeta.rl.repeated import Repeated
from minimeta.tasks import FewShot, Shuffled, Sinusoid
from minimeta.training import PRESETS
from minimeta.training.checkpoint import compare
from minimeta.training.presets import LEARNERS, Preset
from minimeta.training.presets.images import ImageSettings
from minimeta.training.presets.papers import Said
from minimeta.training.presets.preset import PARTS

pytest_plugins = ["omniglot_files", "drawn_strokes"]


def test_sinusoid_is_finns() -> None:
    experiment = PRESETS["maml", "sinusoid"].experiment()
    learner, training, testing = experiment.learner, experiment.training_tasks, experiment.evaluation_tasks
    assert isinstance(learner, MAML) and isinstance(training, Sinusoid) and isinstance(testing, Sinusoid)

    leaves, _ = tree.flatten(learner.init(np.random.default_rng(0)))
    assert sum(leaf.size for leaf in leaves) == 1761  # a 1-40-40-1 network
    assert (learner.order, learner.inner_steps, learner.inner_learning_rate) == (2, 2, 0.01)
    assert learner.step_weights == (0.5, 0.5)  # the paper's one step is the cell sinusoid-maml
    assert (training.shots, training.phase[1], testing.shots) == (10, np.pi, 5)
    assert experiment.metric(np.array([[1.0], [4.0]]), np.array([[1.0], [2.0]])) == 2.0


def test_omniglot_is_finns_without_convolutions(stand_in_omniglot: Path) -> None:
    experiment = PRESETS["fomaml", "omniglot"].experiment(stand_in_omniglot)
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
    preset = PRESETS["maml", "omniglot"].replace({"network": "conv4"})
    experiment = preset.experiment(stand_in_omniglot)
    parameters = experiment.learner.init(np.random.default_rng(0))
    assert sum(leaf.size for leaf in tree.flatten(parameters)[0]) == 111_749  # counted in the released code
    bound = np.sqrt(6 / (9 * 64 + 9 * 64))
    assert 0.99 * bound < np.abs(parameters[1]["weight"]).max() <= bound  # Glorot's
    for tasks in (experiment.training_tasks, experiment.evaluation_tasks):
        task = tasks.sample(np.random.default_rng(0), 2)
        assert task.support.inputs.shape == (2, 5, 28, 28, 1)
        assert experiment.learner.predict(parameters, task.support.inputs[0]).shape == (5, 5)
    assert preset.fingerprint != PRESETS["maml", "omniglot"].fingerprint
    small = preset.replace({"ways": 3, "filters": 2, "initialiser": "truncated_normal"}).benchmark
    assert isinstance(small, ImageSettings)
    weights = [layer["weight"] for layer in small.model().init(np.random.default_rng(0))]
    assert [w.shape for w in weights] == [(3, 3, 1, 2), *[(3, 3, 2, 2)] * 3, (2, 3)]
    assert max(np.abs(w).max() for w in weights) <= 0.02


def test_resnet12_widens_by_the_factors_of_the_papers() -> None:
    preset = PRESETS["maml", "images"].replace({"network": "resnet12", "filters": 8})
    assert isinstance(preset.benchmark, ImageSettings)
    *blocks, last = preset.benchmark.model().init(np.random.default_rng(0))
    assert [block["third"]["weight"].shape[3] for block in blocks] == [8, 20, 40, 80]
    assert last["weight"].shape == (80 * 5 * 5, 5)
    settings = {"network": "resnet12", "filters": 2, "adapts": "all_but_offsets"}
    small = PRESETS["maml", "strokes"].replace(settings).experiment().learner
    assert isinstance(small, MAML) and callable(small.adapts)
    parameters = small.init(np.random.default_rng(0))
    adapted = {path for path in tree.paths(parameters) if small.adapts(path)}
    assert {path.rpartition("/")[2] for path in adapted} == {"weight", "scale", "bias"}
    assert small.predict(parameters, np.zeros((5, 28, 28, 1), np.float32)).shape == (5, 5)


@pytest.mark.usefixtures("strokes_at_once")
def test_strokes_need_no_data(tmp_path: Path) -> None:
    preset = PRESETS["maml", "strokes"].replace({"evaluation.shots": 5, "evaluation.queries": 2})
    experiment = preset.experiment(tmp_path)
    training, testing = experiment.training_tasks, experiment.evaluation_tasks
    assert isinstance(training, FewShot) and isinstance(testing, FewShot)

    assert (len(training.images), len(testing.images)) == (700, 200)
    assert (training.shots, testing.shots, testing.queries) == (1, 5, 2)
    assert preset.fingerprint != PRESETS["maml", "omniglot"].fingerprint
    assert preset.run_name == "maml-strokes-seed0"
    assert preset.replace({"network": "conv4", "seed": 2}).run_name == "maml-strokes-conv4-seed2"


def test_settings_reach_what_they_set(stand_in_omniglot: Path) -> None:
    settings = {"shots": 3, "queries": 4, "hidden": (7,), "initialiser": "truncated_normal", "inner_steps": 2}
    experiment = PRESETS["fomaml", "sinusoid"].replace(settings).experiment()
    assert isinstance(experiment.learner, MAML)
    leaves, _ = tree.flatten(experiment.learner.init(np.random.default_rng(0)))
    assert {leaf.shape for leaf in leaves} == {(1, 7), (7,), (7, 1), (1,)}
    assert max(np.abs(leaf).max() for leaf in leaves) <= 0.02
    assert experiment.learner.inner_steps == 2
    assert experiment.training_tasks.sample(np.random.default_rng(0), 2).query.inputs.shape == (2, 4, 1)

    changes = {"ways": 3, "rotations": False, "evaluation.shots": 2, "evaluation.rotations": False}
    training, testing = PRESETS["maml", "omniglot"].replace(changes).experiment(stand_in_omniglot)[2:4]
    assert isinstance(training, FewShot) and isinstance(testing, FewShot)
    assert (training.ways, training.rotations, testing.shots, testing.rotations) == (3, False, 2, False)


def test_all_learners_have_presets_for_all_tasks() -> None:
    learned = {(learner, task) for learner in LEARNERS for task in ("sinusoid", "omniglot", "strokes", "images")}
    # Few-shot classes have other labels in every task, so there is nothing to pre-train on jointly.
    of_examples = learned - {("pretraining", task) for task in ("omniglot", "strokes", "images")}
    of_examples -= {("oracle", task) for task in ("sinusoid", "omniglot", "strokes", "images")}
    # A policy has no examples for the LSTM meta-learner to read, or neighbours to compare.
    acting = ("maml", "fomaml", "reptile", "pretraining", "finetuning", "oracle")
    worlds = ("navigation", "cheetah-direction", "cheetah-velocity")
    assert set(PRESETS) == of_examples | {(learner, world) for learner in acting for world in worlds}
    assert LEARNERS == ("maml", "fomaml", "reptile", "lstm", "pretraining", "finetuning", "nearest", "oracle")
    assert all(preset.names == names and preset.title for names, preset in PRESETS.items())


def count(parameters: Any) -> int:
    return sum(leaf.size for leaf in tree.flatten(parameters)[0])


def test_reptile_on_sinusoids_is_the_authors() -> None:
    experiment: Any = PRESETS["reptile", "sinusoid"].experiment()
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
    preset = PRESETS["reptile", "omniglot"]
    experiment = preset.experiment(stand_in_omniglot)
    learner, training, testing = experiment.learner, experiment.training_tasks, experiment.evaluation_tasks
    assert isinstance(learner, Reptile) and isinstance(training, Shuffled) and isinstance(testing, Shuffled)
    meta = learner.init(np.random.default_rng(0))
    # 256 flat features, factor and offset: see the released sizes in tests/nn.
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
    assert (preset.run.meta_batch, preset.evaluation.steps) == (5, 50)
    drawn = preset.replace({"fixed_turns": False}).experiment(stand_in_omniglot).training_tasks
    assert isinstance(drawn, Shuffled) and isinstance(drawn.tasks, FewShot)
    assert len(drawn.tasks.images) == 1200 and drawn.tasks.rotations
    # beta1 = 0: without momentum the first step of the inner Adam forgets nothing
    first, _ = learner.inner_optimiser.update(np.ones(1), learner.inner_optimiser.init(np.ones(1)), np.ones(1))
    np.testing.assert_allclose(first, 1 - 0.001, rtol=1e-6)
    state = learner.inner_optimiser.init(np.ones(1))
    assert learner.inner_optimiser.update(np.full(1, 5.0), state, np.ones(1))[1]["first_moment"] == 5.0


def test_lstm_presets_are_the_papers() -> None:
    preset = PRESETS["lstm", "sinusoid"]
    experiment: Any = preset.experiment()
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
    settings = {"recurrence": "post_sigmoid", "gradient": "divided", "order": 2, "statistics": "batch"}
    other = preset.replace(settings).experiment().learner
    assert isinstance(other, MetaLSTM) and other.divide_gradient and other.momentum is None
    assert (other.recurrence, other.order, learner.momentum, learner.divide_gradient) == ("post_sigmoid", 2, 0.9, False)


@pytest.mark.usefixtures("strokes_at_once")
def test_maml_has_its_variations_by_name() -> None:
    last_layer: Any = {"learned_rates": True, "adapts": "last_layer"}
    meta = PRESETS["maml", "sinusoid"].replace(last_layer).experiment().learner.init(np.random.default_rng(0))
    assert set(meta["rates"]) == {"2/weight", "2/bias"}
    no_offsets: Any = {"learned_rates": True, "adapts": "all_but_offsets"}
    offsets = PRESETS["fomaml", "strokes"].replace(no_offsets).experiment().learner
    assert set(offsets.init(np.random.default_rng(0))["rates"]) == {*(f"{i}/weight" for i in range(5)), "4/bias"}
    conv4 = PRESETS["maml", "strokes"].replace({"network": "conv4", **last_layer}).experiment().learner
    assert set(conv4.init(np.random.default_rng(0))["rates"]) == {"4/weight", "4/bias"}


@pytest.mark.usefixtures("strokes_at_once")
def test_baselines_are_what_they_say() -> None:
    pre = PRESETS["pretraining", "sinusoid"].experiment().learner
    assert isinstance(pre, FineTuning) and pre.pretrain and pre.inner_steps == 1
    tuning = PRESETS["finetuning", "strokes"].experiment().learner
    assert (
        isinstance(tuning, FineTuning) and not tuning.pretrain and tuning.inner_steps == 10 and max(tuning.rates) == 1.0
    )
    nearest = PRESETS["nearest", "strokes"].experiment().learner
    assert isinstance(nearest, NearestNeighbour) and nearest.ways == 5
    assert PRESETS["nearest", "sinusoid"].experiment().learner == NearestNeighbour(mean_squared_error)


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
    return value - 1 if name == "shots" and value > 1 else value + 60  # no more than there are points on the grid


@pytest.mark.parametrize("key", PRESETS, ids=" ".join)
def test_the_fingerprint_is_all_but_length_and_measurement(key: tuple[str, str]) -> None:
    learner, base = key[0], PRESETS[key]
    kinds = {name: kind for part in PARTS[:3] for name, kind in get_type_hints(type(getattr(base, part))).items()}
    assert base.fingerprint == base.replace({"evaluation.tasks": 9}).fingerprint
    for name, kind in kinds.items():
        if name in base.settings:
            # There is a weight for each inner step, or none.
            same = {"step_weights": ()} if name == "inner_steps" and "step_weights" in kinds else {}
            weights = (2.0,) * base.settings.get("inner_steps", 0)
            changed = weights if name == "step_weights" else another(name, base.settings[name], kind)
            one, other = base.replace(same), base.replace({**same, name: changed})
            # The length of a run is part of what a step of Reptile is.
            assert (one.fingerprint == other.fingerprint) == (name == "iterations" and learner != "reptile"), name
    assert base.fingerprint["learner"] == learner


@pytest.mark.parametrize(
    ("said", "source"),
    [
        (Said(0.01), ""),
        (Said(0.01, "0.01", "0.001, by default"), "paper (followed): 0.01; released code: 0.001, by default"),
        (Said("tanh", "relu", "tanh: better"), "paper: relu; released code (followed): tanh: better"),
        (Said(32, "32; 16 for 20 ways", "32"), "paper: 32; 16 for 20 ways; released code: 32"),
        (Said(1, "12", "1.5"), "paper: 12; released code: 1.5"),
        (Said(60_000, code="60,000"), "released code: 60,000"),
        (Said((4.0, 5.0), "3 5", "4 5"), "paper: 3 5; released code (followed): 4 5"),
    ],
)
def test_a_source_says_which_one_is_followed_if_they_differ(said: Said, source: str) -> None:
    assert said.source() == source
    assert said.source("Omniglot") == re.sub("(paper|released code)", r"\1 of Omniglot", source)


def test_first_order_maml_has_the_settings_of_maml() -> None:
    for task in ("sinusoid", "omniglot", "strokes", "images"):
        first, second = PRESETS["fomaml", task], PRESETS["maml", task]
        assert first.settings == second.settings and first != second
        assert first.fingerprint != second.fingerprint


def test_parts_meet_freely() -> None:
    maml, reptile = PRESETS["maml", "sinusoid"], PRESETS["reptile", "sinusoid"]
    mixed = Preset(maml.run, maml.learner, reptile.benchmark, maml.evaluation)
    tasks = mixed.experiment().training_tasks
    assert isinstance(tasks, Sinusoid) and tasks.phase[1] == 2 * np.pi and tasks.grid == 50


COUNTS = "shots queries inner_steps inner_batch evaluation_batch lstm_hidden meta_batch iterations filters"
SIZES = "inner_learning_rate learning_rate outer_step_size largest_gradient"
WRONG: dict[str, list[Any]] = {
    **{name: [0, -3] for name in COUNTS.split()},
    **{name: [0.0, float("nan")] for name in SIZES.split()},
    "hidden": [(40, 0)],
    "rates": [(0.1, 0.0)],
    "seed": [-1, 2**32],
    "ways": [1],
    "grid_points": [49],
    "final_step": [-0.1, 1.5],
    "largest_element": [-1.0],
    "step_weights": [(0.5, -0.5)],
    "size": [15],
    "statistics_weight": [0.0, 1.5],
}


@pytest.mark.parametrize("key", PRESETS, ids=" ".join)
def test_values_out_of_range_are_refused(key: tuple[str, str]) -> None:
    preset = PRESETS[key]
    for name, values in WRONG.items():
        for value in values if name in preset.settings and (name != "grid_points" or key[0] == "reptile") else ():
            with pytest.raises(ConfigurationError, match=f"^{name} must be"):
                preset.replace({name: value})
    for name in ("shots", "queries", "seed", "steps", "tasks"):
        with pytest.raises(ConfigurationError, match=f"^{name} must be"):
            preset.replace({f"evaluation.{name}": -1})


def test_navigation_is_finns() -> None:
    experiment = PRESETS["maml", "navigation"].experiment()
    agent: Any = experiment.learner
    assert count(agent.init(np.random.default_rng(0))) == 10_604  # 2-100-100-2, and two deviations
    assert (agent.learner.order, agent.inner_steps, agent.episodes, agent.discount, agent.decay) == (2, 1, 20, 0.99, 1)
    assert experiment.optimiser == TrustRegion(0.01)
    tested: Any = experiment.evaluation_tasks
    assert len(tested) == 40 and tested[0].horizon == 100
    assert PRESETS["fomaml", "navigation"].experiment().learner.learner.order == 1  # type: ignore[attr-defined]
    ppo = PRESETS["maml", "navigation"].replace({"outer": "ppo"}).experiment()
    assert ppo.optimiser == Repeated(ppo.optimiser.optimiser, 5)  # type: ignore[union-attr]


def test_baselines_that_act_are_what_they_say() -> None:
    oracle: Any = PRESETS["oracle", "navigation"].experiment()
    assert oracle.learner.inner_steps == 0
    assert oracle.training_tasks(np.random.default_rng(0)).observation.shape == (4,)
    assert oracle.evaluation_tasks[0].observation.shape == (4,)
    still: Any = PRESETS["finetuning", "navigation"].experiment()
    parameters = still.learner.init(np.random.default_rng(0))
    assert still.optimiser.update(parameters, still.optimiser.init(parameters), parameters)[0] is parameters
    assert PRESETS["pretraining", "navigation"].experiment().learner.inner_steps == 0  # type: ignore[attr-defined]


def test_the_cheetahs_are_finns() -> None:
    pytest.importorskip("mujoco", reason="the cheetah is MuJoCo's")
    for task, bound, iterations in (("cheetah-direction", 0.02, 100), ("cheetah-velocity", 0.01, 475)):
        preset = PRESETS["maml", task]
        experiment: Any = preset.experiment()
        assert count(experiment.learner.init(np.random.default_rng(0))) == 12_812
        assert (experiment.optimiser.bound, preset.run.iterations, preset.run.meta_batch) == (bound, iterations, 40)


def test_a_setting_is_read_by_the_name_that_it_had() -> None:
    preset = PRESETS["reptile", "sinusoid"]
    assert preset.replace({"grid": 60}) == preset.replace({"grid_points": 60}) != preset
    compare("checkpoint.npz", {"grid": 50, "shots": 50}, {"grid_points": 50, "shots": 50})
    with pytest.raises(CheckpointError, match="grid_points"):
        compare("checkpoint.npz", {"grid": 60}, {"grid_points": 50})
