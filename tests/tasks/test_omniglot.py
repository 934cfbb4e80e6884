import hashlib
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from minimeta.errors import DataError, MissingDataError
from minimeta.tasks import omniglot

pytest_plugins = ["omniglot_files"]


def area_average(paper: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The definition: cut each pixel in 4 x 4, count the inked pieces in squares of 15 x 15."""
    pieces = np.repeat(np.repeat(~paper, 4, axis=-2), 4, axis=-1)
    return np.asarray(pieces.reshape(*paper.shape[:-2], 28, 15, 28, 15).sum(axis=(-3, -1)))


def first_characters(path: Path, count: int) -> NDArray[np.bool_]:
    """The first drawings of a file, read without the rest: after a header of 128 bytes, one byte a pixel."""
    with zipfile.ZipFile(path) as archive, archive.open("images.npy") as file:
        file.read(128)
        return np.frombuffer(file.read(count * 20 * 105 * 105), bool).reshape(count, 20, 105, 105)


def test_load_averages_areas(stand_in_omniglot: Path) -> None:
    ink = omniglot.load(stand_in_omniglot)

    assert ink.shape == (1623, 20, 28, 28) and ink.dtype == np.uint8
    for start, name in ((0, "images_background.npz"), (964, "images_evaluation.npz")):
        expected = area_average(first_characters(stand_in_omniglot / name, 9))
        np.testing.assert_array_equal(ink[start : start + 9], expected)
    assert ink.min() == 0 and ink.max() == 225


def test_real_omniglot_is_pinned(real_omniglot: Path) -> None:
    ink = omniglot.load(real_omniglot)
    training, testing = omniglot.split(ink)

    # Any change of a pixel or of the split changes every published result.
    assert (
        hashlib.sha256(ink.tobytes()).hexdigest() == "90fd13d13be792b8c4b10ba0f49fc8eefea0053b017d977afda14a9be1fced1d"
    )
    assert (
        hashlib.sha256(training.tobytes()).hexdigest()
        == "2d715698a03273831caad03c2411367dbe3691cdc003bcb58c58f223ace887b6"
    )
    assert len(testing) == 423
    expected = area_average(first_characters(real_omniglot / "images_evaluation.npz", 20))
    np.testing.assert_array_equal(ink[964:984], expected)


def test_split_is_a_partition() -> None:
    characters = np.zeros((1623, 20, 28, 28), np.uint8)
    characters[:, 0, 0, 0], characters[:, 0, 0, 1] = np.divmod(np.arange(1623), 226)

    training, testing = omniglot.split(characters)

    numbers = [part[:, 0, 0, 0].astype(int) * 226 + part[:, 0, 0, 1] for part in (training, testing)]
    assert [len(part) for part in numbers] == [1200, 423]
    assert sorted(np.concatenate(numbers)) == list(range(1623))
    assert (numbers[0] >= 964).any() and (numbers[1] < 964).any()  # irrespective of alphabet


def test_split_of_other_characters_is_refused() -> None:
    with pytest.raises(DataError, match="of 1623 characters, but there are 30"):
        omniglot.split(np.zeros((30, 20, 28, 28), np.uint8))


def test_both_the_folder_and_its_parent_are_found(
    stand_in_omniglot: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "omniglot").symlink_to(stand_in_omniglot)

    assert omniglot.find(stand_in_omniglot)[0].parent == stand_in_omniglot
    assert omniglot.find(tmp_path)[1] == tmp_path / "omniglot" / "images_evaluation.npz"
    monkeypatch.setenv("MINIMETA_DATA", str(tmp_path))
    assert omniglot.find()[0] == tmp_path / "omniglot" / "images_background.npz"
    with pytest.raises(MissingDataError):  # an explicit folder is not second-guessed
        omniglot.find(tmp_path / "elsewhere")


def test_missing_files_say_where_and_how(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MINIMETA_DATA", raising=False)
    with pytest.raises(MissingDataError, match=r"MINIMETA_DATA is not set.*\n.*github.com/brendenlake/omniglot"):
        omniglot.load()

    (tmp_path / "images_background.npz").touch()
    with pytest.raises(MissingDataError) as caught:
        omniglot.load(tmp_path)
    message = str(caught.value)
    assert f"{tmp_path / 'images_evaluation.npz'}\n" in message
    assert f"{tmp_path / 'omniglot' / 'images_background.npz'}\n" in message
    assert f"{tmp_path / 'images_background.npz'}\n" not in message  # this one is there
    assert "--data" in message and "brendenlake/omniglot" in message


@pytest.fixture
def folder(stand_in_omniglot: Path, tmp_path: Path) -> Path:
    """A folder whose second file is good and whose first a test spoils."""
    for name in omniglot.FILES:
        shutil.copy(stand_in_omniglot / name, tmp_path / name)
    return tmp_path


@pytest.mark.parametrize("kept", [0.0, 0.5, 0.999])
def test_truncated_files_are_named(folder: Path, kept: float) -> None:
    path = folder / "images_background.npz"
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])

    with pytest.raises(DataError, match=f"{path} is not the Omniglot file it should be, or is damaged"):
        omniglot.load(folder)


@pytest.mark.parametrize("place", [0.3, 0.6, 0.9])
def test_damaged_files_are_named(folder: Path, place: float) -> None:
    path = folder / "images_background.npz"
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= 0xFF
    path.write_bytes(content)

    with pytest.raises(DataError, match=str(path)):
        omniglot.load(folder)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((964, 20, 5, 5), bool), r"should be bool of shape \(964, 20, 105, 105\), but is bool of shape"),
        (np.zeros((2, 20, 105, 105), np.uint8), r"but is uint8 of shape \(2, 20, 105, 105\)"),
        (np.array([{}]), "images_background.npz"),
    ],
    ids=["shape", "dtype", "objects"],
)
def test_other_arrays_are_refused(folder: Path, images: NDArray[np.generic], message: str) -> None:
    np.savez(folder / "images_background.npz", images=images)

    with pytest.raises(DataError, match=message):
        omniglot.load(folder)


def test_other_archives_are_refused(folder: Path) -> None:
    np.savez(folder / "images_background.npz", pictures=np.zeros(3))

    with pytest.raises(DataError, match=r"images_background\.npz is not .*images\.npy"):
        omniglot.load(folder)


def test_an_array_shorter_than_its_header_is_refused(folder: Path) -> None:
    path = folder / "images_background.npz"
    with zipfile.ZipFile(path, "w") as archive, archive.open("images.npy", "w") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "|b1", "fortran_order": False, "shape": (964, 20, 105, 105)}
        )
        file.write(bytes(20 * 105 * 105 * 9))

    with pytest.raises(DataError, match="truncated in the drawings of character 9 of 964"):
        omniglot.load(folder)
