"""Which images are for training, validation and testing: the lists of Ravi & Larochelle 2017.

miniImageNet may not be redistributed. It is defined by three lists of names, ``train.csv``,
``val.csv`` and ``test.csv``, with 64, 16 and 20 classes of 600 images. Each begins as in

    filename,label
    n0153282900000005.jpg,n01532829

and the user brings the images with the lists. Any other collection can be split in the same way:
:mod:`minimeta.tasks.image_splits` writes such lists.

A task assumes that the support and query images of a class differ, so the lists may name a file
only once. Twice in a class, it could be both support and query; in two classes, it would have no
label.
"""

from __future__ import annotations

import codecs
import csv
import io
import os
import shlex
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

from minimeta.errors import DataError, MissingDataError
from minimeta.tasks.image_files import AS_FINN, ImageClasses, Reading, image_roots, load, read_files
from minimeta.tasks.images import Split

LISTS = ("train.csv", "val.csv", "test.csv")

HEAD = ["filename", "label"]

_MARKS = {
    "UTF-32": (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE),  # begins like that of UTF-16
    "UTF-16": (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE),
}
"""The first bytes of files of these encodings."""


class _Row(NamedTuple):
    """An image on a list."""

    list: Path
    line: int
    label: str
    name: str

    def __str__(self) -> str:
        return f"{self.list}, line {self.line}"


def load_split(
    source: str | os.PathLike[str], lists: str | os.PathLike[str] | None = None, reading: Reading = AS_FINN
) -> Split[ImageClasses]:
    """Read the images on the lists.

    Parameters
    ----------
    source
        A folder of images, with or without class folders, or an ``.npz`` as
        :mod:`minimeta.tasks.image_files` describes them. From an ``.npz`` the classes on the lists
        are taken whole.
    lists
        The folder of the lists; by default the folder of the images.
    reading
        Size, channels and filter.

    Returns
    -------
    Split
        Classes as :func:`minimeta.tasks.image_files.load` returns them, in the order of the lists.

    Raises
    ------
    MissingDataError
        If there is no such source or list, or an image or class on a list is missing.
    DataError
        If a list is not UTF-8 or has other columns, two lists share a class, a file is listed twice
        or is outside of the folder, an image is damaged (the message names it), or labels are out
        of range.
    MissingExtraError
        If images must be read or resized, and the extra ``data`` is not installed.
    """
    source = Path(source)
    arrays = source.suffix == ".npz"
    folder = Path(lists) if lists is not None else source.parent if arrays else source
    listed = {name: _read_list(folder / name, source) for name in LISTS}
    for one, other in combinations(LISTS, 2):
        if shared := listed[one].keys() & listed[other].keys():
            raise DataError(f"{folder}: class {min(shared)} is on both {one} and {other}")
    if not arrays:
        found = [
            {label: [(row, _find(source, row)) for row in rows] for label, rows in classes.items()}
            for classes in listed.values()
        ]
        _refuse_twice([pair for classes in found for pairs in classes.values() for pair in pairs])
        return Split(
            *(
                read_files({label: [path for _, path in pairs] for label, pairs in classes.items()}, reading)
                for classes in found
            )
        )
    images = load(source, reading)
    for name, classes in listed.items():
        if missing := classes.keys() - images.keys():
            raise MissingDataError(f"class {min(missing)} on {folder / name} is not in {source}")
    return Split(*({label: images[label] for label in classes} for classes in listed.values()))


def _read_list(path: Path, source: Path) -> dict[str, list[_Row]]:
    """Return the rows of a list by class."""
    if not path.is_file():
        raise MissingDataError(
            f"there is no list {path}; a split needs {', '.join(LISTS)}, which this writes: "
            f"{shlex.join(['minimeta', 'data', 'split', str(source)])}"
        )
    content = path.read_bytes()
    if wide := _wide_encoding(content):
        raise DataError(f"{path} is {wide}; save it as CSV UTF-8, or convert it by: iconv -f {wide} -t UTF-8")
    try:
        text = content.decode("utf-8-sig")  # some spreadsheets begin UTF-8 with a mark
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise DataError(
            f"{path}, line {line}: byte {error.start} of the file is 0x{content[error.start]:02x}, which is not UTF-8; "
            "save it as CSV UTF-8, or convert it, from Latin-1 say, by: iconv -f LATIN1 -t UTF-8"
        ) from error
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    classes: dict[str, list[_Row]] = {}
    try:
        if (head := next(rows, [])) != HEAD:
            raise DataError(f"{path}: the first line should be {','.join(HEAD)}, not {','.join(head)!r}")
        for row in filter(None, rows):
            if len(row) != 2 or not all(row):
                raise DataError(f"{path}, line {rows.line_num}: there should be a file name and a label")
            name, label = row
            classes.setdefault(label, []).append(_Row(path, rows.line_num, label, name))
    except csv.Error as error:
        raise DataError(f"{path}, line {rows.line_num}: this is not CSV: {error}") from error
    return classes


def _wide_encoding(content: bytes) -> str | None:
    """Return the encoding if characters have several bytes each, judging by its mark or by the zeros of ASCII."""
    for name, marks in _MARKS.items():
        if content.startswith(marks):
            return name
    if b"\0" not in content[:2]:
        return None
    return "UTF-16BE" if content.startswith(b"\0") else "UTF-16LE"


def _find(source: Path, row: _Row) -> Path:
    """Return the file of an image: in the folder of its class, or in that of all images."""
    within = Path(row.label) / row.name
    if within.is_absolute() or ".." in within.parts:
        raise DataError(f"{row}: {row.name} of class {row.label} leads out of the folder {source}")
    roots = image_roots(source)
    places = [root / inside for inside in (within, row.name) for root in roots]
    for path in places:
        if _is_file(path):
            return path
    looked = dict.fromkeys(path.parent for path in places if path.parent.is_dir())
    raise MissingDataError(
        f"{row}: image {row.name} of class {row.label} is neither in {' nor in '.join(map(str, looked or roots))}"
    )


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # the name is too long for any file
        return False


def _refuse_twice(found: list[tuple[_Row, Path]]) -> None:
    """Refuse lists that name a file twice, even under different names."""
    first: dict[tuple[int, int], _Row] = {}
    twice: list[tuple[_Row, _Row]] = []
    for row, path in found:
        status = path.stat()
        earlier = first.setdefault((status.st_dev, status.st_ino), row)
        if earlier is not row:
            twice.append((row, earlier))
    if not twice:
        return
    row, earlier = twice[0]
    others = f" So are {len(twice) - 1} other lines." if len(twice) > 1 else ""
    if row.label == earlier.label:
        raise DataError(
            f"{row}: {row.name} of class {row.label} is listed already, in line {earlier.line}: a task could have "
            f"it in both support and query.{others} Delete the second line of each two."
        )
    raise DataError(
        f"{row}: {row.name} of class {row.label} is the file that {earlier} lists for class {earlier.label}: an image "
        f"has one class.{others} Delete the lines that are wrong."
    )
