import contextlib
import os
from pathlib import Path

import numpy as np
import pytest

from minimeta.errors import DataError, MissingDataError
from minimeta.files import data_folder, read_npz, write_atomically, write_npz


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


def test_the_file_may_be_read_as_any_other(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    write_atomically(tmp_path / "written", "")

    assert (tmp_path / "written").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_an_npz_comes_back(tmp_path: Path) -> None:
    arrays = {"a": np.arange(6).reshape(2, 3), "b": np.array(["x", "yz"])}
    write_npz(tmp_path / "file.npz", **arrays)

    found = read_npz(tmp_path / "file.npz")

    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype


def test_every_byte_of_an_npz_counts(tmp_path: Path) -> None:
    path = tmp_path / "file.npz"
    write_npz(path, a=np.arange(30, dtype=np.uint8))
    content = path.read_bytes()

    for place in range(len(content)):
        path.write_bytes(content[:place])
        with pytest.raises(DataError, match=f"{path} is not an .npz file, or is truncated or damaged"):
            read_npz(path)
        path.write_bytes(content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :])
        with contextlib.suppress(DataError, KeyError):  # or it is a byte that nothing depends on, of a date say
            assert list(read_npz(path)["a"]) == list(range(30))


def test_pickles_and_what_is_not_there_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "file.npz", a=np.array([{}]))
    with pytest.raises(DataError, match="pickle"):
        read_npz(tmp_path / "file.npz")
    with pytest.raises(MissingDataError, match=f"there is no file {tmp_path / 'absent'}"):
        read_npz(tmp_path / "absent")


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
