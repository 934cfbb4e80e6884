"""Support and query sets from files, as people have them.

    a folder    support: class folders of image files. Query: the same, or image files without classes;
                or a single image file
    an .npz     X and y, of any form; or images, labels and names, as minimeta.tasks.image_files has
                them. A query may lack y
    a .csv      a head of names, then lines of numbers; the last column of a support set is its target, and
                a query may lack it

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
    """

    inputs: NDArray[Any]
    targets: NDArray[Any] | None
    names: list[str]


def read_set(source: Path, form: Inputs | None, *, support: bool) -> NamedSet:
    """Read a set.

    Parameters
    ----------
    source
        A folder, an ``.npz``, a ``.csv`` or, as a query, an image file.
    form
        What the learner takes; None if that is not known, and then images cannot be read.
    support
        Whether targets are needed.

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
        return _of_table(source, support)
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


def _of_table(source: Path, support: bool) -> NamedSet:
    if not source.is_file():
        raise MissingDataError(f"there is no file {source}")
    try:
        rows = [row for row in csv.reader(source.read_text("utf-8-sig").splitlines(), strict=True) if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{source} is not a table in UTF-8: {error}") from error
    if len(rows) < 2:
        raise DataError(f"{source} should have a head of names, and a line for each example")
    if wrong := next((line for line, row in enumerate(rows, 1) if len(row) != len(rows[0])), None):
        raise DataError(f"{source}, line {wrong}: there are {len(rows[wrong - 1])} values under {len(rows[0])} names")
    if support and len(rows[0]) < 2:
        raise DataError(f"{source}: a support set has two columns or more; the last one is the target")
    body, names = rows[1:], [f"{source.name}, line {line}" for line in range(2, len(rows) + 1)]
    if not support:
        return NamedSet(_numbers(source, body), None, names)
    targets = np.array([row[-1] for row in body])
    with contextlib.suppress(ValueError):  # labels
        targets = targets.astype(np.float64)
    return NamedSet(_numbers(source, [row[:-1] for row in body]), targets, names)


def with_known_targets(query: NamedSet, columns: int) -> NamedSet:
    """Return a query table that has one column more than the inputs with the last one as its targets."""
    if query.targets is None and query.inputs.ndim == 2 and query.inputs.shape[1] == columns + 1:
        return NamedSet(query.inputs[:, :-1], query.inputs[:, -1], query.names)
    return query


def _numbers(source: Path, rows: list[list[str]]) -> NDArray[Any]:
    for line, row in enumerate(rows, start=2):
        for value in row:
            try:
                float(value)
            except ValueError:
                raise DataError(f"{source}, line {line}: {value!r} is not a number") from None
    return np.array(rows).astype(np.float64)
