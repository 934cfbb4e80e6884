"""What is said of progress where there is no terminal."""

import re
import time

import pytest

from minimeta.cli.progress import Bar


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_the_rate_is_that_of_the_steps_after_the_first(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with Bar("training", 0, 1000) as bar:
        clock[0] += 20  # it compiles
        bar.show(1, "loss 3")
        for done in range(2, 252):
            clock[0] += 0.04
            bar.show(done)

    first, second = capsys.readouterr().err.splitlines()
    assert first == "training 1/1000  loss 3"
    assert second == "training 251/1000  25/s, 30 s left"


def test_a_run_that_goes_on_counts_from_where_it_began(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with Bar("training", 990, 1000) as bar:
        for done in range(991, 1001):
            clock[0] += 1.0
            bar.show(done)

    lines = capsys.readouterr().err.splitlines()
    assert lines == ["training 991/1000", "training 1000/1000  1/s"]


def test_one_step_has_no_rate(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with Bar("training", 0, 1) as bar:
        clock[0] += 5
        bar.show(1)
    assert re.fullmatch(r"training 1/1\n", capsys.readouterr().err)
