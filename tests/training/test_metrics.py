import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from minimeta.errors import CheckpointError
from minimeta.training import MetricsLog, Report, TrainingState, read_metrics
from minimeta.training.metrics import means


def record(path: Path, begin: int, end: int) -> None:
    """Record steps begin to end - 1, of which step s has losses s and s + 1."""
    with MetricsLog(path, begin) as log:
        for step in range(begin, end):
            report = Report(np.array([step, step + 1.0], np.float32), {"accuracy": np.array([0.25, 0.5])})
            log(TrainingState(step + 1, None, None), report)


def test_one_line_per_step(tmp_path: Path) -> None:
    record(tmp_path / "metrics.jsonl", 0, 2)

    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"step": 0, "loss": 0.5, "accuracy": 0.375},
        {"step": 1, "loss": 1.5, "accuracy": 0.375},
    ]


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "bool"])
def test_means_are_numpys_to_the_bit(dtype: str) -> None:
    values = np.random.default_rng(0).normal(size=(25, 100)).astype(dtype)
    for losses in values.T:
        assert means(Report(losses, {"accuracy": losses})) == {"loss": losses.mean(), "accuracy": losses.mean()}


@pytest.mark.parametrize("interrupted_at", [0, 3, 5, 8])
@pytest.mark.parametrize("checkpoint", [0, 3, 5])
def test_resumed_equals_uninterrupted(tmp_path: Path, interrupted_at: int, checkpoint: int) -> None:
    checkpoint = min(checkpoint, interrupted_at)
    record(tmp_path / "whole", 0, 10)
    record(tmp_path / "parts", 0, interrupted_at)
    record(tmp_path / "parts", checkpoint, 10)

    assert (tmp_path / "parts").read_bytes() == (tmp_path / "whole").read_bytes()


def test_a_line_cut_by_a_crash_is_ignored(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    record(path, 0, 4)
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])

    assert [line["step"] for line in read_metrics(path)] == [0, 1, 2]
    record(path, 3, 4)
    assert path.read_bytes() == whole


def test_a_missing_record_is_empty(tmp_path: Path) -> None:
    assert read_metrics(tmp_path / "absent") == []


def test_flushed_lines_are_there(tmp_path: Path) -> None:
    with MetricsLog(tmp_path / "metrics.jsonl", 0) as log:
        log(TrainingState(1, None, None), Report(np.array([1.0]), {}))
        log.flush()
        assert read_metrics(tmp_path / "metrics.jsonl") == [{"step": 0, "loss": 1.0}]


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda lines: lines[:3], "it has 3 lines, and 4 steps were recorded"),
        (lambda lines: [*lines[:3], lines[3][:-2]], "it has 3 lines, and 4 steps were recorded"),
        (lambda lines: [], "it has 0 lines, and 4 steps were recorded"),
        (lambda lines: lines[1:], "line 1 is damaged: it should be that of step 0"),
        (lambda lines: [lines[0], *lines], "line 2 is damaged: it should be that of step 1"),
        (lambda lines: [*lines[:2], bytes(10) + b"\n", *lines[2:]], "line 3 is damaged"),
        (lambda lines: [*lines[:2], b"\xff\n", lines[3], *lines], "line 3 is damaged"),
        (lambda lines: [*lines[:2], b'{"step": 2, "loss": "low"}\n', *lines[3:]], "line 3 is damaged"),
        (lambda lines: [*lines[:2], b"[" * 100_000 + b"\n", *lines[3:]], "line 3 is damaged"),
        (lambda lines: [lines[0].replace(b"5", b"6"), *lines[1:]], "its first 4 lines are not those that were written"),
    ],
)
def test_lines_that_are_not_those_of_their_steps_are_refused(
    damage: Callable[[list[bytes]], list[bytes]], said: str, tmp_path: Path
) -> None:
    path = tmp_path / "metrics.jsonl"
    record(path, 0, 5)
    lines = path.read_bytes().splitlines(keepends=True)
    sha256 = hashlib.sha256(b"".join(lines[:4])).hexdigest()
    damaged = b"".join(damage(lines))
    path.write_bytes(damaged)

    for read in (lambda: read_metrics(path, 4, sha256), lambda: MetricsLog(path, 4, sha256)):
        with pytest.raises(CheckpointError) as caught:
            read()
        assert str(path) in str(caught.value) and said in str(caught.value)
    assert path.read_bytes() == damaged


def test_the_hash_is_that_of_all_lines(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    record(path, 0, 3)
    first = hashlib.sha256(path.read_bytes()).hexdigest()
    record(path, 0, 5)
    with MetricsLog(path, 3, first) as log:
        assert log.sha256 == first
        log(TrainingState(4, None, None), Report(np.array([1.0]), {}))
        assert log.sha256 != first
        log.flush()
        assert log.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
