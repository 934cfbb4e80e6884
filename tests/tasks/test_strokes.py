import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from minimeta.errors import ConfigurationError
from minimeta.tasks import FewShot, strokes


@pytest.fixture(scope="module")
def ink() -> NDArray[np.uint8]:
    return strokes.draw()


def test_the_characters_are_pinned(ink: NDArray[np.uint8]) -> None:
    # The same on every machine; any change changes every result.
    assert (
        hashlib.sha256(ink.tobytes()).hexdigest() == "d5c6546b218dfba8a380600556ff61b786831d9ff165de11a5c1ff69443781f7"
    )


@settings(max_examples=20)
@given(fewer=st.integers(1, 20), more=st.integers(0, 30), drawers=st.integers(1, 4), seed=st.integers(0, 2**32 - 1))
def test_more_classes_only_add(fewer: int, more: int, drawers: int, seed: int) -> None:
    few, many = strokes.draw(fewer, drawers, seed), strokes.draw(fewer + more, drawers, seed)

    assert many.shape == (fewer + more, drawers, 28, 28) and many.dtype == np.uint8
    np.testing.assert_array_equal(few, many[:fewer])
    assert many.max() <= 225
    # A drawing has ink, but is far from black; the pen is 4 pixels of 105 wide.
    covered = many.mean(axis=(2, 3)) / 225
    assert covered.min() > 0.002 and covered.max() < 0.35


def test_drawers_and_characters_and_seeds_differ(ink: NDArray[np.uint8]) -> None:
    assert len(np.unique(ink.reshape(20_000, -1), axis=0)) == 20_000
    assert not (strokes.draw(3, seed=1) == ink[:3]).all(axis=(1, 2, 3)).any()


def test_the_pen_bends_where_it_should() -> None:
    corners = np.array([(0, 0), (1, 0), (1, 1), (1, 1), (1, 1), (1, 1)], np.float64)[np.newaxis, np.newaxis]
    both = np.stack([corners, corners])  # two classes of one drawer and, of four strokes, one
    sharp = np.array([[True] * 4, [False] * 4])[:, np.newaxis]
    there = np.ones((2, 1), bool)
    programs = strokes._Programs(both[:, 0], np.ones((2, 1, 5), bool), sharp, there)

    straight, round_ = strokes._path(programs, both)[:, 0, 0]

    assert np.allclose(straight[0, 0], (0, 0)) and np.allclose(straight[-1, -1], (1, 1))
    assert (np.abs(straight - (1, 0)).sum(-1) == 0).any()  # through the corner
    x, y = straight[0].T
    assert ((y == 0) | (x == 1)).all()
    t = np.linspace(0, 1, 25)[:, np.newaxis]
    bezier = (1 - t) ** 2 * np.array([0, 0]) + 2 * t * (1 - t) * np.array([1, 0]) + t**2 * np.array([1, 0.5])
    np.testing.assert_allclose(round_[0], bezier, atol=1e-12)


def test_difficulty(ink: NDArray[np.uint8]) -> None:
    """The nearest neighbour on pixels is well above chance and far from done."""
    for shots, low, high in ((1, 0.53, 0.60), (5, 0.76, 0.82)):
        tasks = FewShot(strokes.split(ink).testing, shots=shots, queries=5)
        batch = tasks.sample(np.random.default_rng(0), 400)
        support, query = batch.support.inputs, batch.query.inputs
        # |q - s|^2 without |q|^2, which is the same for all s.
        distance = np.square(support).sum(-1)[:, np.newaxis] - 2 * query @ support.swapaxes(1, 2)
        nearest = np.take_along_axis(batch.support.targets, distance.argmin(-1), axis=1)
        assert low < (nearest == batch.query.targets).mean() < high


def test_the_split_is_by_number(ink: NDArray[np.uint8]) -> None:
    split = strokes.split(ink)

    assert [len(part) for part in split] == [700, 100, 200]
    np.testing.assert_array_equal(np.concatenate(split), ink)
    assert [len(part) for part in strokes.split(ink[:7])] == [4, 1, 2]


@pytest.mark.parametrize("wrong", [{"classes": 0}, {"drawers": 0}, {"seed": -1}])
def test_values_out_of_range(wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigurationError, match=rf"strokes\.draw: {next(iter(wrong))} must be at least"):
        strokes.draw(**wrong)
