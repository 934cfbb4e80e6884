"""Tables of a support set and of queries: their columns are matched by name."""

from pathlib import Path

import numpy as np
import pytest

from minimeta.errors import DataError
from minimeta.prediction.sets import NamedSet, read_set


def read(folder: Path, text: str, columns: list[str] | None = None) -> NamedSet:
    path = folder / "table.csv"
    path.write_text(text)
    return read_set(path, None, support=columns is None, columns=columns)


def test_the_last_column_of_a_query_may_be_its_target(tmp_path: Path) -> None:
    support = read(tmp_path, "a, b,kind\n1,2,cat\n\n3,4,dog\n")
    assert support.columns == ["a", "b", "kind"] and support.names[1] == "table.csv, line 4"
    assert np.array_equal(support.inputs, [[1, 2], [3, 4]])
    known = read(tmp_path, "a,b,kind\n5,6,dog\n", support.columns)
    assert known.targets is not None and known.targets.tolist() == ["dog"]
    assert read(tmp_path, "a,b\n5,6\n", support.columns).targets is None


@pytest.mark.parametrize("head", ["b,a", "kind,a,b", "a", "a,b,c"])
def test_other_columns_are_refused(tmp_path: Path, head: str) -> None:
    row = ",".join("5" * len(head.split(",")))
    with pytest.raises(DataError, match="the support set a, b, kind, of which the last is the target"):
        read(tmp_path, f"{head}\n{row}\n", ["a", "b", "kind"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0,1\n2,3\n", "begins with the numbers 0, 1: its first line should be a head of names"),
        ("x,y\n0,1\n\n2,\n", "line 4: there is no value under y"),
        ("x,y\n0,1\n\nz,2\n", "line 4: 'z' is not a number"),
        ("x,y\n0,1\n\n2\n", "line 4: there are 1 values under 2 names"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(tmp_path, text)
