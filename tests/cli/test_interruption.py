"""Ctrl-C and SIGTERM, sent to a real process."""

import json
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

FLAGS = ["--hidden", "5", "--meta-batch", "2", "--evaluation.tasks", "2", "--evaluation.steps", "1"]


def start(folder: Path, *flags: str) -> subprocess.Popen[str]:
    words = [sys.executable, "-m", "minimeta", "train", "maml", "sinusoid", "--out", str(folder), *FLAGS, *flags]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_interrupted_and_resumed_equals_uninterrupted(number: signal.Signals, tmp_path: Path) -> None:
    folder, whole = tmp_path / "a folder", tmp_path / "whole"
    with start(folder, "--iterations", "1000000", "--checkpoint-every", "5", "--json") as process:
        # The checkpoint of step 0 is written at once; a later one shows that steps are being taken.
        wait_for(lambda: (folder / "metrics.jsonl").exists() and (folder / "metrics.jsonl").stat().st_size > 0, process)
        process.send_signal(number)
        printed, errors = process.communicate(timeout=60)

    assert process.returncode == 130, errors
    assert "finishing this step" in errors
    report = json.loads(printed)
    assert report["status"] == "interrupted" and report["resume"] in errors
    words = shlex.split(report["resume"])
    assert words == ["minimeta", "train", "maml", "sinusoid", "--out", str(folder), "--resume"]
    # A checkpoint of the very last step: the record goes exactly as far.
    done = len((folder / "metrics.jsonl").read_text().splitlines())

    resumed = subprocess.run(
        [sys.executable, "-m", *words, "--iterations", str(done + 3)], capture_output=True, text=True, check=False
    )
    assert resumed.returncode == 0, resumed.stderr
    sessions = json.loads((folder / "environment.json").read_text())
    assert [session["step"] for session in sessions] == [0, done]
    with start(whole, "--iterations", str(done + 3)) as process:
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    for file in ("metrics.jsonl", "checkpoint.npz", "results.md"):
        assert (folder / file).read_bytes() == (whole / file).read_bytes(), file


def test_a_second_interruption_stops_at_once(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    # One step of so many tasks takes minutes.
    with start(folder, "--meta-batch", "200000") as process:
        wait_for((folder / "checkpoint.npz").exists, process)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        for line in process.stderr:  # Two signals in a row may be taken for one.
            if "finishing this step" in line:
                break
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)

    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert (folder / "checkpoint.npz").exists()


def test_an_evaluation_can_be_interrupted_and_repeated(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with start(folder, "--iterations", "2", "--evaluation.tasks", "1000000") as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("evaluation 1/"):
                break
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)

    assert process.returncode == 130, errors
    assert "--resume" in errors and not (folder / "results.json").exists()
    words = ["train", "maml", "sinusoid", "--out", str(folder), "--resume", "--evaluation.tasks", "2"]
    assert subprocess.run([sys.executable, "-m", "minimeta", *words], capture_output=True, check=False).returncode == 0
    assert (folder / "results.json").exists()
