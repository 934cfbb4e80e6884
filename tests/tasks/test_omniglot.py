import hashlib
import zipfile
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from numpy.typing import NDArray
from omniglot_drawings import SmallOmniglot, area_average

from minimeta.archives import read_arrays
from minimeta.errors import ConfigurationError, DataError, MissingDataError
from minimeta.tasks import omniglot
from minimeta.tasks.omniglot_archives import OFFICIAL
from minimeta.tasks.omniglot_files import PACKED

pytest_plugins = ["omniglot_files"]


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
    training, validation, testing = omniglot.split(ink)

    # Any change of a pixel or of the split changes every published result.
    assert (
        hashlib.sha256(ink.tobytes()).hexdigest()
        == OFFICIAL.ink_sha256
        == "90fd13d13be792b8c4b10ba0f49fc8eefea0053b017d977afda14a9be1fced1d"
    )
    assert (
        hashlib.sha256(training.tobytes()).hexdigest()
        == "2d715698a03273831caad03c2411367dbe3691cdc003bcb58c58f223ace887b6"
    )
    assert (len(validation), len(testing)) == (0, 423)
    expected = area_average(first_characters(real_omniglot / "images_evaluation.npz", 20))
    np.testing.assert_array_equal(ink[964:984], expected)


def numbers_of(part: NDArray[np.uint8]) -> list[int]:
    return list(part[:, 0, 0, 0].astype(int) * 226 + part[:, 0, 0, 1])


@pytest.fixture(scope="module")
def numbered() -> NDArray[np.uint8]:
    """Characters that say their number."""
    characters = np.zeros((1623, 20, 28, 28), np.uint8)
    characters[:, 0, 0, 0], characters[:, 0, 0, 1] = np.divmod(np.arange(1623), 226)
    return characters


@pytest.mark.parametrize(
    ("name", "sizes"), [("reptile", [1200, 0, 423]), ("maml", [1100, 100, 423]), ("background", [964, 0, 659])]
)
def test_a_split_is_a_partition(
    numbered: NDArray[np.uint8], name: Literal["reptile", "maml", "background"], sizes: list[int]
) -> None:
    parts = [numbers_of(part) for part in omniglot.split(numbered, name)]

    assert [len(part) for part in parts] == sizes
    assert sorted([*parts[0], *parts[1], *parts[2]]) == list(range(1623))
    by_alphabet = max(parts[0]) < 964 <= min(parts[2])
    assert by_alphabet == (name == "background")


def test_splits_irrespective_of_alphabet_test_on_the_same_characters(numbered: NDArray[np.uint8]) -> None:
    reptile, maml = omniglot.split(numbered), omniglot.split(numbered, "maml")

    np.testing.assert_array_equal(reptile.testing, maml.testing)
    np.testing.assert_array_equal(reptile.training, np.concatenate([maml.training, maml.validation]))


def test_other_splits_are_refused(numbered: NDArray[np.uint8]) -> None:
    with pytest.raises(DataError, match="of 1623 characters, but there are 30"):
        omniglot.split(numbered[:30])
    with pytest.raises(ConfigurationError, match="no split 'mmal'; there are reptile, maml, background"):
        omniglot.split(numbered, "mmal")  # type: ignore[arg-type]


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


def test_the_packed_file_is_found_first_and_the_archives_last(tmp_path: Path) -> None:
    for names in reversed(omniglot.FORMS):
        for name in names:
            (tmp_path / name).touch()
        assert omniglot.find(tmp_path) == [tmp_path / name for name in names]


def test_without_a_folder_the_cache_is_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MINIMETA_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(MissingDataError, match=str(tmp_path / "minimeta" / "omniglot")):
        omniglot.load()

    (tmp_path / "minimeta").mkdir()
    (tmp_path / "minimeta" / PACKED).touch()
    assert omniglot.find() == [tmp_path / "minimeta" / PACKED]


def test_missing_files_say_where_and_how(tmp_path: Path) -> None:
    (tmp_path / "images_background.npz").touch()
    with pytest.raises(MissingDataError) as caught:
        omniglot.load(tmp_path)

    message = str(caught.value)
    assert f"  {tmp_path}\n  {tmp_path / 'omniglot'}\n" in message
    assert f"{tmp_path / 'images_background.npz'} alone is not enough" in message
    for word in (PACKED, "images_evaluation.npz", "images_evaluation.zip", "minimeta data omniglot", "MINIMETA_DATA"):
        assert word in message
    assert "--data" in message and "brendenlake/omniglot" in message


def test_fetch_packs_what_is_at_hand(small_omniglot: SmallOmniglot, tmp_path: Path) -> None:
    folder, edition, paper = small_omniglot
    home = tmp_path / "data"
    archives = [folder / "images_evaluation.zip", folder / "images_background.zip"]  # in any order

    for source in ([folder], archives):
        packed = omniglot.fetch(home, source, edition)
        assert packed == home / "omniglot" / PACKED
        np.testing.assert_array_equal(read_arrays(packed)["ink"], area_average(paper))
        assert omniglot.load(home, edition).tobytes() == area_average(paper).astype(np.uint8).tobytes()
        assert list(home.rglob("*.*")) == [packed]
        packed.unlink()

    (home / "omniglot" / "images_background.zip").write_bytes(archives[1].read_bytes())
    (home / "omniglot" / "images_evaluation.zip").write_bytes(archives[0].read_bytes())
    assert omniglot.fetch(home, edition=edition) == packed  # without a download: the address is of no use
    modified = packed.stat().st_mtime_ns
    assert omniglot.fetch(home, edition=edition) == packed and packed.stat().st_mtime_ns == modified


def test_fetch_refuses_other_drawings(small_omniglot: SmallOmniglot, tmp_path: Path) -> None:
    _, edition, paper = small_omniglot
    paper[4, 19, 50] ^= True
    np.savez(tmp_path / "images_background.npz", images=paper[:3])
    np.savez(tmp_path / "images_evaluation.npz", images=paper[3:])

    with pytest.raises(DataError, match=f"images_evaluation.npz: .*expected SHA-256 {edition.ink_sha256}, found"):
        omniglot.fetch(tmp_path / "data", [tmp_path], edition)
    assert not (tmp_path / "data").exists()


def test_fetch_needs_both_files(small_omniglot: SmallOmniglot, tmp_path: Path) -> None:
    folder, edition, _ = small_omniglot

    with pytest.raises(MissingDataError, match=r"cannot be made of .*images_background\.zip; it takes a folder, or"):
        omniglot.fetch(tmp_path, [folder / "images_background.zip"], edition)
    with pytest.raises(MissingDataError, match="Omniglot is missing"):
        omniglot.fetch(tmp_path, [tmp_path], edition)


def test_the_real_omniglot_is_packed_without_a_change(real_omniglot: Path, tmp_path: Path) -> None:
    packed = omniglot.fetch(tmp_path, [real_omniglot])

    np.testing.assert_array_equal(omniglot.load(packed.parent), omniglot.load(real_omniglot))
