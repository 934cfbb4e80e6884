"""Which images are for training, validation and testing: the lists of Ravi & Larochelle 2017.

miniImageNet's images cannot be passed on, so it is known by three lists of their names, ``train.csv``, ``val.csv`` and
``test.csv``, of 64, 16 and 20 classes of 600 images, each beginning as in

    filename,label
    n0153282900000005.jpg,n01532829

and whoever has the images brings them with the lists. Any other collection can be split in the same way.
"""

from __future__ import annotations

import csv
import os
from itertools import combinations
from pathlib import Path

from minimeta.errors import DataError, MissingDataError
from minimeta.tasks.image_files import AS_FINN, ImageClasses, Reading, image_root, load, read_files
from minimeta.tasks.images import Split

LISTS = ("train.csv", "val.csv", "test.csv")


def load_split(
    source: str | os.PathLike[str], lists: str | os.PathLike[str] | None = None, reading: Reading = AS_FINN
) -> Split[ImageClasses]:
    """Read the images on the lists.

    Parameters
    ----------
    source
        A folder of images, with or without class folders, or an ``.npz`` as :mod:`minimeta.tasks.image_files` describes
        them; of an ``.npz``, the classes on the lists are taken whole.
    lists
        The folder of the lists, by default the one of the images.
    reading
        Size, channels and filter.

    Returns
    -------
    Split
        Of classes as :func:`minimeta.tasks.image_files.load` returns them, in the order of the lists.

    Raises
    ------
    MissingDataError
        If there is no such source or list, or an image or class on a list is missing.
    DataError
        If a list has other columns, two lists share a class, an image is damaged (it is named), or labels are out of
        range.
    MissingExtraError
        If images must be read or resized, and the extra ``data`` is not installed.
    """
    source = Path(source)
    arrays = source.suffix == ".npz"
    folder = Path(lists) if lists is not None else source.parent if arrays else source
    listed = {name: _read_list(folder / name) for name in LISTS}
    for one, other in combinations(LISTS, 2):
        if shared := listed[one].keys() & listed[other].keys():
            raise DataError(f"{folder}: class {min(shared)} is on both {one} and {other}")
    if not arrays:
        root = image_root(source)
        found = [
            {label: [_find(root, label, name) for name in names] for label, names in classes.items()}
            for classes in listed.values()
        ]
        return Split(*(read_files(classes, reading) for classes in found))
    images = load(source, reading)
    for name, classes in listed.items():
        if missing := classes.keys() - images.keys():
            raise MissingDataError(f"class {min(missing)} on {folder / name} is not in {source}")
    return Split(*({label: images[label] for label in classes} for classes in listed.values()))


def _read_list(path: Path) -> dict[str, list[str]]:
    """Return the names of the files by class."""
    if not path.is_file():
        raise MissingDataError(f"there is no list {path}; a split needs {', '.join(LISTS)}")
    classes: dict[str, list[str]] = {}
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file)
        if rows.fieldnames != ["filename", "label"]:
            raise DataError(f"{path}: the first line should be filename,label, not {','.join(rows.fieldnames or [])!r}")
        for row in rows:
            if not row["filename"] or not row["label"] or len(row) != 2:
                raise DataError(f"{path}, line {rows.line_num}: there should be a file name and a label")
            classes.setdefault(row["label"], []).append(row["filename"])
    return classes


def _find(root: Path, label: str, name: str) -> Path:
    for path in (root / label / name, root / name):
        if path.is_file():
            return path
    raise MissingDataError(f"image {name} of class {label} is neither in {root / label} nor in {root}")
