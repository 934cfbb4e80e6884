"""A trained learner adapts and predicts; the oracle is the learner itself, an evaluation, or a difference."""

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minimeta as mm
from minimeta import nn, optim
from minimeta.errors import ConfigurationError, DtypeError, ShapeError
from minimeta.learners import MAML, FineTuning, MetaLearner, MetaLSTM, NearestNeighbour, Reptile
from minimeta.prediction import TrainedLearner
from minimeta.tasks import Examples, Sinusoid
from minimeta.tasks.inputs import Inputs
from minimeta.training import TrainingState, checkpoint, fit

PLAIN, NORMALISED = nn.mlp((3, 5, 2), activation="tanh"), nn.mlp((3, 5, 2), activation="tanh", batch_norm=True)
LOSS = nn.cross_entropy
LEARNERS: dict[str, MetaLearner] = {
    "maml": MAML(NORMALISED, LOSS, 0.3, 2),
    "first order": MAML(PLAIN, LOSS, 0.3, 2, order=1),
    "reptile": Reptile(NORMALISED, LOSS, optim.sgd(0.2), 2, evaluation_batch_size=2),
    "lstm": MetaLSTM(PLAIN, LOSS, 2),
    "fine-tuning": FineTuning(PLAIN, LOSS, (0.1, 0.3), 2),
    "nearest": NearestNeighbour(LOSS, 2),
}
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(6, 3)).astype(np.float32), np.array(["cat", "dog", "cat", "dog", "cat", "dog"])
QUERIES = RNG.normal(size=(19, 3)).astype(np.float32)


def trained(name: str, **forms: Any) -> TrainedLearner:
    learner = LEARNERS[name]
    return TrainedLearner(learner, learner.init(np.random.default_rng(1)), steps=2, **forms)


@pytest.mark.parametrize("name", LEARNERS)
def test_it_predicts_what_the_learner_does(name: str) -> None:
    known = trained(name).adapt(X, Y)
    learner, seen = known.learner, Examples(X, (Y == "dog").astype(np.int64))
    if name == "reptile":
        order = np.random.default_rng(0).permutation(6)
        seen = Examples(X[order], seen.targets[order])
    adapted = learner.adapt(known.meta_parameters, seen, 2)[-1]
    alone = np.stack([learner.predict(adapted, np.concatenate([X, query[np.newaxis]]))[-1] for query in QUERIES])

    np.testing.assert_array_equal(known.outputs(QUERIES), alone)
    np.testing.assert_array_equal(known.outputs(QUERIES, transductive=True), learner.predict(adapted, QUERIES))
    assert known.predict(QUERIES).tolist() == [["cat", "dog"][c] for c in alone.argmax(-1)]
    probability = known.predict_proba(QUERIES)
    np.testing.assert_allclose(probability.sum(1), 1, rtol=1e-6)
    assert known.score(QUERIES, known.predict(QUERIES)) == 1
    again = pickle.loads(pickle.dumps(known))
    np.testing.assert_array_equal(again.outputs(QUERIES), alone)


@pytest.mark.parametrize("name", [name for name in LEARNERS if name != "nearest"])
def test_influence_is_a_directional_derivative(name: str) -> None:
    """Of the log-probability, while an example fades to the mean; by central differences in double precision."""
    known = trained(name)
    known = replace(known, meta_parameters=mm.tree.map(lambda x: x.astype(np.float64), known.meta_parameters))
    inputs, query = X.astype(np.float64), QUERIES[:3].astype(np.float64)
    found = known.adapt(inputs, Y).influence(query)
    chosen, step = known.adapt(inputs, Y).outputs(query).argmax(-1), 1e-5
    for example in range(len(X)):
        sides = []
        for sign in (1, -1):
            moved = inputs.copy()
            moved[example] += sign * step * (inputs[example] - inputs.mean(0))
            sides.append(np.log(known.adapt(moved, Y).predict_proba(query))[range(3), chosen])
        np.testing.assert_allclose(found[:, example], (sides[0] - sides[1]) / (2 * step), rtol=1e-4, atol=1e-7)


def test_the_nearest_neighbour_is_what_matters_to_it() -> None:
    known = trained("nearest").adapt(X, Y)
    np.testing.assert_array_equal(known.influence(X), np.eye(6))


def test_regression() -> None:
    learner = MAML(nn.mlp((1, 6, 1)), nn.mean_squared_error, 0.05, 1)
    fresh = TrainedLearner(learner, learner.init(np.random.default_rng(0)), steps=3, inputs=Inputs((1,)))
    x, y = np.linspace(-1, 1, 5), np.linspace(0, 2, 5)
    columns = np.stack([x, y], 1).astype(np.float32)
    known = fresh.adapt(x, y)
    assert known.classes is None
    adapted = learner.adapt(fresh.meta_parameters, Examples(columns[:, :1], columns[:, 1:]), 3)[-1]
    predictions = known.predict(x[:, np.newaxis])
    np.testing.assert_allclose(predictions, learner.predict(adapted, columns[:, :1]), rtol=1e-5)
    residual = ((y - predictions[:, 0]) ** 2).sum()
    assert known.score(x, y) == pytest.approx(1 - residual / ((y - y.mean()) ** 2).sum())
    moved = fresh.adapt(x, y + np.array([0.01, 0, 0, 0, 0])).predict(x) - predictions
    np.testing.assert_allclose(known.influence(x)[:, 0], moved[:, 0] / 0.01, rtol=1e-2, atol=1e-4)
    with pytest.raises(ConfigurationError, match="targets are numbers, which have no classes"):
        known.predict_proba(x)


IMAGES = Inputs((2, 2, 1), full_scale=255, flat=True)


@pytest.mark.parametrize(
    ("given", "scaled"),
    [
        (np.full((1, 2, 2), 51, np.uint8), 0.2),
        (np.full((1, 2, 2, 1), 13107, np.uint16), 0.2),
        (np.full((1, 4), 0.2), 0.2),
        (np.ones((1, 2, 2), bool), 1),
    ],
)
def test_images_come_as_they_are(given: Any, scaled: float) -> None:
    np.testing.assert_allclose(IMAGES("support", given), np.full((1, 4), scaled, np.float32))
    (dark,) = replace(IMAGES, ink=True).of_files(np.full((1, 1), 255, np.uint8))
    assert dark == 0


@pytest.mark.parametrize(
    ("inputs", "x", "y", "error", "message"),
    [
        (None, X, ["cat"] * 6, ConfigurationError, r"1 class \(cat\) alone; there should be two or more"),
        (
            None,
            X,
            list("abcabc"),
            ConfigurationError,
            r"3 classes \(a, b, c\), and this learner was trained",
        ),
        (None, X, [1, 2], ShapeError, "6 examples in X, and y has shape"),
        (None, X[:, :2], Y, ShapeError, "2"),
        (None, [["a"]], ["a"], DtypeError, "support: examples should be numbers"),
        (None, X[:0], [], ShapeError, "there should be examples"),
        (
            IMAGES,
            np.zeros((2, 3, 3)),
            [0, 1],
            ShapeError,
            r"\(3, 3\), and this .* on \(2, 2, 1\): resize",
        ),
        (IMAGES, np.zeros((2, 2)), [0, 1], ShapeError, r"this is one example, of shape \(2, 2\): give a list"),
        (IMAGES, np.zeros((2, 3)), [0, 1], ShapeError, r"was trained on \(2, 2, 1\)($|\n)"),
        (IMAGES, np.full((2, 2, 2), 7.0), [0, 1], ConfigurationError, "floats are from 0 to 1, and these from 7 to 7"),
        (replace(IMAGES, full_scale=225), np.full((2, 4), 255, np.uint8), [0, 1], ConfigurationError, "from 0 to 225"),
        (IMAGES, np.full((2, 2, 2), np.nan), [0, 1], ConfigurationError, "NaNs"),
    ],
)
def test_what_does_not_fit_is_named(inputs: Any, x: Any, y: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        trained("first order", ways=2, inputs=inputs).adapt(x, y)


def test_a_query_of_another_size_and_a_learner_without_a_task_are_named() -> None:
    fresh = trained("nearest")
    with pytest.raises(ConfigurationError, match=r"knows no task yet. adapt returns one that does"):
        fresh.predict(X)
    with pytest.raises(ShapeError, match=r"query: examples have shape \(2,\), and those of the support set \(3,\)"):
        fresh.adapt(X, Y).predict(X[:, :2])
    with pytest.raises(ConfigurationError, match="2 outputs, one for each class"):
        trained("maml").adapt(X, list("abcabc"))
    with pytest.raises(ConfigurationError, match="steps=-1"):
        trained("maml").adapt(X, Y, steps=-1)


def test_a_run_of_your_own(tmp_path: Path) -> None:
    learner = MAML(nn.mlp((1, 6, 1)), nn.mean_squared_error, 0.01, 2)
    settings: dict[str, Any] = {"meta_batch": 2, "seed": 3}
    whole = fit(learner, Sinusoid(), optim.adam(), iterations=4, **settings)

    def interrupt(state: TrainingState, _: Any) -> None:
        if state.step == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(learner, Sinusoid(), optim.adam(), iterations=4, folder=tmp_path / "own", callbacks=[interrupt], **settings)
    assert checkpoint.read_header(tmp_path / "own" / "checkpoint.npz").step == 2
    state = fit(learner, Sinusoid(), optim.adam(), iterations=4, folder=tmp_path / "own", **settings)
    loaded = mm.load(tmp_path / "own", learner)
    for found in (state.meta_parameters, loaded.meta_parameters):
        mm.tree.map(np.testing.assert_array_equal, whole.meta_parameters, found)
    assert loaded.steps == 2
    with pytest.raises(ConfigurationError, match=r"of a learner of your own.*minimeta.load\(run, learner\)"):
        mm.load(tmp_path / "own")
    with pytest.raises(ConfigurationError, match=r"there is no run of .*none.checkpoint\.npz is missing"):
        mm.load(tmp_path / "none", learner)
    with pytest.raises(ConfigurationError, match=r"checkpoint.npz is a file, .*: minimeta.load\('.*own', learner\)"):
        mm.load(tmp_path / "own" / "checkpoint.npz", learner)
    (tmp_path / "loss.program").touch()
    with pytest.raises(ConfigurationError, match=r"loss.program is a file .* read by minimeta.program.load"):
        mm.load(tmp_path / "loss.program")
    assert "array" not in repr(loaded)
    other = MAML(nn.mlp((1, 7, 1)), nn.mean_squared_error, 0.01, 2)
    with pytest.raises(mm.errors.CheckpointError, match=r"0/weight is float32 of shape \(1, 6\), but in this run"):
        mm.load(tmp_path / "own", other)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"learner": MAML(nn.mlp((1, 6, 1)), nn.mean_squared_error, 0.02, 2)},
            r"inner_learning_rate is 0.01 there and 0.02",
        ),
        ({"optimiser": optim.adam(0.1)}, r"optimiser\.update\.0 is 0.001 there and 0.1 here"),
        ({"optimiser": optim.sgd(0.1)}, r"optimiser\.update"),
        ({"tasks": Sinusoid(shots=5)}, "tasks.shots is 10 there and 5 here"),
        ({"seed": 4}, "seed is 3 there and 4 here"),
    ],
)
def test_a_folder_goes_on_with_its_own_settings_alone(changed: dict[str, Any], message: str, tmp_path: Path) -> None:
    learner = MAML(nn.mlp((1, 6, 1)), nn.mean_squared_error, 0.01, 2)
    given: dict[str, Any] = {"learner": learner, "tasks": Sinusoid(), "optimiser": optim.adam()}
    given |= {"meta_batch": 2, "seed": 3, "folder": tmp_path}
    fit(**given, iterations=2)
    with pytest.raises(mm.errors.CheckpointError, match=message):
        fit(**{**given, **changed}, iterations=4)
    with pytest.raises(ConfigurationError, match=r"has done 2 steps; iterations=1 is fewer"):
        fit(**given, iterations=1)
