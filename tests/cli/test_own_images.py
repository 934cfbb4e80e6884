"""A user's images, from a folder as people have them to a result, by the commands that they would use."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from minimeta.cli import main

pytest_plugins = ["undrawn"]
pytestmark = pytest.mark.usefixtures("undrawn")

TRAINING = ["train", "maml", "images", "--ways", "2", "--queries", "2", "--size", "16"]
TRAINING += ["--network", "mlp", "--hidden", "4"]
SHORT = ["--iterations", "2", "--meta-batch", "1", "--evaluation.tasks", "2", "--evaluation.steps", "1"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Nine classes of files of many kinds, one of them called images, and what a Mac and a notebook leave there."""
    folder = tmp_path / "my images"
    rng = np.random.default_rng(0)
    for label in ("images", "Vögel", *(f"c{number}" for number in range(7))):
        (folder / label / ".ipynb_checkpoints").mkdir(parents=True)
        (folder / label / ".ipynb_checkpoints" / "1-checkpoint.png").write_bytes(b"not an image")
        (folder / label / "._1.png").write_bytes(b"not an image")
        colours = rng.integers(0, 256, (20, 24, 3), np.uint8)
        Image.fromarray(colours).save(folder / label / "1.png")
        Image.fromarray(colours).convert("RGBA").save(folder / label / "2.webp")
        Image.fromarray(colours[..., 0].astype(np.uint16) * 257).save(folder / label / "3.tiff")
        Image.fromarray(colours[..., 1]).save(folder / label / "4.JPG", "JPEG")
    (folder / "__MACOSX").mkdir()
    return folder


def said(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(capsys.readouterr().out)
    return report


def test_from_a_folder_to_a_result(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    train = [*TRAINING, *SHORT, "--out", "run", "--data", "my images", "--json"]

    assert main(train) == 1
    error = said(capsys)["error"]
    assert "there is no list my images/train.csv" in error and "minimeta data split 'my images'" in error

    assert main(["data", "split", "my images", "--json"]) == 2
    assert "of 9 classes, 6 would be for training, 1 for validation" in said(capsys)["error"]
    assert main(["data", "split", "my images", "--ways", "2", "--fractions", "5", "2", "2", "--json"]) == 0
    report = said(capsys)
    assert [len(report[part]) for part in ("training", "validation", "testing")] == [5, 2, 2]
    assert report["status"] == "complete" and report["folder"] == "my images" and report["copies"] == []

    assert main(train) == 0
    first = said(capsys)

    # The run knows where its images are, from wherever it is asked.
    monkeypatch.chdir(tmp_path / "run")
    assert main(["evaluate", str(tmp_path / "run"), "--json"]) == 0
    assert said(capsys)["mean"] == first["mean"]
    assert main([*TRAINING[:3], "--out", str(tmp_path / "run"), "--resume", "--iterations", "3", "--json"]) == 0
    assert said(capsys)["step"] == 3
    assert main(["report", str(tmp_path / "run"), "--figure", str(tmp_path / "curves.png")]) == 0

    # They may have moved; another place is named once, and known from then on.
    folder.rename(tmp_path / "moved")
    capsys.readouterr()
    assert main(["evaluate", str(tmp_path / "run"), "--json"]) == 1
    assert f"there is no list {folder / 'train.csv'}" in said(capsys)["error"]
    resume = [*TRAINING[:3], "--out", str(tmp_path / "run"), "--resume", "--json"]
    assert main([*resume, "--data", str(tmp_path / "moved")]) == 0
    assert main(resume) == 0


def test_what_split_says(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "c0" / "copy.png").write_bytes((folder / "c0" / "1.png").read_bytes())
    flags = ["--ways", "2", "--fractions", "7", "0", "2"]

    assert main(["data", "split", str(folder), *flags]) == 0

    assert capsys.readouterr().out.splitlines() == [
        f"9 classes: 7 for training, 0 for validation, 2 for testing, in train.csv, val.csv, test.csv in {folder}",
        f"left off, since they are copies of other files of their class: {folder / 'c0' / 'copy.png'}",
    ]
    assert main(["data", "split", str(folder), *flags, "--seed", "1"]) == 2
    assert "is there already, with other lines" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("filename,label\n1.png,Vögel\n".encode("latin-1"), "which is not UTF-8"),
        (b"filename,label\n1.png,c0\n1.png,c0\n", "is listed already, in line 2"),
        (b"filename;label\n1.png;c0\n", "the first line should be filename,label, not 'filename;label'"),
        (b'filename,label\n"1.png,c0\n', "this is not CSV"),
        (b"filename,label\n../secret.png,c0\n", "leads out of the folder"),
        (b"filename,label\n._1.png,c0\n", "is not an image, or is damaged"),
    ],
)
def test_wrong_lists_are_errors_in_json(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, message: str
) -> None:
    for name in ("val", "test"):
        (folder / f"{name}.csv").write_text("filename,label\n")
    (folder / "train.csv").write_bytes(content)

    assert main([*TRAINING, *SHORT, "--out", str(tmp_path / "run"), "--data", str(folder), "--json"]) == 1

    report = said(capsys)
    assert report["status"] == "error" and message in report["error"] and str(folder) in report["error"]
