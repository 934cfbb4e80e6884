"""Tasks of any arrays with labels: what is drawn, what stays as it is, and what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minimeta.errors import ConfigurationError
from minimeta.tasks import FewShot

LABELS = np.array(["owl", "ant", "owl", "bee", "ant", "owl", "bee", "ant", "owl"])


@given(st.integers(1, 3), st.sampled_from([(), (4,), (2, 3), (5, 5, 2)]), st.integers(0, 99))
def test_examples_come_with_their_class_and_never_twice(ways: int, shape: tuple[int, ...], seed: int) -> None:
    """An example is its own number here, so that what was drawn can be read off."""
    inputs = np.broadcast_to(np.arange(9.0).reshape(9, *(1 for _ in (*shape, 0))), (9, *shape, 1))
    tasks = FewShot(inputs, LABELS, ways=ways)
    batch = tasks.sample(np.random.default_rng(seed), 5)
    assert batch.support.inputs.shape == (5, ways, *shape, 1) and batch.support.inputs.dtype == np.float32
    for support, query, labels in zip(batch.support.inputs, batch.query.inputs, batch.support.targets, strict=True):
        known, asked = (x.reshape(ways, -1)[:, 0].astype(int) for x in (support, query))
        assert labels.tolist() == list(range(ways))
        assert LABELS[known].tolist() == LABELS[asked].tolist() and not set(known) & set(asked)
        assert len(set(LABELS[known])) == ways


def test_labels_and_groups_draw_the_same_tasks() -> None:
    images = np.random.default_rng(0).integers(0, 255, (3, 4, 6, 6), np.uint8)
    kinds: dict[str, Any] = {"ways": 2, "shots": 2, "queries": 1, "full_scale": 255, "rotations": True, "flat": True}
    grouped = FewShot(images, **kinds).sample(np.random.default_rng(1), 7)
    labelled = FewShot(images.reshape(12, 6, 6), np.repeat(["a", "b", "c"], 4), **kinds)
    assert labelled.names == ["a", "b", "c"]
    again = labelled.sample(np.random.default_rng(1), 7)
    np.testing.assert_array_equal(again.support.inputs, grouped.support.inputs)
    np.testing.assert_array_equal(again.query.inputs, grouped.query.inputs)


@pytest.mark.parametrize(
    ("dtype", "value", "full_scale", "scaled"),
    [(np.uint8, 51, 255, 0.2), (np.uint16, 13107, 65535, 0.2), (np.float64, 0.2, 255, 0.2), (np.int64, 7, 255, 7)],
)
def test_images_as_they_are(dtype: Any, value: float, full_scale: int, scaled: float) -> None:
    tasks = FewShot(np.full((4, 3, 3), value, dtype), [0, 0, 1, 1], ways=2, full_scale=full_scale)
    batch = tasks.sample(np.random.default_rng(0), 1)
    np.testing.assert_allclose(batch.query.inputs, scaled, rtol=1e-6)
    stored = dtype in (np.uint8, np.uint16)
    assert batch.query.inputs.shape == ((1, 2, 3, 3, 1) if stored else (1, 2, 3, 3))


def column_of(rows: Any) -> Any:
    """What a column of lists in a table is as an array."""
    column = np.empty(len(rows), object)
    column[:] = list(rows)
    return column


def test_read_only_memory_maps_and_columns_of_arrays(tmp_path: Path) -> None:
    inputs = np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32)
    np.save(tmp_path / "inputs.npy", inputs)
    matrices = column_of([column_of(row.reshape(2, 2)) for row in inputs])
    expected = FewShot(inputs, LABELS, ways=3).sample(np.random.default_rng(0), 2)
    for given_as in (np.load(tmp_path / "inputs.npy", mmap_mode="r"), column_of(inputs), matrices):
        found = FewShot(given_as, LABELS, ways=3, flat=True).sample(np.random.default_rng(0), 2)
        np.testing.assert_array_equal(found.support.inputs, expected.support.inputs)
        assert found.support.inputs.flags.writeable and not isinstance(found.support.inputs, np.memmap)


@pytest.mark.parametrize(
    ("inputs", "labels", "settings", "message"),
    [
        (np.zeros((9, 2)), LABELS[:4], {}, r"a label for each example; X has shape \(9, 2\), y \(4,\)"),
        (np.zeros((9, 2)), [0.0, 1.0, np.nan] * 3, {"ways": 2}, "some labels are nan"),
        (np.zeros((9, 2)), np.array(["a", None, 2] * 3, object), {"ways": 2}, "labels should be of one kind"),
        (np.zeros((9, 2)), LABELS, {"ways": 4}, "4 ways need 4 classes, but there are 3"),
        (np.zeros((9, 2)), LABELS, {"shots": 2}, "need 3 different examples of each class, but class bee has 2"),
        (np.zeros((9, 2)), LABELS, {"rotations": True}, "rotations need square images"),
        (np.full((9, 2, 2), 300, np.uint16), LABELS, {}, "holds the value 300, .* those of 16 bits full_scale=65535"),
        (np.array([["a"]] * 9), LABELS, {}, "must be numbers"),
        ([[1.0]] * 8 + [[1.0, 2.0]], LABELS, {}, "X should be numbers, in examples of one shape"),
        ([{"bytes": b"PNG", "path": "0.png"}] * 9, LABELS, {}, "each is a file of an image; the library datasets"),
        (np.zeros(9), LABELS, {}, r"must be numbers of shape \(examples, ...\), not float64 of shape \(9,\)"),
    ],
)
def test_what_is_refused(inputs: Any, labels: Any, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        FewShot(inputs, labels, **({"ways": 3} | settings))
