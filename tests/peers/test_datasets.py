"""Tasks of a data set of Hugging Face's library datasets, and of its parquet file, without a loop.

Skipped where the library is not installed.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from minimeta.errors import ConfigurationError
from minimeta.tasks import FewShot

datasets = pytest.importorskip("datasets")
parquet = pytest.importorskip("pyarrow.parquet")

RNG = np.random.default_rng(0)
COLUMNS: dict[str, Any] = {
    "vector": RNG.normal(size=(9, 4)).astype(np.float32),
    "matrix": RNG.normal(size=(9, 3, 4)).astype(np.float32),
    "image": RNG.integers(0, 256, (9, 8, 8, 3), np.uint8),
}
LABELS = [0, 1, 2] * 3


def support(inputs: Any, labels: Any = LABELS) -> Any:
    tasks = FewShot(inputs, labels, ways=3, full_scale=255)
    return tasks.sample(np.random.default_rng(1), 2).support.inputs


def test_columns_of_a_data_set_and_of_its_file(tmp_path: Path) -> None:
    features = datasets.Features(
        {
            "vector": datasets.List(datasets.Value("float32")),
            "matrix": datasets.Array2D((3, 4), "float32"),
            "image": datasets.Image(),
            "label": datasets.ClassLabel(names=["ant", "bee", "cat"]),
        }
    )
    rows = {**COLUMNS, "image": [Image.fromarray(image) for image in COLUMNS["image"]], "label": LABELS}
    file = tmp_path / "table.parquet"
    datasets.disable_progress_bars()
    datasets.Dataset.from_dict(rows, features=features).to_parquet(file)

    table = parquet.read_table(file)
    for name in ("vector", "matrix"):
        np.testing.assert_array_equal(support(table[name], table["label"]), support(COLUMNS[name]))
    with pytest.raises(ConfigurationError, match="the library datasets reads them: load_dataset"):
        support(table["image"], table["label"])
    loaded = datasets.load_dataset("parquet", data_files=str(file), cache_dir=str(tmp_path / "cache"))["train"]
    loaded = loaded.with_format("numpy")
    for name, column in COLUMNS.items():
        np.testing.assert_array_equal(support(loaded[name], loaded["label"]), support(column))
