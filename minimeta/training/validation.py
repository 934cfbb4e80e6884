"""Choosing a model: the state of a training that does best on validation tasks.

Every so many steps the learner is judged on the same tasks, of classes that are in neither training
nor test. The state with the best mean after the last step of adaptation is kept, and is the one
that is tested, once, at the end. Finn et al. report MAML in this way (the author in cbfinn/maml#8).

The record of these judgements also gives the time to an accuracy: the seconds of training, without
validation, until a mean first reaches it (:func:`time_to`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from minimeta.training.evaluate import Evaluation
from minimeta.training.fit import Report
from minimeta.training.state import TrainingState
from minimeta.training.stopwatch import Stopwatch


class Validated(NamedTuple):
    """One judgement.

    Attributes
    ----------
    step
        Training steps done.
    seconds
        Seconds of training until then; None if the record of times was lost.
    mean, interval
        Of the metric after the last step of adaptation, and the half-width of its 95 % interval.
    """

    step: int
    seconds: float | None
    mean: float
    interval: float


class ModelSelection:
    """A callback of :func:`~minimeta.training.fit` that judges at intervals and keeps the best
    state.

    Parameters
    ----------
    judge
        ``judge(meta_parameters)``, an evaluation on validation tasks, for example
        :func:`~minimeta.training.evaluate` with ``generator=validation_generator``.
    every
        Training steps from one judgement to the next.
    larger_is_better
        True for an accuracy, False for an error.
    stopwatch
        The stopwatch of the training, which is paused during a judgement.
    history
        The judgements of earlier sessions.
    better
        A function called as ``better(state)`` with a state that is better than all before.

    Attributes
    ----------
    history
        All judgements, in order.
    best
        The best state of this session; None if an earlier session had a better one, or nothing was
        judged.

    Examples
    --------
    With a learner, training and validation tasks::

        judge = lambda meta: evaluate(learner, meta, validation, metric=accuracy, steps=3, count=200,
                                      generator=validation_generator)
        selection = ModelSelection(judge, every=500, larger_is_better=True) fit(learner, training,
        adam(), iterations=5000, meta_batch=32, seed=0, callbacks=[selection])
        selection.best.meta_parameters
    """

    def __init__(
        self,
        judge: Callable[[Any], Evaluation],
        *,
        every: int,
        larger_is_better: bool,
        stopwatch: Stopwatch | None = None,
        history: Iterable[Validated] = (),
        better: Callable[[TrainingState], None] = lambda state: None,
    ) -> None:
        self._judge, self._every, self._sign = judge, every, 1 if larger_is_better else -1
        self._stopwatch, self._better = stopwatch or Stopwatch(), better
        self.history = list(history)
        self.best: TrainingState | None = None

    def __call__(self, state: TrainingState, report: Report) -> None:
        """Judge the state, if its step is due."""
        if state.step % self._every:
            return
        seconds = self._stopwatch.seconds
        with self._stopwatch.paused():
            evaluation = self._judge(state.meta_parameters)
            found = Validated(state.step, seconds, float(evaluation.mean[-1]), float(evaluation.interval[-1]))
            if self._score(found) > max(map(self._score, self.history), default=-math.inf):
                self.best = state
                self._better(state)
            self.history.append(found)

    def _score(self, found: Validated) -> float:
        return -math.inf if math.isnan(found.mean) else self._sign * found.mean


def time_to(accuracies: Sequence[float], history: Iterable[Validated]) -> list[Validated | None]:
    """Return for each accuracy the first judgement that reaches it; None if none does."""
    judged = list(history)
    return [next((found for found in judged if found.mean >= accuracy), None) for accuracy in accuracies]
