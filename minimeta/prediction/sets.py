"""Support and query sets from files, as people have them.

    a folder    support: class folders of image files. Query: the same, or image files without classes;
                or a single image file
    an .npz     X and y, of any form; or images, labels and names, as minimeta.tasks.image_files has
                them. A query may lack y
    a .csv      a head of names, then lines of numbers; the last column of a support set is its target. A
                query has the same names in the same order, and may lack the last one

Image files are read at the size and in the colours that the learner was trained on.
"""

from __future__ import annotations

import contextlib
import csv
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minimeta.archives import read_arrays
from minimeta.errors import ConfigurationError, DataError, MissingDataError
from minimeta.tasks.image_files import Reading, class_files, read_files
from minimeta.tasks.inputs import Inputs
from minimeta.tasks.pixels import SUFFIXES


class NamedSet(NamedTuple):
    """Examples, and what to call them.

    Attributes
    ----------
    inputs
        Shape ``(examples, ...)``.
    targets
        Labels or numbers, shape ``(examples,)`` or more; None if they are not known.
    names
        One for each example: the path of a file, or the number of a row.
    columns
        The head of a table.
    """

    inputs: NDArray[Any]
    targets: NDArray[Any] | None
    names: list[str]
    columns: list[str] | None = None


def read_set(source: Path, form: Inputs | None, *, support: bool, columns: list[str] | None = None) -> NamedSet:
    """Read a set.

    Parameters
    ----------
    source
        A folder, an ``.npz``, a ``.csv`` or, as a query, an image file.
    form
        What the learner takes; None if that is not known, and then images cannot be read.
    support
        Whether targets are needed.
    columns
        For a query, the head of the support set's table, if it is one.

    Raises
    ------
    MissingDataError
        If there is nothing there, or there are no images in the folder.
    DataError
        If a file is damaged, or holds something else.
    ConfigurationError
        If these are images, and the learner does not take any.
    MissingExtraError
        If images are to be read, and the extra ``data`` is not installed.
    """
    if source.suffix == ".npz":
        return _of_arrays(source, support)
    if source.suffix == ".csv":
        return _of_table(source, support, columns)
    if not source.exists():
        raise MissingDataError(f"there is no folder or file {source}")
    return _of_images(source, form, support)


def _of_images(source: Path, form: Inputs | None, support: bool) -> NamedSet:
    if form is None or form.full_scale is None:
        raise ConfigurationError(
            f"{source} holds images, and this learner does not take any: give it an .npz with X and y, or a .csv"
        )
    size, _, channels = form.shape
    loose = sorted(path for path in source.iterdir() if _is_image(path)) if source.is_dir() else [source]
    if loose and support:
        raise ConfigurationError(
            f"{source} holds images outside of class folders, such as {loose[0].name}: a support set is a folder with "
            "a folder of images for each class"
        )
    if not (loose or support or any(path.is_dir() for path in source.iterdir())):
        raise MissingDataError(f"there are no images in {source}; images are {', '.join(sorted(SUFFIXES))}")
    classes = {"": loose} if loose else class_files(source)
    pixels = read_files(classes, Reading(size, 3 if channels == 3 else 1))
    labels = [name for name, paths in classes.items() for _ in paths]
    names = [f"{label}/{path.name}".lstrip("/") for label, paths in classes.items() for path in paths]
    inputs = form.of_files(np.concatenate(list(pixels.values())))
    return NamedSet(inputs, None if loose else np.array(labels), names)


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()


def _of_arrays(source: Path, support: bool) -> NamedSet:
    arrays = read_arrays(source)
    kind = next((names for names in (("X", "y"), ("images", "labels")) if names[0] in arrays), None)
    if kind is None:
        raise DataError(f"{source} should hold X (and y), or images (and labels, names); it holds {', '.join(arrays)}")
    inputs, targets = arrays[kind[0]], arrays.get(kind[1])
    if support and targets is None:
        raise DataError(f"{source}: a support set needs targets: y next to X, or labels next to images")
    if not inputs.ndim or (targets is not None and targets.shape[:1] != inputs.shape[:1]):
        shape = None if targets is None else targets.shape
        raise DataError(f"{source}: {kind[0]} has shape {inputs.shape} and {kind[1]} {shape}, not a target for each")
    if targets is not None and kind[0] == "images" and "names" in arrays:
        names = arrays["names"]
        if targets.dtype.kind not in "iu" or not ((targets >= 0) & (targets < len(names))).all():
            raise DataError(f"{source}: labels should be positions among the {len(names)} names")
        targets = names[targets]
    return NamedSet(inputs, targets, [f"{source.name}[{row}]" for row in range(len(inputs))])


def _of_table(source: Path, support: bool, columns: list[str] | None) -> NamedSet:
    if not source.is_file():
        raise MissingDataError(f"there is no file {source}")
    try:
        lines = csv.reader(source.read_text("utf-8-sig").splitlines(), strict=True)
        rows = {line: row for line, row in enumerate(lines, 1) if row}
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{source} is not a table in UTF-8: {error}") from error
    if len(rows) < 2:
        raise DataError(f"{source} should have a head of names, and a line for each example")
    head = [name.strip() for name in rows.pop(min(rows))]
    if all(map(_is_number, head)):
        raise DataError(f"{source} begins with the numbers {', '.join(head)}: its first line should be a head of names")
    if wrong := next((line for line, row in rows.items() if len(row) != len(head)), None):
        raise DataError(f"{source}, line {wrong}: there are {len(rows[wrong])} values under {len(head)} names")
    if support and len(head) < 2:
        raise DataError(f"{source}: a support set has two columns or more; the last one is the target")
    if columns and head not in (columns, columns[:-1]):
        raise DataError(
            f"{source} has the columns {', '.join(head)}, and the support set {', '.join(columns)}, of which the last "
            "is the target: a query has the same ones in the same order, with the target or without"
        )
    names = [f"{source.name}, line {line}" for line in rows]
    if not support and head != columns:
        return NamedSet(_numbers(source, rows), None, names, head)
    if wrong := next((line for line, row in rows.items() if not row[-1].strip()), None):
        raise DataError(f"{source}, line {wrong}: there is no value under {head[-1]}")
    targets = np.array([row[-1] for row in rows.values()])
    with contextlib.suppress(ValueError):  # labels
        targets = targets.astype(np.float64)
    return NamedSet(_numbers(source, {line: row[:-1] for line, row in rows.items()}), targets, names, head)


def _is_number(text: str) -> bool:
    with contextlib.suppress(ValueError):
        float(text)
        return True
    return False


def _numbers(source: Path, rows: dict[int, list[str]]) -> NDArray[Any]:
    for line, row in rows.items():
        if wrong := [value for value in row if not _is_number(value)]:
            raise DataError(f"{source}, line {line}: {wrong[0]!r} is not a number")
    return np.array([*rows.values()]).astype(np.float64)
