"""``minimeta train`` from end to end: every learner and every task, with few and small steps."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from runs import CHARACTERS, FILES, SINUSOID, SMALL, steps_recorded

from minimeta.cli import main
from minimeta.storage.run_folder import RunFolder
from minimeta.training import PRESETS

pytest_plugins = ["omniglot_files", "drawn_strokes", "undrawn"]
pytestmark = pytest.mark.usefixtures("undrawn")

IMAGES = ["--ways", "3", "--network", "mlp", "--hidden", "8", "8", "--queries", "2", "--meta-batch", "2"]


@pytest.mark.parametrize("learner", ["maml", "fomaml"])
def test_sinusoid(
    learner: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    monkeypatch.undo()  # its figures are looked at

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
    sources = "paper (followed): 0.01; released code: 0.001"
    assert f"| inner_learning_rate | 0.01 | {sources}" in (folder / "results.md").read_text()
    for figure in ("adaptation.png", "learning.png"):
        assert (folder / figure).read_bytes().startswith(b"\x89PNG")
    assert "training 6/6" in errors and "evaluation 4/4" in errors and str(folder) in errors


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


@pytest.mark.parametrize("learner", ["maml", "fomaml", "reptile", "pretraining", "finetuning", "oracle"])
def test_every_learner_on_navigation(learner: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "run"
    small = ["--episodes", "3", "--horizon", "5", "--hidden", "4", "--iterations", "2", "--meta-batch", "2"]
    steps = [] if learner == "oracle" else ["--evaluation.steps", "2"]
    words = ["train", learner, "navigation", "--out", str(folder), *small, *steps]

    assert main([*words, "--evaluation.shots", "3", "--evaluation.tasks", "3"]) == 0

    printed, errors = capsys.readouterr()
    assert {path.name for path in folder.iterdir()} == FILES
    assert "return" in printed and "training 2/2  loss" in errors and "return -" in errors
    assert steps_recorded(folder) == [0, 1]
    report = json.loads((folder / "results.json").read_text())
    assert report["metric"] == "return" and len(report["mean"]) == (1 if learner == "oracle" else 3)
    assert main(["evaluate", str(folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["mean"] == report["mean"]


def test_a_learner_is_not_asked_for_what_it_has_no_preset_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "pretraining", "omniglot"]) == 2
    assert "there is no task 'omniglot' for pretraining. There are sinusoid, navigation," in capsys.readouterr().err


def test_omniglot(stand_in_omniglot: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "run"
    words = ["train", "maml", "omniglot", "--out", str(folder), "--data", str(stand_in_omniglot), *CHARACTERS]

    assert main([*words, "--json"]) == 0

    report = json.loads(capsys.readouterr().out)
    assert {path.name for path in folder.iterdir()} == FILES
    assert report == json.loads((folder / "results.json").read_text())
    assert report["metric"] == "accuracy" and len(report["mean"]) == 3
    # Accuracies of 3 tasks of 3 queries are ninths.
    assert all(abs(9 * mean - round(9 * mean)) < 1e-5 and 0 <= mean <= 1 for mean in report["mean"])
    first = json.loads((folder / "metrics.jsonl").read_text().splitlines()[0])
    assert set(first) == {"step", "loss", "accuracy"}


@pytest.mark.usefixtures("strokes_at_once")
def test_strokes_need_no_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MINIMETA_DATA", str(tmp_path / "absent"))

    assert main(["train", "fomaml", "strokes", "--out", str(tmp_path / "run"), *CHARACTERS]) == 0

    assert {path.name for path in (tmp_path / "run").iterdir()} == FILES
    assert "fomaml strokes, seed 0" in capsys.readouterr().out


def test_omniglot_with_convolutions(
    stand_in_omniglot: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, data = tmp_path / "run", ["--data", str(stand_in_omniglot)]
    network = ["--network", "conv4", "--filters", "4"]
    assert main(["train", "maml", "omniglot", "--out", str(folder), *data, *CHARACTERS, *network]) == 0
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
    text = RunFolder(tmp_path / "run").begin(PRESETS["maml", "strokes"], 0)
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
