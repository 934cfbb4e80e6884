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

import contextlib
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from minimeta.autodiff import tree
from minimeta.autodiff.operations import concatenate, expand_dims
from minimeta.counts import whole_number
from minimeta.distributed import Job, workers_for
from minimeta.errors import ConfigurationError
from minimeta.learners import MetaLearner
from minimeta.program import compile, vmap
from minimeta.tasks import Task, TaskDistribution
from minimeta.training.batches import check_batch, check_number
from minimeta.training.collection import collected_values, collects
from minimeta.training.randomness import checked_seed, evaluation_generator

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

    def _repr_html_(self) -> str:
        columns = zip(self.steps, self.mean, self.interval, strict=True)
        cells = [(str(steps), f"{mean:.4g}", f"± {half:.2g}") for steps, mean, half in columns]
        body = "".join(f"<tr><td>{'</td><td>'.join(row)}</td></tr>" for row in cells)
        head = "<tr><th>adaptation steps</th><th>mean</th><th>95 % interval</th></tr>"
        return f"<table>{head}{body}</table>{len(self.values)} tasks, of which {self.diverged} diverged"

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
    tasks: TaskDistribution | Callable[[np.random.Generator], Any] | Sequence[Any],
    *,
    metric: Metric,
    also: Mapping[str, Metric] | None = None,
    steps: int,
    every: int = 1,
    count: int = 600,
    seed: int = 0,
    transductive: bool = True,
    shots: int | None = None,
    generator: Callable[[int, int], np.random.Generator] = evaluation_generator,
    callback: Callable[[int], None] | None = None,
    compiled: bool = True,
    workers: Any = None,
) -> Evaluation:
    """Judge a learner on tasks that no training step draws.

    Parameters
    ----------
    learner
        What adapts.
    meta_parameters
        What it learned in training.
    tasks
        The distribution of the test tasks; for an agent a function from a generator to an
        environment, or the environments themselves.
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
    shots
        What an agent may do before each step of adaptation, its number of episodes; by default as
        much as in training. The metric judges these very episodes (Finn et al. 2017).
    generator
        ``generator(seed, i)`` draws task `i`; for validation tasks it is ``validation_generator``.
    callback
        A function called as ``callback(done)`` for every task. If it raises, so does the
        evaluation.
    compiled
        Whether to trace adaptation once and replay it for every task (:func:`minimeta.compile`),
        with the same bits. A learner or metric that needs values, to branch on them or to call
        numpy, needs False.
    workers
        Who judges: None for this process alone, or what :func:`minimeta.training.fit` takes. The
        values are the same.

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
    WorkerError
        If a worker ends and cannot be replaced, or raises on another rank.
    """
    steps, count = whole_number("evaluate", "steps", steps, 0), whole_number("evaluate", "count", count, 1)
    every, seed = whole_number("evaluate", "every", every, 1), checked_seed("evaluate", seed)
    if steps % every:
        raise ConfigurationError(f"evaluate: steps={steps} must be a multiple of every={every}")

    metrics = {"": metric, **(also or {})}
    values = np.empty((len(metrics), count, steps // every + 1))
    size = min(_AT_ONCE, count)

    def drawn(begin: int) -> Any:
        """Return the tasks from number `begin` on: always as many, so that one program serves all."""
        if collects(learner):
            return [*range(begin, min(begin + size, count)), *[0] * (begin + size - count)]
        batches = [distribution.sample(generator(seed, index), 1) for index in range(begin, min(begin + size, count))]
        for batch in batches:
            check_batch("evaluate", batch, 1)
        batches += batches[:1] * (size - len(batches))
        joined: Task = tree.map(lambda *parts: np.concatenate(parts), *batches)
        return joined

    distribution: Any = tasks
    if not collects(learner):
        check_number("evaluate", distribution, generator(seed, 0), 1)
    elif workers is not None:
        raise ConfigurationError(f"evaluate: {type(learner).__name__} acts in this process alone: leave workers=None")
    arguments = learner, tuple(metrics.values()), steps, every, transductive, compiled
    with contextlib.nullcontext() if workers is None else workers_for(workers) as team:
        if team is None and collects(learner):
            amounts = steps, every, count, seed, shots
            judge, at_once = collected_values(learner, tasks, arguments[1], *amounts, generator, compiled), size
        elif team is None:
            judge, at_once = _judging(*arguments), size
        else:
            job, at_once = Job.of(_judging, *arguments), size * team.count
            meta_parameters = team.together(lambda: meta_parameters)
        for start in range(0, count, at_once):
            begins = range(start, min(start + at_once, count), size)
            inputs = [(meta_parameters, drawn(begin)) for begin in begins]
            # Diverging tasks are counted, so numpy need not warn about them.
            with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
                judged = [judge(*each) for each in inputs] if team is None else team.compute(job, inputs)
            indices = range(start, min(begins[-1] + size, count))
            values[:, indices] = np.concatenate(judged, axis=1)[:, : len(indices)]
            follow = functools.partial(_call, callback, indices)
            follow() if team is None else team.together(follow)
    first, *others = (Evaluation(each, every) for each in values)
    return replace(first, also=dict(zip(also or {}, others, strict=True)))


def _call(callback: Callable[[int], None] | None, indices: range) -> None:
    if callback is not None:
        for index in indices:
            callback(index + 1)


def _judging(
    learner: MetaLearner, metrics: tuple[Metric, ...], steps: int, every: int, transductive: bool, compiled: bool
) -> Callable[[Any, Task], Any]:
    """Return a function of meta-parameters and some tasks to values of shape ``(metrics, tasks, judgements)``."""

    def judged(meta_parameters: Any, task: Task) -> list[list[Any]]:
        trajectory = learner.adapt(meta_parameters, task.support, steps)
        known, queries = task.support.inputs, task.query.inputs
        predict = functools.partial(predict_all if transductive else predict_each, compiled=compiled)
        outputs = [predict(learner, adapted, known, queries) for adapted in trajectory[::every]]
        return [[judge(output, task.query.targets) for output in outputs] for judge in metrics]

    judged.__qualname__ = f"an evaluation of {type(learner).__name__}"
    judge_all = compile(vmap(judged, (None, 0), enabled=compiled), enabled=compiled, check=True)
    return lambda meta_parameters, batch: np.swapaxes(np.array(judge_all(meta_parameters, batch)), 1, 2)
