from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from minimeta.errors import ConfigurationError
from minimeta.tasks import Examples, FewShot, unstack, with_rotations

SIDE = 5


def labelled_images(classes: int, drawers: int) -> NDArray[np.uint8]:
    """Images that say what they are: class + 1 in the upper left corner, drawer + 1 right of it, paper elsewhere."""
    images = np.zeros((classes, drawers, SIDE, SIDE), np.uint8)
    images[:, :, 0, 0] = np.arange(classes)[:, np.newaxis] + 1
    images[:, :, 0, 1] = np.arange(drawers) + 1
    return images


def read(examples: Examples, full_scale: int = 225, channels: int = 1) -> list[tuple[int, int, int, int]]:
    """Return label, class, drawer and quarter turns (counter-clockwise) of each example of a task."""
    found = []
    shape = (-1, SIDE, SIDE, channels)
    for image, label in zip(examples.inputs.reshape(shape), examples.targets, strict=True):
        pixels = np.rint(image * full_scale).astype(int)
        np.testing.assert_array_equal(image, (pixels / full_scale).astype(np.float32))
        ink = pixels[..., 0]
        for channel in range(1, channels):  # see coloured()
            np.testing.assert_array_equal(pixels[..., channel], ink + channel)
        turns = [k for k in range(4) if np.rot90(ink, -k)[0, 0] and np.rot90(ink, -k)[0, 1]]
        assert len(turns) == 1 and np.count_nonzero(ink) == 2
        upright = np.rot90(ink, -turns[0])
        found.append((int(label), int(upright[0, 0]) - 1, int(upright[0, 1]) - 1, turns[0]))
    return found


def coloured(images: NDArray[np.uint8], channels: int) -> NDArray[np.uint8]:
    """Add an axis of channels, each brighter by one than the one before."""
    return np.stack([images + np.uint8(channel) for channel in range(channels)], axis=-1)


@given(data=st.data())
def test_tasks_are_n_way_k_shot(data: st.DataObject) -> None:
    ways = data.draw(st.integers(1, 6))
    shots, queries = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 4))
    stacked = labelled_images(data.draw(st.integers(ways, 12)), 10)
    channels = data.draw(st.sampled_from([None, 1, 3]))
    if channels is not None:
        stacked = coloured(stacked, channels)
    form = data.draw(st.sampled_from(["array", "sequence", "mapping"]))
    if form == "array":
        images: Any = stacked[:, : data.draw(st.integers(shots + queries, 10))]
    else:
        numbers = data.draw(st.lists(st.integers(shots + queries, 10), min_size=len(stacked), max_size=len(stacked)))
        images = [of_class[:number] for of_class, number in zip(stacked, numbers, strict=True)]
        if form == "mapping":
            images = {f"class {index}": of_class for index, of_class in enumerate(images)}
    count, rotations, flat = data.draw(st.integers(1, 3)), data.draw(st.booleans()), data.draw(st.booleans())
    full_scale = data.draw(st.sampled_from([225, 255]))
    tasks = FewShot(images, None, ways, shots, queries, rotations, flat, full_scale=full_scale)
    assert tasks.image_shape == (SIDE, SIDE, channels or 1)

    batch = tasks.sample(np.random.default_rng(data.draw(st.integers(0, 2**32 - 1))), count)

    shape = (SIDE * SIDE * (channels or 1),) if flat else (SIDE, SIDE, channels or 1)
    assert batch.support.inputs.shape == (count, ways * shots, *shape)
    assert batch.query.inputs.shape == (count, ways * queries, *shape)
    assert batch.support.inputs.dtype == np.float32
    assert batch.support.targets.dtype == batch.query.targets.dtype == np.int64
    for task in unstack(batch):
        support, query = (read(part, full_scale, channels or 1) for part in (task.support, task.query))
        assert sorted(label for label, *_ in support) == sorted(list(range(ways)) * shots)
        assert sorted(label for label, *_ in query) == sorted(list(range(ways)) * queries)
        of_label = {label: (kind, turns) for label, kind, _, turns in support}
        assert len({kind for kind, _ in of_label.values()}) == ways  # so two turns of a class never meet
        assert all(of_label[label] == (kind, turns) for label, kind, _, turns in support + query)
        assert rotations or all(turns == 0 for _, turns in of_label.values())
        drawings = {(kind, drawer) for _, kind, drawer, _ in support + query}
        assert len(drawings) == ways * (shots + queries)


def test_a_sequence_draws_what_an_array_draws() -> None:
    images = labelled_images(7, 6)
    array, sequence = (
        FewShot(form, ways=3, shots=2, queries=2).sample(np.random.default_rng(0), 4) for form in (images, list(images))
    )

    np.testing.assert_array_equal(array.support.inputs, sequence.support.inputs)
    np.testing.assert_array_equal(array.query.inputs, sequence.query.inputs)


def assert_uniform(values: NDArray[np.int64], kinds: int) -> None:
    """Chi-square has mean kinds - 1 and variance 2 (kinds - 1); allow five standard deviations."""
    frequency = np.bincount(values, minlength=kinds)
    expected = len(values) / kinds
    statistic = (np.square(frequency - expected) / expected).sum()
    assert statistic < kinds - 1 + 5 * np.sqrt(2 * (kinds - 1))


def test_images_of_classes_of_different_sizes_are_uniform() -> None:
    sizes = [3, 5, 8]
    images = [of_class[:size] for of_class, size in zip(labelled_images(3, 8), sizes, strict=True)]

    batch = FewShot(images, ways=1, shots=2, rotations=False).sample(np.random.default_rng(0), 6000)

    drawn = np.array([read(task.support) for task in unstack(batch)])  # (count, shots, 4)
    for kind, size in enumerate(sizes):
        of_kind = drawn[drawn[:, 0, 1] == kind]
        for shot in range(2):
            assert_uniform(of_kind[:, shot, 2], size)


def test_classes_drawers_turns_and_labels_are_uniform() -> None:
    classes, drawers, ways, count = 10, 5, 2, 2000
    batch = FewShot(labelled_images(classes, drawers), ways=ways).sample(np.random.default_rng(0), count)
    drawn = np.array([read(task.support) for task in unstack(batch)])  # (count, ways, 4)

    for way in range(ways):  # also for each label alone: the order of the classes is random
        assert_uniform(drawn[:, way, 1], classes)
        assert_uniform(drawn[:, way, 2], drawers)
        assert_uniform(drawn[:, way, 3], 4)
    assert_uniform(4 * drawn[:, 0, 3] + drawn[:, 1, 3], 16)  # turns of two classes are independent


def test_paper_is_zero_and_ink_is_one() -> None:
    images = np.full((3, 2, 4, 4), 225, np.uint8)
    images[..., :2] = 0

    inputs = FewShot(images, ways=3, rotations=False, flat=False).sample(np.random.default_rng(0), 1).support.inputs

    assert (inputs[..., :2, :] == 0).all() and (inputs[..., 2:, :] == 1).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ways": 4}, "4 ways need 4 classes, but there are 3"),
        ({"shots": 2, "queries": 1}, "shots=2 and queries=1 need 3 different images of each class, but class 0 has 2"),
        ({"shots": 0}, "FewShot: shots=0 must be at least 1"),
        ({"queries": 0}, "FewShot: queries=0 must be at least 1"),
        ({"ways": 0}, "FewShot: ways=0 must be at least 1"),
    ],
)
def test_too_few_classes_or_drawers(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        FewShot(labelled_images(3, 2), **({"ways": 2} | settings))


def test_a_class_with_too_few_images_is_named() -> None:
    few = {"n01": labelled_images(1, 6)[0], "n02": labelled_images(1, 3)[0]}

    with pytest.raises(ConfigurationError, match="but class n02 has 3"):
        FewShot(few, ways=2, shots=1, queries=5)


def test_images_must_be_square_only_for_rotations() -> None:
    wide = np.zeros((3, 2, 4, 5), np.uint8)
    FewShot(wide, ways=2, rotations=False)

    with pytest.raises(ConfigurationError, match="rotations need square images, not 4 x 5"):
        FewShot(wide, ways=2)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((3, 2, 4, 4), complex), r"class 0 must be numbers of shape .*, not complex128 of shape \(2, 4, 4\)"),
        (np.zeros((3, 2, 4), np.uint8), r"class 0 must be uint8 .* not uint8 of shape \(2, 4\)"),
        ([np.zeros((2, 4, 4), np.uint8), np.zeros((2, 5, 5), np.uint8)], r"class 1 has \(5, 5\) .* \(4, 4\)"),
        (np.full((3, 2, 4, 4), 255, np.uint8), r"class 0 holds the value 255, .* full_scale 225"),
    ],
    ids=["complex numbers", "too few axes", "two sizes", "brighter than full scale"],
)
def test_other_images_are_refused(images: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        FewShot(images, ways=2)


def test_ordinary_images_are_scaled_to_one() -> None:
    tasks = FewShot(np.full((2, 2, 3, 3, 3), 255, np.uint8), ways=2, flat=False, full_scale=255)

    assert (tasks.sample(np.random.default_rng(0), 1).query.inputs == 1).all()


def test_static_rotations_make_four_classes_of_each() -> None:
    images = labelled_images(3, 2)

    classes = with_rotations(images)

    assert classes.shape == (12, 2, SIDE, SIDE)
    batch = FewShot(classes, ways=12, rotations=False).sample(np.random.default_rng(0), 1)
    assert {(kind, turns) for _, kind, _, turns in read(batch[0].support)} == {
        (c, t) for c in range(3) for t in range(4)
    }
    np.testing.assert_array_equal(classes[:3], images)
