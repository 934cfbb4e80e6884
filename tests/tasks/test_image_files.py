import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mutations import bounded, mutations
from numpy.typing import NDArray
from PIL import Image

from minimeta.errors import ConfigurationError, DataError, MissingDataError
from minimeta.tasks import FewShot, image_files
from minimeta.tasks.image_files import Reading


def random_images(*shape: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes of 3 and 4 colour images, 6 x 8, without loss."""
    for label, number in (("bird", 3), ("cat", 4)):
        (tmp_path / label).mkdir()
        for index, pixels in enumerate(random_images(number, 6, 8, 3)):
            Image.fromarray(pixels).save(tmp_path / label / f"{index}.png")
        (tmp_path / label / "notes.txt").write_text("not an image")
    return tmp_path


def test_a_folder_of_class_folders(folder: Path) -> None:
    classes = image_files.load(folder, Reading(size=None))

    assert list(classes) == ["bird", "cat"]
    np.testing.assert_array_equal(classes["bird"], random_images(3, 6, 8, 3))
    np.testing.assert_array_equal(classes["cat"], random_images(4, 6, 8, 3))


def test_class_folders_may_be_in_a_folder_images(folder: Path, tmp_path: Path) -> None:
    outer = tmp_path / "outer"
    outer.mkdir()
    for label in ("bird", "cat"):
        (folder / label).rename(outer / label)
    (tmp_path / "images").symlink_to(outer)

    assert list(image_files.load(tmp_path, Reading(4))) == ["bird", "cat"]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA"])
def test_every_image_has_the_size_and_channels_asked_for(folder: Path, channels: Any, mode: str) -> None:
    Image.fromarray(random_images(10, 5, 3)).convert(mode).save(folder / "bird" / "3.png")

    classes = image_files.load(folder, Reading(7, channels))

    assert classes["bird"].shape == (4, 7, 7, channels) and classes["bird"].dtype == np.uint8


def test_filters_are_what_they_say(folder: Path) -> None:
    box = image_files.load(folder, Reading(2, 1, "box"))["bird"][0, ..., 0].astype(float)
    grey = image_files.load(folder, Reading(None, 1))["bird"][0, ..., 0].astype(float)
    nearest = image_files.load(folder, Reading(2, 1, "nearest"))["bird"][0, ..., 0]

    np.testing.assert_allclose(box, grey.reshape(2, 3, 2, 4).mean(axis=(1, 3)), atol=1)  # Pillow rounds twice
    assert set(nearest.ravel()) <= set(grey.ravel())
    # Lanczos sharpens: a step overshoots before bytes are cut off at 0 and 255.
    step = np.full((1, 40, 40), 50, np.uint8)
    step[:, :, 20:] = 200
    np.savez(folder / "step.npz", images=step, labels=[0])
    lanczos = image_files.load(folder / "step.npz", Reading(20, 1))["0"]
    assert lanczos.max() > 200 and lanczos.min() < 50


def test_jpeg_and_tasks(folder: Path) -> None:
    for index, pixels in enumerate(random_images(3, 30, 20, 3)):
        Image.fromarray(pixels).save(folder / "bird" / f"x{index}.JPG", "JPEG")
    classes = image_files.load(folder, Reading(8))
    assert [len(images) for images in classes.values()] == [6, 4]

    task = FewShot(classes, ways=2, shots=1, queries=3, rotations=False, flat=False, full_scale=255).sample(
        np.random.default_rng(0), 2
    )

    assert task.query.inputs.shape == (2, 6, 8, 8, 3)
    assert 0 <= task.query.inputs.min() < task.query.inputs.max() <= 1


@pytest.mark.parametrize("kept", [0, 20, 100])
@pytest.mark.parametrize("kind", ["png", "jpg"])
def test_a_broken_image_is_named(folder: Path, kind: str, kept: int) -> None:
    path = folder / "cat" / f"9.{kind}"
    Image.fromarray(random_images(20, 20, 3)).save(path)
    path.write_bytes(path.read_bytes()[:kept])

    with pytest.raises(DataError, match=f"{path} is not an image, or is damaged"):
        image_files.load(folder)


def test_missing_things_are_named(folder: Path) -> None:
    with pytest.raises(MissingDataError, match=f"there is no folder {folder / 'absent'}"):
        image_files.load(folder / "absent")
    with pytest.raises(MissingDataError, match=f"no class folders in {folder / 'cat'}"):
        image_files.load(folder / "cat")
    with pytest.raises(MissingDataError, match=f"there is no file {folder / 'absent.npz'}"):
        image_files.load(folder / "absent.npz")
    (folder / "dog").mkdir()
    with pytest.raises(MissingDataError, match=f"no images in the class folder {folder / 'dog'}"):
        image_files.load(folder)


def test_images_that_keep_their_sizes_must_have_one(folder: Path) -> None:
    Image.fromarray(random_images(5, 8, 3)).save(folder / "cat" / "9.png")

    with pytest.raises(DataError, match=r"class cat have the shapes \[\(5, 8, 3\), \(6, 8, 3\)\]; name a size"):
        image_files.load(folder, Reading(size=None))


@pytest.mark.parametrize(
    ("shape", "reading", "expected"),
    [
        ((6, 5, 5), Reading(5, 1), (5, 5, 1)),
        ((6, 5, 5, 3), Reading(None, 3), (5, 5, 3)),
        ((6, 5, 5, 1), Reading(5, 3), (5, 5, 3)),
        ((6, 5, 5, 3), Reading(5, 1), (5, 5, 1)),
        ((6, 5, 7), Reading(4, 3), (4, 4, 3)),
        ((6, 1, 1), Reading(4, 1), (4, 4, 1)),
    ],
    ids=str,
)
def test_an_npz(tmp_path: Path, shape: tuple[int, ...], reading: Reading, expected: tuple[int, ...]) -> None:
    images = random_images(*shape)
    labels = np.array([1, 0, 1, 1, 0, 1])
    np.savez(tmp_path / "a.npz", images=images, labels=labels, names=["cat", "bird"])

    classes = image_files.load(tmp_path / "a.npz", reading)

    assert list(classes) == ["cat", "bird"]
    assert classes["cat"].shape == (2, *expected) and classes["bird"].shape == (4, *expected)
    if images.reshape(6, *shape[1:3], -1).shape[1:] == expected:
        np.testing.assert_array_equal(classes["cat"], images[[1, 4]].reshape(2, *expected))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"images": random_images(2, 3, 3)}, "lacks labels"),
        ({"images": np.zeros((2, 3, 3)), "labels": [0, 1]}, r"not float64 of shape \(2, 3, 3\)"),
        ({"images": random_images(2, 3, 3, 2), "labels": [0, 1]}, r"not uint8 of shape \(2, 3, 3, 2\)"),
        ({"images": random_images(2, 3, 3), "labels": [0]}, r"integers of shape \(2,\), not int64 of shape \(1,\)"),
        ({"images": random_images(2, 3, 3), "labels": [0.0, 1.0]}, "not float64"),
        ({"images": random_images(2, 3, 3), "labels": [0, -1]}, r"labels\[1\] is -1"),
        (
            {"images": random_images(2, 3, 3), "labels": [2, 1], "names": ["a", "b"]},
            r"labels\[0\] is 2, but the labels of 2 classes are 0 to 1",
        ),
        ({"images": random_images(2, 3, 3), "labels": [0, 2]}, "no images of class 1"),
        ({"images": random_images(1, 3, 3), "labels": [0], "names": ["a", "b"]}, "no images of class b"),
    ],
    ids=str,
)
def test_other_arrays_are_refused(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    np.savez(tmp_path / "a.npz", **arrays)

    with pytest.raises(DataError, match=rf"a\.npz.*{message}"):
        image_files.load(tmp_path / "a.npz", Reading(None, 1))


@pytest.mark.parametrize("kept", [0.0, 0.5, 0.99])
def test_a_truncated_npz_is_named(tmp_path: Path, kept: float) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, images=random_images(4, 9, 9), labels=[0, 0, 1, 1])
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])

    with pytest.raises(DataError, match=f"{path} is not an .npz file, or is truncated or damaged"):
        image_files.load(path)


@pytest.mark.parametrize("wrong", [{"size": 0}, {"channels": 2}, {"filter": "sinc"}])
def test_readings_out_of_range(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=f"Reading: {next(iter(wrong))}(=0)? must be"):
        Reading(**wrong)


def litter(folder: Path) -> None:
    """What systems and programs leave in folders."""
    for name in (".ipynb_checkpoints", "__MACOSX", "bird/.ipynb_checkpoints", "@eaDir"):
        (folder / name).mkdir()
        (folder / name / "0-checkpoint.png").write_bytes(b"not an image")
    for name in ("bird/._0.png", "._bird", "bird/.DS_Store", ".DS_Store", "bird/Thumbs.db", "Thumbs.db"):
        (folder / name).write_bytes(b"not an image")


def test_what_systems_leave_behind_is_passed_over(folder: Path) -> None:
    litter(folder)

    classes = image_files.load(folder, Reading(size=None))

    assert {name: len(images) for name, images in classes.items()} == {"bird": 3, "cat": 4}


def test_a_class_may_be_called_images(folder: Path) -> None:
    litter(folder)
    (folder / "bird").rename(folder / "images")
    (folder / "images" / "notes").mkdir()

    classes = image_files.load(folder, Reading(size=None))

    assert {name: len(images) for name, images in classes.items()} == {"cat": 4, "images": 3}


def test_class_folders_in_two_places_are_refused(folder: Path) -> None:
    (folder / "images").mkdir()
    (folder / "cat").rename(folder / "images" / "cat")

    with pytest.raises(DataError, match=f"class folders both in {folder} and in {folder / 'images'}: name one"):
        image_files.load(folder)

    # A folder without images is no class: notes and lists may lie next to them.
    for path in (folder / "bird").glob("*.png"):
        path.unlink()
    assert list(image_files.load(folder)) == ["cat"]


def test_a_pipe_or_a_folder_is_no_image(folder: Path) -> None:
    os.mkfifo(folder / "cat" / "pipe.png")
    (folder / "cat" / "folder.png").mkdir()

    assert len(image_files.load(folder)["cat"]) == 4


@pytest.mark.parametrize("kind", ["16-bit", "float"])
def test_wide_numbers_of_files_become_bytes(folder: Path, kind: str) -> None:
    ramp = np.linspace(0, 65535, 48).reshape(6, 8)
    pixels = ramp.astype(np.uint16) if kind == "16-bit" else (ramp / 65535).astype(np.float32)
    for path in (folder / "cat").glob("*.png"):
        path.unlink()
    Image.fromarray(pixels).save(folder / "cat" / "ramp.tiff")

    (cat,) = image_files.load(folder, Reading(None, 1))["cat"]

    np.testing.assert_allclose(cat[..., 0], ramp / 257, atol=0.51)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"images": random_images(3, 3, 3), "labels": [0, 10**18, 1]}, "there are no images of class 2"),
        ({"images": random_images(3, 3, 3), "labels": [5, 5, 5]}, "there are no images of class 0"),
        ({"images": random_images(2, 3, 3), "labels": [0, 1], "names": ["a", "a"]}, "two classes have the name a"),
        ({"images": random_images(2, 3, 3), "labels": [0, 1], "names": [b"a", b"\xe9"]}, "that are not UTF-8"),
        ({"images": random_images(2, 3, 3), "labels": [0, 1], "names": [["a"], ["b"]]}, r"of shape \(2, 1\)"),
        ({"images": random_images(2, 3, 3), "labels": [0, 1], "names": [0.5, 1.5]}, "not float64"),
        ({"images": random_images(2, 0, 3), "labels": [0, 1]}, r"images of shape \(2, 0, 3\) hold no pixels"),
        ({"images": random_images(0, 3, 3), "labels": np.zeros(0, int)}, "hold no pixels"),
    ],
    ids=str,
)
def test_arrays_that_are_no_classes_are_refused(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    np.savez(tmp_path / "a.npz", **arrays)

    with bounded(1_000_000), pytest.raises(DataError, match=rf"a\.npz: .*{message}"):
        image_files.load(tmp_path / "a.npz", Reading(None, 1))


def test_names_in_bytes(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=random_images(2, 3, 3), labels=[0, 1], names=[b"cat", "Vögel".encode()])

    assert list(image_files.load(tmp_path / "a.npz", Reading(None, 1))) == ["cat", "Vögel"]


def test_only_what_is_needed_of_an_npz_is_read(tmp_path: Path) -> None:
    """Shapes are known before data: an array that belongs to nothing costs nothing."""
    np.savez_compressed(
        tmp_path / "a.npz", images=random_images(2, 3, 3), labels=[0, 1], more=np.zeros(10_000_000, np.uint8)
    )

    with bounded(1_000_000):
        image_files.load(tmp_path / "a.npz", Reading(None, 1))


def test_an_npz_made_by_nobody(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez_compressed(path, images=random_images(4, 5, 5), labels=[0, 1, 0, 1], names=["a", "b"])
    expected = image_files.load(path, Reading(None, 1))
    refused = 0

    with bounded(5_000_000):
        for mutated in mutations(path.read_bytes(), 300):
            path.write_bytes(mutated)
            try:
                found = image_files.load(path, Reading(None, 1))
            except DataError as error:
                assert str(path) in str(error)
                refused += 1
            else:
                # Without its names, whose entry may have been lost, it is the same with numbers.
                assert [images.tobytes() for images in found.values()] == [
                    images.tobytes() for images in expected.values()
                ]

    assert refused > 100
