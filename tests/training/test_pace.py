"""The pace of a training is that of its steps after the first, which compiles."""

from types import SimpleNamespace

import pytest

from minimeta.training import PRESETS, pace

SMALL = PRESETS["maml", "sinusoid"].replace({"hidden": (3,), "meta_batch": 1})


def paced(ends: list[float], monkeypatch: pytest.MonkeyPatch, iterations: int) -> float:
    monkeypatch.setattr(pace, "time", SimpleNamespace(monotonic=iter(ends).__next__))
    preset = SMALL.replace({"iterations": iterations})
    return pace.seconds_per_step(preset, preset.experiment())


def test_the_median_of_the_steps_of_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    # The clock would end with StopIteration if a sixth step were taken.
    assert paced([90.0, 90.1, 90.3, 90.5, 91.5], monkeypatch, 1000) == pytest.approx(0.2)


def test_slow_steps_are_two_and_a_short_training_may_be_all(monkeypatch: pytest.MonkeyPatch) -> None:
    assert paced([90.0, 95.0, 99.0], monkeypatch, 1000) == 4.5
    assert paced([90.0, 90.1, 90.3], monkeypatch, 1) == pytest.approx(0.15)
