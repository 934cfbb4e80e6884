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
        hashlib.sha256(ink.tobytes()).hexdigest() == "944269eeaa9023396f7877c99d646ac738a1dceade044287b98b195621efc25b"
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
    corners = np.array([(0, 1, 1, 1, 1, 1), (0, 0, 1, 1, 1, 1)], np.float64)  # right, up, and nothing more
    both = np.broadcast_to(corners[:, np.newaxis, np.newaxis, np.newaxis], (2, 2, 1, 1, 6))
    sharp = np.array([[True] * 4, [False] * 4])[:, np.newaxis]  # two characters of one stroke by one drawer
    there = np.ones((2, 1), bool)
    programs = strokes._Programs(np.moveaxis(both[:, :, 0], 0, -1), np.ones((2, 1, 5), bool), sharp, there)

    bent, rounded = np.moveaxis(strokes._path(programs, both)[:, :, 0, 0], 1, 0)

    assert np.array_equal(bent[:, 0, 0], (0, 0)) and np.array_equal(bent[:, -1, -1], (1, 1))
    x, y = bent[:, 0]
    assert ((y == 0) | (x == 1)).all() and ((y == 0) & (x == 1)).any()  # along the steps, through the corner
    t = np.linspace(0, 1, len(x))
    np.testing.assert_allclose(rounded[0, 0], 2 * t * (1 - t) + t**2, atol=1e-12)  # by (1, 0) to (1, 1/2)
    np.testing.assert_allclose(rounded[1, 0], t**2 / 2, atol=1e-12)


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
    with pytest.raises(ConfigurationError, match=rf"strokes\.draw: {next(iter(wrong))}=.* must be at least"):
        strokes.draw(**wrong)
