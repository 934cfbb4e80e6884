"""``minimeta train`` and ``minimeta evaluate`` from end to end, with few and small steps."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minimeta.cli import main

pytest_plugins = ["omniglot_files"]

SINUSOID = [
    "--hidden",
    "6",
    "--meta-batch",
    "3",
    "--iterations",
    "6",
    "--evaluation.tasks",
    "4",
    "--evaluation.steps",
    "2",
    "--evaluation.queries",
    "5",
]
OMNIGLOT = [
    "--hidden",
    "8",
    "8",
    "--meta-batch",
    "2",
    "--iterations",
    "3",
    "--ways",
    "3",
    "--evaluation.tasks",
    "3",
    "--evaluation.steps",
    "2",
]
FILES = {
    "configuration.toml",
    "environment.json",
    "metrics.jsonl",
    "checkpoint.npz",
    "results.json",
    "results.md",
    "adaptation.png",
    "learning.png",
}


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """The folder of a finished run on sinusoids."""
    folder = tmp_path / "run"
    assert main(["train", "maml", "sinusoid", "--out", str(folder), *SINUSOID]) == 0
    capsys.readouterr()
    return folder


def steps_recorded(folder: Path) -> list[int]:
    return [json.loads(line)["step"] for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("learner", ["maml", "fomaml"])
def test_sinusoid(learner: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "run"

    assert main(["train", learner, "sinusoid", "--out", str(folder), *SINUSOID]) == 0

    printed, errors = capsys.readouterr()
    assert {path.name for path in folder.iterdir()} == FILES
    configuration = tomllib.loads((folder / "configuration.toml").read_text())
    assert (configuration["learner"], configuration["task"]) == (learner, "sinusoid")
    assert configuration["hidden"] == [6] and configuration["evaluation"]["tasks"] == 4
    assert steps_recorded(folder) == [0, 1, 2, 3, 4, 5]
    results = json.loads((folder / "results.json").read_text())
    assert results["status"] == "complete" and results["step"] == 6 and len(results["mean"]) == 3
    for text in (printed, (folder / "results.md").read_text()):
        assert f"{learner} sinusoid, seed 0, 6 training steps" in text
        for mean in results["mean"]:
            assert (f"{mean:.4f}" if mean < 1000 else f"{mean:.3g}") in text
    assert "| inner_learning_rate | 0.01 | paper: 0.01; released code: 0.001" in (folder / "results.md").read_text()
    for figure in ("adaptation.png", "learning.png"):
        assert (folder / figure).read_bytes().startswith(b"\x89PNG")
    assert "training 6/6" in errors and "evaluation 4/4" in errors and str(folder) in errors


# Flags that make a run of each learner small, beside those of its task.
SMALL = {
    "reptile": ["--inner-steps", "2", "--shots", "3", "--inner-batch", "2"],
    "lstm": ["--inner-steps", "2", "--lstm-hidden", "3"],
    "finetuning": ["--inner-steps", "2", "--rates", "0.01", "0.1"],
    "pretraining": ["--rates", "0.01", "0.1"],
}
IMAGES = ["--ways", "3", "--network", "mlp", "--hidden", "8", "8", "--queries", "2", "--meta-batch", "2"]


@pytest.mark.parametrize("learner", ["reptile", "lstm", "pretraining", "finetuning", "nearest"])
def test_every_learner_on_sinusoids(learner: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "run"
    flags = [*SINUSOID, *SMALL.get(learner, []), "--iterations", "4"]

    assert main(["train", learner, "sinusoid", "--out", str(folder), *flags, "--json"]) == 0

    report = json.loads(capsys.readouterr().out)
    assert {path.name for path in folder.iterdir()} == FILES
    assert report["learner"] == learner and len(report["mean"]) == 3 and steps_recorded(folder) == [0, 1, 2, 3]
    assert main(["evaluate", str(folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["mean"] == report["mean"]


@pytest.mark.parametrize("learner", ["reptile", "lstm", "finetuning", "nearest"])
def test_every_learner_on_images(
    learner: str, stand_in_omniglot: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    words = ["train", learner, "omniglot", "--out", str(folder), "--data", str(stand_in_omniglot), *IMAGES]
    length = ["--iterations", "2", "--evaluation.tasks", "2", "--evaluation.steps", "6", "--evaluation.queries", "1"]

    assert main([*words, *SMALL.get(learner, []), *length, "--evaluation.every", "3", "--json"]) == 0

    report = json.loads(capsys.readouterr().out)
    assert {path.name for path in folder.iterdir()} == FILES
    assert report["metric"] == "accuracy" and report["steps"] == [0, 3, 6] and len(report["mean"]) == 3
    assert all(0 <= mean <= 1 for mean in report["mean"])


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


def test_a_learner_is_not_asked_for_what_it_has_no_preset_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "pretraining", "omniglot"]) == 2
    assert "there is no task 'omniglot' for pretraining. There are sinusoid." in capsys.readouterr().err


def test_omniglot(stand_in_omniglot: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "run"
    words = ["train", "maml", "omniglot", "--out", str(folder), "--data", str(stand_in_omniglot), *OMNIGLOT]

    assert main([*words, "--json"]) == 0

    report = json.loads(capsys.readouterr().out)
    assert {path.name for path in folder.iterdir()} == FILES
    assert report == json.loads((folder / "results.json").read_text())
    assert report["metric"] == "accuracy" and len(report["mean"]) == 3
    # Accuracies of 3 tasks of 3 queries are ninths.
    assert all(abs(9 * mean - round(9 * mean)) < 1e-5 and 0 <= mean <= 1 for mean in report["mean"])
    first = json.loads((folder / "metrics.jsonl").read_text().splitlines()[0])
    assert set(first) == {"step", "loss", "accuracy"}


def test_strokes_need_no_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MINIMETA_DATA", str(tmp_path / "absent"))

    assert main(["train", "fomaml", "strokes", "--out", str(tmp_path / "run"), *OMNIGLOT]) == 0

    assert {path.name for path in (tmp_path / "run").iterdir()} == FILES
    assert "fomaml strokes, seed 0" in capsys.readouterr().out


def test_omniglot_with_convolutions(
    stand_in_omniglot: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, data = tmp_path / "run", ["--data", str(stand_in_omniglot)]
    network = ["--network", "conv4", "--filters", "4"]
    assert main(["train", "maml", "omniglot", "--out", str(folder), *data, *OMNIGLOT, *network]) == 0
    capsys.readouterr()
    assert tomllib.loads((folder / "configuration.toml").read_text())["network"] == "conv4"

    # The run folder says which network the checkpoint is of.
    assert main(["evaluate", str(folder), *data, "--json"]) == 0
    evaluated, trained = json.loads(capsys.readouterr().out), json.loads((folder / "results.json").read_text())
    assert evaluated["mean"] == trained["mean"]


def test_json_is_all_there_is_on_standard_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "maml", "sinusoid", "--out", str(tmp_path / "run"), *SINUSOID, "--json"]) == 0

    printed = capsys.readouterr().out
    assert printed.count("\n") == 1
    assert json.loads(printed)["run"] == str(tmp_path / "run")


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


STROKES = [*OMNIGLOT, "--iterations", "4", "--evaluation.validation-tasks", "3"]


def test_what_validates_best_is_what_is_tested(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    flags = [*STROKES, "--evaluation.validate-every", "1"]
    assert main(["train", "maml", "strokes", "--out", str(whole), *flags]) == 0
    assert main(["train", "maml", "strokes", "--out", str(parts), *flags, "--iterations", "2"]) == 0
    assert main(["train", "maml", "strokes", "--out", str(parts), "--resume", "--iterations", "4"]) == 0

    judged = [json.loads(line) for line in (whole / "validation.jsonl").read_text().splitlines()]
    best = max(judged, key=lambda found: found["mean"])["step"]
    results = json.loads((whole / "results.json").read_text())
    assert [found["step"] for found in judged] == [1, 2, 3, 4] and results["step"] == best
    assert results["validation"] == judged
    assert sorted(found["seconds"] for found in judged) == [found["seconds"] for found in judged]
    # Resumed equals uninterrupted: but for the time, of course.
    for file in ("best.npz", "checkpoint.npz", "metrics.jsonl", "results.md"):
        assert (parts / file).read_bytes() == (whole / file).read_bytes()
    again = [json.loads(line) for line in (parts / "validation.jsonl").read_text().splitlines()]
    assert [found["mean"] for found in again] == [found["mean"] for found in judged]
    capsys.readouterr()
    assert main(["evaluate", str(whole), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["mean"] == results["mean"]


def test_there_must_be_classes_to_validate_on(
    stand_in_omniglot: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", "maml", "omniglot", "--data", str(stand_in_omniglot), "--out", str(tmp_path / "run"), *OMNIGLOT]
    assert main([*words, "--evaluation.validate-every", "2"]) == 2
    assert "has no classes for validation" in capsys.readouterr().err


def test_both_ways_of_predicting_stand_side_by_side(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = {}
    for way, flags in (("transductive", []), ("alone", ["--evaluation.no-transductive"])):
        words = ["train", "maml", "strokes", "--out", str(tmp_path / way), *STROKES, *flags]
        assert main([*words, "--evaluation.queries", "3"]) == 0
        printed = capsys.readouterr().out
        assert "all queries at once" in printed and "each query alone" in printed
        found[way] = json.loads((tmp_path / way / "results.json").read_text())
    one, other = found.values()
    assert one["mean"] == other["other"]["mean"] != one["other"]["mean"] == other["mean"]
    assert main(["report", str(tmp_path / "transductive")]) == 0
    assert f"each query alone: 2: {100 * one['other']['mean'][2]:.1f} ±" in capsys.readouterr().out


def test_images_of_ones_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels = np.repeat(np.arange(9), 4)
    images = np.random.default_rng(0).integers(0, 256, (len(labels), 20, 20, 3), np.uint8)
    np.savez(tmp_path / "mine.npz", images=images, labels=labels)
    for part, name in enumerate(("train", "val", "test")):
        lines = "".join(f"{label}.png,{label}\n" for label in range(3 * part, 3 * part + 3))
        (tmp_path / f"{name}.csv").write_text(f"filename,label\n{lines}")
    flags = [
        "--ways",
        "3",
        "--queries",
        "2",
        "--size",
        "16",
        "--filters",
        "2",
        "--iterations",
        "2",
        "--meta-batch",
        "1",
    ]
    measured = ["--evaluation.tasks", "2", "--evaluation.steps", "1", "--evaluation.validate-every", "1"]

    words = ["train", "maml", "images", "--out", str(tmp_path / "run"), *flags, *measured]
    assert main([*words, "--data", str(tmp_path / "mine.npz")]) == 0

    assert {path.name for path in (tmp_path / "run").iterdir()} == FILES | {"best.npz", "validation.jsonl"}
    capsys.readouterr()
    assert main(["train", "maml", "images", "--out", str(tmp_path / "other"), *flags]) == 1
    assert "images are read from --data" in capsys.readouterr().err


def test_settings_for_strokes_say_whose_sources_they_have(tmp_path: Path) -> None:
    assert main(["train", "maml", "strokes", "--out", str(tmp_path / "run"), *STROKES]) == 0
    text = (tmp_path / "run" / "configuration.toml").read_text()
    assert "paper of Omniglot: 0.4" in text and "released code of Omniglot: " in text
    assert "# paper:" not in text and "split" not in text


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_good_step(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    # So large an outer step ruins the network, but not at once.
    flags = [*SINUSOID, "--learning-rate", "1e9", "--iterations", "500", "--checkpoint-every", "1000"]

    assert main(["train", "maml", "sinusoid", "--out", str(folder), *flags]) == 3

    errors = capsys.readouterr().err
    said = re.search(r"minimeta: step (\d+), task \d: the loss is (nan|inf)", errors)
    assert said is not None
    good = int(said[1])
    assert 0 < good < 500
    assert f"The checkpoint of the {good} good steps is kept in {folder / 'checkpoint.npz'}" in errors
    assert steps_recorded(folder) == list(range(good))
    assert main(["evaluate", str(folder), "--json"]) == 0
    report: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert report["step"] == good
    assert report["diverged"] > 0


def test_evaluate_repeats_and_varies_the_evaluation(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.read_bytes() for path in run.iterdir()}
    trained = json.loads((run / "results.json").read_text())

    assert main(["evaluate", str(run), "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again == {name: trained[name] for name in again}

    flags = [
        "--shots",
        "20",
        "--queries",
        "7",
        "--steps",
        "4",
        "--tasks",
        "3",
        "--seed",
        "8",
        "--transductive",
        "False",
    ]
    assert main(["evaluate", str(run), *flags, "--json"]) == 0
    varied = json.loads(capsys.readouterr().out)
    assert varied["evaluation"] == {
        "shots": 20, "queries": 7, "steps": 4, "tasks": 3, "seed": 8, "transductive": False,
        "side_by_side": True, "validate_every": 0, "validation_tasks": 200, "every": 1, "rotations": False,
    }  # fmt: skip
    assert len(varied["mean"]) == 5 and varied["mean"][0] != trained["mean"][0]

    assert main(["evaluate", str(run)]) == 0
    assert "4 test tasks, 5-shot" in capsys.readouterr().out
    assert main(["evaluate", str(run), "--tasks", "0"]) == 2
    assert {path: path.read_bytes() for path in run.iterdir()} == before


@pytest.mark.parametrize("content", ["learner = 'maml'\ntask = 'chess'", "task = 'sinusoid'"])
def test_evaluate_refuses_runs_it_does_not_know(
    content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "configuration.toml").write_text(content)

    assert main(["evaluate", str(tmp_path)]) == 2
    assert "which minimeta does not have" in capsys.readouterr().err
