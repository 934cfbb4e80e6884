from pathlib import Path

import numpy as np
import pytest
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
