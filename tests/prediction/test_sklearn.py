"""The estimators keep scikit-learn's conventions, by its own checks and tools."""

from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

import minimeta as mm
from minimeta import nn
from minimeta.errors import ConfigurationError
from minimeta.learners import MAML
from minimeta.prediction import FewShotClassifier, FewShotRegressor, TrainedLearner
from minimeta.tasks import FewShot, Sinusoid

pytest_plugins = ["trained_runs"]

RNG = np.random.default_rng(0)
X = np.concatenate([RNG.normal(size=(20, 2)), RNG.normal(size=(20, 2)) + 3])
Y = np.repeat(["near", "far"], 20)


@pytest.mark.parametrize("kind", [FewShotClassifier, FewShotRegressor])
@pytest.mark.filterwarnings("ignore")  # of what the checks do on purpose
def test_scikit_learns_own_checks_pass(kind: Any) -> None:
    results = check_estimator(kind(steps=40, hidden=(16,)), on_fail=None)
    failed = {each["check_name"]: repr(each["exception"]) for each in results if each["status"] == "failed"}
    assert failed == {}
    assert sum(each["status"] == "passed" for each in results) > 40


def test_clones_pipelines_and_searches() -> None:
    whole = make_pipeline(StandardScaler(), FewShotClassifier(steps=60, hidden=(8,)))
    assert cross_val_score(whole, X, Y, cv=2).min() > 0.8
    search = GridSearchCV(whole, {"fewshotclassifier__steps": [0, 60]}, cv=2).fit(X, Y)
    assert search.best_params_ == {"fewshotclassifier__steps": 60}
    parameters = clone(whole)[1].get_params()
    assert parameters == {"hidden": (8,), "learner": None, "random_state": 0, "steps": 60}


def test_a_trained_learner_is_a_parameter_that_clones_keep(trained: Path, tmp_path: Path) -> None:
    learner: TrainedLearner = mm.load(trained)
    x = np.linspace(-4, 4, 6)[:, np.newaxis]
    y = np.sin(x[:, 0])
    regressor = FewShotRegressor(learner, steps=2).fit(x, y)
    expected = learner.adapt(x, y, steps=2).predict(x)[:, 0]
    np.testing.assert_array_equal(regressor.predict(x), expected)
    for again in (clone(regressor).fit(x, y), FewShotRegressor(trained, steps=2).fit(x, y)):
        np.testing.assert_array_equal(again.predict(x), expected)
    joblib.dump(regressor, tmp_path / "regressor")
    np.testing.assert_array_equal(joblib.load(tmp_path / "regressor").predict(x), expected)
    assert FewShotRegressor(learner).fit(x, np.sin(x)).predict(x).shape == (6, 1)
    with pytest.raises(ConfigurationError, match="the learner was trained for regression"):
        FewShotClassifier(trained).fit(x, [0, 1] * 3)


def test_meta_fit() -> None:
    tasks = Sinusoid(shots=5, queries=5)
    own = MAML(nn.mlp((1, 8, 1)), nn.mean_squared_error, 0.01, 2)
    batch = tasks.sample(np.random.default_rng(0), 1)
    x, y = batch.support.inputs[0], batch.support.targets[0]
    for learner in (own, None):
        regressor = FewShotRegressor(learner).meta_fit(tasks, iterations=2, meta_batch=2)
        assert regressor.fit(x, y).known_.meta_parameters is regressor.trained_.meta_parameters
        assert regressor.fit(x, y[:, 0]).predict(x).shape == (5,)
        kept = clone(FewShotRegressor(regressor.trained_)).fit(x, y)
        np.testing.assert_array_equal(kept.predict(x), regressor.fit(x, y).predict(x))
        with pytest.raises(ConfigurationError, match="the learner is trained already"):
            kept.meta_fit(tasks)


def test_tasks_of_a_data_set() -> None:
    flowers, kinds = load_iris(return_X_y=True)
    task = FewShot(flowers, kinds, ways=3, shots=5).sample(np.random.default_rng(0), 1)
    near = FewShotClassifier(steps=100, hidden=(8,)).fit(task.support.inputs[0], task.support.targets[0])
    assert near.score(task.query.inputs[0], task.query.targets[0]) == 1
    where = (flowers.astype(np.float32)[:, np.newaxis] == task.support.inputs[0]).all(-1)
    for column, target in zip(where.T, task.support.targets[0], strict=True):  # an input of one kind of flower
        first = task.support.targets[0] == target
        assert len({*kinds[column], *kinds[where[:, first].any(1)]}) == 1
