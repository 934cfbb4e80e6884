"""The first steps of a run, trained again, have the same bits, and a changed digit is found."""

import json
import shutil
from pathlib import Path

import pytest
from background import training

from minimeta.cli import main


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    assert main(training(folder, "--iterations", "120")) == 0
    return folder


def test_a_run_is_verified(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(run)]) == 0
    assert f"{run}: the same bits after 100 steps (" in capsys.readouterr().out


def test_a_changed_digit_is_found(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "other"
    shutil.copytree(run, other)
    lines = (other / "metrics.jsonl").read_text().splitlines(keepends=True)
    seventh = json.loads(lines[7])
    seventh["loss"] *= 1 + 2**-23
    lines[7] = json.dumps(seventh) + "\n"
    (other / "metrics.jsonl").write_text("".join(lines))
    assert main(["verify", str(other), "--json"]) == 1
    (found,) = json.loads(capsys.readouterr().out)["runs"]
    assert (found["same"], found["first_difference"], found["steps"]) == (False, 7, 100)


def test_a_run_without_its_record_is_not_verified(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    shutil.copytree(run, other)
    (other / "metrics.jsonl").unlink()
    assert main(["verify", str(other)]) == 1
    assert "has no steps to compare" in capsys.readouterr().err


def test_of_a_record_that_was_cut_whole_steps_are_compared(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    shutil.copytree(run, other)
    lines = (other / "metrics.jsonl").read_text().splitlines(keepends=True)

    (other / "metrics.jsonl").write_text("".join(lines[:3]))
    assert main(["verify", str(other)]) == 0
    assert f"{other}: the same bits after 3 steps, all that is left of 100 (" in capsys.readouterr().out

    for half in (lines[3][:9], lines[3][:-1]):  # the last byte alone is enough
        (other / "metrics.jsonl").write_text("".join(lines[:3]) + half)
        assert main(["verify", str(other)]) == 1
        said = capsys.readouterr().out
        assert f"{other}: CUT within the line of step 3, of 100; the steps before it have the same bits" in said
    assert main(["verify", str(other), "--json"]) == 1
    (found,) = json.loads(capsys.readouterr().out)["runs"]
    assert (found["same"], found["cut"], found["steps"], found["recorded"]) == (True, True, 3, 100)

    (other / "metrics.jsonl").write_text("".join(lines[:110]) + lines[110][:9])  # as a kill leaves it
    assert main(["verify", str(other)]) == 0


def test_a_kept_result_is_verified_by_its_hash(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = json.loads((run / "results.json").read_text())
    file = tmp_path / "kept.json"
    file.write_text(json.dumps(kept))
    assert main(["verify", str(file)]) == 0
    file.write_text(json.dumps({**kept, "settings": {**kept["settings"], "seed": 1}}))
    assert main(["verify", str(file)]) == 1
    assert "OTHER BITS: " in capsys.readouterr().out
    del kept["first_steps"]
    file.write_text(json.dumps(kept))
    assert main(["verify", str(file)]) == 1
    assert "has no hash of its first steps" in capsys.readouterr().err


def test_what_is_no_run_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify"]) == 2
    assert main(["verify", str(tmp_path)]) == 2
    (tmp_path / "x.json").write_text("[]")
    assert main(["verify", str(tmp_path / "x.json")]) == 1
    said = capsys.readouterr().err
    assert "verify needs run folders" in said and "there is no run in" in said and "not a result that was kept" in said
