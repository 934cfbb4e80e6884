"""minimeta report: finished runs in one table and in one figure, and folders that hold no finished run."""

import json
from pathlib import Path

import pytest

from minimeta.cli import main
from minimeta.storage.sealed import read_sealed, sealed

RUN = [
    "--hidden",
    "4",
    "--meta-batch",
    "2",
    "--iterations",
    "2",
    "--evaluation.tasks",
    "4",
    "--evaluation.queries",
    "3",
]


def test_one_row_for_each_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = [str(tmp_path / learner) for learner in ("maml", "fomaml")]
    for learner, folder in zip(("maml", "fomaml"), folders, strict=True):
        assert main(["train", learner, "sinusoid", "--out", folder, *RUN]) == 0
    capsys.readouterr()

    assert main(["report", *folders]) == 0
    _, head, *lines = capsys.readouterr().out.splitlines()
    assert "iterations" in head and max(map(len, lines)) <= 80
    for number, (learner, folder) in enumerate(zip(("maml", "fomaml"), folders, strict=True)):
        results = json.loads((Path(folder) / "results.json").read_text())
        rows = lines[5 * number :]
        assert rows[0].split()[:3] == [learner, "sinusoid", "2"] and rows[1].startswith("seed 0, 5-shot")
        for row, step in zip(rows, (0, 1, 3, 5, 10), strict=False):
            assert f"{step}: {results['mean'][step]:.4f} ± {results['interval'][step]:.4f}" in row

    assert main(["report", *folders, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [run["learner"] for run in found["runs"]] == ["maml", "fomaml"]
    assert all(run["seconds"] > 0 for run in found["runs"])


def test_diverged_tasks_are_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "run"
    assert main(["train", "maml", "sinusoid", "--out", str(folder), *RUN]) == 0
    results = read_sealed(folder / "results.json", "")
    (folder / "results.json").write_text(sealed({**results, "diverged": 3}))
    capsys.readouterr()
    assert main(["report", str(folder)]) == 0
    assert "3 of 4 tasks diverged" in capsys.readouterr().out

    moved = folder.rename(tmp_path / "moved")
    assert main(["report", str(moved), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["runs"][0]["run"] == str(moved)


@pytest.mark.parametrize(
    ("files", "problem"), [([], "there is no run in"), (["configuration.toml"], "is not finished")]
)
def test_what_is_no_finished_run_is_named(
    files: list[str], problem: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in files:
        (tmp_path / name).touch()
    assert main(["report", str(tmp_path)]) == 2
    assert problem in capsys.readouterr().err


@pytest.mark.parametrize("flags", [[], ["--figure", "curves.png"], ["--figure", "curves.png", "--keep", "results"]])
def test_no_runs_are_wrong_usage(flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", *flags]) == 2
    assert "minimeta report runs/*" in capsys.readouterr().err
