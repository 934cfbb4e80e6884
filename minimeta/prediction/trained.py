"""A learner with its meta-parameters: it adapts to a few examples, and predicts others.

With a support set ``S = {(x_1, y_1), ..., (x_n, y_n)}`` and ``K`` steps of the learner's own rule,

    theta_K = adapt(theta, S, K),    p(c | x) = softmax(f(x; theta_K))_c

for labels, and ``y = f(x; theta_K)`` for numbers. A prediction for one query depends on no other
query, unless it is asked to: a network that normalises by its batch sees the query together with
the support inputs (Nichol et al. 2018, section 6.1).

Labels may be anything that can be sorted. The network has an output for each of the classes of a
task that it was trained on, so there must be as many.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from html import escape
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from minimeta.autodiff import tree
from minimeta.autodiff.operations import softmax, take
from minimeta.errors import ConfigurationError, DtypeError, ShapeError
from minimeta.learners import MetaLearner, NearestNeighbour, Reptile
from minimeta.prediction.influence import influences
from minimeta.program import compile
from minimeta.tasks import Examples
from minimeta.tasks.inputs import Inputs
from minimeta.training.evaluate import predict_all, predict_each

_AT_ONCE = 16
"""Queries of one program; the outputs do not depend on it."""

Kind = Literal["classification", "regression"]


@dataclass(frozen=True, eq=False)
class TrainedLearner:
    """A learner with its meta-parameters; :meth:`adapt` returns one that also knows a task.

    Attributes
    ----------
    learner
        The meta-learner.
    meta_parameters
        What it has learned.
    steps
        The number of adaptation steps, if :meth:`adapt` is not given one.
    kind
        ``"classification"`` or ``"regression"``; None for what the targets say: floats are numbers,
        and anything else is labels.
    ways
        The number of classes of a task; None for as many as the network has outputs.
    inputs
        The form of the examples; None for what the learner takes, as it is.
    batch_statistics
        Whether a prediction depends on the batch it is made in.
    compiled
        Whether adaptation and prediction are compiled, which pays for all tasks but the first.
    classes
        The labels of an adapted learner, sorted; None before it, and in regression.

    Examples
    --------
    >>> from minimeta import nn
    >>> from minimeta.learners import MAML
    >>> maml = MAML(nn.mlp((2, 8, 2)), nn.cross_entropy, 0.1)
    >>> trained = TrainedLearner(maml, maml.init(np.random.default_rng(0)), steps=50)
    >>> known = trained.adapt([[0.0, 1.0], [1.0, 0.0]], ["up", "right"])
    >>> known.predict([[0.1, 1.1]])
    array(['up'], dtype='<U5')
    """

    learner: MetaLearner
    meta_parameters: Any = field(repr=False)
    steps: int = 1
    kind: Kind | None = None
    ways: int | None = None
    inputs: Inputs | None = None
    batch_statistics: bool = True
    compiled: bool = True
    classes: NDArray[Any] | None = None
    _support: Examples | None = field(default=None, repr=False)
    _adapted: Any = field(default=None, repr=False)
    _programs: dict[Any, Callable[..., Any]] = field(default_factory=dict, repr=False)

    def adapt(self, X: ArrayLike, y: ArrayLike, steps: int | None = None) -> Self:  # noqa: N803 (scikit-learn's name)
        """Learn a task from its support set.

        Parameters
        ----------
        X
            Examples, shape ``(examples, ...)``: images as bytes, 16-bit integers or floats from 0
            to 1, in the form that the learner was trained on; or any numbers.
        y
            Labels of shape ``(examples,)``, or numbers.
        steps
            The number of adaptation steps; by default ``self.steps``.

        Returns
        -------
        TrainedLearner
            One that knows the task; `self` does not change.

        Raises
        ------
        ShapeError
            If there are not as many targets as examples, or examples do not fit the learner.
        ConfigurationError
            If the labels are of one class alone, or of more or fewer than the learner's, or `steps`
            is negative.
        DtypeError
            If examples or, in regression, targets are no numbers.
        """
        steps = self.steps if steps is None else operator.index(steps)
        if steps < 0:
            raise ConfigurationError(f"adapt: steps={steps} must not be negative")
        inputs, given = self._examples("support", X), np.asarray(y)
        if given.shape[:1] != inputs.shape[:1]:
            raise ShapeError(f"adapt: there are {len(inputs)} examples in X, and y has shape {given.shape}")
        numbers = self.kind == "regression" or (self.kind is None and given.dtype.kind == "f")
        classes, targets = (None, _numbers(given, inputs.dtype)) if numbers else _labels(given, self.ways)
        support = Examples(inputs, targets)
        if classes is not None and self.ways is None:
            self._require_outputs(classes, support)
        adapted = self._program("adapt", steps, len(inputs))(self.meta_parameters, support)
        return replace(self, steps=steps, classes=classes, _support=support, _adapted=adapted)

    def _require_outputs(self, classes: NDArray[Any], support: Examples) -> None:
        """Refuse more or fewer classes than outputs, before a loss sees them."""
        before = self.learner.adapt(self.meta_parameters, support, 0)[-1]
        outputs = self.learner.predict(before, support.inputs).shape[-1]
        if outputs != len(classes):
            raise ConfigurationError(
                f"adapt: the support set has {_named(classes)}, and this learner {outputs} outputs, one for each "
                "class of a task: give it as many classes"
            )

    def outputs(self, X: ArrayLike, transductive: bool = False) -> NDArray[Any]:  # noqa: N803
        """Return the network's outputs for queries, shape ``(queries, outputs)``.

        Parameters
        ----------
        X
            Queries, in the form of the support examples.
        transductive
            Whether to predict all queries as one batch, instead of each alone with the support set.

        Raises
        ------
        ConfigurationError
            If the learner has not been adapted.
        ShapeError
            If queries have another form than the support examples.
        """
        return self._outputs(self._queries("predict", X), transductive)

    def _outputs(self, queries: NDArray[Any], transductive: bool) -> NDArray[Any]:
        assert self._support is not None
        known = self._support.inputs
        if transductive or not self.batch_statistics:
            return np.asarray(self._program("all")(self._adapted, known, queries))
        predict = self._program("each")
        return np.concatenate([predict(self._adapted, known, part)[:count] for part, count in _parts(queries)])

    def predict(self, X: ArrayLike, transductive: bool = False) -> NDArray[Any]:  # noqa: N803
        """Return the most probable label of each query, or in regression its numbers; arguments as of :meth:`outputs`.

        Numbers have the shape of the targets that :meth:`adapt` was given.
        """
        outputs = self.outputs(X, transductive)
        if self.classes is not None:
            return np.asarray(self.classes[outputs.argmax(-1)])
        return outputs

    def predict_proba(self, X: ArrayLike, transductive: bool = False) -> NDArray[Any]:  # noqa: N803
        """Return the probability of each class, shape ``(queries, classes)``, in the order of `classes`.

        Those of the nearest neighbour are 1 and 0.

        Raises
        ------
        ConfigurationError
            If the targets were numbers, or the learner has not been adapted.
        """
        outputs = self.outputs(X, transductive)
        if self.classes is None:
            raise ConfigurationError("predict_proba: the targets are numbers, which have no classes")
        return outputs if isinstance(self.learner, NearestNeighbour) else np.asarray(softmax(outputs, -1))

    def score(self, X: ArrayLike, y: ArrayLike, transductive: bool = False) -> float:  # noqa: N803
        """Return the accuracy, or in regression ``R^2 = 1 - sum (y - f)^2 / sum (y - mean of y)^2``."""
        found, given = self.predict(X, transductive), np.asarray(y)
        if given.shape[:1] != found.shape[:1]:
            raise ShapeError(f"score: there are {len(found)} examples in X, and y has shape {given.shape}")
        if self.classes is not None:
            return float(np.mean(found == given))
        given = given.reshape(found.shape)
        return float(1 - np.sum((given - found) ** 2) / np.sum((given - given.mean(0)) ** 2))

    def influence(self, X: ArrayLike) -> NDArray[Any]:  # noqa: N803
        """Return how much each support example matters for each prediction, shape ``(queries, support)``.

        The equation is that of :mod:`minimeta.prediction.influence`.
        """
        queries, support = self._queries("influence", X), self._support
        assert support is not None
        program = self._program("influence", self.steps, len(support.inputs))
        return np.concatenate([program(self.meta_parameters, support, part)[:count] for part, count in _parts(queries)])

    def _queries(self, what: str, given: ArrayLike) -> NDArray[Any]:
        if self._support is None:
            raise ConfigurationError(
                f"{what}: this learner knows no task yet. adapt returns one that does: known = learner.adapt(X, y)"
            )
        queries, known = self._examples("query", given), self._support.inputs.shape[1:]
        if queries.shape[1:] != known:
            raise ShapeError(f"query: examples have shape {queries.shape[1:]}, and those of the support set {known}")
        return queries

    def _examples(self, what: str, given: ArrayLike) -> NDArray[Any]:
        if self.inputs is not None:
            return self.inputs(what, given)
        examples = np.asarray(given)
        if examples.ndim < 2 or not len(examples):
            raise ShapeError(f"{what}: there should be examples of shape (examples, ...), not {examples.shape}")
        if examples.dtype.kind not in "biuf":
            raise DtypeError(f"{what}: examples should be numbers, not {examples.dtype}")
        floats = {leaf.dtype for leaf in tree.flatten(self.meta_parameters)[0] if leaf.dtype.kind == "f" and leaf.ndim}
        return examples.astype(floats.pop() if len(floats) == 1 else np.float32)

    def _program(self, name: str, steps: int = 0, count: int = 0) -> Callable[..., Any]:
        """Return a function of this learner, compiled; learners that :meth:`adapt` returned share them."""
        key = name, steps, count, self.classes is None
        if key not in self._programs:
            self._programs[key] = compile(self._function(name, steps, count), enabled=self.compiled)
        return self._programs[key]

    def _function(self, name: str, steps: int, count: int) -> Callable[..., Any]:
        learner = self.learner
        # Mini-batches are cut from a support set in random order.
        order = np.random.default_rng(0).permutation(count) if isinstance(learner, Reptile) else None

        def adapt(learner: MetaLearner, meta_parameters: Any, support: Examples) -> Any:
            seen = support if order is None else tree.map(lambda x: take(x, order, 0), support)
            return learner.adapt(meta_parameters, seen, steps)[-1]

        def adapted(meta_parameters: Any, support: Examples) -> Any:
            return adapt(learner, meta_parameters, support)

        def at_once(adapted: Any, known: Any, queries: Any) -> Any:
            return predict_all(learner, adapted, known, queries)

        def each(adapted: Any, known: Any, queries: Any) -> Any:
            return predict_each(learner, adapted, known, queries, compiled=self.compiled)

        if name == "influence":
            predict = predict_each if self.batch_statistics else predict_all
            return influences(learner, adapt, predict, of_labels=self.classes is not None)
        functions: dict[str, Callable[..., Any]] = {"adapt": adapted, "all": at_once, "each": each}
        return functions[name]

    def _repr_html_(self) -> str:
        facts = {
            "learner": type(self.learner).__name__,
            "for": self.kind or "what its targets say",
            "adaptation steps": self.steps,
            "classes": self.ways if self.classes is None else ", ".join(map(str, self.classes)),
            "parameters": sum(np.size(leaf) for leaf in tree.flatten(self.meta_parameters)[0]),
        }
        rows = (f"<tr><th>{name}</th><td>{escape(str(fact))}</td></tr>" for name, fact in facts.items())
        return f"<table>{''.join(rows)}</table>"

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_programs": {}}


def _labels(given: NDArray[Any], ways: int | None) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the classes and, for each example, the number of its class."""
    if given.ndim != 1:
        raise ShapeError(f"adapt: labels should have shape (examples,), not {given.shape}")
    classes, targets = np.unique(given, return_inverse=True)
    if len(classes) < 2:
        raise ConfigurationError(f"adapt: the support set has {_named(classes)} alone; there should be two or more")
    if ways is not None and len(classes) != ways:
        raise ConfigurationError(
            f"adapt: the support set has {_named(classes)}, and this learner was trained on tasks of {ways}, with one "
            f"output for each: give it {ways} classes, or train one with ways = {len(classes)}"
        )
    return classes, targets.astype(np.int64)


def _named(classes: NDArray[Any]) -> str:
    names = ", ".join(map(str, classes[:8])) + (", ..." if len(classes) > 8 else "")
    return f"{len(classes)} class{'es' if len(classes) > 1 else ''} ({names})"


def _numbers(given: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    if given.dtype.kind not in "biuf" or not np.isfinite(given).all():
        found = given.dtype if given.dtype.kind not in "biuf" else ", ".join(map(str, given[~np.isfinite(given)][:3]))
        raise DtypeError(f"adapt: in regression targets should be finite numbers; there is {found}")
    return given.reshape(len(given), -1).astype(dtype)


def _parts(queries: NDArray[Any]) -> Iterator[tuple[NDArray[Any], int]]:
    """Cut queries into parts of one size, so that one program serves all, each with how many of it count."""
    size = min(_AT_ONCE, len(queries))
    for begin in range(0, len(queries), size):
        part = queries[begin : begin + size]
        yield np.concatenate([part, part[:1].repeat(size - len(part), 0)]), len(part)
