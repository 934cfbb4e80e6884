import hashlib
import io
import re
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from mutations import bounded, mutations
from numpy.typing import NDArray
from omniglot_drawings import SmallOmniglot, area_average, make_edition
from PIL import Image

from minimeta.errors import DataError
from minimeta.files import write_npz
from minimeta.tasks import omniglot
from minimeta.tasks.omniglot_archives import Archive, Edition
from minimeta.tasks.omniglot_files import PACKED, read

pytest_plugins = ["omniglot_files"]


def archives(small: SmallOmniglot) -> list[Path]:
    return [small.folder / archive.name for archive in small.edition.archives]


def test_all_forms_give_the_same_bits(small_omniglot: SmallOmniglot) -> None:
    folder, edition, paper = small_omniglot
    expected = area_average(paper)
    np.savez_compressed(folder / "images_background.npz", images=paper[:3])
    np.savez_compressed(folder / "images_evaluation.npz", images=paper[3:])
    write_npz(folder / PACKED, ink=expected.astype(np.uint8))

    for paths in (
        archives(small_omniglot),
        [folder / "images_background.npz", folder / "images_evaluation.npz"],
        [folder / PACKED],
    ):
        ink = read(paths, edition)
        assert ink.dtype == np.uint8
        np.testing.assert_array_equal(ink, expected)


def test_real_drawings_come_out_of_archives_as_they_went_in(real_omniglot: Path, tmp_path: Path) -> None:
    with np.load(real_omniglot / "images_evaluation.npz") as file:
        paper = file["images"][:6]
    edition = make_edition(tmp_path, paper, 4)

    ink = read([tmp_path / archive.name for archive in edition.archives], edition)

    np.testing.assert_array_equal(ink, omniglot.load(real_omniglot)[964:970])


@pytest.mark.parametrize("kept", [0.0, 0.5, 0.999])
def test_a_truncated_archive_is_named(small_omniglot: SmallOmniglot, kept: float) -> None:
    path = small_omniglot.folder / "images_evaluation.zip"
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])

    with pytest.raises(DataError, match=f"{path} is truncated: it has {int(kept * len(content))} of {len(content)}"):
        read(archives(small_omniglot), small_omniglot.edition)


def test_a_changed_archive_is_named_with_both_checksums(small_omniglot: SmallOmniglot) -> None:
    path = small_omniglot.folder / "images_evaluation.zip"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)

    with pytest.raises(DataError) as caught:
        read(archives(small_omniglot), small_omniglot.edition)
    message = str(caught.value)
    assert str(path) in message and small_omniglot.edition.archives[1].sha256 in message
    assert len(re.findall("[0-9a-f]{64}", message)) == 2


def trusted(path: Path, archive: Archive) -> Archive:
    """Describe a file as if it were as it should be, whatever it holds."""
    content = path.read_bytes()
    return archive._replace(size=len(content), sha256=hashlib.sha256(content).hexdigest())


@pytest.mark.parametrize("spoil", ["missing", "no image"])
def test_a_drawing_that_is_missing_or_broken_is_named(small_omniglot: SmallOmniglot, spoil: str) -> None:
    folder, edition, _ = small_omniglot
    path = folder / "images_evaluation.zip"
    with zipfile.ZipFile(path) as old:
        contents = {name: old.read(name) for name in old.namelist()}
    name = next(name for name in contents if name.endswith("/0005_07.png") and not name.startswith("__"))
    if spoil == "missing":
        del contents[name]
    else:
        contents[name] = contents[name][:40]
    with zipfile.ZipFile(path, "w") as new:
        for entry, content in contents.items():
            new.writestr(entry, content)
    spoilt = Edition((edition.archives[0], trusted(path, edition.archives[1])), "", "")

    with pytest.raises(DataError, match=f"{path}: drawing 0005_07 is missing or damaged"):
        read(archives(small_omniglot), spoilt)


@pytest.fixture
def folder(stand_in_omniglot: Path, tmp_path: Path) -> Path:
    """A folder whose second file is good and whose first a test spoils."""
    for name in ("images_background.npz", "images_evaluation.npz"):
        shutil.copy(stand_in_omniglot / name, tmp_path / name)
    return tmp_path


@pytest.mark.parametrize("kept", [0.0, 0.5, 0.999])
def test_truncated_files_are_named(folder: Path, kept: float) -> None:
    path = folder / "images_background.npz"
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])

    with pytest.raises(DataError, match=f"{path} is not an .npz file, or is truncated or damaged"):
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

    with pytest.raises(DataError, match=r"images_background\.npz should hold an array images, and holds pictures"):
        omniglot.load(folder)


def test_an_array_shorter_than_its_header_is_refused(folder: Path) -> None:
    path = folder / "images_background.npz"
    with zipfile.ZipFile(path, "w") as archive, archive.open("images.npy", "w") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "|b1", "fortran_order": False, "shape": (964, 20, 105, 105)}
        )
        file.write(bytes(20 * 105 * 105 * 9))

    with pytest.raises(DataError, match="needs 212562000 bytes, and there are 1984500"):
        omniglot.load(folder)


@pytest.mark.parametrize(
    "arrays", [{}, {"ink": np.zeros((5, 20, 28, 28))}, {"ink": np.zeros((4, 20, 28, 28), np.uint8)}], ids=str
)
def test_another_packed_array_is_refused(small_omniglot: SmallOmniglot, arrays: dict[str, NDArray[np.generic]]) -> None:
    path = small_omniglot.folder / PACKED
    write_npz(path, **arrays)

    with pytest.raises(DataError, match=rf"{path} should hold an array ink, uint8 of shape \(5, 20, 28, 28\)"):
        read([path], small_omniglot.edition)


def test_packed_files_made_by_nobody(small_omniglot: SmallOmniglot) -> None:
    path = small_omniglot.folder / PACKED
    ink = area_average(small_omniglot.paper).astype(np.uint8)
    write_npz(path, ink=ink)
    refused = 0

    with bounded(5_000_000):
        for mutated in mutations(path.read_bytes(), 200):
            path.write_bytes(mutated)
            try:
                found = read([path], small_omniglot.edition)
            except DataError as error:
                assert str(path) in str(error)
                refused += 1
            else:
                assert found.tobytes() == ink.tobytes()

    assert refused > 100


def test_archives_made_by_nobody(small_omniglot: SmallOmniglot) -> None:
    """Even if their checksums were right."""
    folder, edition, paper = small_omniglot
    path = folder / "images_background.zip"
    ink = area_average(paper).astype(np.uint8)
    refused = 0

    with bounded(5_000_000):
        for mutated in mutations(path.read_bytes(), 15):
            path.write_bytes(mutated)
            spoilt = Edition((trusted(path, edition.archives[0]), edition.archives[1]), "", "")
            try:
                found = read(archives(small_omniglot), spoilt)
            except DataError as error:
                assert str(path) in str(error)
                refused += 1
            else:
                assert found.tobytes() == ink.tobytes()

    assert refused > 5


@pytest.mark.parametrize("size", [(1, 1), (105, 1), (210, 105)])
def test_a_drawing_of_another_size_is_refused(small_omniglot: SmallOmniglot, size: tuple[int, int]) -> None:
    """Numpy would spread it over 105 x 105 pixels, if it could."""
    folder, edition, _ = small_omniglot
    path = folder / "images_evaluation.zip"
    drawing = io.BytesIO()
    Image.new("1", size).save(drawing, "PNG")
    with zipfile.ZipFile(path) as old:
        contents = {name: old.read(name) for name in old.namelist()}
    with zipfile.ZipFile(path, "w") as new:
        for name, content in contents.items():
            other = name.endswith("/0005_07.png") and not name.startswith("__")
            new.writestr(name, drawing.getvalue() if other else content)
    spoilt = Edition((edition.archives[0], trusted(path, edition.archives[1])), "", "")

    with pytest.raises(DataError, match=rf"drawing 0005_07 is .*{size[0]} x {size[1]} pixels"):
        read(archives(small_omniglot), spoilt)
