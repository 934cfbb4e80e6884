"""Split any collection of images by class, and write the lists of
:mod:`minimeta.tasks.image_lists`.

Few-shot learning is judged on classes that training has not seen, so we draw whole classes for
training, validation and testing. The seed permutes the n classes, in the order of their names, and
the parts take in turn

    n_p = floor(n f_p / sum of f),   and one more where the remainder is largest, until all n are taken

with the fractions f = (0.64, 0.16, 0.2) of miniImageNet. The same names, fractions and seed make
the same lists. They are files next to the images, so images that are added later do not change what
a run was trained and tested on.

A byte-by-byte copy of a file in the same class is left out: a task could have one in its support
set and the other among its queries.
"""

from __future__ import annotations

import csv
import hashlib
import io
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from minimeta.counts import whole_number
from minimeta.errors import ConfigurationError, DataError
from minimeta.files import write_atomically
from minimeta.tasks.image_files import class_files, class_names
from minimeta.tasks.image_lists import HEAD, LISTS
from minimeta.tasks.images import Split

MINI_IMAGENET = (0.64, 0.16, 0.2)
"""The fractions of its 100 classes for training, validation and testing."""


class Written(NamedTuple):
    """What :func:`write_lists` did.

    Attributes
    ----------
    folder
        The folder of the lists.
    classes
        The names of the classes of each part.
    copies
        The files that were left out as copies of others of their class.
    """

    folder: Path
    classes: Split[list[str]]
    copies: list[Path]


def write_lists(
    source: str | os.PathLike[str], fractions: Sequence[float] = MINI_IMAGENET, *, seed: int = 0, ways: int = 5
) -> Written:
    """Split a collection by class, and write the lists next to it.

    Parameters
    ----------
    source
        A folder of class folders or an ``.npz``, as :mod:`minimeta.tasks.image_files` describes
        them.
    fractions, seed, ways
        As for :func:`split_classes`.

    Raises
    ------
    MissingDataError
        If there is no such source, no class folder in it, or no image in one.
    DataError
        If a name is not UTF-8, or an ``.npz`` is damaged or holds other arrays.
    ConfigurationError
        If other lists are already there, or as for :func:`split_classes`.
    """
    source = Path(source)
    copies: list[Path] = []
    if source.suffix == ".npz":
        folder, files = source.parent, {name: [source.name] for name in class_names(source)}
    else:
        folder, files = source, {}
        for name, paths in class_files(source).items():
            copied = _copies(paths)
            copies += sorted(copied)
            files[name] = [path.name for path in paths if path not in copied]
    classes = split_classes(list(files), fractions, seed=seed, ways=ways)
    lists = {
        folder / list_name: _as_csv([(name, label) for label in part for name in files[label]])
        for list_name, part in zip(LISTS, classes, strict=True)
    }
    for path, content in lists.items():
        if path.exists() and path.read_bytes() != content:
            raise ConfigurationError(
                f"{path} is there already, with other lines, and runs may have been trained by it; to split again, "
                f"delete {', '.join(LISTS)} in {folder}"
            )
    for path, content in lists.items():
        write_atomically(path, content)
    return Written(folder, classes, copies)


def split_classes(
    names: Sequence[str], fractions: Sequence[float] = MINI_IMAGENET, *, seed: int = 0, ways: int = 5
) -> Split[list[str]]:
    """Draw the classes for training, validation and testing.

    Parameters
    ----------
    names
        The names of all classes; their order does not matter.
    fractions
        The share of each part. Their sum need not be 1: (7, 2, 3) is 7 of 12. That of validation
        may be 0.
    seed
        Decides the draw.
    ways
        The classes of a task: a part that is not empty must have as many.

    Returns
    -------
    Split
        The names in each part, in order.

    Raises
    ------
    ConfigurationError
        If fractions are out of range, or there are too few classes.
    """
    if len(fractions) != 3 or not all(math.isfinite(fraction) and fraction >= 0 for fraction in fractions):
        raise ConfigurationError(
            f"fractions must be three numbers from 0 on, for training, validation and testing, not {tuple(fractions)}"
        )
    if not fractions[0] or not fractions[2]:
        raise ConfigurationError("fractions must leave some classes for training and some for testing")
    whole_number("split", "ways", ways, 2), whole_number("split", "seed", seed, 0)
    exact = [len(names) * fraction / math.fsum(fractions) for fraction in fractions]
    counts = [math.floor(value + 1e-9) for value in exact]
    for part in sorted(range(3), key=lambda part: counts[part] - exact[part])[: len(names) - sum(counts)]:
        counts[part] += 1
    if any(fraction and count < ways for fraction, count in zip(fractions, counts, strict=True)):
        raise ConfigurationError(
            f"of {len(names)} classes, {counts[0]} would be for training, {counts[1]} for validation and {counts[2]} "
            f"for testing, and a task of {ways} ways needs {ways} in each; {_remedy(len(names), fractions, ways)}"
        )
    order = [sorted(names)[place] for place in np.random.default_rng(seed).permutation(len(names))]
    first, second = counts[0], counts[0] + counts[1]
    return Split(*(sorted(part) for part in (order[:first], order[first:second], order[second:])))


def _remedy(classes: int, fractions: Sequence[float], ways: int) -> str:
    """Return a split that is possible, in words."""
    validation = ways if fractions[1] else 0
    if classes >= 2 * ways + validation:
        return f"try --fractions {classes - ways - validation} {validation} {ways}"
    if classes >= 2 * ways:
        return f"try none for validation: --fractions {classes - ways} 0 {ways}"
    if classes >= 4:
        return f"try tasks of fewer: --ways {classes // 2} --fractions {classes - classes // 2} 0 {classes // 2}"
    return "4 classes are the least that can be split"


def _copies(paths: Sequence[Path]) -> set[Path]:
    """Return the files with the content of an earlier one."""
    by_size: dict[int, list[Path]] = {}
    for path in paths:
        by_size.setdefault(path.stat().st_size, []).append(path)
    copies = set()
    for alike in by_size.values():
        seen: set[bytes] = set()
        for path in alike if len(alike) > 1 else ():
            with path.open("rb") as file:
                content = hashlib.file_digest(file, "sha256").digest()
            if content in seen:
                copies.add(path)
            seen.add(content)
    return copies


def _as_csv(rows: Sequence[tuple[str, str]]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEAD)
    writer.writerows(rows)
    try:
        return text.getvalue().encode()
    except UnicodeEncodeError as error:  # a file name whose bytes are not UTF-8
        name = next(name for row in rows for name in row if name.encode(errors="ignore").decode() != name)
        raise DataError(f"the name {name!r} is not UTF-8, and a list could not hold it; rename it") from error
