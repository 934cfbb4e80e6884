"""minimeta data: a data set is got once, and then found by every command."""

import functools
import json
from pathlib import Path

import pytest
from omniglot_drawings import SmallOmniglot

from minimeta.cli import main
from minimeta.tasks import omniglot

pytest_plugins = ["omniglot_files"]


def test_what_data_gets_info_finds(
    small_omniglot: SmallOmniglot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(omniglot, "fetch", functools.partial(omniglot.fetch, edition=small_omniglot.edition))
    monkeypatch.setenv("MINIMETA_DATA", str(tmp_path / "home"))
    packed = str(tmp_path / "home" / "omniglot" / "omniglot-28x28.npz")
    files = [str(small_omniglot.folder / name) for name in ("images_background.zip", "images_evaluation.zip")]

    assert main(["data", "omniglot", "--from", *files]) == 0
    assert packed in capsys.readouterr().out
    assert main(["data", "omniglot", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"status": "complete", "omniglot": packed}
    assert main(["info", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["data"] == {"omniglot": [packed]} and report["data_folder"] == str(tmp_path / "home")


def test_other_archives_are_refused(
    small_omniglot: SmallOmniglot, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "omniglot", "--data", str(tmp_path), "--from", str(small_omniglot.folder)]) == 1

    errors = capsys.readouterr().err
    assert f"{small_omniglot.folder / 'images_background.zip'} is truncated" in errors and "of 9464212 bytes" in errors
    assert not (tmp_path / "omniglot").exists()
