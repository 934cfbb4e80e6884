import os
import re
from pathlib import Path

import numpy as np
import pytest
from mutations import bounded, mutations
from numpy.typing import NDArray
from PIL import Image

from minimeta.errors import DataError, MissingDataError
from minimeta.tasks import FewShot, load_split
from minimeta.tasks.image_files import Reading

PARTS = {"train": ["n01", "n02", "n03"], "val": ["n04"], "test": ["n05", "n06"]}
LABELS = [label for labels in PARTS.values() for label in labels]


def pixels(label: str, index: int) -> NDArray[np.uint8]:
    """An image of one colour that says what it is."""
    return np.broadcast_to(np.array([10 * int(label[1:]), index, 7], np.uint8), (6, 6, 3))


def write_lists(folder: Path, images: int = 4) -> None:
    for name, labels in PARTS.items():
        rows = [f"{label}{index:08}.png,{label}\n" for label in labels for index in reversed(range(images))]
        (folder / f"{name}.csv").write_text("filename,label\n" + "".join(rows))


def collection(folder: Path, layout: str) -> Path:
    """Write six classes of five images, of which the lists name four."""
    if layout == "npz":
        images = np.stack([pixels(label, index) for index in range(4) for label in LABELS])
        np.savez(folder / "images.npz", images=images, labels=np.tile(np.arange(6), 4), names=LABELS)
        return folder / "images.npz"
    for label in LABELS:
        for index in range(5):
            root = folder / "images" if layout.startswith("images") else folder
            root = root / label if layout.endswith("classes") else root
            root.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels(label, index)).save(root / f"{label}{index:08}.png")
    return folder


@pytest.mark.parametrize("layout", ["images", "flat", "classes", "images/classes", "npz"])
def test_images_are_split_as_listed(tmp_path: Path, layout: str) -> None:
    source = collection(tmp_path, layout)
    write_lists(tmp_path)

    split = load_split(source, reading=Reading(6))

    for classes, labels in zip(split, PARTS.values(), strict=True):
        assert list(classes) == labels
        for label, images in classes.items():
            order = range(4) if layout == "npz" else reversed(range(4))
            np.testing.assert_array_equal(images, np.stack([pixels(label, index) for index in order]))
    FewShot(split.training, ways=3, shots=1, queries=3, full_scale=255).sample(np.random.default_rng(0), 2)


def test_lists_may_be_elsewhere(tmp_path: Path) -> None:
    source = collection(tmp_path, "classes")
    (tmp_path / "lists").mkdir()
    write_lists(tmp_path / "lists")

    assert len(load_split(source, tmp_path / "lists").testing) == 2
    with pytest.raises(MissingDataError, match=rf"no list {tmp_path / 'train.csv'}; a split needs train.csv, val.csv"):
        load_split(source)


def test_a_missing_image_or_class_is_named(tmp_path: Path) -> None:
    source = collection(tmp_path, "images")
    write_lists(tmp_path, images=6)
    with pytest.raises(MissingDataError, match=r"image n0100000005\.png of class n01 is neither in"):
        load_split(source)

    write_lists(tmp_path)
    with (tmp_path / "val.csv").open("a") as file:
        file.write("x.png,n99\n")
    with pytest.raises(MissingDataError, match=r"image x\.png of class n99 is neither in"):
        load_split(source)
    with pytest.raises(MissingDataError, match=rf"class n99 on {tmp_path / 'val.csv'} is not in .*npz"):
        load_split(collection(tmp_path, "npz"))
    with pytest.raises(MissingDataError, match="there is no folder"):
        load_split(tmp_path / "absent", tmp_path)


def test_a_class_on_two_lists_is_refused(tmp_path: Path) -> None:
    source = collection(tmp_path, "flat")
    write_lists(tmp_path)
    with (tmp_path / "test.csv").open("a") as file:
        file.write("n0200000000.png,n02\n")

    with pytest.raises(DataError, match=r"class n02 is on both train\.csv and test\.csv"):
        load_split(source)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"first line should be filename,label, not ''"),
        ("file,class\n", r"first line should be filename,label, not 'file,class'"),
        ("filename,label\na.png,n01\nb.png\n", "line 3"),
        ("filename,label\na.png,\n", "line 2"),
        ("filename,label\na.png,n01,more\n", "line 2"),
    ],
    ids=repr,
)
def test_other_lists_are_refused(tmp_path: Path, text: str, message: str) -> None:
    write_lists(tmp_path)
    (tmp_path / "val.csv").write_text(text)

    with pytest.raises(DataError, match=rf"val\.csv.*{message}"):
        load_split(tmp_path)


def test_a_list_that_a_spreadsheet_saved(tmp_path: Path) -> None:
    """UTF-8 with a mark, lines that end as on Windows, an empty one, quotes."""
    source = collection(tmp_path, "flat")
    (tmp_path / "n0400000004.png").rename(tmp_path / "Vögel, 1.png")
    write_lists(tmp_path)
    (tmp_path / "val.csv").write_bytes('\ufefffilename,label\r\n"Vögel, 1.png",Vögel\r\n\r\n'.encode())

    assert {label: len(images) for label, images in load_split(source).validation.items()} == {"Vögel": 1}


@pytest.mark.parametrize(
    ("content", "place"),
    [
        ("filename,label\na.png,n01\nVögel.png,n01\n".encode("latin-1"), r"line 3: byte 26 of the file is 0xf6"),
        (b"filename,label\na.png,n0\xc3", r"line 2: byte 23 of the file is 0xc3"),
    ],
)
def test_a_list_of_another_encoding(tmp_path: Path, content: bytes, place: str) -> None:
    write_lists(tmp_path)
    (tmp_path / "val.csv").write_bytes(content)

    with pytest.raises(DataError, match=rf"val\.csv, {place}, which is not UTF-8; .* iconv -f LATIN1 -t UTF-8"):
        load_split(tmp_path)


@pytest.mark.parametrize(
    ("mark", "written", "said"),
    [
        ("\ufeff", "utf-16-le", "UTF-16"),  # ff fe, as spreadsheets save "Unicode text"
        ("\ufeff", "utf-16-be", "UTF-16"),
        ("\ufeff", "utf-32-le", "UTF-32"),
        ("\ufeff", "utf-32-be", "UTF-32"),
        ("", "utf-16-le", "UTF-16LE"),
        ("", "utf-16-be", "UTF-16BE"),
    ],
)
def test_a_list_of_wide_characters(tmp_path: Path, mark: str, written: str, said: str) -> None:
    write_lists(tmp_path)
    (tmp_path / "train.csv").write_bytes(f"{mark}filename,label\na.png,n01\n".encode(written))

    with pytest.raises(DataError, match=rf"train\.csv is {said}; save it as CSV UTF-8, .* iconv -f {said} -t UTF-8$"):
        load_split(tmp_path)


@pytest.mark.parametrize(
    "text", ['filename,label\n"a.png,n01\n', "filename,label\n" + "a" * 200_000 + ",n01\n", "filename,label\na\0,n04\n"]
)
def test_a_list_that_is_no_csv(tmp_path: Path, text: str) -> None:
    collection(tmp_path, "flat")
    write_lists(tmp_path)
    (tmp_path / "val.csv").write_text(text)

    with pytest.raises((DataError, MissingDataError), match=r"val\.csv, line \d: "):
        load_split(tmp_path)


def append(path: Path, *rows: str) -> None:
    with path.open("a") as file:
        file.writelines(f"{row}\n" for row in rows)


@pytest.mark.parametrize("layout", ["flat", "classes", "images/classes"])
def test_a_file_may_stand_on_the_lists_once(tmp_path: Path, layout: str) -> None:
    """Or a task has it in support and query at once: of one class of 4, listed twice, it would be so in most."""
    source = collection(tmp_path, layout)
    write_lists(tmp_path)
    append(tmp_path / "train.csv", *[f"n01{index:08}.png,n01" for index in range(4)])

    with pytest.raises(
        DataError,
        match=r"train\.csv, line 14: n0100000000\.png of class n01 is listed already, in line 5: .*both support and "
        r"query\. So are 3 other lines\. Delete the second line of each two",
    ):
        load_split(source)


@pytest.mark.parametrize("name", ["./n0100000000.png", "link.png", "hard.png"])
def test_a_file_under_two_names_is_one(tmp_path: Path, name: str) -> None:
    source = collection(tmp_path, "flat")
    write_lists(tmp_path)
    (tmp_path / "link.png").symlink_to(tmp_path / "n0100000000.png")
    os.link(tmp_path / "n0100000000.png", tmp_path / "hard.png")
    append(tmp_path / "train.csv", f"{name},n01")

    with pytest.raises(DataError, match=rf"train\.csv, line 14: {name} of class n01 is listed already, in line 5"):
        load_split(source)


@pytest.mark.parametrize(("part", "label"), [("train", "n02"), ("train", "new"), ("test", "new"), ("val", "n04")])
def test_a_file_has_one_class(tmp_path: Path, part: str, label: str) -> None:
    source = collection(tmp_path, "flat")
    write_lists(tmp_path)
    append(tmp_path / f"{part}.csv", f"n0300000002.png,{label}")

    with pytest.raises(
        DataError,
        match=r"n0300000002\.png of class .* is the file that .*\.csv, line \d+ lists for class .*: an image has",
    ):
        load_split(source)


def test_files_of_one_name_in_two_class_folders_are_two(tmp_path: Path) -> None:
    for label in LABELS:
        (tmp_path / label).mkdir()
        Image.fromarray(pixels(label, 0)).save(tmp_path / label / "0.png")
    for name, labels in PARTS.items():
        (tmp_path / f"{name}.csv").write_text("filename,label\n" + "".join(f"0.png,{label}\n" for label in labels))

    split = load_split(tmp_path, reading=Reading(6))

    np.testing.assert_array_equal(split.testing["n06"], pixels("n06", 0)[np.newaxis])


@pytest.mark.parametrize("row", ["../secret.png,n01", "/etc/hostname,n01", "secret.png,..", "a/../../secret.png,n01"])
def test_lists_do_not_lead_out_of_the_folder(tmp_path: Path, row: str) -> None:
    Image.fromarray(pixels("n01", 0)).save(tmp_path / "secret.png")
    (tmp_path / "mine").mkdir()
    source = collection(tmp_path / "mine", "flat")
    write_lists(source)
    append(source / "train.csv", row)

    with pytest.raises(DataError, match=rf"train\.csv, line 14: .* leads out of the folder {source}"):
        load_split(source)


def test_a_class_called_images(tmp_path: Path) -> None:
    """It is a class folder, and not the folder of the class folders."""
    source = collection(tmp_path, "classes")
    (source / "n01").rename(source / "images")
    write_lists(source)
    text = (source / "train.csv").read_text()
    (source / "train.csv").write_text(text.replace(",n01", ",images"))

    assert list(load_split(source).training) == ["images", "n02", "n03"]


def test_a_name_too_long_for_a_file(tmp_path: Path) -> None:
    source = collection(tmp_path, "flat")
    write_lists(source)
    append(source / "val.csv", "a" * 5000 + ",n04")

    with pytest.raises(MissingDataError, match=r"val\.csv, line 6: image aaaa"):
        load_split(source)


def test_without_lists_the_command_that_writes_them_is_named(tmp_path: Path) -> None:
    source = collection(tmp_path, "classes")

    with pytest.raises(MissingDataError, match=re.escape(f"which this writes: minimeta data split {source}")):
        load_split(source)


def test_lists_made_by_nobody(tmp_path: Path) -> None:
    source = collection(tmp_path, "classes")
    write_lists(tmp_path)
    path = tmp_path / "train.csv"
    refused, read = 0, 0

    with bounded(5_000_000):
        for mutated in mutations(path.read_bytes(), 300):
            path.write_bytes(mutated)
            try:
                split = load_split(source, reading=Reading(2))
            except (DataError, MissingDataError) as error:
                assert str(tmp_path) in str(error)
                refused += 1
                continue
            read += 1
            # What is read are images that are there, of the classes that they are in, each once.
            for label, images in split.training.items():
                (colours,) = {int(image[0, 0, 0]) for image in images}
                assert colours == 10 * int(label[1:])
                assert len({int(image[0, 0, 1]) for image in images}) == len(images)

    assert refused > 100 and read > 3
