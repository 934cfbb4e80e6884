"""Few-shot learners by scikit-learn's conventions: ``fit`` adapts, ``meta_fit`` meta-trains.

    FewShotClassifier(learner)     fit(X, y) adapts the learner to X and y; predict, predict_proba, score
    FewShotRegressor(learner)      the same for numbers; score is R^2

``learner`` is the folder of a run, a :class:`~minimeta.prediction.TrainedLearner`, a meta-learner
that ``meta_fit`` trains, or None for a small network that ``fit`` trains from random weights. That
one is a baseline, and what scikit-learn's own checks run on.

As everywhere in scikit-learn, a clone has the parameters of its original and forgets what was
fitted, so what was meta-trained, too. To keep that, make it a parameter:
``FewShotClassifier(classifier.trained_)``.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from minimeta import nn
from minimeta.errors import ConfigurationError, MissingExtraError
from minimeta.learners import MAML
from minimeta.optim import Optimiser, adam
from minimeta.prediction.loading import load
from minimeta.prediction.trained import Kind, TrainedLearner
from minimeta.tasks import TaskDistribution
from minimeta.training import fit

try:
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
    from sklearn.utils import check_random_state
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_is_fitted, validate_data
except ModuleNotFoundError as error:
    raise MissingExtraError(
        "estimators need scikit-learn, which is not installed: pip install 'minimeta[sklearn]'"
    ) from error

_STEPS, _RATE = 100, 0.01
"""Of the small network: steps of Adam, and their size."""


class _FewShot(BaseEstimator):  # type: ignore[misc]
    """What classifier and regressor share: their parameters, and where their learner comes from."""

    _kind: ClassVar[Kind]

    def __init__(
        self,
        learner: Any = None,
        *,
        steps: int | None = None,
        hidden: tuple[int, ...] = (32,),
        random_state: Any = 0,
    ) -> None:
        self.learner = learner
        self.steps = steps
        self.hidden = hidden
        self.random_state = random_state

    def meta_fit(
        self,
        tasks: TaskDistribution,
        *,
        iterations: int = 1000,
        meta_batch: int = 4,
        optimiser: Optimiser | None = None,
    ) -> Self:
        """Meta-train the learner (:func:`minimeta.training.fit`), and return the estimator.

        Parameters
        ----------
        tasks
            A distribution of tasks like those that ``fit`` will see.
        iterations, meta_batch
            Steps of meta-training, and tasks per step.
        optimiser
            That of the meta-parameters; by default Adam.

        Raises
        ------
        ConfigurationError
            If the learner is trained already.
        """
        learner = self.learner
        if isinstance(learner, TrainedLearner | str | os.PathLike):
            raise ConfigurationError("meta_fit: the learner is trained already; give a meta-learner, or None")
        if learner is None:
            support = tasks.sample(np.random.default_rng(0), 1).support
            outputs = int(support.targets.max()) + 1 if self._kind == "classification" else support.targets[0, 0].size
            learner = self._network(support.inputs[0, 0].size, outputs, inner_learning_rate=0.1, inner_steps=3)
        state = fit(
            learner, tasks, optimiser or adam(), iterations=iterations, meta_batch=meta_batch, seed=self._seed()
        )
        self.trained_ = self._with(learner, state.meta_parameters)
        return self

    def _fit(self, examples: NDArray[Any], targets: NDArray[Any], outputs: int) -> Self:
        self.known_ = self._learner(examples[0].size, outputs).adapt(examples, targets, self.steps)
        return self

    def _learner(self, features: int, outputs: int) -> TrainedLearner:
        """Return the learner that adapts."""
        given = self.learner
        if isinstance(given, str | os.PathLike):
            given = load(given)
        if isinstance(given, TrainedLearner):
            if given.kind not in (None, self._kind):
                raise ConfigurationError(f"{type(self).__name__}: the learner was trained for {given.kind}")
            return replace(given, kind=self._kind)
        if hasattr(self, "trained_"):
            return self.trained_
        learner = given
        if learner is None:
            learner = self._network(features, outputs, inner_optimiser=adam(_RATE), inner_steps=_STEPS)
        return self._with(learner, learner.init(np.random.default_rng(self._seed())))

    def _with(self, learner: Any, meta_parameters: Any) -> TrainedLearner:
        own = self.learner is None
        return TrainedLearner(
            learner,
            meta_parameters,
            steps=getattr(learner, "inner_steps", 1),
            kind=self._kind,
            batch_statistics=not own,
            compiled=not own,  # one task of many steps is not worth a program
        )

    def _network(self, features: int, outputs: int, **settings: Any) -> MAML:
        model = nn.mlp((features, *self.hidden, outputs), activation="tanh")
        return MAML(model, nn.cross_entropy if self._kind == "classification" else nn.mean_squared_error, **settings)

    def _seed(self) -> int:
        return int(check_random_state(self.random_state).randint(2**31 - 1))

    def _queries(self, given: ArrayLike) -> NDArray[Any]:
        check_is_fitted(self, "known_")
        return np.asarray(validate_data(self, given, reset=False, allow_nd=True))


class FewShotClassifier(ClassifierMixin, _FewShot):  # type: ignore[misc]
    """A few-shot classifier.

    Parameters
    ----------
    learner
        The folder of a run, a trained learner, a meta-learner, or None for a small network.
    steps
        The number of adaptation steps; None for the learner's own.
    hidden
        Widths of the hidden layers of the small network.
    random_state
        Decides the weights of a learner that is not trained.

    Attributes
    ----------
    classes_
        The labels, sorted.
    known_
        The adapted learner, a :class:`~minimeta.prediction.TrainedLearner`.
    trained_
        The meta-trained one, after ``meta_fit``.

    Examples
    --------
    >>> classifier = FewShotClassifier().fit([[0.0, 0.0], [1.0, 1.0]], ["low", "high"])
    >>> classifier.predict([[0.9, 0.8]])
    array(['high'], dtype='<U4')
    """

    _kind = "classification"

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:  # noqa: N803 (scikit-learn's name)
        """Adapt to a support set, and return the estimator."""
        examples, labels = validate_data(self, X, y, allow_nd=True)
        check_classification_targets(labels)
        self.classes_ = np.unique(labels)
        return self._fit(examples, labels, len(self.classes_))

    def predict(self, X: ArrayLike) -> NDArray[Any]:  # noqa: N803
        """Return the most probable label of each query."""
        queries = self._queries(X)
        return self.known_.predict(queries)

    def predict_proba(self, X: ArrayLike) -> NDArray[Any]:  # noqa: N803
        """Return the probability of each class, in the order of ``classes_``."""
        queries = self._queries(X)
        return self.known_.predict_proba(queries)


class FewShotRegressor(RegressorMixin, _FewShot):  # type: ignore[misc]
    """A few-shot regressor, with the parameters and attributes of :class:`FewShotClassifier`.

    Examples
    --------
    >>> x = np.linspace(-1, 1, 9).reshape(-1, 1)
    >>> bool(FewShotRegressor().fit(x, 2 * x[:, 0]).score(x, 2 * x[:, 0]) > 0.9)
    True
    """

    _kind = "regression"

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:  # noqa: N803
        """Adapt to a support set, and return the estimator."""
        examples, numbers = validate_data(self, X, y, allow_nd=True, multi_output=True, y_numeric=True)
        self._one_number = numbers.ndim == 1
        return self._fit(examples, numbers, numbers[0].size)

    def predict(self, X: ArrayLike) -> NDArray[Any]:  # noqa: N803
        """Return a float64 for each query, or a row of them if the targets were rows."""
        queries = self._queries(X)
        found = self.known_.predict(queries).astype(np.float64)
        return found[:, 0] if self._one_number else found
