"""What is said of progress where there is no terminal."""

import re
import time

import numpy as np
import pytest

from minimeta.cli.progress import Bar, TrainingBar
from minimeta.training import Report, TrainingState


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_the_first_line_says_what_is_left_by_the_steps_after_the_first(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    with Bar("training", 0, 1000) as bar:
        clock[0] += 8  # it compiles
        bar.show(1, "loss 3")
        for done in range(2, 301):
            clock[0] += 0.04
            bar.show(done)

    first, second = capsys.readouterr().err.splitlines()
    assert first == "training 26/1000  25/s  39 s left"
    assert second == "training 276/1000  25/s  29 s left"


def test_a_long_first_step_is_a_bound(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with Bar("training", 0, 100) as bar:
        clock[0] += 60
        bar.show(1, "loss 3")
        clock[0] += 20
        bar.show(2, "loss 2")

    first, second = capsys.readouterr().err.splitlines()
    assert first == "training 1/100  loss 3  at most 1 h 39 min left"
    assert second == "training 2/100  loss 2  0.05/s  32 min 40 s left"


def test_a_run_that_goes_on_counts_from_where_it_began(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with Bar("training", 990, 1000) as bar:
        for done in range(991, 1001):
            clock[0] += 0.25
            bar.show(done)

    lines = capsys.readouterr().err.splitlines()
    assert lines == ["training 995/1000  4/s  1 s left", "training 1000/1000  4/s"]


@pytest.mark.parametrize(("total", "steps"), [(10, 1), (100, 5), (100_000, 50)])
def test_the_loss_is_a_mean_over_a_twentieth_of_the_training_and_at_most_fifty_steps(
    total: int, steps: int, clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    losses = np.random.default_rng(0).normal(10, 1, 200)
    weight, expected = 1 / steps, losses[0]
    with TrainingBar("training", 0, total) as bar:
        for step, loss in enumerate(losses[:8], 1):
            clock[0] += 30
            bar(TrainingState(step, (), ()), Report(np.array([loss]), {}))
            expected = (1 - weight) * expected + weight * loss if step > 1 else loss
    assert f"loss {expected:.4g}" in capsys.readouterr().err.splitlines()[-1]


def test_one_step_has_no_rate(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with Bar("training", 0, 1) as bar:
        clock[0] += 5
        bar.show(1)
    assert re.fullmatch(r"training 1/1\n", capsys.readouterr().err)


def test_steps_that_end_together_have_no_rate(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with Bar("evaluation", 0, 4) as bar:
        clock[0] += 5
        for done in range(1, 5):
            clock[0] += 1e-6
            bar.show(done)
    assert capsys.readouterr().err == "evaluation 4/4\n"


def test_a_bar_does_not_guess_what_is_left_by_a_moment(
    clock: list[float], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes it for a terminal
    monkeypatch.setenv("COLUMNS", "100")
    with Bar("evaluation", 0, 600) as bar:
        clock[0] += 50
        for done in range(1, 301):
            clock[0] += 1e-6
            bar.show(done)
    assert "300/600" in (said := capsys.readouterr().err) and "0 s left" not in said
