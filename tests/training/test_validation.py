"""The best state is kept, whatever the order that states come in, and times are those of training."""

import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minimeta.training import Evaluation, ModelSelection, Report, Stopwatch, TrainingState, Validated, time_to

NOTHING = Report(np.zeros(1), {})


def judged(values: list[float]) -> Any:
    """A judge that gives each state the value of its number, after the last of two steps."""
    return lambda number: Evaluation(np.array([[9.0, values[number]], [9.0, values[number]]]))


def run(selection: ModelSelection, steps: range) -> ModelSelection:
    for step in steps:
        selection(TrainingState(step, step, ()), NOTHING)
    return selection


@given(st.lists(st.floats(0, 1) | st.just(float("nan")), min_size=1, max_size=9), st.booleans(), st.integers(1, 3))
def test_the_first_of_the_best_is_kept(values: list[float], larger_is_better: bool, every: int) -> None:
    kept: list[int] = []
    selection = ModelSelection(
        judged([0.0, *values]),
        every=every,
        larger_is_better=larger_is_better,
        better=lambda state: kept.append(state.step),
    )
    run(selection, range(1, len(values) + 1))

    asked = [step for step in range(1, len(values) + 1) if step % every == 0]
    assert [found.step for found in selection.history] == asked
    real = [step for step in asked if not np.isnan(values[step - 1])]
    best = (max if larger_is_better else min)((values[step - 1] for step in real), default=None)
    expected = next((step for step in real if values[step - 1] == best), None)
    assert (selection.best.step if selection.best else None) == expected == (kept[-1] if kept else None)


def test_going_on_remembers_what_was_better_before() -> None:
    values = [0.0, 0.5, 0.9, 0.6, 0.8]
    first = run(ModelSelection(judged(values), every=1, larger_is_better=True), range(1, 3))
    second = ModelSelection(judged(values), every=1, larger_is_better=True, history=first.history)
    run(second, range(3, 5))
    assert second.best is None
    assert [found.mean for found in second.history] == values[1:]


def test_the_stopwatch_leaves_out_pauses_and_adds_earlier_sessions(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    stopwatch = Stopwatch(5.0)
    now[0] += 3
    with stopwatch.paused():
        now[0] += 50
    now[0] += 1
    assert stopwatch.seconds == 9.0

    def slow(meta_parameters: Any) -> Evaluation:
        now[0] += 20
        return Evaluation(np.ones((2, 1)))

    selection = ModelSelection(slow, every=1, larger_is_better=True, stopwatch=stopwatch)
    run(selection, range(1, 3))
    assert [found.seconds for found in selection.history] == [9.0, 9.0]


def test_time_to_an_accuracy_is_that_of_the_first_validation_that_has_it() -> None:
    history = [Validated(step, 2.0 * step, mean, 0.01) for step, mean in ((1, 0.5), (2, 0.92), (3, 0.91), (4, 0.96))]
    assert time_to((0.9, 0.95, 0.98), history) == [history[1], history[3], None]
