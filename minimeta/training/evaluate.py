"""Meta-testing: how good a learner is before and after each step of adaptation, on tasks it has
never seen.

On each of n tasks the learner adapts to the support set, and is judged on the query set after 0, 1,
..., ``steps`` steps. For each number of steps we report the mean over tasks and the half-width of
its 95 % interval,

    mean = (v_1 + ... + v_n) / n,    1.96 s / sqrt(n),    s^2 = ((v_1 - mean)^2 + ... + (v_n - mean)^2) / (n - 1)

over n = 600 tasks, as Ravi and Larochelle (2017) and Finn et al. (2017) do. (The code released with
the latter divides by n where the sample variance divides by n - 1, a difference of 0.08 % for 600
tasks.) All means are over the same tasks: a task that diverges at any step is counted, and left out
of all of them.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from minimeta.autodiff import tree
from minimeta.autodiff.operations import concatenate, expand_dims
from minimeta.errors import ConfigurationError
from minimeta.learners import MetaLearner
from minimeta.program import compile, vmap
from minimeta.tasks import Task, TaskDistribution
from minimeta.training.batches import check_batch, check_number
from minimeta.training.randomness import checked_seed, evaluation_generator, whole_number

Metric: TypeAlias = Callable[[Any, Any], Any]

#: Number of tasks to judge together, in parallel; the values do not depend on it.
_AT_ONCE = 16


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The value of a metric for each task and number of adaptation steps.

    Attributes
    ----------
    values
        Shape ``(count, judgements)``, float64. A task that diverged holds NaN or infinities.
    every
        Number of steps between two judgements; the first one is before adaptation.
    also
        The evaluations by other metrics of the same predictions, by name.
    """

    values: NDArray[np.float64]
    every: int = 1
    also: Mapping[str, Evaluation] = field(default_factory=dict)

    @property
    def steps(self) -> list[int]:
        """The numbers of adaptation steps of the judgements."""
        return [self.every * number for number in range(self.values.shape[1])]

    @property
    def finite(self) -> NDArray[np.float64]:
        """The values of the tasks that are finite throughout, shape ``(count - diverged, judgements)``."""
        return self.values[np.isfinite(self.values).all(axis=1)]

    @property
    def diverged(self) -> int:
        """The number of tasks that became NaN or infinite at some step."""
        return len(self.values) - len(self.finite)

    @property
    def mean(self) -> NDArray[np.float64]:
        """Mean over the tasks that did not diverge, shape ``(judgements,)``; NaN if all did."""
        finite = self.finite
        return finite.mean(axis=0) if len(finite) else np.full(finite.shape[1], np.nan)

    @property
    def interval(self) -> NDArray[np.float64]:
        """Half-width of the 95 % interval of the mean, shape ``(judgements,)``; NaN for fewer than two tasks."""
        finite = self.finite
        if len(finite) < 2:
            return np.full(finite.shape[1], np.nan)
        return np.asarray(1.96 * finite.std(axis=0, ddof=1) / math.sqrt(len(finite)))


def predict_all(learner: MetaLearner, adapted: Any, known: Any, queries: Any, compiled: bool = True) -> Any:
    """Return the outputs for all queries of a task at once: transductive prediction."""
    return learner.predict(adapted, queries)


def predict_each(learner: MetaLearner, adapted: Any, known: Any, queries: Any, compiled: bool = True) -> Any:
    """Return the outputs for each query, in one batch with the known support inputs and no other query."""

    def with_support(query: Any) -> Any:
        return learner.predict(adapted, concatenate([known, expand_dims(query, 0)]))[-1]

    return vmap(with_support, enabled=compiled)(queries)


def evaluate(
    learner: MetaLearner,
    meta_parameters: Any,
    tasks: TaskDistribution,
    *,
    metric: Metric,
    also: Mapping[str, Metric] | None = None,
    steps: int,
    every: int = 1,
    count: int = 600,
    seed: int = 0,
    transductive: bool = True,
    generator: Callable[[int, int], np.random.Generator] = evaluation_generator,
    callback: Callable[[int], None] | None = None,
    compiled: bool = True,
) -> Evaluation:
    """Judge a learner on tasks that no training step draws.

    Parameters
    ----------
    learner
        What adapts.
    meta_parameters
        What it learned in training.
    tasks
        The distribution of the test tasks.
    metric
        ``metric(outputs, targets)``, a scalar for a whole query set.
    also
        Other metrics of the same predictions, by name.
    steps
        The largest number of adaptation steps.
    every
        Judge after every so many of them; `steps` is a multiple of it.
    count
        Number of tasks. Task `i` depends on `seed` and `i` alone, so 100 tasks are the first 100 of
        600.
    seed
        Decides the tasks, from 0 to 2**32 - 1. Equal seeds of training and evaluation give
        different tasks.
    transductive
        Whether to predict all queries of a task at once, or each alone with the support set (Nichol
        et al. 2018, section 6.1). The two differ for a model that normalises by the statistics of
        its batch.
    generator
        ``generator(seed, i)`` draws task `i`; for validation tasks it is ``validation_generator``.
    callback
        A function called as ``callback(done)`` for every task. If it raises, so does the
        evaluation.
    compiled
        Whether to trace adaptation once and replay it for every task (:func:`minimeta.compile`),
        with the same bits. A learner or metric that needs values, to branch on them or to call
        numpy, needs False.

    Returns
    -------
    Evaluation
        Values per task and number of steps.

    Raises
    ------
    ConfigurationError
        If `steps` is negative, `count` or `every` below 1, `steps` not a multiple of `every`, or
        `seed` out of range.
    ShapeError
        If the distribution does not draw one task.
    TracingError
        If the learner or a metric is not pure (:func:`minimeta.compile`).
    """
    steps, count = whole_number("evaluate", "steps", steps, 0), whole_number("evaluate", "count", count, 1)
    every, seed = whole_number("evaluate", "every", every, 1), checked_seed("evaluate", seed)
    if steps % every:
        raise ConfigurationError(f"evaluate: steps={steps} must be a multiple of every={every}")

    metrics = {"": metric, **(also or {})}

    def judged(meta_parameters: Any, task: Task) -> list[list[Any]]:
        trajectory = learner.adapt(meta_parameters, task.support, steps)
        known, queries = task.support.inputs, task.query.inputs
        predict = functools.partial(predict_all if transductive else predict_each, compiled=compiled)
        outputs = [predict(learner, adapted, known, queries) for adapted in trajectory[::every]]
        return [[judge(output, task.query.targets) for output in outputs] for judge in metrics.values()]

    judged.__qualname__ = f"an evaluation of {type(learner).__name__}"
    judge_all = compile(vmap(judged, (None, 0), enabled=compiled), enabled=compiled, check=True)
    values = np.empty((len(metrics), count, steps // every + 1))
    for begin in range(0, count, _AT_ONCE):
        indices = range(begin, min(begin + _AT_ONCE, count))
        drawn = [tasks.sample(generator(seed, index), 1) for index in indices]
        for batch in drawn:
            check_batch("evaluate", batch, 1)
        if begin == 0:
            check_number("evaluate", tasks, generator(seed, 0), 1)
        drawn += drawn[:1] * (min(_AT_ONCE, count) - len(drawn))  # one size, so that one program serves all
        batch = tree.map(lambda *parts: np.concatenate(parts), *drawn)
        # Diverging tasks are counted, so numpy need not warn about them.
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            values[:, indices] = np.swapaxes(judge_all(meta_parameters, batch), 1, 2)[:, : len(indices)]
        if callback is not None:
            for index in indices:
                callback(index + 1)
    first, *others = (Evaluation(each, every) for each in values)
    return replace(first, also=dict(zip(also or {}, others, strict=True)))
