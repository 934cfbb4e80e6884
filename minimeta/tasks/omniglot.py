"""Omniglot: 1623 handwritten characters of 50 alphabets, each drawn by the same 20 people (Lake et al. 2015).

**The files.** ``images_background.npz`` holds the 964 characters of 30 alphabets and ``images_evaluation.npz`` the 659
of 20 others, each as an array ``images``, bool, of shape (characters, 20, 105, 105), True for paper and False for ink,
the characters in the order of their official numbers (1 to 964, 965 to 1623).

**28 x 28.** Few-shot learners see the drawings at 28 x 28 (Vinyals et al. 2016). Since 105 * 4 =
28 * 15, cutting each pixel in 4 x 4 makes each small pixel exactly 15 x 15 = 225 of these pieces, and its grey a count

    ink[i, j] = sum over p, q of W[i, p] [pixel (p, q) is ink] W[j, q],    from 0 to 225
    W[i, p] = how many of the quarters 15 i, ..., 15 i + 14 are among 4 p, ..., 4 p + 3

with no filter to choose and nothing to round: the same eight bits on every machine. (The code released with Finn et al.
2017 uses the Lanczos filter of the Python Imaging Library, that of Nichol et al. 2018 its default filter.)

**The split.** Finn et al. 2017 use 1200 characters for training, irrespective of alphabet, and the remaining 423 for
testing, but do not say which; :func:`split` draws them once and for all by :data:`SPLIT_SEED`. (Their released code
holds 100 of the 1200 back for validation.)
"""

from __future__ import annotations

import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from minimeta.errors import DataError, MissingDataError

FILES = {"images_background.npz": 964, "images_evaluation.npz": 659}
"""The two files and how many characters each holds."""

DRAWERS = 20
SIDE = 105

TRAINING_CHARACTERS = 1200
SPLIT_SEED = 2017
"""Decides which characters are for training. Changing it changes every result."""

_CHARACTERS_AT_ONCE = 8  # 1.8 MB of pixels: stays in the second-level cache from inflation to count


def load(data: str | os.PathLike[str] | None = None) -> NDArray[np.uint8]:
    """Read all of Omniglot at 28 x 28.

    Parameters
    ----------
    data
        The folder that holds the two files, itself or in a folder ``omniglot``. Without it the environment variable
        ``MINIMETA_DATA`` names the folder.

    Returns
    -------
    ndarray
        Ink from 0 (paper) to 225 (ink), uint8, shape ``(1623, 20, 28, 28)``, in the order of the official numbers.

    Raises
    ------
    MissingDataError
        If a file is not there; the message says where it was looked for and how to get it.
    DataError
        If a file is truncated or holds something else; the message names it.
    """
    paths = find(data)
    ink = np.empty((sum(FILES.values()), DRAWERS, 28, 28), np.uint8)
    done = 0
    for path in paths:
        for images in _stream(path, FILES[path.name]):
            ink[done : done + len(images)] = _area(~images)
            done += len(images)
    return ink


def split(ink: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Split the characters into those to meta-train on and those to test on, irrespective of alphabet.

    Parameters
    ----------
    ink
        All 1623 characters as :func:`load` returns them.

    Returns
    -------
    training, testing
        1200 and 423 characters.

    Raises
    ------
    DataError
        If there are not 1623 characters: the split would be another one.
    """
    if len(ink) != sum(FILES.values()):
        raise DataError(f"the split of Omniglot is of {sum(FILES.values())} characters, but there are {len(ink)}")
    order = np.random.default_rng(SPLIT_SEED).permutation(len(ink))
    return ink[order[:TRAINING_CHARACTERS]], ink[order[TRAINING_CHARACTERS:]]


def find(data: str | os.PathLike[str] | None = None) -> list[Path]:
    """Return the paths of the two files, background first.

    Parameters
    ----------
    data
        As for :func:`load`.

    Raises
    ------
    MissingDataError
        If a file is in none of the places.
    """
    folder = os.environ.get("MINIMETA_DATA") if data is None else os.fspath(data)
    places = [Path(folder), Path(folder) / "omniglot"] if folder else []
    for place in places:
        paths = [place / name for name in FILES]
        if all(path.is_file() for path in paths):
            return paths
    looked = "".join(f"\n  {place / name}" for place in places for name in FILES if not (place / name).is_file())
    raise MissingDataError(
        (
            f"Omniglot is missing. Looked for{looked}"
            if places
            else "Omniglot is missing: no folder was given, and MINIMETA_DATA is not set."
        )
        + f"\nIt needs {' and '.join(FILES)} in one folder, named by --data (or the argument data) or by the "
        "environment variable MINIMETA_DATA. The drawings are published at https://github.com/brendenlake/omniglot "
        "(MIT licence); the documentation of minimeta.tasks.omniglot says what the two files hold."
    )


def _stream(path: Path, characters: int) -> Iterator[NDArray[np.bool_]]:
    """Inflate the array `images` of a file a few characters at a time: half the time and a tenth of the memory."""
    expected = (characters, DRAWERS, SIDE, SIDE)
    try:
        with zipfile.ZipFile(path) as archive, archive.open("images.npy") as file:
            if np.lib.format.read_magic(file) != (1, 0):
                raise DataError(f"{path}: the array images is of another version of the .npy format than 1.0")
            shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(file)
            if shape != expected or dtype != np.bool_ or fortran_order:
                raise DataError(f"{path}: images should be bool of shape {expected}, but is {dtype} of shape {shape}")
            image_bytes = DRAWERS * SIDE * SIDE
            for start in range(0, characters, _CHARACTERS_AT_ONCE):
                count = min(_CHARACTERS_AT_ONCE, characters - start)
                content = file.read(count * image_bytes)
                if len(content) != count * image_bytes:
                    raise DataError(f"{path}: truncated in the drawings of character {start + 1} of {characters}")
                yield np.frombuffer(content, np.bool_).reshape(count, DRAWERS, SIDE, SIDE)
    except DataError:
        raise
    except (zipfile.BadZipFile, zlib.error, struct.error, KeyError, EOFError, ValueError, NotImplementedError) as error:
        raise DataError(f"{path} is not the Omniglot file it should be, or is damaged: {error}") from error


def _area(ink: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Count the inked sixteenths of pixels under each of 28 x 28 pixels: (..., 105, 105) to (..., 28, 28)."""
    rows = _shrink(ink.view(np.uint8))
    return _shrink(rows.swapaxes(-1, -2)).swapaxes(-1, -2)


def _shrink(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Multiply the second-last axis by W: (..., 105, columns) to (..., 28, columns).

    W repeats itself: every 15 pixels make 4, in the same way. A pixel that straddles a border gives 3 + 1 or 2 + 2 of
    its quarters to the two sides.
    """
    *leading, _, columns = pixels.shape
    p = np.moveaxis(pixels.reshape(*leading, 7, 15, columns), -2, 0)
    small = np.empty((*leading, 7, 4, columns), np.uint8)
    small[..., 0, :] = 4 * (p[0] + p[1] + p[2]) + 3 * p[3]
    small[..., 1, :] = p[3] + 4 * (p[4] + p[5] + p[6]) + 2 * p[7]
    small[..., 2, :] = 2 * p[7] + 4 * (p[8] + p[9] + p[10]) + p[11]
    small[..., 3, :] = 3 * p[11] + 4 * (p[12] + p[13] + p[14])
    return small.reshape(*leading, 28, columns)
