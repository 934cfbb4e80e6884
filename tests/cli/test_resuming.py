"""A run that goes on equals one that never stopped, and no run goes on as another."""

import json
from pathlib import Path

import pytest
from runs import SINUSOID, SMALL

from minimeta.cli import main

pytest_plugins = ["omniglot_files", "trained_runs", "undrawn"]
pytestmark = pytest.mark.usefixtures("undrawn")


def test_equal_seeds_give_equal_runs(run: Path, tmp_path: Path) -> None:
    for name, seed in (("same", "0"), ("other", "1")):
        assert main(["train", "maml", "sinusoid", "--out", str(tmp_path / name), *SINUSOID, "--seed", seed]) == 0

    for file in ("metrics.jsonl", "checkpoint.npz", "configuration.toml", "results.md"):
        assert (tmp_path / "same" / file).read_bytes() == (run / file).read_bytes(), file
        assert (tmp_path / "other" / file).read_bytes() != (run / file).read_bytes(), file


def test_going_on_equals_never_having_stopped(run: Path, tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    assert main(["train", "maml", "sinusoid", "--out", str(whole), *SINUSOID, "--iterations", "11"]) == 0

    words = ["train", "maml", "sinusoid", "--out", str(run), "--resume", "--iterations", "11"]
    assert main([*words, "--checkpoint-every", "2"]) == 0

    for file in ("metrics.jsonl", "checkpoint.npz", "configuration.toml", "results.md"):
        assert (run / file).read_bytes() == (whole / file).read_bytes(), file
    sessions = json.loads((run / "environment.json").read_text())
    assert [session["step"] for session in sessions] == [0, 6]
    assert "--resume" not in sessions[0]["command"] or sessions[0]["command"] == sessions[1]["command"]


def test_resuming_with_other_settings_names_the_field(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.read_bytes() for path in run.iterdir()}
    words = ["train", "maml", "sinusoid", "--out", str(run), "--resume"]

    assert main([*words, "--inner-learning-rate", "0.5", "--hidden", "7"]) == 1
    errors = capsys.readouterr().err
    assert "belongs to another run" in errors
    assert "inner_learning_rate is 0.01 there and 0.5 here" in errors and "hidden is [6] there and [7] here" in errors

    assert main([*words, "--iterations", "5"]) == 2
    assert "has done 6 steps; --iterations 5 is fewer" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in run.iterdir()} == before


def test_a_run_killed_before_its_first_checkpoint_can_be_resumed(run: Path) -> None:
    whole = (run / "metrics.jsonl").read_bytes()
    (run / "checkpoint.npz").unlink()

    assert main(["train", "maml", "sinusoid", "--out", str(run), "--resume"]) == 0

    assert (run / "metrics.jsonl").read_bytes() == whole


def test_a_folder_that_is_not_empty_is_left_alone(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.read_bytes() for path in run.iterdir()}

    assert main(["train", "maml", "sinusoid", "--out", str(run), *SINUSOID]) == 2

    assert "is not empty: go on with its run by --resume" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in run.iterdir()} == before


def test_a_damaged_checkpoint_is_refused(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = (run / "checkpoint.npz").read_bytes()
    (run / "checkpoint.npz").write_bytes(content[: len(content) // 2])

    for words in (["train", "maml", "sinusoid", "--out", str(run), "--resume"], ["evaluate", str(run)]):
        assert main(words) == 1
        assert "checkpoint.npz is not a checkpoint of minimeta, or is truncated" in capsys.readouterr().err


def test_a_checkpoint_of_another_learner_is_refused(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    assert main(["train", "fomaml", "sinusoid", "--out", str(other), *SINUSOID]) == 0
    (run / "checkpoint.npz").write_bytes((other / "checkpoint.npz").read_bytes())

    for words in (["train", "maml", "sinusoid", "--out", str(run), "--resume"], ["evaluate", str(run)]):
        assert main(words) == 1
        assert "learner is fomaml there and maml here" in capsys.readouterr().err


def test_a_run_of_reptile_is_resumed_to_the_length_it_was_begun_with(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    flags = [*SINUSOID, *SMALL["reptile"]]
    assert main(["train", "reptile", "sinusoid", "--out", str(folder), *flags]) == 0

    # Its outer step falls to 0 at the end: a longer run is another one from its first step on.
    assert main(["train", "reptile", "sinusoid", "--out", str(folder), "--resume", "--iterations", "9"]) == 1
    assert "iterations is 6 there and 9 here" in capsys.readouterr().err
    assert main(["train", "reptile", "sinusoid", "--out", str(folder), "--resume"]) == 0
