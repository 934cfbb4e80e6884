"""What a run is measured by: validation, two ways of predicting, and ``minimeta evaluate``."""

import json
from pathlib import Path

import pytest
from runs import CHARACTERS, VALIDATED

from minimeta.cli import main

pytest_plugins = ["omniglot_files", "trained_runs", "drawn_strokes", "undrawn"]
pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.mark.usefixtures("strokes_at_once")
def test_what_validates_best_is_what_is_tested(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    flags = [*VALIDATED, "--evaluation.validate-every", "1", "--evaluation.no-side-by-side"]
    assert main(["train", "maml", "strokes", "--out", str(whole), *flags]) == 0
    assert main(["train", "maml", "strokes", "--out", str(parts), *flags, "--iterations", "2"]) == 0
    assert main(["train", "maml", "strokes", "--out", str(parts), "--resume", "--iterations", "4"]) == 0

    judged = [json.loads(line) for line in (whole / "validation.jsonl").read_text().splitlines()]
    best = max(judged, key=lambda found: found["mean"])["step"]
    results = json.loads((whole / "results.json").read_text())
    assert [found["step"] for found in judged] == [1, 2, 3, 4] and results["step"] == best
    assert results["validation"] == judged
    assert sorted(found["seconds"] for found in judged) == [found["seconds"] for found in judged]
    # Resumed equals uninterrupted in everything except the time.
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
    words = ["train", "maml", "omniglot", "--data", str(stand_in_omniglot), "--out", str(tmp_path / "run"), *CHARACTERS]
    assert main([*words, "--evaluation.validate-every", "2"]) == 2
    assert "has no classes for validation" in capsys.readouterr().err


@pytest.mark.usefixtures("strokes_at_once")
def test_both_ways_of_predicting_stand_side_by_side(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(tmp_path / "run")
    assert main(["train", "maml", "strokes", "--out", folder, *VALIDATED, "--evaluation.queries", "3"]) == 0
    printed = capsys.readouterr().out
    assert "all queries at once" in printed and "each query alone" in printed
    one = json.loads((tmp_path / "run" / "results.json").read_text())
    assert main(["evaluate", folder, "--evaluation.no-transductive", "--json"]) == 0
    other = json.loads(capsys.readouterr().out)
    assert one["mean"] == other["other"]["mean"] != one["other"]["mean"] == other["mean"]
    assert main(["report", folder]) == 0
    assert f"each query alone: 2: {100 * one['other']['mean'][2]:.2f} ±" in capsys.readouterr().out


def test_evaluate_repeats_and_varies_the_evaluation(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.read_bytes() for path in run.iterdir()}
    trained = json.loads((run / "results.json").read_text())

    assert main(["evaluate", str(run), "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again == {**{name: trained[name] for name in again}, "run": str(run)}

    given = {"shots": 20, "queries": 7, "steps": 4, "tasks": 3, "seed": 8}
    flags = [word for name, value in given.items() for word in (f"--evaluation.{name}", str(value))]
    flags.append("--evaluation.no-transductive")
    assert main(["evaluate", str(run), *flags, "--json"]) == 0
    varied = json.loads(capsys.readouterr().out)
    assert varied["evaluation"] == {
        **given, "transductive": False,
        "side_by_side": True, "validate_every": 0, "validation_tasks": 200, "every": 1, "rotations": False,
    }  # fmt: skip
    assert len(varied["mean"]) == 5 and varied["mean"][0] != trained["mean"][0]

    assert main(["evaluate", str(run)]) == 0
    assert "4 test tasks, 5-shot" in capsys.readouterr().out
    assert main(["evaluate", str(run), "--evaluation.tasks", "0"]) == 2
    assert {path: path.read_bytes() for path in run.iterdir()} == before


@pytest.mark.parametrize("content", ["learner = 'maml'\ntask = 'chess'", "task = 'sinusoid'"])
def test_evaluate_refuses_runs_it_does_not_know(
    content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "configuration.toml").write_text(content)

    assert main(["evaluate", str(tmp_path)]) == 2
    assert "which minimeta does not have" in capsys.readouterr().err
