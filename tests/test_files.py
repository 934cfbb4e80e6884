import os
from pathlib import Path

import numpy as np
import pytest

from minimeta.files import data_folder, write_atomically, write_npz


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, "old")
    with path.open() as old:
        write_atomically(path, b"n\xc3\xa9w")
        assert old.read() == "old"  # who has it open keeps reading the old file

    assert path.read_text("utf-8") == "néw"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failure_leaves_the_old_file_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_atomically(path, "old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, "new")

    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_atomically(tmp_path / "absent" / "file", "content")


@pytest.mark.parametrize("path", [".", "..", "/"])
def test_a_folder_is_no_file(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(IsADirectoryError, match="Is a directory"):
        write_atomically(path, "text")


def test_the_file_may_be_read_as_any_other(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    write_atomically(tmp_path / "written", "")

    assert (tmp_path / "written").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_an_npz_is_written_whole(tmp_path: Path) -> None:
    write_npz(tmp_path / "file.npz", a=np.arange(6).reshape(2, 3))

    with np.load(tmp_path / "file.npz") as file:
        np.testing.assert_array_equal(file["a"], np.arange(6).reshape(2, 3))
    assert list(tmp_path.iterdir()) == [tmp_path / "file.npz"]


def test_the_folder_of_the_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINIMETA_DATA", "here")
    monkeypatch.setenv("XDG_CACHE_HOME", "cache")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert data_folder(tmp_path) == tmp_path
    assert data_folder() == Path("here")
    monkeypatch.delenv("MINIMETA_DATA")
    assert data_folder() == Path("cache/minimeta")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert data_folder() == tmp_path / ".cache" / "minimeta"
