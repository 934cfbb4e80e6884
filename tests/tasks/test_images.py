from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from minimeta.errors import ConfigurationError
from minimeta.tasks import Examples, FewShot, unstack

SIDE = 5


def labelled_images(classes: int, drawers: int) -> NDArray[np.uint8]:
    """Images that say what they are: class + 1 in the upper left corner, drawer + 1 right of it, paper elsewhere."""
    images = np.zeros((classes, drawers, SIDE, SIDE), np.uint8)
    images[:, :, 0, 0] = np.arange(classes)[:, np.newaxis] + 1
    images[:, :, 0, 1] = np.arange(drawers) + 1
    return images


def read(examples: Examples) -> list[tuple[int, int, int, int]]:
    """Return label, class, drawer and quarter turns (counter-clockwise) of each example of a task."""
    found = []
    for image, label in zip(examples.inputs.reshape(-1, SIDE, SIDE), examples.targets, strict=True):
        ink = np.rint(image * 225).astype(int)
        np.testing.assert_array_equal(image, (ink / 225).astype(np.float32))
        turns = [k for k in range(4) if np.rot90(ink, -k)[0, 0] and np.rot90(ink, -k)[0, 1]]
        assert len(turns) == 1 and np.count_nonzero(ink) == 2
        upright = np.rot90(ink, -turns[0])
        found.append((int(label), int(upright[0, 0]) - 1, int(upright[0, 1]) - 1, turns[0]))
    return found


@given(data=st.data())
def test_tasks_are_n_way_k_shot(data: st.DataObject) -> None:
    ways = data.draw(st.integers(1, 6))
    shots, queries = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 4))
    images = labelled_images(data.draw(st.integers(ways, 12)), data.draw(st.integers(shots + queries, 10)))
    count, rotations, flat = data.draw(st.integers(1, 3)), data.draw(st.booleans()), data.draw(st.booleans())
    tasks = FewShot(images, ways, shots, queries, rotations, flat)

    batch = tasks.sample(np.random.default_rng(data.draw(st.integers(0, 2**32 - 1))), count)

    shape = (SIDE * SIDE,) if flat else (SIDE, SIDE, 1)
    assert batch.support.inputs.shape == (count, ways * shots, *shape)
    assert batch.query.inputs.shape == (count, ways * queries, *shape)
    assert batch.support.inputs.dtype == np.float32
    assert batch.support.targets.dtype == batch.query.targets.dtype == np.int64
    for task in unstack(batch):
        support, query = read(task.support), read(task.query)
        assert sorted(label for label, *_ in support) == sorted(list(range(ways)) * shots)
        assert sorted(label for label, *_ in query) == sorted(list(range(ways)) * queries)
        of_label = {label: (kind, turns) for label, kind, _, turns in support}
        assert len({kind for kind, _ in of_label.values()}) == ways
        assert all(of_label[label] == (kind, turns) for label, kind, _, turns in support + query)
        assert rotations or all(turns == 0 for _, turns in of_label.values())
        drawings = {(kind, drawer) for _, kind, drawer, _ in support + query}
        assert len(drawings) == ways * (shots + queries)


def test_classes_drawers_turns_and_labels_are_uniform() -> None:
    classes, drawers, ways, count = 10, 5, 2, 2000
    batch = FewShot(labelled_images(classes, drawers), ways).sample(np.random.default_rng(0), count)
    drawn = np.array([read(task.support) for task in unstack(batch)])  # (count, ways, 4)

    def assert_uniform(values: NDArray[np.int64], kinds: int) -> None:
        frequency = np.bincount(values, minlength=kinds)
        expected = len(values) / kinds
        # Chi-square has mean kinds - 1 and variance 2 (kinds - 1).
        statistic = (np.square(frequency - expected) / expected).sum()
        assert statistic < kinds - 1 + 5 * np.sqrt(2 * (kinds - 1))

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
        ({"shots": 2, "queries": 1}, "2 shots and 1 queries need 3 different drawers of each class, but there are 2"),
        ({"shots": 0}, "shots must be at least 1"),
        ({"queries": 0}, "queries must be at least 1"),
        ({"ways": 0}, "ways must be at least 1"),
    ],
)
def test_too_few_classes_or_drawers(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        FewShot(labelled_images(3, 2), **({"ways": 2} | settings))


def test_images_must_be_square_only_for_rotations() -> None:
    wide = np.zeros((3, 2, 4, 5), np.uint8)
    FewShot(wide, ways=2, rotations=False)

    with pytest.raises(ConfigurationError, match="rotations need square images, not 4 x 5"):
        FewShot(wide, ways=2)
    with pytest.raises(ConfigurationError, match=r"uint8 of shape \(classes, drawers, height, width\), not float64"):
        FewShot(np.zeros((3, 2, 4, 4)), ways=2)  # type: ignore[arg-type]
