import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from minimeta.errors import ConfigurationError, DataError, MissingDataError
from minimeta.tasks import load_split
from minimeta.tasks.image_files import Reading
from minimeta.tasks.image_splits import split_classes, write_lists


def collection(folder: Path, classes: int = 20, images: int = 2) -> Path:
    folder.mkdir(exist_ok=True)
    for label in range(classes):
        (folder / f"c{label:02}").mkdir()
        for index in range(images):
            pixels = np.full((3, 3, 3), (label, index, 9), np.uint8)
            Image.fromarray(pixels).save(folder / f"c{label:02}" / f"{index}.png")
    return folder


def names(classes: int) -> list[str]:
    return [f"{label:04}" for label in range(classes)]


@given(
    classes=st.integers(4, 200),
    fractions=st.tuples(*[st.floats(0.05, 1)] * 3) | st.tuples(*[st.integers(1, 9)] * 3),
    seed=st.integers(0, 9),
)
def test_every_class_is_in_one_part_and_parts_are_as_large_as_they_should_be(
    classes: int, fractions: tuple[float, float, float], seed: int
) -> None:
    total = math.fsum(fractions)
    if min(math.floor(classes * fraction / total) for fraction in fractions) < 2:
        return
    split = split_classes(names(classes), fractions, seed=seed, ways=2)

    assert sorted(name for part in split for name in part) == names(classes)
    for part, fraction in zip(split, fractions, strict=True):
        assert abs(len(part) - classes * fraction / total) < 1
    assert split == split_classes(names(classes)[::-1], fractions, seed=seed, ways=2)


def test_mini_imagenets_fractions_and_counts() -> None:
    assert [len(part) for part in split_classes(names(100))] == [64, 16, 20]
    assert [len(part) for part in split_classes(names(12), (7, 0, 5))] == [7, 0, 5]
    assert [len(part) for part in split_classes(names(50), (0.5, 0.25, 0.25))] == [25, 13, 12]


def test_the_seed_decides() -> None:
    drawn = {tuple(split_classes(names(20), ways=2, seed=seed).testing) for seed in range(5)}
    assert len(drawn) == 5
    # Pinned: another draw would be another benchmark.
    assert split_classes(names(20), ways=2, seed=0).testing == ["0001", "0009", "0014", "0015"]


@pytest.mark.parametrize(
    ("classes", "remedy"),
    [
        (
            20,
            "of 20 classes, 13 would be for training, 3 for validation and 4 for testing, and a task of 5 ways needs "
            "5 in each; try --fractions 10 5 5",
        ),
        (12, "try none for validation: --fractions 7 0 5"),
        (7, "try tasks of fewer: --ways 3 --fractions 4 0 3"),
        (3, "4 classes are the least that can be split"),
    ],
)
def test_too_few_classes(classes: int, remedy: str) -> None:
    with pytest.raises(ConfigurationError, match=remedy):
        split_classes(names(classes))
    if "--fractions" in remedy:  # what it says does work
        flags = remedy[remedy.index("--fractions") :].split()[1:4]
        ways = int(remedy[remedy.index("--ways") :].split()[1]) if "--ways" in remedy else 5
        split_classes(names(classes), [float(flag) for flag in flags], ways=ways)


@pytest.mark.parametrize(
    ("fractions", "ways", "seed", "message"),
    [
        ((0.5, 0.5), 5, 0, "fractions must be three numbers from 0 on"),
        ((1, -1, 1), 5, 0, "fractions must be three numbers from 0 on"),
        ((1, math.nan, 1), 5, 0, "fractions must be three numbers from 0 on"),
        ((0, 1, 1), 5, 0, "some classes for training and some for testing"),
        ((1, 1, 0), 5, 0, "some classes for training and some for testing"),
        ((1, 1, 1), 1, 0, "ways=1 must be at least 2"),
        ((1, 1, 1), 2, -1, "seed=-1 must be at least 0"),
    ],
)
def test_what_is_out_of_range(fractions: tuple[float, ...], ways: int, seed: int, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        split_classes(names(50), fractions, ways=ways, seed=seed)


@pytest.mark.parametrize("inner", ["", "images"])
def test_what_is_written_is_what_is_read(tmp_path: Path, inner: str) -> None:
    collection(tmp_path / inner)
    (tmp_path / inner / "c03").rename(tmp_path / inner / 'Vögel, "große"')

    written = write_lists(tmp_path, ways=3)
    split = load_split(tmp_path, reading=Reading(3))

    assert written.folder == tmp_path and not written.copies
    assert [list(part) for part in split] == list(written.classes)
    for part in split:
        for label, images in part.items():
            number = 3 if label.startswith("V") else int(label[1:])
            assert images[:, 0, 0].tolist() == [[number, 0, 9], [number, 1, 9]]


def test_an_npz(tmp_path: Path) -> None:
    labels = np.repeat(np.arange(12), 3)
    np.savez(tmp_path / "mine.npz", images=np.tile(labels.astype(np.uint8), (4, 4, 1)).T, labels=labels)

    written = write_lists(tmp_path / "mine.npz", (1, 1, 1), ways=4)
    split = load_split(tmp_path / "mine.npz", reading=Reading(4, 1))

    assert [list(part) for part in split] == list(written.classes)
    assert all((images == int(name)).all() and len(images) == 3 for part in split for name, images in part.items())


def test_copies_are_left_off(tmp_path: Path) -> None:
    """Of a class; what two classes share is for their collector to decide."""
    collection(tmp_path)
    for name in ("0 (copy).png", "x.png"):
        (tmp_path / "c00" / name).write_bytes((tmp_path / "c00" / "0.png").read_bytes())
    (tmp_path / "c01" / "2.png").write_bytes((tmp_path / "c00" / "0.png").read_bytes())

    written = write_lists(tmp_path, ways=2)

    assert written.copies == [tmp_path / "c00" / "0.png", tmp_path / "c00" / "x.png"]  # of 0 (copy).png
    split = load_split(tmp_path, reading=Reading(3))
    assert {name: len(images) for part in split for name, images in part.items() if name < "c03"} == {
        "c00": 2,
        "c01": 3,
        "c02": 2,
    }


def test_lists_are_not_overwritten(tmp_path: Path) -> None:
    collection(tmp_path)
    write_lists(tmp_path, ways=2)
    first = {path.name: path.read_bytes() for path in tmp_path.glob("*.csv")}
    assert len(first) == 3

    write_lists(tmp_path, ways=2)
    (tmp_path / "test.csv").unlink()  # as if it had been interrupted
    write_lists(tmp_path, ways=2)
    with pytest.raises(ConfigurationError, match=r"train\.csv is there already, with other lines.* delete train\.csv"):
        write_lists(tmp_path, ways=2, seed=1)

    assert {path.name: path.read_bytes() for path in tmp_path.glob("*.csv")} == first


def test_names_that_a_list_cannot_hold(tmp_path: Path) -> None:
    collection(tmp_path)
    (tmp_path / "c00").rename(tmp_path / "V\udcf6gel")

    with pytest.raises(DataError, match=r"the name 'V\\udcf6gel' is not UTF-8, .* rename it"):
        write_lists(tmp_path, ways=2)
    assert not list(tmp_path.glob("*.csv"))


def test_nothing_to_split(tmp_path: Path) -> None:
    with pytest.raises(MissingDataError, match="there are no class folders"):
        write_lists(tmp_path)
    with pytest.raises(MissingDataError, match="there is no folder"):
        write_lists(tmp_path / "absent")
